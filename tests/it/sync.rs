//! Sealed hotlists from the back office to the box, the whole way: real broker, real daemon, the program's own commands.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use kerbside::outbox::Qos;
use kerbside::publish::mqtt::{BrokerOptions, Received, Retained, retain};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::support::lists::Bench;
use crate::support::mosquitto::Mosquitto;
use crate::support::program;
use crate::support::proxy::Proxy;
use crate::support::publisher::{BASE, Listener, wait_for};

const HEADER: &str = "vrm,action,priority,reason,valid_until\n";

/// A bench with a box's configuration beside the keys: the clip over and over, and one sealed list.
fn configured(port: u16, more: &str) -> (Bench, PathBuf) {
    let bench = Bench::new();
    let extra = format!(
        "no_subscriber = 'hold'\n[hotlist]\nlists = ['north']\ntrust = ['public.pem']\nidentity = 'box.txt'\n[health]\nperiod_s = 1\n{more}"
    );
    let config = program::configuration(bench.dir.path(), port, &extra);
    let text = std::fs::read_to_string(&config).unwrap().replace("pace = 'lossless'", "pace = 'lossless'\nat_end = 'repeat'");
    std::fs::write(&config, text).unwrap();
    (bench, config)
}

/// A list of these rows as the next version, built and sealed; with the version before as its base where there is one.
fn version(bench: &Bench, number: u64, rows: &str) {
    bench.write(&format!("{number}.in.csv"), format!("{HEADER}{rows}"));
    bench.good(&["build", &format!("{number}.in.csv"), "-o", &format!("{number}.csv")]);
    let (old, before) = (format!("{}.csv", number - 1), format!("{}.sealed", number - 1));
    let base: &[&str] = if bench.at(&old).exists() { &["--base", &old, "--base-sealed", &before] } else { &[] };
    bench.seal(&format!("{number}.csv"), &number.to_string(), &format!("{number}.sealed"), base);
}

fn publish(bench: &Bench, port: u16, number: u64, more: &[&str]) -> std::process::Output {
    let (file, port) = (format!("{number}.sealed"), port.to_string());
    let args = ["publish", &file, "--trust", "public.pem", "--port", &port, "--org", "o", "--device", "d"];
    bench.run(&[&args, more].concat())
}

fn json(message: &Received) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

/// All messages of a schema that the listener has seen, oldest first.
fn said(listener: &Listener, schema: &str) -> Vec<Value> {
    listener.seen().iter().filter(|m| m.schema.as_deref() == Some(schema)).map(json).collect()
}

fn state(listener: &Listener) -> Value {
    said(listener, "kerbside.hotlist_state/1").pop().unwrap_or_default()
}

fn audit(listener: &Listener) -> Vec<String> {
    let word = |v: &Value| format!("{} {}", v["event"].as_str().unwrap(), v["version"].as_str().unwrap_or("-"));
    said(listener, "kerbside.audit/1").iter().map(word).collect()
}

/// Alerts about a mark under a version of the list.
fn alerts(listener: &Listener, mark: &str, version: &str) -> usize {
    let is = |v: &&Value| v["vrm"] == mark && v["hotlists"][0]["version"] == version;
    said(listener, "kerbside.alert/1").iter().filter(is).count()
}

fn put(port: u16, topic: &str, payload: Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let message = Retained { topic: format!("{BASE}/{topic}"), content_type: String::new(), payload };
    let broker = BrokerOptions::new("127.0.0.1", port, "intruder");
    runtime.block_on(retain(&broker, 1, |_| Ok(message.clone()), |_| {}, Duration::from_secs(20))).unwrap();
}

#[test]
fn sync_brings_a_list_then_a_delta_and_keeps_the_good_one_through_bad_ones_and_a_restart() {
    let mut broker = Mosquitto::start("");
    let (bench, config) = configured(broker.port, "");
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    let daemon = Daemon::start(bench.dir.path(), &config);
    wait_for("the alarm that no list has come", || {
        said(&listener, "kerbside.health/1").iter().any(|h| h["alarms"].to_string().contains("no hotlist north is in force"))
    });

    version(&bench, 41, "ZZ99ZZZ,stop,P0,other,2099-01-01\n");
    let output = publish(&bench, broker.port, 41, &["--wait", "30"]);
    let words = program::stdout(&output);
    assert!(
        output.status.success() && words.contains("the box has it in force: 1 entries"),
        "{words}{}",
        program::stderr(&output)
    );
    assert_eq!((&state(&listener)["version"], &state(&listener)["stale"]), (&"41".into(), &false.into()));
    wait_for("the audit entries", || audit(&listener) == ["hotlist_received 41", "hotlist_applied 41"]);
    let health_names_41 = || {
        said(&listener, "kerbside.health/1")
            .last()
            .is_some_and(|h| h["hotlists"][0]["version"] == "41" && !h["alarms"].to_string().contains("hotlist"))
    };
    wait_for("health to name it, without an alarm", health_names_41);

    // The next one is a delta: a vehicle of the clip is wanted.
    version(&bench, 42, "ZZ99ZZZ,stop,P0,other,2099-01-01\nBV71MZC,stop,P0,Stolen,2099-01-01\n");
    let output = publish(&bench, broker.port, 42, &["--wait", "30"]);
    assert!(output.status.success(), "{}", program::stderr(&output));
    wait_for("an alert under version 42", || alerts(&listener, "BV71MZC", "42") > 0);
    wait_for("the status to name it", || {
        said(&listener, "kerbside.status/1").iter().any(|s| s["hotlists"][0]["version"] == "42")
    });
    // One who has 42 is not to publish 41 by mistake.
    let output = publish(&bench, broker.port, 41, &[]);
    assert!(program::stderr(&output).contains("boxes would refuse it"), "{}", program::stderr(&output));

    // What is not ours, not signed, older, or no manifest at all is refused with its reason and changes nothing.
    let told = audit(&listener).len();
    let good = bench.read("42.sealed");
    let manifest = good.split(|b| *b == b'\n').nth(1).unwrap();
    let mut flipped: Value = serde_json::from_slice(manifest).unwrap();
    let signature = flipped["signature"].as_str().unwrap().to_owned();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    flipped["signature"] = format!("{other}{}", &signature[1..]).into();
    for (n, (payload, words)) in [
        (flipped.to_string().into_bytes(), "signature"),
        (bench.read("41.sealed").split(|b| *b == b'\n').nth(1).unwrap().to_vec(), "older than version 42"),
        (b"{}".to_vec(), "no signed manifest"),
    ]
    .into_iter()
    .enumerate()
    {
        put(broker.port, "hotlist/north/manifest", payload);
        wait_for(&format!("the refusal: {words}"), || state(&listener)["refused"]["reason"].to_string().contains(words));
        wait_for("its audit entry", || audit(&listener).len() > told + n);
        assert_eq!(state(&listener)["version"], "42");
    }
    assert!(audit(&listener)[told..].iter().all(|a| a.starts_with("hotlist_refused")), "{:?}", audit(&listener));

    // With the broker gone and the daemon started afresh, the list comes from the disk.
    assert_eq!(daemon.stop(), Some(0));
    broker.kill();
    let second = Daemon::start(bench.dir.path(), &config);
    let stored = || kerbside::outbox::Outlet::open(&bench.at("state"), None).and_then(|o| o.stats()).map_or(0, |s| s.rows());
    let before = stored();
    wait_for("records without a broker", || stored() > before + 30);
    broker.restart();
    let seen = alerts(&listener, "BV71MZC", "42");
    wait_for("alerts of the second life", || alerts(&listener, "BV71MZC", "42") > seen);
    assert!(audit(&listener).iter().any(|a| a == "hotlist_applied 42"));
    let log = std::fs::read_to_string(bench.at("daemon.log")).unwrap();
    assert!(!log.contains("BV71MZC") && !log.contains("ZZ99ZZZ"), "a mark stands in the log: {log}");
    // At rest it is sealed.
    for entry in std::fs::read_dir(bench.at("state/hotlist/north")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
        assert!(!std::fs::read(&entry).unwrap().windows(7).any(|w| w == b"BV71MZC"), "{}", entry.display());
    }
    assert_eq!(second.stop(), Some(0));
}

/// So many rows that don't compress: several chunks.
fn many(rows: u64) -> String {
    let row = |n: u64| {
        let hash = (0..4).map(|i| format!("{:016x}", (n * 4 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect::<String>();
        let letters: String = (0..3).map(|i| char::from(b'A' + u8::try_from(n / 26u64.pow(i) % 26).unwrap())).collect();
        format!("AB{:02}{letters},assess,P2,{hash},2099-01-01\n", n % 90 + 10)
    };
    (0..rows).map(row).collect()
}

#[test]
fn sync_of_a_large_list_goes_on_where_a_cut_connection_left_it() {
    let broker = Mosquitto::start("");
    let proxy = Proxy::start(broker.port);
    let (bench, config) = configured(proxy.port, "");
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    version(&bench, 1, &many(60_000));
    let output = publish(&bench, broker.port, 1, &[]);
    assert!(output.status.success(), "{}", program::stderr(&output));
    let chunks: u64 = program::stdout(&output).split(": ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(chunks > 8, "{chunks} chunks are no large list");
    let daemon = Daemon::start(bench.dir.path(), &config);
    let parts = || std::fs::read_dir(bench.at("state/hotlist/north/parts")).map_or(0, Iterator::count);
    for n in 1..=3 {
        wait_for("some chunks", || parts() >= n || state(&listener)["version"] == "1");
        proxy.cut();
    }
    wait_for("the whole list", || state(&listener)["version"] == "1");
    assert_eq!(state(&listener)["entries"], 60_000);
    wait_for("its audit entry", || audit(&listener).ends_with(&["hotlist_applied 1".to_owned()]));
    assert_eq!(audit(&listener), ["hotlist_received 1", "hotlist_applied 1"], "a cut is no news");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn sync_by_file_goes_through_a_running_daemon_and_past_one_that_stands() {
    let broker = Mosquitto::start("");
    let (bench, config) = configured(broker.port, "[alert]\ndisplay = true\n");
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    let config = config.to_str().unwrap();
    version(&bench, 7, "BV71MZC,silent,P0,watch,2099-01-01\n");
    version(&bench, 8, "BV71MZC,silent,P0,watch,2099-01-01\nZZ99ZZZ,stop,P0,other,2099-01-01\n");
    let apply = |file: &str| bench.run(&["apply", file, "--config", config]);
    // No daemon: the folder itself.
    let output = apply("7.sealed");
    assert!(
        program::stdout(&output).contains("version 7 of the list north is in force, 1 entries"),
        "{}",
        program::stderr(&output)
    );
    let said_again = program::stderr(&apply("7.sealed"));
    assert!(said_again.contains("in force already"), "{said_again}");
    bench.good(&["explain", "BV71MZC", "--config", config]);

    let daemon = Daemon::start(bench.dir.path(), std::path::Path::new(config));
    wait_for("the list from disk", || state(&listener)["version"] == "7");
    wait_for("a silent alert", || alerts(&listener, "BV71MZC", "7") > 0);
    let output = apply("8.sealed");
    assert!(output.status.success(), "{}", program::stderr(&output));
    wait_for("the list from the file", || state(&listener)["version"] == "8");
    let shown = bench.good(&["explain", "BV71MZC", "--config", config]);
    assert!(shown.contains("north version 8: 2 entries") && shown.contains("exact      silent P0 on north"), "{shown}");
    for (file, words) in [("7.sealed", "older than version 8"), ("8.csv", "no sealed list")] {
        let output = apply(file);
        let said = program::stderr(&output);
        assert!(output.status.code() == Some(70) && said.contains(words) && said.contains("stays"), "{file}: {said}");
    }
    assert_eq!(state(&listener)["version"], "8");
    wait_for("the refusals in the audit log", || {
        audit(&listener).iter().filter(|a| a.starts_with("hotlist_refused")).count() >= 2
    });
    // A silent hit is for the back office only.
    assert!(alerts(&listener, "BV71MZC", "7") > 0);
    assert_eq!(said(&listener, "kerbside.display/1"), Vec::<Value>::new());
    version(&bench, 9, "BV71MZC,stop,P0,watch,2099-01-01\nBV71MZC,silent,P1,other,2099-01-01\n");
    assert!(apply("9.sealed").status.success());
    wait_for("something for the screen", || !said(&listener, "kerbside.display/1").is_empty());
    let shown = said(&listener, "kerbside.display/1").pop().unwrap();
    let actions: Vec<&Value> = shown["hits"].as_array().unwrap().iter().map(|h| &h["action"]).collect();
    assert_eq!((&shown["vrm"], actions), (&"BV71MZC".into(), vec![&Value::from("stop")]));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
#[allow(clippy::print_stdout)] // how often on which side is for whoever runs it by hand
fn sync_killed_at_any_moment_leaves_the_old_list_or_the_new_one() {
    let (bench, config) = configured(1, "");
    let config = config.to_str().unwrap();
    // Large enough for an apply to take a while.
    version(&bench, 1, &many(8_000));
    let started = Instant::now();
    assert!(bench.run(&["apply", "1.sealed", "--config", config]).status.success());
    let took = started.elapsed();
    let shown = || bench.good(&["explain", "AB12CDE", "--config", config]).lines().next().unwrap_or_default().to_owned();
    let mut in_force = 1u64;
    let mut killed = [0, 0];
    for round in 0..24u64 {
        let next = in_force + 1;
        if !bench.at(&format!("{next}.sealed")).exists() {
            // Every other version is taken whole: one that has no step from the one in force.
            version(&bench, next, &many(8_000 + next));
        }
        let mut child = program::kerbside(bench.dir.path())
            .args(["hotlist", "apply", &format!("{next}.sealed"), "--config", config])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From its start to a while after its end, in no order.
        std::thread::sleep(took.mul_f64(f64::from(u32::try_from(round * 37 % 24).unwrap()) / 8.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = shown();
        let (old, new) = (
            format!("north version {in_force}: {} entries", rows(in_force)),
            format!("north version {next}: {} entries", rows(next)),
        );
        assert!(now == old || now == new, "round {round}: {now}");
        let is_new = usize::from(now == new);
        killed[is_new] += 1;
        in_force += is_new as u64;
    }
    println!("killed 24 times: {} before the commit, {} after it", killed[0], killed[1]);
    // And nothing is left over that stands in the way.
    let next = in_force + 1;
    version(&bench, next, &many(8_000 + next));
    assert!(bench.run(&["apply", &format!("{next}.sealed"), "--config", config]).status.success());
    let files = std::fs::read_dir(bench.at("state/hotlist/north")).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let sealed = files.iter().filter(|f| f.to_string_lossy().ends_with(".sealed")).count();
    assert_eq!(sealed, 1, "a file has the full list, so the chain begins anew: {files:?}");
}

fn rows(number: u64) -> u64 {
    if number == 1 { 8_000 } else { 8_000 + number }
}
