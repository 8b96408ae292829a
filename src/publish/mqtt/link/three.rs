//! MQTT 3.1.1: no properties, so every message is framed; no reasons, so an acknowledgement is all that there is to hear; no
//! limits told by the broker. No state.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions, Outgoing, Publish, QoS, SubscribeFilter,
};

use super::{
    Accepted, CONTENT_TYPE, Client, LinkEvent, LinkOptions, Message, NotTaken, Outcome, Packet, Prepared, Step, Stepped, frame,
    unframed, words,
};
use crate::outbox::Qos;
use crate::publish::mqtt::{Received, Token};
use crate::publish::wire::Frame;

/// The largest packet that MQTT can express, bytes: the client's own limit of 10 KiB would keep pictures back.
const MAX_PACKET_BYTES: usize = 268_435_455 + 5;

pub(super) fn start(options: &LinkOptions<'_>, number: u64) -> (Client, Step) {
    let (client, mut eventloop) = AsyncClient::new(client_options(options), options.requests());
    eventloop.set_network_options(LinkOptions::network());
    let manual = options.session_expiry_s.is_some();
    (Client::Three(client), step(Box::new(eventloop), options.keep_alive(), manual.then_some(number)))
}

fn step(mut eventloop: Box<EventLoop>, keep_alive: Duration, tokens: Option<u64>) -> Step {
    Box::pin(async move {
        match eventloop.poll().await {
            Ok(event) => {
                let event = Ok(ours(event, keep_alive, tokens));
                Stepped { event, next: Some(step(eventloop, keep_alive, tokens)), rest: Vec::new() }
            }
            Err(error) => {
                let rest = eventloop.state.events.drain(..).map(|event| ours(event, keep_alive, tokens)).collect();
                Stepped { event: Err(words::three(&error)), next: None, rest }
            }
        }
    })
}

fn ours(event: Event, keep_alive: Duration, tokens: Option<u64>) -> LinkEvent {
    match event {
        Event::Incoming(Incoming::ConnAck(_)) => LinkEvent::Accepted(Accepted {
            receive_max: u16::MAX,
            max_packet: MAX_PACKET_BYTES,
            retains: true,
            acknowledges: true,
            keep_alive,
        }),
        Event::Outgoing(Outgoing::Publish(packet)) => LinkEvent::Numbered(packet),
        Event::Incoming(Incoming::PubAck(ack)) => LinkEvent::Acknowledged { packet: ack.pkid, outcome: Outcome::Taken },
        Event::Incoming(Incoming::Publish(publish)) => {
            let token =
                tokens.filter(|_| publish.qos != QoS::AtMostOnce).map(|connection| Token { connection, packet: publish.pkid });
            LinkEvent::Message(Box::new(Received { token, ..unframed(publish.topic, &publish.payload, publish.retain) }))
        }
        Event::Incoming(Incoming::SubAck(_)) => LinkEvent::Subscribed,
        Event::Outgoing(Outgoing::AwaitAck(packet)) => LinkEvent::Taken(packet),
        Event::Outgoing(Outgoing::Disconnect) => LinkEvent::Disconnected,
        Event::Incoming(_) => LinkEvent::Alive,
        Event::Outgoing(_) => LinkEvent::Other,
    }
}

fn client_options(options: &LinkOptions<'_>) -> MqttOptions {
    let broker = options.broker;
    let mut client = MqttOptions::new(broker.client_id.clone(), options.host(), options.place.port);
    client.set_transport(options.transport());
    client.set_keep_alive(options.keep_alive());
    client.set_clean_session(options.session_expiry_s.is_none());
    client.set_manual_acks(options.session_expiry_s.is_some());
    client.set_inflight(options.window.saturating_mul(2).max(1));
    client.set_max_packet_size(usize::try_from(broker.max_incoming_bytes).unwrap_or(usize::MAX), MAX_PACKET_BYTES);
    if let Some(login) = &broker.credentials {
        client.set_credentials(login.username.clone(), login.password.clone());
    }
    if let Some(presence) = options.will {
        let mut about = Frame::default();
        about.schema = Some(presence.schema.clone());
        about.content_type = Some(CONTENT_TYPE.to_owned());
        client.set_last_will(LastWill::new(&presence.topic, about.wrap(&presence.offline), QoS::AtLeastOnce, true));
    }
    client
}

pub(super) fn prepare(message: Message) -> Prepared {
    // An empty one takes a retained message back: it has to stay empty.
    let is_empty = message.retain && message.payload.is_empty();
    let payload = if is_empty { Vec::new() } else { frame(&message).wrap(&message.payload) };
    let qos = if message.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut publish = Publish::new(message.topic, qos, payload);
    publish.retain = message.retain;
    let bytes = publish.size() + if message.acknowledged { 2 } else { 0 };
    Prepared { bytes, packet: Packet::Three(Box::new(publish)) }
}

pub(super) fn publish(client: &AsyncClient, publish: Publish) -> Result<(), NotTaken> {
    client.try_publish(publish.topic, publish.qos, publish.retain, publish.payload).map_err(|_| NotTaken)
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String], qos: Qos) -> Result<(), NotTaken> {
    let qos = if qos == Qos::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    client.try_subscribe_many(filters.iter().map(|f| SubscribeFilter::new(f.clone(), qos))).map_err(|_| NotTaken)
}

pub(super) fn acknowledge(client: &AsyncClient, packet: u16) -> Result<(), NotTaken> {
    let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
    publish.pkid = packet;
    client.try_ack(&publish).map_err(|_| NotTaken)
}

/// The error of the socket in it, where there is one.
pub(super) fn io_error(error: &ConnectionError) -> Option<&std::io::Error> {
    use rumqttc::StateError;
    use rumqttc::mqttbytes::Error;
    match error {
        ConnectionError::Io(e)
        | ConnectionError::Tls(rumqttc::TlsError::Io(e))
        | ConnectionError::MqttState(StateError::Io(e) | StateError::Deserialization(Error::Io(e))) => Some(e),
        _ => None,
    }
}
