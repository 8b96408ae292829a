//! Our CSV.

#![no_main]

use kerbside::clock::UtcTime;
use kerbside::publish::sync::lint::{Format, Options, build};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options =
        |format| Options { format, source: "unit".into(), as_of: UtcTime::from_micros(1_795_000_000_000_000), priority: None };
    let Ok(built) = build(bytes, &options(Format::Csv), &mut |_| Ok(())) else { return };
    assert_eq!(built.read, built.rows.len() as u64 + built.left_out(), "no row vanishes");
    // What was written is canonical: it builds to itself, without a fault.
    let mut canonical = Vec::new();
    built.rows.write(&mut canonical).expect("memory takes it");
    let again = build(&canonical[..], &options(Format::Csv), &mut |_| Ok(())).expect("canonical CSV is CSV");
    assert_eq!(again.left_out(), 0);
    assert_eq!(again.rows.content_sha256(), built.rows.content_sha256());
});
