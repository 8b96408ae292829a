//! Certificates that expire and are renewed while the box runs.

use std::time::Duration;

use crate::bench::{Bench, Confirm, Dice, View};
use crate::row::full;
use crate::support::mosquitto::free_port;
use crate::support::pki::Pki;

#[test]
fn torture_11_certificates() {
    let rounds = if full() { 10 } else { 2 };
    let mut dice = Dice::new("certificates");
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), "ca");
    pki.issue("broker", 2090);
    pki.issue("box", 2090);
    // The office is next to the broker, the box comes over TLS.
    let port = free_port();
    let lines = format!("listener {port} 127.0.0.1\n{}", pki.mosquitto("broker", "tlsv1.3"));
    let mut bench = Bench::with_broker(Confirm::BackOffice, &lines);
    bench.port = port;
    let [ca, certificate, key] = [pki.path("ca", "pem"), pki.path("box", "pem"), pki.path("box", "key")];
    bench.mqtt = format!(
        "transport = 'tls'\nca = '{}'\ncertificate = '{}'\nkey = '{}'\n",
        ca.display(),
        certificate.display(),
        key.display()
    );
    bench.start(View::Road);
    bench.wait_for_numbers(1);
    for _ in 0..rounds {
        // Expired, and a broker that asks anew; then renewed, on both sides.
        pki.issue("box", 2021);
        bench.broker.restart();
        std::thread::sleep(dice.between(Duration::from_millis(500), Duration::from_secs(2)));
        assert!(bench.outbox().0 > 0, "an expired certificate lets nothing through");
        pki.issue("box", 2090);
        pki.issue("broker", 2090);
        bench.broker.restart();
        std::thread::sleep(dice.between(Duration::from_secs(1), Duration::from_secs(3)));
    }
    if full() {
        // Renewed under a connection that stands: it is looked for once a minute.
        pki.issue("box", 2091);
        std::thread::sleep(Duration::from_secs(65));
    }
    let log = std::fs::read_to_string(bench.dir.path().join("daemon.log")).unwrap();
    assert!(log.contains("expired on 2021-12-31"), "{log}");
    bench.finish("11 certificates", &format!("{rounds} x expired, broker restarted, renewed"), "TLS 1.3 on both sides");
}
