//! AWS policy documents (identity, trust, bucket, key, boundary, service control): parsed once, losslessly.
//!
//! Lives here: the typed view of a document, its parser, and how a document is written back. Does not live here: what a
//! document *means* for a request (`iam::evaluate`), how two documents compare (`document::equivalence`), and what we put
//! into one (`s3::merge`, `iam::role`).
//!
//! Grammar: AWS "Grammar of the IAM JSON policy language". Anything outside it is an error, never a guess: a document that
//! we cannot read whole must not be judged and must not be written.

mod build;
mod decimal;
mod encoding;
pub mod equivalence;
mod json;
mod kind;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use build::StatementParts;
pub use decimal::Decimal;
pub use encoding::{decode_if_encoded, decode_percent};
pub use json::MAX_BYTES;
pub use kind::PolicyKind;
pub use parse::ParseError;

/// Language version of a document. It decides whether `${…}` is a policy variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// No `Version` element; AWS then applies the 2008 rules.
    Absent,
    /// `"2008-10-17"`: no policy variables.
    V2008,
    /// `"2012-10-17"`: policy variables are substituted.
    V2012,
}

/// `Effect` of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Grants.
    Allow,
    /// Refuses, and beats every Allow.
    Deny,
}

/// The kind of a principal, the key of a `Principal` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// Accounts, users, roles, sessions; also `*`.
    Aws,
    /// AWS services, such as `logging.s3.amazonaws.com`.
    Service,
    /// Identity providers.
    Federated,
    /// S3's legacy canonical user ids.
    CanonicalUser,
}

/// The content of a `Principal` or `NotPrincipal` element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Principals {
    /// The element was the string `"*"`. (`{"AWS": "*"}` means the same and stands in `entries`.)
    pub everyone: bool,
    /// Values by kind, in document order.
    pub entries: BTreeMap<PrincipalKind, Vec<String>>,
}

/// `Principal` or `NotPrincipal`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalElement {
    /// The statement is about these.
    Principal(Principals),
    /// The statement is about everybody else.
    NotPrincipal(Principals),
}

/// `Action` or `NotAction`; patterns in document order and spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActionElement {
    /// The statement is about these.
    Action(Vec<String>),
    /// The statement is about every other action.
    NotAction(Vec<String>),
}

/// `Resource` or `NotResource`; patterns in document order and spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResourceElement {
    /// The statement is about these.
    Resource(Vec<String>),
    /// The statement is about every other resource.
    NotResource(Vec<String>),
}

/// One operator–key pair of a `Condition` block; pairs are ANDed, values are ORed (for negated operators ANDed).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Operator as spelled, e.g. `ForAllValues:StringLikeIfExists`.
    pub operator: String,
    /// Context key as spelled, e.g. `aws:SecureTransport`.
    pub key: String,
    /// Values; JSON booleans and numbers become their text.
    pub values: Vec<String>,
}

/// One statement: its typed view, and the JSON it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// `Sid`, if there is one.
    pub sid: Option<String>,
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`; absent in identity policies.
    pub principal: Option<PrincipalElement>,
    /// `Action` or `NotAction`.
    pub action: ActionElement,
    /// `Resource` or `NotResource`; absent in trust policies.
    pub resource: Option<ResourceElement>,
    /// `Condition`, flattened, in document order.
    pub conditions: Vec<Condition>,
    raw: Map<String, Value>,
}

impl Statement {
    /// Reads one statement, for building documents: `Statement::from_value(json!({"Effect": "Deny", …}))`.
    ///
    /// # Errors
    /// [`ParseError::Grammar`] names the element that is not in the grammar.
    pub fn from_value(value: Value) -> Result<Self, ParseError> {
        parse::statement(0, value)
    }

    /// The statement's JSON exactly as it was read, for writing back.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// `"Condition": {"Bool": {}}`: whether that holds is not documented, and nothing is left of it in `conditions`.
    pub fn has_empty_operator(&self) -> bool {
        let block = self.raw.get("Condition").and_then(Value::as_object);
        let empty = |keys: &Value| keys.as_object().is_some_and(Map::is_empty);
        block.is_some_and(|operators| operators.values().any(empty))
    }
}

/// A policy document.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDocument {
    /// `Version`.
    pub version: Version,
    /// `Id`, if there is one.
    pub id: Option<String>,
    /// Statements in document order. (A single object is the same as an array of one.)
    pub statements: Vec<Statement>,
}

impl PolicyDocument {
    /// The document without statements: what an absent bucket policy stands for.
    pub fn empty() -> Self {
        Self {
            version: Version::V2012,
            id: None,
            statements: Vec::new(),
        }
    }

    /// Reads a document from JSON text.
    ///
    /// # Errors
    /// [`ParseError`] names the statement and element that is not in the grammar.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::document(text)
    }

    /// Reads a document as IAM's API answers with it: percent-encoded. Plain JSON is read too.
    ///
    /// # Errors
    /// [`ParseError`], as for [`PolicyDocument::parse`].
    pub fn parse_encoded(text: &str) -> Result<Self, ParseError> {
        parse::document(&encoding::decode_if_encoded(text)?)
    }

    /// Reads one document, or a JSON array of documents, plain or percent-encoded.
    ///
    /// # Errors
    /// [`ParseError`] for the first that is not in the grammar.
    pub fn parse_many(text: &str) -> Result<Vec<Self>, ParseError> {
        parse::documents(&encoding::decode_if_encoded(text)?)
    }

    /// The same document (`Version` and `Id` kept) with other statements.
    #[must_use]
    pub fn with_statements(&self, statements: Vec<Statement>) -> Self {
        Self {
            version: self.version,
            id: self.id.clone(),
            statements,
        }
    }

    /// Compact JSON, statements as they were read, order kept.
    pub fn to_json(&self) -> String {
        let mut top = Map::new();
        match self.version {
            Version::Absent => {}
            Version::V2008 => drop(top.insert("Version".into(), "2008-10-17".into())),
            Version::V2012 => drop(top.insert("Version".into(), "2012-10-17".into())),
        }
        if let Some(id) = &self.id {
            top.insert("Id".into(), id.clone().into());
        }
        let statements = self.statements.iter().map(|s| Value::Object(s.raw.clone())).collect();
        top.insert("Statement".into(), Value::Array(statements));
        Value::Object(top).to_string()
    }
}
