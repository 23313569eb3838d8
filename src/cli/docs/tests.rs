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
