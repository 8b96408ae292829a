//! `kerbside hotlist publish`: the back office's end of a list. Chunks first, the manifest last, so that nobody is told of what is not
//! there; then chunks that only the version before needed are taken back.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::sealed_fault;
use crate::cli::broker::BrokerArgs;
use crate::cli::{Exit, Failure};
use crate::ident::is_opaque_id;
use crate::keys::TrustedKeys;
use crate::outbox::Qos;
use crate::publish::mqtt::{BrokerOptions, Retained, Subscriber, SubscriberOptions, retain};
use crate::publish::sync::manifest::{CHUNK_BYTES, Manifest, SignedManifest};
use crate::publish::sync::seal::SealedFile;
use crate::publish::topic::Topics;
use crate::publish::wire::{HotlistStateMessage, Message, RefusalWire};

/// Time for a retained message to come after the subscription was confirmed.
const LOOK: Duration = Duration::from_secs(2);
/// Time without an acknowledgement after which publishing is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `kerbside hotlist publish`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sealed list
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key (PEM) of whoever sealed it; may be given several times
    #[arg(long, value_name = "PEM", required = true)]
    trust: Vec<PathBuf>,
    #[command(flatten)]
    broker: BrokerArgs,
    /// The organisation in topics
    #[arg(long, value_name = "ID")]
    org: String,
    /// The box that it is for
    #[arg(long, value_name = "ID", required_unless_present = "fleet", conflicts_with = "fleet")]
    device: Option<String>,
    /// The fleet that it is for (`hotlist.fleet` of its boxes)
    #[arg(long, value_name = "ID")]
    fleet: Option<String>,
    /// With --device: wait so many seconds for the box to say that it took or refused the version
    #[arg(long, value_name = "SECONDS", conflicts_with = "fleet")]
    wait: Option<u64>,
    /// Publish though the broker has this version or a newer one already
    #[arg(long)]
    again: bool,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let trust = TrustedKeys::load(&args.trust).map_err(Failure::config)?;
    let sealed = SealedFile::open(&args.file, &trust).map_err(|e| sealed_fault(&args.file, e))?;
    let owner = args.device.as_ref().or(args.fleet.as_ref()).map_or("", String::as_str);
    for (flag, id) in [("--org", &*args.org), ("--device or --fleet", owner)] {
        if !is_opaque_id(id) {
            return Err(Failure::usage(anyhow!("{flag} {id:?} is not 1 to 32 of a-z, 0-9, - and _")));
        }
    }
    let topics = Topics::new(&args.org, owner).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::software)?;
    runtime.block_on(publish(args, &sealed, &trust, &topics))
}

async fn publish(args: &Args, sealed: &SealedFile, trust: &TrustedKeys, topics: &Topics) -> Result<Exit, Failure> {
    let manifest = sealed.signed().manifest();
    let list = &manifest.list;
    let broker = args.broker.options("hotlist-publish")?;
    // Opaque ids, checked with the manifest.
    let manifest_topic = topics.hotlist_manifest(list).map_err(Failure::software)?;
    let old = present(&broker, &manifest_topic, args).await?;
    // Only a version that the boxes would believe stands in the way; what a stranger left there is written over.
    let trusted = |bytes: &Vec<u8>| SignedManifest::verify(bytes, trust).ok().map(|signed| signed.manifest().clone());
    if let Some(old) = old.as_ref().and_then(trusted).filter(|old| old.number >= manifest.number && !args.again) {
        return Err(Failure::software(anyhow!(
            "the broker has version {} of {list} already, this is version {}: boxes would refuse it; seal a newer one, or publish with --again",
            old.number,
            manifest.number
        )));
    }

    // What the box said before is no answer to this version.
    let before = match args.wait {
        Some(_) => present(&broker, &topics.hotlist_state(list).map_err(Failure::software)?, args).await?,
        None => None,
    };
    let before = before.and_then(|state| HotlistStateMessage::decode(&state).ok()).and_then(|state| state.refused);

    let chunks = Chunks::of(args, sealed)?;
    let bar = ProgressBar::new(chunks.at.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos} of {len} chunks").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let done = |n: usize| bar.set_position(n as u64);
    let chunk = |n: usize| chunks.message(n, topics, list);
    let mut failed = None;
    let published = retain(
        &broker,
        chunks.at.len(),
        |n| {
            chunk(n).map_err(|e| {
                let last = e.to_string();
                failed = Some(e);
                crate::publish::mqtt::RetainError::Stuck { seconds: 0, last }
            })
        },
        done,
        PATIENCE,
    )
    .await;
    bar.finish_and_clear();
    if let Some(e) = failed {
        return Err(Failure::software(anyhow!("{}: {e}; copy it again", args.file.display())));
    }
    published.map_err(Failure::software)?;
    let last =
        Retained { topic: manifest_topic, content_type: "application/json".into(), payload: sealed.signed().bytes().to_vec() };
    retain(&broker, 1, |_| Ok(last.clone()), |_| {}, PATIENCE).await.map_err(Failure::software)?;
    say!("{list} version {}: {} chunks and the manifest are retained under {}", manifest.number, chunks.at.len(), topics.base());

    // Its signature doesn't matter here: it only says which chunks may go.
    let old = old.and_then(|bytes| SignedManifest::unverified(&bytes).ok()).map(|signed| signed.manifest().clone());
    let stale: Vec<String> = old.iter().flat_map(all_chunks).filter(|c| !all_chunks(manifest).contains(c)).collect();
    let cleared = |n: usize| Retained {
        // Hex digits, checked with the manifest.
        topic: topics.hotlist_chunk(list, &stale[n]).unwrap_or_default(),
        content_type: "application/octet-stream".into(),
        payload: Vec::new(),
    };
    retain(&broker, stale.len(), |n| Ok(cleared(n)), |_| {}, PATIENCE).await.map_err(Failure::software)?;
    if !stale.is_empty() {
        say!("{} chunks of version {} are taken back", stale.len(), old.map_or(0, |o| o.number));
    }
    match args.wait {
        Some(seconds) => wait(args, topics, manifest, before, Duration::from_secs(seconds)).await,
        None => Ok(Exit::Ok),
    }
}

/// What the broker retains on a topic.
async fn present(broker: &BrokerOptions, topic: &str, args: &Args) -> Result<Option<Vec<u8>>, Failure> {
    let options = SubscriberOptions::new(broker.clone(), vec![topic.to_owned()], Qos::AtLeastOnce);
    let mut subscriber = Subscriber::new(options);
    if tokio::time::timeout(Duration::from_secs(10), subscriber.subscribed()).await.is_err() {
        let why = subscriber.last_error().unwrap_or("it accepted the connection and said nothing");
        return Err(Failure::software(anyhow!(
            "no MQTT broker answers at {}:{}: {why}; check --host, --port, --tls, --username and that it is running",
            args.broker.host,
            args.broker.port()
        )));
    }
    let message = tokio::time::timeout(LOOK, subscriber.next()).await;
    Ok(message.ok().map(|m| m.payload))
}

fn all_chunks(manifest: &Manifest) -> BTreeSet<String> {
    manifest.parts().flat_map(|(_, payload)| payload.chunks.clone()).collect()
}

/// Where the chunks of a sealed file are.
struct Chunks {
    file: PathBuf,
    /// Hash, place in the file and size, bytes.
    at: Vec<(String, u64, u64)>,
}

impl Chunks {
    fn of(args: &Args, sealed: &SealedFile) -> Result<Self, Failure> {
        let length =
            std::fs::metadata(&args.file).with_context(|| args.file.display().to_string()).map_err(Failure::software)?.len();
        let payloads: u64 = sealed.parts().map(|(_, bytes)| bytes).sum();
        // The parts stand at the file's end, one after the other, as they were checked when it was opened.
        let mut place = length - payloads.min(length);
        let mut at = Vec::new();
        for (name, _) in sealed.parts() {
            let Some((_, payload)) = sealed.signed().manifest().parts().find(|(n, _)| n == name) else { continue };
            let mut left = payload.bytes;
            for sha256 in &payload.chunks {
                let bytes = left.min(CHUNK_BYTES);
                at.push((sha256.clone(), place, bytes));
                (place, left) = (place + bytes, left - bytes);
            }
        }
        Ok(Self { file: args.file.clone(), at })
    }

    fn message(&self, n: usize, topics: &Topics, list: &str) -> std::io::Result<Retained> {
        let (sha256, place, bytes) = &self.at[n];
        let mut file = std::fs::File::open(&self.file)?;
        file.seek(SeekFrom::Start(*place))?;
        let mut payload = Vec::new();
        file.take(*bytes).read_to_end(&mut payload)?;
        let topic = topics.hotlist_chunk(list, sha256).map_err(std::io::Error::other)?;
        Ok(Retained { topic, content_type: "application/octet-stream".into(), payload })
    }
}

/// Waits for the box to say what became of the version.
async fn wait(
    args: &Args,
    topics: &Topics,
    manifest: &Manifest,
    before: Option<RefusalWire>,
    patience: Duration,
) -> Result<Exit, Failure> {
    let topic = topics.hotlist_state(&manifest.list).map_err(Failure::software)?;
    let broker = args.broker.options("hotlist-wait")?;
    let mut subscriber = Subscriber::new(SubscriberOptions::new(broker, vec![topic], Qos::AtLeastOnce));
    let number = manifest.number.to_string();
    let mut last = None;
    let outcome = tokio::time::timeout(patience, async {
        loop {
            let message = subscriber.next().await;
            let Ok(state) = HotlistStateMessage::decode(&message.payload) else { continue };
            if state.version.as_ref() == Some(&number) {
                return Ok(state);
            }
            if let Some(refused) = state.refused.as_ref().filter(|refused| before.as_ref() != Some(refused)) {
                return Err(refused.reason.clone());
            }
            last = Some(state);
        }
    });
    match outcome.await {
        Ok(Ok(state)) => {
            say!("the box has it in force: {} entries", state.entries);
            Ok(Exit::Ok)
        }
        Ok(Err(why)) => Err(Failure::software(anyhow!("the box refused it: {why}"))),
        Err(_) => {
            let has = last.map_or_else(
                || "it said nothing".to_owned(),
                |s| match (s.incoming, s.version) {
                    (Some(i), _) => format!("it has {} of {} chunks", i.chunks_here, i.chunks),
                    (None, Some(version)) => format!("it has version {version}"),
                    (None, None) => "it has no version".to_owned(),
                },
            );
            Err(Failure::software(anyhow!("the box did not take it within {} s: {has}", patience.as_secs())))
        }
    }
}
