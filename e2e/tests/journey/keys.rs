//! KMS keys: a bucket is switched only to a key that works and that its roles can use; a key in danger is said, not saved.

use aidp_e2e::Result;
use aidp_e2e::world::{World, journey};
use aws_sdk_kms::types::KeyState;
use serde_json::json;

use crate::common::{ENFORCED, quick, seed, whole_policy};

const BUCKET: &str = "vault-data";
const NOT_USABLE: &str = "False - True True KeyNotUsable";

async fn key_policy(world: &World, key: &str, principal: &str) -> Result<()> {
    let document = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*",
    }]});
    let put = world.aws.kms.put_key_policy().key_id(key).policy_name("default");
    put.policy(document.to_string()).send().await?;
    Ok(())
}

#[test]
fn a_bucket_is_switched_only_to_a_key_that_works_and_that_its_roles_can_use() {
    journey(async |world| {
        let key = seed(world, "vault").await?;
        // The emulator takes most calls about keys by id only.
        let id = key.rsplit('/').next().unwrap().to_owned();
        let root = "arn:aws:iam::123456789012:root";
        world.aws.kms.disable_key().key_id(&id).send().await?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&whole_policy("vault", &key))?;
        world.until_row("vault", NOT_USABLE).await?;

        // A key that works, for somebody else: the training role could not read what is written with it.
        key_policy(world, &id, "arn:aws:iam::123456789012:role/admin").await?;
        world.aws.kms.enable_key().key_id(&id).send().await?;
        let refused = world.reconcile("vault").await?;
        assert_eq!(refused.row(), NOT_USABLE);
        assert_eq!(world.proxy.counts().get("s3:PutBucketEncryption"), None);
        assert_eq!(world.aws.bucket(BUCKET).await?.encryption, None);

        key_policy(world, &id, root).await?;
        world.reconcile("vault").await?;
        world.until_row("vault", ENFORCED).await?;
        assert_eq!(
            world.aws.bucket(BUCKET).await?.encryption,
            Some(format!("aws:kms {key}"))
        );

        let deletion = world.aws.kms.schedule_key_deletion().key_id(&id);
        deletion.pending_window_in_days(7).send().await?;
        let at_risk = world.until_row("vault", "False - True True KeyAtRisk").await?;
        assert_eq!(at_risk.status("BucketsProtected"), "False");
        world.reconcile("vault").await?;
        let after = world.aws.kms.describe_key().key_id(&id).send().await?;
        let state = after.key_metadata.and_then(|key| key.key_state);
        assert_eq!(state, Some(KeyState::PendingDeletion), "reported, never repaired");
        let writes = world.proxy.calls().into_iter().filter(|call| call.operation.write);
        assert_eq!(writes.filter(|call| call.operation.service == "kms").count(), 0);
        Ok(())
    });
}
