use super::*;
use crate::domain::iam::simulated::{SPEC, policy, policy_of, settings};
use crate::domain::policy::OperatorSettings;

fn only(policy: &ValidatedPolicy) -> RoleDocuments {
    documents(policy, &policy.roles[0])
}

fn as_json(document: Result<Document, DocumentError>) -> Value {
    let Document { json, parsed } = document.unwrap();
    assert_eq!(PolicyDocument::parse(&json).unwrap(), parsed);
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value.to_string(), json, "not compact");
    value
}

#[test]
fn trust_is_the_golden_document() {
    assert_eq!(
        as_json(only(&policy()).trust),
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "AidpIrsa",
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/ABCD"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {
                    "oidc.example.com/id/ABCD:sub": "system:serviceaccount:ml:trainer",
                    "oidc.example.com/id/ABCD:aud": "sts.amazonaws.com",
                }},
            }],
        })
    );
}

#[test]
fn several_service_accounts_are_listed_each_by_its_exact_sub() {
    let spec = SPEC.replace("name: trainer}", "name: trainer}, {namespace: ml-b, name: eval}");
    let trust = as_json(only(&policy_of(&spec, &settings())).trust);
    assert_eq!(
        trust["Statement"][0]["Condition"]["StringEquals"]["oidc.example.com/id/ABCD:sub"],
        json!(["system:serviceaccount:ml:trainer", "system:serviceaccount:ml-b:eval"])
    );
}

#[test]
fn the_inline_policy_is_the_golden_document() {
    assert_eq!(
        as_json(only(&policy()).inline),
        json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "AidpRead", "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
             "Resource": ["arn:aws:s3:::fraud-data/curated/*", "arn:aws:s3:::fraud-features/*"]},
            {"Sid": "AidpList", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::fraud-features"},
            {"Sid": "AidpList1", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::fraud-data",
             "Condition": {"StringLike": {"s3:prefix": "curated/*"}}},
            {"Sid": "AidpLocate", "Effect": "Allow", "Action": "s3:GetBucketLocation",
             "Resource": ["arn:aws:s3:::fraud-data", "arn:aws:s3:::fraud-features"]},
            {"Sid": "AidpDecrypt", "Effect": "Allow", "Action": "kms:Decrypt",
             "Resource": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd",
             "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}},
            {"Sid": "AidpDenyAllButRead", "Effect": "Deny",
             "NotAction": ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectAttributes",
                           "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"],
             "Resource": ["arn:aws:s3:::fraud-data/*", "arn:aws:s3:::fraud-data",
                          "arn:aws:s3:::fraud-features/*", "arn:aws:s3:::fraud-features"]},
            {"Sid": "AidpDenyWrite", "Effect": "Deny", "Action": ["s3:PutObject", "s3:DeleteObject"],
             "Resource": ["arn:aws:s3:::fraud-data/*", "arn:aws:s3:::fraud-features/*"]},
            {"Sid": "AidpDenyWriteViaAccessPoints", "Effect": "Deny",
             "NotAction": ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"],
             "Resource": ["arn:aws:s3:*:*:accesspoint/*", "arn:aws:s3-object-lambda:*:*:accesspoint/*"]},
            {"Sid": "AidpDenyDataAccessGrants", "Effect": "Deny",
             "Action": ["s3:GetDataAccess", "s3express:CreateSession"], "Resource": "*"},
            {"Sid": "AidpDenyKeyChanges", "Effect": "Deny",
             "Action": ["kms:CreateGrant", "kms:DeleteAlias", "kms:DeleteCustomKeyStore", "kms:DeleteImportedKeyMaterial",
                        "kms:DisableKey", "kms:DisconnectCustomKeyStore", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
                        "kms:UpdateAlias", "kms:UpdatePrimaryRegion"],
             "Resource": "*"},
            {"Sid": "AidpDenyAssumeRole", "Effect": "Deny", "Action": "sts:AssumeRole",
             "Resource": "arn:aws:iam::123456789012:role/*"},
            {"Sid": "AidpDenyInsecureTransport", "Effect": "Deny", "Action": "s3:*", "Resource": "*",
             "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ]})
    );
}

#[test]
fn a_role_is_given_the_keys_of_its_own_buckets_only() {
    let spec = SPEC
        .replace(
            "{name: fraud-data}",
            "{name: fraud-data, controls: {encryption: {kmsKeyARN: 'arn:aws:kms:eu-west-1:123456789012:key/own'}}}",
        )
        .replace(", {bucket: fraud-features}", "");
    let inline = as_json(only(&policy_of(&spec, &settings())).inline);
    let decrypt = inline["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["Sid"] == "AidpDecrypt")
        .unwrap();
    assert_eq!(decrypt["Resource"], "arn:aws:kms:eu-west-1:123456789012:key/own");
}

#[test]
fn without_a_kms_key_there_is_no_decrypt_statement() {
    let spec = SPEC
        .lines()
        .filter(|l| !l.contains("SSE-KMS") && !l.contains("bucketControls"))
        .collect::<Vec<_>>()
        .join("\n");
    let inline = as_json(only(&policy_of(&spec, &settings())).inline).to_string();
    assert!(!inline.contains("kms:Decrypt"), "{inline}");
}

#[test]
fn documents_of_another_partition_name_it_throughout() {
    let spec = SPEC
        .replace("eu-west-1", "cn-north-1")
        .replace("arn:aws:", "arn:aws-cn:");
    let RoleDocuments { trust, inline } = only(&policy_of(&spec, &settings()));
    let (trust, inline) = (as_json(trust).to_string(), as_json(inline).to_string());
    assert!(trust.contains("arn:aws-cn:iam::123456789012:oidc-provider/"), "{trust}");
    assert!(trust.contains("\"sts.amazonaws.com\""), "{trust}");
    assert!(
        !trust.contains("arn:aws:") && !inline.contains("arn:aws:"),
        "{trust} {inline}"
    );
    assert!(inline.contains("s3.cn-north-1.amazonaws.com.cn"), "{inline}");
}

#[test]
fn a_role_trusts_the_provider_of_its_own_account() {
    let settings = OperatorSettings {
        oidc_provider_arn: Some("arn:aws:iam::999999999999:oidc-provider/oidc.example.com/id/A".into()),
        ..settings()
    };
    assert_eq!(
        oidc_provider(&policy_of(SPEC, &settings)),
        Some(OidcProvider {
            arn: "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/A".into(),
            issuer: "oidc.example.com/id/A".into(),
        })
    );
}

#[test]
fn a_document_over_the_limit_is_an_error_with_the_number() {
    let accounts: Vec<String> = (0..50)
        .map(|n| format!("{{namespace: ml-{n:02}, name: trainer-{n:02}}}"))
        .collect();
    let buckets: Vec<String> = (0..100).map(|n| format!("{{name: training-data-{n:03}}}")).collect();
    let spec = SPEC
        .replace(
            "[{namespace: ml, name: trainer}]",
            &format!("[{}]", accounts.join(", ")),
        )
        .replace(
            "[{name: fraud-data}, {name: fraud-features}]",
            &format!("[{}]", buckets.join(", ")),
        )
        .lines()
        .filter(|l| !l.contains("read:"))
        .collect::<Vec<_>>()
        .join("\n");
    let RoleDocuments { trust, inline } = only(&policy_of(&spec, &settings()));
    assert_eq!(
        trust.unwrap_err(),
        DocumentError::TooLarge {
            kind: "trust policy",
            chars: 2_373,
            limit: 2_048
        }
    );
    let Err(DocumentError::TooLarge {
        kind: "inline policy",
        chars,
        limit: 10_240,
    }) = inline
    else {
        panic!("{inline:?}");
    };
    assert!(chars > 10_240, "{chars}");
}

#[test]
fn a_character_that_iam_refuses_is_an_error() {
    let mut policy = policy();
    policy.roles[0].read[0].prefixes.insert("数据/".into());
    let RoleDocuments { trust, inline } = only(&policy);
    assert!(trust.is_ok());
    assert_eq!(
        inline.unwrap_err(),
        DocumentError::Charset {
            kind: "inline policy",
            character: '数'
        }
    );
}

#[test]
fn without_a_provider_there_is_no_trust_but_still_the_inline_policy() {
    let mut policy = policy();
    policy.settings.oidc_provider_arn = None;
    let RoleDocuments { trust, inline } = only(&policy);
    assert_eq!(trust.unwrap_err(), DocumentError::NoOidcProvider);
    assert!(inline.is_ok());
}

#[test]
fn object_tags_restrict_reading_and_not_listing() {
    let spec = SPEC.replace(
        "{bucket: fraud-features}]",
        "{bucket: fraud-features, objectTags: [{key: class, value: train}, {key: stage, value: 'gold 1'}]}]",
    );
    let inline = as_json(only(&policy_of(&spec, &settings())).inline);
    assert_eq!(
        inline["Statement"].as_array().unwrap()[..3],
        [
            json!({"Sid": "AidpRead", "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                   "Resource": "arn:aws:s3:::fraud-data/curated/*"}),
            json!({"Sid": "AidpRead1", "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                   "Resource": "arn:aws:s3:::fraud-features/*",
                   "Condition": {"StringEquals": {
                       "s3:ExistingObjectTag/class": "train", "s3:ExistingObjectTag/stage": "gold 1"}}}),
            json!({"Sid": "AidpList", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::fraud-features"}),
        ]
    );
}
