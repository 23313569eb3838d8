//! Decimal numbers as conditions compare them: on their digits, so that nothing is rounded.

use std::cmp::Ordering;
use std::fmt;

/// A plain decimal number of any length. Equal numbers are equal values: `1.20`, `+01.2` and `1.2` are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Digits before the point, without leading zeros; empty for 0.
    whole: String,
    /// Digits behind the point, without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// Reads a number as JSON writes it, without exponent. What AWS makes of `+1` or `01` in a document is not documented, so
    /// neither a proof nor equality may rest on them.
    pub fn parse_exactly(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let padded = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        Self::parse(text).filter(|_| !padded && !digits.starts_with('+'))
    }

    /// Reads digits with an optional sign and an optional fraction; None for anything else (exponents, white space).
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            negative: negative && !zero,
            whole,
            fraction,
        })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| {
            let whole = a.whole.len().cmp(&b.whole.len()).then_with(|| a.whole.cmp(&b.whole));
            whole.then_with(|| a.fraction.cmp(&b.fraction))
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The shortest spelling.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        match self.fraction.as_str() {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_decimals_are_numbers() {
        for text in ["", "-", ".5", "1.", "1e3", " 1", "1,2", "0x1", "--1", "1.2.3"] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
        assert_eq!(Decimal::parse("-00.0"), Decimal::parse("0"));
        assert_eq!(Decimal::parse("+001.20").unwrap().to_string(), "1.2");
        for text in ["+1.2", "01.2", "-01", "00", "-+1", "1e3", ""] {
            assert_eq!(Decimal::parse_exactly(text), None, "{text:?}");
        }
        for text in ["1.20", "0.5", "-0.5", "0", "10"] {
            assert_eq!(Decimal::parse_exactly(text), Decimal::parse(text), "{text:?}");
        }
    }

    #[test]
    fn numbers_too_long_for_a_float_still_differ() {
        let a = Decimal::parse("9007199254740993").unwrap();
        let b = Decimal::parse("9007199254740992.99999999999999999").unwrap();
        assert!(a > b);
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(a in -9999_i32..9999, b in -9999_i32..9999) {
            let decimal = |n: i32| {
                let sign = if n < 0 { "-" } else { "" };
                Decimal::parse(&format!("{sign}{}.{:02}", n.abs() / 100, n.abs() % 100)).unwrap()
            };
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), a.cmp(&b));
        }
    }
}
