//! Pictures in RTP packets: single NAL units and fragments for H.264 and H.265, RFC 2435 for JPEG.

use super::stream::{Codec, Unit};

/// Payload bytes a packet, so that it fits an Ethernet frame.
const ROOM: usize = 1400;

/// Numbers packets, one for each session.
#[derive(Debug)]
pub(super) struct Packer {
    codec: Codec,
    payload_type: u8,
    sequence: u16,
    source: u32,
}

impl Packer {
    pub(super) fn new(codec: Codec, payload_type: u8, source: u32) -> Self {
        Self { codec, payload_type, sequence: 40_000, source }
    }

    /// The packets of one picture, the last one marked.
    pub(super) fn pack(&mut self, unit: &Unit, timestamp: u32) -> Vec<Vec<u8>> {
        let payloads: Vec<Vec<u8>> = match self.codec {
            Codec::H264 => unit.nals.iter().flat_map(|n| h264(n)).collect(),
            Codec::H265 => unit.nals.iter().flat_map(|n| h265(n)).collect(),
            Codec::Jpeg => jpeg(&unit.nals[0]),
        };
        let last = payloads.len() - 1;
        let packets = payloads.into_iter().enumerate().map(|(i, payload)| {
            let marked = if i == last { 0x80 } else { 0 };
            let mut packet = vec![0x80, self.payload_type | marked];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend(self.source.to_be_bytes());
            packet.extend(payload);
            self.sequence = self.sequence.wrapping_add(1);
            packet
        });
        packets.collect()
    }

    /// An RTCP sender report: which wall-clock time (NTP, 32.32) belongs to which time stamp.
    pub(super) fn report(&self, ntp: u64, timestamp: u32, packets: u32, bytes: u32) -> Vec<u8> {
        let mut report = vec![0x80, 200, 0, 6];
        report.extend(self.source.to_be_bytes());
        report.extend(ntp.to_be_bytes());
        for word in [timestamp, packets, bytes] {
            report.extend(word.to_be_bytes());
        }
        report
    }
}

/// First and last fragment carry a flag each.
fn ends(i: usize, count: usize) -> u8 {
    (if i == 0 { 0x80 } else { 0 }) | (if i + 1 == count { 0x40 } else { 0 })
}

fn h264(nal: &[u8]) -> Vec<Vec<u8>> {
    if nal.len() <= ROOM {
        return vec![nal.to_vec()];
    }
    let parts: Vec<&[u8]> = nal[1..].chunks(ROOM - 2).collect();
    let head = |i| [nal[0] & 0xe0 | 28, ends(i, parts.len()) | nal[0] & 31];
    parts.iter().enumerate().map(|(i, part)| [&head(i), *part].concat()).collect()
}

fn h265(nal: &[u8]) -> Vec<Vec<u8>> {
    if nal.len() <= ROOM {
        return vec![nal.to_vec()];
    }
    let parts: Vec<&[u8]> = nal[2..].chunks(ROOM - 3).collect();
    let head = |i| [nal[0] & 0x81 | 49 << 1, nal[1], ends(i, parts.len()) | (nal[0] >> 1) & 63];
    parts.iter().enumerate().map(|(i, part)| [&head(i), *part].concat()).collect()
}

/// Quantisation tables travel in the first packet; the Huffman tables have to be the standard ones.
fn jpeg(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut tables, mut kind, mut size, mut at) = (Vec::new(), 1, (0, 0), 2);
    let scan = loop {
        let (marker, length) = (file[at + 1], usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]])));
        let body = &file[at + 4..at + 2 + length];
        match marker {
            0xdb => body.chunks(65).for_each(|table| tables.extend(&table[1..])),
            0xc0 => {
                size = (u16::from_be_bytes([body[3], body[4]]) / 8, u16::from_be_bytes([body[1], body[2]]) / 8);
                kind = if body[7] == 0x22 { 1 } else { 0 };
            }
            _ => {}
        }
        at += 2 + length;
        if marker == 0xda {
            break &file[at..];
        }
    };
    if tables.len() == 64 {
        tables.extend_from_within(..);
    }
    let end = scan.windows(2).rposition(|w| w == [0xff, 0xd9]).unwrap_or(scan.len());
    let side = |blocks: u16| u8::try_from(blocks).expect("a small picture");
    let mut offset = 0;
    let parts = scan[..end].chunks(ROOM - 140).map(|part| {
        let at = u32::try_from(offset).unwrap().to_be_bytes();
        let mut payload = vec![0, at[1], at[2], at[3], kind, 255, side(size.0), side(size.1)];
        if offset == 0 {
            payload.extend([0, 0, 0, 128]);
            payload.extend(&tables);
        }
        payload.extend(part);
        offset += part.len();
        payload
    });
    parts.collect()
}
