//! Contact sheets of what was misread, missed and falsely read: the picture around the plate, the patch, the truth and what the
//! decoder made of it, wrong and confident first.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use super::judge::{Plate, ReadPlate, Verdict};
use super::manifest::Item;
use super::sheet::{Cell, Keep, LABEL, Pile, View, Words};
use crate::anpr::decode::Decoded;
use crate::cli::calibration::CONFIDENT;
use crate::cli::{draw, personal};
use crate::frame::Frame;
use crate::geometry::{FramePx, Quad, Rect};
use crate::vision::patch::{PATCH_HEIGHT_PX, PATCH_WIDTH_PX, PatchCutter, PlatePatch};

/// Margins of the patches on sheets, shares of a plate's width and height: about those of the reader's own looks, of which there
/// may be several.
const PATCH_MARGIN: (f32, f32) = (0.02, 0.08);
/// Ranks below every confidence: plates that were found and not read, and plates that were not found.
const NOT_READ: f32 = -1.0;
const NOT_FOUND: f32 = -2.0;
const LEGEND: &str = "label amber, what was read red; below it the plate patch, truth, read and confidence (twins: wrong by O/0 and I/1 alone); \
                      then what the eye alone saw, the likeliest alternatives, and the file";

/// A place in a picture, cut out.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    view: View,
    patch: Option<RgbImage>,
}

/// Where places are cut from.
#[derive(Debug)]
pub(super) enum Pictures {
    /// A photograph.
    Still(Frame),
    /// A clip: what its records' evidence shows, where there is any. Frames of a long clip would not fit in memory.
    Clip(Vec<Option<Shown>>),
}

/// Cuts places out.
#[derive(Debug)]
pub(super) struct Scissors {
    cutter: PatchCutter,
    patch: PlatePatch,
}

impl Scissors {
    pub(super) fn new() -> Self {
        Self { cutter: PatchCutter::new(), patch: PlatePatch::new() }
    }

    /// The surroundings of what was read, or of the label, or else the whole picture.
    pub(super) fn cut(&mut self, frame: &Frame, label: Option<Rect<FramePx>>, read: Option<&ReadPlate>) -> Shown {
        let place = read.map(|r| r.bounds).or(label).unwrap_or_else(|| frame.bounds());
        let mut view = View::around(frame, place);
        label.iter().for_each(|l| view.outline((*l).into(), LABEL));
        read.iter().for_each(|r| view.outline(r.corners, draw::ALERT));
        let (x, y) = PATCH_MARGIN;
        let quad = read.map(|r| r.corners).or_else(|| label.map(Quad::from));
        let patch = quad.filter(|q| self.cutter.cut(frame, q.grow(x, y), &mut self.patch).is_ok()).map(|_| self.picture());
        Shown { view, patch }
    }

    fn picture(&self) -> RgbImage {
        let side = |n: usize| u32::try_from(n).unwrap_or(0);
        RgbImage::from_fn(side(PATCH_WIDTH_PX), side(PATCH_HEIGHT_PX), |x, y| {
            // Invariant: a patch has PATCH_WIDTH_PX × PATCH_HEIGHT_PX bytes.
            let luma = self.patch.luma()[y as usize * PATCH_WIDTH_PX + x as usize];
            Rgb([luma; 3])
        })
    }
}

/// The sheets under way.
#[derive(Debug)]
pub(super) struct Misreads {
    dir: PathBuf,
    misread: Pile,
    false_reads: Pile,
    scissors: Scissors,
}

impl Misreads {
    /// Makes the folder.
    pub(super) fn create(dir: &Path) -> anyhow::Result<Self> {
        let pile = |name, heading| Pile::new(name, heading, LEGEND, Keep::All);
        Ok(Self {
            dir: personal::create_folder(dir, "--sheets", "contact sheets hold photographs")?,
            misread: pile("misreads", "Misread, surest first, then found but not read, then not found"),
            false_reads: pile("false-reads", "Read where no labelled plate is, surest first"),
            scissors: Scissors::new(),
        })
    }

    /// Adds a file's faults. `note` is said of each.
    pub(super) fn add(&mut self, item: &Item, pictures: &Pictures, reads: &[ReadPlate], verdict: &Verdict, note: &str) {
        let name = item.file.rsplit('/').next().unwrap_or(&item.file);
        let name = Words::new(draw::FAINT, if note.is_empty() { name.to_owned() } else { format!("{name}; {note}") });
        for (t, plate) in verdict.plates.iter().enumerate().filter(|(_, p)| !p.right) {
            let shown = shown(&mut self.scissors, pictures, item.box_of(t), plate.on_it, reads);
            let beside = beside(Words::new(LABEL, plate.truth.to_string()), plate.decoded.as_ref(), remark(plate));
            let rank = match plate.decoded {
                Some(d) => d.confidence,
                None if plate.on_it.is_some() => NOT_READ,
                None => NOT_FOUND,
            };
            self.misread.offer(rank, || cell(shown, beside, plate.decoded.as_ref(), name.clone()));
        }
        for i in &verdict.strangers {
            let decoded = reads[*i].decoded;
            let shown = shown(&mut self.scissors, pictures, None, Some(*i), reads);
            let beside = beside(Words::new(draw::FAINT, "not listed"), decoded.as_ref(), "");
            let rank = decoded.map_or(NOT_READ, |d| d.confidence);
            self.false_reads.offer(rank, || cell(shown, beside, decoded.as_ref(), name.clone()));
        }
    }

    /// Writes them.
    pub(super) fn save(self) -> anyhow::Result<()> {
        self.misread.save(&self.dir)?;
        self.false_reads.save(&self.dir)
    }
}

/// What is said beside the confidence, or where none was read.
const fn remark(plate: &Plate) -> &'static str {
    match plate.decoded {
        Some(_) if plate.folded => "twins",
        Some(_) => "",
        None if plate.on_it.is_some() => "not read",
        None => "not found",
    }
}

/// The place of a label or a read, cut out of a picture; in a clip, what the record's evidence shows.
fn shown(
    scissors: &mut Scissors,
    pictures: &Pictures,
    label: Option<Rect<FramePx>>,
    read: Option<usize>,
    reads: &[ReadPlate],
) -> Option<Shown> {
    match pictures {
        Pictures::Still(frame) => Some(scissors.cut(frame, label, read.map(|i| &reads[i]))),
        Pictures::Clip(records) => read.and_then(|i| records.get(i).cloned().flatten()),
    }
}

/// The large lines: truth, read, confidence.
fn beside(truth: Words, decoded: Option<&Decoded>, remark: &str) -> Vec<Words> {
    match decoded {
        Some(d) => {
            let colour = if d.confidence >= CONFIDENT { draw::ALERT } else { draw::FAINT };
            let confidence = format!("{:.3} {remark}", d.confidence);
            vec![truth, Words::new(draw::INK, d.vrm.to_string()), Words::new(colour, confidence.trim_end())]
        }
        None => vec![truth, Words::new(draw::FAINT, remark)],
    }
}

fn cell(shown: Option<Shown>, beside: Vec<Words>, decoded: Option<&Decoded>, name: Words) -> Cell {
    let (picture, patch) = match shown {
        Some(shown) => (shown.view.picture, shown.patch),
        None => (RgbImage::new(1, 1), None),
    };
    let said = decoded.map(|d| {
        let others = d.alternatives.iter().flatten().take(2).map(|a| format!("{} {:.3}", a.vrm, a.confidence));
        let others = others.collect::<Vec<_>>().join(", ");
        let others = if others.is_empty() { "no alternative".to_owned() } else { format!("or {others}") };
        [format!("eye {}", d.raw), others].map(|text| Words::new(draw::FAINT, text))
    });
    Cell { picture, patch, beside, lines: said.into_iter().flatten().chain([name]).collect() }
}
