//! What must hold for a list in any format: no row vanishes, and what was built is canonical.

use kerbside::clock::UtcTime;
use kerbside::publish::sync::lint::{Format, Options, build};

/// Builds a list from bytes in a format and, where that went, once more from what came of it.
pub fn check(bytes: &[u8], format: Format) {
    let options =
        |format| Options { format, source: "unit".into(), as_of: UtcTime::from_micros(1_795_000_000_000_000), priority: None };
    let Ok(built) = build(bytes, &options(format), &mut |_| Ok(())) else { return };
    assert_eq!(built.read, built.rows.len() as u64 + built.left_out(), "no row vanishes");
    // What was written is canonical: it builds to itself, without a fault.
    let mut canonical = Vec::new();
    built.rows.write(&mut canonical).expect("memory takes it");
    let again = build(&canonical[..], &options(Format::Csv), &mut |_| Ok(())).expect("canonical CSV is CSV");
    assert_eq!(again.left_out(), 0);
    assert_eq!(again.rows.content_sha256(), built.rows.content_sha256());
}
