//! Just enough of an MQTT 5 broker to say what a real one won't say on demand: refuse a message, forget it, hang up on it.

#![allow(unreachable_pub)] // one crate, no outside

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What to answer to a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// PUBACK with this reason code.
    Ack(u8),
    /// Nothing.
    Silence,
    /// Close the connection.
    HangUp,
}

/// A PUBLISH as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which connection, from 1.
    pub connection: u64,
    /// Its topic.
    pub topic: String,
    /// The `seq` user property.
    pub seq: Option<u64>,
}

/// What it has heard so far, in order.
pub type Log = Arc<Mutex<Vec<Heard>>>;

/// Starts one; it lives until the test process ends. Returns its port and its log.
pub fn start(connack_properties: &[u8], mut answer: impl FnMut(&Heard) -> Answer + Send + 'static) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let log: Log = Arc::default();
    let (shared, properties) = (Arc::clone(&log), connack_properties.to_vec());
    std::thread::spawn(move || {
        for (connection, stream) in (1..).zip(listener.incoming().flatten()) {
            // An error here is the client going away, which is its right.
            drop(serve(stream, connection, &properties, &shared, &mut answer));
        }
    });
    (port, log)
}

/// Starts one that speaks MQTT 3.1.1 only: `refusal` is what it says to a client that speaks another, before it hangs up.
pub fn start_older(refusal: &'static [u8]) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let log: Log = Arc::default();
    let shared = Arc::clone(&log);
    std::thread::spawn(move || {
        for (connection, stream) in (1..).zip(listener.incoming().flatten()) {
            drop(serve_older(stream, connection, refusal, &shared));
        }
    });
    (port, log)
}

fn serve_older(mut stream: TcpStream, connection: u64, refusal: &[u8], log: &Log) -> io::Result<()> {
    loop {
        let (kind, body) = packet(&mut stream)?;
        match kind >> 4 {
            // The protocol level stands behind the name.
            1 if body[6] != 4 => return stream.write_all(refusal),
            1 => stream.write_all(&[0x20, 2, 0, 0])?,
            3 => {
                let mut rest = &body[..];
                let topic = text(&mut rest);
                let id = if (kind >> 1) & 3 == 1 { take(&mut rest, 2).to_vec() } else { Vec::new() };
                let line = rest.split(|b| *b == b'\n').next().unwrap();
                let frame: serde_json::Value = serde_json::from_slice(line).unwrap();
                assert_eq!(frame["kerbside"], "frame/1");
                log.lock().unwrap().push(Heard { connection, topic, seq: frame["seq"].as_u64() });
                if let [high, low] = id[..] {
                    stream.write_all(&[0x40, 2, high, low])?;
                }
            }
            12 => stream.write_all(&[0xd0, 0])?,
            14 => return Ok(()),
            other => panic!("unexpected packet type {other}"),
        }
    }
}

fn serve(
    mut stream: TcpStream,
    connection: u64,
    properties: &[u8],
    log: &Log,
    answer: &mut impl FnMut(&Heard) -> Answer,
) -> io::Result<()> {
    loop {
        let (kind, body) = packet(&mut stream)?;
        match kind >> 4 {
            1 => {
                let length = u8::try_from(properties.len()).unwrap();
                stream.write_all(&[0x20, 3 + length, 0, 0, length])?;
                stream.write_all(properties)?;
            }
            3 => {
                let qos = (kind >> 1) & 3;
                let (heard, id) = publish(&body, qos, connection);
                let said = answer(&heard);
                log.lock().unwrap().push(heard);
                match said {
                    Answer::Ack(reason) if qos == 1 => stream.write_all(&[0x40, 4, id[0], id[1], reason, 0])?,
                    Answer::Ack(_) | Answer::Silence => {}
                    Answer::HangUp => return Ok(()),
                }
            }
            12 => stream.write_all(&[0xd0, 0])?,
            14 => return Ok(()),
            other => panic!("unexpected packet type {other}"),
        }
    }
}

fn packet(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut length, mut shift) = (0usize, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

fn publish(body: &[u8], qos: u8, connection: u64) -> (Heard, [u8; 2]) {
    let mut rest = body;
    let topic = text(&mut rest);
    let mut id = [0; 2];
    if qos > 0 {
        id.copy_from_slice(take(&mut rest, 2));
    }
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = take(&mut rest, 1)[0];
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut properties = take(&mut rest, length);
    let mut seq = None;
    while !properties.is_empty() {
        match take(&mut properties, 1)[0] {
            0x01 => drop(take(&mut properties, 1)),
            0x02 => drop(take(&mut properties, 4)),
            0x03 => drop(text(&mut properties)),
            0x26 => {
                let (key, value) = (text(&mut properties), text(&mut properties));
                if key == "seq" {
                    seq = value.parse().ok();
                }
            }
            other => panic!("unexpected property {other:#x}"),
        }
    }
    (Heard { connection, topic, seq }, id)
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at(n);
    *rest = tail;
    head
}

fn text(rest: &mut &[u8]) -> String {
    let length = take(rest, 2);
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    String::from_utf8(take(rest, length).to_vec()).unwrap()
}
