//! What can be wrong with `[legacy_tls]`: above all, that it would weaken what is not old.

use std::net::{IpAddr, SocketAddr};

use pinhole_legacy_tls::{CipherSuite, FILES_MAX};

use super::Found;
use crate::config::{AuthenticatedDevices, Config, LegacyTls, Sccp};
use crate::tls;

/// Every mistake of `[legacy_tls]` and of the `legacy_listen`s.
pub(super) fn legacy_tls(config: &Config, found: &mut Found) {
    let Some(legacy) = &config.legacy_tls else {
        for (n, cluster) in config.clusters.iter().enumerate() {
            for (m, _) in cluster.sccp.iter().enumerate().filter(|(_, sccp)| sccp.legacy_listen.is_some()) {
                let key = format!("cluster[{n}].sccp[{m}].legacy_listen");
                found.add(key, "is of no use without [legacy_tls]");
            }
        }
        return;
    };
    addresses(config, found);
    certificate(config, legacy, found);
    ciphers(config, legacy, found);
    found.regex("legacy_tls.devices", &legacy.devices);
    if legacy.program.as_ref().is_some_and(|program| !program.is_absolute()) {
        found.add("legacy_tls.program", "must be an absolute path");
    }
    found.range("legacy_tls.connections", legacy.connections, 1, 1_000_000);
    found.range("legacy_tls.connections_per_source", legacy.connections_per_source, 1, 1_000_000);
    found.range("legacy_tls.handshakes", legacy.handshakes, 1, 100_000);
    found.range("legacy_tls.handshake_timeout_s", legacy.handshake_timeout_s, 1, 120);
    found.range("legacy_tls.requests", legacy.requests, 1, 10_000);
    found.range("legacy_tls.requests_per_source", legacy.requests_per_source, 1, 10_000);
}

fn addresses(config: &Config, found: &mut Found) {
    let listeners = config.legacy_listeners();
    if listeners.is_empty() || listeners.len() > FILES_MAX {
        let message = format!(
            "needs 1 to {FILES_MAX} addresses: set legacy_tls.listen (SIP) or legacy_listen of a [[cluster.sccp]]"
        );
        found.add("legacy_tls", message);
    }
    let modern = modern(config);
    for (n, listener) in listeners.iter().enumerate() {
        let (key, address) = (&listener.key, listener.address);
        if address.port() == 0 || address.ip().is_unspecified() {
            let message = "needs our address and a port, usually 5061 for SIP and 2443 for SCCP";
            found.add(key, message);
        }
        if let Some((other, _)) = modern.iter().find(|(_, other)| *other == address) {
            let message = format!(
                "{address} is {other}: old and new TLS never share a listener; choose another port or address"
            );
            found.add(key, message);
        }
        if listeners.iter().take(n).any(|before| before.address == address) {
            found
                .add(key, format!("{address} is legacy_tls.listen, for SIP; choose another port or address"));
        }
        let media = config.dataplane.port.iter().find(|port| {
            IpAddr::V4(port.media_address) == address.ip() && port.media_ports.contains(address.port())
        });
        if let Some(port) = media {
            found.add(key, format!("lies within the media ports of data-plane port {}", port.name));
        }
    }
    for (n, cluster) in config.clusters.iter().enumerate() {
        for (m, sccp) in cluster.sccp.iter().enumerate() {
            let same = |before: &Sccp| before.legacy_listen == sccp.legacy_listen;
            if sccp.legacy_listen.is_some() && cluster.sccp.iter().take(m).any(same) {
                let key = format!("cluster[{n}].sccp[{m}].legacy_listen");
                found.add(key, "stands for another call manager of this cluster");
            }
        }
    }
}

/// Every other TCP address of ours outside, with its key.
fn modern(config: &Config) -> Vec<(String, SocketAddr)> {
    let mut all = vec![("outside.listen".to_owned(), config.outside.listen)];
    all.extend(config.sccp_listeners().into_iter().map(|(address, key)| (key, address)));
    if let Some(settings) = &config.provisioning {
        let listeners = [
            ("http", settings.http.as_ref().map(|http| http.listen)),
            ("https", settings.https.as_ref().map(|https| https.listen)),
            ("capf", settings.capf.as_ref().map(|capf| capf.listen)),
            ("tvs", settings.tvs.as_ref().map(|tvs| tvs.listen)),
        ];
        let listeners = listeners.into_iter().filter_map(|(name, listen)| Some((name, listen?)));
        all.extend(listeners.map(|(name, listen)| (format!("provisioning.{name}.listen"), listen)));
    }
    all
}

fn certificate(config: &Config, legacy: &LegacyTls, found: &mut Found) {
    if legacy.certificate.is_some() != legacy.key.is_some() {
        found.add(
            "legacy_tls.key",
            "certificate and key go together: set both, or neither to use those of [outside]",
        );
        return;
    }
    match tls::Files::of_legacy(legacy, &config.outside).read() {
        Ok(read) => {
            if !read.is_rsa() {
                let message =
                    "must be one with an RSA key, which is all that old phones know: set certificate and key";
                found.add("legacy_tls.certificate", message);
            }
            if let Err(error) = read.certified_key(&rustls::crypto::aws_lc_rs::default_provider())
                && legacy.key.is_some()
            {
                found.add(error.key(), error.to_string());
            }
        }
        // Those of [outside] are reported there.
        Err(errors) => {
            let errors = errors.into_iter().filter(|error| error.key().starts_with("legacy_tls"));
            errors.for_each(|error| found.add(error.key(), error.to_string()));
        }
    }
}

fn ciphers(config: &Config, legacy: &LegacyTls, found: &mut Found) {
    if legacy.tls_min > legacy.tls_max {
        found.add("legacy_tls.tls_min", "is newer than tls_max");
    }
    if legacy.suites().is_empty() {
        found.add("legacy_tls.ciphers", "names no cipher suite; no phone could connect");
    }
    if legacy.ciphers.contains(&CipherSuite::NullSha) {
        let message =
            "NULL-SHA hides nothing: leave it out, and set null_cipher = true if that is what you want";
        found.add("legacy_tls.ciphers", message);
    }
    if legacy.null_cipher && config.provisioning.is_none() {
        let message = "needs [provisioning]: only devices whose class is authenticated may go without encryption, \
                       and the class stands in its database (pinholectl phone allow)";
        found.add("legacy_tls.null_cipher", message);
    } else if legacy.null_cipher
        && config.clusters.iter().all(|of| of.authenticated_devices == AuthenticatedDevices::Refuse)
    {
        let message = "is of no use: no [[cluster]] has authenticated_devices = \"allow\", so no device may go without \
                       encryption; set that for the cluster of such devices, or leave null_cipher out";
        found.add("legacy_tls.null_cipher", message);
    }
}
