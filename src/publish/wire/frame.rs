//! What stands before a message on MQTT 3.1.1, which has no properties: one line of JSON with what MQTT 5 says in them. Behind
//! it come the message's own bytes, untouched, so that hashes and signatures are over the same on both protocols. Pure.

use serde::{Deserialize, Serialize};

/// How a framed message begins.
const OPENING: &[u8] = b"{\"kerbside\":\"frame/1\"";

/// The line before a framed message. Members that don't apply are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// `frame/1`.
    kerbside: String,
    /// Name and version of the message's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Number in the device's outbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The stream that it is of, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// 1: committed before the connection came up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub historical: Option<u8>,
    /// The link of the envelope before it, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// The device's signature, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// The key that made it, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Frame {
    /// The framed message.
    pub fn wrap(mut self, payload: &[u8]) -> Vec<u8> {
        "frame/1".clone_into(&mut self.kerbside);
        // Invariant: texts and numbers always encode.
        let mut framed = serde_json::to_vec(&self).expect("a frame encodes");
        framed.push(b'\n');
        framed.extend_from_slice(payload);
        framed
    }

    /// Takes a framed message apart; none when it is not framed.
    pub fn unwrap(framed: &[u8]) -> Option<(Self, &[u8])> {
        if !framed.starts_with(OPENING) {
            return None;
        }
        let end = framed.iter().position(|b| *b == b'\n')?;
        Some((serde_json::from_slice(&framed[..end]).ok()?, &framed[end + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_comes_out_as_it_went_in() {
        let frame = Frame {
            schema: Some("kerbside.read/1".into()),
            content_type: Some("application/json".into()),
            seq: Some(7),
            historical: Some(0),
            ..Frame::default()
        };
        let payload = b"{\"n\":1}\n\xff\n";
        let framed = frame.clone().wrap(payload);
        let line = "{\"kerbside\":\"frame/1\",\"schema\":\"kerbside.read/1\",\"content_type\":\"application/json\",\"seq\":7,\"historical\":0}\n";
        assert_eq!(framed, [line.as_bytes(), payload].concat());
        let (found, rest) = Frame::unwrap(&framed).unwrap();
        assert_eq!((found.seq, found.schema, rest), (Some(7), frame.schema, &payload[..]));
        assert_eq!(Frame::unwrap(&Frame::default().wrap(b"")).unwrap().1, b"");
    }

    #[test]
    fn what_is_not_framed_is_left_alone() {
        for bytes in
            ["", "{}", "{\"kerbside\":\"frame/1\"", "{\"kerbside\":\"frame/1\"}", "{\"kerbside\":\"frame/1\",\"seq\":-1}\n{}"]
        {
            assert!(Frame::unwrap(bytes.as_bytes()).is_none(), "{bytes}");
        }
    }
}
