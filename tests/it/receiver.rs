//! The back office's end as a process against a real broker: every number once, every gap known, every forgery named, nothing
//! acknowledged that is not on disk.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::time::Duration;

use kerbside::clock::{Clock, SystemClock};
use kerbside::keys::SigningKey;
use kerbside::outbox::chain::StreamId;
use kerbside::outbox::{Draft, Gap, GapReason, Lane, Limits, Outbox, OutboxOptions, Qos, Seq};
use kerbside::publish::wire::{GapMessage, Message, Source};
use serde_json::{Value, json};

use crate::support::mosquitto::Mosquitto;
use crate::support::program;
use crate::support::publisher::{BASE, Listener, Publisher, draft, options, wait_for};
use crate::support::receiver::{Raw, Receiver, send};

fn drafts(n: u64) -> Vec<Draft> {
    (0..n).map(|i| draft(Lane::Read, i)).collect()
}

/// The highest watermark that the receiver has published.
fn acknowledged(listener: &Listener) -> u64 {
    let acks = listener.seen().into_iter().filter(|m| m.topic == format!("{BASE}/ack"));
    acks.filter_map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap()["watermark"].as_u64()).max().unwrap_or(0)
}

/// Envelopes of a box that signs, and its public key in a file.
struct SignedBox {
    stream: StreamId,
    sent: Vec<Raw>,
    public: String,
    other: SigningKey,
    dir: tempfile::TempDir,
}

impl SignedBox {
    fn new(drafts: &[Draft]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(SigningKey::generate().unwrap());
        let public = dir.path().join("public.pem");
        std::fs::write(&public, key.public_pem()).unwrap();
        let limits = Limits { max_bytes: 64 << 20, max_rows: 100_000 };
        let options = OutboxOptions { signing_key: Some(key), ..OutboxOptions::plain(limits) };
        let (mut outbox, _) = Outbox::open(&dir.path().join("state"), options, SystemClock.now()).unwrap();
        outbox.commit(drafts, SystemClock.now()).unwrap();
        let outlet = outbox.outlet().unwrap();
        let stream = outlet.stream();
        let rows = outlet.rows(Seq::new(1).unwrap(), 1000).unwrap();
        let sent = rows.into_iter().map(|(_, envelope)| Raw::of(stream, &envelope.unwrap())).collect();
        let public = public.to_str().unwrap().to_owned();
        Self { stream, sent, public, other: SigningKey::generate().unwrap(), dir }
    }
}

#[test]
fn receiver_has_every_number_once_through_restarts_of_itself_and_of_the_broker() {
    let mut broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    let mut receiver = Receiver::start(broker.port, dir.path(), &[]);
    let mut publisher = Publisher::start(options(broker.port, "box"));
    publisher.commit(&drafts(50));
    wait_for("fifty", || acknowledged(&listener) == 50);
    let first = receiver.stream();
    assert_eq!((&first["received"], &first["watermark"], &first["whole"]), (&50.into(), &50.into(), &true.into()));

    // While it is away the broker keeps its place.
    receiver.kill();
    publisher.commit(&drafts(50));
    publisher.wait_until_empty();
    receiver.restart();
    wait_for("a hundred", || acknowledged(&listener) == 100);

    // A broker that forgets everything: the receiver tells again how far it is.
    let acks = || listener.seen().iter().filter(|m| m.topic == format!("{BASE}/ack")).count();
    let (before, connections) = (acks(), listener.connections());
    broker.restart();
    wait_for("the watermark again", || listener.connections() > connections && acks() > before);
    publisher.commit(&drafts(50));
    wait_for("a hundred and fifty", || acknowledged(&listener) == 150);
    let (streams, exit) = receiver.report(&[]);
    assert_eq!((streams[0]["received"].as_u64(), streams[0]["whole"].as_bool(), exit), (Some(150), Some(true), Some(0)));
    publisher.stop();
}

#[test]
fn receiver_killed_again_and_again_loses_nothing_that_it_acknowledged() {
    let broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(broker.port, dir.path(), &[]);
    let mut publisher = Publisher::start(options(broker.port, "box"));
    let mut sent = 0;
    for round in 0..8u64 {
        publisher.commit(&drafts(100));
        sent += 100;
        // Somewhere in the middle of these.
        std::thread::sleep(Duration::from_millis(250 + (round * 37) % 190));
        receiver.restart();
    }
    publisher.wait_until_empty();
    wait_for("all of them", || receiver.stream()["watermark"].as_u64() == Some(sent));
    let stream = receiver.stream();
    assert_eq!((stream["received"].as_u64(), &stream["undeclared"], &stream["whole"]), (Some(sent), &json!([]), &true.into()));
}

#[test]
fn receiver_names_every_forgery_and_lets_none_take_a_number_away() {
    let broker = Mosquitto::start("");
    let sender = SignedBox::new(&drafts(6));
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(broker.port, dir.path(), &["--verify", &sender.public]);
    let [one, two, three, four, five, six] = <[Raw; 6]>::try_from(sender.sent.clone()).unwrap();
    let forged = [
        (two.clone().with("sig", ""), "number 2: it is not signed"),
        (three.clone().with("key", &sender.other.id().to_string()), "number 3: it is signed with a key that is not trusted"),
        (Raw { payload: b"{\"n\":99}".to_vec(), ..four.clone() }, "number 4: its key did not sign this"),
        (Raw { topic: format!("{BASE}/unread"), ..five.clone() }, "number 5: its key did not sign this"),
        (six.clone().with("seq", "7"), "number 7: its key did not sign this"),
        (six.clone().with("stream", "00112233445566aa"), "stream 00112233445566aa number 6: its key did not sign this"),
    ];
    let mut all: Vec<Raw> = forged.iter().map(|(raw, _)| raw.clone()).collect();
    all.extend([one, two, three, four, five, six.clone(), six]);
    send(broker.port, &all);
    wait_for("six good ones", || receiver.report(&[]).0.iter().any(|s| s["watermark"] == 6 && s["duplicates"] == 1));
    let log = receiver.log();
    for (_, says) in &forged {
        assert!(log.contains(says), "{says:?} is missing from: {log}");
    }
    let (streams, exit) = receiver.report(&["--verify", &sender.public]);
    let stream = streams.iter().find(|s| s["stream"] == sender.stream.to_string()).unwrap();
    assert_eq!(stream["aside"], json!({ "unsigned": 1, "unknown_key": 1, "bad_signature": 3 }));
    assert_eq!((&stream["received"], &stream["first_break"], exit), (&6.into(), &Value::Null, Some(70)));

    // Another key's report believes none of it.
    let stranger = sender.dir.path().join("stranger.pem");
    std::fs::write(&stranger, sender.other.public_pem()).unwrap();
    let (streams, exit) = receiver.report(&["--verify", stranger.to_str().unwrap()]);
    let stream = streams.iter().find(|s| s["stream"] == sender.stream.to_string()).unwrap();
    assert_eq!((&stream["first_break"]["seq"], exit), (&1.into(), Some(70)));
}

#[test]
fn receiver_takes_any_order_counts_conflicts_and_believes_declared_gaps() {
    let broker = Mosquitto::start("");
    let source = Source { device: "d".into(), ..Source::default() };
    let (seq, now) = (|n| Seq::new(n).unwrap(), SystemClock.now().utc);
    let gap = Gap { first: seq(4), last: seq(5), count: 2, reason: GapReason::Evicted, noted: now };
    let mut all = drafts(8);
    let payload = GapMessage::new(&source, &[gap], now).encode().unwrap();
    all.push(Draft { topic: format!("{BASE}/gap"), schema: GapMessage::SCHEMA.into(), payload, ..draft(Lane::Read, 0) });
    let sender = SignedBox::new(&all);
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(broker.port, dir.path(), &[]);
    // 9 is the gap message, 4 and 5 never come, 7 is late.
    let pick = |numbers: &[usize]| numbers.iter().map(|n| sender.sent[n - 1].clone()).collect::<Vec<_>>();
    send(broker.port, &pick(&[9, 3, 1, 8, 2, 6, 2]));
    wait_for("the numbers before the hole", || receiver.stream()["watermark"] == 6);
    let stream = receiver.stream();
    assert_eq!((&stream["undeclared"], &stream["declared"]), (&json!([[7, 7]]), &json!({ "evicted": 2 })));
    let conflict = Raw { payload: b"{}".to_vec(), ..sender.sent[2].clone() };
    send(broker.port, &[pick(&[7]), vec![conflict]].concat());
    wait_for("the conflict", || receiver.stream()["aside"] == json!({ "conflict": 1 }));
    let stream = receiver.stream();
    assert_eq!((&stream["watermark"], &stream["received"], &stream["duplicates"]), (&9.into(), &7.into(), &1.into()));
    assert_eq!((&stream["undeclared"], &stream["first_break"]), (&json!([]), &Value::Null));
    assert!(receiver.log().contains("number 3: another message has this number already"));
    let words = program::run(dir.path(), &["listen", "--store", ".", "--report"]);
    let said = program::stdout(&words);
    assert!(said.contains("received    7 of 9") && said.contains("2 evicted") && said.contains("1 conflict"), "{said}");
}

#[test]
fn receiver_verifies_without_a_store_too_and_keeps_marks_out_of_checkouts() {
    let broker = Mosquitto::start("");
    let sender = SignedBox::new(&drafts(4));
    let dir = tempfile::tempdir().unwrap();
    let port = broker.port.to_string();
    let args = ["listen", "--port", &port, "--json", "--count", "5", "--verify", &sender.public];
    // What the broker keeps comes first, and tells that it listens.
    send(broker.port, &[Raw { topic: format!("{BASE}/status"), payload: b"{}".to_vec(), retain: true, ..Raw::default() }]);
    let mut listening = program::kerbside(dir.path())
        .args(args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("/status"));
    let mut all = sender.sent.clone();
    all[2].payload = b"{\"n\":99}".to_vec();
    send(broker.port, &all);
    assert_eq!(lines.count(), 4);
    let complained = program::stderr(&listening.wait_with_output().unwrap());
    assert_eq!(complained.lines().filter(|l| l.contains("number 3: its key did not sign this")).count(), 1, "{complained}");
    assert_eq!(complained.lines().count(), 1, "{complained}");

    std::fs::create_dir(dir.path().join(".git")).unwrap();
    let refused = program::run(dir.path(), &["listen", "--port", &port, "--store", "kept"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(program::stderr(&refused).contains("--store") && !dir.path().join("kept").exists());
    let nothing = program::run(dir.path(), &["listen", "--store", "kept", "--report"]);
    assert_eq!(nothing.status.code(), Some(70), "{}", program::stderr(&nothing));
}
