//! Every judged plate with what was read, how surely, and whether it was right, as a CSV: what reliability diagrams are drawn from.
//!
//! A plate that was not read has no `read`, `raw` and `confidence`. A row without `truth` is a read where no plate is: the surest of
//! a crop without a plate, or a false one in a scene; it is neither `right` nor `folded`, and no figure of confidence in the report counts it.

use std::path::Path;

use super::judge::{ReadPlate, Verdict};
use super::table::Table;
use crate::anpr::decode::Decoded;
use crate::anpr::vrm::Vrm;
use crate::cli::personal::outside_checkouts;
use crate::cli::read::rounded;

const HEADER: [&str; 7] = ["file", "truth", "read", "raw", "confidence", "right", "folded"];

/// The file under way.
#[derive(Debug)]
pub(super) struct ReadScores {
    table: Table,
}

impl ReadScores {
    /// Begins the file, over an older one, but over none of those that the command reads.
    pub(super) fn create(path: &Path, inputs: &[&Path]) -> anyhow::Result<Self> {
        outside_checkouts(path, "--scores", "it would hold marks of real vehicles")?;
        Ok(Self { table: Table::create(path, HEADER, inputs)? })
    }

    /// Adds the rows of a picture or a clip.
    pub(super) fn add(&mut self, file: &str, reads: &[ReadPlate], verdict: &Verdict) {
        for plate in &verdict.plates {
            self.row(file, Some(plate.truth), plate.decoded, plate.right, plate.folded);
        }
        for i in &verdict.strangers {
            self.row(file, None, reads[*i].decoded, false, false);
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.table.finish()
    }

    fn row(&mut self, file: &str, truth: Option<Vrm>, decoded: Option<Decoded>, right: bool, folded: bool) {
        let text = |mark: Option<Vrm>| mark.map(|m| m.to_string()).unwrap_or_default();
        let confidence = decoded.map(|d| rounded(f64::from(d.confidence), 6).to_string()).unwrap_or_default();
        let yes = |is: bool| if is { "1" } else { "0" };
        let (read, raw) = (text(decoded.map(|d| d.vrm)), text(decoded.map(|d| d.raw)));
        self.table.row([file, &text(truth), &read, &raw, &confidence, yes(right), yes(folded)]);
    }
}
