//! The receiver's loop: gather, commit, acknowledge to the broker, tell the boxes. `publish::receiver` says why in this order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{Args, no_broker, place, print};
use crate::cli::{Exit, Failure, complain};
use crate::clock::{Clock, SystemClock};
use crate::keys::TrustedKeys;
use crate::outbox::Qos;
use crate::outbox::chain::StreamId;
use crate::publish::mqtt::{Outbound, Received, Subscriber, SubscriberOptions};
use crate::publish::receiver::{Numbered, Store, Watermark};
use crate::publish::wire::{AckMessage, Message};

/// For so long the broker keeps our place, and what came meanwhile, while we are away, seconds: a week.
const SESSION_EXPIRY_S: u32 = 7 * 24 * 3600;
/// Largest packet: a whole picture with its properties has to come through, or its number would be missing for ever.
const MAX_PACKET_BYTES: u32 = 16 << 20;
/// Messages of one commit wait for one another so long at most.
const GROUP: Duration = Duration::from_millis(100);
/// Nothing more for so long: commit what is there.
const PAUSE: Duration = Duration::from_millis(2);
/// Most messages of one commit.
const MOST: usize = 500;
/// How often the loop turns when nothing comes, to notice a new connection.
const IDLE: Duration = Duration::from_millis(200);
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// Counts for the summary line.
#[derive(Debug, Default)]
struct Tally {
    new: u64,
    duplicates: u64,
    aside: u64,
    breaks: u64,
    live: u64,
}

/// Receives until `--count` messages have come, or for ever.
pub(super) async fn run(args: &Args, dir: &Path, trusted: Option<TrustedKeys>) -> Result<Exit, Failure> {
    let mut store = Store::open(dir).map_err(Failure::software)?;
    let mut broker = args.broker.options("receiver")?;
    broker.client_id = format!("kerbside-receiver-{}", store.id().map_err(Failure::software)?);
    broker.max_incoming_bytes = MAX_PACKET_BYTES;
    (broker.backoff_floor, broker.backoff_ceiling) = (Duration::from_millis(200), Duration::from_secs(5));
    let mut options = SubscriberOptions::new(broker, args.topics.clone(), Qos::AtLeastOnce);
    options.session_expiry_s = Some(SESSION_EXPIRY_S);
    let mut subscriber = Subscriber::new(options);
    // A receiver outlives its broker; but a wrong address should not look like a quiet road.
    if timeout(Duration::from_secs(10), subscriber.subscribed()).await.is_err() {
        complain(format_args!("{:#}; trying on", no_broker(args, &subscriber)));
    }

    let mut tally = Tally::default();
    // Watermarks that the boxes have not been told yet.
    let mut untold: BTreeMap<(String, StreamId), Watermark> = BTreeMap::new();
    let (mut connection, mut summary, mut seen) = (0, Instant::now() + SUMMARY_EVERY, 0);
    loop {
        if subscriber.connections() != connection {
            connection = subscriber.connections();
            complain(format_args!("receiving from {}:{}", args.broker.host, args.broker.port()));
            // What was told may have been lost with the old connection, or the broker with all that it retained.
            let all = store.watermarks().map_err(Failure::software)?;
            untold.extend(all.into_iter().filter(|_| args.ack).map(|w| ((w.device.clone(), w.stream), w)));
        }
        let batch = gather(&mut subscriber).await;
        let numbered: Vec<Numbered> = batch.iter().filter_map(Numbered::from_received).collect();
        if !numbered.is_empty() {
            let taken = store.take(&numbered, trusted.as_ref(), SystemClock.now().utc).map_err(Failure::software)?;
            tally.new += taken.new;
            tally.duplicates += taken.duplicates;
            for (i, why) in &taken.aside {
                tally.aside += 1;
                complain(place(&numbered[*i], &why.to_string()));
            }
            for (i, what) in &taken.breaks {
                tally.breaks += 1;
                complain(place(&numbered[*i], what));
            }
            if args.ack && taken.duplicates > 0 {
                // A box that sends again what is stored here has not heard so: the broker retains one acknowledgement for a
                // device, and that may have been of another of its streams.
                let sent: BTreeSet<_> = numbered.iter().map(|n| (n.device.as_str(), n.stream)).collect();
                let all = store.watermarks().map_err(Failure::software)?;
                let again = all.into_iter().filter(|w| sent.contains(&(w.device.as_str(), w.stream)));
                untold.extend(again.map(|w| ((w.device.clone(), w.stream), w)));
            }
            if args.ack {
                untold.extend(taken.moved.into_iter().map(|w| ((w.device.clone(), w.stream), w)));
            }
        }
        // From here on all of it is on disk.
        for message in &batch {
            // Where the connection is gone the broker brings it again, and it will be a duplicate.
            subscriber.acknowledge(message);
            if !args.quiet {
                print(message, args.json)?;
            }
        }
        untold.retain(|_, watermark| subscriber.publish(told(watermark)).is_err());
        tally.live += (batch.len() - numbered.len()) as u64;
        seen += batch.len() as u64;
        if args.count > 0 && seen >= args.count {
            subscriber.close().await;
            return Ok(Exit::Ok);
        }
        if args.quiet && Instant::now() >= summary {
            summary = Instant::now() + SUMMARY_EVERY;
            complain(format_args!(
                "{} stored, {} duplicates, {} kept aside, {} breaks, {} live messages passed over, connection {}",
                tally.new,
                tally.duplicates,
                tally.aside,
                tally.breaks,
                tally.live,
                subscriber.connections()
            ));
        }
    }
}

/// What is there, or comes at once; nothing when nothing comes for a while.
async fn gather(subscriber: &mut Subscriber) -> Vec<Received> {
    let Ok(first) = timeout(IDLE, subscriber.next()).await else { return Vec::new() };
    let (mut batch, end) = (vec![first], Instant::now() + GROUP);
    while batch.len() < MOST
        && let Ok(message) = timeout_at(end.min(Instant::now() + PAUSE), subscriber.next()).await
    {
        batch.push(message);
    }
    batch
}

/// The retained message that tells a box how far it is safe.
pub(in crate::cli) fn told(watermark: &Watermark) -> Outbound {
    let id = watermark.device.rsplit('/').next().unwrap_or_default();
    let message = AckMessage::new(id, watermark.stream, watermark.seq, SystemClock.now().utc);
    Outbound {
        topic: format!("kerbside/v1/{}/ack", watermark.device),
        schema: AckMessage::SCHEMA.to_owned(),
        // Invariant: it holds texts and a whole number, which JSON always has words for.
        payload: message.encode().expect("an acknowledgement encodes"),
        retain: true,
        ..Outbound::default()
    }
}
