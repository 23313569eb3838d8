//! Somebody else changes a bucket between the operator's look and its write: what was set meanwhile stays.

use std::time::Duration;

use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{journey, policy};
use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::json;

use crate::common::{ENFORCED, quick, seed_bucket};

const BUCKET: &str = "race-data";

#[test]
fn a_stronger_encryption_set_between_look_and_write_is_not_overwritten() {
    journey(async |world| {
        seed_bucket(world, BUCKET).await?;
        let key = world.aws.create_key().await?;
        // The second reading is the one right before the write; it is held while the other side is at work.
        let held = Act::Delay { millis: 3000 };
        let reading = Filter::named("s3:GetBucketEncryption").on(BUCKET);
        world.proxy.inject(Fault {
            skip: 1,
            ..Fault::times(1, reading, held)
        });
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&policy(
            "race",
            &json!({
                "buckets": [{"name": BUCKET}],
                "bucketControls": {
                    "encryption": {"algorithm": "SSE-KMS", "kmsKeys": [{"region": "eu-west-1", "keyARN": key}]},
                    "transport": {},
                },
            }),
        ))?;
        eventually(Duration::from_secs(30), "the writes begin", async || {
            match world.proxy.counts().get("s3:PutBucketPolicy") {
                Some(_) => Ok(()),
                None => Err("no bucket policy yet".to_owned()),
            }
        })
        .await?;
        let stronger = ServerSideEncryption::AwsKmsDsse;
        world.aws.put_encryption(BUCKET, stronger.clone(), Some(&key)).await?;
        let set = world.aws.bucket(BUCKET).await?.encryption;
        world.until_row("race", ENFORCED).await?;
        assert_eq!(world.proxy.counts().get("s3:PutBucketEncryption"), None);
        let after = world.aws.bucket(BUCKET).await?.encryption;
        assert_eq!(after, set);
        Ok(())
    });
}
