//! From class probabilities at places to slots: which places speak of one character, and how likely one stands there.
//!
//! The reader is trained with CTC (Graves et al. 2006): it may show a character at any place near its centre, and a
//! character that could stand at either of two places has half its probability at each. So a slot asks all places of its
//! stretch together, not the best one alone: how likely any of them shows something, and how likely they show one glyph and
//! nothing else.
//!
//! ```text
//! presence = 1 - product of blank          weight of a glyph = product of (glyph + blank)  -  product of blank
//! ```
//!
//! Places are taken as independent, as CTC takes them, with two exceptions. Paths that show two different glyphs in one stretch
//! are shared out among the single ones: neighbouring places that waver between `B` and `8` waver together, and CTC's `B8` is not
//! what either means. And of the paths that show a glyph twice with a blank between, which CTC reads as two, a few count as one;
//! where such a path is likely, the run has a dip and makes two slots. Both make a slot a little surer than CTC is; the
//! calibration that counts is measured on whole marks (`kerbside evaluate`).

use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::vrm::{GLYPHS, Glyph};

/// Classes at a place: the blank, then the glyphs.
pub(super) const CLASSES: usize = GLYPHS + 1;

type Place = [f32; CLASSES];

/// A place that is most likely blank still makes a doubtful slot when some character stands there with at least this probability.
const DOUBTFUL_PRESENCE: f32 = 0.06;
/// Between two like glyphs the blank may be faint; a dip of at least this makes a doubtful second one.
const DIP: f32 = 0.03;
/// The blank at a dip stands out from the places on both sides by this factor.
const DIP_STANDS_OUT: f32 = 3.0;

/// Probability of the neighbour's glyph, at each of two places, from which they speak of one character.
const WAVERING: f32 = 0.15;

/// The stroke of a `1` or an `I` spans one place or two: a run this long is often two of them that stand too close for a blank
/// to fit between (25 mm apart on a UK plate, where a place is 13 mm wide).
const LONG_BAR: usize = 3;
/// How often: about a third of such runs on drawn plates. A prior by hand, as CTC can't see what has no room for a blank.
const LONG_BAR_IS_TWO: f32 = 0.3;

/// A doubtful character speaks for its own place and the ones beside it: a wide blank with a little of everything is no character.
const DOUBTFUL_REACH: usize = 1;

/// Where a character stands or may stand: its run of places, and a factor on its presence.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    start: usize,
    end: usize,
    certainty: f32,
    doubtful: bool,
}

/// Most peaks looked at: more than a read has slots, as no plate has.
const PEAKS: usize = 2 * PlateRead::MAX;

/// The characters that the places show, in reading order. `values` are places × [`CLASSES`], row-major.
pub(super) fn collapse(values: &[f32]) -> PlateRead {
    let (places, _) = values.as_chunks::<CLASSES>();
    let mut peaks = [Peak::default(); PEAKS];
    let found = find_peaks(places, &mut peaks);
    let peaks = &peaks[..found];
    let slots = peaks.iter().enumerate().map(|(i, peak)| {
        let from = i.checked_sub(1).map_or(0, |before| border(places, &peaks[before], peak));
        let to = peaks.get(i + 1).map_or(places.len(), |after| border(places, peak, after));
        if peak.doubtful {
            return slot(&places[from.max(peak.start.saturating_sub(DOUBTFUL_REACH))..to.min(peak.end + DOUBTFUL_REACH)]);
        }
        let slot = slot(&places[from..to]);
        Slot { presence: slot.presence * peak.certainty, ..slot }
    });
    PlateRead::from_slots(slots)
}

/// Runs of one glyph, and doubtful places in the blank between them; gives how many.
fn find_peaks(places: &[Place], peaks: &mut [Peak; PEAKS]) -> usize {
    let mut used = 0usize;
    let mut at = 0;
    while at < places.len() {
        let class = argmax(&places[at]);
        let mut end = at + 1;
        while end < places.len() && argmax(&places[end]) == class {
            end += 1;
        }
        let sure = |start, end, certainty| Some(Peak { start, end, certainty, doubtful: false });
        let found = if class == 0 {
            let doubtful = doubtful_place(places, at, end);
            [doubtful.map(|p| Peak { start: p, end: p + 1, certainty: 1.0, doubtful: true }), None]
        } else if let Some(dip) = dip(&places[at..end]) {
            // Two like glyphs in one run: the second stands there only if the dip is a blank.
            [sure(at, at + dip, 1.0), sure(at + dip + 1, end, places[at + dip][0])]
        } else if end - at >= LONG_BAR && is_bar(class) {
            [sure(at, end - 1, 1.0), sure(end - 1, end, LONG_BAR_IS_TWO)]
        } else {
            [sure(at, end, 1.0), None]
        };
        let last = used.checked_sub(1).and_then(|last: usize| peaks.get_mut(last));
        match (last, found) {
            (Some(last), [Some(run), None]) if last.end == at && wavers(&places[at - 1], &places[at]) => last.end = run.end,
            (_, found) => {
                for (into, peak) in peaks.iter_mut().skip(used).zip(found.into_iter().flatten()) {
                    *into = peak;
                    used += 1;
                }
            }
        }
        at = end;
    }
    used
}

/// Whether two neighbouring places waver between the same two glyphs: one character, not two.
fn wavers(before: &Place, after: &Place) -> bool {
    let (first, second) = (argmax(before), argmax(after));
    first != 0 && second != 0 && before[second] >= WAVERING && after[first] >= WAVERING
}

/// The place inside a run of blanks where a character may stand after all. Places beside the run's neighbours are left
/// out: what shows there is the flank of a character that has its slot already.
fn doubtful_place(places: &[Place], start: usize, end: usize) -> Option<usize> {
    let first = if start == 0 { start } else { start + 1 };
    let last = if end == places.len() { end } else { end.saturating_sub(1) };
    (first..last).filter(|p| 1.0 - places[*p][0] >= DOUBTFUL_PRESENCE).max_by(|a, b| places[*b][0].total_cmp(&places[*a][0]))
}

/// The place inside a run of one glyph where the blank shows through, if it does.
fn dip(run: &[Place]) -> Option<usize> {
    let blank = |p: usize| run[p][0];
    let inside = 1..run.len().saturating_sub(1);
    let deepest = inside.max_by(|a, b| blank(*a).total_cmp(&blank(*b)))?;
    let least = |part: &[Place]| part.iter().map(|p| p[0]).fold(1.0, f32::min);
    let beside = least(&run[..deepest]).max(least(&run[deepest + 1..]));
    (blank(deepest) >= DIP && blank(deepest) >= DIP_STANDS_OUT * beside).then_some(deepest)
}

/// Where one peak's places end and the next one's begin: at the clearest blank between them.
fn border(places: &[Place], before: &Peak, after: &Peak) -> usize {
    let between = before.end..after.start;
    between.max_by(|a, b| places[*a][0].total_cmp(&places[*b][0])).unwrap_or(after.start)
}

fn slot(stretch: &[Place]) -> Slot {
    let empty: f32 = stretch.iter().map(|p| p[0]).product();
    let mut weights = [0.0; GLYPHS];
    for (glyph, weight) in weights.iter_mut().enumerate() {
        let this_or_blank: f32 = stretch.iter().map(|p| p[glyph + 1] + p[0]).product();
        *weight = (this_or_blank - empty).max(0.0);
    }
    Slot::new(weights, 1.0 - empty)
}

/// Whether a class is a glyph that is one upright stroke.
fn is_bar(class: usize) -> bool {
    class.checked_sub(1).and_then(Glyph::from_index).is_some_and(|glyph| matches!(glyph.as_char(), '1' | 'I'))
}

fn argmax(classes: &Place) -> usize {
    let mut best = 0;
    for (i, p) in classes.iter().enumerate().skip(1) {
        if *p > classes[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place with this blank and so much of each glyph; the rest is spread thinly.
    fn place(blank: f32, glyphs: &[(char, f32)]) -> Place {
        let rest = (1.0 - blank - glyphs.iter().map(|(_, p)| p).sum::<f32>()) / 36.0;
        let mut classes = [rest.max(0.0); CLASSES];
        classes[0] = blank;
        for (c, p) in glyphs {
            classes[1 + Glyph::from_char(*c).expect("glyph").index()] += p;
        }
        classes
    }

    /// One place a character of `text`: `-` is a sure blank, `?` a blank over a possible `I`.
    fn places(text: &str) -> Vec<f32> {
        let place_of = |c| match c {
            '-' => place(0.999, &[]),
            '?' => place(0.7, &[('I', 0.29)]),
            c => place(0.02, &[(c, 0.97)]),
        };
        text.chars().flat_map(place_of).collect()
    }

    fn read(text: &str) -> PlateRead {
        collapse(&places(text))
    }

    #[test]
    fn runs_collapse_and_blanks_part_doubles() {
        for (text, expected) in
            [("-AA-B-", "AB"), ("A-A", "AA"), ("AB12", "AB12"), ("--7", "7"), ("-A--?--B-", "AB"), ("A?-B", "AB")]
        {
            assert_eq!(read(text).raw().expect("characters").to_string(), expected, "{text}");
        }
        assert_eq!(read("-----").raw(), None);
    }

    #[test]
    fn a_narrow_blank_leaves_a_doubtful_slot() {
        let doubtful = read("-A--?--B-");
        assert_eq!(doubtful.slots().len(), 3);
        let slot = doubtful.slots()[1];
        assert!((slot.presence - 0.3).abs() < 0.02, "{}", slot.presence);
        assert_eq!(slot.best().0.as_char(), 'I');
        assert_eq!(read("A?-B").slots().len(), 2, "a character's flank is no slot");
        let murmur = [places("-A-"), place(0.9, &[]).repeat(30)].concat();
        assert_eq!(collapse(&murmur).raw().expect("one character").to_string(), "A", "many faint places make no character");
    }

    #[test]
    fn a_character_between_two_places_is_as_sure_as_both_together() {
        let values = [place(1.0, &[]), place(0.45, &[('A', 0.55)]), place(0.55, &[('A', 0.45)]), place(1.0, &[])].concat();
        let read = collapse(&values);
        let [slot] = read.slots() else { panic!("one character") };
        assert!((slot.presence - (1.0 - 0.45 * 0.55)).abs() < 1e-3, "{}", slot.presence);
        assert!(slot.best().1 > 0.99);
    }

    #[test]
    fn a_faint_blank_between_like_glyphs_makes_a_doubtful_second_one() {
        let one = place(0.005, &[('1', 0.99)]);
        let read = collapse(&[one, one, place(0.2, &[('1', 0.8)]), one, one].concat());
        assert_eq!(read.slots().len(), 2);
        assert!((read.slots()[1].presence - 0.2).abs() < 0.01);
        assert_eq!(read.raw().expect("one character").to_string(), "1");
        let wide = place(0.005, &[('M', 0.99)]);
        assert_eq!(collapse(&[wide; 5].concat()).slots().len(), 1, "a wide character is one");
    }

    #[test]
    fn places_that_waver_between_two_glyphs_are_one_character() {
        let wavering = [place(0.01, &[('A', 0.6), ('D', 0.38)]), place(0.01, &[('D', 0.54), ('A', 0.44)])].concat();
        let read = collapse(&wavering);
        assert_eq!(read.raw().expect("one character").to_string(), "A");
        assert!(read.slots()[0].best().1 < 0.7, "and a doubtful one: {}", read.slots()[0].best().1);
        let two = [place(0.01, &[('A', 0.97)]), place(0.01, &[('D', 0.97)])].concat();
        assert_eq!(collapse(&two).raw().expect("two characters").to_string(), "AD");
    }

    #[test]
    fn a_bar_too_wide_for_one_may_be_two() {
        assert_eq!(read("E-11-W").slots().len(), 3);
        let long = read("E-111-W");
        assert_eq!(long.slots().len(), 4);
        assert!((long.slots()[2].presence - LONG_BAR_IS_TWO).abs() < 0.02);
        assert_eq!(long.raw().expect("three characters").to_string(), "E1W", "the eye alone takes it for one");
    }

    #[test]
    fn more_characters_than_a_read_holds_are_dropped_without_harm() {
        assert_eq!(read(&"A-".repeat(40)).slots().len(), PlateRead::MAX);
    }
}
