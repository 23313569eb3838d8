//! How far egress is restricted: the words of the claim, and what a policy asks for.

use crate::api::Assurance;

/// How far egress is restricted; the words of condition `EgressRestricted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Only the allowed ports; what is spoken on them is not known.
    PortRestricted,
    /// Only the allowed destinations.
    DestinationRestricted,
    /// Only TLS.
    TlsRequired,
}

impl Rung {
    /// As a condition reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::PortRestricted => "PortRestricted",
            Self::DestinationRestricted => "DestinationRestricted",
            Self::TlsRequired => "TLSRequired",
        }
    }

    /// The rung that an assurance asks for.
    pub const fn asked(assurance: Assurance) -> Self {
        match assurance {
            Assurance::Port => Self::PortRestricted,
            Assurance::Destination => Self::DestinationRestricted,
            Assurance::Tls => Self::TlsRequired,
        }
    }
}
