//! The union analysis at the size that the operator must manage. `make measure` runs the same in a release build.
#![cfg(test)]

#[path = "measure/analysis.rs"]
mod analysis;

use std::time::Duration;

#[test]
fn ten_thousand_pods_under_two_and_a_half_thousand_policies_are_analysed_in_time() {
    let measured = analysis::analyse().unwrap();
    eprintln!("{measured}");
    // Six selections a namespace (shards 5 and 6 look the same to every policy), and rule 2 exceeds in all but policy 0.
    assert_eq!((measured.pods, measured.distinct), (10_000, 3_000));
    assert_eq!(measured.exceeding, 500 * (4 + 3 * 4 + 4));
    // One second is the aim of a release build; a debug build takes ten times as long.
    assert!(measured.processor < Duration::from_secs(30), "{measured}");
    assert!(measured.growth_kib < 128 * 1_024, "{measured}");
}
