//! A message in one line, for a person.

use crate::publish::mqtt::Received;
use crate::publish::wire::{
    AckMessage, AlertMessage, AuditMessage, CameraStateMessage, DisplayMessage, GapMessage, HealthMessage, HitWire,
    HotlistStateMessage, Message, ReadMessage, StatusMessage, UnreadMessage,
};

/// One line for a person. What can't be understood is shown as what it is: somebody else's message on our topics.
pub(in crate::cli) fn describe(message: &Received) -> String {
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
        Some(GapMessage::SCHEMA) => GapMessage::decode(&message.payload).map(|m| {
            let gaps: Vec<String> = m.gaps.iter().map(|g| format!("{}-{} {}", g.first_seq, g.last_seq, g.reason)).collect();
            format!("{}  gap     {} will never come: {}", m.written, m.device, gaps.join(", "))
        }),
        Some(AckMessage::SCHEMA) => AckMessage::decode(&message.payload)
            .map(|m| format!("{}  ack     {} up to {} is at the back office", m.written, m.device, m.watermark)),
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

fn read_line(m: &ReadMessage) -> String {
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

fn alert_line(m: &AlertMessage) -> String {
    let hit = m.hits.first().map(hit_words).unwrap_or_default();
    format!("{}  ALERT   {:<9} {:>3.0}%  {:<9} {hit}", m.at, m.decoded.vrm, m.decoded.confidence * 100.0, m.phase)
}

fn hit_words(h: &HitWire) -> String {
    format!("{} {} ({}, list {}): {}", h.action.to_uppercase(), h.priority, h.class, h.list, h.reason)
}
