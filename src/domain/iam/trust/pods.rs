//! What is wrong with a trust policy for EKS Pod Identity.

use std::collections::BTreeSet;

use super::{Restriction, TrustDefect, judge_principals, list, restriction};
use crate::api::Severity;
use crate::domain::document::{ActionElement, Effect, PolicyDocument, PrincipalKind, Statement, Version};
use crate::domain::iam::pod_identity::{ACCOUNT_KEY, ACTIONS, CLUSTER_KEY, EksCluster, NAMESPACE_KEY, PRINCIPAL};
use crate::domain::policy::ServiceAccount;

/// Whom a role must trust, for Pod Identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantPods {
    /// The cluster.
    pub cluster: EksCluster,
    /// Exactly these ServiceAccounts.
    pub accounts: BTreeSet<ServiceAccount>,
}

/// Everything by which `seen` lets in others than `want` says, or keeps those out.
pub fn defects(seen: &PolicyDocument, want: &WantPods) -> Vec<TrustDefect> {
    let mut out = Vec::new();
    let mut trusted = BTreeSet::new();
    for (index, statement) in seen.statements.iter().enumerate() {
        match statement.effect {
            Effect::Allow => trusted.extend(judge_allow(index, statement, seen.version, want, &mut out)),
            // A Deny lets nobody in.
            Effect::Deny => {}
        }
    }
    let shut_out = names(want.accounts.difference(&trusted));
    if !shut_out.is_empty() {
        out.push(TrustDefect {
            severity: Severity::Medium,
            path: "trustPolicy.serviceAccounts".into(),
            want: list(&names(&want.accounts)),
            have: list(&names(want.accounts.intersection(&trusted))),
            message: format!("listed ServiceAccounts cannot assume the role: {}", list(&shut_out)),
        });
    }
    out
}

fn names<'a>(accounts: impl IntoIterator<Item = &'a ServiceAccount>) -> BTreeSet<String> {
    accounts
        .into_iter()
        .map(|a| format!("{}/{}", a.namespace, a.name))
        .collect()
}

/// Judges one Allow; returns the wanted ServiceAccounts that it lets in.
fn judge_allow(
    index: usize,
    statement: &Statement,
    version: Version,
    want: &WantPods,
    out: &mut Vec<TrustDefect>,
) -> BTreeSet<ServiceAccount> {
    let at = |part: &str| format!("trustPolicy.Statement[{index}].{part}");
    if !judge_principals(&at("Principal"), statement, (PrincipalKind::Service, PRINCIPAL), out) {
        return BTreeSet::new();
    }
    let usable = judge_actions(&at("Action"), &statement.action, out);
    let only = |key: &str| match restriction(statement, key, version) {
        Restriction::Only(values) => Ok(values),
        open @ Restriction::Open(_) => Err(open.to_string()),
    };
    let cluster = only(CLUSTER_KEY);
    let here = cluster.as_ref().is_ok_and(|arns| arns.contains(&want.cluster.arn));
    if cluster != Ok(BTreeSet::from([want.cluster.arn.clone()])) {
        out.push(TrustDefect {
            severity: Severity::High,
            path: at("cluster"),
            want: want.cluster.arn.clone(),
            have: cluster.as_ref().map_or_else(Clone::clone, list),
            message: "pods of other clusters of the account can assume the role".into(),
        });
    }
    let open = cluster.is_err();
    let (namespaces, accounts) = (only(NAMESPACE_KEY), only(ACCOUNT_KEY));
    let (Ok(namespaces), Ok(accounts)) = (&namespaces, &accounts) else {
        let shown = |side: &Result<BTreeSet<String>, String>| side.as_ref().map_or_else(Clone::clone, list);
        out.push(TrustDefect {
            severity: Severity::Critical,
            path: at("serviceAccounts"),
            want: list(&names(&want.accounts)),
            have: format!("namespace {}, ServiceAccount {}", shown(&namespaces), shown(&accounts)),
            message: "pods of any ServiceAccount for which somebody makes an association can assume the role".into(),
        });
        return if usable && (here || open) {
            want.accounts.clone()
        } else {
            BTreeSet::new()
        };
    };
    let pair = |namespace: &String| {
        accounts
            .iter()
            .map(|name| (namespace.clone(), name.clone()))
            .collect::<Vec<_>>()
    };
    let let_in: BTreeSet<ServiceAccount> = namespaces
        .iter()
        .flat_map(pair)
        .map(|(namespace, name)| ServiceAccount { namespace, name })
        .collect();
    let unlisted = names(let_in.difference(&want.accounts));
    if !unlisted.is_empty() {
        out.push(TrustDefect {
            severity: Severity::High,
            path: at("serviceAccounts"),
            want: list(&names(&want.accounts)),
            have: list(&names(&let_in)),
            message: format!(
                "ServiceAccounts that the policy does not list can assume the role: {}",
                list(&unlisted)
            ),
        });
    }
    if usable && (here || open) {
        let_in.intersection(&want.accounts).cloned().collect()
    } else {
        BTreeSet::new()
    }
}

/// Judges the actions; returns whether pods get credentials at all: their sessions are tagged, so that both are needed.
fn judge_actions(path: &str, action: &ActionElement, out: &mut Vec<TrustDefect>) -> bool {
    let wanted = || ACTIONS.join(", ");
    let patterns = match action {
        ActionElement::Action(patterns) => patterns,
        ActionElement::NotAction(patterns) => {
            out.push(TrustDefect {
                severity: Severity::High,
                path: path.to_owned(),
                want: wanted(),
                have: format!("NotAction {}", patterns.join(", ")),
                message: "the statement allows every way to assume the role but the named ones".into(),
            });
            return true;
        }
    };
    let wild = |p: &String| p.contains(['*', '?']);
    let is_ours = |p: &String| ACTIONS.iter().any(|a| p.eq_ignore_ascii_case(a));
    let has = |action: &str| patterns.iter().any(|p| p.eq_ignore_ascii_case(action) || wild(p));
    if !patterns.iter().all(is_ours) {
        let any_wild = patterns.iter().any(wild);
        out.push(TrustDefect {
            severity: if any_wild { Severity::High } else { Severity::Medium },
            path: path.to_owned(),
            want: wanted(),
            have: patterns.join(", "),
            message: "the statement allows other actions than giving pods a tagged session".into(),
        });
    }
    ACTIONS.iter().all(|action| has(action))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::iam::pod_identity::trust;

    const ARN: &str = "arn:aws:eks:eu-west-1:123456789012:cluster/training";

    fn want() -> WantPods {
        let account = |namespace: &str, name: &str| ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        WantPods {
            cluster: EksCluster::parse(ARN).unwrap(),
            accounts: BTreeSet::from([account("ml", "a"), account("prod", "c")]),
        }
    }

    fn good() -> Value {
        let WantPods { cluster, accounts } = want();
        trust(&cluster, &accounts)
    }

    type Change = fn(&mut Value);

    /// Severity and path of what is wrong.
    fn found(document: &Value) -> Vec<(Severity, String)> {
        let document = PolicyDocument::parse(&document.to_string()).unwrap();
        defects(&document, &want())
            .into_iter()
            .map(|d| (d.severity, d.path))
            .collect()
    }

    #[test]
    fn what_is_generated_has_no_defect() {
        assert_eq!(found(&good()), []);
    }

    #[test]
    fn each_widening_is_found() {
        let at = |part: &str| format!("trustPolicy.Statement[0].{part}");
        let equals = "/Statement/0/Condition/StringEquals";
        let cases: [(Change, Vec<(Severity, String)>); 9] = [
            (
                |d| d["Statement"][0]["Condition"] = json!({}),
                vec![
                    (Severity::High, at("cluster")),
                    (Severity::Critical, at("serviceAccounts")),
                ],
            ),
            (
                |d| d["Statement"][0]["Condition"]["StringEquals"][NAMESPACE_KEY] = json!(["ml", "default"]),
                vec![(Severity::High, at("serviceAccounts"))],
            ),
            (
                |d| {
                    d["Statement"][0]["Condition"]["StringLike"] = json!({ACCOUNT_KEY: "*"});
                    let equals = d["Statement"][0]["Condition"]["StringEquals"].as_object_mut().unwrap();
                    equals.remove(ACCOUNT_KEY);
                },
                vec![(Severity::Critical, at("serviceAccounts"))],
            ),
            (
                |d| {
                    let equals = d["Statement"][0]["Condition"]["StringEquals"].take();
                    d["Statement"][0]["Condition"] = json!({"StringEqualsIfExists": equals});
                },
                vec![
                    (Severity::High, at("cluster")),
                    (Severity::Critical, at("serviceAccounts")),
                ],
            ),
            (
                |d| {
                    d["Statement"][0]["Condition"]["StringEquals"][CLUSTER_KEY] =
                        json!("arn:aws:eks:eu-west-1:123456789012:cluster/other");
                },
                vec![
                    (Severity::High, at("cluster")),
                    (Severity::Medium, "trustPolicy.serviceAccounts".to_owned()),
                ],
            ),
            (
                |d| d["Statement"][0]["Action"] = json!("sts:*"),
                vec![(Severity::High, at("Action"))],
            ),
            (
                |d| d["Statement"][0]["Action"] = json!("sts:AssumeRole"),
                vec![(Severity::Medium, "trustPolicy.serviceAccounts".to_owned())],
            ),
            (
                |d| d["Statement"][0]["Principal"]["AWS"] = json!("arn:aws:iam::123456789012:root"),
                vec![(Severity::Critical, at("Principal[arn:aws:iam::123456789012:root]"))],
            ),
            (
                |d| d["Statement"][0]["Principal"] = json!({"Service": "ec2.amazonaws.com"}),
                vec![
                    (Severity::Critical, at("Principal[ec2.amazonaws.com]")),
                    (Severity::Medium, "trustPolicy.serviceAccounts".to_owned()),
                ],
            ),
        ];
        for (number, (change, expected)) in cases.into_iter().enumerate() {
            let mut document = good();
            assert!(document.pointer(equals).is_some());
            change(&mut document);
            assert_eq!(found(&document), expected, "case {number}: {document}");
        }
    }
}
