//! What the API server takes and refuses, and what it says. No operator runs here.

use aidp_e2e::Result;
use aidp_e2e::world::{World, journey, policy};
use serde_json::{Value, json};

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn bucket() -> Value {
    json!([{"name": "training-data"}])
}

fn kms(keys: &Value) -> Value {
    json!({"buckets": bucket(), "bucketControls": {"encryption": {"algorithm": "SSE-KMS", "kmsKeys": keys}}})
}

fn egress(change: &Value) -> Value {
    let mut rule = json!({
        "name": "training",
        "namespaceSelector": {"matchLabels": {"team": "ml"}},
        "podSelector": {"matchLabels": {"workload": "training"}},
        "allow": [{"type": "CIDR", "cidr": "10.0.0.0/8"}],
    });
    rule.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    json!({"egress": [rule]})
}

fn role(read: &Value) -> Value {
    json!({"buckets": bucket(), "trainingRoles": [{
        "name": "trainer", "workloadIdentity": "IRSA", "serviceAccounts": [{"namespace": "ml", "name": "trainer"}], "read": read,
    }]})
}

#[test]
fn bad_input_is_refused_with_the_field_and_the_fix() {
    #[rustfmt::skip]
    let cases = [
        ("kms-without-key", json!({"buckets": bucket(), "bucketControls": {"encryption": {"algorithm": "SSE-KMS"}}}),
         ["spec.bucketControls.encryption", "kmsKeys"]),
        ("kms-key-of-another-region-only", kms(&json!([{"region": "eu-central-1", "keyARN": KEY.replace("eu-west-1", "eu-central-1")}])),
         ["kmsKeys", "account.region"]),
        ("kms-key-not-in-its-region", kms(&json!([{"region": "eu-west-1", "keyARN": KEY.replace("eu-west-1", "eu-central-1")}])),
         ["spec.bucketControls.encryption.kmsKeys[0]", "region"]),
        ("bad-key-arn", kms(&json!([{"region": "eu-west-1", "keyARN": "alias/training-data-key"}])),
         ["spec.bucketControls.encryption.kmsKeys[0].keyARN", "arn:aws"]),
        ("bucket-key-with-dsse", json!({"buckets": bucket(), "bucketControls": {"encryption": {"algorithm": "DSSE-KMS", "bucketKey": "Enabled", "kmsKeys": [{"region": "eu-west-1", "keyARN": KEY}]}}}),
         ["spec.bucketControls.encryption", "bucketKey needs algorithm SSE-KMS"]),
        ("require-key-without-kms", json!({"buckets": bucket(), "bucketControls": {"encryption": {"algorithm": "SSE-S3", "uploads": "RequireKey"}}}),
         ["spec.bucketControls.encryption", "RequireKey needs"]),
        ("access-logs-to-nowhere", json!({"buckets": bucket(), "bucketControls": {"accessLogging": {"prefix": "s3/"}}}),
         ["spec.bucketControls.accessLogging", "needs bucket"]),
        ("bad-cidr", egress(&json!({"allow": [{"type": "CIDR", "cidr": "10.0.0.0/33"}]})),
         ["spec.egress[0].allow[0].cidr", "CIDR"]),
        ("host-bits-in-cidr", egress(&json!({"allow": [{"type": "CIDR", "cidr": "10.0.0.1/8"}]})),
         ["spec.egress[0].allow[0].cidr", "network address"]),
        ("anywhere-but-443", egress(&json!({"allow": [{"type": "CIDR", "cidr": "0.0.0.0/0", "ports": [{"port": 80}]}]})),
         ["spec.egress[0].allow[0]", "443/TCP only"]),
        ("interval-too-short", json!({"buckets": bucket(), "interval": "1s"}), ["spec.interval", "30s"]),
        ("interval-no-duration", json!({"buckets": bucket(), "interval": "often"}), ["spec.interval", ""]),
        ("no-targets", json!({}), ["spec", "at least one of buckets"]),
        ("empty-pod-selector", egress(&json!({"podSelector": {}})), ["spec.egress[0]", "podSelector may not be empty"]),
        ("empty-namespace-selector", egress(&json!({"namespaceSelector": {}})), ["spec.egress[0]", "namespaceSelector may not be empty"]),
        ("kube-system", egress(&json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}})),
         ["spec.egress[0]", "kube-system"]),
        ("kube-system-by-expression",
         egress(&json!({"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["ml", "kube-system"]}]}})),
         ["spec.egress[0]", "kube-system"]),
        ("read-of-a-foreign-bucket", role(&json!([{"bucket": "somebody-elses"}])), ["spec", "spec.buckets[].name"]),
        ("name-that-is-far-too-long-for-what-is-made-out-of-it1", json!({"buckets": bucket()}), ["metadata.name", "52"]),
        ("unknown-mode", json!({"buckets": bucket(), "mode": "Maybe"}), ["spec.mode", "Enforce"]),
        ("unknown-algorithm", json!({"buckets": bucket(), "bucketControls": {"encryption": {"algorithm": "ROT13"}}}),
         ["spec.bucketControls.encryption.algorithm", "SSE-S3"]),
        ("an-arn-for-a-bucket", json!({"buckets": [{"name": "arn:aws:s3:::training-data"}]}), ["spec.buckets[0].name", "bare bucket name"]),
        ("bucket-twice", json!({"buckets": [{"name": "training-data"}, {"name": "training-data"}]}), ["spec.buckets[1]", "Duplicate"]),
        ("empty-bucket-selector", json!({"bucketSelectors": [{"name": "all"}]}), ["spec.bucketSelectors[0]", "may not be empty"]),
        ("a-wildcard-for-a-prefix", json!({"bucketSelectors": [{"name": "all", "namePrefix": "fraud*"}]}),
         ["spec.bucketSelectors[0].namePrefix", "no wildcard"]),
        ("bucket-selector-twice", json!({"bucketSelectors": [{"name": "a", "namePrefix": "x"}, {"name": "a", "namePrefix": "y"}]}),
         ["spec.bucketSelectors[1]", "Duplicate"]),
        ("roles-without-named-buckets", json!({"bucketSelectors": [{"name": "a", "namePrefix": "x"}], "trainingRoles": role(&json!([{"bucket": "training-data"}]))["trainingRoles"]}),
         ["spec", "trainingRoles need spec.buckets"]),
        ("bad-account", json!({"buckets": bucket(), "account": {"id": "1234", "region": "eu-west-1"}}), ["spec.account.id", ""]),
        ("cidr-on-pods", egress(&json!({"allow": [{"type": "Pods", "cidr": "10.0.0.0/8", "namespaceSelector": {}, "podSelector": {}, "ports": [{"port": 1}]}]})),
         ["spec.egress[0].allow[0]", "cidr goes with type CIDR"]),
        ("typo", json!({"buckets": bucket(), "bucketControls": {"publicAcess": {}}}), ["publicAcess", "unknown field"]),
    ];
    journey(async |world| {
        let mut accepted = Vec::new();
        for (name, spec, expected) in &cases {
            match apply_strictly(world, &policy(name, spec)) {
                Ok(()) => accepted.push((*name).to_owned()),
                Err(error) => {
                    let text = error.to_string();
                    if !expected.iter().all(|word| text.contains(word)) {
                        accepted.push(format!(
                            "{name}: refused, but the message lacks one of {expected:?}: {text}"
                        ));
                    }
                }
            }
        }
        assert_eq!(accepted, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn null_is_stored_as_absent() {
    // The API server drops the null of a field that is not nullable: such a control counts as left out, which is
    // report-only and said aloud in the Ready message. What must not happen is that null is stored as "off".
    journey(async |world| {
        let spec = json!({"buckets": bucket(), "bucketControls": {"publicAccess": null, "transport": {}}});
        world
            .plane
            .kubectl_with(&["create", "-f", "-"], &policy("null-control", &spec).to_string())?;
        assert_eq!(
            world.policy("null-control")?.0["spec"]["bucketControls"],
            json!({"transport": {}})
        );
        Ok(())
    });
}

#[test]
fn the_account_of_a_policy_is_final() {
    journey(async |world| {
        world.apply(&policy("moves", &json!({"buckets": bucket()})))?;
        let moved = policy(
            "moves",
            &json!({"buckets": bucket(), "account": {"id": "999999999999", "region": "eu-west-1"}}),
        );
        let error = world.apply(&moved).unwrap_err().to_string();
        assert!(
            error.contains("spec.account.id") && error.contains("immutable"),
            "{error}"
        );
        Ok(())
    });
}

#[test]
fn an_object_that_nobody_has_seen_is_in_progress_for_kstatus() {
    journey(async |world| {
        world.apply(&policy("fresh", &json!({"buckets": bucket()})))?;
        let fresh = world.policy("fresh")?;
        // kstatus compares these two before anything else, and says InProgress while they differ.
        assert_eq!((fresh.observed_generation(), fresh.generation()), (-1, 1));
        assert_eq!(fresh.list("/status/conditions"), &[] as &[Value]);
        assert_eq!(fresh.text("/spec/deletionPolicy"), "Retain");
        Ok(())
    });
}

#[test]
fn every_list_may_be_full_at_once() {
    // The cost of CEL is estimated when the CRD is created, and limited again when an object is written.
    journey(async |world| {
        let buckets: Vec<Value> = (0..2000).map(|i| json!({"name": format!("b-{i:04}")})).collect();
        let accounts: Vec<Value> = (0..50)
            .map(|i| json!({"namespace": "ml", "name": format!("sa-{i}")}))
            .collect();
        let read: Vec<Value> = (0..100).map(|i| json!({"bucket": format!("b-{i:04}")})).collect();
        let roles: Vec<Value> = (0..100)
            .map(|i| json!({"name": format!("r-{i}"), "workloadIdentity": "IRSA", "serviceAccounts": accounts, "read": read}))
            .collect();
        let allow: Vec<Value> = (0..100)
            .map(|i| json!({"type": "CIDR", "cidr": format!("10.{i}.0.0/16")}))
            .collect();
        let egress: Vec<Value> = (0..50)
            .map(|i| {
                json!({"name": format!("r-{i}"), "namespaceSelector": {"matchLabels": {"team": "ml"}},
                            "podSelector": {"matchLabels": {"workload": "training"}}, "allow": allow})
            })
            .collect();
        let tags: Vec<Value> = (0..10)
            .map(|i| json!({"key": format!("{:k<128}", i), "value": "v".repeat(256)}))
            .collect();
        let selectors: Vec<Value> = (0..50)
            .map(|i| json!({"name": format!("s-{i}"), "namePrefix": "p".repeat(63), "matchTags": tags}))
            .collect();
        let full = policy(
            "full",
            &json!({"buckets": buckets, "bucketSelectors": selectors, "trainingRoles": roles, "egress": egress}),
        );
        world.plane.kubectl_with(&["create", "-f", "-"], &full.to_string())?;
        Ok(())
    });
}

#[test]
fn two_thousand_buckets_apply_and_their_status_can_be_written() {
    journey(async |world| {
        let names: Vec<String> = (0..2000).map(|i| format!("{:a<59}{i:04}", "bucket-")).collect();
        let buckets: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        world.apply(&policy("many", &json!({"buckets": buckets})))?;

        let targets: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "region": "eu-west-1", "state": "Compliant"}))
            .collect();
        let status = json!({"status": {"observedGeneration": 1, "targets": {"buckets": targets}}});
        let patch = world.surroundings().folder.join("status.json");
        std::fs::write(&patch, status.to_string())?;
        let file = patch.to_str().ok_or("path is not UTF-8")?;
        world.plane.kubectl(&[
            "patch",
            "adpp",
            "many",
            "--subresource=status",
            "--type=merge",
            "--patch-file",
            file,
        ])?;
        assert_eq!(world.policy("many")?.list("/status/targets/buckets").len(), 2000);
        Ok(())
    });
}

#[test]
fn kubectl_explain_reads_like_documentation() {
    journey(async |world| {
        let text = world.plane.kubectl(&["explain", "adpp.spec.trainingRoles"])?;
        for word in [
            "serviceAccounts",
            "read",
            "managedPolicyARNs",
            "maxSessionDurationSeconds",
            "Default 3600",
            "-required-",
        ] {
            assert!(text.contains(word), "kubectl explain lacks {word}:\n{text}");
        }
        Ok(())
    });
}

#[test]
fn every_example_is_accepted() {
    journey(async |world| {
        let mut examples = 0;
        for entry in std::fs::read_dir(aidp_e2e::process::project_dir().join("examples"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path)?;
                let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
                world
                    .plane
                    .kubectl_with(&apply, &text)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                examples += 1;
            }
        }
        assert!(examples > 0, "no examples found");
        Ok(())
    });
}

/// As `kubectl apply` does by default: a field that the schema does not know is an error.
fn apply_strictly(world: &World, object: &Value) -> Result<()> {
    world
        .plane
        .kubectl_with(&["apply", "--validate=strict", "-f", "-"], &object.to_string())
        .map(drop)
}
