//! Which candidate stands for which labelled box, in one picture: as labelled, and as a second opinion would have it.
//!
//! Labels of such sets are often loose, and many plates in the background have none. A second opinion, boxes of another
//! detector, tells those from faults of ours. It adjudicates; it never changes what is counted as labelled.

use crate::geometry::{FramePx, Rect};
use crate::vision::detector::Candidate;

/// Overlap (intersection over union) at which a box counts as found.
pub(super) const FOUND_IOU: f32 = 0.5;
/// Least overlap at which a label and a box of the second opinion are taken to mean one plate, loosely drawn.
const LOOSE_IOU: f32 = 0.2;

/// A box of the second opinion.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecondBox {
    pub(super) bounds: Rect<FramePx>,
    /// Whether a label lies on it.
    pub(super) labelled: bool,
}

/// What became of a labelled box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) bounds: Rect<FramePx>,
    /// The candidate that found it, as labelled.
    pub(super) found_by: Option<usize>,
    /// The candidate that found it, or the second opinion's tighter box around the same plate.
    pub(super) adjudicated: Option<usize>,
    /// The largest overlap with any candidate.
    pub(super) best_iou: f32,
}

/// How a candidate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It found a labelled plate.
    Found,
    /// There is no plate.
    False,
    /// There is a plate that the labels leave out.
    Neither,
}

impl Fate {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::False => "false",
            Self::Neither => "neither",
        }
    }
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) candidate: Candidate,
    /// The label that it found, as labelled.
    pub(super) label: Option<usize>,
    /// How it counts once the second opinion was heard; without one, as labelled.
    pub(super) adjudicated: Fate,
    /// Its overlap with the label that it fits best.
    pub(super) best_iou: f32,
}

/// One picture, judged.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) labels: Vec<Label>,
    pub(super) candidates: Vec<Judged>,
}

impl Verdict {
    /// Candidates that are false as labelled, and once adjudicated.
    pub(super) fn false_boxes(&self) -> (usize, usize) {
        let labelled = self.candidates.iter().filter(|c| c.label.is_none()).count();
        (labelled, self.candidates.iter().filter(|c| c.adjudicated == Fate::False).count())
    }
}

/// Holds candidates against labels: each label takes the free candidate that fits it best; then those that are left look for a
/// candidate on the second opinion's box of the same plate; then candidates that are left and lie on a plate that the
/// labels don't have count neither way.
pub(super) fn judge(labels: &[Rect<FramePx>], second: &[SecondBox], candidates: &[Candidate]) -> Verdict {
    let overlap = |i: usize, target: Rect<FramePx>| candidates[i].bounds.iou(target);
    let mut of_label: Vec<Option<usize>> = vec![None; candidates.len()];
    let mut fates = vec![Fate::False; candidates.len()];
    let best_free = |fates: &[Fate], target: Rect<FramePx>| {
        (0..candidates.len())
            .filter(|i| fates[*i] == Fate::False && overlap(*i, target) >= FOUND_IOU)
            .max_by(|a, b| overlap(*a, target).total_cmp(&overlap(*b, target)))
    };
    let mut judged_labels: Vec<Label> = Vec::with_capacity(labels.len());
    for (l, bounds) in labels.iter().enumerate() {
        let found_by = best_free(&fates, *bounds);
        if let Some(i) = found_by {
            of_label[i] = Some(l);
            fates[i] = Fate::Found;
        }
        let best_iou = (0..candidates.len()).map(|i| overlap(i, *bounds)).fold(0.0, f32::max);
        judged_labels.push(Label { bounds: *bounds, found_by, adjudicated: found_by, best_iou });
    }
    for label in judged_labels.iter_mut().filter(|l| l.found_by.is_none()) {
        let loose = second.iter().filter(|s| (LOOSE_IOU..FOUND_IOU).contains(&s.bounds.iou(label.bounds)));
        label.adjudicated = loose.filter_map(|s| best_free(&fates, s.bounds)).next();
        if let Some(i) = label.adjudicated {
            fates[i] = Fate::Found;
        }
    }
    for (i, fate) in fates.iter_mut().enumerate().filter(|(_, fate)| **fate == Fate::False) {
        if second.iter().any(|s| !s.labelled && overlap(i, s.bounds) >= FOUND_IOU) {
            *fate = Fate::Neither;
        }
    }
    let judged = candidates.iter().enumerate().map(|(i, candidate)| Judged {
        candidate: *candidate,
        label: of_label[i],
        adjudicated: fates[i],
        best_iou: labels.iter().map(|l| overlap(i, *l)).fold(0.0, f32::max),
    });
    Verdict { labels: judged_labels, candidates: judged.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, width: f32) -> Rect<FramePx> {
        Rect::new(x, 0.0, x + width, 20.0)
    }

    fn candidate(x: f32, width: f32) -> Candidate {
        Candidate { bounds: at(x, width), corners: at(x, width).into(), score: 0.9 }
    }

    #[test]
    fn a_label_takes_the_candidate_that_fits_it_best_and_no_two_take_one() {
        let verdict = judge(&[at(0.0, 100.0), at(5.0, 100.0)], &[], &[candidate(30.0, 100.0), candidate(2.0, 100.0)]);
        assert_eq!(verdict.labels.iter().map(|l| l.found_by).collect::<Vec<_>>(), [Some(1), Some(0)]);
        assert_eq!(verdict.false_boxes(), (0, 0));
        let verdict = judge(&[at(0.0, 100.0)], &[], &[candidate(60.0, 100.0)]);
        assert_eq!((verdict.labels[0].found_by, verdict.false_boxes()), (None, (1, 1)));
        assert!((verdict.labels[0].best_iou - 0.25).abs() < 1e-3);
    }

    #[test]
    fn a_plate_that_the_labels_leave_out_counts_neither_way() {
        let seen = |labelled: bool| [SecondBox { bounds: at(302.0, 100.0), labelled }];
        let candidates = [candidate(0.0, 100.0), candidate(300.0, 100.0)];
        let verdict = judge(&[at(0.0, 100.0)], &seen(false), &candidates);
        assert_eq!(verdict.false_boxes(), (1, 0));
        assert_eq!(verdict.candidates[1].adjudicated, Fate::Neither);
        assert_eq!(judge(&[at(0.0, 100.0)], &seen(true), &candidates).false_boxes(), (1, 1));
    }

    #[test]
    fn a_loose_label_is_found_where_the_tight_box_is() {
        // The label is 250 px wide, the plate in it 100: the candidate fits the plate.
        let second = [SecondBox { bounds: at(50.0, 100.0), labelled: true }];
        let verdict = judge(&[at(0.0, 250.0)], &second, &[candidate(52.0, 100.0)]);
        assert_eq!((verdict.labels[0].found_by, verdict.labels[0].adjudicated), (None, Some(0)));
        assert_eq!(verdict.false_boxes(), (1, 0));
        // A second opinion that has little to do with the label clears nothing.
        let far = [SecondBox { bounds: at(52.0, 40.0), labelled: true }];
        assert_eq!(judge(&[at(0.0, 250.0)], &far, &[candidate(52.0, 40.0)]).labels[0].adjudicated, None);
    }
}
