//! What is plotted: rates by class of vehicle, confidence against what came true, delays. Each plot with its table.

use std::fmt::Write;

use super::svg::{Bar, Group, Series, Title, bars, bins, escaped, histogram};
use crate::cli::rate::Rate;
use crate::cli::replay::latency::Delays;
use crate::cli::replay::strata::Stratum;
use crate::cli::replay::tally::{CAPTURE_WANTED, READ_WANTED, Tally};

/// Ends of the classes of confidence: most confidences lie near 1, and there it matters.
const CONFIDENCE: [f64; 7] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99];

/// Bars that a column of the page has room for; more get a row of their own.
const MOST_BARS: usize = 8;

/// All plots of a report, as HTML figures.
pub(super) fn all(tally: &Tally) -> String {
    let mut html = String::new();
    for (i, stratum) in tally.strata.iter().enumerate() {
        html += &rates(stratum, i);
    }
    html += &reliability(tally);
    for (i, (name, delays)) in tally.latencies.kinds().enumerate() {
        html += &latency(name, delays, i);
    }
    html
}

/// A share in words, as tables have it.
pub(super) fn percent(rate: Rate) -> String {
    if rate.of == 0 {
        return "–".to_owned();
    }
    let (low, high) = rate.interval();
    format!("{:.1} % [{:.1}, {:.1}] {}/{}", rate.share() * 100.0, low * 100.0, high * 100.0, rate.hits, rate.of)
}

fn bar(rate: Rate, claimed: Option<f64>, what: &str) -> Option<Bar> {
    let bar = || Bar { share: rate.share(), interval: rate.interval(), claimed, note: format!("{what}: {}", percent(rate)) };
    (rate.of > 0).then(bar)
}

/// Capture and read rate of each class.
fn rates(stratum: &Stratum, i: usize) -> String {
    let series = [
        Series { name: "captured", class: "a", wanted: Some(CAPTURE_WANTED) },
        Series { name: "read right", class: "b", wanted: Some(READ_WANTED) },
    ];
    let group = |class: &crate::cli::replay::strata::Class| Group {
        name: class.name.clone(),
        count: format!("n = {}", class.captured.of),
        bars: vec![bar(class.captured, None, "captured"), bar(class.right, None, "read right, of those captured")],
    };
    let groups: Vec<Group> = stratum.classes.iter().map(group).collect();
    let title = format!("Rates {}", stratum.title);
    let about = Title {
        id: &format!("s{i}"),
        title: &title,
        description: "For each class a bar for the share of vehicles captured and one for the share of those read right, with 95 % intervals",
    };
    let rows = stratum.classes.iter().map(|c| vec![c.name.clone(), percent(c.captured), percent(c.right)]);
    let is_wide = series.len() * groups.len() > MOST_BARS;
    figure(&title, (&bars(about, &series, &groups), is_wide), &["class", "captured", "read right, of those captured"], rows)
}

/// How often records of each confidence are right.
fn reliability(tally: &Tally) -> String {
    let bins: Vec<_> = tally.calibration.between(&CONFIDENCE).into_iter().filter(|b| b.right.of > 0).collect();
    if bins.is_empty() {
        return String::new();
    }
    let name = |(from, to): (f64, f64)| format!("{from}–{to}");
    let groups: Vec<Group> = bins
        .iter()
        .map(|b| Group {
            name: name(b.bounds),
            count: format!("n = {}", b.right.of),
            bars: vec![bar(b.right, Some(b.mean_confidence), "right")],
        })
        .collect();
    let title = "Confidence, stated and kept";
    let about = Title {
        id: "r0",
        title,
        description: "For each class of confidence a bar for the share of records whose mark is right, with its 95 % interval, and a diamond for the mean confidence stated",
    };
    let series = [Series { name: "records that are right", class: "a", wanted: None }];
    let rows = bins.iter().map(|b| vec![name(b.bounds), format!("{:.4}", b.mean_confidence), percent(b.right)]);
    figure(title, (&bars(about, &series, &groups), groups.len() > MOST_BARS), &["confidence", "stated on average", "right"], rows)
}

/// How delays spread.
fn latency(name: &str, delays: &Delays, i: usize) -> String {
    let bins = bins(delays.sorted_s());
    let line = |what: &str, value: Option<f64>| value.map(|v| (v, format!("{what} {v:.2} s")));
    let lines: Vec<_> = [line("median", delays.median_s()), line("p95", delays.p95_s())].into_iter().flatten().collect();
    let title = format!("Delay, {name}");
    let about = Title {
        id: &format!("d{i}"),
        title: &title,
        description: "Histogram of delays in the clip's own time, seconds, with their median and the delay that 95 % stay within",
    };
    let filled = bins.iter().filter(|b| b.count > 0);
    let rows = filled.map(|b| vec![format!("{:.2} to {:.2}", b.from, b.to), b.count.to_string()]);
    figure(&title, (&histogram(about, &bins, &lines), false), &["seconds", "count"], rows)
}

/// A plot with its table behind it.
fn figure(title: &str, (svg, is_wide): (&str, bool), header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let wide = if is_wide { " wide" } else { "" };
    let mut html = format!(
        "<figure class=\"plot{wide}\"><figcaption>{}</figcaption><div class=\"scroll\">{svg}</div><details><summary>Table</summary>",
        escaped(title)
    );
    html += &table("numbers", header, rows);
    html += "</details></figure>\n";
    html
}

/// A table; the first column names the row, `class` is one of the style sheet.
pub(super) fn table(class: &str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut html = format!("<div class=\"scroll\"><table class=\"{class}\"><thead><tr>");
    for cell in header {
        // Invariant: a String takes whatever is written.
        write!(html, "<th scope=\"col\">{}</th>", escaped(cell)).expect("a String takes all");
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for (i, cell) in row.iter().enumerate() {
            let (open, close) = if i == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
            html += open;
            html += &escaped(cell);
            html += close;
        }
        html += "</tr>";
    }
    html += "</tbody></table></div>";
    html
}
