//! What a large sealed hotlist costs on the box: a whole list applied from its sealed file, a delta of 1,000 rows, a start from
//! disk, and how long a reader stands still for the swap. One table on standard output.
//!
//! `cargo bench --bench sync` with a million rows, `cargo bench --bench sync -- 5000000` with five. Sealing is the back office's
//! work and not timed. Times are wall times, disk and its syncs included, of this machine as busy as it is.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
// Sizes and counts of a benchmark, all far below 2^52; `f64` is for show.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod rows;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kerbside::anpr::core::{Core, CoreOptions, Event, Sighting};
use kerbside::anpr::hotlist::{Detail, HotlistEntry, MatchOptions};
use kerbside::anpr::read::{PlateRead, Slot};
use kerbside::anpr::syntax::Grammar;
use kerbside::anpr::vrm::{GLYPHS, Vrm};
use kerbside::clock::{Clock, SimClock, SystemClock, UtcTime};
use kerbside::geometry::{Quad, Rect};
use kerbside::ident::{CameraId, FrameSeq};
use kerbside::keys::{Identity, SigningKey, TrustedKeys};
use kerbside::publish::sync::format::Rows;
use kerbside::publish::sync::keeper::{Keeper, KeeperOptions};
use kerbside::publish::sync::lint::{self, Format, Options};
use kerbside::publish::sync::seal::{Base, Plan, SealedFile, sealed_from};
use kerbside::runtime::board::HotlistBoard;
use rows::{entry, mark};

fn now() -> UtcTime {
    UtcTime::parse("2026-11-22T12:00:00Z").unwrap()
}

/// A row as a line of CSV.
fn line(entry: &HotlistEntry, to: &mut Vec<u8>) {
    let markers: Vec<&str> = entry.markers.iter().map(|m| m.as_str()).collect();
    let until = entry.valid_until.map_or_else(String::new, |t| t.to_string());
    write!(to, "{},{},{},{},{until},{}", entry.wanted, entry.action.as_str(), entry.priority, entry.reason, markers.join(" "))
        .unwrap();
    for detail in Detail::ALL {
        write!(to, ",{}", entry.details.get(detail)).unwrap();
    }
    to.push(b'\n');
}

/// The rows of a version: the second one has 600 changed, 200 gone and 200 new ones.
fn built(rows: usize, second: bool) -> Rows {
    let mut csv = b"vrm,action,priority,reason,valid_until,markers".to_vec();
    for detail in Detail::ALL {
        write!(csv, ",{}", detail.as_str()).unwrap();
    }
    csv.push(b'\n');
    let every = rows / 1000;
    for n in 0..rows {
        let mut entry = entry(n, rows);
        if second && n % every == 0 && n / every < 1000 {
            match n / every % 10 {
                0..6 => entry.reason.push_str(" UPDATED"),
                6 | 7 => continue,
                _ => {
                    let mut new = entry.clone();
                    // Another weed date, or it would be a duplicate.
                    new.valid_until = new.valid_until.map(|t| t.plus_micros(400 * 86_400_000_000));
                    line(&new, &mut csv);
                }
            }
        }
        line(&entry, &mut csv);
    }
    let options = Options { format: Format::Csv, source: String::new(), as_of: now(), priority: None };
    lint::build(&csv[..], &options, &mut |_| Ok(())).unwrap().rows
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

fn vm_hwm_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// What is sealed in a process of its own: peak memory of this one is the box's.
fn make(dir: &Path, rows: usize) {
    let key = SigningKey::load(&dir.join("signing.pem"), true).unwrap();
    let identity = Identity::load(&dir.join("box.txt"), false).unwrap();
    let recipients: Vec<_> = identity.recipients().collect();
    let trust = TrustedKeys::default().and(&key);
    let plan = |number, full, base| Plan {
        list: "voi",
        number,
        created: now(),
        expires: now().plus_micros(28 * 86_400_000_000),
        key: &key,
        recipients: &recipients,
        full,
        base,
    };
    let write = |name: &str, sealed: &_| SealedFile::write(sealed, &mut std::fs::File::create(dir.join(name)).unwrap()).unwrap();
    let first = built(rows, false);
    write("1.sealed", &sealed_from(&first, &plan(1, true, None)).unwrap());
    let second = built(rows, true);
    let file = SealedFile::open(&dir.join("1.sealed"), &trust).unwrap();
    write("2.sealed", &sealed_from(&second, &plan(2, false, Some(Base { rows: &first, sealed: &file }))).unwrap());
}

/// A core that has seen as many vehicles as it remembers, so that a swap costs it the most.
fn road() -> (Core, CameraId, u64) {
    let mut core = Core::new(CoreOptions::default(), Grammar::new(now()), 1);
    let camera = CameraId::new("c1").unwrap();
    let mut frame = 0;
    for n in 0..4200u64 {
        let text = mark(n * 70_001).to_string();
        for step in 0..3u8 {
            frame += 1;
            see(&mut core, &camera, frame, n * 800 + u64::from(step) * 40, &text, step);
        }
    }
    (core, camera, frame)
}

fn see(core: &mut Core, camera: &CameraId, frame: u64, ms: u64, text: &str, step: u8) {
    let vrm = Vrm::parse(text).unwrap();
    let read = PlateRead::from_slots(vrm.glyphs().iter().map(|glyph| {
        let mut weights = [0.01 / 35.0; GLYPHS];
        weights[glyph.index()] = 0.99;
        Slot::new(weights, 0.999)
    }));
    let x = 300.0 + 30.0 * f32::from(step);
    let quad = Quad::from(Rect::new(x, 300.0, x + 140.0, 330.0));
    let sighting = Sighting { quad, detector_score: 0.9, clipped: false, legibility: None, read: Some(read) };
    let at = SimClock::at(now(), Duration::from_millis(ms));
    let event = Event::Frame { camera, seq: FrameSeq(frame), at, sightings: std::slice::from_ref(&sighting) };
    core.apply(event, &mut Vec::new());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |n: usize| arguments.get(n).and_then(|a| a.parse().ok());
    if let Some(dir) = arguments.first().filter(|a| a.starts_with('/')) {
        return make(Path::new(dir), number(1).unwrap());
    }
    let rows: usize = number(0).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let (key, identity) = (SigningKey::generate().unwrap(), Identity::generate());
    std::fs::write(dir.path().join("signing.pem"), key.to_pem().as_bytes()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    std::fs::set_permissions(dir.path().join("signing.pem"), mode).unwrap();
    std::fs::write(dir.path().join("box.txt"), identity.to_file().as_bytes()).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap()).arg(dir.path()).arg(rows.to_string()).status();
    assert!(child.unwrap().success());

    let options = || KeeperOptions {
        lists: vec!["voi".into()],
        trust: TrustedKeys::default().and(&key),
        identity: Identity::load(&dir.path().join("box.txt"), false).unwrap(),
        dir: PathBuf::from(dir.path()).join("hotlist"),
    };
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len() as f64 / (1 << 20) as f64;
    println!("{rows} rows; sealed: {:.1} MiB whole, {:.3} MiB delta of 1,000 rows", size("1.sealed"), size("2.sealed"));
    let mut keeper = Keeper::open(options()).unwrap();
    let apply = |keeper: &mut Keeper, name: &str| {
        let said = keeper.file(&dir.path().join(name), now());
        said.last().unwrap().in_force.clone().unwrap_or_else(|| panic!("{said:?}"))
    };
    let (first, full) = timed(|| apply(&mut keeper, "1.sealed"));
    println!("whole list applied       {full:>10.2?}   peak memory of the process {:.0} MiB", vm_hwm_mib());
    let (second, delta) = timed(|| apply(&mut keeper, "2.sealed"));
    println!("delta of 1,000 applied   {delta:>10.2?}   peak memory of the process {:.0} MiB", vm_hwm_mib());
    assert_eq!(first.len(), second.len());
    drop(keeper);
    let mut keeper = Keeper::open(options()).unwrap();
    let (found, start) = timed(|| keeper.load(now()));
    assert!(found[0].in_force.is_some(), "{found:?}");
    println!("start: list and delta    {start:>10.2?}");
    drop((keeper, found));

    // The swap as a reader feels it: noticing, taking the lists up, the next events with late matches; never a list to free.
    let board = Arc::new(HotlistBoard::new(MatchOptions::default(), &["voi".into()], SystemClock.now()));
    board.set(first.clone(), 0, SystemClock.now());
    let (mut core, camera, mut frame) = road();
    core.apply(Event::Hotlists(board.get()), &mut Vec::new());
    let (mut swaps, mut events) = (Vec::new(), Vec::new());
    let mut ms = 4200 * 800;
    for list in [&second, &first].into_iter().cycle().take(20) {
        let (_, setting) = timed(|| board.set(list.clone(), 0, SystemClock.now()));
        let (_, taking) = timed(|| core.apply(Event::Hotlists(board.get()), &mut Vec::new()));
        swaps.push(setting.max(taking));
        for n in 0..600 {
            ms += 40;
            frame += 1;
            let (_, event) = timed(|| see(&mut core, &camera, frame, ms, "AB12CDE", n as u8 % 3));
            events.push(event);
        }
        board.reap();
    }
    swaps.sort();
    events.sort();
    let at = |sorted: &[Duration], share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    println!("swap, reader or setter   {:>10.2?}   median, {:.2?} longest of 20", at(&swaps, 0.5), swaps[19]);
    println!(
        "a frame while 4,096 records are matched again: median {:.2?}, p99 {:.2?}, longest {:.2?}",
        at(&events, 0.5),
        at(&events, 0.99),
        events[events.len() - 1]
    );
}
