//! `aidp run`: the operator.

use std::process::ExitCode;

use crate::config::ConfigArgs;

/// Run the operator.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) fn run(self) -> ExitCode {
        let Self { config } = self;
        let config = match config.load() {
            Ok(config) => config,
            Err(problems) => {
                eprintln!("aidp run: {problems}");
                return ExitCode::FAILURE;
            }
        };
        match crate::operator::run(config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("aidp run: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
