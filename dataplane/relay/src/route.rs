//! The way that a leg's packets take, and the headers that they leave with: worked out when something of it has
//! changed, or RTP follows RTCP, and not for each packet.

use std::net::SocketAddrV4;

use pinhole_flow::DropCause;

use crate::buffer::PacketBuffer;
use crate::checksum::{Sum, pseudo};
use crate::frame::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_VLAN, IPV4, PROTOCOL_UDP, UDP, VLAN_TAG};
use crate::network::Network;
use crate::session::LegContext;

/// Time to live of what we send. The appliance is the endpoint of both media flows, not a router
/// between them: a fresh one reaches the far side however far the near side was, and does not show how
/// far that was.
const TTL: u8 = 64;
/// Length of the headers without a VLAN tag.
const UNTAGGED: usize = ETHERNET + IPV4 + UDP;
/// Length of the headers with one.
const TAGGED: usize = UNTAGGED + VLAN_TAG;

/// Where the packets of a kind, RTP or RTCP, go from a leg, and the headers that they leave with, of which only what
/// differs from packet to packet is left to be filled in. One cache line; a leg has one, for the kind that it sent last.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Route {
    /// The headers. Lengths, identification and checksums are zero, and the DSCP if packets keep theirs.
    headers: [u8; TAGGED],
    /// Sum of the IPv4 header's words.
    ip_sum: u16,
    /// Sum of the UDP pseudo-header's words.
    pseudo_sum: u16,
    /// Longest UDP payload, in bytes.
    pub longest: u16,
    /// Index of the data-plane port.
    pub port: u8,
    /// The data-plane port whose own media address the packets go to, without touching a wire.
    pub hairpin: Option<u8>,
    tagged: bool,
    keeps_dscp: bool,
    rtcp: bool,
    /// [`Network::version`] at the time.
    version: u32,
}

const _: () = assert!(size_of::<Route>() == 64);

impl Default for Route {
    /// One of no time.
    fn default() -> Self {
        Self {
            headers: [0; TAGGED],
            ip_sum: 0,
            pseudo_sum: 0,
            longest: 0,
            port: 0,
            hairpin: None,
            tagged: false,
            keeps_dscp: false,
            rtcp: false,
            version: Network::BEFORE,
        }
    }
}

impl Route {
    /// The way of a leg's packets of a kind.
    ///
    /// # Errors
    /// Why there is none.
    #[cold]
    pub fn new(leg: &LegContext, rtcp: bool, network: &Network) -> Result<Self, DropCause> {
        let destination = leg.destination(rtcp).ok_or(DropCause::NoDestination)?;
        let port = network.port(leg.orders.port).ok_or(DropCause::NoDestination)?;
        let source = SocketAddrV4::new(port.media_address, leg.orders.local_port(rtcp));
        let hairpin = network.is_own(*destination.ip());
        let (mac, vlan) = match hairpin {
            Some(own) => network.port(own).map(|own| (own.mac, own.vlan.unwrap_or_default())),
            None => neighbour(leg, rtcp, network),
        }
        .ok_or(DropCause::NoNextHop)?;
        let ip = ipv4(leg.orders.dscp.unwrap_or_default(), source, destination);
        let mut route = Self {
            ip_sum: Sum::default().add_header(&ip).folded(),
            pseudo_sum: pseudo(*source.ip(), *destination.ip()).folded(),
            longest: port.mtu.saturating_sub((IPV4 + UDP) as u16),
            port: leg.orders.port,
            hairpin,
            tagged: vlan != 0,
            keeps_dscp: leg.orders.dscp.is_none(),
            rtcp,
            version: network.version(),
            ..Self::default()
        };
        let tag = [ETHERTYPE_VLAN, vlan & 0x0fff].map(u16::to_be_bytes);
        let parts: [&[u8]; 7] = [
            &mac,
            &port.mac,
            if route.tagged { tag.as_flattened() } else { &[] },
            &ETHERTYPE_IPV4.to_be_bytes(),
            &ip,
            &source.port().to_be_bytes(),
            &destination.port().to_be_bytes(),
        ];
        for (to, from) in route.headers.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        Ok(route)
    }

    /// Whether it is the way of packets of a kind, and still is.
    #[inline]
    pub fn is_for(&self, rtcp: bool, network: &Network) -> bool {
        self.version == network.version() && self.rtcp == rtcp
    }

    /// Puts the headers of a datagram, which will have `len` bytes of payload, before the payload that it has now, at `at`.
    /// Where it is afterwards: where it was, unless one side has a VLAN tag or IPv4 options and the other has not. The UDP
    /// checksum is left to [`finish`]. `None` if the buffer has no room for longer headers or the payload does not fit a
    /// datagram; the frame is then unusable.
    #[inline]
    pub fn write<B: PacketBuffer>(
        &self,
        frame: &mut B,
        at: usize,
        len: usize,
        dscp: u8,
        identification: u16,
    ) -> Option<usize> {
        let start = if self.tagged { TAGGED } else { UNTAGGED };
        if start != at {
            shift(frame, at, start)?;
        }
        let total_len = u16::try_from(len + UDP + IPV4).ok()?;
        let data = frame.data_mut();
        match self.tagged {
            true => self.fill_tagged(data.first_chunk_mut()?, total_len, dscp, identification),
            false => self.fill(data.first_chunk_mut::<UNTAGGED>()?, total_len, dscp, identification),
        }
        Some(start)
    }

    /// A function of its own: the compiler would put both into one, with offsets that vary.
    #[inline(never)]
    fn fill_tagged(&self, to: &mut [u8; TAGGED], total_len: u16, dscp: u8, identification: u16) {
        self.fill(to, total_len, dscp, identification);
    }

    #[inline]
    fn fill<const LEN: usize>(&self, to: &mut [u8; LEN], total_len: u16, dscp: u8, identification: u16) {
        if let Some(headers) = self.headers.first_chunk() {
            *to = *headers;
        }
        let (udp, ip) = (LEN - UDP, LEN - UDP - IPV4);
        let mut sum = Sum::default().add_folded(self.ip_sum).add_word(total_len).add_word(identification);
        if self.keeps_dscp {
            put(to, ip + 1, [dscp << 2]);
            sum = sum.add_word(u16::from(dscp) << 2);
        }
        put(to, ip + 2, total_len.to_be_bytes());
        put(to, ip + 4, identification.to_be_bytes());
        put(to, ip + 10, sum.finish());
        let udp_len = total_len.saturating_sub(IPV4 as u16);
        put(to, udp + 4, udp_len.to_be_bytes());
        let pseudo = Sum::default().add_folded(self.pseudo_sum).add_word(udp_len);
        put(to, udp + 6, pseudo.folded().to_ne_bytes());
    }
}

/// Finishes the UDP checksum of a frame whose payload is at `at`: the field holds the sum of the pseudo-header. It
/// is never 0, which would say that there is none (RFC 768).
#[inline]
pub fn finish<B: PacketBuffer>(frame: &mut B, at: usize) -> Option<()> {
    let udp = frame.data_mut().get_mut(at.checked_sub(UDP)?..)?;
    let sum = match Sum::default().add(udp).finish() {
        [0, 0] => [0xff; 2],
        sum => sum,
    };
    *udp.get_mut(6..)?.first_chunk_mut()? = sum;
    Some(())
}

/// Moves what is in a frame from `at` on to `to`. `None` if there is no room.
#[cold]
fn shift<B: PacketBuffer>(frame: &mut B, at: usize, to: usize) -> Option<()> {
    let end = frame.data().len();
    let len = end.checked_sub(at)?;
    if to > at {
        frame.grow(to - at)?;
    }
    frame.data_mut().copy_within(at..end, to);
    frame.truncate(to + len);
    Some(())
}

/// The neighbour that a leg's packets are given to: where a learned source's came from, or else the next hop
/// of the signalled address.
fn neighbour(leg: &LegContext, rtcp: bool, network: &Network) -> Option<([u8; 6], u16)> {
    if let Some(source) = leg.learned(rtcp) {
        return Some((source.mac, source.vlan));
    }
    network.next_hop(leg.orders.next_hop.into(), leg.orders.port).map(|hop| (hop.mac, hop.vlan))
}

/// An IPv4 header without options, lengths, identification and checksum. No don't-fragment bit is set, so that a packet which
/// meets a smaller MTU on its way arrives in pieces rather than not at all. The ECN bits are zero: we don't take part in RFC 6679.
fn ipv4(dscp: u8, source: SocketAddrV4, destination: SocketAddrV4) -> [u8; IPV4] {
    let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (source.ip().octets(), destination.ip().octets());
    [0x45, dscp << 2, 0, 0, 0, 0, 0, 0, TTL, PROTOCOL_UDP, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3]
}

/// Writes `value` at `at`; the callers' arrays always have room.
#[inline]
fn put<const N: usize, const LEN: usize>(bytes: &mut [u8; LEN], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value;
    }
}
