//! Nothing is lost: the real daemon, a real broker and a real receiver, through everything that goes wrong at the roadside.
//!
//! Each test is one scenario and leaves one row in `target/torture/`: what the box numbered, what the back office has, what the box
//! declared missing, and what nobody accounts for, which must be nothing. `make test` runs the short share, `make torture` all of it
//! (`KERBSIDE_TORTURE=full`) and prints the table. Random choices come from a seed that is printed.
//!
//! `bench` is the box with all around it, `proxy` the bad line to the broker, `road` what it looks at, `row` the table;
//! the others are scenarios by what they break.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bench;
mod broker;
mod certificates;
mod clock;
mod disk;
mod load;
mod network;
mod process;
mod proxy;
mod road;
mod row;
#[allow(dead_code)] // shared with the other integration binary; each uses a part
#[path = "../it/support/mod.rs"]
mod support;
