//! A publisher with its outbox on a thread of its own, as the daemon runs it, and a listener that writes down what it sees.

#![allow(unreachable_pub)] // one crate, no outside

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kerbside::clock::{Clock, SystemClock};
use kerbside::outbox::{Draft, Lane, Limits, Outbox, OutboxOptions, Qos, Seq, Stats};
use kerbside::publish::mqtt::{
    BrokerOptions, Live, MqttCounters, MqttOptions, MqttStats, Ports, Presence, Received, Subscriber, SubscriberOptions, run,
};
use tokio::sync::{Notify, mpsc, watch};

/// All test topics are under this one.
pub const BASE: &str = "kerbside/v1/o/d";

/// Waits for a condition; the deadline is generous because the machine may be busy.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A small draft in a lane.
pub fn draft(lane: Lane, n: u64) -> Draft {
    Draft {
        topic: format!("{BASE}/{}", lane.as_str()),
        qos: Qos::AtLeastOnce,
        lane,
        hit: lane == Lane::Alert,
        content_type: "application/json".into(),
        schema: format!("kerbside.{}/1", lane.as_str()),
        expiry_s: (lane == Lane::Alert).then_some(60),
        payload: format!("{{\"n\":{n}}}").into_bytes(),
    }
}

/// Drafts of the read lane, `from` to `from + count`.
pub fn reads(from: u64, count: u64) -> Vec<Draft> {
    (from..from + count).map(|n| draft(Lane::Read, n)).collect()
}

/// A runtime as the net thread has it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Settings with short waits.
pub fn options(port: u16, id: &str) -> MqttOptions {
    let presence = Presence {
        topic: format!("{BASE}/status"),
        schema: "kerbside.status/1".into(),
        online: b"online".to_vec(),
        offline: b"offline".to_vec(),
    };
    let mut options = MqttOptions::new(broker(port, id), presence);
    options.refused_wait = Duration::from_millis(100);
    options
}

/// A broker on the loopback, with short waits.
pub fn broker(port: u16, id: &str) -> BrokerOptions {
    let mut broker = BrokerOptions::new("127.0.0.1", port, id);
    broker.keep_alive = Duration::from_secs(5);
    broker.backoff_floor = Duration::from_millis(40);
    broker.backoff_ceiling = Duration::from_millis(200);
    broker
}

/// A publisher that runs.
#[derive(Debug)]
pub struct Publisher {
    /// The producing end.
    pub outbox: Outbox,
    /// Live messages go in here.
    pub live: mpsc::Sender<Live>,
    /// What it listens to; nothing at first.
    pub filters: watch::Sender<BTreeSet<String>>,
    /// Messages on the filters come out here.
    pub downlink: mpsc::Receiver<Received>,
    stats: Arc<MqttStats>,
    wake: Arc<Notify>,
    shutdown: watch::Sender<bool>,
    kill: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    _dir: Arc<tempfile::TempDir>,
}

impl Publisher {
    /// Starts one with a new outbox.
    pub fn start(options: MqttOptions) -> Self {
        Self::start_with(options, &Arc::new(tempfile::tempdir().unwrap()), &[])
    }

    /// Starts one on an outbox, with drafts already in it.
    pub fn start_with(options: MqttOptions, dir: &Arc<tempfile::TempDir>, drafts: &[Draft]) -> Self {
        let limits = Limits { max_bytes: 64 << 20, max_rows: 100_000 };
        let (mut outbox, _) = Outbox::open(dir.path(), OutboxOptions::plain(limits), SystemClock.now()).unwrap();
        outbox.commit(drafts, SystemClock.now()).unwrap();
        let (stats, wake, kill) = (Arc::new(MqttStats::default()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (live, live_rx) = mpsc::channel(64);
        let (downlink_tx, downlink) = mpsc::channel(64);
        let (shutdown, shutdown_rx) = watch::channel(false);
        let (filters, filters_rx) = watch::channel(BTreeSet::new());
        let ports = Ports {
            outlet: outbox.outlet().unwrap(),
            wake: Arc::clone(&wake),
            live: live_rx,
            filters: filters_rx,
            downlink: Some(downlink_tx),
            commands: None,
            stats: Arc::clone(&stats),
            clock: Arc::new(SystemClock),
        };
        let killed = Arc::clone(&kill);
        let thread = std::thread::spawn(move || {
            runtime().block_on(async move {
                tokio::select! {
                    () = run(options, ports, shutdown_rx) => {}
                    () = killed.notified() => {} // dropped where it stands: no goodbye
                }
            });
        });
        Self { outbox, live, filters, downlink, stats, wake, shutdown, kill, thread: Some(thread), _dir: Arc::clone(dir) }
    }

    /// Commits and wakes the net thread, as the recorder does.
    pub fn commit(&mut self, drafts: &[Draft]) -> Vec<Seq> {
        let seqs = self.outbox.commit(drafts, SystemClock.now()).unwrap();
        self.wake.notify_one();
        seqs
    }

    /// What is in the outbox.
    pub fn stored(&self) -> Stats {
        self.outbox.stats().unwrap()
    }

    /// The counters.
    pub fn counters(&self) -> MqttCounters {
        self.stats.counters()
    }

    /// Waits until everything has been delivered.
    pub fn wait_until_empty(&self) {
        wait_for("an empty outbox", || self.stored().rows() == 0);
    }

    /// Drops the net thread's runtime where it stands.
    pub fn kill(mut self) {
        self.kill.notify_one();
        self.thread.take().unwrap().join().unwrap();
    }

    /// A clean stop.
    pub fn stop(mut self) -> MqttCounters {
        self.shutdown.send(true).unwrap();
        self.thread.take().unwrap().join().unwrap();
        self.stats.counters()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.kill.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Writes down all that it sees under [`BASE`].
#[derive(Debug)]
pub struct Listener {
    seen: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicU64>,
    subscribed: Arc<AtomicBool>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts one and waits until the broker has taken its subscription.
    pub fn start(port: u16, id: &str, qos: Qos) -> Self {
        Self::start_with(SubscriberOptions::new(broker(port, id), vec![format!("{BASE}/#")], qos))
    }

    /// The same, with all options.
    pub fn start_with(options: SubscriberOptions) -> Self {
        let seen: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (connections, subscribed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let stop = Arc::new(Notify::new());
        let (seen2, connections2, subscribed2) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&subscribed));
        let stop2 = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            runtime().block_on(async move {
                let mut subscriber = Subscriber::new(options);
                tokio::select! {
                    () = subscriber.subscribed() => {}
                    () = stop2.notified() => return,
                }
                subscribed2.store(true, SeqCst);
                loop {
                    tokio::select! {
                        message = subscriber.next() => seen2.lock().unwrap().push(message),
                        () = stop2.notified() => return,
                    }
                    connections2.store(subscriber.connections(), SeqCst);
                }
            });
        });
        wait_for("a subscription", || subscribed.load(SeqCst));
        Self { seen, connections, subscribed, stop, thread: Some(thread) }
    }

    /// All so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Received> {
        assert!(self.subscribed.load(SeqCst));
        self.seen.lock().unwrap().clone()
    }

    /// Sequence numbers so far, in the order of arrival, repeats included.
    pub fn seqs(&self) -> Vec<u64> {
        self.seen().iter().filter_map(|m| m.seq).collect()
    }

    /// How often it has subscribed.
    pub fn connections(&self) -> u64 {
        self.connections.load(SeqCst)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
