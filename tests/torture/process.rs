//! The daemon killed, and killed again.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Confirm, Dice, View};
use crate::row::full;

#[test]
fn torture_01_kill9() {
    let kills = if full() { 1000 } else { 100 };
    let mut dice = Dice::new("kill9");
    let mut bench = Bench::new(Confirm::BackOffice);
    // Every other time death comes while it starts, every other time while it numbers and sends.
    let began = Instant::now();
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    let first = began.elapsed();
    for kill in 0..kills {
        if kill % 2 == 0 {
            std::thread::sleep(dice.between(Duration::ZERO, first));
        } else {
            bench.wait_for_numbers(bench.outbox().1 + 1);
            std::thread::sleep(dice.between(Duration::ZERO, Duration::from_millis(150)));
        }
        bench.start(View::Road);
    }
    let note = format!("{} ms to the first number, {:.0} s in all", first.as_millis(), began.elapsed().as_secs_f64());
    bench.finish("01 kill9", &format!("{kills} x SIGKILL of the daemon"), &note);
}
