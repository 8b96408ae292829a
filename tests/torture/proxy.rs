//! A proxy that understands MQTT: it can take messages and forget them, refuse them, slow them down, fall silent, cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What becomes of a PUBLISH with QoS 1 from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on to the broker.
    #[default]
    Forward,
    /// It is acknowledged, and gone.
    Forget,
    /// It is answered with this reason code, and gone.
    Refuse(u8),
}

#[derive(Debug, Default)]
struct State {
    fate: Mutex<Fate>,
    silent: AtomicBool,
    stop: AtomicBool,
    up_delay_us: AtomicU64,
    down_delay_us: AtomicU64,
    /// Messages that did not go on.
    taken: AtomicU64,
    /// PUBACKs of the broker that went through.
    acknowledged: AtomicU64,
    /// By connection: from the broker's CONNACK to the first alert.
    first_alerts: Mutex<Vec<Duration>>,
    open: Mutex<Vec<TcpStream>>,
}

/// A proxy in front of a loopback port.
#[derive(Debug)]
pub(crate) struct MqttProxy {
    /// Where clients connect.
    pub(crate) port: u16,
    state: Arc<State>,
}

impl MqttProxy {
    /// Forwards to `target`.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stop.load(SeqCst) {
                    return;
                }
                let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let mut open = shared.open.lock().unwrap();
                open.retain(|s| s.peer_addr().is_ok());
                for stream in [&client, &broker] {
                    stream.set_nodelay(true).unwrap();
                    open.push(stream.try_clone().unwrap());
                }
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                let (client2, broker2) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
                // The client's answers are written from two threads.
                let to_client = Arc::new(Mutex::new(client2.try_clone().unwrap()));
                let answers = Arc::clone(&to_client);
                let accepted = Arc::<Mutex<Option<Instant>>>::default();
                let since = Arc::clone(&accepted);
                std::thread::spawn(move || {
                    drop(pump_up(&client, &broker, &answers, &up, &since));
                    drop(client.shutdown(Shutdown::Both));
                    drop(broker.shutdown(Shutdown::Both));
                });
                std::thread::spawn(move || {
                    drop(pump_down(&broker2, &to_client, &down, &accepted));
                    drop(client2.shutdown(Shutdown::Both));
                    drop(broker2.shutdown(Shutdown::Both));
                });
            }
        });
        Self { port, state }
    }

    /// What becomes of messages from now on.
    pub(crate) fn set(&self, fate: Fate) {
        *self.state.fate.lock().unwrap() = fate;
    }

    /// While on, nothing goes through in either direction and nobody is told: a half-open connection.
    pub(crate) fn silent(&self, on: bool) {
        self.state.silent.store(on, SeqCst);
    }

    /// Each packet waits so long, by direction: client to broker, broker to client.
    pub(crate) fn delay(&self, up: Duration, down: Duration) {
        self.state.up_delay_us.store(u64::try_from(up.as_micros()).unwrap(), SeqCst);
        self.state.down_delay_us.store(u64::try_from(down.as_micros()).unwrap(), SeqCst);
    }

    /// Messages that it took and did not hand on.
    pub(crate) fn taken(&self) -> u64 {
        self.state.taken.load(SeqCst)
    }

    /// The broker's acknowledgements that went through.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.state.acknowledged.load(SeqCst)
    }

    /// For each connection that saw one: how long after the broker's CONNACK the first alert came.
    pub(crate) fn first_alerts(&self) -> Vec<Duration> {
        self.state.first_alerts.lock().unwrap().clone()
    }

    /// Ends every open connection.
    pub(crate) fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for MqttProxy {
    fn drop(&mut self) {
        self.state.stop.store(true, SeqCst);
        self.cut();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// One whole packet: its first byte, and all of it as it stood.
fn packet(mut from: &TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut bytes = vec![0];
    from.read_exact(&mut bytes)?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let head = bytes.len();
    bytes.resize(head + length, 0);
    from.read_exact(&mut bytes[head..])?;
    Ok((bytes[0], bytes))
}

/// The topic of a PUBLISH.
fn topic(bytes: &[u8]) -> Option<&[u8]> {
    let body = bytes.iter().skip(1).position(|b| b & 0x80 == 0)? + 2;
    let length = usize::from(u16::from_be_bytes([*bytes.get(body)?, *bytes.get(body + 1)?]));
    bytes.get(body + 2..body + 2 + length)
}

/// The packet id of a PUBLISH with QoS 1.
fn packet_id(bytes: &[u8]) -> Option<[u8; 2]> {
    let body = bytes.iter().skip(1).position(|b| b & 0x80 == 0)? + 2;
    let at = body + 2 + topic(bytes)?.len();
    Some([*bytes.get(at)?, *bytes.get(at + 1)?])
}

fn hold(state: &State, delay: &AtomicU64) -> io::Result<()> {
    let wait = Duration::from_micros(delay.load(SeqCst));
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
    while state.silent.load(SeqCst) {
        if state.stop.load(SeqCst) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn pump_up(
    client: &TcpStream,
    mut broker: &TcpStream,
    answers: &Mutex<TcpStream>,
    state: &State,
    accepted: &Mutex<Option<Instant>>,
) -> io::Result<()> {
    loop {
        let (first, bytes) = packet(client)?;
        hold(state, &state.up_delay_us)?;
        let fate = *state.fate.lock().unwrap();
        let is_publish = first >> 4 == 3 && (first >> 1) & 3 == 1;
        if is_publish
            && topic(&bytes).is_some_and(|topic| topic.ends_with(b"/alert"))
            && let Some(since) = accepted.lock().unwrap().take()
        {
            state.first_alerts.lock().unwrap().push(since.elapsed());
        }
        let reason = match fate {
            Fate::Forget => 0,
            Fate::Refuse(reason) => reason,
            Fate::Forward => u8::MAX,
        };
        match packet_id(&bytes) {
            Some(id) if is_publish && fate != Fate::Forward => {
                state.taken.fetch_add(1, SeqCst);
                answers.lock().unwrap().write_all(&[0x40, 4, id[0], id[1], reason, 0])?;
            }
            _ => broker.write_all(&bytes)?,
        }
    }
}

fn pump_down(broker: &TcpStream, client: &Mutex<TcpStream>, state: &State, accepted: &Mutex<Option<Instant>>) -> io::Result<()> {
    loop {
        let (first, bytes) = packet(broker)?;
        hold(state, &state.down_delay_us)?;
        match first >> 4 {
            2 => *accepted.lock().unwrap() = Some(Instant::now()),
            4 => drop(state.acknowledged.fetch_add(1, SeqCst)),
            _ => {}
        }
        client.lock().unwrap().write_all(&bytes)?;
    }
}
