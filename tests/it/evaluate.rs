//! `evaluate` on our own pictures, with the committed models: what it counts, what it writes, and what it refuses.

use std::path::Path;
use std::process::Output;

use image::DynamicImage;

use crate::support::{pictures, program};

/// The command ended so, and said all of this.
fn assert_answer(output: &Output, exit: i32, words: &[&str]) {
    let said = program::stderr(output);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing from: {said}");
    }
}

/// The report, and what is wrong when it lacks a line that begins so, however many spaces stand in it.
fn assert_report(output: &Output, lines: &[&str]) -> String {
    let text = program::stdout(output);
    assert!(output.status.success(), "{}", program::stderr(output));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in lines {
        assert!(text.lines().any(|l| words(l).starts_with(line)), "{line:?} is missing from: {text}");
    }
    text
}

#[test]
fn pipeline_evaluate_counts_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    pictures::save(dir.path(), "a.png", &DynamicImage::ImageRgb8(pictures::frame(46)));
    let manifest = "file,texts,boxes_xyxy\na.png,LK24HJV;YD68RNE;GO10OLO;ZZ99ZZZ,\n";
    std::fs::write(dir.path().join("truth.csv"), manifest).unwrap();
    let args = ["evaluate", "--truth", "truth.csv", ".", "--list"];
    let output = program::run(dir.path(), &args);
    let text = program::stdout(&output);
    assert!(output.status.success(), "{}", program::stderr(&output));
    assert!(text.contains("read rate                  0.7500") && text.contains("3/4"), "{text}");
    assert!(text.contains("ZZ99ZZZ not found"), "{text}");
    let strict = program::run(dir.path(), &[&args[..], &["--least-read-rate", "0.9"]].concat());
    assert_eq!(strict.status.code(), Some(70));
    assert!(program::stderr(&strict).contains("below"), "{}", program::stderr(&strict));
}

/// A set with boxes: frame 46 with one plate labelled, one label too many, and a picture of nothing.
fn boxes_only(dir: &Path) {
    for folder in ["images", "labels"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    pictures::save(dir, "images/a.png", &DynamicImage::ImageRgb8(pictures::frame(46)));
    pictures::save(dir, "images/b.png", &DynamicImage::new_rgb8(640, 360));
    // In shares of 1280 x 720: LK24HJV at about [291, 474, 406, 503], and a place by the roadside, 32 px wide.
    let labels = "0 0.2723 0.6785 0.0898 0.0403\n0 0.9 0.1 0.025 0.0139\n";
    std::fs::write(dir.join("labels/a.txt"), labels).unwrap();
    std::fs::write(dir.join("truth.csv"), "file,n_plates\nimages/a.png,2\nimages/b.png,0\n").unwrap();
}

#[test]
fn pipeline_evaluate_tells_found_missed_and_false_boxes_apart() {
    let dir = tempfile::tempdir().unwrap();
    boxes_only(dir.path());
    let args = ["evaluate", "--truth", "truth.csv", ".", "--list", "--scores", "scores.csv", "--sheets", "sheets"];
    let output = program::run(dir.path(), &args);
    let text = program::stdout(&output);
    assert!(output.status.success(), "{}", program::stderr(&output));
    for row in [
        "capture rate             0.5000",
        "below 40 px            0.0000",
        "60 px and wider        1.0000",
        "none found in 1 of 1",
    ] {
        assert!(text.contains(row), "{row:?} is missing from: {text}");
    }
    assert!(!text.contains("adjudicated"), "{text}");
    for sheet in ["missed.jpg", "false.jpg", "found.jpg"] {
        assert!(image::open(dir.path().join("sheets").join(sheet)).unwrap().width() > 1000);
    }
    // The file of scores holds every candidate, and every label that has none.
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_path(dir.path().join("scores.csv")).unwrap().records().map(Result::unwrap).collect();
    let count = |row: &str, matched: &str| rows.iter().filter(|r| &r[0] == row && &r[4] == matched).count();
    assert_eq!((count("candidate", "1"), count("label", "0")), (1, 1));
    let strangers: Vec<&csv::StringRecord> = rows.iter().filter(|r| &r[0] == "candidate" && &r[4] == "0").collect();
    assert!(text.contains(&format!("{} ", strangers.len())) && !strangers.is_empty(), "other plates are in view: {text}");

    // A second opinion that surely knows those plates excuses them; what is labelled stays the headline. A doubtful one does not.
    for (score, rate) in [("0.9", "0.000"), ("0.4", "same")] {
        let row = |r: &&csv::StringRecord| format!("images/a.png,{},{},{},{},{score},0\n", &r[8], &r[9], &r[10], &r[11]);
        let seconds: String = strangers.iter().map(row).collect();
        std::fs::write(dir.path().join("second.csv"), format!("file,x1,y1,x2,y2,detector_score,labelled\n{seconds}")).unwrap();
        let output = program::run(dir.path(), &["evaluate", "--truth", "truth.csv", ".", "--second-opinion", "second.csv"]);
        let text = program::stdout(&output);
        let false_boxes = text.lines().find(|l| l.starts_with("false boxes")).unwrap_or_else(|| panic!("{text}"));
        let columns: Vec<&str> = false_boxes.split_whitespace().skip(4).collect();
        let expected = if rate == "same" { columns[0] } else { rate };
        assert!(columns[0] != "0.000" && columns[3] == strangers.len().to_string() && columns[4] == expected, "{false_boxes}");
    }
}

/// A set of crops: two plates of frame 46; the second again, labelled as another mark, as if it were misread; a piece of road
/// and a plate that the set calls none.
fn crops(dir: &Path) {
    let frame = DynamicImage::ImageRgb8(pictures::frame(46));
    for (name, [x, y, width, height]) in
        [("a.png", [268, 466, 160, 45]), ("b.png", [777, 475, 137, 38]), ("road.png", [560, 600, 160, 60])]
    {
        pictures::save(dir, name, &frame.crop_imm(x, y, width, height));
    }
    let rows = "a.png,LK24HJV,23 8 138 37,1\nb.png,YD68RNE,20 7 118 31,1\nb.png,YD68RNF,20 7 118 31,2\nroad.png,,,\nb.png,,20 7 118 31,\n";
    std::fs::write(dir.join("crops.csv"), format!("file,text,box_in_crop_xyxy,rows\n{rows}")).unwrap();
}

#[test]
fn pipeline_evaluate_meets_crops_as_the_daemon_would_or_in_their_labelled_boxes() {
    let dir = tempfile::tempdir().unwrap();
    crops(dir.path());
    let args = ["evaluate", "--truth", "crops.csv", ".", "--list", "--sheets", "sheets", "--scores", "scores.csv"];
    let found = assert_report(
        &program::run(dir.path(), &args),
        &[
            "found by the detector 1.0000 [0.4385, 1.0000] 3/3",
            "read rate 0.6667",
            "found and read 0.6667",
            "read rate, folded 0.6667",
            "read rate, eye alone 0.6667",
            "rows 1 1.0000 [0.3424, 1.0000] 2/2",
            "rows 2 0.0000 [0.0000, 0.7935] 0/1 read rate; folded 0/1, eye alone 0/1",
            "mean confidence 0.9",
            "expected calibration error 0.3",
            "wrong but confident 0.3333 [0.0615, 0.7923] 1/3",
            "crops without a plate 2;",
            "taken for a plate 0.5000",
            "read at 0.4 or surer 0.5000 [0.0945, 0.9055] 1/2 1 of them taken for a plate",
            "read at 0.9 or surer 0.5000",
            "b.png: YD68RNF misread as YD68RNE",
            "b.png: false read YD68RNE",
        ],
    );
    assert!(!found.contains("false reads an image"), "{found}");
    let boxes = assert_report(
        &program::run(dir.path(), &[&args[..5], &["--labelled-boxes"]].concat()),
        &["read rate 0.6667", "wrong but confident 0.3333", "crops without a plate 2;", "read at 0.9 or surer 0.5000"],
    );
    assert!(!boxes.contains("detector"), "{boxes}");

    // What it wrote: every plate and every crop without one, and a sheet for either fault.
    let mut scores = csv::Reader::from_path(dir.path().join("scores.csv")).unwrap();
    assert_eq!(scores.headers().unwrap(), &["file", "truth", "read", "raw", "confidence", "right", "folded"][..]);
    let rows: Vec<csv::StringRecord> = scores.records().map(Result::unwrap).collect();
    let of = |truth: &str| rows.iter().find(|r| &r[1] == truth && &r[2] == "YD68RNE").unwrap();
    for (truth, right) in [("YD68RNE", "1"), ("YD68RNF", "0"), ("", "0")] {
        let row = of(truth);
        assert_eq!((&row[0], &row[3], &row[5], &row[6]), ("b.png", "YD68RNE", right, right), "{row:?}");
        assert!((0.9..=1.0).contains(&row[4].parse::<f32>().unwrap()), "{row:?}");
    }
    for sheet in ["misreads-1.jpg", "false-reads-1.jpg"] {
        let picture = image::open(dir.path().join("sheets").join(sheet)).unwrap().to_rgb8();
        // One cell of six: ink in its picture, none in the place of the second.
        let bright = |left: u32| {
            let pixels = (left..left + 300).flat_map(|x| (80..250).map(move |y| (x, y)));
            pixels.filter(|(x, y)| picture.get_pixel(*x, *y).0.iter().all(|c| *c > 120)).count()
        };
        assert!(picture.width() > 1800 && bright(8) > 1000 && bright(316) == 0, "{sheet}: {} {}", bright(8), bright(316));
    }
}

#[test]
fn pipeline_evaluate_reads_crops_that_the_detector_misses_in_their_labelled_boxes() {
    let dir = tempfile::tempdir().unwrap();
    crops(dir.path());
    // Nothing scores so high: every plate is read in its box all the same.
    let args = ["evaluate", "--truth", "crops.csv", ".", "--list", "--min-score", "1"];
    let text = assert_report(
        &program::run(dir.path(), &args),
        &[
            "found by the detector 0.0000",
            "read rate 0.6667",
            "found and read 0.0000",
            "taken for a plate 0.0000",
            "b.png: YD68RNE not found by the detector; read right in its labelled box",
            "b.png: YD68RNF not found by the detector; misread as YD68RNE",
        ],
    );
    assert_eq!(text.matches("YD68RNF").count(), 1, "one line for one crop: {text}");
}

#[test]
fn pipeline_evaluate_counts_whatever_is_seen_in_a_crop_without_a_plate_unless_ignored() {
    let dir = tempfile::tempdir().unwrap();
    // LK24HJV at about [91, 34, 206, 63], a small part of the crop, which is called a crop without a plate.
    pictures::save(dir.path(), "a.png", &DynamicImage::ImageRgb8(pictures::frame(46)).crop_imm(200, 440, 400, 120));
    for (ignored, rate, read) in [("", "1.0000", true), ("85 30 215 70", "0.0000", false)] {
        let rows = format!("file,text,box_in_crop_xyxy,ignore_boxes_xyxy\na.png,,,{ignored}\n");
        std::fs::write(dir.path().join("junk.csv"), rows).unwrap();
        let args = ["evaluate", "--truth", "junk.csv", ".", "--list", "--scores", "scores.csv"];
        let text = assert_report(&program::run(dir.path(), &args), &[&format!("taken for a plate {rate}")]);
        assert_eq!(text.contains("false read LK24HJV"), read, "{text}");
        let scores = std::fs::read_to_string(dir.path().join("scores.csv")).unwrap();
        assert_eq!(scores.contains("a.png,,LK24HJV"), read, "{scores}");
    }
}

#[test]
fn pipeline_evaluate_clips_labels_to_the_picture_and_tells_of_scores_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    crops(dir.path());
    std::fs::write(dir.path().join("huge.csv"), "file,text,box_in_crop_xyxy\na.png,LK24HJV,-1e5 -1e5 1e5 1e5\n").unwrap();
    let args = ["evaluate", "--truth", "huge.csv", "."];
    assert_report(&program::run(dir.path(), &[&args[..], &["--labelled-boxes"]].concat()), &["read rate"]);
    let full = program::run(dir.path(), &[&args[..], &["--scores", "/dev/full"]].concat());
    assert_answer(&full, 70, &["/dev/full: can't be written: ", "--scores"]);
    assert!(!program::stderr(&full).contains("could not be read"), "{}", program::stderr(&full));
    assert!(program::stdout(&full).contains("read rate"), "the report is out all the same");
}

#[test]
fn pipeline_evaluate_draws_scenes_misreads_misses_and_false_reads() {
    let dir = tempfile::tempdir().unwrap();
    pictures::save(dir.path(), "a.png", &DynamicImage::ImageRgb8(pictures::frame(46)));
    let manifest = "file,texts,boxes_xyxy,rows\na.png,LK24HJW;ZZ99ZZZ,291 474 406 503;1100 20 1200 40,1;2\n";
    std::fs::write(dir.path().join("truth.csv"), manifest).unwrap();
    let args = ["evaluate", "--truth", "truth.csv", ".", "--sheets", "sheets", "--scores", "scores.csv"];
    assert_report(
        &program::run(dir.path(), &args),
        &[
            "capture rate 0.5000",
            "read rate 0.0000 [0.0000, 0.6576] 0/2",
            "rows 1 0.0000",
            "rows 2 0.0000",
            "wrong but confident 0.5000",
            "false reads an image 3.000",
        ],
    );
    let mut scores = csv::Reader::from_path(dir.path().join("scores.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = scores.records().map(Result::unwrap).collect();
    let is = |truth: &str, read: &str| rows.iter().any(|r| &r[1] == truth && &r[2] == read && &r[5] == "0");
    assert!(is("LK24HJW", "LK24HJV") && is("ZZ99ZZZ", "") && is("", "YD68RNE") && rows.len() == 4, "{rows:?}");
    for sheet in ["misreads-1.jpg", "false-reads-1.jpg"] {
        assert!(dir.path().join("sheets").join(sheet).exists(), "{sheet}");
    }
    assert!(!dir.path().join("sheets/misreads-2.jpg").exists());
}

#[test]
fn pipeline_evaluate_judges_clips_by_their_records_and_shows_their_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let mut marks = program::truth();
    // The last vehicle is labelled as another; the first is not listed.
    marks.remove(0);
    *marks.last_mut().unwrap() = "ZZ99ZZZ".to_owned();
    std::fs::write(dir.path().join("truth.csv"), format!("file,texts\ndrive_by.mp4,{}\n", marks.join(";"))).unwrap();
    let demo = program::demo("drive_by.mp4");
    let folder = demo.parent().unwrap().to_str().unwrap();
    let output = program::run(dir.path(), &["evaluate", "--truth", "truth.csv", folder, "--sheets", "sheets"]);
    assert_report(&output, &["capture rate 1.0000", "read rate 0.8889", "false reads an image 2.000"]);
    for sheet in ["misreads-1.jpg", "false-reads-1.jpg"] {
        let picture = image::open(dir.path().join("sheets").join(sheet)).unwrap().to_rgb8();
        let bright = (8..308).filter(|x| picture.get_pixel(*x, 160).0.iter().any(|c| *c > 60)).count();
        assert!(bright > 100, "{sheet}: its cell shows nothing");
    }
}

#[test]
fn photographs_stay_out_of_projects_and_options_fit_their_set() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("project/.git")).unwrap();
    std::fs::write(dir.path().join("boxes.csv"), "file,n_plates\na.png,0\n").unwrap();
    std::fs::write(dir.path().join("texts.csv"), "file,texts\na.png,A1\n").unwrap();
    std::fs::write(dir.path().join("junk.csv"), "file,text,box_in_crop_xyxy\na.png,,\n").unwrap();
    std::fs::write(dir.path().join("off.csv"), "file,text,box_in_crop_xyxy\na.png,A1,90 9 99 20\n").unwrap();
    std::fs::write(dir.path().join("two.csv"), "file,text,box_in_crop_xyxy\na.png,A1;B2,\n").unwrap();
    std::fs::write(dir.path().join("second.csv"), "file,x1,y1,x2,y2,detector_score,labelled\nb.png,1,2,3,4,0.9,0\n").unwrap();
    std::fs::write(dir.path().join("odd.csv"), "file,x1,y1,x2,y2,detector_score,labelled\na.png,1,2,3,4,0.9,maybe\n").unwrap();
    let evaluate = |truth: &str, more: &[&str]| program::run(dir.path(), &[&["evaluate", "--truth", truth, "."], more].concat());
    assert_answer(
        &evaluate("boxes.csv", &["--sheets", "project/sheets"]),
        64,
        &["project/sheets", "inside the checkout", "outside"],
    );
    assert!(!dir.path().join("project/sheets").exists());
    for (option, place) in [("--sheets", "project/sheets"), ("--scores", "project/scores.csv")] {
        assert_answer(&evaluate("texts.csv", &[option, place]), 64, &[place, "inside the checkout", "outside", option]);
        assert!(!dir.path().join(place).exists());
    }
    for truth in ["texts.csv", "boxes.csv"] {
        assert_answer(&evaluate(truth, &["--scores", truth]), 64, &[truth, "would be overwritten", "--scores"]);
    }
    assert_answer(&evaluate("texts.csv", &["--scores", "nowhere/scores.csv"]), 64, &["nowhere/scores.csv", "--scores"]);
    assert_answer(&evaluate("texts.csv", &["--second-opinion", "second.csv"]), 64, &["texts.csv", "n_plates"]);
    assert_answer(&evaluate("texts.csv", &["--labelled-boxes"]), 64, &["texts.csv", "--labelled-boxes", "box_in_crop_xyxy"]);
    assert_answer(&evaluate("boxes.csv", &["--labelled-boxes"]), 64, &["boxes.csv", "--labelled-boxes", "box_in_crop_xyxy"]);
    assert_answer(&evaluate("junk.csv", &["--least-read-rate", "0.5"]), 64, &["junk.csv", "no read rate"]);
    pictures::save(dir.path(), "a.png", &DynamicImage::new_rgb8(64, 32));
    for how in [&[][..], &["--labelled-boxes"]] {
        assert_answer(&evaluate("off.csv", how), 70, &["a.png", "[90.0, 9.0, 99.0, 20.0]", "64 x 32", "leave it out"]);
    }
    assert_answer(&evaluate("two.csv", &[]), 64, &["two.csv, line 2", "a crop has one mark", "boxes_xyxy"]);
    assert_answer(&evaluate("boxes.csv", &["--second-opinion", "second.csv"]), 64, &["second.csv", "none of its rows"]);
    assert_answer(&evaluate("boxes.csv", &["--second-opinion", "odd.csv"]), 64, &["odd.csv, line 2", "neither 0 nor 1"]);
    assert_answer(&evaluate("boxes.csv", &["--second-opinion", "boxes.csv"]), 64, &["boxes.csv", "no column `labelled`"]);
    assert_answer(&evaluate("boxes.csv", &["--scores", "nowhere/scores.csv"]), 64, &["nowhere/scores.csv", "--scores"]);
    assert_answer(&evaluate("boxes.csv", &["--least-read-rate", "0.5"]), 64, &["boxes.csv", "no read rate"]);
}
