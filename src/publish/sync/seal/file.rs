//! A sealed file: a manifest and its payloads in one piece, for USB sticks and for publishing.
//!
//! ```text
//! kerbside-hotlist/1
//! {"schema":"kerbside.hotlist_signed/1",...}        the manifest's wire form
//! {"parts":["full","step 41-42"]}                   what follows, in the manifest's order
//! <payload><payload>                                one right after the other, up to the end of the file
//! ```
//!
//! Opening verifies the manifest first, then the file's length against the signed sizes, then every chunk against its signed
//! hash, with one chunk in memory. Junk is refused at its first line, whatever its size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SealError;
use super::make::Sealed;
use crate::anpr::hotlist::Hotlist;
use crate::keys::{Identity, TrustedKeys};
use crate::publish::sync::format::hex;
use crate::publish::sync::manifest::{CHUNK_BYTES, MAX_WIRE_BYTES, Manifest, Payload, SignedManifest};

/// The first line of every sealed file.
pub const FIRST_LINE: &str = "kerbside-hotlist/1";
/// Longest third line, bytes: 33 names of parts with the largest numbers.
const MAX_PARTS_LINE: usize = 4096;

/// Line 3.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    parts: Vec<String>,
}

/// A sealed file whose manifest and bytes are as they were signed (or, opened with [`SealedFile::unverified`], only look so).
#[derive(Debug)]
pub struct SealedFile {
    path: PathBuf,
    file: File,
    signed: SignedManifest,
    parts: Vec<Part>,
}

/// A payload in the file.
#[derive(Clone, Debug)]
struct Part {
    name: String,
    from: u64,
    bytes: u64,
}

impl SealedFile {
    /// Opens a file and checks all of it that can be checked without decrypting.
    ///
    /// # Errors
    /// When it is no sealed file, its manifest is refused, or it is cut off, too long, out of order or damaged.
    pub fn open(path: &Path, trust: &TrustedKeys) -> Result<Self, SealError> {
        Self::open_with(path, |wire| SignedManifest::verify(wire, trust))
    }

    /// The same without a look at the signature: to show people what a file says of itself, and for nothing else.
    ///
    /// # Errors
    /// As [`Self::open`], but for the signature and the key.
    pub fn unverified(path: &Path) -> Result<Self, SealError> {
        Self::open_with(path, SignedManifest::unverified)
    }

    fn open_with(
        path: &Path,
        check: impl FnOnce(&[u8]) -> Result<SignedManifest, super::ManifestError>,
    ) -> Result<Self, SealError> {
        let fault = |what: String| SealError::File { file: path.to_owned(), what };
        let unreadable = |e: io::Error| {
            let words = format!("{}: it can't be read: {e}; check the path and that this user may read it", path.display());
            SealError::Io(io::Error::new(e.kind(), words))
        };
        // Opening a pipe would wait for somebody to write into it.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(fault("it is no plain file; name the sealed file itself".into()));
        }
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut start = BufReader::new(&file);
        let (signed, names, header) = header(&mut start, check).map_err(|e| match e {
            HeaderFault::Words(what) => fault(what),
            HeaderFault::Io(e) => unreadable(e),
            HeaderFault::Manifest(e) => SealError::Manifest(e),
        })?;
        let mut from = header;
        let mut parts = Vec::new();
        for (name, payload) in signed.manifest().parts().filter(|(name, _)| names.contains(name)) {
            parts.push(Part { name, from, bytes: payload.bytes });
            // Bounded by the manifest's rules: at most 33 payloads of 1 GiB.
            from += payload.bytes;
        }
        if names.is_empty() || names.len() != parts.len() || names.iter().zip(&parts).any(|(name, part)| *name != part.name) {
            let offered: Vec<String> = signed.manifest().parts().map(|(name, _)| name).collect();
            return Err(fault(format!(
                "its parts are {names:?}, the manifest has {offered:?} in this order; it was put together wrongly: copy or seal it again"
            )));
        }
        match length.cmp(&from) {
            std::cmp::Ordering::Less => {
                Err(fault(format!("it is cut off: {} of {from} bytes are missing; copy it again", from - length)))
            }
            std::cmp::Ordering::Greater => Err(fault(format!(
                "{} bytes follow its end; it is damaged or was put together wrongly: copy it again",
                length - from
            ))),
            std::cmp::Ordering::Equal => {
                let this = Self { path: path.to_owned(), file, signed, parts };
                this.check_chunks()?;
                Ok(this)
            }
        }
    }

    /// Compares every chunk with its hash.
    fn check_chunks(&self) -> Result<(), SealError> {
        let mut buffer = Vec::new();
        for part in &self.parts {
            let Some((name, payload)) = self.signed.manifest().parts().find(|(name, _)| *name == part.name) else { continue };
            let mut reader = self.read_at(part);
            let mut whole = Sha256::new();
            for (n, expected) in payload.chunks.iter().enumerate() {
                buffer.clear();
                (&mut reader).take(CHUNK_BYTES).read_to_end(&mut buffer)?;
                whole.update(&buffer);
                let found = hex(&Sha256::digest(&buffer));
                if found == *expected {
                    continue;
                }
                let what = match self.home_of(&found) {
                    Some(home) => {
                        format!("where chunk {n} of its part {name:?} should be stands {home}: parts or chunks are out of order")
                    }
                    None => format!("chunk {n} of its part {name:?} is damaged (another SHA-256 than was signed)"),
                };
                return Err(SealError::File { file: self.path.clone(), what: format!("{what}; copy or fetch it again") });
            }
            if hex(&whole.finalize()) != payload.sha256 {
                // Every chunk is as it was signed: no copy will be better than this one.
                return Err(SealError::Mismatch(format!("its part {name:?} has another SHA-256")));
            }
        }
        Ok(())
    }

    /// Which chunk a hash belongs to.
    fn home_of(&self, hash: &str) -> Option<String> {
        let found = |(name, payload): (String, &Payload)| {
            payload.chunks.iter().position(|chunk| chunk == hash).map(|n| format!("chunk {n} of {name:?}"))
        };
        self.signed.manifest().parts().find_map(found)
    }

    /// The manifest.
    pub fn signed(&self) -> &SignedManifest {
        &self.signed
    }

    /// Names and sizes (bytes) of the payloads, in the order of [`Manifest::parts`].
    pub fn parts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.parts.iter().map(|part| (&*part.name, part.bytes))
    }

    /// The bytes of the payload at a place in [`Self::parts`]; nothing where there is none.
    pub fn reader(&self, part: usize) -> impl Read + '_ {
        self.read_at(self.parts.get(part).unwrap_or(&Part { name: String::new(), from: 0, bytes: 0 }))
    }

    /// The bytes of the full list's payload, if the file has it.
    pub fn full(&self) -> Option<impl Read + '_> {
        self.part("full")
    }

    /// The bytes of the delta that begins at a version, if the file has it, with its place in [`Manifest::steps`].
    pub fn step(&self, from: u64) -> Option<(usize, impl Read + '_)> {
        let at = self.signed.manifest().steps.iter().position(|step| step.from == from)?;
        let name = self.signed.manifest().steps[at].name();
        let part = self.parts.iter().find(|part| part.name == name)?;
        Some((at, self.read_at(part)))
    }

    fn part(&self, name: &str) -> Option<impl Read + '_> {
        self.parts.iter().find(|part| part.name == name).map(|part| self.read_at(part))
    }

    fn read_at(&self, part: &Part) -> At<'_> {
        At { file: &self.file, from: part.from, left: part.bytes }
    }

    /// Decrypts everything and checks it: the list, where it is in the file.
    ///
    /// # Errors
    /// When a part is for others or not as it was signed.
    pub fn check_content(&self, identity: &Identity) -> Result<Option<Hotlist>, SealError> {
        let manifest: &Manifest = self.signed.manifest();
        let full = match self.full() {
            Some(reader) => Some(super::full_from(reader, manifest, identity)?),
            None => None,
        };
        for step in &manifest.steps {
            if let Some((_, reader)) = self.step(step.from) {
                super::delta_from(reader, step, identity)?;
            }
        }
        Ok(full)
    }

    /// Writes the first three lines; the payloads of these parts, some or all of [`Manifest::parts`] in its order, are to follow.
    ///
    /// # Errors
    /// As `to` does.
    pub fn begin(signed: &SignedManifest, parts: &[String], to: &mut dyn Write) -> Result<(), SealError> {
        let line = serde_json::to_string(&Parts { parts: parts.to_vec() }).map_err(io::Error::from)?;
        writeln!(to, "{FIRST_LINE}")?;
        to.write_all(signed.bytes())?;
        writeln!(to, "\n{line}")?;
        Ok(())
    }

    /// Writes a sealed list as a file's content.
    ///
    /// # Errors
    /// As `to` does.
    pub fn write(sealed: &Sealed, to: &mut dyn Write) -> Result<(), SealError> {
        let names: Vec<String> = sealed.signed.manifest().parts().map(|(name, _)| name).collect();
        Self::begin(&sealed.signed, &names, to)?;
        sealed.parts.iter().try_for_each(|part| to.write_all(part))?;
        Ok(())
    }
}

/// Why the first three lines are refused.
enum HeaderFault {
    Words(String),
    Manifest(super::ManifestError),
    Io(io::Error),
}

/// Reads the first three lines: the manifest, the names of the parts, and how many bytes the lines took.
fn header(
    from: &mut impl BufRead,
    check: impl FnOnce(&[u8]) -> Result<SignedManifest, super::ManifestError>,
) -> Result<(SignedManifest, Vec<String>, u64), HeaderFault> {
    let mut used = 0;
    let mut line = |most: usize, what: &str| {
        let mut line = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        used += from.take(limit).read_until(b'\n', &mut line).map_err(HeaderFault::Io)? as u64;
        match line.pop() {
            Some(b'\n') => Ok(line),
            _ => Err(HeaderFault::Words(what.to_owned())),
        }
    };
    let no = "it is no sealed list (`kerbside hotlist seal` makes one): its first line is not \"kerbside-hotlist/1\"";
    let first = line(FIRST_LINE.len() + 1, no)?;
    if first != FIRST_LINE.as_bytes() {
        return Err(HeaderFault::Words(no.into()));
    }
    let wire = line(MAX_WIRE_BYTES, "its second line, the manifest, is cut off or too long; copy it again")?;
    let signed = check(&wire).map_err(HeaderFault::Manifest)?;
    let broken = "its third line, the names of its parts, is cut off or broken; copy it again";
    let parts: Parts = serde_json::from_slice(&line(MAX_PARTS_LINE, broken)?).map_err(|_| HeaderFault::Words(broken.into()))?;
    Ok((signed, parts.parts, used))
}

/// Reads the header of a sealed file that is at hand in memory, signature not looked at: for fuzzing. Whether it is one.
pub fn fuzz_header(bytes: &[u8]) -> bool {
    header(&mut &*bytes, SignedManifest::unverified).is_ok()
}

/// A stretch of a file, read where it stands: several may be open at once.
struct At<'a> {
    file: &'a File,
    from: u64,
    left: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.from)?;
        self.from += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
