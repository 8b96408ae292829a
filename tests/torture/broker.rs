//! Brokers that die, forget, and refuse.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Confirm, Dice, View};
use crate::proxy::{Fate, MqttProxy};
use crate::row::full;
use crate::support::receiver::Receiver;

#[test]
fn torture_02_broker_killed() {
    let kills = if full() { 45 } else { 8 };
    let mut dice = Dice::new("broker killed");
    let mut bench = Bench::new(Confirm::BackOffice);
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for _ in 0..kills {
        std::thread::sleep(dice.between(Duration::from_millis(800), Duration::from_millis(2500)));
        bench.broker.kill();
        std::thread::sleep(dice.between(Duration::ZERO, Duration::from_millis(800)));
        bench.broker.restart();
    }
    bench.finish("02 broker killed", &format!("{kills} x SIGKILL, persistence off"), "");
}

#[test]
fn torture_03_accepts_and_forgets() {
    let rounds = if full() { 12 } else { 4 };
    let mut dice = Dice::new("accepts and forgets");
    let mut bench = Bench::new(Confirm::BackOffice);
    let proxy = bench.with_proxy();
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for _ in 0..rounds {
        proxy.set(Fate::Forget);
        std::thread::sleep(dice.between(Duration::from_millis(300), Duration::from_secs(2)));
        proxy.set(Fate::Forward);
        std::thread::sleep(dice.between(Duration::from_millis(300), Duration::from_secs(2)));
    }
    if full() {
        // The last of them on a connection that stays: nothing but the watermark, which doesn't move, tells that they are gone.
        proxy.set(Fate::Forget);
        bench.start(View::Quiet);
        std::thread::sleep(Duration::from_secs(5));
        proxy.set(Fate::Forward);
    }
    let forgotten = proxy.taken();
    bench.finish("03 accepts and forgets", &format!("{forgotten} PUBLISH acknowledged and dropped"), "");
    assert!(forgotten > 0);
}

#[test]
fn torture_04_refusals() {
    let rounds = if full() { 12 } else { 3 };
    let mut dice = Dice::new("refusals");
    let mut bench = Bench::new(Confirm::Broker);
    let proxy = bench.with_proxy();
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for round in 0..rounds {
        // Not authorised, quota exceeded.
        proxy.set(Fate::Refuse(if round % 2 == 0 { 0x87 } else { 0x97 }));
        std::thread::sleep(dice.between(Duration::from_millis(300), Duration::from_secs(2)));
        proxy.set(Fate::Forward);
        std::thread::sleep(dice.between(Duration::from_millis(300), Duration::from_secs(2)));
    }
    let refused = proxy.taken();
    bench.finish("04 refusals", &format!("{refused} PUBACK 0x87 or 0x97"), "");
    assert!(refused > 0);
}

#[test]
fn torture_12_slow_consumer() {
    if !full() {
        return;
    }
    let mut bench = Bench::new(Confirm::BackOffice);
    // The receiver behind a thin line: one packet every 40 ms.
    let proxy = MqttProxy::start(bench.broker.port);
    let office = bench.dir.path().join("office");
    bench.receiver.kill();
    proxy.delay(Duration::ZERO, Duration::from_millis(40));
    bench.receiver = Receiver::start(proxy.port, &office, &[]);
    bench.start(View::Road);
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(60));
    let (waiting, given) = bench.outbox();
    proxy.delay(Duration::ZERO, Duration::ZERO);
    let note = format!("{waiting} of {given} waited on the box after {} s", began.elapsed().as_secs());
    bench.finish("12 slow consumer", "receiver takes 25 packets a second", &note);
}

#[test]
fn torture_15_mqtt_3_1_1() {
    let kills = if full() { 30 } else { 2 };
    let mut dice = Dice::new("3.1.1");
    let mut bench = Bench::new(Confirm::BackOffice);
    bench.receiver.kill();
    let office = bench.dir.path().join("office");
    bench.receiver = Receiver::start(bench.broker.port, &office, &["--mqtt", "3.1.1"]);
    bench.mqtt += "version = '3.1.1'\n";
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for _ in 0..kills {
        std::thread::sleep(dice.between(Duration::from_millis(800), Duration::from_millis(2500)));
        bench.broker.restart();
    }
    bench.finish("15 MQTT 3.1.1", &format!("{kills} x broker restarted, persistence off"), "framed payloads");
}
