//! How a region is looked at: once as a whole, or in tiles, so that the small plates of a large frame come to the detector at
//! a size that it can see. Only arithmetic; the detector does the looking, `overlap` settles what was seen twice.
//!
//! Tiles are equal and neighbours share [`OVERLAP_SHARE`] of a tile. A plate that crosses a tile's edge begins less than
//! its own width before it, so it lies wholly in the neighbour as long as it is no wider than what they share: with a quarter,
//! every plate up to a quarter of a tile's width (160 of 640 input pixels, far above what needs tiles at all) is seen whole at
//! least once. Less would leave wide plates in pieces; more would buy plates that the look at the whole region finds anyway,
//! and cost scale. Downwards the same share holds two-line and tilted plates of that width.
//!
//! A tile is letterboxed like any region, so only tiles of about the input's own shape magnify: 2x2 of a 16:9 frame by 1.75 (not
//! by 2, for what they share), 2x1 of it by 1.07. Two tiles side by side are for a region that is wide and low.

use std::fmt;
use std::str::FromStr;

use super::overlap::View;
use crate::geometry::{FramePx, Rect};

/// What neighbouring tiles have in common, as a share of a tile's side.
pub const OVERLAP_SHARE: f32 = 0.25;

/// Into how many columns and rows a region is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    columns: u8,
    rows: u8,
}

impl Tiles {
    /// The region as it is.
    pub const ONE: Self = Self { columns: 1, rows: 1 };
    /// Most columns and most rows: each tile costs a run of the detector.
    pub const MOST: u8 = 4;

    /// So many columns and rows, each from 1 to [`Tiles::MOST`].
    pub fn new(columns: u8, rows: u8) -> Option<Self> {
        let fits = |n: u8| (1..=Self::MOST).contains(&n);
        (fits(columns) && fits(rows)).then_some(Self { columns, rows })
    }

    /// How many tiles there are.
    pub fn count(self) -> usize {
        usize::from(self.columns) * usize::from(self.rows)
    }

    /// One tile of a region, row by row from the top left. Beyond [`Tiles::count`] they start again.
    pub fn look(self, index: usize, region: Rect<FramePx>) -> Look {
        let (column, row) = (index % usize::from(self.columns), index / usize::from(self.columns) % usize::from(self.rows));
        let (x0, x1, left, right) = span(column, self.columns, region.x0, region.x1);
        let (y0, y1, top, bottom) = span(row, self.rows, region.y0, region.y1);
        Look { area: Rect::new(x0, y0, x1, y1), left, top, right, bottom, left_to_tiles: (0.0, 0.0) }
    }

    /// The further look at a whole region that is cut into these tiles.
    pub fn whole(self, region: Rect<FramePx>) -> Look {
        let tile = self.look(0, region).area;
        let shared = |count: u8, side: f32, whole: f32| if count > 1 { side * OVERLAP_SHARE } else { whole };
        let width = shared(self.columns, tile.width(), region.width());
        let height = shared(self.rows, tile.height(), region.height());
        Look { left_to_tiles: (width, height), ..Self::ONE.look(0, region) }
    }
}

/// Where part `index` of `count` begins and ends, and whether that is inside the whole.
fn span(index: usize, count: u8, start: f32, end: f32) -> (f32, f32, bool, bool) {
    #[allow(clippy::cast_precision_loss)] // below Tiles::MOST
    let (i, n) = (index as f32, f32::from(count));
    let side = (end - start).max(0.0) / (n - (n - 1.0) * OVERLAP_SHARE);
    let from = start + i * side * (1.0 - OVERLAP_SHARE);
    let is_last = index + 1 == usize::from(count);
    (from, if is_last { end } else { from + side }, index > 0, !is_last)
}

impl FromStr for Tiles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('x').and_then(|(c, r)| Some((c.parse().ok()?, r.parse().ok()?)));
        numbers
            .and_then(|(columns, rows)| Self::new(columns, rows))
            .ok_or_else(|| format!("{text:?} is not COLUMNSxROWS, each from 1 to {}, such as 2x1", Self::MOST))
    }
}

impl fmt::Display for Tiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.columns, self.rows)
    }
}

/// One look of the detector: a part of the frame, and which of its edges are cuts, with more of the region behind them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// What is looked at.
    pub area: Rect<FramePx>,
    left: bool,
    top: bool,
    right: bool,
    bottom: bool,
    /// Boxes up to this width and height lie wholly in a tile, which sees them better; zero where this look is as close as any.
    left_to_tiles: (f32, f32),
}

impl Look {
    /// Where a box of this look may be: nothing is known behind a cut, while a plate that the region's own edge parts goes on in
    /// the frame.
    pub fn reach(&self, frame: Rect<FramePx>) -> Rect<FramePx> {
        let (area, side) = (self.area, |cut: bool, edge: f32, beyond: f32| if cut { edge } else { beyond });
        Rect::new(
            side(self.left, area.x0, frame.x0),
            side(self.top, area.y0, frame.y0),
            side(self.right, area.x1, frame.x1),
            side(self.bottom, area.y1, frame.y1),
        )
    }

    /// How this look sees a box. One that comes within `near_px` of a cut may be a piece of something larger.
    pub(super) fn view(&self, bounds: Rect<FramePx>, near_px: f32) -> View {
        let is_cut = (self.left && bounds.x0 < self.area.x0 + near_px)
            || (self.top && bounds.y0 < self.area.y0 + near_px)
            || (self.right && bounds.x1 > self.area.x1 - near_px)
            || (self.bottom && bounds.y1 > self.area.y1 - near_px);
        let (width, height) = self.left_to_tiles;
        match is_cut {
            true => View::Piece,
            false if bounds.width() < width && bounds.height() < height => View::Distant,
            false => View::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGION: Rect<FramePx> = Rect::new(100.0, 50.0, 2020.0, 1130.0);

    fn looks(tiles: Tiles) -> Vec<Look> {
        (0..tiles.count()).map(|i| tiles.look(i, REGION)).collect()
    }

    proptest! {
        #[test]
        fn a_plate_of_a_quarter_of_a_tiles_width_lies_wholly_in_one(
            columns in 1u8..=4, rows in 1u8..=4, x in 0.0f32..1.0, y in 0.0f32..1.0
        ) {
            let looks = looks(Tiles::new(columns, rows).expect("allowed"));
            let tile = looks[0].area;
            let (width, height) = (tile.width() * OVERLAP_SHARE - 0.01, tile.height() * OVERLAP_SHARE - 0.01);
            let (x, y) = (REGION.x0 + x * (REGION.width() - width), REGION.y0 + y * (REGION.height() - height));
            let plate = Rect::new(x, y, x + width, y + height);
            prop_assert!(looks.iter().any(|l| l.area.intersect(plate) == plate), "{plate:?} in none of {looks:?}");
        }
    }

    #[test]
    fn tiles_are_equal_cover_the_region_and_know_their_cuts() {
        let looks = looks(Tiles::new(2, 2).expect("allowed"));
        assert_eq!((looks[0].area.x0, looks[0].area.y0, looks[3].area.x1, looks[3].area.y1), (100.0, 50.0, 2020.0, 1130.0));
        assert!(looks.iter().all(|l| (l.area.width() - 1920.0 / 1.75).abs() < 0.1), "{looks:?}");
        let frame = Rect::new(0.0, 0.0, 3000.0, 3000.0);
        assert_eq!(looks[0].reach(frame), Rect::new(0.0, 0.0, looks[0].area.x1, looks[0].area.y1));
        let at_edge = Rect::new(looks[0].area.x1 - 80.0, 400.0, looks[0].area.x1 - 3.0, 420.0);
        assert_eq!((looks[0].view(at_edge, 8.0), looks[1].view(at_edge, 8.0)), (View::Piece, View::Close));
        let corner = Rect::new(100.0, 50.0, 180.0, 70.0);
        assert_eq!(looks[0].view(corner, 8.0), View::Close, "the region's own edge is no cut");
    }

    #[test]
    fn the_further_look_leaves_to_the_tiles_what_they_see_whole() {
        let whole = Tiles::new(2, 1).expect("allowed").whole(REGION);
        let plate = |width: f32| Rect::new(400.0, 400.0, 400.0 + width, 400.0 + width / 5.0);
        // A quarter of a tile of 1097 px; a tile is as high as the region.
        assert_eq!((whole.view(plate(270.0), 8.0), whole.view(plate(280.0), 8.0)), (View::Distant, View::Close));
        assert_eq!(Tiles::ONE.look(0, REGION).view(plate(50.0), 8.0), View::Close);
    }

    #[test]
    fn numbers_of_tiles_are_read_and_checked() {
        assert_eq!("2x1".parse(), Ok(Tiles { columns: 2, rows: 1 }));
        assert_eq!("4x3".parse::<Tiles>().expect("allowed").to_string(), "4x3");
        for text in ["0x1", "5x1", "2", "2x", "2x1x1", "-1x1"] {
            assert!(text.parse::<Tiles>().expect_err(text).contains("from 1 to 4"));
        }
    }
}
