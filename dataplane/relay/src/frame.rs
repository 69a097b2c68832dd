//! From a frame to a datagram for the media ports: Ethernet, one optional 802.1Q tag, IPv4, UDP.

use std::net::{Ipv4Addr, SocketAddrV4};

use pinhole_flow::DropCause;

use crate::checksum;
use crate::config::RelayPort;

/// Length of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Length of an 802.1Q tag.
pub const VLAN_TAG: usize = 4;
/// Length of an IPv4 header without options.
pub const IPV4: usize = 20;
/// Length of a UDP header.
pub const UDP: usize = 8;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// IPv4 protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A datagram for the media ports.
    Media(Datagram),
    /// The kernel's business: ARP, IPv6, ICMP, TCP, and UDP to other addresses or ports.
    Punt,
    /// Broken, or nothing the kernel could do better with.
    Drop(DropCause),
}

/// A UDP datagram to one of our media ports. Its checksums are another matter: see [`verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source MAC address.
    pub mac: [u8; 6],
    /// VLAN identifier, 0: untagged.
    pub vlan: u16,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// Source address and port.
    pub source: SocketAddrV4,
    /// Destination port.
    pub port: u16,
    /// Where the IPv4 header begins in the frame.
    pub ip_at: u8,
    /// Where the UDP payload begins in the frame.
    pub payload_at: usize,
    /// Its length.
    pub payload_len: usize,
}

/// Parses a frame that arrived on `port`.
///
/// Only unicast frames to the port's own MAC address, IPv4 address and media port range are ours.
/// Checksums of everything else are left to the kernel.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every frame comes here; the other caller is rare")]
pub fn parse(frame: &[u8], port: &RelayPort) -> Parsed {
    let Some((ethernet, at)) = ethernet(frame) else { return Parsed::Punt };
    if ethernet.destination != port.mac || port.vlan.is_some_and(|vlan| vlan != ethernet.vlan) {
        return Parsed::Punt;
    }
    let packet = frame.get(at..).unwrap_or_default();
    let header = match ipv4(packet) {
        Ok(header) => header,
        Err(cause) => return Parsed::Drop(cause),
    };
    if header.destination != port.media_address || header.protocol != PROTOCOL_UDP || header.later_fragment {
        // A later fragment does not say which port it is for: the kernel puts a fragmented SIP message
        // together, and lets a media datagram's rest expire, whose first fragment is dropped below.
        return Parsed::Punt;
    }
    let segment = packet.get(header.len..header.total_len).unwrap_or_default();
    let destination_port = match u16_at(segment, 2) {
        Some(destination) if !port.media_ports.contains(&destination) => return Parsed::Punt,
        Some(destination) => destination,
        None => return Parsed::Drop(DropCause::UdpMalformed),
    };
    match datagram(segment, &header) {
        Ok((source, payload_len)) => Parsed::Media(Datagram {
            mac: ethernet.source,
            vlan: ethernet.vlan,
            dscp: header.dscp,
            source,
            port: destination_port,
            // The length of the Ethernet header.
            ip_at: at as u8,
            payload_at: at + header.len + UDP,
            payload_len,
        }),
        Err(cause) => Parsed::Drop(cause),
    }
}

struct Ethernet {
    destination: [u8; 6],
    source: [u8; 6],
    vlan: u16,
}

/// The Ethernet header and where the IPv4 header begins; `None` for anything that carries no IPv4.
#[inline]
fn ethernet(frame: &[u8]) -> Option<(Ethernet, usize)> {
    let destination = array_at(frame, 0)?;
    let source = array_at(frame, 6)?;
    match u16_at(frame, 12)? {
        ETHERTYPE_IPV4 => Some((Ethernet { destination, source, vlan: 0 }, ETHERNET)),
        ETHERTYPE_VLAN => {
            // Priority and drop-eligible bits don't matter; identifier 0 is a priority tag only.
            let vlan = u16_at(frame, 14)? & 0x0fff;
            let inner = u16_at(frame, 16)?;
            (inner == ETHERTYPE_IPV4).then_some((Ethernet { destination, source, vlan }, ETHERNET + VLAN_TAG))
        }
        _ => None,
    }
}

struct Ipv4 {
    len: usize,
    total_len: usize,
    dscp: u8,
    protocol: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    first_fragment: bool,
    later_fragment: bool,
}

/// The IPv4 header at the beginning of `packet` (RFC 791), its checksum not yet verified.
#[inline]
fn ipv4(packet: &[u8]) -> Result<Ipv4, DropCause> {
    let header: [u8; IPV4] = array_at(packet, 0).ok_or(DropCause::IpMalformed)?;
    let [first, tos, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let len = usize::from(first & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([l0, l1]));
    if first >> 4 != 4 || len < IPV4 || total_len < len || total_len > packet.len() {
        return Err(DropCause::IpMalformed);
    }
    let fragment = u16::from_be_bytes([f0, f1]);
    let offset = fragment & 0x1fff;
    Ok(Ipv4 {
        len,
        total_len,
        dscp: tos >> 2,
        protocol,
        source: Ipv4Addr::new(s0, s1, s2, s3),
        destination: Ipv4Addr::new(d0, d1, d2, d3),
        first_fragment: offset == 0 && fragment & 0x2000 != 0,
        later_fragment: offset != 0,
    })
}

/// Checks what is left to check of the headers of a datagram to a media port; its source and payload
/// length.
#[inline]
fn datagram(segment: &[u8], ip: &Ipv4) -> Result<(SocketAddrV4, usize), DropCause> {
    if ip.first_fragment {
        return Err(DropCause::Fragment);
    }
    let [p0, p1, _, _, l0, l1, ..]: [u8; UDP] = array_at(segment, 0).ok_or(DropCause::UdpMalformed)?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let payload_len = length.checked_sub(UDP).ok_or(DropCause::UdpMalformed)?;
    // The UDP length may be shorter than the IP payload, never longer.
    if length > segment.len() {
        return Err(DropCause::UdpMalformed);
    }
    Ok((SocketAddrV4::new(ip.source, u16::from_be_bytes([p0, p1])), payload_len))
}

/// Verifies the checksums of a datagram to `address` in its frame.
#[inline]
pub fn verify(frame: &[u8], datagram: &Datagram, address: Ipv4Addr) -> Result<(), DropCause> {
    let udp_at = datagram.payload_at.saturating_sub(UDP);
    let end = datagram.payload_at + datagram.payload_len;
    let header = frame.get(usize::from(datagram.ip_at)..udp_at).unwrap_or_default();
    if checksum::ipv4(header) != [0; 2] {
        return Err(DropCause::IpChecksum);
    }
    let udp = frame.get(udp_at..end).ok_or(DropCause::UdpMalformed)?;
    // A checksum of zero says that there is none (RFC 768).
    let none = matches!(udp, [_, _, _, _, _, _, 0, 0, ..]);
    if !none && checksum::udp(*datagram.source.ip(), address, udp) != [0; 2] {
        return Err(DropCause::UdpChecksum);
    }
    Ok(())
}

/// `N` bytes at `at`.
#[inline]
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The big-endian word at `at`.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}
