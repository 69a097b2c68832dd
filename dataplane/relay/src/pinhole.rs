//! The pinholes: which session leg, if any, has a local media address and port.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use pinhole_srtp::kernels::prefetch;

use crate::config::RelayPort;

/// What stands behind an open pinhole: a session's slot, a leg, whether this is the leg's RTCP port, and which
/// of the session's legs are secure, so that what a packet needs can be asked for before anything of the
/// session is there. One word, in the table as in a packet's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinhole(NonZeroU32);

impl Pinhole {
    /// Slot numbers must leave room for the rest.
    pub const SLOT_LIMIT: u32 = 1 << 27;

    /// The pinhole of a leg (0 or 1) of the session in a slot below [`SLOT_LIMIT`](Self::SLOT_LIMIT), whose
    /// legs are secure or not.
    pub fn new(slot: u32, leg: u8, rtcp: bool, secure: [bool; 2]) -> Self {
        let [first, second] = secure.map(u32::from);
        let flags = second << 3 | first << 2 | u32::from(leg & 1) << 1 | u32::from(rtcp);
        Self(NonZeroU32::MIN.saturating_add((slot & (Self::SLOT_LIMIT - 1)) << 4 | flags))
    }

    /// The session's slot.
    #[inline]
    pub fn slot(self) -> u32 {
        (self.0.get() - 1) >> 4
    }

    /// Whether a leg (0 or 1) of the session is secure.
    #[inline]
    pub fn secure(self, leg: u8) -> bool {
        (self.0.get() - 1) >> (2 + (leg & 1)) & 1 != 0
    }

    /// The leg: 0 or 1.
    #[inline]
    pub fn leg(self) -> u8 {
        ((self.0.get() - 1) >> 1 & 1) as u8
    }

    /// Whether this is the leg's RTCP port.
    #[inline]
    pub fn rtcp(self) -> bool {
        (self.0.get() - 1) & 1 != 0
    }
}

/// An array per data-plane port, indexed by local UDP port: we choose the ports, so no hash is needed.
#[derive(Debug)]
pub struct PinholeTable {
    ports: Vec<PortPinholes>,
}

#[derive(Debug)]
struct PortPinholes {
    range: RangeInclusive<u16>,
    /// What stands behind each port of the range.
    entries: Vec<Option<Pinhole>>,
}

impl PinholeTable {
    /// A table for `ports`, all closed.
    pub fn new(ports: &[RelayPort]) -> Self {
        let ports = ports.iter().map(|port| PortPinholes {
            entries: vec![None; port.media_ports.len()],
            range: port.media_ports.clone(),
        });
        Self { ports: ports.collect() }
    }

    /// The open pinhole at a local port.
    #[inline]
    pub fn get(&self, port: u8, local: u16) -> Option<Pinhole> {
        let ports = self.ports.get(usize::from(port))?;
        *ports.entries.get(ports.offset(local)?)?
    }

    /// Brings the entry of a local port into the cache.
    #[inline]
    pub fn prefetch(&self, port: u8, local: u16) {
        let ports = self.ports.get(usize::from(port));
        if let Some(entry) = ports.and_then(|ports| ports.entries.get(ports.offset(local)?)) {
            prefetch(entry);
        }
    }

    /// Whether a local port lies in the range of a data-plane port.
    pub fn covers(&self, port: u8, local: u16) -> bool {
        self.ports.get(usize::from(port)).is_some_and(|ports| ports.range.contains(&local))
    }

    /// Opens or (with `None`) closes the pinhole at a local port. Ports out of range are ignored: a
    /// session is checked before it is opened.
    pub fn set(&mut self, port: u8, local: u16, pinhole: Option<Pinhole>) {
        let Some(ports) = self.ports.get_mut(usize::from(port)) else { return };
        let Some(entry) = ports.offset(local).and_then(|offset| ports.entries.get_mut(offset)) else {
            return;
        };
        *entry = pinhole;
    }
}

impl PortPinholes {
    #[inline]
    fn offset(&self, local: u16) -> Option<usize> {
        local.checked_sub(*self.range.start()).map(usize::from)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_pinhole_is_found_where_it_was_opened_and_nowhere_else() {
        let port = RelayPort {
            media_address: Ipv4Addr::LOCALHOST,
            media_ports: 100..=109,
            mac: [0; 6],
            mtu: 1500,
            vlan: None,
        };
        let mut table = PinholeTable::new(&[port.clone(), port]);
        let hole = Pinhole::new(7, 1, true, [false, true]);
        table.set(1, 109, Some(hole));
        table.set(1, 110, Some(hole));
        table.set(2, 105, Some(hole));
        let open: Vec<_> = (0..=2)
            .flat_map(|port| (0..=u16::MAX).map(move |local| (port, local)))
            .filter(|(port, local)| table.get(*port, *local).is_some())
            .collect();
        assert_eq!(open, [(1, 109)]);
        assert_eq!(table.get(1, 109), Some(hole));
        assert_eq!((hole.slot(), hole.leg(), hole.rtcp()), (7, 1, true));
        assert_eq!([0, 1].map(|leg| hole.secure(leg)), [false, true]);
        table.set(1, 109, None);
        assert_eq!(table.get(1, 109), None);
    }
}
