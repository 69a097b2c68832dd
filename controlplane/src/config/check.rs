//! Everything that can be wrong with a configuration that parses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use pinhole_devices::Verifier;
use pinhole_enrolment::capf::KeyRequest;
use pinhole_flow::Suite;
use pinhole_flow::settings::PortSettings;
use pinhole_provisioning::service::Encryption;
use pinhole_provisioning::xml::Server;
use pinhole_proxy::SkinnyKeys;
use regex::Regex;

use super::{
    AuthenticatedDevices, Cluster, Config, ConnectionLimits, Http, Problem, Provisioning, REPLY_PORTS,
    legacy_check,
};
use crate::tls;

/// The most signalling shards: the contract has room for as many rings.
pub(super) const SHARDS_MAX: u32 = 16;

/// Every mistake of `config`, in the order of the file.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Found::default();
    if let Err(error) = config.dataplane.validate() {
        found.add("dataplane", error.to_string());
    }
    controlplane(config, &mut found);
    outside(config, &mut found);
    identity(config, &mut found);
    limits(config, &mut found);
    timers(config, &mut found);
    clusters(config, &mut found);
    provisioning(config, &mut found);
    legacy_check::legacy_tls(config, &mut found);
    found.0
}

#[derive(Default)]
pub(super) struct Found(Vec<Problem>);

impl Found {
    pub(super) fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { key: key.into(), message: message.into() });
    }

    pub(super) fn range(&mut self, key: &str, value: u32, least: u32, most: u32) {
        if !(least..=most).contains(&value) {
            self.add(key, format!("{value} is out of range, {least} to {most} is allowed"));
        }
    }

    fn address(&mut self, section: &str, listen: SocketAddr, usual: u16) {
        if listen.port() == 0 || listen.ip().is_unspecified() {
            self.add(format!("{section}.listen"), format!("needs our address and a port, usually {usual}"));
        }
    }

    fn limits(&mut self, section: &str, limits: &ConnectionLimits) {
        let key = |name: &str| format!("{section}.{name}");
        self.range(&key("connections"), limits.connections, 1, 10_000);
        self.range(&key("connections_per_source"), limits.connections_per_source, 1, 10_000);
        self.range(&key("requests"), limits.requests, 1, 10_000);
        self.range(&key("requests_per_source"), limits.requests_per_source, 1, 10_000);
    }

    pub(super) fn regex(&mut self, key: &str, pattern: &str) {
        if let Err(error) = Regex::new(pattern) {
            let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            self.add(key, format!("not a regular expression: {}", last.trim_start_matches("error: ")));
        }
    }
}

fn controlplane(config: &Config, found: &mut Found) {
    found.range("controlplane.shards", config.controlplane.shards, 1, SHARDS_MAX);
    if !config.controlplane.admin_socket.is_absolute() {
        found.add("controlplane.admin_socket", "must be an absolute path");
    }
    if config.controlplane.admin_socket == config.dataplane.socket {
        found.add("controlplane.admin_socket", "is the data plane's socket; choose another path");
    }
    let parts = config.controlplane.shards.saturating_mul(config.dataplane.workers());
    if (1..parts).contains(&config.dataplane.max_sessions) {
        found.add("dataplane.max_sessions", "less than one session per shard and worker");
    }
}

fn outside(config: &Config, found: &mut Found) {
    let outside = &config.outside;
    if outside.listen.port() == 0 {
        found.add("outside.listen", "needs a port, for example 5061");
    }
    if outside.listen.ip().is_unspecified() {
        found.add("outside.listen", "needs our address: it stands in our Via and Contact");
    }
    port_exists(config, "outside.port", &outside.port, found);
    match tls::Files::of(outside).read() {
        Ok(read) => {
            if let Err(error) = read.certified_key(&rustls::crypto::aws_lc_rs::default_provider()) {
                found.add(error.key(), error.to_string());
            }
        }
        Err(errors) => errors.into_iter().for_each(|error| found.add(error.key(), error.to_string())),
    }
    if outside.suites.is_empty() {
        found.add("outside.suites", "names no suite; no phone could have media");
    }
    let mut seen = BTreeSet::new();
    for (n, name) in outside.suites.iter().enumerate() {
        let key = format!("outside.suites[{n}]");
        match Suite::from_name(name) {
            None => {
                let known = Suite::ALL.map(Suite::name).join(", ");
                found.add(key, format!("{name} is not a suite; known are {known}"));
            }
            Some(suite) if !seen.insert(suite) => found.add(key, format!("{name} is named twice")),
            Some(_) => {}
        }
    }
    if let Some(first) = &outside.first_offer
        && Suite::from_name(first).is_none_or(|suite| !seen.contains(&suite))
    {
        found.add("outside.first_offer", format!("{first} is not among outside.suites"));
    }
}

fn identity(config: &Config, found: &mut Found) {
    let identity = &config.identity;
    if let Err(mistakes) = Verifier::read(&config.trust()) {
        for mistake in mistakes {
            found.add(format!("identity.{}", mistake.key), mistake.message);
        }
    }
    if let Some(pattern) = &identity.aor_pattern {
        let rest = pattern.replace("{device}", "");
        if !pattern.contains("{device}") {
            found.add(
                "identity.aor_pattern",
                "must contain {device}, or all phones would share an address of record",
            );
        }
        if rest.contains(['{', '}', '@', ':', ' ']) {
            found.add("identity.aor_pattern", "is the user part only, and may hold no other {...}");
        }
    }
    for (device, users) in &identity.devices {
        let key = format!("identity.devices.{device}");
        if users.is_empty() {
            found.add(&key, "names no address of record");
        }
        for user in users {
            if user.is_empty() || user.starts_with('@') || user.contains([':', ' ', '<', '>']) {
                found.add(
                    &key,
                    format!("\"{user}\" is no address of record; write 1001 or 1001@host, without sip:"),
                );
            }
        }
    }
}

fn limits(config: &Config, found: &mut Found) {
    let limits = &config.limits;
    found.range("limits.connections", limits.connections, 1, 1_000_000);
    found.range("limits.handshakes", limits.handshakes, 1, 100_000);
    found.range("limits.handshake_timeout_s", limits.handshake_timeout_s, 1, 120);
    found.range("limits.calls", limits.calls, 1, 1_000_000);
    found.range("limits.calls_per_phone", limits.calls_per_phone, 1, 1000);
    found.range("limits.message_bytes", limits.message_bytes, 2048, 1 << 20);
    found.range("limits.message_timeout_s", limits.message_timeout_s, 1, 600);
    found.range("limits.write_buffer_bytes", limits.write_buffer_bytes, 16_384, 16 << 20);
    if limits.write_buffer_bytes < limits.message_bytes {
        found.add("limits.write_buffer_bytes", "less than limits.message_bytes: a message might never fit");
    }
}

fn timers(config: &Config, found: &mut Found) {
    let timers = &config.timers;
    found.range("timers.phone_lost_grace_s", timers.phone_lost_grace_s, 1, 3600);
    found.range("timers.media_timeout_s", timers.media_timeout_s, 5, 86_400);
    found.range("timers.hold_timeout_s", timers.hold_timeout_s, 5, 7 * 86_400);
    found.range("timers.port_quarantine_s", timers.port_quarantine_s, 1, 600);
    found.range("timers.adopt_grace_s", timers.adopt_grace_s, 1, 3600);
    found.range("timers.ring_s", timers.ring_s, 10, 3600);
}

fn provisioning(config: &Config, found: &mut Found) {
    let Some(settings) = &config.provisioning else {
        for (n, cluster) in config.clusters.iter().enumerate() {
            for (key, is_set) in [
                ("tftp_server", cluster.tftp_server.is_some()),
                ("http_server", cluster.http_server.is_some()),
                ("encryption", cluster.encryption != Encryption::Off),
                ("authenticated_devices", cluster.authenticated_devices != AuthenticatedDevices::Refuse),
            ] {
                if is_set {
                    found.add(format!("cluster[{n}].{key}"), "is of no use without [provisioning]");
                }
            }
        }
        return;
    };
    if !settings.directory.is_absolute() {
        found.add("provisioning.directory", "must be an absolute path");
    }
    let tftp = &settings.tftp;
    if tftp.listen.port() == 0 || tftp.listen.ip().is_unspecified() {
        found.add("provisioning.tftp.listen", "needs our address and a port, usually 69");
    }
    if tftp.reply_port.checked_add(REPLY_PORTS).is_none() || tftp.reply_port < 1024 {
        let message = format!("{} is out of range: {REPLY_PORTS} ports from 1024 on", tftp.reply_port);
        found.add("provisioning.tftp.reply_port", message);
    }
    let media =
        config.dataplane.port.iter().filter(|port| IpAddr::V4(port.media_address) == tftp.listen.ip());
    for port in media {
        if let Some(taken) = tftp.reply_addresses().find(|address| port.media_ports.contains(address.port()))
        {
            let message = format!(
                "{taken} lies within the media ports of data-plane port {}, which never reach a socket",
                port.name
            );
            found.add("provisioning.tftp.reply_port", message);
        }
    }
    found.range("provisioning.tftp.block_max", tftp.block_max.into(), 512, 65_464);
    found.range("provisioning.tftp.requests_per_source", tftp.requests_per_source, 1, 100_000);
    found.range("provisioning.tftp.requests", tftp.requests, 1, 1_000_000);
    found.range("provisioning.tftp.transfers_per_source", tftp.transfers_per_source, 1, 10_000);
    found.range("provisioning.tftp.transfers", tftp.transfers, 1, 10_000);
    if let Some(http) = &settings.http {
        listener(config, "provisioning.http", http, found);
    }
    if let Some(https) = &settings.https {
        listener(config, "provisioning.https", https, found);
        if settings.http.as_ref().is_some_and(|http| http.listen == https.listen) {
            found.add("provisioning.https.listen", "is that of provisioning.http; choose another port");
        }
    }
    found.range("provisioning.cache_mb", settings.cache_mb, 1, 1 << 20);
    enrolment(config, settings, found);
    if config.clusters.iter().all(|cluster| cluster.file_server().is_none()) {
        found.add(
            "provisioning",
            "no [[cluster]] has a tftp_server or http_server: there is nothing to give to phones",
        );
    }
    for (n, cluster) in config.clusters.iter().enumerate() {
        if cluster.tftp_server.is_some() && cluster.http_server.is_some() {
            let message =
                "is one server too many beside tftp_server: name the one that files are fetched from";
            found.add(format!("cluster[{n}].http_server"), message);
        }
        if cluster.file_server().is_none() && cluster.authenticated_devices == AuthenticatedDevices::Allow {
            let message = "is of no use without tftp_server or http_server: only phones that fetch from us have a class";
            found.add(format!("cluster[{n}].authenticated_devices"), message);
        }
        if cluster.file_server().is_some() && cluster.rewrite.call_managers.is_empty() {
            let message =
                "is missing: no configuration could be given, since phones must be told where we are";
            found.add(format!("cluster[{n}].rewrite.call_manager"), message);
        }
    }
}

fn listener(config: &Config, section: &str, http: &Http, found: &mut Found) {
    let key = |name: &str| format!("{section}.{name}");
    if http.listen.port() == 0 || http.listen.ip().is_unspecified() {
        found.add(key("listen"), "needs our address and a port, usually 6970, of HTTPS 6971");
    }
    if http.listen == config.outside.listen {
        found.add(key("listen"), "is the phones' listener (outside.listen); choose another port or address");
    }
    found.range(&key("connections_per_source"), http.connections_per_source, 1, 10_000);
    found.range(&key("connections"), http.connections, 1, 10_000);
    found.range(&key("request_timeout_s"), http.request_timeout_s, 1, 600);
    found.range(&key("idle_timeout_s"), http.idle_timeout_s, 1, 3600);
    found.range(&key("stall_timeout_s"), http.stall_timeout_s, 1, 3600);
}

fn enrolment(config: &Config, settings: &Provisioning, found: &mut Found) {
    let is_told = |server: &dyn Fn(&Cluster) -> bool| config.clusters.iter().any(server);
    if let Some(capf) = &settings.capf {
        found.address("provisioning.capf", capf.listen, 3804);
        found.range("provisioning.capf.rsa_bits_min", capf.rsa_bits_min, 1024, 4096);
        found.range("provisioning.capf.days", capf.days, 1, 3650);
        found.range("provisioning.capf.timeout_s", capf.timeout_s, 10, 3600);
        found.limits("provisioning.capf.limits", &capf.limits);
        if capf.renew_before_days >= capf.days {
            let message = "not less than days: phones would get a new certificate each time";
            found.add("provisioning.capf.renew_before_days", message);
        }
        if let KeyRequest::Rsa(bits) = capf.key.request()
            && u32::from(bits) < capf.rsa_bits_min
        {
            let message = "shorter than rsa_bits_min: what phones make would get no certificate";
            found.add("provisioning.capf.key", message);
        }
        if !is_told(&|cluster| cluster.rewrite.capf != Server::Remove) {
            let message =
                "no phone is told of it: set rewrite.capf of a cluster, as in { at = { address = \"...\" } }";
            found.add("provisioning.capf", message);
        }
    }
    if let Some(tvs) = &settings.tvs {
        found.address("provisioning.tvs", tvs.listen, 2445);
        found.range("provisioning.tvs.timeout_s", tvs.timeout_s, 1, 3600);
        found.limits("provisioning.tvs.limits", &tvs.limits);
        if !is_told(&|cluster| cluster.rewrite.tvs != Server::Remove) {
            let message =
                "no phone is told of it: set rewrite.tvs of a cluster, as in { at = { address = \"...\" } }";
            found.add("provisioning.tvs", message);
        }
    }
}

fn clusters(config: &Config, found: &mut Found) {
    if config.clusters.is_empty() {
        found.add("cluster", "no [[cluster]]: there is no call manager to carry calls to");
    }
    let mut names = BTreeSet::new();
    let mut locals = BTreeSet::new();
    for (n, cluster) in config.clusters.iter().enumerate() {
        let key = |field: &str| format!("cluster[{n}].{field}");
        if cluster.name.is_empty() || !names.insert(&cluster.name) {
            found.add(key("name"), "must be given, and differ from every other cluster's");
        }
        if cluster.domain.is_empty() || cluster.domain.contains(['@', ' ', '<', '>']) {
            found.add(key("domain"), "must be a host name, without sip: and @");
        }
        found.regex(&key("devices"), &cluster.devices);
        port_exists(config, &key("port"), &cluster.port, found);
        cluster_addresses(config, cluster, &key, found);
        sccp(config, cluster, n, found);
        for shard in 0..config.controlplane.shards.min(SHARDS_MAX) {
            let local = cluster.local_of(shard);
            if !locals.insert(local) {
                found
                    .add(key("local"), format!("{local} (shard {shard}) is already used by another cluster"));
            }
        }
    }
}

fn cluster_addresses(config: &Config, cluster: &Cluster, key: &dyn Fn(&str) -> String, found: &mut Found) {
    let shards = u16::try_from(config.controlplane.shards.min(SHARDS_MAX)).unwrap_or(1);
    if cluster.call_manager.port() == 0 || cluster.call_manager.ip().is_unspecified() {
        found.add(key("call_manager"), "needs an address and a port, for example 10.20.0.10:5060");
    }
    if cluster.local.port() == 0 || cluster.local.ip().is_unspecified() {
        found.add(key("local"), "needs our address and a port: it stands in our Via and Contact");
    } else if cluster.local.port().checked_add(shards).is_none() {
        found.add(key("local"), format!("leaves no room for {shards} ports, one per shard"));
    }
    if cluster.call_manager.is_ipv4() != cluster.local.is_ipv4() {
        found.add(key("local"), "is not of the same address family as call_manager");
    }
    let inside = |at: SocketAddr| {
        at.ip() == cluster.local.ip()
            && (cluster.local.port()..cluster.local.port().saturating_add(shards)).contains(&at.port())
    };
    if inside(cluster.call_manager) {
        found.add(key("call_manager"), "is our own address; SIP would go in a circle");
    }
    if inside(config.outside.listen) {
        found.add(key("local"), "is the phones' listener (outside.listen); choose another port or address");
    }
    if let Some(port) = config.dataplane.port.iter().find(|port| swallows(port, cluster, shards)) {
        let message = format!(
            "lies within the media ports of data-plane port {}, which never reach a socket; choose a port outside {}",
            port.name, port.media_ports
        );
        found.add(key("local"), message);
    }
    for (n, source) in cluster.sources.iter().enumerate() {
        if source.is_unspecified() || source.is_multicast() {
            found
                .add(key(&format!("sources[{n}]")), format!("{source} is not the address of a call manager"));
        }
    }
    if !cluster.sources.is_empty() && !cluster.sources.contains(&cluster.call_manager.ip()) {
        found.add(
            key("sources"),
            format!("lacks the call manager's own address {}", cluster.call_manager.ip()),
        );
    }
}

/// As many call managers as a phone can be told of.
const SCCP_MAX: usize = 5;
/// The longest name that a phone can be told.
const SCCP_NAME_MAX: usize = 47;

fn sccp(config: &Config, cluster: &Cluster, n: usize, found: &mut Found) {
    if cluster.sccp.len() > SCCP_MAX {
        found.add(format!("cluster[{n}].sccp"), format!("phones know {SCCP_MAX} call managers at most"));
    }
    if cluster.sccp_keys == SkinnyKeys::Relay && cluster.sccp.iter().any(|sccp| sccp.authority.is_none()) {
        let message =
            "a key that phones get must not be in the clear inside: each [[cluster.sccp]] needs an authority";
        found.add(format!("cluster[{n}].sccp_keys"), message);
    }
    if let Some(files) = &cluster.phone_authority {
        let key = format!("cluster[{n}].phone_authority");
        if let Err(error) = tls::StandIns::read(&files.certificate, &files.key) {
            found.add(format!("{key}.{}", error.key), error.to_string());
        } else if cluster.sccp.iter().all(|sccp| sccp.authority.is_none()) {
            found.add(key, "is of no use without a [[cluster.sccp]] that has an authority");
        }
    }
    let mut listeners = BTreeSet::new();
    for (m, sccp) in cluster.sccp.iter().enumerate() {
        let key = |field: &str| format!("cluster[{n}].sccp[{m}].{field}");
        if sccp.name.is_empty() || sccp.name.len() > SCCP_NAME_MAX || sccp.name.contains('\0') {
            found.add(key("name"), format!("must have 1 to {SCCP_NAME_MAX} bytes: phones are told of it"));
        }
        let listen = sccp.listen;
        if listen.port() == 0 || listen.ip().is_unspecified() {
            found.add(key("listen"), "needs our address and a port, usually 2443: phones are told of it");
        }
        if listen == config.outside.listen {
            found.add(
                key("listen"),
                "is the listener for SIP (outside.listen); choose another port or address",
            );
        }
        if !listeners.insert(listen) {
            found.add(key("listen"), format!("{listen} stands for another call manager of this cluster"));
        }
        let media = config.dataplane.port.iter().find(|port| {
            IpAddr::V4(port.media_address) == listen.ip() && port.media_ports.contains(listen.port())
        });
        if let Some(port) = media {
            let message = format!("lies within the media ports of data-plane port {}", port.name);
            found.add(key("listen"), message);
        }
        if sccp.call_manager.port() == 0 || sccp.call_manager.ip().is_unspecified() {
            found.add(key("call_manager"), "needs an address and a port, for example 10.20.0.10:2000");
        }
        match (&sccp.authority, &sccp.certificate_name) {
            (None, None) => {}
            (None, Some(_)) => {
                found.add(key("certificate_name"), "is of no use without authority: that makes it TLS");
            }
            (Some(authority), name) => {
                if let Err(error) = tls::Known::read(authority, name.as_deref()) {
                    found.add(key(error.key), error.to_string());
                }
            }
        }
        if sccp.call_manager.is_ipv4() != cluster.local.is_ipv4() {
            found.add(key("call_manager"), "is not of the same address family as local");
        }
    }
}

/// Whether the data plane would take the cluster's SIP for media.
fn swallows(port: &PortSettings, cluster: &Cluster, shards: u16) -> bool {
    let (first, last) = (cluster.local.port(), cluster.local.port().saturating_add(shards.saturating_sub(1)));
    cluster.local.ip() == IpAddr::V4(port.media_address)
        && first <= port.media_ports.last()
        && last >= port.media_ports.first()
}

fn port_exists(config: &Config, key: &str, name: &str, found: &mut Found) {
    if !config.dataplane.port.iter().any(|port| port.name == name) {
        let known: Vec<_> = config.dataplane.port.iter().map(|port| port.name.as_str()).collect();
        found.add(key, format!("\"{name}\" is no data-plane port; there are: {}", known.join(", ")));
    }
}
