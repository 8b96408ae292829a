//! What an epoch sends, and in which order: live messages, then text by lane, then pictures. Net thread, no waiting.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::link::{CONTENT_TYPE, Message, RowProperties};
use super::super::stats::count;
use super::{Epoch, SPARE_REQUESTS, Ticket};
use crate::clock::UtcTime;
use crate::outbox::{Envelope, Lane, OutboxError, Qos, Seq};

const ALERTS: [Lane; 1] = [Lane::Alert];
const TEXT: [Lane; 2] = [Lane::Read, Lane::Health];
const IMAGES: [Lane; 2] = [Lane::Patch, Lane::Overview];

impl Epoch<'_> {
    /// Messages in flight or about to be, of those that take a place in the window.
    fn in_window(&self) -> usize {
        self.by_packet.len() + self.queued.iter().filter(|t| **t != Ticket::Fleeting).count()
    }

    pub(super) fn tell_live(&mut self) {
        let dirty: Vec<String> = self.desk.latest.iter().filter(|(_, l)| l.dirty).map(|(topic, _)| topic.clone()).collect();
        for topic in dirty {
            if self.in_window() >= self.window {
                break;
            }
            let Some(latest) = self.desk.latest.get_mut(&topic) else { continue };
            latest.dirty = false;
            let (schema, payload) = (latest.schema.clone(), latest.payload.clone());
            self.publish_live(&topic, &schema, payload, None, Ticket::Latest);
        }
        while self.in_window() < self.window
            && let Some(answer) = self.desk.answers.pop_front()
        {
            self.publish_live(&answer.topic, &answer.schema, answer.payload, answer.correlation, Ticket::Answer);
        }
        for (topic, schema, payload) in std::mem::take(&mut self.desk.fleeting) {
            if self.queued.len() < self.window + usize::from(SPARE_REQUESTS / 2) {
                self.publish_live(&topic, &schema, payload, None, Ticket::Fleeting);
            } else {
                count(&self.desk.ports.stats.live_dropped);
            }
        }
    }

    pub(super) fn publish_live(
        &mut self,
        topic: &str,
        schema: &str,
        payload: Vec<u8>,
        correlation: Option<Vec<u8>>,
        ticket: Ticket,
    ) {
        let prepared = self.link.prepare(Message {
            topic: topic.to_owned(),
            acknowledged: ticket != Ticket::Fleeting,
            retain: ticket == Ticket::Latest && self.retain,
            payload,
            schema: schema.to_owned(),
            content_type: CONTENT_TYPE.to_owned(),
            correlation,
            ..Message::default()
        });
        if prepared.bytes <= self.max_packet && self.link.publish(prepared).is_ok() {
            self.queued.push_back(ticket);
        } else {
            count(&self.desk.ports.stats.live_dropped);
        }
    }

    /// Sends what is due until the window is full or nothing is left.
    pub(super) fn fill(&mut self) {
        while (self.hungry || !self.desk.resend.is_empty()) && self.fill_once() {}
    }

    /// One look into the outbox: text first, pictures only when no text waits. True when rows turned out to be unsendable, so
    /// that there is room for others.
    fn fill_once(&mut self) -> bool {
        let window = self.desk.row_window(self.window);
        let room = window.saturating_sub(self.in_window());
        if room == 0 || self.desk.is_choked() {
            return false;
        }
        let now = self.desk.ports.clock.now().utc;
        let flying_images =
            self.queued.iter().chain(self.by_packet.values()).filter(|t| matches!(t, Ticket::Row { image: true, .. }));
        let image_room = usize::from(self.desk.options.images_in_flight.max(1)).saturating_sub(flying_images.count());
        let due = self.due(room, image_room, now);
        match due {
            Ok(due) => {
                // A full answer may have left some behind; with the window full, the next acknowledgement asks again.
                self.hungry = due.len() == room;
                let asked = due.len();
                let waiting: BTreeSet<Seq> = self.desk.waiting().collect();
                let mut sent = 0;
                for envelope in due {
                    let is_ready = !waiting.contains(&envelope.seq) && !self.flying.contains_key(&envelope.seq);
                    sent += usize::from(is_ready && self.send(envelope).is_some());
                }
                self.hungry |= sent < asked;
                sent < asked
            }
            Err(error) => {
                self.desk.storage_failed(&error.to_string());
                self.hungry = false;
                self.release_at.get_or_insert_with(|| Instant::now() + Duration::from_secs(1)); // looks again then
                false
            }
        }
    }

    /// What is to be sent next, at most `room` rows and of these `image_room` pictures: alerts, what was asked for again by number,
    /// other text, pictures. Moves the cursors past what it gives.
    fn due(&mut self, room: usize, mut image_room: usize, now: UtcTime) -> Result<Vec<Envelope>, OutboxError> {
        let outlet = &mut self.desk.ports.outlet;
        let mut due = outlet.next(&ALERTS, &self.cursors, room, now)?;
        // Rows that were put off and have come due lie behind the cursors, as do those that somebody wants again.
        let again = self.desk.due().chain(self.desk.resend.iter().copied());
        let again = again.filter(|s| !self.flying.contains_key(s) && !self.arrived.contains(s));
        let again: BTreeSet<Seq> = again.take(room - due.len()).collect();
        if !again.is_empty() {
            let numbers: Vec<Seq> = again.iter().copied().collect();
            let found = self.desk.ports.outlet.fetch(&numbers, now)?;
            let stored: BTreeSet<Seq> = found.iter().map(|e| e.seq).collect();
            self.desk.gone(again.difference(&stored).copied());
            for envelope in found {
                // Pictures that find no room stay asked for.
                let is_image = envelope.draft.lane.is_image();
                if !is_image || image_room > 0 {
                    image_room -= usize::from(is_image);
                    due.push(envelope);
                }
            }
        }
        let outlet = &mut self.desk.ports.outlet;
        due.extend(outlet.next(&TEXT, &self.cursors, room - due.len(), now)?);
        image_room = image_room.min(room - due.len());
        if image_room > 0 {
            due.extend(outlet.next(&IMAGES, &self.cursors, image_room, now)?);
        }
        due.iter().for_each(|envelope| self.cursors.pass(envelope.draft.lane, envelope.seq));
        Ok(due)
    }

    /// Hands a row to the client; none when it can't be sent (noted).
    fn send(&mut self, envelope: Envelope) -> Option<Seq> {
        let Envelope { seq, draft, prev, proof, .. } = envelope;
        let historical = seq.get() <= self.history;
        let image = draft.lane.is_image();
        let prepared = self.link.prepare(Message {
            topic: draft.topic.clone(),
            acknowledged: draft.qos == Qos::AtLeastOnce,
            payload: draft.payload,
            schema: draft.schema,
            content_type: draft.content_type,
            expiry_s: draft.expiry_s.filter(|_| !historical),
            row: Some(RowProperties {
                seq: seq.get(),
                historical,
                stream: self.desk.ports.outlet.stream().to_string(),
                prev: prev.to_string(),
                proof: proof.map(|p| (p.signature.to_string(), p.key.to_string())),
            }),
            ..Message::default()
        });
        if prepared.bytes > self.max_packet {
            self.desk.dead_letter(seq, &draft.topic, prepared.bytes, self.max_packet);
            return None;
        }
        match self.link.publish(prepared) {
            Ok(()) => {
                self.desk.sent(draft.lane, seq);
                self.desk.resend.remove(&seq);
                self.sent_rows = true;
                self.queued.push_back(Ticket::Row { seq, image });
                self.flying.insert(seq, Instant::now());
                Some(seq)
            }
            // The client's queue is larger than the window, so this is a topic that MQTT does not allow.
            Err(_) => {
                self.desk.ports.stats.failed(format!("row {seq} can't be published under its topic"));
                self.desk.put_off(seq);
                None
            }
        }
    }
}
