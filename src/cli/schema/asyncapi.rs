//! The AsyncAPI 3.0 document: the topic table with its messages. Sending and receiving are the box's.

use serde_json::{Map, Value, json};

use super::channels::{CHANNELS, Channel, HEADERS, PARAMETERS, Payload, Way};
use super::{ALL, short_name};
use crate::publish::wire::{AnswerMessage, Message};

const ABOUT: &str = "Capture records and hotlist alerts of an edge ANPR box, over MQTT 5. Sending and receiving are the box's. \
    Delivery is at least once: take duplicates out by the user properties stream and seq. On MQTT 3.1.1, which has no user \
    properties, every payload is framed: one line of JSON that opens with {\"kerbside\":\"frame/1\" and holds what would be the \
    properties, a line feed, then the bytes.";

/// The whole document.
pub(super) fn document() -> Value {
    let mut operations: Map<String, Value> = CHANNELS.iter().map(|c| (operation_name(c), operation(c))).collect();
    operations.insert(
        "send_answer".into(),
        json!({ "action": "send", "channel": { "$ref": "#/channels/answer" }, "bindings": mqtt(1, false),
                "messages": [{ "$ref": "#/channels/answer/messages/answer" }] }),
    );
    let mut channels: Map<String, Value> = CHANNELS.iter().map(|c| (c.name.to_owned(), channel(c))).collect();
    channels.insert(
        "answer".into(),
        json!({ "address": null, "messages": { "answer": { "$ref": "#/components/messages/answer" } },
                "description": "The answer to a command, on the response topic that the command named." }),
    );
    let mut messages: Map<String, Value> =
        CHANNELS.iter().map(|c| (c.name.to_owned(), message(c.name, c.payload, c.way))).collect();
    messages.insert("answer".into(), message("answer", Payload::Message(AnswerMessage::SCHEMA), Way::Live));
    let parameters: Map<String, Value> =
        PARAMETERS.into_iter().map(|(name, about)| (name.to_owned(), json!({ "description": about }))).collect();
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:kerbside",
        "info": { "title": "Kerbside", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "parameters": parameters, "schemas": schemas() },
    })
}

/// The payloads' schemas, each in one piece: references into a part of a document are read differently by different tools.
fn schemas() -> Map<String, Value> {
    let schema = |make: fn(bool) -> schemars::Schema| {
        let mut schema = make(true);
        schema.remove("$schema");
        schema.remove("$id");
        schema.to_value()
    };
    ALL.iter().map(|known| (short_name(known.name).to_owned(), schema(known.make))).collect()
}

fn channel(channel: &Channel) -> Value {
    let address = format!("kerbside/v1/{{org}}/{{device}}/{}", channel.leaf);
    let parameters: Map<String, Value> = PARAMETERS
        .into_iter()
        .filter(|(name, _)| address.contains(&format!("{{{name}}}")))
        .map(|(name, _)| (name.to_owned(), json!({ "$ref": format!("#/components/parameters/{name}") })))
        .collect();
    let name = channel.name;
    json!({ "address": address, "description": channel.about, "parameters": parameters,
            "messages": { name: { "$ref": format!("#/components/messages/{name}") } } })
}

fn operation_name(channel: &Channel) -> String {
    let verb = if channel.way == Way::Down { "receive" } else { "send" };
    format!("{verb}_{}", channel.name)
}

fn operation(channel: &Channel) -> Value {
    let name = channel.name;
    let mut operation = json!({
        "action": if channel.way == Way::Down { "receive" } else { "send" },
        "channel": { "$ref": format!("#/channels/{name}") },
        "messages": [{ "$ref": format!("#/channels/{name}/messages/{name}") }],
        "bindings": mqtt(channel.qos, channel.retain),
    });
    if name == "command" {
        operation["reply"] = json!({
            "channel": { "$ref": "#/channels/answer" },
            "messages": [{ "$ref": "#/channels/answer/messages/answer" }],
            "address": { "location": "$message.payload#/response_topic",
                         "description": "MQTT 5's response topic; this member for a client that has none." },
        });
    }
    operation
}

fn mqtt(qos: u8, retain: bool) -> Value {
    json!({ "mqtt": { "qos": qos, "retain": retain, "bindingVersion": "0.2.0" } })
}

fn message(name: &str, payload: Payload, way: Way) -> Value {
    let mut message = match payload {
        Payload::Message(schema) => json!({
            "title": schema,
            "contentType": "application/json",
            "payload": { "$ref": format!("#/components/schemas/{}", short_name(schema)) },
        }),
        Payload::Bytes(media) => json!({ "title": name, "contentType": media }),
    };
    message["name"] = name.into();
    if way != Way::Down {
        message["headers"] = headers(payload, way);
    }
    message
}

/// MQTT 5's user properties: all of them text.
fn headers(payload: Payload, way: Way) -> Value {
    let told = HEADERS.into_iter().filter(|(name, ..)| way == Way::Stored || *name == "schema");
    let mut properties = Map::new();
    for (name, pattern, about) in told {
        let mut header = json!({ "type": "string", "description": about });
        if !pattern.is_empty() {
            header["pattern"] = pattern.into();
        }
        if let (Payload::Message(schema), "schema") = (payload, name) {
            header["const"] = schema.into();
        }
        properties.insert(name.to_owned(), header);
    }
    let required: Vec<String> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}
