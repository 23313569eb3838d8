//! Conditions against a *class* of requests, of which only some context keys are known: yes, no, or unknown.
//!
//! Lives here: condition operators in three-valued logic, for statements about all requests of a kind ("every request
//! without TLS"). Does not live here: the decision about one request whose context is known whole (`iam::evaluate`).
//!
//! Rules: AWS IAM User Guide, "Condition operators". What is not listed here (dates, addresses, set operators, policy
//! variables) is unknown, never guessed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::domain::document::{Condition, Decimal};
use crate::domain::glob::{Case, Glob};
use crate::domain::iam::condition::boolean;

/// What is known about one context key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The key is not in the request.
    Absent,
    /// It has this one value.
    Is(String),
    /// It has a value that one of these patterns matches, which one is not known.
    OneOf(Vec<String>),
}

/// What is known about a class of requests; a key that is not in here may have any value or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, Fact>);

impl Facts {
    /// Adds a fact. `key` is a context key in any case.
    #[must_use]
    pub fn with(mut self, key: &str, fact: Fact) -> Self {
        self.0.insert(key.to_ascii_lowercase(), fact);
        self
    }

    /// Adds a key with one known value.
    #[must_use]
    pub fn is(self, key: &str, value: &str) -> Self {
        self.with(key, Fact::Is(value.to_owned()))
    }

    /// Whether all conditions hold for every request of the class (`Some(true)`), at least one of them for none
    /// (`Some(false)`), or it can't be told.
    pub fn all_hold(&self, conditions: &[Condition]) -> Option<bool> {
        all(conditions.iter().map(|c| self.holds(c)))
    }

    fn holds(&self, condition: &Condition) -> Option<bool> {
        let Condition { operator, key, values } = condition;
        let operator = operator.to_ascii_lowercase();
        let (name, if_exists) = match operator.strip_suffix("ifexists") {
            Some(name) => (name, true),
            None => (operator.as_str(), false),
        };
        let fact = self.0.get(&key.to_ascii_lowercase())?;
        // An empty list of values is not documented.
        if values.is_empty() {
            return None;
        }
        // "You can add IfExists to the end of any condition operator name except the Null condition."
        if name == "null" && !if_exists {
            let absent = *fact == Fact::Absent;
            return any(values.iter().map(|v| match v.to_ascii_lowercase().as_str() {
                "true" => Some(absent),
                "false" => Some(!absent),
                _ => None,
            }));
        }
        let operator = Operator::named(name)?;
        if *fact == Fact::Absent {
            return Some(operator.negated || if_exists);
        }
        // Values are ORed; for negated operators the request's value must be none of them.
        let matched = any(values.iter().map(|v| operator.compare.matches(fact, v)));
        matched.map(|m| m != operator.negated)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    compare: Compare,
    negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal(Case),
    Like,
    Arn,
    Boolean,
    Number { below: bool, equal: bool, above: bool },
}

impl Operator {
    fn named(name: &str) -> Option<Self> {
        let number = |below, equal, above| Compare::Number { below, equal, above };
        let (compare, negated) = match name {
            "stringequals" => (Compare::Equal(Case::Sensitive), false),
            "stringnotequals" => (Compare::Equal(Case::Sensitive), true),
            "stringequalsignorecase" => (Compare::Equal(Case::Insensitive), false),
            "stringnotequalsignorecase" => (Compare::Equal(Case::Insensitive), true),
            "stringlike" => (Compare::Like, false),
            "stringnotlike" => (Compare::Like, true),
            "arnequals" | "arnlike" => (Compare::Arn, false),
            "arnnotequals" | "arnnotlike" => (Compare::Arn, true),
            "bool" => (Compare::Boolean, false),
            "numericequals" => (number(false, true, false), false),
            "numericnotequals" => (number(false, true, false), true),
            "numericlessthan" => (number(true, false, false), false),
            "numericlessthanequals" => (number(true, true, false), false),
            "numericgreaterthan" => (number(false, false, true), false),
            "numericgreaterthanequals" => (number(false, true, true), false),
            _ => return None,
        };
        Some(Self { compare, negated })
    }
}

impl Compare {
    fn matches(self, fact: &Fact, value: &str) -> Option<bool> {
        // A policy variable: its value is not known here.
        if value.contains("${") {
            return None;
        }
        match fact {
            Fact::Absent => Some(false),
            Fact::Is(have) => match self {
                Self::Equal(case) => Some(Glob::literal(value, case).matches(have)),
                Self::Like => Some(Glob::new(value, Case::Sensitive).matches(have)),
                Self::Arn => arn_like(value, have),
                // What AWS makes of a text that is neither (`Bool` on an ARN) is not documented.
                Self::Boolean => Some(boolean(value)? == boolean(have)?),
                Self::Number { below, equal, above } => {
                    match Decimal::parse(have)?.cmp(&Decimal::parse_exactly(value)?) {
                        Ordering::Less => Some(below),
                        Ordering::Equal => Some(equal),
                        Ordering::Greater => Some(above),
                    }
                }
            },
            Fact::OneOf(candidates) => {
                let verdicts: Vec<_> = candidates.iter().map(|c| self.matches_class(value, c)).collect();
                match verdicts.first() {
                    Some(first) if verdicts.iter().all(|v| v == first) => *first,
                    Some(_) => None,
                    None => Some(false),
                }
            }
        }
    }

    /// Whether `value` matches all texts of the pattern `class`, none, or some.
    fn matches_class(self, value: &str, class: &str) -> Option<bool> {
        if Glob::new(class, Case::Sensitive).is_literal() {
            return self.matches(&Fact::Is(class.to_owned()), value);
        }
        let class_case = match self {
            Self::Equal(case) => case,
            Self::Like | Self::Arn => Case::Sensitive,
            Self::Boolean | Self::Number { .. } => return None,
        };
        let compare = |value: Glob, class: &str| {
            let class = Glob::new(class, class_case);
            if value.contains(&class) {
                Some(true)
            } else if value.intersects(&class) {
                None
            } else {
                Some(false)
            }
        };
        match self {
            Self::Equal(case) => compare(Glob::literal(value, case), class),
            Self::Like => compare(Glob::new(value, Case::Sensitive), class),
            Self::Arn => {
                let (values, classes) = (arn_parts(value), arn_parts(class));
                if values.len() != ARN_PARTS || classes.len() != ARN_PARTS {
                    return None;
                }
                all(values
                    .iter()
                    .zip(classes)
                    .map(|(v, c)| compare(Glob::new(v, Case::Sensitive), c)))
            }
            Self::Boolean | Self::Number { .. } => None,
        }
    }
}

/// arn:partition:service:region:account:resource
const ARN_PARTS: usize = 6;

fn arn_parts(arn: &str) -> Vec<&str> {
    arn.splitn(ARN_PARTS, ':').collect()
}

/// "Each of the six colon-delimited components of the ARN is checked separately and each can include multi-character match
/// wildcards (*) or single-character match wildcards (?)" (AWS IAM User Guide). What AWS makes of a text with fewer of
/// them, `*` included, or of a value that is no ARN, is not documented.
fn arn_like(pattern: &str, arn: &str) -> Option<bool> {
    let (patterns, parts) = (arn_parts(pattern), arn_parts(arn));
    let all_there = patterns.len() == ARN_PARTS && parts.len() == ARN_PARTS;
    let mut pairs = patterns.iter().zip(&parts);
    all_there.then(|| pairs.all(|(p, part)| Glob::new(p, Case::Sensitive).matches(part)))
}

/// Three-valued "and".
pub(super) fn all(items: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for item in items {
        match item {
            Some(false) => return Some(false),
            Some(true) => {}
            None => result = None,
        }
    }
    result
}

/// Three-valued "or".
pub(super) fn any(items: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(items.map(|i| i.map(|b| !b))).map(|b| !b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plaintext() -> Facts {
        Facts::default()
            .is("aws:SecureTransport", "false")
            .with("aws:SourceVpce", Fact::Absent)
    }

    fn condition(operator: &str, key: &str, values: &[&str]) -> Condition {
        Condition {
            operator: operator.to_owned(),
            key: key.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    #[test]
    fn known_values_decide_and_unknown_ones_do_not() {
        let cases: [(&str, &str, &[&str], Option<bool>); 25] = [
            ("Bool", "aws:SecureTransport", &["false"], Some(true)),
            ("bool", "AWS:securetransport", &["False"], Some(true)),
            ("Bool", "aws:SecureTransport", &["true"], Some(false)),
            ("BoolIfExists", "aws:SecureTransport", &["false"], Some(true)),
            ("StringEquals", "aws:SecureTransport", &["false"], Some(true)),
            ("StringEquals", "aws:SecureTransport", &["False"], Some(false)),
            ("StringEqualsIgnoreCase", "aws:SecureTransport", &["False"], Some(true)),
            ("StringNotEquals", "aws:SecureTransport", &["true"], Some(true)),
            (
                "StringNotEquals",
                "aws:SecureTransport",
                &["true", "false"],
                Some(false),
            ),
            ("StringLike", "aws:SecureTransport", &["f*"], Some(true)),
            ("StringLike", "aws:SecureTransport", &["${aws:username}"], None),
            ("Null", "aws:SecureTransport", &["false"], Some(true)),
            ("Null", "aws:SecureTransport", &["true"], Some(false)),
            ("Null", "aws:SourceVpce", &["true"], Some(true)),
            ("StringEquals", "aws:SourceVpce", &["vpce-1"], Some(false)),
            ("StringNotEquals", "aws:SourceVpce", &["vpce-1"], Some(true)),
            ("StringEqualsIfExists", "aws:SourceVpce", &["vpce-1"], Some(true)),
            ("StringNotEqualsIfExists", "aws:SourceVpce", &["vpce-1"], Some(true)),
            ("StringEquals", "aws:PrincipalOrgID", &["o-1"], None),
            ("ForAllValues:Bool", "aws:SecureTransport", &["false"], None),
            ("DateLessThan", "aws:SecureTransport", &["false"], None),
            ("Bool", "aws:SecureTransport", &[], None),
            ("NumericLessThan", "aws:SecureTransport", &["1.2"], None),
            ("NoSuchOperator", "aws:SecureTransport", &["false"], None),
            ("NullIfExists", "aws:SecureTransport", &["false"], None),
        ];
        for (operator, key, values, expected) in cases {
            let got = plaintext().all_hold(&[condition(operator, key, values)]);
            assert_eq!(got, expected, "{operator} {key} {values:?}");
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let tls = |version: &str| Facts::default().is("s3:TlsVersion", version);
        let less = [condition("NumericLessThan", "s3:TlsVersion", &["1.20"])];
        assert_eq!(tls("1.1").all_hold(&less), Some(true));
        assert_eq!(tls("1.2").all_hold(&less), Some(false));
        let at_most = [condition("NumericLessThanEquals", "s3:TlsVersion", &["1.1", "1.0"])];
        assert_eq!(tls("1.1").all_hold(&at_most), Some(true));
        assert_eq!(tls("1.2").all_hold(&at_most), Some(false));
        let infinite = [condition("NumericLessThan", "s3:TlsVersion", &["inf"])];
        assert_eq!(tls("1.2").all_hold(&infinite), None);
    }

    #[test]
    fn a_number_that_is_one_of_some_is_below_another_only_if_all_are() {
        let versions = ["1.2", "1.3"].map(str::to_owned).to_vec();
        let facts = Facts::default().with("s3:TlsVersion", Fact::OneOf(versions));
        for (value, expected) in [("1.2", Some(false)), ("1.3", None), ("1.4", Some(true))] {
            let less = condition("NumericLessThan", "s3:TlsVersion", &[value]);
            assert_eq!(facts.all_hold(&[less]), expected, "{value}");
        }
    }

    #[test]
    fn one_false_condition_is_enough_and_one_unknown_leaves_it_open() {
        let yes = condition("Bool", "aws:SecureTransport", &["false"]);
        let no = condition("Bool", "aws:SecureTransport", &["true"]);
        let unknown = condition("StringEquals", "aws:PrincipalOrgID", &["o-1"]);
        let facts = plaintext();
        assert_eq!(facts.all_hold(&[]), Some(true));
        assert_eq!(facts.all_hold(&[yes.clone(), unknown.clone()]), None);
        assert_eq!(facts.all_hold(&[unknown, no, yes]), Some(false));
    }

    #[test]
    fn an_arn_matches_part_by_part() {
        let facts = Facts::default().is("aws:PrincipalArn", "arn:aws:iam::123456789012:role/aidp/trainer");
        let like = |pattern| facts.all_hold(&[condition("ArnLike", "aws:PrincipalArn", &[pattern])]);
        assert_eq!(like("arn:aws:iam::123456789012:role/aidp/*"), Some(true));
        assert_eq!(like("arn:aws:iam::*:role/*/trainer"), Some(true));
        assert_eq!(
            like("arn:aws:iam::*/trainer:*"),
            Some(false),
            "a wildcard does not cross a colon"
        );
    }

    #[test]
    fn what_is_no_boolean_says_nothing_about_booleans() {
        let facts = plaintext().is("aws:PrincipalArn", "arn:aws:iam::123456789012:role/aidp/trainer");
        for (key, value) in [
            ("aws:PrincipalArn", "arn:aws:iam::123456789012:role/aidp/trainer"),
            ("aws:PrincipalArn", "false"),
            ("aws:SecureTransport", "no"),
            ("aws:SecureTransport", "0"),
        ] {
            let got = facts.all_hold(&[condition("Bool", key, &[value])]);
            assert_eq!(got, None, "{key} {value}");
        }
    }

    #[test]
    fn what_is_no_arn_says_nothing_about_arns() {
        let facts = plaintext().is("aws:PrincipalArn", "arn:aws:iam::123456789012:role/aidp/trainer");
        for (operator, key, value) in [
            ("ArnEquals", "aws:SecureTransport", "false"),
            ("ArnLike", "aws:SecureTransport", "arn:aws:s3:::*"),
            ("ArnNotEquals", "aws:SecureTransport", "true"),
            ("ArnNotLike", "aws:PrincipalArn", "arn:*"),
            ("ArnNotEquals", "aws:PrincipalArn", "*"),
            ("ArnLike", "aws:PrincipalArn", "arn:*/trainer"),
        ] {
            let got = facts.all_hold(&[condition(operator, key, &[value])]);
            assert_eq!(got, None, "{operator} {key} {value}");
        }
        let classes = Facts::default().with(
            "aws:PrincipalArn",
            Fact::OneOf(vec!["arn:aws:iam::1:role/a".to_owned()]),
        );
        let unlike = condition("ArnNotLike", "aws:PrincipalArn", &["arn:*/b"]);
        assert_eq!(classes.all_hold(&[unlike]), None);
    }

    #[test]
    fn a_role_whose_path_is_unknown_matches_for_sure_only_where_every_path_would() {
        let role = Fact::OneOf(vec![
            "arn:aws:iam::123456789012:role/aidp-operator".to_owned(),
            "arn:aws:iam::123456789012:role/*/aidp-operator".to_owned(),
        ]);
        let facts = Facts::default().with("aws:PrincipalArn", role);
        let equals = |pattern| facts.all_hold(&[condition("ArnEquals", "aws:PrincipalArn", &[pattern])]);
        assert_eq!(equals("arn:aws:iam::123456789012:role/*"), Some(true));
        assert_eq!(equals("arn:aws:iam::123456789012:role/ops/aidp-operator"), None);
        assert_eq!(equals("arn:aws:iam::123456789012:role/aidp/trainer"), Some(false));
        assert_eq!(equals("arn:aws:*:*:*:*/aidp-operator"), Some(true));
        assert_eq!(equals("arn:aws:sts:*:*:*"), Some(false));
    }
}
