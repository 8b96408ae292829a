//! The running daemon: who does what on which thread, and who waits for whom.
//!
//! `pipeline` is one reader's work, `recorder` turns outcomes into durable envelopes, `health` counts, `latency` times, `keys` are the box's own, `hotlists` is the hotlist thread and `board` what is
//! in force, `supervisor` starts all threads, watches them and ends them in order. `photo` serves single pictures, `snapshot` the
//! stills that a command asks for.

pub mod board;
pub mod health;
pub mod hotlists;
pub mod keys;
pub mod latency;
pub mod photo;
pub mod pipeline;
pub mod reader;
pub mod recorder;
pub mod snapshot;
pub mod supervisor;
mod threads;
