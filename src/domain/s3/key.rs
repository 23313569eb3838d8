//! KMS keys as a bucket's encryption names them. `GetBucketEncryption` echoes whatever form was put.

use crate::domain::names::{AccountId, Region};

/// A key reference, read. Sources: KMS Developer Guide, "Key identifiers"; S3 API reference, `KMSMasterKeyID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRef {
    /// A key, by its full ARN.
    Key(String),
    /// An alias, by ARN without its partition: it may be re-pointed, and is resolved in the requester's account.
    Alias {
        /// Region.
        region: String,
        /// Account.
        account: String,
        /// `alias/NAME`.
        name: String,
    },
    /// The AWS-managed key `aws/s3`, named or by default.
    AwsManaged,
    /// Nothing that S3 could use; AWS does not check what it stores.
    Invalid(String),
}

impl KeyRef {
    /// Reads `text` as stored in the encryption of a bucket of `account` in `region`.
    pub fn read(text: Option<&str>, region: &Region, account: &AccountId) -> Self {
        let text = text.unwrap_or_default();
        let alias = |region: &str, account: &str, name: &str| {
            if name == "alias/aws/s3" {
                Self::AwsManaged
            } else {
                Self::Alias {
                    region: region.to_owned(),
                    account: account.to_owned(),
                    name: name.to_owned(),
                }
            }
        };
        if text.is_empty() {
            return Self::AwsManaged;
        }
        if text.starts_with("alias/") {
            return alias(region.as_str(), account.as_str(), text);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", _, "kms", _, _, resource] if resource.strip_prefix("key/").is_some_and(is_key_id) => {
                Self::Key(text.to_owned())
            }
            ["arn", _, "kms", r, a, resource] if resource.starts_with("alias/") => alias(r, a, resource),
            [id] if is_key_id(id) => {
                let partition = region.partition();
                Self::Key(format!("arn:{partition}:kms:{region}:{account}:key/{id}"))
            }
            _ => Self::Invalid(text.to_owned()),
        }
    }
}

/// A UUID, or `mrk-` and 32 hex digits. (Case is left alone: KMS ids are lower case.)
fn is_key_id(id: &str) -> bool {
    let hex = |s: &str, len: usize| s.len() == len && s.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(rest) = id.strip_prefix("mrk-") {
        return hex(rest, 32);
    }
    let parts: Vec<&str> = id.split('-').collect();
    parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, len)| hex(part, len))
}

/// The region of a key ARN.
pub fn region_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_aws_echoes_are_told_apart() {
        let (region, account) = (
            Region::new("eu-west-1").unwrap(),
            AccountId::new("123456789012").unwrap(),
        );
        let id = "11111111-2222-3333-4444-555555555555";
        let mrk = "mrk-0123456789abcdef0123456789abcdef";
        let key = |arn: String| KeyRef::Key(arn);
        let alias = |account: &str| KeyRef::Alias {
            region: "eu-west-1".to_owned(),
            account: account.to_owned(),
            name: "alias/data".to_owned(),
        };
        let cases = [
            (
                format!("arn:aws:kms:eu-west-1:999999999999:key/{id}"),
                key(format!("arn:aws:kms:eu-west-1:999999999999:key/{id}")),
            ),
            (
                id.to_owned(),
                key(format!("arn:aws:kms:eu-west-1:123456789012:key/{id}")),
            ),
            (
                mrk.to_owned(),
                key(format!("arn:aws:kms:eu-west-1:123456789012:key/{mrk}")),
            ),
            ("alias/data".to_owned(), alias("123456789012")),
            (
                "arn:aws:kms:eu-west-1:999999999999:alias/data".to_owned(),
                alias("999999999999"),
            ),
            ("alias/aws/s3".to_owned(), KeyRef::AwsManaged),
            (
                "arn:aws:kms:eu-west-1:123456789012:alias/aws/s3".to_owned(),
                KeyRef::AwsManaged,
            ),
            (String::new(), KeyRef::AwsManaged),
            ("aws/s3".to_owned(), KeyRef::Invalid("aws/s3".to_owned())),
            (
                "arn:aws:kms:eu-west-1:123456789012:key/".to_owned(),
                KeyRef::Invalid("arn:aws:kms:eu-west-1:123456789012:key/".to_owned()),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(KeyRef::read(Some(&text), &region, &account), expected, "{text}");
        }
        assert_eq!(KeyRef::read(None, &region, &account), KeyRef::AwsManaged);
    }
}
