//! Privacy masks: parts of the picture that nobody is to see, painted black before anything else has the pixels.
//!
//! A [`Mask`] knows its polygons; for the size and layout at hand it works out once which bytes lie in them, and from then on only
//! fills. Every pixel that a polygon touches is painted, if only a corner of it, and in planes of colour every sample that such a
//! pixel shares. A polygon that crosses itself hides all that it winds around. Runs on the capture thread.

use std::ops::Range;

use super::colour::NO_COLOUR;
use super::{Frame, Layout, Lease};
use crate::geometry::{FramePx, Point, Rect};

/// Areas that are painted over.
#[derive(Clone, Debug)]
pub struct Mask {
    polygons: Vec<Vec<Point<FramePx>>>,
    frame_px: (f32, f32),
    /// What the strokes are for.
    drawn: Option<(Layout, (usize, usize))>,
    strokes: Vec<Stroke>,
}

/// Bytes beside each other, and what they become.
#[derive(Clone, Debug)]
struct Stroke {
    bytes: Range<usize>,
    value: u8,
}

impl Mask {
    /// Polygons by their corners, in pixels of a frame of width and height `frame_px`; frames of another size are masked in
    /// proportion.
    pub const fn new(polygons: Vec<Vec<Point<FramePx>>>, frame_px: (f32, f32)) -> Self {
        Self { polygons, frame_px, drawn: None, strokes: Vec::new() }
    }

    /// Whether frames of this size have the shape that the mask was drawn for, to two in a hundred. In another shape the camera
    /// crops or turns its picture, and nobody knows any more what lies where.
    pub fn fits(&self, (width, height): (usize, usize)) -> bool {
        #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX
        let (across, down) = (width as f32 * self.frame_px.1, height as f32 * self.frame_px.0);
        (across - down).abs() <= 0.02 * across.max(down)
    }

    /// Paints a buffer that has just been filled; all of it where the mask does not fit. Allocates when size or layout change only.
    pub fn apply(&mut self, lease: &mut Lease) {
        let what = (lease.layout(), lease.size());
        if self.drawn != Some(what) {
            self.draw(lease.layout(), lease.size());
            self.drawn = Some(what);
        }
        let bytes = lease.bytes_mut();
        for Stroke { bytes: range, value } in &self.strokes {
            bytes[range.clone()].fill(*value);
        }
    }

    /// Whether anything within `area` of a frame is masked. Allocates when size or layout change only.
    pub fn touches(&mut self, area: Rect<FramePx>, frame: &Frame) -> bool {
        let what = (frame.layout(), (frame.width(), frame.height()));
        if self.drawn != Some(what) {
            self.draw(what.0, what.1);
            self.drawn = Some(what);
        }
        let each = if what.0 == Layout::Bgr { 3 } else { 1 };
        let index = |v: f32| whole(f64::from(v.max(0.0)));
        let (left, right) = (index(area.x0).min(frame.width()), index(area.x1.ceil()).min(frame.width()));
        let rows = index(area.y0)..index(area.y1.ceil()).min(frame.height());
        // Strokes are in the order of their bytes, those of luma (or of all channels) first.
        rows.filter(|_| left < right).any(|row| {
            let at = |column: usize| each * (row * frame.width() + column);
            let next = self.strokes.partition_point(|stroke| stroke.bytes.end <= at(left));
            self.strokes.get(next).is_some_and(|stroke| stroke.bytes.start < at(right))
        })
    }

    /// Whether all of a region is masked, so that there is nothing left to look at; in pixels of the frame that it was drawn for.
    pub fn hides(&self, region: Rect<FramePx>) -> bool {
        let size = (whole(f64::from(self.frame_px.0)), whole(f64::from(self.frame_px.1)));
        let columns = whole(f64::from(region.x0))..whole(f64::from(region.x1).ceil());
        let mut hidden = 0;
        self.runs(size, |row, run| {
            let within = row >= whole(f64::from(region.y0)) && row < whole(f64::from(region.y1).ceil());
            if within && run.start <= columns.start && run.end >= columns.end {
                hidden += 1;
            }
        });
        hidden >= whole(f64::from(region.y1).ceil()) - whole(f64::from(region.y0))
    }

    fn draw(&mut self, layout: Layout, (width, height): (usize, usize)) {
        let mut strokes = std::mem::take(&mut self.strokes);
        strokes.clear();
        let mut plane = |from: usize, size: (usize, usize), each: usize, value: u8| {
            self.runs(size, |row, run| {
                let at = |column: usize| from + each * (row * size.0 + column);
                strokes.push(Stroke { bytes: at(run.start)..at(run.end), value });
            });
        };
        match layout {
            Layout::Bgr => plane(0, (width, height), 3, 0),
            Layout::I420 { .. } => {
                plane(0, (width, height), 1, layout.grey(0));
                let (luma, half) = (width * height, (width / 2, height / 2));
                plane(luma, half, 1, NO_COLOUR);
                plane(luma + half.0 * half.1, half, 1, NO_COLOUR);
            }
        }
        self.strokes = strokes;
    }

    /// All pixels that the polygons touch in a plane of this size, row by row, as runs that neither overlap nor meet.
    fn runs(&self, (width, height): (usize, usize), mut each: impl FnMut(usize, Range<usize>)) {
        if !self.fits((width, height)) {
            (0..height).filter(|_| width > 0).for_each(|row| each(row, 0..width));
            return;
        }
        #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX
        let (w, h) = (width as f64, height as f64);
        let (of_w, of_h) = (f64::from(self.frame_px.0.max(1.0)), f64::from(self.frame_px.1.max(1.0)));
        // Multiplied first: what falls between two pixels does so exactly.
        let placed = |p: &Point<FramePx>| (f64::from(p.x) * w / of_w, f64::from(p.y) * h / of_h);
        let polygons: Vec<Vec<(f64, f64)>> = self.polygons.iter().map(|p| p.iter().map(placed).collect()).collect();
        let (mut runs, mut crossings) = (Vec::new(), Vec::new());
        for row in 0..height {
            runs.clear();
            for polygon in &polygons {
                touched(polygon, row, &mut crossings, &mut |from, to| {
                    let run = whole(from).min(width)..whole(to.ceil()).min(width);
                    if !run.is_empty() {
                        runs.push(run);
                    }
                });
            }
            runs.sort_unstable_by_key(|run| run.start);
            let mut merged: Option<Range<usize>> = None;
            for run in runs.drain(..) {
                match &mut merged {
                    Some(so_far) if run.start <= so_far.end => so_far.end = so_far.end.max(run.end),
                    _ => {
                        if let Some(done) = merged.replace(run) {
                            each(row, done);
                        }
                    }
                }
            }
            if let Some(last) = merged {
                each(row, last);
            }
        }
    }
}

/// From where to where a polygon touches a row of pixels: along each of its edges, and between those that the row's middle crosses.
/// A pixel that no edge goes through lies inside with its middle or not at all.
fn touched(polygon: &[(f64, f64)], row: usize, crossings: &mut Vec<(f64, i32)>, found: &mut impl FnMut(f64, f64)) {
    #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX
    let (top, middle, bottom) = (row as f64, row as f64 + 0.5, row as f64 + 1.0);
    crossings.clear();
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        let ((high, low), winds) = if a.1 <= b.1 { ((*a, b), 1) } else { ((b, *a), -1) };
        let at = |y: f64| if high.0 == low.0 { high.0 } else { high.0 + (low.0 - high.0) * (y - high.1) / (low.1 - high.1) };
        if high.1 == low.1 {
            if high.1 > top && high.1 < bottom {
                found(high.0.min(low.0), high.0.max(low.0));
            }
            continue;
        }
        if high.1 < bottom && low.1 > top {
            let (from, to) = (at(high.1.max(top)), at(low.1.min(bottom)));
            found(from.min(to), from.max(to));
        }
        if high.1 <= middle && low.1 > middle {
            crossings.push((at(middle), winds));
        }
    }
    crossings.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut around, mut from) = (0, 0.0);
    for (x, winds) in crossings.iter() {
        if around == 0 {
            from = *x;
        }
        around += winds;
        if around == 0 {
            found(from, *x);
        }
    }
}

/// A coordinate as an index: what is negative is 0, a fraction is dropped.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
const fn whole(v: f64) -> usize {
    v as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FramePool;
    use proptest::prelude::*;

    const FRAME: (f32, f32) = (40.0, 30.0);
    /// What stands in buffers before they are masked: no value that a mask paints.
    const BEFORE: u8 = 77;

    fn mask(corners: &[(f32, f32)]) -> Mask {
        Mask::new(vec![corners.iter().map(|(x, y)| Point::new(*x, *y)).collect()], FRAME)
    }

    /// Which samples of each plane are painted, with the plane's width and height; checks what they became.
    fn painted(mask: &mut Mask, layout: Layout, (w, h): (usize, usize)) -> Vec<(usize, usize, Vec<bool>)> {
        let mut lease = FramePool::new(1).lease_as(layout, w, h).expect("a size");
        lease.bytes_mut().fill(BEFORE);
        mask.apply(&mut lease);
        let is_painted = |value: u8| {
            move |v: &u8| {
                assert!(*v == BEFORE || *v == value, "{v}");
                *v == value
            }
        };
        let bytes = lease.bytes_mut();
        if layout == Layout::Bgr {
            let all = |pixel: &[u8; 3]| {
                assert!(pixel.iter().all(|v| *v == pixel[0]));
                is_painted(0)(&pixel[0])
            };
            return vec![(w, h, bytes.as_chunks::<3>().0.iter().map(all).collect())];
        }
        let (luma, colour) = bytes.split_at(w * h);
        let mut planes = vec![(w, h, luma.iter().map(is_painted(layout.grey(0))).collect())];
        planes.extend(colour.chunks_exact(w * h / 4).map(|plane| (w / 2, h / 2, plane.iter().map(is_painted(128)).collect())));
        planes
    }

    #[test]
    fn a_picture_of_another_shape_is_hidden_as_a_whole() {
        let mut mask = mask(&[(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)]);
        for (size, whole) in [((30, 40), true), ((64, 36), true), ((400, 302), false), ((80, 60), false)] {
            let planes = painted(&mut mask, Layout::I420 { full_range: false }, size);
            assert_eq!(planes.iter().all(|(_, _, painted)| painted.iter().all(|p| *p)), whole, "{size:?}");
        }
    }

    #[test]
    fn what_touches_a_mask_is_what_has_a_painted_pixel_in_it() {
        use crate::clock::{SimClock, UtcTime};
        use crate::ident::{CameraId, FrameSeq};
        for layout in [Layout::Bgr, Layout::I420 { full_range: false }] {
            let lease = FramePool::new(1).lease_as(layout, 40, 30).expect("a size");
            let at = SimClock::at(UtcTime::default(), std::time::Duration::ZERO);
            let frame = Frame::new(lease, CameraId::new("t").expect("id"), FrameSeq(0), at);
            let mut mask = mask(&[(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)]);
            for (area, touches) in [
                ((0.0, 0.0, 10.0, 30.0), false),
                ((0.0, 0.0, 10.5, 30.0), true),
                ((20.0, 0.0, 40.0, 30.0), false),
                ((19.9, 19.9, 40.0, 30.0), true),
                ((12.0, 20.0, 18.0, 30.0), false),
                ((12.0, 0.0, 18.0, 10.0), false),
                ((12.0, 12.0, 13.0, 13.0), true),
                ((-9.0, -9.0, 90.0, 90.0), true),
                ((50.0, 12.0, 60.0, 18.0), false),
            ] {
                assert_eq!(mask.touches(Rect::new(area.0, area.1, area.2, area.3), &frame), touches, "{layout:?} {area:?}");
            }
        }
    }

    /// Whether a point lies in the polygon: how often that winds around it, by angles.
    fn contains(polygon: &[(f32, f32)], x: f64, y: f64) -> bool {
        let angle = |p: (f32, f32)| (f64::from(p.1) - y).atan2(f64::from(p.0) - x);
        let turns: f64 = (0..polygon.len())
            .map(|i| {
                let turn = angle(polygon[(i + 1) % polygon.len()]) - angle(polygon[i]);
                let full = 2.0 * std::f64::consts::PI;
                turn - full * (turn / full).round()
            })
            .sum();
        turns.abs() > 1.0
    }

    /// Whether an edge comes through a box.
    fn edge_through(polygon: &[(f32, f32)], x: (f64, f64), y: (f64, f64)) -> bool {
        (0..polygon.len()).any(|i| {
            let (a, b) = (polygon[i], polygon[(i + 1) % polygon.len()]);
            let (ax, ay, bx, by) = (f64::from(a.0), f64::from(a.1), f64::from(b.0), f64::from(b.1));
            // The part of the edge that is within both, as shares of its way (Liang and Barsky 1984).
            let (mut from, mut to) = (0.0f64, 1.0f64);
            for (start, way, (least, most)) in [(ax, bx - ax, x), (ay, by - ay, y)] {
                if way == 0.0 {
                    if start < least || start > most {
                        return false;
                    }
                } else {
                    let (p, q) = ((least - start) / way, (most - start) / way);
                    (from, to) = (from.max(p.min(q)), to.min(p.max(q)));
                }
            }
            from <= to
        })
    }

    fn corner() -> impl Strategy<Value = (f32, f32)> {
        // Whole pixels as people type them, and any others.
        prop_oneof![(0..=40u8, 0..=30u8).prop_map(|(x, y)| (f32::from(x), f32::from(y))), (0.0f32..=40.0, 0.0f32..=30.0)]
    }

    proptest! {
        #[test]
        fn what_a_polygon_touches_is_painted_and_nothing_else(
            corners in proptest::collection::vec(corner(), 3..9), size in 0..3usize, layout in 0..3usize
        ) {
            let layout = [Layout::Bgr, Layout::I420 { full_range: true }, Layout::I420 { full_range: false }][layout];
            let size = [(40, 30), (64, 48), (54, 40)][size];
            for (w, h, painted) in painted(&mut mask(&corners), layout, size) {
                let (sx, sy) = (40.0 / w as f64, 30.0 / h as f64);
                for (i, painted) in painted.into_iter().enumerate() {
                    let (x, y) = ((i % w) as f64 * sx, (i / w) as f64 * sy);
                    let inside = (0..25).any(|n| {
                        contains(&corners, x + sx * (0.1 + 0.2 * f64::from(n % 5)), y + sy * (0.1 + 0.2 * f64::from(n / 5)))
                    });
                    prop_assert!(painted || !inside, "({}, {}) of {w} x {h} can be seen", i % w, i / w);
                    if painted && !inside {
                        // No more than a breath outside: an edge goes through it, or along it.
                        let near = 1e-6;
                        let through = edge_through(&corners, (x - near, x + sx + near), (y - near, y + sy + near));
                        prop_assert!(through, "({}, {}) of {w} x {h} need not be painted", i % w, i / w);
                    }
                }
            }
        }
    }

    #[test]
    fn a_box_on_whole_pixels_hides_those_and_no_more() {
        let mut mask = mask(&[(10.0, 6.0), (20.0, 6.0), (20.0, 9.0), (10.0, 9.0)]);
        let planes = painted(&mut mask, Layout::I420 { full_range: false }, (40, 30));
        assert_eq!(planes[0].2.iter().filter(|p| **p).count(), 30);
        // Rows 6 to 8 share their colours with row 9.
        assert_eq!(planes[1].2.iter().filter(|p| **p).count(), 10);
        // The same mask on another size and layout, and back.
        assert_eq!(painted(&mut mask, Layout::Bgr, (80, 60))[0].2.iter().filter(|p| **p).count(), 120);
        assert_eq!(painted(&mut mask, Layout::Bgr, (40, 30))[0].2.iter().filter(|p| **p).count(), 30);
    }

    #[test]
    fn a_mask_hides_a_region_when_nothing_of_it_is_left() {
        let mask = Mask::new(
            [[0.0, 21.0], [20.0, 40.0]]
                .map(|[l, r]| [(l, 5.0), (r, 5.0), (r, 30.0), (l, 30.0)].map(|(x, y)| Point::new(x, y)).into())
                .into(),
            FRAME,
        );
        assert!(mask.hides(Rect::new(3.0, 5.0, 40.0, 30.0)), "by two of them");
        assert!(!mask.hides(Rect::new(3.0, 4.0, 40.0, 30.0)));
    }
}
