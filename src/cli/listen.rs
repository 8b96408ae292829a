//! `kerbside listen`: what a back office would see, in words or as JSON lines.

use std::io::Write;

use anyhow::anyhow;

use super::broker::BrokerArgs;
use super::{Exit, Failure};
use crate::outbox::Qos;
use crate::publish::mqtt::{Received, Subscriber, SubscriberOptions, is_valid_filter};
use crate::publish::wire::{
    AlertMessage, AuditMessage, CameraStateMessage, DisplayMessage, HealthMessage, HitWire, HotlistStateMessage, Message,
    ReadMessage, StatusMessage, UnreadMessage,
};

/// Arguments of `kerbside listen`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Topic filters
    #[arg(long = "topic", value_name = "FILTER", default_value = "kerbside/v1/#")]
    topics: Vec<String>,
    /// One JSON object a line: {"topic", "seq", "schema", "historical", "payload"}; pictures by their size
    #[arg(long)]
    json: bool,
    /// End after so many messages (0: never)
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    count: u64,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    if let Some(bad) = args.topics.iter().find(|t| !is_valid_filter(t)) {
        return Err(Failure::usage(anyhow!(
            "--topic {bad:?} is no topic filter: + stands alone in its level, # alone in the last one"
        )));
    }
    let broker = args.broker.options("listen")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::software)?;
    runtime.block_on(async {
        let mut subscriber = Subscriber::new(SubscriberOptions::new(broker, args.topics.clone(), Qos::AtLeastOnce));
        // The first connection decides: a wrong address should not look like a quiet road.
        if tokio::time::timeout(std::time::Duration::from_secs(10), subscriber.subscribed()).await.is_err() {
            let why = subscriber.last_error().unwrap_or("it accepted the connection and said nothing");
            return Err(Failure::software(anyhow!(
                "no MQTT 5 broker answers at {}:{}: {why}; check --host, --port, --username and that it is running",
                args.broker.host,
                args.broker.port
            )));
        }
        let mut seen = 0;
        loop {
            let message = subscriber.next().await;
            print(&message, args.json)?;
            seen += 1;
            if seen == args.count {
                return Ok(Exit::Ok);
            }
        }
    })
}

fn print(message: &Received, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        let payload = serde_json::from_slice(&message.payload)
            .unwrap_or_else(|_| serde_json::json!({ "size_bytes": message.payload.len(), "content_type": message.content_type }));
        let line = serde_json::json!({
            "topic": message.topic, "seq": message.seq, "schema": message.schema, "historical": message.historical, "payload": payload,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{}", describe(message))?;
    }
    Ok(())
}

/// One line for a person. What can't be understood is shown as what it is: somebody else's message on our topics.
pub(super) fn describe(message: &Received) -> String {
    let seq = message.seq.map(|s| format!("#{s}")).unwrap_or_default();
    let stored = if message.historical == Some(true) { " (was stored)" } else { "" };
    let text = match message.schema.as_deref() {
        Some(AlertMessage::SCHEMA) => AlertMessage::decode(&message.payload).map(|m| alert_line(&m)),
        Some(ReadMessage::SCHEMA) => ReadMessage::decode(&message.payload).map(|m| read_line(&m)),
        Some(UnreadMessage::SCHEMA) => UnreadMessage::decode(&message.payload).map(|m| {
            format!("{}  unread  {} frames at {}: {}", m.sightings.best, m.sightings.frames, m.sightings.camera, m.reason)
        }),
        Some(StatusMessage::SCHEMA) => StatusMessage::decode(&message.payload).map(|m| {
            format!(
                "{}  status  {} is {} (session {})",
                m.written,
                m.device,
                if m.online { "online" } else { "offline" },
                m.session
            )
        }),
        Some(CameraStateMessage::SCHEMA) => CameraStateMessage::decode(&message.payload).map(|m| {
            let detail = m.detail.map(|d| format!(": {d}")).unwrap_or_default();
            format!("{}  camera  {} {}{detail}", m.since, m.camera, m.state.as_str())
        }),
        Some(HealthMessage::SCHEMA) => HealthMessage::decode(&message.payload).map(|m| {
            let waiting: u64 = m.outbox.lanes.values().map(|l| l.rows).sum();
            let alarms = if m.alarms.is_empty() { "no alarms".into() } else { m.alarms.join("; ") };
            format!("{}  health  up {} s, {waiting} envelopes wait, {alarms}", m.written, m.uptime_s)
        }),
        Some(HotlistStateMessage::SCHEMA) => HotlistStateMessage::decode(&message.payload).map(|m| {
            let version = m.version.map_or_else(|| "no version".to_owned(), |v| format!("version {v}, {} entries", m.entries));
            let coming = m.incoming.map(|i| format!("; {} of {} chunks of {}", i.chunks_here, i.chunks, i.version));
            let refused = m.refused.map(|r| format!("; refused: {}", r.reason));
            let stale = if m.expired {
                "; EXPIRED"
            } else if m.stale {
                "; STALE"
            } else {
                ""
            };
            let more = coming.unwrap_or_default() + &refused.unwrap_or_default();
            format!("{}  hotlist {} {version}{stale}{more}", m.written, m.list)
        }),
        Some(AuditMessage::SCHEMA) => AuditMessage::decode(&message.payload).map(|m| {
            let [list, version, reason] = [m.list, m.version, m.reason].map(Option::unwrap_or_default);
            let what = serde_json::to_value(m.event).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            format!("{}  audit   {what} {list} {version} by {} {reason}", m.at, m.way)
        }),
        Some(DisplayMessage::SCHEMA) => DisplayMessage::decode(&message.payload).map(|m| {
            let hit =
                m.hits.first().map(|h| format!("{} {} ({})", h.action.to_uppercase(), h.priority, h.class)).unwrap_or_default();
            format!("{}  display {:<9} {:<9} {hit}", m.at, m.vrm, m.phase)
        }),
        None => Ok(format!("{}: {} bytes", message.topic, message.payload.len())),
        _ if message.content_type.as_deref() == Some("image/jpeg") => {
            let name: Vec<&str> = message.topic.rsplit('/').take(2).collect();
            Ok(format!("{}  {} of {}, {} bytes", " ".repeat(24), name[0], name.get(1).unwrap_or(&"?"), message.payload.len()))
        }
        other => Ok(format!("{}: {} bytes of schema {other:?}", message.topic, message.payload.len())),
    };
    match text {
        Ok(text) => format!("{text}  {seq}{stored}"),
        Err(e) => format!("{}: not of the schema it names: {e}", message.topic),
    }
}

pub(super) fn read_line(m: &ReadMessage) -> String {
    let hits: String = m.hits.iter().map(|h| format!("  ! {}", hit_words(h))).collect();
    format!(
        "{}  read    {:<9} {:>3.0}%  {:<12} {} of {} reads agree, {}, {}{hits}",
        m.sightings.best,
        m.decoded.vrm,
        m.decoded.confidence * 100.0,
        m.decoded.syntax,
        m.agreeing,
        m.reads,
        m.sightings.direction,
        m.sightings.camera,
    )
}

pub(super) fn alert_line(m: &AlertMessage) -> String {
    let hit = m.hits.first().map(hit_words).unwrap_or_default();
    format!("{}  ALERT   {:<9} {:>3.0}%  {:<9} {hit}", m.at, m.decoded.vrm, m.decoded.confidence * 100.0, m.phase)
}

fn hit_words(h: &HitWire) -> String {
    format!("{} {} ({}, list {}): {}", h.action.to_uppercase(), h.priority, h.class, h.list, h.reason)
}
