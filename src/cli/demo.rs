//! `kerbside demo`: the main job, shown. A bundled clip goes through the very daemon that `run` starts, out through an
//! embedded broker, and back in through a subscriber; all that is printed and drawn came that way.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use image::{DynamicImage, RgbImage};
use indicatif::{ProgressBar, ProgressStyle};

use super::draw::{self, Cell};
use super::models::ModelArgs;
use super::{Exit, Failure, check, demo_broker, listen, run, start_log};
use crate::camera::Source;
use crate::camera::clip::ClipSource;
use crate::clock::{Clock, SystemClock, UtcTime};
use crate::keys::{SigningKey, TrustedKeys};
use crate::outbox::Qos;
use crate::publish::mqtt::{BrokerOptions, Received, Subscriber, SubscriberOptions};
use crate::publish::receiver::{Numbered, Store, StreamReport, report};
use crate::publish::wire::{AlertMessage, Message, ReadMessage, UnreadMessage};
use crate::runtime::keys::DEVICE_KEY_FILE;
use crate::runtime::supervisor::{Daemon, Overrides};

/// Arguments of `kerbside demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder for the contact sheet and the records
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
}

/// Longest the demo may take before it says what it still waits for.
const PATIENCE: Duration = Duration::from_secs(300);
/// UTC given to the clip's first frame, so that every run shows the same.
const CLIP_START: &str = "2026-11-22T12:00:00Z";

/// What came back through the broker.
#[derive(Debug, Default)]
struct Seen {
    reads: Vec<ReadMessage>,
    alerts: Vec<AlertMessage>,
    unread: Vec<UnreadMessage>,
    /// Pictures by passage and kind.
    pictures: BTreeMap<(String, String), Vec<u8>>,
    envelopes: u64,
    lines: Vec<String>,
}

/// Runs the subcommand.
pub(super) fn main(args: &Args, verbose: u8) -> Result<Exit, Failure> {
    start_log("warn", verbose);
    let began = Instant::now();
    let bundle = args.models.models_dir().join("demo");
    let clip = bundle.join("drive_by.mp4");
    let frames = {
        let mut source = ClipSource::new(clip.clone());
        source.open().map_err(Failure::config)?;
        source.frames().unwrap_or(0)
    };
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: can't be made; choose another folder with --out", args.out.display()))
        .map_err(Failure::software)?;
    let state = tempfile::tempdir().map_err(Failure::software)?;
    let port = demo_broker::start().map_err(Failure::software)?;
    say!("broker     MQTT 5 on 127.0.0.1:{port}, embedded, loopback only");
    say!("camera     {} ({frames} frames, our own rendering: day, then infra-red night)", clip.display());
    say!("hotlist    {}", bundle.join("hotlist.csv").display());

    let config = write_configuration(args, &bundle, &clip, port, state.path()).map_err(Failure::software)?;
    let (settings, hotlist) = check::prepare(&config)?;
    let topics = settings.topics.clone();
    let (sender, inbox) = channel();
    let back_office = state.path().join("back-office");
    std::fs::create_dir_all(&back_office)?;
    let store = Store::open(&back_office).map_err(Failure::software)?;
    let ready = subscribe(port, topics.all(), store, sender).map_err(Failure::software)?;
    ready
        .recv_timeout(Duration::from_secs(10))
        .map_err(|_| Failure::software(anyhow!("the demo's subscriber can't reach the demo's broker")))?;

    let overrides = Overrides { clip_start: UtcTime::parse(CLIP_START), id_seed: Some(0) };
    let mut daemon = Daemon::start(settings, hotlist, Arc::new(SystemClock), &overrides).map_err(run::start_failure)?;
    say!("");
    let bar = ProgressBar::new(frames);
    // Invariant: the template is fixed and names only keys that indicatif has.
    bar.set_style(
        ProgressStyle::with_template("{bar:40.green} {pos}/{len} frames  {per_sec}  {elapsed}").expect("a valid template"),
    );
    let mut seen = Seen::default();
    let started = Instant::now();
    let mut reading = None;
    loop {
        while let Ok(message) = inbox.recv_timeout(Duration::from_millis(50)) {
            if let Some(line) = take(&mut seen, message) {
                show(&bar, &line)?;
            }
        }
        bar.set_position(daemon.gauges().frames());
        daemon.tick();
        if let Some(why) = daemon.failed() {
            return Err(Failure::software(anyhow!("the daemon gave up: {why}")));
        }
        let waiting = daemon.outbox_stats().map_err(Failure::software)?.rows();
        if daemon.cameras_ended() {
            reading.get_or_insert_with(|| started.elapsed());
            if daemon.recorded() && waiting == 0 {
                break;
            }
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::software(anyhow!(
                "after {} s {} of {frames} frames are read and {waiting} envelopes wait for the broker",
                PATIENCE.as_secs(),
                daemon.gauges().frames()
            )));
        }
    }
    // The back office has acknowledged all; what the broker still hands on is in the socket.
    while let Ok(message) = inbox.recv_timeout(Duration::from_millis(400)) {
        if let Some(line) = take(&mut seen, message) {
            show(&bar, &line)?;
        }
    }
    bar.finish_and_clear();
    let counters = daemon.gauges().mqtt.counters();
    let frames_read = daemon.gauges().frames();
    daemon.stop();
    let key = SigningKey::load(&state.path().join("state").join(DEVICE_KEY_FILE), true).map_err(Failure::software)?;
    let told = report::report(&back_office, Some(&TrustedKeys::default().and(&key))).map_err(Failure::software)?;
    seen.reads.sort_by(|a, b| a.sightings.best.cmp(&b.sightings.best));
    let right = score(&seen, &bundle.join("truth.csv")).map_err(Failure::software)?;
    let outputs = write_outputs(args, &seen, right, frames_read).map_err(Failure::software)?;
    let reading = reading.unwrap_or_default();
    summary(&seen, right, &counters, frames_read, reading, began.elapsed())?;
    for stream in &told {
        say!("chain      {}", verdict(stream, &key));
    }
    for path in &outputs {
        say!("wrote      {}", path.display());
    }
    if !told.iter().all(StreamReport::is_whole) {
        return Err(Failure::software(anyhow!("the back office's store is not whole")));
    }
    if right.0 != right.1 {
        return Err(Failure::software(anyhow!("{} of {} marks of the clip came back right, one record each", right.0, right.1)));
    }
    Ok(Exit::Ok)
}

/// A line above the progress bar, or plainly on stdout where there is no terminal to draw a bar on.
fn show(bar: &ProgressBar, line: &str) -> Result<(), Failure> {
    if bar.is_hidden() {
        say!("{line}");
    } else {
        bar.println(line);
    }
    Ok(())
}

/// The configuration that the demo's daemon runs with: a file like anybody's.
fn write_configuration(args: &Args, bundle: &Path, clip: &Path, port: u16, state: &Path) -> anyhow::Result<PathBuf> {
    let absolute = |p: &Path| -> anyhow::Result<String> {
        let path = std::path::absolute(p)?;
        let text = path.to_str().ok_or_else(|| anyhow!("{}: its name is not UTF-8", path.display()))?;
        // A TOML literal string takes everything but a single quote.
        if text.contains('\'') {
            Err(anyhow!("{text}: a quote in the path; move the project elsewhere"))
        } else {
            Ok(format!("'{text}'"))
        }
    };
    let calibration = bundle.join("../../calibration/demo.toml");
    let calibration = if calibration.exists() { format!("calibration = {}", absolute(&calibration)?) } else { String::new() };
    let text = format!(
        "org = 'demo'\ndevice = 'demo-box'\nstate_dir = {state}\n[models]\ndir = {models}\nonnxruntime = {ort}\nprecision = '{precision}'\n\
         [vision]\nmin_score = {min_score}\n[hotlist]\nfile = {hotlist}\nlist = 'demo'\n[mqtt]\ntransport = 'plain'\nport = {port}\n[delivery]\nconfirm = 'backoffice'\n[health]\nperiod_s = 5\n\
         [[camera]]\nid = 'roadside'\nkind = 'clip'\npath = {clip}\npace = 'lossless'\n{calibration}\n",
        state = absolute(&state.join("state"))?,
        models = absolute(&args.models.models_dir())?,
        ort = absolute(&args.models.onnxruntime_path())?,
        precision = args.models.vision_options().precision.as_str(),
        min_score = args.models.min_score,
        hotlist = absolute(&bundle.join("hotlist.csv"))?,
        clip = absolute(clip)?,
    );
    let path = state.join("kerbside.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// A receiver on a thread of its own, as `kerbside listen --ack --store` is one: what it has stored it tells the box, which then lets go of
/// it. The channel that it gives tells when the broker has confirmed the subscription.
fn subscribe(port: u16, filter: String, mut store: Store, sender: Sender<Received>) -> anyhow::Result<Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = channel();
    std::thread::Builder::new().name("demo-subscriber".into()).spawn(move || {
        runtime.block_on(async {
            let broker = BrokerOptions::new("127.0.0.1", port, "kerbside-demo-subscriber");
            let mut subscriber = Subscriber::new(SubscriberOptions::new(broker, vec![filter], Qos::AtLeastOnce));
            subscriber.subscribed().await;
            // Whoever waits for these has gone when sending fails; then the demo is over.
            if ready.send(()).is_err() {
                return;
            }
            let mut untold = Vec::new();
            loop {
                let message = subscriber.next().await;
                if let Some(numbered) = Numbered::from_received(&message) {
                    match store.take(&[numbered], None, SystemClock.now().utc) {
                        // One that can't be sent now is overtaken by the next.
                        Ok(taken) => untold.extend(taken.moved),
                        Err(e) => return tracing::error!("the demo's back office can't store what came: {e}"),
                    }
                }
                // What can't be sent now goes with the next.
                untold.retain(|watermark| subscriber.publish(listen::told(watermark)).is_err());
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
    })?;
    Ok(is_ready)
}

/// Sorts a message in; gives the line to print for reads, unread passages and alerts.
fn take(seen: &mut Seen, message: Received) -> Option<String> {
    if message.seq.is_some() {
        seen.envelopes += 1;
    }
    let printed = listen::describe(&message);
    match message.schema.as_deref() {
        Some(ReadMessage::SCHEMA) => seen.reads.push(ReadMessage::decode(&message.payload).ok()?),
        Some(AlertMessage::SCHEMA) => seen.alerts.push(AlertMessage::decode(&message.payload).ok()?),
        Some(UnreadMessage::SCHEMA) => seen.unread.push(UnreadMessage::decode(&message.payload).ok()?),
        _ if message.content_type.as_deref() == Some("image/jpeg") => {
            let mut levels = message.topic.rsplit('/').map(str::to_owned);
            let (kind, passage) = (levels.next()?, levels.next()?);
            seen.pictures.insert((passage, kind), message.payload);
            return None;
        }
        _ => return None,
    }
    seen.lines.push(String::from_utf8(message.payload).ok()?);
    Some(printed)
}

/// How many of the clip's marks came back right, and how many there are.
fn score(seen: &Seen, truth: &Path) -> anyhow::Result<(usize, usize)> {
    let mut reader = csv::Reader::from_path(truth).with_context(|| truth.display().to_string())?;
    let marks = reader.records().map(|r| Ok(r?.get(0).unwrap_or("").to_owned())).collect::<anyhow::Result<Vec<_>>>()?;
    let right = marks.iter().filter(|m| seen.reads.iter().filter(|r| r.decoded.vrm == **m).count() == 1).count();
    Ok((right, marks.len()))
}

fn write_outputs(args: &Args, seen: &Seen, (right, of): (usize, usize), frames: u64) -> anyhow::Result<Vec<PathBuf>> {
    let records = args.out.join("records.jsonl");
    std::fs::write(&records, seen.lines.iter().map(|l| format!("{l}\n")).collect::<String>())
        .with_context(|| records.display().to_string())?;
    let cells: Vec<Cell> = seen.reads.iter().map(|r| cell(seen, r)).collect::<anyhow::Result<_>>()?;
    let heading = format!("Kerbside demo: {} vehicles, {} alerts", seen.reads.len(), alerted(seen));
    let note = format!("{frames} frames, {right} of {of} marks right; every picture came back over MQTT");
    let sheet = args.out.join("contact-sheet.png");
    draw::contact_sheet(&heading, &note, &cells, 5).save(&sheet).with_context(|| sheet.display().to_string())?;
    Ok(vec![sheet, records])
}

fn cell(seen: &Seen, read: &ReadMessage) -> anyhow::Result<Cell> {
    let picture = |kind: &str| -> anyhow::Result<RgbImage> {
        match seen.pictures.get(&(read.passage.clone(), kind.to_owned())) {
            Some(jpeg) => Ok(image::load_from_memory(jpeg)?.into_rgb8()),
            None => Ok(DynamicImage::new_rgb8(16, 9).into_rgb8()),
        }
    };
    let alert = seen.alerts.iter().find(|a| a.passage == read.passage).and_then(|a| a.hits.first());
    let second = match alert {
        Some(hit) => format!("{} {}: {}", hit.action.to_uppercase(), hit.priority, hit.reason),
        None => format!("{} reads, {}", read.reads, read.sightings.direction),
    };
    Ok(Cell {
        overview: picture("overview")?,
        patch: picture("patch")?,
        title: read.decoded.vrm.clone(),
        note: format!("{:.1} %  {}\n{second}", read.decoded.confidence * 100.0, read.decoded.syntax),
        colour: if alert.is_some() { draw::ALERT } else { draw::FOUND },
    })
}

/// Passages with an alert that was not taken back.
fn alerted(seen: &Seen) -> usize {
    seen.reads.iter().filter(|r| seen.alerts.iter().any(|a| a.passage == r.passage && a.phase == "confirmed")).count()
}

/// What the back office found, in words.
fn verdict(stream: &StreamReport, key: &SigningKey) -> String {
    if stream.is_whole() {
        format!(
            "{} envelopes at the back office, 1 to {} without a gap, each signed by key {} and following the one before it",
            stream.received,
            stream.watermark,
            key.id()
        )
    } else {
        format!("NOT WHOLE: {stream:?}")
    }
}

fn summary(
    seen: &Seen,
    (right, of): (usize, usize),
    counters: &crate::publish::mqtt::MqttCounters,
    frames: u64,
    reading: Duration,
    all: Duration,
) -> Result<(), Failure> {
    say!("{:<10} {:>6}  {:<12} {:>5}  {:<12} alert", "mark", "conf", "format", "reads", "direction");
    for r in &seen.reads {
        let phases: Vec<&str> = seen.alerts.iter().filter(|a| a.passage == r.passage).map(|a| a.phase.as_str()).collect();
        let hit = seen.alerts.iter().find(|a| a.passage == r.passage).and_then(|a| a.hits.first());
        let alert = hit
            .map(|h| format!("{} {} {} ({})", h.action.to_uppercase(), h.priority, h.reason, phases.join(", ")))
            .unwrap_or_default();
        say!(
            "{:<10} {:>5.1}%  {:<12} {:>5}  {:<12} {alert}",
            r.decoded.vrm,
            r.decoded.confidence * 100.0,
            r.decoded.syntax,
            r.reads,
            r.sightings.direction
        );
    }
    #[allow(clippy::cast_precision_loss)] // a few hundred frames
    let rate = frames as f64 / reading.as_secs_f64().max(0.001);
    say!("");
    say!(
        "vehicles   {} records, {} unread; {right} of {of} marks of the clip right, one record each",
        seen.reads.len(),
        seen.unread.len()
    );
    say!("delivered  {} envelopes over MQTT, {} acknowledged, none waiting", seen.envelopes, counters.acknowledged);
    say!(
        "speed      {frames} frames in {:.1} s ({rate:.0} frames a second), {:.1} s in all",
        reading.as_secs_f64(),
        all.as_secs_f64()
    );
    Ok(())
}
