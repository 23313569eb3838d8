//! Inputs for tests: one policy, one cluster, one clock. Named so that swapped names show.

use std::time::Duration;

use jiff::Timestamp;

use super::names::ClusterHash;
use super::policy::{OperatorSettings, PolicySource, ValidatedPolicy, validate};
use crate::api::{AIDataProtectionPolicySpec, Mode};

/// The time of every test.
pub(crate) fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// Settings of the operator of cluster `cluster-one`.
pub(crate) fn settings() -> OperatorSettings {
    OperatorSettings {
        cluster_hash: ClusterHash::of("cluster-one"),
        cluster_id: "cluster-one".to_owned(),
        max_mode: Mode::Enforce,
        oidc_provider_arn: Some("arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/ABCD".to_owned()),
        eks_cluster: None,
        role_boundary_arn: Some("arn:aws:iam::123456789012:policy/training-boundary".to_owned()),
        allowed_buckets: None,
        allowed_kms_accounts: None,
        operator_namespace: "aidp-system".to_owned(),
        min_interval: Duration::from_secs(30),
        max_suspension: Duration::from_hours(24),
        account_guard: true,
        s3_over_plaintext: false,
    }
}

/// A policy named `fraud-model` of generation 3, from the YAML of its spec.
pub(crate) fn policy(spec: &str) -> ValidatedPolicy {
    policy_from(
        spec,
        PolicySource {
            name: "fraud-model".to_owned(),
            generation: 3,
            ..PolicySource::default()
        },
    )
}

/// The same, with another source.
pub(crate) fn policy_from(spec: &str, source: PolicySource) -> ValidatedPolicy {
    let spec: AIDataProtectionPolicySpec = serde_yaml::from_str(spec).unwrap();
    validate(&spec, source, &settings(), now()).unwrap()
}

/// A spec with one bucket, one role and one egress rule, mode Enforce.
pub(crate) const FULL_SPEC: &str = r#"
mode: Enforce
account: {id: "123456789012", region: eu-west-1}
bucketControls:
  encryption: {algorithm: SSE-KMS, kmsKeys: [{region: eu-west-1, keyARN: "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111"}], bucketKey: Enabled}
  transport: {minimumTLSVersion: "1.2"}
  publicAccess: {}
  objectOwnership: {}
  versioning: {}
  accessLogging: {bucket: central-logs, prefix: s3/}
buckets: [{name: fraud-training-data}]
trainingRoles:
- name: fraud-trainer
  serviceAccounts: [{namespace: ml, name: trainer}]
  workloadIdentity: IRSA
  read: [{bucket: fraud-training-data, prefixes: ["curated/"]}]
egress:
- name: training
  namespaceSelector: {matchLabels: {team: ml}}
  podSelector: {matchLabels: {workload: training}}
  allow: [{type: CIDR, cidr: 0.0.0.0/0}]
"#;
