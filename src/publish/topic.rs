//! The names of the places that messages go to: `kerbside/v1/{org}/{device}/…`.
//!
//! Every level is a checked opaque id, so no plate, no place name and no wildcard can get into a topic. Any thread.

use crate::anpr::record::PassageId;
use crate::ident::{CameraId, is_opaque_id};

/// A part of a topic that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not 1 to 32 of a-z, 0-9, '-' and '_' (ids are opaque: no place names)")]
pub struct TopicError {
    what: &'static str,
    found: String,
}

/// Which picture of a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The plate alone.
    Patch,
    /// The whole frame.
    Overview,
}

impl Picture {
    /// The word used in topics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Overview => "overview",
        }
    }
}

/// Which part of a hotlist a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotlistPart<'a> {
    /// The signed manifest.
    Manifest,
    /// The chunk of this SHA-256, as the topic has it (not checked).
    Chunk(&'a str),
}

/// All topics of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

impl Topics {
    /// Topics of `device` of `org`.
    ///
    /// # Errors
    /// When one of them is no opaque id.
    pub fn new(org: &str, device: &str) -> Result<Self, TopicError> {
        check("organisation", org)?;
        check("device", device)?;
        Ok(Self { base: format!("kerbside/v1/{org}/{device}") })
    }

    /// The common beginning; a broker's access rules are written on it.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A filter for everything of this device.
    pub fn all(&self) -> String {
        format!("{}/#", self.base)
    }

    /// Online or offline; retained, and the will sits here.
    pub fn status(&self) -> String {
        self.at("status")
    }

    /// How a camera is; retained.
    pub fn camera_state(&self, camera: &CameraId) -> String {
        format!("{}/camera/{camera}/state", self.base)
    }

    /// Capture records.
    pub fn read(&self) -> String {
        self.at("read")
    }

    /// Alerts.
    pub fn alert(&self) -> String {
        self.at("alert")
    }

    /// Passages that could not be read.
    pub fn unread(&self) -> String {
        self.at("unread")
    }

    /// A picture of a passage.
    pub fn image(&self, passage: PassageId, picture: Picture) -> String {
        format!("{}/image/{passage}/{}", self.base, picture.as_str())
    }

    /// Alerts for a screen near the vehicle: never those of silent hits alone.
    pub fn display(&self) -> String {
        self.at("display")
    }

    /// Counters and latencies.
    pub fn health(&self) -> String {
        self.at("health")
    }

    /// Hash-chained audit entries.
    pub fn audit(&self) -> String {
        self.at("audit")
    }

    /// Sequence numbers that will never arrive, and why.
    pub fn gap(&self) -> String {
        self.at("gap")
    }

    /// The back office's watermark, coming down.
    pub fn ack(&self) -> String {
        self.at("ack")
    }

    /// The signed manifest of a hotlist, coming down.
    ///
    /// # Errors
    /// When `list` is no opaque id.
    pub fn hotlist_manifest(&self, list: &str) -> Result<String, TopicError> {
        self.hotlist(list, "manifest")
    }

    /// One encrypted chunk of a hotlist, named by its SHA-256 in hex, coming down.
    ///
    /// # Errors
    /// When `list` is no opaque id or `sha256` is not 64 hexadecimal digits in lower case.
    pub fn hotlist_chunk(&self, list: &str, sha256: &str) -> Result<String, TopicError> {
        if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(TopicError { what: "chunk", found: sha256.to_owned() });
        }
        self.hotlist(list, &format!("chunk/{sha256}"))
    }

    /// The version of a hotlist in force; retained.
    ///
    /// # Errors
    /// When `list` is no opaque id.
    pub fn hotlist_state(&self, list: &str) -> Result<String, TopicError> {
        self.hotlist(list, "state")
    }

    /// A command, coming down. `outbox.resend` and the like: dots are allowed between opaque words.
    ///
    /// # Errors
    /// When a part of `verb` is no opaque id.
    pub fn command(&self, verb: &str) -> Result<String, TopicError> {
        verb.split('.').try_for_each(|part| check("command", part))?;
        Ok(format!("{}/cmd/{verb}", self.base))
    }

    /// A filter for all commands.
    pub fn commands(&self) -> String {
        self.at("cmd/+")
    }

    /// The common beginning of the topics of commands.
    pub fn command_prefix(&self) -> String {
        self.at("cmd/")
    }

    /// The verb of a command's topic; none for any other topic.
    pub fn parse_command<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(&self.base)?.strip_prefix("/cmd/")
    }

    /// Whether an answer may go to a topic: one of the same organisation with a level `answer` behind it. So nobody can have a box
    /// publish in the name of another, or on a topic of its own.
    pub fn may_answer_on(&self, topic: &str) -> bool {
        let org = self.base.rsplit_once('/').map_or("", |(org, _)| org);
        let Some(rest) = topic.strip_prefix(org).and_then(|t| t.strip_prefix('/')) else { return false };
        topic.len() <= 256
            && !topic.contains(['+', '#', '\0'])
            && rest.split('/').nth(1) == Some("answer")
            && rest.split('/').all(|level| !level.is_empty())
    }

    /// What a topic of this device says of a hotlist; none for any other topic.
    pub fn parse_hotlist<'a>(&self, topic: &'a str) -> Option<(&'a str, HotlistPart<'a>)> {
        let rest = topic.strip_prefix(&self.base)?.strip_prefix("/hotlist/")?;
        let (list, part) = rest.split_once('/')?;
        let part = match part.split_once('/') {
            None if part == "manifest" => HotlistPart::Manifest,
            Some(("chunk", sha256)) => HotlistPart::Chunk(sha256),
            _ => return None,
        };
        is_opaque_id(list).then_some((list, part))
    }

    fn at(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.base)
    }

    fn hotlist(&self, list: &str, leaf: &str) -> Result<String, TopicError> {
        check("hotlist", list)?;
        Ok(format!("{}/hotlist/{list}/{leaf}", self.base))
    }
}

fn check(what: &'static str, found: &str) -> Result<(), TopicError> {
    if is_opaque_id(found) { Ok(()) } else { Err(TopicError { what, found: found.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_design_has_its_name() {
        let t = Topics::new("org-1", "box_7").unwrap();
        let camera = CameraId::new("c1").unwrap();
        let passage = PassageId::new(1_795_000_000_000, [7; 10]);
        let sha = "ab".repeat(32);
        for (topic, leaf) in [
            (t.status(), "status".to_owned()),
            (t.camera_state(&camera), "camera/c1/state".into()),
            (t.read(), "read".into()),
            (t.alert(), "alert".into()),
            (t.unread(), "unread".into()),
            (t.image(passage, Picture::Patch), format!("image/{passage}/patch")),
            (t.image(passage, Picture::Overview), format!("image/{passage}/overview")),
            (t.display(), "display".into()),
            (t.health(), "health".into()),
            (t.audit(), "audit".into()),
            (t.gap(), "gap".into()),
            (t.ack(), "ack".into()),
            (t.hotlist_manifest("l").unwrap(), "hotlist/l/manifest".into()),
            (t.hotlist_chunk("l", &sha).unwrap(), format!("hotlist/l/chunk/{sha}")),
            (t.hotlist_state("l").unwrap(), "hotlist/l/state".into()),
            (t.command("outbox.resend").unwrap(), "cmd/outbox.resend".into()),
            (t.commands(), "cmd/+".into()),
            (t.all(), "#".into()),
        ] {
            assert_eq!(topic, format!("kerbside/v1/org-1/box_7/{leaf}"));
        }
    }

    #[test]
    fn answers_go_to_answer_topics_of_the_same_organisation_only() {
        let t = Topics::new("org-1", "box_7").unwrap();
        for good in ["kerbside/v1/org-1/box_7/answer", "kerbside/v1/org-1/control/answer/desk-3/17"] {
            assert!(t.may_answer_on(good), "{good}");
        }
        for bad in [
            "kerbside/v1/org-1/box_7/status",
            "kerbside/v1/org-1/box_8/read/answer",
            "kerbside/v1/org-2/box_7/answer",
            "kerbside/v1/org-1/answer",
            "kerbside/v1/org-1/x/answer/#",
            "kerbside/v1/org-1//answer",
            "kerbside/v1/org-11/x/answer",
            "answer",
            "",
        ] {
            assert!(!t.may_answer_on(bad), "{bad}");
        }
        assert_eq!(t.parse_command("kerbside/v1/org-1/box_7/cmd/outbox.resend"), Some("outbox.resend"));
        assert_eq!(t.parse_command("kerbside/v1/org-1/box_8/cmd/ping"), None);
    }

    #[test]
    fn nothing_but_opaque_ids_gets_in() {
        for bad in ["", "High Street", "a/b", "+", "#", "AB12CDE", "x".repeat(33).as_str()] {
            assert!(Topics::new(bad, "d").is_err() && Topics::new("o", bad).is_err(), "{bad:?}");
            let t = Topics::new("o", "d").unwrap();
            assert!(t.hotlist_state(bad).is_err() && t.command(bad).is_err() && t.hotlist_chunk("l", bad).is_err(), "{bad:?}");
        }
    }
}
