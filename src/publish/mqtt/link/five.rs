//! MQTT 5. No state.

use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, Filter, LastWill, LastWillProperties, PubAckReason, Publish, PublishProperties,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions};

use super::{
    Accepted, CONTENT_TYPE, Client, LinkEvent, LinkOptions, Message, NotTaken, Outcome, Packet, Prepared, Step, Stepped,
    unframed, words,
};
use crate::outbox::Qos;
use crate::publish::mqtt::options::Presence;
use crate::publish::mqtt::{Received, Token};

pub(super) fn start(options: &LinkOptions<'_>, number: u64) -> (Client, Step) {
    let (client, eventloop) = AsyncClient::new(client_options(options), options.requests());
    let manual = options.session_expiry_s.is_some();
    (Client::Five(client), step(Box::new(eventloop), options.keep_alive(), manual.then_some(number)))
}

fn step(mut eventloop: Box<EventLoop>, keep_alive: Duration, tokens: Option<u64>) -> Step {
    Box::pin(async move {
        match eventloop.poll().await {
            Ok(event) => {
                let event = ours(event, keep_alive, tokens);
                if let LinkEvent::Accepted(accepted) = &event {
                    // A broker that says 0 wants no pings at all; we want them, to know whether it is there.
                    eventloop.options.set_keep_alive(accepted.keep_alive);
                }
                Stepped { event: Ok(event), next: Some(step(eventloop, keep_alive, tokens)), rest: Vec::new() }
            }
            Err(error) => {
                let rest = eventloop.state.events.drain(..).map(|event| ours(event, keep_alive, tokens)).collect();
                Stepped { event: Err(words::five(&error)), next: None, rest }
            }
        }
    })
}

fn ours(event: Event, keep_alive: Duration, tokens: Option<u64>) -> LinkEvent {
    match event {
        Event::Incoming(Incoming::ConnAck(connack)) => LinkEvent::Accepted(accepted(&connack, keep_alive)),
        Event::Outgoing(Outgoing::Publish(packet)) => LinkEvent::Numbered(packet),
        Event::Incoming(Incoming::PubAck(ack)) => {
            let outcome = match ack.reason {
                PubAckReason::Success => Outcome::Taken,
                PubAckReason::NoMatchingSubscribers => Outcome::NoSubscriber,
                refused => Outcome::Refused(format!("{refused:?}")),
            };
            LinkEvent::Acknowledged { packet: ack.pkid, outcome }
        }
        Event::Incoming(Incoming::Publish(publish)) => LinkEvent::Message(Box::new(received(&publish, tokens))),
        Event::Incoming(Incoming::SubAck(_)) => LinkEvent::Subscribed,
        Event::Outgoing(Outgoing::AwaitAck(packet)) => LinkEvent::Taken(packet),
        Event::Outgoing(Outgoing::Disconnect) => LinkEvent::Disconnected,
        Event::Incoming(_) => LinkEvent::Alive,
        Event::Outgoing(_) => LinkEvent::Other,
    }
}

fn accepted(connack: &ConnAck, keep_alive: Duration) -> Accepted {
    let says = connack.properties.as_ref();
    let theirs = says.and_then(|p| p.server_keep_alive).filter(|s| *s > 0);
    Accepted {
        receive_max: says.and_then(|p| p.receive_max).unwrap_or(u16::MAX),
        max_packet: says.and_then(|p| p.max_packet_size).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX),
        retains: says.and_then(|p| p.retain_available) != Some(0),
        acknowledges: says.and_then(|p| p.max_qos) != Some(0),
        keep_alive: theirs.map_or(keep_alive, |s| Duration::from_secs(s.into())),
    }
}

fn client_options(options: &LinkOptions<'_>) -> MqttOptions {
    let broker = options.broker;
    let mut client = MqttOptions::new(broker.client_id.clone(), options.host(), options.place.port);
    client.set_transport(options.transport());
    client.set_network_options(LinkOptions::network());
    client.set_connection_timeout(super::CONNECT_TIMEOUT.as_secs());
    client.set_keep_alive(options.keep_alive());
    client.set_clean_start(options.session_expiry_s.is_none());
    client.set_manual_acks(options.session_expiry_s.is_some());
    // Twice the window, so that packet ids stay free even when the broker acknowledges in another order.
    client.set_outgoing_inflight_upper_limit(options.window.saturating_mul(2));
    if let Some(login) = &broker.credentials {
        client.set_credentials(login.username.clone(), login.password.clone());
    }
    if let Some(presence) = options.will {
        client.set_last_will(will(presence));
    }
    let mut connect = ConnectProperties::new();
    connect.max_packet_size = Some(broker.max_incoming_bytes);
    connect.session_expiry_interval = options.session_expiry_s;
    connect.receive_maximum = options.receive_maximum;
    client.set_connect_properties(connect);
    client
}

/// The will: what the broker says of us when we go without a word.
fn will(presence: &Presence) -> LastWill {
    let about = LastWillProperties {
        delay_interval: None,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: Some(CONTENT_TYPE.to_owned()),
        response_topic: None,
        correlation_data: None,
        user_properties: vec![("schema".to_owned(), presence.schema.clone())],
    };
    LastWill::new(&presence.topic, presence.offline.clone(), QoS::AtLeastOnce, true, Some(about))
}

pub(super) fn prepare(message: Message) -> Prepared {
    let mut user_properties = Vec::new();
    if !message.schema.is_empty() {
        user_properties.push(("schema".to_owned(), message.schema));
    }
    if let Some(row) = message.row {
        user_properties.push(("seq".to_owned(), row.seq.to_string()));
        user_properties.push(("historical".to_owned(), u8::from(row.historical).to_string()));
        user_properties.push(("stream".to_owned(), row.stream));
        user_properties.push(("prev".to_owned(), row.prev));
        if let Some((sig, key)) = row.proof {
            user_properties.push(("sig".to_owned(), sig));
            user_properties.push(("key".to_owned(), key));
        }
    }
    let properties = PublishProperties {
        user_properties,
        message_expiry_interval: message.expiry_s,
        payload_format_indicator: (message.content_type == CONTENT_TYPE).then_some(1),
        content_type: Some(message.content_type),
        response_topic: message.response_topic,
        correlation_data: message.correlation.map(Into::into),
        ..PublishProperties::default()
    };
    let qos = if message.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut publish = Publish::new(message.topic, qos, message.payload, Some(properties));
    publish.retain = message.retain;
    let bytes = publish.size() + if message.acknowledged { 2 } else { 0 };
    Prepared { bytes, packet: Packet::Five(Box::new(publish)) }
}

pub(super) fn publish(client: &AsyncClient, publish: Publish) -> Result<(), NotTaken> {
    let Publish { topic, qos, retain, payload, properties, .. } = publish;
    let topic = String::from_utf8(topic.into()).map_err(|_| NotTaken)?;
    client.try_publish_with_properties(topic, qos, retain, payload, properties.unwrap_or_default()).map_err(|_| NotTaken)
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String], qos: Qos) -> Result<(), NotTaken> {
    let qos = if qos == Qos::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    client.try_subscribe_many(filters.iter().map(|f| Filter::new(f.as_str(), qos))).map_err(|_| NotTaken)
}

pub(super) fn acknowledge(client: &AsyncClient, packet: u16) -> Result<(), NotTaken> {
    let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new(), None);
    publish.pkid = packet;
    client.try_ack(&publish).map_err(|_| NotTaken)
}

fn received(publish: &Publish, tokens: Option<u64>) -> Received {
    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
    let token = tokens.filter(|_| publish.qos != QoS::AtMostOnce).map(|connection| Token { connection, packet: publish.pkid });
    let Some(properties) = publish.properties.as_ref().filter(|p| !p.user_properties.is_empty()) else {
        let about = publish.properties.as_ref();
        let plain = unframed(topic, &publish.payload, publish.retain);
        return Received {
            content_type: plain.content_type.clone().or_else(|| about?.content_type.clone()),
            expiry_s: about.and_then(|p| p.message_expiry_interval),
            response_topic: about.and_then(|p| p.response_topic.clone()),
            correlation: about.and_then(|p| p.correlation_data.as_ref()).map(|c| c.to_vec()),
            token,
            ..plain
        };
    };
    let user = |key: &str| properties.user_properties.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    Received {
        topic,
        payload: publish.payload.to_vec(),
        seq: user("seq").and_then(|v| v.parse().ok()),
        schema: user("schema"),
        historical: user("historical").map(|v| v == "1"),
        retained: publish.retain,
        content_type: properties.content_type.clone(),
        expiry_s: properties.message_expiry_interval,
        stream: user("stream"),
        prev: user("prev"),
        sig: user("sig"),
        key: user("key"),
        response_topic: properties.response_topic.clone(),
        correlation: properties.correlation_data.as_ref().map(|c| c.to_vec()),
        token,
    }
}

/// The error of the socket in it, where there is one.
pub(super) fn io_error(error: &ConnectionError) -> Option<&std::io::Error> {
    use rumqttc::v5::StateError;
    use rumqttc::v5::mqttbytes::Error;
    match error {
        ConnectionError::Io(e)
        | ConnectionError::Tls(rumqttc::TlsError::Io(e))
        | ConnectionError::MqttState(StateError::Io(e) | StateError::Deserialization(Error::Io(e))) => Some(e),
        _ => None,
    }
}
