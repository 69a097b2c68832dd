//! Everything that can be wrong with a configuration that parses.

mod clusters;
mod legacy;
mod provisioning;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use pinhole_devices::Verifier;
use pinhole_flow::Suite;
use regex::Regex;

use super::{Config, ConnectionLimits, Problem};
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
    clusters::clusters(config, &mut found);
    provisioning::provisioning(config, &mut found);
    legacy::legacy_tls(config, &mut found);
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

fn port_exists(config: &Config, key: &str, name: &str, found: &mut Found) {
    if !config.dataplane.port.iter().any(|port| port.name == name) {
        let known: Vec<_> = config.dataplane.port.iter().map(|port| port.name.as_str()).collect();
        found.add(key, format!("\"{name}\" is no data-plane port; there are: {}", known.join(", ")));
    }
}
