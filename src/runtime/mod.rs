//! The running daemon: who does what on which thread, and who waits for whom.
//!
//! `pipeline` is one reader's work, `recorder` turns outcomes into durable envelopes, `health` counts, `latency` times, `supervisor`
//! starts all threads, watches them and ends them in order. `photo` serves single pictures.

pub mod health;
pub mod latency;
pub mod photo;
pub mod pipeline;
pub mod reader;
pub mod recorder;
pub mod supervisor;
