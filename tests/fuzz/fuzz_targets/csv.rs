//! Our CSV.

#![no_main]

mod round_trip;

use kerbside::publish::sync::lint::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| round_trip::check(bytes, Format::Csv));
