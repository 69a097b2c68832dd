//! What the appliance's keys are for, and what their certificates say.

use std::net::Ipv4Addr;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use crate::{Function, Identity};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Security administrator.
    SastA,
    /// The other one. Its key is for escrow.
    SastB,
    /// Call manager and configuration server.
    CcmTftp,
    /// Configuration server by HTTPS, with an EC key.
    Https,
    /// Enrolment: issues certificates to phones.
    Capf,
    /// Trust verification service.
    Tvs,
    /// Call manager, by TLS for old phones: a key of its own, which that TLS may betray without harm to the others. There is
    /// none until it is rotated or imported.
    LegacyTls,
}

impl Role {
    /// All of them, in the order of the records of a list.
    pub const ALL: [Self; 7] =
        [Self::SastA, Self::SastB, Self::CcmTftp, Self::Https, Self::Capf, Self::Tvs, Self::LegacyTls];

    /// Its name in commands and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SastA => "sast-a",
            Self::SastB => "sast-b",
            Self::CcmTftp => "ccm-tftp",
            Self::Https => "https",
            Self::Capf => "capf",
            Self::Tvs => "tvs",
            Self::LegacyTls => "legacy-tls",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What its record says.
    pub const fn function(self) -> Function {
        match self {
            Self::SastA | Self::SastB => Function::Sast,
            Self::CcmTftp => Function::CcmTftp,
            Self::Https => Function::Tftp,
            Self::Capf => Function::Capf,
            Self::Tvs => Function::Tvs,
            Self::LegacyTls => Function::Ccm,
        }
    }

    /// Whether it signs lists.
    pub const fn is_sast(self) -> bool {
        matches!(self, Self::SastA | Self::SastB)
    }

    /// Whether an authority can be without it.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::LegacyTls)
    }

    /// The other security administrator.
    pub(super) const fn other_sast(self) -> Self {
        if matches!(self, Self::SastA) { Self::SastB } else { Self::SastA }
    }
}

/// What the certificates say, and how phones reach us.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Organisation, in every certificate.
    pub organization: String,
    /// Host name.
    pub dns_name: Option<String>,
    /// Address.
    pub address: Option<Ipv4Addr>,
}

/// A certificate of ours, and its key if that is here.
#[derive(Clone)]
pub struct Holding {
    /// What it is for.
    pub role: Role,
    /// The certificate.
    pub certificate: X509,
    /// The key; `None` in escrow.
    pub key: Option<PKey<Private>>,
    /// Whether the key was exported, and so can be had again when this machine is lost.
    pub is_exported: bool,
}

impl Holding {
    /// Key and certificate, if the key is here.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity { certificate: self.certificate.clone(), key: self.key.clone()? })
    }
}
