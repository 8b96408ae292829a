//! What a configuration file may say, and what is said back.

use super::*;
use crate::publish::mqtt::{BackOffice, BrokerOptions, Confirm, TlsFiles, Transport};
use crate::vision::evidence::EvidenceProfile;

const SHIPPED: &str = include_str!("../../systemd/kerbside.toml");

fn with_clip(extra: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("clip.mp4"), b"x").expect("written");
    // Of the shortest way to a broker, where a test does not care.
    let mqtt = if extra.contains("[mqtt]") { "" } else { "\n[mqtt]\ntransport = \"plain\"" };
    let text =
        format!("org = \"o\"\ndevice = \"d\"\n{extra}{mqtt}\n[[camera]]\nid = \"c\"\nkind = \"clip\"\npath = \"clip.mp4\"\n");
    (dir, text)
}

fn load_text(extra: &str) -> Result<Settings, ConfigError> {
    let (dir, text) = with_clip(extra);
    parse(&text, &dir.path().join("kerbside.toml"))
}

#[test]
fn the_shipped_file_holds_every_key_at_its_default() {
    let shipped: raw::RawConfig = toml::from_str(SHIPPED).expect("the shipped file is valid");
    let camera = "[[camera]]\nid = \"cam-1\"\nkind = \"rtsp\"\nurl = \"rtsp://192.0.2.10:554/stream1\"";
    let least: raw::RawConfig =
        toml::from_str(&format!("org = \"example\"\ndevice = \"box-1\"\n{camera}")).expect("the least file is valid");
    assert_eq!(shipped, least, "a default in code differs from the shipped file");
    // Every key that the code knows stands in the file: the Debug form of the defaults names them all.
    let known = format!("{shipped:?}");
    for field in known.split([' ', '{', ',']).filter_map(|w| w.strip_suffix(':')) {
        let listed = SHIPPED
            .lines()
            .any(|l| l.starts_with(&format!("{field} =")) || l == format!("[{field}]") || l == format!("[[{field}]]"));
        assert!(listed, "key `{field}` is missing from systemd/kerbside.toml");
    }
}

#[test]
fn a_small_file_resolves() {
    let settings = load_text("").expect("valid");
    assert_eq!(settings.cameras.len(), 1);
    assert_eq!(settings.readers, 1, "no more readers than cameras");
    assert!(settings.hotlist.local.is_none() && settings.hotlist.sealed.is_none());
}

#[test]
fn defaults_are_those_of_the_rooms_so_replay_and_run_agree() {
    let settings = load_text("").expect("valid");
    assert_eq!(settings.core, crate::anpr::core::CoreOptions::default());
    assert_eq!(settings.hotlist.matching, crate::anpr::hotlist::MatchOptions::default());
    assert_eq!(settings.vision, crate::vision::VisionOptions::default());
    assert_eq!(settings.evidence, crate::vision::evidence::EvidenceOptions::default());
}

#[test]
fn all_faults_are_told_at_once_with_their_keys() {
    let text = "[mqtt]\nport = 70000\nhost = \"\"\n[vision]\nmin_score = 1.5\ntiles = \"5x1\"\n[models]\nprecision = \"int4\"\ndetector_input = \"640x380\"\n[hotlist]\nfile = \"nowhere.csv\"";
    let Err(ConfigError::Faults { faults, .. }) = load_text(text) else { panic!("accepted") };
    let keys: Vec<&str> = faults.iter().map(|f| f.key.as_str()).collect();
    for key in [
        "mqtt.port",
        "mqtt.host",
        "vision.min_score",
        "vision.tiles",
        "models.precision",
        "models.detector_input",
        "hotlist.file",
    ] {
        assert!(keys.contains(&key), "{key} is missing from {keys:?}");
    }
    assert!(faults.iter().any(|f| f.what.contains("is none of \"int8\", \"fp32\"")));
}

#[test]
fn scans_are_more_frequent_than_passages_settle() {
    for (extra, word) in [
        ("[vision]\nscan_every_ms = 600", "600 is not less than passage.settle_ms, 600"),
        ("[passage]\nsettle_ms = 200", "250 is not less than passage.settle_ms, 200"),
        ("[vision]\nmotion_levels = 0.0", "vision.motion_levels: 0 is not between 0.5 and 64"),
    ] {
        let error = load_text(extra).expect_err(extra).to_string();
        assert!(error.contains("vision.") && error.contains(word), "{extra:?} -> {error}");
    }
    let ungated = load_text("[vision]\nmotion_gate = false\n[passage]\nsettle_ms = 200").expect("no gate, no scans");
    assert!(!ungated.vision.motion.gate);
}

#[test]
fn pictures_are_more_frequent_than_passages_settle() {
    let stills = |interval_ms: u32, settle_ms: u32| {
        let pictures = tempfile::tempdir().expect("a folder");
        let camera = format!("id = \"s\"\nkind = \"stills\"\npath = {:?}\ninterval_ms = {interval_ms}", pictures.path());
        load_text(&format!("[passage]\nsettle_ms = {settle_ms}\n[[camera]]\n{camera}"))
    };
    let error = stills(1000, 600).expect_err("one a second").to_string();
    assert!(error.contains("interval_ms") && error.contains("1000 is not less than passage.settle_ms, 600"), "{error}");
    assert!(stills(1000, 2500).is_ok());
}

#[test]
fn an_evidence_profile_sets_all_caps_and_keys_go_on_top() {
    let of = |extra: &str| load_text(extra).expect(extra).evidence;
    let full = of("[evidence]\nprofile = \"full\"\noverview_max_bytes = 500000");
    let mut expected = EvidenceProfile::Full.options();
    expected.overview.max_bytes = 500_000;
    assert_eq!(full, expected);
    assert_eq!(of("[evidence]\npatch_max_bytes = 2048").patch.max_bytes, 2048);
    let error = load_text("[evidence]\nprofile = \"huge\"\npatch_max_bytes = 7").expect_err("both").to_string();
    assert!(
        error.contains("\"huge\" is none of \"nasple\", \"full\"") && error.contains("evidence.patch_max_bytes: 7"),
        "{error}"
    );
}

#[test]
fn unknown_keys_and_wrong_types_name_file_key_and_line() {
    for (extra, key, expected) in [
        ("[mqtt]\nprot = 1883", "mqtt.prot", "unknown field `prot`"),
        ("[mqtt]\nport = \"1883\"", "mqtt.port", "invalid type"),
        ("[nonsense]\na = 1", "nonsense", "unknown field `nonsense`"),
        ("[log]\nlevel = ", "log.level", "line 4"),
    ] {
        let error = load_text(extra).expect_err(extra).to_string();
        assert!(error.contains("kerbside.toml"), "{error}");
        assert!(error.contains(key) && error.contains(expected), "{extra:?} -> {error}");
    }
}

#[test]
fn cameras_are_checked_one_by_one() {
    let (dir, text) = with_clip("");
    let more = format!("{text}[[camera]]\nid = \"c\"\nkind = \"film\"\npath = \"missing.mp4\"\nbuffers = 1\n");
    let Err(ConfigError::Faults { faults, .. }) = parse(&more, &dir.path().join("k.toml")) else { panic!("accepted") };
    let keys: Vec<&str> = faults.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["camera[1].kind", "camera[1].path", "camera[1].buffers", "camera[1].id"]);
    let none = parse("org = \"o\"\ndevice = \"d\"\n", &dir.path().join("k.toml")).expect_err("no camera").to_string();
    assert!(none.contains("[[camera]]"), "{none}");
}

#[test]
fn key_paths_count_tables_of_one_name() {
    let text = "a = 1\n[t]\nb = 2\n[[c]]\nd = 3\n[[c]]\ne = 4\n";
    for (needle, expected) in [("a =", "a"), ("b =", "t.b"), ("d =", "c[0].d"), ("e =", "c[1].e")] {
        assert_eq!(key_path_at(text, text.find(needle).expect("present")), expected);
    }
}

#[test]
fn calibration_regions_are_checked_and_follow_the_frame_size() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("clip.mp4"), b"x").expect("written");
    let load_with = |profile: &str| {
        std::fs::write(dir.path().join("p.toml"), profile).expect("written");
        let camera = "[[camera]]\nid = \"c\"\nkind = \"clip\"\npath = \"clip.mp4\"\ncalibration = \"p.toml\"\n";
        parse(&format!("org = \"o\"\ndevice = \"d\"\n[mqtt]\ntransport = \"plain\"\n{camera}"), &dir.path().join("k.toml"))
    };
    let region =
        load_with("frame_px = [1280, 720]\nregion_px = [0, 120, 1280, 720]\n").expect("valid").cameras[0].region.expect("one");
    let full_hd = region.in_frame(crate::geometry::Rect::new(0.0, 0.0, 1920.0, 1080.0));
    assert_eq!(full_hd, crate::geometry::Rect::new(0.0, 180.0, 1920.0, 1080.0));
    for (profile, word) in [
        ("frame_px = [1280, 720]\nregion_px = [0, 120, 1281, 720]\n", "not left, top, right, bottom"),
        ("frame_px = [1280, 720]\n", "region_px"),
        ("frame = 1\n", "unknown field"),
    ] {
        let error = load_with(profile).expect_err(profile).to_string();
        assert!(error.contains("camera[0].calibration") && error.contains(word), "{error}");
    }
}

#[test]
fn the_back_office_confirms_on_a_topic_of_this_box() {
    assert_eq!(load_text("").expect("valid").confirm, Confirm::Broker);
    let office = BackOffice { topic: "kerbside/v1/o/d/ack".into(), device: "d".into(), wait: std::time::Duration::from_secs(7) };
    let confirm = load_text("[delivery]\nconfirm = \"backoffice\"\nconfirm_wait_s = 7").expect("valid").confirm;
    assert_eq!(confirm, Confirm::BackOffice(office));
    let said = load_text("[delivery]\nconfirm = \"me\"\nconfirm_wait_s = 0").expect_err("both").to_string();
    assert!(said.contains("delivery.confirm: \"me\"") && said.contains("delivery.confirm_wait_s: 0 is not between"), "{said}");
}

#[test]
fn the_way_to_the_broker_is_encrypted_unless_it_is_said_otherwise() {
    let told = |mqtt: &str| load_text(&format!("[mqtt]\n{mqtt}")).map_err(|e| e.to_string());
    let said = told("").expect_err("who are we?");
    assert!(said.contains("mqtt.certificate: the broker would not know who we are"), "{said}");
    let plain = told("transport = \"plain\"\nhost = \"10.0.0.1\"\nfallbacks = [\"b:1\", \"[::1]:2\"]").expect("valid").broker;
    assert_eq!((plain.port, plain.places().len(), plain.warnings().len()), (1883, 3, 2));
    let files = tempfile::tempdir().expect("a folder");
    let [ca, certificate, key, password] = ["ca", "certificate", "key", "password"].map(|name| {
        let path = files.path().join(name);
        std::fs::write(&path, name).expect("written");
        path
    });
    let tls = |mqtt: &str| match told(mqtt).expect(mqtt).broker {
        BrokerOptions { transport: Transport::Tls(files), port, .. } => (files, port),
        other => panic!("{other:?}"),
    };
    let (by_password, port) = tls(&format!("username = \"u\"\npassword_file = {password:?}"));
    assert_eq!((by_password, port), (TlsFiles { check_key_mode: false, ..TlsFiles::default() }, 8883));
    let (own, port) = tls(&format!("port = 1\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}"));
    let expected =
        TlsFiles { ca: Some(ca), certificate: Some(certificate.clone()), key: Some(key.clone()), check_key_mode: true };
    assert_eq!((own, port), (expected, 1));
    let (by_credential, _) = tls(&format!("certificate = {certificate:?}"));
    assert!(by_credential.key.is_some_and(|k| k.ends_with(TLS_KEY_CREDENTIAL)) && !by_credential.check_key_mode);
    for (mqtt, says) in [
        (format!("key = {key:?}"), "mqtt.key: there is no mqtt.certificate"),
        (format!("transport = \"plain\"\nkey = {key:?}"), "mqtt.key: it is of no use"),
        ("certificate = \"none.pem\"".to_owned(), "none.pem does not exist"),
        ("transport = \"plain\"\nfallbacks = [\"b\"]".to_owned(), "mqtt.fallbacks: \"b\" is not host:port"),
        ("host = \"::1\"".to_owned(), "mqtt.host: an IPv6 address"),
        ("transport = \"ssl\"".to_owned(), "\"ssl\" is none of \"tls\", \"plain\""),
        ("transport = \"plain\"\nversion = \"4\"".to_owned(), "mqtt.version"),
    ] {
        let said = told(&mqtt).expect_err(&mqtt);
        assert!(said.contains(says), "{said}");
    }
}

fn camera(table: &str) -> Result<CameraSettings, String> {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("secret"), "u:p\n").expect("written");
    let profile = "frame_px = [64, 36]\nregion_px = [0, 0, 64, 36]\nmasks_px = [[[0, 0], [9, 0], [9, 9]]]\n";
    std::fs::write(dir.path().join("masks.toml"), profile).expect("written");
    let text = format!("org = \"o\"\ndevice = \"d\"\n[mqtt]\ntransport = \"plain\"\n[[camera]]\nid = \"c\"\n{table}\n");
    parse(&text, &dir.path().join("kerbside.toml")).map(|s| s.cameras[0].clone()).map_err(|e| e.to_string())
}

#[test]
fn cameras_on_the_network_are_told_by_url_and_their_passwords_by_file() {
    use crate::camera::live::Input;
    use crate::camera::pipeline::{Backend, Transport};
    let plain = camera("kind = \"rtsp\"\nurl = \"rtsp://192.0.2.1/s\"").expect("valid");
    let SourceSettings::Live(Input::Rtsp { url, transport, backend, credentials, codec, .. }) = plain.source else {
        panic!("{:?}", plain.source)
    };
    assert_eq!(
        (url.as_str(), transport, backend, credentials, codec),
        ("rtsp://192.0.2.1/s", Transport::Tcp, Backend::GStreamer, None, None)
    );
    assert_eq!((plain.patience, plain.pace), (crate::camera::Patience::default(), crate::camera::Pace::RealTime));
    // One fault each, named by its key, and no password in any of them.
    let url = "url = \"rtsp://192.0.2.1/s\"";
    for (table, said) in [
        ("kind = \"rtsp\"".to_owned(), "camera[0].url: is no address of an RTSP stream"),
        ("kind = \"rtsp\"\nurl = \"rtsp://u:hush@192.0.2.1/s\"".to_owned(), "camera[0].url: has a user or a password in it"),
        ("kind = \"http\"\nurl = \"http://u:hush@192.0.2.1/s\"".to_owned(), "camera[0].url: is no address of pictures over HTTP"),
        (format!("kind = \"rtsp\"\n{url}\ncredentials = \"secret\""), "chmod 0400"),
        (format!("kind = \"rtsp\"\n{url}\ncredentials = \"nowhere\""), "nowhere does not exist"),
        (format!("kind = \"rtsp\"\n{url}\npath = \"x.mp4\""), "camera[0].path: is for clips, stills and devices"),
        (format!("kind = \"rtsp\"\n{url}\npace = \"lossless\""), "camera[0].pace: a live camera can't be made to wait"),
        (format!("kind = \"rtsp\"\n{url}\nbackend = \"ffmpeg\"\ntransport = \"udp\""), "camera[0].transport: \"udp\" needs"),
        (format!("kind = \"rtsp\"\n{url}\nbackend = \"ffmpeg\"\ndecoder = \"v4l2m2m\""), "camera[0].decoder: \"v4l2m2m\" needs"),
        (
            format!("kind = \"rtsp\"\n{url}\nbackend = \"ffmpeg\"\ncalibration = \"masks.toml\""),
            "camera[0].backend: \"ffmpeg\" does not hear",
        ),
        (format!("kind = \"clip\"\n{url}"), "camera[0].url: is for cameras on the network"),
        ("kind = \"v4l2\"".to_owned(), "camera[0].path: is needed: the device"),
        (
            "kind = \"rtsp\"\nurl = \"rtsp://192.0.2.1/user=a&password=hush&channel=1\"".to_owned(),
            "camera[0].url: has a password in it; write {user}",
        ),
        ("kind = \"http\"\nurl = \"http://192.0.2.1/v?pwd=hush\"".to_owned(), "camera[0].url: has a password in it"),
        (
            format!("kind = \"rtsp\"\n{url}\ncredentials = \"admin:hush\""),
            "camera[0].credentials: looks like a user and a password",
        ),
        ("kind = \"rtsp\"\nurl = \"rtsp://u:hush@192.0.2.1/s".to_owned(), "there may be a password in it"),
        (format!("kind = \"rtsp\"\n{url}\npassword = \"hush\""), "unknown field `password`"),
        (format!("kind = \"rtsp\"\n{url}\nformat = \"nv12\""), "camera[0].format: has no meaning for kind = \"rtsp\""),
        ("kind = \"http\"\nurl = \"http://192.0.2.1/s\"\nbackend = \"ffmpeg\"".to_owned(), "camera[0].backend: has no meaning"),
        (format!("kind = \"rtsp\"\n{url}\nstall_after_ms = 10"), "camera[0].stall_after_ms"),
    ] {
        let e = camera(&table).expect_err(&table);
        assert!(e.contains(said) && !e.contains("hush"), "{table}\n{e}");
    }
    let typo = camera(&format!("kind = \"rstp\"\n{url}")).expect_err("no such kind");
    assert!(typo.contains("1 fault") && typo.contains("camera[0].kind"), "{typo}");
    assert!(camera("kind = \"rtsp\"\nurl = \"rtsp://192.0.2.1/user={user}&password={password}\"").is_ok());
    let device = camera("kind = \"v4l2\"\npath = \"/dev/video7\"\nformat = \"nv12\"\nwidth_px = 1280")
        .expect("it may be plugged in later");
    assert!(matches!(device.source, SourceSettings::Live(Input::Device { .. })));
}
