//! Parts of frames for OpenCV: whole pixels, in either layout, scaled without touching the rest of the frame.

use opencv::boxed_ref::BoxedRef;
use opencv::core::{
    DataType, Mat, MatTraitConst, MatTraitConstManual, MatTraitManual, Rect as CvRect, Size, ToOutputArray, Vec3b,
};
use opencv::imgproc;

use super::floor_index;
use crate::frame::colour::Colours;
use crate::frame::{Frame, Layout, Pixels};
use crate::geometry::{FramePx, Rect};

/// A box of whole pixels in a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Part {
    /// All pixels that a region touches in the frame; none where it touches none.
    pub(super) fn of(frame: &Frame, region: Rect<FramePx>) -> Option<Self> {
        let region = region.intersect(frame.bounds());
        let (x0, y0) = (floor_index(region.x0), floor_index(region.y0));
        let (x1, y1) = (floor_index(region.x1.ceil()).min(frame.width()), floor_index(region.y1.ceil()).min(frame.height()));
        (x1 > x0 && y1 > y0).then(|| Self { x: x0, y: y0, width: x1 - x0, height: y1 - y0 })
    }

    /// The same with its colours: all blocks of two by two that it touches where the frame has planes, so that what is cut out of the
    /// planes of colour lies in its place.
    pub(super) fn with_colour(self, frame: &Frame) -> Self {
        match frame.layout() {
            Layout::Bgr => self,
            // Such frames have even sides.
            Layout::I420 { .. } => {
                let (x, y) = (self.x & !1, self.y & !1);
                Self { x, y, width: ((self.x + self.width + 1) & !1) - x, height: ((self.y + self.height + 1) & !1) - y }
            }
        }
    }

    /// The whole frame.
    pub(super) fn whole(frame: &Frame) -> Self {
        Self { x: 0, y: 0, width: frame.width(), height: frame.height() }
    }

    /// As a box in frame pixels.
    #[allow(clippy::cast_precision_loss)] // sides are at most MAX_SIDE_PX, exact in f32
    pub(super) fn bounds(self) -> Rect<FramePx> {
        Rect::new(self.x as f32, self.y as f32, (self.x + self.width) as f32, (self.y + self.height) as f32)
    }

    /// The same place in planes of half the size.
    pub(super) const fn halved(self) -> Self {
        Self { x: self.x / 2, y: self.y / 2, width: self.width / 2, height: self.height / 2 }
    }
}

/// Hands a part of a plane to OpenCV as it lies. `stride` is the plane's width, pixels of type `T`.
pub(super) fn with<T: DataType, R>(
    plane: &[u8],
    stride: usize,
    part: Part,
    work: impl FnOnce(&BoxedRef<'_, Mat>) -> opencv::Result<R>,
) -> opencv::Result<R> {
    let row = stride * size_of::<T>();
    let rows = Mat::new_rows_cols_with_bytes::<T>(int(part.height), int(stride), &plane[part.y * row..][..part.height * row])?;
    let part = Mat::roi(&rows, CvRect::new(int(part.x), 0, int(part.width), int(part.height)))?;
    work(&part)
}

/// Scales a part of a plane to `width` x `height`.
pub(super) fn scale<T: DataType>(
    plane: &[u8],
    stride: usize,
    part: Part,
    (width, height): (usize, usize),
    how: i32,
    into: &mut impl ToOutputArray,
) -> opencv::Result<()> {
    with::<T, ()>(plane, stride, part, |source| imgproc::resize(source, into, Size::new(int(width), int(height)), 0.0, 0.0, how))
}

/// How colour planes are scaled: they have half the frame's resolution already, so there is little to average until they shrink
/// by more than two, and what is left of the strokes of small plates is in the luma.
pub(super) const fn colour_scaling(part: Part, width: usize) -> i32 {
    if part.width > 2 * width { imgproc::INTER_AREA } else { imgproc::INTER_LINEAR }
}

/// A part of a frame as a picture in blue, green and red of so many pixels. Planes are scaled first, then converted.
pub(super) fn picture(frame: &Frame, part: Part, (width, height): (usize, usize)) -> opencv::Result<Mat> {
    let (same, stride) = ((width, height) == (part.width, part.height), frame.width());
    let mut picture = Mat::default();
    match frame.pixels() {
        Pixels::Bgr(bgr) if same => with::<Vec3b, ()>(bgr, stride, part, |source| source.copy_to(&mut picture))?,
        Pixels::Bgr(bgr) => scale::<Vec3b>(bgr, stride, part, (width, height), imgproc::INTER_AREA, &mut picture)?,
        Pixels::I420 { luma, blue, red, full_range } => {
            let mut planes = [Mat::default(), Mat::default(), Mat::default()];
            scale::<u8>(luma, stride, part, (width, height), imgproc::INTER_AREA, &mut planes[0])?;
            let half = part.halved();
            for (plane, into) in [blue, red].into_iter().zip(&mut planes[1..]) {
                scale::<u8>(plane, stride / 2, half, (width, height), colour_scaling(half, width), into)?;
            }
            picture =
                Mat::new_rows_cols_with_default(int(height), int(width), Vec3b::opencv_type(), opencv::core::Scalar::default())?;
            let colours = Colours::of(full_range);
            let [luma, blue, red] = [&planes[0], &planes[1], &planes[2]].map(|plane| plane.data_bytes());
            let pixels = luma?.iter().zip(blue?).zip(red?);
            for (into, ((luma, blue), red)) in picture.data_bytes_mut()?.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                *into = colours.bgr_bytes(*luma, *blue, *red);
            }
        }
    }
    Ok(picture)
}

/// A side for OpenCV. Sides are at most MAX_SIDE_PX.
pub(super) fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
