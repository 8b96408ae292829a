//! `kerbside hotlist build`: any of the formats in, canonical CSV out, every finding told.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::ValueEnum;

use super::{Exit, Failure};
use crate::anpr::hotlist::Priority;
use crate::clock::UtcTime;
use crate::publish::sync::format::SHORT_TEXT;
use crate::publish::sync::lint::{self, BuildError, Finding, Format, Kind, Options};

/// Arguments of `kerbside hotlist build`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rows that can't be used (not_a_mark, malformed, duplicate) are reported with their line and left out; so are \
                        expired ones. look_alike, no_weed_date and pattern are warnings, their rows stay.\n\n\
                        Exit status: 70 when rows have to be mended (the list is written all the same), unless --allow-faults; \
                        expired rows alone are no fault. 70 and no list when the file can't be read or no row is left.\n\n\
                        Formats: csv has a header row with vrm,action,priority and any of reason, valid_from, valid_until, markers, \
                        make, model, colour, source, force, nim, information, pnc_id, gpms, cad, spare_1, spare_2. ndjson has the same \
                        names as keys. voi has the 16 columns VRM, Make, Model, Colour, Action, Warning markers, Reason, NIM code, \
                        Information/Action, Force & area, Weed date, PNC ID, GPMS marking, CAD information, Spare 1, Spare 2, with or \
                        without a header row; it has no priority: STOP becomes P1, ASSESS P2, others P3."
)]
pub(super) struct Args {
    /// The list to read
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// What it comes in [default: by the file's ending: .ndjson, .jsonl, .voi, .dat; otherwise csv]
    #[arg(long)]
    format: Option<FormatArg>,
    /// Where to write the canonical CSV
    #[arg(short, long, value_name = "LIST.csv")]
    output: PathBuf,
    /// Source of the rows that name none
    #[arg(long, value_name = "NAME", default_value = "", value_parser = source)]
    source: String,
    /// Write the findings to a file too, as NDJSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Compare weed dates with this moment [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::parse_time)]
    as_of: Option<UtcTime>,
    /// Priority of all VOI rows, in place of the one that the action gives
    #[arg(long, value_name = "P0..P3", value_parser = priority)]
    priority: Option<Priority>,
    /// End with status 0 though rows have to be mended
    #[arg(long)]
    allow_faults: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// The 16-column VOI CSV
    Voi,
    /// Simple CSV with a header row
    Csv,
    /// JSON objects, one a line
    Ndjson,
}

fn source(text: &str) -> Result<String, String> {
    if text.len() <= SHORT_TEXT && !text.chars().any(char::is_control) {
        return Ok(text.trim().to_owned());
    }
    Err(format!("a source has at most {SHORT_TEXT} bytes and no control characters"))
}

fn priority(text: &str) -> Result<Priority, String> {
    Priority::parse(text).ok_or_else(|| format!("{text:?} is no priority; allowed are P0, P1, P2, P3"))
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    let name = args.input.display();
    if args.priority.is_some() && !matches!(args.format(), Format::Voi) {
        return Err(Failure::usage(anyhow!("--priority is for --format voi; rows of the other formats have their own")));
    }
    let options = Options {
        format: args.format(),
        source: args.source.clone(),
        as_of: args.as_of.unwrap_or_else(super::now),
        priority: args.priority,
    };
    let input = File::open(&args.input)
        .with_context(|| format!("cannot read the list {name}; check the path and that this user may read it"))
        .map_err(Failure::software)?;
    let cannot_report = |path: &PathBuf| format!("cannot write the report {}", path.display());
    let mut report = match &args.report {
        Some(path) => {
            let file = File::create(path).with_context(|| cannot_report(path)).map_err(Failure::software)?;
            Some(BufWriter::new(file))
        }
        None => None,
    };
    let mut stderr = BufWriter::new(std::io::stderr().lock());
    let mut tell = |finding: &Finding| {
        let Finding { line, kind, what } = finding;
        writeln!(stderr, "{name}:{line}: {}: {what}", kind.as_str())?;
        if let Some(report) = &mut report {
            let file = args.input.to_string_lossy();
            let json = serde_json::json!({
                "file": file, "line": line, "kind": kind.as_str(), "left_out": kind.leaves_out(), "what": what,
            });
            writeln!(report, "{json}")?;
        }
        Ok(())
    };
    let built = lint::build(input, &options, &mut tell).map_err(|e| match e {
        BuildError::Header(_) => anyhow!("the list {name} can't be used: {e}; name its columns as `kerbside help hotlist build` says, or choose another --format"),
        e => anyhow!("the list {name} can't be used: {e}"),
    });
    stderr.flush()?;
    drop(stderr);
    let built = built.map_err(Failure::software)?;
    if let Some(mut report) = report {
        report.flush()?;
    }
    let found: Vec<String> =
        Kind::ALL.iter().filter(|kind| built.count(**kind) > 0).map(|k| format!("{} {}", built.count(*k), k.as_str())).collect();
    let found = if found.is_empty() { "nothing to report".to_owned() } else { found.join(", ") };
    let counts = format!("{name}: {} rows read, {} kept, {} left out; {found}", built.read, built.rows.len(), built.left_out());
    if built.rows.is_empty() {
        return Err(Failure::software(anyhow!("{counts}; no row is left, so no list was written")));
    }
    super::super::complain(counts);
    super::write_whole(&args.output, 0o600, |to| Ok(built.rows.write(to)?))?;
    say!("{}: {} entries, content SHA-256 {}", args.output.display(), built.rows.len(), built.rows.content_sha256());
    Ok(if built.faults() > 0 && !args.allow_faults { Exit::Software } else { Exit::Ok })
}

impl Args {
    fn format(&self) -> Format {
        match self.format {
            Some(FormatArg::Voi) => Format::Voi,
            Some(FormatArg::Csv) => Format::Csv,
            Some(FormatArg::Ndjson) => Format::Ndjson,
            None => match self.input.extension().and_then(|e| e.to_str()) {
                Some("ndjson" | "jsonl") => Format::Ndjson,
                Some("voi" | "dat") => Format::Voi,
                _ => Format::Csv,
            },
        }
    }
}
