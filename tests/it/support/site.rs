//! A box with live cameras: the daemon, its broker, and someone who listens to all that it says.

#![allow(unreachable_pub)] // one crate, no outside

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use kerbside::outbox::Qos;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::mosquitto::Mosquitto;
use super::program;
use super::publisher::{Listener, wait_for};

/// The box; the daemon is killed when the test ends before it does.
#[derive(Debug)]
pub struct Site {
    daemon: Child,
    listener: Listener,
    _broker: Mosquitto,
    /// Where configuration, state and logs are.
    pub dir: tempfile::TempDir,
}

/// A camera's table.
pub fn camera(id: &str, url: &str, more: &str) -> String {
    let kind = if url.starts_with("http") { "http" } else { "rtsp" };
    format!("[[camera]]\nid = '{id}'\nkind = '{kind}'\nurl = '{url}'\n{more}\n")
}

/// Writes a credentials file as it has to be.
pub fn credentials(dir: &Path, name: &str, line: &str) -> String {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = dir.join(name);
    // The mode holds for a new file only.
    drop(std::fs::remove_file(&path));
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).unwrap();
    writeln!(file, "{line}").unwrap();
    path.to_str().unwrap().to_owned()
}

impl Site {
    /// Starts all of it. `more` is configuration that comes before the cameras.
    pub fn start(more: &str, cameras: &[String]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more, cameras)
    }

    /// The same, in a folder that has the credentials already.
    pub fn start_in(dir: tempfile::TempDir, more: &str, cameras: &[String]) -> Self {
        let broker = Mosquitto::start("");
        let config = program::configuration(dir.path(), broker.port, &format!("{more}\n[health]\nperiod_s = 1\n"));
        let text = std::fs::read_to_string(&config).unwrap();
        let (head, _) = text.split_once("[[camera]]").unwrap();
        std::fs::write(&config, format!("{head}{}", cameras.concat())).unwrap();
        let listener = Listener::start(broker.port, "tap", Qos::AtMostOnce);
        let file = |name: &str| std::fs::File::create(dir.path().join(name)).unwrap();
        let daemon = program::kerbside(dir.path())
            .args(["run", "--config", config.to_str().unwrap()])
            .stdout(file("daemon.out"))
            .stderr(file("daemon.log"))
            .spawn()
            .unwrap();
        let site = Self { daemon, listener, _broker: broker, dir };
        wait_for("the daemon's first health message", || {
            assert!(std::fs::metadata(format!("/proc/{}/exe", site.daemon.id())).is_ok(), "it ended: {}", site.spoken());
            site.health().is_some()
        });
        site
    }

    /// The daemon's process number.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// Payloads of this schema, oldest first.
    pub fn messages(&self, schema: &str) -> Vec<Value> {
        let seen = self.listener.seen().into_iter();
        let of_schema = seen.filter(|m| m.schema.as_deref().is_some_and(|s| s.starts_with(&format!("kerbside.{schema}/"))));
        of_schema.map(|m| serde_json::from_slice(&m.payload).unwrap()).collect()
    }

    /// All payloads, whatever they are.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        self.listener.seen().into_iter().map(|m| m.payload).collect()
    }

    /// The newest health message.
    pub fn health(&self) -> Option<Value> {
        self.messages("health").pop()
    }

    /// A camera's states, oldest first.
    pub fn states(&self, camera: &str) -> Vec<Value> {
        self.messages("camera_state").into_iter().filter(|s| s["camera"] == camera).collect()
    }

    /// Whether a camera's newest state is this one.
    pub fn is(&self, camera: &str, state: &str) -> bool {
        self.states(camera).last().is_some_and(|s| s["state"] == state)
    }

    /// Waits until a camera's newest state fulfils a condition; gives it back, and how long it took.
    pub fn wait_until(&self, camera: &str, what: &str, condition: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let (start, deadline) = (Instant::now(), Duration::from_secs(50));
        loop {
            if let Some(state) = self.states(camera).into_iter().next_back().filter(&condition) {
                return (state, start.elapsed());
            }
            assert!(
                start.elapsed() < deadline,
                "camera {camera} is not {what}; its states: {:#?}\n{:?}\n{}",
                self.states(camera),
                self.health().map(|h| h["cameras"].to_string()),
                self.spoken()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a state, with these words in its detail.
    pub fn wait_state(&self, camera: &str, state: &str, words: &str) -> Duration {
        let what = format!("{state}: {words}");
        self.wait_until(camera, &what, |s| s["state"] == state && s["detail"].as_str().unwrap_or("").contains(words)).1
    }

    /// The same for several cameras.
    pub fn wait_states(&self, cameras: &[&str], state: &str, words: &str) {
        for camera in cameras {
            self.wait_state(camera, state, words);
        }
    }

    /// A figure of a camera's line in the newest health message.
    pub fn figure(&self, camera: &str, key: &str) -> u64 {
        self.health().and_then(|h| h["cameras"][camera][key].as_u64()).unwrap_or(0)
    }

    /// Waits until so many further frames of each of these cameras are counted.
    pub fn wait_frames(&self, cameras: &[&str], more: u64) {
        let before: Vec<u64> = cameras.iter().map(|camera| self.figure(camera, "frames")).collect();
        let deadline = Instant::now() + Duration::from_secs(50);
        for (camera, before) in cameras.iter().zip(before) {
            while self.figure(camera, "frames") < before + more {
                assert!(Instant::now() < deadline, "no frames of {camera}: {:#?}\n{}", self.states(camera), self.spoken());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Marks of the records of one camera, passages that were told twice taken out.
    pub fn marks(&self, camera: &str) -> Vec<String> {
        let mut passages = std::collections::BTreeSet::new();
        let records = self.messages("read").into_iter().filter(|r| r["camera"] == camera);
        let new = records.filter(|r| passages.insert(r["passage"].to_string()));
        new.map(|r| r["vrm"].as_str().unwrap_or("(unread)").to_owned()).collect()
    }

    /// What the daemon has written on standard output and standard error.
    pub fn spoken(&self) -> String {
        ["daemon.out", "daemon.log"]
            .map(|f| String::from_utf8_lossy(&std::fs::read(self.dir.path().join(f)).unwrap()).into_owned())
            .concat()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    /// A clean stop; gives the time from SIGTERM to the end.
    pub fn stop(&mut self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let mut ended = None;
        wait_for("a clean stop", || {
            ended = self.daemon.try_wait().unwrap();
            ended.is_some()
        });
        let took = start.elapsed();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", self.spoken());
        took
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Gone already after a clean stop.
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}
