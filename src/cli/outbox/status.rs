//! `kerbside outbox status`: how much waits, for how long, what is missing.

use std::io::Write;
use std::time::Duration;

use super::{Exit, Failure, device_key, outlet};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::outbox::{Lane, Stats};
use crate::runtime::keys;

/// Gaps shown in words.
const MOST_GAPS: u64 = 16;

/// Runs the subcommand.
pub(super) fn main(settings: &Settings, json: bool) -> Result<Exit, Failure> {
    let outlet = outlet(settings)?;
    let (stats, gaps) = outlet.stats().and_then(|stats| Ok((stats, outlet.gaps(MOST_GAPS)?))).map_err(Failure::software)?;
    let now = SystemClock.now().utc;
    // Whoever may not read the keys may still see how much waits.
    let key = device_key(settings).map(|key| key.id().to_string()).ok();
    let retention = settings.outbox.retention;
    let kept = [("hits", retention.hits), ("text", retention.text), ("images", retention.images)];
    if json {
        let lanes: serde_json::Map<_, _> = Lane::ALL
            .into_iter()
            .map(|lane| {
                let of = stats.lanes[lane as usize];
                (lane.as_str().to_owned(), serde_json::json!({ "rows": of.rows, "bytes": of.bytes }))
            })
            .collect();
        let gaps: Vec<_> = gaps
            .iter()
            .map(|gap| {
                serde_json::json!({
                    "first_seq": gap.first.get(), "last_seq": gap.last.get(), "count": gap.count, "reason": gap.reason.as_str(),
                    "noted": gap.noted.to_string(),
                })
            })
            .collect();
        let keep: serde_json::Map<_, _> =
            kept.iter().map(|(class, keep)| (format!("{class}_h"), keep.map(|k| k.as_secs() / 3600).into())).collect();
        let words = serde_json::json!({
            "stream": outlet.stream().to_string(), "next_seq": stats.next_seq, "lanes": lanes, "oldest_age_s": stats.oldest_age_s(now),
            "max_bytes": settings.outbox.limits.max_bytes, "max_rows": settings.outbox.limits.max_rows, "keep": keep,
            "missing": stats.missing(), "undeclared": stats.undeclared, "gaps": gaps, "device_key": key,
            "data_key_wrapped": settings.outbox.identity.is_some(),
        });
        say!("{words}");
        return Ok(Exit::Ok);
    }
    say!("outbox    {}, stream {}, next number {}", settings.state_dir.display(), outlet.stream(), stats.next_seq);
    for lane in Lane::ALL {
        let of = stats.lanes[lane as usize];
        say!("  {:<8} {:>9} rows {:>14} bytes", lane.as_str(), of.rows, of.bytes);
    }
    let age = stats.oldest_age_s(now).map_or_else(|| "nothing waits".into(), |s| format!("the oldest waits for {}", words(s)));
    let limits = settings.outbox.limits;
    say!("waiting   {} rows of {}, {} bytes of {}; {age}", stats.rows(), limits.max_rows, stats.bytes(), limits.max_bytes);
    let keep: Vec<String> = kept
        .iter()
        .map(|(class, keep)| {
            format!("{class} {}", keep.map_or_else(|| "as long as there is room".into(), |k: Duration| words(k.as_secs())))
        })
        .collect();
    say!("kept for  {}", keep.join(", "));
    say!("missing   {}{}", stats.missing(), reasons(&stats));
    for gap in &gaps {
        let coarse =
            if gap.count == gap.last.get() - gap.first.get() + 1 { String::new() } else { format!(" ({} of them)", gap.count) };
        say!("  {} to {}{coarse}: {}, noted {}", gap.first, gap.last, gap.reason.as_str(), gap.noted);
    }
    if stats.gaps > MOST_GAPS {
        say!("  ... and {} gaps more", stats.gaps - MOST_GAPS);
    }
    let at_rest = match (settings.state_dir.join(keys::DATA_KEY_FILE).exists(), settings.outbox.identity.is_some()) {
        (false, _) => "none made yet",
        (true, true) => "wrapped for the box's identity",
        (true, false) => "in plain beside the store (hotlist.identity or the credential would wrap it)",
    };
    say!(
        "keys      signs with {}; key of payloads at rest: {at_rest}",
        key.as_deref().unwrap_or("a key that this user can't read")
    );
    Ok(Exit::Ok)
}

fn reasons(stats: &Stats) -> String {
    let of = [
        ("evicted", stats.evicted),
        ("expired", stats.expired),
        ("purged", stats.purged),
        ("too large", stats.too_large),
        ("damaged", stats.damaged),
    ];
    let named: Vec<String> = of.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")).collect();
    if named.is_empty() { String::new() } else { format!(": {}; {} of them not yet told", named.join(", "), stats.undeclared) }
}

/// Seconds in words.
fn words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
