//! The daemon as a process: from frame to subscriber through a real mosquitto, through outages, to a clean stop; and the demo.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};

use kerbside::outbox::Qos;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::{Listener, wait_for};
use crate::support::{pictures, program};

/// A daemon, killed when the test ends before it does.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(dir: &Path, config: &Path) -> Self {
        let log = std::fs::File::create(dir.join("daemon.log")).unwrap();
        let child = program::kerbside(dir)
            .args(["run", "--config", config.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        wait_for("a clean stop", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gone already after a clean stop.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Marks of the records that the listener has seen, duplicates by passage taken out.
fn marks(listener: &Listener) -> Vec<String> {
    let mut passages = BTreeSet::new();
    let mut marks: Vec<String> = listener
        .seen()
        .into_iter()
        .filter(|m| m.schema.as_deref() == Some("kerbside.read/1"))
        .map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap())
        .filter(|r| passages.insert(r["passage"].to_string()))
        .map(|r| r["vrm"].as_str().unwrap().to_owned())
        .collect();
    marks.sort();
    marks
}

fn sorted_truth() -> Vec<String> {
    let mut truth = program::truth();
    truth.sort();
    truth
}

/// Every sequence number from 1 up has arrived.
fn complete(listener: &Listener) -> bool {
    let seqs: BTreeSet<u64> = listener.seqs().into_iter().collect();
    seqs.last().is_some_and(|last| *last == seqs.len() as u64)
}

#[test]
fn daemon_loses_nothing_when_the_broker_is_killed_in_the_middle() {
    let mut broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::start(broker.port, "tap", Qos::AtMostOnce);
    let config = program::configuration(dir.path(), broker.port, "no_subscriber = 'hold'\n");
    let daemon = Daemon::start(dir.path(), &config);
    wait_for("the first record", || !marks(&listener).is_empty());
    broker.kill();
    // The daemon reads on meanwhile; what it finds waits on disk.
    wait_for("the log to tell of the outage", || {
        std::fs::read_to_string(dir.path().join("daemon.log")).unwrap().contains("connection to the broker ended")
    });
    broker.restart();
    wait_for("every record", || marks(&listener).len() >= sorted_truth().len() && complete(&listener));
    assert_eq!(marks(&listener), sorted_truth());
    let log = std::fs::read_to_string(dir.path().join("daemon.log")).unwrap();
    assert!(program::truth().iter().all(|m| !log.contains(m.as_str())), "a mark stands in the log: {log}");
    assert_eq!(daemon.stop(), Some(0), "{log}");
}

#[test]
fn daemon_killed_with_records_on_disk_delivers_them_after_its_restart() {
    // No broker at all in the first life.
    let mut broker = Mosquitto::start("");
    broker.kill();
    let dir = tempfile::tempdir().unwrap();
    let config = program::configuration(dir.path(), broker.port, "no_subscriber = 'hold'\n");
    let mut first = Daemon::start(dir.path(), &config);
    let stored =
        || kerbside::outbox::Outlet::open(&dir.path().join("state"), None).and_then(|o| o.stats()).map_or(0, |s| s.rows());
    wait_for("ten envelopes on disk", || stored() >= 10);
    let log = std::fs::read_to_string(dir.path().join("daemon.log")).unwrap();
    assert!(log.contains(&format!("127.0.0.1:{}", broker.port)) && log.contains("can't be reached"), "{log}");
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let left = stored();
    broker.restart();
    let listener = Listener::start(broker.port, "tap", Qos::AtMostOnce);
    let second = Daemon::start(dir.path(), &config);
    // The second life replays the clip: whatever the first one had committed comes before that, in sequence.
    wait_for("what was on disk", || (1..=left).all(|n| listener.seqs().contains(&n)));
    wait_for("the second life's records", || marks(&listener).windows(2).any(|w| w[0] == w[1]) && complete(&listener));
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn daemon_takes_a_new_hotlist_on_sighup_and_refuses_a_bad_one() {
    let broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list.csv");
    let header = "vrm,action,priority,reason,valid_from,valid_until\n";
    std::fs::write(&list, format!("{header}ZZ99ZZZ,stop,P0,other,,\n")).unwrap();
    let extra = "[hotlist]\nfile = 'list.csv'\n[health]\nperiod_s = 1\n";
    let config = program::configuration(dir.path(), broker.port, extra);
    // The clip over and over, so that there is something to match after the change.
    let text = std::fs::read_to_string(&config).unwrap().replace("pace = 'lossless'", "pace = 'lossless'\nat_end = 'repeat'");
    std::fs::write(&config, text).unwrap();
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    let daemon = Daemon::start(dir.path(), &config);
    wait_for("records without a hit", || marks(&listener).len() >= 3);
    let alerts = || listener.seen().iter().filter(|m| m.schema.as_deref() == Some("kerbside.alert/1")).count();
    assert_eq!(alerts(), 0);

    std::fs::write(&list, "nonsense\n").unwrap();
    daemon.signal(Signal::HUP);
    let health_says = |word: &str| {
        listener.seen().iter().rev().find(|m| m.schema.as_deref() == Some("kerbside.health/1")).is_some_and(|m| {
            let health: Value = serde_json::from_slice(&m.payload).unwrap();
            health["hotlists"].to_string().contains(word)
        })
    };
    wait_for("health to say that the list was refused", || health_says("list.csv"));
    std::fs::write(&list, format!("{header}BV71MZC,stop,P0,Stolen,,\n")).unwrap();
    daemon.signal(Signal::HUP);
    wait_for("an alert under the new list", || alerts() > 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn demo_ends_by_itself_and_writes_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let output = program::run(dir.path(), &["demo", "--out", "shown"]);
    let said = program::stdout(&output);
    assert!(output.status.success(), "{said}\n{}", program::stderr(&output));
    let truth = program::truth();
    assert!(said.contains(&format!("{} of {} marks of the clip right", truth.len(), truth.len())), "{said}");
    let sheet = image::open(dir.path().join("shown/contact-sheet.png")).unwrap();
    assert!(sheet.width() > 1000 && sheet.height() > 600);
    let records = std::fs::read_to_string(dir.path().join("shown/records.jsonl")).unwrap();
    let reads = records.lines().filter(|l| l.contains("kerbside.read/1")).count();
    assert_eq!(reads, truth.len());
}

/// A frame of the clip with heavy grain in every channel, twice, as a camera: pictures that are hard to pack.
fn noisy_camera(dir: &Path) -> &'static str {
    let mut picture = pictures::frame(46);
    for (i, v) in picture.iter_mut().enumerate() {
        let noise = u8::try_from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59).unwrap();
        *v = v.saturating_add(noise).saturating_sub(16);
    }
    let picture = image::DynamicImage::ImageRgb8(picture);
    std::fs::create_dir(dir.join("stills")).unwrap();
    for name in ["stills/a.png", "stills/b.png"] {
        pictures::save(dir, name, &picture);
    }
    "kind = 'stills'\npath = 'stills'\ninterval_ms = 40\n"
}

#[test]
fn evidence_holds_its_caps_and_the_record_has_the_hash_of_the_bytes_sent() {
    let broker = Mosquitto::start("");
    for (profile, patch_max_bytes, overview_max_bytes, overview_width_px) in
        [("nasple", 3072, 25_600, 800), ("full", 131_072, 1 << 20, 1280)]
    {
        let dir = tempfile::tempdir().unwrap();
        let stills = noisy_camera(dir.path());
        let config = program::configuration(dir.path(), broker.port, &format!("[evidence]\nprofile = '{profile}'\n"));
        let text = std::fs::read_to_string(&config).unwrap();
        let clip = format!("kind = 'clip'\npath = '{}'\n", program::demo("drive_by.mp4").display());
        assert!(text.contains(&clip));
        std::fs::write(&config, text.replace(&clip, stills)).unwrap();
        let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
        let daemon = Daemon::start(dir.path(), &config);
        let named = || {
            let records = listener.seen().into_iter().filter(|m| m.schema.as_deref() == Some("kerbside.read/1"));
            let records = records.map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap());
            records
                .flat_map(|r| {
                    let passage = r["passage"].as_str().unwrap().to_owned();
                    r["evidence"].as_array().unwrap().clone().into_iter().map(move |e| (passage.clone(), e))
                })
                .collect::<Vec<_>>()
        };
        let sent = |passage: &str, kind: &str| {
            listener.seen().into_iter().find(|m| m.topic.ends_with(&format!("image/{passage}/{kind}"))).map(|m| m.payload)
        };
        wait_for("records with both pictures", || {
            let named = named();
            named.len() >= 4 && named.iter().all(|(passage, e)| sent(passage, e["kind"].as_str().unwrap()).is_some())
        });
        for (passage, e) in named() {
            let kind = e["kind"].as_str().unwrap();
            let jpeg = sent(&passage, kind).unwrap();
            let digest: String = Sha256::digest(&jpeg).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!((e["sha256"].as_str(), e["size_bytes"].as_u64()), (Some(digest.as_str()), Some(jpeg.len() as u64)));
            let picture = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).unwrap();
            if kind == "patch" {
                assert!(jpeg.len() <= patch_max_bytes, "{profile}: {}", jpeg.len());
                assert!(profile == "full" || (picture.width() <= 120 && picture.height() <= 60), "{profile}");
            } else {
                assert!(jpeg.len() <= overview_max_bytes && picture.width() <= overview_width_px, "{profile}: {}", jpeg.len());
            }
        }
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[test]
fn health_tells_how_long_alerts_take_from_the_deciding_frame_to_the_outbox() {
    let broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let extra = format!("[hotlist]\nfile = '{}'\n[health]\nperiod_s = 1\n", program::demo("hotlist.csv").display());
    let config = program::configuration(dir.path(), broker.port, &extra);
    let listener = Listener::start(broker.port, "tap", Qos::AtMostOnce);
    let newest_health = || {
        let seen = listener.seen();
        let health = seen.iter().rev().find(|m| m.schema.as_deref() == Some("kerbside.health/1"))?;
        Some(serde_json::from_slice::<Value>(&health.payload).unwrap())
    };
    // A lossless clip has a time of its own, which says nothing about ours.
    let lossless = Daemon::start(dir.path(), &config);
    wait_for("records", || marks(&listener).len() >= 3);
    wait_for("health", || newest_health().is_some_and(|h| h["counters"]["passages_read"].as_u64() >= Some(3)));
    assert_eq!(newest_health().unwrap()["latencies"], serde_json::json!({}));
    assert_eq!(lossless.stop(), Some(0));

    let text = std::fs::read_to_string(&config).unwrap().replace("pace = 'lossless'", "pace = 'real_time'\nat_end = 'repeat'");
    std::fs::write(&config, text).unwrap();
    let daemon = Daemon::start(dir.path(), &config);
    let told = |kind: &str| newest_health().map_or(Value::Null, |h| h["latencies"][kind].clone());
    wait_for("an early alert's latency", || told("alert_early")["count"].as_u64() >= Some(1));
    wait_for("a record's latency", || told("record")["count"].as_u64() >= Some(1));
    for kind in ["alert_early", "record"] {
        let told = told(kind);
        let ms = |key: &str| told[key].as_f64().unwrap();
        let all = [ms("p50_ms"), ms("p99_ms"), ms("max_ms")];
        assert!(all[0] > 0.0 && all.windows(2).all(|w| w[0] <= w[1]) && all[2].is_finite(), "{told}");
    }
    assert_eq!(daemon.stop(), Some(0));
}
