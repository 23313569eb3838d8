use super::*;
use proptest::prelude::*;

fn glob(pattern: &str) -> Glob {
    Glob::new(pattern, Case::Sensitive)
}

/// The definition, written as plainly as possible.
fn by_definition(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            by_definition(&pattern[1..], text) || (!text.is_empty() && by_definition(pattern, &text[1..]))
        }
        (Some('?'), Some(_)) => by_definition(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) if p == t => by_definition(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn is_in(pattern: &str, text: &str) -> bool {
    by_definition(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

/// The same for long texts: which beginnings of the text are in which beginnings of the pattern.
fn by_table(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match (token, at) {
                ('*', 0) => reached[0],
                ('*', _) => reached[at] || next[at - 1],
                (_, 0) => false,
                ('?', _) => reached[at - 1],
                (c, _) => reached[at - 1] && text[at - 1] == c,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

/// Every text over a, b, c up to six characters; `c` occurs in no generated pattern, as most characters don't.
fn all_texts() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut longest = texts.clone();
    for _ in 0..6 {
        longest = longest
            .iter()
            .flat_map(|t| ["a", "b", "c"].map(|c| format!("{t}{c}")))
            .collect();
        texts.extend(longest.iter().cloned());
    }
    texts
}

#[test]
fn a_star_crosses_slashes_and_colons() {
    assert!(glob("arn:aws:s3:::b/*").matches("arn:aws:s3:::b/a/b:c"));
    assert!(!glob("arn:aws:s3:::b/*").matches("arn:aws:s3:::b"));
    assert!(glob("arn:aws:s3:::b*").matches("arn:aws:s3:::b-copy/x"));
}

#[test]
fn a_question_mark_is_one_character_not_one_byte() {
    assert!(glob("?").matches("é"));
    assert!(!glob("?").matches(""));
    assert!(!glob("?").matches("ab"));
}

#[test]
fn regular_expression_characters_stand_for_themselves() {
    assert!(!glob("a.c").matches("abc"));
    assert!(!glob("[ab]").matches("a"));
    assert!(glob("a.c\\+").matches("a.c\\+"));
}

#[test]
fn only_the_insensitive_mode_ignores_case() {
    assert!(Glob::new("S3:getOBJECT", Case::Insensitive).matches("s3:GetObject"));
    assert!(!glob("S3:getOBJECT").matches("s3:GetObject"));
}

#[test]
fn a_literal_star_matches_only_a_star() {
    let mut pattern = Glob::literal("b/*", Case::Sensitive);
    pattern.push_pattern("/*");
    assert!(pattern.matches("b/*/x"));
    assert!(!pattern.matches("b/y/x"));
    assert_eq!(pattern.to_string(), "b/${*}/*");
}

#[test]
fn runs_of_wildcards_have_one_normal_form() {
    assert_eq!(glob("a***?*?b"), glob("a??*b"));
    assert!(glob("***").is_everything());
}

#[test]
fn a_pattern_of_ten_thousand_stars_takes_no_more_than_its_length() {
    let hostile = "*a".repeat(5_000);
    let text = "a".repeat(2_000);
    let start = std::time::Instant::now();
    assert!(!glob(&hostile).matches(&text));
    assert!(glob(&"*".repeat(10_000)).matches(&text));
    assert!(!glob(&format!("{}b", "*a".repeat(900))).matches(&text));
    assert!(
        start.elapsed() < std::time::Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn what_starts_with_a_prefix_keeps_the_rest_of_the_pattern() {
    let prefix = "arn:aws:s3:::b/";
    assert_eq!(glob("*").starting_with(prefix), [glob("arn:aws:s3:::b/*")]);
    assert_eq!(
        glob("arn:aws:s3:::*/x").starting_with(prefix),
        [glob("arn:aws:s3:::b/*/x"), glob("arn:aws:s3:::b/x")]
    );
    assert_eq!(glob("arn:aws:s3:::c/*").starting_with(prefix), []);
}

proptest! {
    #[test]
    fn matching_is_what_the_definition_says(pattern in "[ab*?]{0,6}", text in "[abc]{0,7}") {
        prop_assert_eq!(glob(&pattern).matches(&text), is_in(&pattern, &text));
    }

    /// Long runs between stars, which end in the text rarely and at any of its places.
    #[test]
    fn long_runs_are_found_where_the_definition_finds_them(
        runs in proptest::collection::vec("a{0,70}[ab?é]{0,3}a{0,70}", 1..4),
        text in "a{0,80}[bé]{0,2}a{0,150}[bé]{0,2}a{0,90}",
        folded in any::<bool>(),
    ) {
        let pattern = format!("*{}*", runs.join("*"));
        let wanted = by_table(&pattern, &text);
        prop_assert_eq!(glob(&pattern).matches(&text), wanted);
        if folded {
            let insensitive = Glob::new(&pattern.replace('a', "A"), Case::Insensitive);
            prop_assert_eq!(insensitive.matches(&text), wanted);
        }
    }

    #[test]
    fn two_patterns_meet_exactly_when_some_text_is_in_both(a in "[ab*?]{0,3}", b in "[ab*?]{0,3}") {
        // Two patterns of three tokens that meet at all do so in a text of at most six characters.
        let meet = all_texts().iter().any(|t| is_in(&a, t) && is_in(&b, t));
        prop_assert_eq!(glob(&a).intersects(&glob(&b)), meet);
    }

    #[test]
    fn a_contained_pattern_has_no_text_outside(outer in "[ab*?]{0,4}", inner in "[ab*?]{0,4}") {
        if glob(&outer).contains(&glob(&inner)) {
            prop_assert!(all_texts().iter().all(|t| !is_in(&inner, t) || is_in(&outer, t)));
        }
    }

    #[test]
    fn every_pattern_contains_itself_and_each_of_its_texts(pattern in "[ab*?]{0,6}", text in "[abc]{0,7}") {
        let own = glob(&pattern);
        prop_assert!(own.contains(&own));
        prop_assert!(glob("*").contains(&own));
        prop_assert_eq!(own.contains(&Glob::literal(&text, Case::Sensitive)), own.matches(&text));
    }

    #[test]
    fn a_pattern_without_question_marks_contains_all_that_it_should(outer in "[ab*]{0,4}", inner in "[ab*]{0,4}") {
        let truly = all_texts().iter().all(|t| !is_in(&inner, t) || is_in(&outer, t));
        prop_assert_eq!(glob(&outer).contains(&glob(&inner)), truly);
    }

    #[test]
    fn what_starts_with_a_prefix_is_exactly_that(pattern in "[ab*?]{0,6}", prefix in "[ab]{0,3}", text in "[abc]{0,7}") {
        let parts = glob(&pattern).starting_with(&prefix);
        let expected = is_in(&pattern, &text) && text.starts_with(&prefix);
        prop_assert_eq!(parts.iter().any(|p| p.matches(&text)), expected);
    }
}
