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
}
