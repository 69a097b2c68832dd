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
    version: u32,
}

impl Network {
    /// A version that no network has.
    pub const BEFORE: u32 = 0;

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
        let version = Self::BEFORE + 1;
        Self { ports: config.ports, next_hops, own_octets, owners, worker: config.worker, version }
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

    /// Changes an entry of the next-hop table; `None` if there is none of that index.
    pub fn set_next_hop(&mut self, index: u32, hop: NextHop) -> Option<()> {
        let entry = self.next_hops.get_mut(index as usize)?;
        if *entry != hop {
            *entry = hop;
            self.version = self.version.checked_add(1).unwrap_or(Self::BEFORE + 1);
        }
        Some(())
    }

    /// Changes whenever a next hop does: what was worked out under another version no longer holds.
    #[inline]
    pub fn version(&self) -> u32 {
        self.version
    }
}
