//! Contact sheets of places in pictures: cells in order of rank, drawn on as many sheets as they need. A person who looks at
//! sixty faults learns more than from their number.

use std::path::Path;

use anyhow::Context;
use image::{Rgb, RgbImage, imageops};

use crate::cli::draw;
use crate::frame::Frame;
use crate::geometry::{FramePx, Point, Quad, Rect};
use crate::vision::floor_index;

/// Most cells of a sheet: what fits one look.
pub(super) const MOST_CELLS: usize = 60;
/// Colour of what the set says.
pub(super) const LABEL: Rgb<u8> = Rgb([255, 190, 60]);

const COLUMNS_ACROSS: u8 = 6;
const COLUMNS: usize = COLUMNS_ACROSS as usize;
const PICTURE_WIDTH_PX: f32 = 300.0;
const PICTURE_HEIGHT_PX: f32 = 180.0;
/// Room for a plate patch with words beside it.
const PATCH_HEIGHT_PX: f32 = 72.0;
const LINE_PX: f32 = 17.0;
const GAP_PX: f32 = 8.0;
const HEAD_PX: f32 = 70.0;

/// Words of one colour.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) colour: Rgb<u8>,
    pub(super) text: String,
}

impl Words {
    pub(super) fn new(colour: Rgb<u8>, text: impl Into<String>) -> Self {
        Self { colour, text: text.into() }
    }
}

/// A place, with what is said of it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) picture: RgbImage,
    /// A patch that stands below the picture.
    pub(super) patch: Option<RgbImage>,
    /// Large lines beside the patch.
    pub(super) beside: Vec<Words>,
    /// Small lines below.
    pub(super) lines: Vec<Words>,
}

/// The surroundings of a place, blown up, to draw in.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) picture: RgbImage,
    left: f32,
    top: f32,
    zoom: f32,
}

impl View {
    /// Two plate widths across and some, as far as the frame goes.
    pub(super) fn around(frame: &Frame, place: Rect<FramePx>) -> Self {
        let bounds = frame.bounds();
        let wanted = (place.width() * 2.5).max(place.height() * 3.0).max(60.0);
        let (width, height) = (wanted.min(bounds.width()), (wanted * PICTURE_HEIGHT_PX / PICTURE_WIDTH_PX).min(bounds.height()));
        let start = |centre: f32, side: f32, end: f32| (centre - side / 2.0).min(end - side).max(0.0).floor();
        let left = start(place.centre().x, width, bounds.width());
        let top = start(place.centre().y, height, bounds.height());
        let crop = draw::crop(frame, Rect::new(left, top, left + width, top + height));
        let zoom = (PICTURE_WIDTH_PX / width).min(PICTURE_HEIGHT_PX / height);
        let side = |v: f32| u32::try_from(floor_index((v * zoom).round()).max(1)).unwrap_or(1);
        let picture = imageops::resize(&crop, side(width), side(height), imageops::FilterType::Triangle);
        Self { picture, left, top, zoom }
    }

    /// Draws a closed outline in.
    pub(super) fn outline(&mut self, quad: Quad<FramePx>, colour: Rgb<u8>) {
        let zoomed = self.zoomed(quad);
        draw::outline(&mut self.picture, zoomed, colour, 1.5);
    }

    /// Writes a few characters at the right of a quadrilateral.
    pub(super) fn note(&mut self, quad: Quad<FramePx>, colour: Rgb<u8>, text: &str) {
        let [_, right, ..] = self.zoomed(quad).corners;
        // Kept inside the cell: the number matters more than its place.
        let (x, y) = (right.x.min(PICTURE_WIDTH_PX - 34.0) + 3.0, (right.y - 12.0).max(0.0));
        draw::text(&mut self.picture, x, y, 12.0, colour, text);
    }

    fn zoomed(&self, quad: Quad<FramePx>) -> Quad<FramePx> {
        Quad::new(quad.corners.map(|c| Point::new((c.x - self.left) * self.zoom, (c.y - self.top) * self.zoom)))
    }
}

/// How many cells are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Those of the highest ranks that fit one sheet.
    OneSheet,
    /// All, on as many sheets as they need.
    All,
}

/// Cells in order of rank.
#[derive(Debug)]
pub(super) struct Pile {
    /// Name of its files, without ending.
    pub(super) name: &'static str,
    heading: &'static str,
    legend: &'static str,
    keep: Keep,
    cells: Vec<(f32, Cell)>,
    seen: usize,
}

impl Pile {
    pub(super) const fn new(name: &'static str, heading: &'static str, legend: &'static str, keep: Keep) -> Self {
        Self { name, heading, legend, keep, cells: Vec::new(), seen: 0 }
    }

    /// Takes a cell if it ranks among those that are kept; it is drawn only then. The first of equals stays first.
    pub(super) fn offer(&mut self, rank: f32, cell: impl FnOnce() -> Cell) {
        self.seen += 1;
        let at = self.cells.partition_point(|(other, _)| *other >= rank);
        if self.keep == Keep::OneSheet {
            if at >= MOST_CELLS {
                return;
            }
            self.cells.truncate(MOST_CELLS - 1);
        }
        self.cells.insert(at, (rank, cell()));
    }

    /// Writes its sheets into a folder: `name.jpg` where there can be one only, else `name-1.jpg` and so on, at least one. Sheets of that
    /// name which an earlier run left beyond these go.
    pub(super) fn save(&self, dir: &Path) -> anyhow::Result<()> {
        if self.keep == Keep::OneSheet {
            return save(&self.draw(0), &dir.join(format!("{}.jpg", self.name)));
        }
        let sheets = self.cells.len().div_ceil(MOST_CELLS).max(1);
        let path = |sheet: usize| dir.join(format!("{}-{}.jpg", self.name, sheet + 1));
        for sheet in 0..sheets {
            save(&self.draw(sheet), &path(sheet))?;
        }
        for stale in (sheets..).map(path).take_while(|p| p.exists()) {
            std::fs::remove_file(&stale).with_context(|| format!("{}: an older sheet can't be removed", stale.display()))?;
        }
        Ok(())
    }

    fn draw(&self, sheet: usize) -> RgbImage {
        let first = (sheet * MOST_CELLS).min(self.cells.len());
        let cells = &self.cells[first..(first + MOST_CELLS).min(self.cells.len())];
        let patch_height = if cells.iter().any(|(_, c)| c.patch.is_some()) { PATCH_HEIGHT_PX } else { 0.0 };
        #[allow(clippy::cast_precision_loss)] // a few
        let lines = cells.iter().map(|(_, c)| c.lines.len()).max().unwrap_or(0) as f32;
        // A row is as high as its highest picture, so that wide crops stand close.
        let text_height = patch_height + lines * LINE_PX + 10.0;
        let across = |i: u8| GAP_PX + f32::from(i) * (PICTURE_WIDTH_PX + GAP_PX);
        let rows = cells.chunks(COLUMNS);
        let heights: Vec<f32> = rows.clone().map(|row| row.iter().map(|(_, c)| height(&c.picture)).fold(0.0, f32::max)).collect();
        let total: f32 = heights.iter().map(|h| h + text_height + GAP_PX).sum();
        let mut paper = draw::paper(across(COLUMNS_ACROSS), HEAD_PX + total.max(GAP_PX));
        draw::text(&mut paper, GAP_PX, 10.0, 26.0, draw::INK, self.heading);
        let which = match (cells.len(), first) {
            (0, _) => format!("none of {}", self.seen),
            (n, first) => format!("{} to {} of {}", first + 1, first + n, self.seen),
        };
        draw::text(&mut paper, GAP_PX, 44.0, 15.0, draw::FAINT, &format!("{which}; {}", self.legend));
        let mut y = HEAD_PX;
        for (row, picture_height) in rows.zip(heights) {
            for (i, (_, cell)) in (0u8..).zip(row) {
                draw_cell(&mut paper, cell, across(i), y + picture_height, patch_height);
            }
            y += picture_height + text_height + GAP_PX;
        }
        paper
    }
}

/// Draws a cell whose picture ends at `below`.
fn draw_cell(paper: &mut RgbImage, cell: &Cell, x: f32, below: f32, patch_height: f32) {
    imageops::replace(paper, &cell.picture, draw::whole(x), draw::whole(below - height(&cell.picture)));
    let mut beside = 2.0;
    if let Some(patch) = &cell.patch {
        imageops::replace(paper, patch, draw::whole(x), draw::whole(below + 4.0));
        #[allow(clippy::cast_precision_loss)] // a patch's width
        let width = patch.width() as f32;
        beside = width + 8.0;
    }
    let mut line = |right: f32, down: f32, size: f32, words: &Words| {
        let shown = draw::shortened(&words.text, size, PICTURE_WIDTH_PX - right - 2.0);
        draw::text(paper, x + right, below + down, size, words.colour, &shown);
    };
    for (i, words) in (0u8..).zip(&cell.beside) {
        line(beside, 4.0 + 21.0 * f32::from(i), 17.0, words);
    }
    for (i, words) in (0u8..).zip(&cell.lines) {
        line(2.0, patch_height + 4.0 + LINE_PX * f32::from(i), 13.0, words);
    }
}

#[allow(clippy::cast_precision_loss)] // at most PICTURE_HEIGHT_PX
fn height(picture: &RgbImage) -> f32 {
    picture.height() as f32
}

fn save(sheet: &RgbImage, path: &Path) -> anyhow::Result<()> {
    sheet.save(path).with_context(|| format!("{}: can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        let patch = Some(RgbImage::new(160, 64));
        let words = |text: &str| vec![Words::new(draw::INK, text)];
        Cell { picture: RgbImage::new(300, 180), patch, beside: words("AB12CDE"), lines: words("a.jpg") }
    }

    #[test]
    fn one_sheet_keeps_the_first_in_rank_and_draws_only_those() {
        let mut pile = Pile::new("s", "h", "l", Keep::OneSheet);
        let mut drawn = 0;
        for i in 0u16..200 {
            pile.offer(200.0 - f32::from(i), || {
                drawn += 1;
                cell()
            });
        }
        assert_eq!((drawn, pile.seen, pile.cells.len()), (MOST_CELLS, 200, MOST_CELLS));
        pile.offer(500.0, cell);
        assert!((pile.cells[0].0 - 500.0).abs() < 1e-3 && pile.cells.len() == MOST_CELLS);
        assert!(pile.draw(0).height() > 10 * 180);
    }

    #[test]
    fn all_cells_are_kept_on_as_many_sheets_as_they_need_and_older_sheets_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let count = || std::fs::read_dir(dir.path()).expect("readable").count();
        let mut pile = Pile::new("misreads", "h", "l", Keep::All);
        pile.save(dir.path()).expect("saved");
        assert_eq!(count(), 1, "a sheet that says that there is none");
        for rank in 0u8..121 {
            pile.offer(f32::from(rank), cell);
        }
        assert!((pile.cells[0].0 - 120.0).abs() < 1e-3);
        pile.save(dir.path()).expect("saved");
        assert_eq!(count(), 3);
        assert!(dir.path().join("misreads-3.jpg").exists());
        assert!(pile.draw(0).height() > 5 * pile.draw(2).height(), "the last one holds a single row");
        pile.cells.truncate(3);
        pile.save(dir.path()).expect("saved");
        assert_eq!(count(), 1);
    }
}
