//! Contact sheets of what was found, missed and falsely found: the place, blown up, with the label, the candidates and the
//! second opinion drawn in. A person who looks at sixty faults learns more than from their number.
//!
//! They hold photographs of people's vehicles, which may not come into a project: a folder inside a checkout is refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use image::{Rgb, RgbImage, imageops};

use super::matching::{Fate, SecondBox, Verdict};
use crate::cli::draw;
use crate::frame::Frame;
use crate::geometry::{FramePx, Point, Quad, Rect};
use crate::vision::floor_index;

/// Most cells of a sheet: what fits one look. Those that matter most stay.
const MOST_CELLS: usize = 60;
const COLUMNS: usize = 6;
const PICTURE_WIDTH_PX: f32 = 300.0;
const PICTURE_HEIGHT_PX: f32 = 180.0;
const TEXT_HEIGHT_PX: f32 = 44.0;
const GAP_PX: f32 = 8.0;
const HEAD_PX: f32 = 70.0;

const LABEL: Rgb<u8> = Rgb([255, 190, 60]);
const SECOND: Rgb<u8> = Rgb([90, 160, 255]);

/// The three sheets under way.
#[derive(Debug)]
pub(super) struct Sheets {
    dir: PathBuf,
    missed: Sheet,
    false_boxes: Sheet,
    found: Sheet,
}

impl Sheets {
    /// Makes the folder.
    pub(super) fn create(dir: &Path) -> anyhow::Result<Self> {
        if let Some(checkout) = checkout_around(dir)? {
            bail!(
                "{}: lies inside the checkout {}; contact sheets hold photographs, which may not come into a project: choose a --sheets folder outside",
                dir.display(),
                checkout.display()
            );
        }
        std::fs::create_dir_all(dir)
            .with_context(|| format!("{}: can't be made; choose another --sheets folder", dir.display()))?;
        let sheet = |name, heading| Sheet { name, heading, cells: Vec::new(), seen: 0 };
        Ok(Self {
            dir: dir.to_owned(),
            missed: sheet("missed.jpg", "Missed, widest first"),
            false_boxes: sheet("false.jpg", "Falsely found, surest first"),
            found: sheet("found.jpg", "Found, most doubtful first"),
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
        for sheet in [&self.missed, &self.false_boxes, &self.found] {
            let path = self.dir.join(sheet.name);
            sheet.draw().save(&path).with_context(|| format!("{}: can't be written", path.display()))?;
        }
        Ok(())
    }
}

/// The checkout that a folder is in or would be in: the nearest one above with a `.git`, links resolved.
fn checkout_around(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let absolute = std::path::absolute(dir).with_context(|| format!("{}: no path for --sheets", dir.display()))?;
    // Links are followed as far as the folder exists; what is still to be made has none.
    let exists = absolute.ancestors().find_map(|a| a.canonicalize().ok());
    let has_git = |p: &&Path| p.join(".git").exists();
    let above = exists.as_deref().and_then(|e| e.ancestors().find(has_git));
    Ok(above.or_else(|| absolute.ancestors().find(has_git)).map(Path::to_owned))
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
    /// The surroundings of a place, two plate widths across and some, with all that is drawn in.
    fn cell(&self, place: Rect<FramePx>, note: String) -> Cell {
        let frame = self.frame.bounds();
        let width = (place.width() * 2.5).max(place.height() * 3.0).max(60.0).min(frame.width());
        let height = (width * PICTURE_HEIGHT_PX / PICTURE_WIDTH_PX).min(frame.height());
        let start = |centre: f32, side: f32, end: f32| (centre - side / 2.0).min(end - side).max(0.0).floor();
        let (x, y) = (start(place.centre().x, width, frame.width()), start(place.centre().y, height, frame.height()));
        let crop = draw::crop(self.frame, Rect::new(x, y, x + width, y + height));
        let zoom = (PICTURE_WIDTH_PX / width).min(PICTURE_HEIGHT_PX / height);
        let side = |v: f32| u32::try_from(floor_index((v * zoom).round()).max(1)).unwrap_or(1);
        let mut picture = imageops::resize(&crop, side(width), side(height), imageops::FilterType::Triangle);
        let zoomed = |q: Quad<FramePx>| Quad::new(q.corners.map(|c| Point::new((c.x - x) * zoom, (c.y - y) * zoom)));
        let mut outline = |quad: Quad<FramePx>, colour| draw::outline(&mut picture, zoomed(quad), colour, 1.5);
        self.second.iter().for_each(|s| outline(s.bounds.into(), SECOND));
        self.verdict.labels.iter().for_each(|l| outline(l.bounds.into(), LABEL));
        for judged in &self.verdict.candidates {
            outline(judged.candidate.corners, if judged.label.is_some() { draw::FOUND } else { draw::ALERT });
        }
        for judged in &self.verdict.candidates {
            let [_, right, ..] = zoomed(judged.candidate.corners).corners;
            let colour = if judged.label.is_some() { draw::FOUND } else { draw::ALERT };
            // Kept inside the cell: the number matters more than its place.
            let (x, y) = (right.x.min(PICTURE_WIDTH_PX - 34.0) + 3.0, (right.y - 12.0).max(0.0));
            draw::text(&mut picture, x, y, 12.0, colour, &format!("{:.2}", judged.candidate.score));
        }
        let name = self.file.rsplit('/').next().unwrap_or(self.file).to_owned();
        Cell { rank: 0.0, picture, name, note }
    }
}

#[derive(Debug)]
struct Cell {
    rank: f32,
    picture: RgbImage,
    name: String,
    note: String,
}

/// One sheet: the cells of the highest ranks.
#[derive(Debug)]
struct Sheet {
    name: &'static str,
    heading: &'static str,
    cells: Vec<Cell>,
    seen: usize,
}

impl Sheet {
    /// Takes a cell if it ranks among the first; it is drawn only then.
    fn offer(&mut self, rank: f32, cell: impl FnOnce() -> Cell) {
        self.seen += 1;
        let at = self.cells.partition_point(|t| t.rank >= rank);
        if at < MOST_CELLS {
            self.cells.truncate(MOST_CELLS - 1);
            self.cells.insert(at, Cell { rank, ..cell() });
        }
    }

    fn draw(&self) -> RgbImage {
        let (columns, rows) = (COLUMNS, self.cells.len().div_ceil(COLUMNS).max(1));
        #[allow(clippy::cast_precision_loss)] // at most MOST_CELLS
        let (across, down) = (
            |i: usize| GAP_PX + i as f32 * (PICTURE_WIDTH_PX + GAP_PX),
            |i: usize| HEAD_PX + i as f32 * (PICTURE_HEIGHT_PX + TEXT_HEIGHT_PX + GAP_PX),
        );
        let mut sheet = draw::paper(across(columns), down(rows));
        draw::text(&mut sheet, GAP_PX, 10.0, 26.0, draw::INK, self.heading);
        let legend = format!(
            "{} of {}; label amber, second opinion blue, candidate green where it found a label and red where not, with its score",
            self.cells.len(),
            self.seen
        );
        draw::text(&mut sheet, GAP_PX, 44.0, 15.0, draw::FAINT, &legend);
        for (i, cell) in self.cells.iter().enumerate() {
            let (x, y) = (across(i % columns), down(i / columns));
            imageops::replace(&mut sheet, &cell.picture, draw::whole(x), draw::whole(y));
            let mut line = |down: f32, ink, words: &str| {
                let shown = draw::shortened(words, 13.0, PICTURE_WIDTH_PX - 4.0);
                draw::text(&mut sheet, x + 2.0, y + PICTURE_HEIGHT_PX + down, 13.0, ink, &shown);
            };
            line(4.0, draw::INK, &cell.note);
            line(21.0, draw::FAINT, &cell.name);
        }
        sheet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        Cell { rank: 0.0, picture: RgbImage::new(300, 180), name: "a.jpg".into(), note: "n".into() }
    }

    #[test]
    fn a_sheet_keeps_the_first_in_rank_and_draws_only_those() {
        let mut sheet = Sheet { name: "s.jpg", heading: "h", cells: Vec::new(), seen: 0 };
        let mut drawn = 0;
        for i in 0u16..200 {
            sheet.offer(200.0 - f32::from(i), || {
                drawn += 1;
                cell()
            });
        }
        assert_eq!((drawn, sheet.seen, sheet.cells.len()), (MOST_CELLS, 200, MOST_CELLS));
        sheet.offer(500.0, cell);
        assert!((sheet.cells[0].rank - 500.0).abs() < 1e-3 && sheet.cells.len() == MOST_CELLS);
        assert!(sheet.draw().height() > 10 * 180);
    }

    #[test]
    fn folders_inside_a_checkout_are_known_through_links_and_before_they_exist() {
        let dir = tempfile::tempdir().expect("a folder");
        let (inside, outside) = (dir.path().join("project/deep"), dir.path().join("outside"));
        std::fs::create_dir_all(&inside).expect("made");
        std::fs::create_dir_all(&outside).expect("made");
        std::fs::create_dir(dir.path().join("project/.git")).expect("made");
        std::os::unix::fs::symlink(&inside, outside.join("link")).expect("linked");
        let refused = |p: PathBuf| checkout_around(&p).expect("a path").is_some();
        assert!(refused(inside.clone()) && refused(inside.join("still/to/come")) && refused(outside.join("link/new")));
        assert!(!refused(outside.join("sheets")));
    }
}
