//! The way of a list into force: whole, by deltas, in pieces, from a file; and out of force again.

use super::*;
use crate::anpr::hotlist::{Hotlists, MatchOptions, Reading};
use crate::anpr::odds::GlyphOdds;
use crate::anpr::vrm::Vrm;
use crate::publish::sync::seal::full_from;

#[test]
fn a_fresh_box_fetches_a_list_and_has_it_again_after_a_restart_without_a_network() {
    let mut car = Car::new();
    assert!(car.in_force().is_none() && wanted(&mut car).is_empty());
    let said = car.offer(OWNER.wire(1));
    assert_eq!(
        (told(&said), said[0].way, said[0].key.clone()),
        (vec!["received 1".into()], Way::Mqtt, Some(OWNER.key.id().to_string()))
    );
    assert_eq!((wanted(&mut car), car.state().incoming), (chunks_of(1, &["full"]), Some((1, 0, 1))));
    let said = car.fetch();
    assert_eq!((told(&said), said[0].entries), (vec!["applied 1".into()], Some(1002)));
    assert!(Arc::ptr_eq(said[0].in_force.as_ref().unwrap(), &car.in_force().unwrap()));
    assert_eq!((car.version(), car.state().incoming, car.reason()), (1, None, String::new()));
    assert_eq!(car.files("parts"), [""; 0], "chunks that nobody needs any more are gone");
    assert_eq!(car.files(""), ["1-0.sealed", "chain.json", "parts"]);
    assert!(car.offer(OWNER.wire(1)).is_empty(), "the same manifest at the next connection is nothing new");
    assert!(car.offer(b"").is_empty(), "a retained message taken back changes nothing");
    let before = sorted(&car.in_force().unwrap());
    let said = car.restart();
    assert_eq!((told(&said), said[0].way), (vec!["applied 1".into()], Way::Start));
    assert_eq!((car.version(), sorted(&car.in_force().unwrap()) == before), (1, true));
    assert!(car.offer(OWNER.wire(1)).is_empty() && wanted(&mut car).is_empty());
    // Nothing readable lies on the disk.
    let sealed = std::fs::read(car.folder().join("1-0.sealed")).unwrap();
    assert!(!sealed.windows(7).any(|w| w == b"AB00001"));
}

#[test]
fn a_long_list_is_asked_for_a_few_chunks_at_a_time() {
    let mut car = Car::new();
    let wire = OWNER.long.signed.bytes();
    assert_eq!(told(&car.keeper.manifest("long", wire, noon(), car.mono)), ["received 1"]);
    let first = wanted(&mut car);
    assert_eq!(first.len(), ASKED_AT_ONCE);
    let one = first.first().unwrap().clone();
    assert!(car.keeper.chunk("long", &one, &car.chunks[&one], noon(), car.mono).is_empty());
    let then = wanted(&mut car);
    assert_eq!((then.len(), then.difference(&first).count(), then.contains(&one)), (ASKED_AT_ONCE, 1, false));
    assert!(
        car.keeper.chunk("long", &one, &car.chunks[&one], noon(), car.mono).is_empty(),
        "a chunk that comes twice does no harm"
    );
    assert_eq!(told(&car.fetch()), ["applied 1"]);
    assert_eq!(car.keeper.states()[0].in_force.as_ref().unwrap().0.len(), 45_002);
}

#[test]
fn only_the_deltas_are_fetched_where_the_base_is_there_and_their_chain_is_the_full_list() {
    let mut car = Car::with(1);
    car.offer(OWNER.wire(2));
    assert_eq!(wanted(&mut car), chunks_of(2, &["step 1-2"]));
    assert_eq!(told(&car.fetch()), ["applied 2"]);
    // Slept through two versions.
    car.offer(OWNER.wire(5));
    assert_eq!(wanted(&mut car), chunks_of(5, &["step 2-3", "step 3-4", "step 4-5"]));
    assert_eq!(told(&car.fetch()), ["applied 5"]);
    assert_eq!(told(&car.take(OWNER.wire(6))), ["received 6", "applied 6"]);
    assert_eq!(car.files(""), ["1-0.sealed", "2-0.sealed", "5-0.sealed", "6-0.sealed", "chain.json", "parts"]);
    let manifest = OWNER.version(6).signed.manifest();
    let whole = full_from(&OWNER.version(6).parts[0][..], manifest, &OWNER.identity).unwrap();
    assert_eq!((car.version(), sorted(&car.in_force().unwrap()) == sorted(&whole)), (6, true));
    assert_eq!(told(&car.restart()), ["applied 6"]);
    assert_eq!((car.version(), sorted(&car.in_force().unwrap()) == sorted(&whole)), (6, true));
    assert_eq!(Car::with(6).files(""), ["6-0.sealed", "chain.json", "parts"], "without a base it is fetched whole");
}

#[test]
fn the_whole_list_is_fetched_where_deltas_cost_more_or_begin_at_another_content() {
    for spoil in [
        |m: &mut Manifest| m.steps.last_mut().unwrap().payload.bytes = m.full.as_ref().unwrap().bytes,
        |m: &mut Manifest| {
            m.steps = m.steps.split_off(m.steps.len() - 1);
            m.steps[0].from_content_sha256 = "0".repeat(64);
        },
    ] {
        let mut car = Car::with(2);
        let wire = OWNER.again(3, spoil);
        car.offer(&wire);
        assert_eq!(wanted(&mut car), chunks_of(3, &["full"]));
    }
}

#[test]
fn a_file_is_taken_at_once_and_what_is_being_fetched_does_not_undo_it() {
    let mut car = Car::with(1);
    car.offer(OWNER.wire(2));
    assert!(!wanted(&mut car).is_empty());
    let said = car.keeper.file(&OWNER.file(4), noon());
    assert_eq!((told(&said), said[1].way), (vec!["received 4".into(), "applied 4".into()], Way::File));
    assert_eq!(inbox::answer(&said[1]), "taken: version 4 of the list voi is in force, 1002 entries");
    assert!(wanted(&mut car).is_empty(), "version 2 is of no interest any more");
    assert_eq!((told(&car.fetch()), car.version(), car.state().incoming), (vec![], 4, None));
    // The very version that is being fetched, while some newer one would still be.
    car.offer(OWNER.wire(5));
    assert_eq!(told(&car.keeper.file(&OWNER.file(5), noon())), ["received 5", "applied 5"]);
    assert_eq!((wanted(&mut car).len(), car.files("parts").len(), told(&car.wait(100))), (0, 0, vec![]));
    car.offer(OWNER.wire(6));
    let said = car.keeper.file(&OWNER.file(5), noon());
    assert!(inbox::answer(&said[0]).contains("this version is in force already"), "{said:?}");
    assert_eq!((told(&car.fetch()), car.version()), (vec!["applied 6".into()], 6));
}

#[test]
fn what_is_here_is_not_fetched_again_after_a_restart_but_what_was_damaged_is() {
    let mut car = Car::new();
    let wire = OWNER.long.signed.bytes();
    car.keeper.manifest("long", wire, noon(), car.mono);
    let first = wanted(&mut car);
    for sha256 in &first {
        car.keeper.chunk("long", sha256, &car.chunks[sha256], noon(), car.mono);
    }
    car.restart();
    assert!(wanted(&mut car).is_empty());
    assert_eq!(told(&car.keeper.manifest("long", wire, noon(), car.mono)), ["received 1"]);
    let (_, here, needed) = car.keeper.states()[0].incoming.unwrap();
    assert_eq!((here, first.intersection(&wanted(&mut car)).count()), (first.len(), 0));
    assert!(needed > here);
    // A power cut left two of them empty.
    let spoilt: BTreeSet<String> = first.iter().take(2).cloned().collect();
    for sha256 in &spoilt {
        std::fs::write(car.dir.path().join("long/parts").join(sha256), "").unwrap();
    }
    let left = wanted(&mut car);
    let mut said = Vec::new();
    for sha256 in left {
        said.extend(car.keeper.chunk("long", &sha256, &car.chunks[&sha256], noon(), car.mono));
    }
    assert!(why(&said).contains("damaged on disk") && said.len() == 1, "{said:?}");
    assert_eq!(wanted(&mut car), spoilt, "both are fetched again, and nothing else");
    assert_eq!(told(&car.fetch()), ["applied 1"]);
    assert_eq!(
        (car.keeper.states()[0].refused.clone(), std::fs::read_dir(car.dir.path().join("long/parts")).unwrap().count()),
        (None, 0)
    );
}

#[test]
fn a_chunk_that_does_not_come_is_asked_for_again_after_a_rest() {
    let mut car = Car::with(1);
    car.offer(OWNER.wire(2));
    let asked = wanted(&mut car);
    car.wait(29);
    assert_eq!(wanted(&mut car), asked, "patience");
    car.wait(1);
    assert!(wanted(&mut car).is_empty(), "let go, so that asking again is seen");
    car.wait(2);
    assert_eq!(wanted(&mut car), asked);
    car.wait(29);
    assert_eq!((wanted(&mut car), told(&car.fetch())), (asked, vec!["applied 2".into()]));
}

#[test]
fn a_newer_version_supersedes_one_on_its_way_and_an_older_or_equal_one_does_not() {
    let mut car = Car::with(1);
    car.offer(OWNER.wire(3));
    let asked = wanted(&mut car);
    let equal = OWNER.again(3, |m| m.expires = utc("2026-12-21"));
    for other in [OWNER.wire(2), OWNER.wire(3), &equal] {
        assert!(car.offer(other).is_empty());
        assert_eq!((wanted(&mut car), car.state().incoming.unwrap().0), (asked.clone(), 3));
    }
    // The broker has lost the chunks: then the owner may seal the version again.
    car.wait(30);
    assert_eq!(told(&car.offer(&equal)), ["received 3"]);
    assert_eq!(told(&car.offer(OWNER.wire(4))), ["received 4"]);
    assert_eq!(
        (wanted(&mut car), told(&car.fetch()), car.version()),
        (chunks_of(4, &["step 1-2", "step 2-3", "step 3-4"]), vec!["applied 4".into()], 4)
    );
}

#[test]
fn an_expired_list_is_told_once_and_matches_nothing_until_a_newer_one_comes() {
    let mut car = Car::with(1);
    let (before, after) = (utc("2026-12-19T23:59:59Z"), utc("2026-12-20"));
    let hits = |car: &Car, now| {
        let mut hits = Vec::new();
        let lists = Hotlists::new(car.in_force().into_iter().collect(), MatchOptions::default());
        lists.lookup(Reading { vrm: &Vrm::parse("EV3R").unwrap(), odds: &GlyphOdds::default() }, now, &mut hits);
        hits.len()
    };
    assert_eq!((told(&car.keeper.tick(before, at(200))), hits(&car, before)), (vec![], 1));
    let said = car.keeper.tick(after, at(201));
    assert_eq!((told(&said), said[0].way, said[0].entries), (vec!["expired 1".into()], Way::Mqtt, Some(1002)));
    assert!(why(&said).contains("nothing of it is matched"));
    assert_eq!((told(&car.keeper.tick(after, at(202))), hits(&car, after)), (vec![], 0));
    car.restart();
    assert_eq!((told(&car.keeper.tick(after, at(1))), told(&car.keeper.tick(after, at(2)))), (vec!["expired 1".into()], vec![]));
    assert!(car.keeper.manifest("voi", OWNER.wire(1), after, at(3)).is_empty(), "what is in force is not refused as well");
    let newer = OWNER.again(2, |m| m.expires = utc("2027-01-20"));
    car.keeper.manifest("voi", &newer, after, at(4));
    let sha256 = wanted(&mut car).first().unwrap().clone();
    assert_eq!(told(&car.keeper.chunk("voi", &sha256, &car.chunks[&sha256], after, at(4))), ["applied 2"]);
    assert_eq!((told(&car.keeper.tick(after, at(5))), hits(&car, after)), (vec![], 1));
    assert_eq!(told(&car.keeper.tick(utc("2027-01-20"), at(6))), ["expired 2"]);
}

#[test]
fn one_folder_has_one_keeper() {
    let mut car = Car::with(1);
    assert!(matches!(open_once(car.dir.path()), Err(KeeperError::Held { .. })));
    car.keeper = off();
    assert_eq!(told(&open(car.dir.path()).load(noon())), ["applied 1"]);
}
