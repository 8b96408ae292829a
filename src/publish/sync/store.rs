//! One sealed list at rest: a full list as it was signed and encrypted, the deltas since, and chunks on their way in.
//!
//! ```text
//! {state}/hotlist/{list}/chain.json     which files make up the version in force, in order; the one commit point
//!                        42-0.sealed    those files, by version (anything else of this kind is left over from a crash, and removed)
//!                        incoming.sealed  a new version that is being put together
//!                        parts/{sha256} chunks of a version that is being fetched
//! ```
//!
//! Nothing here is ever in plain, and nothing is trusted because it is here: whoever loads the files checks signatures and hashes again.
//! A new version is whole on disk before `chain.json`, renamed into place, names it: killed at any moment, the box finds either the
//! old chain or the new one. Should `chain.json` itself be lost, the files that are here say what they are
//! ([`Store::found`]).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::hex;
use super::manifest::{CHUNK_BYTES, Payload};
use sha2::{Digest, Sha256};

const CHAIN: &str = "chain.json";
const CHAIN_SCHEMA: &str = "kerbside.hotlist_chain/1";

/// Which files make up the version in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chain {
    schema: String,
    /// The version: nothing older is taken, even when the files turn out to be damaged.
    pub(super) number: u64,
    /// A full list, then deltas.
    pub(super) files: Vec<String>,
}

impl Chain {
    pub(super) fn of(number: u64, files: Vec<String>) -> Self {
        Self { schema: CHAIN_SCHEMA.to_owned(), number, files }
    }
}

/// The folder of one list.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the folder, making it as needed.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(dir.join("parts"))?;
        Ok(Self { dir })
    }

    /// The folder as it is, or is not.
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// What is in force by the last commit; none when there was none.
    pub(super) fn chain(&self) -> io::Result<Option<Chain>> {
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{CHAIN} is damaged: {why}"));
        match fs::read(self.dir.join(CHAIN)) {
            Ok(json) => match serde_json::from_slice::<Chain>(&json) {
                Ok(chain) if chain.schema == CHAIN_SCHEMA => Ok(Some(chain)),
                Ok(chain) => Err(damaged(format!("its schema is {:?}, this program knows {CHAIN_SCHEMA:?}", chain.schema))),
                Err(e) => Err(damaged(e.to_string())),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The sealed files that are here, oldest version first: what is left to go by when the chain is lost.
    pub(super) fn found(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        let mut found: Vec<((u64, u32), String)> = names.filter_map(|name| Some((place(&name)?, name))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Writes down which files make up the version in force; with none of them, below which version nothing is taken.
    pub(super) fn write(&self, chain: &Chain) -> io::Result<()> {
        write_whole(&self.dir.join(CHAIN), &serde_json::to_vec(chain).map_err(io::Error::other)?)
    }

    /// Removes what a crash left over.
    pub(super) fn clean(&self, chain: &Chain) {
        self.remove_all_but(&chain.files);
    }

    /// Where a file of the chain is.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Where a new sealed file is put together; on the same file system as the chain.
    pub(super) fn draft(&self) -> PathBuf {
        self.dir.join("incoming.sealed")
    }

    /// Makes the draft part of the chain and the version of it the one in force: behind the files so far, or in place of them.
    /// On an error the old chain stands.
    pub(super) fn commit(&self, old: &Chain, number: u64, in_place: bool) -> io::Result<Chain> {
        File::open(self.draft())?.sync_all()?;
        // What commits left over that failed half-way, so that trying again doesn't fill the disk. The chain on disk may be newer than
        // ours: when the very last sync of such a commit failed.
        let on_disk = self.chain().ok().flatten().unwrap_or_default();
        let draft = "incoming.sealed".to_owned();
        self.remove_all_but(&[&old.files[..], &on_disk.files, &[draft]].concat());
        // A number may come twice (a damaged list fetched again), a name must not.
        let taken = |name: &String| self.path(name).exists();
        let name = (0u32..).map(|n| format!("{number}-{n}.sealed")).find(|name| !taken(name));
        let name = name.ok_or_else(|| io::Error::other("no name is left for a sealed file"))?;
        fs::rename(self.draft(), self.path(&name))?;
        File::open(&self.dir)?.sync_all()?;
        let mut files = if in_place { Vec::new() } else { old.files.clone() };
        files.push(name);
        let chain = Chain::of(number, files);
        self.write(&chain)?;
        // The version is in force by now; what can't be cleared away is cleared at the next start.
        self.remove_all_but(&chain.files);
        Ok(chain)
    }

    /// Removes a draft that came to nothing.
    pub(super) fn discard(&self) {
        match fs::remove_file(self.draft()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!("the draft of a hotlist can't be removed: {e}"),
            _ => {}
        }
    }

    /// A file that can't be removed does no harm: it is not in the chain.
    fn remove_all_but(&self, files: &[String]) {
        let keep: BTreeSet<&String> = files.iter().collect();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_ours = name.ends_with(".sealed") || name.ends_with(".tmp");
            if !is_ours || keep.contains(&name) {
                continue;
            }
            if let Err(e) = fs::remove_file(self.path(&name)) {
                tracing::warn!("an old file of a hotlist can't be removed: {e}");
            }
        }
    }

    /// Keeps a chunk whose hash was checked.
    pub(super) fn keep_chunk(&self, sha256: &str, bytes: &[u8]) -> io::Result<()> {
        // Not synced: what a power cut spoils has another hash when it is used, and is fetched again.
        let (temporary, path) = (self.part("incoming.tmp"), self.part(sha256));
        let kept = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
        if kept.is_err() {
            // Half a chunk on a full disk is in the way of everybody.
            drop(fs::remove_file(temporary));
        }
        kept
    }

    /// Chunks of a payload that are not here.
    pub(super) fn missing<'a>(&self, payload: &'a Payload) -> impl Iterator<Item = &'a String> {
        payload.chunks.iter().filter(|sha256| !self.part(sha256).is_file())
    }

    /// A payload, chunk by chunk; each is held against its hash once more. A damaged one is removed, so that it is fetched again.
    pub(super) fn payload(&self, payload: &Payload) -> impl Iterator<Item = io::Result<Vec<u8>>> + '_ {
        payload.chunks.clone().into_iter().map(|sha256| {
            let mut bytes = Vec::new();
            File::open(self.part(&sha256))?.take(CHUNK_BYTES + 1).read_to_end(&mut bytes)?;
            if hex(&Sha256::digest(&bytes)) == sha256 {
                return Ok(bytes);
            }
            fs::remove_file(self.part(&sha256))?;
            Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk was damaged on disk; it is fetched again"))
        })
    }

    /// Removes chunks that nobody needs any more.
    pub(super) fn prune(&self, needed: &BTreeSet<String>) {
        let entries = fs::read_dir(self.dir.join("parts")).into_iter().flatten().flatten();
        for entry in entries.filter(|e| !needed.contains(&*e.file_name().to_string_lossy())) {
            if let Err(e) = fs::remove_file(entry.path()) {
                tracing::warn!("an old chunk of a hotlist can't be removed: {e}");
            }
        }
    }

    fn part(&self, sha256: &str) -> PathBuf {
        self.dir.join("parts").join(sha256)
    }
}

/// Version and running number of a sealed file of a chain, out of its name.
fn place(name: &str) -> Option<(u64, u32)> {
    let (number, n) = name.strip_suffix(".sealed")?.split_once('-')?;
    Some((number.parse().ok()?, n.parse().ok()?))
}

/// Writes a small file so that it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_was_not_committed_is_gone_and_the_chain_stands() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("voi")).unwrap();
        assert_eq!(store.chain().unwrap(), None);
        fs::write(store.draft(), "full").unwrap();
        let first = store.commit(&Chain::default(), 41, true).unwrap();
        fs::write(store.draft(), "delta").unwrap();
        let second = store.commit(&first, 42, false).unwrap();
        assert_eq!((second.number, second.files.len()), (42, 2));
        fs::write(store.draft(), "half").unwrap();
        fs::write(store.path("43-0.sealed"), "renamed, but not in the chain").unwrap();
        assert_eq!(store.chain().unwrap().unwrap(), second);
        assert_eq!(store.found(), ["41-0.sealed", "42-0.sealed", "43-0.sealed"]);
        store.clean(&second);
        assert!(!store.draft().exists() && !store.path("43-0.sealed").exists());
        assert_eq!(fs::read_to_string(store.path(&second.files[1])).unwrap(), "delta");
        fs::write(store.draft(), "full again").unwrap();
        let third = store.commit(&second, 42, true).unwrap();
        assert_eq!(third.files.len(), 1);
        assert!(!store.path(&second.files[0]).exists(), "what is replaced is gone");
        fs::write(dir.path().join("voi").join(CHAIN), "{").unwrap();
        assert!(store.chain().unwrap_err().to_string().contains("chain.json is damaged"));
    }

    #[test]
    fn chunks_are_kept_checked_and_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_owned()).unwrap();
        let [a, b] = [b"one", b"two"].map(|bytes| hex(&Sha256::digest(bytes)));
        let payload = Payload { bytes: 6, sha256: String::new(), plain_bytes: 6, chunks: vec![a.clone(), b.clone()] };
        store.keep_chunk(&a, b"one").unwrap();
        assert_eq!(store.missing(&payload).collect::<Vec<_>>(), [&b]);
        store.keep_chunk(&b, b"tvo").unwrap();
        assert_eq!(store.missing(&payload).count(), 0);
        let read: Vec<_> = store.payload(&payload).collect();
        assert!(read[0].is_ok() && read[1].is_err());
        assert_eq!(store.missing(&payload).collect::<Vec<_>>(), [&b], "the damaged one is to be fetched again");
        store.prune(&BTreeSet::from([b]));
        assert_eq!(store.missing(&payload).count(), 2);
    }
}
