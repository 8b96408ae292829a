//! Alerts about vehicles that are still in view: early ones, and those of vehicles that stay when lists change.

use super::{CoreOptions, Desk, Effect};
use crate::anpr::alert::Occasion;
use crate::anpr::decode::Decoded;
use crate::anpr::hotlist::Hit;
use crate::anpr::passage::{Open, Said, Tracker};
use crate::ident::CameraId;

impl Desk {
    /// Another hotlist is in force: what is in view is held against it at once, moving or not.
    pub(super) fn match_again(
        &mut self,
        camera: &CameraId,
        tracker: &mut Tracker,
        n: usize,
        options: &CoreOptions,
        effects: &mut Vec<Effect>,
    ) {
        let Some(passage) = tracker.open_mut(n) else { return };
        let Said::Record(decoded) = passage.said else { return self.alert_early(camera, tracker, n, options, effects) };
        self.alert_again(camera, passage, &decoded, effects);
    }

    /// Tells people about a vehicle that stays and has its record, if what is on the list is news.
    fn alert_again(&mut self, camera: &CameraId, passage: &mut Open, decoded: &Decoded, effects: &mut Vec<Effect>) {
        let on = Occasion {
            passage: passage.id,
            camera,
            at: passage.last,
            judged: self.judged_at(passage.last),
            hotlists: &self.hotlists,
        };
        if let Some(alert) = self.alerts.again(on, decoded, &mut passage.alerts) {
            self.stats.alerts += 1;
            self.late.hear(passage.id, &alert.hits);
            effects.push(Effect::Alert(Box::new(alert)));
        }
    }

    /// A vehicle that stays and has its record is read on: what was too unsure to be told may be sure by now, and a mark that was
    /// wrong gets a passage of its own, with the reads so far.
    pub(super) fn read_on(
        &mut self,
        camera: &CameraId,
        passage: &mut Open,
        before: &Decoded,
        options: &CoreOptions,
        effects: &mut Vec<Effect>,
    ) {
        let Some(fused) = passage.fused(&mut self.decoder, &options.passage).filter(|f| !f.only_clipped) else { return };
        let is_sure = fused.decoded.confidence >= options.alert.min_confidence && fused.agreeing >= options.alert.min_agreeing;
        if !is_sure {
            return;
        }
        if fused.decoded.vrm.key() == before.vrm.key() {
            self.alert_again(camera, passage, &fused.decoded, effects);
        } else if fused.decoded.confidence > before.confidence {
            self.stats.closed += 1;
            self.stats.opened += 1;
            effects.push(Effect::Dropped { passage: passage.id });
            passage.begin_anew(self.ids.next(passage.last.utc));
        }
    }

    /// Tells people about a vehicle that is still in view, if its reads are sure enough and it is news.
    pub(super) fn alert_early(
        &mut self,
        camera: &CameraId,
        tracker: &mut Tracker,
        n: usize,
        options: &CoreOptions,
        effects: &mut Vec<Effect>,
    ) {
        let Some(passage) = tracker.open().get(n).filter(|_| !self.hotlists.lists().is_empty()) else { return };
        let Some(fused) = passage.fused(&mut self.decoder, &options.passage).filter(|f| !f.only_clipped) else { return };
        let heard = tracker.knows(passage, fused.decoded.vrm.key(), &options.passage).map(<[Hit]>::to_vec);
        let Some(passage) = tracker.open_mut(n) else { return };
        passage.alerts.hear(&heard.unwrap_or_default());
        let on = Occasion {
            passage: passage.id,
            camera,
            at: passage.last,
            judged: self.judged_at(passage.last),
            hotlists: &self.hotlists,
        };
        if let Some(alert) = self.alerts.early(on, &fused.decoded, fused.agreeing, &mut passage.alerts) {
            self.stats.alerts += 1;
            effects.push(Effect::Alert(Box::new(alert)));
        }
    }
}
