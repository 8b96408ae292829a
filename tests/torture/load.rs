//! A backlog of a hundred thousand, alerts that overtake it, and how long an alert takes on a quiet day. Figures are printed, not held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kerbside::clock::{Clock, SystemClock};
use kerbside::keys::{DataKey, SigningKey};
use kerbside::outbox::{Draft, Lane, Limits, Outbox, OutboxOptions, Qos, Retention};

use crate::bench::{Bench, Confirm, View};
use crate::row::full;

/// The value below which so many in a hundred lie.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

fn text_of(lane: Lane, n: u64) -> Draft {
    let schema = format!("kerbside.{}/1", lane.as_str());
    Draft {
        topic: format!("kerbside/v1/o/d/{}", lane.as_str()),
        qos: Qos::AtLeastOnce,
        lane,
        hit: lane == Lane::Alert,
        content_type: "application/json".into(),
        payload: format!("{{\"schema\":\"{schema}\",\"n\":{n},\"filling\":\"{}\"}}", "x".repeat(1950)).into_bytes(),
        schema,
        expiry_s: None,
    }
}

/// An outbox as the daemon would have left it: reads, and some alerts that came last.
fn fill(bench: &Bench, reads: u64, alerts: u64) {
    std::fs::create_dir_all(&bench.state).unwrap();
    let options = OutboxOptions {
        limits: Limits { max_bytes: 1 << 30, max_rows: 1_000_000 },
        retention: Retention::default(),
        data_key: Some(DataKey::load_or_make(&bench.state.join("outbox.key"), None).unwrap()),
        signing_key: Some(Arc::new(SigningKey::load_or_make(&bench.state.join("device-key.pem")).unwrap())),
    };
    let (mut outbox, _) = Outbox::open(&bench.state, options, SystemClock.now()).unwrap();
    let mut next = 0;
    while next < reads {
        let drafts: Vec<Draft> = (next..reads.min(next + 500)).map(|n| text_of(Lane::Read, n)).collect();
        next += drafts.len() as u64;
        outbox.commit(&drafts, SystemClock.now()).unwrap();
    }
    for n in 0..alerts {
        outbox.commit(&[text_of(Lane::Alert, n)], SystemClock.now()).unwrap();
    }
}

#[test]
fn torture_13_backlog() {
    let (backlog, reconnects) = if full() { (100_000, 25) } else { (2_000, 3) };
    let mut bench = Bench::new(Confirm::BackOffice);
    let proxy = bench.with_proxy();
    fill(&bench, backlog, 5);
    bench.start(View::Quiet);
    // Cut as soon as the first alert of a connection is through: with confirm = "backoffice" all of them are still stored.
    let mut times = Vec::new();
    while times.len() < reconnects {
        bench.wait_for("an alert after a reconnect", || proxy.first_alerts().len() > times.len());
        times = proxy.first_alerts();
        proxy.cut();
    }
    let seen = times.len();
    times.sort();
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    // Then all of it in one go.
    bench.wait_for("the drain to begin", || proxy.first_alerts().len() > seen);
    let began = Instant::now();
    let acknowledged = proxy.acknowledged();
    bench.wait_for("the whole backlog", || proxy.acknowledged() - acknowledged >= backlog || bench.outbox().0 == 0);
    let (wire, rows) = (began.elapsed(), proxy.acknowledged() - acknowledged);
    bench.wait_for("the last confirmation", || bench.outbox().0 == 0);
    let confirmed = began.elapsed();
    #[allow(clippy::cast_precision_loss)] // a hundred thousand
    let rate = rows as f64 / wire.as_secs_f64();
    let note = format!(
        "{rate:.0} records a second to the last PUBACK, confirmed after {:.1} s; reconnect to first alert p50 {} ms, p99 {} ms of {seen}",
        confirmed.as_secs_f64(),
        p50.as_millis(),
        p99.as_millis(),
    );
    bench.finish("13 backlog", &format!("{backlog} records waited, {reconnects} x cut"), &note);
}

#[test]
fn torture_14_alert_latency() {
    let wanted = if full() { 100 } else { 12 };
    let mut bench = Bench::new(Confirm::Broker);
    bench.start(View::Traffic);
    let store = bench.dir.path().join("office/received.sqlite");
    let latencies = || {
        let db = rusqlite::Connection::open(&store).unwrap();
        let mut select = db.prepare("SELECT payload, received_us FROM message WHERE schema = 'kerbside.alert/1'").unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))).unwrap();
        let mut all: Vec<Duration> = rows
            .filter_map(|row| {
                let (payload, received_us) = row.unwrap();
                let alert: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let at = kerbside::clock::UtcTime::parse(alert["at"].as_str()?)?;
                let took = u64::try_from(received_us - at.as_micros()).unwrap_or(0);
                (alert["phase"] == "early").then(|| Duration::from_micros(took))
            })
            .collect();
        all.sort();
        all
    };
    // A machine that is too busy to read ten pictures a second may decide few of them early; the figure is of those there are.
    let patience = Instant::now() + Duration::from_secs(if full() { 240 } else { 30 });
    bench.wait_for("alerts", || latencies().len() >= wanted || Instant::now() > patience);
    let all = latencies();
    let note = format!(
        "frame to receiver p50 {} ms, p99 {} ms of {} early alerts",
        percentile(&all, 50).as_millis(),
        percentile(&all, 99).as_millis(),
        all.len()
    );
    bench.finish("14 alert latency", "none", &note);
}
