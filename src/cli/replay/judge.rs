//! Which vehicle of the truth each record belongs to, and which record gives the mark of another one.
//!
//! With corners a record belongs to the vehicle whose plate lies where its best frame has it. Without, it belongs to the vehicle that
//! carries its mark at that time; records that are left go to vehicles in view that have none, the nearest in edits first. What no
//! rule gives to a vehicle is a stray. Nothing here is random, and the order of the rows decides only between equals. Pure: no pixels, no files.

use super::corners::Corners;
use super::truth::Row;
use crate::anpr::vrm::Vrm;
use crate::cli::edits::edits;
use crate::geometry::{FramePx, Quad};

/// How far a record may lie outside a vehicle's time and still be of it, seconds: people's clocks are no better.
pub(super) const TOLERANCE_S: f64 = 1.0;

/// From when to when, seconds into the clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) first_s: f64,
    pub(super) last_s: f64,
}

impl Span {
    /// Seconds between two spans; below zero by as much as they overlap.
    pub(super) fn gap_s(self, other: Self) -> f64 {
        (self.first_s - other.last_s).max(other.first_s - self.last_s)
    }
}

/// A row of the truth, placed in the clip.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vehicle {
    pub(super) row: Row,
    /// When its plate is in view.
    pub(super) span: Span,
    /// From when on a person can read it, seconds into the clip.
    pub(super) readable_s: f64,
    /// First and last frame in which a person can read it.
    pub(super) frames: (u64, u64),
}

impl Vehicle {
    /// Places a row by where the clip's frames lie in time, seconds.
    pub(super) fn new(row: Row, positions_s: &[f64]) -> Self {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let at = |frame: u64| {
            let known = usize::try_from(frame).ok().and_then(|i| positions_s.get(i));
            known.or_else(|| positions_s.last()).copied().unwrap_or(0.0)
        };
        let last = count(positions_s.len().saturating_sub(1));
        let frame_at = |s: f64| count(positions_s.partition_point(|p| *p < s)).min(last);
        let by_frames = row.frames.map(|(a, b)| Span { first_s: at(a), last_s: at(b) });
        let by_seconds = row.seconds.map(|(a, b)| Span { first_s: a, last_s: b });
        // Invariant: a row has one of the two, or it would not have been read.
        let either = by_frames.or(by_seconds).unwrap_or(Span { first_s: 0.0, last_s: 0.0 });
        let other = by_seconds.unwrap_or(either);
        let span = Span { first_s: either.first_s.min(other.first_s), last_s: either.last_s.max(other.last_s) };
        let frames = row.frames.unwrap_or_else(|| (frame_at(either.first_s), frame_at(either.last_s)));
        Self { span, readable_s: either.first_s, frames: (frames.0.min(last), frames.1.min(last)), row }
    }
}

/// What the judge needs of a record or an unread passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// The mark, or the guess of an unread passage.
    pub(super) mark: Option<Vrm>,
    /// From its first sighting to its last.
    pub(super) span: Span,
    /// The frame that was read best.
    pub(super) best_frame: u64,
    /// Where the plate is in it.
    pub(super) quad: Quad<FramePx>,
}

impl Seen {
    /// Whether it says this mark, look-alikes folded.
    fn says(&self, mark: Vrm) -> bool {
        self.mark.is_some_and(|m| m.key() == mark.key())
    }
}

/// Where a record belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Home {
    /// To this vehicle, by its place among the rows.
    Vehicle(usize),
    /// To a vehicle with this mark that is in the corners but not in the truth: nobody could read it.
    Unlisted(Vrm),
    /// To none.
    Nowhere,
}

/// A clip, judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Where each record belongs.
    pub(super) homes: Vec<Home>,
    /// Whether it gives the mark of another vehicle.
    pub(super) misattributed: Vec<bool>,
    /// Where each unread passage belongs.
    pub(super) unread_homes: Vec<Home>,
    /// The records of each vehicle, in the order in which they came.
    pub(super) records: Vec<Vec<usize>>,
    /// Its unread passages.
    pub(super) unread: Vec<Vec<usize>>,
}

/// Judges a clip.
pub(super) fn judge(vehicles: &[Vehicle], corners: Option<&Corners>, records: &[Seen], unread: &[Seen]) -> Verdict {
    let (homes, misattributed, unread_homes) = if let Some(corners) = corners {
        let place = |seen: &Seen| by_place(vehicles, corners, seen);
        let homes: Vec<Home> = records.iter().map(place).collect();
        let misattributed = homes.iter().zip(records).map(|(home, seen)| is_of_another(vehicles, *home, seen)).collect();
        (homes, misattributed, unread.iter().map(place).collect())
    } else {
        let (homes, misattributed) = by_time(vehicles, records);
        let unread_homes = unread_by_time(vehicles, &homes, unread);
        (homes, misattributed, unread_homes)
    };
    let of = |homes: &[Home], v: usize| (0..homes.len()).filter(|i| homes[*i] == Home::Vehicle(v)).collect::<Vec<_>>();
    let records = (0..vehicles.len()).map(|v| of(&homes, v)).collect();
    let unread = (0..vehicles.len()).map(|v| of(&unread_homes, v)).collect();
    Verdict { homes, misattributed, unread_homes, records, unread }
}

/// The vehicle whose plate is there. Its front and its rear share the plate: time says which.
fn by_place(vehicles: &[Vehicle], corners: &Corners, seen: &Seen) -> Home {
    let Some(plate) = corners.owner(seen.best_frame, seen.quad) else { return Home::Nowhere };
    let its = (0..vehicles.len()).filter(|v| plate.is_of(&vehicles[*v].row));
    nearest(vehicles, its, seen.span).map_or(Home::Unlisted(plate.vrm), Home::Vehicle)
}

/// Whether a record whose evidence shows one vehicle gives the mark of another that is in view.
fn is_of_another(vehicles: &[Vehicle], home: Home, seen: &Seen) -> bool {
    let own = match home {
        Home::Vehicle(v) => vehicles[v].row.vrm,
        Home::Unlisted(mark) => mark,
        Home::Nowhere => return false,
    };
    let in_view = |v: &&Vehicle| v.span.gap_s(seen.span) <= TOLERANCE_S;
    !seen.says(own) && vehicles.iter().filter(in_view).any(|v| seen.says(v.row.vrm))
}

/// Homes by mark and time alone, and which records give the mark of a vehicle that was not there.
fn by_time(vehicles: &[Vehicle], records: &[Seen]) -> (Vec<Home>, Vec<bool>) {
    let mut homes = vec![Home::Nowhere; records.len()];
    let mut misattributed = vec![false; records.len()];
    let all = 0..vehicles.len();
    for (home, seen) in homes.iter_mut().zip(records) {
        let near = |v: &usize| vehicles[*v].span.gap_s(seen.span) <= TOLERANCE_S;
        let exact = all.clone().filter(near).filter(|v| seen.mark == Some(vehicles[*v].row.vrm));
        let folded = all.clone().filter(near).filter(|v| seen.says(vehicles[*v].row.vrm));
        *home = nearest(vehicles, exact, seen.span).or_else(|| nearest(vehicles, folded, seen.span)).map_or(*home, Home::Vehicle);
    }
    let mut has_record = having(vehicles, &homes);
    // A mark of a vehicle that was elsewhere, while one is in view that nothing was said of.
    for (i, seen) in records.iter().enumerate().filter(|(i, _)| homes[*i] == Home::Nowhere).collect::<Vec<_>>() {
        let bare = all.clone().filter(|v| !has_record[*v] && vehicles[*v].span.gap_s(seen.span) <= 0.0);
        if vehicles.iter().any(|v| seen.says(v.row.vrm))
            && let Some(v) = nearest(vehicles, bare, seen.span)
        {
            (homes[i], misattributed[i], has_record[v]) = (Home::Vehicle(v), true, true);
        }
    }
    // Each vehicle without a record takes the one that looks most like its mark; then those left are further records of those in view.
    for takes_several in [false, true] {
        for (_, i, v) in likenesses(vehicles, records, &homes) {
            if homes[i] == Home::Nowhere && (takes_several || !has_record[v]) {
                (homes[i], has_record[v]) = (Home::Vehicle(v), true);
            }
        }
    }
    (homes, misattributed)
}

/// Pairs of homeless records and vehicles in view whose marks differ in half their characters at most, likest first.
fn likenesses(vehicles: &[Vehicle], seen: &[Seen], homes: &[Home]) -> Vec<(usize, usize, usize)> {
    let homeless = (0..seen.len()).filter(|i| homes[*i] == Home::Nowhere);
    let pairs = homeless.flat_map(|i| (0..vehicles.len()).map(move |v| (i, v)));
    let near = pairs.filter(|(i, v)| vehicles[*v].span.gap_s(seen[*i].span) <= TOLERANCE_S);
    let mut alike: Vec<_> = near
        .filter_map(|(i, v)| {
            let (truth, read) = (vehicles[v].row.vrm, seen[i].mark?);
            let edits = edits(truth.glyphs(), read.glyphs());
            (2 * edits <= truth.len().max(read.len())).then_some((edits, i, v))
        })
        .collect();
    let gap = |(_, i, v): &(usize, usize, usize)| vehicles[*v].span.gap_s(seen[*i].span);
    alike.sort_by(|a, b| a.0.cmp(&b.0).then(gap(a).total_cmp(&gap(b))).then(a.cmp(b)));
    alike
}

/// Unread passages: by guess as records are, then to vehicles in view that have neither record nor unread passage yet.
fn unread_by_time(vehicles: &[Vehicle], record_homes: &[Home], unread: &[Seen]) -> Vec<Home> {
    let (mut homes, _) = by_time(vehicles, unread);
    let mut is_told: Vec<bool> =
        having(vehicles, record_homes).into_iter().zip(having(vehicles, &homes)).map(|(a, b)| a || b).collect();
    for (home, seen) in homes.iter_mut().zip(unread).filter(|(home, _)| **home == Home::Nowhere) {
        let bare = (0..vehicles.len()).filter(|v| !is_told[*v] && vehicles[*v].span.gap_s(seen.span) <= 0.0);
        if let Some(v) = nearest(vehicles, bare, seen.span) {
            (*home, is_told[v]) = (Home::Vehicle(v), true);
        }
    }
    homes
}

/// Which vehicles something belongs to.
fn having(vehicles: &[Vehicle], homes: &[Home]) -> Vec<bool> {
    (0..vehicles.len()).map(|v| homes.contains(&Home::Vehicle(v))).collect()
}

/// The vehicle, of these, that is nearest in time; of equals the first.
fn nearest(vehicles: &[Vehicle], of: impl Iterator<Item = usize>, span: Span) -> Option<usize> {
    let gap = |v: usize| vehicles[v].span.gap_s(span);
    of.reduce(|best, next| if gap(next) < gap(best) { next } else { best })
}

#[cfg(test)]
pub(super) mod tests;
