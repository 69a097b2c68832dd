//! An authority: roots, and what is accepted below them.

use std::sync::Arc;

use regex::Regex;
use serde::Deserialize;

use crate::certificate::Certificate;

/// The longest device name in bytes.
const DEVICE_NAME_MAX: usize = 64;

/// What a phone's certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Put into the phone by its manufacturer.
    Mic,
    /// Issued to the phone by the site.
    Lsc,
}

/// What is done about expired certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expired {
    /// They are refused.
    #[default]
    Refuse,
    /// Those that are pinned for their device are accepted. A MIC is good for ten years and cannot be renewed, so many
    /// have expired (tls-capf-tvs 2.8).
    AcceptPinned,
}

/// Where certificates are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listener {
    /// SIP over TLS.
    Sip,
    /// SCCP over TLS.
    Sccp,
    /// Provisioning by HTTPS.
    Https,
    /// Enrolment of certificates.
    Capf,
}

/// An authority that was read.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub name: Arc<str>,
    pub roots: Vec<Certificate>,
    pub intermediates: Vec<Certificate>,
    pub kind: Option<Kind>,
    pub names: Vec<Regex>,
    pub legacy: bool,
    pub expired: Expired,
    /// Empty: all.
    pub listeners: Vec<Listener>,
    /// Empty: all.
    pub clusters: Vec<String>,
}

impl Listener {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sip => "SIP",
            Self::Sccp => "SCCP",
            Self::Https => "HTTPS",
            Self::Capf => "CAPF",
        }
    }
}

impl Kind {
    /// What common names look like, unless configured otherwise: that of an LSC is the device's name **[V]**; that of a
    /// MIC has the model before it **[M]** (tls-capf-tvs 2.8).
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Mic => "CP-[0-9A-Za-z+-]+-(SEP[0-9A-F]{12})",
            Self::Lsc => "(SEP[0-9A-F]{12})",
        }
    }
}

impl Authority {
    pub fn counts_at(&self, listener: Listener) -> bool {
        self.listeners.is_empty() || self.listeners.contains(&listener)
    }

    pub fn counts_for(&self, cluster: Option<&str>) -> bool {
        self.clusters.is_empty() || self.clusters.iter().any(|of| Some(of.as_str()) == cluster)
    }

    /// The device that a common name stands for.
    pub fn device<'n>(&self, common_name: &'n str) -> Option<(&'n str, Kind)> {
        let device =
            self.names.iter().find_map(|pattern| Some(pattern.captures(common_name)?.get(1)?.as_str()))?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=DEVICE_NAME_MAX).contains(&device.len()) || !device.bytes().all(is_plain) {
            return None;
        }
        // Manufacturers write more than the device's name.
        let told = if device == common_name { Kind::Lsc } else { Kind::Mic };
        Some((device, self.kind.unwrap_or(told)))
    }
}
