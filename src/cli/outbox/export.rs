//! `kerbside outbox export`: envelopes as JSON lines, with all that proves them.

use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Exit, Failure, Range, SLICE, opened};
use crate::cli::personal;
use crate::config::Settings;
use crate::outbox::chain::StreamId;
use crate::outbox::{Envelope, Seq};

/// Arguments of `kerbside outbox export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    range: Range,
    /// Where to: a new file, outside any checkout; - for stdout
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the subcommand.
pub(super) fn main(settings: &Settings, args: &Args) -> Result<Exit, Failure> {
    let outlet = opened(settings)?;
    let mut out: Box<dyn Write> = if args.out.as_os_str() == "-" {
        Box::new(std::io::stdout().lock())
    } else {
        personal::outside_checkouts(&args.out, "--out", "it holds marks and pictures").map_err(Failure::usage)?;
        let place = args.out.display();
        let mut options = std::fs::OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&args.out);
        Box::new(
            made.with_context(|| format!("{place}: can't be made; give a file that is not there yet")).map_err(Failure::usage)?,
        )
    };
    let mut buffered = BufWriter::new(&mut out);
    let (mut from, to) = args.range.bounds();
    let (mut written, mut unreadable) = (0_u64, 0_u64);
    loop {
        let rows = outlet.rows(from, SLICE).map_err(Failure::software)?;
        let Some((last, _)) = rows.last() else { break };
        let next = Seq::new(last.get() + 1);
        for (seq, row) in rows.into_iter().filter(|(seq, _)| *seq <= to) {
            match row {
                Some(row) if args.range.lane.is_none_or(|lane| row.draft.lane == lane) => {
                    writeln!(buffered, "{}", line(outlet.stream(), &row))?;
                    written += 1;
                }
                Some(_) => {}
                None => {
                    crate::cli::complain(format_args!("row {seq} can't be read: its digest does not fit"));
                    unreadable += 1;
                }
            }
        }
        match next {
            Some(next) if next <= to => from = next,
            _ => break,
        }
    }
    buffered.flush()?;
    drop(buffered);
    if args.out.as_os_str() != "-" {
        say!("{written} envelopes in {}", args.out.display());
    }
    if unreadable > 0 {
        return Err(Failure::software(anyhow!("{unreadable} rows could not be read")));
    }
    Ok(Exit::Ok)
}

fn line(stream: StreamId, row: &Envelope) -> serde_json::Value {
    let draft = &row.draft;
    let mut line = serde_json::json!({
        "seq": row.seq.get(), "stream": stream.to_string(), "committed": row.committed.to_string(), "lane": draft.lane.as_str(),
        "hit": draft.hit, "topic": draft.topic, "content_type": draft.content_type, "schema": draft.schema,
        "prev": row.prev.to_string(), "sig": row.proof.map(|p| p.signature.to_string()), "key": row.proof.map(|p| p.key.to_string()),
    });
    // The bytes themselves are what the link is made of: JSON is given as it is for people and in base64 for whoever checks.
    line["payload_base64"] = STANDARD.encode(&draft.payload).into();
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(&draft.payload) {
        line["payload"] = json;
    }
    line
}
