//! Commands over a real broker to a real daemon, and what `kerbside outbox` says of its store while it runs and after.

use std::path::Path;

use kerbside::outbox::Qos;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::support::mosquitto::Mosquitto;
use crate::support::program;
use crate::support::publisher::{Listener, wait_for};

fn ask(dir: &Path, port: u16, verb: &[&str]) -> (Option<i32>, String, String) {
    let port = port.to_string();
    let mut args = vec!["command", "--port", &port, "--org", "o", "--device", "d", "--by", "desk 3"];
    args.extend(verb);
    let output = program::run(dir, &args);
    (output.status.code(), program::stdout(&output), program::stderr(&output))
}

fn asked(dir: &Path, port: u16, verb: &[&str]) -> Value {
    let (code, stdout, stderr) = ask(dir, port, verb);
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn outbox(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["outbox", "--config", "kerbside.toml"];
    all.extend(args);
    let output = program::run(dir, &all);
    (output.status.code(), program::stdout(&output), program::stderr(&output))
}

#[test]
fn commands_are_answered_audited_and_can_be_switched_off() {
    let broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    let config = program::configuration(dir.path(), broker.port, "");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str("at_end = 'repeat'\n");
    std::fs::write(&config, &text).unwrap();
    let daemon = Daemon::start(dir.path(), &config);
    wait_for("the box to be online", || listener.seen().iter().any(|m| m.topic.ends_with("/status")));

    let ping = asked(dir.path(), broker.port, &["ping"]);
    assert_eq!((ping["session"].as_u64(), ping["version"].as_str()), (Some(1), Some(env!("CARGO_PKG_VERSION"))));
    let doctor = asked(dir.path(), broker.port, &["doctor"]);
    assert!(doctor["alarms"].is_array() && doctor["health"]["outbox"]["next_seq"].is_u64(), "{doctor}");
    let reload = asked(dir.path(), broker.port, &["reload"]);
    assert!(reload["what"].as_str().unwrap().contains("no hotlist is kept by hand"), "{reload}");
    let still = asked(dir.path(), broker.port, &["snapshot", "--out", "still.jpg"]);
    assert_eq!((still["camera"].as_str(), still["width_px"].as_u64()), (Some("road"), Some(1280)));
    let picture = image::open(dir.path().join("still.jpg")).unwrap();
    assert_eq!((picture.width(), picture.height()), (1280, 720));

    for (command, says) in [
        (vec!["outbox.resend"], "wants the arguments from and to"),
        (vec!["outbox.resend", "from=9", "to=3"], "to 3 is less than from 9"),
        (vec!["outbox.resend", "from=100000000", "to=100000001"], "beyond the last number given"),
        (vec!["snapshot", "camera=north"], "one of road"),
    ] {
        let (code, _, stderr) = ask(dir.path(), broker.port, &command);
        assert!(code == Some(70) && stderr.contains(says), "{command:?}: {stderr}");
    }
    wait_for("ten envelopes", || listener.seqs().len() > 10);
    let resent = asked(dir.path(), broker.port, &["outbox.resend", "from=1", "to=5"]);
    assert_eq!((resent["resent"].as_u64(), resent["released"].as_u64()), (Some(0), Some(5)), "all five had arrived: {resent}");

    wait_for("the audit entries", || audits(&listener).len() >= 9);
    let audits = audits(&listener);
    let of = |event: &str| audits.iter().filter(|a| a["event"] == event).count();
    assert_eq!((of("command_done"), of("command_refused")), (5, 4));
    assert!(audits.iter().filter(|a| a["command"] == "ping").all(|a| a["by"] == "desk 3"), "{audits:?}");
    assert_eq!(daemon.stop(), Some(0));

    std::fs::write(&config, text.replacen("[mqtt]", "[command]\nallow = ['doctor']\n[mqtt]", 1)).unwrap();
    let daemon = Daemon::start(dir.path(), &config);
    wait_for("the second life", || listener.seen().iter().filter(|m| m.topic.ends_with("/status")).count() >= 3);
    let (code, _, stderr) = ask(dir.path(), broker.port, &["ping"]);
    assert!(code == Some(70) && stderr.contains("does not obey it; command.allow has doctor"), "{stderr}");
    assert_eq!(daemon.stop(), Some(0));

    std::fs::write(&config, text.replacen("[mqtt]", "[command]\nallow = []\n[mqtt]", 1)).unwrap();
    let daemon = Daemon::start(dir.path(), &config);
    wait_for("the third life", || listener.seen().iter().filter(|m| m.topic.ends_with("/status")).count() >= 5);
    let (code, _, stderr) = ask(dir.path(), broker.port, &["ping", "--wait", "1"]);
    assert!(code == Some(70) && stderr.contains("no answer within 1 s"), "{stderr}");
    assert_eq!(daemon.stop(), Some(0));
}

fn audits(listener: &Listener) -> Vec<Value> {
    let of = |m: &kerbside::publish::mqtt::Received| m.schema.as_deref() == Some("kerbside.audit/1");
    let parsed = listener.seen().into_iter().filter(of).map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap());
    parsed.filter(|a| a["event"].as_str().unwrap().starts_with("command")).collect()
}

#[test]
fn the_outbox_is_shown_checked_exported_and_purged_on_a_live_and_on_a_stopped_box() {
    // Nobody listens: everything stays.
    let port = crate::support::mosquitto::free_port();
    let dir = tempfile::tempdir().unwrap();
    let config = program::configuration(dir.path(), port, "");
    let daemon = Daemon::start(dir.path(), &config);
    let rows = || {
        let (code, stdout, _) = outbox(dir.path(), &["status", "--json"]);
        if code == Some(0) { serde_json::from_str::<Value>(&stdout).unwrap()["next_seq"].as_u64().unwrap() - 1 } else { 0 }
    };
    wait_for("thirty envelopes", || rows() >= 30);
    let (code, stdout, stderr) = outbox(dir.path(), &["verify"]);
    assert!(code == Some(0) && stdout.contains("every row is signed by this box"), "{stdout}{stderr}");
    let (_, listed, _) = outbox(dir.path(), &["list", "--lane", "read", "--limit", "1000"]);
    assert!(listed.lines().count() >= 5 && listed.lines().all(|l| l.ends_with("/read") || l.ends_with("/unread")), "{listed}");
    assert!(program::truth().iter().all(|mark| !listed.contains(mark.as_str())), "a list shows no marks");
    assert_eq!(daemon.stop(), Some(0));

    let (code, stdout, _) = outbox(dir.path(), &["status"]);
    assert!(code == Some(0) && stdout.contains("in plain beside the store") && stdout.contains("hits 28 days"), "{stdout}");
    let (code, key, _) = outbox(dir.path(), &["key"]);
    assert!(code == Some(0) && key.starts_with("-----BEGIN PUBLIC KEY-----"), "{key}");
    std::fs::write(dir.path().join("device.pub.pem"), key).unwrap();
    let (code, _, stderr) = outbox(dir.path(), &["verify", "--key", "device.pub.pem"]);
    assert_eq!(code, Some(0), "{stderr}");

    let (code, _, stderr) = outbox(dir.path(), &["export", "--out", "export.ndjson"]);
    assert_eq!(code, Some(0), "{stderr}");
    let export = std::fs::read_to_string(dir.path().join("export.ndjson")).unwrap();
    let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, rows());
    assert!(lines.iter().any(|l| program::truth().contains(&l["payload"]["vrm"].as_str().unwrap_or_default().to_owned())));
    assert!(lines.iter().all(|l| l["sig"].is_string() && l["payload_base64"].is_string()));
    let (code, _, stderr) = outbox(dir.path(), &["export", "--out", "export.ndjson"]);
    assert!(code == Some(64) && stderr.contains("not there yet"), "{stderr}");
    // Nothing of it can be read on the disk.
    let store = std::fs::read(dir.path().join("state/outbox.sqlite")).unwrap();
    let mark = program::truth()[0].clone().into_bytes();
    assert!(!store.windows(mark.len()).any(|w| w == mark));

    let (code, _, stderr) = outbox(dir.path(), &["purge"]);
    assert!(code == Some(64) && stderr.contains("wants to know what"), "{stderr}");
    let before = rows();
    let (_, stdout, _) = outbox(dir.path(), &["purge", "--lane", "overview"]);
    assert!(stdout.contains("would go"), "{stdout}");
    let (code, stdout, _) = outbox(dir.path(), &["purge", "--lane", "overview", "--yes"]);
    assert!(code == Some(0) && stdout.contains("are gone"), "{stdout}");
    let (_, stdout, _) = outbox(dir.path(), &["status", "--json"]);
    let status: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status["lanes"]["overview"]["rows"].as_u64(), status["next_seq"].as_u64()), (Some(0), Some(before + 1)));
    assert!(status["undeclared"].as_u64().unwrap() > 0 && status["gaps"][0]["reason"] == "purged", "{status}");
    assert_eq!(outbox(dir.path(), &["verify"]).0, Some(0), "a purge is no break");

    // A byte that rots is named.
    let db = rusqlite::Connection::open(dir.path().join("state/outbox.sqlite")).unwrap();
    db.execute("UPDATE envelope SET payload = zeroblob(length(payload)) WHERE seq = (SELECT min(seq) FROM envelope)", [])
        .unwrap();
    drop(db);
    let (code, _, stderr) = outbox(dir.path(), &["verify"]);
    assert!(code == Some(70) && stderr.contains("digest does not fit"), "{stderr}");
}

#[test]
fn command_line_purge_is_told_by_a_box_whose_clip_has_ended() {
    let mut broker = Mosquitto::start("");
    broker.kill();
    let dir = tempfile::tempdir().unwrap();
    let config = program::configuration(dir.path(), broker.port, "no_subscriber = 'hold'\n");
    let daemon = Daemon::start(dir.path(), &config);
    let next = || {
        let (code, stdout, _) = outbox(dir.path(), &["status", "--json"]);
        if code == Some(0) { serde_json::from_str::<Value>(&stdout).unwrap()["next_seq"].as_u64().unwrap() } else { 0 }
    };
    // All ten vehicles, each with two pictures, and then nothing more.
    let mut last = (0, std::time::Instant::now());
    wait_for("the end of the clip", || {
        let now = next();
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        now > 30 && last.1.elapsed() > std::time::Duration::from_secs(4)
    });
    assert_eq!(outbox(dir.path(), &["purge", "--lane", "patch", "--yes"]).0, Some(0));
    broker.restart();
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    wait_for("the gaps", || {
        let gaps = listener.seen().into_iter().filter(|m| m.schema.as_deref() == Some("kerbside.gap/1"));
        let told = gaps.flat_map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap()["gaps"].as_array().unwrap().clone());
        told.filter(|g| g["reason"] == "purged").map(|g| g["count"].as_u64().unwrap()).sum::<u64>() >= 10
    });
    assert_eq!(daemon.stop(), Some(0));
}
