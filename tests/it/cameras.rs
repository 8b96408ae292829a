//! Live cameras through the whole daemon, against a camera that misbehaves when told to: each fault is told in words, comes to an end by
//! itself, and is nobody else's.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use crate::support::publisher::wait_for;
use crate::support::rtsp::auth::Auth;
use crate::support::rtsp::stream::Recording;
use crate::support::rtsp::{Answers, FaultCamera, Media, Scene};
use crate::support::site::{Site, camera, credentials};

/// Pictures of our streams in which the road is empty, and those with the car. (Before these a second one is near enough to be read.)
const EMPTY: std::ops::Range<usize> = 75..100;
const CAR: std::ops::Range<usize> = 25..75;

/// Short time-outs, so that tests are too.
const HASTY: &str = "open_timeout_ms = 2000\nstall_after_ms = 1000";

/// An empty road, in a small picture.
fn quiet(auth: Auth) -> FaultCamera {
    FaultCamera::start(Scene::part(&Recording::of_ours("road_480x272.h264"), EMPTY), auth)
}

fn streams(state: &Value, width: u64, words: &str) -> bool {
    state["state"] == "streaming" && state["width_px"] == width && state["detail"].as_str().unwrap_or("").contains(words)
}

#[test]
fn every_way_to_a_camera_gives_frames_and_says_what_it_is() {
    let play = |name: &str| {
        let recording = Recording::of_ours(name);
        let scene = if name.ends_with("mjpeg") { Scene::all(&recording) } else { Scene::part(&recording, EMPTY) };
        FaultCamera::start(scene, Auth::None)
    };
    let (h264, h265, jpeg) = (play("road_640x360.h264"), play("road_640x360.h265"), play("road_320x176.mjpeg"));
    let http = format!("http://127.0.0.1:{}/video", jpeg.port);
    let ways = [
        ("tcp264", h264.url(), "", 640, "H.264 over TCP"),
        ("udp264", h264.url(), "transport = 'udp'", 640, "H.264 over UDP"),
        ("ff264", h264.url(), "backend = 'ffmpeg'", 640, "H.264 over TCP"),
        ("tcp265", h265.url(), "codec = 'h265'", 640, "H.265 over TCP"),
        ("udp265", h265.url(), "transport = 'udp'", 640, "H.265 over UDP"),
        ("ff265", h265.url(), "backend = 'ffmpeg'", 640, "H.265 over TCP"),
        ("tcpjpeg", jpeg.url(), "", 320, "MJPEG over TCP"),
        ("httpjpeg", http, "", 320, "MJPEG over HTTP"),
    ];
    let tables: Vec<String> = ways.iter().map(|(id, url, more, ..)| camera(id, url, more)).collect();
    let mut site = Site::start("", &tables);
    for (id, _, _, width, words) in &ways {
        site.wait_until(id, words, |s| streams(s, *width, words));
    }
    site.wait_frames(&ways.iter().map(|way| way.0).collect::<Vec<_>>(), 10);
    // Another resolution in the middle of a session, and back, by new parameter sets in the stream. (OpenCV's FFmpeg goes on with the
    // old size; it hears of the new one in the next session.)
    for (name, width) in [("road_480x272.h264", 480), ("road_640x360.h264", 640)] {
        h264.show(Scene::part(&Recording::of_ours(name), EMPTY));
        let sessions = h264.sessions();
        for id in ["tcp264", "udp264"] {
            site.wait_until(id, "of the new size", |s| streams(s, width, "H.264"));
        }
        site.wait_frames(&["tcp264", "udp264"], 10);
        assert_eq!(h264.sessions(), sessions, "a session was opened anew: {:#?}", site.messages("camera_state"));
    }
    h264.show(Scene::part(&Recording::of_ours("road_480x272.h264"), EMPTY));
    h264.hang_up();
    for id in ["tcp264", "udp264", "ff264"] {
        site.wait_until(id, "of the new size", |s| streams(s, 480, "H.264"));
    }
    site.wait_frames(&["tcp264", "udp264", "ff264"], 10);
    println!("shutdown with eight cameras: {:?}", site.stop());
}

#[test]
fn what_is_wrong_with_a_camera_is_told_in_words_until_it_is_well_again() {
    let faults = [
        ("silent", Answers::None, "does not answer"),
        ("garbage", Answers::Garbage, "does not speak RTSP"),
        ("path", Answers::Status(404, "Not Found"), "knows no such stream"),
        ("full", Answers::Status(453, "Not Enough Bandwidth"), "no room for another viewer"),
        ("broken", Answers::Status(500, "Internal Server Error"), "500"),
        ("off", Answers::Right, "refuses connections"),
    ];
    let cameras: Vec<_> = faults.iter().map(|_| quiet(Auth::None)).collect();
    for ((_, answers, _), camera) in faults.iter().zip(&cameras) {
        camera.set(|c| c.answers = *answers);
    }
    cameras[5].power_off();
    let dir = tempfile::tempdir().unwrap();
    let locked = quiet(Auth::Digest("u".into(), "right".into()));
    let file = credentials(dir.path(), "cam.txt", "u:wrong");
    let mut tables: Vec<String> = faults.iter().zip(&cameras).map(|((id, ..), c)| camera(id, &c.url(), HASTY)).collect();
    tables.push(camera("locked", &locked.url(), &format!("{HASTY}\ncredentials = '{file}'")));
    tables.push(camera("nobody", &locked.url(), HASTY));
    let mut site = Site::start_in(dir, "", &tables);
    for (id, _, words) in &faults {
        site.wait_state(id, "lost", words);
    }
    site.wait_state("locked", "lost", "refuses user or password");
    site.wait_state("nobody", "lost", "wants a user and a password");
    let alarms = || site.health().unwrap()["alarms"].to_string();
    wait_for("an alarm for each", || faults.iter().all(|(id, ..)| alarms().contains(&format!("camera {id} is lost"))));

    cameras.iter().for_each(FaultCamera::behave);
    credentials(site.dir.path(), "cam.txt", "u:right");
    let back = Instant::now();
    for id in faults.iter().map(|(id, ..)| *id).chain(["locked"]) {
        site.wait_state(id, "streaming", "H.264");
    }
    println!("all streaming {:?} after their return", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(30), "{:?}", back.elapsed());
    assert!(site.is("nobody", "lost"));
    site.stop();
}

#[test]
fn a_camera_that_stalls_floods_or_dies_leaves_the_other_its_frames() {
    let (good, bad) = (quiet(Auth::None), quiet(Auth::None));
    let mut site = Site::start("", &[camera("good", &good.url(), ""), camera("bad", &bad.url(), HASTY)]);
    site.wait_states(&["good", "bad"], "streaming", "");
    site.wait_frames(&["good", "bad"], 10);
    // What the good camera sent between two health messages is what the daemon has of it, whatever the other one does.
    let share = |doing: &str| {
        let next_health = || {
            let before = site.messages("health").len();
            wait_for("health", || site.messages("health").len() > before);
            (site.figure("good", "frames"), good.pictures())
        };
        let (frames, sent) = next_health();
        let mut last = (frames, sent);
        while last.1 < sent + 25 {
            last = next_health();
        }
        #[allow(clippy::cast_precision_loss)] // some dozens
        let share = (last.0 - frames) as f64 / (last.1 - sent) as f64;
        println!("{doing}: {:.3} of the other camera's frames", share);
        assert!(share > 0.8, "{doing}: {share:.3} of the frames; {:?}", site.states("good"));
    };
    let flooded = bad.pictures();
    bad.set(|c| c.media = Media::Flood(500));
    share("flood");
    println!("pictures in the flood: {}", bad.pictures() - flooded);
    assert!(site.is("bad", "streaming"), "{:?}", site.states("bad"));
    bad.behave();

    bad.set(|c| c.media = Media::Stall);
    site.wait_state("bad", "stalled", "no frame for 1 s");
    share("stall");
    site.wait_state("bad", "lost", "no frame");
    bad.behave();
    println!("back from a stall after {:?}", site.wait_state("bad", "streaming", ""));

    bad.power_off();
    site.wait_state("bad", "lost", "refuses connections");
    share("off");
    bad.behave();
    println!("back from power off after {:?}", site.wait_state("bad", "streaming", ""));

    bad.set(|c| c.answers = Answers::None);
    bad.hang_up();
    site.wait_state("bad", "lost", "does not answer");
    share("hang");
    bad.behave();
    println!("back from silence after {:?}", site.wait_state("bad", "streaming", ""));
    let well = |state: &Value| matches!(state["state"].as_str(), Some("opening" | "streaming"));
    assert!(site.states("good").iter().all(well), "{:#?}", site.states("good"));
    site.stop();
}

#[test]
fn cameras_that_hang_in_every_way_do_not_hold_up_the_shutdown() {
    let (mute, stalled, stalled_ffmpeg, gone) = (quiet(Auth::None), quiet(Auth::None), quiet(Auth::None), quiet(Auth::None));
    mute.set(|c| c.answers = Answers::None);
    let patient = "open_timeout_ms = 60000\nstall_after_ms = 60000";
    let mut site = Site::start(
        "",
        &[
            camera("mute", &mute.url(), patient),
            camera("stalled", &stalled.url(), patient),
            camera("stalled-ff", &stalled_ffmpeg.url(), &format!("{patient}\nbackend = 'ffmpeg'")),
            camera("gone", &gone.url(), "open_timeout_ms = 60000\nstall_after_ms = 1000"),
        ],
    );
    site.wait_states(&["stalled", "stalled-ff", "gone"], "streaming", "");
    site.wait_frames(&["stalled", "stalled-ff", "gone"], 5);
    stalled.set(|c| c.media = Media::Stall);
    stalled_ffmpeg.set(|c| c.media = Media::Stall);
    gone.set(|c| c.answers = Answers::None);
    gone.hang_up();
    site.wait_until("gone", "not streaming", |s| s["state"] != "streaming");
    let (before, after) = (site.figure("stalled-ff", "frames"), || site.figure("stalled-ff", "frames"));
    wait_for("frames to stop", || {
        std::thread::sleep(Duration::from_millis(1200));
        after() == before || after() == site.figure("stalled-ff", "frames")
    });
    let took = site.stop();
    println!("shutdown with four hung cameras: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_password_of_any_characters_opens_the_camera_and_is_never_shown() {
    let password = "s3 c\"r\\e!t@ü'%41:&";
    let dir = tempfile::tempdir().unwrap();
    let file = credentials(dir.path(), "cam.txt", &format!("o'p er:{password}"));
    let wrong = credentials(dir.path(), "wrong.txt", &format!("o'p er:{password}x"));
    let (user, password) = ("o'p er".to_owned(), password.to_owned());
    let digest = quiet(Auth::Digest(user.clone(), password.clone()));
    let basic = quiet(Auth::Basic(user.clone(), password.clone()));
    let more = |backend: &str, file: &str| format!("{HASTY}\nbackend = '{backend}'\ncredentials = '{file}'");
    let ids = ["digest-gst", "digest-ff", "basic-gst", "basic-ff"];
    let mut site = Site::start_in(
        dir,
        "[log]\nlevel = 'trace'",
        &[
            camera(ids[0], &digest.url(), &more("gstreamer", &file)),
            camera(ids[1], &digest.url(), &more("ffmpeg", &file)),
            camera(ids[2], &basic.url(), &more("gstreamer", &file)),
            camera(ids[3], &basic.url(), &more("ffmpeg", &file)),
            camera("wrong-gst", &basic.url(), &more("gstreamer", &wrong)),
            camera("wrong-ff", &digest.url(), &more("ffmpeg", &wrong)),
        ],
    );
    site.wait_states(&ids, "streaming", "");
    site.wait_states(&["wrong-gst", "wrong-ff"], "lost", "refuses user or password");
    // And through a failure: what is said of it has nothing to do with the password either.
    for camera in [&digest, &basic] {
        camera.set(|c| c.answers = Answers::Status(500, "Internal Server Error"));
        camera.hang_up();
    }
    site.wait_states(&ids, "lost", "500");
    for camera in [&digest, &basic] {
        camera.behave();
    }
    site.wait_states(&ids, "streaming", "");
    let proc_file = |name: &str| std::fs::read(format!("/proc/{}/{name}", site.pid())).unwrap();
    let (cmdline, environ) = (proc_file("cmdline"), proc_file("environ"));
    site.stop();

    let secrets = [
        password.clone(),
        "s3%20c".into(),
        "s3 c\\\"r".into(),
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")),
    ];
    let mut said = site.payloads();
    assert!(said.len() > 10 && site.spoken().contains("basic-ff"), "nothing was looked at");
    said.extend([site.spoken().into_bytes(), cmdline, environ]);
    for secret in &secrets {
        for said in &said {
            let text = String::from_utf8_lossy(said);
            let line = text.lines().find(|l| l.contains(secret.as_str()));
            assert!(line.is_none(), "{secret:?} is shown: {line:?}");
        }
    }
    for (camera, name) in [(&digest, "digest"), (&basic, "basic")] {
        let counters = camera.counters();
        let seen = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(seen(&counters.credentials_in_url), 0, "{name}");
        assert_eq!(seen(&counters.credentials_in_clear), 0, "{name}");
        assert!(seen(&counters.refused) > 0, "{name}");
    }
}

#[test]
fn lost_packets_and_garbage_cost_pictures_and_nothing_more() {
    let cameras: Vec<_> = (0..3).map(|_| quiet(Auth::None)).collect();
    let ids = ["udp", "tcp", "ffmpeg"];
    let mut site = Site::start(
        "",
        &[
            camera(ids[0], &cameras[0].url(), "transport = 'udp'"),
            camera(ids[1], &cameras[1].url(), ""),
            camera(ids[2], &cameras[2].url(), "backend = 'ffmpeg'"),
        ],
    );
    site.wait_states(&ids, "streaming", "");
    cameras.iter().for_each(|camera| camera.set(|c| (c.drop_share, c.flip_share) = (0.02, 0.02)));
    // FFmpeg through OpenCV takes some broken packets for the end of the stream; then it has to be opened anew.
    let sessions = || cameras[..2].iter().map(FaultCamera::sessions).collect::<Vec<_>>();
    let before = sessions();
    site.wait_frames(&ids, 75);
    let dropped = |c: &FaultCamera| c.counters().dropped.load(std::sync::atomic::Ordering::SeqCst);
    assert!(cameras.iter().all(|c| dropped(c) > 0));
    assert_eq!(before, sessions(), "{:#?}\n{}", site.messages("camera_state"), site.spoken());

    // Packets in time with nothing in them: no picture comes out, or one that shows nothing.
    cameras.iter().for_each(|camera| {
        camera.behave();
        camera.set(|c| c.media = Media::Garbage);
    });
    std::thread::sleep(Duration::from_secs(3));
    cameras.iter().for_each(FaultCamera::behave);
    let back = Instant::now();
    site.wait_states(&ids, "streaming", "");
    site.wait_frames(&ids, 25);
    println!("all streaming {:?} after garbage", back.elapsed());
    site.stop();
}

#[test]
fn a_vehicle_in_a_live_stream_is_one_record_with_the_time_of_now() {
    let started = kerbside::clock::Clock::now(&kerbside::clock::SystemClock).utc.to_string();
    let recordings = [Recording::of_ours("road_1280x720.h264"), Recording::of_ours("road_640x360.h264")];
    let cameras: Vec<_> = recordings.iter().map(|r| FaultCamera::start(Scene::part(r, EMPTY), Auth::None)).collect();
    let ids = ["wide", "small"];
    let backends = ["gstreamer", "ffmpeg"];
    let table = |i: usize| camera(ids[i], &cameras[i].url(), &format!("backend = '{}'", backends[i]));
    // A busy machine leaves out frames, and must not make two passages of one for that.
    let mut site = Site::start("[passage]\nsettle_ms = 2000", &[table(0), table(1)]);
    site.wait_states(&ids, "streaming", "");
    site.wait_frames(&ids, 10);
    for (camera, recording) in cameras.iter().zip(&recordings) {
        camera.show(Scene::part(recording, EMPTY).after(CAR));
    }
    wait_for("a record of each", || ids.iter().all(|id| !site.marks(id).is_empty()));
    // Time for another one, if there were one.
    site.wait_frames(&ids, 75);
    for id in ids {
        assert_eq!(site.marks(id), ["BV71MZC"], "{id}");
    }
    let now = kerbside::clock::Clock::now(&kerbside::clock::SystemClock).utc.to_string();
    for record in site.messages("read") {
        let times =
            ["first", "best", "last"].map(|time| record[time].as_str().unwrap_or_else(|| panic!("{record:#}")).to_owned());
        assert!(started < times[0] && times.is_sorted() && times[2] < now, "{started} {times:?} {now}");
    }
    site.stop();
}

#[test]
fn frozen_black_and_white_pictures_are_told() {
    let road = Recording::of_ours("road_640x360.h264");
    let of = |color: &str| Scene::all(&Recording::of_ours(&format!("{color}_640x360.h264")));
    let see = || FaultCamera::start(Scene::part(&road, EMPTY), Auth::None);
    let (frozen, black, white) = (see(), see(), see());
    let ids = ["frozen", "black", "white"];
    let mut site = Site::start(
        "",
        &[
            camera(ids[0], &frozen.url(), ""),
            camera(ids[1], &black.url(), ""),
            camera(ids[2], &white.url(), "backend = 'ffmpeg'"),
        ],
    );
    for id in ids {
        site.wait_until(id, "streaming and well", |s| s["state"] == "streaming" && s["picture"].is_null());
    }
    site.wait_frames(&ids, 25);
    frozen.set(|c| c.media = Media::Frozen);
    black.show(of("black"));
    white.show(of("white"));
    for (id, fault) in ids.iter().zip(["frozen", "black", "blown_out"]) {
        site.wait_until(id, fault, |s| s["state"] == "streaming" && s["picture"] == fault);
    }
    wait_for("an alarm for each", || {
        let alarms = site.health().unwrap()["alarms"].to_string();
        ids.iter().all(|id| alarms.contains(&format!("camera {id} gives")))
    });
    frozen.behave();
    black.show(Scene::part(&road, EMPTY));
    white.show(Scene::part(&road, EMPTY));
    for id in ids {
        site.wait_until(id, "well again", |s| s["state"] == "streaming" && s["picture"].is_null());
    }
    site.stop();
}

#[test]
fn a_decoder_that_the_box_does_not_have_is_done_without() {
    let front = quiet(Auth::None);
    // Neither kind of hardware is in a machine that runs tests; where one is, it decodes, and the words say so.
    let tables = ["vaapi", "v4l2m2m"].map(|decoder| camera(decoder, &front.url(), &format!("decoder = '{decoder}'")));
    let mut site = Site::start("", &tables);
    for id in ["vaapi", "v4l2m2m"] {
        let (state, _) = site.wait_until(id, "frames", |s| streams(s, 480, "H.264 over TCP"));
        let in_hardware = state["detail"].as_str().unwrap_or("").matches(',').count() > 1;
        assert!(in_hardware || site.spoken().contains("the processor does it from now on"), "{}", site.spoken());
    }
    site.wait_frames(&["vaapi", "v4l2m2m"], 10);
    site.stop();
}
