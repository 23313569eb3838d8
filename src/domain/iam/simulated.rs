//! For tests: a policy to judge, and IAM in a few lines, which does to a role what the actions say.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::AIDataProtectionPolicySpec;
use crate::domain::action::{Action, PlannedAction};
use crate::domain::fixture;
use crate::domain::iam::plan_role;
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::names::RoleName;
use crate::domain::observed::{AccountObservation, CallError, ErrorClass, Observed, RoleObservation};
use crate::domain::policy::{OperatorSettings, PolicySource, ValidatedPolicy, validate};

pub const CLUSTER: &str = "cluster-one";
pub const ISSUER: &str = "oidc.example.com/id/ABCD";

/// Settings without a boundary.
pub fn settings() -> OperatorSettings {
    OperatorSettings {
        role_boundary_arn: None,
        ..fixture::settings()
    }
}

pub const EKS: &str = "arn:aws:eks:eu-west-1:123456789012:cluster/training";

/// Settings of an operator that knows its EKS cluster.
pub fn settings_with_eks() -> OperatorSettings {
    OperatorSettings {
        eks_cluster: EksCluster::parse(EKS).ok(),
        ..settings()
    }
}

/// [`policy`] with Pod Identity.
pub fn pod_identity_policy() -> ValidatedPolicy {
    policy_of(
        &SPEC.replace("workloadIdentity: IRSA", "workloadIdentity: PodIdentity"),
        &settings_with_eks(),
    )
}

/// The policy of a spec in YAML.
pub fn policy_of(yaml: &str, settings: &OperatorSettings) -> ValidatedPolicy {
    let spec: AIDataProtectionPolicySpec = serde_yaml::from_str(yaml).unwrap();
    let source = PolicySource {
        name: "fraud-model".into(),
        generation: 1,
        ..PolicySource::default()
    };
    validate(&spec, source, settings, fixture::now()).unwrap()
}

pub const SPEC: &str = "
mode: Enforce
account: {id: '123456789012', region: eu-west-1}
bucketControls:
  encryption: {algorithm: SSE-KMS, kmsKeys: [{region: eu-west-1, keyARN: 'arn:aws:kms:eu-west-1:123456789012:key/1234abcd'}]}
buckets: [{name: fraud-data}, {name: fraud-features}]
trainingRoles:
- name: fraud-trainer
  workloadIdentity: IRSA
  serviceAccounts: [{namespace: ml, name: trainer}]
  read: [{bucket: fraud-data, prefixes: ['curated/']}, {bucket: fraud-features}]
";

pub fn policy() -> ValidatedPolicy {
    policy_of(SPEC, &settings())
}

/// A managed policy that a job may need.
pub const MANAGED: &str = "arn:aws:iam::123456789012:policy/checkpoint-writer";
/// A managed policy that opens too much.
pub const FOREIGN: &str = "arn:aws:iam::aws:policy/AmazonS3FullAccess";

/// A document with one Allow.
pub fn allow(action: &str, resource: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": action, "Resource": resource},
    })
    .to_string()
}

pub fn role_name() -> RoleName {
    RoleName::new("fraud-trainer").unwrap()
}

/// What is seen when the policy's only role looks like this.
pub fn seen(role: Option<RoleObservation>) -> Observed {
    Observed {
        account: AccountObservation::default(),
        keys: BTreeMap::new(),
        caller: Ok(None),
        buckets: BTreeMap::new(),
        roles: BTreeMap::from([(role_name(), Ok(role))]),
        managed_policies: BTreeMap::from([
            (
                MANAGED.to_owned(),
                Ok(allow("s3:PutObject", "arn:aws:s3:::checkpoints/*")),
            ),
            (FOREIGN.to_owned(), Ok(allow("s3:*", "*"))),
        ]),
        cluster: Err(CallError {
            operation: "List",
            class: ErrorClass::Transient,
            code: None,
            message: "not read".into(),
        }),
    }
}

/// The policy's first role as the operator makes it.
pub fn made(policy: &ValidatedPolicy) -> RoleObservation {
    apply(
        None,
        &plan_role(policy, &policy.roles[0], &seen(None), fixture::now()).actions,
    )
    .unwrap()
}

/// What IAM does with the actions, one after the other.
pub fn apply(mut role: Option<RoleObservation>, actions: &[PlannedAction]) -> Option<RoleObservation> {
    for PlannedAction { action, repairs } in actions {
        assert!(!repairs.is_empty(), "{action} repairs nothing");
        role = apply_one(role, action);
    }
    role
}

/// What IAM does with one action.
pub fn apply_one(role: Option<RoleObservation>, action: &Action) -> Option<RoleObservation> {
    if let Action::CreateRole {
        role: name,
        path,
        trust_policy,
        max_session_duration_seconds,
        permissions_boundary_arn,
        tags,
    } = action
    {
        assert_eq!(role, None, "EntityAlreadyExists");
        return Some(RoleObservation {
            arn: format!("arn:aws:iam::123456789012:role{path}{name}"),
            role_id: "AROAEXAMPLE".into(),
            path: path.clone(),
            trust_policy: trust_policy.clone(),
            max_session_duration_seconds: *max_session_duration_seconds,
            permissions_boundary_arn: permissions_boundary_arn.clone(),
            tags: tags.clone(),
            inline_policies: BTreeMap::new(),
            attached_policy_arns: BTreeSet::new(),
            created_time: Some(fixture::now()),
            last_used_time: None,
        });
    }
    let mut role = role.expect("NoSuchEntity");
    match action.clone() {
        Action::UpdateAssumeRolePolicy { role: _, trust_policy } => role.trust_policy = trust_policy,
        Action::UpdateRole {
            role: _,
            max_session_duration_seconds,
        } => role.max_session_duration_seconds = max_session_duration_seconds,
        Action::PutRolePermissionsBoundary {
            role: _,
            permissions_boundary_arn,
        } => role.permissions_boundary_arn = Some(permissions_boundary_arn),
        Action::TagRole { role: _, tags } => role.tags.extend(tags),
        Action::PutRolePolicy {
            role: _,
            policy_name,
            document,
        } => drop(role.inline_policies.insert(policy_name, document)),
        Action::DeleteRolePolicy { role: _, policy_name } => {
            role.inline_policies.remove(&policy_name).expect("NoSuchEntity");
        }
        Action::AttachRolePolicy { role: _, policy_arn } => drop(role.attached_policy_arns.insert(policy_arn)),
        Action::DetachRolePolicy { role: _, policy_arn } => {
            assert!(role.attached_policy_arns.remove(&policy_arn), "NoSuchEntity");
        }
        Action::DeleteRole {
            role: _,
            inline_policies,
            attached_policy_arns,
        } => {
            assert!(role.inline_policies.keys().eq(inline_policies.iter()), "DeleteConflict");
            assert_eq!(role.attached_policy_arns, attached_policy_arns, "DeleteConflict");
            return None;
        }
        other => panic!("{other} is no action on a role"),
    }
    Some(role)
}
