//! Live cameras against an RTSP server that others wrote: GStreamer's own (`server.py`), for `make rtsp`.
//!
//! These tests need Debian packages that nothing else needs and take minutes, so a plain run leaves them out. Faults that no server
//! commits by itself are in `tests/it/cameras.rs`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::program::root;
use support::publisher::wait_for;
use support::site::{Site, camera, credentials};

#[allow(dead_code)] // shared with the other integration binaries; each uses a part
#[path = "../it/support/mod.rs"]
mod support;

const USER: &str = "o'p er";
const PASSWORD: &str = "s3 c\"r\\e!t@ü";

/// The server as a process.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts one on a port of its own choice (0) or on this one, with options, and these of our streams as `/NAME`.
    fn start(port: u16, options: &[&str], streams: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(root().join("tests/rtsp/server.py")).args(["--port", &port.to_string()]).args(options);
        command.args(streams.iter().map(|(name, file)| format!("{name}={}", root().join("tests/it/data").join(file).display())));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("ready ").and_then(|p| p.parse().ok());
        Self {
            child,
            port: port.unwrap_or_else(|| panic!("the server does not start ({line:?}); make rtsp installs what it needs")),
        }
    }

    fn url(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{name}", self.port)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts another one in its place.
    fn replace(&mut self, options: &[&str], streams: &[(&str, &str)]) {
        self.kill();
        *self = Self::start(self.port, options, streams);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

const BOTH: [(&str, &str); 2] = [("h264", "road_640x360.h264"), ("h265", "road_640x360.h265")];

#[test]
#[ignore = "needs gst-rtsp-server: make rtsp"]
fn both_codecs_come_by_both_ways_with_and_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let file = credentials(dir.path(), "cam.txt", &format!("{USER}:{PASSWORD}"));
    for scheme in ["none", "basic", "digest"] {
        let with = ["--user", USER, "--password", PASSWORD, "--scheme", scheme];
        let server = Server::start(0, if scheme == "none" { &[] } else { &with }, &BOTH);
        let (mut tables, mut ids) = (Vec::new(), Vec::new());
        for (name, words) in [("h264", "H.264"), ("h265", "H.265")] {
            for (way, more, over) in
                [("tcp", "", "TCP"), ("udp", "transport = 'udp'", "UDP"), ("ffmpeg", "backend = 'ffmpeg'", "TCP")]
            {
                let id = format!("{name}-{way}");
                let more = if scheme == "none" { more.to_owned() } else { format!("{more}\ncredentials = '{file}'") };
                tables.push(camera(&id, &server.url(name), &more));
                ids.push((id, format!("{words} over {over}")));
            }
        }
        let mut site = Site::start("", &tables);
        for (id, words) in &ids {
            site.wait_state(id, "streaming", words);
        }
        wait_for("the car in all of them", || ids.iter().all(|(id, _)| site.marks(id).iter().any(|m| m == "BV71MZC")));
        let spoken = site.spoken();
        assert!(!spoken.contains(PASSWORD) && !spoken.contains("s3%20c"), "{spoken}");
        println!("{scheme}: stopped after {:?}", site.stop());
    }
}

#[test]
#[ignore = "needs gst-rtsp-server: make rtsp"]
fn a_server_that_is_killed_paused_or_replaced_is_found_again() {
    let small = [("h264", "road_480x272.h264"), ("h265", "road_640x360.h265")];
    let mut server = Server::start(0, &[], &BOTH);
    let ids = ["tcp", "udp", "ffmpeg", "h265"];
    let mut site = Site::start(
        "",
        &[
            camera(ids[0], &server.url("h264"), ""),
            camera(ids[1], &server.url("h264"), "transport = 'udp'"),
            camera(ids[2], &server.url("h264"), "backend = 'ffmpeg'"),
            camera(ids[3], &server.url("h265"), ""),
        ],
    );
    site.wait_states(&ids, "streaming", "");
    site.wait_frames(&ids, 25);

    server.kill();
    site.wait_states(&ids, "lost", "refuses connections");
    // So long that the pauses between attempts are at their longest.
    std::thread::sleep(Duration::from_secs(35));
    server.replace(&[], &BOTH);
    let took = back(&site, &ids);
    println!("back after an outage of 40 s: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");

    server.signal(Signal::STOP);
    site.wait_states(&ids, "stalled", "no frame");
    site.wait_states(&ids, "lost", "does not answer");
    server.signal(Signal::CONT);
    let took = back(&site, &ids);
    println!("back after a pause: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");

    server.replace(&[], &small);
    for id in &ids[..3] {
        site.wait_until(id, "of the new size", |s| s["state"] == "streaming" && s["width_px"] == 480);
    }
    println!("back after a restart: {:?}", back(&site, &ids));
    server.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(1));
    let took = site.stop();
    println!("shutdown before a paused server: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    server.signal(Signal::CONT);
}

/// Time until all cameras give frames again.
fn back(site: &Site, ids: &[&str]) -> Duration {
    let start = Instant::now();
    site.wait_states(ids, "streaming", "");
    site.wait_frames(ids, 5);
    start.elapsed()
}

/// Resident memory of a process, KiB.
fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[ignore = "needs gst-rtsp-server: make rtsp"]
fn a_hundred_reconnections_leave_memory_flat() {
    let server = Server::start(0, &[], &BOTH);
    let ids = ["tcp264", "udp264", "tcp265", "ffmpeg"];
    let hasty = "stall_after_ms = 500";
    let mut site = Site::start(
        "",
        &[
            camera(ids[0], &server.url("h264"), hasty),
            camera(ids[1], &server.url("h264"), &format!("{hasty}\ntransport = 'udp'")),
            camera(ids[2], &server.url("h265"), hasty),
            camera(ids[3], &server.url("h264"), &format!("{hasty}\nbackend = 'ffmpeg'")),
        ],
    );
    let mut rss = Vec::new();
    for round in 0..=100 {
        site.wait_states(&ids, "streaming", "");
        rss.push(rss_kib(site.pid()));
        let told = ids.map(|id| site.states(id).len());
        server.signal(Signal::USR1);
        for (id, told) in ids.iter().zip(told) {
            let lost = || site.states(id)[told..].iter().any(|s| s["state"] == "lost");
            wait_for(&format!("{id} to be lost for the {round}th time"), lost);
        }
    }
    // The first ones warm up caches and pools.
    let (early, late) = (&rss[20..40], &rss[81..]);
    let mean = |values: &[u64]| values.iter().sum::<u64>() / values.len() as u64;
    println!("resident memory, KiB, every tenth reconnection: {:?}", rss.iter().step_by(10).collect::<Vec<_>>());
    println!(
        "means: {} KiB, {} KiB; {} decoders left behind",
        mean(early),
        mean(late),
        ids.map(|id| site.figure(id, "abandoned")).iter().sum::<u64>()
    );
    // Measured: 4 MB. With a heap a thread it was 27 MB, and went on.
    assert!(mean(late) < mean(early) + 15_000, "{rss:?}");
    site.stop();
}
