//! Judging reads against truth, and the intervals around what comes out. Boxes alone are judged in `matching`.

use std::fmt;
use std::io::Write;

use super::manifest::Item;
use crate::anpr::decode::Decoded;
use crate::anpr::syntax::Grammar;
use crate::anpr::vrm::{Glyph, Vrm};
use crate::geometry::{FramePx, Rect};

/// Overlap at which a candidate is taken to be a labelled plate whose mark is judged; labels are often loose.
const SAME_PLATE_IOU: f32 = 0.2;

/// A candidate of a picture, or a record of a clip.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadPlate {
    pub(super) bounds: Rect<FramePx>,
    /// The mark, where one was read with enough confidence.
    pub(super) decoded: Option<Decoded>,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    pub(super) hits: u64,
    pub(super) of: u64,
}

impl Rate {
    pub(super) fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.of += 1;
    }

    /// The share, 0 when there was nothing to count.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub(super) fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.hits as f64 / self.of as f64 }
    }

    /// The 95 % interval by Wilson's score (1927), which stays inside 0..1 and holds for few counts and shares near 1.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let (n, p, z) = (self.of as f64, self.share(), 1.959_964);
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval();
        write!(f, "{:.4} [{low:.4}, {high:.4}] {}/{}", self.share(), self.hits, self.of)
    }
}

/// Mean count an image with its 95 % interval, the count taken as Poisson (square-root transform, good from zero up).
#[allow(clippy::cast_precision_loss)]
pub(super) fn mean_interval(count: u64, images: u64) -> (f64, f64, f64) {
    let (count, n) = (count as f64, images.max(1) as f64);
    let (low, high) = (((count.sqrt() - 0.98).max(0.0)).powi(2), ((count + 1.0).sqrt() + 0.98).powi(2));
    (count / n, low / n, high / n)
}

/// All counts of a set.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) captured: Rate,
    pub(super) exact: Rate,
    pub(super) folded: Rate,
    /// Edits over characters.
    pub(super) characters: Rate,
    pub(super) false_reads: u64,
    pub(super) latencies: Latencies,
}

/// What each file cost.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    cpu_ms: Vec<f64>,
}

impl Latencies {
    pub(super) fn add(&mut self, cpu_ms: f64) {
        self.cpu_ms.push(cpu_ms);
    }

    /// Files that were read.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.cpu_ms.len()).unwrap_or(u64::MAX)
    }

    /// The latency that a share of the files stays within.
    fn within_ms(&self, share: f64) -> f64 {
        let mut sorted = self.cpu_ms.clone();
        sorted.sort_by(f64::total_cmp);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = (share * (sorted.len().max(1) - 1) as f64).round() as usize;
        sorted.get(at).copied().unwrap_or(0.0)
    }

    /// One line of the report, whose names are `width` wide.
    pub(super) fn report(&self, out: &mut impl Write, width: usize) -> std::io::Result<()> {
        let (median, p95) = (self.within_ms(0.5), self.within_ms(0.95));
        let what = "CPU ms a file, one thread, file decoding included, model loading left out";
        writeln!(out, "{:<width$} median {median:.1}, p95 {p95:.1}  {what}", "latency")
    }
}

/// Holds reads against truth.
#[derive(Debug)]
pub(super) struct Judge {
    grammar: Grammar,
}

impl Judge {
    pub(super) const fn new(grammar: Grammar) -> Self {
        Self { grammar }
    }

    /// Counts one file; gives a line for every fault.
    pub(super) fn item(&self, item: &Item, reads: &[ReadPlate], cpu_ms: f64, tally: &mut Tally) -> Vec<String> {
        tally.latencies.add(cpu_ms);
        let mut faults = Vec::new();
        let mut used = vec![false; reads.len()];
        let mark_of = |i: usize| reads[i].decoded.map(|d| d.vrm);
        let mut unread = Vec::new();
        // First every truth takes a read that is right, then those left over take what lies on their plate.
        for (t, truth) in item.marks.iter().enumerate() {
            let free = |i: &usize| !used[*i];
            let right = (0..reads.len()).filter(free).find(|i| mark_of(*i).is_some_and(|m| self.grammar.same_mark(truth, &m)));
            let folded =
                right.or_else(|| (0..reads.len()).filter(free).find(|i| mark_of(*i).is_some_and(|m| m.key() == truth.key())));
            tally.exact.count(right.is_some());
            tally.folded.count(folded.is_some());
            match folded {
                Some(i) => {
                    used[i] = true;
                    tally.captured.count(true);
                    let edits = if right.is_some() { 0 } else { mark_of(i).map_or(0, |m| edits(truth.glyphs(), m.glyphs())) };
                    count_characters(tally, edits, truth);
                    if right.is_none() {
                        faults.push(format!("{truth} read as {} (twins)", mark_of(i).map(|m| m.to_string()).unwrap_or_default()));
                    }
                }
                None => unread.push(t),
            }
        }
        for t in unread {
            let truth = &item.marks[t];
            let on_it = match item.boxes.get(t) {
                Some(label) => (0..reads.len())
                    .filter(|i| !used[*i] && reads[*i].bounds.iou(*label) >= SAME_PLATE_IOU)
                    .max_by(|a, b| reads[*a].bounds.iou(*label).total_cmp(&reads[*b].bounds.iou(*label))),
                // No box: the read that is nearest to the truth in edits stands for it.
                None => (0..reads.len())
                    .filter(|i| !used[*i] && reads[*i].decoded.is_some())
                    .min_by_key(|i| mark_of(*i).map_or(usize::MAX, |m| edits(truth.glyphs(), m.glyphs()))),
            };
            tally.captured.count(on_it.is_some());
            match on_it.and_then(|i| mark_of(i).map(|m| (i, m))) {
                Some((i, mark)) => {
                    used[i] = true;
                    // A wrong text on the right plate is still a mark that nobody carried.
                    tally.false_reads += u64::from(!ignored(item, reads[i].bounds));
                    count_characters(tally, edits(truth.glyphs(), mark.glyphs()), truth);
                    faults.push(format!("{truth} misread as {mark} ({:.2})", reads[i].decoded.map_or(0.0, |d| d.confidence)));
                }
                None if on_it.is_some() => faults.push(format!("{truth} found but not read")),
                None => faults.push(format!("{truth} not found")),
            }
        }
        for (i, read) in reads.iter().enumerate() {
            if let (false, Some(decoded)) = (used[i], read.decoded)
                && !ignored(item, read.bounds)
            {
                tally.false_reads += 1;
                faults.push(format!("false read {} ({:.2}) at {:?}", decoded.vrm, decoded.confidence, read.bounds));
            }
        }
        faults
    }
}

/// Whether a read lies on a place that counts neither way.
fn ignored(item: &Item, bounds: Rect<FramePx>) -> bool {
    item.ignore.iter().any(|i| i.intersect(bounds).area() > 0.1 * bounds.area())
}

fn count_characters(tally: &mut Tally, edits: usize, truth: &Vrm) {
    tally.characters.hits += u64::try_from(edits).unwrap_or(0);
    tally.characters.of += u64::try_from(truth.len()).unwrap_or(0);
}

/// Levenshtein distance: insertions, deletions and substitutions.
fn edits(a: &[Glyph], b: &[Glyph]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anpr::syntax::SyntaxId;
    use crate::clock::UtcTime;

    fn mark(text: &str) -> Vrm {
        Vrm::parse(text).expect("mark")
    }

    fn read(text: &str, x: f32) -> ReadPlate {
        let decoded = Decoded {
            vrm: mark(text),
            confidence: 0.9,
            syntax: SyntaxId::NONE,
            raw: mark(text),
            repaired: 0,
            alternatives: [None; 4],
        };
        ReadPlate { bounds: Rect::new(x, 0.0, x + 100.0, 20.0), decoded: Some(decoded) }
    }

    fn judged(marks: &[&str], boxes: &[f32], ignore: &[f32], reads: &[ReadPlate]) -> Tally {
        let at = |x: &f32| Rect::new(*x, 0.0, x + 100.0, 20.0);
        let item = Item {
            file: "t".into(),
            marks: marks.iter().map(|m| mark(m)).collect(),
            boxes: boxes.iter().map(at).collect(),
            ignore: ignore.iter().map(at).collect(),
        };
        let mut tally = Tally::default();
        Judge::new(Grammar::new(UtcTime::parse("2026-11-22").expect("date"))).item(&item, reads, 1.0, &mut tally);
        tally
    }

    #[test]
    fn one_read_serves_one_plate() {
        let tally = judged(&["AB12CDE", "AB12CDE"], &[0.0, 500.0], &[], &[read("AB12CDE", 0.0)]);
        assert_eq!((tally.exact.hits, tally.exact.of, tally.captured.hits, tally.false_reads), (1, 2, 1, 0));
    }

    #[test]
    fn twins_are_judged_by_grammar_and_folded_apart() {
        let tally = judged(&["GO10OLO"], &[0.0], &[], &[read("G010OLO", 0.0)]);
        assert_eq!((tally.exact.hits, tally.folded.hits), (0, 1));
    }

    #[test]
    fn misreads_and_strangers_are_false_reads_unless_ignored() {
        let reads = [read("AB12CDF", 0.0), read("XY99ZZZ", 300.0), read("K1", 600.0)];
        let tally = judged(&["AB12CDE"], &[0.0], &[600.0], &reads);
        assert_eq!((tally.exact.hits, tally.captured.hits, tally.false_reads), (0, 1, 2));
        assert_eq!((tally.characters.hits, tally.characters.of), (1, 7));
    }

    #[test]
    fn intervals_hold_what_tables_say() {
        // Wilson: 0 of 10 gives [0, 0.2775]; 95 of 100 gives [0.8882, 0.9785].
        let close = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 2e-4 && (b - d).abs() < 2e-4;
        assert!(close(Rate { hits: 0, of: 10 }.interval(), (0.0, 0.2775)));
        assert!(close(Rate { hits: 95, of: 100 }.interval(), (0.8882, 0.9785)));
        assert_eq!(edits(mark("AB12").glyphs(), mark("A12").glyphs()), 1);
        assert_eq!(edits(mark("AB12").glyphs(), mark("XB21").glyphs()), 3);
    }
}
