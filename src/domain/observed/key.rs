//! KMS keys.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Read;
use crate::domain::names::Region;

/// How a key is asked for: as a bucket's encryption or a policy spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyQuery {
    /// Region of the bucket; a key lives in its bucket's region.
    pub region: Region,
    /// Key ARN, alias ARN, alias or key id. What names no account is of the operator's.
    pub key_id: String,
}

/// One KMS key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyObservation {
    /// ARN, whatever it was asked for by.
    pub arn: String,
    /// Whether it can be used.
    pub state: KeyState,
    /// `KeySpec`, e.g. `SYMMETRIC_DEFAULT`; None = not said.
    pub spec: Option<String>,
    /// `KeyUsage`, e.g. `ENCRYPT_DECRYPT`; None = not said.
    pub usage: Option<String>,
    /// Whose it is to manage; None = not said.
    pub manager: Option<KeyManager>,
    /// `Origin`, e.g. `AWS_KMS`, `EXTERNAL`; None = not said.
    pub origin: Option<String>,
    /// When imported key material expires.
    pub valid_to: Option<Timestamp>,
    /// When a key in `PendingDeletion` is deleted.
    pub deletion_time: Option<Timestamp>,
    /// Yearly rotation.
    pub rotation: Read<KeyRotation>,
    /// Key policy, JSON.
    pub policy: Read<String>,
    /// Grants on it.
    pub grants: Read<BTreeSet<KeyGrant>>,
}

/// Whether a key can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It can.
    Enabled,
    /// It is switched off.
    Disabled,
    /// It is about to be deleted, and everything encrypted with it lost.
    PendingDeletion,
    /// It has no key material (yet, or any more).
    PendingImport,
    /// Its key store is out of reach.
    Unavailable,
    /// Something else, as AWS spells it.
    Other(String),
}

/// Who manages a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyManager {
    /// AWS: `aws/s3`; its policy cannot be changed.
    Aws,
    /// The customer.
    Customer,
}

/// Automatic rotation of a key's material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRotation {
    /// On.
    Enabled,
    /// Off.
    Disabled,
    /// The key cannot rotate: asymmetric, imported material, own key store.
    NotApplicable,
}

/// A grant on a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyGrant {
    /// Id.
    pub id: String,
    /// ARN of the principal, or name of the service, that may use the key.
    pub grantee: String,
    /// Operations granted, e.g. `Decrypt`.
    pub operations: BTreeSet<String>,
    /// It holds for some requests only (`Constraints`: encryption contexts, or the resource that is asked for).
    pub is_constrained: bool,
}
