//! Every candidate with its score and whether it was right, as a CSV: what precision-recall curves and reliability diagrams
//! are drawn from. Labels that no candidate found have rows of their own, so that recall can be counted from the file alone: found
//! plates are the candidate rows with `matched` = 1, all plates those and the label rows. Adjudicated, a label row may say `found`
//! too: count it there and not at the candidate that earned it.

use std::path::Path;

use super::matching::Verdict;
use super::table::Table;
use crate::cli::read::rounded;
use crate::geometry::{FramePx, Rect};

const HEADER: [&str; 12] =
    ["row", "file", "score", "iou", "matched", "adjudicated", "width_px", "label_width_px", "x1", "y1", "x2", "y2"];

/// The file under way.
#[derive(Debug)]
pub(super) struct ScoreFile {
    table: Table,
}

impl ScoreFile {
    /// Begins the file, over an older one, but over none of those that the command reads.
    pub(super) fn create(path: &Path, inputs: &[&Path]) -> anyhow::Result<Self> {
        Ok(Self { table: Table::create(path, HEADER, inputs)? })
    }

    /// Adds a picture's rows.
    pub(super) fn add(&mut self, file: &str, verdict: &Verdict) {
        for judged in &verdict.candidates {
            let label = judged.label.map(|l| verdict.labels[l].bounds);
            self.row(
                ["candidate", file, &number(judged.candidate.score, 6)],
                judged.best_iou,
                label.is_some(),
                judged.adjudicated.as_str(),
                (judged.candidate.bounds, label),
            );
        }
        for label in verdict.labels.iter().filter(|l| l.found_by.is_none()) {
            let adjudicated = if label.adjudicated.is_some() { "found" } else { "missed" };
            self.row(["label", file, ""], label.best_iou, false, adjudicated, (label.bounds, Some(label.bounds)));
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.table.finish()
    }

    fn row(
        &mut self,
        [row, file, score]: [&str; 3],
        iou: f32,
        matched: bool,
        adjudicated: &str,
        (bounds, label): (Rect<FramePx>, Option<Rect<FramePx>>),
    ) {
        let px = |v: f32| number(v, 1);
        let label_width = label.map(|l| px(l.width())).unwrap_or_default();
        let [x0, y0, x1, y1] = [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(px);
        let (iou, matched, width) = (number(iou, 4), if matched { "1" } else { "0" }, px(bounds.width()));
        self.table.row([row, file, score, &iou, matched, adjudicated, &width, &label_width, &x0, &y0, &x1, &y1]);
    }
}

fn number(value: f32, decimals: i32) -> String {
    rounded(f64::from(value), decimals).to_string()
}
