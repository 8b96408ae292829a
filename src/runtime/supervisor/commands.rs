//! Commands of the back office, carried out between two turns of the supervisor's loop, each answered and audited.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc;

use super::Daemon;
use crate::clock::{CaptureTime, MonoTime};
use crate::ident::CameraId;
use crate::outbox::Seq;
use crate::publish::command::{self, Command, Refused, Reply, Verb};
use crate::publish::mqtt::{Live, Received};
use crate::publish::sync::{self, LoadedHotlist};
use crate::publish::wire::{
    AnswerMessage, AuditEvent, AuditMessage, CommandResult, DoctorResult, GapWire, MAX_GAPS_A_MESSAGE, Message, PingResult,
    ReloadResult, ResendResult, SnapshotResult,
};
use crate::runtime::health::{self, HealthContext};
use crate::runtime::hotlists::{self, RefusalRoom};
use crate::runtime::snapshot::{Snapshot, Snapshots};
use crate::vision::evidence::{PictureOptions, still_jpeg};

/// Commands carried out in one turn.
const AT_ONCE: usize = 8;
/// A camera that gives no frame for so long is said to.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(5);
/// Stills that may be waited for.
const MAX_WAITING: usize = 8;
/// Rows sent again by one command.
const MAX_RESENT: usize = 10_000;
/// Caps of a still: an answer is one message, and brokers have their limits.
const STILL: PictureOptions = PictureOptions { max_width_px: 1_280, max_height_px: 1_280, max_bytes: 131_072, quality: 85 };

/// Commands that came, and stills that are waited for.
#[derive(Debug)]
pub(super) struct Orders {
    inbox: mpsc::Receiver<Received>,
    pub(super) snapshots: Arc<Snapshots>,
    waiting: Vec<(CameraId, MonoTime, Command)>,
    /// Whoever may publish commands could otherwise fill the outbox with their audit entries.
    room: RefusalRoom,
    /// Bad ones have a room of their own, so that they can't silence good ones.
    refusals: RefusalRoom,
}

impl Orders {
    pub(super) const fn new(inbox: mpsc::Receiver<Received>, snapshots: Arc<Snapshots>, now: MonoTime) -> Self {
        Self { inbox, snapshots, waiting: Vec::new(), room: RefusalRoom::new(now), refusals: RefusalRoom::new(now) }
    }
}

impl Daemon {
    /// Carries out what was asked for since the last turn.
    pub(super) fn obey(&mut self, now: CaptureTime) {
        for _ in 0..AT_ONCE {
            let Ok(message) = self.orders.inbox.try_recv() else { break };
            let read = command::read(&self.settings.topics, &message, &self.settings.commands, now);
            let room = if read.is_ok() { &mut self.orders.room } else { &mut self.orders.refusals };
            if !room.take(now.mono) {
                // Not answered and not audited: there is no end to them.
                tracing::warn!("commands come too fast; some are passed over");
                continue;
            }
            match read {
                Ok(command) => self.carry_out(command, now),
                Err(refused) => self.refuse(&refused, now),
            }
        }
        self.send_stills(now);
    }

    fn carry_out(&mut self, command: Command, now: CaptureTime) {
        match command.verb {
            Verb::Ping => {
                let result = PingResult {
                    session: self.opened.session,
                    uptime_s: now.mono.since(self.started.mono).as_secs(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                };
                self.answer(&command, Ok(&result), now);
            }
            Verb::Reload => match self.reload_hotlist() {
                Ok(what) => self.answer(&command, Ok(&ReloadResult { what }), now),
                Err(why) => self.answer::<ReloadResult>(&command, Err(&why), now),
            },
            Verb::Doctor => {
                let context = HealthContext {
                    settings: &self.settings,
                    source: &self.source,
                    outlet: &self.outlet,
                    opened: &self.opened,
                    board: &self.hotlist,
                };
                let health = health::gather(&context, &self.gauges, now);
                self.answer(&command, Ok(&DoctorResult { alarms: health.alarms.clone(), health }), now);
            }
            Verb::OutboxResend => match self.resend(&command) {
                Ok(result) => self.answer(&command, Ok(&result), now),
                Err(why) => self.answer::<ResendResult>(&command, Err(&why), now),
            },
            Verb::Snapshot => self.ask_still(command, now),
        }
    }

    fn resend(&self, command: &Command) -> Result<ResendResult, String> {
        let range = (command.message.number("from").and_then(Seq::new), command.message.number("to").and_then(Seq::new));
        let (Some(from), Some(to)) = range else { return Err("it wants the arguments from and to, numbers from 1 on".into()) };
        if to < from {
            return Err(format!("to {to} is less than from {from}"));
        }
        let failed = |e: crate::outbox::OutboxError| e.to_string();
        let last = self.outlet.last_seq().map_err(failed)?;
        if from.get() > last {
            return Err(format!("from {from} is beyond the last number given, {last}"));
        }
        let to_number = to.get().min(last);
        let (seqs, next) = self.outlet.numbers(from, to, MAX_RESENT).map_err(failed)?;
        let upper = next.map_or(to_number, |next| next.get() - 1);
        let gaps = self.outlet.gaps_within(from, to, u64::MAX).map_err(failed)?;
        let within = |a: u64, b: u64| (b.min(upper) + 1).saturating_sub(a.max(from.get()));
        let lost: u64 = gaps.iter().map(|g| within(g.first.get(), g.last.get()).min(g.count)).sum();
        let resent = u64::try_from(seqs.len()).unwrap_or(u64::MAX);
        if !seqs.is_empty() && self.live.try_send(Live::Resend { seqs }).is_err() {
            return Err("there is no connection to send them on; they are sent by themselves when there is one".into());
        }
        Ok(ResendResult {
            resent,
            released: (upper + 1 - from.get()).saturating_sub(resent + lost),
            missing: gaps.iter().take(MAX_GAPS_A_MESSAGE).map(GapWire::from).collect(),
            next: next.map(Seq::get),
        })
    }

    fn ask_still(&mut self, command: Command, now: CaptureTime) {
        let names: Vec<&str> = self.settings.cameras.iter().map(|c| c.id.as_str()).collect();
        let wanted = command.message.text("camera").or_else(|| if let [only] = names[..] { Some(only) } else { None });
        let camera = self.settings.cameras.iter().map(|c| &c.id).find(|id| Some(id.as_str()) == wanted).cloned();
        let Some(camera) = camera else {
            let why = format!("it wants the argument camera, one of {}", names.join(", "));
            return self.answer::<SnapshotResult>(&command, Err(&why), now);
        };
        if self.orders.waiting.len() >= MAX_WAITING || self.orders.waiting.iter().any(|(waiting, ..)| *waiting == camera) {
            return self.answer::<SnapshotResult>(
                &command,
                Err("a still is being waited for already; ask again in a few seconds"),
                now,
            );
        }
        self.orders.snapshots.ask(&camera, now.mono);
        self.orders.waiting.push((camera, now.mono, command));
    }

    fn send_stills(&mut self, now: CaptureTime) {
        for (camera, since, command) in std::mem::take(&mut self.orders.waiting) {
            match self.orders.snapshots.take(&camera) {
                Some(snapshot) => match still(&camera, &snapshot) {
                    Ok(result) => self.answer(&command, Ok(&result), now),
                    Err(why) => self.answer::<SnapshotResult>(&command, Err(&why), now),
                },
                None if now.mono.since(since) > SNAPSHOT_WITHIN => {
                    self.orders.snapshots.forget(&camera);
                    let why =
                        format!("camera {camera} gave no frame for {} s; its state topic says why", SNAPSHOT_WITHIN.as_secs());
                    self.answer::<SnapshotResult>(&command, Err(&why), now);
                }
                None => self.orders.waiting.push((camera, since, command)),
            }
        }
    }

    fn answer<R: CommandResult>(&self, command: &Command, outcome: Result<&R, &str>, now: CaptureTime) {
        self.note(command.verb.as_str(), &command.message.by, outcome.err(), now);
        let message =
            AnswerMessage::new(&self.source, command.verb.as_str(), outcome, command.reply.correlation.clone(), now.utc);
        self.send_answer(message.and_then(|m| m.encode()), &command.reply);
    }

    fn refuse(&self, refused: &Refused, now: CaptureTime) {
        self.note(&refused.verb, &refused.by, Some(&refused.why), now);
        let outcome = Err::<&PingResult, _>(refused.why.as_str());
        let message = AnswerMessage::new(&self.source, &refused.verb, outcome, refused.reply.correlation.clone(), now.utc);
        self.send_answer(message.and_then(|m| m.encode()), &refused.reply);
    }

    fn send_answer(&self, payload: Result<Vec<u8>, crate::publish::wire::JsonError>, reply: &Reply) {
        let Some(topic) = reply.topic.clone() else { return };
        match payload {
            Ok(payload) => {
                let schema = AnswerMessage::SCHEMA.to_owned();
                // A full queue means no connection: whoever asked is not there to hear it.
                drop(self.live.try_send(Live::Answer { topic, schema, payload, correlation: reply.correlation_data.clone() }));
            }
            Err(e) => tracing::error!("an answer can't be put into JSON: {e}"),
        }
    }

    /// Counts and audits a command.
    fn note(&self, verb: &str, by: &str, failed: Option<&str>, now: CaptureTime) {
        let event = if failed.is_some() { AuditEvent::CommandRefused } else { AuditEvent::CommandDone };
        let counter = if failed.is_some() { &self.gauges.commands_refused } else { &self.gauges.commands_done };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut entry = AuditMessage::new(&self.source, event, "mqtt", now.utc);
        entry.command = Some(verb.to_owned());
        entry.by = Some(by.to_owned()).filter(|by| !by.is_empty());
        if let Some(why) = failed {
            tracing::warn!(command = verb, "command refused: {why}");
            entry = entry.because(why);
        } else {
            tracing::info!(command = verb, "command carried out");
        }
        self.audit(entry);
    }

    /// Reads the list kept by hand again; a bad one leaves the old one in force and says so. Gives what was done in words.
    ///
    /// # Errors
    /// When the list was refused: why, without what stands in it.
    pub fn reload_hotlist(&self) -> Result<String, String> {
        let Some((file, list)) = &self.settings.hotlist.local else {
            return Ok("no hotlist is kept by hand, there is nothing to read again".into());
        };
        let now = self.clock.now();
        match sync::load_csv(file, list) {
            Ok(loaded) => {
                log_faults(&loaded);
                let hotlist = Arc::new(loaded.hotlist);
                let version = hotlist.version().version.clone();
                tracing::info!(entries = hotlist.len(), version, "hotlist in force");
                self.audit(hotlists::local_applied(&self.source, &hotlist, "reload", now));
                let what = format!(
                    "hotlist {list}: version {version}, {} entries, {} rows left out",
                    hotlist.len(),
                    loaded.rows_left_out
                );
                self.hotlist.set(hotlist, u64::try_from(loaded.rows_left_out).unwrap_or(u64::MAX), now);
                Ok(what)
            }
            Err(e) => {
                let file = file.display();
                tracing::error!("the new hotlist {file} is refused, the old one stays in force; `kerbside check` says why");
                tracing::debug!("{e}");
                let why = format!("{file} was refused; `kerbside check` says why");
                let entry = AuditMessage::new(&self.source, AuditEvent::HotlistRefused, "reload", now.utc);
                self.audit(AuditMessage { list: Some(list.clone()), ..entry.because(&why) });
                self.hotlist.refused(list, &why);
                Err(why)
            }
        }
    }
}

/// Says which rows were left out. What stands in them may be a mark, which no log line above debug may hold.
pub fn log_faults(list: &LoadedHotlist) {
    if list.rows_left_out > 0 {
        let lines: Vec<u64> = list.faults.iter().take(10).map(|f| f.line).collect();
        tracing::warn!(rows = list.rows_left_out, ?lines, "hotlist rows left out; `kerbside check` says why");
    }
    list.faults.iter().for_each(|f| tracing::debug!("hotlist row left out: {f}"));
}

fn still(camera: &CameraId, snapshot: &Snapshot) -> Result<SnapshotResult, String> {
    let jpeg = still_jpeg(&snapshot.frame, &snapshot.plates, &STILL).map_err(|e| e.to_string())?;
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(SnapshotResult {
        camera: camera.to_string(),
        at: snapshot.frame.at().utc.to_string(),
        width_px: size(snapshot.frame.width()),
        height_px: size(snapshot.frame.height()),
        plates: size(snapshot.plates.len()),
        jpeg_base64: STANDARD.encode(jpeg),
    })
}
