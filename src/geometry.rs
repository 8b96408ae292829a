//! Places in pictures: points, boxes and quadrilaterals that know which picture they are in, and the ways between them.
//!
//! Three spaces exist and can't be mixed, because the space is in the type: [`FramePx`] (the camera's frame),
//! [`PatchPx`] (a rectified plate patch) and [`ModelPx`] (the detector's input). A pixel's centre is at +0.5.
//! No pixels live here, only arithmetic.

use std::fmt;
use std::marker::PhantomData;

/// Pixels of the camera's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FramePx {}
/// Pixels of a rectified plate patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PatchPx {}
/// Pixels of the detector's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ModelPx {}

/// A point in space `S`, in pixels, x to the right, y down.
#[derive(PartialEq)]
pub struct Point<S> {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
    space: PhantomData<S>,
}

impl<S> Point<S> {
    /// A point at (`x`, `y`).
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y, space: PhantomData }
    }

    /// Distance to `other`, pixels.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

impl<S> Clone for Point<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Point<S> {}
impl<S> fmt::Debug for Point<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:.1}, {:.1})", self.x, self.y)
    }
}

/// An upright box in space `S`: left, top, right, bottom, pixels.
#[derive(PartialEq)]
pub struct Rect<S> {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
    space: PhantomData<S>,
}

impl<S> Clone for Rect<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Rect<S> {}
impl<S> fmt::Debug for Rect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:.1}, {:.1}, {:.1}, {:.1}]", self.x0, self.y0, self.x1, self.y1)
    }
}

impl<S> Rect<S> {
    /// A box from its edges.
    pub const fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x0, y0, x1, y1, space: PhantomData }
    }

    /// Width, pixels; zero for an inside-out box.
    pub fn width(self) -> f32 {
        (self.x1 - self.x0).max(0.0)
    }

    /// Height, pixels; zero for an inside-out box.
    pub fn height(self) -> f32 {
        (self.y1 - self.y0).max(0.0)
    }

    /// Area, square pixels.
    pub fn area(self) -> f32 {
        self.width() * self.height()
    }

    /// Its middle.
    pub fn centre(self) -> Point<S> {
        Point::new((self.x0 + self.x1) / 2.0, (self.y0 + self.y1) / 2.0)
    }

    /// What both boxes cover (possibly empty).
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self::new(self.x0.max(other.x0), self.y0.max(other.y0), self.x1.min(other.x1), self.y1.min(other.y1))
    }

    /// Intersection over union, 0..=1.
    pub fn iou(self, other: Self) -> f32 {
        let shared = self.intersect(other).area();
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// Each side moved outwards by a share of the width and of the height.
    #[must_use]
    pub fn grow(self, share_x: f32, share_y: f32) -> Self {
        let (dx, dy) = (self.width() * share_x, self.height() * share_y);
        Self::new(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)
    }
}

/// Four corners in space `S`, clockwise from the plate's own top left (so a plate upside down starts bottom right).
#[derive(PartialEq)]
pub struct Quad<S> {
    /// Top left, top right, bottom right, bottom left, as the mark is read.
    pub corners: [Point<S>; 4],
}

impl<S> Clone for Quad<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Quad<S> {}
impl<S> fmt::Debug for Quad<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.corners)
    }
}

impl<S> Quad<S> {
    /// From four corners, clockwise from the plate's top left.
    pub const fn new(corners: [Point<S>; 4]) -> Self {
        Self { corners }
    }

    /// The smallest upright box around it.
    pub fn bounds(self) -> Rect<S> {
        let [a, b, c, d] = self.corners;
        Rect::new(
            a.x.min(b.x).min(c.x).min(d.x),
            a.y.min(b.y).min(c.y).min(d.y),
            a.x.max(b.x).max(c.x).max(d.x),
            a.y.max(b.y).max(c.y).max(d.y),
        )
    }

    /// Mean of the corners.
    pub fn centre(self) -> Point<S> {
        let [a, b, c, d] = self.corners;
        Point::new((a.x + b.x + c.x + d.x) / 4.0, (a.y + b.y + c.y + d.y) / 4.0)
    }

    /// Mean length of the two long edges: the plate's width as seen, pixels.
    pub fn width(self) -> f32 {
        let [a, b, c, d] = self.corners;
        f32::midpoint(a.distance(b), d.distance(c))
    }

    /// Mean length of the two short edges: the plate's height as seen, pixels.
    pub fn height(self) -> f32 {
        let [a, b, c, d] = self.corners;
        f32::midpoint(a.distance(d), b.distance(c))
    }

    /// Corners moved away from the middle, by shares of the width and of the height.
    #[must_use]
    pub fn grow(self, share_x: f32, share_y: f32) -> Self {
        let [a, b, c, d] = self.corners;
        // Along the plate's own axes: from its left edge to its right one, from its top to its bottom.
        let along = Point::<S>::new((b.x + c.x - a.x - d.x) / 2.0, (b.y + c.y - a.y - d.y) / 2.0);
        let down = Point::<S>::new((c.x + d.x - a.x - b.x) / 2.0, (c.y + d.y - a.y - b.y) / 2.0);
        let moved = |p: Point<S>, sx: f32, sy: f32| {
            Point::new(p.x + along.x * share_x * sx + down.x * share_y * sy, p.y + along.y * share_x * sx + down.y * share_y * sy)
        };
        Self::new([moved(a, -1.0, -1.0), moved(b, 1.0, -1.0), moved(c, 1.0, 1.0), moved(d, -1.0, 1.0)])
    }

    /// Whether the corners turn clockwise all round without crossing: what a picture of a plate must do.
    pub fn is_convex(self) -> bool {
        (0..4).all(|i| {
            let (p, q, r) = (self.corners[i], self.corners[(i + 1) % 4], self.corners[(i + 2) % 4]);
            (q.x - p.x) * (r.y - q.y) - (q.y - p.y) * (r.x - q.x) > 0.0
        })
    }
}

impl<S> From<Rect<S>> for Quad<S> {
    fn from(r: Rect<S>) -> Self {
        Self::new([Point::new(r.x0, r.y0), Point::new(r.x1, r.y0), Point::new(r.x1, r.y1), Point::new(r.x0, r.y1)])
    }
}

/// How a frame, or a region of one, lies in the detector's input: scaled by one factor, centred, the rest padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    /// Model pixels a frame pixel.
    pub scale: f32,
    /// Where the region's top left corner lands, model pixels, both whole numbers.
    pub left: f32,
    /// Likewise, downwards.
    pub top: f32,
    /// The region's own top left corner in the frame.
    pub origin: Point<FramePx>,
}

impl Letterbox {
    /// Fits a region of a frame into `width` × `height` model pixels.
    pub fn fit(region: Rect<FramePx>, width: f32, height: f32) -> Self {
        let scale = (width / region.width().max(1.0)).min(height / region.height().max(1.0));
        Self {
            scale,
            left: ((width - (region.width() * scale).round()) / 2.0).floor(),
            top: ((height - (region.height() * scale).round()) / 2.0).floor(),
            origin: Point::new(region.x0, region.y0),
        }
    }

    /// Where a point of the model's input is in the frame.
    pub fn frame_from_model(&self, p: Point<ModelPx>) -> Point<FramePx> {
        Point::new((p.x - self.left) / self.scale + self.origin.x, (p.y - self.top) / self.scale + self.origin.y)
    }

    /// Where a point of the frame is in the model's input.
    pub fn model_from_frame(&self, p: Point<FramePx>) -> Point<ModelPx> {
        Point::new((p.x - self.origin.x) * self.scale + self.left, (p.y - self.origin.y) * self.scale + self.top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn letterbox_goes_there_and_back(w in 16.0f32..8000.0, h in 16.0f32..8000.0, x in 0.0f32..1.0, y in 0.0f32..1.0) {
            let letterbox = Letterbox::fit(Rect::new(0.0, 0.0, w, h), 640.0, 384.0);
            let p = Point::<FramePx>::new(x * w, y * h);
            let m = letterbox.model_from_frame(p);
            prop_assert!(m.x > -1.0 && m.x < 641.0 && m.y > -1.0 && m.y < 385.0);
            let back = letterbox.frame_from_model(m);
            prop_assert!(back.distance(p) < w.max(h) * 1e-4);
        }

        #[test]
        fn iou_is_symmetric_and_one_with_itself(a in -50.0f32..50.0, b in -50.0f32..50.0, w in 1.0f32..80.0, h in 1.0f32..80.0) {
            let (r, s) = (Rect::<FramePx>::new(0.0, 0.0, 40.0, 20.0), Rect::new(a, b, a + w, b + h));
            prop_assert!((r.iou(s) - s.iou(r)).abs() < 1e-6);
            prop_assert!((s.iou(s) - 1.0).abs() < 1e-5);
        }

        #[test]
        fn growing_a_quad_keeps_its_centre(s in 0.0f32..0.5, t in 0.0f32..0.5) {
            let q = Quad::<FramePx>::new([Point::new(0.0, 4.0), Point::new(50.0, 0.0), Point::new(52.0, 20.0), Point::new(2.0, 22.0)]);
            prop_assert!(q.grow(s, t).centre().distance(q.centre()) < 1e-3);
            prop_assert!(q.grow(s, t).is_convex());
        }
    }

    #[test]
    fn quad_and_box_agree_on_a_level_plate() {
        let r = Rect::<FramePx>::new(10.0, 20.0, 110.0, 45.0);
        let q = Quad::from(r);
        assert_eq!(q.bounds(), r);
        assert!((q.width() - 100.0).abs() < 1e-4 && (q.height() - 25.0).abs() < 1e-4);
        assert!(q.is_convex());
        assert!(!Quad::new([q.corners[1], q.corners[0], q.corners[2], q.corners[3]]).is_convex());
    }
}
