//! `aidp iam-policy`: the AWS rights that the operator needs for the policies in files.

use std::process::ExitCode;

use super::plan::policies;
use crate::config::{Config, ConfigArgs};
use crate::domain::policy::ValidatedPolicy;
use crate::domain::rights::{MANAGED_POLICY_LIMIT, operator_policy, selectors_without_prefix};

/// Print the least IAM policy that the operator needs for policies in files, all of one account.
///
/// Asks neither AWS nor a cluster. A policy in mode Audit adds reads only.
#[derive(Debug, clap::Args)]
pub(super) struct IamPolicy {
    /// File with policies, one or more documents; - for standard input (repeatable)
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    file: Vec<String>,
    #[command(flatten, next_help_heading = "The operator's configuration, as for `aidp run`")]
    config: ConfigArgs,
}

impl IamPolicy {
    pub(super) fn run(self) -> ExitCode {
        let Self { file, config } = self;
        match print(config, &file) {
            Ok((document, wide)) => {
                for selector in wide {
                    eprintln!(
                        "aidp iam-policy: {selector} finds buckets by tag alone, and rights on buckets can't be bound to tags; they are on every bucket that the configuration allows (allowedBuckets); give it a namePrefix"
                    );
                }
                let size = document.to_string().len();
                if size > MANAGED_POLICY_LIMIT {
                    eprintln!(
                        "aidp iam-policy: {size} characters, more than the {MANAGED_POLICY_LIMIT} of one managed policy; split the policies over several, or name the buckets by a common prefix"
                    );
                }
                println!("{document:#}");
                ExitCode::SUCCESS
            }
            Err(problems) => {
                for problem in problems {
                    eprintln!("aidp iam-policy: {problem}");
                }
                ExitCode::FAILURE
            }
        }
    }
}

/// The document, and the selectors for which it is wider than anybody likes.
fn print(config: ConfigArgs, files: &[String]) -> Result<(serde_json::Value, Vec<String>), Vec<String>> {
    let config: Config = config.load().map_err(|e| vec![e.to_string()])?;
    let policies: Vec<ValidatedPolicy> = policies(&config, files)?;
    let document = operator_policy(&policies).map_err(|e| vec![e.to_string()])?;
    Ok((document, selectors_without_prefix(&policies)))
}
