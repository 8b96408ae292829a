//! Other ways to the back office: MQTT 3.1.1, further brokers, and what is noticed when a way goes quiet.

#![allow(clippy::print_stdout)] // figures for the log

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kerbside::outbox::{Lane, Qos};
use kerbside::publish::mqtt::{Live, NoSubscriber, Place, SubscriberOptions, Version};

use crate::support::fake_broker::{self, Answer};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::proxy::Proxy;
use crate::support::publisher::{self, BASE, Listener, Publisher, draft, options, reads, wait_for};

/// What the listener is told, whichever of both ends speaks MQTT 3.1.1.
#[test]
fn messages_are_the_same_over_mqtt_3_1_1() {
    let broker = Mosquitto::start("");
    let five = Listener::start(broker.port, "five", Qos::AtLeastOnce);
    let mut older = publisher::broker(broker.port, "three");
    older.version = Version::ThreeOneOne;
    let three = Listener::start_with(SubscriberOptions::new(older, vec![format!("{BASE}/#")], Qos::AtLeastOnce));
    let mut options = options(broker.port, "p");
    options.broker.version = Version::ThreeOneOne;
    let mut publisher = Publisher::start(options);
    // What is committed before a connection is historical.
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    let mut drafts = reads(0, 50);
    drafts.push(draft(Lane::Alert, 50));
    let mut picture = draft(Lane::Overview, 51);
    picture.payload = [b"{\"kerbside\":\"frame/1\"}\n".as_slice(), &[0xff; 300_000]].concat();
    picture.content_type = "image/jpeg".into();
    drafts.push(picture.clone());
    publisher.commit(&drafts);
    publisher.wait_until_empty();
    publisher
        .live
        .try_send(Live::Fleeting { topic: format!("{BASE}/health"), schema: "kerbside.health/1".into(), payload: b"{}".to_vec() })
        .unwrap();
    for listener in [&five, &three] {
        wait_for("all rows and health", || {
            listener.seqs().len() == 52 && listener.seen().iter().any(|m| m.topic.ends_with("/health"))
        });
        let seen = listener.seen();
        let by = |seq| seen.iter().find(|m| m.seq == Some(seq)).unwrap().clone();
        assert_eq!(by(1).payload, b"{\"n\":0}");
        assert_eq!((by(1).schema.as_deref(), by(1).content_type.as_deref()), (Some("kerbside.read/1"), Some("application/json")));
        assert_eq!(by(1).historical, Some(false));
        assert_eq!((by(52).payload == picture.payload, by(52).content_type.as_deref()), (true, Some("image/jpeg")));
        let status = seen.iter().find(|m| m.topic.ends_with("/status")).unwrap();
        assert_eq!((status.payload.as_slice(), status.schema.as_deref()), (b"online".as_slice(), Some("kerbside.status/1")));
    }
    let counters = publisher.counters();
    assert_eq!((counters.protocol, counters.acknowledged, counters.published, counters.epochs), (Some("3.1.1"), 52, 52, 1));
    publisher.kill();
    for listener in [&five, &three] {
        wait_for("the will", || listener.seen().iter().any(|m| m.payload == b"offline" && m.schema.is_some()));
    }
}

#[test]
fn a_broker_killed_again_and_again_loses_nothing_over_mqtt_3_1_1() {
    let mut broker = Mosquitto::start("");
    let tap = Listener::start(broker.port, "tap", Qos::AtMostOnce);
    let mut options = options(broker.port, "p");
    options.broker.version = Version::ThreeOneOne;
    options.no_subscriber = NoSubscriber::Hold; // can't be seen here: the tap may miss what comes before it is back
    let mut publisher = Publisher::start(options);
    for round in 0..3 {
        publisher.commit(&reads(round * 40, 20));
        wait_for("some acknowledgements", || publisher.counters().acknowledged >= round * 40 + 3);
        broker.kill();
        publisher.commit(&reads(round * 40 + 20, 20));
        broker.restart();
        wait_for("the backlog", || publisher.counters().acknowledged >= (round + 1) * 40);
    }
    publisher.wait_until_empty();
    assert_eq!(publisher.counters().acknowledged, 120);
    drop(tap);
}

#[test]
fn auto_speaks_3_1_1_to_a_broker_that_knows_no_other_and_5_to_one_that_does() {
    let say_no: [&[u8]; 3] = [&[0x20, 2, 0, 1], &[0x20, 3, 0, 0x84, 0], &[]];
    for answer in say_no {
        let (port, log) = fake_broker::start_older(answer);
        let mut options = options(port, "p");
        options.broker.version = Version::Auto;
        let mut publisher = Publisher::start(options);
        publisher.commit(&reads(0, 30));
        publisher.wait_until_empty();
        let counters = publisher.counters();
        assert_eq!((counters.protocol, counters.acknowledged), (Some("3.1.1"), 30), "{answer:?}");
        let heard: BTreeSet<_> = log.lock().unwrap().iter().filter_map(|h| h.seq).collect();
        assert_eq!(heard, (1..=30).collect(), "frames carry the numbers");
    }
    let broker = Mosquitto::start("");
    let mut options = options(broker.port, "p");
    options.broker.version = Version::Auto;
    let publisher = Publisher::start(options);
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    assert_eq!(publisher.counters().protocol, Some("5"));
    // By itself nothing older is spoken.
    let (port, _) = fake_broker::start_older(&[0x20, 2, 0, 1]);
    let strict = Publisher::start(self::options(port, "p"));
    wait_for("a failed try", || strict.counters().last_error.is_some());
    assert_eq!(strict.counters().epochs, 0);
}

#[test]
fn half_open_is_found_within_one_and_a_half_keep_alives() {
    for version in [Version::Five, Version::ThreeOneOne] {
        let broker = Mosquitto::start("");
        let proxy = Proxy::start(broker.port);
        let mut options = options(proxy.port, "p");
        options.broker.version = version;
        let mut publisher = Publisher::start(options);
        publisher.commit(&reads(0, 1));
        publisher.wait_until_empty();
        let last_byte = Instant::now();
        proxy.black_hole(true);
        wait_for("the end of it", || publisher.counters().connected_since.is_none());
        let took = last_byte.elapsed().as_secs_f64();
        println!("silent broker given up after {took:.1} s at a keep-alive of 5 s");
        // Not before a ping could be answered; the rest is room for a busy machine.
        assert!((5.0..9.0).contains(&took), "{took} s");
        proxy.black_hole(false);
        proxy.cut();
        publisher.commit(&reads(1, 1));
        publisher.wait_until_empty();
    }
}

#[test]
fn a_fallback_takes_over_at_once_and_the_preferred_broker_is_returned_to() {
    let mut first = Mosquitto::start("");
    let second = Mosquitto::start("");
    let nobody = free_port();
    let at_second = Listener::start(second.port, "l2", Qos::AtLeastOnce);
    let mut options = options(first.port, "p");
    options.broker.fallbacks = [nobody, second.port].map(|port| Place { host: "127.0.0.1".into(), port }).to_vec();
    options.broker.prefer_again = Duration::from_millis(300);
    // A wait would be noticed: it is only due when all have failed.
    options.broker.backoff_floor = Duration::from_secs(50);
    options.broker.backoff_ceiling = Duration::from_secs(60);
    let mut publisher = Publisher::start(options);
    publisher.commit(&reads(0, 10));
    publisher.wait_until_empty();
    let counters = publisher.counters();
    assert_eq!((counters.broker_index, counters.broker), (0, Some(format!("127.0.0.1:{}", first.port))));

    first.kill();
    publisher.commit(&reads(10, 10));
    publisher.wait_until_empty();
    wait_for("rows at the second", || at_second.seqs().len() == 10);
    assert_eq!(publisher.counters().broker_index, 2);

    first.restart();
    let at_first = Listener::start(first.port, "l1", Qos::AtLeastOnce);
    wait_for("the way back", || publisher.counters().broker_index == 0 && publisher.counters().connected_since.is_some());
    publisher.commit(&reads(20, 10));
    publisher.wait_until_empty();
    wait_for("rows at the first", || at_first.seqs().len() == 10);
    let last_word = || at_second.seen().iter().rfind(|m| m.topic.ends_with("/status")).map(|m| m.payload.clone());
    wait_for("a goodbye to the second", || last_word().as_deref() == Some(b"offline"));
    let counters = publisher.counters();
    assert_eq!((counters.acknowledged, counters.published, counters.resent), (30, 30, 0));
}

#[test]
fn what_is_refused_and_wanted_again_stops_nothing_else() {
    let (port, log) = fake_broker::start(&[], |heard| Answer::Ack(if heard.seq.is_some_and(|s| s <= 3) { 0x87 } else { 0 }));
    let mut options = options(port, "p");
    options.refused_wait = Duration::from_secs(600);
    let mut publisher = Publisher::start(options);
    let seqs = publisher.commit(&reads(0, 3));
    wait_for("refusals", || publisher.counters().refused == 3);
    publisher.live.try_send(Live::Resend { seqs }).unwrap();
    // The net thread is there still: for an answer, and for other rows.
    let answer = Live::Answer { topic: "a".into(), schema: "kerbside.answer/1".into(), payload: Vec::new(), correlation: None };
    publisher.live.try_send(answer).unwrap();
    wait_for("an answer", || log.lock().unwrap().iter().any(|h| h.topic == "a"));
    publisher.commit(&reads(3, 20));
    wait_for("the others", || publisher.counters().acknowledged == 20);
    assert_eq!(publisher.counters().refused, 3, "they wait, whoever wants them");
}

#[test]
fn refused_pictures_stop_no_text_and_refused_text_stops_no_alert() {
    let (port, _) = fake_broker::start(&[], |heard| match heard.seq {
        Some(71 | 152..) | None => Answer::Ack(0),
        Some(_) => Answer::Ack(0x87),
    });
    let mut options = options(port, "p");
    options.refused_wait = Duration::from_secs(600);
    let mut publisher = Publisher::start(options);
    publisher.commit(&(0..70).map(|n| draft(Lane::Patch, n)).collect::<Vec<_>>());
    wait_for("refused pictures", || publisher.counters().refused == 64);
    publisher.commit(&reads(70, 1));
    wait_for("a read", || publisher.counters().acknowledged == 1);
    publisher.commit(&reads(71, 80));
    wait_for("refused reads", || publisher.counters().refused >= 128);
    publisher.commit(&[draft(Lane::Alert, 151)]);
    wait_for("an alert", || publisher.counters().acknowledged == 2);
    assert!(publisher.counters().refused < 144, "what the broker refuses as a whole is not tried on and on");
}

/// What had to wait for somebody to subscribe is not of the moment when it comes.
#[test]
fn what_was_put_off_comes_as_history() {
    let broker = Mosquitto::start("");
    let mut options = options(broker.port, "p");
    options.no_subscriber = NoSubscriber::Hold;
    let mut publisher = Publisher::start(options);
    wait_for("a connection", || publisher.counters().connected_since.is_some());
    publisher.commit(&[draft(Lane::Alert, 0)]);
    wait_for("a refusal", || publisher.counters().refused > 0);
    let listener = Listener::start(broker.port, "l", Qos::AtLeastOnce);
    publisher.wait_until_empty();
    wait_for("the alert", || listener.seqs() == [1]);
    let alert = listener.seen().into_iter().find(|m| m.seq == Some(1)).unwrap();
    assert_eq!((alert.historical, alert.expiry_s), (Some(true), None));
}
