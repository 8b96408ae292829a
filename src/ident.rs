//! Names and numbers that every room shares: which camera, which frame. No place names anywhere: sites are secret.

use std::fmt;
use std::sync::Arc;

/// An opaque name for a camera: `a`–`z`, `0`–`9`, `-`, `_`, 1 to 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CameraId(Arc<str>);

impl CameraId {
    /// Checks and keeps a name; none when a character or the length is not allowed.
    pub fn new(name: &str) -> Option<Self> {
        is_opaque_id(name).then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text can stand as one level of a topic: `a`–`z`, `0`–`9`, `-`, `_`, 1 to 32 characters.
pub fn is_opaque_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Number of a frame of one camera, from 0, counting frames that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameSeq(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_one_topic_level() {
        for (name, ok) in [("north-1", true), ("", false), ("a/b", false), ("A", false), ("+", false), (&"x".repeat(33), false)] {
            assert_eq!(CameraId::new(name).is_some(), ok, "{name:?}");
        }
    }
}
