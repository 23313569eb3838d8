//! Buckets on a server that refuses what their policies forbid: what the operator writes works, and is not only stored.
//!
//! The server is fakecloud in strict mode. What it does not enforce is judged on documents only: `s3:TlsVersion` (it knows
//! no TLS), the size of a policy, and what SSE-C uploads are answered.

use aidp_e2e::Result;
use aidp_e2e::operator::Settings;
use aidp_e2e::session::{Session, outcome};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, enforced_journey, policy};
use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};

use crate::common::{ENFORCED, buckets_policy, foreign, ours, quick};

async fn put_object(world: &World, bucket: &str, key: &str) -> Result<()> {
    let put = world.aws.s3.put_object().bucket(bucket).key(key);
    put.body(ByteStream::from_static(b"rows")).send().await?;
    Ok(())
}

/// What GETs of an object come to: in plaintext, over TLS.
async fn gets(session: &Session, bucket: &str) -> Result<[String; 2]> {
    let get = |client: &aws_sdk_s3::Client| client.get_object().bucket(bucket).key("rows").send();
    Ok([outcome(get(&session.http).await)?, outcome(get(&session.https).await)?])
}

fn public_read(bucket: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "Everybody", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": format!("arn:aws:s3:::{bucket}/*"),
    }]})
    .to_string()
}

#[test]
fn plaintext_is_refused_and_tls_is_served() {
    enforced_journey(async |world| {
        world.aws.create_bucket("wire-data").await?;
        put_object(world, "wire-data", "rows").await?;
        let read = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::wire-data/*",
        }});
        let reader = world.aws.create_assumable_role("reader", &read).await?;
        let session = world.assume(&reader).await?;
        assert_eq!(gets(&session, "wire-data").await?, ["ok", "ok"], "before the policy");

        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&buckets_policy("wire", &["wire-data"]))?;
        world.until_row("wire", ENFORCED).await?;
        assert_eq!(gets(&session, "wire-data").await?, ["refused", "ok"]);
        Ok(())
    });
}

#[test]
fn a_public_statement_is_refused() {
    enforced_journey(async |world| {
        world.aws.create_bucket("open-data").await?;
        // That it is taken before shows that the refusal is our doing.
        world.aws.put_policy("open-data", &public_read("open-data")).await?;
        world.aws.s3.delete_bucket_policy().bucket("open-data").send().await?;

        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("open", &["open-data"]))?;
        world.until_row("open", ENFORCED).await?;
        let before = world.aws.policy("open-data").await?;
        let put = world.aws.s3.put_bucket_policy().bucket("open-data");
        let answer = put.policy(public_read("open-data")).send().await;
        assert_eq!(outcome(answer)?, "refused");
        assert_eq!(world.aws.policy("open-data").await?, before);

        // The block does not stand in the operator's own way.
        world.aws.s3.delete_bucket_policy().bucket("open-data").send().await?;
        eventually(PATIENCE, "our statements are back", || async {
            let now = world.aws.policy("open-data").await?;
            if ours(now.as_ref()) == ours(before.as_ref()) {
                Ok(())
            } else {
                Err(aidp_e2e::Error::from(format!("{now:?}")))
            }
        })
        .await
    });
}

/// A bucket that is public when the policy comes: our statements stand beside the public one, which takes effect no longer,
/// since the policy is written before the block that would refuse it. Later changes of the policy are refused, and the
/// object says why.
#[test]
fn a_public_bucket_is_closed() {
    enforced_journey(async |world| {
        world.aws.create_bucket("was-open").await?;
        world.aws.put_policy("was-open", &public_read("was-open")).await?;
        let mut operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("close", &["was-open"]))?;
        world.until_row("close", ENFORCED).await?;
        let seen = world.aws.bucket("was-open").await?;
        assert_eq!(seen.public_access_block, Some([true; 4]));
        assert_eq!(ours(seen.policy.as_ref()).len(), 2);
        let theirs: Value = serde_json::from_str(&public_read("was-open"))?;
        assert_eq!(foreign(seen.policy.as_ref()), [theirs["Statement"][0].clone()]);

        // Somebody takes our statements out, and what is left behind the block can't be changed any more.
        operator.stop().await?;
        world
            .aws
            .s3
            .delete_public_access_block()
            .bucket("was-open")
            .send()
            .await?;
        world.aws.put_policy("was-open", &public_read("was-open")).await?;
        block(world, "was-open").await?;
        let _operator = world.operator("second", &quick()).await?;
        world
            .until("close", "AccessDenied".to_owned(), |p| {
                p.row().rsplit(' ').next().unwrap_or_default().to_owned()
            })
            .await?;
        let ready = world.policy("close")?.condition("Ready").ok_or("no Ready")?;
        assert!(
            ready
                .message
                .contains("statement 0 of the bucket policy lets everybody in"),
            "{}",
            ready.message
        );
        assert_eq!(world.aws.policy("was-open").await?, Some(theirs));
        Ok(())
    });
}

/// Switches the whole public access block on.
async fn block(world: &World, bucket: &str) -> Result<()> {
    let all = aws_sdk_s3::types::PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true);
    let put = world.aws.s3.put_public_access_block().bucket(bucket);
    put.public_access_block_configuration(all.build()).send().await?;
    Ok(())
}

async fn blocked_types(world: &World, bucket: &str) -> Result<Vec<String>> {
    let answer = world.aws.s3.get_bucket_encryption().bucket(bucket).send().await?;
    let rules = answer
        .server_side_encryption_configuration
        .map(|c| c.rules)
        .unwrap_or_default();
    let blocked = rules.into_iter().filter_map(|rule| rule.blocked_encryption_types);
    let types = blocked.flat_map(|b| b.encryption_type.unwrap_or_default());
    Ok(types.map(|t| t.as_str().to_owned()).collect())
}

#[test]
fn blocked_customer_keys_stick() {
    enforced_journey(async |world| {
        world.aws.create_bucket("keys-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        let spec = json!({
            "bucketControls": {"encryption": {"algorithm": "SSE-S3", "customerKeys": "Block"}, "transport": {}},
            "buckets": [{"name": "keys-data"}],
        });
        world.apply(&policy("keys", &spec))?;
        world.until_row("keys", ENFORCED).await?;
        assert_eq!(blocked_types(world, "keys-data").await?, ["SSE-C"]);

        let mark = world.proxy.mark();
        world.reconcile("keys").await?;
        assert_eq!(
            world.proxy.writes_since(mark),
            Vec::<String>::new(),
            "what sticks is not written again"
        );

        // Somebody sets the default encryption as tools do that do not know the field.
        let algorithm = aws_sdk_s3::types::ServerSideEncryption::Aes256;
        world.aws.put_encryption("keys-data", algorithm, None).await?;
        eventually(PATIENCE, "customer keys are blocked again", || async {
            let types = blocked_types(world, "keys-data").await?;
            if types == ["SSE-C"] {
                Ok(())
            } else {
                Err(aidp_e2e::Error::from(format!("{types:?}")))
            }
        })
        .await?;
        world.until_row("keys", ENFORCED).await?;
        Ok(())
    });
}

/// The documents that the operator writes are taken by a server that reads them: none is refused as malformed.
#[test]
fn every_backstop_for_uploads_is_taken() {
    enforced_journey(async |world| {
        world.aws.create_bucket("upload-data").await?;
        let key = world.aws.create_key().await?;
        let _operator = world.operator("operator", &quick()).await?;
        let encryption = json!({
            "algorithm": "SSE-KMS", "kmsKeys": [{"region": "eu-west-1", "keyARN": key}], "uploads": "RequireKey",
        });
        let spec = json!({"bucketControls": {"encryption": encryption, "transport": {}}, "buckets": [{"name": "upload-data"}]});
        world.apply(&policy("upload", &spec))?;
        world.until_row("upload", ENFORCED).await?;

        let everything = aidp_e2e::session::everything();
        let writer = world.aws.create_assumable_role("writer", &everything).await?;
        let session = world.assume(&writer).await?;
        let put = |algorithm: Option<&str>, key: Option<&str>| {
            let put = session.https.put_object().bucket("upload-data").key("k");
            put.set_server_side_encryption(algorithm.map(Into::into))
                .set_ssekms_key_id(key.map(str::to_owned))
                .send()
        };
        let other = world.aws.create_key().await?;
        let seen: Vec<String> = vec![
            outcome(put(None, None).await)?,
            outcome(put(Some("AES256"), None).await)?,
            outcome(put(Some("aws:kms"), None).await)?,
            outcome(put(Some("aws:kms"), Some(&other)).await)?,
            outcome(put(Some("aws:kms"), Some(&key)).await)?,
        ];
        assert_eq!(seen, ["ok", "refused", "refused", "refused", "ok"]);
        let statements = ours(world.aws.policy("upload-data").await?.as_ref());
        assert_ne!(statements, Vec::<Value>::new());
        Ok(())
    });
}
