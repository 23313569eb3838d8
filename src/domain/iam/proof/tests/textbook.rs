//! The textbook read-only role: a broad Allow, and a Deny of the two actions that come to mind.

use super::*;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::{role, simulated};

/// The actions of the table, and what each is done to. Only the first two are what the textbook denies.
const PROBED: [(&str, Place); 23] = [
    ("s3:PutObject", Place::Objects),
    ("s3:DeleteObject", Place::Objects),
    ("s3:DeleteObjectVersion", Place::Objects),
    ("s3:PutObjectTagging", Place::Objects),
    ("s3:DeleteObjectTagging", Place::Objects),
    ("s3:PutObjectAcl", Place::Objects),
    ("s3:AbortMultipartUpload", Place::Objects),
    ("s3:RestoreObject", Place::Objects),
    ("s3:PutObjectRetention", Place::Objects),
    ("s3:PutObjectLegalHold", Place::Objects),
    ("s3:BypassGovernanceRetention", Place::Objects),
    ("s3:ReplicateObject", Place::Objects),
    ("s3:ReplicateDelete", Place::Objects),
    ("s3:ObjectOwnerOverrideToBucketOwner", Place::Objects),
    ("s3:UpdateObjectEncryption", Place::Objects),
    ("s3:PutBucketPolicy", Place::Bucket),
    ("s3:DeleteBucketPolicy", Place::Bucket),
    ("s3:PutEncryptionConfiguration", Place::Bucket),
    ("s3:PutBucketVersioning", Place::Bucket),
    ("s3:PutLifecycleConfiguration", Place::Bucket),
    ("s3:PutReplicationConfiguration", Place::Bucket),
    ("s3:PutBucketPublicAccessBlock", Place::Bucket),
    ("s3:DeleteBucket", Place::Bucket),
];

fn resource(bucket: &str, place: Place) -> String {
    match place {
        Place::Bucket => bucket.to_owned(),
        _ => format!("{bucket}/x.parquet"),
    }
}

fn verdict(role: &RoleFacts, action: &str, resource: &str) -> Verdict {
    let request = Request::new(role.caller.clone(), action, resource, None, Context::new()).unwrap();
    let policies = PolicySet {
        identity: role.identity.iter().filter_map(Evidence::seen).cloned().collect(),
        ..PolicySet::default()
    };
    decide(&request, &policies).verdict
}

#[test]
fn the_textbook_deny_leaves_21_of_23_open_and_the_proof_finds_each() {
    let textbook = input(json!([
        allow("s3:*", "*"),
        {"Effect": "Deny", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": "arn:aws:s3:::train-data/*"},
    ]));
    for (number, (action, place)) in PROBED.into_iter().enumerate() {
        let open = number >= 2;
        assert_eq!(opens(&textbook, Kind::Data(place), action), open, "{action}");
        let allowed = verdict(&textbook.role, action, &resource(BUCKET, place)) == Verdict::Allowed;
        assert_eq!(allowed, open, "{action}");
    }
}

/// The role that the operator writes, for a policy with two buckets.
fn ours() -> ProofInput {
    let policy = simulated::policy();
    let inline = role::documents(&policy, &policy.roles[0]).inline.unwrap().parsed;
    let mut input = input(json!([]));
    input.role.identity = vec![Evidence::Seen(
        Policy::new(PolicyKind::Identity, "aidp-readonly", &inline).unwrap(),
    )];
    input.buckets = ["fraud-data", "fraud-features"]
        .map(|name| BucketFacts {
            arn: format!("arn:aws:s3:::{name}"),
            policy: Evidence::Seen(None),
            acl: Evidence::Seen(AclFacts::Disabled),
        })
        .to_vec();
    input
}

#[test]
fn our_role_is_proven() {
    assert_eq!(prove(&ours()), Proof::Proven);
}

#[test]
fn our_role_stays_proven_whatever_buckets_access_points_and_acls_grant_it() {
    let unknown = || "AccessDenied".to_owned();
    let mut input = ours();
    input.access_points = Evidence::Missing(unknown());
    for bucket in &mut input.buckets {
        bucket.policy = Evidence::Missing(unknown());
        bucket.acl = Evidence::Missing(unknown());
    }
    assert_eq!(prove(&input), Proof::Proven);
}

#[test]
fn our_role_closes_all_of_them_beside_any_allow() {
    let mut input = ours();
    let broad = policy(PolicyKind::Identity, "broad", json!([allow("s3:*", "*")]));
    input.role.identity.push(Evidence::Seen(broad));
    for bucket in input.buckets.clone() {
        for (action, place) in PROBED {
            assert_eq!(
                verdict(&input.role, action, &resource(&bucket.arn, place)),
                Verdict::ExplicitlyDenied,
                "{action}"
            );
        }
    }
    // What is left are ways round S3's own permissions, such as batch jobs.
    assert!(violated(&input).iter().all(|(kind, _)| *kind == Kind::Escalation));
    assert!(opens(&input, Kind::Escalation, "s3:CreateJob"));
}
