//! Rows that stay until the back office has confirmed them: no broker's word lets them go, nobody else's either, and what a broker
//! forgot is sent again.

#![allow(clippy::print_stdout)] // figures for the log

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kerbside::clock::{Clock, SystemClock};
use kerbside::outbox::chain::StreamId;
use kerbside::outbox::{GapReason, Lane, Qos, Seq};
use kerbside::publish::mqtt::{BackOffice, Confirm, Live, MqttOptions, Outbound, Subscriber, SubscriberOptions};
use kerbside::publish::wire::{AckMessage, Message};

use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use crate::support::publisher::{self, Listener, Publisher, draft, reads, wait_for};
use crate::support::receiver::Receiver;

const TOPIC: &str = "kerbside/v1/o/d/ack";

fn options(port: u16, wait_ms: u64) -> MqttOptions {
    let mut options = publisher::options(port, "p");
    let wait = Duration::from_millis(wait_ms);
    options.confirm = Confirm::BackOffice(BackOffice { topic: TOPIC.into(), device: "d".into(), wait });
    options
}

fn ack(device: &str, stream: StreamId, watermark: u64) -> Vec<u8> {
    AckMessage::new(device, stream, Seq::new(watermark), SystemClock.now().utc).encode().unwrap()
}

/// Publishes acknowledgements, retained, as a back office does, and waits until the broker has them.
fn say(port: u16, messages: &[Vec<u8>]) {
    publisher::runtime().block_on(async {
        let filters = vec!["kerbside/v1/o/office".to_owned()];
        let mut office = Subscriber::new(SubscriberOptions::new(publisher::broker(port, "office"), filters, Qos::AtLeastOnce));
        office.subscribed().await;
        for payload in messages {
            let (topic, schema) = (TOPIC.to_owned(), AckMessage::SCHEMA.to_owned());
            office.publish(Outbound { topic, schema, payload: payload.clone(), retain: true, ..Outbound::default() }).unwrap();
        }
        office.close().await;
    });
}

#[test]
fn nothing_leaves_without_the_watermark() {
    let broker = Mosquitto::start("");
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut publisher = Publisher::start_with(options(broker.port, 60_000), &dir, &[]);
    let stream = publisher.outbox.outlet().unwrap().stream();
    publisher.commit(&reads(0, 2000));
    wait_for("the broker's word for all", || publisher.counters().acknowledged == 2000);
    assert_eq!((publisher.stored().rows(), publisher.counters().confirmed), (2000, None));
    say(broker.port, &[ack("d", stream, 1500)]);
    wait_for("the watermark", || publisher.stored().rows() == 500);
    assert_eq!(publisher.counters().confirmed, Some(1500));
    // Back is no way for a watermark.
    say(broker.port, &[ack("d", stream, 3), ack("d", stream, 1501)]);
    wait_for("one more", || publisher.stored().rows() == 499);
    let counters = publisher.counters();
    assert_eq!((counters.confirmed, counters.acks_refused, counters.resent), (Some(1501), 0, 0));
    publisher.stop();

    // What is retained at the broker is heard at the next start, before anything can be sent in vain for long.
    say(broker.port, &[ack("d", stream, 1990)]);
    let publisher = Publisher::start_with(options(broker.port, 60_000), &dir, &[]);
    wait_for("the watermark of before", || publisher.stored().rows() == 10);
    assert_eq!(publisher.counters().confirmed, Some(1990));
}

#[test]
fn forged_acknowledgements_delete_nothing() {
    let broker = Mosquitto::start("");
    let mut publisher = Publisher::start(options(broker.port, 60_000));
    let stream = publisher.outbox.outlet().unwrap().stream();
    publisher.commit(&reads(0, 40));
    wait_for("the broker's word for all", || publisher.counters().acknowledged == 40);
    let other: StreamId = "0011223344556677".parse().unwrap();
    let huge = String::from_utf8(ack("d", stream, 1)).unwrap().replace("\"watermark\":1", "\"watermark\":18446744073709551615");
    let forged = [
        (ack("d", other, 40), "it is of the stream \"0011223344556677\""),
        (ack("d", stream, 41), "it confirms number 41, the last one given is 40"),
        (ack("e", stream, 40), "it is for the device \"e\""),
        (huge.into_bytes(), "it confirms number 18446744073709551615"),
        (b"{\"watermark\":40}".to_vec(), "it can't be read"),
    ];
    for (n, (payload, says)) in (1..).zip(forged) {
        say(broker.port, &[payload]);
        wait_for("a refusal", || publisher.counters().acks_refused == n);
        let said = publisher.counters().last_error.unwrap();
        assert!(said.contains(says), "{said}");
    }
    assert_eq!((publisher.stored().rows(), publisher.counters().confirmed), (40, None));
    // What the back office has and was never given here was given before a backup was restored: no new row gets such a number.
    assert!(publisher.commit(&reads(0, 1))[0].get() > 41);
    let gaps = publisher.outbox.outlet().unwrap().gaps(9).unwrap();
    assert!(gaps.iter().any(|g| g.reason == GapReason::Damaged && g.first.get() <= 41 && g.last.get() >= 41), "{gaps:?}");
    let last = publisher.outbox.outlet().unwrap().last_seq().unwrap();
    assert!(last < 100, "no jump to what is implausible: {last}");
    say(broker.port, &[ack("d", stream, last)]);
    publisher.wait_until_empty();
    assert_eq!(publisher.counters().acks_refused, 5);
}

#[test]
fn what_is_not_confirmed_is_sent_again_ever_more_rarely_and_not_while_it_flies() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let mut publisher = Publisher::start(options(broker.port, 200));
    let stream = publisher.outbox.outlet().unwrap().stream();
    publisher.commit(&reads(0, 10));
    let begun = Instant::now();
    wait_for("three more rounds", || listener.seqs().len() == 40);
    // 200, 400 and 800 ms, each found a quarter of the base late at most, and a busy machine.
    let took = begun.elapsed();
    assert!((Duration::from_millis(1_350)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(listener.seqs(), (1..=10).cycle().take(40).collect::<Vec<_>>());
    assert_eq!((publisher.counters().resent, publisher.counters().epochs), (30, 1));
    assert!(listener.seen()[11..].iter().filter(|m| m.seq.is_some()).all(|m| m.historical == Some(true)));
    // The back office moves: the wait is short again, and only what is above the watermark comes.
    say(broker.port, &[ack("d", stream, 7)]);
    wait_for("the next round", || listener.seqs().len() == 43);
    assert_eq!(listener.seqs()[40..], [8, 9, 10]);
    say(broker.port, &[ack("d", stream, 10)]);
    publisher.wait_until_empty();

    // A row that the broker has not answered for is left to fly.
    let proxy = Proxy::start(broker.port);
    let mut publisher = Publisher::start(options(proxy.port, 100));
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    proxy.black_hole(true);
    publisher.commit(&reads(0, 5));
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!((publisher.counters().published, publisher.counters().resent), (5, 0));
    proxy.black_hole(false);
    proxy.cut();
}

/// A way to the broker that takes its time for each piece.
fn slow_way(target: u16, pause: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let broker = TcpStream::connect(("127.0.0.1", target)).unwrap();
            let (mut up, mut down) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut down, &mut up)));
            let (mut from, mut to, mut piece) = (client, broker, [0; 4096]);
            std::thread::spawn(move || {
                while let Ok(length @ 1..) = from.read(&mut piece) {
                    std::thread::sleep(pause);
                    if to.write_all(&piece[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// Or the text would go again and again, and the pictures never.
#[test]
fn nothing_is_sent_again_before_all_was_sent_once() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let mut drafts = reads(0, 100);
    drafts.extend((100..180).map(|n| draft(Lane::Patch, n)));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let port = slow_way(broker.port, Duration::from_millis(10));
    let mut publisher = Publisher::start_with(options(port, 100), &dir, &drafts[..140]);
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    publisher.commit(&drafts[140..]);
    wait_for("all, once", || publisher.counters().acknowledged >= 180);
    assert_eq!(listener.seqs(), (1..=180).collect::<Vec<_>>());
    // Then the wait runs.
    wait_for("the next round", || publisher.counters().resent >= 180);
}

/// The back office's watermark waits for reports of gaps: they must not wait for it.
#[test]
fn a_report_of_gaps_that_the_broker_has_makes_room_for_the_next() {
    let broker = Mosquitto::start("");
    let mut publisher = Publisher::start(options(broker.port, 60_000));
    let seqs = publisher.commit(&reads(0, 5));
    wait_for("the broker's word", || publisher.counters().acknowledged == 5);
    let now = SystemClock.now();
    let mut outlet = publisher.outbox.outlet().unwrap();
    outlet.lose(&seqs[..1], GapReason::Damaged, now.utc).unwrap();
    let gaps = publisher.outbox.untold_gaps(9, 1).unwrap();
    assert_eq!(gaps.len(), 1);
    publisher.outbox.commit_report(draft(Lane::Read, 5), &gaps, now).unwrap();
    outlet.lose(&seqs[3..4], GapReason::Damaged, now.utc).unwrap();
    assert_eq!(publisher.outbox.untold_gaps(9, 1).unwrap(), [], "one at a time");
    publisher.commit(&reads(0, 1));
    wait_for("room for the next", || publisher.outbox.untold_gaps(9, 1).unwrap().len() == 1);
    assert_eq!(publisher.counters().confirmed, None);
}

#[test]
fn what_somebody_wants_again_is_not_of_the_moment() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let mut publisher = Publisher::start(options(broker.port, 60_000));
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    let mut drafts = reads(0, 2);
    drafts.extend([draft(Lane::Alert, 2), draft(Lane::Patch, 3), draft(Lane::Overview, 4)]);
    let seqs = publisher.commit(&drafts);
    wait_for("all of them", || publisher.counters().acknowledged == 5);
    publisher.live.try_send(Live::Resend { seqs }).unwrap();
    wait_for("all of them again", || listener.seqs().len() == 10);
    let seen: Vec<_> = listener.seen().into_iter().filter(|m| m.seq.is_some()).collect();
    assert!(seen[..5].iter().all(|m| m.historical == Some(false)));
    assert!(seen[5..].iter().all(|m| m.historical == Some(true) && m.expiry_s.is_none()), "{:?}", &seen[5..]);
    // After that, what comes is of the moment.
    publisher.commit(&[draft(Lane::Alert, 5)]);
    wait_for("the next alert", || listener.seqs().len() == 11);
    assert_eq!(listener.seen().last().unwrap().historical, Some(false));
}

/// What the broker has acknowledged dies with it; the receiver's store is the judge.
#[test]
fn a_broker_that_forgets_what_it_acknowledged_loses_nothing() {
    let mut broker = Mosquitto::start("");
    let office = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(broker.port, office.path(), &[]);
    let mut publisher = Publisher::start(options(broker.port, 500));
    let (kills, each) = (6, 100);
    for round in 1..=kills {
        publisher.commit(&reads(0, each / 2));
        // Now and then the receiver is away: the broker takes the rows, and has them only until it dies.
        if round % 3 == 0 {
            receiver.kill();
        }
        wait_for("some of the broker's word", || publisher.counters().published >= (round - 1) * each + 10);
        broker.kill();
        publisher.commit(&reads(0, each / 2));
        broker.restart();
        if round % 3 == 0 {
            receiver.restart();
        }
    }
    publisher.wait_until_empty();
    let total = kills * each;
    let counters = publisher.counters();
    assert_eq!(counters.confirmed, Some(total));
    let report = receiver.stream();
    println!("broker killed {kills} times, persistence off: {total} committed, {counters:?}\n{report}");
    assert_eq!((report["watermark"].as_u64(), report["received"].as_u64()), (Some(total), Some(total)), "{report}");
    assert_eq!((report["undeclared"].as_array().map(Vec::len), counters.acks_refused), (Some(0), 0));
}
