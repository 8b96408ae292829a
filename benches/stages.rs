//! What each stage costs, on one thread: detector, reader, rectification, tracker, hotlist look-up, outbox commit.
//!
//! Pictures are frames of our own bundled clip. Quote medians, and ratios of what was measured in one run.
//! `cargo bench` after `make setup`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kerbside::anpr::core::{Core, CoreOptions, Effect, Event, Sighting};
use kerbside::anpr::decode::{DecodeOptions, Decoder};
use kerbside::anpr::hotlist::{Action, Hotlist, HotlistEntry, HotlistVersion, MatchOptions, Priority, Reading, Wanted};
use kerbside::anpr::odds::GlyphOdds;
use kerbside::anpr::syntax::Grammar;
use kerbside::anpr::vrm::Vrm;
use kerbside::camera::Source;
use kerbside::camera::clip::ClipSource;
use kerbside::camera::picture::{PictureOptions, PictureWatch};
use kerbside::clock::{Clock, SimClock, SystemClock, UtcTime, thread_cpu_time};
use kerbside::frame::mask::Mask;
use kerbside::frame::{Frame, FramePool, Layout};
use kerbside::geometry::{Point, Rect};
use kerbside::ident::{CameraId, FrameSeq};
use kerbside::keys::{DataKey, SigningKey};
use kerbside::outbox::{Draft, Lane, Limits, Outbox, OutboxOptions, Qos};
use kerbside::vision::detector::{Detector, DetectorOptions};
use kerbside::vision::evidence::{self, EvidenceProfile};
use kerbside::vision::legibility;
use kerbside::vision::manifest::{InputSize, ModelStore, Precision};
use kerbside::vision::motion::{MotionGate, MotionOptions};
use kerbside::vision::onnx::Runtime;
use kerbside::vision::patch::{PatchCutter, PlatePatch};
use kerbside::vision::reader::{PLATES_A_RUN, Reader};
use kerbside::vision::{Vision, VisionOptions};

#[path = "../tests/it/support/planes.rs"]
mod planes;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn runtime() -> Runtime {
    let path = std::env::var_os("ORT_DYLIB_PATH").map_or_else(|| root().join(".deps/ort/libonnxruntime.so.1"), PathBuf::from);
    Runtime::load(&path).unwrap()
}

fn start() -> UtcTime {
    UtcTime::parse("2026-11-22T12:00:00Z").unwrap()
}

/// Frames `from..from + count` of the bundled clip.
fn frames(from: usize, count: usize) -> Vec<Frame> {
    let pool = FramePool::new(from + count + 1);
    let mut source = ClipSource::new(root().join("models/demo/drive_by.mp4"));
    source.open().unwrap();
    let camera = CameraId::new("bench").unwrap();
    (0..from + count)
        .map(|seq| {
            let grabbed = source.grab(&pool).unwrap().frame().unwrap();
            let at = SimClock::at(start(), grabbed.position());
            Frame::new(grabbed.lease, camera.clone(), FrameSeq(seq as u64), at)
        })
        .skip(from)
        .collect()
}

fn vision(c: &mut Criterion) {
    let (runtime, models) = (runtime(), root().join("models"));
    let frame = frames(46, 1).remove(0);
    let store = ModelStore::open(&models).unwrap();
    for precision in [Precision::Int8, Precision::Fp32] {
        let load = |size: Option<InputSize>| {
            let (entry, _, network) = store.load_detector(&runtime, precision, size).unwrap();
            Detector::new(&entry, network, DetectorOptions::default()).unwrap()
        };
        for size in ["512x288", "640x384", "768x448", "960x544", "1280x736"] {
            let mut detector = load(Some(size.parse().unwrap()));
            c.bench_function(&format!("detector/{size}/{}", precision.as_str()), |b| {
                b.iter(|| detector.detect(black_box(&frame), frame.bounds()).unwrap().len());
            });
        }
        let plate = load(None).detect(&frame, frame.bounds()).unwrap()[0].corners;
        let (mut cutter, mut patch) = (PatchCutter::new(), PlatePatch::new());
        if precision == Precision::Int8 {
            c.bench_function("rectification", |b| b.iter(|| cutter.cut(black_box(&frame), plate, &mut patch).unwrap()));
        }
        cutter.cut(&frame, plate, &mut patch).unwrap();
        if precision == Precision::Int8 {
            c.bench_function("legibility", |b| b.iter(|| legibility::measure(black_box(&patch))));
        }
        let (entry, network) = store.load_reader(&runtime, precision, PLATES_A_RUN).unwrap();
        let mut reader = Reader::new(&entry, network).unwrap();
        c.bench_function(&format!("reader/{}", precision.as_str()), |b| b.iter(|| reader.read(black_box(&patch)).unwrap()));
        // Per plate, to stand beside the one above; a reader whose file fixes one plate a run gains nothing.
        let (batch, mut reads) = (vec![patch.clone(); PLATES_A_RUN], Vec::with_capacity(PLATES_A_RUN));
        c.bench_function(&format!("reader/a_plate_among_{PLATES_A_RUN}/{}", precision.as_str()), |b| {
            b.iter_custom(|rounds| {
                let start = Instant::now();
                for _ in 0..rounds {
                    reader.read_batch(black_box(&batch), &mut reads).unwrap();
                }
                start.elapsed().div_f64(PLATES_A_RUN as f64)
            });
        });
        if precision == Precision::Int8 {
            let read = reader.read(&patch).unwrap();
            let mut decoder = Decoder::new(Grammar::new(start()), DecodeOptions::default());
            c.bench_function("decoder", |b| b.iter(|| decoder.decode(black_box(&read)).unwrap()));
        }
    }
}

fn motion(c: &mut Criterion) {
    // Two frames of a still picture with some grain: each is compared in full, none is looked at.
    let camera = CameraId::new("bench").unwrap();
    let planes = Layout::I420 { full_range: false };
    for (name, layout, width, height) in [
        ("motion/1280x720", Layout::Bgr, 1280, 720),
        ("motion/1920x1080", Layout::Bgr, 1920, 1080),
        ("motion/1920x1080/planes", planes, 1920, 1080),
    ] {
        let pool = FramePool::new(2);
        let pair: Vec<Frame> = (0..2u64)
            .map(|seq| {
                let mut lease = pool.lease_as(layout, width, height).unwrap();
                for (i, v) in lease.bytes_mut().iter_mut().enumerate() {
                    *v = if i.wrapping_mul(2_654_435_761) >> (seq + 9) & 1 == 0 { 90 } else { 97 };
                }
                Frame::new(lease, camera.clone(), FrameSeq(seq), SimClock::at(start(), Duration::from_secs(seq)))
            })
            .collect();
        let mut gate = MotionGate::new(MotionOptions { scan_every: Duration::MAX, ..MotionOptions::default() });
        assert!(!gate.is_still(&pair[0], pair[0].bounds()));
        gate.looked(pair[0].at().mono, false);
        assert!(gate.is_still(&pair[1], pair[1].bounds()));
        c.bench_function(name, |b| b.iter(|| gate.is_still(black_box(&pair[1]), pair[1].bounds())));
    }
}

/// What the capture thread does to every full-HD frame: masks it, and watches that it shows something. Frames differ where the first of
/// the rows that are compared says so, and where none does.
fn capture(c: &mut Criterion) {
    let corners = [(0.0, 0.0), (600.0, 0.0), (500.0, 300.0), (0.0, 400.0)].map(|(x, y)| Point::new(x, y));
    let mut mask = Mask::new(vec![corners.into()], (1920.0, 1080.0));
    for (name, layout) in [("pixels", Layout::Bgr), ("planes", Layout::I420 { full_range: false })] {
        let pool = FramePool::new(3);
        let mut lease = pool.lease_as(layout, 1920, 1080).unwrap();
        c.bench_function(&format!("capture/mask_of_a_tenth/{name}"), |b| b.iter(|| mask.apply(black_box(&mut lease))));
        drop(lease);
        for (what, differ) in [("living", 1), ("frozen", 0)] {
            let (mut watch, camera) = (PictureWatch::new(PictureOptions::default()), CameraId::new("bench").unwrap());
            // Each pool has one buffer, which keeps what is in it.
            let pools = [0, 1].map(|n| {
                let pool = FramePool::new(1);
                pool.lease_as(layout, 1920, 1080).unwrap().bytes_mut().fill(90 + n * differ);
                pool
            });
            let mut n = 0;
            c.bench_function(&format!("capture/picture/{what}/{name}"), |b| {
                b.iter(|| {
                    n += 1;
                    let lease = pools[n % 2].lease_as(layout, 1920, 1080).unwrap();
                    let at = SimClock::at(start(), Duration::from_millis(40 * n as u64));
                    watch.look(black_box(&Frame::new(lease, camera.clone(), FrameSeq(n as u64), at)))
                });
            });
        }
    }
}

/// A full-HD frame of the clip's picture, as pixels and as planes.
fn full_hd() -> [(&'static str, Frame); 2] {
    let (small, mut bytes) = (frames(46, 1).remove(0), Vec::new());
    small.bgr_part((0, 0), (1280, 720), &mut bytes);
    let mut lease = FramePool::new(1).lease(1920, 1080).unwrap();
    for (i, pixel) in lease.bgr_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = (i % 1920 * 2 / 3, i / 1920 * 2 / 3);
        pixel.copy_from_slice(&bytes[3 * (1280 * y + x)..][..3]);
    }
    let pixels = Frame::new(lease, small.camera().clone(), small.seq(), small.at());
    let planes = planes::of(&pixels, false);
    [("pixels", pixels), ("planes", planes)]
}

/// CPU time of this thread, which a busy machine does not change as much as it does the clock's.
fn on_cpu(c: &mut Criterion, name: &str, mut work: impl FnMut()) {
    c.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            let start = thread_cpu_time();
            (0..rounds).for_each(|_| work());
            thread_cpu_time().saturating_sub(start)
        });
    });
}

/// What a full-HD frame costs in either layout: all of the detector, a plate's patch, and the overview of a record.
fn layouts(c: &mut Criterion) {
    let (runtime, frames) = (runtime(), full_hd());
    // Loaded for what it does to OpenCV: one thread, as in the daemon.
    drop(Vision::load(&runtime, &root().join("models"), &VisionOptions::default()).unwrap());
    let store = ModelStore::open(&root().join("models")).unwrap();
    let (entry, _, network) = store.load_detector(&runtime, Precision::Int8, None).unwrap();
    let mut detector = Detector::new(&entry, network, DetectorOptions::default()).unwrap();
    let (mut cutter, mut patch) = (PatchCutter::new(), PlatePatch::new());
    let options = EvidenceProfile::Nasple.options();
    // A sliver of the frame: the network's own time and little else. What the whole frame takes beyond it is scaling and colours.
    let sliver = Rect::new(0.0, 0.0, 64.0, 2.0);
    on_cpu(c, "layout/detector/network_alone", || {
        black_box(detector.detect(black_box(&frames[0].1), sliver).unwrap());
    });
    for (layout, frame) in &frames {
        on_cpu(c, &format!("layout/detector/{layout}"), || {
            black_box(detector.detect(black_box(frame), frame.bounds()).unwrap());
        });
        let plate = detector.detect(frame, frame.bounds()).unwrap()[0].corners;
        on_cpu(c, &format!("layout/rectification/{layout}"), || cutter.cut(black_box(frame), plate, &mut patch).unwrap());
        on_cpu(c, &format!("layout/overview/{layout}"), || {
            black_box(evidence::overview_jpeg(black_box(frame), plate, &options).unwrap());
        });
    }
}

fn tracker(c: &mut Criterion) {
    // What vision saw in a second and a half of the clip, then only the core is timed.
    let mut vision = Vision::load(&runtime(), &root().join("models"), &VisionOptions::default()).unwrap();
    let seen: Vec<(Frame, Vec<Sighting>)> = frames(30, 40)
        .into_iter()
        .map(|frame| {
            let (plates, _) = vision.look(&frame, frame.bounds()).unwrap();
            let sightings = plates
                .iter()
                .map(|p| Sighting {
                    quad: p.candidate.corners,
                    detector_score: p.candidate.score,
                    clipped: p.clipped,
                    legibility: p.legibility,
                    read: p.read,
                })
                .collect();
            (frame, sightings)
        })
        .collect();
    let mut effects: Vec<Effect> = Vec::new();
    c.bench_function("tracker/40_frames", |b| {
        b.iter_batched_ref(
            || Core::new(CoreOptions::default(), Grammar::new(start()), 1),
            |core| {
                for (frame, sightings) in &seen {
                    let event = Event::Frame { camera: frame.camera(), seq: frame.seq(), at: frame.at(), sightings };
                    core.apply(event, &mut effects);
                    effects.clear();
                }
            },
            BatchSize::SmallInput,
        );
    });
}

/// A mark of the current format, numbered.
fn mark(n: u64) -> Vrm {
    let letter = |n: u64| char::from(b"ABCDEFGHJKLMNOPRSTUVWXY"[usize::try_from(n % 23).unwrap()]);
    let text = format!(
        "{}{}{:02}{}{}{}",
        letter(n),
        letter(n / 23),
        2 + n / 529 % 24,
        letter(n / 12_696),
        letter(n / 292_008),
        letter(n / 7)
    );
    Vrm::parse(&text).unwrap()
}

fn hotlist(c: &mut Criterion) {
    let entry = |n: u64| HotlistEntry::new(Wanted::Mark(mark(n * 13)), Action::Stop, Priority::P0);
    let entries: Vec<_> = (0..100_000).map(entry).collect();
    let list = Hotlist::new(HotlistVersion { list: "bench".into(), version: "1".into() }, &entries).unwrap();
    let (odds, options) = (GlyphOdds::default(), MatchOptions::default());
    let (mut hits, mut n) = (Vec::new(), 0);
    c.bench_function("hotlist_lookup/100k", |b| {
        b.iter(|| {
            n += 1;
            hits.clear();
            list.lookup(Reading { vrm: black_box(&mark(n)), odds: &odds }, start(), &options, &mut hits);
            hits.len()
        });
    });
}

fn outbox(c: &mut Criterion) {
    let limits = Limits { max_bytes: 1 << 30, max_rows: 1_000_000 };
    let draft = |bytes: usize| Draft {
        topic: "kerbside/v1/o/d/read".into(),
        qos: Qos::AtLeastOnce,
        lane: Lane::Read,
        hit: false,
        content_type: "application/json".into(),
        schema: "kerbside.read/1".into(),
        expiry_s: None,
        payload: vec![b'x'; bytes],
    };
    // On the disk of the build, not in memory: the sync is what it costs.
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).unwrap();
    // As the daemon has it: signed and encrypted.
    let options = OutboxOptions {
        data_key: Some(DataKey::generate().unwrap()),
        signing_key: Some(Arc::new(SigningKey::generate().unwrap())),
        ..OutboxOptions::plain(limits)
    };
    let now = SystemClock.now();
    let (mut outbox, _) = Outbox::open(folder.path(), options, now).unwrap();
    c.bench_function("outbox_commit/2KiB", |b| {
        b.iter_batched(|| [draft(2048)], |drafts| outbox.commit(&drafts, now).unwrap(), BatchSize::SmallInput);
    });
    c.bench_function("outbox_commit/record_with_pictures", |b| {
        b.iter_batched(
            || [draft(2048), draft(6_000), draft(60_000)],
            |drafts| outbox.commit(&drafts, now).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

criterion_group! {
    name = stages;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = vision, motion, capture, layouts, tracker, hotlist, outbox
}
criterion_main!(stages);
