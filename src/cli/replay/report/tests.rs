//! The page as a whole: that it is well formed, whatever the truth says, and says what it leaves out.

use super::svg::tests::is_well_formed;
use super::*;
use crate::cli::replay::faults::Kind;
use crate::cli::replay::gather::Gathered;
use crate::cli::replay::judge::judge;
use crate::cli::replay::judge::tests::{seen, vehicle};
use crate::cli::replay::report::pictures::Pictures;
use crate::cli::replay::tally::tests::told;
use crate::clock::UtcTime;

/// The page of a clip with so many vehicles that were missed, one misread and one stray; all that is said in the truth is markup.
fn page(missed: u32, cap: usize) -> String {
    let mut vehicles: Vec<_> = (0..missed).map(|i| vehicle("ZZ99ZZZ", f64::from(i) + 40.0, f64::from(i) + 40.5)).collect();
    vehicles.insert(0, vehicle("AB12CDE", 1.0, 2.0));
    for v in &mut vehicles {
        v.row.direction = Some("<img src=x onerror=alert(1)>".into());
        v.row.lane = Some("\"><script>".into());
        v.row.max_plate_width_px = Some(90.0);
    }
    let records =
        vec![told(&seen("AB12CDX", 1.0, 2.0, 0.0), 0.9, Some("AB12CDE")), told(&seen("KKK777K", 20.0, 21.0, 0.0), 0.99, None)];
    let gathered = Gathered { records, ..Gathered::default() };
    let verdict = judge(&vehicles, None, &gathered.seen_records(), &[]);
    let judged = Judged { vehicles: &vehicles, gathered: &gathered, verdict: &verdict, start: UtcTime::default() };
    let faults = faults(judged);
    let case = |f: &crate::cli::replay::faults::Fault| Case {
        fault: *f,
        view: View::of(f, judged, None),
        pictures: Pictures { patch: Some(vec![1, 2, 3]), overview: None },
    };
    let cases: Vec<Case> = faults.iter().take(cap).map(case).collect();
    let name = |text: &str| text.to_owned();
    let subject = Subject {
        clip: name("a&b <b>.mp4"),
        truth: name("<i>.csv"),
        corners: None,
        frames: 100,
        length_s: 10.0,
        models: [name("d<"), name("r>")],
    };
    page::html(&subject, judged, &Tally::of(judged), &faults, &cases)
}

#[test]
fn nothing_that_the_truth_says_becomes_markup() {
    let page = page(2, 99);
    let (_, body) = page.split_once("<body>").expect("a body");
    let (body, _) = body.split_once("</body>").expect("its end");
    // Pictures are the only tags that never close.
    let closed = body.split("<img ").enumerate().map(|(i, t)| if i == 0 { t.to_owned() } else { t.replacen('>', "/>", 1) });
    assert!(is_well_formed(&closed.collect::<Vec<_>>().join("<img ")), "{body}");
    for evil in ["<script", "<img src=x", "<i>", "<b>.mp4"] {
        assert!(!page.contains(evil), "{evil}");
    }
    assert!(page.contains("a&amp;b &lt;b&gt;.mp4") && page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(page.contains("src=\"data:image/jpeg;base64,AQID\""));
}

#[test]
fn faults_beyond_the_cap_are_counted() {
    let page = page(6, 4);
    assert!(page.contains("Missed: 6</h3><p class=\"faint\">vehicles without a record; 2 left out here"), "{page}");
    assert!(page.contains("Misread: 1</h3><p class=\"faint\">vehicles whose record has another mark; 1 left out here"));
    assert_eq!(page.matches("<figure class=\"case\">").count(), 4);
    assert!(Kind::ALL.iter().all(|k| page.contains(&format!("<h3>{}: ", k.heading()))));
}

#[test]
fn the_same_clip_gives_the_same_page() {
    assert!(page(3, 9) == page(3, 9));
}
