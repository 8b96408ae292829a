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

/// What one look into the outbox gave.
struct Due {
    rows: Vec<Envelope>,
    /// The same look would not give the same again.
    moved: bool,
}

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

    /// Rows that were refused and found no room in memory lie behind the cursors: now and then all is looked through again.
    pub(super) fn look_for_forgotten(&mut self, now: Instant) {
        if self.desk.refused.wants_a_look(now) {
            self.start_over();
        }
    }

    /// Looks through the store from its beginning. What is sent again is not of the moment any more.
    pub(super) fn start_over(&mut self) {
        match self.desk.ports.outlet.last_seq() {
            Ok(last) => self.history = last,
            Err(error) => return self.desk.storage_failed(&error.to_string()),
        }
        self.cursors.reset();
        self.hungry = true;
    }

    /// Sends what is due until the window is full or nothing is left.
    pub(super) fn fill(&mut self) {
        while (self.hungry || !self.desk.resend.is_empty()) && self.fill_once() {}
    }

    /// One look into the outbox: text first, pictures only when no text waits. True when not all of what was found could be sent, so
    /// that there is room for others, and the next look will find others.
    fn fill_once(&mut self) -> bool {
        let window = self.desk.row_window(self.window);
        let room = window.saturating_sub(self.in_window());
        if room == 0 {
            return false;
        }
        let now = self.desk.ports.clock.now().utc;
        let is_image = |t: &&Ticket| matches!(t, Ticket::Row { lane, .. } if lane.is_image());
        let flying_images = self.queued.iter().chain(self.by_packet.values()).filter(is_image).count();
        let image_room = usize::from(self.desk.options.images_in_flight.max(1)).saturating_sub(flying_images);
        match self.due(room, image_room, now) {
            Ok(Due { rows, moved }) => {
                // A full answer may have left some behind; with the window full, the next acknowledgement asks again.
                self.hungry = rows.len() == room;
                let asked = rows.len();
                let now = Instant::now();
                let mut sent = 0;
                for envelope in rows {
                    let seq = envelope.seq;
                    let is_ready = !self.desk.refused.is_waiting(seq, now) && !self.has_taken(seq);
                    sent += usize::from(is_ready && self.send(envelope).is_some());
                }
                // Without one or the other the next look would find the same again.
                let goes_on = (sent < asked || sent == 0) && (sent > 0 || moved);
                self.hungry |= sent < asked;
                goes_on
            }
            Err(error) => {
                self.desk.storage_failed(&error.to_string());
                self.hungry = false;
                self.release_at.get_or_insert_with(|| Instant::now() + Duration::from_secs(1)); // looks again then
                false
            }
        }
    }

    /// Whether a row is on its way or has just arrived.
    fn has_taken(&self, seq: Seq) -> bool {
        self.flying.contains_key(&seq) || self.arrived.contains(&seq)
    }

    /// What is to be sent next, at most `room` rows and of these `image_room` pictures: alerts, text that lies behind the cursors (put
    /// off and due, or asked for by number), other text, pictures in the same order. Moves the cursors past what it gives, and reads no
    /// more than that.
    fn due(&mut self, room: usize, image_room: usize, now: UtcTime) -> Result<Due, OutboxError> {
        let before = self.cursors;
        let mut gone = false;
        let mut rows = self.desk.ports.outlet.next(&ALERTS, &before, room, now)?;
        gone |= self.fetch_again(false, room - rows.len(), &mut rows, now)?;
        self.fetch_new(&TEXT, room - rows.len(), &mut rows, now)?;
        let most = rows.len() + image_room.min(room - rows.len());
        gone |= self.fetch_again(true, most - rows.len(), &mut rows, now)?;
        self.fetch_new(&IMAGES, most - rows.len(), &mut rows, now)?;
        rows.iter().for_each(|envelope| self.cursors.pass(envelope.draft.lane, envelope.seq));
        Ok(Due { rows, moved: gone || self.cursors != before })
    }

    /// Rows beyond the cursors, of those lanes that are not refused as a whole.
    fn fetch_new(&mut self, lanes: &[Lane], room: usize, rows: &mut Vec<Envelope>, now: UtcTime) -> Result<(), OutboxError> {
        if room > 0 && lanes.iter().all(|lane| !self.desk.refused.is_choked(*lane, Instant::now())) {
            rows.extend(self.desk.ports.outlet.next(lanes, &self.cursors, room, now)?);
        }
        Ok(())
    }

    /// Rows behind the cursors. True when some turned out to have left.
    fn fetch_again(&mut self, images: bool, room: usize, rows: &mut Vec<Envelope>, now: UtcTime) -> Result<bool, OutboxError> {
        let again = self.desk.again(images).filter(|s| !self.has_taken(*s) && rows.iter().all(|e| e.seq != *s));
        let again: BTreeSet<Seq> = again.take(room).collect();
        if again.is_empty() {
            return Ok(false);
        }
        let numbers: Vec<Seq> = again.iter().copied().collect();
        let found = self.desk.ports.outlet.fetch(&numbers, now)?;
        let stored: BTreeSet<Seq> = found.iter().map(|e| e.seq).collect();
        self.desk.gone(again.difference(&stored).copied());
        rows.extend(found);
        Ok(stored.len() < again.len())
    }

    /// Hands a row to the client; none when it can't be sent (noted).
    fn send(&mut self, envelope: Envelope) -> Option<Seq> {
        let Envelope { seq, draft, prev, proof, .. } = envelope;
        let historical = seq.get() <= self.history || self.desk.is_late(seq);
        let lane = draft.lane;
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
            self.desk.dead_letter((seq, lane), &draft.topic, prepared.bytes, self.max_packet);
            return None;
        }
        match self.link.publish(prepared) {
            Ok(()) => {
                self.desk.sent(lane, seq);
                self.desk.resend.remove(&seq);
                self.sent_rows = true;
                self.queued.push_back(Ticket::Row { seq, lane });
                self.flying.insert(seq, (Instant::now(), lane));
                Some(seq)
            }
            // The client's queue is larger than the window, so this is a topic that MQTT does not allow.
            Err(_) => {
                self.desk.ports.stats.failed(format!("row {seq} can't be published under its topic"));
                self.desk.put_off(seq, lane);
                None
            }
        }
    }
}
