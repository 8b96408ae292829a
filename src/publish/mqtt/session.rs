//! One epoch: connect, fill the window from the outbox, match acknowledgements, until something goes wrong or we are told to
//! stop. Net thread.
//!
//! Three rules of the client library shape this file. Publishing is only done here, in the task that polls, with `try_publish`,
//! so `Outgoing::Publish(packet id)` events come in the order of our calls, and a queue tells which row got which id. A poll is
//! never dropped half way (it may be writing a packet), so it is pinned and finished before the next one is made. And the
//! window stays at or under the broker's receive maximum, or the library would quietly hold packets back.

mod outgoing;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{ConnAck, PubAckReason};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming};
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{CONNECT_TIMEOUT_S, client_options, is_hang_up, received, will};
use super::desk::Desk;
use super::stats::count;
use super::{MAX_WINDOW, NoSubscriber};
use crate::outbox::{Cursors, Seq};

/// Requests that the client can hold besides the window: fleeting messages, the subscription, the disconnect.
const SPARE_REQUESTS: usize = 32;
/// Acknowledged rows are released together, at the latest after so long.
const RELEASE_EVERY: Duration = Duration::from_millis(20);
/// A connection that stood for so long was a good one, whatever ended it.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Why an epoch ended.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// The broker had accepted us.
    pub(super) connected: bool,
    /// The connection was of use: the next wait starts from the floor again.
    pub(super) settled: bool,
}

/// What was handed to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ticket {
    Row { seq: Seq, image: bool },
    Latest,
    Answer,
    Fleeting,
}

/// State of one connection.
#[derive(Debug)]
struct Epoch<'a> {
    desk: &'a mut Desk,
    client: AsyncClient,
    /// Handed to the client, packet id not known yet; in the order of the calls.
    queued: VecDeque<Ticket>,
    by_packet: BTreeMap<u16, Ticket>,
    /// Rows handed over and not acknowledged.
    flying: BTreeMap<Seq, Instant>,
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
    keep_alive: Duration,
}

/// How far a clean stop has come.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Draining(Instant),
    Disconnecting(Instant),
}

/// One honest attempt: from connecting to whatever ends it. `Ok` only when told to stop.
pub(super) async fn run_once(desk: &mut Desk, shutdown: &mut watch::Receiver<bool>) -> Result<(), Failure> {
    let window = desk.options.window.clamp(1, MAX_WINDOW);
    let mut options = client_options(&desk.options.broker);
    options.set_outgoing_inflight_upper_limit(window * 2);
    options.set_last_will(will(&desk.options.presence));
    let (client, mut eventloop) = AsyncClient::new(options, usize::from(window) + SPARE_REQUESTS);
    desk.begin_epoch();
    let keep_alive = desk.options.broker.keep_alive.max(Duration::from_secs(5));
    let mut epoch = Epoch {
        desk,
        client,
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
        keep_alive,
    };
    let ended = epoch.live(&mut eventloop, shutdown).await;
    // What had been read from the socket before the end is as good as before: acknowledgements among it count.
    let rest: Vec<Event> = eventloop.state.events.drain(..).collect();
    for event in rest {
        if epoch.handle(event).is_err() {
            break;
        }
    }
    epoch.close(ended)
}

/// What ends an epoch from inside.
#[derive(Debug)]
enum End {
    Stopped,
    Client(Box<ConnectionError>),
    Ours(String),
}

impl Epoch<'_> {
    async fn live(&mut self, eventloop: &mut EventLoop, shutdown: &mut watch::Receiver<bool>) -> End {
        loop {
            let poll = eventloop.poll();
            tokio::pin!(poll);
            // The client pings once a keep-alive, so it always has something to say before this: else it hangs in a write.
            let stalled_at = Instant::now() + self.keep_alive * 2 + Duration::from_secs(CONNECT_TIMEOUT_S);
            let event = loop {
                let due = self.next_deadline(stalled_at);
                tokio::select! {
                    biased;
                    event = &mut poll => break event,
                    changed = shutdown.changed(), if self.leaving.is_none() => {
                        if changed.is_err() || *shutdown.borrow() {
                            if self.since.is_none() {
                                return End::Stopped;
                            }
                            self.leave();
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
                    () = tokio::time::sleep_until(due) => {
                        if Instant::now() >= stalled_at {
                            return End::Ours("the connection takes no more bytes".to_owned());
                        }
                        self.hungry = true; // a refused row may have come due
                    }
                }
                if let Err(end) = self.tend() {
                    return end;
                }
            };
            match event {
                Ok(event) => {
                    if let Err(end) = self.handle(event).and_then(|()| self.tend()) {
                        return end;
                    }
                }
                Err(error) => return End::Client(Box::new(error)),
            }
        }
    }

    /// When to look up even if nothing happens.
    fn next_deadline(&self, stalled_at: Instant) -> Instant {
        let oldest = self.flying.values().min().map(|t| *t + self.desk.options.ack_timeout);
        let leaving = self.leaving.map(|l| match l {
            Leaving::Draining(until) | Leaving::Disconnecting(until) => until,
        });
        let due = self.since.and_then(|_| self.desk.next_due());
        [oldest, leaving, due, self.release_at].into_iter().flatten().fold(stalled_at, Instant::min)
    }

    /// After each thing that happened: keep what has to hold.
    fn tend(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.since.is_none() {
            return Ok(());
        }
        if self.release_at.is_some_and(|at| at <= now) || self.arrived.len() >= self.window {
            self.release();
        }
        if let Some((seq, sent)) = self.flying.iter().min_by_key(|(_, sent)| **sent)
            && now.saturating_duration_since(*sent) >= self.desk.options.ack_timeout
        {
            return Err(End::Ours(format!("row {seq} was never acknowledged")));
        }
        match self.leaving {
            None => {
                self.tune();
                self.tell_live();
                self.fill();
            }
            Some(Leaving::Draining(until)) if now >= until || (self.queued.is_empty() && self.by_packet.is_empty()) => {
                self.release();
                if self.client.try_disconnect().is_err() {
                    return Err(End::Stopped);
                }
                self.leaving = Some(Leaving::Disconnecting(now + Duration::from_secs(1)));
            }
            Some(Leaving::Disconnecting(until)) if now >= until => return Err(End::Stopped),
            Some(_) => {}
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Incoming(Incoming::ConnAck(connack)) => self.begin(&connack),
            Event::Outgoing(Outgoing::Publish(packet)) => self.numbered(packet),
            Event::Incoming(Incoming::PubAck(ack)) => self.acknowledged(ack.pkid, ack.reason),
            Event::Outgoing(Outgoing::AwaitAck(packet)) => Err(End::Ours(format!("packet id {packet} is taken"))),
            Event::Outgoing(Outgoing::Disconnect) => Err(End::Stopped),
            Event::Incoming(Incoming::Publish(publish)) => {
                self.desk.deliver(received(&publish));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, connack: &ConnAck) -> Result<(), End> {
        if let Some(says) = &connack.properties {
            self.window = self.window.min(usize::from(says.receive_max.unwrap_or(MAX_WINDOW))).max(1);
            self.max_packet = says.max_packet_size.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            // The client pings at the broker's pace, should that be slower than ours.
            self.keep_alive = self.keep_alive.max(Duration::from_secs(says.server_keep_alive.unwrap_or(0).into()));
            self.retain = says.retain_available != Some(0);
            if says.max_qos == Some(0) {
                return Err(End::Ours("the broker acknowledges nothing (it offers QoS 0 only)".to_owned()));
            }
        }
        match self.desk.ports.outlet.last_seq() {
            Ok(last) => self.history = last,
            Err(error) => return Err(End::Ours(error.to_string())),
        }
        self.since = Some(Instant::now());
        self.desk.ports.stats.connected(self.desk.ports.clock.now().utc);
        tracing::info!(window = self.window, "connected to the broker");
        Ok(())
    }

    /// The client has given the oldest queued ticket a packet id (0 for QoS 0) and is writing it.
    fn numbered(&mut self, packet: u16) -> Result<(), End> {
        let Some(ticket) = self.queued.pop_front() else {
            return Err(End::Ours(format!("packet {packet} was sent, but not by us")));
        };
        if packet == 0 {
            if let Ticket::Row { seq, .. } = ticket {
                self.arrived(seq);
            }
            return Ok(());
        }
        if ticket == Ticket::Fleeting || self.by_packet.insert(packet, ticket).is_some() {
            return Err(End::Ours(format!("packet id {packet} does not fit what we sent")));
        }
        Ok(())
    }

    fn acknowledged(&mut self, packet: u16, reason: PubAckReason) -> Result<(), End> {
        let Some(ticket) = self.by_packet.remove(&packet) else {
            return Err(End::Ours(format!("packet {packet} was acknowledged, but never sent")));
        };
        self.hungry = true;
        let Ticket::Row { seq, .. } = ticket else { return Ok(()) };
        let delivered = match reason {
            PubAckReason::Success => true,
            PubAckReason::NoMatchingSubscribers => self.desk.options.no_subscriber == NoSubscriber::Deliver,
            _ => false,
        };
        if delivered {
            self.arrived(seq);
        } else {
            count(&self.desk.ports.stats.refused);
            // One line for 1, 2, 4, 8 … refusals: a broker that refuses all would fill the journal, health has the count.
            let refused = self.desk.ports.stats.counters().refused;
            if refused.is_power_of_two() {
                tracing::warn!(seq = seq.get(), ?reason, refused, "the broker refused a row; it is kept and tried again");
            }
            self.desk.ports.stats.failed(format!("the broker refused row {seq}: {reason:?}"));
            self.flying.remove(&seq);
            self.desk.put_off(seq);
        }
        Ok(())
    }

    fn arrived(&mut self, seq: Seq) {
        self.flying.remove(&seq);
        self.desk.arrived(seq);
        self.settled = true;
        self.arrived.insert(seq);
        self.release_at.get_or_insert_with(|| Instant::now() + RELEASE_EVERY);
    }

    fn release(&mut self) {
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

    /// Told to stop: no new rows, say offline, wait for what is in flight.
    fn leave(&mut self) {
        self.leaving = Some(Leaving::Draining(Instant::now() + self.desk.options.drain));
        let presence = self.desk.options.presence.clone();
        self.publish_live(&presence.topic, &presence.schema, presence.offline, None, Ticket::Latest);
    }

    fn close(mut self, ended: End) -> Result<(), Failure> {
        self.release();
        let (reason, hung_up) = match ended {
            End::Stopped => return Ok(()),
            End::Ours(reason) => (reason, false),
            End::Client(error) => (error.to_string(), is_hang_up(&error)),
        };
        let blamed = hung_up && self.sent_rows && !self.settled;
        let settled = self.settled || self.since.is_some_and(|t| t.elapsed() >= GOOD_AFTER);
        self.desk.end_epoch(self.flying.keys().copied(), blamed);
        if self.leaving.is_some() {
            return Ok(());
        }
        Err(Failure { reason, connected: self.since.is_some(), settled })
    }
}
