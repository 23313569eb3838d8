//! The threat model against the tests: a claim whose test is gone is no claim.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../docs/threat-model.md");

/// The names of tests in the last cell of each row.
fn named() -> Vec<&'static str> {
    let rows = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let last = rows.filter_map(|row| row.rsplit_once(" | ").map(|(_, last)| last));
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The names of functions that carry a test attribute of their own or come from a macro that gives them one.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for after in text.split("#[test]").chain(text.split("#[tokio::test")).skip(1) {
                let function = after.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
                names.extend(function.map(|name| name.trim().to_owned()));
            }
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "tests", "e2e/src", "e2e/tests"] {
        tests_below(&root.join(folder), &mut names);
    }
    let missing: Vec<&str> = named().into_iter().filter(|name| !names.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_row_of_the_threat_model_names_a_test() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| c"));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() > 25, "{}", rows.len());
    let bare: Vec<&&str> = rows.iter().filter(|row| !row.ends_with("` |")).collect();
    assert_eq!(bare, Vec::<&&str>::new());
}
