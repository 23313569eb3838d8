//! `aidp can-i` as a user runs it: files in, verdict and exit code out.
#![cfg(test)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "documents read best as literals in the call"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Policy files in a directory of their own.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, Value)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let text = match content {
                Value::String(raw) => raw.clone(),
                document => document.to_string(),
            };
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    /// Runs `aidp can-i` there.
    fn can_i(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aidp"));
        command.current_dir(self.0.path()).arg("can-i").args(args);
        command.output().unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn document(statements: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn allow(action: &str) -> Value {
    document(json!([{"Sid": "Some", "Effect": "Allow", "Action": action, "Resource": "*"}]))
}

const GET: [&str; 2] = ["s3:GetObject", "arn:aws:s3:::b/k"];

#[test]
fn an_allowed_request_exits_with_0_and_names_the_statement() {
    let files = Files::new(&[("role.json", allow("s3:Get*"))]);
    let output = files.can_i(&[&GET[..], &["--identity-policy", "role.json"]].concat());
    assert_eq!(
        stdout(&output),
        "Allowed\n  statement 0 (Some) of identity policy role.json\n"
    );
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

#[test]
fn a_denied_request_exits_with_1_and_says_why() {
    let deny = document(json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}));
    let files = Files::new(&[("role.json", allow("s3:Put*")), ("bucket.json", deny)]);
    let implicit = files.can_i(&[&GET[..], &["--identity-policy", "role.json"]].concat());
    assert_eq!(
        (code(&implicit), stdout(&implicit).as_str()),
        (1, "ImplicitlyDenied\n  no identity policy allows it\n")
    );
    let explicit = files.can_i(&[&GET[..], &["--resource-policy", "bucket.json", "-o", "json"]].concat());
    assert_eq!(code(&explicit), 1);
    let printed: Value = serde_json::from_slice(&explicit.stdout).unwrap();
    let expected = json!({
        "verdict": "ExplicitlyDenied",
        "reason": "statement 0 of resource policy bucket.json",
        "statement": {"policyType": "resource policy", "policy": "bucket.json", "index": 0, "sid": null},
    });
    assert_eq!(printed, expected);
}

/// One request through every kind of policy; each file alone decides whether it passes.
#[test]
fn every_policy_option_has_its_say() {
    let role = "arn:aws:iam::111111111111:role/train";
    let for_all = document(json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}));
    let wrong = document(json!({"Effect": "Deny", "Principal": "*", "Action": "s3:Get*", "Resource": "*"}));
    let files = Files::new(&[
        ("all.json", allow("*")),
        ("other.json", allow("ec2:*")),
        ("for-all.json", for_all),
        ("wrong.json", wrong),
        ("levels.json", json!([allow("ec2:*"), allow("s3:*")])),
    ]);
    let base = [
        "--principal",
        role,
        "--identity-policy",
        "other.json",
        "--identity-policy",
        "all.json",
    ];
    let ask = |more: &[&str]| code(&files.can_i(&[&GET[..], &base[..], more].concat()));
    assert_eq!(ask(&[]), 0);
    for (option, good, bad) in [
        ("--boundary", "all.json", "other.json"),
        ("--session-policy", "all.json", "other.json"),
        ("--resource-policy", "for-all.json", "wrong.json"),
        ("--scp", "levels.json", "other.json"),
        ("--rcp", "for-all.json", "wrong.json"),
        ("--vpc-endpoint-policy", "for-all.json", "wrong.json"),
    ] {
        assert_eq!(ask(&[option, good]), 0, "{option} {good}");
        assert_eq!(ask(&[option, bad]), 1, "{option} {bad}");
    }
    assert_eq!(ask(&["--scp", "all.json", "--scp", "other.json"]), 1);
    assert_eq!(ask(&["--resource-account", "222222222222"]), 1);
    assert_eq!(
        ask(&[
            "--resource-account",
            "222222222222",
            "--resource-policy",
            "for-all.json"
        ]),
        0
    );
}

#[test]
fn a_repeated_context_key_is_multivalued() {
    let condition =
        json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}, "Bool": {"aws:SecureTransport": "true"}});
    let statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition});
    let files = Files::new(&[("role.json", document(statement))]);
    let ask = |context: &[&str]| {
        let context = context.iter().flat_map(|c| ["--context", c]);
        let args: Vec<_> = GET
            .into_iter()
            .chain(["--identity-policy", "role.json"])
            .chain(context)
            .collect();
        code(&files.can_i(&args))
    };
    assert_eq!(ask(&["aws:SecureTransport=true", "aws:TagKeys=a", "aws:TagKeys=b"]), 0);
    assert_eq!(ask(&["aws:SecureTransport=true", "aws:TagKeys=a", "aws:TagKeys=c"]), 1);
    assert_eq!(ask(&["aws:TagKeys=a"]), 1);
}

#[test]
fn without_a_principal_some_role_of_the_resource_s_account_asks() {
    let root = json!({"AWS": "arn:aws:iam::111111111111:root"});
    let files = Files::new(&[
        ("all.json", allow("*")),
        (
            "key.json",
            document(json!({"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"})),
        ),
    ]);
    let key = "arn:aws:kms:eu-west-1:111111111111:key/k";
    let decrypt = ["kms:Decrypt", key, "--resource-policy", "key.json"];
    let own = ["--identity-policy", "all.json"];
    assert_eq!(code(&files.can_i(&[&decrypt[..], &own].concat())), 0);
    assert_eq!(code(&files.can_i(&decrypt)), 1);
    let queue = "arn:aws:sqs:eu-west-1:111111111111:q";
    assert_eq!(code(&files.can_i(&[&["sqs:SendMessage", queue][..], &own].concat())), 0);
    // Another owner than the ARN says counts, and so does a principal of another account.
    let elsewhere = ["--principal", "arn:aws:iam::222222222222:role/r"];
    assert_eq!(
        code(&files.can_i(&[&["sqs:SendMessage", queue][..], &own, &elsewhere].concat())),
        1
    );
}

#[test]
fn a_trust_policy_is_the_resource_policy_of_assume_role() {
    let trust = document(json!({
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/train"}, "Action": "sts:AssumeRole"
    }));
    let files = Files::new(&[("trust.json", trust)]);
    let target = [
        "sts:AssumeRole",
        "arn:aws:iam::111111111111:role/other",
        "--resource-policy",
        "trust.json",
    ];
    let ask = |principal: &str| code(&files.can_i(&[&target[..], &["--principal", principal]].concat()));
    assert_eq!(ask("arn:aws:iam::111111111111:role/train"), 0);
    assert_eq!(ask("arn:aws:iam::111111111111:role/else"), 1);
}

/// What a role gets that reads one bucket and is guarded against everything else.
fn reader() -> Value {
    document(json!([
        {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
        {"Sid": "Guard", "Effect": "Deny", "NotAction": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
    ]))
}

#[test]
fn a_role_that_only_reads_is_proven_and_exits_with_0() {
    let files = Files::new(&[("role.json", reader()), ("broad.json", allow("*"))]);
    let roles = ["--identity-policy", "role.json", "--identity-policy", "broad.json"];
    for bucket in ["train-data", "arn:aws:s3:::train-data"] {
        let output = files.can_i(&[&["--read-only", bucket][..], &roles].concat());
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        assert!(stdout(&output).starts_with("Proven: "), "{}", stdout(&output));
    }
}

#[test]
fn every_violation_is_listed_with_what_closes_it_and_exits_with_1() {
    let grant = document(json!([{
        "Sid": "Etl", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/train"},
        "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::train-data/*"
    }]));
    let textbook = document(json!([
        {"Sid": "Broad", "Effect": "Allow", "Action": "s3:Put*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::train-data/*"},
    ]));
    let files = Files::new(&[("role.json", textbook), ("bucket.json", grant)]);
    let args = [
        "--read-only",
        "train-data",
        "--identity-policy",
        "role.json",
        "--resource-policy",
        "bucket.json",
    ];
    let role = ["--principal", "arn:aws:iam::111111111111:role/train"];
    let text = files.can_i(&[&args[..], &role].concat());
    assert_eq!(code(&text), 1);
    let line = "statement 0 (Etl) of resource policy bucket.json allows s3:DeleteObject on arn:aws:s3:::train-data/*";
    assert!(stdout(&text).contains(line), "{}", stdout(&text));
    let json = files.can_i(&[&args[..], &role, &["-o", "json"]].concat());
    assert_eq!(code(&json), 1);
    let printed: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(printed["verdict"], "Violated");
    let violations = printed["violations"].as_array().unwrap();
    let of = |sid: &str| {
        violations
            .iter()
            .filter(|v| v["statement"]["sid"] == sid)
            .collect::<Vec<_>>()
    };
    let expected = json!({
        "kind": "data",
        "origin": "statement 0 (Etl) of resource policy bucket.json",
        "statement": {"policyType": "resource policy", "policy": "bucket.json", "index": 0, "sid": "Etl"},
        "actions": ["s3:DeleteObject"],
        "resources": ["arn:aws:s3:::train-data/*"],
        "via": [],
        "closedBy": of("Etl")[0]["closedBy"],
    });
    assert_eq!(of("Etl"), [&expected]);
    let actions: Vec<_> = of("Broad")
        .iter()
        .flat_map(|v| v["actions"].as_array().unwrap())
        .collect();
    assert!(actions.contains(&&json!("s3:PutObjectAcl")) && actions.contains(&&json!("s3:PutBucketPolicy")));
    // Without a name, nobody is meant by the bucket's policy.
    let unnamed: Vec<_> = stdout(&files.can_i(&args)).lines().map(str::to_owned).collect();
    assert!(!unnamed.iter().any(|line| line.contains("Etl")));
}

#[test]
fn what_can_t_be_proven_exits_with_3_and_says_why() {
    let files = Files::new(&[
        (
            "wild.json",
            document(json!({"Effect": "Allow", "Action": "s3:GetObject*", "Resource": "arn:aws:s3:::train-data/*"})),
        ),
        (
            "assume.json",
            document(
                json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::000000000000:role/x"}),
            ),
        ),
    ]);
    let named = document(json!({
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/train"},
        "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::train-data/*"
    }));
    let reads = document(json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}));
    let whose = Files::new(&[("role.json", reads), ("bucket.json", named)]);
    let output = whose.can_i(&[
        "--read-only",
        "train-data",
        "--identity-policy",
        "role.json",
        "--resource-policy",
        "bucket.json",
    ]);
    assert_eq!(code(&output), 3);
    assert!(
        stdout(&output).contains("--principal is not given"),
        "{}",
        stdout(&output)
    );
    for (file, says) in [
        ("wild.json", "actions that AWS may add"),
        ("assume.json", "roles that were not given"),
    ] {
        let output = files.can_i(&["--read-only", "train-data", "--identity-policy", file]);
        assert_eq!(code(&output), 3, "{file}");
        assert!(stdout(&output).contains(says), "{}", stdout(&output));
    }
}

/// A Deny of all accounts but one protects from that account's roles no more than no Deny.
#[test]
fn a_deny_about_accounts_proves_nothing_of_a_role_whose_account_is_not_given() {
    let home = |operator: &str| {
        document(json!({
            "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": ["arn:aws:s3:::train-data", "arn:aws:s3:::train-data/*"],
            "Condition": {operator: {"AWS:PrincipalAccount": "111111111111"}},
        }))
    };
    let writes =
        document(json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::train-data/*"}));
    let files = Files::new(&[
        ("role.json", writes),
        ("others.json", home("StringNotEquals")),
        ("own.json", home("StringEquals")),
    ]);
    let ask = |policy: &str, more: &[&str]| {
        let args = [
            "--read-only",
            "train-data",
            "--identity-policy",
            "role.json",
            "--resource-policy",
            policy,
        ];
        files.can_i(&[&args[..], more].concat())
    };
    let unknown = ask("others.json", &[]);
    assert_eq!(code(&unknown), 3, "{}", stdout(&unknown));
    assert!(stdout(&unknown).contains("whether the role's account is one that a Deny is about"));
    let inside = "arn:aws:iam::111111111111:role/train";
    let outside = "arn:aws:sts::222222222222:assumed-role/train/s";
    for (policy, more, expected) in [
        ("own.json", vec![], 1),
        ("others.json", vec!["--principal", inside], 1),
        ("others.json", vec!["--principal", outside], 0),
        ("own.json", vec!["--principal", inside], 0),
        // Somebody of the account that owns the bucket.
        ("others.json", vec!["--resource-account", "111111111111"], 1),
        ("own.json", vec!["--resource-account", "111111111111"], 0),
    ] {
        assert_eq!(code(&ask(policy, &more)), expected, "{policy} {more:?}");
    }
}

#[test]
fn a_bucket_by_name_is_meant_in_the_role_s_partition_or_in_any_that_the_policies_name() {
    let on =
        |action: &str, resource: &str| document(json!({"Effect": "Allow", "Action": action, "Resource": resource}));
    let files = Files::new(&[
        ("china.json", on("s3:PutObject", "arn:aws-cn:s3:::train-data/*")),
        ("key.json", on("kms:ScheduleKeyDeletion", "arn:aws-cn:kms:*:*:key/*")),
        ("usual.json", on("s3:PutObject", "arn:aws:s3:::train-data/*")),
        ("reads.json", on("s3:GetObject", "arn:aws-cn:s3:::train-data/*")),
    ]);
    let session = ["--principal", "arn:aws-cn:sts::111111111111:assumed-role/train/s"];
    let ask = |bucket: &str, policy: &str, more: &[&str]| {
        code(&files.can_i(&[&["--read-only", bucket, "--identity-policy", policy], more].concat()))
    };
    let arn = "arn:aws-cn:s3:::train-data";
    for policy in ["china.json", "key.json"] {
        assert_eq!(ask("train-data", policy, &session), 1, "{policy}");
        assert_eq!(ask("train-data", policy, &[]), 1, "{policy}");
        assert_eq!(ask(arn, policy, &[]), 1, "{policy}");
    }
    for (bucket, more) in [("train-data", &session[..]), ("train-data", &[]), (arn, &[])] {
        assert_eq!(ask(bucket, "reads.json", more), 0, "{bucket} {more:?}");
    }
    assert_eq!(ask("train-data", "usual.json", &[]), 1);
    assert_eq!(ask("train-data", "usual.json", &session), 0);
    let output = files.can_i(
        &[
            &[
                "--read-only",
                "arn:aws:s3:::train-data",
                "--identity-policy",
                "reads.json",
            ],
            &session[..],
        ]
        .concat(),
    );
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("is in partition aws and --principal in aws-cn"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn bad_input_exits_with_2_and_says_what_to_change() {
    let files = Files::new(&[
        ("good.json", allow("*")),
        ("twice.json", json!(r#"{"Statement": [], "Statement": []}"#)),
        (
            "operator.json",
            document(json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Is": {"a": "b"}}})),
        ),
        (
            "bucket.json",
            document(json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"})),
        ),
        ("long.json", json!(" ".repeat(300_000))),
    ]);
    let missing = PathBuf::from("missing.json");
    for (args, says) in [
        (vec!["s3:*", "arn:aws:s3:::b/k"], "is no action"),
        (vec!["s3:GetObject", "b/k"], "is no resource"),
        (vec!["s3:GetObject", "*", "--principal", "bob"], "is no principal"),
        (vec!["s3:GetObject", "*", "--resource-account", "1"], "is no account id"),
        (vec!["s3:GetObject", "*", "--context", "x"], "expected key=value"),
        (
            vec!["s3:GetObject", "*", "--identity-policy", missing.to_str().unwrap()],
            "missing.json: ",
        ),
        (
            vec!["s3:GetObject", "*", "--identity-policy", "twice.json"],
            "duplicate key",
        ),
        (
            vec!["s3:GetObject", "*", "--identity-policy", "operator.json"],
            "unknown condition operator \"Is\"",
        ),
        (
            vec!["s3:GetObject", "*", "--identity-policy", "bucket.json"],
            "Principal: not allowed in an identity policy",
        ),
        (
            vec!["s3:GetObject", "*", "--resource-policy", "good.json"],
            "Principal: required in a resource policy",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "long.json"],
            "long.json: 262145 bytes long",
        ),
        (vec!["--read-only", "s3://b"], "expected 3 to 63"),
        (vec!["--read-only", "train-data", "--principal", "*"], "about a role"),
        (
            vec!["--read-only", "train-data", "--context", "a=b"],
            "cannot be used with",
        ),
        (vec!["--read-only", "train-data", "s3:GetObject"], "cannot be used with"),
        (vec!["s3:GetObject"], "required"),
        (vec!["s3:GetObject", "*", "--polcy", "x"], "unexpected argument"),
    ] {
        let output = files.can_i(&args);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?} said {}", stderr(&output));
    }
}

#[test]
fn a_file_that_holds_no_policy_is_named_with_what_is_wrong_in_it() {
    let files = Files::new(&[
        (
            "operator.json",
            document(json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Is": {"a": "b"}}})),
        ),
        ("broken.json", json!(r#"{"Statement": [}"#)),
        ("empty.json", json!("")),
        ("none.json", json!(r#"{"Version": "2012-10-17"}"#)),
        ("marked.json", json!("\u{feff}{\"Statement\": []}")),
        ("list.json", json!([allow("*")])),
        (
            "lower.json",
            document(
                json!([{"Effect": "Deny", "Action": "*", "Resource": "*"}, {"Effect": "allow", "Action": "*", "Resource": "*"}]),
            ),
        ),
        ("version.json", json!({"Version": "2012-10-18", "Statement": []})),
        (
            "nothing.json",
            document(json!({"Effect": "Allow", "Action": [], "Resource": "*"})),
        ),
        ("percent.json", json!("%7B%22Statement%22%3A%zz")),
        (
            "deep.json",
            json!(format!("{}{}", "[".repeat(1_000), "]".repeat(1_000))),
        ),
    ]);
    std::fs::write(files.0.path().join("wide.json"), [0xff, 0xfe, b'{', 0, b'}', 0]).unwrap();
    std::fs::create_dir(files.0.path().join("folder.json")).unwrap();
    for (args, says) in [
        (
            vec!["s3:GetObject", "*", "--boundary", "broken.json"],
            "broken.json: not JSON: expected value at line 1 column 16",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "empty.json"],
            "empty.json: not JSON",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "none.json"],
            "none.json: Statement: missing",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "marked.json"],
            "marked.json: starts with a byte order mark",
        ),
        (
            vec!["s3:GetObject", "*", "--scp", "marked.json"],
            "marked.json: starts with a byte order mark",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "list.json"],
            "list.json: document: expected a JSON object",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "lower.json"],
            "lower.json: Statement[1].Effect: expected",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "version.json"],
            "version.json: Version: unknown version",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "nothing.json"],
            "nothing.json: Statement[0].Action: an empty list",
        ),
        (
            vec!["s3:GetObject", "*", "--boundary", "percent.json"],
            "percent.json: percent-encoding",
        ),
        (vec!["s3:GetObject", "*", "--boundary", "deep.json"], "deep.json: "),
        (vec!["s3:GetObject", "*", "--boundary", "wide.json"], "wide.json: "),
        (vec!["s3:GetObject", "*", "--boundary", "folder.json"], "folder.json: "),
        (
            vec!["s3:GetObject", "*", "-o", "json", "--boundary", "broken.json"],
            "broken.json: not JSON",
        ),
        (
            vec!["--read-only", "train-data", "--identity-policy", "operator.json"],
            "operator.json: statement 0 of identity policy operator.json: unknown condition operator",
        ),
    ] {
        let output = files.can_i(&args);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?} said {}", stderr(&output));
    }
}

#[test]
fn of_several_documents_in_a_file_the_wrong_one_is_named() {
    let wrong = [
        (
            json!({"Version": "2012-10-17", "Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]}),
            "[1].Statement[0].Effect: expected \"Allow\" or \"Deny\"",
        ),
        (json!("policy"), "[1]: expected a JSON object"),
        (json!({}), "[1].Statement: missing"),
    ];
    for (document, told) in wrong {
        let files = Files::new(&[("levels.json", json!([allow("*"), document]))]);
        let output = files.can_i(&[&GET[..], &["--scp", "levels.json"]].concat());
        let told = format!("aidp can-i: levels.json: {told}\n");
        assert_eq!((code(&output), stderr(&output)), (2, told));
    }
    let principal = document(json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}));
    let files = Files::new(&[("levels.json", json!([allow("*"), principal]))]);
    let output = files.can_i(&[&GET[..], &["--scp", "levels.json"]].concat());
    let told =
        "aidp can-i: levels.json[1]: Statement[0].Principal: not allowed in a service control policy\n".to_owned();
    assert_eq!((code(&output), stderr(&output)), (2, told));
}

#[test]
fn a_document_as_iam_answers_with_it_is_read_like_a_plain_one() {
    let text = allow("s3:Get*").to_string();
    let encoded: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let files = Files::new(&[
        ("encoded.json", json!(encoded.concat())),
        (
            "levels.json",
            json!(format!("[{text}]").replace('"', "%22").replace('[', "%5B")),
        ),
        ("spaced.json", json!(format!("\n\t {text}\r\n"))),
    ]);
    for file in ["encoded.json", "spaced.json"] {
        let output = files.can_i(&[&GET[..], &["--identity-policy", file]].concat());
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{file}");
        assert!(stdout(&output).ends_with(&format!("statement 0 (Some) of identity policy {file}\n")));
    }
    for file in ["encoded.json", "levels.json"] {
        let args = ["--identity-policy", "spaced.json", "--scp", file, "--rcp", file];
        let output = files.can_i(&[&GET[..], &args].concat());
        // A resource control policy names principals, which this one doesn't.
        let told = format!("aidp can-i: {file}: Statement[0].Principal: required in a resource control policy\n");
        assert_eq!((code(&output), stderr(&output)), (2, told), "{file}");
        let output = files.can_i(&[&GET[..], &args[..4]].concat());
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{file}");
    }
}

/// A file, or a command with what it prints, of a page of documentation.
enum Example {
    File(String, String),
    Command(String, String),
}

/// The examples of a page, in order: a fenced `json` block under a line "`NAME`:" is a file, a `console` block a session.
fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut name = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let block = |lines: &mut std::str::Lines<'_>| lines.take_while(|l| *l != "```").collect::<Vec<_>>().join("\n");
        match line {
            "```json" => {
                let text = block(&mut lines);
                examples.extend(name.take().map(|name| Example::File(name, text)));
            }
            "```console" => {
                let session = format!("\n{}\n", block(&mut lines));
                let commands = session.split("\n$ ").skip(1);
                examples.extend(commands.map(|command| {
                    let (command, output) = command.split_once('\n').unwrap();
                    Example::Command(command.to_owned(), format!("{}\n", output.trim_end_matches('\n')))
                }));
            }
            _ => {
                let file = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:"));
                name = file.map(str::to_owned).or(name);
            }
        }
    }
    examples
}

#[test]
fn the_examples_of_the_documentation_print_what_they_say() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/roles.md")).unwrap();
    let files = Files::new(&[]);
    let mut run = 0;
    for example in examples(&page) {
        match example {
            Example::File(name, text) => std::fs::write(files.0.path().join(name), text).unwrap(),
            Example::Command(command, expected) => {
                let words: Vec<&str> = command.split_whitespace().collect();
                let ["aidp", "can-i", args @ ..] = words.as_slice() else {
                    panic!("{command}");
                };
                let output = files.can_i(args);
                assert_eq!(
                    (stdout(&output), stderr(&output)),
                    (expected.clone(), String::new()),
                    "{command}"
                );
                let verdict = expected.split(['\n', ':', ',']).next().unwrap_or_default();
                let wanted = match verdict {
                    "Allowed" | "Proven" => 0,
                    "Unknown" => 3,
                    _ => 1,
                };
                assert_eq!(code(&output), wanted, "{command}");
                run += 1;
            }
        }
    }
    assert_eq!(run, 6);
}
