//! Training roles, and what they may read.

use std::collections::BTreeSet;

use super::Problems;
use crate::api::{ReadAccess, ServiceAccountRef, TrainingRole};
use crate::domain::names::RoleName;
use crate::domain::policy::{BucketTarget, OperatorSettings, ReadGrant, RoleTarget, ServiceAccount};

/// Default and shortest `MaxSessionDuration`, seconds (IAM API reference, `CreateRole`).
const DEFAULT_SESSION_SECONDS: i32 = 3600;

pub(super) fn validate_roles(
    roles: &[TrainingRole],
    buckets: &[BucketTarget],
    settings: &OperatorSettings,
    problems: &mut Problems,
) -> Vec<RoleTarget> {
    let mut names = BTreeSet::new();
    let mut out = Vec::with_capacity(roles.len());
    for role in roles {
        let TrainingRole {
            name: raw,
            service_accounts,
            workload_identity: _irsa_only,
            read,
            managed_policy_arns,
            max_session_duration_seconds,
        } = role;
        let field = format!("trainingRoles[{raw}]");
        let Some(name) = problems.name(&field, RoleName::new(raw)) else {
            continue;
        };
        if !names.insert(raw.to_ascii_lowercase()) {
            problems.add(format!("{field}: IAM role names are unique without regard to case"));
        }
        if service_accounts.is_empty() {
            problems.add(format!("{field}.serviceAccounts: name at least one"));
        }
        if settings.oidc_provider_arn.is_none() {
            problems.add(format!("{field}.workloadIdentity: IRSA needs the cluster's OIDC provider; start the operator with --oidc-provider-arn"));
        }
        let seconds = max_session_duration_seconds.unwrap_or(DEFAULT_SESSION_SECONDS);
        if !(3600..=43_200).contains(&seconds) {
            problems.add(format!(
                "{field}.maxSessionDurationSeconds: {seconds} lies outside 3600 to 43200"
            ));
        }
        let read = validate_read(&field, read, buckets, problems);
        out.push(RoleTarget {
            name,
            service_accounts: service_accounts
                .iter()
                .map(|ServiceAccountRef { namespace, name }| ServiceAccount {
                    namespace: namespace.clone(),
                    name: name.clone(),
                })
                .collect(),
            read,
            managed_policy_arns: managed_policy_arns.iter().cloned().collect(),
            max_session_duration_seconds: seconds,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn validate_read(
    field: &str,
    read: &[ReadAccess],
    buckets: &[BucketTarget],
    problems: &mut Problems,
) -> Vec<ReadGrant> {
    if buckets.is_empty() {
        problems.add(format!("{field}: the policy names no bucket that the role could read"));
    }
    if read.is_empty() {
        return buckets
            .iter()
            .map(|b| ReadGrant {
                bucket: b.name.clone(),
                prefixes: BTreeSet::new(),
            })
            .collect();
    }
    let mut grants = Vec::with_capacity(read.len());
    for ReadAccess { bucket, prefixes } in read {
        let Some(target) = buckets.iter().find(|b| b.name.as_str() == bucket) else {
            problems.add(format!("{field}.read[{bucket}]: not one of spec.buckets; a role can only be given data that this policy protects"));
            continue;
        };
        if let Some(bad) = prefixes.iter().find(|p| p.contains(['*', '?', '$'])) {
            problems.add(format!(
                "{field}.read[{bucket}].prefixes: {bad:?} is taken literally and may not contain *, ? or $"
            ));
        }
        grants.push(ReadGrant {
            bucket: target.name.clone(),
            prefixes: prefixes.iter().cloned().collect(),
        });
    }
    grants.sort();
    grants
}
