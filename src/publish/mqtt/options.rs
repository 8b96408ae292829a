//! Where the broker is, how to reach it, and how to publish: what the rest of the program decides for this room.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Backoff;

/// The largest window: mosquitto's own receive maximum is 20.
pub const MAX_WINDOW: u16 = 16;

/// How bytes get to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP in clear. For a broker on the same box or behind a tunnel.
    #[default]
    Plain,
    /// TLS 1.3, and nothing older.
    Tls(TlsFiles),
}

/// What TLS needs of the disk. Read anew for each connection, so a renewed certificate is taken without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM with the certificates that the broker's own must lead to; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM with our certificate, and those between it and its root; none: the broker knows us by a password.
    pub certificate: Option<PathBuf>,
    /// PEM with its secret key.
    pub key: Option<PathBuf>,
    /// Whether the key file's mode must keep others out (a systemd credential is kept by systemd).
    pub check_key_mode: bool,
}

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5. The default: refusals are seen with their reasons, messages expire.
    #[default]
    Five,
    /// MQTT 3.1.1: messages are framed, refusals can't be seen.
    ThreeOneOne,
    /// MQTT 5 where the broker knows it, else 3.1.1.
    Auto,
}

/// What the broker knows us by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password; never shown.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Place {
    /// Whether what goes there stays on this box.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads `host:port`, with an IPv6 address in brackets.
impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not host:port (an IPv6 address stands in brackets)");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if host.is_empty() || (inner.is_none() && host.contains([':', '[', ']', '/'])) {
            return Err(bad());
        }
        let port = port.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?;
        Ok(Self { host: inner.unwrap_or(host).to_owned(), port })
    }
}

/// Where the broker is and how to reach it; shared by publisher and subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerOptions {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Further brokers, in the order in which they are tried when those before them don't answer.
    pub fallbacks: Vec<Place>,
    /// While on one of them, those before it are looked for this often.
    pub prefer_again: Duration,
    /// Client id, unique at the broker: a second client with the same one throws the first out.
    pub client_id: String,
    /// User name and password, where the broker wants them.
    pub credentials: Option<Credentials>,
    /// How bytes get there.
    pub transport: Transport,
    /// While connected, certificate files are looked at this often; when they were renewed, the connection is.
    pub certificate_check: Duration,
    /// Which MQTT is spoken.
    pub version: Version,
    /// A ping this often; a broker that says nothing for 1.5 times as long is given up. Less than 5 s counts as 5 s.
    pub keep_alive: Duration,
    /// Largest packet taken from the broker, bytes.
    pub max_incoming_bytes: u32,
    /// Wait after the first failure.
    pub backoff_floor: Duration,
    /// Longest wait.
    pub backoff_ceiling: Duration,
    /// Sets the jitter of the waits; the device's own number will do.
    pub seed: u64,
}

impl BrokerOptions {
    /// A broker with the usual settings: plain TCP, MQTT 5, keep-alive 30 s, incoming packets up to 1 MiB, waits from 0.5 s to
    /// 30 s, preferred brokers looked for every 5 minutes, certificate files every minute.
    pub fn new(host: &str, port: u16, client_id: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            fallbacks: Vec::new(),
            prefer_again: Duration::from_mins(5),
            client_id: client_id.to_owned(),
            credentials: None,
            transport: Transport::Plain,
            certificate_check: Duration::from_mins(1),
            version: Version::Five,
            keep_alive: Duration::from_secs(30),
            max_incoming_bytes: 1 << 20,
            backoff_floor: Duration::from_millis(500),
            backoff_ceiling: Duration::from_secs(30),
            seed: 1,
        }
    }

    /// All brokers, in order of preference.
    pub fn places(&self) -> Vec<Place> {
        let first = Place { host: self.host.clone(), port: self.port };
        std::iter::once(first).chain(self.fallbacks.iter().cloned()).collect()
    }

    /// What is not as it should be with these settings, in words, for whoever watches the box.
    pub fn warnings(&self) -> Vec<String> {
        if self.transport != Transport::Plain {
            return Vec::new();
        }
        let far = self.places().into_iter().filter(|p| !p.is_loopback());
        far.map(|p| format!("the connection to the broker {p} is not encrypted (mqtt.transport is \"plain\")")).collect()
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.backoff_floor, self.backoff_ceiling, self.seed)
    }
}

/// What to do with a row that the broker took but had no subscriber for (reason 0x10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoSubscriber {
    /// It is delivered: the broker answers for it. The default.
    #[default]
    Deliver,
    /// It is kept and tried again: for a set-up whose only consumer may come back later than we do.
    Hold,
}

/// Whose word lets a row go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    /// The broker's: it has taken the row, and answers for it from then on. The default.
    #[default]
    Broker,
    /// The back office's: its watermark has passed the row.
    BackOffice(BackOffice),
}

/// Where the back office says how far it is, and how long it is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackOffice {
    /// The topic of its acknowledgements (`kerbside.ack/1`, retained). Whoever may publish there can have rows deleted: the broker's
    /// access rules must let nobody but the back office.
    pub topic: String,
    /// The device's id, as acknowledgements name it.
    pub device: String,
    /// Rows that the broker has taken and the back office has not confirmed are sent again after so long; doubles up to 16 times
    /// that while nothing moves.
    pub wait: Duration,
}

/// The retained message that says whether this box is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its topic.
    pub topic: String,
    /// Name and version of its schema.
    pub schema: String,
    /// Published, retained, at the beginning of each epoch (until a [`super::Live`] on the same topic replaces it).
    pub online: Vec<u8>,
    /// The will, and what is published on a clean stop.
    pub offline: Vec<u8>,
}

/// How to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttOptions {
    /// The broker.
    pub broker: BrokerOptions,
    /// Online or offline.
    pub presence: Presence,
    /// Messages in flight, 1..=[`MAX_WINDOW`]; the broker's receive maximum may make it smaller.
    pub window: u16,
    /// Of these, pictures: a picture already in the socket is all that can ever stand before an alert.
    pub images_in_flight: u16,
    /// A row unacknowledged for so long ends the epoch: the broker accepts and forgets.
    pub ack_timeout: Duration,
    /// What to do when the broker has no subscriber for a row.
    pub no_subscriber: NoSubscriber,
    /// Whose word lets a row go.
    pub confirm: Confirm,
    /// First wait before a row that was refused is tried again; doubles up to 32 times that.
    pub refused_wait: Duration,
    /// Time for acknowledgements still due at a clean stop, or before a connection is exchanged for another.
    pub drain: Duration,
}

impl MqttOptions {
    /// The usual settings: window 16, one picture in flight, acknowledgements within 120 s, refused rows again after 2 s,
    /// 3 s to drain.
    pub const fn new(broker: BrokerOptions, presence: Presence) -> Self {
        Self {
            broker,
            presence,
            window: MAX_WINDOW,
            images_in_flight: 1,
            ack_timeout: Duration::from_secs(120),
            no_subscriber: NoSubscriber::Deliver,
            confirm: Confirm::Broker,
            refused_wait: Duration::from_secs(2),
            drain: Duration::from_secs(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        let read = |text: &str| text.parse::<Place>();
        assert_eq!(read("broker.example:8883").unwrap().to_string(), "broker.example:8883");
        assert_eq!(read("[::1]:1883").unwrap(), Place { host: "::1".into(), port: 1883 });
        assert_eq!(read("[::1]:1883").unwrap().to_string(), "[::1]:1883");
        for bad in ["", "broker", "broker:", ":1883", "broker:0", "broker:70000", "::1:1883", "mqtt://broker:1883"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_tcp_off_the_box_is_warned_of() {
        let mut broker = BrokerOptions::new("127.0.0.1", 1883, "c");
        assert!(broker.warnings().is_empty());
        broker.fallbacks = vec![Place { host: "10.0.0.7".into(), port: 1883 }];
        assert_eq!(broker.warnings().len(), 1);
        assert!(broker.warnings()[0].contains("10.0.0.7:1883 is not encrypted"));
        broker.transport = Transport::Tls(TlsFiles::default());
        assert!(broker.warnings().is_empty());
    }
}
