//! The figures of a judged clip in words: the table on stdout, and the one that opens the report. No wall-clock and no CPU times: two
//! runs give the same bytes.

use std::io::Write;

use super::tally::{CAPTURE_WANTED, READ_WANTED, Tally};
use crate::cli::calibration::{Bins, CONFIDENT, Standard};
use crate::cli::rate::{Proof, Rate};

/// Width of the names of the table's lines.
const NAMES: usize = 28;

/// What stands in a line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A share with its count and interval.
    Share(Rate),
    /// Anything else.
    Text(String),
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) value: Value,
    /// What it means.
    pub(super) what: String,
}

impl Figure {
    fn share(name: &str, rate: Rate, what: &str) -> Self {
        Self { name: name.into(), value: Value::Share(rate), what: what.into() }
    }

    fn text(name: &str, text: String, what: &str) -> Self {
        Self { name: name.into(), value: Value::Text(text), what: what.into() }
    }
}

/// All figures, in order.
pub(super) fn figures(tally: &Tally) -> Vec<Figure> {
    let mut figures = of_vehicles(tally);
    figures.extend(of_records(tally));
    figures.extend(of_confidence(tally));
    for (name, delays) in tally.latencies.kinds() {
        let second = |s: Option<f64>| s.map_or_else(|| "-".to_owned(), |s| format!("{s:.3} s"));
        let text = format!("median {}, p95 {}", second(delays.median_s()), second(delays.p95_s()));
        figures.push(Figure::text(name, text, &format!("over {}, in the clip's own time", delays.sorted_s().len())));
    }
    if tally.latencies.at_end > 0 {
        let what = "records that the clip's end brought about: no delay from their last sighting";
        figures.push(Figure::text("  cut short", tally.latencies.at_end.to_string(), what));
    }
    figures
}

fn of_vehicles(tally: &Tally) -> Vec<Figure> {
    let mut figures =
        vec![Figure::text("vehicles", tally.captured.of.to_string(), "rows of the truth; front and rear count apart")];
    if tally.unreadable > 0 {
        figures.push(Figure::text("  left out", tally.unreadable.to_string(), "rows with no frame that a person can read"));
    }
    let sole: u64 = tally.unread.values().map(|u| u.sole).sum();
    figures.extend([
        Figure::share("capture rate", tally.captured, "of vehicles: a record, right or wrong"),
        Figure::share("  unread passages too", tally.traced, "of vehicles: a record or an unread passage"),
        Figure::share("read rate", tally.right, "of captured vehicles: exactly this mark"),
        Figure::share("  folded", tally.folded, "the same with O = 0 and I = 1"),
        Figure::share("  of all vehicles", tally.right_of_all, "captured and read right"),
        Figure::share("one record, and right", tally.exactly_one, "of vehicles: neither missed, misread nor repeated"),
        Figure::share("misread", tally.misread, "of captured vehicles: no record has the mark"),
        Figure::share(
            "duplicates",
            tally.repeated,
            &format!("of vehicles: more than one record; {}", counted(tally.further_records, "further record")),
        ),
        Figure::share(
            "missed",
            Rate { hits: tally.missed(), of: tally.captured.of },
            &format!("of vehicles: no record; {sole} of them an unread passage"),
        ),
    ]);
    figures
}

fn of_records(tally: &Tally) -> Vec<Figure> {
    let mut figures = vec![
        Figure::share("misattributed", tally.misattributed, "of records: the mark of another vehicle"),
        Figure::share("strays", tally.strays, "of records: of no vehicle in the truth"),
    ];
    if tally.beyond.of > 0 {
        let what = "records of plates that nobody could read by the truth, and how many are right";
        figures.push(Figure::share("beyond the truth", tally.beyond, what));
    }
    let what = format!("of records: wrong mark, confidence at least {CONFIDENT}");
    figures.push(Figure::share("wrong but confident", tally.wrong_but_sure, &what));
    let all: u64 = tally.unread.values().map(|u| u.all).sum();
    figures.push(Figure::text("unread passages", all.to_string(), "all, whether or not a vehicle in the truth"));
    for (reason, count) in &tally.unread {
        let what = format!("{} of them all there is of a vehicle", count.sole);
        figures.push(Figure::text(&format!("  {reason}"), count.all.to_string(), &what));
    }
    for (phase, count) in &tally.alerts {
        figures.push(Figure::text(&format!("{} alerts", phase.as_str()), count.to_string(), "told of marks on the hotlist"));
    }
    let mute = match tally.best_frame_mute {
        0 => String::new(),
        n => format!(", {n} of them no mark at all"),
    };
    let (best, fused) = (tally.best_frame_wrong.hits, tally.fused_wrong.hits);
    let what = format!(
        "of vehicles with a record or an unread passage (its guess): by the best frame alone{mute}; fused {fused}: {}",
        times_fewer(best, fused)
    );
    figures.push(Figure::share("wrong by best frame", tally.best_frame_wrong, &what));
    figures
}

/// How many times fewer fusion gets wrong.
fn times_fewer(best: u64, fused: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // vehicles of a clip
    let ratio = |a: u64, b: u64| a as f64 / b as f64;
    match (best, fused) {
        (0, 0) => "none either way".to_owned(),
        (_, 0) => "none left".to_owned(),
        (best, fused) if best == fused => "as many".to_owned(),
        (best, fused) if best < fused => format!("{:.1} times as many", ratio(fused, best.max(1))),
        (best, fused) => format!("{:.1} times fewer", ratio(best, fused)),
    }
}

fn of_confidence(tally: &Tally) -> Vec<Figure> {
    let calibration = &tally.calibration;
    let right = calibration.right(Standard::Exact);
    if right.of == 0 {
        return Vec::new();
    }
    let mean = format!("{:.4} against {:.4} right", calibration.mean_confidence(), right.share());
    let of = |width: f64, count: f64| format!("{width:.4} and {count:.4}");
    let error = |bins| calibration.error(Standard::Exact, bins);
    vec![
        Figure::text("mean confidence", mean, &format!("over {} records", right.of)),
        Figure::text(
            "calibration error",
            of(error(Bins::EqualWidth), error(Bins::EqualCount)),
            "expected calibration error in 10 bins of equal width, and of equal count",
        ),
        Figure::text(
            "  by chance alone",
            of(calibration.chance(Bins::EqualWidth), calibration.chance(Bins::EqualCount)),
            "what so few records show on average if each confidence is a probability",
        ),
    ]
}

/// What the exact tests say of capture rate and read rate, which the standard names: one sentence each.
pub(super) fn proofs(tally: &Tally) -> [String; 2] {
    [proof(tally.captured, CAPTURE_WANTED), proof(tally.right, READ_WANTED)]
}

fn proof(rate: Rate, wanted: f64) -> String {
    let percent = wanted * 100.0;
    let missed = counted(rate.of - rate.hits, "failure");
    let verdict = match rate.against(wanted) {
        Proof::Shown => "is shown".to_owned(),
        Proof::Refuted => "is not met, and that is no bad luck".to_owned(),
        Proof::Open => match rate.most_missed(wanted) {
            Some(most) => format!("is neither shown nor refuted: at most {most} failures of {} would show it", rate.of),
            None => "can't be shown with so few, however well they are read".to_owned(),
        },
    };
    format!("{percent:.0} % {verdict} ({missed} of {}; exact one-sided test, 95 %)", rate.of)
}

/// A number with its noun.
pub(super) fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A share, or a dash where there was nothing to count.
fn share(rate: Rate) -> String {
    if rate.of == 0 { "-".to_owned() } else { rate.to_string() }
}

/// Writes the whole table.
pub(super) fn write(out: &mut impl Write, tally: &Tally) -> std::io::Result<()> {
    for figure in figures(tally) {
        let value = match &figure.value {
            Value::Share(rate) => share(*rate),
            Value::Text(text) => text.clone(),
        };
        writeln!(out, "{:<NAMES$} {value:<31}  {}", figure.name, figure.what)?;
    }
    for (name, proof) in ["capture rate", "read rate"].into_iter().zip(proofs(tally)) {
        writeln!(out, "{name}: {proof}")?;
    }
    for stratum in &tally.strata {
        writeln!(out, "{:<NAMES$} {:<31}  read rate", stratum.title, "capture rate")?;
        for class in &stratum.classes {
            writeln!(out, "  {:<w$} {:<31}  {}", class.name, share(class.captured), share(class.right), w = NAMES - 2)?;
        }
    }
    Ok(())
}
