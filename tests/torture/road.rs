//! What the box looks at: still pictures of rendered vehicles, over and over, as fast as it can read them.

use std::path::PathBuf;

use image::RgbImage;
use kerbside::camera::Source;
use kerbside::camera::clip::ClipSource;
use kerbside::frame::FramePool;

use crate::support::program::demo;

/// Frames of the bundled clip with different vehicles in view; `BV71MZC` and `KIB4729` are on its hotlist.
const FRAMES: [usize; 6] = [45, 100, 165, 215, 300, 335];

/// A folder of stills, made once: each picture shows other vehicles than the one before, so that each frame closes the passages of
/// the last. In `traffic` beside it each vehicle stays for a while; `blank.bmp` shows nothing.
pub(crate) fn stills() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("torture-road-2");
    if dir.join("road").exists() {
        return dir;
    }
    let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir(made.path().join("road")).unwrap();
    let pool = FramePool::new(1);
    let mut source = ClipSource::new(demo("drive_by.mp4"));
    source.open().expect("the bundled clip");
    for number in 0..=FRAMES[FRAMES.len() - 1] {
        let mut lease = source.grab(&pool).expect("decodes").frame().expect("a frame").lease;
        if FRAMES.contains(&number) {
            let rgb: Vec<u8> = lease.bgr_mut().chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
            let picture = RgbImage::from_raw(1280, 720, rgb).expect("the clip's size");
            picture.save(made.path().join(format!("road/{number:03}.bmp"))).unwrap();
        }
    }
    // A vehicle that is listed, in view for a second, then another.
    std::fs::create_dir(made.path().join("traffic")).unwrap();
    for (number, place) in [(165, 0), (215, 10)] {
        for n in place..place + 10 {
            let from = made.path().join(format!("road/{number:03}.bmp"));
            std::fs::hard_link(from, made.path().join(format!("traffic/{n:02}.bmp"))).unwrap();
        }
    }
    RgbImage::from_pixel(1280, 720, image::Rgb([90, 90, 90])).save(made.path().join("blank.bmp")).unwrap();
    // Another test may have been quicker.
    if std::fs::rename(made.path(), &dir).is_ok() {
        std::mem::forget(made);
    }
    assert!(dir.join("road").exists());
    dir
}
