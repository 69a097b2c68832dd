//! What a cluster's configurations are rewritten by.

use std::net::IpAddr;

use serde::Deserialize;

use super::elements::{Action, ElementRules, ROWS, URL_ROWS, UrlRules};

/// The most call managers that a phone knows (provisioning 2.5).
pub const MEMBERS_MAX: usize = 5;
/// The longest `processNodeName` (provisioning 2.4).
pub const NODE_NAME_MAX: usize = 50;
/// A phone makes its secure port for SCCP from `ethernetPhonePort` and this (provisioning 2.5).
pub const SCCP_SECURE_OFFSET: u16 = 443;

/// `[cluster.rewrite]`: each element that is rewritten, with a switch.
///
/// `deviceSecurityMode` and `transportLayerProtocol` have none: they are always the phone's security class and TLS, since
/// nothing else is listened for outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteRules {
    /// Where each call manager is reached from outside. A call manager that is not here leaves the configuration.
    #[serde(rename = "call_manager")]
    pub call_managers: Vec<CallManager>,
    /// `srstInfo`: the branch's own call server, which is not reached from outside.
    pub srst: Srst,
    /// `TVS`: who vouches for certificates.
    pub tvs: Server,
    /// `capfList`: who enrols certificates.
    pub capf: Server,
    /// `ntps`: time servers.
    pub ntp: TimeServer,
    /// `versionStamp`: whether it follows what was changed.
    pub version_stamp: VersionStamp,
    /// The other elements.
    pub elements: ElementRules,
    /// Addresses of services.
    pub urls: UrlRules,
}

/// A call manager inside, and where phones outside reach it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallManager {
    /// Its `processNodeName`: name or address.
    pub inside: String,
    /// What takes its place: a name or address of ours that the trust list has too.
    pub outside: String,
    /// Our listener for SCCP over TLS; `ethernetPhonePort` becomes this less 443.
    #[serde(default = "sccp_tls_port")]
    pub sccp_tls_port: u16,
    /// Our listener for SIP over TLS: `securedSipPort`.
    #[serde(default = "sip_tls_port")]
    pub sip_tls_port: u16,
}

/// `"remove"`, `"keep"` or `{ at = { address = "...", port = N } }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// The phone is told of none.
    #[default]
    Remove,
    /// It stays as it is.
    Keep,
    /// The one at this address; others go.
    At(ServerAddress),
}

/// Where a server is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerAddress {
    /// Name or address.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

/// `"remove"`, `"keep"` or `{ at = "..." }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeServer {
    /// The phone is told of none; it takes the time from the call manager.
    #[default]
    Remove,
    /// They stay as they are.
    Keep,
    /// The one of this name or address; others go.
    At(String),
}

/// `"clear"`, `"keep"` or `{ at = [{ address = "...", port = N, sip_port = N }] }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Srst {
    /// Disabled and without addresses.
    #[default]
    Clear,
    /// It stays as it is: a phone outside may try an address that is not reached, in clear.
    Keep,
    /// One to three servers that are reached from outside.
    At(Vec<SrstServer>),
}

/// A branch's call server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SrstServer {
    /// Address.
    pub address: IpAddr,
    /// Port for SCCP.
    #[serde(default = "srst_port")]
    pub port: u16,
    /// Port for SIP.
    #[serde(default = "srst_sip_port")]
    pub sip_port: u16,
}

/// Whether `versionStamp` follows what was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionStamp {
    /// The call manager's stamp and a hash of the output, so that phones apply what changed (\[I\]).
    #[default]
    Derive,
    /// It stays as it is.
    Keep,
}

/// One mistake in rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// The key, below `rewrite`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl RewriteRules {
    /// Every mistake, in the order of the keys.
    pub fn problems(&self) -> Vec<RuleProblem> {
        let mut found = Problems(Vec::new());
        for (index, manager) in self.call_managers.iter().enumerate() {
            self.check_call_manager(index, manager, &mut found);
        }
        found.server("tvs", &self.tvs);
        found.server("capf", &self.capf);
        if let TimeServer::At(address) = &self.ntp {
            found.add("ntp.at", host_problem(address));
        }
        if let Srst::At(servers) = &self.srst {
            let fits = (1..=3).contains(&servers.len());
            found.add("srst.at", (!fits).then(|| format!("{} servers; 1 to 3 are allowed", servers.len())));
        }
        for (row, action) in ROWS.iter().zip(self.elements.actions()) {
            if let Action::Set(value) = action {
                found.add(format!("elements.{}", row.key), row.values.problem(value));
            }
        }
        for (row, action) in URL_ROWS.iter().zip(self.urls.actions()) {
            found.add(format!("urls.{}", row.key), action.problem());
        }
        found.0
    }

    fn check_call_manager(&self, index: usize, manager: &CallManager, found: &mut Problems) {
        let mut add =
            |name: &str, message: Option<String>| found.add(format!("call_manager[{index}].{name}"), message);
        let when = |wrong: bool, message: String| wrong.then_some(message);
        add("outside", host_problem(&manager.outside));
        let low = manager.sccp_tls_port <= SCCP_SECURE_OFFSET;
        add(
            "sccp_tls_port",
            when(low, format!("{} is not above {SCCP_SECURE_OFFSET}", manager.sccp_tls_port)),
        );
        add("sip_tls_port", when(manager.sip_tls_port == 0, "0 is no port".into()));
        let inside = &manager.inside;
        add(
            "inside",
            when(inside.is_empty(), "empty; the call manager's processNodeName is expected".into()),
        );
        let others = || self.call_managers.iter().enumerate().filter(|(other, _)| *other != index);
        let repeated = others().any(|(_, other)| same_host(inside, &other.inside));
        add("inside", when(repeated, format!("{inside:?} is given more than once")));
        // A file that was rewritten once must come through again as it is.
        let outside = others().any(|(_, other)| same_host(inside, &other.outside));
        add("inside", when(outside, format!("{inside:?} is the outside name of another call manager")));
    }

    /// The call manager of this inside name; or of this outside name, in a file that was rewritten before.
    pub(super) fn call_manager(&self, node_name: &str) -> Option<&CallManager> {
        let inside = self.call_managers.iter().find(|manager| same_host(&manager.inside, node_name));
        inside.or_else(|| self.call_managers.iter().find(|manager| same_host(&manager.outside, node_name)))
    }
}

struct Problems(Vec<RuleProblem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, message: Option<String>) {
        self.0.extend(message.map(|message| RuleProblem { key: key.into(), message }));
    }

    fn server(&mut self, name: &str, server: &Server) {
        if let Server::At(at) = server {
            self.add(format!("{name}.at.address"), host_problem(&at.address));
            self.add(format!("{name}.at.port"), (at.port == 0).then(|| "0 is no port".into()));
        }
    }
}

/// Names compare without regard to case, addresses by value.
fn same_host(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// What is wrong with a host that phones are told, if anything.
fn host_problem(host: &str) -> Option<String> {
    if host.is_empty() || host.len() > NODE_NAME_MAX {
        return Some(format!("{host:?} is not of 1 to {NODE_NAME_MAX} characters"));
    }
    let name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let good = name || host.parse::<IpAddr>().is_ok();
    (!good).then(|| format!("{host:?} is neither a host name nor an address"))
}

fn sccp_tls_port() -> u16 {
    2443
}

fn sip_tls_port() -> u16 {
    5061
}

fn srst_port() -> u16 {
    2000
}

fn srst_sip_port() -> u16 {
    5060
}
