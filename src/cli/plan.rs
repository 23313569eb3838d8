//! `aidp plan`: what the operator would find and do for policies in files, seen with the caller's own AWS credentials.
//! Writes nothing, and asks no cluster.

mod details;
mod documents;
mod look;
mod offline;
mod print;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use jiff::Timestamp;

use crate::config::{Config, ConfigArgs};
use crate::domain::policy::ValidatedPolicy;
use documents::PolicyDocument;
use look::Look;

/// There is something to do.
const EXIT_CHANGES: u8 = 2;
/// Width of a table where there is no terminal to ask.
const DEFAULT_WIDTH: u16 = 160;

/// Show what the operator would find and do for policies in files. Writes nothing.
///
/// Looks at AWS with your credentials, the way every AWS tool finds them. The cluster is not asked: what would need it is
/// named under "Not looked at". Exit code 0: nothing to do; 2: something to do; 1: an error, or something that could not be
/// read.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// File with policies, one or more documents; - for standard input (repeatable)
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    file: Vec<String>,
    /// Output
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten, next_help_heading = "The operator's configuration, as for `aidp run`")]
    config: ConfigArgs,
}

/// How the plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

impl Plan {
    pub(super) fn run(self) -> ExitCode {
        let Self { file, output, config } = self;
        let prepared = config
            .load()
            .map_err(|e| vec![e.to_string()])
            .and_then(|config| Ok((config, read(&file)?)));
        let looks = prepared.and_then(|(config, policies)| look_at(&config, &policies));
        let looks = match looks {
            Ok(looks) => looks,
            Err(problems) => {
                for problem in problems {
                    eprintln!("aidp plan: {problem}");
                }
                return ExitCode::FAILURE;
            }
        };
        match output {
            Output::Table => print!("{}", print::table(&looks, width())),
            Output::Json => println!("{:#}", print::json(&looks)),
        }
        if looks.iter().any(Look::has_gaps) {
            ExitCode::FAILURE
        } else if looks.iter().any(Look::has_work) {
            ExitCode::from(EXIT_CHANGES)
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Every policy in the files, validated under the operator's configuration, or every problem with them. Asks nobody.
pub(super) fn policies(config: &Config, files: &[String]) -> Result<Vec<ValidatedPolicy>, Vec<String>> {
    let documents = read(files)?;
    let validated = look::validated_all(config, false, &documents, Timestamp::now())?;
    Ok(validated.into_iter().map(|(_, policy)| policy).collect())
}

/// Every policy in the files, or every problem with them.
fn read(files: &[String]) -> Result<Vec<PolicyDocument>, Vec<String>> {
    let mut policies = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match documents::load(file).and_then(|text| documents::parse(file, &text)) {
            Ok(found) => policies.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if policies.is_empty() && problems.is_empty() {
        problems.push(format!("{}: no AIDataProtectionPolicy in there", files.join(", ")));
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(problems)
    }
}

fn look_at(config: &Config, policies: &[PolicyDocument]) -> Result<Vec<Look>, Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| vec![format!("the asynchronous runtime cannot be started: {e}")])?;
    runtime.block_on(look::look(config, policies))
}

fn width() -> u16 {
    terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| width.0)
}
