use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.into(),
        operator: operator.into(),
        values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
    }
}

fn raw(expressions: &[LabelSelectorRequirement]) -> LabelSelector {
    LabelSelector {
        match_labels: None,
        match_expressions: Some(expressions.to_vec()),
    }
}

fn of(key: &str, operator: &str, values: &[&str]) -> Selector {
    Selector::parse(&raw(&[expression(key, operator, values)])).unwrap()
}

#[test]
fn an_empty_selector_selects_everything() {
    let empty = Selector::parse(&LabelSelector::default()).unwrap();
    assert!(empty.is_everything());
    assert!(empty.matches(&labels(&[])));
    assert!(empty.matches(&labels(&[("a", "b")])));
}

#[test]
fn not_in_and_does_not_exist_match_a_missing_key() {
    assert!(of("app", "NotIn", &["web"]).matches(&labels(&[])));
    assert!(!of("app", "NotIn", &["web"]).matches(&labels(&[("app", "web")])));
    assert!(of("app", "NotIn", &["web"]).matches(&labels(&[("app", "db")])));
    assert!(of("app", "DoesNotExist", &[]).matches(&labels(&[])));
    assert!(!of("app", "DoesNotExist", &[]).matches(&labels(&[("app", "")])));
}

#[test]
fn in_and_exists_need_the_key() {
    assert!(of("app", "In", &["a", "b"]).matches(&labels(&[("app", "b")])));
    assert!(!of("app", "In", &["a", "b"]).matches(&labels(&[])));
    assert!(of("app", "Exists", &[]).matches(&labels(&[("app", "")])));
    assert!(!of("app", "Exists", &[]).matches(&labels(&[("App", "x")])));
}

#[test]
fn several_requirements_are_all_needed() {
    let both = Selector::parse(&LabelSelector {
        match_labels: Some(labels(&[("app", "train")])),
        match_expressions: Some(vec![expression("tier", "NotIn", &["debug"])]),
    })
    .unwrap();
    assert!(both.matches(&labels(&[("app", "train")])));
    assert!(!both.matches(&labels(&[("app", "train"), ("tier", "debug")])));
    assert!(!both.matches(&labels(&[("tier", "prod")])));
}

#[test]
fn malformed_expressions_are_refused_with_their_position() {
    let unknown = raw(&[expression("a", "Exists", &[]), expression("a", "Equals", &["x"])]);
    assert_eq!(
        Selector::parse(&unknown).unwrap_err().to_string(),
        "matchExpressions[1].operator: \"Equals\" is not one of In, NotIn, Exists, DoesNotExist"
    );
    assert_eq!(
        Selector::parse(&raw(&[expression("a", "In", &[])]))
            .unwrap_err()
            .to_string(),
        "matchExpressions[0].values: In needs at least one value"
    );
    assert_eq!(
        Selector::parse(&raw(&[expression("a", "Exists", &["x"])]))
            .unwrap_err()
            .to_string(),
        "matchExpressions[0].values: Exists needs no values"
    );
}

#[test]
fn values_that_no_label_can_have_are_refused() {
    let long = "x".repeat(64);
    for odd in ["b c", "?", "-a", "a.", long.as_str()] {
        for selector in [
            LabelSelector {
                match_labels: Some(labels(&[("a", odd)])),
                ..LabelSelector::default()
            },
            raw(&[expression("a", "NotIn", &["fine", odd])]),
        ] {
            assert_eq!(
                Selector::parse(&selector).unwrap_err().to_string(),
                format!("{odd:?}, wanted of a, is not a label value: at most 63 of letters, digits, '-', '_', '.'")
            );
        }
    }
    assert!(of("a", "In", &[""]).matches(&labels(&[("a", "")])));
}

#[test]
fn what_is_not_known_decides_only_where_any_value_would() {
    let decides = |selector: &Selector, known: Known| selector.decides(&labels(&[("app", "a")]), |_| known);
    for (operator, values, exactly, presence, nothing) in [
        ("In", &["a"][..], Some(true), None, None),
        ("In", &["b"][..], Some(false), None, None),
        ("NotIn", &["a"][..], Some(false), None, None),
        ("Exists", &[], Some(true), Some(true), None),
        ("DoesNotExist", &[], Some(false), Some(false), None),
    ] {
        let selector = of("app", operator, values);
        let found = [Known::Exactly, Known::Presence, Known::Nothing].map(|known| decides(&selector, known));
        assert_eq!(found, [exactly, presence, nothing], "{operator} {values:?}");
    }
    assert_eq!(decides(&Selector::everything(), Known::Nothing), Some(true));
    // One requirement that surely fails is enough.
    let both = Selector::parse(&raw(&[expression("app", "In", &["b"]), expression("x", "Exists", &[])])).unwrap();
    let known = |key: &str| if key == "app" { Known::Exactly } else { Known::Nothing };
    assert_eq!(both.decides(&labels(&[("app", "a")]), known), Some(false));
    assert_eq!(both.decides(&labels(&[("app", "b")]), known), None);
}

#[test]
fn a_narrower_selector_is_a_subset_of_a_wider_one() {
    assert!(of("a", "In", &["x"]).is_subset(&of("a", "In", &["x", "y"])));
    assert!(of("a", "In", &["x"]).is_subset(&of("a", "NotIn", &["y"])));
    assert!(of("a", "DoesNotExist", &[]).is_subset(&of("a", "NotIn", &["y"])));
    assert!(of("a", "In", &["x"]).is_subset(&Selector::everything()));
    assert!(!of("a", "NotIn", &["x"]).is_subset(&of("a", "Exists", &[])));
    assert!(!Selector::everything().is_subset(&of("a", "Exists", &[])));
    assert!(!of("b", "In", &["x"]).is_subset(&of("a", "In", &["x"])));
}

#[test]
fn a_namespace_is_named_only_when_nothing_else_is_asked() {
    assert_eq!(Selector::namespace("ml").single_namespace(), Some("ml"));
    assert_eq!(of(NAMESPACE_NAME, "In", &["a", "b"]).single_namespace(), None);
    assert_eq!(Selector::everything().single_namespace(), None);
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let value = prop::sample::select(vec!["x", "y", "z"]);
    let one = (
        prop::sample::select(vec!["a", "b"]),
        prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]),
        prop::collection::vec(value, 1..3),
    );
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let expressions: Vec<_> = all
            .iter()
            .map(|(k, op, v)| expression(k, op, if op.ends_with("In") { v } else { &[] }))
            .collect();
        Selector::parse(&raw(&expressions)).unwrap()
    })
}

/// Every set of labels over two keys and four values; "other" stands for all the values that no selector names.
fn every_labels() -> Vec<Labels> {
    let values = [None, Some("x"), Some("y"), Some("z"), Some("other")];
    let mut out = Vec::new();
    for a in values {
        for b in values {
            out.push(
                [("a", a), ("b", b)]
                    .iter()
                    .filter_map(|(k, v)| v.map(|v| ((*k).into(), v.into())))
                    .collect(),
            );
        }
    }
    out
}

proptest! {
    #[test]
    fn subset_and_meeting_are_what_matching_says(p in any_selector(), q in any_selector()) {
        let worlds = every_labels();
        prop_assert_eq!(p.is_subset(&q), worlds.iter().all(|l| !p.matches(l) || q.matches(l)));
        prop_assert_eq!(p.meets(&q), worlds.iter().any(|l| p.matches(l) && q.matches(l)));
        prop_assert_eq!(p.is_impossible(), worlds.iter().all(|l| !p.matches(l)));
        prop_assert_eq!(p.is_everything(), worlds.iter().all(|l| p.matches(l)));
    }
}
