//! Buckets by selector: fifty of them, one created, one deleted, one untagged and released, while the operator runs.

use std::collections::BTreeMap;
use std::time::Duration;

use aidp_e2e::Result;
use aidp_e2e::operator::Settings;
use aidp_e2e::proxy::{Act, Call, Fault, Filter};
use aidp_e2e::view::PolicyView;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{World, journey, policy};
use aws_sdk_s3::types::{Tag, Tagging};
use serde_json::{Value, json};

use crate::common::{ENFORCED, every_control, ours, seed_log_bucket};

/// Buckets to begin with.
const BUCKETS: usize = 50;
/// Sweeps that are watched.
const SWEEPS: u64 = 3;
/// AWS reads of one bucket in one sweep, with every enforceable control on.
const READS: u64 = 6;

fn name(n: usize) -> String {
    format!("fraud-features-{n:02}")
}

async fn tagged_bucket(world: &World, name: &str) -> Result<()> {
    world.aws.create_bucket(name).await?;
    let tag = Tag::builder().key("dataset").value("fraud").build()?;
    let tagging = Tagging::builder().tag_set(tag).build()?;
    world
        .aws
        .s3
        .put_bucket_tagging()
        .bucket(name)
        .tagging(tagging)
        .send()
        .await?;
    Ok(())
}

fn selecting(name: &str, controls: &Value) -> Value {
    policy(
        name,
        &json!({
            "bucketControls": controls,
            "bucketSelectors": [{"name": "features", "namePrefix": "fraud-", "matchTags": [{"key": "dataset", "value": "fraud"}]}],
            "limits": {"maxWritesPerReconcile": 1000},
        }),
    )
}

fn every_five_seconds() -> Settings {
    Settings {
        arguments: vec!["--max-interval", "5s"],
        ..Settings::default()
    }
}

fn in_line(policy: &PolicyView) -> (String, String) {
    (policy.row(), policy.text("/status/summary/buckets").to_owned())
}

/// Findings, but for what is always said of a bucket and only reported.
fn told(policy: &PolicyView) -> Vec<String> {
    let findings = policy.findings().into_iter();
    findings
        .filter(|f| {
            !["S3.ExistingObjects", "S3.ObjectLock", "S3.MFADelete"]
                .iter()
                .any(|c| f.starts_with(c))
        })
        .collect()
}

/// What is only reported, and so read in every twelfth sweep.
const REPORTED: [&str; 3] = [
    "s3:GetObjectLockConfiguration",
    "s3:GetBucketLifecycleConfiguration",
    "s3:GetBucketReplication",
];

fn all_in_line(buckets: usize) -> (String, String) {
    (ENFORCED.to_owned(), format!("{buckets}/{buckets}"))
}

fn annotate(world: &World, policy: &str, released: &str) -> Result<()> {
    let annotation = format!("aidp.dev/release={released}");
    world
        .plane
        .kubectl(&["annotate", "adpp", policy, "--overwrite", &annotation])
        .map(drop)
}

/// Reads of each bucket, and of the account as a whole.
fn reads(calls: &[Call]) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut out: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for call in calls {
        let resource = call.operation.resource.clone().unwrap_or_else(|| "-".to_owned());
        *out.entry(resource).or_default().entry(call.name()).or_default() += 1;
    }
    out
}

fn writes(calls: &[Call]) -> Vec<String> {
    let writes = calls.iter().filter(|call| call.operation.write);
    writes
        .map(|call| format!("{} {}", call.name(), call.operation.resource.as_deref().unwrap_or("-")))
        .collect()
}

#[test]
fn fifty_buckets_by_selector_come_go_and_leave_while_the_operator_runs() {
    journey(async |world| {
        seed_log_bucket(world).await?;
        for n in 0..BUCKETS {
            tagged_bucket(world, &name(n)).await?;
        }
        // Each has one half of what the selector asks for.
        world.aws.create_bucket("fraud-untagged").await?;
        tagged_bucket(world, "payroll").await?;
        let _operator = world.operator("operator", &every_five_seconds()).await?;
        world.apply(&selecting("features", &every_control()))?;
        let seen = world.until("features", all_in_line(BUCKETS), in_line).await?;
        assert_eq!(seen.text("/status/targets/buckets/0/selector"), "features");
        assert_eq!(told(&seen), Vec::<String>::new());
        for other in ["fraud-untagged", "payroll"] {
            assert_eq!(world.aws.policy(other).await?, None, "{other} is not selected");
        }

        nothing_drifted(world).await?;

        tagged_bucket(world, "fraud-new").await?;
        world.until("features", all_in_line(BUCKETS + 1), in_line).await?;
        let bucket = world.aws.bucket("fraud-new").await?;
        assert_eq!(bucket.public_access_block, Some([true; 4]));
        assert_eq!(bucket.versioning.as_deref(), Some("Enabled"));
        assert!(!ours(bucket.policy.as_ref()).is_empty());

        let deleted = name(7);
        world.aws.s3.delete_bucket().bucket(&deleted).send().await?;
        let seen = world.until("features", all_in_line(BUCKETS), in_line).await?;
        let entry = format!("S3.Bucket bucket/{deleted} bucket");
        assert!(seen.history().contains(&entry), "{:?}", seen.history());
        let mark = world.proxy.mark();
        let seen = world.reconcile("features").await?;
        assert_eq!(in_line(&seen), all_in_line(BUCKETS));
        assert_eq!(told(&seen), Vec::<String>::new(), "told once, and then history");
        assert_eq!(
            reads(&world.proxy.calls_since(mark)).get(&deleted),
            None,
            "nobody asks for a deleted bucket again"
        );

        untagged_and_released(world, &name(3)).await
    });
}

/// Every control is on and nothing drifted: no write, and at most so many reads of each bucket in each sweep.
async fn nothing_drifted(world: &World) -> Result<()> {
    let one = name(0);
    // From the beginning of a sweep on.
    let start = sweep_of(world, &one, world.proxy.mark(), 1).await?;
    let calls = sweep_of(world, &one, start.last().expect("a call").seq + 1, SWEEPS).await?;
    assert_eq!(writes(&calls), Vec::<String>::new());
    let reads = reads(&calls);
    let mut most = 0;
    for (bucket, operations) in reads.iter().filter(|(bucket, _)| *bucket != "-") {
        let mut operations = operations.clone();
        let rare: Vec<u64> = REPORTED.iter().filter_map(|name| operations.remove(*name)).collect();
        assert!(
            rare.iter().all(|n| *n == 1),
            "once in {SWEEPS} sweeps at most: {bucket} {rare:?}"
        );
        let all: u64 = operations.values().sum();
        assert!(all <= READS * (SWEEPS + 1), "{all} reads of {bucket}: {operations:#?}");
        assert!(
            operations.values().all(|n| *n <= SWEEPS + 1),
            "more than one of a kind in a sweep: {bucket} {operations:#?}"
        );
        assert!(operations.len() as u64 <= READS, "{bucket} {operations:#?}");
        most = most.max(operations.len());
    }
    let searched = &reads["-"];
    eprintln!("{most} reads of a bucket in a sweep; of the account in {SWEEPS} sweeps: {searched:#?}");
    assert!(
        ["s3:ListBuckets", "tagging:GetResources"]
            .iter()
            .all(|o| searched[*o] <= SWEEPS + 1),
        "{searched:#?}"
    );
    Ok(())
}

/// The calls since `mark`, once `bucket` has been looked at so often.
async fn sweep_of(world: &World, bucket: &str, mark: u64, sweeps: u64) -> Result<Vec<Call>> {
    let limit = Duration::from_secs(90);
    eventually(limit, "the operator looks again and again", || async {
        let calls = world.proxy.calls_since(mark);
        let looked = |call: &&Call| {
            call.name() == "s3:GetBucketEncryption" && call.operation.resource.as_deref() == Some(bucket)
        };
        match calls.iter().filter(looked).count() as u64 {
            seen if seen >= sweeps => Ok(calls),
            seen => Err(format!("{seen} sweeps")),
        }
    })
    .await
}

/// Whoever may untag a bucket can't switch its protection off; an administrator of the policy can.
async fn untagged_and_released(world: &World, bucket: &str) -> Result<()> {
    let left = format!("S3.Bucket bucket/{bucket} bucketSelectors");
    world.aws.s3.delete_bucket_tagging().bucket(bucket).send().await?;
    world.until("features", vec![left.clone()], told).await?;
    world.aws.s3.delete_bucket_policy().bucket(bucket).send().await?;
    let repaired = "the bucket is protected as before";
    eventually(Duration::from_mins(1), repaired, || async {
        match world.aws.policy(bucket).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("no bucket policy".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;

    // The name of a bucket that is still selected, and something that only looks like this one's.
    annotate(world, "features", &format!("{},{bucket}x,*", name(4)))?;
    let seen = world.reconcile("features").await?;
    assert_eq!((told(&seen), in_line(&seen)), (vec![left], all_in_line(BUCKETS)));

    annotate(world, "features", bucket)?;
    let seen = world.until("features", all_in_line(BUCKETS - 1), in_line).await?;
    assert_eq!(told(&seen), Vec::<String>::new());
    assert!(
        !ours(world.aws.policy(bucket).await?.as_ref()).is_empty(),
        "under Retain what is there stays"
    );
    world.aws.s3.delete_bucket_policy().bucket(bucket).send().await?;
    let mark = world.proxy.mark();
    world.reconcile("features").await?;
    let calls = world.proxy.calls_since(mark);
    assert_eq!(reads(&calls).get(bucket), None, "it is nobody's business any more");
    assert_eq!(writes(&calls), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_search_that_is_refused_or_fails_is_never_no_buckets() {
    journey(async |world| {
        tagged_bucket(world, "fraud-a").await?;
        let _operator = world.operator("operator", &every_five_seconds()).await?;
        let denied = Fault::always(Filter::named("tagging:GetResources"), Act::AccessDenied);
        world.proxy.inject(denied.clone());
        world.apply(&selecting("search", &json!({"transport": {}})))?;
        let seen = world.until_row("search", "False - True Unknown AccessDenied").await?;
        assert_eq!(seen.short("BucketsProtected"), "Unknown/AccessDenied");
        let message = seen.condition("Ready").expect("Ready").message;
        assert!(
            message.contains("bucketSelector/features") && message.contains("tag:GetResources"),
            "{message}"
        );

        world.proxy.heal();
        world.until("search", all_in_line(1), in_line).await?;

        // What is known stays protected while the search fails.
        world.proxy.inject(denied);
        world.until_row("search", "False - True Unknown AccessDenied").await?;
        world.aws.s3.delete_bucket_policy().bucket("fraud-a").send().await?;
        eventually(Duration::from_mins(1), "the bucket is repaired", || async {
            match world.aws.policy("fraud-a").await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("no bucket policy".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        let seen = world.policy("search")?;
        assert_eq!(seen.text("/status/targets/buckets/0/name"), "fraud-a");

        world.proxy.heal();
        world
            .proxy
            .inject(Fault::always(Filter::named("s3:ListBuckets"), Act::HtmlError));
        world
            .until_row("search", "Unknown True - Unknown ObservationFailed")
            .await?;
        world.proxy.heal();
        world.until("search", all_in_line(1), in_line).await?;
        Ok(())
    });
}

#[test]
fn the_operators_configuration_caps_what_a_selector_covers() {
    journey(async |world| {
        tagged_bucket(world, "fraud-a").await?;
        tagged_bucket(world, "fraud-payroll").await?;
        let settings = Settings {
            configuration: Some(json!({"accounts": [{"id": "123456789012", "allowedBuckets": ["fraud-a*"]}]})),
            ..every_five_seconds()
        };
        let _operator = world.operator("operator", &settings).await?;
        world.apply(&selecting("capped", &json!({"transport": {}})))?;
        let seen = world.until("capped", all_in_line(1), in_line).await?;
        assert!(
            seen.findings()
                .contains(&"S3.Bucket bucketSelector/features bucketSelectors.refused".to_owned()),
            "{:?}",
            seen.findings()
        );
        assert_eq!(world.aws.policy("fraud-payroll").await?, None);
        Ok(())
    });
}
