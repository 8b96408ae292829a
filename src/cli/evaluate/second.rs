//! The second opinion: boxes of another detector on the same pictures, from a CSV.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::manifest::TruthSet;
use super::matching::SecondBox;
use crate::geometry::Rect;

/// Boxes that are less sure than this decide nothing: below it the other detector takes lettering for plates as well.
const LEAST_SCORE: f32 = 0.5;

/// Boxes by picture.
#[derive(Debug, Default)]
pub(super) struct SecondOpinion {
    boxes: HashMap<String, Vec<SecondBox>>,
}

impl SecondOpinion {
    /// Reads the CSV; the first fault ends it, with file, line and mend.
    pub(super) fn read(path: &Path, set: &TruthSet) -> anyhow::Result<Self> {
        let name = path.display();
        let mut reader = csv::Reader::from_path(path)
            .with_context(|| format!("{name}: the second opinion can't be opened; --second-opinion wants a CSV file"))?;
        let header = reader.headers().with_context(|| format!("{name}: no header line"))?.clone();
        let column = |wanted: &str| {
            header.iter().position(|h| h.trim() == wanted).ok_or_else(|| {
                anyhow!("{name}: no column `{wanted}`; a second opinion has file, x1, y1, x2, y2 (pixels), detector_score and labelled (0 or 1)")
            })
        };
        let (file, labelled) = (column("file")?, column("labelled")?);
        let sides = [column("x1")?, column("y1")?, column("x2")?, column("y2")?];
        let score = column("detector_score")?;
        let mut boxes: HashMap<String, Vec<SecondBox>> = HashMap::new();
        for record in reader.records() {
            let record = record.with_context(|| name.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = |c: usize| record.get(c).unwrap_or("").trim();
            let number = |c: usize| {
                let value = field(c).parse().ok().filter(|v: &f32| v.is_finite());
                value.ok_or_else(|| anyhow!("{name}, line {line}, column `{}`: {:?} is no number", &header[c], field(c)))
            };
            let mut values = [0.0f32; 4];
            for (value, c) in values.iter_mut().zip(sides) {
                *value = number(c)?;
            }
            let is_sure = number(score)? > LEAST_SCORE;
            let labelled = match field(labelled) {
                "1" => true,
                "0" => false,
                other => bail!("{name}, line {line}, column `labelled`: {other:?} is neither 0 nor 1"),
            };
            let [x0, y0, x1, y1] = values;
            // A picture with doubtful boxes alone is still one of the set.
            let of_picture = boxes.entry(field(file).to_owned()).or_default();
            if is_sure {
                of_picture.push(SecondBox { bounds: Rect::new(x0, y0, x1, y1), labelled });
            }
        }
        if !set.items.iter().any(|item| boxes.contains_key(&item.file)) {
            bail!("{name}: none of its rows names a picture of the set; its column `file` must be the manifest's");
        }
        Ok(Self { boxes })
    }

    /// What it says of a picture.
    pub(super) fn of(&self, file: &str) -> &[SecondBox] {
        self.boxes.get(file).map_or(&[], Vec::as_slice)
    }
}
