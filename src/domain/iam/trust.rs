//! What is wrong with a trust policy: everybody who could assume the role and should not, in words and with a severity.
//! Does not live here: what the trust must be (`iam::role`, `iam::pod_identity`).
//!
//! Judged statement by statement, each for itself: Allows only ever add to each other. A condition counts as restricting
//! only where it does so for every token; what is not understood counts as open.

mod pods;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use pods::{WantPods, defects as pod_defects};

use super::role::{AUDIENCE, OidcProvider};
use crate::api::Severity;
use crate::domain::document::{
    ActionElement, Condition, Effect, PolicyDocument, PrincipalElement, PrincipalKind, Principals, Statement, Version,
};

/// One thing wrong with a trust policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDefect {
    /// How bad.
    pub severity: Severity,
    /// Where, e.g. `trustPolicy.Statement[1].sub`.
    pub path: String,
    /// Wanted value.
    pub want: String,
    /// Value found.
    pub have: String,
    /// What follows from it, one sentence without a full stop.
    pub message: String,
}

/// Whom a role must trust, for IRSA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantTrust {
    /// The cluster's provider.
    pub provider: OidcProvider,
    /// Exactly these `sub`s.
    pub subjects: BTreeSet<String>,
}

/// Action by which a token becomes credentials.
const WEB_IDENTITY: &str = "sts:AssumeRoleWithWebIdentity";

/// Everything by which `seen` lets in others than `want` says, or keeps those out.
pub fn defects(seen: &PolicyDocument, want: &WantTrust) -> Vec<TrustDefect> {
    let mut out = Vec::new();
    let mut trusted = BTreeSet::new();
    for (index, statement) in seen.statements.iter().enumerate() {
        match statement.effect {
            Effect::Allow => trusted.extend(judge_allow(index, statement, seen.version, want, &mut out)),
            // A Deny lets nobody in.
            Effect::Deny => {}
        }
    }
    let shut_out: Vec<&str> = want.subjects.difference(&trusted).map(String::as_str).collect();
    if !shut_out.is_empty() {
        out.push(TrustDefect {
            severity: Severity::Medium,
            path: "trustPolicy.serviceAccounts".into(),
            want: list(&want.subjects),
            have: list(&trusted),
            message: format!("listed ServiceAccounts cannot assume the role: {}", shut_out.join(", ")),
        });
    }
    out
}

/// The Deny statements of a trust policy. They are not ours and can only keep people out, as in an incident; a repair
/// keeps them, but for those that name deleted identities alone: they cover nobody, and IAM refuses to store them again.
pub fn foreign_denies(seen: &PolicyDocument) -> Vec<Statement> {
    seen.statements
        .iter()
        .filter(|s| s.effect == Effect::Deny && !only_dead_principals(s))
        .cloned()
        .collect()
}

fn only_dead_principals(statement: &Statement) -> bool {
    match &statement.principal {
        Some(PrincipalElement::Principal(Principals {
            everyone: false,
            entries,
        })) => entries
            .iter()
            .all(|(kind, values)| *kind == PrincipalKind::Aws && values.iter().all(|v| is_dead(v))),
        Some(PrincipalElement::Principal(_) | PrincipalElement::NotPrincipal(_)) | None => false,
    }
}

/// Whether a principal is the unique id that AWS leaves where a user (`AIDA…`) or role (`AROA…`) was deleted (IAM User
/// Guide, "Unique identifiers").
pub fn is_dead(principal: &str) -> bool {
    (principal.starts_with("AROA") || principal.starts_with("AIDA"))
        && principal.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// Judges one Allow; returns the wanted subjects that it lets in.
fn judge_allow(
    index: usize,
    statement: &Statement,
    version: Version,
    want: &WantTrust,
    out: &mut Vec<TrustDefect>,
) -> BTreeSet<String> {
    let at = |part: &str| format!("trustPolicy.Statement[{index}].{part}");
    let provider = (PrincipalKind::Federated, want.provider.arn.as_str());
    if !judge_principals(&at("Principal"), statement, provider, out) {
        return BTreeSet::new();
    }
    let web_identity = judge_actions(&at("Action"), &statement.action, out);
    let issuer = &want.provider.issuer;
    let audience = restriction(statement, &format!("{issuer}:aud"), version);
    if audience != Restriction::Only(BTreeSet::from([AUDIENCE.to_owned()])) {
        out.push(TrustDefect {
            severity: Severity::High,
            path: at("aud"),
            want: AUDIENCE.into(),
            have: audience.to_string(),
            message: "tokens that were issued for other services can be used to assume the role".into(),
        });
    }
    match restriction(statement, &format!("{issuer}:sub"), version) {
        Restriction::Only(subjects) => {
            let unlisted: BTreeSet<String> = subjects.difference(&want.subjects).cloned().collect();
            if !unlisted.is_empty() {
                out.push(TrustDefect {
                    severity: Severity::High,
                    path: at("sub"),
                    want: list(&want.subjects),
                    have: list(&subjects),
                    message: format!(
                        "ServiceAccounts that the policy does not list can assume the role: {}",
                        list(&unlisted)
                    ),
                });
            }
            if web_identity {
                subjects.intersection(&want.subjects).cloned().collect()
            } else {
                BTreeSet::new()
            }
        }
        open @ Restriction::Open(_) => {
            out.push(TrustDefect {
                severity: Severity::Critical,
                path: at("sub"),
                want: list(&want.subjects),
                have: open.to_string(),
                message:
                    "ServiceAccounts that the policy does not list, or every token of the cluster, can assume the role"
                        .into(),
            });
            if web_identity {
                want.subjects.clone()
            } else {
                BTreeSet::new()
            }
        }
    }
}

/// Judges whom a statement is about; returns whether the principal through which our pods come is among them.
fn judge_principals(
    path: &str,
    statement: &Statement,
    want: (PrincipalKind, &str),
    out: &mut Vec<TrustDefect>,
) -> bool {
    let mut push = |severity, have: &str, message: &str| {
        out.push(TrustDefect {
            severity,
            path: format!("{path}[{have}]"),
            want: want.1.to_owned(),
            have: have.to_owned(),
            message: message.to_owned(),
        });
    };
    let Some(element) = &statement.principal else {
        push(Severity::Critical, "none", "the statement names no principal");
        return false;
    };
    let Principals { everyone, entries } = match element {
        PrincipalElement::Principal(principals) => principals,
        PrincipalElement::NotPrincipal(_) => {
            push(
                Severity::Critical,
                "NotPrincipal",
                "everybody but the named principals can assume the role",
            );
            return false;
        }
    };
    if *everyone {
        push(Severity::Critical, "*", "everybody can assume the role");
    }
    let mut ours = false;
    for (kind, values) in entries {
        for value in values {
            if (*kind, value.as_str()) == want {
                ours = true;
                continue;
            }
            match kind {
                PrincipalKind::Federated => push(
                    Severity::High,
                    value,
                    "an identity provider that is not the cluster's can assume the role",
                ),
                PrincipalKind::Aws if is_dead(value) => push(
                    Severity::Medium,
                    value,
                    "the statement names a deleted identity, which can never match again",
                ),
                PrincipalKind::Aws => push(
                    Severity::Critical,
                    value,
                    "an account, user or role besides the listed ServiceAccounts can assume the role",
                ),
                PrincipalKind::Service | PrincipalKind::CanonicalUser => push(
                    Severity::Critical,
                    value,
                    "an AWS service besides the listed ServiceAccounts can assume the role",
                ),
            }
        }
    }
    ours
}

/// Judges the actions; returns whether tokens can be exchanged at all.
fn judge_actions(path: &str, action: &ActionElement, out: &mut Vec<TrustDefect>) -> bool {
    let patterns = match action {
        ActionElement::Action(patterns) => patterns,
        ActionElement::NotAction(patterns) => {
            out.push(TrustDefect {
                severity: Severity::High,
                path: path.to_owned(),
                want: WEB_IDENTITY.into(),
                have: format!("NotAction {}", patterns.join(", ")),
                message: "the statement allows every way to assume the role but the named ones".into(),
            });
            return true;
        }
    };
    let is_ours = |p: &String| p.eq_ignore_ascii_case(WEB_IDENTITY);
    let wild = |p: &String| p.contains(['*', '?']);
    if !patterns.iter().all(is_ours) {
        let any_wild = patterns.iter().any(wild);
        out.push(TrustDefect {
            severity: if any_wild { Severity::High } else { Severity::Medium },
            path: path.to_owned(),
            want: WEB_IDENTITY.into(),
            have: patterns.join(", "),
            message: "the statement allows other actions than exchanging a token of the cluster".into(),
        });
    }
    patterns.iter().any(|p| is_ours(p) || wild(p))
}

/// What the conditions of a statement say about one key, for every token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Restriction {
    /// The key must be there with one of these values.
    Only(BTreeSet<String>),
    /// Any value passes, or some pattern does; with the conditions that try.
    Open(Vec<String>),
}

impl std::fmt::Display for Restriction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Only(values) => f.write_str(&list(values)),
            Self::Open(conditions) if conditions.is_empty() => f.write_str("no condition"),
            Self::Open(conditions) => f.write_str(&conditions.join(", ")),
        }
    }
}

/// Conditions are ANDed: one that names exact values is enough, several leave what they have in common.
fn restriction(statement: &Statement, key: &str, version: Version) -> Restriction {
    let mut only: Option<BTreeSet<String>> = None;
    let mut open = Vec::new();
    for condition in statement.conditions.iter().filter(|c| c.key.eq_ignore_ascii_case(key)) {
        match (exact_values(condition, version), only.take()) {
            (Some(values), None) => only = Some(values),
            (Some(values), Some(before)) => only = Some(before.intersection(&values).cloned().collect()),
            (None, before) => {
                only = before;
                open.push(format!("{} {}", condition.operator, condition.values.join("|")));
            }
        }
    }
    only.map_or(Restriction::Open(open), Restriction::Only)
}

/// The values that a condition lets through, if it lets through nothing else, whatever the token carries. `…IfExists` and
/// `ForAllValues:` are true where the key is missing, patterns and variables stand for more than their text.
fn exact_values(condition: &Condition, version: Version) -> Option<BTreeSet<String>> {
    let operator = condition.operator.to_ascii_lowercase();
    let base = operator.strip_prefix("foranyvalue:").unwrap_or(&operator);
    let patterns = match base {
        "stringequals" => false,
        "stringlike" => true,
        _ => return None,
    };
    let open = |value: &String| {
        (patterns && value.contains(['*', '?'])) || (version == Version::V2012 && value.contains("${"))
    };
    if condition.values.iter().any(open) {
        return None;
    }
    Some(condition.values.iter().cloned().collect())
}

fn list(values: &BTreeSet<String>) -> String {
    if values.is_empty() {
        return "none".into();
    }
    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
