//! A bucket that takes the plan's writes as S3 does, and the inputs of the tests around it.

use serde_json::json;

use crate::domain::action::Action;
use crate::domain::fixture::{FULL_SPEC, policy};
use crate::domain::names::{AccountId, BucketName, Partition, Region};
use crate::domain::observed::{
    AccountObservation, AclGrant, BucketAcl, BucketDetails, BucketObservation, CallError, CallerIdentity,
    EncryptionRule, EncryptionState, ErrorClass, Grantee, KeyManager, KeyObservation, KeyQuery, KeyRotation, KeyState,
    ObjectOwnershipState, Observed, VersioningState,
};
use crate::domain::policy::{BucketTarget, ValidatedPolicy};
use crate::domain::target_plan::TargetPlan;

use super::key::region_of;
use super::plan_bucket;

pub(super) const NAME: &str = "fraud-training-data";
pub(super) const ARN: &str = "arn:aws:s3:::fraud-training-data";
pub(super) const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111";
pub(super) const OTHER_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/22222222-2222-2222-2222-222222222222";

/// A policy with all controls on bucket `fraud-training-data`, SSE-KMS, and one role.
pub(super) fn full() -> ValidatedPolicy {
    policy(FULL_SPEC)
}

/// The same without roles, and with these bucket controls; Object Ownership and access logging ignored.
pub(super) fn controls(bucket_controls: &str) -> ValidatedPolicy {
    policy(&format!(
        "{{mode: Enforce, account: {{id: '123456789012', region: eu-west-1}}, bucketControls: {{{bucket_controls}, objectOwnership: {{mode: Ignore}}, accessLogging: {{mode: Ignore}}}}, buckets: [{{name: {NAME}}}]}}"
    ))
}

pub(super) fn bucket() -> BucketName {
    BucketName::new(NAME).unwrap()
}

pub(super) fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

pub(super) fn caller(arn: &str) -> CallerIdentity {
    CallerIdentity {
        account: AccountId::new("123456789012").unwrap(),
        partition: Partition::Aws,
        arn: arn.to_owned(),
    }
}

pub(super) fn operator() -> CallerIdentity {
    caller("arn:aws:sts::123456789012:assumed-role/aidp-operator/session")
}

pub(super) fn failed(operation: &'static str, class: ErrorClass, code: &str) -> CallError {
    CallError {
        operation,
        class,
        code: Some(code.to_owned()),
        message: "as the test says".to_owned(),
    }
}

/// The ACL of a new bucket: its owner, and nobody else.
pub(super) fn own_acl() -> BucketAcl {
    BucketAcl {
        owner: Some("owner-id".to_owned()),
        grants: vec![grant(Grantee::CanonicalUser("owner-id".to_owned()))],
    }
}

pub(super) fn grant(grantee: Grantee) -> AclGrant {
    AclGrant {
        grantee,
        permission: "FULL_CONTROL".to_owned(),
    }
}

/// A bucket as the emulator makes it: nothing is configured.
pub(super) fn fresh() -> BucketObservation {
    BucketObservation {
        details: BucketDetails::default(),
        region: Ok(region("eu-west-1")),
        encryption: Some(Ok(EncryptionState::Implicit)),
        policy: Some(Ok(None)),
        public_access_block: Some(Ok(None)),
        object_ownership: Some(Ok(None)),
        acl: Some(Ok(own_acl())),
        versioning: Some(Ok(VersioningState::Unversioned)),
        access_logging: Some(Ok(None)),
    }
}

pub(super) fn rule(algorithm: &str, key: Option<&str>, bucket_key: Option<bool>) -> EncryptionRule {
    EncryptionRule {
        algorithm: Some(algorithm.to_owned()),
        kms_key_id: key.map(str::to_owned),
        bucket_key_enabled: bucket_key,
        blocked_encryption_types: None,
    }
}

pub(super) fn encrypted(rules: Vec<EncryptionRule>) -> BucketObservation {
    BucketObservation {
        encryption: Some(Ok(EncryptionState::Rules(rules))),
        ..fresh()
    }
}

pub(super) fn with_policy(text: &str) -> BucketObservation {
    BucketObservation {
        policy: Some(Ok(Some(text.to_owned()))),
        ..fresh()
    }
}

pub(super) fn plan(policy: &ValidatedPolicy, seen: &BucketObservation) -> TargetPlan {
    plan_bucket(policy, target(policy), seen, &around(policy))
}

/// What stands around the bucket: working keys, and roles that are still to be made.
pub(super) fn around(policy: &ValidatedPolicy) -> Observed {
    let boundary = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let boundaries = policy
        .roles
        .iter()
        .filter_map(|role| role.permissions_boundary_arn.clone());
    let own = [KEY, OTHER_KEY].map(str::to_owned);
    let of_policy = policy.buckets.iter().filter_map(|b| b.encryption.as_ref());
    let of_policy = of_policy.flat_map(|c| c.want.kms_keys.values().chain(&c.want.kms_key_arn).cloned());
    let keys = own.into_iter().chain(of_policy).map(|arn| {
        let query = KeyQuery {
            region: region(region_of(&arn).unwrap()),
            key_id: arn.clone(),
        };
        (query, Ok(healthy_key(&arn)))
    });
    Observed {
        caller: Ok(Some(operator())),
        buckets: [].into(),
        roles: policy.roles.iter().map(|role| (role.name.clone(), Ok(None))).collect(),
        managed_policies: boundaries.map(|arn| (arn, Ok(boundary.to_owned()))).collect(),
        keys: keys.collect(),
        account: AccountObservation {
            public_access_block: Some(Ok(None)),
            ..AccountObservation::default()
        },
        cluster: Err(failed("ListNamespaces", ErrorClass::Transient, "not looked at")),
    }
}

/// A customer's key as the console makes it, with rotation.
pub(super) fn healthy_key(arn: &str) -> KeyObservation {
    let (partition, account) = (arn.split(':').nth(1).unwrap(), arn.split(':').nth(4).unwrap());
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Enable IAM User Permissions", "Effect": "Allow",
        "Principal": {"AWS": format!("arn:{partition}:iam::{account}:root")}, "Action": "kms:*", "Resource": "*",
    }]});
    KeyObservation {
        arn: arn.to_owned(),
        state: KeyState::Enabled,
        spec: Some("SYMMETRIC_DEFAULT".to_owned()),
        usage: Some("ENCRYPT_DECRYPT".to_owned()),
        manager: Some(KeyManager::Customer),
        origin: Some("AWS_KMS".to_owned()),
        valid_to: None,
        deletion_time: None,
        rotation: Ok(KeyRotation::Enabled),
        policy: Ok(policy.to_string()),
        grants: Ok([].into()),
    }
}

pub(super) fn target(policy: &ValidatedPolicy) -> &BucketTarget {
    &policy.buckets[0]
}

/// The bucket after the plan's writes.
pub(super) fn apply(seen: &BucketObservation, plan: &TargetPlan) -> BucketObservation {
    let mut bucket = seen.clone();
    for planned in &plan.actions {
        match &planned.action {
            Action::PutBucketEncryption { rule, seen, .. } => {
                assert_eq!(bucket.encryption, Some(Ok(seen.clone())));
                bucket.encryption = Some(Ok(EncryptionState::Rules(vec![rule.clone()])));
            }
            Action::PutBucketPolicy { document, seen, .. } => {
                assert_eq!(
                    bucket.policy,
                    Some(Ok(seen.clone())),
                    "the write rests on what is there"
                );
                bucket.policy = Some(Ok(Some(document.clone())));
            }
            Action::DeleteBucketPolicy { seen, .. } => {
                assert_eq!(bucket.policy, Some(Ok(Some(seen.clone()))));
                bucket.policy = Some(Ok(None));
            }
            Action::PutPublicAccessBlock { settings, seen, .. } => {
                assert_eq!(bucket.public_access_block, Some(Ok(*seen)));
                bucket.public_access_block = Some(Ok(Some(*settings)));
            }
            Action::EnableBucketVersioning { seen, .. } => {
                assert_eq!(bucket.versioning, Some(Ok(*seen)));
                bucket.versioning = Some(Ok(VersioningState::Enabled));
            }
            Action::EnforceBucketOwner { seen, acl, .. } => {
                assert_eq!(bucket.object_ownership, Some(Ok(*seen)));
                assert_eq!(bucket.acl, Some(Ok(acl.clone())));
                bucket.object_ownership = Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced)));
                bucket.acl = None;
            }
            Action::PutBucketLogging { logging, seen, .. } => {
                assert_eq!(bucket.access_logging, Some(Ok(seen.clone())));
                bucket.access_logging = Some(Ok(Some(logging.clone())));
            }
            other => panic!("not a write to a bucket: {other}"),
        }
    }
    bucket
}

/// The text of the bucket policy.
pub(super) fn stored(seen: &BucketObservation) -> Option<&str> {
    seen.policy.as_ref().unwrap().as_ref().unwrap().as_deref()
}

/// The operations of a plan, in order.
pub(super) fn operations(plan: &TargetPlan) -> Vec<&'static str> {
    plan.actions.iter().map(|a| a.action.operation()).collect()
}

/// Control, path, have and disposition of each finding.
pub(super) fn brief(plan: &TargetPlan) -> Vec<String> {
    plan.findings
        .iter()
        .map(|f| format!("{} {} {:?}: {}", f.control.id(), f.path, f.disposition, f.have))
        .collect()
}
