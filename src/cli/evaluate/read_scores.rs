//! Every judged plate with what was read, how surely, and whether it was right, as a CSV: what reliability diagrams are drawn from.
//!
//! A plate that was not read has no `read`, `raw` and `confidence`. A row without `truth` is a read where no plate is: of a crop
//! without a plate, or false in a scene; it is neither `right` nor `folded`, and no figure of confidence in the report counts it.

use std::fs::File;
use std::path::Path;

use anyhow::Context;

use super::judge::{ReadPlate, Verdict};
use super::personal::outside_checkouts;
use crate::anpr::decode::Decoded;
use crate::anpr::vrm::Vrm;
use crate::cli::read::rounded;

const HEADER: [&str; 7] = ["file", "truth", "read", "raw", "confidence", "right", "folded"];

/// The file under way.
#[derive(Debug)]
pub(super) struct ReadScores {
    writer: csv::Writer<File>,
}

impl ReadScores {
    /// Begins the file, over an older one.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        outside_checkouts(path, "--scores", "it would hold marks of real vehicles")?;
        let mut writer = csv::Writer::from_path(path)
            .with_context(|| format!("{}: can't be written; choose another --scores file", path.display()))?;
        writer.write_record(HEADER)?;
        Ok(Self { writer })
    }

    /// Adds the rows of a picture or a clip.
    pub(super) fn add(&mut self, file: &str, reads: &[ReadPlate], verdict: &Verdict) -> anyhow::Result<()> {
        for plate in &verdict.plates {
            self.row(file, Some(plate.truth), plate.decoded, plate.right, plate.folded)?;
        }
        for i in &verdict.strangers {
            self.row(file, None, reads[*i].decoded, false, false)?;
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> std::io::Result<()> {
        self.writer.flush()
    }

    fn row(
        &mut self,
        file: &str,
        truth: Option<Vrm>,
        decoded: Option<Decoded>,
        right: bool,
        folded: bool,
    ) -> Result<(), csv::Error> {
        let text = |mark: Option<Vrm>| mark.map(|m| m.to_string()).unwrap_or_default();
        let confidence = decoded.map(|d| rounded(f64::from(d.confidence), 6).to_string()).unwrap_or_default();
        let yes = |is: bool| if is { "1" } else { "0" };
        let (read, raw) = (text(decoded.map(|d| d.vrm)), text(decoded.map(|d| d.raw)));
        self.writer.write_record([file, &text(truth), &read, &raw, &confidence, yes(right), yes(folded)])
    }
}
