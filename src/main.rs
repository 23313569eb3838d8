//! The `aidp` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    aidp::cli::run(std::env::args_os())
}
