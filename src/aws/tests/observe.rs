//! The observation of a whole policy.

use std::collections::{BTreeMap, BTreeSet};

use super::bulk::account_with;
use super::*;
use crate::api::{BucketTargetStatus, RoleTargetStatus, TargetState, Targets};
use crate::domain::fixture::{FULL_SPEC, policy, policy_from};
use crate::domain::observed::ErrorClass;
use crate::domain::policy::{PolicySource, ValidatedPolicy};

/// An account in which nothing is configured.
pub(super) fn empty_account(request: &Request, account: &str) -> Answer {
    match request.operation.as_str() {
        "GetCallerIdentity" => caller_is(account),
        "HeadBucket" => status(200),
        "GetBucketEncryption" => s3_error(404, "ServerSideEncryptionConfigurationNotFoundError"),
        "GetBucketPolicy" => s3_error(404, "NoSuchBucketPolicy"),
        "GetPublicAccessBlock" => s3_error(404, "NoSuchPublicAccessBlockConfiguration"),
        "GetAccountPublicAccessBlock" => iam_error(404, "NoSuchPublicAccessBlockConfiguration", "not set"),
        "GetBucketOwnershipControls" => ownership_answer("BucketOwnerEnforced"),
        "GetBucketVersioning" => versioning_answer(""),
        "GetObjectLockConfiguration" => s3_error(404, "ObjectLockConfigurationNotFoundError"),
        "GetBucketLifecycleConfiguration" => s3_error(404, "NoSuchLifecycleConfiguration"),
        "GetBucketReplication" => s3_error(404, "ReplicationConfigurationNotFoundError"),
        "GetBucketLogging" => logging_answer(""),
        "DescribeKey" => Answer {
            status: 400,
            ..ok(r#"{"__type":"NotFoundException"}"#)
        },
        "GetAccountAuthorizationDetails" => {
            iam_result("GetAccountAuthorizationDetails", "<IsTruncated>false</IsTruncated>")
        }
        "ListRoles" => iam_result("ListRoles", "<Roles/><IsTruncated>false</IsTruncated>"),
        "GetPolicy" => iam_error(404, "NoSuchEntity", "cannot be found"),
        other => panic!("{other}"),
    }
}

/// A policy that has claimed more than it names by now.
fn with_inventory() -> ValidatedPolicy {
    let claimed = |name: &str| BucketTargetStatus {
        name: name.to_owned(),
        region: Some(HOME.to_owned()),
        selector: None,
        state: TargetState::Compliant,
    };
    let source = PolicySource {
        name: "fraud-model".to_owned(),
        inventory: Targets {
            buckets: vec![claimed("fraud-training-data"), claimed("left-behind")],
            roles: vec![RoleTargetStatus {
                name: "old-trainer".to_owned(),
                arn: None,
                state: TargetState::Orphaned,
            }],
            ..Targets::default()
        },
        ..PolicySource::default()
    };
    policy_from(FULL_SPEC, source)
}

#[tokio::test(start_paused = true)]
async fn everything_named_or_claimed_is_read_and_nothing_else() {
    let aws = Aws::new(|request, _| empty_account(request, ACCOUNT)).await;
    let seen = aws.session.observe(&with_inventory(), AGE).await;
    let caller = seen.caller.unwrap().unwrap();
    assert_eq!(
        (caller.account, caller.arn),
        (account(), format!("arn:aws:sts::{ACCOUNT}:assumed-role/aidp/s"))
    );
    let buckets: Vec<_> = seen.buckets.keys().map(BucketName::as_str).collect();
    assert_eq!(buckets, ["fraud-training-data", "left-behind"]);
    let left = &seen.buckets[&bucket("left-behind")];
    assert_eq!(
        (&left.policy, &left.encryption, &left.versioning),
        (&Some(Ok(None)), &None, &None)
    );
    let roles: Vec<_> = seen.roles.iter().map(|(n, r)| (n.as_str(), r.clone())).collect();
    assert_eq!(roles, [("fraud-trainer", Ok(None)), ("old-trainer", Ok(None))]);
    let boundary = "arn:aws:iam::123456789012:policy/training-boundary";
    assert_eq!(seen.managed_policies.keys().collect::<Vec<_>>(), [boundary]);
    assert_eq!(
        seen.managed_policies[boundary].clone().unwrap_err().class,
        ErrorClass::NotFound
    );
    let keys: Vec<_> = seen
        .keys
        .iter()
        .map(|(query, key)| (query.region.as_str(), query.key_id.as_str(), key.is_err()))
        .collect();
    let wanted = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111";
    assert_eq!(keys, [(HOME, wanted, true)]);
    // The caller, six settings, three reports, one bucket policy, five settings and the region of the log bucket, the account's block, all roles twice, one managed policy, one key:
    // regions are in the inventory.
    assert_eq!(aws.requests().len(), 22);
    assert_eq!(seen.account.public_access_block, Some(Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_new_to_the_policy_costs_one_call_more_for_its_region() {
    let aws = Aws::new(|request, _| empty_account(request, ACCOUNT)).await;
    aws.session.observe(&policy(FULL_SPEC), AGE).await;
    let s3 = |o: &String| o.contains("Bucket") || o == "GetPublicAccessBlock";
    // Six more are about the bucket that takes the logs.
    assert_eq!(aws.operations().iter().filter(|o| s3(o)).count(), 9 + 6);
    assert_eq!(aws.count("HeadBucket"), 2);
}

/// Afresh as long as a bucket is about to be switched to it, once in ten minutes from then on.
#[tokio::test(start_paused = true)]
async fn a_log_bucket_is_read_as_often_as_a_decision_rests_on_it() {
    let log_bucket = || bucket("central-logs");
    let on =
        "<LoggingEnabled><TargetBucket>central-logs</TargetBucket><TargetPrefix>s3/</TargetPrefix></LoggingEnabled>";
    for (logging, reads_of_four_sweeps) in [("", 4), (on, 1)] {
        let aws = Aws::new(move |request, _| match request.operation.as_str() {
            "GetBucketLogging" if !request.uri.contains("central-logs") => logging_answer(logging),
            _ => empty_account(request, ACCOUNT),
        })
        .await;
        for _ in 0..4 {
            let seen = aws.session.observe(&with_inventory(), AGE).await;
            let targets: Vec<_> = seen.account.log_targets.into_keys().collect();
            assert_eq!(targets, [log_bucket()]);
            tokio::time::advance(2 * AGE).await;
        }
        let of_target = |r: &&Request| r.operation == "GetBucketPolicy" && r.uri.contains("central-logs");
        assert_eq!(aws.requests().iter().filter(of_target).count(), reads_of_four_sweeps);
    }
    let unreadable = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketLogging" => s3_error(501, "NotImplemented"),
        _ => empty_account(request, ACCOUNT),
    })
    .await;
    let seen = unreadable.session.observe(&with_inventory(), AGE).await;
    assert!(seen.account.log_targets.is_empty(), "nothing is to be decided");
}

#[tokio::test(start_paused = true)]
async fn in_the_wrong_account_nothing_is_read() {
    let aws = Aws::new(|request, _| empty_account(request, "999999999999")).await;
    let seen = aws.session.observe(&with_inventory(), AGE).await;
    assert_eq!(seen.caller.unwrap().unwrap().account.as_str(), "999999999999");
    assert!(seen.buckets.is_empty() && seen.roles.is_empty() && seen.managed_policies.is_empty());
    assert_eq!(aws.operations(), ["GetCallerIdentity"]);
}

#[tokio::test(start_paused = true)]
async fn where_the_account_cannot_be_told_nothing_is_read() {
    for answer in [
        status(403),
        iam_error(403, "ExpiredToken", "expired"),
        ok("<html/>"),
        caller_is("12"),
    ] {
        let aws = Aws::new(move |_, _| answer.clone()).await;
        let seen = aws.session.observe(&with_inventory(), AGE).await;
        assert!(seen.caller.is_err(), "{:?}", seen.caller);
        assert!(seen.buckets.is_empty() && seen.roles.is_empty());
        let operations: BTreeSet<String> = aws.operations().into_iter().collect();
        assert_eq!(operations, BTreeSet::from(["GetCallerIdentity".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_account_guard_nobody_is_asked_who_we_are() {
    let aws = Aws::new(|request, _| empty_account(request, ACCOUNT)).await;
    let mut policy = with_inventory();
    policy.settings.account_guard = false;
    let seen = aws.session.observe(&policy, AGE).await;
    assert_eq!(seen.caller, Ok(None));
    assert_eq!(seen.buckets.len(), 2);
    assert_eq!(aws.count("GetCallerIdentity"), 0);
}

#[tokio::test(start_paused = true)]
async fn many_policies_of_one_account_read_nothing_twice_in_a_sweep() {
    let aws = Aws::new(|request, _| empty_account(request, ACCOUNT)).await;
    let policy = with_inventory();
    let looks = (0..5).map(|_| aws.session.observe(&policy, AGE));
    let seen = futures::future::join_all(looks).await;
    assert_eq!(aws.requests().len(), 22);
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A hundred training roles, each of one ServiceAccount, on one bucket.
fn hundred_roles() -> ValidatedPolicy {
    let role = |n: usize| {
        format!(
            "- {{name: role-{n}, workloadIdentity: IRSA, serviceAccounts: [{{namespace: ml, name: trainer-{n}}}]}}\n"
        )
    };
    let spec = "mode: Enforce\naccount: {id: \"123456789012\", region: eu-west-1}\n\
                buckets: [{name: fraud-training-data}]\ntrainingRoles:\n";
    let roles: String = (0..100).map(role).collect();
    policy(&format!("{spec}{roles}"))
}

#[tokio::test(start_paused = true)]
async fn a_hundred_roles_among_a_thousand_cost_fifteen_reads_of_iam_a_sweep_at_most() {
    let all = account_with(1_000, 200);
    let aws = Aws::new(move |request, _| match request.operation.as_str() {
        "GetAccountAuthorizationDetails" | "ListRoles" => all(request),
        _ => empty_account(request, ACCOUNT),
    })
    .await;
    let policy = hundred_roles();
    for sweep in 1..=3 {
        let seen = aws.session.observe(&policy, AGE).await;
        assert!(seen.roles.values().all(|role| matches!(role, Ok(Some(_)))));
        assert_eq!(seen.roles.len(), 100);
        assert_eq!(seen.account.roles.unwrap().unwrap().roles.len(), 1_000);
        let iam = ["GetAccountAuthorizationDetails", "ListRoles", "GetPolicy"].map(|o| aws.count(o));
        // Five pages of each, and the configured boundary.
        assert_eq!(iam, [5 * sweep, 5 * sweep, sweep]);
        let single = aws
            .operations()
            .iter()
            .filter(|o| o.contains("Role") && **o != "ListRoles")
            .count();
        assert_eq!(single, 0, "no role is read on its own");
        tokio::time::advance(AGE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn awss_policies_on_a_role_that_a_service_account_can_also_assume_are_read() {
    let managed = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/ABCD"},"Action":"sts:AssumeRoleWithWebIdentity"}}"#;
    let trust = percent_encoding::utf8_percent_encode(trust, percent_encoding::NON_ALPHANUMERIC).to_string();
    let role = |name: &str, trust: &str, attached: &str| {
        format!(
            "<member><Path>/</Path><RoleName>{name}</RoleName><RoleId>AROA{name}</RoleId><Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn>\
             <CreateDate>2026-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument>\
             <AttachedManagedPolicies><member><PolicyName>P</PolicyName><PolicyArn>{attached}</PolicyArn></member></AttachedManagedPolicies></member>"
        )
    };
    let nobody = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let roles = role("within-reach", &trust, managed) + &role("out-of-reach", nobody, "arn:aws:iam::aws:policy/Other");
    let answer = iam_result(
        "GetAccountAuthorizationDetails",
        &format!("<IsTruncated>false</IsTruncated><RoleDetailList>{roles}</RoleDetailList>"),
    );
    let aws = Aws::new(move |request, _| match request.operation.as_str() {
        "GetAccountAuthorizationDetails" => answer.clone(),
        "ListAccessPoints" => ok("<ListAccessPointsResult><AccessPointList/></ListAccessPointsResult>"),
        _ => empty_account(request, ACCOUNT),
    })
    .await;
    let seen = aws.session.observe(&policy(FULL_SPEC), AGE).await;
    let read: Vec<_> = seen.managed_policies.keys().map(String::as_str).collect();
    assert_eq!(read, ["arn:aws:iam::123456789012:policy/training-boundary", managed]);
    // What such a role may do through access points depends on their policies.
    let region = Region::new(HOME).unwrap();
    assert_eq!(seen.account.access_points, BTreeMap::from([(region, Ok(Vec::new()))]));
}

#[tokio::test(start_paused = true)]
async fn the_accounts_public_access_block_is_read_once_for_all() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetAccountPublicAccessBlock" => ok(BLOCKED),
        other => panic!("{other}"),
    })
    .await;
    let first = aws.session.account_public_access_block(AGE).await;
    let all_on = first.clone().unwrap().unwrap();
    assert!(all_on.block_public_policy && all_on.restrict_public_buckets);
    assert_eq!(aws.session.account_public_access_block(AGE).await, first);
    let requests = aws.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].host, format!("{ACCOUNT}.s3-control.{HOME}.amazonaws.com"));

    let refused = Aws::new(|_, _| iam_error(403, "AccessDenied", "no")).await;
    let error = refused.session.account_public_access_block(AGE).await.unwrap_err();
    assert_eq!(
        (error.operation, error.class),
        ("GetAccountPublicAccessBlock", ErrorClass::AccessDenied)
    );
}
