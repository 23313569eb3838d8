//! Partitions besides `aws`, and buckets that are none of the usual kind.

use super::*;
use crate::domain::observed::EncryptionState;
use crate::domain::s3::simulated::rule;

/// The policy and a fresh bucket of it, in another partition.
fn in_partition(partition: &str, home: &str) -> (ValidatedPolicy, BucketObservation) {
    let spec = FULL_SPEC
        .replace("eu-west-1", home)
        .replace("arn:aws:", &format!("arn:{partition}:"));
    let mut policy = policy_from(&spec, PolicySource::default());
    for role in &mut policy.roles {
        if let Some(arn) = &mut role.permissions_boundary_arn {
            *arn = arn.replace("arn:aws:", &format!("arn:{partition}:"));
        }
    }
    let mut seen = fresh();
    seen.region = Ok(region(home));
    (policy, seen)
}

#[test]
fn every_arn_that_is_written_is_of_the_buckets_partition() {
    for (partition, home) in [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")] {
        let (policy, seen) = in_partition(partition, home);
        let after = apply(&seen, &plan(&policy, &seen));
        assert_eq!(brief(&plan(&policy, &after)), Vec::<String>::new(), "{partition}");
        let text = stored(&after).unwrap();
        assert!(!text.contains("arn:aws:"), "{text}");
        let document: Value = serde_json::from_str(text).unwrap();
        let bucket = format!("arn:{partition}:s3:::{NAME}");
        for statement in document["Statement"].as_array().unwrap() {
            assert_eq!(statement["Resource"], json!([bucket, format!("{bucket}/*")]));
        }
        assert_eq!(
            document["Statement"][2]["Condition"],
            json!({"ArnEquals": {"aws:PrincipalArn": format!("arn:{partition}:iam::123456789012:role/aidp/fraud-trainer")}})
        );
        let key = format!("arn:{partition}:kms:{home}:123456789012:key/11111111-1111-1111-1111-111111111111");
        let expected = EncryptionState::Rules(vec![rule("aws:kms", Some(&key), Some(true))]);
        assert_eq!(after.encryption, Some(Ok(expected)));
    }
}

#[test]
fn a_key_id_is_of_the_buckets_partition() {
    let (policy, fresh) = in_partition("aws-cn", "cn-north-1");
    let mut seen = apply(&fresh, &plan(&policy, &fresh));
    let id = "11111111-1111-1111-1111-111111111111";
    seen.encryption = Some(Ok(EncryptionState::Rules(vec![rule("aws:kms", Some(id), Some(true))])));
    assert_eq!(brief(&plan(&policy, &seen)), Vec::<String>::new());
}

#[test]
fn a_statement_about_another_partitions_bucket_protects_nothing() {
    let (policy, fresh) = in_partition("aws-us-gov", "us-gov-west-1");
    let deny = json!([{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [ARN, format!("{ARN}/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]);
    let seen = BucketObservation {
        policy: Some(Ok(Some(document(&deny)))),
        ..fresh
    };
    let said = brief(&plan(&policy, &seen));
    let tls = "S3.TLSOnly bucketPolicy.AidpDenyInsecureTransport Repair: no statement denies them";
    assert_eq!(said.first().map(String::as_str), Some(tls), "{said:?}");
}

/// Each control that a policy can ask for is named, with the reason, and none is written or held to be met.
#[test]
fn every_control_of_a_directory_bucket_is_not_applicable_with_the_reason() {
    let policy = policy_from(
        &FULL_SPEC.replace(NAME, "fast-data--euw1-az1--x-s3"),
        PolicySource::default(),
    );
    let observed = around(&policy);
    let plans = plan_buckets(&policy, &observed);
    let [plan] = plans.as_slice() else { panic!("{plans:?}") };
    let said: Vec<(&str, &str)> = plan
        .findings
        .iter()
        .map(|f| (f.control.id(), f.have.as_str()))
        .collect();
    let na = |control| (control, super::super::NOT_APPLICABLE);
    assert_eq!(
        said,
        [
            na("S3.DefaultEncryption"),
            na("S3.TLSOnly"),
            na("S3.MinimumTLSVersion"),
            na("S3.RoleWriteDeny"),
            na("S3.PublicAccessBlock"),
            na("S3.ObjectOwnership"),
            na("S3.AccessLogging"),
            na("S3.Versioning"),
        ]
    );
    for finding in &plan.findings {
        assert!(finding.message.contains("directory bucket"), "{finding:?}");
    }
    assert_eq!((operations(plan), plan.state), (vec![], TargetState::Unknown));
}
