//! A box, a broker, a back office, and the count at the end.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kerbside::keys::SigningKey;
use kerbside::outbox::Outlet;
use serde_json::Value;

use crate::proxy::MqttProxy;
use crate::road;
use crate::row::{Row, full};
use crate::support::mosquitto::Mosquitto;
use crate::support::program;
use crate::support::receiver::Receiver;

/// Longest that a box may take to deliver what it has.
fn patience() -> Duration {
    Duration::from_secs(if full() { 600 } else { 150 })
}

/// Numbers that look random and can be had again.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by the clock, or by `KERBSIDE_TORTURE_SEED`; the seed is printed.
    pub(crate) fn new(scenario: &str) -> Self {
        let seed = std::env::var("KERBSIDE_TORTURE_SEED").ok().and_then(|s| s.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = seed.unwrap_or_else(|| u64::from(now.subsec_nanos()) ^ now.as_secs());
        println!("{scenario}: KERBSIDE_TORTURE_SEED={seed}");
        Self(seed | 1)
    }

    /// 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// A time between the two.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + Duration::from_micros(self.below(u64::try_from((most - least).as_micros()).unwrap().max(1)))
    }
}

/// What a box looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Vehicles, as fast as it can read them.
    Road,
    /// Listed vehicles, ten pictures a second.
    Traffic,
    /// An empty road, a picture every two seconds.
    Quiet,
}

/// Whose word makes the box delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirm {
    /// The broker's PUBACK.
    Broker,
    /// The back office's watermark.
    BackOffice,
}

/// All of it.
pub(crate) struct Bench {
    /// Everything lies in here.
    pub(crate) dir: tempfile::TempDir,
    /// The broker.
    pub(crate) broker: Mosquitto,
    /// The back office.
    pub(crate) receiver: Receiver,
    /// The box; none while it is off.
    pub(crate) daemon: Option<Child>,
    /// Where the box looks for the broker: a proxy's port, or the broker's.
    pub(crate) port: u16,
    /// And at which address.
    pub(crate) host: String,
    /// Further tables of the configuration.
    pub(crate) extra: String,
    /// Further keys of `[mqtt]`.
    pub(crate) mqtt: String,
    /// The environment of the daemon.
    pub(crate) environment: Vec<(String, String)>,
    /// What the daemon is started by, such as `ip netns exec NAME`.
    pub(crate) prefix: Vec<String>,
    /// Where the outbox lies.
    pub(crate) state: PathBuf,
    confirm: Confirm,
    view: Option<View>,
}

impl Bench {
    /// A broker that forgets everything when it dies, and a receiver.
    pub(crate) fn new(confirm: Confirm) -> Self {
        Self::with_broker(confirm, "")
    }

    pub(crate) fn with_broker(confirm: Confirm, broker: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::start(broker);
        let office = dir.path().join("office");
        std::fs::create_dir(&office).unwrap();
        let receiver = Receiver::start(broker.port, &office, &[]);
        let (port, state) = (broker.port, dir.path().join("state"));
        Self {
            dir,
            broker,
            receiver,
            daemon: None,
            port,
            host: "127.0.0.1".into(),
            extra: String::new(),
            mqtt: "transport = 'plain'\n".into(),
            environment: Vec::new(),
            prefix: Vec::new(),
            state,
            confirm,
            view: None,
        }
    }

    /// Puts a proxy between the box and the broker.
    pub(crate) fn with_proxy(&mut self) -> MqttProxy {
        let proxy = MqttProxy::start(self.broker.port);
        self.port = proxy.port;
        proxy
    }

    /// The configuration of a box.
    pub(crate) fn configure(&self, view: View) -> PathBuf {
        let road = road::stills();
        let (path, rest) = match view {
            View::Road => (road.join("road"), "interval_ms = 99\npace = 'lossless'\nat_end = 'repeat'".to_owned()),
            View::Traffic => (road.join("traffic"), "interval_ms = 99\npace = 'real_time'\nat_end = 'repeat'".to_owned()),
            View::Quiet => (road.join("blank.bmp"), "interval_ms = 2000\npace = 'real_time'\nat_end = 'repeat'".to_owned()),
        };
        let confirm = match self.confirm {
            Confirm::Broker => "",
            Confirm::BackOffice => "[delivery]\nconfirm = 'backoffice'\nconfirm_wait_s = 10\n",
        };
        let text = format!(
            "org = 'o'\ndevice = 'd'\nstate_dir = '{state}'\n[models]\ndir = '{models}'\nonnxruntime = '{ort}'\n\
             detector_input = '512x288'\nreaders = 1\n[vision]\nmotion_gate = false\n\
             [passage]\nsettle_ms = {settle_ms}\nsettle_hidden_ms = 100\nsame_vehicle_ms = 0\nhidden_memory_s = 0\n\
             [alert]\ncool_down_s = 0\n[hotlist]\nfile = '{hotlist}'\n[health]\nperiod_s = 5\n{confirm}\
             [[camera]]\nid = 'road'\nkind = 'stills'\npath = '{path}'\n{rest}\n\
             {extra}\n[mqtt]\nhost = '{host}'\nport = {port}\nkeep_alive_s = 5\n{mqtt}\n",
            state = self.state.display(),
            models = program::root().join("models").display(),
            ort = program::onnxruntime().display(),
            hotlist = program::demo("hotlist.csv").display(),
            path = path.display(),
            // More than the time between two pictures.
            settle_ms = if view == View::Quiet { 2500 } else { 100 },
            extra = self.extra,
            host = self.host,
            port = self.port,
            mqtt = self.mqtt,
        );
        let file = self.dir.path().join(format!("{view:?}.toml"));
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Starts the box.
    pub(crate) fn start(&mut self, view: View) {
        self.kill();
        let config = self.configure(view);
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("daemon.log")).unwrap();
        let kerbside = program::kerbside(self.dir.path());
        let mut command = match self.prefix.first() {
            None => kerbside,
            Some(first) => {
                let mut command = std::process::Command::new(first);
                command.args(&self.prefix[1..]).arg(kerbside.get_program()).current_dir(self.dir.path());
                command.envs(kerbside.get_envs().filter_map(|(k, v)| Some((k, v?))));
                command
            }
        };
        let child = command
            .args(["run", "--config", config.to_str().unwrap()])
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemon = Some(child.unwrap());
        self.view = Some(view);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What the daemon has said, its end.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// What is still to be told (rows, and numbers that are missing), and the last number given; zeros while there is no outbox.
    pub(crate) fn outbox(&self) -> (u64, u64) {
        let look = || {
            let outlet = Outlet::open(&self.state, None)?;
            let stats = outlet.stats()?;
            Ok::<_, kerbside::outbox::OutboxError>((stats.rows() + stats.undeclared, outlet.last_seq()?))
        };
        look().unwrap_or((0, 0))
    }

    /// Waits, with the daemon's last words if it is in vain.
    pub(crate) fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + patience();
        while !condition() {
            assert!(
                Instant::now() < deadline && !self.has_ended(),
                "waited in vain: {what}\noutbox {:?}\nreceiver {}\n{}",
                self.outbox(),
                self.receiver.stream(),
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Whether the daemon has ended by itself: it is there no more, and nobody has asked after it.
    fn has_ended(&self) -> bool {
        let stat = |child: &Child| std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        self.daemon.as_ref().is_some_and(|child| stat(child).contains(") Z "))
    }

    /// Waits until so many numbers have been given in all.
    pub(crate) fn wait_for_numbers(&self, numbers: u64) {
        self.wait_for("numbers to be given", || self.outbox().1 >= numbers);
    }

    /// The public half of the box's key, in a file.
    pub(crate) fn public_key(&self) -> PathBuf {
        let public = self.dir.path().join("public.pem");
        std::fs::write(&public, SigningKey::load(&self.state.join("device-key.pem"), true).unwrap().public_pem()).unwrap();
        public
    }

    /// All faults are over: the box delivers what it has, and the numbers are counted. Writes the row; then says whether it may be.
    pub(crate) fn finish(&mut self, scenario: &str, faults: &str, note: &str) -> Row {
        let mut tries = 0;
        loop {
            if self.daemon.is_none() || self.view != Some(View::Quiet) {
                self.start(View::Quiet);
            }
            self.drain();
            self.stop();
            // A start numbers entries of the audit log, late ones too: what is on disk still is not lost, it has to be sent.
            tries += 1;
            if self.outbox().0 == 0 || tries == 5 {
                break;
            }
        }
        let (_, sent) = self.outbox();
        let reached = |r: &Value| r["watermark"].as_u64() == Some(sent);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !reached(&self.receiver.stream()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
        }
        let row = self.count(scenario, faults, note, sent);
        row.write();
        row.assert_nothing_lost(&self.log_tail());
        row
    }

    /// Waits until the outbox is empty, and has been for a while without a new number.
    pub(crate) fn drain(&self) {
        let mut quiet: Option<(u64, Instant)> = None;
        self.wait_for("the outbox to be drained", || {
            let (rows, last) = self.outbox();
            // The daemon may have to make the store first.
            if rows > 0 || last == 0 {
                quiet = None;
            } else if quiet.is_none_or(|(number, _)| number != last) {
                quiet = Some((last, Instant::now()));
            }
            quiet.is_some_and(|(_, since)| since.elapsed() > Duration::from_millis(700))
        });
    }

    /// SIGTERM, and the end.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.daemon.take() else { return };
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn count(&self, scenario: &str, faults: &str, note: &str, sent: u64) -> Row {
        let public = self.public_key();
        let (streams, _) = self.receiver.report(&["--verify", public.to_str().unwrap()]);
        let of = |key: &str| streams.iter().filter_map(|s| s[key].as_u64()).sum::<u64>();
        let counts = |key: &str| -> u64 {
            streams.iter().filter_map(|s| s[key].as_object()).flat_map(|o| o.values().filter_map(Value::as_u64)).sum()
        };
        let holes: u64 = streams
            .iter()
            .flat_map(|s| s["undeclared"].as_array().cloned().unwrap_or_default())
            .map(|h| h[1].as_u64().unwrap() - h[0].as_u64().unwrap() + 1)
            .sum();
        let broken: Vec<String> =
            streams.iter().filter(|s| !s["first_break"].is_null()).map(|s| s["first_break"].to_string()).collect();
        let (received, declared) = (of("received"), counts("declared"));
        Row {
            scenario: scenario.to_owned(),
            faults: faults.to_owned(),
            sent,
            received,
            duplicates: of("duplicates"),
            declared,
            lost: sent.saturating_sub(received + declared).max(holes),
            conflicts: counts("aside"),
            chain: if broken.is_empty() { "unbroken".into() } else { format!("BROKEN {}", broken.join(" ")) },
            note: note.to_owned(),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
    }
}

/// For places that want a path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
