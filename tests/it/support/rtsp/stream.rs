//! Recorded streams, cut into pictures: Annex B for H.264 and H.265, one JPEG after the other for motion JPEG.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::program::root;

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// Motion JPEG.
    Jpeg,
}

/// One picture: an access unit, or a JPEG file.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Its NAL units without start codes; one, the file, for JPEG.
    pub nals: Vec<Vec<u8>>,
    /// Whether decoding can start here.
    pub key: bool,
}

/// A recording, in memory.
#[derive(Debug)]
pub struct Recording {
    /// How it is coded.
    pub codec: Codec,
    /// Its pictures, in decoding order, which is also the order of showing.
    pub units: Vec<Unit>,
}

impl Recording {
    /// One of those in `tests/it/data`.
    pub fn of_ours(name: &str) -> Arc<Self> {
        Self::load(&root().join("tests/it/data").join(name))
    }

    /// Any file that ends in `.h264`, `.h265` or `.mjpeg`.
    pub fn load(path: &Path) -> Arc<Self> {
        let bytes = std::fs::read(path).unwrap();
        let (codec, units) = match path.extension().and_then(|e| e.to_str()) {
            Some("h264") => (Codec::H264, access_units(Codec::H264, &bytes)),
            Some("h265") => (Codec::H265, access_units(Codec::H265, &bytes)),
            _ => (Codec::Jpeg, jpegs(&bytes)),
        };
        assert!(units.first().is_some_and(|u| u.key), "{}: no key picture at its start", path.display());
        Arc::new(Self { codec, units })
    }

    /// The media part of the session description.
    pub fn sdp(&self) -> String {
        let set = |kind: u8| {
            let nals = self.units.iter().flat_map(|u| &u.nals);
            let nal = nals.into_iter().find(|n| nal_type(self.codec, n) == kind).expect("a parameter set in the stream");
            (STANDARD.encode(nal), nal.clone())
        };
        match self.codec {
            Codec::H264 => {
                let ((sps, raw), (pps, _)) = (set(7), set(8));
                let level = format!("{:02X}{:02X}{:02X}", raw[1], raw[2], raw[3]);
                format!(
                    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                     a=fmtp:96 packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sps},{pps}\r\n"
                )
            }
            Codec::H265 => {
                let [vps, sps, pps] = [32, 33, 34].map(|kind| set(kind).0);
                format!(
                    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n\
                     a=fmtp:96 sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}\r\n"
                )
            }
            Codec::Jpeg => "m=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\n".into(),
        }
    }

    /// RTP's payload type.
    pub fn payload_type(&self) -> u8 {
        if self.codec == Codec::Jpeg { 26 } else { 96 }
    }
}

fn nal_type(codec: Codec, nal: &[u8]) -> u8 {
    match codec {
        Codec::H264 => nal[0] & 31,
        _ => (nal[0] >> 1) & 63,
    }
}

/// What lies between start codes, zeroes before the next one taken off.
fn nals(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> = bytes.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(i, _)| i).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let cut = starts.iter().zip(ends).map(|(start, end)| {
        let nal = &bytes[start + 3..end];
        nal[..nal.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)].to_vec()
    });
    cut.filter(|n| n.len() > 2).collect()
}

fn access_units(codec: Codec, bytes: &[u8]) -> Vec<Unit> {
    let mut units = vec![Unit::default()];
    let mut has_picture = false;
    for nal in nals(bytes) {
        let kind = nal_type(codec, &nal);
        let (is_picture, is_key, starts_picture) = match codec {
            Codec::H264 => (matches!(kind, 1..=5), kind == 5, nal[1] & 0x80 != 0),
            _ => (kind < 32, matches!(kind, 16..=21), nal[2] & 0x80 != 0),
        };
        // A new access unit begins with the first thing after a picture that is no further slice of it.
        if has_picture && (!is_picture || starts_picture) {
            units.push(Unit::default());
            has_picture = false;
        }
        has_picture |= is_picture;
        let unit = units.last_mut().unwrap();
        unit.key |= is_key;
        unit.nals.push(nal);
    }
    units
}

fn jpegs(bytes: &[u8]) -> Vec<Unit> {
    let starts: Vec<usize> = bytes.windows(3).enumerate().filter(|(_, w)| *w == [0xff, 0xd8, 0xff]).map(|(i, _)| i).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| Unit { nals: vec![bytes[*start..end].to_vec()], key: true }).collect()
}
