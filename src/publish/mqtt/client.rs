//! How we set the client library up, and how its words become ours. No state. Net thread.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, LastWill, LastWillProperties, Publish};
use rumqttc::v5::{ConnectionError, MqttOptions as ClientOptions, StateError};

use super::{BrokerOptions, Presence, Received};

/// Media type of all live messages.
pub(super) const CONTENT_TYPE: &str = "application/json";
/// Time to reach the broker and be accepted, seconds.
pub(super) const CONNECT_TIMEOUT_S: u64 = 10;

/// Options that publisher and subscriber share.
pub(super) fn client_options(broker: &BrokerOptions) -> ClientOptions {
    let mut options = ClientOptions::new(broker.client_id.clone(), broker.host.clone(), broker.port);
    options.set_keep_alive(broker.keep_alive.max(Duration::from_secs(5)));
    options.set_clean_start(true);
    options.set_connection_timeout(CONNECT_TIMEOUT_S);
    if let Some(login) = &broker.credentials {
        options.set_credentials(login.username.clone(), login.password.clone());
    }
    let mut connect = ConnectProperties::new();
    connect.max_packet_size = Some(broker.max_incoming_bytes);
    options.set_connect_properties(connect);
    options
}

/// The will: what the broker says of us when we go without a word.
pub(super) fn will(presence: &Presence) -> LastWill {
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

/// Our words for what the broker handed on.
pub(super) fn received(publish: &Publish) -> Received {
    let properties = publish.properties.as_ref();
    let user = |key: &str| properties?.user_properties.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    Received {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload.to_vec(),
        seq: user("seq").and_then(|v| v.parse().ok()),
        schema: user("schema").map(str::to_owned),
        historical: user("historical").map(|v| v == "1"),
        retained: publish.retain,
        content_type: properties.and_then(|p| p.content_type.clone()),
        expiry_s: properties.and_then(|p| p.message_expiry_interval),
        stream: user("stream").map(str::to_owned),
        prev: user("prev").map(str::to_owned),
        sig: user("sig").map(str::to_owned),
        key: user("key").map(str::to_owned),
        response_topic: properties.and_then(|p| p.response_topic.clone()),
        correlation: properties.and_then(|p| p.correlation_data.as_ref().map(|c| c.to_vec())),
        token: None,
    }
}

/// The size on the wire, bytes. The packet id is not known yet but always takes two.
pub(super) fn packet_size(publish: &Publish) -> usize {
    publish.size() + if publish.qos == QoS::AtMostOnce { 0 } else { 2 }
}

/// Whether the broker ended the connection itself, as it does over a packet that it does not like.
pub(super) fn is_hang_up(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(
            StateError::ConnectionAborted | StateError::ServerDisconnect { .. } | StateError::Deserialization(_),
        ) => true,
        ConnectionError::MqttState(StateError::Io(e)) | ConnectionError::Io(e) => {
            e.kind() != std::io::ErrorKind::ConnectionRefused
        }
        _ => false,
    }
}
