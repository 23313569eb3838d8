//! The merge: our statements into somebody's bucket policy, and out of it again.
//!
//! Foreign statements are never re-modelled: they keep their JSON, their order and their number. Ours are replaced where
//! they stand, appended where they are missing, and dropped where they are not wanted.

use std::collections::BTreeSet;

use crate::domain::document::equivalence::CanonicalStatement;
use crate::domain::document::{PolicyDocument, Statement};

/// One difference between the policy as it is and as it must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The statement is missing.
    Add {
        /// Its Sid.
        sid: String,
    },
    /// A statement with our Sid says something else.
    Replace {
        /// Its Sid.
        sid: String,
        /// What it says.
        was: Box<Statement>,
    },
    /// The statement is no longer wanted, or there twice.
    Remove {
        /// Its Sid.
        sid: String,
    },
}

/// A policy after the merge.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The whole policy.
    pub document: PolicyDocument,
    /// What differs from the policy before; empty = nothing to write.
    pub changes: Vec<Change>,
}

/// Brings `current` to carry exactly `wanted` among the statements whose Sid is in `managed`. Everything else stays as it
/// is. Every wanted statement has a Sid; those Sids count as managed too.
pub fn merge(current: &PolicyDocument, managed: &BTreeSet<String>, wanted: &[Statement]) -> Merged {
    let mut changes = Vec::new();
    let mut placed = BTreeSet::new();
    let mut statements = Vec::with_capacity(current.statements.len() + wanted.len());
    for statement in &current.statements {
        let Some(sid) = statement.sid.as_deref() else {
            statements.push(statement.clone());
            continue;
        };
        match wanted.iter().find(|w| w.sid.as_deref() == Some(sid)) {
            // AWS takes no policy in which a Sid stands twice.
            Some(_) if !placed.insert(sid) => changes.push(Change::Remove { sid: sid.to_owned() }),
            Some(want) if says_the_same(want, statement) => statements.push(statement.clone()),
            Some(want) => {
                changes.push(Change::Replace {
                    sid: sid.to_owned(),
                    was: Box::new(statement.clone()),
                });
                statements.push(want.clone());
            }
            None if managed.contains(sid) => changes.push(Change::Remove { sid: sid.to_owned() }),
            None => statements.push(statement.clone()),
        }
    }
    for want in wanted {
        if let Some(sid) = want.sid.as_deref().filter(|sid| !placed.contains(sid)) {
            changes.push(Change::Add { sid: sid.to_owned() });
            statements.push(want.clone());
        }
    }
    Merged {
        document: current.with_statements(statements),
        changes,
    }
}

/// Whether a statement that carries our Sid says what we want it to say. With an operator that compares nothing it may hold
/// for no request.
pub fn says_the_same(want: &Statement, have: &Statement) -> bool {
    !have.has_empty_operator() && CanonicalStatement::of(want) == CanonicalStatement::of(have)
}

#[cfg(test)]
mod tests;
