//! What can be wrong with `[[cluster]]`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use pinhole_flow::settings::PortSettings;
use pinhole_proxy::SkinnyKeys;

use super::{Found, SHARDS_MAX, port_exists};
use crate::config::{Cluster, Config};
use crate::tls;

pub(super) fn clusters(config: &Config, found: &mut Found) {
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
