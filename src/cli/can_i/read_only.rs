//! `aidp can-i --read-only BUCKET`: the read-only proof on policy files.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CanI, EXIT_DENIED, EXIT_NOT_PROVABLE, Output, statement};
use crate::domain::document::{Effect, PrincipalElement};
use crate::domain::iam::compiled::Resources;
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
    let proofs = inputs(command, bucket)?;
    let proofs = proofs.iter().map(|input| judged(command, input));
    // In one partition of those that may be meant is enough; a violation says most.
    let worst = proofs.max_by_key(|proof| match proof {
        Proof::Proven => 0,
        Proof::Unknown(_) => 1,
        Proof::Violated(_) => 2,
    });
    let proof = worst.ok_or("--read-only: no partition is meant")?;
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

/// The proof, as far as it holds for whoever may be meant.
fn judged(command: &CanI, input: &ProofInput) -> Proof {
    let unknown = |what: &str| {
        Proof::Unknown(vec![Reason::Unreadable {
            what: what.to_owned(),
            why: "--principal is not given".to_owned(),
        }])
    };
    let anybody = command.principal.is_none();
    let any_account = anybody && command.resource_account.is_none();
    match prove(input) {
        // It holds for a role that nobody names; the role that is meant may be one that somebody does.
        Proof::Proven if anybody && !named_roles(input).all(|role| as_role(input, role) == Proof::Proven) => {
            unknown("whether the role is one of those that the resource policy lets in by name")
        }
        Proof::Proven if any_account && prove(&without_denials_by_account(input)) != Proof::Proven => {
            unknown("whether the role's account is one that a Deny is about")
        }
        proof => proof,
    }
}

/// What is to be proven: once, or in each partition that may be meant.
fn inputs(command: &CanI, bucket: &str) -> Result<Vec<ProofInput>, String> {
    let policies = command.policies("")?;
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
    let (written, name) = match bucket.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::")) {
        Some((partition, name)) => (Some(partition), name),
        None => (None, bucket),
    };
    let name = BucketName::new(name).map_err(|e| format!("--read-only: {e}"))?;
    let own = caller.partition().filter(|_| command.principal.is_some());
    let partitions = match (written, own) {
        (Some(bucket), Some(role)) if bucket != role => {
            return Err(format!(
                "--read-only: the bucket is in partition {bucket} and --principal in {role}; they have to be in one"
            ));
        }
        (Some(one), _) | (None, Some(one)) => BTreeSet::from([one.to_owned()]),
        (None, None) => partitions(&policies),
    };
    let partitions = partitions.into_iter();
    Ok(partitions.map(|p| input(p, &caller, &name, policies.clone())).collect())
}

/// The usual partition, and those that the policies name.
fn partitions(policies: &PolicySet) -> BTreeSet<String> {
    let PolicySet {
        identity,
        boundary,
        session: _,
        resource,
        service_control,
        resource_control,
        vpc_endpoint: _,
    } = policies;
    let control = service_control.iter().chain(resource_control).flatten();
    let all = identity.iter().chain(boundary).chain(resource).chain(control);
    let lists = all
        .flat_map(|policy| &policy.rules)
        .filter_map(|rule| match &rule.resources {
            Resources::Own => None,
            Resources::Named(list) | Resources::AllBut(list) => Some(list),
        });
    let named = lists.flatten().filter_map(|resource| {
        let (partition, _) = resource.source().strip_prefix("arn:")?.split_once(':')?;
        let literal = partition.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (literal && !partition.is_empty()).then(|| partition.to_owned())
    });
    named.chain(["aws".to_owned()]).collect()
}

fn input(partition: String, caller: &Caller, bucket: &BucketName, policies: PolicySet) -> ProofInput {
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
    } = policies;
    let arn = format!("arn:{partition}:s3:::{bucket}");
    let mut caller = caller.clone();
    if let Caller::Role { partition: own, .. } = &mut caller {
        *own = partition;
    }
    ProofInput {
        buckets: vec![BucketFacts {
            arn,
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
    }
}

/// The same without the Denies that ask for the role's account.
fn without_denials_by_account(input: &ProofInput) -> ProofInput {
    let mut input = input.clone();
    let own = input.role.identity.iter_mut().filter_map(|policy| match policy {
        Evidence::Seen(policy) => Some(policy),
        Evidence::Missing(_) | Evidence::Outside => None,
    });
    let of_bucket = input.buckets.iter_mut().filter_map(|bucket| match &mut bucket.policy {
        Evidence::Seen(policy) => policy.as_mut(),
        Evidence::Missing(_) | Evidence::Outside => None,
    });
    let all = own
        .chain(of_bucket)
        .chain(&mut input.role.boundary)
        .chain(&mut input.organization);
    for policy in all {
        policy.rules.retain(|rule| {
            let asks = rule
                .conditions
                .iter()
                .any(|c| c.key().eq_ignore_ascii_case("aws:PrincipalAccount"));
            rule.effect == Effect::Allow || !asks
        });
    }
    input
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
