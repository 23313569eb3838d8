//! From a bare account and cluster to what the policy says, judged from outside.

use aidp_e2e::operator::{ACCESS_KEY, OIDC_PROVIDER, Settings};
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::world::{World, journey, policy};
use serde_json::{Value, json};

use crate::common::{ENFORCED, foreign, foreign_statement, ours, seed, whole_policy};

#[test]
fn a_bucket_a_role_and_egress_come_into_line_and_the_object_says_so() {
    journey(async |world| {
        let key = seed(world, "fraud").await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&whole_policy("fraud", &key))?;
        let seen = world.until_row("fraud", ENFORCED).await?;

        let bucket = world.aws.bucket("fraud-data").await?;
        assert_eq!(bucket.encryption, Some(format!("aws:kms {key}")));
        assert_eq!(bucket.public_access_block, Some([true; 4]));
        assert_eq!(bucket.versioning.as_deref(), Some("Enabled"));
        assert_eq!(foreign(bucket.policy.as_ref()), [foreign_statement("fraud-data")]);
        let own = ours(bucket.policy.as_ref());
        assert!(
            own.iter()
                .any(|s| s["Condition"] == json!({"Bool": {"aws:SecureTransport": "false"}})),
            "{own:#?}"
        );
        assert!(
            own.iter()
                .any(|s| s["Condition"] == json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}})),
            "{own:#?}"
        );
        let role_arn = "arn:aws:iam::123456789012:role/aidp/fraud-trainer";
        assert!(
            own.iter()
                .any(|s| s["Effect"] == "Deny" && s["Condition"].to_string().contains(role_arn)),
            "{own:#?}"
        );

        let role = world
            .aws
            .role("fraud-trainer")
            .await?
            .expect("the role has been created");
        assert_eq!(role.path, "/aidp/");
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            role.tags,
            [tag("aidp.dev/managed-by", "e2e"), tag("aidp.dev/policy", "fraud")]
        );
        assert_eq!(role.max_session_duration, Some(3600));
        let issuer = OIDC_PROVIDER.split_once('/').expect("an ARN").1;
        let trust = &role.trust["Statement"][0];
        assert_eq!(role.trust["Statement"].as_array().map(Vec::len), Some(1));
        assert_eq!(trust["Principal"], json!({"Federated": OIDC_PROVIDER}));
        assert_eq!(
            trust["Condition"],
            json!({"StringEquals": {
                format!("{issuer}:sub"): "system:serviceaccount:ml:trainer", format!("{issuer}:aud"): "sts.amazonaws.com",
            }})
        );
        let names: Vec<&str> = role.inline.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["aidp-readonly"]);
        let document = role.inline[0].1.to_string();
        assert!(
            document.contains("arn:aws:s3:::fraud-data/curated/*") && document.contains("NotAction"),
            "{document}"
        );

        assert_eq!(network_policies(world, "ml-fraud")?.len(), 1);
        assert_eq!(seen.text("/status/summary/buckets"), "1/1");
        assert_eq!(seen.text("/status/summary/roles"), "1/1");
        assert_eq!(seen.text("/status/summary/egress"), "1/1");
        assert_eq!(
            seen.findings(),
            [
                "IAM.WorkloadIdentity role/fraud-trainer serviceAccounts[ml/trainer]",
                "Net.BlocksOwnCredentials egress/training allow",
                "Net.Enforcement egress/training enforcer.ServicesJudgedAfterTranslation",
                "S3.AccessLogging bucket/fraud-data accessLogging",
                "S3.ExistingObjects bucket/fraud-data existingObjects",
                "S3.MFADelete bucket/fraud-data versioning.mfaDelete",
                "S3.ObjectLock bucket/fraud-data objectLock",
                "S3.ObjectOwnership bucket/fraud-data objectOwnership"
            ],
            "reported are two controls that the policy leaves out, a ServiceAccount that does not exist, that no DNS of the cluster shows, what kube-router leaves open, and what is only ever reported"
        );
        assert_eq!(
            [seen.status("BucketsProtected"), seen.status("RolesReadOnly")],
            ["True", "True"]
        );
        assert_eq!(seen.short("EgressRestricted"), "True/PortRestricted");
        assert_eq!(seen.text("/status/targets/buckets/0/name"), "fraud-data");
        assert_eq!(seen.text("/status/targets/roles/0/arn"), role_arn);
        assert_eq!(seen.text("/status/targets/egress/0/enforcer"), "kube-router");
        assert_eq!(seen.text("/status/account/id"), "123456789012");
        assert!(!seen.history().is_empty(), "what was wrong at first is in the history");

        let table = world.plane.kubectl(&["get", "adpp", "fraud", "--no-headers"])?;
        let columns: Vec<&str> = table.split_whitespace().collect();
        assert_eq!(
            columns.get(..7),
            Some(["fraud", "Enforce", "True", "False", "1/1", "1/1", "1/1"].as_slice()),
            "{table}"
        );
        Ok(())
    });
}

#[test]
fn every_call_goes_over_tls_with_the_operators_own_credentials() {
    journey(async |world| {
        let key = seed(world, "fraud").await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&whole_policy("fraud", &key))?;
        world.until_row("fraud", ENFORCED).await?;
        for call in world.proxy.calls() {
            assert_eq!(call.scheme, "https", "{call:?}");
            assert_eq!(call.operation.access_key.as_deref(), Some(ACCESS_KEY), "{call:?}");
        }
        Ok(())
    });
}

#[test]
fn a_bucket_in_another_region_is_followed_there() {
    journey(async |world| {
        world.aws.create_bucket_in("far-data", "eu-central-1").await?;
        // As S3 answers: a call signed for the wrong region is sent elsewhere.
        let misdirected = Filter {
            resource: Some("far-data".to_owned()),
            not_region: Some("eu-central-1".to_owned()),
            ..Filter::named("s3")
        };
        world.proxy.inject(Fault::always(
            misdirected,
            Act::PermanentRedirect {
                region: "eu-central-1".to_owned(),
            },
        ));
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&policy("far", &json!({"buckets": [{"name": "far-data"}]})))?;
        let seen = world.until_row("far", ENFORCED).await?;
        assert_eq!(seen.text("/status/targets/buckets/0/region"), "eu-central-1");
        let writes = world.proxy.calls().into_iter().filter(|call| call.operation.write);
        let regions: Vec<Option<String>> = writes.map(|call| call.operation.region).collect();
        assert!(
            !regions.is_empty() && regions.iter().all(|region| region.as_deref() == Some("eu-central-1")),
            "{regions:?}"
        );
        Ok(())
    });
}

#[test]
fn a_kms_key_is_set_and_a_stronger_bucket_is_not_weakened() {
    journey(async |world| {
        let key = world.aws.create_key().await?;
        world.aws.create_bucket("plain-data").await?;
        world.aws.create_bucket("strong-data").await?;
        world
            .aws
            .put_encryption(
                "strong-data",
                aws_sdk_s3::types::ServerSideEncryption::AwsKms,
                Some(&key),
            )
            .await?;
        let _operator = world.operator("operator", &Settings::default()).await?;

        world.apply(&policy(
            "weak",
            &json!({
                "buckets": [{"name": "strong-data"}], "bucketControls": {"encryption": {"algorithm": "SSE-S3"}},
            }),
        ))?;
        world.until_row("weak", ENFORCED).await?;
        assert_eq!(
            world.aws.bucket("strong-data").await?.encryption,
            Some(format!("aws:kms {key}"))
        );

        let keys = json!([{"region": "eu-west-1", "keyARN": key}]);
        world.apply(&policy("kms", &json!({
            "buckets": [{"name": "plain-data"}], "bucketControls": {"encryption": {"algorithm": "SSE-KMS", "kmsKeys": keys}},
        })))?;
        world.until_row("kms", ENFORCED).await?;
        assert_eq!(
            world.aws.bucket("plain-data").await?.encryption,
            Some(format!("aws:kms {key}"))
        );
        Ok(())
    });
}

#[test]
fn a_control_that_is_left_out_is_counted_and_not_enforced() {
    journey(async |world| {
        world.aws.create_bucket("half-data").await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&policy(
            "half",
            &json!({"buckets": [{"name": "half-data"}], "bucketControls": {"transport": {}}}),
        ))?;
        let seen = world.until_row("half", ENFORCED).await?;
        let bucket = world.aws.bucket("half-data").await?;
        assert_eq!(
            (bucket.encryption, bucket.public_access_block, bucket.versioning),
            (None, None, None)
        );
        assert!(!ours(bucket.policy.as_ref()).is_empty());
        let message = seen.condition("Ready").expect("Ready").message;
        assert!(
            message.contains("5 of 6 controls are report-only"),
            "the message counts what is not enforced: {message}"
        );
        Ok(())
    });
}

#[test]
fn what_somebody_else_already_enforces_is_left_to_them() {
    journey(async |world| {
        world.aws.create_bucket("terraform-data").await?;
        let theirs = json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
             "Resource": ["arn:aws:s3:::terraform-data", "arn:aws:s3:::terraform-data/*"], "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "ModernTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
             "Resource": ["arn:aws:s3:::terraform-data", "arn:aws:s3:::terraform-data/*"], "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ]});
        world.aws.put_policy("terraform-data", &theirs.to_string()).await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&policy(
            "guest",
            &json!({"buckets": [{"name": "terraform-data"}], "bucketControls": {"transport": {}}}),
        ))?;
        world.until_row("guest", ENFORCED).await?;
        assert_eq!(world.aws.policy("terraform-data").await?, Some(theirs));
        assert_eq!(world.proxy.counts().get("s3:PutBucketPolicy"), None);
        Ok(())
    });
}

/// The operator's NetworkPolicies of a namespace.
fn network_policies(world: &World, namespace: &str) -> aidp_e2e::Result<Vec<Value>> {
    let text = world
        .plane
        .kubectl(&["get", "networkpolicies", "-n", namespace, "-o=json"])?;
    let list: Value = serde_json::from_str(&text)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}
