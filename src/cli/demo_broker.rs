//! The demo's broker: MQTT 5 inside this process, on the loopback interface only. It can't be stopped, so nothing but the
//! demo, which ends with its process, may use it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// Starts it on a free port and waits until it answers; gives the port.
pub(super) fn start() -> anyhow::Result<u16> {
    // The port is free at this moment; should another process take it before the broker does, the wait below says so.
    let port =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).context("no loopback port to be had")?.port();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = ServerSettings {
        name: "demo".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 4 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = Config {
        router: RouterConfig {
            max_connections: 16,
            max_outgoing_packet_count: 200,
            max_segment_size: 32 << 20,
            max_segment_count: 4,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("demo".to_owned(), server)])),
        ..Config::default()
    };
    let mut broker = Broker::new(config);
    std::thread::Builder::new().name("demo-broker".into()).spawn(move || {
        if let Err(e) = broker.start() {
            tracing::error!("the demo's broker ended: {e}");
        }
    })?;
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        if TcpStream::connect_timeout(&listen, Duration::from_millis(200)).is_ok() {
            return Ok(port);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(anyhow!("the demo's broker does not answer on 127.0.0.1:{port}"))
}
