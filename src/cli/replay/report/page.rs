//! The page around plots and pictures: one file that needs nothing else. No scripts, no fonts, no links; a policy in its head refuses
//! them all, so that a page of personal data can't call out even if something slipped in.

use super::gallery;
use super::gallery::Case;
use super::plots::{self, percent};
use super::svg::escaped;
use crate::cli::rate::{Proof, Rate};
use crate::cli::replay::faults::Fault;
use crate::cli::replay::summary::{self, Value};
use crate::cli::replay::tally::{CAPTURE_WANTED, Judged, READ_WANTED, Tally};

/// What was replayed, in words.
#[derive(Clone, Debug)]
pub(in crate::cli::replay) struct Subject {
    /// Name of the clip's file.
    pub(in crate::cli::replay) clip: String,
    /// Name of the truth's file.
    pub(in crate::cli::replay) truth: String,
    /// Name of the corners' file.
    pub(in crate::cli::replay) corners: Option<String>,
    /// Frames replayed.
    pub(in crate::cli::replay) frames: usize,
    /// Position of the last frame, seconds.
    pub(in crate::cli::replay) length_s: f64,
    /// Names of detector and reader.
    pub(in crate::cli::replay) models: [String; 2],
}

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn html(subject: &Subject, judged: Judged<'_>, tally: &Tally, faults: &[Fault], cases: &[Case]) -> String {
    let clip = escaped(&subject.clip);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Kerbside replay of {clip}</title><style>\n{STYLE}</style></head>\n<body>\n"
    );
    page += &format!(
        "<p class=\"notice\"><strong>Personal data.</strong> This page holds number plates and photographs of vehicles. Keep it where such \
         data belong, pass it on to nobody who need not see it, and delete it when the evaluation is over.</p>\n\
         <header><h1>Replay of {clip}</h1><p class=\"faint\">{}</p></header>\n<main>\n",
        escaped(&about(subject, judged))
    );
    page += &headline(tally);
    page += "<section><h2>Figures</h2>";
    let rows = summary::figures(tally).into_iter().map(|f| {
        let value = match f.value {
            Value::Share(rate) => percent(rate),
            Value::Text(text) => text,
        };
        vec![f.name, value, f.what]
    });
    page += &plots::table("figures", &["figure", "value", "meaning"], rows);
    page += "<p class=\"faint\">Shares with their 95 % interval (Wilson) and count.</p></section>\n<section><h2>Plots</h2><div class=\"plots\">\n";
    page += &plots::all(tally);
    page += "</div></section>\n<section><h2>Missed, misread and the rest</h2>";
    page += "<p class=\"faint\">In what was read, red is what the truth has otherwise, underlined the character that the eye is least sure of.</p>";
    page += &gallery::html(judged, faults, cases);
    page += "</section>\n</main></body></html>\n";
    page
}

/// What was replayed and how it was judged.
fn about(subject: &Subject, judged: Judged<'_>) -> String {
    let [detector, reader] = &subject.models;
    let rule = subject.corners.as_ref().map_or_else(
        || "by mark and time; a mark given to the wrong one of two vehicles in view can't be told from a duplicate".to_owned(),
        |file| format!("by where each plate is ({file})"),
    );
    format!(
        "{} frames, {:.1} s from {}; truth {}; records belong to vehicles {rule}; {detector}, {reader}; kerbside {}",
        subject.frames,
        subject.length_s,
        judged.start,
        subject.truth,
        env!("CARGO_PKG_VERSION")
    )
}

/// The numbers that open the page.
fn headline(tally: &Tally) -> String {
    let [capture, read] = summary::proofs(tally);
    let further = summary::counted(tally.further_records, "further record");
    let tiles = [
        tile("Captured", tally.captured, Some(CAPTURE_WANTED), &capture),
        tile("Read right, of those captured", tally.right, Some(READ_WANTED), &read),
        tile("One record, and right", tally.exactly_one, None, "neither missed, misread nor repeated"),
        tile("Duplicates", tally.repeated, None, &further),
        tile("Misattributed records", tally.misattributed, None, "the mark of another vehicle"),
        tile("Wrong but confident records", tally.wrong_but_sure, None, "confidence at least 0.95"),
    ];
    format!("<section class=\"tiles\">{}</section>\n", tiles.concat())
}

fn tile(name: &str, rate: Rate, wanted: Option<f64>, note: &str) -> String {
    let share = if rate.of == 0 { "–".to_owned() } else { format!("{:.1} %", rate.share() * 100.0) };
    let (low, high) = rate.interval();
    let badge = wanted.map_or_else(String::new, |wanted| {
        let (class, word) = match rate.against(wanted) {
            Proof::Shown => ("good", "shown"),
            Proof::Refuted => ("bad", "not met"),
            Proof::Open => ("open", "undecided"),
        };
        format!(" <span class=\"badge {class}\">{:.0} % {word}</span>", wanted * 100.0)
    });
    format!(
        "<div class=\"tile\"><p class=\"name\">{}</p><p class=\"share\">{share}{badge}</p>\
         <p>{} of {}, 95 % interval {:.1} to {:.1} %</p><p class=\"faint\">{}</p></div>",
        escaped(name),
        rate.hits,
        rate.of,
        low * 100.0,
        high * 100.0,
        escaped(note)
    )
}
