//! From outcomes to durable envelopes: evidence is packed, the record is put in words, and one commit makes it safe.
//!
//! Runs on the `recorder` thread, which alone waits for the disk. A stalled disk is its problem: it keeps the batch that
//! it holds and tries again, the queue before it fills, and readers then let pictures go (counted) before they let text wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::latency::Latency;
use super::pipeline::{Evidence, Outcome};
use crate::anpr::record::{AlertPhase, PassageId};
use crate::clock::{Backoff, Clock, ClockSource, MonoTime};
use crate::outbox::{Draft, Lane, Outbox, OutboxError, Qos};
use crate::publish::mqtt::Live;
use crate::publish::topic::{Picture, Topics};
use crate::publish::wire::{self, AlertMessage, AuditMessage, DisplayMessage, GapMessage, Message, ReadMessage, UnreadMessage};
use crate::vision::evidence::{EvidenceOptions, overview_jpeg, patch_jpeg};

/// Media type of pictures.
const JPEG: &str = "image/jpeg";
/// Schema of pictures: the plain file.
const JPEG_SCHEMA: &str = "kerbside.image/1";

/// Pictures that evidence makes: patch and overview.
const PICTURES: usize = 2;

/// Turns outcomes into drafts. Pure but for the JPEG encoder.
#[derive(Clone, Debug)]
pub struct Clerk {
    /// Topics of this device.
    pub topics: Topics,
    /// Device and models, as they stand in messages.
    pub source: wire::Source,
    /// How evidence is packed.
    pub evidence: EvidenceOptions,
    /// Seconds after which an alert is stale.
    pub alert_expiry_s: u32,
}

impl Clerk {
    /// The drafts of an outcome, text first. Evidence that can't be encoded is left out with a word in the log: the record
    /// matters more.
    ///
    /// # Errors
    /// When the text can't be put into JSON: permanent, the caller counts it and goes on.
    pub fn drafts(&self, outcome: &Outcome) -> Result<Vec<Draft>, wire::JsonError> {
        match outcome {
            Outcome::Alert(alert) => {
                let message = AlertMessage::new(&self.source, alert);
                let mut draft = text::<AlertMessage>(self.topics.alert(), Lane::Alert, true, &message)?;
                draft.expiry_s = Some(self.alert_expiry_s);
                Ok(vec![draft])
            }
            Outcome::Record(record, evidence) => {
                let hit = !record.hits.is_empty();
                let (pictures, named) = self.pictures(record.passage, evidence.as_deref(), hit);
                let message = ReadMessage::new(&self.source, record, &named);
                let text = text::<ReadMessage>(self.topics.read(), Lane::Read, hit, &message)?;
                Ok(std::iter::once(text).chain(pictures).collect())
            }
            Outcome::Unread(unread, evidence) => {
                let (pictures, named) = self.pictures(unread.passage, evidence.as_deref(), false);
                let message = UnreadMessage::new(&self.source, unread, &named);
                let text = text::<UnreadMessage>(self.topics.unread(), Lane::Read, false, &message)?;
                Ok(std::iter::once(text).chain(pictures).collect())
            }
        }
    }

    fn pictures(&self, passage: PassageId, evidence: Option<&Evidence>, hit: bool) -> (Vec<Draft>, Vec<wire::Evidence>) {
        let Some(evidence) = evidence else { return (Vec::new(), Vec::new()) };
        let encoded: [_; PICTURES] = [
            (Picture::Patch, Lane::Patch, patch_jpeg(&evidence.frame, evidence.quad, &self.evidence)),
            (Picture::Overview, Lane::Overview, overview_jpeg(&evidence.frame, evidence.quad, &self.evidence)),
        ];
        let (mut drafts, mut named) = (Vec::new(), Vec::new());
        for (picture, lane, jpeg) in encoded {
            match jpeg {
                Ok(payload) => {
                    named.push(wire::Evidence::of(picture, &payload));
                    drafts.push(Draft {
                        topic: self.topics.image(passage, picture),
                        qos: Qos::AtLeastOnce,
                        lane,
                        hit,
                        content_type: JPEG.into(),
                        schema: JPEG_SCHEMA.into(),
                        expiry_s: None,
                        payload,
                    });
                }
                Err(e) => tracing::warn!(%passage, picture = picture.as_str(), "evidence left out: {e}"),
            }
        }
        (drafts, named)
    }
}

/// Counters that the recorder keeps for health.
#[derive(Debug, Default)]
pub struct RecorderStats {
    /// Envelopes committed.
    pub committed: AtomicU64,
    /// Outcomes that could not be put into words.
    pub unwritable: AtomicU64,
    /// Pictures that were left out, as they can't be packed within their caps.
    pub left_out: AtomicU64,
    /// Commits that failed and were tried again.
    pub stalls: AtomicU64,
    /// From the frame that decided an early alert to the alert on disk.
    pub alert_early: Latency,
    /// From the last frame with the plate to a confirmed or retracted alert on disk: the time to settle is in it.
    pub alert_at_close: Latency,
    /// From the last frame with the plate to the capture record on disk: the time to settle is in it.
    pub record: Latency,
    /// Set while the disk refuses.
    pub stalled: AtomicBool,
    /// Moment of the last turn of its loop, nanoseconds of the monotonic clock: for the watchdog.
    pub beat_nanos: AtomicU64,
    /// Set when every outcome is on disk: all senders are gone and the queue is empty.
    pub done: AtomicBool,
    /// Set when the store was damaged under the running daemon: a restart salvages it, nothing else does.
    pub damaged: AtomicBool,
}

/// What the recorder thread needs.
#[derive(Debug)]
pub struct Recorder {
    /// Puts outcomes in words.
    pub clerk: Clerk,
    /// Makes them durable.
    pub outbox: Outbox,
    /// Where outcomes come from.
    pub outcomes: Receiver<Outcome>,
    /// Entries of the audit log, made durable as well.
    pub audits: Receiver<AuditMessage>,
    /// Where alerts for a screen in the vehicle go, if there is one.
    pub display: Option<mpsc::Sender<Live>>,
    /// Tells the net thread that there is something to send.
    pub wake: Arc<Notify>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counters for health.
    pub stats: Arc<RecorderStats>,
    /// Set when the daemon stops: the thread ends then, once all senders are gone and the queue is empty. A box whose clips have ended
    /// goes on telling gaps and audit entries until then.
    pub stop: Arc<AtomicBool>,
    /// Set when waiting for a refusing disk must end: shutdown with a deadline.
    pub give_up: Arc<AtomicBool>,
    /// When to look next for what is too old.
    pub next_expiry: MonoTime,
    /// When a report may be written that is not full.
    pub next_report: MonoTime,
}

/// Reports of gaps that may wait for delivery at one time: an outbox that is full must not be filled by them.
const REPORTS: u64 = 16;
/// Gaps that don't fill a report are told this often.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Between two turns when no more outcomes can come.
const IDLE: Duration = Duration::from_millis(50);
/// Between two looks for what is too old.
const EXPIRE_EVERY: Duration = Duration::from_mins(1);

/// Outcomes committed together under load: one sync serves them all.
const GROUP: usize = 16;

impl Recorder {
    /// Records until all senders are gone and the daemon stops. Nothing that was taken from the queue is dropped while the disk refuses, unless
    /// told to give up.
    pub fn run(mut self) {
        loop {
            self.stats.beat_nanos.store(self.clock.now().mono.as_nanos(), Ordering::Relaxed);
            let taken = self.outcomes.recv_timeout(Duration::from_millis(500));
            self.audit();
            self.keep_house();
            let first = match taken {
                Ok(outcome) => outcome,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    self.stats.done.store(true, Ordering::Relaxed);
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(IDLE);
                    continue;
                }
            };
            let batch: Vec<Outcome> = std::iter::once(first).chain(self.outcomes.try_iter().take(GROUP - 1)).collect();
            // Alerts are safe and on their way before the first picture of the batch is packed.
            let (alerts, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|o| matches!(o, Outcome::Alert(_)));
            for outcomes in [alerts, others].into_iter().filter(|o| !o.is_empty()) {
                let drafts = outcomes.iter().flat_map(|o| self.drafts(o)).collect();
                if self.commit(drafts) {
                    self.time(&outcomes);
                    self.show(&outcomes);
                }
            }
        }
    }

    /// Lets go what is too old, and writes reports of gaps that the back office has not been told of.
    fn keep_house(&mut self) {
        let now = self.clock.now();
        if now.mono >= self.next_expiry {
            self.next_expiry = now.mono.plus(EXPIRE_EVERY);
            // What fails here fails at the next record too, and is told there.
            drop(self.outbox.commit(&[], now));
        }
        for _ in 0..REPORTS {
            let gaps = match self.outbox.untold_gaps(wire::MAX_GAPS_A_MESSAGE as u64, REPORTS) {
                Ok(gaps) => gaps,
                Err(e) => {
                    if now.mono >= self.next_report {
                        tracing::error!("gaps can't be read, and so not told: {e}");
                        self.next_report = now.mono.plus(REPORT_EVERY);
                    }
                    return;
                }
            };
            // A few gaps wait for company: in a full outbox each report costs the room of a row, which is a gap again.
            if gaps.is_empty() || (gaps.len() < wire::MAX_GAPS_A_MESSAGE && now.mono < self.next_report) {
                return;
            }
            self.next_report = now.mono.plus(REPORT_EVERY);
            let message = GapMessage::new(&self.clerk.source, &gaps, now.utc);
            let report = match text::<GapMessage>(self.clerk.topics.gap(), Lane::Health, true, &message) {
                Ok(report) => report,
                Err(e) => return tracing::error!("a gap can't be told: {e}"),
            };
            if self.outbox.commit_report(report, &gaps, now).is_err() {
                return; // the gaps are still there, and so is the next turn
            }
            self.stats.committed.fetch_add(1, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    /// Makes audit entries durable.
    fn audit(&mut self) {
        let entries: Vec<AuditMessage> = self.audits.try_iter().collect();
        if entries.is_empty() {
            return;
        }
        let drafts = audit_drafts(&self.clerk.topics, &entries);
        self.commit(drafts);
    }

    /// Tells a screen in the vehicle of alerts that are on disk by now, but for what nobody there may notice.
    fn show(&self, outcomes: &[Outcome]) {
        let Some(display) = &self.display else { return };
        let alerts = outcomes.iter().filter_map(|o| if let Outcome::Alert(alert) = o { Some(alert) } else { None });
        for message in alerts.filter_map(|alert| DisplayMessage::new(alert)) {
            let (topic, schema) = (self.clerk.topics.display(), DisplayMessage::SCHEMA.to_owned());
            match message.encode() {
                // A full queue means no connection: a screen is about now.
                Ok(payload) => drop(display.try_send(Live::Fleeting { topic, schema, payload })),
                Err(e) => tracing::error!("an alert can't be shown: {e}"),
            }
        }
    }

    fn drafts(&self, outcome: &Outcome) -> Vec<Draft> {
        let drafts = self.clerk.drafts(outcome).unwrap_or_else(|e| {
            self.stats.unwritable.fetch_add(1, Ordering::Relaxed);
            tracing::error!("an outcome can't be put into JSON and is lost: {e}");
            Vec::new()
        });
        if outcome.evidence().is_some() && !drafts.is_empty() {
            let pictures = drafts.iter().filter(|d| d.lane.is_image()).count();
            self.stats.left_out.fetch_add(PICTURES.saturating_sub(pictures) as u64, Ordering::Relaxed);
        }
        drafts
    }

    /// Notes how long ago the frames of committed outcomes were captured, those of cameras that are on our clock.
    fn time(&self, outcomes: &[Outcome]) {
        let now = self.clock.now();
        for outcome in outcomes {
            let (at, latency) = match outcome {
                Outcome::Alert(alert) if alert.phase == AlertPhase::Early => (alert.at, &self.stats.alert_early),
                Outcome::Alert(alert) => (alert.at, &self.stats.alert_at_close),
                Outcome::Record(record, _) => (record.sightings.last, &self.stats.record),
                Outcome::Unread(..) => continue,
            };
            if at.quality.source == ClockSource::System {
                latency.add(now.mono.since(at.mono));
            }
        }
    }

    /// Makes drafts durable, however long it takes; false when told to give up before.
    fn commit(&mut self, mut drafts: Vec<Draft>) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10), 1);
        loop {
            match self.outbox.commit(&drafts, self.clock.now()) {
                Ok(seqs) => {
                    self.stats.committed.fetch_add(u64::try_from(seqs.len()).unwrap_or(0), Ordering::Relaxed);
                    self.stats.stalled.store(false, Ordering::Relaxed);
                    self.wake.notify_one();
                    return true;
                }
                Err(OutboxError::DraftTooLarge { topic, bytes, max_bytes }) => {
                    // This one can never be stored; the others can.
                    self.stats.unwritable.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(topic, bytes, max_bytes, "larger than the whole outbox may be: left out");
                    drafts.retain(|d| d.cost_bytes() <= max_bytes);
                }
                Err(e) => {
                    self.stats.stalls.fetch_add(1, Ordering::Relaxed);
                    if !self.stats.stalled.swap(true, Ordering::Relaxed) {
                        tracing::error!("the outbox can't be written, trying on: {e}");
                    }
                    if e.is_damage() {
                        self.stats.damaged.store(true, Ordering::Relaxed);
                    }
                    if self.give_up.load(Ordering::Relaxed) {
                        tracing::error!(envelopes = drafts.len(), "told to stop while the disk refuses: these are lost");
                        return false;
                    }
                    let until = self.clock.now().mono.plus(backoff.next_wait());
                    while self.clock.now().mono < until && !self.give_up.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    self.stats.beat_nanos.store(self.clock.now().mono.as_nanos(), Ordering::Relaxed);
                }
            }
        }
    }
}

/// Entries of the audit log as drafts. One that can't be put into JSON is lost, with a word in the log.
pub fn audit_drafts(topics: &Topics, entries: &[AuditMessage]) -> Vec<Draft> {
    let draft = |entry: &AuditMessage| {
        let draft = text::<AuditMessage>(topics.audit(), Lane::Health, false, entry);
        draft.inspect_err(|e| tracing::error!("an audit entry can't be put into JSON and is lost: {e}")).ok()
    };
    entries.iter().filter_map(draft).collect()
}

fn text<M: Message>(topic: String, lane: Lane, hit: bool, message: &M) -> Result<Draft, wire::JsonError> {
    Ok(Draft {
        topic,
        qos: Qos::AtLeastOnce,
        lane,
        hit,
        content_type: wire::CONTENT_TYPE.into(),
        schema: M::SCHEMA.into(),
        expiry_s: None,
        payload: message.encode()?,
    })
}
