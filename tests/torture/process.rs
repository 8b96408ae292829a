//! The daemon killed, and killed again.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Confirm, Dice, View};
use crate::row::full;

#[test]
fn torture_01_kill9() {
    let kills = if full() { 1000 } else { 100 };
    let mut dice = Dice::new("kill9");
    let mut bench = Bench::new(Confirm::BackOffice);
    // How long it takes from a start to the first number decides where the points of death lie: before it, at it, after it.
    let began = Instant::now();
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    let first = began.elapsed();
    for _ in 0..kills {
        std::thread::sleep(dice.between(first / 4, first * 5 / 4 + Duration::from_millis(50)));
        bench.start(View::Road);
    }
    let note = format!("{} ms to the first number, {:.0} s in all", first.as_millis(), began.elapsed().as_secs_f64());
    bench.finish("01 kill9", &format!("{kills} x SIGKILL of the daemon"), &note);
}
