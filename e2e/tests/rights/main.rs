//! What the operator asked for throughout the journey, against what it is given: the chart's RBAC, and the AWS policy that
//! `aidp iam-policy` prints. In both directions: whatever was asked for is given, and whatever is given was asked for, or
//! has its reason in a list here.
//!
//! Run by `e2e/journey.sh`, which makes the records. That nothing is superfluous only the whole journey can say
//! (`AIDP_E2E_WHOLE=1`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what is missing must fail the test"
)]

mod aws;
mod kubernetes;

use std::collections::BTreeMap;
use std::fmt::Debug;

use aidp_e2e::record::Record;

/// The records of the journey; their absence is a failure, not a success.
fn records() -> Vec<Record> {
    let records = Record::all().expect("records of a journey: run these tests by e2e/journey.sh");
    assert!(!records.is_empty(), "the journey left no records");
    records
}

/// Whether the whole journey was run.
fn whole() -> bool {
    let whole = std::env::var("AIDP_E2E_WHOLE").is_ok_and(|value| value == "1");
    if !whole {
        eprintln!("NOT CHECKED: that nothing superfluous is given, since only a part of the journey was run");
    }
    whole
}

/// What is given and was never asked for must have its reason in the list. A reason that is no longer needed is told.
fn explained<T: Ord + Debug>(
    unused: impl IntoIterator<Item = T>,
    reasons: impl IntoIterator<Item = (T, &'static str)>,
) {
    let mut reasons: BTreeMap<T, &str> = reasons.into_iter().collect();
    let unexplained: Vec<T> = unused
        .into_iter()
        .filter(|given| reasons.remove(given).is_none())
        .collect();
    if !reasons.is_empty() {
        eprintln!("explained, but asked for, or not given: {reasons:#?}");
    }
    assert!(
        unexplained.is_empty(),
        "given, never asked for, and not explained: {unexplained:#?}"
    );
}
