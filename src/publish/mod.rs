//! What leaves the box, in which words, under which topics, and over which wire.
//!
//! [`wire`] turns domain values into messages, [`topic`] names the places that they go to, [`mqtt`] carries them, [`command`] says which
//! commands are to be obeyed. Nothing here
//! decides what is worth telling, and nothing here remembers: the outbox does. `wire` and `topic` are used by the recorder
//! thread; `mqtt` and [`sync`] run on the net thread. [`receiver`] is the other end, the back office's; no box runs it.

pub mod command;
pub mod mqtt;
pub mod receiver;
pub mod sync;
pub mod topic;
pub mod wire;
