//! The chain, encryption at rest, retention, reports of gaps, and stores of the version before.

use std::time::Duration;

use super::*;
use crate::keys::TrustedKeys;
use crate::outbox::chain::{Content, StreamId};

/// Checks links and signatures of rows that follow one another; gives the link of the last.
fn check(stream: StreamId, rows: &[Envelope], from: Link, trusted: &TrustedKeys) -> Link {
    rows.iter().fold(from, |before, row| {
        let draft = &row.draft;
        let content =
            Content { topic: &draft.topic, content_type: &draft.content_type, schema: &draft.schema, payload: &draft.payload };
        assert_eq!(row.prev, before, "row {} does not follow the one before it", row.seq);
        let link = Link::of(stream, row.seq, row.prev, &content);
        let proof = row.proof.expect("signed");
        assert_eq!(link.is_signed(trusted, proof.key, &proof.signature), Some(true), "row {}", row.seq);
        link
    })
}

fn rows(outlet: &Outlet) -> Vec<Envelope> {
    outlet.rows(seq(1), 10_000).unwrap().into_iter().filter_map(|(_, row)| row).collect()
}

#[test]
fn rows_are_chained_signed_and_unreadable_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = guarded(ROOMY);
    let trusted = TrustedKeys::default().and(options.signing_key.as_ref().unwrap());
    let secret = b"AB12CDE-stands-here".to_vec();
    let (mut outbox, opened) = Outbox::open(dir.path(), options.clone(), at(0)).unwrap();
    for n in 0..6 {
        let drafts = [Draft { payload: secret.clone(), ..draft(Lane::Read, false, 0) }, draft(Lane::Overview, n % 2 == 0, 400)];
        outbox.commit(&drafts, at(n)).unwrap();
    }
    let outlet = outbox.outlet().unwrap();
    let stored = rows(&outlet);
    assert_eq!(stored.len(), 12);
    let head = check(opened.stream, &stored, Link::default(), &trusted);
    assert_eq!(head, outlet.head().unwrap());
    assert_eq!(stored[0].draft.payload, secret);
    drop((outbox, outlet));

    for file in ["outbox.sqlite", "outbox.sqlite-wal"] {
        let bytes = fs::read(dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{file}");
    }
    // The chain goes on over a restart; another key opens nothing and loses nothing.
    let other = OutboxOptions { data_key: Some(DataKey::generate().unwrap()), ..options.clone() };
    for wrong in [other, OutboxOptions { data_key: None, ..options.clone() }] {
        let error = Outbox::open(dir.path(), wrong, at(10)).unwrap_err();
        assert!(matches!(error, OutboxError::WrongKey { .. }), "{error}");
    }
    let (mut outbox, again) = Outbox::open(dir.path(), options, at(10)).unwrap();
    assert_eq!(again.stream, opened.stream);
    outbox.commit(&[draft(Lane::Alert, true, 9)], at(11)).unwrap();
    let stored = rows(&outbox.outlet().unwrap());
    assert_eq!(stored.len(), 13);
    check(opened.stream, &stored[12..], head, &trusted);
}

#[test]
fn a_damaged_store_goes_on_with_a_break_that_is_declared() {
    let dir = tempfile::tempdir().unwrap();
    let options = guarded(ROOMY);
    let trusted = TrustedKeys::default().and(options.signing_key.as_ref().unwrap());
    let (mut outbox, before) = Outbox::open(dir.path(), options.clone(), at(0)).unwrap();
    outbox.commit(&vec![draft(Lane::Read, false, 10); 5], at(0)).unwrap();
    drop(outbox);
    fs::write(dir.path().join("outbox.sqlite"), vec![7; 20_000]).unwrap();
    let (mut outbox, after) = Outbox::open(dir.path(), options.clone(), at(1)).unwrap();
    assert_eq!(after.stream, before.stream, "the mark remembers it");
    let first = outbox.commit(&[draft(Lane::Read, false, 10)], at(1)).unwrap()[0];
    let outlet = outbox.outlet().unwrap();
    let declared = |n: u64| outlet.gaps(99).unwrap().iter().any(|g| g.first.get() <= n && n <= g.last.get());
    assert!((1..first.get()).all(declared));
    check(after.stream, &rows(&outlet), Link::default(), &trusted);
    drop((outbox, outlet));

    // The file is gone altogether, with all but the note of the highest number.
    fs::remove_file(dir.path().join("outbox.sqlite")).unwrap();
    fs::remove_file(dir.path().join("outbox.mark")).unwrap();
    let (mut outbox, third) = Outbox::open(dir.path(), options, at(2)).unwrap();
    assert_ne!(third.stream, before.stream, "without the mark it is another stream");
    assert!(outbox.commit(&[draft(Lane::Read, false, 10)], at(2)).unwrap()[0] > first);
}

#[test]
fn gaps_are_told_once_and_again_when_the_report_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), Limits { max_bytes: 1 << 20, max_rows: 4 });
    let mut outlet = outbox.outlet().unwrap();
    outbox.commit(&vec![draft(Lane::Overview, false, 1); 7], at(0)).unwrap();
    let gaps = outbox.untold_gaps(10, 2).unwrap();
    assert_eq!(gaps.iter().map(|g| (g.first.get(), g.last.get(), g.count)).collect::<Vec<_>>(), [(1, 3, 3)]);
    assert_eq!(outlet.stats().unwrap().undeclared, 3);
    let report = outbox.commit_report(draft(Lane::Health, true, 1), &gaps, at(1)).unwrap();
    assert_eq!(report, seq(8));
    // Its own room cost another row, which is a gap of its own: the first is told already.
    let gaps = outbox.untold_gaps(10, 2).unwrap();
    assert_eq!(gaps.iter().map(|g| (g.first.get(), g.last.get())).collect::<Vec<_>>(), [(4, 4)]);
    assert!(outbox.untold_gaps(10, 1).unwrap().is_empty(), "one report waits, and no more than one may");
    // The report is lost: all of it is untold again, and so is the report itself.
    outlet.lose(&[report], GapReason::TooLarge, utc(2)).unwrap();
    let gaps = outbox.untold_gaps(10, 1).unwrap();
    assert_eq!(gaps.iter().map(|g| (g.first.get(), g.last.get())).collect::<Vec<_>>(), [(1, 3), (4, 4), (8, 8)]);
    let report = outbox.commit_report(draft(Lane::Health, true, 1), &gaps, at(3)).unwrap();
    assert_eq!(outlet.stats().unwrap().undeclared, 5);
    outlet.release(&[report]).unwrap();
    assert_eq!((outlet.stats().unwrap().undeclared, outlet.stats().unwrap().missing()), (0, 5));
    assert!(outbox.untold_gaps(10, 1).unwrap().is_empty());
}

#[test]
fn gaps_that_are_known_are_made_coarser_beyond_the_cap_and_others_never() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    let mut outlet = outbox.outlet().unwrap();
    let scattered: Vec<_> = (1..=MAX_GAP_ROWS + 500).map(|n| seq(n * 2)).collect();
    outlet.lose(&scattered, GapReason::Evicted, utc(0)).unwrap();
    let stats = outlet.stats().unwrap();
    assert_eq!((stats.gaps, stats.evicted), (MAX_GAP_ROWS + 500, MAX_GAP_ROWS + 500));
    let gaps = outbox.untold_gaps(u64::MAX, 1).unwrap();
    let report = outbox.commit_report(draft(Lane::Health, true, 1), &gaps, at(1)).unwrap();
    outlet.release(&[report]).unwrap();
    let stats = outlet.stats().unwrap();
    assert_eq!((stats.gaps, stats.evicted), (MAX_GAP_ROWS, MAX_GAP_ROWS + 500));
    let oldest = outlet.gaps(1).unwrap()[0];
    assert_eq!((oldest.first, oldest.last, oldest.count), (seq(2), seq(1002), 501));
}

#[test]
fn classes_expire_by_the_age_of_the_box_and_no_step_of_the_clock_moves_it() {
    let hour = 3600;
    let retention = Retention {
        hits: Some(Duration::from_secs(10 * 3600)),
        text: Some(Duration::from_secs(5 * 3600)),
        images: Some(Duration::from_secs(3600)),
    };
    let options = OutboxOptions { retention, ..OutboxOptions::plain(ROOMY) };
    let dir = tempfile::tempdir().unwrap();
    let unsynchronised = |t: CaptureTime, utc: i64| CaptureTime {
        utc: UtcTime::from_micros(utc),
        quality: ClockQuality { synchronised: false, ..t.quality },
        ..t
    };
    let drafts =
        [draft(Lane::Read, true, 1), draft(Lane::Read, false, 1), draft(Lane::Patch, false, 1), draft(Lane::Overview, true, 1)];
    let stored = |outbox: &Outbox| rows(&outbox.outlet().unwrap()).iter().map(|e| e.seq.get()).collect::<Vec<_>>();

    let (mut outbox, _) = Outbox::open(dir.path(), options.clone(), at(0)).unwrap();
    outbox.commit(&drafts, at(0)).unwrap();
    // Fifty years back and fifty years forth.
    outbox.commit(&[], unsynchronised(at(60), 0)).unwrap();
    outbox.commit(&[], unsynchronised(at(61), 3_400_000_000_000_000)).unwrap();
    assert_eq!(stored(&outbox), [1, 2, 3, 4]);
    outbox.commit(&[], at(hour + 10)).unwrap();
    assert_eq!(stored(&outbox), [1, 2, 4], "the picture of no hit is too old");
    drop(outbox);

    // Off for three hours; it starts in 1970, and learns the time after a minute.
    let boot = |s: u64| CaptureTime { mono: MonoTime::from_nanos(s * 1_000_000_000), ..at(4 * hour + s) };
    let (mut outbox, _) = Outbox::open(dir.path(), options.clone(), unsynchronised(boot(0), 0)).unwrap();
    outbox.commit(&[], unsynchronised(boot(59), 59_000_000)).unwrap();
    assert_eq!(stored(&outbox), [1, 2, 4]);
    outbox.commit(&[], boot(60)).unwrap();
    assert_eq!(stored(&outbox), [1, 2, 4], "four hours");
    outbox.commit(&[], boot(hour + 60)).unwrap();
    assert_eq!(stored(&outbox), [1, 4], "the time that it was off counts");
    let gaps = outbox.outlet().unwrap().gaps(9).unwrap();
    assert_eq!(gaps.iter().map(|g| (g.first.get(), g.last.get(), g.reason)).collect::<Vec<_>>(), [(2, 3, GapReason::Expired)]);
    outbox.commit(&[], boot(7 * hour)).unwrap();
    assert_eq!(stored(&outbox), Vec::<u64>::new());
}

#[test]
fn the_back_offices_watermark_takes_rows_out_in_slices() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    outbox.commit(&vec![draft(Lane::Read, false, 1); 10], at(0)).unwrap();
    let mut outlet = outbox.outlet().unwrap();
    assert_eq!(outlet.release_through(seq(7), 4).unwrap(), 4);
    assert_eq!(outlet.release_through(seq(7), 4).unwrap(), 3);
    assert_eq!(outlet.release_through(seq(7), 4).unwrap(), 0);
    assert_eq!(outlet.lowest().unwrap().map(|(s, _)| s), Some(seq(8)));
}

#[test]
fn numbers_that_left_on_the_brokers_word_are_declared_when_the_back_offices_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    outbox.commit(&vec![draft(Lane::Read, false, 1); 10], at(0)).unwrap();
    let mut outlet = outbox.outlet().unwrap();
    outlet.release(&[seq(1), seq(2), seq(5), seq(6), seq(10)]).unwrap();
    outlet.lose(&[seq(6)], GapReason::TooLarge, utc(0)).unwrap();
    assert_eq!(outbox.wait_for_back_office(true, at(1)).unwrap(), 4);
    let gaps = outlet.gaps(9).unwrap();
    let told: Vec<_> = gaps.iter().map(|g| (g.first.get(), g.last.get(), g.reason.as_str())).collect();
    assert_eq!(told, [(1, 2, "released"), (5, 5, "released"), (6, 6, "too_large"), (10, 10, "released")]);
    assert_eq!((outlet.stats().unwrap().missing(), outlet.stats().unwrap().released), (1, 4), "what has arrived is not missing");
    outlet.release_through(seq(4), 99).unwrap();
    assert_eq!(outbox.wait_for_back_office(true, at(1)).unwrap(), 0, "once");
    assert_eq!(outbox.wait_for_back_office(false, at(1)).unwrap(), 0);
    assert_eq!(outbox.wait_for_back_office(true, at(1)).unwrap(), 2, "and again for whoever begins anew");
}

#[test]
fn joined_gaps_are_never_told_over_rows_that_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    version_1(dir.path(), &[draft(Lane::Overview, false, 10), draft(Lane::Overview, false, 10)]);
    let db = rusqlite::Connection::open(dir.path().join("outbox.sqlite")).unwrap();
    db.execute("UPDATE gap SET first = 1, last = 8, count = 5", []).unwrap();
    drop(db);
    let (outbox, _) = open(dir.path(), ROOMY);
    let told = outbox.untold_gaps(9, 9).unwrap();
    assert_eq!(told.iter().map(|g| (g.first.get(), g.last.get(), g.count)).collect::<Vec<_>>(), [(1, 2, 2), (5, 8, 4)]);
}

#[test]
fn reports_that_the_broker_has_make_room_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    outbox.commit(&vec![draft(Lane::Read, false, 1); 9], at(0)).unwrap();
    let mut outlet = outbox.outlet().unwrap();
    outlet.lose(&[seq(2)], GapReason::Damaged, utc(0)).unwrap();
    let gaps = outbox.untold_gaps(9, 1).unwrap();
    let report = outbox.commit_report(draft(Lane::Health, true, 1), &gaps, at(1)).unwrap();
    outlet.lose(&[seq(4)], GapReason::Damaged, utc(0)).unwrap();
    assert!(outbox.untold_gaps(9, 1).unwrap().is_empty());
    outlet.passed(&[seq(1), report]).unwrap();
    assert_eq!(outbox.untold_gaps(9, 1).unwrap().len(), 1, "the watermark would wait for it for ever");
}

#[test]
fn a_salvage_that_was_cut_short_is_done_again_and_one_that_was_finished_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (mut outbox, _) = open(dir.path(), ROOMY);
    outbox.commit(&vec![draft(Lane::Read, false, 2000); 40], at(0)).unwrap();
    drop(outbox);
    let path = dir.path().join("outbox.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 600].iter_mut().for_each(|b| *b ^= 0x5a);
    fs::write(&path, &bytes).unwrap();
    // Half a new store is there from a start that was killed.
    fs::write(dir.path().join("outbox.salvage.sqlite"), &bytes[..4096]).unwrap();
    let (outbox, opened) = open(dir.path(), ROOMY);
    let salvage = opened.salvage.unwrap();
    assert!(salvage.rows >= 35, "{salvage:?}");
    let rows = outbox.stats().unwrap().rows();
    drop(outbox);
    // Killed between the two renames: the damaged one is gone, the new one not yet in its place.
    fs::rename(&path, dir.path().join("outbox.salvage.sqlite")).unwrap();
    let (outbox, opened) = open(dir.path(), ROOMY);
    assert_eq!((opened.salvage, outbox.stats().unwrap().rows()), (None, rows));
}

/// The tables of version 1, with rows as that version wrote them.
fn version_1(dir: &Path, drafts: &[Draft]) {
    let db = rusqlite::Connection::open(dir.join("outbox.sqlite")).unwrap();
    db.execute_batch(
        "CREATE TABLE envelope (
          seq INTEGER PRIMARY KEY, lane INTEGER NOT NULL, hit INTEGER NOT NULL, rank INTEGER NOT NULL, qos INTEGER NOT NULL,
          topic TEXT NOT NULL, content_type TEXT NOT NULL, schema TEXT NOT NULL, expiry_s INTEGER, committed_us INTEGER NOT NULL,
          cost INTEGER NOT NULL, digest INTEGER NOT NULL, payload BLOB NOT NULL);
        CREATE INDEX envelope_by_lane ON envelope (lane, seq);
        CREATE INDEX envelope_by_rank ON envelope (rank, seq, cost);
        CREATE TABLE total (lane INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
        INSERT INTO total VALUES (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0);
        CREATE TRIGGER envelope_in AFTER INSERT ON envelope BEGIN
          UPDATE total SET rows = rows + 1, bytes = bytes + NEW.cost WHERE lane = NEW.lane; END;
        CREATE TRIGGER envelope_out AFTER DELETE ON envelope BEGIN
          UPDATE total SET rows = rows - 1, bytes = bytes - OLD.cost WHERE lane = OLD.lane; END;
        CREATE TABLE gap (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
          noted_us INTEGER NOT NULL);
        INSERT INTO gap VALUES (1, 2, 2, 'evicted', 1795000000000000);
        CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO meta VALUES ('next_seq', 9), ('session', 4);
        PRAGMA user_version = 1; PRAGMA journal_mode = WAL;",
    )
    .unwrap();
    for (n, draft) in (3_i64..).zip(drafts) {
        db.execute(
            "INSERT INTO envelope VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            rusqlite::params![
                n,
                draft.lane.code(),
                draft.hit,
                draft.lane.rank(draft.hit),
                1,
                draft.topic,
                draft.content_type,
                draft.schema,
                draft.expiry_s,
                utc(5).as_micros(),
                i64::try_from(draft.cost_bytes()).unwrap(),
                migrate::digest_1(Seq(n), utc(5), draft),
                draft.payload
            ],
        )
        .unwrap();
    }
    fs::write(dir.join("outbox.mark"), "kerbside outbox mark 1\nbelow 4097\noldest 1\nsession 4\n").unwrap();
}

#[test]
fn a_store_of_the_version_before_is_brought_up_with_all_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = [draft(Lane::Read, true, 300), draft(Lane::Overview, false, 5000), draft(Lane::Alert, true, 30)];
    version_1(dir.path(), &drafts);
    assert!(matches!(Outlet::open(dir.path(), None), Err(OutboxError::Older { .. })));
    let options = guarded(ROOMY);
    let trusted = TrustedKeys::default().and(options.signing_key.as_ref().unwrap());
    let (mut outbox, opened) = Outbox::open(dir.path(), options.clone(), at(10)).unwrap();
    assert_eq!((opened.session, opened.salvage), (5, None));
    for file in ["outbox.sqlite", "outbox.sqlite-wal"] {
        let bytes = fs::read(dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(100).any(|w| w == &drafts[1].payload[..100]), "a payload lies in {file} in plain");
    }
    let stored = rows(&outbox.outlet().unwrap());
    assert_eq!(stored.iter().map(|e| (e.seq.get(), e.committed)).collect::<Vec<_>>(), [(3, utc(5)), (4, utc(5)), (5, utc(5))]);
    assert!(stored.iter().zip(&drafts).all(|(e, d)| e.draft == *d));
    let head = check(opened.stream, &stored, Link::default(), &trusted);
    assert_eq!(outbox.commit(&[draft(Lane::Read, false, 1)], at(11)).unwrap(), [seq(9)]);
    let outlet = outbox.outlet().unwrap();
    let row = outlet.rows(seq(9), 1).unwrap().remove(0).1.unwrap();
    assert_eq!(row.prev, head);
    assert_eq!(outbox.untold_gaps(9, 9).unwrap().len(), 1, "told anew: the version before told nobody");
    let stats = outlet.stats().unwrap();
    assert_eq!(stats.rows(), 4);
    drop((outbox, outlet));
    assert_eq!(Outbox::open(dir.path(), options, at(12)).unwrap().1.session, 6);
}
