//! Training roles, and what they may read.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use crate::api::{Adoption, ForeignPolicies, ObjectTag, ReadAccess, ServiceAccountRef, TrainingRole, WorkloadIdentity};
use crate::domain::iam::limits;
use crate::domain::names::{AccountId, Partition, RoleName};
use crate::domain::policy::{BucketTarget, OperatorSettings, ReadGrant, RoleTarget, ServiceAccount};

/// Default and shortest `MaxSessionDuration`, seconds (IAM API reference, `CreateRole`).
const DEFAULT_SESSION_SECONDS: i32 = 3600;

pub(super) fn validate_roles(
    roles: &[TrainingRole],
    buckets: &[BucketTarget],
    (account, partition): (&AccountId, Partition),
    settings: &OperatorSettings,
    problems: &mut Problems,
) -> Vec<RoleTarget> {
    let mut names = BTreeSet::new();
    let mut out = Vec::with_capacity(roles.len());
    for role in roles {
        let TrainingRole {
            name: raw,
            service_accounts,
            workload_identity,
            read,
            managed_policy_arns,
            permissions_boundary_arn,
            max_session_duration_seconds,
            foreign_policies,
            adoption,
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
        if let Some(problem) = identity_problem(*workload_identity, account, settings) {
            problems.add(format!("{field}.workloadIdentity: {problem}"));
        }
        let seconds = max_session_duration_seconds.unwrap_or(DEFAULT_SESSION_SECONDS);
        if !(3600..=43_200).contains(&seconds) {
            problems.add(format!(
                "{field}.maxSessionDurationSeconds: {seconds} lies outside 3600 to 43200"
            ));
        }
        for ServiceAccountRef { namespace, name } in service_accounts {
            if !is_dns_name(namespace) || !is_dns_name(name) {
                problems.add(format!(
                    "{field}.serviceAccounts[{namespace}/{name}]: not the name of a ServiceAccount; expected lower-case letters, digits, dots and hyphens"
                ));
            }
        }
        for arn in managed_policy_arns.iter().chain(permissions_boundary_arn) {
            check_policy_arn(&field, arn, partition, problems);
        }
        let boundary = boundary(&field, permissions_boundary_arn.as_ref(), settings, problems);
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
            workload_identity: *workload_identity,
            read,
            managed_policy_arns: managed_policy_arns.iter().cloned().collect(),
            permissions_boundary_arn: boundary,
            max_session_duration_seconds: seconds,
            foreign_policies: foreign_policies.unwrap_or(ForeignPolicies::Report),
            adoption: adoption.unwrap_or(Adoption::Never),
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// Why pods can't get credentials this way.
fn identity_problem(identity: WorkloadIdentity, account: &AccountId, settings: &OperatorSettings) -> Option<String> {
    match (identity, &settings.oidc_provider_arn, &settings.eks_cluster) {
        (WorkloadIdentity::Irsa, None, _) => Some(
            "IRSA needs the cluster's OIDC provider: --oidc-provider-arn, as the operator is started with".to_owned(),
        ),
        (WorkloadIdentity::PodIdentity, _, None) => {
            Some("PodIdentity needs the EKS cluster: --eks-cluster-arn, as the operator is started with".to_owned())
        }
        // EKS API reference, CreatePodIdentityAssociation: the role is of the cluster's account.
        (WorkloadIdentity::PodIdentity, _, Some(cluster)) if cluster.account != *account => Some(format!(
            "associations of cluster {} can only name roles of its account {}; use IRSA for roles of account {account}",
            cluster.name, cluster.account
        )),
        (WorkloadIdentity::Irsa, Some(_), _) | (WorkloadIdentity::PodIdentity, _, Some(_)) => None,
    }
}

/// A role has one boundary. The operator's is a cap, which a policy may repeat but not replace.
fn boundary(field: &str, own: Option<&String>, settings: &OperatorSettings, problems: &mut Problems) -> Option<String> {
    if let (Some(own), Some(cap)) = (own, &settings.role_boundary_arn)
        && own != cap
    {
        problems.add(format!(
            "{field}.permissionsBoundaryARN: the operator's configuration (roleBoundaryARN) puts {cap} on every role of the account; leave the field out"
        ));
    }
    settings.role_boundary_arn.as_ref().or(own).cloned()
}

/// `arn:PARTITION:iam::ACCOUNT-or-aws:policy/PATH-AND-NAME`.
fn check_policy_arn(field: &str, arn: &str, partition: Partition, problems: &mut Problems) {
    let rest = arn.strip_prefix(&format!("arn:{partition}:iam::"));
    let name = rest.and_then(|rest| {
        let (account, name) = rest.split_once(":policy/")?;
        (account == "aws" || AccountId::new(account).is_ok()).then_some(name)
    });
    if name.is_none_or(|name| name.is_empty() || limits::refused_character(name).is_some()) {
        problems.add(format!(
            "{field}: {arn:?} is not the ARN of a managed policy in partition {partition}; expected arn:{partition}:iam::ACCOUNT:policy/NAME"
        ));
    }
}

/// Names that Kubernetes gives to namespaces and ServiceAccounts. Checked also because a `sub` with `*` or `${` in it would
/// not be taken literally by IAM.
fn is_dns_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (1..=253).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

/// The characters that S3 guarantees for tags of objects, none of which has a meaning in a policy.
fn is_tag_text(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || " +=._:/@-".contains(c))
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
                object_tags: BTreeMap::new(),
            })
            .collect();
    }
    let mut grants = Vec::with_capacity(read.len());
    for ReadAccess {
        bucket,
        prefixes,
        object_tags,
    } in read
    {
        let Some(target) = buckets.iter().find(|b| b.name.as_str() == bucket) else {
            problems.add(format!("{field}.read[{bucket}]: not one of spec.buckets; a role can only be given data that this policy protects"));
            continue;
        };
        if let Some(bad) = prefixes.iter().find(|p| p.contains(['*', '?', '$'])) {
            problems.add(format!(
                "{field}.read[{bucket}].prefixes: {bad:?} is taken literally and may not contain *, ? or $"
            ));
        }
        if let Some(bad) = prefixes.iter().find(|p| limits::refused_character(p).is_some()) {
            problems.add(format!(
                "{field}.read[{bucket}].prefixes: {bad:?} has a character that IAM takes in no policy (above U+00FF, or a control character); use a prefix that ends before it"
            ));
        }
        let mut tags = BTreeMap::new();
        for ObjectTag { key, value } in object_tags {
            if key.is_empty() || !is_tag_text(key) || !is_tag_text(value) {
                problems.add(format!(
                    "{field}.read[{bucket}].objectTags[{key:?}]: expected letters, digits, spaces and +=._:/@- in key and value"
                ));
            }
            if tags.insert(key.clone(), value.clone()).is_some() {
                problems.add(format!("{field}.read[{bucket}].objectTags[{key:?}]: named twice"));
            }
        }
        grants.push(ReadGrant {
            bucket: target.name.clone(),
            prefixes: prefixes.iter().cloned().collect(),
            object_tags: tags,
        });
    }
    grants.sort();
    grants
}
