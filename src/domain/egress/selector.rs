//! Label selectors: which labels they match, and when one selects everything that another does.
//!
//! A selector becomes one constraint per key, so that matching, "selects no more than" and "can meet" are exact.
//! Semantics: Kubernetes API conventions, `LabelSelector`; `NotIn` and `DoesNotExist` match objects without the key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The label that the API server puts on every namespace, with its name; nobody can change it.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Why a selector is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not a qualified name (`prefix/name`).
    #[error("{key:?} is not a label key")]
    Key {
        /// What stands there.
        key: String,
    },
    /// Not a label value.
    #[error("{value:?}, wanted of {key}, is not a label value: at most 63 of letters, digits, '-', '_', '.'")]
    Value {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
    },
    /// Not one of `In`, `NotIn`, `Exists`, `DoesNotExist`.
    #[error("matchExpressions[{index}].operator: {operator:?} is not one of In, NotIn, Exists, DoesNotExist")]
    Operator {
        /// Position of the expression.
        index: usize,
        /// What stands there.
        operator: String,
    },
    /// `In` and `NotIn` need values, the others must have none.
    #[error("matchExpressions[{index}].values: {operator} needs {}", if *.wanted { "at least one value" } else { "no values" })]
    Values {
        /// Position of the expression.
        index: usize,
        /// Its operator.
        operator: String,
        /// Whether values are wanted.
        wanted: bool,
    },
}

/// The values of one key that a selector accepts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Values {
    Only(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

impl Values {
    fn intersect(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => Self::Only(a.intersection(b).cloned().collect()),
            (Self::Only(only), Self::AllBut(but)) | (Self::AllBut(but), Self::Only(only)) => {
                Self::Only(only.difference(but).cloned().collect())
            }
            (Self::AllBut(a), Self::AllBut(b)) => Self::AllBut(a.union(b).cloned().collect()),
        }
    }

    fn is_subset(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => a.is_subset(b),
            (Self::Only(a), Self::AllBut(b)) => a.is_disjoint(b),
            // There are infinitely many values.
            (Self::AllBut(_), Self::Only(_)) => false,
            (Self::AllBut(a), Self::AllBut(b)) => b.is_subset(a),
        }
    }

    fn contains(&self, value: &str) -> bool {
        match self {
            Self::Only(values) => values.contains(value),
            Self::AllBut(values) => !values.contains(value),
        }
    }
}

/// What a selector wants of one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Constraint {
    /// The key may be missing.
    absent: bool,
    /// The values it may have when it is there.
    values: Values,
}

impl Constraint {
    fn anything() -> Self {
        Self {
            absent: true,
            values: Values::AllBut(BTreeSet::new()),
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            absent: self.absent && other.absent,
            values: self.values.intersect(&other.values),
        }
    }

    fn is_subset(&self, other: &Self) -> bool {
        (!self.absent || other.absent) && self.values.is_subset(&other.values)
    }

    fn is_impossible(&self) -> bool {
        !self.absent && self.values == Values::Only(BTreeSet::new())
    }
}

/// What is known of an object's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its value, or that it is missing: as the labels say.
    Exactly,
    /// That it is there; its value is not.
    Presence,
    /// Nothing.
    Nothing,
}

/// A label selector, normalised. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    by_key: BTreeMap<String, Constraint>,
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects the objects that carry exactly this value for the key.
    pub fn label(key: &str, value: &str) -> Self {
        let mut out = Self::default();
        out.require(key, false, Values::Only(BTreeSet::from([value.to_owned()])));
        out
    }

    /// Selects the one namespace of that name.
    pub fn namespace(name: &str) -> Self {
        Self::label(NAMESPACE_NAME, name)
    }

    /// Reads the API's selector.
    ///
    /// # Errors
    /// [`SelectorError`] where the API server would refuse it too.
    pub fn parse(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let mut out = Self::default();
        let expression_keys = selector.match_expressions.iter().flatten().map(|e| &e.key);
        let mut keys = selector
            .match_labels
            .iter()
            .flatten()
            .map(|(k, _)| k)
            .chain(expression_keys);
        if let Some(odd) = keys.find(|k| !is_label_key(k)) {
            return Err(SelectorError::Key {
                key: odd.chars().take(64).collect(),
            });
        }
        let expected = selector.match_expressions.iter().flatten();
        let expected = expected.flat_map(|e| e.values.iter().flatten().map(move |value| (&e.key, value)));
        let mut values = selector.match_labels.iter().flatten().chain(expected);
        if let Some((key, odd)) = values.find(|(_, value)| !is_label_value(value)) {
            return Err(SelectorError::Value {
                key: key.clone(),
                value: odd.chars().take(64).collect(),
            });
        }
        for (key, value) in selector.match_labels.iter().flatten() {
            out.require(key, false, Values::Only(BTreeSet::from([value.clone()])));
        }
        for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
            let values: BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
            let (absent, accepted, needs_values) = match expression.operator.as_str() {
                "In" => (false, Values::Only(values.clone()), true),
                "NotIn" => (true, Values::AllBut(values.clone()), true),
                "Exists" => (false, Values::AllBut(BTreeSet::new()), false),
                "DoesNotExist" => (true, Values::Only(BTreeSet::new()), false),
                other => {
                    return Err(SelectorError::Operator {
                        index,
                        operator: other.chars().take(64).collect(),
                    });
                }
            };
            if values.is_empty() == needs_values {
                return Err(SelectorError::Values {
                    index,
                    operator: expression.operator.clone(),
                    wanted: needs_values,
                });
            }
            out.require(&expression.key, absent, accepted);
        }
        Ok(out)
    }

    fn require(&mut self, key: &str, absent: bool, values: Values) {
        let new = Constraint { absent, values };
        let both = self.by_key.get(key).map_or_else(|| new.clone(), |old| old.and(&new));
        self.by_key.insert(key.to_owned(), both);
    }

    /// Does it select an object with these labels?
    pub fn matches(&self, labels: &Labels) -> bool {
        self.by_key.iter().all(|(key, constraint)| match labels.get(key) {
            None => constraint.absent,
            Some(value) => constraint.values.contains(value),
        })
    }

    /// Does it select an object of which no more is known than `known` says of each key? None if that hangs on what is not.
    pub fn decides(&self, labels: &Labels, known: impl Fn(&str) -> Known) -> Option<bool> {
        let mut certain = true;
        for (key, constraint) in &self.by_key {
            let any_value = constraint.values == Values::AllBut(BTreeSet::new());
            let no_value = constraint.values == Values::Only(BTreeSet::new());
            let met = match (known(key), labels.get(key)) {
                (Known::Exactly, None) => Some(constraint.absent),
                (Known::Exactly, Some(value)) => Some(constraint.values.contains(value)),
                (Known::Presence, _) if any_value || no_value => Some(any_value),
                (Known::Nothing, _) if any_value && constraint.absent => Some(true),
                (Known::Nothing, _) if constraint.is_impossible() => Some(false),
                (Known::Presence | Known::Nothing, _) => None,
            };
            match met {
                Some(true) => {}
                Some(false) => return Some(false),
                None => certain = false,
            }
        }
        certain.then_some(true)
    }

    /// Does it select everything?
    pub fn is_everything(&self) -> bool {
        self.by_key.values().all(|c| *c == Constraint::anything())
    }

    /// Can no object match it?
    pub fn is_impossible(&self) -> bool {
        self.by_key.values().any(Constraint::is_impossible)
    }

    /// Is every object that this selects selected by the other too?
    pub fn is_subset(&self, other: &Self) -> bool {
        let anything = Constraint::anything();
        self.is_impossible()
            || other
                .by_key
                .iter()
                .all(|(key, theirs)| self.by_key.get(key).unwrap_or(&anything).is_subset(theirs))
    }

    /// Can an object be selected by both?
    pub fn meets(&self, other: &Self) -> bool {
        let both_keys = self
            .by_key
            .iter()
            .filter_map(|(k, a)| other.by_key.get(k).map(|b| a.and(b)));
        !self.is_impossible() && !other.is_impossible() && !both_keys.into_iter().any(|c| c.is_impossible())
    }

    /// The namespace's name, if this selects by name and nothing else.
    pub fn single_namespace(&self) -> Option<&str> {
        let constraint = self.by_key.get(NAMESPACE_NAME).filter(|_| self.by_key.len() == 1)?;
        match (&constraint.values, constraint.absent) {
            (Values::Only(names), false) if names.len() == 1 => names.first().map(String::as_str),
            _ => None,
        }
    }
}

/// Empty, or at most 63 of letters, digits, `-`, `_`, `.`, the first and last a letter or digit.
fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    text.len() <= 63 && plain && ends_well(text)
}

fn ends_well(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// A qualified name: an optional DNS subdomain and a slash, then at most 63 of letters, digits, `-`, `_`, `.`.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let prefixed = prefix.is_none_or(|p| {
        let plain = p
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
        p.len() <= 253 && ends_well(p) && plain
    });
    prefixed && is_name(name)
}

/// `app=train, tier in (a, b), !debug`; empty for "everything".
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let parts = self.by_key.iter().map(|(key, c)| match (&c.values, c.absent) {
            (Values::Only(v), false) if v.len() == 1 => format!("{key}={}", join(v)),
            (Values::Only(v), false) => format!("{key} in ({})", join(v)),
            (Values::Only(v), true) if v.is_empty() => format!("!{key}"),
            (Values::Only(v), true) => format!("{key} absent or in ({})", join(v)),
            (Values::AllBut(v), false) if v.is_empty() => key.clone(),
            (Values::AllBut(v), false) => format!("{key} present, not in ({})", join(v)),
            (Values::AllBut(v), true) => format!("{key} notin ({})", join(v)),
        });
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;
