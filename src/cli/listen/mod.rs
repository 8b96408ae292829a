//! `kerbside listen`: what a back office would see, in words or as JSON lines; with `--store`, a receiver that loses nothing.

mod lines;
mod receive;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;

use super::broker::BrokerArgs;
use super::personal;
use super::{Exit, Failure, complain};
use crate::keys::TrustedKeys;
use crate::outbox::Qos;
use crate::publish::mqtt::{Received, Subscriber, SubscriberOptions, is_valid_filter};
use crate::publish::receiver::{Numbered, Watch};

pub(super) use lines::describe;
pub(super) use receive::told;

/// Arguments of `kerbside listen`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Topic filters
    #[arg(long = "topic", value_name = "FILTER", default_value = "kerbside/v1/#")]
    topics: Vec<String>,
    /// One JSON object a line: {"topic", "seq", "stream", "schema", "historical", "payload"}; pictures by their size
    #[arg(long)]
    json: bool,
    /// End after so many messages (0: never)
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    count: u64,
    /// Keep every numbered message in DIR/received.sqlite, once; the broker gets its acknowledgement when it is on disk.
    /// The store holds marks: it lies outside any checkout
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Tell the boxes what is stored, so that they may delete it (delivery.confirm = "backoffice")
    #[arg(long, requires = "store")]
    ack: bool,
    /// Check each message's signature and place with the device's public key (repeatable), and name every break
    #[arg(long, value_name = "KEY.pem", num_args = 1..)]
    verify: Vec<PathBuf>,
    /// Print no messages, only a line of counts on stderr every 10 s
    #[arg(long)]
    quiet: bool,
    /// Say what is in the store, what is missing and whether the chain holds, without a broker; exit status 70 when it is not whole
    #[arg(long, requires = "store", conflicts_with_all = ["ack", "count", "quiet"])]
    report: bool,
}

impl Args {
    fn trusted(&self) -> Result<Option<TrustedKeys>, Failure> {
        if self.verify.is_empty() { Ok(None) } else { TrustedKeys::load(&self.verify).map(Some).map_err(Failure::usage) }
    }
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let trusted = args.trusted()?;
    match &args.store {
        Some(dir) if args.report => return report::main(dir, trusted.as_ref(), args.json),
        Some(dir) => drop(personal::create_folder(dir, "--store", "the store holds marks").map_err(Failure::usage)?),
        None => {}
    }
    if let Some(bad) = args.topics.iter().find(|t| !is_valid_filter(t)) {
        return Err(Failure::usage(anyhow!(
            "--topic {bad:?} is no topic filter: + stands alone in its level, # alone in the last one"
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::software)?;
    match &args.store {
        Some(dir) => runtime.block_on(receive::run(args, dir, trusted)),
        None => runtime.block_on(listen(args, trusted)),
    }
}

/// Prints what comes, and keeps nothing.
async fn listen(args: &Args, trusted: Option<TrustedKeys>) -> Result<Exit, Failure> {
    let broker = args.broker.options("listen")?;
    let mut subscriber = Subscriber::new(SubscriberOptions::new(broker, args.topics.clone(), Qos::AtLeastOnce));
    // The first connection decides: a wrong address should not look like a quiet road.
    if tokio::time::timeout(Duration::from_secs(10), subscriber.subscribed()).await.is_err() {
        return Err(Failure::software(no_broker(args, &subscriber)));
    }
    let mut watch = trusted.map(Watch::new);
    let mut seen = 0;
    loop {
        let message = subscriber.next().await;
        let numbered = watch.as_ref().and_then(|_| Numbered::from_received(&message));
        if let (Some(watch), Some(numbered)) = (&mut watch, numbered)
            && let Some(what) = watch.look(&numbered)
        {
            complain(place(&numbered, &what));
        }
        if !args.quiet {
            print(&message, args.json)?;
        }
        seen += 1;
        if seen == args.count {
            return Ok(Exit::Ok);
        }
    }
}

fn no_broker(args: &Args, subscriber: &Subscriber) -> anyhow::Error {
    let why = subscriber.last_error().unwrap_or("it accepted the connection and said nothing");
    anyhow!(
        "no MQTT broker answers at {}:{}: {why}; check --host, --port, --tls, --username and that it is running",
        args.broker.host,
        args.broker.port()
    )
}

/// What is wrong with a message, with the place where it is to be found.
fn place(message: &Numbered, what: &str) -> String {
    format!("{} stream {} number {}: {what}", message.device, message.stream, message.seq)
}

fn print(message: &Received, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        let payload = serde_json::from_slice(&message.payload)
            .unwrap_or_else(|_| serde_json::json!({ "size_bytes": message.payload.len(), "content_type": message.content_type }));
        let line = serde_json::json!({
            "topic": message.topic, "seq": message.seq, "stream": message.stream, "schema": message.schema,
            "historical": message.historical, "payload": payload,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{}", describe(message))?;
    }
    Ok(())
}
