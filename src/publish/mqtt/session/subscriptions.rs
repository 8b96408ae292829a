//! What an epoch listens to: kept equal to the filters that the program wants at the moment. Net thread, no waiting.

use std::collections::BTreeSet;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Filter;

use super::Epoch;

/// Changes handed to the client at one time: its queue has room for them beside the window of publishes.
const AT_ONCE: usize = 8;

impl Epoch<'_> {
    /// Subscribes to what is wanted and not subscribed yet, lets go what is not wanted any more. What finds no room in the client's
    /// queue is tried again after the next event.
    pub(super) fn tune(&mut self) {
        if !self.untuned {
            return;
        }
        let wanted: BTreeSet<String> = self.desk.ports.filters.borrow().clone();
        let gone: Vec<String> = self.tuned.difference(&wanted).take(AT_ONCE).cloned().collect();
        for filter in gone {
            if self.client.try_unsubscribe(filter.clone()).is_err() {
                return;
            }
            self.tuned.remove(&filter);
        }
        let new: Vec<String> = wanted.difference(&self.tuned).take(AT_ONCE).cloned().collect();
        if !new.is_empty() {
            // A filter that MQTT does not allow would stop all others: it is never handed on.
            let allowed = new.iter().filter(|f| super::super::is_valid_filter(f));
            let filters: Vec<Filter> = allowed.map(|f| Filter::new(f.as_str(), QoS::AtLeastOnce)).collect();
            if !filters.is_empty() && self.client.try_subscribe_many(filters).is_err() {
                return;
            }
            self.tuned.extend(new);
        }
        self.untuned = self.tuned != wanted;
    }
}
