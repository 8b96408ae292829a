//! A part of a frame as the detector's input wants it: scaled, in its place on grey, blue, green and red each in a plane of its own.
//!
//! Each layout is scaled as it lies, so planes of luma and colour are never made a picture at the frame's own size: a third of the
//! bytes are touched, and colours are worked out for the pixels of the input only, in the loop that makes numbers of bytes anyway.
//! Runs on the reader thread; the buffer is kept.

use opencv::core::{Mat, MatTraitConstManual, Vec3b};
use opencv::imgproc;
use opencv::prelude::MatTrait;

use super::part::{self, Part, int};
use crate::frame::colour::Colours;
use crate::frame::{Frame, Pixels};

/// Grey around the picture: the value used in training.
const PADDING_GREY: f32 = 114.0;

/// Where a part lies in the input, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The scaled part on its way into the network's input of `width` x `height`.
#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    /// Three bytes a pixel of the place, by turns or plane after plane, as the frame has them.
    bytes: Vec<u8>,
    /// The place that all else in the input is grey around.
    placed: Option<Place>,
}

impl Canvas {
    /// For an input of this size.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, bytes: vec![0; 3 * width * height], placed: None }
    }

    /// Scales a part of a frame into its place in the input, which nobody else may write to.
    pub(super) fn fill(&mut self, frame: &Frame, part: Part, place: Place, input: &mut [f32]) -> opencv::Result<()> {
        if self.placed != Some(place) {
            input.fill(PADDING_GREY);
            self.placed = Some(place);
        }
        let (size, pixels) = ((place.width, place.height), place.width * place.height);
        // Area averaging when shrinking: it keeps the strokes of small plates, and training did the same.
        let how =
            if part.width > place.width || part.height > place.height { imgproc::INTER_AREA } else { imgproc::INTER_LINEAR };
        let mut rows = Rows { input, stride: self.width, plane: self.width * self.height, place };
        match frame.pixels() {
            Pixels::Bgr(bgr) => {
                let canvas = &mut self.bytes[..3 * pixels];
                let mut target = Mat::new_rows_cols_with_bytes_mut::<Vec3b>(int(place.height), int(place.width), canvas)?;
                in_place(&mut target, |target| part::scale::<Vec3b>(bgr, frame.width(), part, size, how, target))?;
                for (row, line) in self.bytes[..3 * pixels].chunks_exact(3 * place.width).enumerate() {
                    let [blue, green, red] = rows.at(row);
                    for (((pixel, b), g), r) in line.as_chunks::<3>().0.iter().zip(blue).zip(green).zip(red) {
                        [*b, *g, *r] = pixel.map(f32::from);
                    }
                }
            }
            Pixels::I420 { luma, blue, red, full_range } => {
                let half = part.halved();
                let colour_how = part::colour_scaling(half, place.width);
                let of_colour = frame.width() / 2;
                let planes =
                    [(luma, frame.width(), part, how), (blue, of_colour, half, colour_how), (red, of_colour, half, colour_how)];
                for ((plane, stride, part, how), canvas) in planes.into_iter().zip(self.bytes.chunks_exact_mut(pixels)) {
                    let mut target = Mat::new_rows_cols_with_bytes_mut::<u8>(int(place.height), int(place.width), canvas)?;
                    in_place(&mut target, |target| part::scale::<u8>(plane, stride, part, size, how, target))?;
                }
                let (luma, colour) = self.bytes[..3 * pixels].split_at(pixels);
                let (blue, red) = colour.split_at(pixels);
                let colours = Colours::of(full_range);
                let lines = luma.chunks_exact(place.width).zip(blue.chunks_exact(place.width)).zip(red.chunks_exact(place.width));
                for (row, ((luma, u), v)) in lines.enumerate() {
                    let [blue, green, red] = rows.at(row);
                    for (((((luma, u), v), b), g), r) in luma.iter().zip(u).zip(v).zip(blue).zip(green).zip(red) {
                        [*b, *g, *r] = colours.bgr(*luma, *u, *v);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The place's rows in the input's three planes.
struct Rows<'a> {
    input: &'a mut [f32],
    stride: usize,
    plane: usize,
    place: Place,
}

impl Rows<'_> {
    fn at(&mut self, row: usize) -> [&mut [f32]; 3] {
        let (from, width) = ((self.place.top + row) * self.stride + self.place.left, self.place.width);
        let (blue, rest) = self.input.split_at_mut(self.plane);
        let (green, red) = rest.split_at_mut(self.plane);
        [blue, green, red].map(|plane| &mut plane[from..from + width])
    }
}

/// OpenCV makes a new picture where the old one does not fit; this one must.
fn in_place<M: MatTrait + MatTraitConstManual>(
    target: &mut M,
    work: impl FnOnce(&mut M) -> opencv::Result<()>,
) -> opencv::Result<()> {
    let before = target.data_mut().cast_const();
    work(target)?;
    debug_assert_eq!(before, target.data_bytes().map_or(before, <[u8]>::as_ptr), "resize wrote in place");
    Ok(())
}
