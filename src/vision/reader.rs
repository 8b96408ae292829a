//! Reads a plate patch: 64 × 160 grey pixels in, glyph probabilities at every position out.
//!
//! The network looks at the patch as two rows of forty columns and says at each of the eighty places which glyph
//! stands there, or that none does (the *blank*). Places are read row by row, so two-line plates need no special path.
//! Runs on the reader thread; all buffers are kept.

use super::manifest::{ManifestError, ModelEntry};
use super::onnx::Network;
use super::patch::{PATCH_HEIGHT_PX, PATCH_WIDTH_PX, PlatePatch};
use super::{Stage, VisionError};
use crate::anpr::read::{PlateRead, Slot};
use crate::anpr::vrm::{GLYPHS, Glyph};

/// A place that is most likely blank still counts as a doubtful slot when some character stands there with at least this probability.
const DOUBTFUL_PRESENCE: f32 = 0.12;
/// Classes at a place: the blank, then the glyphs.
const CLASSES: usize = GLYPHS + 1;

/// The reader network.
#[derive(Debug)]
pub struct Reader {
    network: Network,
}

impl Reader {
    /// Wraps a loaded network.
    ///
    /// # Errors
    /// When its shapes or its alphabet are not those of a plate reader.
    pub fn new(entry: &ModelEntry, network: Network) -> Result<Self, ManifestError> {
        let wrong = |why: String| ManifestError::Syntax { path: entry.file.clone().into(), why };
        if network.input_shape() != [1, 1, PATCH_HEIGHT_PX, PATCH_WIDTH_PX] {
            return Err(wrong(format!("a reader's input is [1, 1, {PATCH_HEIGHT_PX}, {PATCH_WIDTH_PX}]")));
        }
        if !matches!(network.output_shape(), [1, _, CLASSES]) {
            return Err(wrong(format!("a reader's output is [1, places, {CLASSES}]")));
        }
        let ours: String = Glyph::all().map(Glyph::as_char).collect();
        if entry.alphabet.as_deref() != Some(ours.as_str()) {
            return Err(wrong(format!("a reader's alphabet is {ours:?}")));
        }
        Ok(Self { network })
    }

    /// Reads one patch.
    ///
    /// # Errors
    /// When the runtime fails on it.
    pub fn read(&mut self, patch: &PlatePatch) -> Result<PlateRead, VisionError> {
        for (into, luma) in self.network.input_mut().iter_mut().zip(patch.luma()) {
            *into = f32::from(*luma);
        }
        let places = self.network.run().map_err(|e| VisionError::new(Stage::Read, &e))?;
        Ok(collapse(places))
    }
}

/// Turns class probabilities at places (CTC, Graves et al. 2006: repeats of one class at neighbouring places are one
/// character) into slots: one for each run of a glyph, and a doubtful one where blank won only narrowly.
fn collapse(places: &[f32]) -> PlateRead {
    let (rows, _) = places.as_chunks::<CLASSES>();
    let mut slots: [Option<Slot>; PlateRead::MAX] = [None; PlateRead::MAX];
    let mut used = 0;
    let mut push = |at: usize| {
        if let Some(into) = slots.get_mut(used) {
            *into = Some(slot(&rows[at]));
            used += 1;
        }
    };
    let mut at = 0;
    while at < rows.len() {
        let class = argmax(&rows[at]);
        let mut end = at + 1;
        while end < rows.len() && argmax(&rows[end]) == class {
            end += 1;
        }
        if class != 0 {
            // The place where the glyph is surest speaks for the whole run.
            let surest = (at..end).max_by(|a, b| rows[*a][class].total_cmp(&rows[*b][class])).unwrap_or(at);
            push(surest);
        } else if let Some(doubtful) = doubtful_place(rows, at, end) {
            push(doubtful);
        }
        at = end;
    }
    PlateRead::from_slots(slots.into_iter().flatten())
}

/// The place inside a run of blanks where a character may stand after all. Places beside the run's neighbours are left
/// out: what shows there is the flank of a character that has its slot already.
fn doubtful_place(rows: &[[f32; CLASSES]], start: usize, end: usize) -> Option<usize> {
    let first = if start == 0 { start } else { start + 1 };
    let last = if end == rows.len() { end } else { end.saturating_sub(1) };
    (first..last).filter(|p| 1.0 - rows[*p][0] >= DOUBTFUL_PRESENCE).max_by(|a, b| rows[*b][0].total_cmp(&rows[*a][0]))
}

fn slot(classes: &[f32; CLASSES]) -> Slot {
    let mut glyphs = [0.0; GLYPHS];
    glyphs.copy_from_slice(&classes[1..]);
    Slot::new(glyphs, 1.0 - classes[0])
}

fn argmax(classes: &[f32; CLASSES]) -> usize {
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

    /// One place a character of `text`: `-` is a sure blank, `?` a blank over a possible `I`.
    fn places(text: &str) -> Vec<f32> {
        let mut all = Vec::new();
        for c in text.chars() {
            let mut classes = [0.001; CLASSES];
            match c {
                '-' => classes[0] = 0.96,
                '?' => {
                    classes[0] = 0.7;
                    classes[1 + Glyph::from_char('I').expect("glyph").index()] = 0.26;
                }
                c => classes[1 + Glyph::from_char(c).expect("glyph").index()] = 0.96,
            }
            all.extend(classes);
        }
        all
    }

    #[test]
    fn runs_collapse_and_blanks_part_doubles() {
        for (text, expected) in
            [("-AA-B-", "AB"), ("A-A", "AA"), ("AB12", "AB12"), ("--7", "7"), ("-A--?--B-", "AB"), ("A?-B", "AB")]
        {
            let read = collapse(&places(text));
            assert_eq!(read.raw().expect("characters").to_string(), expected, "{text}");
        }
        assert_eq!(collapse(&places("-----")).raw(), None);
    }

    #[test]
    fn a_narrow_blank_leaves_a_doubtful_slot() {
        let read = collapse(&places("-A--?--B-"));
        assert_eq!(read.slots().len(), 3);
        let doubtful = read.slots()[1];
        assert!((doubtful.presence - 0.3).abs() < 0.01);
        assert_eq!(doubtful.best().0.as_char(), 'I');
        assert_eq!(collapse(&places("A?-B")).slots().len(), 2, "a character's flank is no slot");
    }
}
