//! A camera that can be told to misbehave: a real RTSP 1.0 server on threads of its own that plays a recorded stream in real time.
//!
//! It speaks OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER and TEARDOWN, RTP in the RTSP connection or by UDP, H.264 (RFC 6184),
//! H.265 (RFC 7798) and JPEG (RFC 2435), and HTTP motion JPEG on the same port. What it does wrong, and when, is in [`Conduct`] and can be
//! changed while clients are connected. `stream` cuts recordings into pictures, `rtp` packs them, `auth` knows who may look,
//! `session` talks to one client.

#![allow(unreachable_pub)] // one crate, no outside

pub mod auth;
mod rtp;
mod session;
pub mod stream;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use auth::Auth;
use stream::Recording;

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// As the protocol wants it.
    Right,
    /// Requests are read, and that is all.
    None,
    /// Bytes that are no RTSP.
    Garbage,
    /// This status for every DESCRIBE and SETUP.
    Status(u16, &'static str),
}

/// What becomes of the pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Media {
    /// In real time.
    Flow,
    /// The connection stays, nothing comes.
    Stall,
    /// The same access unit over and over.
    Frozen,
    /// So many frames a second.
    Flood(u32),
    /// Packets in time, with random bytes where pictures should be.
    Garbage,
}

/// What the camera sees.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The recording.
    pub recording: Arc<Recording>,
    /// Pictures that those who are connected at the change get first, once; starts at a key picture.
    pub once: Range<usize>,
    /// Pictures that come after that, over and over; starts at a key picture.
    pub repeat: Range<usize>,
}

impl Scene {
    /// All of a recording, over and over.
    pub fn all(recording: &Arc<Recording>) -> Self {
        Self { recording: Arc::clone(recording), once: 0..0, repeat: 0..recording.units.len() }
    }

    /// Only these pictures, over and over.
    pub fn part(recording: &Arc<Recording>, repeat: Range<usize>) -> Self {
        assert!(recording.units[repeat.start].key);
        Self { recording: Arc::clone(recording), once: 0..0, repeat }
    }

    /// These pictures once, for those who are connected now, before the others.
    pub fn after(mut self, once: Range<usize>) -> Self {
        assert!(self.recording.units[once.start].key);
        self.once = once;
        self
    }
}

/// How the camera behaves just now.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// How requests are answered.
    pub answers: Answers,
    /// What becomes of the pictures.
    pub media: Media,
    /// Share of RTP packets that get lost, 0 to 1.
    pub drop_share: f64,
    /// Share of RTP packets with some bits the wrong way round, 0 to 1.
    pub flip_share: f64,
    /// Whether anyone listens on the port; if not, connections are refused.
    pub listens: bool,
    /// What it sees.
    pub scene: Scene,
    /// Counts changes of the scene.
    pub scene_no: u64,
}

/// What it has seen of its clients.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections taken.
    pub connections: AtomicU64,
    /// Connections that are open now.
    pub open: AtomicU64,
    /// Sessions that came as far as PLAY (or a picture by HTTP).
    pub sessions: AtomicU64,
    /// Answers 401.
    pub refused: AtomicU64,
    /// Pictures sent, all clients together.
    pub pictures: AtomicU64,
    /// RTP packets sent, all clients together.
    pub packets: AtomicU64,
    /// RTP packets kept back by `drop_share`.
    pub dropped: AtomicU64,
    /// Requests with `user@` in their address.
    pub credentials_in_url: AtomicU64,
    /// Requests with a password that anyone on the way could read (Basic), though Digest was asked for.
    pub credentials_in_clear: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Shared {
    conduct: Mutex<Conduct>,
    counters: Counters,
    auth: Auth,
    stop: AtomicBool,
    /// Whether connections are really taken; follows `Conduct::listens` within moments.
    listening: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    port: u16,
}

impl Shared {
    fn conduct(&self) -> Conduct {
        self.conduct.lock().unwrap().clone()
    }

    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, SeqCst);
    }
}

/// The camera; gone when dropped.
#[derive(Debug)]
pub struct FaultCamera {
    /// Its port on the loopback; the same when it comes back.
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl FaultCamera {
    /// A camera that sees this and lets these look.
    pub fn start(scene: Scene, auth: Auth) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let conduct = Conduct {
            answers: Answers::Right,
            media: Media::Flow,
            drop_share: 0.0,
            flip_share: 0.0,
            listens: true,
            scene,
            scene_no: 0,
        };
        let shared = Arc::new(Shared {
            conduct: Mutex::new(conduct),
            counters: Counters::default(),
            auth,
            stop: AtomicBool::new(false),
            listening: AtomicBool::new(true),
            connections: Mutex::default(),
            port,
        });
        let shared2 = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(listener, &shared2));
        Self { port, shared, thread: Some(thread) }
    }

    /// Where its pictures are.
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream/1", self.port)
    }

    /// Behaves differently from now on.
    pub fn set(&self, change: impl FnOnce(&mut Conduct)) {
        change(&mut self.shared.conduct.lock().unwrap());
    }

    /// Behaves well again, and listens.
    pub fn behave(&self) {
        self.set(|c| {
            (c.answers, c.media, c.listens) = (Answers::Right, Media::Flow, true);
            (c.drop_share, c.flip_share) = (0.0, 0.0);
        });
    }

    /// Sees something else from now on, in running sessions too.
    pub fn show(&self, scene: Scene) {
        self.set(|c| {
            c.scene = scene;
            c.scene_no += 1;
        });
    }

    /// Ends all connections without a word.
    pub fn hang_up(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            // Gone already when the client was faster.
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// As when the plug is pulled: nobody listens, and whoever was connected is not any more.
    pub fn power_off(&self) {
        self.set(|c| c.listens = false);
        // The one who listens has to hear of it first.
        while self.shared.listening.load(SeqCst) {
            std::thread::sleep(NAP);
        }
        self.hang_up();
    }

    /// What it has seen.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Sessions that came as far as PLAY.
    pub fn sessions(&self) -> u64 {
        self.shared.counters.sessions.load(SeqCst)
    }

    /// Pictures sent.
    pub fn pictures(&self) -> u64 {
        self.shared.counters.pictures.load(SeqCst)
    }
}

impl Drop for FaultCamera {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.hang_up();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

const NAP: Duration = Duration::from_millis(5);

/// Takes connections as long as it shall; sessions end by themselves when their connection does.
fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    let mut listener = Some(listener);
    while !shared.stop.load(SeqCst) {
        match (&listener, shared.conduct.lock().unwrap().listens) {
            (Some(_), false) => listener = None,
            (None, true) => {
                // The port may be in use for a moment by another test's outgoing connection.
                listener = TcpListener::bind(("127.0.0.1", shared.port)).ok();
                if let Some(listener) = &listener {
                    listener.set_nonblocking(true).unwrap();
                }
            }
            _ => {}
        }
        shared.listening.store(listener.is_some(), SeqCst);
        let Some(Ok((connection, _))) = listener.as_ref().map(TcpListener::accept) else {
            std::thread::sleep(NAP);
            continue;
        };
        Shared::add(&shared.counters.connections);
        Shared::add(&shared.counters.open);
        let mut connections = shared.connections.lock().unwrap();
        connections.retain(|c| c.peer_addr().is_ok());
        connections.push(connection.try_clone().unwrap());
        drop(connections);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // Every way in which a client can go is a good one.
            drop(session::serve(&connection, &shared));
            drop(connection.shutdown(Shutdown::Both));
            shared.counters.open.fetch_sub(1, SeqCst);
        });
    }
}
