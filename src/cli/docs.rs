//! `aidp docs`: the generated parts of the documentation, from the code itself. For `make generate`; users read `docs/`.

mod api;
mod controls;
#[cfg(test)]
mod runbooks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod threats;

use std::process::ExitCode;

/// Print a generated part of the documentation, as Markdown.
#[derive(Debug, clap::Args)]
pub(super) struct Docs {
    /// Part
    #[arg(value_enum)]
    part: Part,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Part {
    /// Reference of the CRD: docs/api.md.
    Api,
    /// Table of the controls: docs/controls.md.
    Controls,
}

impl Docs {
    pub(super) fn run(&self) -> ExitCode {
        let Self { part } = self;
        let text = match part {
            Part::Api => api::markdown(),
            Part::Controls => Ok(controls::markdown()),
        };
        match text {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(problem) => {
                eprintln!("aidp docs: {problem}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Text within a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ")
}
