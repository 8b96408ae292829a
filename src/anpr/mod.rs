//! What a read means: marks, grammar, decoding, passages, hotlists and the core that ties them together.
//!
//! Pure: no I/O, no threads, no pixels, no clock reads; nothing in here can fail or wait. Values come in, effects go out,
//! and the same events in the same order give the same effects, down to the passage ids. In reading order: [`vrm`],
//! [`syntax`], [`read`], [`decode`], [`passage`], [`hotlist`] (with [`odds`] and [`validity`]), [`record`], [`core`].

mod alert;
pub mod core;
pub mod decode;
pub mod hotlist;
pub mod odds;
pub mod passage;
pub mod read;
pub mod record;
pub mod syntax;
pub mod validity;
pub mod vrm;
