//! The services of AWS that the operator calls.

/// A service, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Amazon S3.
    S3,
    /// IAM.
    Iam,
    /// STS.
    Sts,
    /// KMS.
    Kms,
    /// EKS.
    Eks,
    /// EC2.
    Ec2,
    /// Resource Groups Tagging API.
    Tagging,
}

impl Service {
    /// As in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Kms => "kms",
            Self::Ec2 => "ec2",
            Self::Eks => "eks",
            Self::Tagging => "tagging",
        }
    }
}
