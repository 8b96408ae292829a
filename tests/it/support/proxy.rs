//! A TCP proxy that can go deaf in one direction, and cut: what bad radio does to a connection.

#![allow(unreachable_pub)] // one crate, no outside

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    target: AtomicU16,
    black_hole: AtomicBool,
    refuse: AtomicBool,
    stop: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A proxy in front of a loopback port.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Forwards to `target`.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { target: target.into(), ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stop.load(SeqCst) {
                    return;
                }
                let target = shared.target.load(SeqCst);
                if shared.refuse.load(SeqCst) {
                    continue;
                }
                let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let mut open = shared.open.lock().unwrap();
                for stream in [&client, &broker] {
                    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                    open.push(stream.try_clone().unwrap());
                }
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                let (client2, broker2) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
                std::thread::spawn(move || pump(client, broker, &up, false));
                std::thread::spawn(move || pump(broker2, client2, &down, true));
            }
        });
        Self { port, state }
    }

    /// While on, what the broker says is read and thrown away: acknowledgements never arrive.
    pub fn black_hole(&self, on: bool) {
        self.state.black_hole.store(on, SeqCst);
    }

    /// While on, connections are accepted and closed at once.
    pub fn refuse(&self, on: bool) {
        self.state.refuse.store(on, SeqCst);
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, SeqCst);
        self.cut();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &State, down: bool) {
    let mut buffer = [0; 16 * 1024];
    while !state.stop.load(SeqCst) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if down && state.black_hole.load(SeqCst) => {}
            Ok(n) => {
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
