//! Whether confidence is a probability: how far what the decoder believed lies from how often it was right.
//!
//! The expected calibration error (Naeini et al. 2015) puts reads into bins by their confidence and averages, weighted by
//! their counts, how far a bin's mean confidence lies from its share of right reads. Bins of equal width are what everybody reports;
//! but nearly all of a good reader's confidences lie in the last of them, so bins of equal count stand beside it. Few reads
//! make an error by chance alone; what it would be for beliefs that are probabilities ([`Calibration::chance`]) stands there too.

use std::collections::VecDeque;

use super::rate::Rate;

/// Bins of either kind.
const BINS: u8 = 10;
/// Confidence from which a wrong mark is the kind that nobody looks at twice.
pub(super) const CONFIDENT: f32 = 0.95;

/// One read: how sure, and whether it was right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Belief {
    pub(super) confidence: f64,
    pub(super) right: bool,
    /// Right once twins are folded.
    pub(super) folded: bool,
}

/// What counts as right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standard {
    /// The whole mark, twins as the mark's grammar demands.
    Exact,
    /// O = 0 and I = 1.
    Folded,
}

/// How beliefs are put into bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bins {
    /// 0 to 0.1, and so on.
    EqualWidth,
    /// As many reads in each, give or take one.
    EqualCount,
}

/// Beliefs between two confidences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    /// From and to.
    pub(super) bounds: (f64, f64),
    /// What was believed, on average; 0 without beliefs.
    pub(super) mean_confidence: f64,
    /// What came true.
    pub(super) right: Rate,
}

/// All beliefs of a set.
#[derive(Debug, Default)]
pub(super) struct Calibration {
    beliefs: Vec<Belief>,
}

impl Calibration {
    pub(super) fn add(&mut self, belief: Belief) {
        self.beliefs.push(belief);
    }

    /// Reads that were right.
    pub(super) fn right(&self, standard: Standard) -> Rate {
        let mut rate = Rate::default();
        self.beliefs.iter().for_each(|b| rate.count(b.is_right(standard)));
        rate
    }

    /// Mean confidence, 0 without reads.
    pub(super) fn mean_confidence(&self) -> f64 {
        self.beliefs.iter().map(|b| b.confidence).sum::<f64>() / self.count()
    }

    /// The expected calibration error, 0 without reads.
    pub(super) fn error(&self, standard: Standard, bins: Bins) -> f64 {
        // A bin's count times the distance of its two means is the distance of its two sums.
        self.over(bins, |bin| {
            let surplus = bin.iter().map(|b| b.confidence - f64::from(u8::from(b.is_right(standard))));
            surplus.sum::<f64>().abs()
        })
    }

    /// What was believed and what came true between these ends, lowest first; the last bin ends at 1 and holds it.
    pub(super) fn between(&self, ends: &[f64]) -> Vec<Bin> {
        let bounds = |i: usize| (if i == 0 { 0.0 } else { ends[i - 1] }, ends.get(i).copied().unwrap_or(1.0));
        let of = |i: usize| self.beliefs.iter().filter(move |b| ends.iter().filter(|end| b.confidence >= **end).count() == i);
        let bin = |i: usize| {
            let these = Self { beliefs: of(i).copied().collect() };
            Bin { bounds: bounds(i), mean_confidence: these.mean_confidence(), right: these.right(Standard::Exact) }
        };
        (0..=ends.len()).map(bin).collect()
    }

    /// The error that as many reads of these very confidences would show on average if each were a probability.
    pub(super) fn chance(&self, bins: Bins) -> f64 {
        self.over(bins, mean_surprise)
    }

    /// Sums something over the bins, as a share of the reads.
    fn over(&self, bins: Bins, of_bin: impl Fn(&[Belief]) -> f64) -> f64 {
        let mut sorted = self.beliefs.clone();
        sorted.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
        let mut rest = sorted.as_slice();
        let mut sum = 0.0;
        for bin in 1..=BINS {
            let taken = match bin {
                BINS => rest.len(),
                bin => match bins {
                    Bins::EqualWidth => rest.partition_point(|b| b.confidence < f64::from(bin) / f64::from(BINS)),
                    Bins::EqualCount => sorted.len() * usize::from(bin) / usize::from(BINS) - (sorted.len() - rest.len()),
                },
            };
            let (these, others) = rest.split_at(taken);
            sum += of_bin(these);
            rest = others;
        }
        sum / self.count()
    }

    /// Reads, at least one: what means are divided by.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    fn count(&self) -> f64 {
        self.beliefs.len().max(1) as f64
    }
}

/// How far the number of right reads of a bin lies from what is expected, on average, if each confidence is a probability. Exact: near
/// 1, where most confidences lie, the sum of so few doubts is nothing like normal.
fn mean_surprise(bin: &[Belief]) -> f64 {
    // Chances below this are dropped from both ends, so that thousands of reads need no more than the width of their spread.
    const NEGLIGIBLE: f64 = 1e-18;
    let expected: f64 = bin.iter().map(|b| b.confidence).sum();
    // The chances of `least` right reads, of one more, and so on; each read moves a part of every chance one on.
    let (mut chances, mut least) = (VecDeque::from([1.0]), 0.0);
    for belief in bin {
        chances.push_back(0.0);
        let mut one_fewer = 0.0;
        for chance in &mut chances {
            let moved = belief.confidence * one_fewer;
            one_fewer = *chance;
            *chance = (1.0 - belief.confidence).mul_add(one_fewer, moved);
        }
        while chances.back().is_some_and(|c| *c < NEGLIGIBLE) {
            chances.pop_back();
        }
        while chances.front().is_some_and(|c| *c < NEGLIGIBLE) {
            chances.pop_front();
            least += 1.0;
        }
    }
    let counts = std::iter::successors(Some(least), |right: &f64| Some(right + 1.0));
    chances.iter().zip(counts).map(|(chance, right)| chance * (right - expected).abs()).sum()
}

impl Belief {
    const fn is_right(&self, standard: Standard) -> bool {
        match standard {
            Standard::Exact => self.right,
            Standard::Folded => self.folded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(beliefs: &[(f64, bool)]) -> Calibration {
        let mut calibration = Calibration::default();
        beliefs
            .iter()
            .for_each(|(confidence, right)| calibration.add(Belief { confidence: *confidence, right: *right, folded: true }));
        calibration
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_belief_that_comes_true_as_often_as_it_says_has_no_error() {
        // Nine of ten right at 0.9, three of four at 0.75.
        let mut beliefs = vec![(0.9, true); 9];
        beliefs.extend([(0.9, false), (0.75, true), (0.75, true), (0.75, true), (0.75, false)]);
        let honest = calibration(&beliefs);
        assert!(close(honest.error(Standard::Exact, Bins::EqualWidth), 0.0));
        assert!(close(honest.mean_confidence(), 12.0 / 14.0) && close(honest.right(Standard::Exact).share(), 12.0 / 14.0));
        // Folded, all of them are right: 1.0 - 12/14 too modest.
        assert!(close(honest.error(Standard::Folded, Bins::EqualWidth), 2.0 / 14.0));
    }

    #[test]
    fn bins_of_equal_count_part_what_one_wide_bin_averages_away() {
        // All in the last bin of equal width, where too sure and too modest cancel: 0.91 always right, 0.99 right 82 times of 100.
        let mut beliefs = vec![(0.91, true); 100];
        beliefs.extend((0..100).map(|i| (0.99, i < 82)));
        let mixed = calibration(&beliefs);
        assert!(close(mixed.error(Standard::Exact, Bins::EqualWidth), 0.04));
        assert!(mixed.error(Standard::Exact, Bins::EqualCount) > 0.12);
    }

    #[test]
    fn the_ends_of_confidence_and_few_reads_have_bins_too() {
        let ends = calibration(&[(0.0, true), (1.0, false), (0.1, false)]);
        for bins in [Bins::EqualWidth, Bins::EqualCount] {
            assert!(close(ends.error(Standard::Exact, bins), 2.1 / 3.0), "{bins:?}");
        }
        assert!(close(Calibration::default().error(Standard::Exact, Bins::EqualCount), 0.0));
        assert!(close(Calibration::default().mean_confidence(), 0.0));
        assert!(close(Calibration::default().chance(Bins::EqualWidth), 0.0));
    }

    #[test]
    fn bins_between_ends_hold_every_belief_once() {
        let bins = calibration(&[(0.0, false), (0.5, true), (0.7, false), (0.9, true), (1.0, true)]).between(&[0.5, 0.9]);
        assert_eq!(bins.iter().map(|b| b.right.of).collect::<Vec<_>>(), [1, 2, 2]);
        assert!(close(bins[1].mean_confidence, 0.6) && close(bins[2].right.share(), 1.0));
        assert!(close(bins[0].bounds.0, 0.0) && close(bins[1].bounds.1, 0.9) && close(bins[2].bounds.1, 1.0));
    }

    #[test]
    fn chance_alone_makes_an_error_that_falls_with_the_count() {
        // A fair coin a hundred times: 100 choose 50, times 25 over 2^99, is 3.9795 off on average.
        let coins = |n: usize| calibration(&vec![(0.5, true); n]).chance(Bins::EqualWidth);
        assert!((coins(100) - 0.039_795).abs() < 1e-6, "{}", coins(100));
        assert!((coins(400) * 2.0 / coins(100) - 1.0).abs() < 0.01);
        assert!((coins(20_000) * 20_000.0 / (5_000.0 * std::f64::consts::FRAC_2_PI).sqrt() - 1.0).abs() < 1e-4);
        // Nearly sure: mostly all are right, which is a little more than expected.
        let sure = calibration(&vec![(0.999, true); 169]);
        let off = 2.0 * 0.999f64.powi(169) * 0.169 / 169.0;
        assert!(close(sure.chance(Bins::EqualWidth), off), "{}", sure.chance(Bins::EqualWidth));
        assert!((sure.chance(Bins::EqualCount) - 0.002).abs() < 1e-4, "{}", sure.chance(Bins::EqualCount));
        assert!(close(calibration(&[(1.0, true); 9]).chance(Bins::EqualCount), 0.0), "certainties leave nothing to chance");
    }
}
