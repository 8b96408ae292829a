//! `kerbside outbox verify`: whether what waits is what was written, in its place, by this box.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;

use super::{Exit, Failure, SLICE, device_key, opened};
use crate::config::Settings;
use crate::keys::TrustedKeys;
use crate::outbox::chain::{Content, Link};
use crate::outbox::{Envelope, Outlet, Seq};

/// Arguments of `kerbside outbox verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// PEM file with the device's public key (repeatable); the box's own key when left out
    #[arg(long, value_name = "KEY.pem")]
    key: Vec<PathBuf>,
}

/// Runs the subcommand.
pub(super) fn main(settings: &Settings, args: &Args) -> Result<Exit, Failure> {
    let trusted = if args.key.is_empty() {
        TrustedKeys::default().and(&device_key(settings)?)
    } else {
        TrustedKeys::load(&args.key).map_err(Failure::usage)?
    };
    let outlet = opened(settings)?;
    let (mut from, mut before) = (Seq::FIRST, None::<(Seq, Link)>);
    let (mut rows_seen, mut joints) = (0_u64, 0_u64);
    let mut faults: Vec<String> = Vec::new();
    // A running daemon delivers and commits meanwhile: the head is asked for first, and then stands for no more than it did.
    let (head, last) = outlet.head().and_then(|head| Ok((head, outlet.last_seq()?))).map_err(Failure::software)?;
    loop {
        let rows = outlet.rows(from, SLICE).map_err(Failure::software)?;
        let Some(next) = rows.last().and_then(|(last, _)| Seq::new(last.get() + 1)) else { break };
        for (seq, row) in rows {
            rows_seen += 1;
            let Some(row) = row else {
                faults.push(format!("number {seq}: its digest does not fit, or its payload does not open"));
                before = None;
                continue;
            };
            let link = link(&outlet, &row);
            if let Some(fault) = doubt(&row, link, &trusted) {
                faults.push(format!("number {seq}: {fault}"));
            }
            if let Some((previous, expected)) = before
                && previous.get() + 1 == seq.get()
            {
                joints += 1;
                if row.prev != expected {
                    faults.push(format!(
                        "number {seq} does not follow number {previous}: it names another one as the one before it"
                    ));
                }
            }
            if seq.get() == last && link != head {
                faults.push(format!("number {seq} is the newest, but not the one that the store names as such"));
            }
            before = Some((seq, link));
        }
        from = next;
    }
    let stats = outlet.stats().map_err(Failure::software)?;
    say!(
        "stream {}: {rows_seen} rows, {joints} joints between neighbours, {} numbers missing and noted",
        outlet.stream(),
        stats.missing()
    );
    match faults.first() {
        None if rows_seen == 0 => {
            say!("nothing is stored, there is nothing to check");
            Ok(Exit::Ok)
        }
        None => {
            say!("every row is signed by this box, in its place, as it was written");
            Ok(Exit::Ok)
        }
        Some(first) => Err(Failure::software(anyhow!("{} faults; the first: {first}", faults.len()))),
    }
}

fn link(outlet: &Outlet, row: &Envelope) -> Link {
    let draft = &row.draft;
    let content =
        Content { topic: &draft.topic, content_type: &draft.content_type, schema: &draft.schema, payload: &draft.payload };
    Link::of(outlet.stream(), row.seq, row.prev, &content)
}

fn doubt(row: &Envelope, link: Link, trusted: &TrustedKeys) -> Option<String> {
    let Some(proof) = row.proof else { return Some("it is not signed".into()) };
    match link.is_signed(trusted, proof.key, &proof.signature) {
        Some(true) => None,
        Some(false) => Some(format!("the signature of key {} does not fit", proof.key)),
        None => Some(format!("it is signed by key {}, which is none of those trusted", proof.key)),
    }
}
