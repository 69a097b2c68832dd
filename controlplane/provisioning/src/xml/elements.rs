//! The table of elements that are rewritten one by one (provisioning 2.5), with the default for each.

use std::ops::RangeInclusive;

use serde::Deserialize;

/// What is done with an element: `"keep"`, `"blank"`, `"remove"` or `{ set = "..." }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// It stays, empty.
    Blank,
    /// It goes, with all that is in it.
    Remove,
    /// It gets this value; where it is missing and the table knows its place, it is added.
    Set(String),
}

/// What is done with the address of a service: `"keep"`, `"blank"` or `{ reverse_proxy = "https://HOST[:PORT]" }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UrlAction {
    /// It stays as it is, and tells outside what it is called inside.
    Keep,
    /// It goes, unless it is the phone's own (`Application:...`).
    Blank,
    /// Scheme, host and port become these; path and query stay.
    ReverseProxy(String),
}

/// Which values `set` may have.
pub(super) enum Values {
    Of(&'static [&'static str]),
    Number(RangeInclusive<u32>),
    Text,
}

/// A row of the table.
pub(super) struct Row {
    /// The name of the setting.
    pub key: &'static str,
    /// The element's name behind those of its parents, as many as needed to know it.
    pub path: &'static [&'static str],
    /// Where it is added when missing: its parents below the root. `None`: it is not.
    pub home: Option<&'static [&'static str]>,
    pub values: Values,
}

/// A row of the table of addresses.
pub(super) struct UrlRow {
    pub key: &'static str,
    pub paths: &'static [&'static [&'static str]],
}

macro_rules! elements {
    ($($(#[doc = $doc:literal])+ $key:ident: $path:expr, home $home:expr, $values:expr => $default:expr;)+) => {
        /// A switch per element. `[cluster.rewrite.elements]`.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct ElementRules { $($(#[doc = $doc])+ pub $key: Action,)+ }

        impl Default for ElementRules {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        pub(super) const ROWS: &[Row] =
            &[$(Row { key: stringify!($key), path: &$path, home: $home, values: $values },)+];

        impl ElementRules {
            /// The actions, in the order of `ROWS`.
            pub(super) fn actions(&self) -> impl Iterator<Item = &Action> {
                [$(&self.$key,)+].into_iter()
            }
        }
    };
}

macro_rules! urls {
    ($($(#[doc = $doc:literal])+ $key:ident: $paths:expr;)+) => {
        /// A switch per service address; each is blanked unless told otherwise. `[cluster.rewrite.urls]`.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct UrlRules { $($(#[doc = $doc])+ pub $key: UrlAction,)+ }

        impl Default for UrlRules {
            fn default() -> Self {
                Self { $($key: UrlAction::Blank,)+ }
            }
        }

        pub(super) const URL_ROWS: &[UrlRow] = &[$(UrlRow { key: stringify!($key), paths: &$paths },)+];

        impl UrlRules {
            /// The actions, in the order of `URL_ROWS`.
            pub(super) fn actions(&self) -> impl Iterator<Item = &UrlAction> {
                [$(&self.$key,)+].into_iter()
            }
        }
    };
}

const VENDOR: Option<&[&str]> = Some(&["vendorConfig"]);
const DEVICE: Option<&[&str]> = Some(&[]);
/// \[M\]: where call managers put these; only reached when the operator sets a value and the file has none.
const SIP_STACK: Option<&[&str]> = Some(&["sipProfile", "sipStack"]);
const SIP_PROFILE: Option<&[&str]> = Some(&["sipProfile"]);
const DEVICE_POOL: Option<&[&str]> = Some(&["devicePool"]);
const SWITCH: Values = Values::Of(&["0", "1"]);
const BOOLEAN: Values = Values::Of(&["true", "false"]);
const PORT: Values = Values::Number(1..=65_535);
const SECONDS: Values = Values::Number(1..=86_400);

fn set(value: &str) -> Action {
    Action::Set(value.to_owned())
}

elements! {
    /// `vendorConfig/webAccess`: 0 enabled, 1 disabled, 2 read only. Disabled.
    web_access: ["webAccess"], home VENDOR, Values::Of(&["0", "1", "2"]) => set("1");
    /// `vendorConfig/settingsAccess`: 0 off, 1 on, 2 restricted. Left.
    settings_access: ["settingsAccess"], home VENDOR, Values::Of(&["0", "1", "2"]) => Action::Keep;
    /// `vendorConfig/pcPort`: 0 enabled, 1 disabled. Disabled.
    pc_port: ["pcPort"], home VENDOR, SWITCH => set("1");
    /// `vendorConfig/voiceVlanAccess`: 0 enabled, 1 disabled. Disabled.
    voice_vlan_access: ["voiceVlanAccess"], home VENDOR, SWITCH => set("1");
    /// `vendorConfig/spanToPCPort`: 0 enabled, 1 disabled. Disabled.
    span_to_pc_port: ["spanToPCPort"], home VENDOR, SWITCH => set("1");
    /// `vendorConfig/sshAccess`: 0 enabled, 1 disabled. Disabled.
    ssh_access: ["sshAccess"], home VENDOR, SWITCH => set("1");
    /// `vendorConfig/garp`: sources disagree which value is on, so it is left until a model was tested.
    garp: ["garp"], home VENDOR, SWITCH => Action::Keep;
    /// `vendorConfig/rtcp`: left, since the relay carries SRTCP.
    rtcp: ["vendorConfig", "rtcp"], home VENDOR, SWITCH => Action::Keep;
    /// `vendorConfig/peerFirmwareSharing`: left.
    peer_firmware_sharing: ["peerFirmwareSharing"], home VENDOR, SWITCH => Action::Keep;
    /// `vendorConfig/disableTLSCiphers`: left; a list of suites that capable models shall not use.
    disable_tls_ciphers: ["disableTLSCiphers"], home VENDOR, Values::Text => Action::Keep;
    /// `loadServer`: blank, since it is an inside address.
    load_server: ["loadServer"], home VENDOR, Values::Text => Action::Blank;
    /// `loadInformation`: the firmware's name, left.
    load_information: ["device", "loadInformation"], home DEVICE, Values::Text => Action::Keep;
    /// `syslogAddr`: blank, since it is an inside address.
    syslog_address: ["syslogAddr"], home VENDOR, Values::Text => Action::Blank;
    /// `ldap`: removed, since it is an inside address.
    ldap: ["ldap"], home None, Values::Text => Action::Remove;
    /// `vpnGroup`: removed; a phone must not try VPN as well.
    vpn_group: ["vpnGroup"], home None, Values::Text => Action::Remove;
    /// `proxyServerURL`: blank; `HOST:PORT` of a proxy for phone services that is reached from outside.
    proxy_server_url: ["proxyServerURL"], home DEVICE, Values::Text => Action::Blank;
    /// `capfAuthMode`: 1 password, 2 none, 3 LSC then MIC, 4 MIC. Left.
    capf_auth_mode: ["capfAuthMode"], home DEVICE, Values::Of(&["1", "2", "3", "4"]) => Action::Keep;
    /// `certHash`: blank, since it goes with an encrypted configuration (its stub gets its own).
    cert_hash: ["device", "certHash"], home None, Values::Text => Action::Blank;
    /// `encrConfig`: false, since it goes with an encrypted configuration (its stub says true).
    encr_config: ["encrConfig"], home None, BOOLEAN => set("false");
    /// `natEnabled`: false, since translating phones confuse a proxy. Not added.
    nat_enabled: ["natEnabled"], home None, Values::Of(&["true", "false", "0", "1"]) => set("false");
    /// `natReceivedProcessing`: false. Not added.
    nat_received_processing: ["natReceivedProcessing"], home None, Values::Of(&["true", "false", "0", "1"]) => set("false");
    /// `natAddress`: blank.
    nat_address: ["natAddress"], home None, Values::Text => Action::Blank;
    /// `ports/sipPort`: left; phones use the secured port.
    sip_port: ["ports", "sipPort"], home None, PORT => Action::Keep;
    /// `ports/mgcpPorts`: left.
    mgcp_ports: ["ports", "mgcpPorts"], home None, Values::Text => Action::Keep;
    /// `startMediaPort`: left.
    start_media_port: ["startMediaPort"], home SIP_PROFILE, Values::Number(1024..=65_535) => Action::Keep;
    /// `stopMediaPort`: left.
    stop_media_port: ["stopMediaPort"], home SIP_PROFILE, Values::Number(1024..=65_535) => Action::Keep;
    /// `timerRegisterExpires`, seconds: left.
    timer_register_expires: ["timerRegisterExpires"], home SIP_STACK, SECONDS => Action::Keep;
    /// `timerRegisterDelta`, seconds: left.
    timer_register_delta: ["timerRegisterDelta"], home SIP_STACK, SECONDS => Action::Keep;
    /// `timerKeepAliveExpires`, seconds: left.
    timer_keep_alive_expires: ["timerKeepAliveExpires"], home SIP_STACK, SECONDS => Action::Keep;
    /// `connectionMonitorDuration`, seconds: left.
    connection_monitor_duration: ["connectionMonitorDuration"], home DEVICE_POOL, SECONDS => Action::Keep;
    /// `TLSResumptionTimer`, seconds: left.
    tls_resumption_timer: ["TLSResumptionTimer"], home DEVICE, SECONDS => Action::Keep;
}

urls! {
    /// `authenticationURL` and `secureAuthenticationURL`.
    authentication: [&["authenticationURL"], &["secureAuthenticationURL"]];
    /// `directoryURL` and `secureDirectoryURL`.
    directory: [&["directoryURL"], &["secureDirectoryURL"]];
    /// `servicesURL` and `secureServicesURL`.
    services: [&["servicesURL"], &["secureServicesURL"]];
    /// `messagesURL` and `secureMessagesURL`.
    messages: [&["messagesURL"], &["secureMessagesURL"]];
    /// `informationURL` and `secureInformationURL`.
    information: [&["informationURL"], &["secureInformationURL"]];
    /// `idleURL` and `secureIdleURL`.
    idle: [&["idleURL"], &["secureIdleURL"]];
    /// `phoneServices/.../url`.
    phone_services: [&["phoneService", "url"]];
    /// `problemReportUploadURL`.
    problem_report: [&["problemReportUploadURL"]];
}

impl Values {
    /// What is wrong with a value of `set`, if anything.
    pub fn problem(&self, value: &str) -> Option<String> {
        match self {
            Self::Of(allowed) if allowed.contains(&value) => None,
            Self::Of(allowed) => Some(format!("{value:?} is not one of {}", allowed.join(", "))),
            Self::Number(range) if value.parse().is_ok_and(|number: u32| range.contains(&number)) => None,
            Self::Number(range) => {
                Some(format!("{value:?} is no number from {} to {}", range.start(), range.end()))
            }
            Self::Text if value.len() <= 255 && !value.contains(char::is_control) => None,
            Self::Text => Some("longer than 255 bytes, or with a control character".to_owned()),
        }
    }
}

impl UrlAction {
    /// What becomes of an address.
    pub(super) fn apply(&self, url: &str) -> String {
        // [M]: the phone's own menus; any other scheme than HTTP could name something inside.
        let own = url.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("Application:"));
        match self {
            Self::Keep => url.to_owned(),
            _ if own => url.to_owned(),
            Self::Blank => String::new(),
            Self::ReverseProxy(base) => match after_authority(url) {
                Some(rest) => format!("{base}{rest}"),
                None => String::new(),
            },
        }
    }

    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let Self::ReverseProxy(base) = self else { return None };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let authority = base.strip_prefix("https://").unwrap_or_default();
        let good = !authority.is_empty() && authority.len() <= 128 && authority.chars().all(plain);
        (!good).then(|| format!("{base:?} is not of the form https://HOST[:PORT], without a path"))
    }
}

/// What follows scheme, host and port of an HTTP address.
fn after_authority(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    http.then(|| rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_stands_in_the_documentation_with_its_default() {
        let documentation = include_str!("../../../../docs/provisioning.md");
        let rules = ElementRules::default();
        for (row, action) in ROWS.iter().zip(rules.actions()) {
            let default = match action {
                Action::Keep => "keep".to_owned(),
                Action::Blank => "blank".to_owned(),
                Action::Remove => "remove".to_owned(),
                Action::Set(value) => format!("set {value}"),
            };
            let line = documentation.lines().find(|line| line.starts_with(&format!("| `{}` |", row.key)));
            let line = line.unwrap_or_else(|| panic!("{} is missing", row.key));
            assert!(
                line.contains(row.path.last().unwrap()) && line.contains(&format!("| {default} |")),
                "{line}"
            );
        }
        for row in URL_ROWS {
            let line = documentation.lines().find(|line| line.starts_with(&format!("| `{}` |", row.key)));
            let line = line.unwrap_or_else(|| panic!("{} is missing", row.key));
            assert!(row.paths.iter().all(|path| line.contains(path.last().unwrap())), "{line}");
        }
    }
}
