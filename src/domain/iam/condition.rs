//! Condition blocks: every operator of the policy language, decided on a request context.
//!
//! Source: "IAM JSON policy elements: Condition operators" and "Set operators for multivalued context keys", AWS IAM User
//! Guide. In short: values are alternatives (for negated operators all must differ); a missing key fails a positive
//! operator and passes a negated one and `IfExists`; `ForAllValues` passes and `ForAnyValue` fails on a missing key; a
//! multivalued key needs a set operator.

#[cfg(test)]
mod tests;
mod value;

use std::net::IpAddr;

use super::context::Context;
use super::template::Template;
use crate::domain::document::{Condition, Decimal, Version};
use value::{instant, network};

/// How the values of a multivalued key are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// The key must have one value.
    Single,
    /// `ForAllValues`: each must pass; none at all passes.
    All,
    /// `ForAnyValue`: one must pass; none at all fails. `IfExists` changes nothing about that.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is compared, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Comparison),
    Date(Comparison),
    Bool,
    Binary,
    IpAddress,
    /// `ArnEquals` and `ArnLike`, which are one: "The ArnEquals and ArnLike condition operators behave identically."
    Arn,
    /// `Null`.
    Absent,
}

/// An operator that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown condition operator {0:?}")]
pub struct UnknownOperator(pub String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    quantifier: Quantifier,
    test: Test,
    negated: bool,
    if_exists: bool,
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let (quantifier, rest) = if let Some(rest) = lower.strip_prefix("forallvalues:") {
            (Quantifier::All, rest)
        } else if let Some(rest) = lower.strip_prefix("foranyvalue:") {
            (Quantifier::Any, rest)
        } else {
            (Quantifier::Single, lower.as_str())
        };
        let (base, if_exists) = match rest.strip_suffix("ifexists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (test, negated) = test_named(base)?;
        // "You can add IfExists to the end of any condition operator name except the Null condition."
        if test == Test::Absent && (if_exists || quantifier != Quantifier::Single) {
            return None;
        }
        Some(Self {
            quantifier,
            test,
            negated,
            if_exists,
        })
    }
}

fn test_named(base: &str) -> Option<(Test, bool)> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    Some(match base {
        "stringequals" => (Test::StringEquals, false),
        "stringnotequals" => (Test::StringEquals, true),
        "stringequalsignorecase" => (Test::StringEqualsIgnoreCase, false),
        "stringnotequalsignorecase" => (Test::StringEqualsIgnoreCase, true),
        "stringlike" => (Test::StringLike, false),
        "stringnotlike" => (Test::StringLike, true),
        "numericequals" => (Test::Numeric(Equal), false),
        "numericnotequals" => (Test::Numeric(Equal), true),
        "numericlessthan" => (Test::Numeric(Less), false),
        "numericlessthanequals" => (Test::Numeric(LessOrEqual), false),
        "numericgreaterthan" => (Test::Numeric(Greater), false),
        "numericgreaterthanequals" => (Test::Numeric(GreaterOrEqual), false),
        "dateequals" => (Test::Date(Equal), false),
        "datenotequals" => (Test::Date(Equal), true),
        "datelessthan" => (Test::Date(Less), false),
        "datelessthanequals" => (Test::Date(LessOrEqual), false),
        "dategreaterthan" => (Test::Date(Greater), false),
        "dategreaterthanequals" => (Test::Date(GreaterOrEqual), false),
        "bool" => (Test::Bool, false),
        "binaryequals" => (Test::Binary, false),
        "ipaddress" => (Test::IpAddress, false),
        "notipaddress" => (Test::IpAddress, true),
        "arnequals" | "arnlike" => (Test::Arn, false),
        "arnnotequals" | "arnnotlike" => (Test::Arn, true),
        "null" => (Test::Absent, false),
        _ => return None,
    })
}

/// One operator–key pair, ready to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledCondition {
    operator: Operator,
    key: String,
    values: Vec<Template>,
}

impl CompiledCondition {
    /// Reads one pair of a document of the given version.
    ///
    /// # Errors
    /// [`UnknownOperator`].
    pub fn new(condition: &Condition, version: Version) -> Result<Self, UnknownOperator> {
        let Condition { operator, key, values } = condition;
        let operator = Operator::parse(operator).ok_or_else(|| UnknownOperator(operator.chars().take(80).collect()))?;
        // "You can use a policy variable … in any condition that involves the string operators or the ARN operators."
        let version = match operator.test {
            Test::StringEquals | Test::StringEqualsIgnoreCase | Test::StringLike | Test::Arn => version,
            Test::Numeric(_) | Test::Date(_) | Test::Bool | Test::Binary | Test::IpAddress | Test::Absent => {
                Version::V2008
            }
        };
        Ok(Self {
            operator,
            key: key.clone(),
            values: values.iter().map(|v| Template::parse(v, version)).collect(),
        })
    }

    /// The context key, as spelled.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether what the key is compared with depends on the request.
    pub fn has_variables(&self) -> bool {
        self.values.iter().any(Template::has_variables)
    }

    /// Whether the condition holds in every request that has these values for these keys, whatever else it has.
    pub fn always_holds(&self, known: &Context) -> bool {
        let values = known.values(&self.key);
        let decided = !values.is_empty() && !self.has_variables();
        // What is no value of the operator's kind agrees with nothing, and a negated operator would hold. AWS documents
        // nothing of the sort: no proof. Nor that a lone `*` is every ARN: without such values the condition must hold too.
        let readable = |text: &str| is_readable(self.operator.test, text);
        let all_readable = !self.values.is_empty()
            && self.values.iter().all(|own| readable(own.source()))
            && values.iter().all(|value| readable(value));
        let surely = Self {
            values: self
                .values
                .iter()
                .filter(|own| readable(own.source()))
                .cloned()
                .collect(),
            ..self.clone()
        };
        decided && (!self.operator.negated || all_readable) && surely.is_met(known)
    }

    /// Whether the condition holds for a request with this context.
    pub fn is_met(&self, context: &Context) -> bool {
        let Operator {
            quantifier,
            test,
            negated,
            if_exists,
        } = self.operator;
        let values = context.values(&self.key);
        if test == Test::Absent {
            return self
                .values
                .iter()
                .any(|v| boolean(v.source()) == Some(values.is_empty()));
        }
        let one = |value: &String| self.values.iter().any(|own| holds(test, own, value, context)) != negated;
        match (quantifier, values) {
            (Quantifier::Single, []) => negated || if_exists,
            (Quantifier::Single, [value]) => one(value),
            (Quantifier::Single, [_, _, ..]) => false,
            // ForAllValues "also returns true … if the key values resolve to a null data set, such as an empty string"; of
            // ForAnyValue: "For no matching key or a null dataset, the condition returns false."
            (Quantifier::All, [value]) if value.is_empty() => true,
            (Quantifier::Any, [value]) if value.is_empty() => false,
            (Quantifier::All, values) => values.iter().all(one),
            (Quantifier::Any, values) => values.iter().any(one),
        }
    }
}

/// Two texts that differ in case only differ in length by at most this factor (one byte and three: `k` and the Kelvin sign).
const LONGEST_FOLDING: usize = 3;

/// Whether one value of the document and one of the request agree. What cannot be read agrees with nothing.
fn holds(test: Test, own: &Template, value: &str, context: &Context) -> bool {
    match test {
        Test::StringEquals => own.text(context, value.len()).is_some_and(|own| own == value),
        Test::StringEqualsIgnoreCase => own
            .text(context, value.len().saturating_mul(LONGEST_FOLDING))
            .is_some_and(|own| own.to_lowercase() == value.to_lowercase()),
        Test::StringLike => own.matches(value, context),
        Test::Numeric(comparison) => compare(comparison, Decimal::parse(value), Decimal::parse(own.source())),
        Test::Date(comparison) => compare(comparison, instant(value), instant(own.source())),
        Test::Bool => boolean(value).is_some() && boolean(value) == boolean(own.source()),
        Test::Binary => own.source() == value,
        Test::IpAddress => match (network(own.source()), value.parse::<IpAddr>()) {
            (Some(network), Ok(address)) => network.contains(&address),
            (None, _) | (_, Err(_)) => false,
        },
        Test::Arn => arn_like(own, value, context),
        // Handled before any value is looked at.
        Test::Absent => false,
    }
}

/// Whether a text is a value of the test's kind.
fn is_readable(test: Test, value: &str) -> bool {
    match test {
        Test::StringEquals | Test::StringEqualsIgnoreCase | Test::StringLike | Test::Binary => true,
        Test::Numeric(_) => Decimal::parse_exactly(value).is_some(),
        Test::Date(_) => instant(value).is_some(),
        Test::Bool | Test::Absent => boolean(value).is_some(),
        Test::IpAddress => network(value).is_some(),
        Test::Arn => value.splitn(6, ':').count() == 6,
    }
}

fn compare<T: Ord>(comparison: Comparison, value: Option<T>, own: Option<T>) -> bool {
    let (Some(value), Some(own)) = (value, own) else {
        return false;
    };
    match comparison {
        Comparison::Equal => value == own,
        Comparison::Less => value < own,
        Comparison::LessOrEqual => value <= own,
        Comparison::Greater => value > own,
        Comparison::GreaterOrEqual => value >= own,
    }
}

/// `true` or `false` in any case.
pub(in crate::domain) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// "Each of the six colon-delimited components of the ARN is checked separately and each can include multi-character
/// match wildcards (*) or single-character match wildcards (?)." A lone `*` is every ARN.
fn arn_like(own: &Template, value: &str, context: &Context) -> bool {
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    if parts.len() != 6 {
        return false;
    }
    if own.source() == "*" {
        return true;
    }
    if !own.can_be_in(value, context) {
        return false;
    }
    let Some(segments) = own.arn_segments(context) else {
        return false;
    };
    segments.iter().zip(parts).all(|(segment, part)| segment.matches(part))
}
