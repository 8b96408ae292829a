//! One epoch: connect, fill the window from the outbox, match acknowledgements, until something goes wrong or we are told to
//! stop. Net thread.
//!
//! Three rules of the client library shape this file. Publishing is only done here, in the task that polls, so `Numbered` events
//! come in the order of our calls, and a queue tells which row got which id. A poll is never dropped half way (it may be writing
//! a packet): the link keeps it. And the window stays under the broker's receive maximum, or the library would quietly hold
//! packets back.

mod confirm;
mod ending;
mod outgoing;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::desk::Desk;
use super::link::{Accepted, Link, LinkError, LinkEvent, LinkOptions, Outcome, Protocol, SPARE_REQUESTS};
use super::options::{MAX_WINDOW, NoSubscriber, Place, Transport};
use super::route::Route;
use super::stats::count;
use super::tls::{Fingerprint, Identity};
use crate::outbox::{Cursors, Lane, Seq};
use confirm::Confirming;
use ending::{Leaving, Look, looked};

/// Acknowledged rows are released together, at the latest after so long.
const RELEASE_EVERY: Duration = Duration::from_millis(20);
/// A connection that stood for so long was a good one, whatever ended it.
const GOOD_AFTER: Duration = Duration::from_secs(60);
/// Packet ids of the broker's receive maximum that are kept free for subscriptions, which take them from the same few.
const IDS_TO_SPARE: u16 = 4;

/// Why an epoch ended.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// The broker had accepted us.
    pub(super) connected: bool,
    /// The connection was of use: the next wait starts from the floor again.
    pub(super) settled: bool,
    /// The broker may not have known the protocol that was tried.
    pub(super) unknown_protocol: bool,
}

/// How an epoch ended.
#[derive(Debug)]
pub(super) enum Parting {
    /// We were told to stop.
    Stopped,
    /// Certificates were renewed: the same broker again, with the new ones.
    Renew,
    /// A preferred broker answers.
    Prefer(usize),
    Failed(Failure),
}

/// What was handed to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ticket {
    Row { seq: Seq, lane: Lane },
    Latest,
    Answer,
    Fleeting,
}

/// State of one connection.
struct Epoch<'a> {
    desk: &'a mut Desk,
    route: &'a Route,
    link: Link,
    protocol: Protocol,
    /// Handed to the client, packet id not known yet; in the order of the calls.
    queued: VecDeque<Ticket>,
    by_packet: BTreeMap<u16, Ticket>,
    /// Rows handed over and not acknowledged.
    flying: BTreeMap<Seq, (Instant, Lane)>,
    /// Acknowledged rows, still stored.
    arrived: BTreeSet<Seq>,
    release_at: Option<Instant>,
    /// How far the store was looked through in this epoch.
    cursors: Cursors,
    window: usize,
    max_packet: usize,
    retain: bool,
    /// Rows up to this one were committed before the connection came up.
    history: u64,
    since: Option<Instant>,
    settled: bool,
    sent_rows: bool,
    /// There may be rows to send that we have not looked at.
    hungry: bool,
    /// Filters subscribed to in this epoch, and whether they may differ from those wanted.
    tuned: BTreeSet<String>,
    untuned: bool,
    /// Whoever wants filters is still there.
    filters_change: bool,
    leaving: Option<Leaving>,
    /// The time between pings that was settled.
    keep_alive: Duration,
    /// When bytes last came from the broker, and whether it was found silent for too long since.
    heard: Instant,
    silent: bool,
    /// Certificate files: when to look next, what they were last.
    certificates: Option<(Instant, Fingerprint)>,
    /// When to look for a preferred broker, and the look under way.
    look_at: Option<Instant>,
    look: Option<Look>,
    /// Rows wait for the back office.
    confirming: Option<Confirming>,
}

/// One honest attempt: from connecting to whatever ends it.
pub(super) async fn run_once(desk: &mut Desk, route: &Route, shutdown: &mut watch::Receiver<bool>) -> Parting {
    let broker = desk.options.broker.clone();
    let tls = match &broker.transport {
        Transport::Plain => None,
        Transport::Tls(files) => match Identity::load(files) {
            Ok(identity) => Some(identity),
            Err(fault) => {
                return Parting::Failed(Failure {
                    reason: fault.to_string(),
                    connected: false,
                    settled: false,
                    unknown_protocol: false,
                });
            }
        },
    };
    let window = desk.options.window.clamp(1, MAX_WINDOW);
    let protocol = route.tongue().protocol();
    let link = Link::new(
        &LinkOptions {
            broker: &broker,
            place: route.place(),
            protocol,
            tls: tls.as_ref(),
            window,
            will: Some(&desk.options.presence),
            session_expiry_s: None,
            receive_maximum: None,
        },
        0,
    );
    desk.begin_epoch();
    let now = Instant::now();
    let mut epoch = Epoch {
        link,
        route,
        protocol,
        queued: VecDeque::new(),
        by_packet: BTreeMap::new(),
        flying: BTreeMap::new(),
        arrived: BTreeSet::new(),
        release_at: None,
        cursors: Cursors::default(),
        window: usize::from(window),
        max_packet: usize::MAX,
        retain: true,
        history: 0,
        since: None,
        settled: false,
        sent_rows: false,
        hungry: true,
        tuned: BTreeSet::new(),
        untuned: true,
        filters_change: true,
        leaving: None,
        keep_alive: broker.keep_alive,
        heard: now,
        silent: false,
        certificates: tls.as_ref().map(|tls| (now + broker.certificate_check, tls.fingerprint())),
        look_at: None,
        look: None,
        confirming: Confirming::new(&desk.options.confirm, desk.confirmed, now),
        desk,
    };
    let mut ended = epoch.live(shutdown).await;
    if let End::Link(error) = &mut ended {
        // What had been read from the socket before the end is as good as before: acknowledgements among it count.
        for event in epoch.link.rest() {
            if epoch.handle(event).is_err() {
                break;
            }
        }
        // A refused certificate is the likeliest reason, and the alert that says so may be lost.
        let remark = tls.as_ref().filter(|_| epoch.since.is_none()).and_then(|t| t.remark(epoch.desk.ports.clock.now().utc));
        if let Some(remark) = remark {
            error.words = format!("{} ({remark})", error.words);
        }
    }
    epoch.close(ended)
}

/// What ends an epoch from inside.
#[derive(Debug)]
enum End {
    /// As was intended.
    Left(Parting),
    Link(LinkError),
    Ours(String),
}

impl Epoch<'_> {
    async fn live(&mut self, shutdown: &mut watch::Receiver<bool>) -> End {
        loop {
            let due = self.next_deadline();
            let mut happened = None;
            tokio::select! {
                biased;
                event = self.link.next() => match event {
                    Ok(event) => happened = Some(event),
                    Err(error) => return End::Link(error),
                },
                changed = shutdown.changed(), if !self.is_stopping() => {
                    if changed.is_err() || *shutdown.borrow() {
                        if self.since.is_none() {
                            return End::Left(Parting::Stopped);
                        }
                        self.leave(Parting::Stopped);
                    }
                }
                () = self.desk.ports.wake.notified() => self.hungry = true,
                Some(live) = self.desk.ports.live.recv() => {
                    let connected = self.since.is_some() && self.leaving.is_none();
                    self.desk.take_live(live, connected);
                }
                changed = self.desk.ports.filters.changed(), if self.filters_change => {
                    self.filters_change = changed.is_ok();
                    self.untuned = true;
                }
                found = looked(&mut self.look) => {
                    self.look = None;
                    match found {
                        Some(index) if self.leaving.is_none() => self.leave(Parting::Prefer(index)),
                        _ => {}
                    }
                }
                () = sleep_until(due) => self.hungry = true, // a refused row may have come due
            }
            let went = match happened {
                Some(event) => self.handle(event),
                None => self.watch(),
            };
            if let Err(end) = went.and_then(|()| self.tend()) {
                return end;
            }
        }
    }

    const fn is_stopping(&self) -> bool {
        matches!(self.leaving, Some(Leaving { then: Parting::Stopped, .. }))
    }

    /// When to look up even if nothing happens.
    fn next_deadline(&self) -> Option<Instant> {
        self.since?;
        let oldest = self.flying.values().map(|(t, _)| *t).min().map(|t| t + self.desk.options.ack_timeout);
        let leaving = self.leaving.as_ref().map(|l| l.until);
        let certificates = self.certificates.map(|(at, _)| at);
        let due = self.desk.refused.next_due(Instant::now());
        let silence = Some(self.silence_due());
        let confirming = self.confirming.as_ref().map(Confirming::due);
        [silence, oldest, leaving, due, certificates, confirming, self.look_at, self.release_at].into_iter().flatten().min()
    }

    /// After each thing that happened: keep what has to hold.
    fn tend(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.since.is_none() {
            return Ok(());
        }
        if self.confirming.is_some() {
            self.confirm(now);
        } else if self.release_at.is_some_and(|at| at <= now) || self.arrived.len() >= self.window {
            self.release();
        }
        if let Some((seq, (sent, _))) = self.flying.iter().min_by_key(|(_, (sent, _))| *sent)
            && now.saturating_duration_since(*sent) >= self.desk.options.ack_timeout
        {
            return Err(End::Ours(format!("row {seq} was never acknowledged")));
        }
        if self.leaving.is_some() {
            return self.drain(now);
        }
        self.tune();
        self.tell_live();
        self.look_for_forgotten(now);
        self.fill();
        Ok(())
    }

    fn handle(&mut self, event: LinkEvent) -> Result<(), End> {
        if event.is_heard() {
            self.heard = Instant::now();
            self.silent = false;
        }
        match event {
            LinkEvent::Accepted(accepted) => self.begin(&accepted),
            LinkEvent::Numbered(packet) => self.numbered(packet),
            LinkEvent::Acknowledged { packet, outcome } => self.acknowledged(packet, outcome),
            LinkEvent::Taken(packet) => Err(End::Ours(format!("packet id {packet} is taken"))),
            LinkEvent::Message(message) => {
                if self.is_acknowledgement(&message) {
                    self.take_acknowledgement(&message);
                } else {
                    self.desk.deliver(*message);
                }
                Ok(())
            }
            // Having said goodbye, we wait for the broker to close: then it has read it, and does not speak our will.
            LinkEvent::Disconnected | LinkEvent::Subscribed | LinkEvent::Alive | LinkEvent::Other => Ok(()),
        }
    }

    fn begin(&mut self, accepted: &Accepted) -> Result<(), End> {
        let receive = accepted.receive_max.saturating_sub(IDS_TO_SPARE).max(1);
        self.window = self.window.min(usize::from(receive));
        self.max_packet = accepted.max_packet;
        self.keep_alive = accepted.keep_alive;
        self.retain = accepted.retains;
        if !accepted.acknowledges {
            return Err(End::Ours("the broker acknowledges nothing (it offers QoS 0 only)".to_owned()));
        }
        match self.desk.ports.outlet.last_seq() {
            Ok(last) => self.history = last,
            Err(error) => return Err(End::Ours(error.to_string())),
        }
        let now = Instant::now();
        self.since = Some(now);
        if self.route.index() > 0 {
            self.look_at = Some(now + self.route.look_every(self.desk.options.broker.prefer_again));
        }
        let (index, place): (usize, &Place) = (self.route.index(), self.route.place());
        self.desk.ports.stats.connected(self.desk.ports.clock.now().utc, index, place, self.protocol);
        tracing::info!(broker = %place, window = self.window, mqtt = self.protocol.as_str(), "connected to the broker");
        Ok(())
    }

    /// The client has given the oldest queued ticket a packet id (0 for QoS 0) and is writing it.
    fn numbered(&mut self, packet: u16) -> Result<(), End> {
        let Some(ticket) = self.queued.pop_front() else {
            return Err(End::Ours(format!("packet {packet} was sent, but not by us")));
        };
        if packet == 0 {
            if let Ticket::Row { seq, lane } = ticket {
                self.arrived(seq, lane);
            }
            return Ok(());
        }
        if ticket == Ticket::Fleeting || self.by_packet.insert(packet, ticket).is_some() {
            return Err(End::Ours(format!("packet id {packet} does not fit what we sent")));
        }
        Ok(())
    }

    fn acknowledged(&mut self, packet: u16, outcome: Outcome) -> Result<(), End> {
        let Some(ticket) = self.by_packet.remove(&packet) else {
            return Err(End::Ours(format!("packet {packet} was acknowledged, but never sent")));
        };
        self.hungry = true;
        let Ticket::Row { seq, lane } = ticket else { return Ok(()) };
        let reason = match outcome {
            Outcome::Taken => None,
            Outcome::NoSubscriber if self.desk.options.no_subscriber == NoSubscriber::Deliver => None,
            Outcome::NoSubscriber => Some("nobody has subscribed to it".to_owned()),
            Outcome::Refused(reason) => Some(reason),
        };
        let Some(reason) = reason else {
            self.arrived(seq, lane);
            return Ok(());
        };
        count(&self.desk.ports.stats.refused);
        // One line for 1, 2, 4, 8 … refusals: a broker that refuses all would fill the journal, health has the count.
        let refused = self.desk.ports.stats.counters().refused;
        if refused.is_power_of_two() {
            tracing::warn!(seq = seq.get(), reason, refused, "the broker refused a row; it is kept and tried again");
        }
        self.desk.ports.stats.failed(format!("the broker refused row {seq}: {reason}"));
        self.flying.remove(&seq);
        self.desk.put_off(seq, lane);
        Ok(())
    }

    fn arrived(&mut self, seq: Seq, lane: Lane) {
        self.flying.remove(&seq);
        self.desk.arrived(seq);
        self.settled = true;
        if let Some(confirming) = &mut self.confirming {
            confirming.passed(seq, lane);
            return; // it stays until the back office has it too
        }
        self.arrived.insert(seq);
        self.release_at.get_or_insert_with(|| Instant::now() + RELEASE_EVERY);
    }

    fn release(&mut self) {
        self.tell_passed();
        let seqs: Vec<Seq> = self.arrived.iter().copied().collect();
        self.release_at = None;
        if seqs.is_empty() {
            return;
        }
        match self.desk.ports.outlet.release(&seqs) {
            Ok(_) => self.arrived.clear(),
            Err(error) => {
                self.desk.storage_failed(&error.to_string());
                self.release_at = Some(Instant::now() + Duration::from_secs(1));
            }
        }
    }

    fn close(mut self, ended: End) -> Parting {
        self.release();
        let (reason, hung_up, unknown_protocol) = match ended {
            End::Left(parting) => {
                self.desk.end_epoch(self.flying.iter().map(|(seq, (_, lane))| (*seq, *lane)), false);
                return parting;
            }
            End::Ours(reason) => (reason, false, false),
            End::Link(error) => (error.words, error.hung_up, error.unknown_protocol && self.since.is_none()),
        };
        let blamed = hung_up && self.sent_rows && !self.settled;
        let settled = self.settled || self.since.is_some_and(|t| t.elapsed() >= GOOD_AFTER);
        self.desk.end_epoch(self.flying.iter().map(|(seq, (_, lane))| (*seq, *lane)), blamed);
        match self.leaving {
            Some(Leaving { then, .. }) => then,
            None => Parting::Failed(Failure { reason, connected: self.since.is_some(), settled, unknown_protocol }),
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
