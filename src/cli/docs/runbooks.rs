//! The runbooks against the alerts of the chart and the reasons in the code, in both directions.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/runbooks.md");
const ALERTS: &str = include_str!("../../../charts/aidp/templates/prometheusrule.yaml");

fn sections() -> Vec<&'static str> {
    PAGE.lines().filter_map(|line| line.strip_prefix("## ")).collect()
}

/// Words of the form `Variant => "Word"` in a source file: what a condition's reason can be.
fn words(source: &'static str) -> impl Iterator<Item = &'static str> {
    source.lines().filter_map(|line| {
        let (variant, word) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
        let word = word.strip_suffix("\",")?;
        (variant == word || variant.contains(&format!("::{word})"))).then_some(word)
    })
}

fn alerts() -> BTreeSet<&'static str> {
    ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect()
}

fn reasons() -> BTreeSet<&'static str> {
    let human = words(include_str!("../../domain/finding.rs"));
    let situation = words(include_str!("../../domain/report/situation.rs"));
    // "Unchanged" is never on an object. The rest are words of the conditions about one part.
    let part = ["Drifted", "NotApplicable", "NothingEnforced", "Protected", "Proven"];
    let rungs = ["PortRestricted", "DestinationRestricted", "TLSRequired"];
    human
        .chain(situation)
        .filter(|word| *word != "Unchanged")
        .chain(part)
        .chain(rungs)
        .collect()
}

#[test]
fn every_alert_and_every_reason_has_one_section_and_no_section_is_about_nothing() {
    let (alerts, reasons, sections) = (alerts(), reasons(), sections());
    assert!(alerts.len() >= 10 && reasons.len() >= 35, "{alerts:?} {reasons:?}");
    let known: BTreeSet<&str> = alerts.union(&reasons).copied().collect();
    let once: BTreeSet<&str> = sections.iter().copied().collect();
    assert_eq!(once, known);
    assert_eq!(sections.len(), once.len(), "a section twice");
}

#[test]
fn the_words_of_the_part_conditions_are_those_of_the_code() {
    let conditions = include_str!("../../domain/report/conditions.rs");
    let rungs = ["PortRestricted", "DestinationRestricted", "TLSRequired"];
    for word in ["Drifted", "NotApplicable", "NothingEnforced", "Protected", "Proven"]
        .into_iter()
        .chain(rungs)
    {
        assert!(conditions.contains(&format!("\"{word}\"")), "{word}");
    }
}

#[test]
fn every_alert_links_to_its_section() {
    let links: Vec<(&str, &str)> = ALERTS
        .split("- alert: ")
        .skip(1)
        .map(|rule| {
            let name = rule.lines().next().unwrap_or_default();
            let link = rule
                .lines()
                .find_map(|line| line.trim().strip_prefix("runbook_url: {{ $runbook }}#"));
            (name, link.unwrap_or_default())
        })
        .collect();
    for (name, link) in links {
        // A stalled policy is about its reason.
        let wanted = if name == "AidpPolicyStalled" {
            "{{ `{{ $labels.reason | toLower }}` }}".to_owned()
        } else {
            name.to_ascii_lowercase()
        };
        assert_eq!(link, wanted, "{name}");
    }
}

#[test]
fn links_within_the_runbooks_lead_to_a_section() {
    let anchors: BTreeSet<String> = sections().into_iter().map(str::to_ascii_lowercase).collect();
    let links = PAGE.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    let dead: Vec<&str> = links.filter(|link| !anchors.contains(*link)).collect();
    assert_eq!(dead, Vec::<&str>::new());
}
