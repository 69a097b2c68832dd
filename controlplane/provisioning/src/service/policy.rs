//! What operators decide about what is served.

use regex::Regex;
use serde::Deserialize;

use crate::Device;
use crate::cache::Origin;
use crate::xml::RewriteRules;

/// `[provisioning.files]`: what is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilePolicy {
    /// Unsigned files are given too. Off: our trust list has a TFTP role, so a phone that holds it asks for signed ones.
    pub unsigned_names: bool,
    /// `CTLFile.tlv` and `ITLFile.tlv` are given: to phones that never ask under their own name.
    pub common_trust_lists: bool,
    /// `ext_ITLSEP<MAC>.tlv` is given.
    pub extended_trust_lists: bool,
    /// Who gets files of no device.
    pub other_files: OtherFiles,
}

/// Who gets files of no device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherFiles {
    /// Addresses at which a phone that is allowed was served lately.
    #[default]
    KnownSources,
    /// Everybody.
    Anyone,
}

/// Whether configurations are encrypted to the device's certificate where they are not protected by HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// They are only signed: whoever knows a device name and its address may read its configuration.
    #[default]
    Off,
    /// As soon as the device has shown its certificate.
    WhenKnown,
    /// Always: a device that has shown none gets no configuration, but by HTTPS with its certificate.
    Required,
}

/// What is served to the phones of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterFiles {
    /// Its name.
    pub name: String,
    /// Which devices belong to it.
    pub devices: Regex,
    /// By what configurations are rewritten.
    pub rules: RewriteRules,
    /// Whether they are encrypted.
    pub encryption: Encryption,
}

impl ClusterFiles {
    /// Where the call manager's configuration of a device is.
    pub(super) fn configuration_of(&self, device: Device) -> Origin {
        Origin { upstream: self.name.clone(), name: format!("{device}.cnf.xml") }
    }
}
