//! Messages against the values they were made of, there and back, and the size of the largest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::anpr::decode::{Candidate, Decoded, Weakest};
use crate::anpr::hotlist::{Action, Detail, Difference, Hit, HitClass, HotlistEntry, HotlistVersion, Marker, Priority, Wanted};
use crate::anpr::odds::GlyphOdds;
use crate::anpr::record::{Alert, AlertPhase, CaptureRecord, Direction, PassageId, Sightings, UnreadPassage, UnreadReason};
use crate::anpr::syntax::SyntaxId;
use crate::anpr::vrm::Glyph;
use crate::anpr::vrm::Vrm;
use crate::clock::{CaptureTime, ClockQuality, ClockSource, SimClock, UtcTime};
use crate::geometry::{Point, Quad};
use crate::ident::{CameraId, FrameSeq};
use crate::outbox::{Gap, GapReason, Lane, LaneStats, Seq, Stats};
use crate::publish::mqtt::MqttCounters;
use crate::publish::topic::Picture;

fn vrm(text: &str) -> Vrm {
    Vrm::parse(text).unwrap()
}

fn source() -> Source {
    Source {
        device: "box-7".into(),
        models: Models { detector: "plate-det 1.2".into(), reader: "plate-read 1.4".into() },
        ..Source::default()
    }
}

fn at(ms: u64) -> CaptureTime {
    let quality = ClockQuality { source: ClockSource::System, synchronised: true, max_error_ms: Some(1.23456) };
    CaptureTime { quality, ..SimClock::at(UtcTime::parse("2026-11-22T00:59:37Z").unwrap(), Duration::from_millis(ms)) }
}

fn decoded_value() -> Decoded {
    let candidate = |text, confidence| Some(Candidate { vrm: vrm(text), confidence });
    Decoded {
        vrm: vrm("AB12CDE"),
        confidence: 0.987_654_3,
        syntax: SyntaxId::NONE,
        raw: vrm("A812CDE"),
        repaired: 0b10,
        weakest: Weakest { place: 6, probability: 0.991_23 },
        alternatives: [candidate("AB12CDF", 0.008), candidate("AB12CDB", 0.002), None, None],
        odds: GlyphOdds::default(),
    }
}

fn sightings_value() -> Sightings {
    let corner = Point::new;
    Sightings {
        camera: CameraId::new("c1").unwrap(),
        first: at(0),
        best: at(480),
        last: at(1240),
        best_frame: FrameSeq(4711),
        best_quad: Quad::new([corner(100.04, 50.0), corner(220.06, 52.0), corner(220.0, 80.0), corner(100.0, 78.25)]),
        frames: 31,
        direction: Direction::Approaching,
    }
}

fn entry(reason: &str) -> HotlistEntry {
    let mut entry = HotlistEntry::new(Wanted::Mark(vrm("AB12CDE")), Action::Stop, Priority::P0);
    entry.markers = ["FI", "VI", "WE", "DR", "ES", "SU", "MN"].iter().filter_map(|m| Marker::parse(m)).collect();
    entry.reason = reason.into();
    Detail::ALL.into_iter().for_each(|d| entry.details.set(d, reason));
    entry
}

fn hit(reason: &str) -> Hit {
    Hit {
        class: HitClass::LookAlike,
        list: "voi-1".into(),
        entry: Arc::new(entry(reason)),
        differs: vec![Difference { place: 1, read: Glyph::from_char('8'), listed: Glyph::from_char('B') }],
        likelihood_ratio: 0.123_456,
        explanation: reason.into(),
    }
}

fn record() -> CaptureRecord {
    CaptureRecord {
        passage: PassageId::new(1_795_000_000_000, [9; 10]),
        decoded: decoded_value(),
        sightings: sightings_value(),
        best_read: Some(Decoded { vrm: vrm("AB12CDF"), confidence: 0.61, ..decoded_value() }),
        reads: 14,
        agreeing: 12,
        hotlists: vec![HotlistVersion { list: "voi-1".into(), version: "0123456789ab".into() }],
        hits: vec![hit("stolen")],
    }
}

fn evidence() -> [Evidence; 2] {
    [Evidence::of(Picture::Patch, b"patch"), Evidence::of(Picture::Overview, b"overview")]
}

fn there_and_back<M: Message + PartialEq + std::fmt::Debug>(message: &M) -> serde_json::Value {
    let json = message.encode().unwrap();
    assert_eq!(&M::decode(&json).unwrap(), message);
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["schema"], M::SCHEMA);
    assert!(json.starts_with(format!("{{\"schema\":\"{}\"", M::SCHEMA).as_bytes()), "schema comes first");
    value
}

#[test]
fn a_capture_record_says_all_that_it_knows() {
    let site = Site { feed_id: Some(17), source_id: None, camera_id: Some(4), position: Some((51.5, -0.25)) };
    let source = Source { sites: BTreeMap::from([(record().sightings.camera, site)]), ..source() };
    let json = there_and_back(&ReadMessage::new(&source, &record(), &evidence()));
    let hit = serde_json::json!({"list": "voi-1", "class": "look_alike", "entry_vrm": "AB12CDE",
                  "differs": [{"place": 1, "read": "8", "listed": "B"}], "likelihood_ratio": 0.123,
                  "action": "stop", "priority": "P0", "markers": ["FI", "VI", "WE", "DR", "ES", "SU"],
                  "make": "stolen", "model": "stolen", "colour": "stolen", "source": "stolen", "force": "stolen",
                  "pnc_id": "stolen", "reason": "stolen", "explanation": "stolen"});
    let expected = serde_json::json!({
        "schema": "kerbside.read/1",
        "device": "box-7",
        "passage": record().passage.to_string(),
        "vrm": "AB12CDE", "confidence": 0.9877, "raw": "A812CDE", "syntax": "none", "repaired": [1], "weakest": {"place": 6, "probability": 0.9912},
        "alternatives": [{"vrm": "AB12CDF", "confidence": 0.008}, {"vrm": "AB12CDB", "confidence": 0.002}],
        "camera": "c1",
        "first": "2026-11-22T00:59:37.000Z", "best": "2026-11-22T00:59:37.480Z", "last": "2026-11-22T00:59:38.240Z",
        "clock": {"source": "system", "synchronised": true, "max_error_ms": 1.235},
        "best_frame": 4711,
        "corners_px": [[100.0, 50.0], [220.1, 52.0], [220.0, 80.0], [100.0, 78.3]],
        "frames": 31, "direction": "approaching",
        "best_read": {"vrm": "AB12CDF", "confidence": 0.61}, "reads": 14, "agreeing": 12,
        "hotlists": [{"list": "voi-1", "version": "0123456789ab"}],
        "hits": [hit],
        "hits_total": 1,
        "nas": {"feed_id": 17, "source_id": null, "camera_id": 4, "capture_date": "2026-11-22T00:59:37.480Z",
                "latitude_deg": 51.5, "longitude_deg": -0.25, "confidence_percentage": 98, "motion_toward_camera": true},
        "evidence": [
            {"kind": "patch", "sha256": "a6b30b9b9da76f1bf1172d4ddcd66b17d9a2f5a7ef0fa2d19bf1a6ad2dfdaa04", "size_bytes": 5},
            {"kind": "overview", "sha256": "", "size_bytes": 8}
        ],
        "models": {"detector": "plate-det 1.2", "reader": "plate-read 1.4"},
    });
    for (key, value) in expected.as_object().unwrap() {
        if key == "evidence" {
            for (got, want) in json[key].as_array().unwrap().iter().zip(value.as_array().unwrap()) {
                assert_eq!((&got["kind"], &got["size_bytes"]), (&want["kind"], &want["size_bytes"]));
                assert_eq!(got["sha256"].as_str().unwrap().len(), 64);
            }
        } else {
            assert_eq!(&json[key], value, "{key}");
        }
    }
    assert_eq!(json.as_object().unwrap().len(), expected.as_object().unwrap().len(), "a field without a test");
}

#[test]
fn alerts_and_unread_passages_go_there_and_back() {
    let alert = Alert {
        passage: record().passage,
        phase: AlertPhase::Retracted,
        late: false,
        quiet: false,
        decoded: decoded_value(),
        camera: CameraId::new("c1").unwrap(),
        at: at(480),
        hotlists: Vec::new(),
        hits: vec![hit("x"), hit("y")],
    };
    let json = there_and_back(&AlertMessage::new(&source(), &alert));
    assert_eq!(
        (&json["phase"], &json["at"], &json["hits_total"]),
        (&"retracted".into(), &"2026-11-22T00:59:37.480Z".into(), &2.into())
    );
    let unread = |guess| UnreadPassage {
        passage: record().passage,
        sightings: sightings_value(),
        reason: UnreadReason::Clipped,
        guess,
        best_read: guess,
    };
    let json = there_and_back(&UnreadMessage::new(&source(), &unread(Some(decoded_value())), &evidence()));
    assert_eq!((&json["reason"], &json["guess"]["raw"]), (&"clipped".into(), &"A812CDE".into()));
    assert!(there_and_back(&UnreadMessage::new(&source(), &unread(None), &[]))["guess"].is_null());
}

#[test]
fn the_largest_record_is_under_four_kilobytes() {
    let worst = "\"\\".repeat(500);
    let name = "n".repeat(500);
    let mut record = record();
    let candidate = Some(Candidate { vrm: vrm("AAAAAAAAAAAA"), confidence: 0.123_4 });
    record.decoded = Decoded {
        vrm: vrm("AAAAAAAAAAAA"),
        raw: vrm("AAAAAAAAAAAA"),
        repaired: 0xfff,
        alternatives: [candidate; 4],
        ..decoded_value()
    };
    record.hotlists = vec![HotlistVersion { list: "l".repeat(32), version: "18446744073709551615".into() }; MAX_LISTS];
    record.sightings.camera = CameraId::new(&"c".repeat(32)).unwrap();
    let corner = Point::new(7680.1, 4320.1);
    record.sightings.best_quad = Quad::new([corner; 4]);
    record.sightings.best_frame = FrameSeq(u64::MAX);
    (record.reads, record.agreeing, record.sightings.frames) = (u32::MAX, u32::MAX, u32::MAX);
    let long = |mut h: Hit| {
        h.list = "l".repeat(32).into();
        h
    };
    let source = Source { device: "d".repeat(32), models: Models { detector: name.clone(), reader: name }, ..Source::default() };
    for hits in 0..10 {
        record.hits = (0..hits).map(|_| long(hit(&worst))).collect();
        let bytes = ReadMessage::new(&source, &record, &evidence()).encode().unwrap().len();
        assert!(bytes < MAX_TEXT_BYTES, "{hits} hits: {bytes} bytes");
    }
    let usual = ReadMessage::new(&super::tests::source(), &super::tests::record(), &evidence()).encode().unwrap().len();
    // The national back office's names for the same facts are 200 of them.
    assert!(usual < 1700, "{usual}");
}

#[test]
fn numbers_that_are_none_and_texts_cut_in_a_character_do_no_harm() {
    let mut record = record();
    record.decoded.confidence = f32::NAN;
    record.sightings.best_quad.corners[0] = Point::new(f32::INFINITY, 1.0);
    record.hits = vec![hit(&"ä\u{1}".repeat(400))];
    let json = there_and_back(&ReadMessage::new(&source(), &record, &[]));
    assert_eq!(json["confidence"], 0.0);
    assert_eq!(json["corners_px"][0][0], 0.0);
    assert!(json["hits"][0]["reason"].as_str().unwrap().starts_with("ä ä "));
}

#[test]
fn unknown_fields_are_passed_over() {
    let mut json = serde_json::to_value(ReadMessage::new(&source(), &record(), &[])).unwrap();
    json["colour"] = "blue".into();
    assert!(ReadMessage::decode(json.to_string().as_bytes()).is_ok());
}

#[test]
fn states_and_health_go_there_and_back() {
    let now = at(0).utc;
    let version = HotlistVersion { list: "voi-1".into(), version: "v".into() };
    let json = there_and_back(&StatusMessage::new(&source(), true, 7, &[version], now));
    assert_eq!((&json["online"], &json["session"], &json["hotlists"][0]["version"]), (&true.into(), &7.into(), &"v".into()));
    let camera = CameraId::new("c1").unwrap();
    let json = there_and_back(&CameraStateMessage::new(&source(), &camera, CameraCondition::Lost, now));
    assert_eq!((&json["state"], &json["since"]), (&"lost".into(), &"2026-11-22T00:59:37.000Z".into()));

    let seq = |n| Seq::new(n).unwrap();
    let gap = Gap { first: seq(4), last: seq(9), count: 6, reason: GapReason::Evicted, noted: now };
    let mut stats = Stats { next_seq: 12, evicted: 6, oldest: Some(now), ..Stats::default() };
    stats.lanes[Lane::Read as usize] = LaneStats { rows: 2, bytes: 2048 };
    let mut health = HealthMessage::new(&source(), 7, now, ClockQuality::CLIP);
    health.outbox = OutboxHealth::new(&stats, &[gap; 20], now.plus_micros(5_000_000));
    health.mqtt = (&MqttCounters { connected_since: Some(now), epochs: 3, ..MqttCounters::default() }).into();
    health.hotlists.push(HotlistHealth { entries: 5, ..HotlistHealth::default() });
    health.cameras.insert("c1".into(), CameraHealth { frames: 9, ..CameraHealth::default() });
    health.cpu_ms_a_frame.insert("read".into(), 7.5);
    health.latencies.insert("alert_early".into(), LatencyHealth { count: 3, p50_ms: 41.5, p99_ms: 60.25, max_ms: 60.25 });
    let json = there_and_back(&health);
    assert_eq!(json["outbox"]["lanes"]["read"]["bytes"], 2048);
    assert_eq!((&json["outbox"]["oldest_age_s"], &json["outbox"]["missing"]), (&5.into(), &6.into()));
    assert_eq!(json["outbox"]["gaps"].as_array().unwrap().len(), 16);
    assert_eq!(json["outbox"]["gaps"][0]["reason"], "evicted");
}
