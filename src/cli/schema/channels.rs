//! The topic table: what travels where, which way, how hard the sender tries. `tests/it/schema.rs` holds it to `publish::topic`.

use crate::publish::wire::{
    AckMessage, AlertMessage, AuditMessage, CameraStateMessage, CommandMessage, DisplayMessage, GapMessage, HealthMessage,
    HotlistStateMessage, Message, ReadMessage, StatusMessage, UnreadMessage,
};

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The box, out of its outbox: numbered, chained, signed.
    Stored,
    /// The box, about the present moment only.
    Live,
    /// The back office.
    Down,
}

/// What a payload is.
#[derive(Clone, Copy)]
pub(super) enum Payload {
    /// One of our messages.
    Message(&'static str),
    /// Bytes of this media type.
    Bytes(&'static str),
}

/// One row of the topic table.
pub(super) struct Channel {
    /// Its name in the document.
    pub(super) name: &'static str,
    /// Levels behind `kerbside/v1/{org}/{device}/`.
    pub(super) leaf: &'static str,
    pub(super) way: Way,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) payload: Payload,
    pub(super) about: &'static str,
}

const fn row(name: &'static str, leaf: &'static str, way: Way, payload: Payload, about: &'static str) -> Channel {
    Channel { name, leaf, way, qos: 1, retain: false, payload, about }
}

impl Channel {
    const fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    const fn fleeting(mut self) -> Self {
        self.qos = 0;
        self
    }
}

const JPEG: Payload = Payload::Bytes("image/jpeg");
const SEALED: Payload = Payload::Bytes("application/octet-stream");

/// All of it.
pub(super) const CHANNELS: [Channel; 16] = [
    row("status", "status", Way::Live, Payload::Message(StatusMessage::SCHEMA), "Online or offline; the will sits here.")
        .retained(),
    row(
        "camera_state",
        "camera/{cam}/state",
        Way::Live,
        Payload::Message(CameraStateMessage::SCHEMA),
        "How a camera is, and since when.",
    )
    .retained(),
    row(
        "alert",
        "alert",
        Way::Stored,
        Payload::Message(AlertMessage::SCHEMA),
        "A hit: early, confirmed or retracted, all under one passage id. Expires at the broker.",
    ),
    row("read", "read", Way::Stored, Payload::Message(ReadMessage::SCHEMA), "One capture record a vehicle."),
    row("unread", "unread", Way::Stored, Payload::Message(UnreadMessage::SCHEMA), "A passage that could not be read, and why."),
    row(
        "patch",
        "image/{passage}/patch",
        Way::Stored,
        JPEG,
        "The plate in the very frame that was read best; its SHA-256 stands in the record.",
    ),
    row("overview", "image/{passage}/overview", Way::Stored, JPEG, "The whole of that frame; its SHA-256 stands in the record."),
    row(
        "gap",
        "gap",
        Way::Stored,
        Payload::Message(GapMessage::SCHEMA),
        "Numbers of the stream that will never arrive, and why.",
    ),
    row("audit", "audit", Way::Stored, Payload::Message(AuditMessage::SCHEMA), "What was done to the box, and by whom."),
    row(
        "hotlist_state",
        "hotlist/{list}/state",
        Way::Live,
        Payload::Message(HotlistStateMessage::SCHEMA),
        "The version of a hotlist in force.",
    )
    .retained(),
    row(
        "display",
        "display",
        Way::Live,
        Payload::Message(DisplayMessage::SCHEMA),
        "For a screen in the vehicle, if switched on: nothing of silent hits.",
    )
    .fleeting(),
    row(
        "health",
        "health",
        Way::Live,
        Payload::Message(HealthMessage::SCHEMA),
        "Counters, latencies, what waits and what is missing.",
    )
    .fleeting(),
    row(
        "ack",
        "ack",
        Way::Down,
        Payload::Message(AckMessage::SCHEMA),
        "Everything up to this number is stored at the back office. The box deletes it then (delivery.confirm = \"backoffice\").",
    )
    .retained(),
    row(
        "command",
        "cmd/{verb}",
        Way::Down,
        Payload::Message(CommandMessage::SCHEMA),
        "Something that is asked of the box, such as ping or outbox.resend; answered on the response topic.",
    ),
    row(
        "hotlist_manifest",
        "hotlist/{list}/manifest",
        Way::Down,
        Payload::Bytes("application/json"),
        "The signed manifest of a hotlist, under the device's id or its fleet's.",
    )
    .retained(),
    row(
        "hotlist_chunk",
        "hotlist/{list}/chunk/{sha256}",
        Way::Down,
        SEALED,
        "An encrypted piece of a hotlist, at most 256 KiB, under the device's id or its fleet's.",
    )
    .retained(),
];

/// What stands in braces in the topics.
pub(super) const PARAMETERS: [(&str, &str); 7] = [
    ("org", "The organisation's opaque id: 1 to 32 of a-z, 0-9, - and _."),
    ("device", "The device's opaque id: 1 to 32 of a-z, 0-9, - and _."),
    ("cam", "The camera's opaque id: 1 to 32 of a-z, 0-9, - and _."),
    ("passage", "The passage's id, a UUIDv7, as in its record."),
    ("list", "The hotlist's opaque id: 1 to 32 of a-z, 0-9, - and _."),
    ("sha256", "SHA-256 of the payload, 64 hexadecimal digits in lower case."),
    ("verb", "The command, opaque words with dots between them, such as outbox.resend."),
];

/// User properties (MQTT 5) of stored messages. The others have `schema` alone.
pub(super) const HEADERS: [(&str, &str, &str); 7] = [
    ("schema", "", "Name and version of the payload's schema."),
    ("seq", "^[1-9][0-9]*$", "The number in its stream: 1, 2, 3 … without holes. Duplicates have the same stream and number."),
    ("stream", "^[0-9a-f]{16}$", "Which sequence the number belongs to; a box whose disk was replaced starts another."),
    ("historical", "^[01]$", "1 when it waited on disk for this connection."),
    ("prev", "^[0-9a-f]{64}$", "The link (hash) of the message before it in the stream; 64 zeros for the first."),
    ("sig", "^[A-Za-z0-9+/]{86}==$", "The device's Ed25519 signature over this message's link."),
    ("key", "^[0-9a-f]{16}$", "Which key made it: the first 8 bytes of the SHA-256 of the public key."),
];
