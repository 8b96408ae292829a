//! Reads a plate patch: 64 × 160 grey pixels in, glyph probabilities at every position out.
//!
//! The network looks at the patch as two rows of forty columns and says at each of the eighty places which glyph
//! stands there, or that none does (the *blank*). Places are read row by row, so two-line plates need no special path.
//! Several patches share a run of the network where its file allows that. Runs on the reader thread; all buffers are kept.

use std::slice;

use super::collapse::{CLASSES, collapse};
use super::manifest::{ManifestError, ModelEntry};
use super::onnx::Network;
use super::patch::{PATCH_HEIGHT_PX, PATCH_WIDTH_PX, PlatePatch};
use super::{Stage, VisionError};
use crate::anpr::read::PlateRead;
use crate::anpr::vrm::Glyph;

/// Most plates that share a run of the network. A plate among eight costs a little less than one alone, for what each run does
/// once: int8 0.81 ms instead of 0.84 on one thread of an EPYC (`benches`). Sixteen to a run bring no more, and the runtime keeps
/// memory for the longest: 5 MiB for eight in int8 and 20 in fp32, for sixteen more than twice that.
pub const PLATES_A_RUN: usize = 8;

/// Grey values of a patch.
const PATCH_PIXELS: usize = PATCH_HEIGHT_PX * PATCH_WIDTH_PX;

/// The reader network.
#[derive(Debug)]
pub struct Reader {
    network: Network,
    /// How many plates a run can hold: [`PLATES_A_RUN`], or one where the file says so.
    plates_a_run: usize,
    /// Values that the network gives for one plate.
    answer: usize,
}

impl Reader {
    /// Wraps a loaded network.
    ///
    /// # Errors
    /// When its shapes or its alphabet are not those of a plate reader.
    pub fn new(entry: &ModelEntry, network: Network) -> Result<Self, ManifestError> {
        let wrong = |why: String| ManifestError::Syntax { path: entry.file.clone().into(), why };
        let &[plates_a_run, 1, PATCH_HEIGHT_PX, PATCH_WIDTH_PX] = network.input_shape() else {
            return Err(wrong(format!("a reader's input is [plates, 1, {PATCH_HEIGHT_PX}, {PATCH_WIDTH_PX}]")));
        };
        let &[_, places, CLASSES] = network.output_shape() else {
            return Err(wrong(format!("a reader's output is [plates, places, {CLASSES}]")));
        };
        if plates_a_run == 0 || places == 0 {
            return Err(wrong("a reader reads one plate a run at least, at one place at least".to_owned()));
        }
        let ours: String = Glyph::all().map(Glyph::as_char).collect();
        if entry.alphabet.as_deref() != Some(ours.as_str()) {
            return Err(wrong(format!("a reader's alphabet is {ours:?}")));
        }
        Ok(Self { network, plates_a_run, answer: places * CLASSES })
    }

    /// Reads one patch.
    ///
    /// # Errors
    /// When the runtime fails on it.
    pub fn read(&mut self, patch: &PlatePatch) -> Result<PlateRead, VisionError> {
        Ok(collapse(self.run(slice::from_ref(patch))?))
    }

    /// Reads patches, as many a run as the network holds. `reads` gets one read a patch, in their order, in place of what it held.
    ///
    /// # Errors
    /// When the runtime fails on a run; `reads` then holds those of the runs before.
    pub fn read_batch(&mut self, patches: &[PlatePatch], reads: &mut Vec<PlateRead>) -> Result<(), VisionError> {
        reads.clear();
        let answer = self.answer;
        for run in patches.chunks(self.plates_a_run) {
            reads.extend(self.run(run)?.chunks_exact(answer).map(collapse));
        }
        Ok(())
    }

    /// Runs the network once on as many patches as it holds; gives the classes at all places of all of them.
    fn run(&mut self, patches: &[PlatePatch]) -> Result<&[f32], VisionError> {
        for (into, patch) in self.network.input_mut().chunks_exact_mut(PATCH_PIXELS).zip(patches) {
            for (into, luma) in into.iter_mut().zip(patch.luma()) {
                *into = f32::from(*luma);
            }
        }
        self.network.run_first(patches.len()).map_err(|e| VisionError::new(Stage::Read, &e))
    }
}
