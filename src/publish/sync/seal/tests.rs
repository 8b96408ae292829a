//! Sealed lists, there and back, and everything that must not come back.

use std::path::{Path, PathBuf};

use super::*;
use crate::anpr::hotlist::{Hotlist, HotlistEntry};
use crate::clock::UtcTime;
use crate::keys::{Identity, Recipient, SigningKey, TrustedKeys};
use crate::publish::sync::format::{self, Rows};
use crate::publish::sync::manifest::{CHUNK_BYTES, Manifest};
use crate::publish::sync::plain::{Plain, Source};

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

const OLD: &str =
    "vrm,action,priority,reason\nAB12CDE,stop,P0,stolen\nAB12CDF,assess,P2,\nAB12CDG,silent,P3,\nAB12CDO,silent,P3,\n";
const NEW: &str =
    "vrm,action,priority,reason\nAB12CDE,stop,P1,\"stolen, again\"\nAB12CDF,assess,P2,\nAB12CD0,silent,P3,\nAB12CDH,stop,P1,\n";

struct House {
    key: SigningKey,
    identity: Identity,
    to: Vec<Recipient>,
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let identity = Identity::generate();
        let to = identity.recipients().collect();
        Self { key: SigningKey::generate().unwrap(), identity, to, dir: tempfile::tempdir().unwrap() }
    }

    fn plan<'a>(&'a self, number: u64, base: Option<Base<'a>>) -> Plan<'a> {
        let created = UtcTime::parse("2026-11-22").unwrap();
        let expires = UtcTime::parse("2026-12-20").unwrap();
        Plan { list: "north", number, created, expires, key: &self.key, recipients: &self.to, full: true, base }
    }

    fn trust(&self) -> TrustedKeys {
        TrustedKeys::default().and(&self.key)
    }

    fn write(&self, name: &str, sealed: &Sealed) -> PathBuf {
        let path = self.dir.path().join(name);
        SealedFile::write(sealed, &mut std::fs::File::create(&path).unwrap()).unwrap();
        path
    }

    fn open(&self, path: &Path) -> Result<SealedFile, SealError> {
        SealedFile::open(path, &self.trust())
    }
}

fn sorted(list: &Hotlist) -> Vec<HotlistEntry> {
    let mut rows: Vec<_> = list.iter().collect();
    rows.sort_by_key(|row| row.wanted);
    rows
}

#[test]
fn a_list_and_its_deltas_come_back_as_they_went() {
    let house = House::new();
    let (old, new) = (rows(OLD), rows(NEW));
    let first = sealed_from(&old, &house.plan(41, None)).unwrap();
    let first = house.open(&house.write("41.sealed", &first)).unwrap();
    let plan = house.plan(42, Some(Base { rows: &old, sealed: &first }));
    let second = house.open(&house.write("42.sealed", &sealed_from(&new, &plan).unwrap())).unwrap();
    assert_eq!(second.parts().map(|(name, _)| name).collect::<Vec<_>>(), ["full", "step 41-42"]);

    let before = first.check_content(&house.identity).unwrap().unwrap();
    let manifest = second.signed().manifest();
    let whole = full_from(second.full().unwrap(), manifest, &house.identity).unwrap();
    assert_eq!((whole.version().version.as_str(), whole.expires()), ("42", Some(manifest.expires)));
    let (at, reader) = second.step(41).unwrap();
    let delta = delta_from(reader, &manifest.steps[at], &house.identity).unwrap();
    assert_eq!((delta.remove.len(), delta.add.len()), (3, 3), "AB12CDF stays, the look-alike CDO is another mark than CD0");
    let walked = before.changed(&delta, whole.version().clone()).unwrap();
    assert_eq!(sorted(&walked), sorted(&whole));
    for list in [&walked, &whole] {
        assert_eq!(format::content_sha256(list), manifest.content_sha256);
    }
    assert!(second.step(40).is_none());
}

#[test]
fn older_steps_are_carried_over_while_they_are_worth_it() {
    let house = House::new();
    let many: String = (0..4000).map(|n| format!("AB{n:04}{},stop,P1,{n}\n", ["C", "D", "E"][n % 3])).collect();
    let version = |n: u64| rows(&format!("vrm,action,priority,reason\n{many}ZZ{n},stop,P0,\n"));
    let mut base = house.open(&house.write("1", &sealed_from(&version(1), &house.plan(1, None)).unwrap())).unwrap();
    for n in 2..=5 {
        let old = version(n - 1);
        let plan = house.plan(n, Some(Base { rows: &old, sealed: &base }));
        let sealed = sealed_from(&version(n), &plan).unwrap();
        assert_eq!(sealed.carried as u64, n - 2);
        base = house.open(&house.write(&n.to_string(), &sealed)).unwrap();
    }
    assert_eq!(base.signed().manifest().steps.len(), 4);
    base.check_content(&house.identity).unwrap();
    // Others can't read what was encrypted before they came.
    let other = Identity::generate().recipients().next().unwrap();
    let to = [house.to[0].clone(), other];
    let old = version(5);
    let plan = Plan { recipients: &to, full: false, ..house.plan(6, Some(Base { rows: &old, sealed: &base })) };
    let sealed = sealed_from(&version(6), &plan).unwrap();
    assert_eq!((sealed.carried, sealed.parts.len(), sealed.signed.manifest().full.is_none()), (0, 1, true));
}

#[test]
fn a_base_that_is_not_the_version_before_is_refused() {
    let house = House::new();
    let (old, new) = (rows(OLD), rows(NEW));
    let first = house.open(&house.write("41", &sealed_from(&old, &house.plan(41, None)).unwrap())).unwrap();
    let refused = |plan: &Plan<'_>| sealed_from(&new, plan).unwrap_err().to_string();
    let base = |rows| Some(Base { rows, sealed: &first });
    assert!(refused(&house.plan(43, base(&old))).contains("the base is version 41, so the new one must be 42, not 43"));
    assert!(refused(&house.plan(42, base(&new))).contains("not those that version 41 was sealed from"));
    assert!(refused(&Plan { list: "south", ..house.plan(42, base(&old)) }).contains("the list \"north\", not \"south\""));
    assert!(refused(&Plan { recipients: &[], ..house.plan(42, None) }).contains("at least one recipient"));
    let said = sealed_from(&rows("vrm,action,priority\nAB1?,stop,P0\n"), &house.plan(1, None)).unwrap_err().to_string();
    assert!(said.contains("1 pattern(s)"), "{said}");
}

/// A list of several chunks that hardly pack.
fn long() -> Rows {
    let hash = |n: u32| format::hex(&<sha2::Sha256 as sha2::Digest>::digest(n.to_le_bytes()));
    let lines: String = (0..14_000).map(|n| format!("AB{n:05},stop,P1,{}\n", hash(n))).collect();
    rows(&format!("vrm,action,priority,reason\n{lines}"))
}

#[test]
fn no_byte_of_a_file_can_be_changed_and_the_answer_says_what() {
    let house = House::new();
    let sealed = sealed_from(&long(), &house.plan(1, None)).unwrap();
    let path = house.write("long", &sealed);
    let good = std::fs::read(&path).unwrap();
    let chunk = usize::try_from(CHUNK_BYTES).unwrap();
    let start = good.len() - sealed.parts[0].len();
    assert!(sealed.parts[0].len() > 2 * chunk, "{}", sealed.parts[0].len());
    let answer = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        house.open(&path).unwrap_err().to_string()
    };
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        answer(&bad)
    };
    assert!(flipped(3).contains("first line"), "{}", flipped(3));
    assert!(flipped(start - 5).contains("parts"), "{}", flipped(start - 5));
    assert!(flipped(start).contains("chunk 0 of its part \"full\" is damaged"), "{}", flipped(start));
    assert!(flipped(good.len() - 1).contains("chunk 2 of its part \"full\" is damaged"));
    for cut in [0, 5, 40, start - 1, start, start + 1, good.len() - 1] {
        let said = answer(&good[..cut]);
        let words = ["first line", "cut off", "missing"];
        assert!(words.iter().any(|w| said.contains(w)), "cut at {cut}: {said}");
    }
    assert!(answer(&[&good[..], b"x"].concat()).contains("1 bytes follow its end"));
    let swapped =
        [&good[..start], &good[start + chunk..start + 2 * chunk], &good[start..start + chunk], &good[start + 2 * chunk..]];
    let said = answer(&swapped.concat());
    assert!(said.contains("where chunk 0 of its part \"full\" should be stands chunk 1 of \"full\""), "{said}");
    assert!(answer(&vec![0; 1 << 20]).contains("it is no sealed list"));
    std::fs::write(&path, &good).unwrap();
    assert!(house.open(&path).is_ok());
    let said = SealedFile::open(&path, &TrustedKeys::default()).unwrap_err().to_string();
    assert!(said.contains("not trusted"), "{said}");
}

/// What a signer who makes mistakes (or worse) could sign: the payload of some content under a manifest about another.
#[test]
fn content_that_is_not_as_signed_is_refused_though_the_signature_is_good() {
    let house = House::new();
    let sealed = sealed_from(&rows(OLD), &house.plan(1, None)).unwrap();
    let good = sealed.signed.manifest();
    let read = |manifest: &Manifest, part: &[u8]| full_from(part, manifest, &house.identity).map(|list| list.len());
    assert!(matches!(read(good, &sealed.parts[0]), Ok(4)));
    let with = |spoil: &dyn Fn(&mut Manifest)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        read(&bad, &sealed.parts[0]).unwrap_err().to_string()
    };
    assert!(with(&|m| m.entries = 5).contains("4 rows, 5 were signed"));
    assert!(with(&|m| m.content_sha256 = "0".repeat(64)).contains("SHA-256 is another"));
    assert!(with(&|m| m.full.as_mut().unwrap().plain_bytes += 1).contains("were signed"));
    assert!(with(&|m| m.full.as_mut().unwrap().plain_bytes -= 1).contains("more than the"));
    assert!(with(&|m| m.full.as_mut().unwrap().bytes -= 1).contains("more than the"));
    assert!(with(&|m| m.full.as_mut().unwrap().sha256 = "0".repeat(64)).contains("another size or SHA-256"));
    for cut in [0, 1, 100, sealed.parts[0].len() - 1] {
        assert!(matches!(read(good, &sealed.parts[0][..cut]), Err(SealError::Damaged(_))), "cut at {cut}");
    }
    let stranger = Identity::generate();
    let said = full_from(&sealed.parts[0][..], good, &stranger).unwrap_err();
    assert!(matches!(said, SealError::NotForUs { .. }), "{said}");
    assert!(said.to_string().contains(&stranger.recipients().next().unwrap().to_string()));
    assert!(matches!(delta_from(&sealed.parts[0][..], &step(good), &house.identity), Err(SealError::Row { row: 0, .. })));
}

fn step(manifest: &Manifest) -> crate::publish::sync::manifest::Step {
    let hash = manifest.content_sha256.clone();
    crate::publish::sync::manifest::Step {
        from: 1,
        to: 2,
        from_content_sha256: hash.clone(),
        to_content_sha256: hash,
        to_entries: 4,
        payload: manifest.full.clone().unwrap(),
    }
}

#[test]
fn faulty_deltas_are_refused_by_row_and_name_no_mark() {
    let header = format!("op,{}\n", format::COLUMNS.join(","));
    let row = |op: &str, vrm: &str| format!("{op},{vrm},stop,P0{}\n", ",".repeat(16));
    for (rows, says) in [
        (String::new(), None),
        (row("add", "AB12CDE") + &row("remove", "AB12CDF"), None),
        (row("from", "AB12CDE") + &row("to", "AB12CDE"), None),
        (row("from", "AB12CDE") + &row("to", "AB12CDF"), Some("row 2 of the content breaks a pair")),
        (row("from", "AB12CDE"), Some("row 1 of the content is a from without its to")),
        (row("to", "AB12CDE"), Some("row 1 of the content breaks a pair")),
        (row("from", "AB12CDE") + &row("add", "AB12CDE"), Some("breaks a pair")),
        (row("add", "AB12CDF") + &row("add", "AB12CDE"), Some("row 2 of the content is out of order")),
        (row("change", "AB12CDE"), Some("unknown op")),
        (row("add", "AB1*"), Some("is a pattern")),
        (row("add", "ABCDEFGHIJKLMNO"), Some("row 1 of the content is faulty")),
        ("add,AB12CDE\n".into(), Some("right fields")),
        ("add".into(), Some("too long or cut off")),
        ("x".repeat(10_000), Some("too long or cut off")),
    ] {
        let answer = parse_delta(format!("{header}{rows}").as_bytes());
        match says {
            None => drop(answer.unwrap()),
            Some(says) => {
                let said = answer.unwrap_err().to_string();
                assert!(said.contains(says) && !said.contains("AB12"), "{rows:?}: {said}");
            }
        }
    }
}
