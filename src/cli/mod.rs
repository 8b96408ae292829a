//! The command line: one file or folder a subcommand, and the one place where an error becomes an exit status.
//!
//! Results go to stdout, everything else to stderr. Nothing here knows how a plate is read.
/// One line on stdout, for functions that end in a [`Failure`]. `println!` would panic where nobody reads any more.
macro_rules! say {
    ($($words:tt)*) => {
        writeln!(std::io::stdout().lock(), $($words)*)?
    };
}

mod broker;
mod calibration;
mod check;
mod command;
mod demo;
mod demo_broker;
mod draw;
mod edits;
mod evaluate;
mod hotlist;
mod listen;
mod models;
mod outbox;
mod personal;
mod profile;
mod rate;
mod read;
mod replay;
mod run;
mod schema;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How the process ends; numbers from BSD's sysexits.h, which service managers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// Something failed while it ran: a file could not be read, a thread died.
    Software = 70,
    /// The configuration or the installation is wrong; another try won't help until somebody mends it.
    Config = 78,
}

/// An error with the exit status that it means.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// The configuration or the installation is wrong.
    pub fn config(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Config, error: error.into() }
    }

    /// Something failed while it ran.
    pub fn software(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Software, error: error.into() }
    }

    /// The command line is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::software(error)
    }
}

/// Reads number plates on the camera box and delivers capture records and hotlist alerts over MQTT.
#[derive(Debug, Parser)]
#[command(
    name = "kerbside",
    version,
    after_help = "Exit status: 0 all went well, 64 wrong command line, 70 something failed while running (details on stderr), \
                  78 the configuration or the installation is wrong.\n\nStart with `kerbside demo`: it needs no configuration and no network."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More about what happens, on stderr (-v debug, -vv trace). Marks appear in the log only from here on
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: cameras in, capture records and alerts out
    Run(run::Args),
    /// Show the whole thing at work: bundled clip, embedded broker, no configuration, no network
    Demo(demo::Args),
    /// Read the plates in photographs, folders and clips
    Read(read::Args),
    /// Run a clip through the whole pipeline, deterministically; records to stdout as JSON lines, or rates by vehicle with --truth
    Replay(replay::Args),
    /// Measure capture and read rates against a labelled set
    Evaluate(evaluate::Args),
    /// Check a configuration, the models and the hotlist that it names, and say all that is wrong
    Check(check::Args),
    /// Look after what waits for delivery on this box: status, list, export, verify, purge, key
    Outbox(outbox::Args),
    /// Give a box a command over the broker, and print its answer
    #[command(name = "command")]
    Ask(command::Args),
    /// Make, seal, check and show lists of vehicles of interest
    Hotlist(hotlist::Args),
    /// Subscribe to a broker and print records and alerts as they arrive
    Listen(listen::Args),
    /// Print what the messages look like: JSON Schema for each, AsyncAPI for how they travel
    Schema(schema::Args),
}

/// Parses the command line, runs the subcommand, tells of a failure, and gives the exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come this way too; they are no errors.
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Ok };
            return match e.print() {
                Ok(()) => code(exit),
                Err(_) => code(Exit::Software),
            };
        }
    };
    let outcome = match cli.command {
        Command::Run(args) => run::main(&args, cli.verbose),
        Command::Demo(args) => demo::main(&args, cli.verbose),
        Command::Read(args) => logged(cli.verbose, || read::main(&args)),
        Command::Replay(args) => logged(cli.verbose, || replay::main(&args)),
        Command::Evaluate(args) => logged(cli.verbose, || evaluate::main(&args)),
        Command::Check(args) => logged(cli.verbose, || check::main(&args)),
        Command::Outbox(args) => logged(cli.verbose, || outbox::main(&args)),
        Command::Ask(args) => logged(cli.verbose, || command::main(&args)),
        Command::Hotlist(args) => logged(cli.verbose, || hotlist::main(&args)),
        Command::Listen(args) => logged(cli.verbose, || listen::main(&args)),
        Command::Schema(args) => schema::main(&args),
    };
    match outcome {
        Ok(exit) => code(exit),
        Err(failure) if is_broken_pipe(&failure.error) => code(Exit::Ok),
        Err(failure) => {
            complain(format_args!("{:#}", failure.error));
            code(failure.exit)
        }
    }
}

/// One line on stderr; a closed one leaves nobody to tell.
fn complain(line: impl std::fmt::Display) {
    drop(writeln!(std::io::stderr().lock(), "kerbside: {line}"));
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

fn logged(verbose: u8, command: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    start_log("warn", verbose);
    command()
}

/// Logs to stderr, where systemd's journal picks them up. `level` is the configured one; `-v` raises it.
fn start_log(level: &str, verbose: u8) {
    let level = match verbose {
        0 => level,
        1 => "debug",
        _ => "trace",
    };
    // The broker of the demo and the MQTT client log every packet at info: not what an operator asked for.
    let filter = format!("{level},rumqttd=off,rumqttc=warn,ort=warn");
    let filter = tracing_subscriber::EnvFilter::try_from_env("KERBSIDE_LOG")
        .or_else(|_| tracing_subscriber::EnvFilter::try_new(filter))
        .unwrap_or_default();
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process (tests) keeps the first log.
    drop(if under_systemd { builder.without_time().with_ansi(false).try_init() } else { builder.try_init() });
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
