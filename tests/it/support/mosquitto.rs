//! A real broker as a child process: one port of its own, nothing kept on disk, killed when dropped.

#![allow(unreachable_pub)] // one crate, no outside

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running (or killed) mosquitto.
#[derive(Debug)]
pub struct Mosquitto {
    /// Its port on the loopback; the same after a restart.
    pub port: u16,
    config: PathBuf,
    child: Option<Child>,
    environment: Vec<(&'static str, PathBuf)>,
    _dir: tempfile::TempDir,
}

/// A loopback port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Mosquitto {
    /// Starts one, with further configuration lines.
    pub fn start(extra: &str) -> Self {
        Self::start_in(extra, Vec::new())
    }

    /// Starts one with further configuration lines and environment variables.
    pub fn start_in(extra: &str, environment: Vec<(&'static str, PathBuf)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = free_port();
            let config = dir.path().join("mosquitto.conf");
            let mut file = std::fs::File::create(&config).unwrap();
            // No limit on what is in flight to a subscriber: what the broker has acknowledged is in that socket already.
            writeln!(file, "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root").unwrap();
            writeln!(file, "max_inflight_messages 0\nmax_queued_messages 0\nlog_type none\n{extra}").unwrap();
            if let Some(child) = spawn(&config, port, &environment) {
                return Self { port, config, child: Some(child), environment, _dir: dir };
            }
        }
        panic!("mosquitto does not start; is it installed? (apt-get install mosquitto)");
    }

    /// SIGKILL: no goodbye to anyone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.is_none() {
            assert!(Instant::now() < deadline, "mosquitto does not come back on port {}", self.port);
            self.child = spawn(&self.config, self.port, &self.environment);
        }
    }
}

fn spawn(config: &PathBuf, port: u16, environment: &[(&'static str, PathBuf)]) -> Option<Child> {
    let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|p| PathBuf::from(p).exists())
        .unwrap_or("mosquitto");
    let mut child = Command::new(program)
        .arg("-c")
        .arg(config)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
