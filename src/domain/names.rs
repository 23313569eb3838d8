//! Names that can't be wrong: each is checked where it enters, and needs no check afterwards.

use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Name of an S3 general purpose bucket: 3–63 characters (AWS "Bucket naming rules").
    BucketName
);
name!(
    /// Name of an IAM role: 1–64 characters of `[A-Za-z0-9+=,.@_-]`. Unique in an account without regard to case.
    RoleName
);
name!(
    /// AWS region, e.g. `eu-west-1`.
    Region
);
name!(
    /// 12-digit AWS account id.
    AccountId
);
name!(
    /// Hash of the cluster's id, 8 lower-case hex digits: what tells our Sids and tags from another cluster's.
    ClusterHash
);

/// A name outside its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?}: {problem}")]
pub struct NameError {
    /// What kind of name.
    pub kind: &'static str,
    /// The text given.
    pub value: String,
    /// What is wrong with it, and what was expected.
    pub problem: &'static str,
}

fn check(kind: &'static str, value: &str, ok: bool, problem: &'static str) -> Result<String, NameError> {
    if ok {
        Ok(value.to_owned())
    } else {
        Err(NameError {
            kind,
            value: value.to_owned(),
            problem,
        })
    }
}

fn alphanumeric_ends(value: &str) -> bool {
    let ok = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    ok(value.chars().next()) && ok(value.chars().next_back())
}

impl BucketName {
    /// Checks a bucket name.
    ///
    /// # Errors
    /// [`NameError`] if it is no bare bucket name.
    pub fn new(value: &str) -> Result<Self, NameError> {
        let ok = (3..=63).contains(&value.len())
            && alphanumeric_ends(value)
            && value
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-');
        check(
            "bucket name",
            value,
            ok,
            "expected 3 to 63 lower-case letters, digits, dots and hyphens; no s3://, no ARN",
        )
        .map(Self)
    }

    /// Whether this is a directory bucket (S3 Express One Zone), which has another API and other protections. The suffix is
    /// reserved for them (AWS "Directory bucket naming rules").
    pub fn is_directory_bucket(&self) -> bool {
        self.0.ends_with("--x-s3")
    }
}

impl RoleName {
    /// Checks a role name.
    ///
    /// # Errors
    /// [`NameError`] if IAM would refuse it.
    pub fn new(value: &str) -> Result<Self, NameError> {
        let ok = (1..=64).contains(&value.len())
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c));
        check(
            "role name",
            value,
            ok,
            "expected 1 to 64 letters, digits and +=,.@_-; no ARN, no path",
        )
        .map(Self)
    }
}

impl Region {
    /// Checks a region.
    ///
    /// # Errors
    /// [`NameError`] if it does not look like one.
    pub fn new(value: &str) -> Result<Self, NameError> {
        let ok = (5..=32).contains(&value.len())
            && alphanumeric_ends(value)
            && value.contains('-')
            && value
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        check("region", value, ok, "expected a name such as eu-west-1").map(Self)
    }

    /// The partition a region lies in, e.g. `aws-cn` for `cn-north-1`.
    pub fn partition(&self) -> Partition {
        // AWS General Reference, "Service endpoints": the prefixes that are not the commercial partition.
        if self.0.starts_with("cn-") {
            Partition::AwsCn
        } else if self.0.starts_with("us-gov-") {
            Partition::AwsUsGov
        } else {
            Partition::Aws
        }
    }
}

impl AccountId {
    /// Checks an account id.
    ///
    /// # Errors
    /// [`NameError`] unless it is 12 digits.
    pub fn new(value: &str) -> Result<Self, NameError> {
        let ok = value.len() == 12 && value.chars().all(|c| c.is_ascii_digit());
        check("account id", value, ok, "expected 12 digits").map(Self)
    }
}

impl ClusterHash {
    /// The hash of a cluster id: the first 8 hex digits of its SHA-256.
    pub fn of(cluster_id: &str) -> Self {
        Self(short_hash(cluster_id))
    }
}

/// The first 8 hex digits of a text's SHA-256, lower case: for names that have to tell two owners apart.
pub fn short_hash(text: &str) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    let mut hash = String::with_capacity(8);
    for byte in Sha256::digest(text.as_bytes()).iter().take(4) {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// AWS partition, the second part of every ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// Commercial regions.
    Aws,
    /// China.
    AwsCn,
    /// US government.
    AwsUsGov,
}

impl Partition {
    /// As in an ARN.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }

    /// Suffix of service host names, e.g. for `kms:ViaService`.
    pub const fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
        }
    }

    /// ARN of a bucket.
    pub fn bucket_arn(self, bucket: &BucketName) -> String {
        format!("arn:{}:s3:::{bucket}", self.as_str())
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
