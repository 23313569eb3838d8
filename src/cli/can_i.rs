//! `aidp can-i`: the evaluator and the read-only proof on files, for people and pipelines. Needs neither a cluster nor AWS.

mod files;
mod read_only;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::domain::document::PolicyKind;
use crate::domain::iam::compiled::{Policy, StatementRef};
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{Decision, PolicySet, Reason, Request, Verdict, account_in, decide};
use crate::domain::iam::principal::Caller;

/// The request is denied, or the proof found a violation.
const EXIT_DENIED: u8 = 1;
/// Something that was given can't be read or makes no sense.
const EXIT_BAD_INPUT: u8 = 2;
/// The proof can be neither given nor refuted.
const EXIT_NOT_PROVABLE: u8 = 3;

/// Decide whether a request would be allowed, from policy files alone.
///
/// Prints Allowed, ImplicitlyDenied or ExplicitlyDenied and the statement that decides. Exit code 0: allowed; 1: denied;
/// 2: bad input. Not considered, because no policy file says it: ACLs, KMS grants and the block on public access.
///
/// With --read-only BUCKET: prove that whoever has these policies can read the bucket and change nothing in it, or list
/// every statement that lets him, in any request: session and VPC endpoint policies are not used. Exit code 0: proven; 1: violated; 2: bad input; 3: not provable.
#[derive(Debug, clap::Args)]
pub(super) struct CanI {
    /// Action, e.g. s3:PutObject
    #[arg(required_unless_present = "read_only")]
    action: Option<String>,
    /// ARN of the resource, e.g. arn:aws:s3:::bucket/key; * for actions without one
    #[arg(required_unless_present = "read_only")]
    resource: Option<String>,
    /// Prove that this bucket (name or ARN) can't be changed, instead of deciding one request
    #[arg(long, value_name = "BUCKET", conflicts_with_all = ["action", "resource", "context"])]
    read_only: Option<String>,
    /// Policy of the caller: inline or managed (repeatable)
    #[arg(long, value_name = "FILE")]
    identity_policy: Vec<PathBuf>,
    /// Permissions boundary of the caller
    #[arg(long, value_name = "FILE")]
    boundary: Option<PathBuf>,
    /// Session policy (repeatable)
    #[arg(long, value_name = "FILE")]
    session_policy: Vec<PathBuf>,
    /// Policy of the resource: bucket policy, key policy; for sts:AssumeRole the role's trust policy
    #[arg(long, value_name = "FILE")]
    resource_policy: Option<PathBuf>,
    /// Service control policies of one level of the organization: a document or an array of them (repeatable, root first)
    #[arg(long, value_name = "FILE")]
    scp: Vec<PathBuf>,
    /// Resource control policies of one level of the organization: a document or an array of them (repeatable, root first)
    #[arg(long, value_name = "FILE")]
    rcp: Vec<PathBuf>,
    /// Policy of the VPC endpoint that the request comes through
    #[arg(long, value_name = "FILE")]
    vpc_endpoint_policy: Option<PathBuf>,
    /// Who asks: ARN of a role, role session, user, account root, a service, or * for anonymous. Without it: some role of
    /// the account that owns the resource, which no policy names
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// Account that owns the resource; without it the account in its ARN, else the principal's
    #[arg(long, value_name = "ID")]
    resource_account: Option<String>,
    /// Context key of the request, e.g. aws:SecureTransport=true; a repeated key is multivalued
    #[arg(long, value_name = "KEY=VALUE")]
    context: Vec<String>,
    /// Output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl CanI {
    pub(super) fn run(&self) -> ExitCode {
        let answer = match &self.read_only {
            Some(bucket) => read_only::answer(self, bucket),
            None => self.decided(),
        };
        match answer {
            Ok((text, code)) => {
                println!("{text}");
                ExitCode::from(code)
            }
            Err(problem) => {
                eprintln!("aidp can-i: {problem}");
                ExitCode::from(EXIT_BAD_INPUT)
            }
        }
    }

    fn decided(&self) -> Result<(String, u8), String> {
        let action = self.action.as_deref().unwrap_or_default();
        let resource = self.resource.as_deref().unwrap_or_default();
        let (caller, context) = (self.caller()?, self.context()?);
        let request = Request::new(caller, action, resource, self.resource_account.as_deref(), context);
        let policies = self.policies(action)?;
        let decision = decide(&request.map_err(|e| e.to_string())?, &policies);
        let code = match decision.verdict {
            Verdict::Allowed => 0,
            Verdict::ImplicitlyDenied | Verdict::ExplicitlyDenied => EXIT_DENIED,
        };
        Ok((printed(&decision, self.output), code))
    }

    fn caller(&self) -> Result<Caller, String> {
        match &self.principal {
            Some(text) => Caller::parse(text).map_err(|e| format!("--principal: {e}")),
            None => Ok(Caller::Role {
                partition: "aws".to_owned(),
                account: self
                    .resource_account
                    .as_deref()
                    .or_else(|| self.resource.as_deref().and_then(account_in))
                    .unwrap_or("000000000000")
                    .to_owned(),
                // Not a name that IAM would accept, so that no policy names it.
                name: "(unnamed)".to_owned(),
                path: None,
                session: None,
            }),
        }
    }

    fn context(&self) -> Result<Context, String> {
        let mut context = Context::new();
        for pair in &self.context {
            match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => context.add(key, value),
                Some(_) | None => return Err(format!("--context {pair:?}: expected key=value")),
            }
        }
        Ok(context)
    }

    fn policies(&self, action: &str) -> Result<PolicySet, String> {
        let Self {
            identity_policy,
            boundary,
            session_policy,
            resource_policy,
            scp,
            rcp,
            vpc_endpoint_policy,
            ..
        } = self;
        let assumes = action.to_ascii_lowercase().starts_with("sts:assumerole");
        let resource_kind = if assumes {
            PolicyKind::Trust
        } else {
            PolicyKind::Resource
        };
        let one = |kind, path: &Option<PathBuf>| path.as_ref().map(|p| files::policy(kind, p)).transpose();
        let each = |kind, paths: &[PathBuf]| {
            paths
                .iter()
                .map(|p| files::policy(kind, p))
                .collect::<Result<Vec<Policy>, _>>()
        };
        let levels = |kind, paths: &[PathBuf]| paths.iter().map(|p| files::policies(kind, p)).collect::<Result<_, _>>();
        Ok(PolicySet {
            identity: each(PolicyKind::Identity, identity_policy)?,
            boundary: one(PolicyKind::Boundary, boundary)?,
            session: each(PolicyKind::Session, session_policy)?,
            resource: one(resource_kind, resource_policy)?,
            service_control: levels(PolicyKind::ServiceControl, scp)?,
            resource_control: levels(PolicyKind::ResourceControl, rcp)?,
            vpc_endpoint: one(PolicyKind::VpcEndpoint, vpc_endpoint_policy)?,
        })
    }
}

fn printed(decision: &Decision, output: Output) -> String {
    let Decision { verdict, reason } = decision;
    match output {
        Output::Text => format!("{}\n  {reason}", verdict.as_str()),
        Output::Json => json!({
            "verdict": verdict.as_str(),
            "reason": reason.to_string(),
            "statement": match reason {
                Reason::Statement(reference) => statement(reference),
                Reason::NothingAllows(..) | Reason::RootUser | Reason::NeedsNoPermission => Value::Null,
            },
        })
        .to_string(),
    }
}

fn statement(reference: &StatementRef) -> Value {
    let StatementRef {
        kind,
        policy,
        index,
        sid,
    } = reference;
    json!({"policyType": kind.as_str(), "policy": policy, "index": index, "sid": sid})
}
