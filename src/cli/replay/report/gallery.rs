//! The contact sheet of a report: every fault with its pictures, what the truth says and what was read.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::pictures::{Pictures, View};
use super::svg::escaped;
use crate::anpr::decode::Decoded;
use crate::anpr::vrm::Vrm;
use crate::cli::replay::faults::{Fault, Kind};
use crate::cli::replay::tally::Judged;

/// A fault as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) fault: Fault,
    pub(super) view: View,
    pub(super) pictures: Pictures,
}

/// The contact sheet, kind by kind. `all` are all faults, of which the cases are those that are shown.
pub(super) fn html(judged: Judged<'_>, all: &[Fault], cases: &[Case]) -> String {
    let mut html = String::new();
    for kind in Kind::ALL {
        let total = all.iter().filter(|f| f.kind == kind).count();
        let shown: Vec<&Case> = cases.iter().filter(|c| c.fault.kind == kind).collect();
        let left_out = match total - shown.len() {
            0 => String::new(),
            n => format!("; {n} left out here, <code>--list</code> prints all"),
        };
        html += &format!("<h3>{}: {total}</h3><p class=\"faint\">{}{left_out}</p>", kind.heading(), escaped(kind.meaning()));
        html += "<div class=\"cases\">";
        shown.iter().for_each(|case| html += &figure(judged, case));
        html += "</div>\n";
    }
    html
}

fn figure(judged: Judged<'_>, case: &Case) -> String {
    let (fault, frame) = (case.fault, case.view.frame);
    let mut html = String::from("<figure class=\"case\">");
    html += &picture("patch", &format!("Plate patch, frame {frame}"), case.pictures.patch.as_deref());
    html += &picture("overview", &format!("Surroundings, frame {frame}"), case.pictures.overview.as_deref());
    html += "<figcaption>";
    let vehicle = fault.vehicle.map(|v| &judged.vehicles[v]);
    let truth = vehicle.map(|v| v.row.vrm).or_else(|| fault.record.and_then(|i| judged.shown(i)));
    let decoded = fault.decoded(judged);
    html += "<dl>";
    html += &entry("truth", &truth.map_or_else(|| "no vehicle".to_owned(), |m| format!("<span class=\"mark\">{m}</span>")));
    html += &entry(
        if fault.unread.is_some() { "guess" } else { "read" },
        &decoded.map_or_else(|| "nothing".to_owned(), |d| mark(&d, truth)),
    );
    html += "</dl>";
    for line in lines(judged, case, decoded.as_ref()) {
        html += &format!("<p>{}</p>", escaped(&line));
    }
    html + "</figcaption></figure>"
}

fn entry(name: &str, value: &str) -> String {
    format!("<div><dt>{name}</dt><dd>{value}</dd></div>")
}

fn picture(class: &str, alt: &str, jpeg: Option<&[u8]>) -> String {
    let source = |jpeg: &[u8]| BASE64_STANDARD.encode(jpeg);
    jpeg.map_or_else(String::new, |jpeg| {
        format!("<img class=\"{class}\" alt=\"{}\" src=\"data:image/jpeg;base64,{}\">", escaped(alt), source(jpeg))
    })
}

/// A mark with the characters that the truth has otherwise struck out in colour, and the weakest one underlined.
fn mark(decoded: &Decoded, truth: Option<Vrm>) -> String {
    let same_length = truth.filter(|t| t.len() == decoded.vrm.len());
    let mut html = String::from("<span class=\"mark\">");
    for (i, glyph) in decoded.vrm.glyphs().iter().enumerate() {
        let is_wrong = same_length.is_some_and(|t| t.glyphs().get(i) != Some(glyph));
        let is_weakest = usize::from(decoded.weakest.place) == i;
        html += &match (is_wrong, is_weakest) {
            (false, false) => glyph.to_string(),
            (true, false) => format!("<b class=\"wrong\">{glyph}</b>"),
            (false, true) => format!("<u>{glyph}</u>"),
            (true, true) => format!("<b class=\"wrong\"><u>{glyph}</u></b>"),
        };
    }
    html + "</span>"
}

/// The small lines.
fn lines(judged: Judged<'_>, case: &Case, decoded: Option<&Decoded>) -> Vec<String> {
    let (fault, gathered) = (case.fault, judged.gathered);
    let mut lines = Vec::new();
    if let Some(d) = decoded {
        let weakest = d.vrm.glyphs().get(usize::from(d.weakest.place)).map(ToString::to_string).unwrap_or_default();
        lines.push(format!("confidence {:.3}; weakest {weakest} at {:.3}; eye {}", d.confidence, d.weakest.probability, d.raw));
        let others: Vec<String> = d.alternatives.iter().flatten().map(|a| format!("{} {:.3}", a.vrm, a.confidence)).collect();
        lines.push(if others.is_empty() { "no runner-up".to_owned() } else { format!("or {}", others.join(", ")) });
    }
    if let Some(r) = fault.record.map(|i| &gathered.records[i].record) {
        let alone = r.best_read.map_or_else(|| "nothing".to_owned(), |d| format!("{} {:.3}", d.vrm, d.confidence));
        lines.push(format!("{} reads, {} agree; best frame alone: {alone}", r.reads, r.agreeing));
    }
    if let Some(u) = fault.unread.map(|i| &gathered.unread[i]) {
        lines.push(format!("unread passage: {}", u.reason.as_str()));
    }
    if fault.record.is_none() && fault.unread.is_none() {
        lines.push("no record and no unread passage".to_owned());
    }
    if let Some(v) = fault.vehicle.map(|v| &judged.vehicles[v]) {
        let told = [
            Some(format!("truth line {}", v.row.line)),
            v.row.max_plate_width_px.map(|w| format!("{w:.0} px at best")),
            v.row.max_char_height_px.map(|h| format!("characters {h:.0} px")),
            v.row.speed_mph.map(|s| format!("{s:.0} mph")),
            v.row.direction.clone(),
            v.row.lane.as_ref().map(|l| format!("lane {l}")),
            v.row.end.clone(),
        ];
        lines.push(told.into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    let at_s = fault.at_s(judged);
    #[allow(clippy::cast_possible_truncation)] // seconds of a clip
    let utc = judged.start.plus_micros((at_s * 1e6).round() as i64);
    lines.push(format!("frame {}, {at_s:.2} s, {utc}", case.view.frame));
    lines
}
