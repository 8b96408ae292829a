//! Vehicles that have their record and are out of sight: so that one which is seen again gets no second one.
//!
//! Three ways to be seen again: the rear plate follows the front plate within seconds; in a queue, a vehicle was hidden by another
//! one and comes out where it was lost; and one that stands for minutes flickers in and out of sight. A vehicle that comes by again is another
//! matter: it enters by the edge of the view, and later.

use std::time::Duration;

use super::PassageOptions;
use super::likeness::are_related;
use super::open::{NEAR_WIDTHS, Open, near_path};
use crate::anpr::hotlist::Hit;
use crate::anpr::record::PassageId;
use crate::anpr::vrm::VrmKey;
use crate::clock::CaptureTime;
use crate::geometry::{FramePx, Quad};

/// Most vehicles remembered; the one gone for longest is forgotten first.
const MOST: usize = 64;
/// Most hits remembered of one vehicle.
const MOST_HITS: usize = 64;
/// One vehicle with its record.
#[derive(Clone, Debug)]
struct Gone {
    id: PassageId,
    key: VrmKey,
    last: CaptureTime,
    entered: Quad<FramePx>,
    place: Quad<FramePx>,
    hidden: bool,
    /// What was told about it.
    heard: Vec<Hit>,
}

/// The vehicles of one camera.
#[derive(Debug)]
pub(super) struct Memory {
    gone: Vec<Gone>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { gone: Vec::with_capacity(MOST) }
    }

    /// Remembers a passage that has its record under this mark, or had it before and was seen again.
    pub(super) fn remember(&mut self, passage: &Open, key: VrmKey) {
        let mut heard = passage.alerts.heard();
        if let Some(before) = self.gone.iter().position(|g| g.key == key) {
            heard.extend(self.gone.remove(before).heard.into_iter().filter(|hit| !passage.alerts.knows(hit)));
            heard.truncate(MOST_HITS);
        }
        if self.gone.len() >= MOST
            && let Some(oldest) = (0..self.gone.len()).min_by_key(|i| self.gone[*i].last.mono)
        {
            self.gone.remove(oldest);
        }
        self.gone.push(Gone {
            id: passage.id,
            key,
            last: passage.last,
            entered: passage.entered,
            place: passage.left,
            hidden: passage.is_hidden(),
            heard,
        });
    }

    /// Whether an unread passage whose guess is `key` is what was left of a vehicle that has its record: a few frames behind spray, or
    /// behind the vehicle in front.
    pub(super) fn explains(&self, passage: &Open, key: VrmKey, options: &PassageOptions) -> bool {
        let soon = Duration::from_millis(options.same_vehicle_ms);
        self.gone.iter().any(|gone| {
            passage.first.mono.since(gone.last.mono) <= soon
                && !passage.is_companion(gone.id)
                && near_path(&gone.entered, &gone.place, passage)
                && are_related(gone.key, key)
        })
    }

    /// Whether a passage that reads as `key` is a vehicle that has its record already; if so, the hits that were told about it.
    pub(super) fn knows(&self, passage: &Open, key: VrmKey, options: &PassageOptions) -> Option<&[Hit]> {
        let same = self.gone.iter().find(|gone| {
            // Seen at one time in two places, one mark is on two vehicles: that is for people to know.
            if gone.key != key || passage.first.mono < gone.last.mono {
                return false;
            }
            let away = passage.first.mono.since(gone.last.mono);
            let widths = f32::midpoint(gone.place.width(), passage.entered.width()).max(1.0);
            let near = gone.place.centre().distance(passage.entered.centre()) <= NEAR_WIDTHS * widths;
            away <= Duration::from_millis(options.same_vehicle_ms)
                || (gone.hidden && near && away <= Duration::from_millis(options.hidden_memory_ms))
        });
        same.map(|gone| gone.heard.as_slice())
    }
}
