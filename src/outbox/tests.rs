//! The outbox against a model, against torn and flipped bytes, and against a folder it can't write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::clock::{CaptureTime, ClockQuality, ClockSource, MonoTime};

mod delivery;

const ROOMY: Limits = Limits { max_bytes: 64 << 20, max_rows: 100_000 };

fn utc(second: i64) -> UtcTime {
    UtcTime::from_micros(1_795_000_000_000_000 + second * 1_000_000)
}

fn at(second: u64) -> CaptureTime {
    let quality = ClockQuality { source: ClockSource::System, synchronised: true, max_error_ms: None };
    let mono = MonoTime::from_nanos(1_000_000_000_000 + second * 1_000_000_000);
    CaptureTime { mono, utc: utc(i64::try_from(second).unwrap()), quality }
}

/// All that the daemon asks of it.
fn guarded(limits: Limits) -> OutboxOptions {
    OutboxOptions {
        data_key: Some(DataKey::generate().unwrap()),
        signing_key: Some(Arc::new(SigningKey::generate().unwrap())),
        ..OutboxOptions::plain(limits)
    }
}

fn draft(lane: Lane, hit: bool, size: usize) -> Draft {
    Draft {
        topic: format!("kerbside/v1/o/d/{}", lane.as_str()),
        qos: Qos::AtLeastOnce,
        lane,
        hit,
        content_type: "application/json".into(),
        schema: "test/1".into(),
        expiry_s: hit.then_some(30),
        payload: (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect(),
    }
}

fn open(dir: &Path, limits: Limits) -> (Outbox, Opened) {
    Outbox::open(dir, OutboxOptions::plain(limits), at(0)).unwrap()
}

fn all(dir: &Path) -> Vec<Envelope> {
    Outlet::open(dir, None).unwrap().next(&Lane::ALL, &Cursors::default(), 10_000, utc(0)).unwrap()
}

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap()
}

#[test]
fn rows_come_out_by_lane_then_by_number_and_survive_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, opened) = open(dir.path(), ROOMY);
    let stream = opened.stream;
    assert_eq!(opened, Opened { session: 1, stream, signing_key_pem: None, salvage: None });
    let lanes = [Lane::Overview, Lane::Read, Lane::Patch, Lane::Alert, Lane::Read, Lane::Health];
    let drafts: Vec<_> = lanes.iter().map(|l| draft(*l, false, 10)).collect();
    assert_eq!(outbox.commit(&drafts, at(1)).unwrap().iter().map(|s| s.get()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    drop(outbox);
    let (outbox, opened) = open(dir.path(), ROOMY);
    assert_eq!(opened, Opened { session: 2, stream, signing_key_pem: None, salvage: None });
    let mut outlet = outbox.outlet().unwrap();
    let mut cursors = Cursors::default();
    let due = outlet.next(&Lane::ALL, &cursors, 10, utc(1)).unwrap();
    assert_eq!(due.iter().map(|e| e.seq.get()).collect::<Vec<_>>(), [4, 2, 5, 6, 3, 1]);
    assert_eq!((due[1].seq, due[1].committed, &due[1].draft), (seq(2), utc(1), &drafts[1]));
    cursors.pass(Lane::Read, seq(2));
    assert!(cursors.has_passed(Lane::Read, seq(1)) && !cursors.has_passed(Lane::Read, seq(3)));
    let due = outlet.next(&[Lane::Read, Lane::Patch], &cursors, 2, utc(1)).unwrap();
    assert_eq!(due.iter().map(|e| e.seq.get()).collect::<Vec<_>>(), [5, 3]);
    assert_eq!(outlet.fetch(&[seq(6), seq(77), seq(1)], utc(1)).unwrap().len(), 2);
    assert_eq!(outlet.lowest().unwrap(), Some((seq(1), Lane::Overview)));
    assert_eq!(outlet.release(&[seq(5), seq(5), seq(99)]).unwrap(), 1);
    let stats = outlet.stats().unwrap();
    assert_eq!((stats.rows(), stats.next_seq, stats.oldest_age_s(utc(31))), (5, 7, Some(30)));
    assert_eq!(outlet.last_seq().unwrap(), 6);
}

#[test]
fn eviction_takes_overviews_then_patches_then_old_text_and_hits_last() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), Limits { max_bytes: 1 << 20, max_rows: 6 });
    let first = [
        draft(Lane::Read, true, 1),      // 1
        draft(Lane::Read, false, 1),     // 2
        draft(Lane::Patch, false, 1),    // 3
        draft(Lane::Overview, false, 1), // 4
        draft(Lane::Overview, true, 1),  // 5
        draft(Lane::Read, false, 1),     // 6
    ];
    outbox.commit(&first, at(0)).unwrap();
    let mut evicted = Vec::new();
    for _ in 0..5 {
        outbox.commit(&[draft(Lane::Alert, true, 1)], at(1)).unwrap();
        let left: BTreeSet<_> = all(dir.path()).iter().map(|e| e.seq.get()).collect();
        evicted.push((1..=6).filter(|n| !left.contains(n)).collect::<Vec<u64>>());
    }
    assert_eq!(evicted, [vec![4], vec![3, 4], vec![2, 3, 4], vec![2, 3, 4, 6], vec![2, 3, 4, 5, 6]]);
    let gap = |first, last, count| Gap { first: seq(first), last: seq(last), count, reason: GapReason::Evicted, noted: utc(1) };
    let mut outlet = outbox.outlet().unwrap();
    assert_eq!(outlet.gaps(10).unwrap(), [gap(2, 6, 5)], "neighbours are joined");
    assert_eq!(outlet.stats().unwrap().evicted, 5);
    outlet.lose(&[seq(9), seq(7)], GapReason::TooLarge, utc(2)).unwrap();
    assert_eq!(outlet.stats().unwrap().too_large, 2);
}

#[test]
fn a_draft_over_the_cap_is_refused_and_uses_up_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), Limits { max_bytes: 2000, max_rows: 10 });
    let error = outbox.commit(&[draft(Lane::Read, false, 1), draft(Lane::Read, false, 3000)], at(0)).unwrap_err();
    assert!(matches!(error, OutboxError::DraftTooLarge { max_bytes: 2000, .. }), "{error}");
    assert_eq!(outbox.commit(&[draft(Lane::Read, false, 1)], at(0)).unwrap(), [seq(1)]);
}

#[test]
fn a_second_holder_and_a_folder_that_cannot_be_written_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let _held = open(dir.path(), ROOMY);
    assert!(matches!(Outbox::open(dir.path(), OutboxOptions::plain(ROOMY), at(0)), Err(OutboxError::Held { .. })));
    // Rights don't bind root, so these are places where nobody can make a folder.
    fs::write(dir.path().join("file"), "").unwrap();
    for place in [Path::new("/proc/kerbside/outbox"), &dir.path().join("file")] {
        let error = Outbox::open(place, OutboxOptions::plain(ROOMY), at(0)).unwrap_err();
        assert!(matches!(error, OutboxError::NotWritable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(place.to_str().unwrap()) && text.contains("read-write"), "{text}");
    }
    assert!(matches!(Outlet::open(&dir.path().join("nothing"), None), Err(OutboxError::Missing { .. })));
}

#[test]
fn a_folder_with_its_write_rights_taken_away_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let root_writes_anyway = fs::write(dir.path().join("probe"), "").is_ok();
    match Outbox::open(dir.path(), OutboxOptions::plain(ROOMY), at(0)) {
        Err(OutboxError::NotWritable { path, .. }) => assert_eq!(path, dir.path()),
        Ok(_) => assert!(root_writes_anyway),
        Err(other) => panic!("{other}"),
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), ROOMY));
    let path = dir.path().join("outbox.sqlite");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(matches!(
        Outbox::open(dir.path(), OutboxOptions::plain(ROOMY), at(0)),
        Err(OutboxError::Newer { found: 7, known: 2, .. })
    ));
    assert!(path.exists());
}

/// Copies the store as a crash would leave it: no checkpoint, no clean close.
fn crash_copy(from: &Path, to: &Path) {
    for name in ["outbox.sqlite", "outbox.sqlite-wal", "outbox.mark", "outbox.high"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_wal_torn_at_any_place_leaves_a_prefix_of_the_commits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    for n in 0..12 {
        outbox.commit(&[draft(Lane::Read, false, 300), draft(Lane::Overview, false, 5000 + n)], at(1)).unwrap();
    }
    let wal = fs::metadata(dir.path().join("outbox.sqlite-wal")).unwrap().len();
    assert!(wal > 20_000, "nothing to tear: {wal}");
    let (mut last_rows, mut cuts) = (0, 0);
    for cut in (0..=wal).step_by(997).chain([wal]) {
        let torn = tempfile::tempdir().unwrap();
        crash_copy(dir.path(), torn.path());
        fs::OpenOptions::new().write(true).open(torn.path().join("outbox.sqlite-wal")).unwrap().set_len(cut).unwrap();
        let (mut reopened, _) = open(torn.path(), ROOMY);
        let rows = all(torn.path());
        let mut numbers: Vec<_> = rows.iter().map(|e| e.seq.get()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=u64::try_from(rows.len()).unwrap()).collect::<Vec<_>>(), "cut at {cut}");
        assert!(rows.len().is_multiple_of(2) && rows.len() >= last_rows, "cut at {cut}: {} rows", rows.len());
        let next = reopened.commit(&[draft(Lane::Read, false, 1)], at(2)).unwrap()[0].get();
        let missing: u64 = reopened.outlet().unwrap().gaps(9).unwrap().iter().map(|g| g.count).sum();
        // What is gone is declared, and one number more, so that the chain breaks inside what is declared.
        let gone = 24 - u64::try_from(rows.len()).unwrap();
        assert_eq!(missing, if gone == 0 { 0 } else { gone + 1 }, "cut at {cut}");
        assert_eq!(next, 25 + u64::from(gone > 0), "what was given once is never given again, cut at {cut}");
        (last_rows, cuts) = (rows.len(), cuts + 1);
    }
    assert_eq!(last_rows, 24);
    assert!(cuts > 20);
}

#[test]
fn flipped_bytes_never_bring_wrong_rows_and_never_reuse_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    let sent: Vec<Draft> = (0..60).map(|n| draft(Lane::ALL[n % 5], n % 7 == 0, 50 + n * 37)).collect();
    for pair in sent.chunks(2) {
        outbox.commit(pair, at(1)).unwrap();
    }
    drop(outbox); // the last close checkpoints: everything is in the main file
    let bytes = fs::read(dir.path().join("outbox.sqlite")).unwrap();
    let (mut salvaged, mut carried) = (0, 0);
    for (i, place) in (0..bytes.len()).step_by(bytes.len() / 90).enumerate() {
        let hurt = tempfile::tempdir().unwrap();
        crash_copy(dir.path(), hurt.path());
        let mut copy = bytes.clone();
        let run = [1, 16, 600][i % 3];
        copy.iter_mut().skip(place).take(run).for_each(|b| *b ^= 0x5a);
        fs::write(hurt.path().join("outbox.sqlite"), copy).unwrap();
        let (mut outbox, opened) = open(hurt.path(), ROOMY);
        let rows = all(hurt.path());
        for row in &rows {
            let index = usize::try_from(row.seq.get()).unwrap() - 1;
            assert_eq!(row.draft, sent[index], "a wrong row came out, flip at {place}");
        }
        let stored: BTreeSet<u64> = rows.iter().map(|e| e.seq.get()).collect();
        let gaps = outbox.outlet().unwrap().gaps(u64::MAX).unwrap();
        for n in (1..=60).filter(|n| !stored.contains(n)) {
            assert!(
                gaps.iter().any(|g| g.first.get() <= n && n <= g.last.get()),
                "{n} is neither stored nor missing, flip at {place}"
            );
        }
        assert!(outbox.commit(&[draft(Lane::Read, false, 1)], at(2)).unwrap()[0].get() > 60, "number reused, flip at {place}");
        if let Some(salvage) = opened.salvage {
            assert!(salvage.set_aside.exists());
            salvaged += 1;
            carried += rows.len();
        }
    }
    assert!(salvaged > 10, "only {salvaged} flips were noticed at open");
    assert!(carried > salvaged * 30, "carried {carried} rows of {} in {salvaged} salvages", salvaged * 60);
}

#[test]
fn a_file_that_is_no_store_at_all_is_set_aside_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    outbox.commit(&vec![draft(Lane::Read, false, 10); 5], at(0)).unwrap();
    drop(outbox);
    fs::write(dir.path().join("outbox.sqlite"), vec![7; 20_000]).unwrap();
    let (mut outbox, opened) = open(dir.path(), ROOMY);
    assert_eq!(opened.session, 2);
    assert_eq!(opened.salvage.unwrap().rows, 0);
    assert!(outbox.commit(&[draft(Lane::Read, false, 10)], at(1)).unwrap()[0].get() > 5);
    let gaps = outbox.outlet().unwrap().gaps(9).unwrap();
    assert_eq!((gaps[0].first, gaps[0].reason), (seq(1), GapReason::Damaged));
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, bool, usize)>),
    Release(Vec<u64>),
    Lose(u64),
    Next(usize, u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec((0usize..5, any::<bool>(), 0usize..400), 0..5).prop_map(Step::Commit),
        3 => prop::collection::vec(0u64..60, 0..5).prop_map(Step::Release),
        1 => (0u64..60).prop_map(Step::Lose),
        3 => (0usize..9, 0u64..60).prop_map(|(limit, skip)| Step::Next(limit, skip)),
        1 => Just(Step::Reopen),
    ]
}

/// The same promises, kept in memory.
#[derive(Default)]
struct Model {
    rows: BTreeMap<u64, Draft>,
    missing: BTreeMap<u64, GapReason>,
    given: u64,
}

impl Model {
    fn evict(&mut self, limits: Limits) {
        while self.rows.len() as u64 > limits.max_rows
            || self.rows.values().map(Draft::cost_bytes).sum::<u64>() > limits.max_bytes
        {
            let victim = *self.rows.iter().min_by_key(|(n, d)| (d.lane.rank(d.hit), **n)).unwrap().0;
            self.rows.remove(&victim);
            self.missing.insert(victim, GapReason::Evicted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_behaves_like_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let limits = Limits { max_bytes: 4000, max_rows: 15 };
        let dir = tempfile::tempdir().unwrap();
        let (mut outbox, _) = open(dir.path(), limits);
        let mut outlet = outbox.outlet().unwrap();
        let (mut model, mut sessions) = (Model::default(), 1);
        for step in steps {
            match step {
                Step::Commit(kinds) => {
                    let drafts: Vec<_> = kinds.iter().map(|(l, hit, size)| draft(Lane::ALL[*l], *hit, *size)).collect();
                    let seqs = outbox.commit(&drafts, at(1)).unwrap();
                    for (seq, draft) in seqs.iter().zip(drafts) {
                        model.given += 1;
                        prop_assert_eq!(seq.get(), model.given);
                        model.rows.insert(model.given, draft);
                    }
                    model.evict(limits);
                }
                Step::Release(numbers) => {
                    let seqs: Vec<_> = numbers.iter().filter_map(|n| Seq::new(*n)).collect();
                    let went = outlet.release(&seqs).unwrap();
                    let before = model.rows.len();
                    seqs.iter().for_each(|s| drop(model.rows.remove(&s.get())));
                    prop_assert_eq!(went, before - model.rows.len());
                }
                Step::Lose(n) => {
                    if model.rows.remove(&n).is_some() {
                        outlet.lose(&[seq(n)], GapReason::TooLarge, utc(1)).unwrap();
                        model.missing.insert(n, GapReason::TooLarge);
                    }
                }
                Step::Next(limit, after) => {
                    let mut cursors = Cursors::default();
                    Lane::ALL.iter().for_each(|lane| Seq::new(after).into_iter().for_each(|s| cursors.pass(*lane, s)));
                    let due = outlet.next(&Lane::ALL, &cursors, limit, utc(1)).unwrap();
                    let mut expected: Vec<_> = model.rows.iter().filter(|(n, _)| **n > after).collect();
                    expected.sort_by_key(|(n, d)| (d.lane, **n));
                    expected.truncate(limit);
                    prop_assert_eq!(due.len(), expected.len());
                    for (got, (n, draft)) in due.iter().zip(expected) {
                        prop_assert_eq!(got.seq.get(), *n);
                        prop_assert_eq!(&got.draft, draft);
                    }
                }
                Step::Reopen => {
                    drop((outbox, outlet));
                    let opened;
                    (outbox, opened) = open(dir.path(), limits);
                    let stream = opened.stream;
                    outlet = outbox.outlet().unwrap();
                    sessions += 1;
                    prop_assert_eq!(opened, Opened { session: sessions, stream, signing_key_pem: None, salvage: None });
                }
            }
            let stats = outlet.stats().unwrap();
            prop_assert_eq!(stats.next_seq, model.given + 1);
            prop_assert_eq!(stats.rows(), model.rows.len() as u64);
            prop_assert_eq!(stats.bytes(), model.rows.values().map(Draft::cost_bytes).sum::<u64>());
            let mut missing = BTreeMap::new();
            for gap in outlet.gaps(u64::MAX).unwrap() {
                prop_assert_eq!(gap.count, gap.last.get() - gap.first.get() + 1);
                missing.extend((gap.first.get()..=gap.last.get()).map(|n| (n, gap.reason)));
            }
            prop_assert_eq!(&missing, &model.missing);
        }
    }
}
