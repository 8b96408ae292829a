//! The sealed lists of one box: what came, whether it is to be believed, what is in force.
//!
//! Bytes come in from anywhere (a retained message, a file on a stick, the disk at start) and go through the same checks in the same
//! order: signature, whose list it is, its time, for whom it is sealed, its version. Only then anything is fetched or decrypted. A list
//! is made ready beside the one in force and committed on disk before it replaces it; whatever fails on the way, the one in force stays,
//! and the reason is told.
//!
//! Blocks on the disk and computes for seconds on a large list: it has a thread of its own. No network here: what is wanted is
//! asked of whoever has one ([`Keeper::wanted`]).

mod apply;
mod incoming;
mod judge;
mod told;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::format::{ContentSum, hex};
use super::inbox;
use super::manifest::{CHUNK_BYTES, SignedManifest};
use super::seal::SealedFile;
use super::store::{Chain, Store};
use crate::anpr::hotlist::Hotlist;
use crate::clock::{MonoTime, UtcTime};
use crate::keys::{Identity, TrustedKeys};
use crate::publish::wire::AuditEvent;
use incoming::Incoming;
use judge::{Refusal, Verdict};
use told::Told;
pub use view::view;

/// Held while the folder is in use. No id of a list has a dot.
const LOCK: &str = ".lock";
/// Chunks asked for at one time: with the largest chunks, 2 MiB on the way.
const ASKED_AT_ONCE: usize = 8;
/// A chunk that has not come for so long is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// A pause before that: without it, whoever asks the broker would not notice.
const REST: Duration = Duration::from_secs(2);
/// Deltas behind a full list; from then on the next version is taken whole, so that a start stays quick.
const MAX_CHAIN: usize = 1000;
/// What failed for want of disk or of the right time is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// Versions of a list remembered whose content turned out to be bad, so that they are not fetched again at each connection.
const MAX_HOPELESS: usize = 16;

/// Which lists a box takes, from whom, and where it keeps them.
#[derive(Debug)]
pub struct KeeperOptions {
    /// Ids of the lists.
    pub lists: Vec<String>,
    /// Whose signature counts.
    pub trust: TrustedKeys,
    /// What opens them.
    pub identity: Identity,
    /// Where they are kept, encrypted.
    pub dir: PathBuf,
}

/// How something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over MQTT.
    Mqtt,
    /// From a file.
    File,
    /// Found on disk at the start.
    Start,
}

impl Way {
    /// The word used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::File => "file",
            Self::Start => "start",
        }
    }
}

/// Something that happened to a list.
#[derive(Clone, Debug)]
pub struct Happening {
    /// What.
    pub event: AuditEvent,
    /// How it came.
    pub way: Way,
    /// The list; none when what came did not say believably.
    pub list: Option<String>,
    /// The version, as far as known.
    pub number: Option<u64>,
    /// Its entries, as far as known.
    pub entries: Option<u64>,
    /// Id of the key that signed it, as far as known.
    pub key: Option<String>,
    /// Why, in words: for a refusal always. Names no mark.
    pub reason: Option<String>,
    /// The list that is in force from now on.
    pub in_force: Option<Arc<Hotlist>>,
}

/// How one list stands.
#[derive(Clone, Debug)]
pub struct ListState {
    /// Its id.
    pub list: String,
    /// What is in force, with the SHA-256 of its content.
    pub in_force: Option<(Arc<Hotlist>, String)>,
    /// Version, chunks here and chunks needed of what is on its way in.
    pub incoming: Option<(u64, usize, usize)>,
    /// The last refusal, until something is taken.
    pub refused: Option<(String, UtcTime)>,
}

/// Why lists can't be kept at all.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The folder can't be used.
    #[error("{dir}: {source}; the folder must exist or be creatable and belong to the service's user", dir = .dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process keeps them.
    #[error("{dir} is in use by another process (a running kerbside keeps its lists itself)", dir = .dir.display())]
    Held {
        /// The folder.
        dir: PathBuf,
    },
}

/// Whether a running daemon keeps the lists of a folder. Leaves no trace where none ever did.
pub fn is_held(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// All sealed lists of a box. One a folder, held by a lock.
#[derive(Debug)]
pub struct Keeper {
    trust: TrustedKeys,
    identity: Identity,
    ours: Vec<String>,
    lists: BTreeMap<String, Kept>,
    /// What was told of lists that are none of ours.
    strangers: Told,
    _lock: Option<File>,
}

/// One list.
#[derive(Debug)]
struct Kept {
    store: Store,
    chain: Chain,
    in_force: Option<InForce>,
    incoming: Option<Incoming>,
    later: Option<Later>,
    /// SHA-256 of manifests whose content was fetched and is not as it should be, with what is wrong; oldest first. Forgotten when
    /// something is taken.
    hopeless: Vec<([u8; 32], String)>,
    told: Told,
    /// What stands in the way of a version that is on its way in, as it was told last.
    trouble: Option<String>,
    refusal: Option<(String, UtcTime)>,
    expiry_told: bool,
}

/// A manifest that is refused for now only.
#[derive(Debug)]
struct Later {
    bytes: Vec<u8>,
    number: u64,
    /// Since when it waits to be looked at again.
    since: MonoTime,
}

#[derive(Debug)]
struct InForce {
    hotlist: Arc<Hotlist>,
    number: u64,
    content_sha256: String,
    sum: ContentSum,
    /// How it came.
    way: Way,
}

impl Keeper {
    /// Opens the folder. Nothing is in force before [`Self::load`].
    ///
    /// # Errors
    /// When the folder can't be used or another process holds it.
    pub fn open(options: KeeperOptions) -> Result<Self, KeeperError> {
        let KeeperOptions { lists, trust, identity, dir } = options;
        let fault = |source| KeeperError::Folder { dir: dir.clone(), source };
        std::fs::create_dir_all(dir.join(inbox::FOLDER)).map_err(fault)?;
        let lock = File::create(dir.join(LOCK)).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeeperError::Held { dir }),
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        let mut keeper = Self::without_lists(trust, identity, Some(lock));
        for id in lists {
            let store = Store::open(dir.join(&id)).map_err(fault)?;
            keeper.lists.insert(id, Kept::new(store));
        }
        Ok(keeper)
    }

    fn without_lists(trust: TrustedKeys, identity: Identity, lock: Option<File>) -> Self {
        let ours = identity.recipients().map(|r| r.to_string()).collect();
        Self { trust, identity, ours, lists: BTreeMap::new(), strangers: Told::default(), _lock: lock }
    }

    /// Loads what was in force from disk, checking everything again: seconds for a large list. A damaged one is told of, and fetched
    /// again. `now` is the moment for dates.
    pub fn load(&mut self, now: UtcTime) -> Vec<Happening> {
        let ids: Vec<String> = self.lists.keys().cloned().collect();
        let mut said = Vec::new();
        for id in ids {
            let Some(mut kept) = self.lists.remove(&id) else { continue };
            said.extend(self.load_list(&id, &mut kept, now));
            self.lists.insert(id, kept);
        }
        said
    }

    /// A retained manifest came on the topic of `list`.
    pub fn manifest(&mut self, list: &str, bytes: &[u8], now: UtcTime, mono: MonoTime) -> Vec<Happening> {
        // An empty message is how a retained one is taken back: what is in force stays until it expires.
        if bytes.is_empty() {
            return Vec::new();
        }
        let bytes = bytes.trim_ascii();
        if self.lists.get(list).and_then(|k| k.incoming.as_ref()).is_some_and(|i| i.signed.bytes() == bytes) {
            return Vec::new();
        }
        let verified = SignedManifest::verify(bytes, &self.trust).map_err(|e| Refusal::of(e.to_string()));
        let (signed, outcome) = match verified {
            Err(refusal) => (None, Err(refusal)),
            Ok(signed) if signed.manifest().list != list => {
                let why = format!("it is for the list {:?}, but stands under {list:?}", signed.manifest().list);
                (Some(signed), Err(Refusal::of(why)))
            }
            Ok(signed) => {
                let outcome = self.judge(&signed, now, |m| m.parts().map(|(name, _)| name).collect(), false);
                (Some(signed), outcome)
            }
        };
        let about = |event| about(event, Way::Mqtt, Some(list), signed.as_ref());
        let number = signed.as_ref().map_or(0, |s| s.manifest().number);
        let mut said = Vec::new();
        match (outcome, self.lists.get_mut(list)) {
            (Ok(_), None) => {}
            (Ok(Verdict::Known), Some(kept)) => {
                // What is offered is what is in force: nothing is refused any more.
                if kept.incoming.is_none() {
                    kept.refusal = None;
                    kept.store.prune(&BTreeSet::new());
                }
            }
            (Ok(Verdict::Take(parts)), Some(kept)) => {
                // A version that is on its way in is given up for a newer one, or when it doesn't come.
                if kept.incoming.as_ref().is_some_and(|i| i.signed.manifest().number >= number && !i.stalled) {
                    return said;
                }
                kept.later = None;
                said.push(about(AuditEvent::HotlistReceived));
                // Invariant: what is to be taken was verified.
                let Some(signed) = signed.clone() else { return Vec::new() };
                kept.incoming = Some(Incoming::new(signed, parts, &kept.store));
                said.extend(self.finish(list, now, mono));
            }
            (Err(refusal), kept) => {
                let is_new = match kept {
                    None => self.strangers.is_new(list, bytes, refusal.passing, mono),
                    Some(kept) => {
                        if refusal.passing && kept.later.as_ref().is_none_or(|later| later.number <= number) {
                            kept.later = Some(Later { bytes: bytes.to_vec(), number, since: mono });
                        }
                        let is_new = kept.told.is_new(list, bytes, refusal.passing, mono);
                        // Looking again at what waits is no news, and must not hide what was refused since.
                        if is_new || !refusal.passing || kept.refusal.is_none() {
                            kept.refusal = Some((refusal.why.clone(), now));
                        }
                        is_new
                    }
                };
                if is_new {
                    said.push(Happening { reason: Some(refusal.why), ..about(AuditEvent::HotlistRefused) });
                }
            }
        }
        said
    }

    /// A retained chunk came.
    pub fn chunk(&mut self, list: &str, sha256: &str, bytes: &[u8], now: UtcTime, mono: MonoTime) -> Vec<Happening> {
        let Some(kept) = self.lists.get_mut(list) else { return Vec::new() };
        let Some(incoming) = kept.incoming.as_mut().filter(|i| i.missing.iter().any(|m| m == sha256)) else {
            return Vec::new();
        };
        let happening = about(AuditEvent::HotlistRefused, Way::Mqtt, Some(list), Some(&incoming.signed));
        let found = hex(&Sha256::digest(bytes));
        let (why, is_new) = if found != sha256 || bytes.len() as u64 > CHUNK_BYTES {
            let why = format!(
                "the chunk {sha256} came with another content ({} bytes, SHA-256 {found}); it is asked for again",
                bytes.len()
            );
            (why, incoming.spoilt.insert(sha256.to_owned()))
        } else {
            incoming.asked.remove(sha256);
            match kept.store.keep_chunk(sha256, bytes) {
                Ok(()) => {
                    incoming.missing.retain(|m| m != sha256);
                    incoming.stalled = false;
                    return self.finish(list, now, mono);
                }
                Err(e) => {
                    let why = format!("a chunk can't be kept: {e}; it is asked for again");
                    let is_new = kept.trouble.replace(why.clone()) != Some(why.clone());
                    (why, is_new)
                }
            }
        };
        kept.refusal = Some((why.clone(), now));
        is_new.then_some(Happening { reason: Some(why), ..happening }).into_iter().collect()
    }

    /// A sealed file was handed in; it is read and not kept. The answer's last happening says what became of it.
    pub fn file(&mut self, path: &Path, now: UtcTime) -> Vec<Happening> {
        let mut said = Vec::new();
        let opened = SealedFile::open(path, &self.trust).map_err(Refusal::from);
        let signed = opened.as_ref().ok().map(|file| file.signed().clone());
        let list = signed.as_ref().map(|s| s.manifest().list.clone());
        let about = |event| about(event, Way::File, list.as_deref(), signed.as_ref());
        let taken = opened.and_then(|file| {
            let in_file: Vec<String> = file.parts().map(|(name, _)| name.to_owned()).collect();
            match self.judge(file.signed(), now, |_| in_file.clone(), true)? {
                Verdict::Known => Ok(None),
                Verdict::Take(parts) => {
                    said.push(about(AuditEvent::HotlistReceived));
                    let id = file.signed().manifest().list.clone();
                    let kept = self.lists.get(&id).ok_or_else(|| Refusal::of("it is for another box"))?;
                    let mut draft = File::create(kept.store.draft())?;
                    SealedFile::begin(file.signed(), &parts, &mut draft)?;
                    for (n, (name, _)) in file.parts().enumerate() {
                        if parts.iter().any(|part| part == name) {
                            io::copy(&mut file.reader(n), &mut draft)?;
                        }
                    }
                    drop(draft);
                    self.apply(&id, Way::File).map(Some)
                }
            }
        });
        match taken {
            Ok(Some(hotlist)) => said.push(Happening { in_force: Some(hotlist), ..about(AuditEvent::HotlistApplied) }),
            Ok(None) => {
                let why = "this version is in force already; there is nothing to do".to_owned();
                said.push(Happening { reason: Some(why), ..about(AuditEvent::HotlistRefused) });
            }
            Err(refusal) => {
                if let Some(kept) = list.as_ref().and_then(|id| self.lists.get_mut(id)) {
                    kept.store.discard();
                    kept.refusal = Some((refusal.why.clone(), now));
                }
                said.push(Happening { reason: Some(refusal.why), ..about(AuditEvent::HotlistRefused) });
            }
        }
        said
    }

    /// Looks after what depends on time: expiry, chunks that did not come, what failed for want of disk or of the right time. Call it about
    /// once a second.
    pub fn tick(&mut self, now: UtcTime, mono: MonoTime) -> Vec<Happening> {
        let mut said = Vec::new();
        let ids: Vec<String> = self.lists.keys().cloned().collect();
        for id in &ids {
            let Some(kept) = self.lists.get_mut(id) else { continue };
            let expired = kept.in_force.as_ref().and_then(|f| f.hotlist.expires()).is_some_and(|expires| now >= expires);
            if let Some(in_force) = kept.in_force.as_ref().filter(|_| expired && !kept.expiry_told) {
                said.push(Happening {
                    number: Some(in_force.number),
                    entries: Some(in_force.hotlist.len() as u64),
                    reason: Some("it is past its expiry: nothing of it is matched until a newer version comes".into()),
                    ..about(AuditEvent::HotlistExpired, in_force.way, Some(id), None)
                });
            }
            kept.expiry_told = expired;
            if let Some(incoming) = &mut kept.incoming {
                incoming.rest(mono);
            }
            if let Some(later) = kept.later.take_if(|later| mono.since(later.since) >= TRY_AGAIN) {
                said.extend(self.manifest(id, &later.bytes, now, mono));
            }
            said.extend(self.finish(id, now, mono));
        }
        said
    }

    /// The chunks to be asked for now, by list: a few at a time. What is left out after it was in is not to be asked for until
    /// it is in again.
    pub fn wanted(&mut self, mono: MonoTime) -> Vec<(String, String)> {
        let mut wanted = Vec::new();
        for (id, kept) in &mut self.lists {
            let Some(incoming) = &mut kept.incoming else { continue };
            let resting = &incoming.resting;
            let asked = incoming.missing.iter().filter(|m| !resting.contains_key(*m)).take(ASKED_AT_ONCE);
            let asked = asked.map(|sha256| (sha256.clone(), incoming.asked.get(sha256).copied().unwrap_or(mono)));
            incoming.asked = asked.collect();
            wanted.extend(incoming.missing.iter().filter(|m| incoming.asked.contains_key(*m)).map(|m| (id.clone(), m.clone())));
        }
        wanted
    }

    /// How all lists stand, in the order of their ids.
    pub fn states(&self) -> Vec<ListState> {
        let state = |(id, kept): (&String, &Kept)| ListState {
            list: id.clone(),
            in_force: kept.in_force.as_ref().map(|f| (Arc::clone(&f.hotlist), f.content_sha256.clone())),
            incoming: kept.incoming.as_ref().map(|i| (i.signed.manifest().number, i.needed - i.missing.len(), i.needed)),
            refused: kept.refusal.clone(),
        };
        self.lists.iter().map(state).collect()
    }
}

fn about(event: AuditEvent, way: Way, list: Option<&str>, signed: Option<&SignedManifest>) -> Happening {
    Happening {
        event,
        way,
        list: list.map(str::to_owned),
        number: signed.map(|s| s.manifest().number),
        entries: signed.map(|s| s.manifest().entries),
        key: signed.map(|s| s.key().to_string()),
        reason: None,
        in_force: None,
    }
}

#[cfg(test)]
mod tests;
