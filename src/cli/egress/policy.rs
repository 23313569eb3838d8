//! `--policy`: reads the policy to compare with.

use std::collections::BTreeMap;
use std::path::Path;

use kube::Resource;
use serde::Deserialize;

use super::files;
use crate::api::AIDataProtectionPolicy;
use crate::domain::egress::desired::{Facts, Identity, label_selector, network_policy, object_name};
use crate::domain::egress::manifest::{Problem, unknown_field};
use crate::domain::egress::network_policy::EgressPolicy;
use crate::domain::egress::report::WantedRule;
use crate::domain::egress::selector::{Labels, Selector};
use crate::domain::policy::{Destination, EgressTarget, InvalidSpec, egress_targets};

/// The rules of every policy in the file.
///
/// # Errors
/// The file can't be read, or holds something else, or a policy without valid egress rules.
pub(super) fn read(path: &Path) -> Result<Vec<WantedRule>, Vec<Problem>> {
    let file = path.display().to_string();
    let problem = |document, object: Option<String>, field: String, problem: String| Problem {
        file: file.clone(),
        document,
        object,
        field,
        problem,
    };
    let text = files::text(path).map_err(|e| vec![problem(None, None, String::new(), e.to_string())])?;
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for (i, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
        let at = Some(i + 1);
        let value = serde_yaml::Value::deserialize(document);
        let value = match value.and_then(|mut value| value.apply_merge().map(|()| value)) {
            Ok(value) if value.is_null() => continue,
            Ok(value) => value,
            Err(e) => {
                problems.push(problem(at, None, String::new(), e.to_string()));
                break;
            }
        };
        match policy_rules(&value) {
            Ok(found) => rules.extend(found),
            Err(refusals) => problems.extend(
                refusals
                    .into_iter()
                    .map(|(object, field, why)| problem(at, object, field, why)),
            ),
        }
    }
    if problems.is_empty() && rules.is_empty() {
        problems.push(problem(
            None,
            None,
            String::new(),
            "no AIDataProtectionPolicy with egress rules".to_owned(),
        ));
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

type Refusal = (Option<String>, String, String);

fn policy_rules(value: &serde_yaml::Value) -> Result<Vec<WantedRule>, Vec<Refusal>> {
    for (field, want) in [
        ("apiVersion", AIDataProtectionPolicy::api_version(&())),
        ("kind", AIDataProtectionPolicy::kind(&())),
    ] {
        if value.get(field).and_then(serde_yaml::Value::as_str) != Some(&*want) {
            return Err(vec![(None, field.to_owned(), format!("expected {want}"))]);
        }
    }
    let policy: AIDataProtectionPolicy = serde_path_to_error::deserialize(value)
        .map_err(|e| vec![(None, e.path().to_string(), e.inner().to_string())])?;
    let name = policy.metadata.name.clone().unwrap_or_default();
    let object = Some(format!("AIDataProtectionPolicy {name}"));
    if let Some(field) = unknown_field(value, &policy.spec) {
        return Err(vec![(object, field, "an unknown field".to_owned())]);
    }
    // The operator's own namespace is not known here; refusing it is the operator's business.
    let targets = egress_targets(&policy.spec.egress, "").map_err(|InvalidSpec { problems }| {
        let refusal = |problem: String| match problem.split_once(": ") {
            Some((field, why)) => (object.clone(), format!("spec.{field}"), why.to_owned()),
            None => (object.clone(), "spec.egress".to_owned(), problem),
        };
        problems.into_iter().map(refusal).collect::<Vec<_>>()
    })?;
    let rules = targets.iter().map(|t| wanted(&name, t));
    rules
        .collect::<Result<_, _>>()
        .map_err(|(field, why)| vec![(object, format!("spec.egress{field}"), why)])
}

fn wanted(policy: &str, target: &EgressTarget) -> Result<WantedRule, (String, String)> {
    let field = |of: &str| format!("[{}].{of}", target.name);
    if let Some(service) = target.allow.iter().find_map(Destination::aws_service) {
        let why = format!(
            "where the AWS service {service} is, only the operator knows; compare with a copy of the policy that names the \
             addresses ({{type: CIDR}})"
        );
        return Err((field("allow"), why));
    }
    let identity = Identity {
        name: object_name(policy, &target.name),
        namespace: String::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    };
    let built = network_policy(target, &Facts::default(), identity);
    let selector = |of, s| Selector::parse(&label_selector(s)).map_err(|e| (field(of), e.to_string()));
    Ok(WantedRule {
        name: target.name.clone(),
        namespaces: selector("namespaceSelector", &target.namespace_selector)?,
        pods: selector("podSelector", &target.pod_selector)?,
        policy: built.map_err(|e| (field("allow"), e.to_string()))?,
    })
}

/// The NetworkPolicies that the operator makes of the rules in these namespaces.
pub(super) fn enforced(rules: &[WantedRule], namespaces: &BTreeMap<String, Labels>) -> Vec<EgressPolicy> {
    let pairs = rules
        .iter()
        .flat_map(|rule| namespaces.iter().map(move |ns| (rule, ns)));
    pairs
        .filter(|(rule, (_, labels))| rule.namespaces.matches(labels))
        .filter_map(|(rule, (namespace, _))| {
            let mut policy = rule.policy.clone();
            policy.metadata.namespace = Some(namespace.clone());
            EgressPolicy::read(&policy).ok()
        })
        .collect()
}
