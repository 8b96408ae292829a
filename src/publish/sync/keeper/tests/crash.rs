//! What is on disk, whatever happened to it: killed half-way, damaged, full. The box finds the old list or the new one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "KERBSIDE_TEST_FOLDER";
const CHILD: &str = "publish::sync::keeper::tests::crash::a_box_that_takes_version_after_version_until_it_is_killed";

/// Copies a folder as it is.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The child of the test below.
#[test]
#[ignore = "it is started and killed by the test below"]
fn a_box_that_takes_version_after_version_until_it_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut keeper = Keeper::open(KeeperOptions {
        lists: vec!["voi".into()],
        trust: TrustedKeys::load(&[dir.join("key.pem")]).unwrap(),
        identity: Identity::load(&dir.join("identity"), false).unwrap(),
        dir: dir.join("lists"),
    })
    .unwrap();
    keeper.load(noon());
    writeln!(std::io::stdout(), "ready").unwrap();
    for number in 1..=VERSIONS {
        let path = dir.join(format!("{number}.sealed"));
        // By a file, so whole; or as it comes over MQTT, so by deltas.
        if dir.join("by-file").exists() {
            keeper.file(&path, noon());
            continue;
        }
        let file = SealedFile::open(&path, &keeper.trust).unwrap();
        keeper.manifest("voi", file.signed().bytes(), noon(), at(1));
        while let Some((_, sha256)) = keeper.wanted(at(1)).pop() {
            let parts = file.signed().manifest().parts();
            let part = parts.into_iter().position(|(_, payload)| payload.chunks.contains(&sha256)).unwrap();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut file.reader(part), &mut bytes).unwrap();
            keeper.chunk("voi", &sha256, &bytes, noon(), at(1));
        }
    }
    std::thread::park();
}

#[test]
fn a_box_killed_at_any_moment_has_a_whole_list_that_is_no_older_than_before() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key.pem"), OWNER.key.public_pem()).unwrap();
    fs::write(dir.path().join("identity"), &**OWNER.identity.to_file()).unwrap();
    for number in 1..=VERSIONS {
        fs::copy(OWNER.file(number), dir.path().join(format!("{number}.sealed"))).unwrap();
    }
    let lists = dir.path().join("lists");
    let (mut before, mut seen) = (0, BTreeSet::new());
    // On a slow machine all of the first pauses may end at the same place: then there are more of them, and longer ones.
    for round in 0..150u64 {
        if round >= 30 && seen.len() > 2 {
            break;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD, "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("ready")));
        std::thread::sleep(Duration::from_micros(round * 7919 % 40_000 * (1 + round / 30)));
        child.kill().unwrap();
        child.wait().unwrap();

        let mut car = Car::at(&lists);
        let said = car.keeper.load(noon());
        assert!(said.iter().all(|h| h.event == AuditEvent::HotlistApplied), "round {round}: {said:?}");
        let version = car.version();
        assert!(version >= before, "round {round}: {before} became {version}");
        seen.insert(version);
        before = version;
        if version == VERSIONS {
            drop(car);
            fs::remove_dir_all(&lists).unwrap();
            before = 0;
            if fs::remove_file(dir.path().join("by-file")).is_err() {
                fs::write(dir.path().join("by-file"), "").unwrap();
            }
        }
    }
    assert!(seen.len() > 2, "killed always at the same place: {seen:?}");
}

/// Every state of the folder that a kill between two effects on it leaves, made by hand.
#[test]
fn every_prefix_of_an_apply_is_the_old_list_or_the_new_one() {
    for whole in [false, true] {
        let (old, mut new) = (Car::with(2), Car::with(2));
        if whole {
            new.keeper.file(&OWNER.file(3), noon());
        } else {
            new.take(OWNER.wire(3));
        }
        assert_eq!(new.version(), 3);
        let sealed = fs::read(new.folder().join("3-0.sealed")).unwrap();
        let chain = fs::read(new.folder().join("chain.json")).unwrap();
        let chunk = chunks_of(3, &["step 2-3"]).first().unwrap().clone();
        let part = old.chunks[&chunk].clone();
        let put = |dir: &Path, name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
        for step in 0..9 {
            let car = tempfile::tempdir().unwrap();
            let dir = car.path().join("voi");
            copy(&old.folder(), &dir);
            match step {
                0 => put(&dir, "parts/incoming.tmp", &part[..50]),
                _ => put(&dir, &format!("parts/{chunk}"), &part),
            }
            match step {
                2 => put(&dir, "incoming.sealed", b""),
                3 => put(&dir, "incoming.sealed", &sealed[..sealed.len() / 2]),
                4 => put(&dir, "incoming.sealed", &sealed),
                5.. => put(&dir, "3-0.sealed", &sealed),
                _ => {}
            }
            match step {
                6 => put(&dir, "chain.tmp", &chain[..20]),
                7 => put(&dir, "chain.tmp", &chain),
                8 => put(&dir, "chain.json", &chain),
                _ => {}
            }
            let mut car = Car::in_dir(car);
            let said = car.keeper.load(noon());
            let version = if step < 8 { 2 } else { 3 };
            assert_eq!((told(&said), car.version(), car.reason()), (vec![format!("applied {version}")], version, String::new()));
            assert_eq!(car.files("").len(), if step < 8 || whole { 3 } else { 4 }, "step {step}: {:?}", car.files(""));
            car.take(OWNER.wire(3));
            assert_eq!((car.version(), car.files("parts").len()), (3, 0), "step {step}");
            assert_eq!(told(&car.restart()), ["applied 3"]);
            assert_eq!(car.version(), 3);
        }
    }
}

#[test]
fn a_lost_chain_file_loses_neither_the_list_nor_the_floor() {
    let mut new = Car::with(1);
    new.take(OWNER.wire(2));
    new.take(OWNER.wire(3));
    let files = new.files("");
    type Spoil = fn(&Path);
    let spoils: [Spoil; 6] = [
        |chain| fs::remove_file(chain).unwrap(),
        |chain| fs::write(chain, "").unwrap(),
        |chain| fs::write(chain, &fs::read(chain).unwrap()[..30]).unwrap(),
        |chain| fs::write(chain, [0; 200]).unwrap(),
        |chain| fs::write(chain, fs::read_to_string(chain).unwrap().replace("chain/1", "chain/9")).unwrap(),
        |chain| fs::write(chain, r#"{"schema":"kerbside.hotlist_chain/1","number":-1,"files":[]}"#).unwrap(),
    ];
    for (n, spoil) in spoils.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy(&new.folder(), &dir.path().join("voi"));
        spoil(&dir.path().join("voi/chain.json"));
        let mut car = Car::in_dir(dir);
        assert_eq!(
            (told(&car.keeper.load(noon())), car.version(), car.files("")),
            (vec!["applied 3".into()], 3, files.clone()),
            "{n}"
        );
        assert!(why(&car.offer(OWNER.wire(2))).contains("older than version 3"));
        assert_eq!((told(&car.restart()), car.version()), (vec!["applied 3".into()], 3), "{n}: written anew");

        // And the full list is damaged too: then only the number is left of it.
        spoil(&car.folder().join("chain.json"));
        fs::write(car.folder().join("1-0.sealed"), "").unwrap();
        let said = car.restart();
        assert!(told(&said) == ["refused 0"] && why(&said).contains("chain.json is"), "{n}: {said:?}");
        for _ in 0..2 {
            assert!(why(&car.offer(OWNER.wire(2))).contains("older than version 3"), "{n}");
            car.restart();
        }
        assert_eq!((told(&car.take(OWNER.wire(3))), car.version()), (vec!["received 3".into(), "applied 3".into()], 3), "{n}");
    }
}

#[test]
fn a_list_damaged_at_rest_is_told_fetched_again_and_never_replaced_by_an_older_one() {
    let mut new = Car::with(1);
    new.take(OWNER.wire(2));
    new.take(OWNER.wire(3));
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    for file in ["1-0.sealed", "2-0.sealed", "3-0.sealed"] {
        let spoils: [&dyn Fn(&Path); 5] = [
            &|path| fs::remove_file(path).unwrap(),
            &|path| fs::write(path, "").unwrap(),
            &|path| fs::write(path, &fs::read(path).unwrap()[..400]).unwrap(),
            &|path| fs::write(path, fs::read(OWNER.file(5)).unwrap()).unwrap(),
            &flip,
        ];
        for (n, spoil) in spoils.iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            copy(&new.folder(), &dir.path().join("voi"));
            spoil(&dir.path().join("voi").join(file));
            let mut car = Car::in_dir(dir);
            let said = car.keeper.load(noon());
            assert_eq!((told(&said), said[0].way, car.version()), (vec!["refused 0".into()], Way::Start, 0), "{file} {n}");
            assert!(car.reason().contains("what was kept on disk can't be used"), "{}", car.reason());
            for older in [1, 2] {
                assert!(why(&car.offer(OWNER.wire(older))).contains("older than version 3"), "{file} {n}");
            }
            assert!(why(&car.offer(&OWNER.again(4, |m| m.full = None))).contains("a full list is needed"));
            assert_eq!((told(&car.offer(OWNER.wire(3))), wanted(&mut car)), (vec!["received 3".into()], chunks_of(3, &["full"])));
            assert_eq!((told(&car.fetch()), car.version(), car.reason()), (vec!["applied 3".into()], 3, String::new()));
            assert_eq!(
                (told(&car.restart()), car.version(), car.files("").len()),
                (vec!["applied 3".into()], 3, 3),
                "{file} {n}"
            );
        }
    }
}

#[test]
fn a_full_disk_is_told_once_and_tried_again() {
    let mut car = Car::with(2);
    // The chunk, then the draft, find no room.
    symlink("/dev/full", car.folder().join("parts/incoming.tmp")).unwrap();
    let said = car.keeper.manifest("voi", OWNER.wire(3), noon(), car.mono);
    fs::remove_file(car.folder().join("parts/incoming.tmp")).ok();
    assert_eq!(told(&said), ["received 3"]);
    let sha256 = wanted(&mut car).first().unwrap().clone();
    let chunk = car.chunks[&sha256].clone();
    let mut said = Vec::new();
    for _ in 0..3 {
        symlink("/dev/full", car.folder().join("parts/incoming.tmp")).unwrap();
        said.extend(car.keeper.chunk("voi", &sha256, &chunk, noon(), car.mono));
        assert_eq!(
            (car.files("parts").len(), car.version(), wanted(&mut car).len()),
            (0, 2, 1),
            "half a chunk is not left lying"
        );
    }
    assert!(told(&said) == ["refused 3"] && why(&said).contains("a chunk can't be kept: No space left"), "{said:?}");
    symlink("/dev/full", car.folder().join("incoming.sealed")).unwrap();
    let said = car.fetch();
    assert!(told(&said) == ["refused 3"] && why(&said).contains("No space left"), "{said:?}");
    assert!(car.reason().contains("No space left") && car.version() == 2 && !car.files("").contains(&"incoming.sealed".into()));
    symlink("/dev/full", car.folder().join("incoming.sealed")).unwrap();
    assert!(told(&car.wait(59)).is_empty() && told(&car.wait(1)).is_empty(), "tried again in vain, and told once");
    assert!(told(&car.wait(59)).is_empty() && car.version() == 2);
    assert_eq!((told(&car.wait(1)), car.version(), car.reason()), (vec!["applied 3".into()], 3, String::new()));

    // A file on a stick meets the same disk.
    symlink("/dev/full", car.folder().join("incoming.sealed")).unwrap();
    let said = car.keeper.file(&OWNER.file(4), noon());
    assert!(told(&said) == ["received 4", "refused 4"] && why(&said).contains("No space left"), "{said:?}");
    assert_eq!(
        (told(&car.keeper.file(&OWNER.file(4), noon())), car.version()),
        (vec!["received 4".into(), "applied 4".into()], 4)
    );
}

#[test]
fn a_commit_that_fails_again_and_again_does_not_fill_the_disk() {
    let mut car = Car::with(2);
    let files = car.files("");
    fs::create_dir(car.folder().join("chain.tmp")).unwrap();
    let mut said = car.take(OWNER.wire(3));
    for _ in 0..10 {
        said.extend(car.wait(61));
    }
    assert_eq!((told(&said), car.version()), (vec!["received 3".into(), "refused 3".into()], 2));
    assert!(car.files("").len() <= files.len() + 2, "{:?}", car.files(""));
    assert_eq!(
        (told(&car.restart()), car.version()),
        (vec!["applied 2".into()], 2),
        "what can't be removed is no fault of the list"
    );
    said = car.take(OWNER.wire(3));
    fs::remove_dir(car.folder().join("chain.tmp")).unwrap();
    said.extend(car.wait(61));
    assert_eq!((told(&said), car.version()), (vec!["received 3".into(), "refused 3".into(), "applied 3".into()], 3));
    assert_eq!(told(&car.restart()), ["applied 3"]);

    // Chunks find no folder.
    fs::remove_dir(car.folder().join("parts")).unwrap();
    fs::write(car.folder().join("parts"), "").unwrap();
    car.offer(OWNER.wire(4));
    let sha256 = wanted(&mut car).first().unwrap().clone();
    let chunk = car.chunks[&sha256].clone();
    let told_once: Vec<_> = (0..3).flat_map(|_| car.keeper.chunk("voi", &sha256, &chunk, noon(), car.mono)).collect();
    assert_eq!((told(&told_once), car.version()), (vec!["refused 4".into()], 3));
    fs::remove_file(car.folder().join("parts")).unwrap();
    fs::create_dir(car.folder().join("parts")).unwrap();
    car.wait(30);
    car.wait(2);
    assert_eq!((told(&car.fetch()), car.version()), (vec!["applied 4".into()], 4));
}
