//! The keeper, fed by hand: no network, and the time is what we say.
//!
//! | file | what it asks |
//! |---|---|
//! | this one | an owner who seals lists, and a box that takes them |
//! | `way` | the way of a list into force: whole, by deltas, in pieces, out of force again |
//! | `bad_input` | everything that must not get into force |
//! | `crash` | what is on disk, whatever happened to it |

mod bad_input;
mod crash;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use super::*;
use crate::anpr::hotlist::HotlistEntry;
use crate::keys::{Recipient, SigningKey};
use crate::publish::sync::format::{self, Rows};
use crate::publish::sync::manifest::Manifest;
use crate::publish::sync::plain::{Plain, Source};
use crate::publish::sync::seal::{Base, Plan, Sealed, sealed_from};

/// Versions of the list `voi` that the owner makes: each changes a few rows of the one before.
const VERSIONS: u64 = 6;

/// The owner of a list: keys, and versions 1.. of it, each with the deltas since 1.
struct Owner {
    key: SigningKey,
    stranger: SigningKey,
    identity: Identity,
    /// Sealed files of the versions.
    dir: tempfile::TempDir,
    versions: Vec<Sealed>,
    /// Version 1 of the list `long`: more chunks than are asked for at one time.
    long: Sealed,
}

static OWNER: LazyLock<Owner> = LazyLock::new(Owner::new);

fn rows(text: &str) -> Rows {
    let (mut rows, mut entry) = (Rows::default(), format::blank());
    let mut source = Plain::open(text.as_bytes()).unwrap();
    while let Some((line, row)) = source.next_row(&mut entry).unwrap() {
        row.unwrap();
        rows.push(&entry, line);
    }
    rows.sort();
    rows
}

/// `many` rows that hardly pack, and a few that differ from version to version.
fn version(number: u64, many: u32) -> Rows {
    let hash = |n: u32| hex(&Sha256::digest(n.to_le_bytes()));
    let lines: String = (0..many).map(|n| format!("AB{n:05},stop,P1,{}{}\n", hash(n), hash(!n))).collect();
    rows(&format!("vrm,action,priority,reason\n{lines}EV3R,stop,P0,v{number}\nV{number},assess,P2,new\n"))
}

fn utc(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

fn noon() -> UtcTime {
    utc("2026-11-22T12:00:00Z")
}

fn at(seconds: u64) -> MonoTime {
    MonoTime::default().plus(Duration::from_secs(seconds))
}

impl Owner {
    fn new() -> Self {
        let identity = Identity::generate();
        let to: Vec<Recipient> = identity.recipients().collect();
        let key = SigningKey::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let trust = TrustedKeys::default().and(&key);
        let (created, expires) = (utc("2026-11-22"), utc("2026-12-20"));
        let plan = |list| Plan { list, number: 1, created, expires, key: &key, recipients: &to, full: true, base: None };
        let mut versions: Vec<Sealed> = Vec::new();
        for number in 1..=VERSIONS {
            let old = version(number - 1, 1000);
            let before = dir.path().join(format!("{}.sealed", number - 1));
            let before = (number > 1).then(|| SealedFile::open(&before, &trust).unwrap());
            let base = before.as_ref().map(|sealed| Base { rows: &old, sealed });
            let sealed = sealed_from(&version(number, 1000), &Plan { base, number, ..plan("voi") }).unwrap();
            write(&sealed, &dir.path().join(format!("{number}.sealed")));
            versions.push(sealed);
        }
        let long = sealed_from(&version(1, 45_000), &plan("long")).unwrap();
        assert!(long.signed.manifest().full.as_ref().unwrap().chunks.len() > ASKED_AT_ONCE + 2);
        Self { stranger: SigningKey::generate().unwrap(), key, identity, dir, versions, long }
    }

    fn version(&self, number: u64) -> &Sealed {
        &self.versions[usize::try_from(number).unwrap() - 1]
    }

    fn file(&self, number: u64) -> PathBuf {
        self.dir.path().join(format!("{number}.sealed"))
    }

    fn wire(&self, number: u64) -> &[u8] {
        self.version(number).signed.bytes()
    }

    /// Rows as a sealed list of its own, without a version before.
    fn seal(&self, list: &str, number: u64, rows: &Rows, to: &[Recipient]) -> Sealed {
        let (created, expires) = (utc("2026-11-22"), utc("2026-12-20"));
        let plan = Plan { list, number, created, expires, key: &self.key, recipients: to, full: true, base: None };
        sealed_from(rows, &plan).unwrap()
    }

    fn to(&self) -> Vec<Recipient> {
        self.identity.recipients().collect()
    }

    /// A version's manifest, changed and signed again by the owner.
    fn again(&self, number: u64, change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
        let mut manifest = self.version(number).signed.manifest().clone();
        change(&mut manifest);
        SignedManifest::sign(manifest, &self.key).unwrap().bytes().to_vec()
    }
}

fn write(sealed: &Sealed, path: &Path) {
    SealedFile::write(sealed, &mut File::create(path).unwrap()).unwrap();
}

/// A box, and the broker that it hears.
struct Car {
    dir: tempfile::TempDir,
    keeper: Keeper,
    /// Chunks at the broker.
    chunks: BTreeMap<String, Vec<u8>>,
    mono: MonoTime,
}

impl Car {
    /// With every chunk of every version at the broker.
    fn new() -> Self {
        let mut car = Self::in_dir(tempfile::tempdir().unwrap());
        assert!(car.keeper.load(noon()).is_empty());
        car
    }

    /// Over a folder that is there; nothing is loaded yet.
    fn in_dir(dir: tempfile::TempDir) -> Self {
        let keeper = open(dir.path());
        Self { keeper, ..Self::around(dir) }
    }

    fn around(dir: tempfile::TempDir) -> Self {
        let mut car = Self { keeper: off(), dir, chunks: BTreeMap::new(), mono: at(100) };
        OWNER.versions.iter().chain([&OWNER.long]).for_each(|sealed| car.publish(sealed));
        car
    }

    /// The same over a folder that stays when the car is gone.
    fn at(dir: &Path) -> Self {
        Self { keeper: open(dir), ..Self::around(tempfile::tempdir().unwrap()) }
    }

    /// With a version in force that came over MQTT.
    fn with(number: u64) -> Self {
        let mut car = Self::new();
        assert_eq!(told(&car.take(OWNER.wire(number))), [format!("received {number}"), format!("applied {number}")]);
        car
    }

    fn publish(&mut self, sealed: &Sealed) {
        for ((_, payload), bytes) in sealed.signed.manifest().parts().zip(&sealed.parts) {
            let chunks = bytes.chunks(usize::try_from(CHUNK_BYTES).unwrap());
            self.chunks.extend(payload.chunks.iter().cloned().zip(chunks.map(<[u8]>::to_vec)));
        }
    }

    /// A manifest on the topic of `voi`.
    fn offer(&mut self, wire: &[u8]) -> Vec<Happening> {
        self.keeper.manifest("voi", wire, noon(), self.mono)
    }

    /// A manifest and then every chunk that is asked for.
    fn take(&mut self, wire: &[u8]) -> Vec<Happening> {
        let mut said = self.offer(wire);
        said.extend(self.fetch());
        said
    }

    /// Gives the box what it asks for, until it asks for nothing that the broker has.
    fn fetch(&mut self) -> Vec<Happening> {
        let mut said = Vec::new();
        loop {
            let wanted = self.keeper.wanted(self.mono);
            let here: Vec<_> = wanted.iter().filter(|(_, sha256)| self.chunks.contains_key(sha256)).collect();
            if here.is_empty() {
                return said;
            }
            for (list, sha256) in here {
                said.extend(self.keeper.chunk(list, sha256, &self.chunks[sha256], noon(), self.mono));
            }
        }
    }

    /// The box is switched off and on again.
    fn restart(&mut self) -> Vec<Happening> {
        self.keeper = off();
        self.keeper = open(self.dir.path());
        self.keeper.load(noon())
    }

    fn wait(&mut self, seconds: u64) -> Vec<Happening> {
        self.mono = self.mono.plus(Duration::from_secs(seconds));
        self.keeper.tick(noon(), self.mono)
    }

    fn state(&self) -> ListState {
        self.keeper.states().into_iter().find(|s| s.list == "voi").unwrap()
    }

    fn in_force(&self) -> Option<Arc<Hotlist>> {
        self.state().in_force.map(|(list, _)| list)
    }

    fn reason(&self) -> String {
        self.state().refused.map_or_else(String::new, |(why, _)| why)
    }

    /// Version in force whose every row is as its owner made it; 0 when none is.
    fn version(&self) -> u64 {
        let Some((list, content)) = self.state().in_force else { return 0 };
        let number: u64 = list.version().version.parse().unwrap();
        let manifest = OWNER.version(number).signed.manifest();
        assert_eq!((&content, &format::content_sha256(&list)), (&manifest.content_sha256, &manifest.content_sha256));
        assert_eq!((list.created(), list.expires()), (Some(manifest.created), Some(manifest.expires)));
        number
    }

    /// Names in the folder of the list, or below it.
    fn files(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder().join(below)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("voi")
    }
}

/// A keeper of nothing, in place of one whose folder is to be let go.
fn off() -> Keeper {
    open(tempfile::tempdir().unwrap().path())
}

/// Opens a folder that nobody holds any more. (Another test that is just starting a process holds what is open here for a moment.)
fn open(dir: &Path) -> Keeper {
    let patience = std::time::Instant::now();
    loop {
        match open_once(dir) {
            Err(KeeperError::Held { .. }) if patience.elapsed() < Duration::from_secs(10) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn open_once(dir: &Path) -> Result<Keeper, KeeperError> {
    Keeper::open(KeeperOptions {
        lists: vec!["voi".into(), "long".into()],
        trust: TrustedKeys::default().and(&OWNER.key),
        identity: OWNER.identity.clone(),
        dir: dir.to_owned(),
    })
}

/// What happened, without the reasons.
fn told(said: &[Happening]) -> Vec<String> {
    let word = |h: &Happening| format!("{:?} {}", h.event, h.number.unwrap_or(0)).replace("Hotlist", "").to_lowercase();
    said.iter().map(word).collect()
}

fn why(said: &[Happening]) -> String {
    said.iter().filter_map(|h| h.reason.clone()).collect::<Vec<_>>().join("; ")
}

fn sorted(list: &Hotlist) -> Vec<HotlistEntry> {
    let mut rows: Vec<_> = list.iter().collect();
    rows.sort_by_key(|row| (row.wanted, row.action));
    rows
}

/// Chunks of parts of a version.
fn chunks_of(number: u64, parts: &[&str]) -> BTreeSet<String> {
    let manifest = OWNER.version(number).signed.manifest();
    manifest.parts().filter(|(name, _)| parts.contains(&&**name)).flat_map(|(_, payload)| payload.chunks.clone()).collect()
}

fn wanted(car: &mut Car) -> BTreeSet<String> {
    car.keeper.wanted(car.mono).into_iter().map(|(_, sha256)| sha256).collect()
}
