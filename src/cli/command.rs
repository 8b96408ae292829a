//! `kerbside command`: what the back office does to ask a box for something, as a command line and as the reference for it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::broker::BrokerArgs;
use super::{Exit, Failure};
use crate::clock::{Clock, SystemClock};
use crate::outbox::Qos;
use crate::publish::command::Verb;
use crate::publish::mqtt::{Outbound, Subscriber, SubscriberOptions};
use crate::publish::topic::Topics;
use crate::publish::wire::{AnswerMessage, CommandMessage, Message, SnapshotResult};

/// Arguments of `kerbside command`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ping, doctor, reload, outbox.resend or snapshot
    verb: String,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Organisation, as in the box's configuration
    #[arg(long)]
    org: String,
    /// The box
    #[arg(long)]
    device: String,
    /// An argument of the command (repeatable): from=17 to=90 for outbox.resend, camera=cam-1 for snapshot
    #[arg(value_name = "NAME=VALUE", value_parser = parse_argument)]
    arguments: Vec<(String, Value)>,
    /// Who asks, for the box's audit log
    #[arg(long, default_value = "")]
    by: String,
    /// Seconds to wait for the answer; the command is void after that
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    wait: u32,
    /// Where a snapshot's picture goes, outside any checkout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn parse_argument(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form NAME=VALUE"))?;
    let value = value.parse::<u64>().map_or_else(|_| Value::from(value), Value::from);
    Ok((name.to_owned(), value))
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let verb = Verb::parse(&args.verb).ok_or_else(|| {
        Failure::usage(anyhow!("{:?} is no command; there are {}", args.verb, Verb::ALL.map(Verb::as_str).join(", ")))
    })?;
    if let Some(out) = &args.out {
        super::personal::outside_checkouts(out, "--out", "it is a picture of a road").map_err(Failure::usage)?;
    }
    let topics = Topics::new(&args.org, &args.device).map_err(Failure::usage)?;
    let broker = args.broker.options("command")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::software)?;
    let asked = runtime.block_on(ask(args, verb, &topics, broker));
    let answer = asked?;
    if !answer.ok {
        let why = answer.error.unwrap_or_default();
        return Err(Failure::software(anyhow!("{} refused {verb}: {why}", args.device)));
    }
    let mut result = answer.result;
    if verb == Verb::Snapshot {
        let snapshot: SnapshotResult = serde_json::from_value(result.clone()).map_err(Failure::software)?;
        let jpeg = STANDARD.decode(&snapshot.jpeg_base64).map_err(Failure::software)?;
        if let Some(out) = &args.out {
            std::fs::write(out, &jpeg)
                .with_context(|| format!("{}: can't be written", out.display()))
                .map_err(Failure::software)?;
        }
        result["jpeg_base64"] = format!("{} bytes", jpeg.len()).into();
    }
    say!("{result:#}");
    Ok(Exit::Ok)
}

async fn ask(
    args: &Args,
    verb: Verb,
    topics: &Topics,
    broker: crate::publish::mqtt::BrokerOptions,
) -> Result<AnswerMessage, Failure> {
    // The client's name makes the topic ours alone.
    let response_topic = format!("kerbside/v1/{}/{}/answer/{}", args.org, args.device, broker.client_id);
    let correlation = uuid::Uuid::now_v7().as_bytes().to_vec();
    let mut broker = broker;
    broker.max_incoming_bytes = 1 << 20;
    let mut subscriber = Subscriber::new(SubscriberOptions::new(broker, vec![response_topic.clone()], Qos::AtLeastOnce));
    if tokio::time::timeout(Duration::from_secs(10), subscriber.subscribed()).await.is_err() {
        let why = subscriber.last_error().unwrap_or("it accepted the connection and said nothing");
        return Err(Failure::software(anyhow!("no MQTT broker answers: {why}; check --host, --port, --tls and --username")));
    }
    let command = CommandMessage {
        schema: CommandMessage::SCHEMA.to_owned(),
        issued: SystemClock.now().utc.to_string(),
        valid_s: args.wait,
        by: args.by.clone(),
        args: BTreeMap::from_iter(args.arguments.clone()),
        response_topic: None,
        correlation: None,
    };
    let outbound = Outbound {
        topic: topics.command(verb.as_str()).map_err(Failure::usage)?,
        schema: CommandMessage::SCHEMA.to_owned(),
        payload: command.encode().map_err(Failure::software)?,
        retain: false,
        response_topic: Some(response_topic),
        correlation: Some(correlation.clone()),
    };
    subscriber.publish(outbound).map_err(Failure::software)?;
    let answered = async {
        loop {
            let message = subscriber.next().await;
            if message.correlation.as_ref() == Some(&correlation) {
                return AnswerMessage::decode(&message.payload);
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(args.wait.into()), answered).await {
        Ok(answer) => answer.map_err(Failure::software),
        Err(_) => Err(Failure::software(anyhow!(
            "{} gave no answer within {} s; its status topic says whether it is online, its configuration (command.allow) what it obeys, and \
             the broker's access rules whether it hears us",
            args.device,
            args.wait
        ))),
    }
}
