//! The receiver as a process (`kerbside listen --store`), and a client that sends whatever it is told to.

#![allow(unreachable_pub)] // one crate, no outside

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use kerbside::outbox::Envelope;
use kerbside::outbox::chain::StreamId;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use serde_json::Value;

use super::program;
use super::publisher::wait_for;

/// A receiver with its store; killed, as by `kill -9`, when dropped.
pub struct Receiver {
    child: Option<Child>,
    dir: PathBuf,
    args: Vec<String>,
}

impl Receiver {
    /// Starts one that acknowledges, with further arguments. What it says on stderr is in `receiver.log`.
    pub fn start(port: u16, dir: &Path, more: &[&str]) -> Self {
        let port = port.to_string();
        let args = ["listen", "--port", &port, "--store", ".", "--ack", "--quiet"];
        let args = args.iter().chain(more).map(|a| (*a).to_owned()).collect();
        let mut receiver = Self { child: None, dir: dir.to_owned(), args };
        receiver.restart();
        wait_for("the receiver's subscription", || receiver.log().contains("receiving from"));
        receiver
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same store.
    pub fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("receiver.log")).unwrap();
        let child = program::kerbside(&self.dir).args(&self.args).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap());
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("receiver.log")).unwrap()
    }

    /// What `--report` says of each stream, and its exit status; nothing while there is no store yet.
    pub fn report(&self, more: &[&str]) -> (Vec<Value>, Option<i32>) {
        let args = [&["listen", "--store", ".", "--report", "--json"], more].concat();
        let output = program::run(&self.dir, &args);
        let streams = program::stdout(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        (streams, output.status.code())
    }

    /// The only stream's report.
    pub fn stream(&self) -> Value {
        let (mut streams, _) = self.report(&[]);
        assert!(streams.len() <= 1, "{streams:?}");
        streams.pop().unwrap_or(Value::Null)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message as it is to be on the wire.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Media type.
    pub content_type: String,
    /// User properties.
    pub properties: Vec<(String, String)>,
    /// Kept by the broker.
    pub retain: bool,
}

impl Raw {
    /// An envelope as the box sends it.
    pub fn of(stream: StreamId, envelope: &Envelope) -> Self {
        let mut properties = vec![
            ("schema".to_owned(), envelope.draft.schema.clone()),
            ("seq".to_owned(), envelope.seq.to_string()),
            ("stream".to_owned(), stream.to_string()),
            ("historical".to_owned(), "0".to_owned()),
            ("prev".to_owned(), envelope.prev.to_string()),
        ];
        if let Some(proof) = envelope.proof {
            properties.push(("sig".to_owned(), proof.signature.to_string()));
            properties.push(("key".to_owned(), proof.key.to_string()));
        }
        let (topic, payload, content_type) =
            (envelope.draft.topic.clone(), envelope.draft.payload.clone(), envelope.draft.content_type.clone());
        Self { topic, payload, content_type, properties, retain: false }
    }

    /// With another value of a property; an empty one takes it out.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.properties.retain(|(k, _)| k != key);
        if !value.is_empty() {
            self.properties.push((key.to_owned(), value.to_owned()));
        }
        self
    }
}

/// Publishes them in this order, QoS 1, and waits until the broker has taken all.
pub fn send(port: u16, messages: &[Raw]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = MqttOptions::new(format!("forger-{}", super::mosquitto::free_port()), "127.0.0.1", port);
        let (client, mut eventloop) = AsyncClient::new(options, messages.len() + 4);
        for message in messages {
            let properties = PublishProperties {
                user_properties: message.properties.clone(),
                content_type: Some(message.content_type.clone()),
                ..PublishProperties::default()
            };
            let payload = message.payload.clone();
            client.try_publish_with_properties(&message.topic, QoS::AtLeastOnce, message.retain, payload, properties).unwrap();
        }
        let mut taken = 0;
        while taken < messages.len() {
            let event = tokio::time::timeout(Duration::from_secs(20), eventloop.poll()).await.expect("the broker answers");
            taken += usize::from(matches!(event.unwrap(), Event::Incoming(Incoming::PubAck(_))));
        }
    });
}
