//! The lists of AWS actions: what writes to S3, what leads beyond a role's own permissions, what destroys a key.
//!
//! Only the proof needs them (`iam::proof`); the evaluator decides any action by its name.

use std::sync::LazyLock;

/// Day of the lists, from their head.
pub const DATE: &str = "2026-09-26";

const S3: &str = include_str!("data/s3-actions.tsv");
const ESCALATIONS: &str = include_str!("data/escalation-actions.tsv");

/// What an action of the S3 family is done to. A place of the protected data, or a way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The bucket itself.
    Bucket,
    /// Its objects.
    Objects,
    /// Access points, multi-Region ones included, and the objects behind them.
    AccessPoints,
    /// S3 Object Lambda access points.
    ObjectLambda,
    /// File systems of S3 Files.
    FileSystems,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 5] = [
        Self::Bucket,
        Self::Objects,
        Self::AccessPoints,
        Self::ObjectLambda,
        Self::FileSystems,
    ];

    /// The services whose actions are authorised against the place.
    pub fn services(self) -> &'static [&'static str] {
        match self {
            Self::Bucket | Self::Objects | Self::AccessPoints => &["s3"],
            Self::ObjectLambda => &["s3", "s3-object-lambda"],
            Self::FileSystems => &["s3files"],
        }
    }
}

/// One action of the S3 family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Action {
    /// `service:Name`.
    pub name: &'static str,
    /// Whether it only reads.
    pub reads: bool,
    /// What it is done to; empty for what concerns no bucket.
    pub places: Vec<Place>,
}

/// Every action of the S3 family.
pub fn s3_actions() -> &'static [S3Action] {
    static TABLE: LazyLock<Vec<S3Action>> = LazyLock::new(|| rows(S3).filter_map(s3_action).collect());
    &TABLE
}

/// The action of that name, in any case; None for one that no list has.
pub fn s3_action_named(name: &str) -> Option<&'static S3Action> {
    s3_actions().iter().find(|a| a.name.eq_ignore_ascii_case(name))
}

/// One action that leads beyond a role's own permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// `service:Name`.
    pub name: &'static str,
    /// What it gives.
    pub gives: &'static str,
}

impl Escalation {
    /// Whether it is one of S3's own, which concern access grants and jobs and never a bucket or its objects: a row of
    /// `s3-actions.tsv` without a [`Place`].
    pub fn is_of_s3(&self) -> bool {
        self.name.starts_with("s3:") && s3_action_named(self.name).is_some_and(|action| action.places.is_empty())
    }
}

/// Every action that leads beyond a role's own permissions, but for `sts:AssumeRole`, which is followed.
pub fn escalations() -> &'static [Escalation] {
    static TABLE: LazyLock<Vec<Escalation>> = LazyLock::new(|| {
        rows(ESCALATIONS)
            .filter_map(|row| row.split_once('\t'))
            .map(|(name, gives)| Escalation { name, gives })
            .collect()
    });
    &TABLE
}

/// Actions on a key by which the data it protects is lost, or by which that can be permitted. (AWS KMS Developer Guide,
/// "Deleting keys", "Key states", "Grants".) `kms:Decrypt` and `kms:GenerateDataKey` have the level Write and change
/// nothing.
pub const KEY_ACTIONS: [&str; 10] = [
    "kms:CreateGrant",
    "kms:DeleteAlias",
    "kms:DeleteCustomKeyStore",
    "kms:DeleteImportedKeyMaterial",
    "kms:DisableKey",
    "kms:DisconnectCustomKeyStore",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:UpdateAlias",
    "kms:UpdatePrimaryRegion",
];

/// Those of them that are done to a store of keys. AWS authorises them against no resource: what is to allow or refuse them
/// must be about `*`.
pub const KEY_STORE_ACTIONS: [&str; 2] = ["kms:DeleteCustomKeyStore", "kms:DisconnectCustomKeyStore"];

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn s3_action(row: &'static str) -> Option<S3Action> {
    let mut fields = row.split('\t');
    let (name, one, two, resources) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (service, bare) = name.split_once(':')?;
    // A list that lags behind has no vote; one that disagrees makes it a write.
    let reading_level = |level: &str| matches!(level, "Read" | "List" | "-");
    let reading_name = ["Get", "List", "Describe"].iter().any(|p| bare.starts_with(p));
    // Vends credentials that may write.
    let vends = name == "s3:GetDataAccess";
    let mut places: Vec<Place> = resources.split(',').filter_map(|r| place(service, r)).collect();
    places.sort_unstable();
    places.dedup();
    Some(S3Action {
        name,
        reads: reading_level(one) && reading_level(two) && reading_name && !vends,
        places,
    })
}

fn place(service: &str, resource_type: &str) -> Option<Place> {
    match (service, resource_type) {
        ("s3", "bucket") => Some(Place::Bucket),
        ("s3", "object") => Some(Place::Objects),
        ("s3", "accesspoint" | "accesspointobject" | "multiregionaccesspoint") => Some(Place::AccessPoints),
        ("s3", "objectlambdaaccesspoint") | ("s3-object-lambda", _) => Some(Place::ObjectLambda),
        ("s3files", _) => Some(Place::FileSystems),
        // Outposts, tables and vectors are other storage, jobs and grants are escalations.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_carries_its_date() {
        assert_eq!(s3_actions().len(), rows(S3).count());
        assert_eq!(escalations().len(), rows(ESCALATIONS).count());
        assert!(s3_actions().len() > 300 && escalations().len() > 250);
        for table in [S3, ESCALATIONS] {
            assert!(table.lines().take(3).any(|line| line.contains(DATE)));
        }
    }

    #[test]
    fn every_place_has_the_services_of_its_actions() {
        for action in s3_actions() {
            let service = action.name.split(':').next().unwrap();
            for place in &action.places {
                assert!(place.services().contains(&service), "{} on {place:?}", action.name);
            }
        }
    }

    #[test]
    fn what_our_roles_may_do_reads() {
        for name in super::super::role::READ_ACTIONS {
            assert!(s3_action_named(name).is_some_and(|a| a.reads), "{name}");
        }
    }

    #[test]
    fn disagreement_odd_names_and_credentials_count_as_writes() {
        for name in [
            "s3:PutObject",
            "s3:GetDataAccess",
            "s3:PutObjectTagging",
            "s3:ObjectOwnerOverrideToBucketOwner",
            "s3:BypassGovernanceRetention",
            "s3:AllowVendedLogDeliveryForResource",
            "s3:PutObjectAnnotation",
            "s3files:ClientMount",
        ] {
            assert!(s3_action_named(name).is_some_and(|a| !a.reads), "{name}");
        }
    }

    #[test]
    fn the_ways_through_s3_concern_no_bucket() {
        let through_s3: Vec<_> = escalations().iter().filter(|e| e.name.starts_with("s3:")).collect();
        assert!(
            through_s3.len() > 5 && through_s3.iter().all(|e| e.is_of_s3()),
            "{through_s3:?}"
        );
        assert!(!escalations().iter().any(|e| e.is_of_s3() && !e.name.starts_with("s3:")));
    }

    #[test]
    fn the_ways_named_in_the_specification_are_escalations() {
        for name in [
            "iam:PassRole",
            "iam:PutRolePolicy",
            "iam:AttachRolePolicy",
            "iam:UpdateAssumeRolePolicy",
            "iam:CreatePolicyVersion",
            "iam:SetDefaultPolicyVersion",
            "iam:DeleteRolePermissionsBoundary",
            "lambda:CreateFunction",
            "lambda:UpdateFunctionCode",
            "ec2:RunInstances",
            "glue:CreateJob",
            "sagemaker:CreateTrainingJob",
            "ecs:RunTask",
            "batch:SubmitJob",
            "codebuild:StartBuild",
            "cloudformation:CreateStack",
            "eks:CreatePodIdentityAssociation",
            "s3:CreateJob",
            "s3:CreateAccessGrant",
            "s3:CreateAccessGrantsLocation",
            "s3:GetDataAccess",
            "sts:GetFederationToken",
            "ssm:SendCommand",
            "ssm:StartSession",
            "ssm:ExecuteAPI",
        ] {
            assert!(escalations().iter().any(|e| e.name == name), "{name}");
        }
    }
}
