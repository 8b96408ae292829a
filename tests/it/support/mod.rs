//! What tests share: real brokers, bad links, scripted brokers, the program itself, and pictures made on the spot.

pub mod fake_broker;
pub mod lists;
pub mod mosquitto;
pub mod pictures;
pub mod pki;
pub mod planes;
pub mod program;
pub mod proxy;
pub mod publisher;
pub mod receiver;
pub mod rtsp;
pub mod site;
