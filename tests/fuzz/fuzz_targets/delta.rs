//! The content of a delta, decrypted and unpacked.

#![no_main]

use kerbside::publish::sync::format::COLUMNS;
use kerbside::publish::sync::seal::parse_delta;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_delta(bytes);
    let header = format!("op,{}\n", COLUMNS.join(","));
    let _ = parse_delta(&[header.as_bytes(), bytes].concat());
});
