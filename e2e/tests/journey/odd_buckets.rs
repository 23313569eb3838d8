//! Buckets as they are found in the wild: brimful policies, a statement that is no list, keys by alias, other regions, keys
//! that are switched off. Each comes into line, or says why not, and nobody else's statement loses a byte.

use std::collections::BTreeMap;

use aidp_e2e::Result;
use aidp_e2e::aws::BucketSeen;
use aidp_e2e::operator::Settings;
use aidp_e2e::proxy::{Act, Call, Fault, Filter};
use aidp_e2e::view::PolicyView;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey, policy};
use aws_sdk_kms::config::Region;
use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::{Value, json};

use crate::common::{
    ENFORCED, LOG_BUCKET, every_control, foreign, foreign_statement, ours, quick, seed_bucket, seed_log_bucket,
};

/// The longest bucket policy that AWS takes, in bytes.
const MAX_POLICY: usize = 20_480;

/// A foreign policy of exactly so many bytes.
fn long_policy(bucket: &str, bytes: usize) -> String {
    let filled = |fill: usize| {
        let statement = json!({
            "Sid": "PartnerMayRead", "Effect": "Allow", "Principal": {"AWS": ["111122223333"]}, "Action": "s3:getObject",
            "Resource": format!("arn:aws:s3:::{bucket}/{}", "x".repeat(fill)),
        });
        json!({"Version": "2008-10-17", "Statement": [foreign_statement(bucket), statement]}).to_string()
    };
    filled(bytes - filled(0).len())
}

/// The text of the foreign statements, as somebody stored them.
fn statements_of(document: &str) -> Result<Vec<String>> {
    let document: Value = serde_json::from_str(document)?;
    Ok(match &document["Statement"] {
        Value::Array(list) => list.iter().map(ToString::to_string).collect(),
        one => vec![one.to_string()],
    })
}

/// Holds a stored policy against the foreign one that was there before: every statement of it stands there byte by byte.
async fn assert_unharmed(world: &World, bucket: &str, before: &str) -> Result<()> {
    let text = world.aws.policy_text(bucket).await?.unwrap_or_default();
    for statement in statements_of(before)? {
        assert!(text.contains(&statement), "{bucket}: {statement} is not in {text}");
    }
    let document: Value = serde_json::from_str(&text)?;
    let kept: Vec<String> = foreign(Some(&document)).iter().map(ToString::to_string).collect();
    assert_eq!(kept, statements_of(before)?, "{bucket}");
    Ok(())
}

/// Asks for everything afresh, and returns the writes that came of it.
async fn writes_of_a_look(world: &World, name: &str) -> Result<Vec<String>> {
    let mark = world.proxy.mark();
    world.reconcile(name).await?;
    Ok(world.proxy.writes_since(mark))
}

fn protected(encryption: &str, policy: Option<Value>) -> BucketSeen {
    BucketSeen {
        encryption: Some(encryption.to_owned()),
        policy,
        public_access_block: Some([true; 4]),
        versioning: Some("Enabled".to_owned()),
    }
}

fn conditions_of_ours(policy: Option<&Value>) -> Vec<Value> {
    ours(policy).into_iter().map(|s| s["Condition"].clone()).collect()
}

fn tls_conditions() -> [Value; 2] {
    [
        json!({"Bool": {"aws:SecureTransport": "false"}}),
        json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ]
}

/// `control resource have` of the findings that hold the policy back.
fn gating(seen: &PolicyView) -> Vec<String> {
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    let findings = seen.list("/status/findings").iter();
    let gating = findings.filter(|f| f["gating"] == "Gating");
    gating
        .map(|f| format!("{} {} {}", text(f, "control"), text(f, "resource"), text(f, "have")))
        .collect()
}

fn controls_with(key: &str, far_key: &str) -> Value {
    let keys = json!([{"region": "eu-west-1", "keyARN": key}, {"region": "eu-central-1", "keyARN": far_key}]);
    json!({
        "encryption": {"algorithm": "SSE-KMS", "kmsKeys": keys}, "transport": {}, "publicAccess": {}, "versioning": {},
    })
}

/// A key in another region than home.
async fn create_key_in(world: &World, region: &'static str) -> Result<String> {
    let there = || aws_sdk_kms::config::Builder::default().region(Region::new(region));
    let create = world.aws.kms.create_key().customize().config_override(there());
    let key = create.send().await?.key_metadata.ok_or("CreateKey without a key")?;
    let rotation = world.aws.kms.enable_key_rotation().key_id(key.key_id());
    rotation.customize().config_override(there()).send().await?;
    Ok(key.arn.ok_or("CreateKey without an ARN")?)
}

#[test]
fn odd_buckets_come_into_line_once_and_foreign_statements_keep_every_byte() {
    journey(async |world| {
        let (key, far_key) = (
            world.aws.create_key().await?,
            create_key_in(world, "eu-central-1").await?,
        );
        // As full as it can be for our two statements to fit in, and a byte fuller.
        let ours_take = two_statements_take(world).await?;
        let brimful = long_policy("brimful-data", MAX_POLICY - ours_take);
        world.aws.create_bucket("brimful-data").await?;
        world.aws.put_policy("brimful-data", &brimful).await?;
        seed_bucket(world, "object-data").await?;
        let one_statement = world.aws.policy_text("object-data").await?.unwrap_or_default();
        world.aws.create_bucket("alias-data").await?;
        let alias = world.aws.kms.create_alias().alias_name("alias/training");
        alias.target_key_id(&key).send().await?;
        let by_alias = Some("alias/training");
        world
            .aws
            .put_encryption("alias-data", ServerSideEncryption::AwsKms, by_alias)
            .await?;
        world.aws.create_bucket_in("abroad-data", "eu-central-1").await?;
        world.proxy.inject(Fault::always(
            Filter {
                resource: Some("abroad-data".to_owned()),
                not_region: Some("eu-central-1".to_owned()),
                ..Filter::named("s3")
            },
            Act::PermanentRedirect {
                region: "eu-central-1".to_owned(),
            },
        ));

        let mark = world.proxy.mark();
        let _operator = world.operator("operator", &quick()).await?;
        let names = ["brimful-data", "object-data", "alias-data", "abroad-data"];
        let buckets: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let spec = json!({"bucketControls": controls_with(&key, &far_key), "buckets": buckets});
        world.apply(&policy("odd", &spec))?;
        let seen = world.until_row("odd", ENFORCED).await?;
        assert_eq!(gating(&seen), Vec::<String>::new());
        assert_eq!(seen.text("/status/summary/buckets"), "4/4");

        for name in names {
            let stored = world.aws.policy(name).await?;
            let key = if name == "abroad-data" { &far_key } else { &key };
            assert_eq!(conditions_of_ours(stored.as_ref()), tls_conditions(), "{name}");
            assert_eq!(
                world.aws.bucket(name).await?,
                protected(&format!("aws:kms {key}"), stored),
                "{name}"
            );
        }
        assert_unharmed(world, "brimful-data", &brimful).await?;
        let text = world.aws.policy_text("brimful-data").await?.unwrap_or_default();
        assert_eq!((text.len(), text.contains("\"2008-10-17\"")), (MAX_POLICY, true));
        assert_unharmed(world, "object-data", &one_statement).await?;

        // Each thing was written once, and nothing is written again.
        let mut writes: BTreeMap<String, u32> = BTreeMap::new();
        for call in world.proxy.calls_since(mark).into_iter().filter(Call::took_effect) {
            let bucket = call.operation.resource.clone().unwrap_or_default();
            *writes.entry(format!("{bucket} {}", call.name())).or_default() += 1;
        }
        let operations = [
            "PutBucketEncryption",
            "PutBucketPolicy",
            "PutBucketVersioning",
            "PutPublicAccessBlock",
        ];
        let once = names
            .iter()
            .flat_map(|name| operations.map(|operation| (format!("{name} s3:{operation}"), 1)));
        assert_eq!(writes, once.collect());
        assert_eq!(writes_of_a_look(world, "odd").await?, Vec::<String>::new());
        Ok(())
    });
}

/// How many bytes our statements for transport add to a policy, commas included: seen on a bucket of their own.
async fn two_statements_take(world: &World) -> Result<usize> {
    const NAME: &str = "measure-data";
    world.aws.create_bucket(NAME).await?;
    let bare = json!({"Version": "2012-10-17", "Statement": [foreign_statement(NAME)]}).to_string();
    world.aws.put_policy(NAME, &bare).await?;
    let mut operator = world.operator("measurer", &Settings::default()).await?;
    let spec = json!({"bucketControls": {"transport": {}}, "buckets": [{"name": NAME}]});
    world.apply(&policy("measure", &spec))?;
    world.until_row("measure", ENFORCED).await?;
    operator.stop().await?;
    world.plane.kubectl(&["delete", "adpp", "measure"])?;
    let text = world.aws.policy_text(NAME).await?.unwrap_or_default();
    // Names of buckets stand four times in the two statements.
    let longer = "brimful-data".len() - NAME.len();
    Ok(text.len() - bare.len() + 4 * longer)
}

#[test]
fn a_policy_of_19_9_kb_without_room_is_left_alone_and_all_else_is_enforced() {
    journey(async |world| {
        let key = world.aws.create_key().await?;
        let full = long_policy("full-data", 20_378);
        world.aws.create_bucket("full-data").await?;
        world.aws.put_policy("full-data", &full).await?;
        let _operator = world.operator("operator", &quick()).await?;
        let spec = json!({"bucketControls": controls_with(&key, &key.replace("eu-west-1", "eu-central-1")), "buckets": [{"name": "full-data"}]});
        world.apply(&policy("full", &spec))?;
        // The first status also has what is being repaired at that moment.
        let told = [
            "S3.TLSOnly bucket/full-data no statement denies them",
            "S3.MinimumTLSVersion bucket/full-data no statement denies them",
        ];
        let stalled = (
            "False - True True PolicyTooLarge".to_owned(),
            told.map(str::to_owned).to_vec(),
        );
        world.until("full", stalled, |p| (p.row(), gating(p))).await?;
        assert_eq!(
            world.aws.policy_text("full-data").await?.as_deref(),
            Some(full.as_str())
        );
        let stored = serde_json::from_str(&full)?;
        let expected = protected(&format!("aws:kms {key}"), Some(stored));
        eventually(PATIENCE, "everything but the policy is as it should be", || async {
            let now = world.aws.bucket("full-data").await?;
            if now == expected {
                Ok(())
            } else {
                Err(aidp_e2e::Error::from(format!("{now:?}")))
            }
        })
        .await?;
        assert_eq!(writes_of_a_look(world, "full").await?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_bucket_whose_key_is_disabled_is_at_risk_and_keeps_its_key() {
    journey(async |world| {
        let key = world.aws.create_key().await?;
        world.aws.create_bucket("locked-data").await?;
        world
            .aws
            .put_encryption("locked-data", ServerSideEncryption::AwsKms, Some(&key))
            .await?;
        let id = key.rsplit('/').next().unwrap_or_default();
        world.aws.kms.disable_key().key_id(id).send().await?;
        let _operator = world.operator("operator", &quick()).await?;
        let spec = json!({"bucketControls": controls_with(&key, &key.replace("eu-west-1", "eu-central-1")), "buckets": [{"name": "locked-data"}]});
        world.apply(&policy("locked", &spec))?;
        let told = vec!["KMS.KeyUsable bucket/locked-data Disabled".to_owned()];
        let stalled = ("False - True True KeyAtRisk".to_owned(), told);
        let seen = world.until("locked", stalled, |p| (p.row(), gating(p))).await?;
        assert_eq!(seen.list("/status/findings")[0]["severity"], "Critical");
        let stored = world.aws.policy("locked-data").await?;
        assert_eq!(conditions_of_ours(stored.as_ref()), tls_conditions());
        assert_eq!(
            world.aws.bucket("locked-data").await?,
            protected(&format!("aws:kms {key}"), stored)
        );
        assert_eq!(world.proxy.counts().get("s3:PutBucketEncryption"), None);
        assert_eq!(writes_of_a_look(world, "locked").await?, Vec::<String>::new());

        // Whoever enables it again is seen to have, within an interval.
        world.aws.kms.enable_key().key_id(id).send().await?;
        world.until_row("locked", ENFORCED).await?;
        Ok(())
    });
}

/// Sweeps that are watched.
const SWEEPS: u64 = 3;

/// Every control that can be enforced, with uploads held to the key.
fn every_control_with(key: &str) -> Value {
    let mut controls = every_control();
    controls["encryption"] = json!({
        "algorithm": "SSE-KMS", "kmsKeys": [{"region": "eu-west-1", "keyARN": key}], "bucketKey": "Enabled", "uploads": "RequireKey",
    });
    controls
}

#[test]
fn a_bucket_with_every_control_costs_six_reads_a_sweep_and_a_key_one() {
    const SHARING: u64 = 20;
    const WITH_OWN_KEY: u64 = 4;
    journey(async |world| {
        seed_log_bucket(world).await?;
        let shared = world.aws.create_key().await?;
        let mut buckets = Vec::new();
        for n in 0..SHARING {
            let name = format!("shared-{n}");
            world.aws.create_bucket(&name).await?;
            buckets.push(json!({"name": name}));
        }
        for n in 0..WITH_OWN_KEY {
            let name = format!("own-{n}");
            world.aws.create_bucket(&name).await?;
            let encryption = json!({"kmsKeyARN": world.aws.create_key().await?});
            buckets.push(json!({"name": name, "controls": {"encryption": encryption}}));
        }
        let settings = Settings {
            arguments: vec!["--max-interval", "6s"],
            ..Settings::default()
        };
        let _operator = world.operator("operator", &settings).await?;
        let spec = json!({"bucketControls": every_control_with(&shared), "buckets": buckets, "limits": {"maxWritesPerReconcile": 500}});
        world.apply(&policy("costs", &spec))?;
        world.until_row("costs", ENFORCED).await?;

        // From the start of one sweep to the start of a later one, told by the first bucket's encryption.
        world.reconcile("costs").await?;
        let mark = world.proxy.mark();
        let sweeps = |calls: &[Call]| count(calls, |c| c.name() == "s3:GetBucketEncryption") / (SHARING + WITH_OWN_KEY);
        eventually(PATIENCE, "the operator looks again and again", || async {
            let seen = sweeps(&world.proxy.calls_since(mark));
            if seen >= SWEEPS {
                Ok(())
            } else {
                Err(format!("{seen} sweeps"))
            }
        })
        .await?;
        let calls = world.proxy.calls_since(mark);
        let swept = sweeps(&calls);
        assert_eq!(world.proxy.writes_since(mark), Vec::<String>::new());

        let of_s3 = count(&calls, |c| c.operation.service == "s3");
        let of_kms = count(&calls, |c| c.operation.service == "kms");
        let all = u64::try_from(calls.len())?;
        let (buckets, keys) = (SHARING + WITH_OWN_KEY, 1 + WITH_OWN_KEY);
        eprintln!(
            "reads in {swept} sweeps of {buckets} buckets with {keys} keys: {of_s3} reads of S3, {of_kms} of KMS, {all} in all"
        );
        // One sweep may be under way.
        assert!(of_s3 <= 6 * buckets * (swept + 1), "{of_s3}");
        for bucket in ["shared-0", "shared-19", "own-0"] {
            let own = count(&calls, |c| c.operation.resource.as_deref() == Some(bucket));
            let looks = count(&calls, |c| {
                c.operation.resource.as_deref() == Some(bucket) && c.name() == "s3:GetBucketEncryption"
            });
            assert!(own <= 6 * looks.max(swept), "{own} reads of {bucket} in {looks} looks");
        }
        // Logging is on, so the log bucket was looked at with the reconcile, and is again in ten minutes.
        let of_log_bucket = count(&calls, |c| c.operation.resource.as_deref() == Some(LOG_BUCKET));
        assert_eq!(of_log_bucket, 0);
        assert!(of_kms <= keys * (swept + 1), "{of_kms}");
        let others: Vec<String> = calls
            .iter()
            .filter(|c| c.operation.service == "kms" && c.operation.operation != "DescribeKey")
            .map(Call::name)
            .collect();
        assert_eq!(
            others,
            Vec::<String>::new(),
            "what is only reported is read once an hour"
        );
        Ok(())
    });
}

fn count(calls: &[Call], which: impl Fn(&Call) -> bool) -> u64 {
    calls.iter().filter(|call| which(call)).count() as u64
}

/// S3 would take the setting and drop the logs; the emulator, too, takes most targets.
#[test]
fn access_logs_go_only_to_a_bucket_that_can_take_them() {
    journey(async |world| {
        world.aws.create_bucket("logged-data").await?;
        world.aws.create_bucket(LOG_BUCKET).await?;
        let logging = async || -> Result<Option<String>> {
            let answer = world.aws.s3.get_bucket_logging().bucket("logged-data").send().await?;
            Ok(answer
                .logging_enabled
                .map(|on| format!("{}/{}", on.target_bucket, on.target_prefix)))
        };
        let _operator = world.operator("operator", &quick()).await?;
        let controls = json!({"accessLogging": {"bucket": LOG_BUCKET, "prefix": "s3/"}});
        world.apply(&policy(
            "logged",
            &json!({"bucketControls": controls, "buckets": [{"name": "logged-data"}]}),
        ))?;
        let told = vec!["S3.AccessLogging bucket/logged-data off".to_owned()];
        let stalled = ("False - True True LogTargetUnusable".to_owned(), told);
        world.until("logged", stalled, |p| (p.row(), gating(p))).await?;
        assert_eq!(logging().await?, None);
        assert_eq!(world.proxy.counts().get("s3:PutBucketLogging"), None);

        let policy_before = open_to_logs(world, "elb/").await?;
        assert_eq!(
            world.reconcile("logged").await?.row(),
            "False - True True LogTargetUnusable"
        );
        let policy_after = open_to_logs(world, "s3/").await?;
        world.reconcile("logged").await?;
        world.until_row("logged", ENFORCED).await?;
        assert_eq!(logging().await?, Some(format!("{LOG_BUCKET}/s3/")));
        assert_eq!(writes_of_a_look(world, "logged").await?, Vec::<String>::new());

        // Whoever closes it again loses logs, and is told.
        assert_ne!(policy_before, policy_after);
        world.aws.put_policy(LOG_BUCKET, &policy_before).await?;
        world.reconcile("logged").await?;
        let lost = vec!["S3.AccessLogging bucket/logged-data not writable for S3's logging service".to_owned()];
        world.until("logged", lost, gating).await?;
        assert_eq!(
            world.aws.policy_text(LOG_BUCKET).await?,
            Some(policy_before),
            "it is never written to"
        );
        Ok(())
    });
}

/// Lets S3's logging service write under a prefix of the log bucket.
async fn open_to_logs(world: &World, prefix: &str) -> Result<String> {
    let document = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "AccessLogs", "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{LOG_BUCKET}/{prefix}*"), "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
    }]});
    world.aws.put_policy(LOG_BUCKET, &document.to_string()).await?;
    Ok(document.to_string())
}
