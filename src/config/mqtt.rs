//! The tables `[mqtt]`, which brokers, how to reach them, and as whom, and `[delivery]`, whose word lets a record go.

use std::time::Duration;

use super::hotlist::credential;
use super::raw::RawConfig;
use super::resolve::Checker;
use crate::publish::mqtt::{BackOffice, BrokerOptions, Confirm, Credentials, NoSubscriber, Place, TlsFiles, Transport, Version};
use crate::publish::topic::Topics;

/// Name of the systemd credential that holds the secret key for TLS (`LoadCredentialEncrypted=`).
pub const TLS_KEY_CREDENTIAL: &str = "kerbside-mqtt-key";

/// The ports that are registered for MQTT.
const PLAIN_PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// Checks and resolves the table.
pub(super) fn resolve(c: &mut Checker<'_>, raw: &RawConfig) -> (BrokerOptions, NoSubscriber) {
    let own = &raw.mqtt;
    if own.host.is_empty() {
        c.fault("mqtt.host", "it is empty; give the broker's host name or address");
    }
    let is_tls = c.choice("mqtt.transport", &own.transport, &[("tls", true), ("plain", false)]);
    let port = match c.integer("mqtt.port", own.port, 0, 65_535) {
        0 if is_tls => TLS_PORT,
        0 => PLAIN_PORT,
        port => port,
    };
    let mut broker = BrokerOptions::new(&own.host, port, &format!("kerbside-{}-{}", raw.org, raw.device));
    broker.version =
        c.choice("mqtt.version", &own.version, &[("5", Version::Five), ("3.1.1", Version::ThreeOneOne), ("auto", Version::Auto)]);
    for text in &own.fallbacks {
        match text.parse::<Place>() {
            Ok(place) => broker.fallbacks.push(place),
            Err(what) => c.fault("mqtt.fallbacks", what),
        }
    }
    if is_tls && broker.places().iter().any(|p| p.host.contains(':')) {
        c.fault("mqtt.host", "an IPv6 address can't be reached under TLS; give the name that the broker's certificate is for");
    }
    broker.prefer_again = Duration::from_secs(c.integer("mqtt.prefer_again_s", own.prefer_again_s, 5, 86_400));
    broker.transport = if is_tls { Transport::Tls(tls_files(c, raw)) } else { Transport::Plain };
    if !is_tls {
        for (key, value) in [("ca", &own.ca), ("certificate", &own.certificate), ("key", &own.key)] {
            if !value.is_empty() {
                c.fault(format!("mqtt.{key}"), "it is of no use with mqtt.transport = \"plain\"; say \"tls\" or leave it out");
            }
        }
    }
    broker.keep_alive = Duration::from_secs(c.integer("mqtt.keep_alive_s", own.keep_alive_s, 5, 3_600));
    broker.credentials = credentials(c, raw);
    broker.seed = raw.device.bytes().fold(1, |h: u64, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    let no_subscriber =
        c.choice("mqtt.no_subscriber", &own.no_subscriber, &[("deliver", NoSubscriber::Deliver), ("hold", NoSubscriber::Hold)]);
    (broker, no_subscriber)
}

/// Whose word lets a record go.
pub(super) fn confirm(c: &mut Checker<'_>, raw: &RawConfig) -> Confirm {
    let wait = Duration::from_secs(c.integer("delivery.confirm_wait_s", raw.delivery.confirm_wait_s, 1, 3_600));
    let by_office = c.choice("delivery.confirm", &raw.delivery.confirm, &[("broker", false), ("backoffice", true)]);
    match Topics::new(&raw.org, &raw.device) {
        Ok(topics) if by_office => Confirm::BackOffice(BackOffice { topic: topics.ack(), device: raw.device.clone(), wait }),
        // Faults of the ids were told with `org` and `device`.
        _ => Confirm::Broker,
    }
}

/// The files are looked at when a connection is made, each time anew; here only whether those named are there.
fn tls_files(c: &mut Checker<'_>, raw: &RawConfig) -> TlsFiles {
    let own = &raw.mqtt;
    let mut file = |key: &str, value: &str| (!value.is_empty()).then(|| c.existing(key, value));
    let (ca, certificate, named) =
        (file("mqtt.ca", &own.ca), file("mqtt.certificate", &own.certificate), file("mqtt.key", &own.key));
    let check_key_mode = named.is_some();
    let key = match (&certificate, named) {
        (None, Some(_)) => {
            c.fault("mqtt.key", "there is no mqtt.certificate to go with it");
            None
        }
        (None, None) => {
            if own.username.is_empty() {
                c.fault(
                    "mqtt.certificate",
                    "the broker would not know who we are: give a certificate and its key, or mqtt.username, or (inside a tunnel \
                     or on the box itself) mqtt.transport = \"plain\"",
                );
            }
            None
        }
        // Whether it is there is seen when it is opened: a command that needs none must work from a shell that has none.
        (Some(_), None) => Some(credential(TLS_KEY_CREDENTIAL)),
        (Some(_), Some(key)) => Some(key),
    };
    TlsFiles { ca, certificate, key, check_key_mode }
}

/// The password comes from a file, never from the configuration itself.
fn credentials(c: &mut Checker<'_>, raw: &RawConfig) -> Option<Credentials> {
    if raw.mqtt.username.is_empty() {
        if !raw.mqtt.password_file.is_empty() {
            c.fault("mqtt.password_file", "there is no mqtt.username to go with it");
        }
        return None;
    }
    let path = c.existing("mqtt.password_file", &raw.mqtt.password_file);
    let password = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
        Err(e) => {
            if path.exists() {
                c.fault("mqtt.password_file", format!("{}: {e}", path.display()));
            }
            return None;
        }
    };
    Some(Credentials { username: raw.mqtt.username.clone(), password })
}
