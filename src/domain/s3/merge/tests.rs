use super::*;
use serde_json::json;

fn policy(statements: &serde_json::Value) -> PolicyDocument {
    PolicyDocument::parse(&json!({"Version": "2008-10-17", "Id": "theirs", "Statement": statements}).to_string())
        .unwrap()
}

fn statement(sid: &str, action: &str) -> serde_json::Value {
    json!({"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*"})
}

fn wanted(sid: &str, action: &str) -> Statement {
    Statement::from_value(statement(sid, action)).unwrap()
}

fn managed(sids: &[&str]) -> BTreeSet<String> {
    sids.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn a_missing_statement_is_appended_behind_the_foreign_ones() {
    let foreign = json!({"Effect": "Allow", "Principal": {"AWS": ["123456789012"]}, "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::b/*"});
    let merged = merge(&policy(&foreign), &managed(&["Ours"]), &[wanted("Ours", "s3:*")]);
    assert_eq!(merged.changes, [Change::Add { sid: "Ours".to_owned() }]);
    assert_eq!(
        merged.document.to_json(),
        json!({"Version": "2008-10-17", "Id": "theirs", "Statement": [foreign, statement("Ours", "s3:*")]}).to_string()
    );
}

#[test]
fn a_changed_statement_is_replaced_where_it_stands() {
    let before = policy(&json!([
        statement("A", "s3:Get*"),
        statement("Ours", "s3:Put*"),
        statement("B", "s3:List*")
    ]));
    let merged = merge(&before, &managed(&["Ours"]), &[wanted("Ours", "s3:*")]);
    let after = policy(&json!([
        statement("A", "s3:Get*"),
        statement("Ours", "s3:*"),
        statement("B", "s3:List*")
    ]));
    assert_eq!(merged.document, after);
    assert_eq!(
        merged.changes,
        [Change::Replace {
            sid: "Ours".to_owned(),
            was: Box::new(wanted("Ours", "s3:Put*"))
        }]
    );
}

#[test]
fn a_condition_operator_that_compares_nothing_is_a_change() {
    let mut emptied = statement("Ours", "s3:*");
    emptied["Condition"] = json!({"StringEquals": {}});
    let merged = merge(
        &policy(&json!([emptied])),
        &managed(&["Ours"]),
        &[wanted("Ours", "s3:*")],
    );
    assert!(
        matches!(merged.changes.as_slice(), [Change::Replace { .. }]),
        "{:?}",
        merged.changes
    );
}

#[test]
fn another_spelling_is_no_change() {
    let respelled =
        json!({"Sid": "Ours", "Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["S3:*"], "Resource": ["*"]});
    let before = policy(&json!([respelled]));
    let merged = merge(&before, &managed(&["Ours"]), &[wanted("Ours", "s3:*")]);
    assert_eq!(
        merged,
        Merged {
            document: before,
            changes: Vec::new()
        }
    );
}

#[test]
fn a_sid_that_stands_twice_is_left_once() {
    let before = policy(&json!([statement("Ours", "s3:*"), statement("Ours", "s3:Get*")]));
    let merged = merge(&before, &managed(&["Ours"]), &[wanted("Ours", "s3:*")]);
    assert_eq!(merged.document, policy(&json!([statement("Ours", "s3:*")])));
    assert_eq!(merged.changes, [Change::Remove { sid: "Ours".to_owned() }]);
}

#[test]
fn only_managed_statements_are_removed() {
    let before = policy(
        &json!([statement("Ours", "s3:*"), statement("Theirs", "s3:*"), {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}]),
    );
    let merged = merge(&before, &managed(&["Ours"]), &[]);
    let sids: Vec<_> = merged.document.statements.iter().map(|s| s.sid.as_deref()).collect();
    assert_eq!(sids, [Some("Theirs"), None]);
}
