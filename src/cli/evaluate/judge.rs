//! Judging reads against truth. Boxes alone are judged in `matching`.

use super::manifest::Item;
use crate::anpr::decode::Decoded;
use crate::anpr::syntax::Grammar;
use crate::anpr::vrm::Vrm;
use crate::cli::edits::edits;
use crate::geometry::{FramePx, Quad, Rect};

/// Overlap at which a candidate is taken to be a labelled plate whose mark is judged; labels are often loose.
const SAME_PLATE_IOU: f32 = 0.2;

/// A candidate of a picture, or a record of a clip.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadPlate {
    pub(super) bounds: Rect<FramePx>,
    pub(super) corners: Quad<FramePx>,
    /// The mark, where one was read with enough confidence.
    pub(super) decoded: Option<Decoded>,
}

/// What became of a labelled plate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plate {
    pub(super) truth: Vrm,
    /// Which of the reads stands for it.
    pub(super) on_it: Option<usize>,
    /// What that read says.
    pub(super) decoded: Option<Decoded>,
    /// The whole mark is right, twins as its grammar demands.
    pub(super) right: bool,
    /// It is right with twins folded.
    pub(super) folded: bool,
    /// What the eye alone saw is right, twins as the mark's grammar demands.
    pub(super) eye: bool,
    /// What the eye alone saw is right with twins folded.
    pub(super) eye_folded: bool,
    /// Edits from what was read to the truth, where something was.
    pub(super) edits: Option<usize>,
    /// A wrong mark that counts as a false read too.
    pub(super) is_false: bool,
}

/// A picture or a clip, judged.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) plates: Vec<Plate>,
    /// Reads where no labelled plate is.
    pub(super) strangers: Vec<usize>,
}

impl Verdict {
    /// Marks that nobody carried: those of strangers, and wrong ones on the right plate.
    pub(super) fn false_reads(&self) -> usize {
        self.strangers.len() + self.plates.iter().filter(|p| p.is_false).count()
    }

    /// One line for every fault. `unfound` says that the detector did not find a crop's plate, whose labelled box was read instead.
    pub(super) fn faults(&self, reads: &[ReadPlate], unfound: bool) -> Vec<String> {
        let of_plate = |p: &Plate| {
            let fault = match p.decoded {
                _ if p.right => None,
                Some(d) if p.folded => Some(format!("read as {} (twins)", d.vrm)),
                Some(d) => Some(format!("misread as {} ({:.2})", d.vrm, d.confidence)),
                None if unfound => Some("not read".to_owned()),
                None if p.on_it.is_some() => Some("found but not read".to_owned()),
                None => Some("not found".to_owned()),
            };
            if unfound {
                let fault = fault.as_deref().unwrap_or("read right");
                return Some(format!("{} not found by the detector; {fault} in its labelled box", p.truth));
            }
            fault.map(|fault| format!("{} {fault}", p.truth))
        };
        let of_stranger = |i: &usize| {
            let read = &reads[*i];
            read.decoded.map(|d| format!("false read {} ({:.2}) at {:?}", d.vrm, d.confidence, read.bounds))
        };
        self.plates.iter().filter_map(of_plate).chain(self.strangers.iter().filter_map(of_stranger)).collect()
    }
}

/// Holds reads against truth.
#[derive(Debug)]
pub(super) struct Judge {
    grammar: Grammar,
}

impl Judge {
    pub(super) const fn new(grammar: Grammar) -> Self {
        Self { grammar }
    }

    /// Judges one file: first every truth takes a read that is right, then those left over take what lies on their plate.
    pub(super) fn item(&self, item: &Item, reads: &[ReadPlate]) -> Verdict {
        let mut used = vec![false; reads.len()];
        let mark_of = |i: usize| reads[i].decoded.map(|d| d.vrm);
        let mut on_it: Vec<Option<usize>> = vec![None; item.marks.len()];
        for (truth, on_it) in item.marks.iter().zip(&mut on_it) {
            let free = |i: &usize| !used[*i];
            let right = (0..reads.len()).filter(free).find(|i| mark_of(*i).is_some_and(|m| self.grammar.same_mark(truth, &m)));
            *on_it =
                right.or_else(|| (0..reads.len()).filter(free).find(|i| mark_of(*i).is_some_and(|m| m.key() == truth.key())));
            on_it.iter().for_each(|i| used[*i] = true);
        }
        for (t, truth) in item.marks.iter().enumerate().filter(|(t, _)| on_it[*t].is_none()).collect::<Vec<_>>() {
            on_it[t] = match item.box_of(t) {
                Some(label) => (0..reads.len())
                    .filter(|i| !used[*i] && reads[*i].bounds.iou(label) >= SAME_PLATE_IOU)
                    .max_by(|a, b| reads[*a].bounds.iou(label).total_cmp(&reads[*b].bounds.iou(label))),
                // No box: the read that is nearest to the truth in edits stands for it.
                None => (0..reads.len())
                    .filter(|i| !used[*i] && reads[*i].decoded.is_some())
                    .min_by_key(|i| mark_of(*i).map_or(usize::MAX, |m| edits(truth.glyphs(), m.glyphs()))),
            };
            // Even one that was not read: it found one plate, not two.
            on_it[t].iter().for_each(|i| used[*i] = true);
        }
        let plates = item.marks.iter().zip(on_it).map(|(truth, on_it)| self.plate(truth, on_it, item, reads));
        let plates = plates.collect();
        let is_stranger = |i: &usize| !used[*i] && reads[*i].decoded.is_some() && !ignored(item, reads[*i].bounds);
        Verdict { plates, strangers: (0..reads.len()).filter(is_stranger).collect() }
    }

    fn plate(&self, truth: &Vrm, on_it: Option<usize>, item: &Item, reads: &[ReadPlate]) -> Plate {
        let decoded = on_it.and_then(|i| reads[i].decoded);
        let same = |m: Option<Vrm>| m.is_some_and(|m| self.grammar.same_mark(truth, &m));
        let folds = |m: Option<Vrm>| m.is_some_and(|m| m.key() == truth.key());
        let (mark, raw) = (decoded.map(|d| d.vrm), decoded.map(|d| d.raw));
        let right = same(mark);
        // A mark may be right as its grammar settles it and still be typed with other twins in the set.
        let folded = right || folds(mark);
        Plate {
            truth: *truth,
            on_it,
            decoded,
            right,
            folded,
            eye: same(raw),
            eye_folded: same(raw) || folds(raw),
            edits: mark.map(|m| if right { 0 } else { edits(truth.glyphs(), m.glyphs()) }),
            is_false: !folded && mark.is_some() && on_it.is_some_and(|i| !ignored(item, reads[i].bounds)),
        }
    }
}

/// Whether a read lies on a place that counts neither way.
pub(super) fn ignored(item: &Item, bounds: Rect<FramePx>) -> bool {
    item.ignore.iter().any(|i| i.intersect(bounds).area() > 0.1 * bounds.area())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::anpr::decode::Weakest;
    use crate::anpr::odds::GlyphOdds;
    use crate::anpr::syntax::SyntaxId;
    use crate::clock::UtcTime;

    pub(crate) fn mark(text: &str) -> Vrm {
        Vrm::parse(text).expect("mark")
    }

    /// A read of `text`, where the eye alone saw `raw`.
    pub(crate) fn repaired(text: &str, raw: &str, confidence: f32) -> ReadPlate {
        let decoded = Decoded {
            vrm: mark(text),
            confidence,
            syntax: SyntaxId::NONE,
            raw: mark(raw),
            repaired: 0,
            weakest: Weakest { place: 0, probability: confidence },
            alternatives: [None; 4],
            odds: GlyphOdds::default(),
        };
        let bounds = Rect::new(0.0, 0.0, 100.0, 20.0);
        ReadPlate { bounds, corners: bounds.into(), decoded: Some(decoded) }
    }

    fn read(text: &str, x: f32) -> ReadPlate {
        ReadPlate { bounds: Rect::new(x, 0.0, x + 100.0, 20.0), ..repaired(text, text, 0.9) }
    }

    pub(crate) fn judge() -> Judge {
        Judge::new(Grammar::new(UtcTime::parse("2026-11-22").expect("date")))
    }

    pub(crate) fn item(marks: &[&str], boxes: &[f32], ignore: &[f32]) -> Item {
        let at = |x: &f32| Rect::new(*x, 0.0, x + 100.0, 20.0);
        Item {
            file: "t".into(),
            marks: marks.iter().map(|m| mark(m)).collect(),
            boxes: boxes.iter().map(|x| Some(at(x))).collect(),
            ignore: ignore.iter().map(at).collect(),
            rows: Vec::new(),
        }
    }

    fn judged(marks: &[&str], boxes: &[f32], ignore: &[f32], reads: &[ReadPlate]) -> Verdict {
        judge().item(&item(marks, boxes, ignore), reads)
    }

    fn count(verdict: &Verdict, is: impl Fn(&Plate) -> bool) -> usize {
        verdict.plates.iter().filter(|p| is(p)).count()
    }

    #[test]
    fn one_read_serves_one_plate() {
        let verdict = judged(&["AB12CDE", "AB12CDE"], &[0.0, 500.0], &[], &[read("AB12CDE", 0.0)]);
        assert_eq!((count(&verdict, |p| p.right), count(&verdict, |p| p.on_it.is_some()), verdict.false_reads()), (1, 1, 0));
    }

    #[test]
    fn a_candidate_that_was_not_read_finds_one_plate_too() {
        let unread = ReadPlate { decoded: None, ..read("X1", 20.0) };
        let verdict = judged(&["AB12CDE", "FG34HJK"], &[0.0, 40.0], &[], &[unread]);
        assert_eq!(count(&verdict, |p| p.on_it.is_some()), 1);
        assert_eq!(verdict.faults(&[unread], false), ["AB12CDE found but not read", "FG34HJK not found"]);
    }

    #[test]
    fn a_crop_that_the_detector_missed_has_one_line_that_says_how_its_box_was_read() {
        let line = |found: ReadPlate| judged(&["AB12CDE"], &[0.0], &[], &[found]).faults(&[found], true).join("|");
        let of = |how: &str| format!("AB12CDE not found by the detector; {how} in its labelled box");
        assert_eq!(line(read("AB12CDE", 0.0)), of("read right"));
        assert_eq!(line(read("AB12CDF", 0.0)), of("misread as AB12CDF (0.90)"));
        assert_eq!(line(ReadPlate { decoded: None, ..read("X1", 0.0) }), of("not read"));
    }

    #[test]
    fn twins_are_judged_by_grammar_and_folded_apart() {
        let verdict = judged(&["GO10OLO"], &[0.0], &[], &[read("G010OLO", 0.0)]);
        assert_eq!((verdict.plates[0].right, verdict.plates[0].folded, verdict.plates[0].is_false), (false, true, false));
        assert_eq!(verdict.faults(&[], false), ["GO10OLO read as G010OLO (twins)"]);
    }

    #[test]
    fn misreads_and_strangers_are_false_reads_unless_ignored() {
        let reads = [read("AB12CDF", 0.0), read("XY99ZZZ", 300.0), read("K1", 600.0)];
        let verdict = judged(&["AB12CDE"], &[0.0], &[600.0], &reads);
        assert_eq!((verdict.plates[0].right, verdict.plates[0].on_it, verdict.false_reads()), (false, Some(0), 2));
        assert_eq!(verdict.plates[0].edits, Some(1));
        let faults = verdict.faults(&reads, false);
        assert!(faults[0] == "AB12CDE misread as AB12CDF (0.90)" && faults[1].starts_with("false read XY99ZZZ"), "{faults:?}");
    }

    #[test]
    fn the_eye_alone_is_judged_by_what_it_saw_whatever_grammar_made_of_it() {
        for (text, raw, right, eye, eye_folded) in [
            ("AB12CDE", "4B12CDE", true, false, false),
            ("AB12CDE", "ABI2CDE", true, false, true),
            ("AB12CDF", "AB12CDE", false, true, true),
        ] {
            let plate = judged(&["AB12CDE"], &[0.0], &[], &[repaired(text, raw, 0.9)]).plates[0];
            assert_eq!((plate.right, plate.eye, plate.eye_folded), (right, eye, eye_folded), "{raw} as {text}");
        }
        let nothing = judged(&["AB12CDE"], &[0.0], &[], &[]).plates[0];
        assert!(!nothing.eye && nothing.edits.is_none() && nothing.on_it.is_none());
    }
}
