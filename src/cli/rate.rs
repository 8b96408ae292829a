//! Shares, means and latencies, each with the interval that its count allows.

use std::fmt;
use std::io::Write;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// What an exact test of one side at 95 % says of a share that is wanted (Clopper and Pearson 1934).
    pub(super) fn against(self, wanted: f64) -> Proof {
        let (missed, hits) = (self.of - self.hits, self.hits);
        // If the share were just what is wanted, would so few be missed, or so few be hit, one time in twenty at most?
        if self.of > 0 && at_most(missed, self.of, 1.0 - wanted) <= 0.05 {
            Proof::Shown
        } else if self.of > 0 && at_most(hits, self.of, wanted) <= 0.05 {
            Proof::Refuted
        } else {
            Proof::Open
        }
    }

    /// Most that may be missed of as many, so that the share that is wanted is shown; none when there are too few.
    pub(super) fn most_missed(self, wanted: f64) -> Option<u64> {
        let shown = |missed: &u64| at_most(*missed, self.of, 1.0 - wanted) <= 0.05;
        (0..=self.of).take_while(shown).last()
    }
}

/// Whether a share that is wanted is shown by what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It is met: so good a count would be rare by luck alone.
    Shown,
    /// It is not met: so bad a count would be rare by bad luck alone.
    Refuted,
    /// Too few were counted to say.
    Open,
}

/// The chance of at most `hits` of `of` where each has the chance `share`: a sum of binomial terms, in logarithms, as 0.02 to the
/// power of thousands is no number.
#[allow(clippy::cast_precision_loss)] // counts far below 2^52
fn at_most(hits: u64, of: u64, share: f64) -> f64 {
    if hits >= of || share <= 0.0 {
        return 1.0;
    }
    let (n, odds) = (of as f64, (share / (1.0 - share)).ln());
    let mut term = n * (1.0 - share).ln();
    let mut sum = term.exp();
    for k in 1..=hits {
        let k = k as f64;
        term += ((n - k + 1.0) / k).ln() + odds;
        sum += term.exp();
    }
    sum.min(1.0)
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

/// The value that a share of sorted values stays within; none without values.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = (share * (sorted.len().max(1) - 1) as f64).round() as usize;
    sorted.get(at).copied()
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
        quantile(&sorted, share).unwrap_or(0.0)
    }

    /// One line of the report, whose names are `width` wide.
    pub(super) fn report(&self, out: &mut impl Write, width: usize) -> std::io::Result<()> {
        let (median, p95) = (self.within_ms(0.5), self.within_ms(0.95));
        let what = "CPU ms a file, one thread, file decoding included, model loading left out";
        writeln!(out, "{:<width$} median {median:.1}, p95 {p95:.1}  {what}", "latency")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_what_tables_say() {
        // Wilson: 0 of 10 gives [0, 0.2775]; 95 of 100 gives [0.8882, 0.9785].
        let close = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 2e-4 && (b - d).abs() < 2e-4;
        assert!(close(Rate { hits: 0, of: 10 }.interval(), (0.0, 0.2775)));
        assert!(close(Rate { hits: 95, of: 100 }.interval(), (0.8882, 0.9785)));
    }

    #[test]
    fn exact_tests_allow_what_tables_say() {
        // To show 98 %: at most 4 missed of 500, 12 of 1000, 29 of 2000; 95 %: 16, 38, 83.
        let most = |of, wanted| Rate { hits: 0, of }.most_missed(wanted);
        assert_eq!([500, 1000, 2000].map(|n| most(n, 0.98)), [Some(4), Some(12), Some(29)]);
        assert_eq!([500, 1000, 2000].map(|n| most(n, 0.95)), [Some(16), Some(38), Some(83)]);
        assert_eq!((most(40, 0.98), most(0, 0.98)), (None, None));
        assert_eq!(Rate { hits: 496, of: 500 }.against(0.98), Proof::Shown);
        assert_eq!(Rate { hits: 495, of: 500 }.against(0.98), Proof::Open);
        assert_eq!(Rate { hits: 480, of: 500 }.against(0.98), Proof::Refuted);
        assert_eq!((Rate { hits: 40, of: 40 }.against(0.98), Rate::default().against(0.98)), (Proof::Open, Proof::Open));
    }

    #[test]
    fn quantiles_of_nothing_are_none() {
        assert_eq!((quantile(&[], 0.5), quantile(&[3.0], 0.95), quantile(&[1.0, 2.0, 3.0], 0.5)), (None, Some(3.0), Some(2.0)));
    }
}
