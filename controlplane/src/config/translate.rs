//! From the configuration to what each part is told.

use std::net::IpAddr;
use std::time::Duration;

use pinhole_flow::Suite;
use pinhole_proxy as proxy;
use regex::Regex;

use super::{Config, Transport};
use crate::tls::Files;

impl Config {
    /// What the proxy of `shard` is told. `None` for a configuration that was not validated.
    pub fn proxy(&self, shard: u32) -> Option<proxy::ProxyConfig> {
        let clusters = self.clusters.iter().map(|cluster| {
            Some(proxy::ClusterConfig {
                name: cluster.name.clone(),
                call_manager: cluster.call_manager,
                sources: cluster.sources(),
                transport: match cluster.transport {
                    Transport::Udp => proxy::Transport::Udp,
                    Transport::Tcp => proxy::Transport::Tcp,
                },
                local: cluster.local_of(shard),
                port: self.port_index(&cluster.port)?,
                domain: cluster.domain.clone(),
                devices: Regex::new(&cluster.devices).ok()?,
                skinny: cluster
                    .sccp
                    .iter()
                    .map(|sccp| proxy::SkinnyServer {
                        name: sccp.name.clone(),
                        outside: sccp.listen,
                        inside: sccp.call_manager,
                        encrypted: sccp.authority.is_some(),
                        legacy: sccp.legacy_listen,
                    })
                    .collect(),
                skinny_calls: proxy::SkinnyCalls {
                    secure_indicator: cluster.secure_indicator,
                    keys: cluster.sccp_keys,
                    unnamed_senders: cluster.sccp_unnamed_senders,
                },
            })
        });
        let media = self.dataplane.port.iter().map(|port| proxy::MediaPort {
            address: IpAddr::V4(port.media_address),
            ports: port.media_ports.first()..=port.media_ports.last(),
        });
        Some(proxy::ProxyConfig {
            shard,
            shards: self.controlplane.shards,
            workers: self.dataplane.workers(),
            max_sessions: self.dataplane.max_sessions,
            outside: proxy::Outside {
                listen: self.outside.listen,
                names: self.outside_names(),
                port: self.port_index(&self.outside.port)?,
            },
            clusters: clusters.collect::<Option<_>>()?,
            media: media.collect(),
            suites: self.outside.suites.iter().filter_map(|name| Suite::from_name(name)).collect(),
            default_suite: self.outside.first_offer.as_deref().and_then(Suite::from_name),
            identity: self.identity(),
            limits: self.proxy_limits(),
            timers: self.proxy_timers(),
        })
    }

    /// What else stands for ourselves in a phone's Request-URI.
    fn outside_names(&self) -> Vec<String> {
        let legacy = self.legacy_tls.as_ref();
        let mut names = Files::of(&self.outside).names();
        names.extend(legacy.iter().flat_map(|legacy| Files::of_legacy(legacy, &self.outside).names()));
        names.extend(legacy.and_then(|legacy| legacy.listen).map(|listen| listen.ip().to_string()));
        names
    }

    /// What certificates are judged by.
    pub fn trust(&self) -> pinhole_devices::Settings {
        // A pattern that is none is a mistake of its own.
        let clusters = self.clusters.iter();
        let clusters = clusters.filter_map(|of| Some((of.name.clone(), Regex::new(&of.devices).ok()?)));
        pinhole_devices::Settings {
            authorities: self.identity.authorities.clone(),
            crls: self.identity.crls.clone(),
            crl_overdue: self.identity.crl_overdue,
            clusters: clusters.collect(),
        }
    }

    fn identity(&self) -> proxy::Identity {
        let pattern = self.identity.aor_pattern.clone();
        let anybody = || self.identity.devices.is_empty().then(|| "{device}".to_owned());
        proxy::Identity { devices: self.identity.devices.clone(), aor_pattern: pattern.or_else(anybody) }
    }

    /// Limits are given for the process; a shard gets its part, rounded up.
    fn proxy_limits(&self) -> proxy::Limits {
        let shards = self.controlplane.shards.max(1);
        let part = |whole: u32| whole.div_ceil(shards) as usize;
        let defaults = proxy::Limits::default();
        proxy::Limits {
            calls: part(self.limits.calls),
            calls_per_phone: self.limits.calls_per_phone as usize,
            registrations: part(self.limits.connections).max(64),
            devices: part(self.limits.connections).saturating_mul(2).max(64),
            ..defaults
        }
    }

    fn proxy_timers(&self) -> proxy::Timers {
        let seconds = |value: u32| Duration::from_secs(u64::from(value));
        proxy::Timers {
            phone_lost_grace: seconds(self.timers.phone_lost_grace_s),
            media_timeout: seconds(self.timers.media_timeout_s),
            hold_timeout: seconds(self.timers.hold_timeout_s),
            port_quarantine: seconds(self.timers.port_quarantine_s),
            adopt_grace: seconds(self.timers.adopt_grace_s),
            ring: seconds(self.timers.ring_s),
            ..proxy::Timers::default()
        }
    }

    /// Index of a data-plane port.
    pub fn port_index(&self, name: &str) -> Option<u8> {
        let at = self.dataplane.port.iter().position(|port| port.name == name)?;
        u8::try_from(at).ok()
    }
}
