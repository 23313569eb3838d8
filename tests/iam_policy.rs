//! `aidp iam-policy` as a user runs it.
#![cfg(test)]
#![cfg(feature = "operator")]

use std::process::{Command, Output};

use serde_json::Value;

fn iam_policy(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aidp"))
        .arg("iam-policy")
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

const OIDC: [&str; 2] = [
    "--oidc-provider-arn",
    "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/A",
];

#[test]
fn the_quickstart_in_audit_needs_no_write() {
    let output = iam_policy(&["-f", "examples/quickstart.yaml", OIDC[0], OIDC[1]]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let actions: Vec<&str> = document["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|s| s["Action"].as_array().unwrap())
        .map(|a| a.as_str().unwrap())
        .collect();
    let writes = |a: &&&str| {
        !["Describe", "Get", "List"]
            .iter()
            .any(|read| a.split(':').nth(1).unwrap().starts_with(read))
    };
    assert_eq!(actions.iter().filter(writes).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(actions.contains(&"s3:GetEncryptionConfiguration"), "{actions:?}");
}

#[test]
fn a_bad_policy_is_named_with_file_and_field_and_nothing_is_printed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = std::fs::read_to_string("examples/quickstart.yaml").unwrap();
    std::fs::write(file.path(), text.replace("region: eu-west-1", "region: nowhere")).unwrap();
    let output = iam_policy(&["-f", file.path().to_str().unwrap(), OIDC[0], OIDC[1]]);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), b"".as_slice())
    );
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        problem.contains("spec.account.region") && problem.contains("(quickstart)"),
        "{problem}"
    );
}
