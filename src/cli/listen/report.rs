//! `kerbside listen --store DIR --report`: what is there, what is missing, whether the chain holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::cli::{Exit, Failure};
use crate::keys::TrustedKeys;
use crate::publish::receiver::StreamReport;
use crate::publish::receiver::report::report;

/// Prints the report; exit status 70 when a stream is not whole.
pub(super) fn main(dir: &Path, trusted: Option<&TrustedKeys>, json: bool) -> Result<Exit, Failure> {
    let streams = report(dir, trusted).map_err(Failure::software)?;
    for stream in &streams {
        if json {
            say!("{}", as_json(stream));
        } else {
            print(stream)?;
        }
    }
    Ok(if streams.iter().all(StreamReport::is_whole) { Exit::Ok } else { Exit::Software })
}

fn as_json(r: &StreamReport) -> serde_json::Value {
    let undeclared: Vec<[u64; 2]> = r.undeclared.iter().map(|h| [h.first, h.last]).collect();
    let first_break = r.first_break.as_ref().map(|b| serde_json::json!({ "seq": b.seq, "what": b.what }));
    serde_json::json!({
        "device": r.device, "stream": r.stream, "received": r.received, "duplicates": r.duplicates, "watermark": r.watermark,
        "highest": r.highest, "declared": r.declared, "undeclared": undeclared, "aside": r.aside, "first_break": first_break,
        "whole": r.is_whole(),
    })
}

fn print(r: &StreamReport) -> Result<(), Failure> {
    let counts = |of: &BTreeMap<String, u64>| {
        let words: Vec<String> = of.iter().map(|(what, count)| format!("{count} {what}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    let holes: Vec<String> = r.undeclared.iter().map(|h| format!("{}-{}", h.first, h.last)).collect();
    say!("{} stream {}", r.device, r.stream);
    say!("  received    {} of {}, {} duplicates, watermark {}", r.received, r.highest, r.duplicates, r.watermark);
    say!("  declared    {}", counts(&r.declared));
    say!("  undeclared  {}", if holes.is_empty() { "none".to_owned() } else { holes.join(", ") });
    say!("  kept aside  {}", counts(&r.aside));
    match &r.first_break {
        Some(b) => say!("  chain       breaks at {}: {}", b.seq, b.what),
        None => say!("  chain       unbroken"),
    }
    Ok(())
}
