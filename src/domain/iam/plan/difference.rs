//! How a document differs from the one that we generated, in a few words: by statement, never by quoting a document.

use std::collections::BTreeMap;
use std::fmt;

use crate::api::Severity;
use crate::domain::document::equivalence::CanonicalStatement;
use crate::domain::document::{Effect, PolicyDocument, Statement, Version};

/// A difference, by statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Statements of ours that are gone or were edited.
    lacking: Vec<Label>,
    /// Statements that are not ours, or no longer.
    added: Vec<Label>,
    /// The language version found, where it is not ours.
    version: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    name: String,
    effect: Effect,
}

/// What has become of `want` in `found`.
pub fn between(want: &PolicyDocument, found: &PolicyDocument) -> Difference {
    Difference {
        lacking: surplus(want, found),
        added: surplus(found, want),
        version: (want.version != found.version).then_some(match found.version {
            Version::Absent => "none",
            Version::V2008 => "2008-10-17",
            Version::V2012 => "2012-10-17",
        }),
    }
}

/// Statements of `a` beyond those of `b`, counted.
fn surplus(a: &PolicyDocument, b: &PolicyDocument) -> Vec<Label> {
    let key = |s: &Statement| CanonicalStatement::of(s).without_sid();
    let mut left: BTreeMap<CanonicalStatement, usize> = BTreeMap::new();
    for statement in &b.statements {
        *left.entry(key(statement)).or_default() += 1;
    }
    let mut out = Vec::new();
    for (index, statement) in a.statements.iter().enumerate() {
        match left.get_mut(&key(statement)) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => out.push(Label {
                name: statement.sid.clone().unwrap_or_else(|| format!("Statement[{index}]")),
                effect: statement.effect,
            }),
        }
    }
    out
}

impl Difference {
    /// Critical where a Deny is gone or an Allow was added: the role can do more. Medium where it can only do less.
    pub fn severity(&self) -> Severity {
        let wider = self.lacking.iter().any(|l| l.effect == Effect::Deny)
            || self.added.iter().any(|l| l.effect == Effect::Allow)
            || self.version.is_some();
        if wider { Severity::Critical } else { Severity::Medium }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |labels: &[Label]| labels.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if !self.lacking.is_empty() {
            parts.push(format!("removed or edited: {}", names(&self.lacking)));
        }
        if !self.added.is_empty() {
            parts.push(format!("not as generated: {}", names(&self.added)));
        }
        if let Some(version) = self.version {
            parts.push(format!("Version {version}"));
        }
        f.write_str(&parts.join("; "))
    }
}
