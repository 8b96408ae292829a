//! `kerbside schema` against what is really sent: the README's examples, the messages of a run, one of each kind made by hand.

use std::collections::BTreeMap;

use kerbside::anpr::record::PassageId;
use kerbside::clock::{Clock, SystemClock, UtcTime};
use kerbside::ident::CameraId;
use kerbside::outbox::chain::StreamId;
use kerbside::outbox::{Gap, GapReason, Qos, Seq};
use kerbside::publish::topic::{Picture, Topics};
use kerbside::publish::wire::{
    AckMessage, AnswerMessage, AuditEvent, AuditMessage, CommandMessage, GapMessage, HotlistStateMessage, Message, Models, Source,
};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::support::mosquitto::Mosquitto;
use crate::support::program;
use crate::support::publisher::{Listener, wait_for};

/// Every schema by its name, as `--all` writes them.
fn schemas() -> BTreeMap<String, Value> {
    let dir = tempfile::tempdir().unwrap();
    let output = program::run(dir.path(), &["schema", "--all", "made/here"]);
    assert!(output.status.success(), "{}", program::stderr(&output));
    let files: Vec<_> = std::fs::read_dir(dir.path().join("made/here")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(program::stdout(&output).lines().count(), files.len());
    let parsed = files.iter().map(|f| serde_json::from_slice::<Value>(&std::fs::read(f).unwrap()).unwrap());
    parsed.map(|schema| (schema["title"].as_str().unwrap().to_owned(), schema)).collect()
}

/// What is wrong with a message under a schema; empty when nothing is.
fn faults(schema: &Value, message: &Value) -> Vec<String> {
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap_or_else(|e| panic!("{e}"));
    validator.iter_errors(message).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[track_caller]
fn assert_valid(schemas: &BTreeMap<String, Value>, message: &Value) {
    let name = message["schema"].as_str().expect("it opens with its schema");
    let schema = schemas.get(name).unwrap_or_else(|| panic!("no schema {name}"));
    let faults = faults(schema, message);
    assert!(faults.is_empty(), "{faults:?}: {message:#}");
}

#[test]
fn every_schema_is_one_and_describes_every_member() {
    fn walk(name: &str, schema: &Value) {
        if let Some(properties) = schema["properties"].as_object() {
            for (property, inner) in properties {
                let text = inner["description"].as_str().unwrap_or_else(|| panic!("{name}: {property} has no description"));
                assert!(!text.contains("[`") && !text.contains('\n'), "{name}: {property}: {text}");
            }
        }
        assert_ne!(schema["additionalProperties"], false, "{name}: a version only gains members, so unknown ones are allowed");
        match schema {
            Value::Object(members) => members.values().for_each(|v| walk(name, v)),
            Value::Array(items) => items.iter().for_each(|v| walk(name, v)),
            _ => {}
        }
    }
    let schemas = schemas();
    assert_eq!(schemas.len(), 13);
    let dir = tempfile::tempdir().unwrap();
    for (name, schema) in &schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        walk(name, schema);
        if name != "kerbside.gap/1" {
            continue;
        }
        // One by its whole name and by its short one.
        let short = name.strip_prefix("kerbside.").unwrap().split('/').next().unwrap();
        for name in [name, short] {
            let printed = program::stdout(&program::run(dir.path(), &["schema", name]));
            assert_eq!(&serde_json::from_str::<Value>(&printed).unwrap(), schema);
        }
    }
    let list = program::stdout(&program::run(dir.path(), &["schema"]));
    assert!(schemas.keys().all(|name| list.contains(name)) && list.lines().count() == schemas.len(), "{list}");
    let unknown = program::run(dir.path(), &["schema", "nothing"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(program::stderr(&unknown).contains("kerbside.read/1"));
}

#[test]
fn the_readmes_examples_fit_their_schemas() {
    let schemas = schemas();
    let readme = std::fs::read_to_string(program::root().join("README.md")).unwrap();
    let mut shown = 0;
    for example in readme.split("<!-- example: ").skip(1) {
        let name = example.split(" -->").next().unwrap();
        let json = example.split("```json").nth(1).and_then(|t| t.split("```").next()).expect("the example");
        let message: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(message["schema"], name);
        assert_valid(&schemas, &message);
        shown += 1;
    }
    assert!(shown >= 1);
}

#[test]
fn what_is_wrong_does_not_fit() {
    let schemas = schemas();
    let readme = std::fs::read_to_string(program::root().join("README.md")).unwrap();
    let json = readme.split("<!-- example: kerbside.read/1 -->").nth(1).and_then(|t| t.split("```json").nth(1)).unwrap();
    let good: Value = serde_json::from_str(json.split("```").next().unwrap()).unwrap();
    let read = &schemas["kerbside.read/1"];
    let with = |key: &str, value: Value| {
        let mut bad = good.clone();
        bad[key] = value;
        faults(read, &bad)
    };
    assert!(with("a_later_version", "adds this".into()).is_empty());
    for (key, value) in [
        ("confidence", 1.5.into()),
        ("confidence", "high".into()),
        ("vrm", "bv71 mzc".into()),
        ("first", "yesterday".into()),
        ("passage", "17".into()),
        ("camera", "High Street".into()),
        ("frames", (-1).into()),
        ("schema", "kerbside.read/2".into()),
    ] {
        assert_eq!(with(key, value).len(), 1, "{key}");
    }
    let mut short = good.clone();
    short.as_object_mut().unwrap().remove("raw");
    assert_eq!(faults(read, &short).len(), 1);
}

#[test]
fn daemon_s_messages_fit_their_schemas() {
    let schemas = schemas();
    let broker = Mosquitto::start("");
    let dir = tempfile::tempdir().unwrap();
    let extra = format!(
        "[alert]\ndisplay = true\n[hotlist]\nfile = '{}'\n[health]\nperiod_s = 1\n",
        program::demo("hotlist.csv").display()
    );
    let config = program::configuration(dir.path(), broker.port, &extra);
    let text = std::fs::read_to_string(&config).unwrap().replace("pace = 'lossless'", "pace = 'lossless'\nat_end = 'repeat'");
    std::fs::write(&config, text).unwrap();
    let listener = Listener::start(broker.port, "tap", Qos::AtLeastOnce);
    let daemon = Daemon::start(dir.path(), &config);
    let wanted = ["read", "alert", "status", "camera_state", "health", "display"];
    let seen = |name: &str| listener.seen().iter().any(|m| m.schema.as_deref() == Some(&format!("kerbside.{name}/1")));
    wait_for("one of each", || wanted.iter().all(|name| seen(name)));
    assert_eq!(daemon.stop(), Some(0));
    for message in listener.seen().iter().filter(|m| m.content_type.as_deref() == Some("application/json")) {
        let json: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(json["schema"].as_str(), message.schema.as_deref());
        assert_valid(&schemas, &json);
    }
}

#[test]
fn messages_that_a_quiet_run_does_not_send_fit_too() {
    let schemas = schemas();
    let now = SystemClock.now().utc;
    let source =
        Source { device: "box-1".into(), models: Models { detector: "d".into(), reader: "r".into() }, ..Source::default() };
    let seq = |n| Seq::new(n).unwrap();
    let gap = Gap { first: seq(4), last: seq(9), count: 6, reason: GapReason::Evicted, noted: now };
    let encoded = |json: Vec<u8>| serde_json::from_slice::<Value>(&json).unwrap();
    assert_valid(&schemas, &encoded(GapMessage::new(&source, &[gap; 40], now).encode().unwrap()));
    let stream: StreamId = "0011223344556677".parse().unwrap();
    for watermark in [None, Some(seq(7))] {
        assert_valid(&schemas, &encoded(AckMessage::new("box-1", stream, watermark, now).encode().unwrap()));
    }
    assert_valid(&schemas, &encoded(HotlistStateMessage::new(&source, "voi", now).encode().unwrap()));
    let audit = AuditMessage::new(&source, AuditEvent::HotlistRefused, "mqtt", now).because("nobody signed it");
    assert_valid(&schemas, &encoded(audit.encode().unwrap()));
    let answer = AnswerMessage {
        schema: AnswerMessage::SCHEMA.into(),
        device: "box-1".into(),
        verb: "ping".into(),
        ok: true,
        error: None,
        result: serde_json::json!({ "anything": [1, null] }),
        correlation: None,
        written: now.to_string(),
    };
    assert_valid(&schemas, &encoded(answer.encode().unwrap()));
    // The least command that may be given, and one with everything; what the schema takes, the box takes.
    for json in [
        serde_json::json!({ "schema": "kerbside.command/1", "issued": now.to_string() }),
        serde_json::json!({ "schema": "kerbside.command/1", "issued": "2026-11-22T12:00:00Z", "valid_s": 5, "by": "control room",
            "args": { "from": 1, "to": 9 }, "response_topic": "answers/7", "correlation": "7" }),
    ] {
        assert_valid(&schemas, &json);
        CommandMessage::decode(json.to_string().as_bytes()).unwrap();
    }
    assert!(UtcTime::parse("2026-11-22T12:00:00Z").is_some());
}

#[test]
fn every_topic_is_in_the_asyncapi_document() {
    let dir = tempfile::tempdir().unwrap();
    let output = program::run(dir.path(), &["schema", "--asyncapi"]);
    let document: Value = serde_json::from_str(&program::stdout(&output)).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
    let channels = document["channels"].as_object().unwrap();

    let t = Topics::new("org-1", "box_7").unwrap();
    let (passage, sha) = (PassageId::new(1_795_000_000_000, [7; 10]), "ab".repeat(32));
    let topics = [
        ("status", t.status()),
        ("camera_state", t.camera_state(&CameraId::new("c1").unwrap())),
        ("read", t.read()),
        ("alert", t.alert()),
        ("unread", t.unread()),
        ("image", t.image(passage, Picture::Patch)),
        ("image", t.image(passage, Picture::Overview)),
        ("display", t.display()),
        ("health", t.health()),
        ("audit", t.audit()),
        ("gap", t.gap()),
        ("ack", t.ack()),
        ("hotlist_manifest", t.hotlist_manifest("l").unwrap()),
        ("hotlist_chunk", t.hotlist_chunk("l", &sha).unwrap()),
        ("hotlist_state", t.hotlist_state("l").unwrap()),
        ("command", t.command("outbox.resend").unwrap()),
    ];
    // A topic that is added to the program has to be added here, and so to the document.
    let source = std::fs::read_to_string(program::root().join("src/publish/topic.rs")).unwrap();
    for line in source.lines().filter(|l| l.contains("pub fn ") && l.contains("(&self") && l.contains("String")) {
        let name = line.split("pub fn ").nth(1).and_then(|l| l.split('(').next()).unwrap();
        assert!(
            ["all", "commands", "command_prefix"].contains(&name) || topics.iter().any(|(n, _)| *n == name),
            "Topics::{name} is not looked for"
        );
    }
    let mut left: Vec<&str> = channels.values().filter_map(|c| c["address"].as_str()).collect();
    for (name, topic) in &topics {
        let fits = |address: &str| {
            let (address, levels): (Vec<&str>, Vec<&str>) = (address.split('/').collect(), topic.split('/').collect());
            address.len() == levels.len() && address.iter().zip(levels).all(|(a, level)| *a == level || a.starts_with('{'))
        };
        let found: Vec<usize> = (0..left.len()).filter(|i| fits(left[*i])).collect();
        assert_eq!(found.len(), 1, "{name}: {topic} has {} channels", found.len());
        left.remove(found[0]);
    }
    assert!(left.is_empty(), "channels without a topic: {left:?}");

    // Whatever is referred to is there, every parameter is described, every channel is used one way.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 60);
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for (name, channel) in channels {
        let users = document["operations"].as_object().unwrap().values();
        assert_eq!(users.filter(|o| o["channel"]["$ref"] == format!("#/channels/{name}")).count(), 1, "{name}");
        for parameter in channel["address"].as_str().unwrap_or("").split('{').skip(1).map(|p| p.split('}').next().unwrap()) {
            assert!(channel["parameters"][parameter].is_object(), "{name}: {parameter}");
        }
    }
    let read = &document["operations"]["send_read"];
    assert_eq!((&read["bindings"]["mqtt"]["qos"], &read["bindings"]["mqtt"]["retain"]), (&1.into(), &false.into()));
    let status = &document["operations"]["send_status"];
    assert_eq!(status["bindings"]["mqtt"]["retain"], true);
    let headers = document["components"]["messages"]["read"]["headers"]["properties"].as_object().unwrap();
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["historical", "key", "prev", "schema", "seq", "sig", "stream"]);
}
