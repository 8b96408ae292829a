//! What an epoch listens to: kept equal to the filters that the program wants at the moment. Net thread, no waiting.

use std::collections::BTreeSet;

use super::super::options::Confirm;
use super::Epoch;
use crate::outbox::Qos;

/// Changes handed to the client at one time: its queue has room for them beside the window of publishes.
const AT_ONCE: usize = 8;

impl Epoch<'_> {
    /// Subscribes to what is wanted and not subscribed yet, lets go what is not wanted any more. What finds no room in the client's
    /// queue is tried again after the next event.
    pub(super) fn tune(&mut self) {
        if !self.untuned {
            return;
        }
        let mut wanted: BTreeSet<String> = self.desk.ports.filters.borrow().clone();
        if let Confirm::BackOffice(office) = &self.desk.options.confirm {
            wanted.insert(office.topic.clone());
        }
        let gone: Vec<String> = self.tuned.difference(&wanted).take(AT_ONCE).cloned().collect();
        for filter in gone {
            if self.link.unsubscribe(&filter).is_err() {
                return;
            }
            self.tuned.remove(&filter);
        }
        let new: Vec<String> = wanted.difference(&self.tuned).take(AT_ONCE).cloned().collect();
        if !new.is_empty() {
            // A filter that MQTT does not allow would stop all others: it is never handed on.
            let filters: Vec<String> = new.iter().filter(|f| super::super::is_valid_filter(f)).cloned().collect();
            if !filters.is_empty() && self.link.subscribe(&filters, Qos::AtLeastOnce).is_err() {
                return;
            }
            self.tuned.extend(new);
        }
        self.untuned = self.tuned != wanted;
    }
}
