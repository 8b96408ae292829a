//! Commands of the back office: what came, whether it is to be obeyed, and where its answer goes. Pure; `runtime` carries them out.
//!
//! A command is obeyed while it is fresh: one that the broker had in store (retained), or that is past its time by a clock that is
//! synchronised, is refused. Who may give commands is the broker's to say, by its access rules on `cmd/#`; what a box obeys at all, its
//! configuration's.

use std::fmt;

use super::mqtt::Received;
use super::topic::Topics;
use super::wire::{CommandMessage, Message};
use crate::clock::{CaptureTime, UtcTime};

/// Largest command, bytes.
const MAX_BYTES: usize = 4096;
/// Longest word on who gave a command, bytes.
const MAX_BY_BYTES: usize = 64;
/// Longest correlation data, bytes.
const MAX_CORRELATION_BYTES: usize = 256;
/// Longest time for which a command may be good, seconds: no key to the box that lies about for ever.
const MAX_VALID_S: u32 = 3600;
/// A command may come from a clock that is ahead by so much, seconds.
const AHEAD_S: i64 = 60;

/// What a box can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Say that you are there.
    Ping,
    /// A still with the plates outlined.
    Snapshot,
    /// Read what can be read again without a restart.
    Reload,
    /// Say what is wrong.
    Doctor,
    /// Send stored rows once more.
    OutboxResend,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ping, Self::Snapshot, Self::Reload, Self::Doctor, Self::OutboxResend];

    /// The last level of its topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Snapshot => "snapshot",
            Self::Reload => "reload",
            Self::Doctor => "doctor",
            Self::OutboxResend => "outbox.resend",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an answer goes, and what it is known by there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its topic; none when nobody wants one.
    pub topic: Option<String>,
    /// MQTT 5's correlation data.
    pub correlation_data: Option<Vec<u8>>,
    /// The same inside the message, for clients without.
    pub correlation: Option<String>,
}

/// A command that is to be obeyed.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What is asked for.
    pub verb: Verb,
    /// Its arguments and who gives it.
    pub message: CommandMessage,
    /// Where the answer goes.
    pub reply: Reply,
}

/// A command that is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The last level of its topic, cut to a sane length.
    pub verb: String,
    /// Who gave it, as far as it says.
    pub by: String,
    /// Why, and what would help.
    pub why: String,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Reads a command off the wire. `allowed` is what this box obeys.
///
/// # Errors
/// When it is unknown, late, malformed or not allowed; the answer says so.
pub fn read(topics: &Topics, message: &Received, allowed: &[Verb], now: CaptureTime) -> Result<Command, Box<Refused>> {
    let word: String = topics.parse_command(&message.topic).unwrap_or_default().chars().take(64).collect();
    let decoded = if message.payload.len() > MAX_BYTES {
        Err(format!("it has {} bytes, a command has at most {MAX_BYTES}", message.payload.len()))
    } else {
        CommandMessage::decode(&message.payload).map_err(|e| {
            format!("it is no {}: {e}; `kerbside schema {}` shows what is wanted", CommandMessage::SCHEMA, CommandMessage::SCHEMA)
        })
    };
    let (reply, answerable) = reply(topics, message, decoded.as_ref().ok());
    let by = decoded.as_ref().map(|m| crate::publish::wire::short(&m.by, MAX_BY_BYTES)).unwrap_or_default();
    let refused = |why: String| Box::new(Refused { verb: word.clone(), by: by.clone(), why, reply: reply.clone() });
    answerable.map_err(refused)?;
    let mut command = decoded.map_err(refused)?;
    if command.schema != CommandMessage::SCHEMA {
        return Err(refused(format!("its schema is {:?}, this box knows {}", command.schema, CommandMessage::SCHEMA)));
    }
    let verbs = |verbs: &[Verb]| verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(", ");
    let verb = Verb::parse(&word).ok_or_else(|| refused(format!("there is no such command; there are {}", verbs(&Verb::ALL))))?;
    if !allowed.contains(&verb) {
        return Err(refused(format!(
            "this box does not obey it; command.allow has {}",
            if allowed.is_empty() { "nothing".into() } else { verbs(allowed) }
        )));
    }
    if message.retained {
        return Err(refused(
            "it was retained by the broker, so nobody knows when it was given; publish commands without retain".into(),
        ));
    }
    fresh(&command, now).map_err(refused)?;
    command.by.clone_from(&by);
    Ok(Command { verb, message: command, reply })
}

fn fresh(command: &CommandMessage, now: CaptureTime) -> Result<(), String> {
    let issued =
        UtcTime::parse(&command.issued).ok_or_else(|| format!("issued {:?} is no RFC 3339 time in UTC", command.issued))?;
    if command.valid_s == 0 || command.valid_s > MAX_VALID_S {
        return Err(format!("valid_s {} is not between 1 and {MAX_VALID_S}", command.valid_s));
    }
    // Without a clock to judge by, its not being retained has to do.
    if !now.quality.synchronised {
        return Ok(());
    }
    let age_s = (now.utc.as_micros() - issued.as_micros()).div_euclid(1_000_000);
    if age_s > i64::from(command.valid_s) {
        return Err(format!("it is late: issued {age_s} s ago, valid for {} s", command.valid_s));
    }
    if age_s < -AHEAD_S {
        return Err(format!("it was issued {} s in the future; one of the clocks is wrong", -age_s));
    }
    Ok(())
}

/// Where the answer goes; an error when the command wants it where it may not go, and then it goes nowhere.
fn reply(topics: &Topics, message: &Received, command: Option<&CommandMessage>) -> (Reply, Result<(), String>) {
    let correlation_data = message.correlation.clone().filter(|c| c.len() <= MAX_CORRELATION_BYTES);
    let correlation = command.and_then(|c| c.correlation.clone()).filter(|c| c.len() <= MAX_CORRELATION_BYTES);
    let topic = message.response_topic.clone().or_else(|| command.and_then(|c| c.response_topic.clone()));
    let fits = topic.as_ref().is_none_or(|t| topics.may_answer_on(t));
    let reply = Reply { topic: topic.filter(|_| fits), correlation_data, correlation };
    let why = || "its response topic is not of the form kerbside/v1/{org}/{name}/answer[/...]".to_owned();
    (reply, if fits { Ok(()) } else { Err(why()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ClockQuality, ClockSource, MonoTime};

    #[allow(clippy::field_reassign_with_default)] // one field is the transport's own
    fn received(verb: &str, payload: &str) -> Received {
        let mut message = Received::default();
        message.topic = format!("kerbside/v1/o/d/cmd/{verb}");
        message.payload = payload.as_bytes().to_vec();
        message.response_topic = Some("kerbside/v1/o/desk/answer".into());
        message.correlation = Some(vec![1, 2, 3]);
        message
    }

    fn now(synchronised: bool) -> CaptureTime {
        let quality = ClockQuality { source: ClockSource::System, synchronised, max_error_ms: None };
        CaptureTime { mono: MonoTime::default(), utc: UtcTime::parse("2026-11-22T12:00:00Z").unwrap(), quality }
    }

    fn command(issued: &str, more: &str) -> String {
        format!("{{\"schema\": \"kerbside.command/1\", \"issued\": \"{issued}\"{more}}}")
    }

    #[test]
    fn a_fresh_command_is_read_with_its_way_back() {
        let topics = Topics::new("o", "d").unwrap();
        let text = command("2026-11-22T11:59:50Z", ", \"by\": \"desk 3\", \"args\": {\"from\": 4, \"to\": 9}, \"later\": 1");
        let read = read(&topics, &received("outbox.resend", &text), &Verb::ALL, now(true)).unwrap();
        assert_eq!((read.verb, read.message.by.as_str(), read.message.number("to")), (Verb::OutboxResend, "desk 3", Some(9)));
        assert_eq!(read.reply.topic.as_deref(), Some("kerbside/v1/o/desk/answer"));
        assert_eq!(read.reply.correlation_data, Some(vec![1, 2, 3]));
    }

    #[test]
    fn late_unknown_malformed_and_unwanted_commands_are_refused_with_an_answer() {
        let topics = Topics::new("o", "d").unwrap();
        let good = command("2026-11-22T11:59:50Z", "");
        let why = |message: &Received, allowed: &[Verb], synchronised: bool| {
            read(&topics, message, allowed, now(synchronised)).map(|_| ()).map_err(|r| (r.why, r.reply.topic.is_some()))
        };
        let mut kept = received("ping", &good);
        kept.retained = true;
        for (message, says) in [
            (received("dance", &good), "there is no such command; there are ping"),
            (received("ping", "{"), "it is no kerbside.command/1"),
            (received("ping", "\"ping\""), "it is no kerbside.command/1"),
            (received("ping", &"x".repeat(5000)), "it has 5000 bytes"),
            (received("ping", &command("yesterday", "")), "no RFC 3339 time"),
            (received("ping", &command("2026-11-22T11:59:29Z", "")), "it is late: issued 31 s ago, valid for 30 s"),
            (received("ping", &command("2026-11-22T12:02:00Z", "")), "120 s in the future"),
            (received("ping", &command("2026-11-22T12:00:00Z", ", \"valid_s\": 86400")), "valid_s 86400"),
            (received("ping", &good.replace("command/1", "command/2")), "its schema is"),
            (kept, "retained by the broker"),
        ] {
            let (text, answered) = why(&message, &Verb::ALL, true).unwrap_err();
            assert!(text.contains(says) && answered, "{text}");
        }
        assert!(why(&received("snapshot", &good), &[Verb::Ping], true).unwrap_err().0.contains("command.allow has ping"));
        // Whose clock nobody vouches for obeys what is live.
        assert_eq!(why(&received("ping", &command("2020-01-01T00:00:00Z", "")), &Verb::ALL, false), Ok(()));
        let mut stray = received("ping", &good);
        stray.response_topic = Some("kerbside/v1/o/d/read".into());
        let (text, answered) = why(&stray, &Verb::ALL, true).unwrap_err();
        assert!(text.contains("response topic") && !answered, "{text}");
    }
}
