//! The one integration binary: the program and its parts against real brokers, real clips and real models.
//!
//! `tidy` holds the rules of the house, `broker` the way from the outbox to a broker, `tls` that way
//! encrypted, `ways` that way by other protocols and other brokers, `confirm` rows that wait for the back
//! office, `reading` the commands that read
//! pictures and clips, `evaluate` and `replay` how well they do, `vision` the reader's batches, `faults` what bad input is answered
//! with, `hotlist` how lists are made, `sync` their way to the box, `daemon` the whole of `kerbside run` and the demo, `cameras` the same with
//! live cameras that misbehave, `docs` whether the README tells the truth,
//! `command` what a box does when it is asked, `schema` whether messages are what their schemas say, `receiver` the back office's end.

#![allow(clippy::unwrap_used)]

mod broker;
mod cameras;
mod command;
mod confirm;
mod daemon;
mod docs;
mod evaluate;
mod faults;
mod hotlist;
mod reading;
mod receiver;
mod replay;
mod schema;
mod support;
mod sync;
mod tidy;
mod tls;
mod vision;
mod ways;
