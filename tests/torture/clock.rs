//! Wall clocks that step, and one that starts in 1970.

use std::path::PathBuf;
use std::time::Duration;

use crate::bench::{Bench, Confirm, Dice, View, text};
use crate::row::{full, skipped};

fn libfaketime() -> Option<PathBuf> {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    places.iter().map(|p| PathBuf::from(p).join("faketime/libfaketimeMT.so.1")).find(|p| p.exists())
}

#[test]
fn torture_10_clock_steps() {
    let Some(library) = libfaketime() else {
        return skipped("10 clock steps", "libfaketime is not installed");
    };
    let steps = ["@1970-01-01 00:00:30", "+0", "+3600", "-3600", "+0"];
    let rounds = if full() { 4 } else { 1 };
    let mut dice = Dice::new("clock steps");
    let mut bench = Bench::new(Confirm::Broker);
    let clock = bench.dir.path().join("clock");
    bench.environment = [
        ("LD_PRELOAD", text(&library)),
        ("FAKETIME_TIMESTAMP_FILE", text(&clock)),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        // Its semaphores would outlive a SIGKILL.
        ("FAKETIME_DISABLE_SHM", "1"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .to_vec();
    for round in 0..rounds {
        std::fs::write(&clock, steps[0]).unwrap();
        bench.start(View::Road);
        bench.wait_for_numbers(bench.outbox().1 + 20);
        for step in &steps[1..] {
            std::fs::write(&clock, step).unwrap();
            std::thread::sleep(dice.between(Duration::from_millis(500), Duration::from_secs(2)));
        }
        // Killed, or told to go: the next life begins in 1970 again.
        if round % 2 == 0 {
            bench.kill();
        } else {
            bench.stop();
        }
    }
    std::fs::write(&clock, "+0").unwrap();
    bench.finish("10 clock steps", &format!("{rounds} x boot in 1970, then now, +1 h, -1 h, now"), "libfaketime");
}
