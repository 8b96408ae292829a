//! Bad input and what it is answered with: the thing named, the mend named, the right exit status, nothing else harmed.

use std::path::Path;
use std::process::Output;

use image::{DynamicImage, RgbImage};
use serde_json::Value;

use crate::support::{pictures, program};

/// Exit status and all of these words on stderr.
fn assert_answer(output: &Output, exit: i32, words: &[&str]) {
    let said = program::stderr(output);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing from: {said}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_rest_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let good = pictures::save(dir.path(), "good.jpg", &DynamicImage::ImageRgb8(pictures::frame(46)));
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(at("cut.jpg"), &bytes[..bytes.len() / 3]).unwrap();
    std::fs::write(at("empty.jpg"), b"").unwrap();
    std::fs::write(at("empty.mp4"), b"").unwrap();
    std::fs::write(at("letter.jpg"), b"Dear sir, this is not a picture").unwrap();
    pictures::save(dir.path(), "wide.png", &DynamicImage::ImageRgb8(RgbImage::new(20_000, 10)));
    let clip = std::fs::read(program::demo("drive_by.mp4")).unwrap();
    std::fs::write(at("cut.mp4"), &clip[..clip.len() / 2]).unwrap();
    std::fs::write(at("noise.mp4"), vec![7u8; 50_000]).unwrap();

    let faults = [
        ("missing.jpg", "No such file"),
        ("missing.mp4", "No such file"),
        ("cut.jpg", "cut off or damaged"),
        ("empty.jpg", "empty (0 bytes)"),
        ("empty.mp4", "empty (0 bytes)"),
        ("letter.jpg", "no picture format"),
        ("wide.png", "20000 x 10 pixels"),
        ("cut.mp4", "cut off or damaged"),
        ("noise.mp4", "no clip that FFmpeg can decode"),
    ];
    let mut args = vec!["read", "--json"];
    args.extend(faults.iter().map(|(file, _)| *file));
    args.push("good.jpg");
    let output = program::run(dir.path(), &args);
    assert_eq!(output.status.code(), Some(70), "the exit status says that something failed");
    let lines: Vec<Value> = program::stdout(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), faults.len() + 1);
    for (file, word) in faults {
        let line = lines.iter().find(|l| l["file"] == file).unwrap_or_else(|| panic!("{file} is not told of"));
        let error = line["error"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert!(error.contains(word) && error.contains(file), "{file}: {error}");
    }
    let good = lines.iter().find(|l| l["file"] == "good.jpg").unwrap();
    assert!(good["plates"].as_array().unwrap().iter().any(|p| p["text"] == "LK24HJV"));
}

#[test]
fn a_wrong_command_line_is_64() {
    assert_answer(&program::run(Path::new("/"), &["reed"]), 64, &["reed", "read"]);
    assert_answer(&program::run(Path::new("/"), &["read"]), 64, &["PATH"]);
    assert_answer(&program::run(Path::new("/"), &["read", "x.jpg", "--min-confidence", "7"]), 64, &["7 is not between 0 and 1"]);
    let help = program::run(Path::new("/"), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(program::stdout(&help).contains("demo"));
}

#[test]
fn a_configuration_is_faulted_by_file_key_and_mend() {
    let dir = tempfile::tempdir().unwrap();
    let check = |extra: &str| {
        let path = program::configuration(dir.path(), 1883, extra);
        program::run(dir.path(), &["check", "--config", path.to_str().unwrap()])
    };
    let good = check("");
    assert!(good.status.success(), "{}", program::stderr(&good));
    assert_answer(&check("prot = 1\n"), 78, &["kerbside.toml", "mqtt.prot", "unknown field"]);
    assert_answer(&check("username = 5\n"), 78, &["mqtt.username", "invalid type", "line"]);
    assert_answer(&check("[vision]\nmin_score = 2.0\n"), 78, &["vision.min_score", "not between 0 and 1"]);
    assert_answer(&program::run(dir.path(), &["check", "--config", "none.toml"]), 78, &["none.toml", "systemd/kerbside.toml"]);
    // `run` starts with exactly what `check` does.
    let path = program::configuration(dir.path(), 1883, "prot = 1\n");
    assert_answer(&program::run(dir.path(), &["run", "--config", path.to_str().unwrap()]), 78, &["mqtt.prot"]);
}

/// A copy of the model folder to spoil.
fn models(dir: &Path) -> std::path::PathBuf {
    let copy = dir.join("models");
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(program::root().join("models")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "onnx" || e == "toml") {
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}

#[test]
fn models_that_are_missing_or_not_the_manifests_own_are_78() {
    let dir = tempfile::tempdir().unwrap();
    let clip = program::demo("drive_by.mp4");
    let copy = models(dir.path());
    let read = |models: &Path| program::run(dir.path(), &["read", clip.to_str().unwrap(), "--models", models.to_str().unwrap()]);
    assert_answer(&read(&dir.path().join("nowhere")), 78, &["nowhere/manifest.toml", "--models"]);

    let weights = copy.join("plate_detector.int8.onnx");
    let good = std::fs::read(&weights).unwrap();
    std::fs::remove_file(&weights).unwrap();
    assert_answer(&read(&copy), 78, &["plate_detector.int8.onnx", "No such file"]);
    std::fs::write(&weights, &good[..good.len() - 1]).unwrap();
    assert_answer(&read(&copy), 78, &["SHA-256", "plate_detector.int8.onnx", "install it again"]);
    std::fs::write(&weights, &good).unwrap();

    let manifest = copy.join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (from, to, words) in [
        ("\"height\", \"width\"", "\"tall\", \"wide\"", ["x [1, 3, height, width]", "x [1, 3, tall (384), wide (640)]"]),
        ("[1, 3, \"height\", \"width\"]", "[1, 3, 384, 640]", ["plate_detector.int8", "by their names in the file"]),
        ("[1, 13, \"rows\"", "[1, 12, \"rows\"", ["output", "y [1, 13, 48, 80]"]),
        (", 1, 64, 160]", ", 1, 64, 128]", ["input", ", 1, 64, 160]"]),
        ("[512, 288]", "[512, 290]", ["512x290", "multiples of 32"]),
        ("default_size_px = [640, 384]", "default_size_px = [608, 384]", ["plate_detector.int8", "none of `sizes_px`"]),
        ("stride = 8", "stride = true", ["invalid type", "manifest.toml"]),
    ] {
        assert!(text.contains(from), "{from} is not in the manifest any more");
        std::fs::write(&manifest, text.replace(from, to)).unwrap();
        assert_answer(&read(&copy), 78, &words);
    }
    std::fs::write(&manifest, &text).unwrap();
    let unmeasured = program::run(dir.path(), &["read", clip.to_str().unwrap(), "--detector-input", "608x384"]);
    assert_answer(&unmeasured, 78, &["608x384", "512x288, 640x384", "--detector-input"]);
    let odd = program::run(dir.path(), &["read", clip.to_str().unwrap(), "--detector-input", "600x400"]);
    assert_answer(&odd, 64, &["600x400", "multiples of 32"]);
    let no_library = program::kerbside(dir.path()).args(["read", "x.jpg", "--onnxruntime", "/nowhere/lib.so"]).output().unwrap();
    assert_answer(&no_library, 78, &["/nowhere/lib.so", "make setup"]);
}

#[test]
fn hotlist_rows_that_are_not_marks_are_told_and_the_rest_stay_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "vrm,action,priority,reason,valid_from,valid_until\nBV71MZC,stop,P0,Stolen,,\nNOT A MARK!,stop,P0,x,,\nAB12CDE,shout,P0,x,,\n";
    std::fs::write(dir.path().join("list.csv"), rows).unwrap();
    let path = program::configuration(dir.path(), 1883, "[hotlist]\nfile = 'list.csv'\n");
    let output = program::run(dir.path(), &["check", "--config", path.to_str().unwrap()]);
    let said = program::stdout(&output);
    assert!(output.status.success(), "{}", program::stderr(&output));
    for word in ["1 entries, 2 rows left out", "list.csv", "3", "NOT A MARK!", "shout"] {
        assert!(said.contains(word), "{word:?} is missing from: {said}");
    }
    std::fs::write(dir.path().join("list.csv"), "mark,do\nA1,stop\n").unwrap();
    assert_answer(&program::run(dir.path(), &["check", "--config", path.to_str().unwrap()]), 78, &["list.csv", "vrm"]);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_78() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(program::configuration(dir.path(), 1883, "")).unwrap();
    // A file where the folder should be: what even root can't write through; /proc is read-only for everybody.
    std::fs::write(dir.path().join("file"), b"x").unwrap();
    for state in ["file/state", "/proc/kerbside"] {
        let path = dir.path().join("k.toml");
        std::fs::write(&path, text.replace("state_dir = 'state'", &format!("state_dir = '{state}'"))).unwrap();
        for command in ["check", "run"] {
            let output = program::run(dir.path(), &[command, "--config", path.to_str().unwrap()]);
            assert_answer(&output, 78, &[state.trim_start_matches("file/"), "belong to the service's user"]);
        }
    }
}

#[test]
fn a_broker_that_does_not_answer_is_named() {
    let port = crate::support::mosquitto::free_port();
    let output = program::run(Path::new("/"), &["listen", "--port", &port.to_string()]);
    assert_answer(&output, 70, &[&format!("127.0.0.1:{port}"), "no MQTT broker answers"]);
}

#[test]
fn nothing_is_written_at_home_and_a_closed_pipe_is_no_crash() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let still = program::demo("still.jpg");
    let output = program::kerbside(dir.path())
        .env_remove("ORT_DISABLE_TELEMETRY")
        .env("HOME", &home)
        .env_remove("XDG_CACHE_HOME")
        .args(["read", still.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", program::stderr(&output));
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "the runtime's telemetry left something in the home folder");

    let path = program::configuration(dir.path(), 1883, "");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let check = program::kerbside(dir.path()).args(["check", "--config", path.to_str().unwrap()]).stdout(full).status().unwrap();
    assert_eq!(check.code(), Some(70));
}

#[test]
fn check_says_all_that_is_wrong_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("list.csv"), "mark,do\nA1,stop\n").unwrap();
    std::fs::write(dir.path().join("file"), b"x").unwrap();
    let path = program::configuration(dir.path(), 1883, "[hotlist]\nfile = 'list.csv'\n");
    let text = std::fs::read_to_string(&path).unwrap().replace("state_dir = 'state'", "state_dir = 'file/state'");
    std::fs::write(&path, text.replace("/models'", "/nowhere'")).unwrap();
    let output = program::run(dir.path(), &["check", "--config", path.to_str().unwrap()]);
    assert_answer(&output, 78, &["3 fault(s)", "hotlist.file", "models.dir", "state_dir"]);
    let text = std::fs::read_to_string(program::configuration(dir.path(), 1883, "")).unwrap();
    std::fs::write(&path, text.replace("[models]", "[models]\ndetector_input = '608x384'")).unwrap();
    let output = program::run(dir.path(), &["check", "--config", path.to_str().unwrap()]);
    assert_answer(&output, 78, &["models.detector_input: ", "608x384", "512x288, 640x384, 768x448"]);
}
