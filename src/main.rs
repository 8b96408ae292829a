//! The program: argv in, exit status out. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    kerbside::cli::main()
}
