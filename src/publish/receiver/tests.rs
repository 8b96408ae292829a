//! A store against a box that signs, and against those who would like to be that box.

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::keys::SigningKey;
use crate::outbox::{Gap, GapReason};
use crate::publish::wire::{Message, Models, Source};

/// A box: numbers, links, signs.
struct Box {
    key: SigningKey,
    stream: StreamId,
    next: u64,
    prev: Link,
}

impl Box {
    fn new(stream: &str) -> Self {
        Self { key: SigningKey::generate().unwrap(), stream: stream.parse().unwrap(), next: 1, prev: Link::default() }
    }

    fn trusted(&self) -> TrustedKeys {
        TrustedKeys::default().and(&self.key)
    }

    fn send(&mut self, leaf: &str, schema: &str, payload: &[u8]) -> Numbered {
        let mut message = Numbered {
            device: "o/d".into(),
            stream: self.stream,
            seq: seq(self.next),
            prev: None,
            signed: None,
            topic: format!("kerbside/v1/o/d/{leaf}"),
            schema: schema.into(),
            content_type: "application/json".into(),
            payload: payload.to_vec(),
        };
        self.sign(&mut message, self.prev);
        self.prev = message.link();
        self.next += 1;
        message
    }

    fn sign(&self, message: &mut Numbered, prev: Link) {
        message.prev = Some(prev);
        message.signed = Some((message.link().sign(&self.key), self.key.id()));
    }

    fn read(&mut self) -> Numbered {
        let payload = format!("{{\"n\":{}}}", self.next);
        self.send("read", "kerbside.read/1", payload.as_bytes())
    }

    fn gap(&mut self, first: u64, last: u64, count: u64) -> Numbered {
        let source =
            Source { device: "d".into(), models: Models { detector: "d".into(), reader: "r".into() }, ..Source::default() };
        let now = SystemClock.now().utc;
        let gap = Gap { first: seq(first), last: seq(last), count, reason: GapReason::Evicted, noted: now };
        let payload = GapMessage::new(&source, &[gap], now).encode().unwrap();
        self.send("gap", GapMessage::SCHEMA, &payload)
    }
}

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    fn take(&mut self, batch: &[Numbered]) -> Taken {
        self.store.take(batch, None, SystemClock.now().utc).unwrap()
    }

    fn watermark(&self) -> u64 {
        let all = self.store.watermarks().unwrap();
        assert!(all.len() <= 1);
        all.first().and_then(|w| w.seq).map_or(0, Seq::get)
    }

    fn report(&self, trusted: Option<&TrustedKeys>) -> StreamReport {
        let mut all = report::report(self.dir.path(), trusted).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

#[test]
fn numbers_in_any_order_come_to_one_watermark_and_duplicates_are_counted_once() {
    let (mut bench, mut sender) = (Bench::new(), Box::new("00000000000000aa"));
    let sent: Vec<Numbered> = (0..100).map(|_| sender.read()).collect();
    // Every third, then backwards, then all again.
    for message in sent.iter().step_by(3) {
        bench.take(std::slice::from_ref(message));
    }
    assert_eq!(bench.watermark(), 1);
    for pair in sent.rchunks(2) {
        bench.take(pair);
    }
    assert_eq!(bench.watermark(), 100);
    let again = bench.take(&sent);
    assert_eq!((again.new, again.duplicates, again.moved.len()), (0, 100, 0));
    let report = bench.report(Some(&sender.trusted()));
    assert_eq!((report.received, report.duplicates, report.watermark, report.highest), (100, 134, 100, 100));
    assert!(report.is_whole(), "{report:?}");
}

#[test]
fn the_watermark_stops_at_a_hole_until_it_is_filled_or_declared() {
    let (mut bench, mut sender) = (Bench::new(), Box::new("00000000000000aa"));
    let sent: Vec<Numbered> = (0..10).map(|_| sender.read()).collect();
    assert_eq!(bench.take(&sent[1..3]).moved, []);
    assert_eq!(bench.report(None).undeclared, [Hole { first: 1, last: 1 }]);
    let moved = bench.take(&sent[..1]).moved;
    assert_eq!(moved, [Watermark { device: "o/d".into(), stream: sender.stream, seq: Some(seq(3)) }]);
    bench.take(&sent[6..]);
    assert_eq!(bench.watermark(), 3);
    let report = bench.report(None);
    assert_eq!(report.undeclared, [Hole { first: 4, last: 6 }]);
    assert_eq!(report.first_break.map(|b| b.seq), Some(4));
    // 4 and 5 will never come, says 11; then 6 does come.
    bench.take(&[sender.gap(4, 5, 2)]);
    assert_eq!(bench.watermark(), 5);
    bench.take(&sent[5..6]);
    assert_eq!(bench.watermark(), 11);
    let report = bench.report(Some(&sender.trusted()));
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.declared.get("evicted"), report.received), (Some(&2), 9));
    // One of them arrives all the same: it was in flight when it was evicted.
    bench.take(&sent[3..4]);
    assert_eq!(bench.report(None).declared.get("evicted"), Some(&1));
}

#[test]
fn a_gap_may_arrive_before_its_neighbours_and_overlap_and_never_reaches_beyond_its_own_number() {
    let (mut bench, mut sender) = (Bench::new(), Box::new("00000000000000aa"));
    let sent: Vec<Numbered> = (0..8).map(|_| sender.read()).collect();
    let (nine, ten, bold) = (sender.gap(3, 5, 3), sender.gap(4, 7, 2), sender.gap(1, 4000, 4000));
    bench.take(&[bold, ten, nine]);
    assert_eq!(bench.watermark(), 0);
    bench.take(&sent[..2]);
    assert_eq!(bench.watermark(), 7);
    bench.take(&sent[7..]);
    assert_eq!(bench.watermark(), 11);
    let report = bench.report(None);
    assert_eq!((report.highest, report.declared.get("evicted"), report.undeclared.len()), (11, Some(&5), 0));
}

#[test]
fn the_same_number_with_other_content_is_a_conflict_and_both_are_kept() {
    let (mut bench, mut sender) = (Bench::new(), Box::new("00000000000000aa"));
    let first = sender.read();
    let mut other = Numbered { payload: b"{\"n\":7}".to_vec(), ..first.clone() };
    sender.sign(&mut other, Link::default());
    let taken = bench.take(&[first, other.clone(), other]);
    assert_eq!((taken.new, taken.duplicates, taken.aside), (1, 0, vec![(1, Why::Conflict), (2, Why::Conflict)]));
    let report = bench.report(None);
    assert_eq!((report.received, report.aside.get("conflict"), report.is_whole()), (1, Some(&1), false));
}

#[test]
fn what_a_device_did_not_sign_is_kept_aside_and_takes_no_number_away() {
    let (mut bench, mut sender, mut stranger) = (Bench::new(), Box::new("00000000000000aa"), Box::new("00000000000000aa"));
    let real = sender.read();
    let unsigned = Numbered { signed: None, ..real.clone() };
    let changed = Numbered { topic: "kerbside/v1/o/d/unread".into(), ..real.clone() };
    let trusted = sender.trusted();
    let batch = [unsigned, changed, stranger.read(), real];
    let taken = bench.store.take(&batch, Some(&trusted), SystemClock.now().utc).unwrap();
    assert_eq!(taken.aside, [(0, Why::Unsigned), (1, Why::BadSignature), (2, Why::UnknownKey)]);
    assert_eq!((taken.new, bench.watermark()), (1, 1));
    let report = bench.report(Some(&trusted));
    assert_eq!((report.aside.len(), report.first_break), (3, None));
}

#[test]
fn a_number_that_does_not_follow_is_named_as_it_comes_and_in_the_report() {
    for backwards in [false, true] {
        let (mut bench, mut sender) = (Bench::new(), Box::new("00000000000000aa"));
        let mut sent: Vec<Numbered> = (0..3).map(|_| sender.read()).collect();
        sender.prev = Link::default(); // it forgot what it sent
        sent.push(sender.read());
        sent.push(sender.read());
        if backwards {
            sent.reverse();
        }
        let taken = bench.store.take(&sent, Some(&sender.trusted()), SystemClock.now().utc).unwrap();
        assert_eq!(taken.breaks.len(), 1, "{taken:?}");
        assert!(taken.breaks[0].1.contains("number 4 does not follow number 3"), "{taken:?}");
        let mut watch = Watch::new(sender.trusted());
        assert_eq!(sent.iter().filter_map(|m| watch.look(m)).count(), 1);
        let report = bench.report(None);
        assert_eq!(report.first_break.as_ref().map(|b| b.seq), Some(4), "{report:?}");
        assert_eq!(report.watermark, 5, "it is stored all the same");
    }
}

#[test]
fn a_store_that_somebody_changed_is_found_out() {
    let (mut bench, mut sender) = (Bench::new(), Box::new("00000000000000aa"));
    let sent: Vec<Numbered> = (0..5).map(|_| sender.read()).collect();
    bench.take(&sent);
    let path = bench.dir.path().join("received.sqlite");
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute("UPDATE message SET payload = x'7b7d' WHERE seq = 3", []).unwrap();
    let broken = bench.report(None).first_break.unwrap();
    assert_eq!(broken.seq, 3);
    assert!(broken.what.contains("content"), "{broken:?}");
}

#[test]
fn one_store_has_one_receiver_and_an_id_for_life() {
    let bench = Bench::new();
    let id = bench.store.id().unwrap();
    assert!(matches!(Store::open(bench.dir.path()), Err(StoreError::Held { .. })));
    let Bench { dir, store } = bench;
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().id().unwrap(), id);
    assert_eq!(id.len(), 16);
    let nowhere = dir.path().join("nowhere");
    assert!(report::report(&nowhere, None).is_err() && Store::open(&nowhere).is_err());
}

#[test]
fn devices_and_streams_are_kept_apart() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (Box::new("00000000000000aa"), Box::new("00000000000000bb"));
    let of_other = Numbered { device: "o/e".into(), topic: "kerbside/v1/o/e/read".into(), ..one.read() };
    bench.take(&[one.read(), two.read(), of_other]);
    let marks: Vec<u64> = bench.store.watermarks().unwrap().iter().map(|w| w.seq.map_or(0, Seq::get)).collect();
    assert_eq!(marks, [0, 1, 1]);
    assert_eq!(device_of("kerbside/v1/o/d/read"), Some("o/d"));
    for topic in ["kerbside/v1/o/d", "kerbside/v1//d/read", "kerbside/v2/o/d/read", "o/d/read"] {
        assert_eq!(device_of(topic), None, "{topic}");
    }
}
