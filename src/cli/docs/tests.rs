use super::*;

#[test]
fn the_committed_pages_are_what_the_code_says() {
    let api = include_str!("../../../docs/api.md");
    let controls = include_str!("../../../docs/controls.md");
    let same = (api == api::markdown().unwrap(), controls == controls::markdown());
    assert_eq!(same, (true, true), "run `make generate` and commit the result");
}

#[test]
fn every_control_has_a_row() {
    let page = controls::markdown();
    let missing: Vec<&str> = crate::domain::control::Control::ALL
        .into_iter()
        .map(crate::domain::control::Control::id)
        .filter(|id| !page.contains(&format!("| `{id}` |")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn a_field_is_told_with_type_bounds_need_and_meaning() {
    let page = api::markdown().unwrap();
    for row in [
        "| `mode` | `Audit`, `Enforce` | required | Audit reads and reports",
        "| `buckets` | list of object by name, at most 2000 |  | The buckets to protect",
        "| `maxSessionDurationSeconds` | integer, 3600 to 43200 |  | Longest session",
        "| `spec.trainingRoles[].maxSessionDurationSeconds` | Default 3600. |",
        "| `spec.interval` | Default 5m, minimum 30s, maximum 24h. |",
    ] {
        assert!(page.contains(row), "{row}");
    }
}

#[test]
fn a_cell_stays_one_cell() {
    assert_eq!(cell("a | b\nc\\d"), "a \\| b c\\\\d");
}

/// What stands between backticks in the first cell of each row of a table.
fn first_cells(page: &str) -> Vec<(String, String)> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (first, rest) = line.split_once('`')?;
            Some((first.to_owned(), rest.to_owned()))
        })
        .collect()
}

#[test]
fn every_reason_for_a_human_is_explained() {
    let page = include_str!("../../../docs/operations.md");
    let rows: Vec<String> = first_cells(page).into_iter().map(|(first, _)| first).collect();
    let source = include_str!("../../domain/finding.rs");
    let words = source.lines().filter_map(|line| {
        let (variant, word) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
        (word.strip_suffix("\",")? == variant).then(|| variant.to_owned())
    });
    let words: Vec<String> = words.collect();
    assert!(words.len() > 15, "the source is read: {words:?}");
    let missing: Vec<&String> = words.iter().filter(|word| !rows.contains(word)).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn every_call_is_listed_with_the_action_that_it_needs() {
    let page = include_str!("../../../docs/aws-permissions.md");
    let rows = first_cells(page);
    assert!(rows.len() > 20);
    for (call, rest) in rows {
        let action = crate::domain::rights::action_for(&call);
        assert_eq!(rest, format!(" | `{}` |", action.unwrap_or("nothing")), "{call}");
    }
    // And the other way round: each call that the code knows has a row.
    let source = include_str!("../../domain/rights.rs");
    let known = source.lines().filter_map(|line| {
        let (call, _) = line.trim().strip_prefix('"')?.split_once("\" => \"")?;
        Some(call)
    });
    let missing: Vec<&str> = known.filter(|call| !page.contains(&format!("| `{call}` |"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[cfg(feature = "operator")]
#[test]
fn every_setting_of_the_operator_is_explained() {
    use clap::Args;
    let page = include_str!("../../../docs/operations.md");
    let command = crate::config::ConfigArgs::augment_args(clap::Command::new("run"));
    let flags = command.get_arguments().filter_map(clap::Arg::get_long);
    let missing: Vec<&str> = flags.filter(|flag| !page.contains(&format!("`--{flag}"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn the_chart_knows_every_setting_but_those_that_it_makes_itself() {
    let page = include_str!("../../../docs/operations.md");
    let table = page.split("\n## ").nth(1).unwrap();
    let second = table.lines().filter_map(|row| row.split('|').nth(2)).map(str::trim);
    let mut settings: std::collections::BTreeSet<&str> = second
        .filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    // By its RBAC, its Service, and where it is installed.
    for own in ["leaseName", "listenAddress", "operatorNamespace"] {
        assert!(settings.remove(own), "{own} is no setting any more");
    }
    let schema = include_str!("../../../charts/aidp/values.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let known = schema["properties"]["config"]["properties"].as_object().unwrap();
    assert_eq!(settings, known.keys().map(String::as_str).collect());
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path());
    let mut dead = Vec::new();
    for page in pages.chain([root.join("README.md"), root.join("CONTRIBUTING.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !file.is_empty() && !page.with_file_name(file).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}
