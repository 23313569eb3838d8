use super::*;
use crate::api::{BucketTargetStatus, TargetState};
use crate::domain::fixture::{now, policy_from, settings};
use crate::domain::observed::ErrorClass;
use crate::domain::policy::{PolicySource, validate};

const SPEC: &str = r#"
mode: Enforce
account: {id: "123456789012", region: eu-west-1}
buckets: [{name: fraud-features-named, controls: {publicAccess: {mode: Ignore}}}]
bucketSelectors:
- {name: tagged, matchTags: [{key: dataset, value: fraud}]}
- {name: features, namePrefix: fraud-features-}
"#;

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

/// A bucket of the inventory, with the selector that found it.
fn claimed(name: &str, selector: Option<&str>) -> BucketTargetStatus {
    BucketTargetStatus {
        name: name.to_owned(),
        region: Some("eu-central-1".to_owned()),
        selector: selector.map(ToOwned::to_owned),
        state: TargetState::Compliant,
    }
}

fn policy(inventory: Vec<BucketTargetStatus>, release: Option<&str>) -> ValidatedPolicy {
    let source = PolicySource {
        name: "fraud-model".to_owned(),
        release: release.map(ToOwned::to_owned),
        inventory: Targets {
            buckets: inventory,
            ..Targets::default()
        },
        ..PolicySource::default()
    };
    policy_from(SPEC, source)
}

fn matching(names: &[&str]) -> SelectedBuckets {
    SelectedBuckets {
        buckets: names.iter().map(|name| (bucket(name), None)).collect(),
        unusable: BTreeSet::new(),
    }
}

fn found(features: Read<SelectedBuckets>, tagged: Read<SelectedBuckets>) -> BTreeMap<String, Read<SelectedBuckets>> {
    [("features".to_owned(), features), ("tagged".to_owned(), tagged)].into()
}

fn throttled() -> Read<SelectedBuckets> {
    Err(CallError {
        operation: "GetResources",
        class: ErrorClass::Throttled,
        code: None,
        message: "slow down".to_owned(),
    })
}

/// Every bucket of the policy: name, and by which selector and how it is there.
fn covered(policy: &ValidatedPolicy) -> Vec<String> {
    let how = |b: &BucketTarget| match policy.selection.origins.get(&b.name) {
        Some(Origin { selector, presence }) => format!("{} {selector} {presence:?}", b.name),
        None => format!("{} named", b.name),
    };
    policy.buckets.iter().map(how).collect()
}

#[test]
fn what_is_found_is_covered_and_a_bucket_that_the_spec_names_is_as_the_spec_says() {
    let seen = found(
        Ok(matching(&["fraud-features-a", "fraud-features-named"])),
        Ok(matching(&["fraud-features-a", "other"])),
    );
    let policy = policy(Vec::new(), None).cover(&seen);
    assert_eq!(
        covered(&policy),
        [
            "fraud-features-a features Selected",
            "fraud-features-named named",
            "other tagged Selected"
        ],
        "of two selectors the first by name is noted"
    );
    let asked = |name: &str| policy.buckets.iter().find(|b| b.name == bucket(name)).unwrap();
    assert_eq!(asked("fraud-features-named").public_access, None);
    assert_eq!(BucketTemplate::of(asked("other")), policy.selectors[0].template);
}

#[test]
fn a_bucket_that_its_selector_finds_no_more_stays_until_it_is_released() {
    let inventory = || {
        vec![
            claimed("by-name-before", None),
            claimed("untagged", Some("tagged")),
            claimed("of-a-removed-selector", Some("removed")),
        ]
    };
    let seen = found(Ok(matching(&[])), Ok(matching(&[])));
    let left = ["fraud-features-named named", "untagged tagged Left"];
    assert_eq!(covered(&policy(inventory(), None).cover(&seen)), left);
    assert_eq!(
        covered(&policy(inventory(), Some("untagge,*,another")).cover(&seen)),
        left
    );
    let released = policy(inventory(), Some("another, untagged")).cover(&seen);
    assert_eq!(covered(&released), ["fraud-features-named named"]);

    let region = |p: &ValidatedPolicy| p.buckets.last().unwrap().region_hint.to_string();
    assert_eq!(region(&policy(inventory(), None).cover(&seen)), "eu-central-1");
}

#[test]
fn a_bucket_that_is_found_or_named_is_not_released() {
    let inventory = vec![claimed("fraud-features-a", Some("features"))];
    let seen = found(Ok(matching(&["fraud-features-a"])), Ok(matching(&[])));
    let policy = policy(inventory, Some("fraud-features-a,fraud-features-named")).cover(&seen);
    assert_eq!(
        covered(&policy),
        ["fraud-features-a features Selected", "fraud-features-named named"]
    );
}

#[test]
fn a_search_that_failed_takes_nothing_away_and_releases_nothing() {
    let inventory = || {
        vec![
            claimed("fraud-features-a", Some("features")),
            claimed("untagged", Some("tagged")),
        ]
    };
    let expected = [
        "fraud-features-a features Unknown",
        "fraud-features-named named",
        "untagged tagged Unknown",
    ];
    // It may be the other selector that finds the bucket by now.
    let seen = found(Ok(matching(&[])), throttled());
    assert_eq!(covered(&policy(inventory(), Some("untagged")).cover(&seen)), expected);
    assert_eq!(covered(&policy(inventory(), None).cover(&BTreeMap::new())), expected);
}

#[test]
fn the_operators_configuration_caps_what_is_found() {
    let mut settings = settings();
    settings.allowed_buckets = Some(vec!["fraud-*".to_owned()]);
    let source = PolicySource {
        inventory: Targets {
            buckets: vec![claimed("once-allowed", Some("tagged"))],
            ..Targets::default()
        },
        ..PolicySource::default()
    };
    let policy = validate(&serde_yaml::from_str(SPEC).unwrap(), source, &settings, now()).unwrap();
    let mut tagged = matching(&["fraud-b", "payroll"]);
    tagged.unusable.insert("Fraud_Old".to_owned());
    let policy = policy.cover(&found(Ok(matching(&["fraud-features-a"])), Ok(tagged)));
    assert_eq!(
        covered(&policy),
        [
            "fraud-b tagged Selected",
            "fraud-features-a features Selected",
            "fraud-features-named named"
        ]
    );
    assert_eq!(
        policy.selection.matched["tagged"],
        Matched::Found {
            buckets: 3,
            refused: ["Fraud_Old".to_owned(), "payroll".to_owned()].into(),
            surplus: 0
        }
    );
}

#[test]
fn of_too_many_buckets_those_already_claimed_are_kept_and_the_rest_is_counted() {
    let names: Vec<String> = (0..=MAX_SELECTED + 1)
        .map(|i| format!("fraud-features-{i:05}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let last = *names.last().unwrap();
    let inventory = vec![claimed(last, Some("features"))];
    let policy = policy(inventory, None).cover(&found(Ok(matching(&names)), Ok(matching(&[]))));
    assert_eq!(policy.buckets.len(), MAX_SELECTED + 1, "and the named one");
    assert_eq!(policy.selection.origins[&bucket(last)].presence, Presence::Selected);
    assert_eq!(
        policy.selection.matched["features"],
        Matched::Found {
            buckets: MAX_SELECTED + 2,
            refused: BTreeSet::new(),
            surplus: 2
        }
    );
}

#[test]
fn a_region_that_the_search_told_wins_over_the_inventory() {
    let seen = SelectedBuckets {
        buckets: [(bucket("fraud-features-a"), Region::new("us-east-1").ok())].into(),
        unusable: BTreeSet::new(),
    };
    let inventory = vec![claimed("fraud-features-a", Some("features"))];
    let policy = policy(inventory, None).cover(&found(Ok(seen), Ok(matching(&[]))));
    assert_eq!(policy.buckets[0].region_hint.as_str(), "us-east-1");
    let regions: Vec<String> = policy.selected_regions().map(|(b, r)| format!("{b} {r}")).collect();
    assert_eq!(regions, ["fraud-features-a us-east-1"]);
}
