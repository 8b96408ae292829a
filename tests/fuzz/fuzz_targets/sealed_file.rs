//! The first three lines of a sealed file.

#![no_main]

use kerbside::publish::sync::seal::fuzz_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz_header(bytes);
    // Most inputs never get past the first line; this one does.
    fuzz_header(&[b"kerbside-hotlist/1\n", bytes].concat());
});
