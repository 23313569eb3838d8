//! An S3 server that is not AWS's: what it lacks is said to be lacking, and neither an error nor compliant.
//!
//! The server is versitygw. It answers 501 for encryption, public access block, access logging, lifecycle and replication,
//! 403 for whatever names an expected owner, and 400 for a bucket policy with `s3:TlsVersion`.

use aidp_e2e::Result;
use aidp_e2e::operator::Settings;
use aidp_e2e::view::PolicyView;
use aidp_e2e::world::{World, other_server_journey, policy};
use serde_json::{Value, json};

use crate::common::{ENFORCED, every_control, foreign, ours};

fn unguarded() -> Settings {
    Settings {
        arguments: vec!["--account-guard", "Disabled", "--max-interval", "2s"],
        ..Settings::default()
    }
}

/// `control have` of every finding, sorted.
fn told(policy: &PolicyView) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = policy.list("/status/findings").iter();
    let mut told: Vec<String> = findings
        .map(|finding| format!("{} {}", text(finding, "control"), text(finding, "have")))
        .collect();
    told.sort();
    told
}

/// A foreign statement: the server takes neither numbers nor the condition key of the other tests'.
fn read_by_all(bucket: &str) -> Value {
    json!({
        "Sid": "AllMayRead", "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"],
        "Resource": format!("arn:aws:s3:::{bucket}/public/*"),
    })
}

async fn versioning(world: &World, bucket: &str) -> Result<Option<String>> {
    let answer = world.aws.s3.get_bucket_versioning().bucket(bucket).send().await?;
    Ok(answer.status.map(|status| status.as_str().to_owned()))
}

#[test]
fn what_the_server_lacks_is_not_applicable_and_what_it_has_is_enforced() {
    other_server_journey(async |world| {
        world.aws.create_bucket("tape-data").await?;
        let theirs = read_by_all("tape-data");
        let document = json!({"Version": "2012-10-17", "Statement": [theirs]});
        world.aws.put_policy("tape-data", &document.to_string()).await?;
        let _operator = world.operator("operator", &unguarded()).await?;
        let spec = json!({"bucketControls": every_control(), "buckets": [{"name": "tape-data"}]});
        world.apply(&policy("tape", &spec))?;
        let seen = world.until_row("tape", ENFORCED).await?;

        let lacking = |control: &str| format!("{control} NotApplicable");
        assert_eq!(
            told(&seen),
            [
                lacking("S3.AccessLogging"),
                lacking("S3.DefaultEncryption"),
                "S3.ExistingObjects Unknown".to_owned(),
                lacking("S3.LifecycleExpiry"),
                "S3.MFADelete Disabled".to_owned(),
                lacking("S3.MinimumTLSVersion"),
                "S3.ObjectLock off".to_owned(),
                lacking("S3.PublicAccessBlock"),
                "S3.PublicPolicy access for everybody".to_owned(),
                lacking("S3.Replication"),
            ]
        );
        for finding in seen.list("/status/findings") {
            let message = finding["message"].as_str().unwrap_or_default();
            let reason = ["the server has no ", "s3:TlsVersion is a condition key of AWS's"];
            assert!(
                finding["have"] != "NotApplicable" || reason.iter().any(|r| message.starts_with(r)),
                "{message}"
            );
        }
        // No promise is made of buckets on which half of what is asked does not exist.
        assert_eq!(seen.short("BucketsProtected"), "Unknown/NotApplicable");
        assert_eq!(seen.text("/status/summary/buckets"), "0/1");
        let ready = seen.condition("Ready").expect("Ready").message;
        assert!(
            ready.contains("4 controls do not apply where they are asked for"),
            "{ready}"
        );

        let stored = world.aws.policy("tape-data").await?;
        assert_eq!(foreign(stored.as_ref()), [theirs]);
        let own: Vec<Value> = ours(stored.as_ref())
            .into_iter()
            .map(|s| s["Condition"].clone())
            .collect();
        assert_eq!(own, [json!({"Bool": {"aws:SecureTransport": "false"}})]);
        assert_eq!(versioning(world, "tape-data").await?.as_deref(), Some("Enabled"));

        let mark = world.proxy.mark();
        world.reconcile("tape").await?;
        assert_eq!(world.proxy.writes_since(mark), Vec::<String>::new());
        let asked: Vec<String> = world
            .proxy
            .counts()
            .into_keys()
            .filter(|name| !name.starts_with("s3:"))
            .collect();
        assert_eq!(asked, Vec::<String>::new(), "there is nobody else to ask");
        Ok(())
    });
}

/// The guard is on by default: then nothing is done on a server that can't say whose the credentials are.
#[test]
fn with_the_account_guard_on_nothing_is_done_there() {
    other_server_journey(async |world| {
        world.aws.create_bucket("kept-data").await?;
        let document = json!({"Version": "2012-10-17", "Statement": [read_by_all("kept-data")]});
        world.aws.put_policy("kept-data", &document.to_string()).await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&policy("kept", &json!({"buckets": [{"name": "kept-data"}]})))?;
        let seen = world
            .until("kept", "Unknown".to_owned(), |p| p.status("BucketsProtected"))
            .await?;
        assert_ne!(seen.status("Ready"), "True", "{}", seen.summary());
        let calls = world.proxy.calls();
        let of_bucket: Vec<String> = calls
            .iter()
            .map(aidp_e2e::proxy::Call::name)
            .filter(|n| n.starts_with("s3:"))
            .collect();
        assert_eq!(
            of_bucket,
            Vec::<String>::new(),
            "in an account that nobody knows nothing is read or written"
        );
        assert_eq!(world.aws.policy("kept-data").await?, Some(document));
        Ok(())
    });
}
