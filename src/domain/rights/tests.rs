use super::*;
use crate::domain::document::PolicyDocument;
use crate::domain::fixture::{FULL_SPEC, policy};

const BUCKET: &str = "arn:aws:s3:::fraud-training-data";
const LOG_BUCKET: &str = "arn:aws:s3:::central-logs";
const ROLE: &str = "arn:aws:iam::123456789012:role/aidp/fraud-trainer";
const KEYS: &str = "arn:aws:kms:*:123456789012:key/*";
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/training-boundary";

/// Where the access logs go is looked at, and never written to.
fn log_bucket() -> Value {
    let actions = [
        "s3:GetBucketAcl",
        "s3:GetBucketLogging",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPolicy",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration",
        "s3:ListBucket",
    ];
    json!({"Effect": "Allow", "Action": actions, "Resource": [LOG_BUCKET]})
}

fn rights(specs: &[&str]) -> Value {
    operator_policy(&specs.iter().map(|s| policy(s)).collect::<Vec<_>>()).unwrap()
}

#[test]
fn audit_needs_reads_only() {
    assert_eq!(
        rights(&[&FULL_SPEC.replace("mode: Enforce", "mode: Audit")]),
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["iam:GetAccountAuthorizationDetails", "iam:ListRoles", "s3:GetAccountPublicAccessBlock", "s3:ListAccessPoints"], "Resource": ["*"]},
            {"Effect": "Allow", "Action": ["iam:GetPolicy", "iam:GetPolicyVersion"], "Resource": ["arn:aws:iam::*:policy/*"]},
            {"Effect": "Allow", "Action": ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"], "Resource": [ROLE]},
            {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListGrants"], "Resource": [KEYS]},
            {"Effect": "Allow", "Action": ["s3:GetAccessPointPolicy"], "Resource": ["arn:aws:s3:*:123456789012:accesspoint/*"]},
            {"Effect": "Allow", "Action": [
                "s3:GetBucketAcl", "s3:GetBucketLogging", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket",
            ], "Resource": [BUCKET]},
            log_bucket(),
        ]})
    );
}

#[test]
fn enforce_writes_the_enforced_controls_and_makes_roles_only_under_the_boundary() {
    assert_eq!(
        rights(&[FULL_SPEC]),
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"], "Resource": [ROLE],
             "Condition": {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}},
            {"Effect": "Allow", "Action": ["iam:GetAccountAuthorizationDetails", "iam:ListRoles", "s3:GetAccountPublicAccessBlock", "s3:ListAccessPoints"], "Resource": ["*"]},
            {"Effect": "Allow", "Action": ["iam:GetPolicy", "iam:GetPolicyVersion"], "Resource": ["arn:aws:iam::*:policy/*"]},
            {"Effect": "Allow", "Action": [
                "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:TagRole",
                "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
            ], "Resource": [ROLE]},
            {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListGrants"], "Resource": [KEYS]},
            {"Effect": "Allow", "Action": ["s3:GetAccessPointPolicy"], "Resource": ["arn:aws:s3:*:123456789012:accesspoint/*"]},
            {"Effect": "Allow", "Action": [
                "s3:GetBucketAcl", "s3:GetBucketLogging", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:PutBucketLogging", "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration",
            ], "Resource": [BUCKET]},
            log_bucket(),
        ]})
    );
}

#[test]
fn a_control_that_is_only_reported_or_ignored_adds_no_write() {
    let spec = r#"
mode: Enforce
account: {id: "123456789012", region: eu-west-1}
bucketControls: {transport: {mode: Audit}, versioning: {}, publicAccess: {mode: Ignore}, encryption: {algorithm: SSE-S3, mode: Ignore}}
buckets: [{name: fraud-training-data}]
"#;
    assert_eq!(
        rights(&[spec]),
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [
            "s3:GetBucketAcl", "s3:GetBucketLogging", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy", "s3:GetBucketVersioning",
            "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:PutBucketVersioning",
        ], "Resource": [BUCKET]}]})
    );
}

#[test]
fn revert_adds_the_deletions() {
    let text = rights(&[&format!("{FULL_SPEC}deletionPolicy: Revert\n")]).to_string();
    for action in [
        "s3:DeleteBucketPolicy",
        "iam:DeleteRole\"",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
    ] {
        assert!(text.contains(action), "{action} in {text}");
    }
}

#[test]
fn detaching_needs_the_right_to_take_policies_off_and_none_to_delete_roles() {
    let mut policy = policy(FULL_SPEC);
    let takes_off = |policy: &ValidatedPolicy| {
        let text = operator_policy(std::slice::from_ref(policy)).unwrap().to_string();
        ["iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRole\""].map(|action| text.contains(action))
    };
    for (foreign_policies, expected) in [(ForeignPolicies::Report, false), (ForeignPolicies::Detach, true)] {
        policy.roles[0].foreign_policies = foreign_policies;
        assert_eq!(takes_off(&policy), [expected, expected, false], "{foreign_policies:?}");
    }
}

#[test]
fn a_role_to_be_adopted_is_written_wherever_it_is_and_made_or_deleted_only_under_our_path() {
    let mut policy = policy(&format!("{FULL_SPEC}deletionPolicy: Revert\n"));
    let resources = |policy: &ValidatedPolicy, action: &str| -> BTreeSet<String> {
        let document = operator_policy(std::slice::from_ref(policy)).unwrap();
        let statements = document["Statement"].as_array().unwrap().iter();
        let of_action = statements.filter(|s| s["Action"].as_array().unwrap().contains(&json!(action)));
        of_action
            .flat_map(|s| serde_json::from_value::<Vec<String>>(s["Resource"].clone()).unwrap())
            .collect()
    };
    let (made, adopted) = (
        [ROLE],
        [
            "arn:aws:iam::123456789012:role/fraud-trainer",
            "arn:aws:iam::123456789012:role/*/fraud-trainer",
        ],
    );
    for (adoption, anywhere) in [(Adoption::Never, &made[..]), (Adoption::Tagged, &adopted[..])] {
        policy.roles[0].adoption = adoption;
        let anywhere: BTreeSet<String> = anywhere.iter().map(|&arn| arn.to_owned()).collect();
        for action in [
            "iam:GetRole",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:PutRolePolicy",
        ] {
            assert_eq!(resources(&policy, action), anywhere, "{action}, {adoption:?}");
        }
        for action in ["iam:CreateRole", "iam:DeleteRole"] {
            assert_eq!(
                resources(&policy, action),
                [ROLE.to_owned()].into(),
                "{action}, {adoption:?}"
            );
        }
    }
}

#[test]
fn a_boundary_of_the_policys_own_is_put_on_too() {
    let mut policy = policy(FULL_SPEC);
    policy.settings.role_boundary_arn = None;
    for (own, expected) in [(None, false), (Some(BOUNDARY.to_owned()), true)] {
        policy.roles[0].permissions_boundary_arn = own;
        let document = operator_policy(std::slice::from_ref(&policy)).unwrap();
        assert_eq!(
            document.to_string().contains("iam:PutRolePermissionsBoundary"),
            expected
        );
        // And what is written, only under it.
        let statements = document["Statement"].as_array().unwrap().iter();
        let conditions: Vec<&Value> = statements
            .filter(|s| s["Action"].as_array().unwrap().contains(&json!("iam:PutRolePolicy")))
            .map(|s| &s["Condition"]["StringEquals"]["iam:PermissionsBoundary"])
            .collect();
        let bound = if expected { json!(BOUNDARY) } else { Value::Null };
        assert_eq!(conditions, [&bound]);
    }
}

#[test]
fn an_operator_that_knows_its_eks_cluster_reads_its_associations_and_writes_none() {
    let mut policy = policy(FULL_SPEC);
    let arn = "arn:aws:eks:eu-west-1:123456789012:cluster/training";
    policy.settings.eks_cluster = EksCluster::parse(arn).ok();
    let document = operator_policy(&[policy]).unwrap();
    let statements = document["Statement"].as_array().unwrap().iter();
    let eks: Vec<&Value> = statements.filter(|s| s.to_string().contains("eks:")).collect();
    assert_eq!(
        json!(eks),
        json!([
            {"Effect": "Allow", "Action": ["eks:DescribePodIdentityAssociation"],
             "Resource": ["arn:aws:eks:eu-west-1:123456789012:podidentityassociation/training/*"]},
            {"Effect": "Allow", "Action": ["eks:ListPodIdentityAssociations"], "Resource": [arn]},
        ])
    );
}

#[test]
fn policies_of_one_account_share_a_document_and_those_of_two_have_none() {
    let other = FULL_SPEC
        .replace("fraud-training-data", "other-data")
        .replace("fraud-trainer", "other-trainer");
    let text = rights(&[FULL_SPEC, &other]).to_string();
    assert!(
        text.contains(r#"["arn:aws:s3:::fraud-training-data","arn:aws:s3:::other-data"]"#),
        "{text}"
    );
    assert!(PolicyDocument::parse(&text).is_ok());

    let foreign = "mode: Audit\naccount: {id: \"999999999999\", region: eu-west-1}\nbuckets: [{name: abc}]\n";
    let error = operator_policy(&[policy(FULL_SPEC), policy(foreign)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the policies are for several accounts (123456789012, 999999999999); ask for one account at a time"
    );
    assert_eq!(operator_policy(&[]), Err(RightsError::Nothing));
}

#[test]
fn a_key_of_another_account_is_named() {
    let other = "arn:aws:kms:eu-west-1:999999999999:key/11111111-1111-1111-1111-111111111111";
    let ours = other.replace("999999999999", "123456789012");
    let text = rights(&[&FULL_SPEC.replace(&ours, other)]).to_string();
    assert!(text.contains(&format!(r#""Resource":["{KEYS}","{other}"]"#)), "{text}");
}

#[test]
fn an_aws_service_in_an_egress_rule_adds_the_two_reads_of_prefix_lists() {
    let spec = r#"
mode: Enforce
account: {id: "123456789012", region: eu-west-1}
egress:
- name: training
  namespaceSelector: {matchLabels: {team: ml}}
  podSelector: {matchLabels: {workload: training}}
  allow: [{type: AWSService, service: s3}]
"#;
    assert_eq!(
        rights(&[spec]),
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["ec2:DescribeManagedPrefixLists", "ec2:GetManagedPrefixListEntries"], "Resource": ["*"]},
        ]})
    );
}

#[test]
fn a_selector_needs_the_search_and_the_buckets_of_its_prefix() {
    let spec = r#"
mode: Enforce
account: {id: "123456789012", region: cn-north-1}
bucketControls: {versioning: {}, transport: {mode: Ignore}, encryption: {algorithm: SSE-S3, mode: Ignore}, publicAccess: {mode: Ignore}, objectOwnership: {mode: Ignore}, accessLogging: {mode: Ignore}}
bucketSelectors: [SELECTOR]
"#;
    let statement =
        |actions: Value, resources: Value| json!({"Effect": "Allow", "Action": actions, "Resource": resources});
    let searched = |selector: &str| policy(&spec.replace("SELECTOR", selector));
    let bucket = json!([
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetBucketVersioning",
        "s3:GetLifecycleConfiguration",
        "s3:GetReplicationConfiguration",
        "s3:ListBucket",
        "s3:PutBucketVersioning"
    ]);
    let by_prefix = searched("{name: features, namePrefix: fraud-}");
    assert_eq!(
        operator_policy(std::slice::from_ref(&by_prefix)).unwrap()["Statement"],
        json!([
            statement(bucket.clone(), json!(["arn:aws-cn:s3:::fraud-*"])),
            statement(json!(["s3:ListAllMyBuckets"]), json!(["*"])),
        ])
    );
    let mut by_tag = searched("{name: tagged, matchTags: [{key: a, value: b}]}");
    let search = statement(json!(["s3:ListAllMyBuckets", "tag:GetResources"]), json!(["*"]));
    assert_eq!(
        operator_policy(std::slice::from_ref(&by_tag)).unwrap()["Statement"],
        json!([statement(bucket.clone(), json!(["arn:aws-cn:s3:::*"])), search])
    );
    by_tag.settings.allowed_buckets = Some(vec!["data-*".to_owned(), "logs".to_owned()]);
    assert_eq!(
        operator_policy(std::slice::from_ref(&by_tag)).unwrap()["Statement"],
        json!([
            statement(bucket, json!(["arn:aws-cn:s3:::data-*", "arn:aws-cn:s3:::logs"])),
            search
        ])
    );
    assert_eq!(
        selectors_without_prefix(&[by_prefix, by_tag]),
        ["fraud-model: bucketSelectors[tagged]"]
    );
}
