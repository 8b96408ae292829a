//! Sealing: from canonical rows to payloads under a signed manifest. Runs where lists are made, never on a box.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use super::file::SealedFile;
use super::{MAX_DELTA_ROWS, OP, SealError};
use crate::clock::UtcTime;
use crate::keys::{Recipient, SigningKey};
use crate::publish::sync::format::{COLUMNS, Place, Rows, hex};
use crate::publish::sync::manifest::{CHUNK_BYTES, MAX_STEPS, Manifest, Payload, SignedManifest, Step};

/// What to seal, for whom, by whom.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The list's opaque id.
    pub list: &'a str,
    /// Its new version.
    pub number: u64,
    /// When it was made.
    pub created: UtcTime,
    /// From when on nothing of it may match.
    pub expires: UtcTime,
    /// Who vouches for it.
    pub key: &'a SigningKey,
    /// Who may read it.
    pub recipients: &'a [Recipient],
    /// Whether the whole list goes in.
    pub full: bool,
    /// The version before, for a delta.
    pub base: Option<Base<'a>>,
}

/// The version before.
#[derive(Debug)]
pub struct Base<'a> {
    /// Its rows.
    pub rows: &'a Rows,
    /// Its sealed file: says which version it is, and gives the steps that lead to it.
    pub sealed: &'a SealedFile,
}

/// A sealed list, ready to be written or published. Nothing in it is plain.
#[derive(Debug)]
pub struct Sealed {
    /// The manifest.
    pub signed: SignedManifest,
    /// The payloads in the order of [`Manifest::parts`].
    pub parts: Vec<Vec<u8>>,
    /// How many steps of the version before were carried over.
    pub carried: usize,
}

/// Seals a list.
///
/// # Errors
/// When the rows can't be sealed (patterns, too many), when the base is not the version before, or when the manifest would break
/// one of its own rules.
pub fn sealed_from(rows: &Rows, plan: &Plan<'_>) -> Result<Sealed, SealError> {
    for (what, rows) in [("the list", Some(rows)), ("the base", plan.base.as_ref().map(|b| b.rows))] {
        let patterns = rows.map_or(0, Rows::patterns);
        if patterns > 0 {
            return Err(SealError::Plan(format!(
                "{what} has {patterns} pattern(s); sealed lists hold marks only: keep patterns in a local list on the box"
            )));
        }
    }
    let content_sha256 = rows.content_sha256();
    // Without the whole list its size is still what the steps are measured against.
    let full = encrypted(plan.recipients, |to| rows.write(to))?;
    let mut steps = Vec::new();
    let mut carried = 0;
    if let Some(base) = &plan.base {
        let old = check_base(base, plan)?;
        let (payload, bytes) = encrypted(plan.recipients, |to| to.write_all(&difference(base.rows, rows)?))?;
        let step = Step {
            from: old.number,
            to: plan.number,
            from_content_sha256: old.content_sha256.clone(),
            to_content_sha256: content_sha256.clone(),
            to_entries: rows.len() as u64,
            payload,
        };
        let mut total = step.payload.bytes;
        steps.push((step, bytes));
        // Boxes that slept through some versions walk up, as long as that is less to fetch than the whole list.
        let names: BTreeSet<_> = plan.recipients.iter().map(ToString::to_string).collect();
        let same = old.recipients.iter().cloned().collect::<BTreeSet<_>>() == names;
        for step in old.steps.iter().rev().take_while(|_| same) {
            // A file that came by way of a box may lack some.
            let Some((_, mut reader)) = base.sealed.step(step.from) else { break };
            total += step.payload.bytes;
            if total >= full.0.bytes || steps.len() >= MAX_STEPS {
                break;
            }
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut bytes)?;
            steps.push((step.clone(), bytes));
            carried += 1;
        }
        steps.reverse();
    }
    let (full, full_bytes) = if plan.full { (Some(full.0), Some(full.1)) } else { (None, None) };
    let (steps, step_bytes): (Vec<Step>, Vec<Vec<u8>>) = steps.into_iter().unzip();
    let manifest = Manifest {
        schema: Manifest::SCHEMA.to_owned(),
        list: plan.list.to_owned(),
        number: plan.number,
        created: plan.created,
        expires: plan.expires,
        previous: plan.base.as_ref().map(|b| b.sealed.signed().manifest().number),
        entries: rows.len() as u64,
        content_sha256,
        recipients: plan.recipients.iter().map(ToString::to_string).collect(),
        full,
        steps,
    };
    let signed = SignedManifest::sign(manifest, plan.key)?;
    Ok(Sealed { signed, parts: full_bytes.into_iter().chain(step_bytes).collect(), carried })
}

/// Whether the base is the version before, and its rows are what its manifest names.
fn check_base<'a>(base: &Base<'a>, plan: &Plan<'_>) -> Result<&'a Manifest, SealError> {
    let old = base.sealed.signed().manifest();
    let no = |what: String| Err(SealError::Plan(what));
    if old.list != plan.list {
        return no(format!("the base is the list {:?}, not {:?}", old.list, plan.list));
    }
    if old.number.checked_add(1) != Some(plan.number) {
        return no(format!(
            "the base is version {}, so the new one must be {}, not {}",
            old.number,
            old.number.saturating_add(1),
            plan.number
        ));
    }
    if old.content_sha256 != base.rows.content_sha256() {
        return no(format!("the rows of the base are not those that version {} was sealed from", old.number));
    }
    Ok(old)
}

/// The content of a delta.
fn difference(old: &Rows, new: &Rows) -> std::io::Result<Vec<u8>> {
    let mut text = format!("{OP},{}\n", COLUMNS.join(",")).into_bytes();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let (mut gone, mut come): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut rows = 0;
    loop {
        // All rows of one place, those in both left out: both sides are in order.
        let place = match (old.peek(), new.peek()) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(one), None) | (None, Some(one)) => one.0,
            (None, None) => break,
        };
        let of = |row: Option<&(Place, u64, &[u8])>| row.is_some_and(|row| row.0 == place);
        loop {
            match (of(old.peek()), of(new.peek())) {
                (false, false) => break,
                (true, false) => gone.extend(old.next().map(|row| row.2)),
                (false, true) => come.extend(new.next().map(|row| row.2)),
                (true, true) => match old.peek().map(|row| row.2).cmp(&new.peek().map(|row| row.2)) {
                    std::cmp::Ordering::Less => gone.extend(old.next().map(|row| row.2)),
                    std::cmp::Ordering::Greater => come.extend(new.next().map(|row| row.2)),
                    std::cmp::Ordering::Equal => drop((old.next(), new.next())),
                },
            }
        }
        rows += gone.len() + come.len();
        let mut put = |op: &str, row: &[u8]| {
            text.extend_from_slice(op.as_bytes());
            text.extend_from_slice(row);
        };
        for row in gone.drain(..) {
            // A row that goes and one of the same mark that comes are one that changed.
            match come.iter().position(|new| mark(new) == mark(row)) {
                Some(at) => {
                    put("from,", row);
                    put("to,", come.remove(at));
                }
                None => put("remove,", row),
            }
        }
        come.drain(..).for_each(|row| put("add,", row));
    }
    if rows > MAX_DELTA_ROWS {
        return Err(std::io::Error::other(format!("the delta has {rows} rows, at most {MAX_DELTA_ROWS}; seal without a base")));
    }
    Ok(text)
}

/// The first field of a canonical row. A mark is never in quotes.
fn mark(row: &[u8]) -> Option<&[u8]> {
    row.split(|b| *b == b',').next()
}

/// Encrypts what `write` writes, and describes it.
fn encrypted(
    recipients: &[Recipient],
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(Payload, Vec<u8>), SealError> {
    let to = recipients.iter().map(|r| -> &dyn age::Recipient { &r.0 });
    let encryptor = age::Encryptor::with_recipients(to)
        .map_err(|e| SealError::Plan(format!("it can't be encrypted: {e}; name at least one recipient")))?;
    let stream = encryptor.wrap_output(Vec::new())?;
    // No name and no time in the header: the same content packs to the same bytes.
    let mut packed = Counted { inner: GzBuilder::new().write(stream, Compression::default()), bytes: 0 };
    write(&mut packed)?;
    let plain_bytes = packed.bytes;
    let bytes = packed.inner.finish()?.finish()?;
    let chunk = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
    let payload = Payload {
        bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(&bytes)),
        plain_bytes,
        chunks: bytes.chunks(chunk).map(|chunk| hex(&Sha256::digest(chunk))).collect(),
    };
    Ok((payload, bytes))
}

/// Counts what is written through it.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
