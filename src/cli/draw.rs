//! Pictures for people: annotated frames and contact sheets. The `image` crate holds the pixels and writes PNG; letters
//! are DejaVu Sans (free licence, from the `dejavu` crate), rasterised by `ab_glyph`.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage, imageops};

use crate::frame::Frame;
use crate::geometry::{FramePx, Quad, Rect};

/// Outline of a plate that was read.
pub(super) const FOUND: Rgb<u8> = Rgb([38, 222, 129]);
/// Outline and letters of an alert.
pub(super) const ALERT: Rgb<u8> = Rgb([255, 92, 87]);
/// Paper of contact sheets.
const PAPER: Rgb<u8> = Rgb([24, 28, 34]);
/// Paper of one cell.
const CELL: Rgb<u8> = Rgb([36, 42, 51]);
/// Letters.
pub(super) const INK: Rgb<u8> = Rgb([236, 240, 245]);
/// Quiet letters.
pub(super) const FAINT: Rgb<u8> = Rgb([150, 160, 172]);

/// What to draw around a plate.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) quad: Quad<FramePx>,
    pub(super) text: String,
    pub(super) colour: Rgb<u8>,
}

/// A frame as a picture in memory.
pub(super) fn picture(frame: &Frame) -> RgbImage {
    part(frame, (0, 0), (frame.width(), frame.height()))
}

/// A part of a frame as a picture in memory, cut at the frame's edges.
pub(super) fn crop(frame: &Frame, area: Rect<FramePx>) -> RgbImage {
    let area = area.intersect(frame.bounds());
    let whole = crate::vision::floor_index;
    part(frame, (whole(area.x0), whole(area.y0)), (whole(area.width()), whole(area.height())))
}

fn part(frame: &Frame, from: (usize, usize), (width, height): (usize, usize)) -> RgbImage {
    let mut rgb = Vec::new();
    frame.bgr_part(from, (width, height), &mut rgb);
    for pixel in rgb.as_chunks_mut::<3>().0 {
        pixel.swap(0, 2);
    }
    // Invariant: a part of a frame has width × height × 3 bytes, and its sides fit u32 (at most MAX_SIDE_PX).
    RgbImage::from_raw(side(width), side(height), rgb).expect("a part's bytes match its size")
}

/// An empty sheet.
pub(super) fn paper(width: f32, height: f32) -> RgbImage {
    let whole = |v: f32| side(crate::vision::floor_index(v));
    RgbImage::from_pixel(whole(width), whole(height), PAPER)
}

/// A place on a sheet in whole pixels.
pub(super) fn whole(v: f32) -> i64 {
    i64::try_from(crate::vision::floor_index(v)).unwrap_or(i64::MAX)
}

/// The frame with every label's outline and text.
pub(super) fn annotate(frame: &Frame, labels: &[Label]) -> RgbImage {
    let mut picture = picture(frame);
    #[allow(clippy::cast_precision_loss)] // picture sides
    let scale = (picture.width() as f32 / 1280.0).clamp(0.5, 3.0);
    for label in labels {
        outline(&mut picture, label.quad.grow(0.03, 0.10), label.colour, (2.5 * scale).max(1.0));
        let (bounds, size) = (label.quad.bounds(), (26.0 * scale).max(13.0));
        let width = text_width(&label.text, size) + size * 0.6;
        #[allow(clippy::cast_precision_loss)]
        let x = bounds.x0.clamp(0.0, (picture.width() as f32 - width).max(0.0));
        let y = if bounds.y0 > size * 1.7 { bounds.y0 - size * 1.65 } else { bounds.y1 + size * 0.35 };
        fill(&mut picture, Rect::new(x, y, x + width, y + size * 1.3), label.colour);
        text(&mut picture, x + size * 0.3, y + size * 0.12, size, Rgb([12, 16, 20]), &label.text);
    }
    picture
}

/// One cell of a contact sheet.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// The overview image.
    pub(super) overview: RgbImage,
    /// The plate patch.
    pub(super) patch: RgbImage,
    /// Large line.
    pub(super) title: String,
    /// Small line.
    pub(super) note: String,
    /// Colour of the rule above the cell: what became of it.
    pub(super) colour: Rgb<u8>,
}

/// A contact sheet: a heading and cells in rows.
pub(super) fn contact_sheet(heading: &str, note: &str, cells: &[Cell], columns: u32) -> RgbImage {
    const CELL_WIDTH: u32 = 400;
    const PICTURE_HEIGHT: u32 = 226;
    const TEXT_HEIGHT: u32 = 92;
    const GAP: u32 = 16;
    const HEAD: u32 = 86;
    let columns = columns.clamp(1, u32::try_from(cells.len().max(1)).unwrap_or(1));
    let rows = u32::try_from(cells.len()).unwrap_or(0).div_ceil(columns);
    let cell_height = PICTURE_HEIGHT + TEXT_HEIGHT;
    let mut sheet =
        RgbImage::from_pixel((GAP + columns * (CELL_WIDTH + GAP)).max(900), HEAD + rows * (cell_height + GAP) + GAP / 2, PAPER);
    text(&mut sheet, 18.0, 14.0, 32.0, INK, heading);
    text(&mut sheet, 19.0, 54.0, 17.0, FAINT, note);
    for (i, cell) in (0u32..).zip(cells) {
        let (x, y) = (GAP + (i % columns) * (CELL_WIDTH + GAP), HEAD + (i / columns) * (cell_height + GAP));
        let (fx, fy) = (at(x), at(y));
        fill(&mut sheet, Rect::new(fx, fy, fx + at(CELL_WIDTH), fy + at(cell_height)), CELL);
        let shown = fit(&cell.overview, CELL_WIDTH, PICTURE_HEIGHT);
        imageops::replace(&mut sheet, &shown, i64::from(x + (CELL_WIDTH - shown.width()) / 2), i64::from(y));
        fill(&mut sheet, Rect::new(fx, fy, fx + at(CELL_WIDTH), fy + 4.0), cell.colour);
        let patch = fit(&cell.patch, 150, TEXT_HEIGHT - 20);
        let (px, py) = (x + CELL_WIDTH - patch.width() - 10, y + PICTURE_HEIGHT + (TEXT_HEIGHT - patch.height()) / 2);
        imageops::replace(&mut sheet, &patch, i64::from(px), i64::from(py));
        text(&mut sheet, fx + 12.0, fy + at(PICTURE_HEIGHT) + 12.0, 29.0, INK, &cell.title);
        let room = at(CELL_WIDTH - patch.width()) - 36.0;
        for (line, part) in cell.note.lines().enumerate() {
            #[allow(clippy::cast_precision_loss)] // two or three lines
            let down = line as f32 * 17.0;
            text(&mut sheet, fx + 13.0, fy + at(PICTURE_HEIGHT) + 48.0 + down, 14.0, FAINT, &shortened(part, 14.0, room));
        }
    }
    sheet
}

/// Scaled to fit, never blown up by more than four.
fn fit(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = (at(picture.width().max(1)), at(picture.height().max(1)));
    let scale = (at(width) / w).min(at(height) / h).min(4.0);
    let scaled = |side: f32| crate::vision::floor_index((side * scale).round()).max(1);
    imageops::resize(picture, side(scaled(w)), side(scaled(h)), imageops::FilterType::Triangle)
}

/// A filled box, cut at the picture's edges.
fn fill(picture: &mut RgbImage, area: Rect<FramePx>, colour: Rgb<u8>) {
    let index = |v: f32| side(crate::vision::floor_index(v));
    for y in index(area.y0)..index(area.y1).min(picture.height()) {
        for x in index(area.x0)..index(area.x1).min(picture.width()) {
            picture.put_pixel(x, y, colour);
        }
    }
}

/// A closed outline, `thick` pixels.
pub(super) fn outline(picture: &mut RgbImage, quad: Quad<FramePx>, colour: Rgb<u8>, thick: f32) {
    for i in 0..4 {
        let (a, b) = (quad.corners[i], quad.corners[(i + 1) % 4]);
        let steps = (a.distance(b) * 2.0).ceil().clamp(1.0, 20_000.0);
        let mut step = 0.0;
        while step <= steps {
            let t = step / steps;
            let (x, y) = (a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t);
            fill(picture, Rect::new(x - thick / 2.0, y - thick / 2.0, x + thick / 2.0, y + thick / 2.0), colour);
            step += 1.0;
        }
    }
}

fn font() -> FontRef<'static> {
    // Invariant: the crate ships this very file; a test below draws with it.
    FontRef::try_from_slice(dejavu::sans::bold()).expect("the bundled font is a font")
}

fn text_width(content: &str, size: f32) -> f32 {
    let font = font();
    let scaled = font.as_scaled(PxScale::from(size));
    content.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum()
}

/// The text, or as much of it as fits `room` pixels with an ellipsis.
pub(super) fn shortened(content: &str, size: f32, room: f32) -> String {
    if text_width(content, size) <= room {
        return content.to_owned();
    }
    let mut kept = content.to_owned();
    while !kept.is_empty() && text_width(&kept, size) + text_width("…", size) > room {
        kept.pop();
    }
    kept + "…"
}

/// Draws one line of text with its top left corner at (`x`, `y`).
pub(super) fn text(picture: &mut RgbImage, x: f32, y: f32, size: f32, colour: Rgb<u8>, content: &str) {
    let font = font();
    let scaled = font.as_scaled(PxScale::from(size));
    let mut pen = x;
    for c in content.chars() {
        let id = scaled.glyph_id(c);
        let glyph = id.with_scale_and_position(PxScale::from(size), point(pen, y + scaled.ascent()));
        pen += scaled.h_advance(id);
        let Some(outlined) = font.outline_glyph(glyph) else { continue };
        let origin = outlined.px_bounds().min;
        outlined.draw(|dx, dy, coverage| {
            let (px, py) = (origin.x + at(dx), origin.y + at(dy));
            if px < 0.0 || py < 0.0 || px >= at(picture.width()) || py >= at(picture.height()) {
                return;
            }
            let pixel = picture.get_pixel_mut(side(crate::vision::floor_index(px)), side(crate::vision::floor_index(py)));
            for (under, over) in pixel.0.iter_mut().zip(colour.0) {
                let mixed = f32::from(*under) + (f32::from(over) - f32::from(*under)) * coverage.min(1.0);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between two bytes
                let mixed = mixed.round() as u8;
                *under = mixed;
            }
        });
    }
}

#[allow(clippy::cast_precision_loss)] // picture sides and offsets, exact in f32
fn at(n: u32) -> f32 {
    n as f32
}

fn side(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_leaves_ink_inside_the_picture_and_no_panic_outside() {
        let mut picture = RgbImage::from_pixel(120, 40, PAPER);
        text(&mut picture, 4.0, 4.0, 24.0, INK, "AB12 CDE");
        assert!(picture.pixels().filter(|p| **p == INK).count() > 100);
        text(&mut picture, -50.0, 30.0, 40.0, INK, "über den Rand");
        assert!(text_width("WW", 20.0) > text_width("I", 20.0));
    }

    #[test]
    fn a_sheet_holds_every_cell() {
        let cell = Cell {
            overview: RgbImage::from_pixel(640, 360, Rgb([9, 9, 9])),
            patch: RgbImage::from_pixel(160, 40, Rgb([200, 200, 0])),
            title: "AB12 CDE".into(),
            note: "97 %\n12 reads".into(),
            colour: ALERT,
        };
        let sheet = contact_sheet("Heading", "note", &vec![cell; 5], 3);
        assert_eq!(sheet.width(), 16 + 3 * 416);
        assert!(sheet.height() > 2 * 318);
        assert_eq!(sheet.pixels().filter(|p| **p == Rgb([200, 200, 0])).count(), 5 * 150 * 38);
    }
}
