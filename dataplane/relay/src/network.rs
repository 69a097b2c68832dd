//! What there is around the sessions: our ports and addresses, other workers, next hops.

use std::net::Ipv4Addr;

use pinhole_flow::NextHop;
use pinhole_flow::steering::{CLASSES, class_of, worker_of};

use crate::config::{RelayConfig, RelayPort};

/// Ports, addresses, workers and next hops.
#[derive(Debug)]
pub struct Network {
    ports: Vec<RelayPort>,
    next_hops: Vec<NextHop>,
    /// A bit for each last octet of a media address: tells most other addresses from ours at once.
    own_octets: [u64; 4],
    /// The workers of the classes of media ports.
    owners: [u8; CLASSES as usize],
    worker: u32,
}

impl Network {
    /// The network of a configuration; no next hop is resolved.
    pub fn new(config: RelayConfig) -> Self {
        let mut own_octets = [0; 4];
        for port in &config.ports {
            let [.., last] = port.media_address.octets();
            if let Some(word) = own_octets.get_mut(usize::from(last / 64)) {
                *word |= 1u64 << (last % 64);
            }
        }
        // A port of each class; at most MAX_WORKERS workers.
        let owners = std::array::from_fn(|class| worker_of(2 * class as u16, config.workers) as u8);
        let unresolved = NextHop { port: 0, valid: 0, vlan: 0, mac: [0; 6], reserved: [0; 2] };
        let next_hops = vec![unresolved; config.next_hops as usize];
        Self { ports: config.ports, next_hops, own_octets, owners, worker: config.worker }
    }

    /// A data-plane port.
    #[inline]
    pub fn port(&self, index: u8) -> Option<&RelayPort> {
        self.ports.get(usize::from(index))
    }

    /// Number of this worker.
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// The other worker that has a media port; `None` if this one has.
    #[inline]
    pub fn other_worker(&self, local: u16) -> Option<u8> {
        let owner = self.owners.get(usize::from(class_of(local))).copied()?;
        (u32::from(owner) != self.worker).then_some(owner)
    }

    /// The data-plane port that has `address` as its media address.
    #[inline]
    pub fn is_own(&self, address: Ipv4Addr) -> Option<u8> {
        let [.., last] = address.octets();
        let word = self.own_octets.get(usize::from(last / 64)).copied().unwrap_or(0);
        if word >> (last % 64) & 1 == 0 {
            return None;
        }
        (0..).zip(&self.ports).find(|(_, port)| port.media_address == address).map(|(index, _)| index)
    }

    /// How many entries the next-hop table has.
    pub fn next_hops(&self) -> usize {
        self.next_hops.len()
    }

    /// A resolved next hop on a port.
    #[inline]
    pub fn next_hop(&self, index: u32, port: u8) -> Option<&NextHop> {
        self.next_hops.get(index as usize).filter(|hop| hop.valid == 1 && hop.port == port)
    }

    /// An entry of the next-hop table, to be changed.
    pub fn next_hop_mut(&mut self, index: u32) -> Option<&mut NextHop> {
        self.next_hops.get_mut(index as usize)
    }
}
