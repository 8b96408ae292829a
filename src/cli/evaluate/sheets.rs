//! Contact sheets of what the detector found, missed and falsely found: the place, blown up, with the label, the candidates and the
//! second opinion drawn in.

use std::path::{Path, PathBuf};

use image::Rgb;

use super::matching::{Fate, SecondBox, Verdict};
use super::sheet::{Cell, Keep, LABEL, Pile, View, Words};
use crate::cli::{draw, personal};
use crate::frame::Frame;
use crate::geometry::{FramePx, Rect};

const SECOND: Rgb<u8> = Rgb([90, 160, 255]);
const LEGEND: &str = "label amber, second opinion blue, candidate green where it found a label and red where not, with its score";

/// The three sheets under way.
#[derive(Debug)]
pub(super) struct Sheets {
    dir: PathBuf,
    missed: Pile,
    false_boxes: Pile,
    found: Pile,
}

impl Sheets {
    /// Makes the folder.
    pub(super) fn create(dir: &Path) -> anyhow::Result<Self> {
        let sheet = |name, heading| Pile::new(name, heading, LEGEND, Keep::OneSheet);
        Ok(Self {
            dir: personal::create_folder(dir, "--sheets", "contact sheets hold photographs")?,
            missed: sheet("missed", "Missed, widest first"),
            false_boxes: sheet("false", "Falsely found, surest first"),
            found: sheet("found", "Found, most doubtful first"),
        })
    }

    /// Adds a picture's labels and candidates. What the second opinion excuses comes after what it doesn't.
    pub(super) fn add(&mut self, file: &str, frame: &Frame, second: &[SecondBox], verdict: &Verdict) {
        const EXCUSED: f32 = 100_000.0;
        let scene = Scene { file, frame, second, verdict };
        for label in &verdict.labels {
            let width = label.bounds.width();
            if let Some(i) = label.found_by {
                let found = &verdict.candidates[i];
                let note = format!("score {:.2}, overlap {:.2}, {width:.0} px", found.candidate.score, found.best_iou);
                self.found.offer(-found.candidate.score, || scene.cell(label.bounds, note));
            } else {
                let excused = label.adjudicated.is_some();
                let note = format!(
                    "{width:.0} px, best overlap {:.2}{}",
                    label.best_iou,
                    if excused { "; loose label, plate found" } else { "" }
                );
                self.missed.offer(if excused { width - EXCUSED } else { width }, || scene.cell(label.bounds, note));
            }
        }
        for judged in verdict.candidates.iter().filter(|c| c.label.is_none()) {
            let (bounds, score) = (judged.candidate.bounds, judged.candidate.score);
            let excuse = match judged.adjudicated {
                Fate::Neither => "; a plate without a label",
                Fate::Found => "; the plate in a loose label",
                Fate::False => "",
            };
            let note = format!("score {score:.2}, {:.0} px{excuse}", bounds.width());
            self.false_boxes.offer(if excuse.is_empty() { score } else { score - EXCUSED }, || scene.cell(bounds, note));
        }
    }

    /// Writes them.
    pub(super) fn save(self) -> anyhow::Result<()> {
        [&self.missed, &self.false_boxes, &self.found].into_iter().try_for_each(|pile| pile.save(&self.dir))
    }
}

/// Where cells are cut from.
#[derive(Clone, Copy)]
struct Scene<'a> {
    file: &'a str,
    frame: &'a Frame,
    second: &'a [SecondBox],
    verdict: &'a Verdict,
}

impl Scene<'_> {
    /// The surroundings of a place with all that is drawn in.
    fn cell(&self, place: Rect<FramePx>, note: String) -> Cell {
        let mut view = View::around(self.frame, place);
        self.second.iter().for_each(|s| view.outline(s.bounds.into(), SECOND));
        self.verdict.labels.iter().for_each(|l| view.outline(l.bounds.into(), LABEL));
        let colour = |found: bool| if found { draw::FOUND } else { draw::ALERT };
        for judged in &self.verdict.candidates {
            view.outline(judged.candidate.corners, colour(judged.label.is_some()));
        }
        for judged in &self.verdict.candidates {
            let score = format!("{:.2}", judged.candidate.score);
            view.note(judged.candidate.corners, colour(judged.label.is_some()), &score);
        }
        let name = self.file.rsplit('/').next().unwrap_or(self.file);
        let lines = vec![Words::new(draw::INK, note), Words::new(draw::FAINT, name)];
        Cell { picture: view.picture, patch: None, beside: Vec::new(), lines }
    }
}
