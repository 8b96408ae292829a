//! Frames of blue, green and red made into planes of luma and colour, as a decoder would have given them: BT.601, either range.

#![allow(unreachable_pub)] // part of several test programs

use kerbside::frame::{Frame, FramePool, Layout};

/// The same frame in planes; its last row or column goes where sides are odd.
pub fn of(frame: &Frame, full_range: bool) -> Frame {
    let (width, height) = (frame.width() & !1, frame.height() & !1);
    let mut bgr = Vec::new();
    frame.bgr_part((0, 0), (width, height), &mut bgr);
    let mut lease = FramePool::new(1).lease_as(Layout::I420 { full_range }, width, height).expect("a size");
    let (luma, colour) = lease.bytes_mut().split_at_mut(width * height);
    let (blue, red) = colour.split_at_mut(width * height / 4);
    let (black, levels, swing) = if full_range { (0.0, 1.0, 1.0) } else { (16.0, 219.0 / 255.0, 224.0 / 255.0) };
    let grey = |p: &[u8]| 0.114 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.299 * f32::from(p[2]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rounded, and a byte by the standard
    let byte = |v: f32| v.round().clamp(0.0, 255.0) as u8;
    for (into, pixel) in luma.iter_mut().zip(bgr.chunks_exact(3)) {
        *into = byte(black + levels * grey(pixel));
    }
    for (i, (blue, red)) in blue.iter_mut().zip(red).enumerate() {
        let (x, y) = (2 * (i % (width / 2)), 2 * (i / (width / 2)));
        let (mut b, mut r) = (0.0, 0.0);
        for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
            let pixel = &bgr[3 * (y * width + x)..][..3];
            b += (f32::from(pixel[0]) - grey(pixel)) / 1.772 / 4.0;
            r += (f32::from(pixel[2]) - grey(pixel)) / 1.402 / 4.0;
        }
        (*blue, *red) = (byte(128.0 + swing * b), byte(128.0 + swing * r));
    }
    Frame::new(lease, frame.camera().clone(), frame.seq(), frame.at())
}
