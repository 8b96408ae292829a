//! Connections that fall silent, break, or lie in another namespace.

use std::process::Command;
use std::time::Duration;

use crate::bench::{Bench, Confirm, Dice, View};
use crate::row::full;
use crate::support::mosquitto::free_port;

#[test]
fn torture_05_half_open() {
    let (rounds, cuts) = if full() { (8, 60) } else { (2, 10) };
    let mut dice = Dice::new("half-open");
    let mut bench = Bench::new(Confirm::Broker);
    let proxy = bench.with_proxy();
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for _ in 0..rounds {
        // Longer than 1.5 x keep-alive, so that it is found out.
        proxy.silent(true);
        std::thread::sleep(dice.between(Duration::from_secs(8), Duration::from_secs(if full() { 11 } else { 9 })));
        proxy.silent(false);
        std::thread::sleep(dice.between(Duration::from_secs(1), Duration::from_secs(2)));
    }
    for _ in 0..cuts {
        proxy.cut();
        std::thread::sleep(dice.between(Duration::from_millis(50), Duration::from_millis(1200)));
    }
    bench.finish("05 half-open", &format!("{rounds} x silence of 8 s or more, {cuts} x cut"), "");
}

/// Two namespaces with a wire between them; gone when dropped.
struct Wire {
    name: String,
}

impl Wire {
    /// None without the right to make one.
    fn new() -> Option<Self> {
        let wire = Self { name: format!("kt{}", free_port()) };
        let n = &wire.name;
        let steps = [
            format!("netns add {n}"),
            format!("link add {n}a type veth peer name {n}b netns {n}"),
            format!("addr add 10.77.91.1/30 dev {n}a"),
            format!("link set {n}a up"),
            format!("-n {n} addr add 10.77.91.2/30 dev {n}b"),
            format!("-n {n} link set {n}b up"),
            format!("-n {n} link set lo up"),
        ];
        steps.iter().all(|step| ip(step)).then_some(wire)
    }

    fn plugged(&self, on: bool) {
        assert!(ip(&format!("link set {}a {}", self.name, if on { "up" } else { "down" })));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        ip(&format!("link del {}a", self.name));
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(args: &str) -> bool {
    Command::new("ip").args(args.split(' ')).output().is_ok_and(|o| o.status.success())
}

#[test]
fn torture_06_partition() {
    if !full() {
        return;
    }
    let Some(wire) = Wire::new() else {
        return crate::row::skipped("06 partition", "no right to make network namespaces");
    };
    let rounds = 8;
    let mut dice = Dice::new("partition");
    let port = free_port();
    let mut bench = Bench::with_broker(Confirm::BackOffice, &format!("listener {port} 10.77.91.1"));
    (bench.host, bench.port) = ("10.77.91.1".into(), port);
    bench.prefix = ["ip", "netns", "exec", &wire.name].map(str::to_owned).to_vec();
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for _ in 0..rounds {
        wire.plugged(false);
        std::thread::sleep(dice.between(Duration::from_secs(2), Duration::from_secs(12)));
        wire.plugged(true);
        std::thread::sleep(dice.between(Duration::from_secs(1), Duration::from_secs(4)));
    }
    bench.finish("06 partition", &format!("{rounds} x wire unplugged for 2 to 12 s"), "network namespaces");
}
