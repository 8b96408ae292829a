//! What must not get into force: the old list stays, the reason is told once, and nothing is left lying about.

use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::publish::sync::format::ContentSum;
use crate::publish::sync::manifest::Payload;

/// Offers a manifest as at one connection after the other: what was said in all.
fn offered_again_and_again(car: &mut Car, wire: &[u8]) -> Vec<Happening> {
    let mut said = Vec::new();
    for _ in 0..4 {
        said.extend(car.offer(wire));
        said.extend(car.wait(61));
    }
    said
}

/// Some content as a payload, with its bytes.
fn payload(content: &[u8], to: &[Recipient]) -> (Payload, Vec<u8>) {
    let to = to.iter().map(|r| -> &dyn age::Recipient { &r.0 });
    let stream = age::Encryptor::with_recipients(to).unwrap().wrap_output(Vec::new()).unwrap();
    let mut packed = GzEncoder::new(stream, Compression::fast());
    packed.write_all(content).unwrap();
    let bytes = packed.finish().unwrap().finish().unwrap();
    let chunk = usize::try_from(CHUNK_BYTES).unwrap();
    let chunks = bytes.chunks(chunk).map(|chunk| hex(&Sha256::digest(chunk))).collect();
    let plain_bytes = content.len() as u64;
    (Payload { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(&bytes)), plain_bytes, chunks }, bytes)
}

/// A version that the owner signed though its content is what `change` made of it.
fn signed_nonsense(number: u64, content: &[u8], to: &[Recipient], change: impl FnOnce(&mut Manifest)) -> Sealed {
    let (payload, bytes) = payload(content, to);
    let mut manifest = OWNER.version(number).signed.manifest().clone();
    manifest.steps.clear();
    let mut sum = ContentSum::default();
    content.split_inclusive(|b| *b == b'\n').skip(1).for_each(|row| sum.add(row));
    manifest.content_sha256 = sum.id();
    manifest.full = Some(payload);
    change(&mut manifest);
    Sealed { signed: SignedManifest::sign(manifest, &OWNER.key).unwrap(), parts: vec![bytes], carried: 0 }
}

fn only_deltas(m: &mut Manifest) {
    m.full = None;
    m.steps = m.steps.split_off(m.steps.len() - 1);
}

#[test]
fn a_bad_manifest_leaves_the_old_list_in_force_and_is_told_once() {
    let good = String::from_utf8(OWNER.wire(3).to_vec()).unwrap();
    let signature = |wire: &[u8]| serde_json::from_slice::<serde_json::Value>(wire).unwrap()["signature"].to_string();
    let wrong = good.replace(&signature(OWNER.wire(3)), &signature(OWNER.wire(4))).into_bytes();
    let unknown = SignedManifest::sign(OWNER.version(3).signed.manifest().clone(), &OWNER.stranger).unwrap();
    let random: Vec<u8> = (0u32..10).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
    let table: Vec<(Vec<u8>, &str)> = vec![
        (wrong, "the signature of the manifest is wrong"),
        (unknown.bytes().to_vec(), "which is not trusted here"),
        (OWNER.wire(1).to_vec(), "version 1 is older than version 2"),
        (
            OWNER.again(2, |m| (m.content_sha256, m.steps) = ("0".repeat(64), vec![])),
            "version 2 is in force already, with another",
        ),
        (
            OWNER.again(3, |m| (only_deltas(m), m.steps[0].from_content_sha256 = "0".repeat(64)).0),
            "(content 000000000000) on only; in force is version 2",
        ),
        (OWNER.again(5, only_deltas), "it has deltas from version 4"),
        (
            OWNER.again(3, |m| m.recipients = vec![Identity::generate().recipients().next().unwrap().to_string()]),
            "sealed for other boxes",
        ),
        (OWNER.again(3, |m| m.list = "south".into()), "it is for the list \"south\", but stands under \"voi\""),
        (OWNER.again(3, |m| (m.created, m.expires) = (utc("2026-11-01"), utc("2026-11-22"))), "expired at 2026-11-22"),
        (OWNER.again(3, |m| (m.created, m.expires) = (utc("2027-11-01"), utc("2027-11-22"))), "this clock is wrong"),
        (vec![0; 1000], "this is no signed manifest"),
        (b" ".to_vec(), "this is no signed manifest"),
        (random, "this is no signed manifest"),
        (vec![b'{'; 300 * 1024], "larger than 256 KiB"),
        (vec![b'['; 200 * 1024], "this is no signed manifest"),
        (good.into_bytes()[..700].to_vec(), "this is no signed manifest"),
    ];
    let mut car = Car::with(2);
    for (wire, says) in &table {
        let said = offered_again_and_again(&mut car, wire);
        assert!(said.len() == 1 && said[0].event == AuditEvent::HotlistRefused && said[0].way == Way::Mqtt, "{says}: {said:?}");
        assert!(why(&said).contains(says) && car.reason().contains(says), "{says:?} is missing from {:?}", car.reason());
        assert_eq!((car.version(), wanted(&mut car).len(), car.state().incoming), (2, 0, None), "{says}");
    }
    assert!(car.offer(OWNER.wire(2)).is_empty());
    assert_eq!(car.reason(), "", "what is in force is offered again: nothing is wrong any more");
    // What was in force is known after a restart too.
    car.restart();
    for (wire, says) in &table {
        offered_again_and_again(&mut car, wire);
        assert!(car.reason().contains(says) && car.version() == 2, "{says:?} is missing from {:?}", car.reason());
    }
    assert_eq!(
        (told(&car.take(OWNER.wire(3))), car.version(), car.reason()),
        (vec!["received 3".into(), "applied 3".into()], 3, String::new())
    );

    let mut fresh = Car::new();
    assert!(why(&offered_again_and_again(&mut fresh, &OWNER.again(3, only_deltas))).contains("a full list is needed"));
    assert_eq!((fresh.version(), told(&fresh.take(OWNER.wire(1)))), (0, vec!["received 1".into(), "applied 1".into()]));
}

#[test]
fn ever_new_junk_does_not_fill_the_audit_log_or_the_memory() {
    let mut car = Car::with(1);
    let junk = |car: &mut Car, list: &str, from: u32| {
        let each = (from..from + 2000).map(|n| car.keeper.manifest(list, &n.to_le_bytes(), noon(), car.mono).len());
        each.sum::<usize>()
    };
    assert_eq!(junk(&mut car, "of-another-box", 0), 64);
    assert_eq!((car.keeper.states().len(), car.keeper.lists.len()), (2, 2));
    assert_eq!(car.offer(b"own").len(), 1, "one list's junk hides nothing of another's");
    assert_eq!(junk(&mut car, "voi", 0), 63);
    assert!(car.reason().contains("no signed manifest") && car.version() == 1);
    car.wait(3600);
    assert_eq!(junk(&mut car, "voi", 5000), 64, "an hour later there is room again");
    let said = car.keeper.manifest("of-another-box", OWNER.wire(1), noon(), car.mono);
    assert!(said.iter().all(|h| h.list.as_deref() == Some("of-another-box") && h.event == AuditEvent::HotlistRefused));
    assert_eq!(told(&car.take(OWNER.wire(2))), ["received 2", "applied 2"]);
}

#[test]
fn a_bad_chunk_is_told_once_and_asked_for_again() {
    let mut car = Car::with(1);
    car.offer(OWNER.wire(2));
    let sha256 = wanted(&mut car).first().unwrap().clone();
    let good = car.chunks[&sha256].clone();
    let other = car.chunks[chunks_of(2, &["full"]).first().unwrap()].clone();
    let mut said = Vec::new();
    for bad in [&other[..], &good[..good.len() - 1], &[], &vec![0; 300 * 1024], &[&good[..], b"x"].concat()] {
        said.extend(car.keeper.chunk("voi", &sha256, bad, noon(), car.mono));
        assert!(car.reason().contains("came with another content") && car.reason().contains(&sha256), "{}", car.reason());
        assert_eq!((car.version(), car.state().incoming), (1, Some((2, 0, 1))));
    }
    assert_eq!(told(&said), ["refused 2"]);
    for (list, name) in [("voi", "../../chain.json"), ("voi", ""), ("long", &sha256), ("none", &sha256)] {
        assert!(car.keeper.chunk(list, name, &good, noon(), car.mono).is_empty(), "nobody asked for it");
    }
    assert_eq!((car.files("parts").len(), car.files("").len()), (0, 3));
    car.wait(30);
    car.wait(2);
    assert!(wanted(&mut car).contains(&sha256));
    assert_eq!((told(&car.fetch()), car.reason(), car.version()), (vec!["applied 2".into()], String::new(), 2));
}

/// The owner's program has a fault, or his key is in wrong hands: the manifest is good, the content isn't.
#[test]
fn signed_nonsense_is_refused_once_it_was_fetched_and_not_fetched_again() {
    let mut plain = Vec::new();
    version(3, 5).write(&mut plain).unwrap();
    let text = String::from_utf8(plain.clone()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(2, 3);
    let unsorted = format!("{}\n", lines.join("\n"));
    let (to, stranger) = (OWNER.to(), Identity::generate().recipients().collect::<Vec<_>>());
    let seven = |m: &mut Manifest| m.entries = 7;
    let table: Vec<(Sealed, &str)> = vec![
        (signed_nonsense(3, &plain, &stranger, seven), "encrypted for other boxes"),
        (signed_nonsense(3, &plain, &to, |m| m.entries = 8), "7 rows, 8 were signed"),
        (signed_nonsense(3, &plain, &to, |m| (seven(m), m.content_sha256 = "0".repeat(64)).0), "its SHA-256 is another"),
        (signed_nonsense(3, text.replace("stop", "halt").as_bytes(), &to, seven), "row 1 of the content is faulty"),
        (signed_nonsense(3, text.replace("AB00003", "AB000*").as_bytes(), &to, seven), "of the content is a pattern"),
        (signed_nonsense(3, unsorted.as_bytes(), &to, seven), "is out of order or there twice"),
        (signed_nonsense(3, &plain[..plain.len() - 9], &to, seven), "cut off"),
        (signed_nonsense(3, b"", &to, |m| m.entries = 0), "is not the header"),
        (signed_nonsense(3, &plain, &to, |m| (seven(m), m.full.as_mut().unwrap().plain_bytes += 1).0), "were signed"),
        (
            signed_nonsense(3, &plain, &to, |m| (seven(m), m.full.as_mut().unwrap().sha256 = "0".repeat(64)).0),
            "has another SHA-256",
        ),
        (signed_nonsense(3, &plain, &to, |m| (seven(m), m.full.as_mut().unwrap().bytes += 1).0), "bytes, signed are"),
    ];
    let mut car = Car::with(2);
    for (sealed, says) in &table {
        car.publish(sealed);
        let said = car.take(sealed.signed.bytes());
        assert_eq!(told(&said), ["received 3", "refused 3"], "{says}");
        assert!(why(&said).contains(says) && car.reason().contains(says), "{says:?} is missing from {:?}", car.reason());
        let again = offered_again_and_again(&mut car, sealed.signed.bytes());
        assert_eq!((told(&again), wanted(&mut car).len(), car.version()), (vec![], 0, 2), "{says}");
        assert!(car.reason().contains(says));
        assert_eq!(
            (car.files(""), car.files("parts").len()),
            (vec!["2-0.sealed".into(), "chain.json".into(), "parts".into()], 0)
        );
    }
    // At hand in a file it is looked at anew, and refused anew.
    let path = car.dir.path().join("x");
    write(&table[0].0, &path);
    let said = car.keeper.file(&path, noon());
    assert_eq!(told(&said), ["received 3", "refused 3"]);
    assert!(why(&said).contains("encrypted for other boxes") && car.files("").len() == 3);
    assert_eq!((told(&car.take(OWNER.wire(3))), car.reason()), (vec!["received 3".into(), "applied 3".into()], String::new()));
}

#[test]
fn a_delta_that_does_not_fit_though_it_was_signed_is_replaced_by_the_whole_list() {
    let mut wrong = b"op,".to_vec();
    rows("vrm,action,priority\n").write(&mut wrong).unwrap();
    let says = "another content than was signed";
    for row in ["remove,NOT1,stop,P0", "add,NEW1,stop,P0", ""] {
        let mut content = wrong.clone();
        if !row.is_empty() {
            content.extend(format!("{row}{}\n", ",".repeat(16)).bytes());
        }
        let (payload, bytes) = payload(&content, &OWNER.to());
        let mut car = Car::with(2);
        car.chunks.insert(payload.chunks[0].clone(), bytes.clone());
        let whole = OWNER.again(3, |m| m.steps.last_mut().unwrap().payload = payload.clone());
        let said = car.take(&whole);
        assert_eq!(
            (told(&said), car.version(), car.reason()),
            (vec!["received 3".into(), "refused 3".into(), "applied 3".into()], 3, String::new()),
            "{row}"
        );
        assert!(why(&said).contains("the whole list is fetched instead"), "{}", why(&said));
        // Without a whole list it stays at the old one, and doesn't try for ever.
        let mut car = Car::with(2);
        car.chunks.insert(payload.chunks[0].clone(), bytes);
        let wire = OWNER.again(3, |m| {
            only_deltas(m);
            m.steps[0].payload = payload.clone();
        });
        assert_eq!((told(&car.take(&wire)), car.version()), (vec!["received 3".into(), "refused 3".into()], 2), "{row}");
        assert!(car.reason().contains(says), "{says:?} is missing from {:?}", car.reason());
        assert_eq!((told(&offered_again_and_again(&mut car, &wire)), wanted(&mut car).len()), (vec![], 0));
    }
}

#[test]
fn a_box_whose_clock_is_not_set_takes_the_list_by_itself_once_it_is() {
    let mut car = Car::new();
    let unset = utc("2000-01-01");
    let said = car.keeper.manifest("voi", OWNER.wire(1), unset, at(1));
    assert!(told(&said) == ["refused 1"] && why(&said).contains("this clock is wrong"), "{said:?}");
    assert!(car.keeper.manifest("voi", OWNER.wire(1), unset, at(5)).is_empty());
    for second in 2..200 {
        assert!(car.keeper.tick(unset, at(second)).is_empty(), "told once");
    }
    let said: Vec<_> = (200..262).flat_map(|second| car.keeper.tick(noon(), at(second))).collect();
    assert_eq!(told(&said), ["received 1"]);
    assert_eq!((told(&car.fetch()), car.version(), car.reason()), (vec!["applied 1".into()], 1, String::new()));
    assert!((262..400).all(|second| car.keeper.tick(noon(), at(second)).is_empty()));

    // The clock is lost while the list is in force: it is loaded, and its manifest is nothing bad.
    car.restart();
    assert!(car.keeper.manifest("voi", OWNER.wire(1), unset, at(1)).is_empty() && car.reason().is_empty());
    // It is lost while chunks come: they are kept, and what is whole is taken later.
    car.offer(OWNER.wire(2));
    let sha256 = wanted(&mut car).first().unwrap().clone();
    let chunk = car.chunks[&sha256].clone();
    let said = car.keeper.chunk("voi", &sha256, &chunk, unset, at(500));
    assert!(told(&said) == ["refused 2"] && why(&said).contains("this clock is wrong"));
    assert!(
        (501..600u64).all(|second| car.keeper.tick(unset.plus_micros(second.cast_signed()), at(second)).is_empty()),
        "told once"
    );
    let said: Vec<_> = (600..662).flat_map(|second| car.keeper.tick(noon(), at(second))).collect();
    assert_eq!((told(&said), car.version()), (vec!["applied 2".into()], 2));
}

#[test]
fn a_list_that_expires_on_its_way_in_is_given_up() {
    let mut car = Car::with(1);
    car.offer(OWNER.wire(2));
    let late = utc("2026-12-20");
    let said = car.keeper.tick(late, at(200));
    assert_eq!(told(&said), ["expired 1", "refused 2"]);
    assert!(car.reason().contains("version 2 expired at") && wanted(&mut car).is_empty() && car.files("parts").is_empty());
    assert!(car.keeper.manifest("voi", OWNER.wire(2), late, at(300)).is_empty(), "told once");
    assert!(car.keeper.tick(late, at(400)).is_empty());
    // A clock that was wrong and is right again.
    assert_eq!(told(&car.offer(OWNER.wire(2))), ["received 2"]);
}

#[test]
fn a_bad_file_is_refused_quickly_and_leaves_nothing_behind() {
    let mut car = Car::with(2);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.sealed");
    let good = std::fs::read(OWNER.file(3)).unwrap();
    let refused = |car: &mut Car, path: &Path, says: &str| {
        let start = Instant::now();
        let said = car.keeper.file(path, noon());
        assert!(start.elapsed() < Duration::from_secs(2), "{says}: {:?}", start.elapsed());
        assert_eq!((said.last().unwrap().event, said.last().unwrap().way), (AuditEvent::HotlistRefused, Way::File), "{says}");
        assert!(why(&said).contains(says), "{says:?} is missing from {:?}", why(&said));
        assert!(said.iter().all(|h| h.in_force.is_none()) && inbox::answer(said.last().unwrap()).starts_with("refused: "));
        assert_eq!((car.version(), car.files("").len()), (2, 3), "{says}");
    };
    File::create(&path).unwrap().set_len(2 << 30).unwrap();
    refused(&mut car, &path, "it is no sealed list");
    let mut sparse = File::create(&path).unwrap();
    sparse.write_all(&good).unwrap();
    sparse.set_len(2 << 30).unwrap();
    refused(&mut car, &path, "bytes follow its end");
    std::fs::write(&path, "kerbside-hotlist/1\n".repeat(100_000)).unwrap();
    refused(&mut car, &path, "this is no signed manifest");
    for cut in (0..good.len()).step_by(1 + good.len() / 150).chain([good.len() - 1]) {
        std::fs::write(&path, &good[..cut]).unwrap();
        refused(&mut car, &path, "");
    }
    refused(&mut car, &OWNER.file(1), "version 1 is older than version 2");
    refused(&mut car, &OWNER.file(2), "in force already");
    refused(&mut car, &dir.path().join("none"), "it can't be read");
    refused(&mut car, dir.path(), "it is no plain file");
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&mut car, &pipe, "it is no plain file");
    write(&OWNER.seal("south", 1, &version(1, 1), &OWNER.to()), &path);
    refused(&mut car, &path, "the list \"south\" is none of this box's");
    write(&OWNER.seal("voi", 3, &version(1, 1), &Identity::generate().recipients().collect::<Vec<_>>()), &path);
    refused(&mut car, &path, "sealed for other boxes");
    // A delta alone: good on its base and on no other.
    let alone = |number: u64| {
        let Sealed { signed, parts, .. } = OWNER.version(number);
        let mut file = File::create(&path).unwrap();
        SealedFile::begin(signed, &[format!("step {}-{number}", number - 1)], &mut file).unwrap();
        file.write_all(parts.last().unwrap()).unwrap();
    };
    alone(4);
    refused(&mut car, &path, "a full list is needed");
    alone(3);
    assert_eq!(told(&car.keeper.file(&path, noon())), ["received 3", "applied 3"]);
    assert_eq!(car.version(), 3);
    let said = car.keeper.file(&path, noon());
    assert!(why(&said).contains("in force already"), "a replayed delta: {said:?}");
}

#[test]
fn files_handed_in_are_answered_and_never_served_twice() {
    let mut car = Car::with(2);
    let folder = car.dir.path().join(inbox::FOLDER);
    let turn = |car: &mut Car| {
        let mut served = 0;
        inbox::serve(&folder, |file| {
            served += 1;
            car.keeper.file(file, noon()).last().map(inbox::answer)
        });
        served
    };
    std::fs::copy(OWNER.file(3), folder.join("a.sealed")).unwrap();
    std::fs::write(folder.join("b.sealed"), "junk").unwrap();
    std::fs::write(folder.join("c.part"), "not yet").unwrap();
    std::fs::create_dir(folder.join("d.sealed")).unwrap();
    // What can't be answered must not be served for ever.
    std::fs::create_dir_all(folder.join("e.answer/x")).unwrap();
    std::fs::write(folder.join("e.sealed"), "junk").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(folder.join("f.sealed")).status().unwrap().success());
    assert_eq!((turn(&mut car), turn(&mut car), car.version()), (3, 0, 3));
    let answer = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(answer("a.answer").starts_with("taken: version 3 of the list voi"), "{}", answer("a.answer"));
    assert!(answer("b.answer").contains("refused: ") && answer("b.answer").contains("no sealed list"), "{}", answer("b.answer"));
    assert!(!folder.join("a.sealed").exists() && !folder.join("e.sealed").exists() && folder.join("c.part").exists());

    let junk = car.dir.path().join("junk");
    File::create(&junk).unwrap().set_len(2 << 30).unwrap();
    let said = inbox::hand_in(&folder, &junk, Duration::from_secs(1)).unwrap();
    assert!(said.starts_with("refused: ") && said.contains("junk") && said.contains("no sealed list"), "{said}");
    let file = OWNER.file(4);
    let handed = std::thread::spawn({
        let folder = folder.clone();
        move || inbox::hand_in(&folder, &file, Duration::from_secs(20)).unwrap()
    });
    while !handed.is_finished() {
        turn(&mut car);
    }
    assert_eq!(handed.join().unwrap(), "taken: version 4 of the list voi is in force, 1002 entries");
    assert!(inbox::hand_in(&folder, &OWNER.file(5), Duration::from_millis(1)).unwrap_err().to_string().contains("no answer"));
    assert_eq!(turn(&mut car), 0, "what nobody waits for any more is taken back");
}
