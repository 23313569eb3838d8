//! The command line: one file per subcommand, each nothing but argument → call → print.

mod can_i;
mod crd;
mod docs;
mod egress;
#[cfg(feature = "operator")]
mod health;
#[cfg(feature = "operator")]
mod iam_policy;
#[cfg(feature = "operator")]
mod plan;
#[cfg(feature = "operator")]
mod run;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps AI training data encrypted, private, read-only to the training roles and reachable over TLS only.
#[derive(Debug, Parser)]
#[command(name = "aidp", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    CanI(Box<can_i::CanI>),
    Crd(crd::Crd),
    #[command(hide = true)]
    Docs(docs::Docs),
    Egress(egress::Egress),
    #[cfg(feature = "operator")]
    Health(health::Health),
    #[cfg(feature = "operator")]
    Run(Box<run::Run>),
    Version(version::Version),
    #[cfg(feature = "operator")]
    Plan(Box<plan::Plan>),
    #[cfg(feature = "operator")]
    IamPolicy(Box<iam_policy::IamPolicy>),
}

/// Runs the program with these arguments, the first of which is its name. Output goes to standard output, problems to
/// standard error; wrong arguments exit with 2.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(args) {
        Ok(Cli { command }) => match command {
            Command::CanI(command) => command.run(),
            Command::Crd(command) => command.run(),
            Command::Docs(command) => command.run(),
            Command::Egress(command) => command.run(),
            #[cfg(feature = "operator")]
            Command::Health(command) => command.run(),
            #[cfg(feature = "operator")]
            Command::Run(command) => command.run(),
            Command::Version(command) => command.run(),
            #[cfg(feature = "operator")]
            Command::Plan(command) => command.run(),
            #[cfg(feature = "operator")]
            Command::IamPolicy(command) => command.run(),
        },
        Err(problem) => {
            // Nothing better can be done when even the message can't be written.
            let _ = problem.print();
            u8::try_from(problem.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}
