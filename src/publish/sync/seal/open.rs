//! Payloads, opened: decrypt, unpack, read, and compare with the manifest; one pass, and no more in memory than a line and the
//! list that is being built.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{MAX_DELTA_ROWS, OP, SealError};
use crate::anpr::hotlist::{Delta, Hotlist, HotlistBuilder, HotlistEntry, HotlistVersion, Wanted};
use crate::keys::Identity;
use crate::publish::sync::format::{self, COLUMNS, ContentSum, MAX_LINE, Place, WIDTH};
use crate::publish::sync::manifest::{Manifest, Payload, Step};

/// Size of the buffers between the stages, bytes: one of age's chunks.
const BUFFER: usize = 64 * 1024;

/// Builds the list of a manifest from its full payload. The manifest comes out of
/// [`SignedManifest::verify`](crate::publish::sync::manifest::SignedManifest::verify); `reader` gives the payload's bytes, be they
/// true or not.
///
/// # Errors
/// When the payload is for others, or anything about it is not as it was signed: bytes, hashes, size, count, order, a row.
pub fn full_from(reader: impl Read, manifest: &Manifest, identity: &Identity) -> Result<Hotlist, SealError> {
    full_with_sum(reader, manifest, identity).map(|(list, _)| list)
}

/// The same, with the sum that deltas of this version go on from.
///
/// # Errors
/// As [`full_from`]'s.
pub fn full_with_sum(reader: impl Read, manifest: &Manifest, identity: &Identity) -> Result<(Hotlist, ContentSum), SealError> {
    let payload = manifest.full.as_ref().ok_or(SealError::NoPart("full list"))?;
    // A bound on what is set aside at once: a row has 20 bytes at least. The builder bounds it further.
    let room = manifest.entries.min(payload.plain_bytes / 20);
    let mut builder = HotlistBuilder::with_capacity(usize::try_from(room).unwrap_or(0));
    let mut sum = ContentSum::default();
    let rows = content(reader, payload, identity, |lines| {
        lines.header("")?;
        let (mut entry, mut before) = (format::blank(), None);
        let mut row_before = Vec::new();
        while lines.next()? {
            let fields = format::split::<WIDTH>(lines.text()?).ok_or_else(|| lines.fault("has not the right fields"))?;
            format::read_row(&std::array::from_fn(|n| &*fields[n]), &mut entry).map_err(|_| lines.fault("is faulty"))?;
            let place = place(&entry, lines)?;
            // Strictly ascending by place and bytes. Bytes matter only among rows of one folded mark.
            if before.is_some_and(|before| before > place || (before == place && row_before >= lines.line)) {
                return Err(lines.fault("is out of order or there twice"));
            }
            before = Some(place);
            row_before.clone_from(&lines.line);
            sum.add(&lines.line);
            builder.push(&entry)?;
        }
        Ok(lines.row)
    })?;
    if rows != manifest.entries {
        return Err(SealError::Mismatch(format!("{rows} rows, {} were signed", manifest.entries)));
    }
    if sum.id() != manifest.content_sha256 {
        return Err(SealError::Mismatch("its SHA-256 is another".into()));
    }
    let version = HotlistVersion { list: manifest.list.clone(), version: manifest.number.to_string() };
    Ok((builder.finish(version).dated(Some(manifest.created), Some(manifest.expires)), sum))
}

/// Reads a delta.
///
/// # Errors
/// As [`full_from`]'s.
pub fn delta_from(reader: impl Read, step: &Step, identity: &Identity) -> Result<Delta, SealError> {
    content(reader, &step.payload, identity, read_delta)
}

/// Reads the content of a delta that is at hand in plain: for tests and fuzzing.
///
/// # Errors
/// When the content is no delta.
pub fn parse_delta(plain: &[u8]) -> Result<Delta, SealError> {
    let mut plain = plain;
    read_delta(&mut Lines { from: &mut plain, line: Vec::new(), row: 0 })
}

fn read_delta(lines: &mut Lines<'_>) -> Result<Delta, SealError> {
    lines.header("op,")?;
    let mut delta = Delta::default();
    let (mut before, mut awaited): (Option<Place>, Option<Wanted>) = (None, None);
    while lines.next()? {
        let fields = format::split::<{ WIDTH + 1 }>(lines.text()?).ok_or_else(|| lines.fault("has not the right fields"))?;
        let mut entry = format::blank();
        format::read_row(&std::array::from_fn(|n| &*fields[n + 1]), &mut entry).map_err(|_| lines.fault("is faulty"))?;
        let place = place(&entry, lines)?;
        if before.replace(place).is_some_and(|before| before > place) {
            return Err(lines.fault("is out of order"));
        }
        if delta.remove.len() + delta.add.len() >= MAX_DELTA_ROWS {
            return Err(lines.fault("is one too many for a delta"));
        }
        match (&*fields[0], awaited.take()) {
            ("add", None) => delta.add.push(entry),
            ("remove", None) => delta.remove.push(entry),
            ("from", None) => {
                awaited = Some(entry.wanted);
                delta.remove.push(entry);
            }
            ("to", Some(wanted)) if wanted == entry.wanted => delta.add.push(entry),
            ("add" | "remove" | "from" | "to", _) => return Err(lines.fault("breaks a pair of from and to")),
            _ => return Err(lines.fault("has an unknown op; allowed are add, remove, from, to")),
        }
    }
    if awaited.is_some() { Err(lines.fault("is a from without its to")) } else { Ok(delta) }
}

/// The place of a row; sealed lists have no patterns.
fn place(entry: &HotlistEntry, lines: &Lines<'_>) -> Result<Place, SealError> {
    match Place::of(&entry.wanted) {
        Place::Pattern => Err(lines.fault("is a pattern, which only lists kept on the box may have")),
        place => Ok(place),
    }
}

/// What every payload goes through: `read` gets the lines, then everything around them is compared with the manifest. Gives
/// what `read` gave.
fn content<T>(
    reader: impl Read,
    payload: &Payload,
    identity: &Identity,
    read: impl FnOnce(&mut Lines<'_>) -> Result<T, SealError>,
) -> Result<T, SealError> {
    let mut sealed = Tally::new(reader, payload.bytes, Some(Sha256::new()));
    let decryptor =
        age::Decryptor::new_buffered(BufReader::with_capacity(BUFFER, &mut sealed)).map_err(|e| not_ours(e, identity))?;
    let stream = decryptor.decrypt(identity.keys()).map_err(|e| not_ours(e, identity))?;
    let mut plain = Tally::new(GzDecoder::new(BufReader::with_capacity(BUFFER, stream)), payload.plain_bytes, None);
    let mut buffered = BufReader::with_capacity(BUFFER, &mut plain);
    let out = read(&mut Lines { from: &mut buffered, line: Vec::new(), row: 0 })?;
    let plain_bytes = plain.bytes;
    if plain_bytes != payload.plain_bytes {
        return Err(SealError::Mismatch(format!("{plain_bytes} bytes, {} were signed", payload.plain_bytes)));
    }
    if !plain.inner.into_inner().fill_buf().map_err(broken)?.is_empty() {
        return Err(SealError::Mismatch("something follows the packed content".into()));
    }
    // Age has come to the end of its last chunk; this reads the end of the file behind it.
    if sealed.read(&mut [0]).map_err(broken)? > 0 {
        return Err(SealError::Mismatch("something follows the encrypted content".into()));
    }
    let bytes = sealed.bytes;
    if (bytes, &sealed.sha256()) != (payload.bytes, &payload.sha256) {
        return Err(SealError::Mismatch(format!("the payload of {bytes} bytes has another size or SHA-256")));
    }
    Ok(out)
}

fn not_ours(error: age::DecryptError, identity: &Identity) -> SealError {
    match error {
        age::DecryptError::NoMatchingKeys => {
            SealError::NotForUs { ours: identity.recipients().map(|r| r.to_string()).collect::<Vec<_>>().join(", ") }
        }
        age::DecryptError::Io(e) => broken(e),
        other => SealError::Damaged(other.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

/// What a failed read means: broken content, or a disk that fails.
fn broken(error: io::Error) -> SealError {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof | Other => SealError::Damaged(error.to_string()),
        _ => SealError::Io(error),
    }
}

/// Counts, and hashes where that matters, what is read through it, and ends in an error when it is more than was signed.
struct Tally<R> {
    inner: R,
    hash: Option<Sha256>,
    bytes: u64,
    most: u64,
}

impl<R> Tally<R> {
    fn new(inner: R, most: u64, hash: Option<Sha256>) -> Self {
        Self { inner, hash, bytes: 0, most }
    }

    fn sha256(&self) -> String {
        self.hash.clone().map_or_else(String::new, |hash| format::hex(&hash.finalize()))
    }
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > self.most {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than the {} bytes that were signed", self.most),
            ));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..read]);
        }
        Ok(read)
    }
}

/// The lines of a content.
struct Lines<'a> {
    from: &'a mut dyn BufRead,
    line: Vec<u8>,
    row: u64,
}

impl Lines<'_> {
    /// Reads the header row: `prefix` and the columns.
    fn header(&mut self, prefix: &str) -> Result<(), SealError> {
        debug_assert!(prefix.is_empty() || prefix.trim_end_matches(',') == OP);
        let there = self.advance()?;
        let columns = self.line.strip_prefix(prefix.as_bytes()).unwrap_or(b"");
        if !there || !columns.split(|b| *b == b',').eq(COLUMNS.iter().map(|c| c.as_bytes())) {
            return Err(self.fault("is not the header of this format"));
        }
        Ok(())
    }

    /// Goes to the next row; false at the end.
    fn next(&mut self) -> Result<bool, SealError> {
        let there = self.advance()?;
        self.row += u64::from(there);
        Ok(there)
    }

    fn advance(&mut self) -> Result<bool, SealError> {
        self.line.clear();
        let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.from).take(most).read_until(b'\n', &mut self.line).map_err(broken)?;
        if read == 0 {
            return Ok(false);
        }
        match self.line.pop() {
            Some(b'\n') => Ok(true),
            _ => Err(SealError::Row { row: self.row + 1, what: "is too long or cut off" }),
        }
    }

    fn text(&self) -> Result<&str, SealError> {
        std::str::from_utf8(&self.line).map_err(|_| self.fault("is not UTF-8"))
    }

    fn fault(&self, what: &'static str) -> SealError {
        SealError::Row { row: self.row, what }
    }
}
