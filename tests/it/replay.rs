//! `replay --truth`: the bundled clip, held against a truth that is wrong in known places, and what is refused before it is replayed.

use std::path::Path;

use base64::Engine;

use crate::support::program;

/// The clip's own truth, with a mark changed (misread), a row too many (missed), and one too few (stray).
fn wrong_truth() -> String {
    let truth = std::fs::read_to_string(program::demo("truth.csv")).unwrap();
    let kept: Vec<String> =
        truth.lines().filter(|l| !l.starts_with("CE19PXA")).map(|l| l.replace("NU76DBK", "NU76DBX")).collect();
    format!("{}\nZZ99 ZZZ,90,110,receding,day,140\n", kept.join("\n"))
}

/// Every picture of a page, decoded.
fn pictures(page: &str) -> Vec<image::DynamicImage> {
    let encoded = page.split("src=\"data:image/jpeg;base64,").skip(1).map(|t| t.split('"').next().unwrap());
    encoded.map(|e| image::load_from_memory(&base64::prelude::BASE64_STANDARD.decode(e).unwrap()).unwrap()).collect()
}

#[test]
fn pipeline_replay_with_truth_counts_vehicles_and_writes_one_page_that_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("truth.csv"), wrong_truth()).unwrap();
    let (clip, hotlist) = (program::demo("drive_by.mp4"), program::demo("hotlist.csv"));
    let run = |report: &str, more: &[&str]| {
        let args = ["replay", clip.to_str().unwrap(), "--hotlist", hotlist.to_str().unwrap(), "--truth", "truth.csv", "--list"];
        let output = program::run(dir.path(), &[&args[..], &["--report", report], more].concat());
        assert!(output.status.success(), "{}", program::stderr(&output));
        assert!(program::stderr(&output).contains("CPU ms a frame"), "{}", program::stderr(&output));
        (program::stdout(&output), std::fs::read_to_string(dir.path().join(report).join("report.html")).unwrap())
    };
    let (text, page) = run("a/new", &["--records", "records.jsonl"]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "missed: ZZ99ZZZ (line 11): nothing",
        "misread: NU76DBX (line 7): NU76DBK (",
        "stray: no vehicle: CE19PXA (",
        "vehicles 10 ",
        "capture rate 0.9000 [0.5958, 0.9821] 9/10 ",
        "read rate 0.8889 [0.5650, 0.9801] 8/9 ",
        "one record, and right 0.8000 ",
        "misread 0.1111 ",
        "duplicates 0.0000 ",
        "misattributed 0.0000 [0.0000, 0.2775] 0/10 ",
        "strays 0.1000 ",
        "readable to early alert median ",
        "capture rate: 98 % can't be shown",
        "12:00 0.9000 ",
        "receding 0.8",
    ] {
        assert!(text.lines().any(|l| words(l).starts_with(line)), "{line:?} is missing from: {text}");
    }
    let records = std::fs::read_to_string(dir.path().join("records.jsonl")).unwrap();
    assert_eq!(records.lines().filter(|l| l.contains("kerbside.read/1")).count(), 10, "{records}");

    assert!(page.contains("<strong>Personal data.</strong>") && page.contains("default-src 'none'"));
    for outside in ["<script", "<link", "http://", "https://", "url(", "@import", dir.path().to_str().unwrap()] {
        assert!(!page.contains(outside), "{outside:?} is in the page");
    }
    for said in ["ZZ99ZZZ", "<b class=\"wrong\">", "Missed: 1", "Misread: 1", "Duplicates: 0", "Strays: 1", "drive_by.mp4"] {
        assert!(page.contains(said), "{said:?} is not in the page");
    }
    // A patch and its surroundings of each of two, and a frame for the vehicle that nobody knows the place of.
    let pictures = pictures(&page);
    assert_eq!(pictures.len(), 5);
    assert!(pictures.iter().any(|p| p.width() == 800) && pictures.iter().filter(|p| p.width() == 480).count() == 2);
    assert!(page.matches("<svg").count() >= 6 && page.matches("<svg").count() == page.matches("<details>").count());

    let again = run("b", &[]);
    assert!(again == (text, page), "two runs differ");
}

#[test]
fn what_is_wrong_is_said_before_the_clip_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let clip = program::demo("drive_by.mp4");
    std::fs::write(dir.path().join("truth.csv"), wrong_truth()).unwrap();
    std::fs::write(dir.path().join("bad.csv"), "vrm,first_s,last_s\nAB12CDE,3,1\n").unwrap();
    std::fs::write(dir.path().join("other.csv"), "vrm,first_frame,last_frame\nAB12CDE,9000,9010\n").unwrap();
    std::fs::write(dir.path().join("corners.csv"), "frame,vrm\n1,AB12CDE\n").unwrap();
    std::fs::create_dir(dir.path().join("taken")).unwrap();
    std::fs::hard_link(dir.path().join("truth.csv"), dir.path().join("taken/report.html")).unwrap();
    std::fs::create_dir(dir.path().join("linked")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("linked/report.html")).unwrap();
    std::fs::create_dir_all(dir.path().join("checkout/.git")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("checkout"), dir.path().join("way_in")).unwrap();
    let inside = program::root().join("report-of-a-test");
    let inside = inside.to_str().unwrap();
    let refused = |args: &[&str], said: &str| {
        // No models there: whatever is refused is refused before they are loaded.
        let mut command = program::kerbside(dir.path());
        let output =
            command.env("KERBSIDE_MODELS", "/nowhere").args(["replay", clip.to_str().unwrap()]).args(args).output().unwrap();
        let stderr = program::stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {said:?} is missing from: {stderr}");
    };
    refused(&["--truth", "nowhere.csv"], "nowhere.csv: can't be opened");
    refused(&["--truth", "bad.csv"], "bad.csv, line 2: column `last_s`: 1 is before `first_s`, 3");
    refused(
        &["--truth", "other.csv"],
        "other.csv, line 2, column `first_frame`: 9000 is after the clip's end: this clip has 400 frames",
    );
    refused(&["--truth", "truth.csv", "--corners", "corners.csv"], "corners.csv: no column `x0`");
    refused(&["--report", "out"], "--truth <CSV>");
    refused(&["--corners", "corners.csv"], "--truth <CSV>");
    refused(&["--list"], "--truth <CSV>");
    let report = |place: &str, said: &str| refused(&["--truth", "truth.csv", "--report", place], said);
    report(inside, "a report holds photographs and marks, which may not come into a project");
    report("checkout/deep/er", "lies inside the checkout");
    report("way_in/deep", "lies inside the checkout");
    report("taken", "which is read here and would be overwritten; choose another place for --report");
    report("linked", "is a link; give the file itself for --report");
    report("truth.csv", "can't be made; choose another --report folder");
    refused(&["--records", "checkout/records.jsonl"], "lies inside the checkout");
    refused(&["--truth", "truth.csv", "--records", "truth.csv"], "choose another place for --records");
    assert!(!Path::new(inside).exists() && !dir.path().join("checkout/deep").exists() && !dir.path().join("elsewhere").exists());
}

#[test]
fn what_a_profile_masks_is_neither_read_nor_shown() {
    let dir = tempfile::tempdir().unwrap();
    // The left half, where receding vehicles drive; the approaching ones keep to the right.
    let profile =
        "frame_px = [1280, 720]\nregion_px = [0, 120, 1280, 720]\nmasks_px = [[[0, 0], [620, 0], [620, 720], [0, 720]]]\n";
    std::fs::write(dir.path().join("p.toml"), profile).unwrap();
    let (clip, truth) = (program::demo("drive_by.mp4"), program::demo("truth.csv"));
    let (clip, truth) = (clip.to_str().unwrap(), truth.to_str().unwrap());
    let replay = ["replay", clip, "--calibration", "p.toml", "--truth", truth, "--report", "r", "--records", "m.jsonl"];
    let output = program::run(dir.path(), &replay);
    assert!(output.status.success(), "{}", program::stderr(&output));
    let messages = std::fs::read_to_string(dir.path().join("m.jsonl")).unwrap();
    let mut masked = 0;
    for row in std::fs::read_to_string(truth).unwrap().lines().skip(1) {
        let (mark, is_masked) = (row.split(',').next().unwrap(), row.contains("receding"));
        masked += usize::from(is_masked);
        assert_eq!(messages.contains(mark), !is_masked, "{mark}: {messages}");
    }
    assert_eq!((masked, messages.lines().count()), (5, 5), "not even a passage that could not be read: {messages}");
    // The report shows where each vehicle that was missed should have been: the frame as the pipeline had it.
    let black = |picture: &image::RgbImage, width: u32| {
        let left = image::imageops::crop_imm(picture, 0, 0, width * picture.width() / 1280, picture.height()).to_image();
        left.pixels().all(|p| p.0.iter().all(|v| *v < 24))
    };
    let shown = pictures(&std::fs::read_to_string(dir.path().join("r/report.html")).unwrap());
    assert!(shown.len() == 5 && shown.iter().all(|p| p.width() == 800 && black(&p.to_rgb8(), 600)));
    assert!(shown.iter().all(|p| !black(&p.to_rgb8(), 1280)), "the rest is to be seen");
    // A photograph, and a clip whose best frames are written out.
    crate::support::pictures::frame(46).save(dir.path().join("46.png")).unwrap();
    let output = program::run(dir.path(), &["read", "--calibration", "p.toml", "--annotate", "a", "46.png", clip]);
    let text = program::stdout(&output);
    assert!(output.status.success() && text.contains("GO10OLO") && !text.contains("LK24HJV"), "{text}");
    let written: Vec<_> =
        std::fs::read_dir(dir.path().join("a")).unwrap().map(|e| image::open(e.unwrap().path()).unwrap()).collect();
    assert!(written.len() == 6 && written.iter().all(|p| black(&p.to_rgb8(), 600)), "{}", written.len());
    // A profile that can't be right is told.
    std::fs::write(dir.path().join("p.toml"), profile.replace("620", "1281")).unwrap();
    let output = program::run(dir.path(), &["read", "--calibration", "p.toml", "46.png"]);
    assert!(output.status.code() == Some(78) && program::stderr(&output).contains("masks_px[0]: [1281, 0] is not inside"));
}
