//! Who may look: Basic and Digest (MD5, without qop, as most cameras have it). The digest is written out here: MD5 is good for nothing
//! else, and no crate of ours has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a camera asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    None,
    /// User and password, Basic.
    Basic(String, String),
    /// User and password, Digest.
    Digest(String, String),
}

const REALM: &str = "fault camera";

impl Auth {
    /// The challenge in an answer 401.
    pub(super) fn challenge(&self, nonce: &str) -> String {
        match self {
            Self::Digest(..) => format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\""),
            _ => format!("Basic realm=\"{REALM}\""),
        }
    }

    /// Whether a request with this `Authorization` may pass.
    pub(super) fn allows(&self, method: &str, header: Option<&str>, nonce: &str) -> bool {
        match self {
            Self::None => true,
            Self::Basic(user, password) => {
                header.and_then(|h| h.strip_prefix("Basic ")) == Some(STANDARD.encode(format!("{user}:{password}")).as_str())
            }
            Self::Digest(user, password) => {
                let Some(fields) = header.and_then(|h| h.strip_prefix("Digest ")) else { return false };
                let field = |name: &str| field(fields, name);
                let (Some(said), Some(uri)) = (field("response"), field("uri")) else { return false };
                let secret = md5_hex(format!("{user}:{REALM}:{password}").as_bytes());
                let request = md5_hex(format!("{method}:{uri}").as_bytes());
                field("nonce").as_deref() == Some(nonce)
                    && field("username").as_deref() == Some(user)
                    && said == md5_hex(format!("{secret}:{nonce}:{request}").as_bytes())
            }
        }
    }
}

/// A quoted field of a header.
fn field(fields: &str, name: &str) -> Option<String> {
    let start = format!("{name}=\"");
    let at = fields
        .match_indices(&start)
        .find(|(i, _)| fields[..*i].trim_end().is_empty() || fields[..*i].trim_end().ends_with(','))?;
    let mut value = String::new();
    let mut characters = fields[at.0 + start.len()..].chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(value),
            '\\' => value.push(characters.next()?),
            c => value.push(c),
        }
    }
    None
}

/// MD5 (RFC 1321) in hexadecimal.
pub fn md5_hex(message: &[u8]) -> String {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut bytes = message.to_vec();
    bytes.push(0x80);
    while bytes.len() % 64 != 56 {
        bytes.push(0);
    }
    bytes.extend((u64::try_from(message.len()).unwrap() * 8).to_le_bytes());
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in bytes.chunks(64) {
        let word = |i: usize| u32::from_le_bytes(block[4 * i..4 * i + 4].try_into().unwrap());
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (mixed, g) = match i / 16 {
                0 => (b & c | !b & d, i),
                1 => (d & b | !d & c, (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), 7 * i % 16),
            };
            // floor(2^32 |sin(i + 1)|): exact in 64-bit floats.
            let sine = (f64::from(u32::try_from(i + 1).unwrap()).sin().abs() * 4_294_967_296.0).floor();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let sine = sine as u64 as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(sine).wrapping_add(word(g));
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        for (s, v) in state.iter_mut().zip([a, b, c, d]) {
            *s = s.wrapping_add(v);
        }
    }
    state.iter().flat_map(|s| s.to_le_bytes()).map(|b| format!("{b:02x}")).collect()
}

#[test]
fn md5_of_known_messages() {
    assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(md5_hex(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    assert_eq!(md5_hex(&b"1234567890".repeat(8)), "57edf4a22be3c955ac49da2e2107b67a");
}
