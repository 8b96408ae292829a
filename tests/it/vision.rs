//! The vision room with the committed models: plates that share a run of the reader are read as if each had its own, and what
//! stands still is passed over without being forgotten.

use std::collections::HashMap;
use std::time::Duration;

use kerbside::anpr::core::{Core, CoreOptions};
use kerbside::anpr::read::PlateRead;
use kerbside::anpr::syntax::Grammar;
use kerbside::camera::Source;
use kerbside::camera::clip::ClipSource;
use kerbside::clock::{SimClock, UtcTime};
use kerbside::frame::{Frame, FramePool};
use kerbside::geometry::{FramePx, Quad, Rect};
use kerbside::ident::{CameraId, FrameSeq};
use kerbside::runtime::pipeline::{Outcome, Pipeline};
use kerbside::vision::evidence::{self, EvidenceProfile};
use kerbside::vision::legibility;
use kerbside::vision::manifest::{ModelStore, Precision};
use kerbside::vision::onnx::Runtime;
use kerbside::vision::patch::{PatchCutter, PlatePatch};
use kerbside::vision::reader::{PLATES_A_RUN, Reader};
use kerbside::vision::{SeenPlate, Vision, VisionOptions};

use crate::support::{planes, program};

/// Where `LK24HJV` is in frame 46.
const PLATE: Rect<FramePx> = Rect::new(313.0, 471.0, 441.0, 500.0);

/// Some frames of the bundled clip, by number in rising order.
fn of_clip(numbers: &[u64]) -> Vec<Frame> {
    let (pool, camera) = (FramePool::new(numbers.len() + 1), CameraId::new("t").expect("id"));
    let at = SimClock::at(UtcTime::default(), Duration::ZERO);
    let mut source = ClipSource::new(program::demo("drive_by.mp4"));
    source.open().expect("the bundled clip");
    (0..=*numbers.last().expect("some"))
        .map(|n| {
            Frame::new(source.grab(&pool).expect("decodes").frame().expect("a frame").lease, camera.clone(), FrameSeq(n), at)
        })
        .filter(|frame| numbers.contains(&frame.seq().0))
        .collect()
}

/// All pixels of a frame, three bytes each.
fn bgr(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.bgr_part((0, 0), (frame.width(), frame.height()), &mut bytes);
    bytes
}

/// Frame 46 of the bundled clip (`LK24HJV`, `YD68RNE` and `GO10OLO` are in view), so many times side by side and below each other.
fn frame(times: usize) -> Frame {
    let one = of_clip(&[46]).remove(0);
    let bytes = bgr(&one);
    let mut lease = FramePool::new(1).lease(1280 * times, 720 * times).expect("a size");
    for (y, row) in lease.bgr_mut().chunks_exact_mut(3 * 1280 * times).enumerate() {
        let from = 3 * 1280 * (y % 720);
        row.chunks_exact_mut(3 * 1280).for_each(|part| part.copy_from_slice(&bytes[from..from + 3 * 1280]));
    }
    Frame::new(lease, one.camera().clone(), one.seq(), one.at())
}

/// Whether two reads say the same. Runs of other lengths may sum in another order, so the last digits are free.
fn alike(a: &PlateRead, b: &PlateRead) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
    a.slots().len() == b.slots().len()
        && a.slots()
            .iter()
            .zip(b.slots())
            .all(|(a, b)| near(a.presence, b.presence) && a.glyphs.iter().zip(b.glyphs).all(|(a, b)| near(*a, b)))
}

#[test]
fn a_batch_reads_like_its_patches_one_by_one() {
    let (runtime, frame) = (Runtime::load(&program::onnxruntime()).unwrap(), frame(1));
    let store = ModelStore::open(&program::root().join("models")).unwrap();
    // One plate in ever wider boxes: all differ. Two full runs, and one that is not.
    let mut cutter = PatchCutter::new();
    let mut patches = vec![PlatePatch::new(); 2 * PLATES_A_RUN + 3];
    let mut more = 0.0;
    for patch in &mut patches {
        cutter.cut(&frame, PLATE.grow(more, 2.0 * more).into(), patch).unwrap();
        more += 0.01;
    }
    for precision in [Precision::Int8, Precision::Fp32] {
        let (entry, network) = store.load_reader(&runtime, precision, PLATES_A_RUN).unwrap();
        let mut reader = Reader::new(&entry, network).unwrap();
        let one_by_one: Vec<PlateRead> = patches.iter().map(|p| reader.read(p).unwrap()).collect();
        assert!(one_by_one.iter().any(|r| r.raw().is_some_and(|mark| mark.to_string() == "LK24HJV")), "{precision:?}");
        let mut reads = vec![one_by_one[0]];
        for count in [patches.len(), 0, 1, PLATES_A_RUN, PLATES_A_RUN - 1] {
            reader.read_batch(&patches[..count], &mut reads).unwrap();
            assert_eq!(reads.len(), count);
            for (i, (together, alone)) in reads.iter().zip(&one_by_one).enumerate() {
                assert!(alike(together, alone), "{precision:?}, {i} of {count}: {:?} is not {:?}", together.raw(), alone.raw());
            }
        }
    }
}

#[test]
fn each_candidate_of_a_look_has_the_read_of_its_own_plate() {
    // Four times three plates: the reader runs more than once a look.
    let (runtime, frame) = (Runtime::load(&program::onnxruntime()).unwrap(), frame(2));
    let load = |second_look_below: f32| {
        let detector_input = "1280x736".parse().ok();
        let options = VisionOptions { detector_input, second_look_below, ..VisionOptions::default() };
        Vision::load(&runtime, &program::root().join("models"), &options).unwrap()
    };
    let look = |vision: &mut Vision| -> Vec<SeenPlate> { vision.look(&frame, frame.bounds()).unwrap().0.to_vec() };
    let (first, both) = (look(&mut load(0.0)), look(&mut load(1.1)));
    assert!(first.len() > PLATES_A_RUN, "only {} candidates", first.len());
    // The less sure half of them is looked at again.
    let mut weakest: Vec<f32> = first.iter().map(|p| p.read.expect("a read").weakest()).collect();
    weakest.sort_unstable_by(f32::total_cmp);
    let below = f32::midpoint(weakest[weakest.len() / 2 - 1], weakest[weakest.len() / 2]);
    let doubted = look(&mut load(below));
    assert_eq!((doubted.len(), both.len()), (first.len(), first.len()), "another threshold sees the same candidates");
    let store = ModelStore::open(&program::root().join("models")).unwrap();
    let (entry, network) = store.load_reader(&runtime, Precision::Int8, PLATES_A_RUN).unwrap();
    let (mut reader, mut cutter, mut patch) = (Reader::new(&entry, network).unwrap(), PatchCutter::new(), PlatePatch::new());
    let mut read = |quad| {
        cutter.cut(&frame, quad, &mut patch).unwrap();
        reader.read(&patch).unwrap()
    };
    for ((first, doubted), both) in first.iter().zip(&doubted).zip(&both) {
        assert_eq!((first.candidate, first.candidate), (doubted.candidate, both.candidate));
        // By the corners, by the upright box, and wider around the corners: each as long as the ones before leave doubt.
        let (corners, bounds) = (first.candidate.corners, first.candidate.bounds);
        let further = [read(bounds.grow(0.05, 0.10).into()), read(corners.grow(0.07, 0.14))];
        let level = read(corners.grow(0.015, 0.06));
        let expect = |seen: &SeenPlate, below: f32| {
            let read =
                further.iter().fold(level, |so_far, look| if so_far.weakest() < below { so_far.blended(look) } else { so_far });
            let found = seen.read.expect("a read");
            assert!(alike(&found, &read), "{:?} is not {:?}", found.raw(), read.raw());
        };
        expect(first, 0.0);
        expect(doubted, below);
        expect(both, 1.1);
    }
    let there = |p: &&SeenPlate| p.candidate.bounds.iou(PLATE) > 0.5;
    let plate = first.iter().find(there).expect("found");
    assert_eq!(plate.read.and_then(|r| r.raw()).expect("a read").to_string(), "LK24HJV");
    let legibility = plate.legibility.expect("it was cut out");
    assert!(legibility.sharpness > 0.6 && legibility.flare == 0.0, "{legibility:?}");
    assert!(
        first.iter().all(|p| p.legibility.is_some()) && plate.legibility == both.iter().find(there).expect("found").legibility
    );
}

#[test]
fn a_standing_picture_is_looked_at_now_and_then_and_its_plates_stay_in_view() {
    let runtime = Runtime::load(&program::onnxruntime()).unwrap();
    let vision = Vision::load(&runtime, &program::root().join("models"), &VisionOptions::default()).unwrap();
    let core = Core::new(CoreOptions::default(), Grammar::new(UtcTime::default()), 0);
    let pool = FramePool::new(1);
    let mut pipeline = Pipeline::new(vision, core, HashMap::new(), vec![pool.clone()]);
    let (standing, mut outcomes, mut looks) = (frame(1), Vec::new(), 0);
    let bytes = bgr(&standing);
    let camera = standing.camera().clone();
    let at = |n: u64| SimClock::at(UtcTime::default(), Duration::from_millis(40 * n));
    let mut again = |n: u64, outcomes: &mut Vec<Outcome>| {
        // Held evidence is copied out of the only buffer.
        let mut lease = pool.lease(standing.width(), standing.height()).expect("a buffer");
        lease.bgr_mut().copy_from_slice(&bytes);
        !pipeline.frame(&Frame::new(lease, camera.clone(), FrameSeq(n), at(n)), outcomes).unwrap().still
    };
    for n in 0..100 {
        looks += usize::from(again(n, &mut outcomes));
        assert!(outcomes.is_empty(), "a passage closed while its plate stood: {outcomes:?}");
    }
    assert!((15..25).contains(&looks), "{looks} looks in 4 s");
    pipeline.end(&camera, at(100), &mut outcomes);
    let records: Vec<_> = outcomes.iter().filter_map(|o| if let Outcome::Record(r, _) = o { Some(r) } else { None }).collect();
    let record = records.iter().find(|r| r.decoded.vrm.to_string() == "LK24HJV").expect("read");
    assert_eq!((record.sightings.first, record.sightings.last), (at(0), at(99)), "in view all the time");
}

#[test]
fn planes_show_the_plates_and_marks_that_pixels_show() {
    let runtime = Runtime::load(&program::onnxruntime()).unwrap();
    let mut vision = Vision::load(&runtime, &program::root().join("models"), &VisionOptions::default()).unwrap();
    let (mut compared, mut shift, mut boxes) = (0, [0.0f32; 4], 0.0);
    for frame in of_clip(&[20, 46, 100, 180, 260, 340]) {
        // The whole frame, and a region with odd corners: colour must come from its own place there too.
        for region in [frame.bounds(), Rect::new(31.0, 121.0, 1279.0, 715.0)] {
            let pixels: Vec<SeenPlate> = vision.look(&frame, region).unwrap().0.to_vec();
            for full_range in [false, true] {
                let (planes, _) = vision.look(&planes::of(&frame, full_range), region).unwrap();
                // Those that are hardly any plate may come and go.
                for plate in pixels.iter().filter(|p| p.candidate.score > 0.5) {
                    let (there, text) =
                        (plate.candidate.bounds, |p: &SeenPlate| p.read.and_then(|r| r.raw()).map(|m| m.to_string()));
                    let same = planes.iter().find(|p| p.candidate.bounds.iou(there) > 0.5).expect("found");
                    let (a, b) = (there, same.candidate.bounds);
                    let off = [a.x0 - b.x0, a.y0 - b.y0, a.x1 - b.x1, a.y1 - b.y1];
                    // The detector sees half the frame's pixels across: one of its own, at the most, and no shift in the mean
                    // (a region is rounded to whole pixels of the input, each in its own way).
                    assert!(off.iter().all(|px| px.abs() <= 2.0), "{a:?} {b:?}");
                    if region == frame.bounds() {
                        shift.iter_mut().zip(off).for_each(|(sum, px)| *sum += px);
                        boxes += 1.0;
                    }
                    if plate.read.is_some_and(|r| r.weakest() > 0.8) {
                        compared += 1;
                        assert_eq!(text(plate), text(same), "frame {}, {region:?}, {full_range}", frame.seq().0);
                    }
                }
            }
        }
    }
    assert!(compared >= 40, "{compared} reads compared");
    assert!(shift.iter().all(|sum| (sum / boxes).abs() < 0.25), "{shift:?} in {boxes} boxes");
}

#[test]
fn patches_and_pictures_of_planes_are_those_of_pixels() {
    let frame = frame(1);
    let mut cutter = PatchCutter::new();
    // Upright, askew, with odd corners, and so large that it is averaged down first.
    let askew = Quad::new(Quad::from(PLATE).corners.map(|c| kerbside::geometry::Point::new(c.x + 0.1 * c.y, c.y + 0.02 * c.x)));
    let quads = [PLATE.grow(0.1, 0.1).into(), askew, Rect::new(301.0, 333.0, 1001.0, 613.0).into()];
    let sharpness = |patch: &PlatePatch| legibility::measure(patch).sharpness;
    let decoded = |jpeg: Vec<u8>| image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8();
    let apart = |a: &[u8], b: &[u8]| {
        assert_eq!(a.len(), b.len());
        let all: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        all as f64 / a.len() as f64
    };
    for full_range in [false, true] {
        let planes = planes::of(&frame, full_range);
        for quad in quads {
            let [mut a, mut b] = [PlatePatch::new(), PlatePatch::new()];
            cutter.cut(&frame, quad, &mut a).unwrap();
            cutter.cut(&planes, quad, &mut b).unwrap();
            let most = a.luma().iter().zip(b.luma()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(4) && apart(a.luma(), b.luma()) < 1.0, "{quad:?}, {full_range}: {most:?}");
            assert!((sharpness(&a) - sharpness(&b)).abs() < 0.05, "{quad:?}: {} {}", sharpness(&a), sharpness(&b));
            for profile in [EvidenceProfile::Nasple, EvidenceProfile::Full] {
                let options = profile.options();
                let [a, b] = [&frame, &planes].map(|f| decoded(evidence::patch_jpeg(f, quad, &options).unwrap()));
                // Parts of planes begin at even pixels, so one may be a pixel larger at the frame's own size.
                if a.dimensions() == b.dimensions() {
                    assert!(apart(&a, &b) < 6.0, "patch, {profile:?}, {full_range}: {}", apart(&a, &b));
                }
                let (w, h) = (a.width().abs_diff(b.width()), a.height().abs_diff(b.height()));
                assert!(w <= 2 && h <= 2, "{a:?} {b:?}", a = a.dimensions(), b = b.dimensions());
                let [a, b] = [&frame, &planes].map(|f| decoded(evidence::overview_jpeg(f, quad, &options).unwrap()));
                assert!(apart(&a, &b) < 4.0, "overview, {profile:?}, {full_range}: {}", apart(&a, &b));
            }
        }
        let options = EvidenceProfile::Nasple.options();
        let still = |f: &Frame| decoded(evidence::still_jpeg(f, &quads[..1], &options.overview).unwrap());
        assert!(apart(&still(&frame), &still(&planes)) < 4.0);
        assert!(apart(&bgr(&frame), &bgr(&planes)) < 4.0, "{}", apart(&bgr(&frame), &bgr(&planes)));
    }
}
