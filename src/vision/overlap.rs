//! Of candidates that mean one plate, which one stays. Runs on what one look gave, or several: tiles see the plates between
//! them twice, once cut perhaps, and a look at the whole region sees all of them again.
//!
//! Among equals the higher score stays. Two kinds are no equals. A piece goes wherever a neighbour has seen the whole:
//! cut characters can look very much like a plate, so a score says nothing for it. And a plate that is small enough to lie wholly
//! in a tile is seen better there than from further off, where its box is known to a cell or two only (a plate of 62 px on a full-HD
//! frame came out 83 px wide from the whole frame at 640x384, 74 px from a tile of 2x1 and 62 px from one of 2x2).

use super::detector::{Candidate, DetectorOptions};

/// Of two boxes of which the smaller lies this far inside the larger, only the better stays.
const INSIDE_SHARE: f32 = 0.8;
/// A piece that a whole candidate covers by this share is a piece of that.
const COVERED_SHARE: f32 = 0.5;
/// Two pieces that share this much of the smaller are pieces of one plate, wider than what tiles have in common.
const PIECES_SHARE: f32 = 0.3;

/// How a candidate was seen; the first is to be believed before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    /// All of it, as close as there is.
    Close,
    /// All of it, but in the look at the whole region, though it is small enough for the tiles.
    Distant,
    /// It reaches a cut of its tile, so it may go on behind.
    Piece,
}

/// A candidate of one look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) candidate: Candidate,
    pub(super) view: View,
}

/// Whether two candidates mean one plate.
fn is_same_plate(a: &Found, b: &Found, options: &DetectorOptions) -> bool {
    let (a_box, b_box) = (a.candidate.bounds, b.candidate.bounds);
    let least = if a.view == View::Piece && b.view == View::Piece { PIECES_SHARE } else { INSIDE_SHARE };
    let shared = a_box.intersect(b_box).area();
    a_box.iou(b_box) > options.max_overlap || shared > least * a_box.area().min(b_box.area()).max(f32::MIN_POSITIVE)
}

/// Leaves one candidate a plate in `kept`, best first, at most as many as the options say. `found` is used up.
pub(super) fn settle(found: &mut Vec<Found>, options: &DetectorOptions, kept: &mut Vec<Candidate>) {
    // Unstable sorts, as the stable one allocates; the tie-break keeps equal scores in one order on every run.
    let by_score = |a: &Found, b: &Found| {
        let left = |f: &Found| f.candidate.bounds.x0;
        b.candidate.score.total_cmp(&a.candidate.score).then_with(|| left(a).total_cmp(&left(b)))
    };
    // First the better view, whatever the scores; then, among what is left, the better score.
    found.sort_unstable_by(|a, b| a.view.cmp(&b.view).then_with(|| by_score(a, b)));
    retain(found, |before, it| match it.view {
        View::Close | View::Distant => before.iter().any(|better| is_same_plate(better, it, options)),
        View::Piece => before.iter().any(|whole| whole.view != View::Piece && is_piece_of(it, whole)),
    });
    found.sort_unstable_by(by_score);
    retain(found, |before, it| before.iter().any(|better| is_same_plate(better, it, options)));
    kept.clear();
    kept.extend(found.drain(..).take(options.max_candidates).map(|f| f.candidate));
}

/// Whether a whole candidate covers so much of a piece that it must be a piece of that.
fn is_piece_of(piece: &Found, whole: &Found) -> bool {
    let (piece, whole) = (piece.candidate.bounds, whole.candidate.bounds);
    whole.intersect(piece).area() > COVERED_SHARE * piece.area()
}

/// Drops, from the first to the last, each one that goes in the face of those that stayed before it.
fn retain(found: &mut Vec<Found>, goes: impl Fn(&[Found], &Found) -> bool) {
    let mut staying = 0;
    for i in 0..found.len() {
        if !goes(&found[..staying], &found[i]) {
            found.swap(staying, i);
            staying += 1;
        }
    }
    found.truncate(staying);
}

#[cfg(test)]
mod tests {
    use super::View::{Close, Distant, Piece};
    use super::*;
    use crate::geometry::Rect;

    fn found(x0: f32, x1: f32, score: f32, view: View) -> Found {
        let bounds = Rect::new(x0, 0.0, x1, 20.0);
        Found { candidate: Candidate { bounds, corners: bounds.into(), score }, view }
    }

    /// Left edge and score of what stays.
    fn settled(found: &[Found]) -> Vec<(f32, f32)> {
        let mut kept = Vec::new();
        settle(&mut found.to_vec(), &DetectorOptions::default(), &mut kept);
        kept.iter().map(|c| (c.bounds.x0, c.score)).collect()
    }

    #[test]
    fn the_better_of_two_overlapping_candidates_stays() {
        let all = [found(300.0, 400.0, 0.7, Close), found(0.0, 100.0, 0.9, Close), found(10.0, 110.0, 0.8, Close)];
        assert_eq!(settled(&all), [(0.0, 0.9), (300.0, 0.7)]);
        let inside = [found(0.0, 100.0, 0.6, Close), found(20.0, 50.0, 0.8, Close)];
        assert_eq!(settled(&inside), [(20.0, 0.8)]);
        let many: Vec<Found> = (0u8..30).map(|i| found(f32::from(i) * 200.0, f32::from(i) * 200.0 + 90.0, 0.5, Close)).collect();
        assert_eq!(settled(&many).len(), DetectorOptions::default().max_candidates);
    }

    #[test]
    fn a_piece_loses_against_the_whole_even_with_the_higher_score() {
        // The left tile ends at 60 and is sure of what it sees there; the right one sees all of the plate.
        assert_eq!(settled(&[found(0.0, 60.0, 0.95, Piece), found(1.0, 100.0, 0.4, Close)]), [(1.0, 0.4)]);
        // So does the look at the whole region, and a piece on the other side goes as well.
        let both = [found(0.0, 60.0, 0.95, Piece), found(50.0, 100.0, 0.9, Piece), found(1.0, 101.0, 0.35, Distant)];
        assert_eq!(settled(&both), [(1.0, 0.35)]);
    }

    #[test]
    fn what_a_tile_sees_whole_it_sees_better() {
        assert_eq!(settled(&[found(0.0, 95.0, 0.9, Distant), found(25.0, 67.0, 0.5, Close)]), [(25.0, 0.5)]);
        // What no tile saw stays, even beside a piece of it.
        assert_eq!(settled(&[found(0.0, 95.0, 0.5, Distant), found(50.0, 90.0, 0.9, Piece)]), [(0.0, 0.5)]);
    }

    #[test]
    fn a_piece_with_nothing_whole_over_it_stays_and_its_other_half_goes() {
        // Wider than the overlap, and no look at the whole: the better piece stands for the plate.
        assert_eq!(settled(&[found(0.0, 120.0, 0.6, Piece), found(70.0, 200.0, 0.8, Piece)]), [(70.0, 0.8)]);
        assert_eq!(settled(&[found(0.0, 60.0, 0.6, Piece), found(300.0, 400.0, 0.5, Close)]), [(0.0, 0.6), (300.0, 0.5)]);
        // A sticker on a large cut plate covers too little of it to drive it out.
        assert_eq!(settled(&[found(0.0, 120.0, 0.9, Piece), found(20.0, 50.0, 0.4, Close)]), [(0.0, 0.9)]);
    }

    #[test]
    fn a_whole_that_a_better_whole_hides_speaks_for_nothing() {
        // The second whole would cover the piece, but it is the first one over again, moved to the right.
        let all = [found(0.0, 100.0, 0.9, Close), found(30.0, 130.0, 0.5, Close), found(95.0, 135.0, 0.8, Piece)];
        assert_eq!(settled(&all), [(0.0, 0.9), (95.0, 0.8)]);
    }
}
