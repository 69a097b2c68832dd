//! What a relay is told once, at its start.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use pinhole_flow::MAX_PORTS;
use thiserror::Error;

/// A data-plane port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPort {
    /// The address that media is sent to and comes from.
    pub media_address: Ipv4Addr,
    /// The UDP ports that carry media. Everything else to the address is the kernel's.
    pub media_ports: RangeInclusive<u16>,
    /// The port's own MAC address; frames to any other are the kernel's.
    pub mac: [u8; 6],
    /// Longest IPv4 packet that is sent, in bytes.
    pub mtu: u16,
    /// `Some`: only frames with this VLAN identifier (0: untagged) may be media. `None`: any.
    pub vlan: Option<u16>,
}

/// What a relay is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// The ports, in the order of the configuration; at most [`MAX_PORTS`].
    pub ports: Vec<RelayPort>,
    /// How many session slots this worker has.
    pub max_sessions: u32,
    /// Number of the first of them.
    pub first_slot: u32,
    /// How many entries the next-hop table has.
    pub next_hops: u32,
    /// Number of the worker that owns the sessions.
    pub worker: u32,
    /// How many workers there are; [`steering`](pinhole_flow::steering) says who has which media port.
    pub workers: u32,
    /// How many packets the replay windows of arriving RTP span: a multiple of 64 from 64 to 1024.
    pub replay_window: u32,
}

/// Why a relay cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Too many ports.
    #[error("{count} data-plane ports are configured, at most {MAX_PORTS} are possible: remove some")]
    TooManyPorts {
        /// How many are configured.
        count: usize,
    },
    /// Two ports with the same media address.
    #[error("data-plane ports {first} and {second} both have media address {address}: give each its own")]
    SharedAddress {
        /// Index of a port.
        first: usize,
        /// Index of another port.
        second: usize,
        /// Their address.
        address: Ipv4Addr,
    },
    /// An empty media port range, or one that holds port 0.
    #[error(
        "data-plane port {port} has the media port range {first}-{last}: it must not be empty nor hold 0"
    )]
    BadRange {
        /// Index of the port.
        port: usize,
        /// First media port.
        first: u16,
        /// Last media port.
        last: u16,
    },
    /// A worker's number that there is no worker for.
    #[error("worker {worker} of {workers}: workers are counted from 0")]
    BadWorker {
        /// The number.
        worker: u32,
        /// How many workers there are.
        workers: u32,
    },
    /// A replay window of a size that there is not.
    #[error("replay window of {window} packets: choose a multiple of 64 from 64 to 1024")]
    BadWindow {
        /// The size.
        window: u32,
    },
}

impl RelayConfig {
    /// Checks what the relay relies on.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.ports.len() > MAX_PORTS {
            return Err(ConfigError::TooManyPorts { count: self.ports.len() });
        }
        if self.worker >= self.workers {
            return Err(ConfigError::BadWorker { worker: self.worker, workers: self.workers });
        }
        if !(64..=1024).contains(&self.replay_window) || !self.replay_window.is_multiple_of(64) {
            return Err(ConfigError::BadWindow { window: self.replay_window });
        }
        for (second, port) in self.ports.iter().enumerate() {
            let address = port.media_address;
            let same = self.ports.iter().take(second).position(|other| other.media_address == address);
            if let Some(first) = same {
                return Err(ConfigError::SharedAddress { first, second, address });
            }
            if port.media_ports.is_empty() || *port.media_ports.start() == 0 {
                let (first, last) = port.media_ports.clone().into_inner();
                return Err(ConfigError::BadRange { port: second, first, last });
            }
        }
        Ok(())
    }
}
