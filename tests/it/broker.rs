//! The way from the outbox to a broker, over bad links and with bad brokers: nothing lost, nothing credited wrongly.
//!
//! A real mosquitto wherever it can be made to behave as needed; a scripted one where it can't (`support/fake_broker.rs`).
//! Deliveries are counted by sequence number at a subscriber of its own. `kill` is SIGKILL.

#![allow(clippy::print_stdout)] // figures for the log

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::support::fake_broker::{self, Answer};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use crate::support::publisher::{self, BASE, Listener, Publisher, draft, options, reads, wait_for};
use kerbside::outbox::{GapReason, Lane, Qos};
use kerbside::publish::mqtt::{Live, NoSubscriber, Outbound, Subscriber, SubscriberOptions};

#[test]
fn rows_arrive_in_lane_and_sequence_order_with_their_properties() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let lanes = [Lane::Overview, Lane::Patch, Lane::Read, Lane::Health, Lane::Alert, Lane::Read, Lane::Alert];
    let mut drafts: Vec<_> = (0..).zip(lanes).map(|(n, lane)| draft(lane, n)).collect();
    drafts[3].qos = Qos::AtMostOnce; // released as soon as it is sent
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut publisher = Publisher::start_with(options(broker.port, "p"), &dir, &drafts);
    publisher.wait_until_empty();
    wait_for("all rows", || listener.seqs().len() == 7);
    assert_eq!(listener.seqs(), [5, 7, 3, 6, 4, 2, 1]);

    let live = publisher.commit(&[draft(Lane::Alert, 7)])[0].get();
    wait_for("the live alert", || listener.seqs().len() == 8);
    let seen: BTreeMap<u64, _> = listener.seen().into_iter().filter_map(|m| m.seq.map(|s| (s, m))).collect();
    for message in seen.values() {
        assert_eq!(message.content_type.as_deref(), Some("application/json"));
        assert!(!message.retained);
    }
    assert_eq!(seen[&3].schema.as_deref(), Some("kerbside.read/1"));
    assert_eq!(seen[&3].payload, b"{\"n\":2}");
    assert_eq!((seen[&5].historical, seen[&5].expiry_s), (Some(true), None), "an old alert never expires");
    assert_eq!((seen[&live].historical, seen[&live].expiry_s.map(|s| s > 50)), (Some(false), Some(true)));
    let counters = publisher.stop();
    assert_eq!((counters.published, counters.acknowledged, counters.resent, counters.epochs), (8, 8, 0, 1));
}

/// The tap subscribes with QoS 0: mosquitto writes to its socket before it acknowledges the publisher, and a tap that owes the
/// broker nothing reads its socket to the end. So what was acknowledged is seen, even by a broker that keeps nothing on disk.
#[test]
fn a_broker_killed_again_and_again_loses_nothing() {
    let mut broker = Mosquitto::start("");
    let tap = Listener::start(broker.port, "tap", Qos::AtMostOnce);
    let mut options = options(broker.port, "p");
    options.no_subscriber = NoSubscriber::Hold; // the tap may come back later than we do
    let mut publisher = Publisher::start(options);
    let kills = 5;
    for round in 0..kills {
        publisher.commit(&reads(round * 40, 20));
        wait_for("some acknowledgements", || publisher.counters().acknowledged >= round * 40 + 3);
        broker.kill();
        publisher.commit(&reads(round * 40 + 20, 20));
        broker.restart();
        wait_for("the backlog", || publisher.counters().acknowledged >= (round + 1) * 40);
    }
    publisher.wait_until_empty();
    wait_for("all rows at the tap", || tap.seqs().iter().collect::<BTreeSet<_>>().len() == 200);
    let seqs = tap.seqs();
    let unique: BTreeSet<_> = seqs.iter().copied().collect();
    assert_eq!(unique, (1..=200).collect());
    let counters = publisher.counters();
    assert_eq!(counters.acknowledged, 200);
    assert!(counters.epochs > kills && tap.connections() > kills, "{counters:?}");
    println!(
        "killed {kills} times: 200 committed, {} published, {} received, {} duplicates, 0 lost, {} epochs, {} held for want of a subscriber",
        counters.published,
        seqs.len(),
        seqs.len() - unique.len(),
        counters.epochs,
        counters.refused
    );
}

/// Runs A5 and A6 of our client tests: acknowledgements vanish, then the connection. The obvious use of the client lost 23 of 60.
#[test]
fn a_black_hole_and_a_cut_lose_nothing_and_credit_nothing_wrongly() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let proxy = Proxy::start(broker.port);
    let mut publisher = Publisher::start(options(proxy.port, "p"));
    publisher.commit(&reads(0, 20));
    publisher.wait_until_empty();
    let mut total = 20;
    for round in 1..=3u64 {
        proxy.black_hole(true);
        publisher.commit(&reads(total, 40));
        let before = publisher.counters();
        let unique = || listener.seqs().into_iter().collect::<BTreeSet<_>>();
        // The window is in flight, the broker has it all, and not one of the 40 has been credited.
        wait_for("a full window at the broker", || unique().len() as u64 == total + 16);
        assert_eq!(publisher.stored().rows(), 40);
        assert_eq!(publisher.counters().acknowledged, before.acknowledged);
        proxy.cut();
        proxy.black_hole(false);
        publisher.wait_until_empty();
        total += 40;
        wait_for("all rows", || unique().len() as u64 == total);
        assert_eq!(publisher.counters().resent, round * 16);
    }
    let seqs = listener.seqs();
    let unique: BTreeSet<_> = seqs.iter().copied().collect();
    assert_eq!(unique, (1..=total).collect());
    assert_eq!(seqs.len() - unique.len(), 48, "just what was in flight came twice");
    let counters = publisher.counters();
    assert_eq!((counters.acknowledged, counters.published), (total, total + 48));
    println!(
        "3 black holes: {total} committed, {} published, {} received, 48 duplicates, 0 lost",
        counters.published,
        seqs.len()
    );
}

#[test]
fn a_row_too_large_for_the_broker_is_noted_and_its_neighbours_arrive() {
    let broker = Mosquitto::start("max_packet_size 2000");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let mut drafts = reads(0, 3);
    drafts[1].payload = vec![b'x'; 5000];
    let mut publisher = Publisher::start(options(broker.port, "p"));
    publisher.commit(&drafts);
    publisher.wait_until_empty();
    wait_for("the neighbours", || listener.seqs().len() == 2);
    assert_eq!(listener.seqs(), [1, 3]);
    let gaps = publisher.outbox.outlet().unwrap().gaps(9).unwrap();
    assert_eq!((gaps.len(), gaps[0].first.get(), gaps[0].last.get(), gaps[0].reason), (1, 2, 2, GapReason::TooLarge));
    let counters = publisher.counters();
    assert_eq!((counters.dead_lettered, counters.acknowledged, counters.epochs), (1, 2, 1));
    // The edge itself: the largest row that fits goes through.
    let mut low = draft(Lane::Read, 9);
    low.payload = vec![b'x'; 1700];
    publisher.commit(&[low]);
    wait_for("the one that fits", || listener.seqs() == [1, 3, 4]);
}

#[test]
fn alerts_overtake_a_backlog_after_an_outage() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let proxy = Proxy::start(broker.port);
    proxy.refuse(true);
    let mut publisher = Publisher::start(options(proxy.port, "p"));
    let mut drafts: Vec<_> = (0..30).map(|n| draft(Lane::Overview, n)).collect();
    drafts.extend(reads(30, 100));
    publisher.commit(&drafts);
    wait_for("a failed try", || publisher.counters().last_error.is_some());
    publisher.commit(&[draft(Lane::Alert, 130), draft(Lane::Alert, 131)]);
    proxy.refuse(false);
    publisher.wait_until_empty();
    wait_for("all rows", || listener.seqs().len() == 132);
    let expected: Vec<u64> = [131, 132].into_iter().chain(31..=130).chain(1..=30).collect();
    assert_eq!(listener.seqs(), expected);
    assert!(listener.seen().iter().filter(|m| m.seq.is_some()).all(|m| m.historical == Some(true)));
}

#[test]
fn a_refused_row_stays_others_go_on_and_it_is_delivered_later() {
    let mut refusals = BTreeMap::new();
    let (port, log) = fake_broker::start(&[], move |heard| match heard.seq {
        Some(seq @ (2 | 5)) => {
            let times = refusals.entry(seq).or_insert(0);
            *times += 1;
            // Quota exceeded; not authorised.
            if *times < seq { Answer::Ack(if seq == 2 { 0x97 } else { 0x87 }) } else { Answer::Ack(0) }
        }
        _ => Answer::Ack(0),
    });
    let mut publisher = Publisher::start(options(port, "p"));
    publisher.commit(&reads(0, 40));
    publisher.wait_until_empty();
    let heard: Vec<_> = log.lock().unwrap().iter().filter_map(|h| h.seq).collect();
    let count = |seq| heard.iter().filter(|s| **s == seq).count();
    assert_eq!((count(2), count(5)), (2, 5));
    assert!((1..=40).filter(|s| ![2, 5].contains(s)).all(|s| count(s) == 1), "{heard:?}");
    let last_of_two = heard.iter().rposition(|s| *s == 2).unwrap();
    assert!(heard[..last_of_two].contains(&40), "the others did not wait: {heard:?}");
    let counters = publisher.counters();
    assert_eq!((counters.refused, counters.acknowledged, counters.epochs), (5, 40, 1));
}

#[test]
fn a_row_that_makes_the_broker_hang_up_does_not_stop_the_others() {
    let (port, log) = fake_broker::start(&[], |heard| match heard.seq {
        Some(3) if heard.connection < 8 => Answer::HangUp,
        _ => Answer::Ack(0),
    });
    let mut publisher = Publisher::start(options(port, "p"));
    publisher.commit(&reads(0, 10));
    publisher.wait_until_empty();
    let heard: Vec<_> = log.lock().unwrap().iter().filter_map(|h| h.seq).collect();
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 10);
    assert_eq!(publisher.counters().acknowledged, 10);
}

#[test]
fn a_broker_that_accepts_and_forgets_is_left_and_the_rows_are_sent_again() {
    let (port, log) = fake_broker::start(&[], |heard| match heard.seq {
        Some(4) if heard.connection == 1 => Answer::Silence,
        _ => Answer::Ack(0),
    });
    let mut options = options(port, "p");
    options.ack_timeout = Duration::from_millis(300);
    let mut publisher = Publisher::start(options);
    publisher.commit(&reads(0, 8));
    publisher.wait_until_empty();
    let heard = log.lock().unwrap();
    let fours: Vec<_> = heard.iter().filter(|h| h.seq == Some(4)).map(|h| h.connection).collect();
    assert_eq!(fours, [1, 2]);
    assert_eq!(publisher.counters().resent, 1);
}

#[test]
fn the_window_never_exceeds_the_brokers_receive_maximum() {
    // Receive maximum 3; it answers nothing on the first connection, so what it heard there is the window.
    let (port, log) = fake_broker::start(&[0x21, 0, 3], |heard| match (heard.connection, heard.seq) {
        (1, Some(_)) => Answer::Silence,
        _ => Answer::Ack(0),
    });
    let mut options = options(port, "p");
    options.ack_timeout = Duration::from_millis(400);
    let mut publisher = Publisher::start(options);
    publisher.commit(&reads(0, 10));
    publisher.wait_until_empty();
    let first = log.lock().unwrap().iter().filter(|h| h.connection == 1 && h.seq.is_some()).count();
    assert!((1..=3).contains(&first), "{first} in flight at once");
}

#[test]
fn the_will_speaks_when_the_client_is_killed_and_a_clean_stop_speaks_for_itself() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let statuses = || -> Vec<String> {
        let status = format!("{BASE}/status");
        listener.seen().iter().filter(|m| m.topic == status).map(|m| String::from_utf8(m.payload.clone()).unwrap()).collect()
    };
    let publisher = Publisher::start(options(broker.port, "p"));
    wait_for("online", || statuses() == ["online"]);
    publisher.kill();
    wait_for("the will", || statuses() == ["online", "offline"]);
    let late = Listener::start(broker.port, "late", Qos::AtLeastOnce);
    wait_for("the retained status", || late.seen().iter().any(|m| m.retained && m.payload == b"offline"));

    let publisher = Publisher::start(options(broker.port, "p"));
    wait_for("online again", || statuses() == ["online", "offline", "online"]);
    publisher.stop();
    wait_for("offline again", || statuses() == ["online", "offline", "online", "offline"]);
}

#[test]
fn states_are_told_again_to_a_broker_that_forgot_them() {
    let mut broker = Mosquitto::start("");
    let publisher = Publisher::start(options(broker.port, "p"));
    let state = |camera: &str, payload: &[u8]| Live::Latest {
        topic: format!("{BASE}/camera/{camera}/state"),
        schema: "kerbside.camera_state/1".into(),
        payload: payload.to_vec(),
    };
    for live in [state("a", b"lost"), state("b", b"streaming"), state("a", b"streaming")] {
        publisher.live.try_send(live).unwrap();
    }
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    broker.kill();
    wait_for("the end of it", || publisher.counters().connected_since.is_none());
    publisher.live.try_send(state("b", b"stalled")).unwrap();
    broker.restart();
    wait_for("a new one", || publisher.counters().connected_since.is_some());
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    wait_for("the newest of each", || {
        let seen: BTreeMap<String, Vec<u8>> = listener.seen().into_iter().map(|m| (m.topic, m.payload)).collect();
        seen.get(&format!("{BASE}/camera/a/state")).is_some_and(|p| p == b"streaming")
            && seen.get(&format!("{BASE}/camera/b/state")).is_some_and(|p| p == b"stalled")
            && seen.get(&format!("{BASE}/status")).is_some_and(|p| p == b"online")
    });
    let health = Live::Fleeting { topic: format!("{BASE}/health"), schema: "kerbside.health/1".into(), payload: b"{}".to_vec() };
    publisher.live.try_send(health).unwrap();
    wait_for("health", || listener.seen().iter().any(|m| m.topic.ends_with("/health") && !m.retained));
}

#[test]
fn a_link_that_went_deaf_without_a_word_is_noticed_by_keep_alive() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.port);
    let mut publisher = Publisher::start(options(proxy.port, "p"));
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    proxy.black_hole(true);
    // The ping after 5 s gets no answer; when the next is due, after 10 s, the connection is given up.
    wait_for("the end of it", || publisher.counters().connected_since.is_none());
    proxy.black_hole(false);
    proxy.cut();
    publisher.commit(&reads(0, 5));
    publisher.wait_until_empty();
    assert!(publisher.counters().epochs >= 2);
}

#[test]
fn a_publisher_killed_with_rows_in_flight_goes_on_where_the_disk_says() {
    let broker = Mosquitto::start("");
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    let proxy = Proxy::start(broker.port);
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut total = 0;
    for _ in 0..3 {
        let mut publisher = Publisher::start_with(options(proxy.port, "p"), &dir, &reads(total, 20));
        total += 20;
        publisher.wait_until_empty();
        proxy.black_hole(true);
        publisher.commit(&reads(total, 30));
        total += 30;
        wait_for("rows in flight", || listener.seqs().iter().max().is_some_and(|s| *s > total - 30));
        publisher.kill();
        proxy.black_hole(false);
    }
    let publisher = Publisher::start_with(options(proxy.port, "p"), &dir, &[]);
    publisher.wait_until_empty();
    wait_for("all rows", || listener.seqs().into_iter().collect::<BTreeSet<_>>() == (1..=total).collect());
    println!("killed 3 times: {total} committed, {} received, 0 lost", listener.seqs().len());
}

#[test]
fn what_the_broker_has_for_us_comes_out_of_the_downlink_in_every_epoch() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.port);
    let boxed = options(proxy.port, "box");
    let mut device = Publisher::start(boxed);
    device.filters.send_replace(BTreeSet::from([format!("{BASE}/cmd/#")]));
    let mut office = Publisher::start(options(broker.port, "office"));
    for n in 0..3 {
        let mut command = draft(Lane::Read, n);
        command.topic = format!("{BASE}/cmd/ping");
        // The subscription has no echo we could wait for from outside, so commands are repeated until one comes through.
        let mut got = None;
        wait_for("a command", || {
            office.commit(std::slice::from_ref(&command));
            office.wait_until_empty();
            got = device.downlink.try_recv().ok();
            got.is_some()
        });
        let got = got.unwrap();
        assert_eq!((got.topic.as_str(), got.schema.as_deref()), ("kerbside/v1/o/d/cmd/ping", Some("kerbside.read/1")));
        let epochs = device.counters().epochs;
        proxy.cut();
        wait_for("a new epoch", || device.counters().epochs > epochs);
        while device.downlink.try_recv().is_ok() {}
    }
}

#[test]
fn a_receiver_with_a_session_gets_again_what_it_did_not_acknowledge() {
    let broker = Mosquitto::start("");
    let receiver = || {
        let mut options =
            SubscriberOptions::new(publisher::broker(broker.port, "receiver"), vec![format!("{BASE}/read")], Qos::AtLeastOnce);
        options.session_expiry_s = Some(600);
        options.receive_maximum = Some(8);
        Subscriber::new(options)
    };
    publisher::runtime().block_on(async {
        let mut first = receiver();
        first.subscribed().await;
        first.close().await;
        // Published while it is away: the broker has it in store.
        let mut publisher = Publisher::start(options(broker.port, "p"));
        publisher.commit(&reads(0, 30));
        publisher.wait_until_empty();

        let mut second = receiver();
        let mut seen = Vec::new();
        for _ in 0..8 {
            seen.push(second.next().await.seq.unwrap());
        }
        assert!(tokio::time::timeout(Duration::from_millis(200), second.next()).await.is_err(), "more than it asked for");
        drop(second); // nothing was acknowledged
        let mut third = receiver();
        for seq in 1..=30 {
            let message = third.next().await;
            assert_eq!(message.seq, Some(seq), "in order, from the first unacknowledged one");
            assert!(third.acknowledge(&message));
        }
        third.close().await;
        let mut fourth = receiver();
        fourth.subscribed().await;
        assert!(tokio::time::timeout(Duration::from_millis(300), fourth.next()).await.is_err(), "all were acknowledged");
    });
}

#[test]
fn a_command_gets_its_answer_with_its_correlation_data() {
    let broker = Mosquitto::start("");
    let mut device = Publisher::start(options(broker.port, "box"));
    device.filters.send_replace(BTreeSet::from([format!("{BASE}/cmd/#")]));
    let answers = "kerbside/v1/o/office/answers";
    publisher::runtime().block_on(async {
        let mut office = Subscriber::new(SubscriberOptions::new(
            publisher::broker(broker.port, "office"),
            vec![answers.into()],
            Qos::AtLeastOnce,
        ));
        office.subscribed().await;
        let mut command = None;
        while command.is_none() {
            let ask = Outbound {
                topic: format!("{BASE}/cmd/ping"),
                schema: "kerbside.command/1".into(),
                payload: b"{}".to_vec(),
                response_topic: Some(answers.into()),
                correlation: Some(b"7\0".to_vec()),
                ..Outbound::default()
            };
            office.publish(ask).unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(100), office.next()).await.is_err());
            command = device.downlink.try_recv().ok();
        }
        let command = command.unwrap();
        assert_eq!((command.response_topic.as_deref(), command.correlation.as_deref()), (Some(answers), Some(&b"7\0"[..])));
        let answer = Live::Answer {
            topic: command.response_topic.unwrap(),
            schema: "kerbside.answer/1".into(),
            payload: b"{\"ok\":true}".to_vec(),
            correlation: command.correlation,
        };
        device.live.try_send(answer).unwrap();
        let answer = office.next().await;
        assert_eq!((answer.schema.as_deref(), answer.correlation.as_deref()), (Some("kerbside.answer/1"), Some(&b"7\0"[..])));
        assert!(!answer.retained && answer.seq.is_none());
        assert_eq!(office.unacknowledged(), 0);
    });
}
