//! A policy document made ready for questions: patterns compiled, variables found, operators known. What cannot be judged
//! is refused here, once, so that every later question has an answer.

use std::fmt;

use super::condition::{CompiledCondition, UnknownOperator};
use super::context::Context;
use super::template::Template;
use crate::domain::document::{
    ActionElement, Effect, PolicyDocument, PolicyKind, PrincipalElement, ResourceElement, Statement,
};
use crate::domain::glob::{Case, Glob};

/// Which statement, for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatementRef {
    /// Where the policy is attached.
    pub kind: PolicyKind,
    /// Name of the policy: a file, a policy name, an ARN.
    pub policy: String,
    /// Position in the document, from 0.
    pub index: usize,
    /// `Sid`, if there is one.
    pub sid: Option<String>,
}

impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            policy,
            index,
            sid,
        } = self;
        write!(f, "statement {index}")?;
        if let Some(sid) = sid {
            write!(f, " ({sid})")?;
        }
        write!(f, " of {} {policy}", kind.as_str())
    }
}

/// `Action` or `NotAction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actions {
    /// These.
    Named(Vec<Glob>),
    /// All others.
    AllBut(Vec<Glob>),
}

impl Actions {
    /// Whether the statement is about `action`, e.g. `s3:GetObject`.
    pub fn matches(&self, action: &str) -> bool {
        match self {
            Self::Named(globs) => globs.iter().any(|g| g.matches(action)),
            Self::AllBut(globs) => !globs.iter().any(|g| g.matches(action)),
        }
    }
}

/// `Resource` or `NotResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resources {
    /// The element is absent: the resource that the policy is attached to.
    Own,
    /// These.
    Named(Vec<Template>),
    /// All others.
    AllBut(Vec<Template>),
}

impl Resources {
    /// Whether the statement is about the resource `arn`.
    pub fn matches(&self, arn: &str, context: &Context) -> bool {
        match self {
            Self::Own => true,
            Self::Named(list) => list.iter().any(|t| t.matches(arn, context)),
            Self::AllBut(list) => !list.iter().any(|t| t.matches(arn, context)),
        }
    }
}

/// A statement, ready for questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which one it is.
    pub reference: StatementRef,
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`.
    pub principal: Option<PrincipalElement>,
    /// `Action` or `NotAction`.
    pub actions: Actions,
    /// `Resource` or `NotResource`.
    pub resources: Resources,
    /// `Condition`; all must be met.
    pub conditions: Vec<CompiledCondition>,
}

impl Rule {
    fn new(statement: &Statement, reference: StatementRef, document: &PolicyDocument) -> Result<Self, UnknownOperator> {
        let globs = |list: &[String]| list.iter().map(|a| Glob::new(a, Case::Insensitive)).collect();
        let fills_in = reference.kind.completes_arns();
        let templates = |list: &[String]| {
            let written = list.iter().map(|r| Template::parse(r, document.version));
            let meant = |written: Template| {
                let completed = written.completed().filter(|_| fills_in);
                std::iter::once(written).chain(completed)
            };
            written.flat_map(meant).collect()
        };
        Ok(Self {
            reference,
            effect: statement.effect,
            principal: statement.principal.clone(),
            actions: match &statement.action {
                ActionElement::Action(list) => Actions::Named(globs(list)),
                ActionElement::NotAction(list) => Actions::AllBut(globs(list)),
            },
            resources: match &statement.resource {
                None => Resources::Own,
                Some(ResourceElement::Resource(list)) => Resources::Named(templates(list)),
                Some(ResourceElement::NotResource(list)) => Resources::AllBut(templates(list)),
            },
            conditions: statement
                .conditions
                .iter()
                .map(|c| CompiledCondition::new(c, document.version))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether action, resource and conditions fit a request. Principals are the caller's business.
    pub fn covers(&self, action: &str, resource: &str, context: &Context) -> bool {
        self.actions.matches(action)
            && self.resources.matches(resource, context)
            && self.conditions.iter().all(|c| c.is_met(context))
    }
}

/// A document that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reference}: {problem}")]
pub struct Unjudgeable {
    /// The statement.
    pub reference: StatementRef,
    /// What is wrong with it.
    pub problem: UnknownOperator,
}

/// A policy, ready for questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where it is attached.
    pub kind: PolicyKind,
    /// Name, for people.
    pub name: String,
    /// Its statements.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Makes a document ready.
    ///
    /// # Errors
    /// [`Unjudgeable`] names the statement with an operator that AWS does not have.
    pub fn new(kind: PolicyKind, name: &str, document: &PolicyDocument) -> Result<Self, Unjudgeable> {
        let rule = |(index, statement): (usize, &Statement)| {
            let reference = StatementRef {
                kind,
                policy: name.to_owned(),
                index,
                sid: statement.sid.clone().filter(|s| !s.is_empty()),
            };
            Rule::new(statement, reference.clone(), document).map_err(|problem| Unjudgeable { reference, problem })
        };
        Ok(Self {
            kind,
            name: name.to_owned(),
            rules: document
                .statements
                .iter()
                .enumerate()
                .map(rule)
                .collect::<Result<_, _>>()?,
        })
    }
}
