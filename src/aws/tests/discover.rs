//! The search for buckets.

use std::collections::BTreeMap;

use super::*;
use crate::domain::fixture::policy_from;
use crate::domain::observed::{CallError, ErrorClass, Read};
use crate::domain::policy::{PolicySource, SelectedBuckets, ValidatedPolicy};

const BY_NAME: &str = "{name: features, namePrefix: fraud-}";
const BY_TAG: &str =
    "{name: tagged, namePrefix: fraud-, matchTags: [{key: dataset, value: fraud}, {key: empty, value: \"\"}]}";

fn policy(selectors: &str) -> ValidatedPolicy {
    let spec =
        format!("mode: Enforce\naccount: {{id: \"{ACCOUNT}\", region: {HOME}}}\nbucketSelectors: [{selectors}]\n");
    policy_from(&spec, PolicySource::default())
}

/// A page of `ListBuckets`.
fn page(buckets: &[(&str, &str)], token: &str) -> Answer {
    let one = |(name, region): &(&str, &str)| {
        let region = if region.is_empty() {
            String::new()
        } else {
            format!("<BucketRegion>{region}</BucketRegion>")
        };
        format!("<Bucket><Name>{name}</Name>{region}</Bucket>")
    };
    let token = if token.is_empty() {
        String::new()
    } else {
        format!("<ContinuationToken>{token}</ContinuationToken>")
    };
    let buckets: Vec<String> = buckets.iter().map(one).collect();
    ok(format!(
        "<ListAllMyBucketsResult><Buckets>{}</Buckets>{token}</ListAllMyBucketsResult>",
        buckets.concat()
    ))
}

/// A page of `GetResources`.
fn tagged(names: &[&str], token: &str) -> Answer {
    let one = |name: &&str| {
        let arn = format!("arn:aws:s3:::{name}");
        serde_json::json!({"ResourceARN": arn, "Tags": [{"Key": "dataset", "Value": "fraud"}, {"Key": "empty", "Value": ""}]})
    };
    let all: Vec<_> = names.iter().map(one).collect();
    ok(serde_json::json!({"ResourceTagMappingList": all, "PaginationToken": token}).to_string())
}

async fn discovered(aws: &Aws, selectors: &str) -> BTreeMap<String, Read<SelectedBuckets>> {
    aws.session.discover(&policy(selectors), AGE).await
}

fn names(found: &Read<SelectedBuckets>) -> Vec<String> {
    let found = found.as_ref().unwrap();
    let region = |r: &Option<Region>| r.as_ref().map(ToString::to_string).unwrap_or_default();
    found
        .buckets
        .iter()
        .map(|(name, r)| format!("{name} {}", region(r)))
        .collect()
}

fn failure(found: &Read<SelectedBuckets>) -> &CallError {
    found.as_ref().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn every_page_of_the_list_is_read_and_only_names_with_the_prefix_count() {
    let aws = Aws::new(|request, _| {
        if request.uri.contains("continuation-token=next") {
            let last = [
                ("fraud-b", "us-east-1"),
                ("fraud-Old_Name", "us-east-1"),
                ("fraud--euw1-az1--x-s3", HOME),
            ];
            page(&last, "")
        } else {
            page(&[("fraud-a", "eu-west-1"), ("other", "eu-west-1")], "next")
        }
    })
    .await;
    let found = discovered(&aws, BY_NAME).await;
    assert_eq!(names(&found["features"]), ["fraud-a eu-west-1", "fraud-b us-east-1"]);
    assert_eq!(
        found["features"].as_ref().unwrap().unusable,
        ["fraud-Old_Name".to_owned()].into(),
        "a bucket of that name can exist, and is not passed over in silence"
    );
    let requests = aws.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(
            request.uri.contains("max-buckets=1000") && request.uri.contains("prefix=fraud-"),
            "{request:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tags_are_asked_for_in_every_region_that_has_buckets_page_by_page() {
    let aws = Aws::new(
        |request, _| match (request.operation.as_str(), request.region.as_str()) {
            ("GetResources", "us-east-1") if !request.body.contains("\"PaginationToken\":\"next\"") => {
                tagged(&[], "next")
            }
            ("GetResources", "us-east-1") => tagged(&["fraud-b", "fraud-deleted"], ""),
            ("GetResources", _) => tagged(&["fraud-a"], ""),
            _ => page(
                &[
                    ("fraud-a", "eu-west-1"),
                    ("fraud-b", "us-east-1"),
                    ("fraud-c", "us-east-1"),
                ],
                "",
            ),
        },
    )
    .await;
    let found = discovered(&aws, BY_TAG).await;
    assert_eq!(
        names(&found["tagged"]),
        ["fraud-a eu-west-1", "fraud-b us-east-1"],
        "what the tagging API alone knows has been deleted"
    );
    assert_eq!(aws.count("GetResources"), 3);
    let filters = r#""TagFilters":[{"Key":"dataset","Values":["fraud"]},{"Key":"empty","Values":[""]}]"#;
    let asked = aws
        .requests()
        .into_iter()
        .find(|r| r.operation == "GetResources")
        .unwrap();
    assert!(
        asked.body.contains(filters) && asked.body.contains(r#""ResourceTypeFilters":["s3:bucket"]"#),
        "{}",
        asked.body
    );
}

#[tokio::test(start_paused = true)]
async fn tags_are_compared_here_as_well() {
    let answer = serde_json::json!({"ResourceTagMappingList": [
        {"ResourceARN": "arn:aws:s3:::fraud-a", "Tags": [{"Key": "dataset", "Value": "fraud"}, {"Key": "empty", "Value": "x"}]},
        {"ResourceARN": "arn:aws:s3:::fraud-b", "Tags": [{"Key": "dataset", "Value": "fraud"}, {"Key": "empty", "Value": ""}]},
    ]});
    let aws = Aws::new(move |request, _| match request.operation.as_str() {
        "GetResources" => ok(answer.to_string()),
        _ => page(&[("fraud-a", HOME), ("fraud-b", HOME)], ""),
    })
    .await;
    let found = discovered(&aws, BY_TAG).await;
    assert_eq!(names(&found["tagged"]), ["fraud-b eu-west-1"]);
}

#[tokio::test(start_paused = true)]
async fn one_search_serves_all_who_ask_in_a_sweep() {
    let aws = Aws::new(|_, _| page(&[("fraud-a", HOME)], "")).await;
    let both = format!("{BY_NAME}, {{name: again, namePrefix: fraud-}}");
    let found = discovered(&aws, &both).await;
    discovered(&aws, BY_NAME).await;
    assert_eq!(names(&found["features"]), names(&found["again"]));
    assert_eq!(aws.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_buckets_nobody_is_asked_for_tags() {
    let aws = Aws::new(|_, _| page(&[], "")).await;
    let found = discovered(&aws, BY_TAG).await;
    assert_eq!(found["tagged"], Ok(SelectedBuckets::default()));
    assert_eq!(aws.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_search_is_an_error_and_never_no_buckets() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetResources" if request.region == "us-east-1" => Answer {
            status: 400,
            ..ok(r#"{"__type":"AccessDeniedException","Message":"no"}"#)
        },
        "GetResources" => tagged(&["fraud-a"], ""),
        _ => page(&[("fraud-a", HOME), ("fraud-b", "us-east-1")], ""),
    })
    .await;
    let found = discovered(&aws, &format!("{BY_NAME}, {BY_TAG}")).await;
    assert_eq!(names(&found["features"]).len(), 2, "one failure hides nothing");
    assert_eq!(
        (failure(&found["tagged"]).operation, failure(&found["tagged"]).class),
        ("GetResources", ErrorClass::AccessDenied)
    );

    let aws = Aws::new(|_, _| s3_error(403, "AccessDenied")).await;
    let found = discovered(&aws, BY_NAME).await;
    assert_eq!(
        (failure(&found["features"]).operation, failure(&found["features"]).class),
        ("ListBuckets", ErrorClass::AccessDenied)
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_without_end_is_given_up_and_is_no_list() {
    let aws = Aws::new(|_, nth| page(&[("fraud-a", HOME)], &format!("token-{nth}"))).await;
    let found = discovered(&aws, BY_NAME).await;
    assert_eq!(failure(&found["features"]).class, ErrorClass::Terminal);
    assert_eq!(aws.requests().len(), 20);

    let aws = Aws::new(|_, _| page(&[("fraud-a", HOME)], "same")).await;
    let found = discovered(&aws, BY_NAME).await;
    assert_eq!(failure(&found["features"]).class, ErrorClass::Transient);
    assert_eq!(aws.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_is_read_where_it_lies_without_asking_for_its_region() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetCallerIdentity" => caller_is(ACCOUNT),
        "ListBuckets" => page(&[("fraud-a", "us-east-1")], ""),
        "GetBucketEncryption" => s3_error(404, "ServerSideEncryptionConfigurationNotFoundError"),
        "GetBucketPolicy" => s3_error(404, "NoSuchBucketPolicy"),
        "GetPublicAccessBlock" | "GetAccountPublicAccessBlock" => s3_error(404, "NoSuchPublicAccessBlockConfiguration"),
        "GetBucketOwnershipControls" => ownership_answer("BucketOwnerEnforced"),
        "GetBucketVersioning" => versioning_answer(""),
        "GetBucketLogging" => logging_answer(""),
        "GetObjectLockConfiguration" => s3_error(404, "ObjectLockConfigurationNotFoundError"),
        "GetBucketLifecycleConfiguration" => s3_error(404, "NoSuchLifecycleConfiguration"),
        "GetBucketReplication" => s3_error(404, "ReplicationConfigurationNotFoundError"),
        other => panic!("{other}"),
    })
    .await;
    let seen = aws.session.observe(&policy(BY_NAME), AGE).await;
    assert_eq!(
        seen.buckets.keys().map(BucketName::as_str).collect::<Vec<_>>(),
        ["fraud-a"]
    );
    assert_eq!(
        seen.buckets[&bucket("fraud-a")].region,
        Region::new("us-east-1").map_err(|_| unreachable!())
    );
    let of_bucket: Vec<_> = aws
        .requests()
        .into_iter()
        .filter(|r| r.uri.contains("fraud-a"))
        .collect();
    assert!(of_bucket.iter().all(|r| r.region == "us-east-1"), "{of_bucket:?}");
    assert_eq!(
        (of_bucket.len(), aws.requests().len()),
        (9, 12),
        "the caller, the list, the account's public access block, six settings, and three that are only reported"
    );
}
