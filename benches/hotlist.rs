//! What a large hotlist costs: memory, look-ups, a delta. One table on standard output.
//!
//! `cargo bench --bench hotlist` with a million rows, `cargo bench --bench hotlist -- 5000000` with five. Single look-ups are timed,
//! so a time includes the clock's own 20 to 40 ns. Everything random is seeded.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
// Sizes and counts of a benchmark, all far below 2^52; `f64` is for show.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
// An allocator that counts must be one: each call goes on to the system's as it came.
#![allow(unsafe_code)]

mod rows;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kerbside::anpr::hotlist::{
    Action, Delta, Hotlist, HotlistBuilder, HotlistEntry, HotlistVersion, Hotlists, MatchOptions, Reading, Substitutions, Wanted,
};
use kerbside::anpr::odds::GlyphOdds;
use kerbside::anpr::vrm::{Glyph, Vrm};
use kerbside::clock::UtcTime;

use rows::{MARKS, Random, entry, mark, wanted_number};

/// Bytes that are allocated now, and the most there were since it was last asked.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(by: usize) {
    PEAK.fetch_max(LIVE.fetch_add(by, Ordering::Relaxed) + by, Ordering::Relaxed);
}

// SAFETY: every method hands its arguments to the system's allocator and its answer back; the counters touch no memory of either.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about `at` and `layout` is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        grown(size);
        // SAFETY: the caller's promise about `at`, `layout` and `size` is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What an eye that is somewhat unsure says of a mark: at each place two or three other shapes, the look-alikes among them.
fn odds(vrm: &Vrm, random: &mut Random) -> GlyphOdds {
    const MISTAKEN: [(char, &str); 12] = [
        ('B', "8R"),
        ('8', "B3"),
        ('S', "59"),
        ('5', "S6"),
        ('G', "6C"),
        ('6', "G8"),
        ('Z', "27"),
        ('2', "Z7"),
        ('O', "DQ"),
        ('0', "DQ"),
        ('M', "NH"),
        ('V', "YU"),
    ];
    let mut odds = GlyphOdds::default();
    for (place, glyph) in vrm.glyphs().iter().enumerate() {
        let named = MISTAKEN.iter().find(|(c, _)| *c == glyph.as_char()).map_or("", |(_, others)| others);
        let any = |random: &mut Random| Glyph::from_index(random.below(36)).unwrap();
        let mut others: Vec<Glyph> = named.chars().filter_map(Glyph::from_char).collect();
        while others.len() < 2 + place % 2 {
            others.push(any(random));
        }
        for (n, other) in others.into_iter().enumerate().filter(|(_, g)| g.folded() != glyph.folded()) {
            odds.add_other(place, other, [0.3, 0.08, 0.03][n] * (0.5 + random.below(100) as f32 / 100.0));
        }
        odds.set_absent(place, 0.03);
    }
    for n in 0..GlyphOdds::EXTRA {
        odds.add_extra(random.below(8) as u8, Glyph::from_index(random.below(36)).unwrap(), [0.2, 0.1, 0.05, 0.03][n]);
    }
    odds
}

fn version() -> HotlistVersion {
    HotlistVersion { list: "bench".into(), version: "1".into() }
}

fn build(rows: usize, order: impl Iterator<Item = usize>) -> Hotlist {
    let mut builder = HotlistBuilder::with_capacity(rows);
    order.for_each(|n| builder.push(&entry(n, rows)).unwrap());
    builder.finish(version())
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let made = work();
    (made, start.elapsed())
}

/// Runs something and says how long it took and how much more memory it took at most than there was before.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let (made, took) = timed(work);
    (made, took, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

/// A line of the process's status, such as the most memory it ever had.
fn status(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("?");
    line.trim_start_matches(':').trim().to_owned()
}

fn line(what: &str, value: &str) {
    println!("| {what} | {value} |");
}

fn look_ups(what: &str, lists: &Hotlists, reads: &[(Vrm, GlyphOdds)], at: UtcTime) {
    let mut hits = Vec::new();
    let (mut nanos, mut found, mut of_reads) = (Vec::with_capacity(reads.len()), 0, 0);
    for (vrm, odds) in reads {
        let ((), took) = timed(|| lists.lookup(black_box(Reading { vrm, odds }), at, &mut hits));
        nanos.push(took.as_nanos() as u64);
        found += hits.len();
        of_reads += usize::from(!hits.is_empty());
    }
    nanos.sort_unstable();
    let at_share = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    let (half, most, max) = (at_share(0.5), at_share(0.99), at_share(1.0));
    line(
        what,
        &format!("p50 {half:.2} µs, p99 {most:.2} µs, max {max:.1} µs ({found} hits of {of_reads} reads of {})", reads.len()),
    );
}

fn main() {
    let rows: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(1_000_000);
    let at = UtcTime::parse("2026-11-22T12:00:00Z").unwrap();
    println!("| {rows} entries | |\n|---|---|");
    let make_rows = timed(|| (0..rows).for_each(|n| drop(black_box(entry(n, rows))))).1;

    let before = LIVE.load(Ordering::Relaxed);
    let (list, took, peak) = measured(|| build(rows, 0..rows));
    let live = LIVE.load(Ordering::Relaxed) - before;
    assert_eq!(live, list.size_bytes(), "what it says it takes is what it takes");
    line("memory, all fields kept", &format!("{:.1} bytes an entry, {:.1} MiB", live as f64 / rows as f64, mebibytes(live)));
    line(
        "built, rows in order",
        &format!("{:.2} s, peak {:.1} MiB", took.saturating_sub(make_rows).as_secs_f64(), mebibytes(peak)),
    );

    // Half of the reads are of marks on the list.
    let mut random = Random(1);
    let reads: Vec<(Vrm, GlyphOdds)> = (0..100_000)
        .map(|n| {
            let vrm = mark(if n % 2 == 0 { wanted_number(random.below(rows), rows) } else { random.next() % MARKS });
            (vrm, odds(&vrm, &mut random))
        })
        .collect();
    let list = Arc::new(list);
    let lists = |options| Hotlists::new(vec![list.clone()], options);
    let exact = MatchOptions { max_substitutions: 0, ..MatchOptions::default() };
    look_ups("exact and look-alike", &lists(exact), &reads, at);
    look_ups("and fuzzy, as by default", &lists(MatchOptions::default()), &reads, at);
    let any = MatchOptions { substitutions: Substitutions::Any, ..MatchOptions::default() };
    look_ups("and fuzzy, one substitution of any shape", &lists(any), &reads, at);
    let wide = MatchOptions { max_substitutions: 2, max_edits: 1, ..any };
    look_ups("and fuzzy, two of any shape and one edit", &lists(wide), &reads, at);
    let widest = MatchOptions { min_likelihood_ratio: 0.0, ..wide };
    look_ups("the same with no bound on the ratio", &lists(widest), &reads[..10_000], at);
    let misses: Vec<_> = reads
        .iter()
        .filter(|(vrm, _)| {
            let mut hits = Vec::new();
            lists(exact).lookup(Reading { vrm, odds: &GlyphOdds::default() }, at, &mut hits);
            hits.is_empty()
        })
        .copied()
        .collect();
    look_ups("exact and look-alike, reads of no listed mark", &lists(exact), &misses, at);
    let wide_lists = lists(wide);
    let (mut hits, mut allocated) = (Vec::new(), 0);
    for (vrm, odds) in &misses {
        let ((), _, peak) = measured(|| wide_lists.lookup(Reading { vrm, odds }, at, &mut hits));
        allocated += if hits.is_empty() { peak } else { 0 };
    }
    line("memory allocated by look-ups without a hit", &format!("{allocated} bytes"));
    drop((reads, misses, wide_lists));

    // 600 rows changed, 200 gone, 200 new.
    let every = rows / 800;
    let mut delta = Delta::default();
    for n in 0..800 {
        let row = entry(n * every, rows);
        if !n.is_multiple_of(4) {
            delta.add.push(HotlistEntry {
                reason: "REASON 7 AS STATED BY THE OWNER".into(),
                action: Action::Stop,
                ..row.clone()
            });
        } else {
            delta.add.push(HotlistEntry { wanted: Wanted::Mark(mark(wanted_number(n * every, rows) + 1)), ..row.clone() });
        }
        delta.remove.push(row);
    }
    let mut times = Vec::new();
    let mut peaks = 0;
    for _ in 0..11 {
        let (changed, took, peak) = measured(|| list.changed(&delta, version()).unwrap());
        assert_eq!(changed.len(), rows);
        times.push(took);
        peaks = peak.max(peaks);
    }
    times.sort_unstable();
    let millis = |d: Duration| d.as_secs_f64() * 1000.0;
    line(
        "delta of 600 rows changed, 200 gone, 200 new",
        &format!("{:.1} ms (median of 11, max {:.1})", millis(times[5]), millis(times[10])),
    );
    line("peak while it is applied, beside the list in force", &format!("{:.1} MiB", mebibytes(peaks)));
    // A box that was off for a while: the rows of each step are those that the one before put in, or new ones.
    let steps: Vec<Delta> = (0..300)
        .map(|step| {
            let rows_of = |step: usize| (0..500).map(move |n| entry(step * 400 + n, rows));
            Delta { remove: if step == 0 { Vec::new() } else { rows_of(step - 1).collect() }, add: rows_of(step).collect() }
        })
        .collect();
    let (mut one_by_one, copy) = (Delta::default(), steps.clone());
    let took_then = timed(|| copy.into_iter().for_each(|step| one_by_one.then(step))).1;
    let (at_once, took_steps) = timed(|| Delta::of_steps(steps));
    assert_eq!((at_once.add.len(), at_once.remove.len()), (one_by_one.add.len(), one_by_one.remove.len()));
    let (then, of_steps) = (millis(took_then), millis(took_steps));
    line("300 deltas of 1,000 rows made one", &format!("{of_steps:.0} ms with of_steps, {then:.0} ms with then"));
    let lists = lists(wide);
    let vrm = mark(wanted_number(77, rows));
    let (possible, took) = timed(|| lists.possible(&vrm, at).len());
    line("all that could match a mark, the whole list walked", &format!("{:.0} ms ({possible} entries)", millis(took)));

    if rows <= 1_000_000 {
        // A full pass over all numbers below `rows`, out of order: a step that has no factor in common with it.
        let (shuffled, took, peak) = measured(|| build(rows, (0..rows).map(|n| (n as u64 * 999_983 % rows as u64) as usize)));
        line(
            "built, rows out of order",
            &format!("{:.2} s, peak {:.1} MiB", took.saturating_sub(make_rows).as_secs_f64(), mebibytes(peak)),
        );
        drop(shuffled);
    } else {
        // A new version, built whole beside the one in force.
        let (second, _, peak) = measured(|| build(rows, 0..rows));
        line("a second version built beside it, peak", &format!("{:.1} MiB", mebibytes(peak)));
        drop(second);
    }
    drop(lists);
    let ((), took) = timed(|| drop(list));
    line("dropped", &format!("{:.2} ms", millis(took)));
    line("most memory the process ever had (VmHWM)", &status("VmHWM"));
}
