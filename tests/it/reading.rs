//! `read` and `replay` on our own pictures and the bundled clip, with the committed models.

use std::path::Path;

use image::DynamicImage;
use kerbside::vision::onnx::Runtime;
use kerbside::vision::{Vision, VisionOptions};
use serde_json::Value;

use crate::support::{pictures, program};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn texts(line: &Value) -> Vec<&str> {
    line["plates"].as_array().unwrap().iter().map(|p| p["text"].as_str().unwrap()).collect()
}

#[test]
fn pipeline_replay_gives_one_correct_record_a_vehicle_and_the_same_bytes_twice() {
    let dir = tempfile::tempdir().unwrap();
    let clip = program::demo("drive_by.mp4");
    let hotlist = program::demo("hotlist.csv");
    let args = ["replay", clip.to_str().unwrap(), "--hotlist", hotlist.to_str().unwrap()];
    let first = program::run(dir.path(), &args);
    assert!(first.status.success(), "{}", program::stderr(&first));
    let second = program::run(dir.path(), &args);
    assert!(first.stdout == second.stdout, "two runs differ");

    let lines = json_lines(&program::stdout(&first));
    let mut read: Vec<&str> =
        lines.iter().filter(|l| l["schema"] == "kerbside.read/1").map(|l| l["vrm"].as_str().unwrap()).collect();
    let mut truth = program::truth();
    read.sort_unstable();
    truth.sort_unstable();
    assert_eq!(read, truth, "one record a vehicle, each with its mark");

    for line in lines.iter().filter(|l| l["first"].is_string()) {
        let at = |key: &str| line[key].as_str().unwrap();
        assert!(at("first") <= at("best") && at("best") <= at("last"), "time runs back: {line}");
    }

    // Two of them are on the list: an early alert, then a confirmed one, under the passage's own id.
    for vrm in ["BV71MZC", "KIB4729"] {
        let of = |schema: &str| lines.iter().filter(|l| l["schema"] == schema && l["vrm"] == vrm).collect::<Vec<_>>();
        let (alerts, records) = (of("kerbside.alert/1"), of("kerbside.read/1"));
        let phases: Vec<&str> = alerts.iter().map(|a| a["phase"].as_str().unwrap()).collect();
        assert_eq!(phases, ["early", "confirmed"], "{vrm}");
        assert!(alerts.iter().all(|a| a["passage"] == records[0]["passage"]));
        assert_eq!(records[0]["hits"][0]["class"], "exact");
    }
}

#[test]
fn pipeline_reads_pictures_of_every_kind_alike() {
    let dir = tempfile::tempdir().unwrap();
    let picture = pictures::frame(46);
    let rgb = DynamicImage::ImageRgb8(picture.clone());
    let sixteen = DynamicImage::ImageRgb16(rgb.to_rgb16());
    for (name, kind) in [("colour.jpg", &rgb), ("colour.png", &rgb), ("sixteen.png", &sixteen), ("colour.bmp", &rgb)] {
        pictures::save(dir.path(), name, kind);
    }
    pictures::save(dir.path(), "grey.jpg", &DynamicImage::ImageLuma8(rgb.to_luma8()));
    pictures::save_cmyk(dir.path(), "cmyk.jpg", &picture);
    pictures::save_rotated(dir.path(), "rotated.jpg", &picture);
    let output = program::run(dir.path(), &["read", ".", "--json", "--annotate", "out"]);
    assert!(output.status.success(), "{}", program::stderr(&output));
    let lines = json_lines(&program::stdout(&output));
    assert_eq!(lines.len(), 7);
    for line in &lines {
        let found = texts(line);
        for mark in ["LK24HJV", "YD68RNE"] {
            assert!(found.contains(&mark), "{mark} is missing from {found:?} of {}", line["file"]);
        }
        let plate = line["plates"].as_array().unwrap().iter().find(|p| p["text"] == "LK24HJV").unwrap();
        // Upright pixels, whatever the file's own orientation: the plate is in the lower left part of a 1280 x 720 picture.
        let side = |i: usize| plate["box"][i].as_f64().unwrap();
        assert!(side(0) > 250.0 && side(2) < 450.0 && side(1) > 420.0 && side(3) < 540.0, "{plate}");
        assert_eq!(plate["syntax"], "gb_current");
        assert_eq!(plate["corners"].as_array().unwrap().len(), 4);
        assert!(plate["confidence"].as_f64().unwrap() > 0.9);
        assert!(line["ms"]["total"].as_f64().unwrap() > line["ms"]["detect"].as_f64().unwrap());
    }
    let annotated = image::open(dir.path().join("out/rotated.jpg.png")).unwrap();
    assert_eq!((annotated.width(), annotated.height()), (1280, 720));
}

#[test]
fn one_detector_file_finds_the_plates_at_every_size_that_it_offers() {
    let dir = tempfile::tempdir().unwrap();
    pictures::save(dir.path(), "a.png", &DynamicImage::ImageRgb8(pictures::frame(46)));
    for size in ["512x288", "640x384", "768x448", "960x544", "1280x736"] {
        let output = program::run(dir.path(), &["read", "a.png", "--json", "--detector-input", size]);
        assert!(output.status.success(), "{}", program::stderr(&output));
        let lines = json_lines(&program::stdout(&output));
        let found = texts(&lines[0]);
        assert!(found.contains(&"LK24HJV") && found.len() >= 2, "{size}: {found:?}");
    }
    // What found it stands in the record, size and all.
    let (runtime, models) = (Runtime::load(&program::onnxruntime()).unwrap(), program::root().join("models"));
    let options = VisionOptions { detector_input: "960x544".parse().ok(), ..VisionOptions::default() };
    let [detector, reader] = Vision::load(&runtime, &models, &options).unwrap().model_names().clone();
    assert_eq!((detector.as_str(), reader.as_str()), ("plate_detector_960x544.int8", "plate_reader_64x160.int8"));
}

/// A full-HD frame with the bundled clip's frame 46 in it at a fraction of its size, so that its plates are small.
fn small_on_full_hd(fraction: u32) -> image::RgbImage {
    let frame = pictures::frame(46);
    let small = image::imageops::resize(
        &frame,
        frame.width() / fraction,
        frame.height() / fraction,
        image::imageops::FilterType::Triangle,
    );
    let mut canvas = image::RgbImage::from_pixel(1920, 1080, image::Rgb([96, 100, 104]));
    image::imageops::replace(&mut canvas, &small, 921, 300);
    canvas
}

#[test]
fn tiles_find_small_plates_once_each_and_whole_even_across_their_edges() {
    let dir = tempfile::tempdir().unwrap();
    // At a half, `LK24HJV` is 62 px wide and lies across the edge where the first of two tiles ends.
    pictures::save(dir.path(), "full_hd.png", &DynamicImage::ImageRgb8(small_on_full_hd(2)));
    let found = |more: &[&str]| {
        let output = program::run(dir.path(), &[&["read", "full_hd.png", "--json", "--min-confidence", "0"], more].concat());
        assert!(output.status.success(), "{}", program::stderr(&output));
        json_lines(&program::stdout(&output)).remove(0)["plates"].as_array().unwrap().clone()
    };
    // Two tiles of 1097 px, the first ends in the middle of the plate.
    let edge = 1920.0 / 1.75;
    for options in [&["--tiles", "2x1"][..], &["--tiles", "2x1", "--tiles-only"], &["--tiles", "2x2"], &["--tiles", "4x4"]] {
        let plates = found(options);
        let side = |p: &Value, i: usize| p["box"][i].as_f64().unwrap();
        // Where the plate is, whoever says so: all that lies over its middle.
        let on_it: Vec<&Value> = plates
            .iter()
            .filter(|p| side(p, 0) < 1098.0 && side(p, 2) > 1098.0 && side(p, 1) < 543.0 && side(p, 3) > 543.0)
            .collect();
        assert_eq!(on_it.len(), 1, "{options:?}: {plates:?}");
        assert!(side(on_it[0], 0) < edge - 15.0 && side(on_it[0], 2) > edge + 15.0, "{options:?}: a piece: {:?}", on_it[0]);
        assert_eq!(on_it[0]["text"], "LK24HJV", "{options:?}");
    }
    // The same plates at a quarter of their size: too small for the frame as a whole, not for its tiles.
    let canvas = small_on_full_hd(4);
    pictures::save(dir.path(), "full_hd.png", &DynamicImage::ImageRgb8(canvas));
    let seen = |more: &[&str]| found(more).len();
    assert!(seen(&[]) < seen(&["--tiles", "2x2"]) && seen(&[]) < seen(&["--tiles", "2x2", "--tiles-only"]));
    let wrong = program::run(dir.path(), &["read", "full_hd.png", "--tiles", "5x1"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(program::stderr(&wrong).contains("from 1 to 4"), "{}", program::stderr(&wrong));
}

#[test]
fn pipeline_smoke_on_a_clip_given_to_read() {
    let output = program::run(Path::new("/"), &["read", "--json", program::demo("drive_by.mp4").to_str().unwrap()]);
    assert!(output.status.success(), "{}", program::stderr(&output));
    let lines = json_lines(&program::stdout(&output));
    let found = texts(&lines[0]);
    assert!(program::truth().iter().all(|m| found.contains(&m.as_str())), "{found:?}");
    assert!(lines[0]["plates"][0]["frame"].is_u64());
}
