//! The request context: what AWS knows about a request besides who, what and where.

use std::collections::BTreeMap;

/// Context keys with their values. Keys are compared without regard to case; a key without values is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// The context without any key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one value; a second value for the same key makes the key multivalued.
    pub fn add(&mut self, key: &str, value: &str) {
        let values = self.0.entry(key.to_ascii_lowercase()).or_default();
        values.push(value.to_owned());
    }

    /// Sets the key to this value, unless it has one already.
    pub fn add_default(&mut self, key: &str, value: &str) {
        if self.values(key).is_empty() {
            self.add(key, value);
        }
    }

    /// The values of `key`; empty when it is absent.
    pub fn values(&self, key: &str) -> &[String] {
        self.0.get(&key.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// The value of `key` if it has exactly one.
    pub fn single(&self, key: &str) -> Option<&str> {
        match self.values(key) {
            [one] => Some(one),
            [] | [_, ..] => None,
        }
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Context {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut context = Self::new();
        for (key, value) in pairs {
            context.add(key, value);
        }
        context
    }
}
