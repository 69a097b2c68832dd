//! What can be wrong with `[provisioning]`, and with what clusters say of it.

use std::net::IpAddr;

use pinhole_enrolment::capf::KeyRequest;
use pinhole_provisioning::service::Encryption;
use pinhole_provisioning::xml::Server;

use super::Found;
use crate::config::{AuthenticatedDevices, Cluster, Config, Http, Provisioning, REPLY_PORTS, Tftp};

pub(super) fn provisioning(config: &Config, found: &mut Found) {
    let Some(settings) = &config.provisioning else { return without(config, found) };
    if !settings.directory.is_absolute() {
        found.add("provisioning.directory", "must be an absolute path");
    }
    tftp(config, &settings.tftp, found);
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
    clusters(config, found);
}

/// What clusters cannot have when nothing is given to phones.
fn without(config: &Config, found: &mut Found) {
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
}

fn tftp(config: &Config, tftp: &Tftp, found: &mut Found) {
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
}

fn clusters(config: &Config, found: &mut Found) {
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
