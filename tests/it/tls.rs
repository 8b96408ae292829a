//! The way to the broker under TLS: who is let in, who is not, what is said then, and certificates that are renewed in place.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kerbside::outbox::{Lane, Qos};
use kerbside::publish::mqtt::{MqttOptions, SubscriberOptions};

use crate::support::mosquitto::Mosquitto;
use crate::support::pki::{Pki, put};
use crate::support::publisher::{self, BASE, Listener, Publisher, draft, reads, wait_for};

fn options(port: u16, id: &str, pki: &Pki, ca: &str, name: Option<&str>) -> MqttOptions {
    let mut options = publisher::options(port, id);
    options.broker.transport = pki.client(ca, name);
    options.broker.certificate_check = Duration::from_millis(200);
    options
}

fn listener(port: u16, pki: &Pki) -> Listener {
    let mut broker = publisher::broker(port, "l");
    broker.transport = pki.client("ca", Some("office"));
    Listener::start_with(SubscriberOptions::new(broker, vec![format!("{BASE}/#")], Qos::AtLeastOnce))
}

/// Waits for something to be said of a connection that does not come about, and gives it.
fn complaint(publisher: &Publisher) -> String {
    wait_for("a failed try", || publisher.counters().last_error.is_some());
    publisher.counters().last_error.unwrap()
}

#[test]
fn tls_with_certificates_on_both_sides_delivers() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), "ca");
    for name in ["broker", "box", "office"] {
        pki.issue(name, 2090);
    }
    let broker = Mosquitto::start(&pki.mosquitto("broker", "tlsv1.3"));
    let listener = listener(broker.port, &pki);
    let mut publisher = Publisher::start(options(broker.port, "p", &pki, "ca", Some("box")));
    let mut large = draft(Lane::Overview, 0);
    large.payload = vec![7; 700_000];
    publisher.commit(&[large, draft(Lane::Read, 1)]);
    publisher.wait_until_empty();
    wait_for("both rows", || listener.seqs().len() == 2);
    assert!(listener.seen().iter().any(|m| m.payload.len() == 700_000));
    let counters = publisher.counters();
    assert_eq!((counters.protocol, counters.broker), (Some("5"), Some(format!("127.0.0.1:{}", broker.port))));

    // Who comes without a certificate, or trusts another CA, does not get in, and it is said why.
    let stranger = Publisher::start(options(broker.port, "s", &pki, "ca", None));
    let said = complaint(&stranger);
    assert!(said.contains("wants a certificate of us; give mqtt.certificate"), "{said}");
    Pki::new(dir.path(), "other");
    let elsewhere = Publisher::start(options(broker.port, "e", &pki, "other", Some("box")));
    let said = complaint(&elsewhere);
    assert!(said.contains("leads to no CA that we trust; mqtt.ca"), "{said}");
    let plain = Publisher::start(publisher::options(broker.port, "c"));
    complaint(&plain);
    for shut_out in [stranger, elsewhere, plain] {
        assert_eq!(shut_out.counters().epochs, 0);
    }
}

#[test]
fn a_broker_that_stops_at_tls_1_2_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), "ca");
    pki.issue("broker", 2090);
    pki.issue("box", 2090);
    // Mosquitto itself only knows a least version; OpenSSL's own settings know a most.
    let settings = dir.path().join("openssl.cnf");
    let text = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMaxProtocol = TLSv1.2\n";
    std::fs::write(&settings, text).unwrap();
    let broker = Mosquitto::start_in(&pki.mosquitto("broker", "tlsv1.2"), vec![("OPENSSL_CONF", settings)]);
    let publisher = Publisher::start(options(broker.port, "p", &pki, "ca", Some("box")));
    let said = complaint(&publisher);
    assert!(said.contains("does not speak TLS 1.3, and nothing older is used"), "{said}");
    assert_eq!(publisher.counters().epochs, 0);
}

#[test]
fn an_expired_certificate_is_told_with_its_date_and_a_renewed_one_is_taken_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), "ca");
    for (name, year) in [("broker", 2090), ("box", 2021), ("office", 2090)] {
        pki.issue(name, year);
    }
    let broker = Mosquitto::start(&pki.mosquitto("broker", "tlsv1.3"));
    let listener = listener(broker.port, &pki);
    let mut publisher = Publisher::start(options(broker.port, "p", &pki, "ca", Some("box")));
    publisher.commit(&reads(0, 20));
    let said = complaint(&publisher);
    assert!(said.contains("box.pem expired on 2021-12-31"), "{said}");
    assert_eq!((publisher.stored().rows(), publisher.counters().epochs), (20, 0));
    pki.issue("box", 2090);
    publisher.wait_until_empty();
    wait_for("all rows", || listener.seqs().len() == 20);
    assert_eq!(publisher.counters().epochs, 1);

    // Half a renewal is no renewal: the connection stays with what it has, and rows go on.
    let key = std::fs::read_to_string(pki.path("box", "key")).unwrap();
    pki.issue("spare", 2090);
    put(&pki.path("box", "key"), &std::fs::read_to_string(pki.path("spare", "key")).unwrap(), 0o400);
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        publisher.commit(&reads(20, 1));
        publisher.wait_until_empty();
    }
    assert_eq!(publisher.counters().epochs, 1, "{key}");
    // The other half: a new connection at once, with nothing lost, nothing sent twice, and no word of being offline.
    put(&pki.path("box", "pem"), &std::fs::read_to_string(pki.path("spare", "pem")).unwrap(), 0o644);
    wait_for("the new connection", || {
        publisher.commit(&reads(0, 5));
        publisher.counters().epochs == 2
    });
    publisher.wait_until_empty();
    let counters = publisher.counters();
    wait_for("all rows", || listener.seqs().len() as u64 == counters.acknowledged);
    assert_eq!(listener.seqs().into_iter().collect::<BTreeSet<_>>().len() as u64, counters.acknowledged);
    assert_eq!((counters.resent, counters.published), (0, counters.acknowledged));
    assert!(listener.seen().iter().all(|m| m.payload != b"offline"));
}

#[test]
fn a_secret_key_that_others_may_read_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), "ca");
    pki.issue("broker", 2090);
    pki.issue("box", 2090);
    let broker = Mosquitto::start(&pki.mosquitto("broker", "tlsv1.3"));
    put(&pki.path("box", "key"), &std::fs::read_to_string(pki.path("box", "key")).unwrap(), 0o444);
    let mut publisher = Publisher::start(options(broker.port, "p", &pki, "ca", Some("box")));
    let said = complaint(&publisher);
    assert!(said.contains("box.key may be read or written by others (mode 0444); chmod 0400"), "{said}");
    put(&pki.path("box", "key"), &std::fs::read_to_string(pki.path("box", "key")).unwrap(), 0o400);
    publisher.commit(&reads(0, 3));
    publisher.wait_until_empty();
}
