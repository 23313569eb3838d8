//! `aidp can-i --read-only BUCKET`: the read-only proof on policy files.

use serde_json::{Value, json};

use super::{CanI, EXIT_DENIED, EXIT_NOT_PROVABLE, Output, statement};
use crate::domain::document::{Effect, PrincipalElement};
use crate::domain::iam::evaluate::PolicySet;
use crate::domain::iam::principal::Caller;
use crate::domain::iam::proof::{
    BucketFacts, Evidence, Origin, Proof, ProofInput, Reason, RoleFacts, Violation, prove,
};
use crate::domain::names::BucketName;

/// What the answer rests on, since files don't say everything.
const SCOPE: &str = "judged on the files given: ACLs are taken to be off (BucketOwnerEnforced); policies of access points, \
                     key policies and grants, and roles that trust this one are not among them";

/// The proof as it is printed, and the exit code.
pub(super) fn answer(command: &CanI, bucket: &str) -> Result<(String, u8), String> {
    let input = input(command, bucket)?;
    let anybody = command.principal.is_none();
    let proof = match prove(&input) {
        // It holds for a role that nobody names; the role that is meant may be one that somebody does.
        Proof::Proven if anybody && !named_roles(&input).all(|role| as_role(&input, role) == Proof::Proven) => {
            Proof::Unknown(vec![Reason::Unreadable {
                what: "whether the role is one of those that the resource policy lets in by name".to_owned(),
                why: "--principal is not given".to_owned(),
            }])
        }
        proof => proof,
    };
    let code = match proof {
        Proof::Proven => 0,
        Proof::Violated(_) => EXIT_DENIED,
        Proof::Unknown(_) => EXIT_NOT_PROVABLE,
    };
    let text = match command.output {
        Output::Text => text(&proof),
        Output::Json => document(&proof).to_string(),
    };
    Ok((text, code))
}

fn input(command: &CanI, bucket: &str) -> Result<ProofInput, String> {
    let PolicySet {
        identity,
        boundary,
        // A session policy belongs to a session; other sessions of the role have none.
        session: _,
        resource,
        service_control,
        resource_control,
        // The role may also come another way.
        vpc_endpoint: _,
    } = command.policies("")?;
    let caller = match command.caller()? {
        Caller::Role {
            partition,
            account,
            name,
            path,
            session: _,
        } => Caller::Role {
            partition,
            account,
            name,
            path,
            session: None,
        },
        Caller::User { .. }
        | Caller::FederatedUser { .. }
        | Caller::Root { .. }
        | Caller::Service(_)
        | Caller::Federated(_)
        | Caller::Anonymous => return Err("--principal: --read-only is about a role or one of its sessions".to_owned()),
    };
    Ok(ProofInput {
        buckets: vec![BucketFacts {
            arn: bucket_arn(bucket, &caller)?,
            policy: Evidence::Seen(resource),
            acl: Evidence::Outside,
        }],
        role: RoleFacts {
            caller,
            identity: identity.into_iter().map(Evidence::Seen).collect(),
            boundary,
            trust: Evidence::Outside,
        },
        keys: Evidence::Outside,
        access_points: Evidence::Outside,
        roles: Evidence::Outside,
        organization: service_control.into_iter().chain(resource_control).flatten().collect(),
    })
}

/// The roles, or roles of sessions, that the bucket's policy lets in by name.
fn named_roles(input: &ProofInput) -> impl Iterator<Item = Caller> + '_ {
    let policies = input.buckets.iter().filter_map(|bucket| bucket.policy.seen()?.as_ref());
    let rules = policies.flat_map(|policy| &policy.rules);
    let allows = rules.filter(|rule| rule.effect == Effect::Allow);
    let principals = allows.filter_map(|rule| match rule.principal.as_ref()? {
        PrincipalElement::Principal(principals) => Some(principals),
        PrincipalElement::NotPrincipal(_) => None,
    });
    let values = principals.flat_map(|principals| principals.entries.values().flatten());
    values.filter_map(|value| match Caller::parse(value).ok()? {
        role @ Caller::Role { .. } => Some(role),
        Caller::User { .. }
        | Caller::FederatedUser { .. }
        | Caller::Root { .. }
        | Caller::Service(_)
        | Caller::Federated(_)
        | Caller::Anonymous => None,
    })
}

/// The proof for a role of this name with the same policies.
fn as_role(input: &ProofInput, caller: Caller) -> Proof {
    let mut input = input.clone();
    input.role.caller = caller;
    prove(&input)
}

/// The ARN of a bucket given by name, in the caller's partition, or by ARN.
fn bucket_arn(bucket: &str, caller: &Caller) -> Result<String, String> {
    let partition = caller
        .principal_arn()
        .and_then(|arn| arn.split(':').nth(1).map(str::to_owned));
    let (partition, name) = match bucket.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::")) {
        Some((partition, name)) => (partition.to_owned(), name),
        None => (partition.unwrap_or_else(|| "aws".to_owned()), bucket),
    };
    let name = BucketName::new(name).map_err(|e| format!("--read-only: {e}"))?;
    Ok(format!("arn:{partition}:s3:::{name}"))
}

fn text(proof: &Proof) -> String {
    let lines: Vec<String> = match proof {
        Proof::Proven => vec!["Proven: the credentials can't change the bucket's data".to_owned()],
        Proof::Violated(violations) => std::iter::once("Violated".to_owned())
            .chain(
                violations
                    .iter()
                    .flat_map(|v| [format!("  {v}"), format!("    closed by {}", v.remedy())]),
            )
            .collect(),
        Proof::Unknown(reasons) => std::iter::once("Unknown: not provable".to_owned())
            .chain(reasons.iter().map(|r| format!("  {r}")))
            .collect(),
    };
    format!("{}\n  ({SCOPE})", lines.join("\n"))
}

fn document(proof: &Proof) -> Value {
    let (verdict, violations, reasons) = match proof {
        Proof::Proven => ("Proven", Vec::new(), Vec::new()),
        Proof::Violated(violations) => ("Violated", violations.iter().map(violation).collect(), Vec::new()),
        Proof::Unknown(reasons) => ("Unknown", Vec::new(), reasons.iter().map(ToString::to_string).collect()),
    };
    json!({"verdict": verdict, "violations": violations, "reasons": reasons, "scope": SCOPE})
}

fn violation(violation: &Violation) -> Value {
    let Violation {
        origin,
        kind,
        actions,
        resources,
        via,
    } = violation;
    json!({
        "kind": kind.as_str(),
        "origin": origin.to_string(),
        "statement": match origin {
            Origin::Statement(reference) => statement(reference),
            Origin::Acl(_) | Origin::Grant(_) | Origin::Unknown(_) => Value::Null,
        },
        "actions": actions,
        "resources": resources,
        "via": via,
        "closedBy": violation.remedy(),
    })
}
