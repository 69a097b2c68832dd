//! New Ethernet, IPv4 and UDP headers around a payload that stays (almost always) where it is.

use std::net::SocketAddrV4;

use crate::buffer::PacketBuffer;
use crate::checksum;
use crate::frame::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_VLAN, IPV4, PROTOCOL_UDP, UDP, VLAN_TAG};

/// Time to live of what we send. The appliance is the endpoint of both media flows, not a router
/// between them: a fresh one reaches the far side however far the near side was, and does not show how
/// far that was.
const TTL: u8 = 64;

/// The headers that a packet leaves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Our MAC address on the port.
    pub source_mac: [u8; 6],
    /// MAC address of the next hop.
    pub destination_mac: [u8; 6],
    /// VLAN identifier, 0: untagged.
    pub vlan: u16,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// IPv4 identification: no don't-fragment bit is set, so that a packet which meets a smaller MTU on
    /// its way arrives in pieces rather than not at all.
    pub identification: u16,
    /// Our media address and port.
    pub source: SocketAddrV4,
    /// Where the packet goes.
    pub destination: SocketAddrV4,
}

impl Headers {
    /// Length of all headers in bytes.
    pub const fn len(&self) -> usize {
        ETHERNET + if self.vlan == 0 { 0 } else { VLAN_TAG } + IPV4 + UDP
    }
}

/// Puts `headers` before the payload of `len` bytes at `at`. `None` if the buffer has no room for
/// longer headers or the payload does not fit a datagram; the frame is then unusable.
#[inline]
pub fn readdress<B: PacketBuffer>(buffer: &mut B, at: usize, len: usize, headers: &Headers) -> Option<()> {
    let start = headers.len();
    if start > at {
        buffer.grow(start - at)?;
    }
    let end = at.checked_add(len)?;
    let data = buffer.data_mut();
    if start != at {
        // Only when one side has a VLAN tag or IPv4 options and the other has not.
        data.get(at..end)?;
        data.get(start..start.checked_add(len)?)?;
        data.copy_within(at..end, start);
    }
    buffer.truncate(start + len);
    write(buffer.data_mut(), len, headers)
}

#[inline]
fn write(frame: &mut [u8], len: usize, headers: &Headers) -> Option<()> {
    let udp_len = u16::try_from(len + UDP).ok()?;
    let total_len = u16::try_from(len + UDP + IPV4).ok()?;
    let rest = ethernet(frame, headers)?;
    let (ip, rest) = rest.split_first_chunk_mut::<IPV4>()?;
    *ip = ipv4(total_len, headers);
    let (udp, payload) = rest.get_mut(..usize::from(udp_len))?.split_first_chunk_mut::<UDP>()?;
    *udp = self::udp(udp_len, payload, headers);
    Some(())
}

/// Writes the Ethernet header and returns what follows it.
#[inline]
fn ethernet<'a>(frame: &'a mut [u8], headers: &Headers) -> Option<&'a mut [u8]> {
    let (head, rest) = frame.split_first_chunk_mut::<ETHERNET>()?;
    put(head, 0, headers.destination_mac);
    put(head, 6, headers.source_mac);
    if headers.vlan == 0 {
        put(head, 12, ETHERTYPE_IPV4.to_be_bytes());
        return Some(rest);
    }
    put(head, 12, ETHERTYPE_VLAN.to_be_bytes());
    let (tag, rest) = rest.split_first_chunk_mut::<VLAN_TAG>()?;
    put(tag, 0, (headers.vlan & 0x0fff).to_be_bytes());
    put(tag, 2, ETHERTYPE_IPV4.to_be_bytes());
    Some(rest)
}

/// An IPv4 header without options. The ECN bits are zero: we don't take part in RFC 6679.
#[inline]
fn ipv4(total_len: u16, headers: &Headers) -> [u8; IPV4] {
    let mut header = [0; IPV4];
    put(&mut header, 0, [0x45, headers.dscp << 2]);
    put(&mut header, 2, total_len.to_be_bytes());
    put(&mut header, 4, headers.identification.to_be_bytes());
    put(&mut header, 8, [TTL, PROTOCOL_UDP]);
    put(&mut header, 12, headers.source.ip().octets());
    put(&mut header, 16, headers.destination.ip().octets());
    let first = u16::from_be_bytes([0x45, headers.dscp << 2]);
    let words = [first, total_len, headers.identification, u16::from_be_bytes([TTL, PROTOCOL_UDP])];
    let sum = checksum::of(&words, [*headers.source.ip(), *headers.destination.ip()], None);
    put(&mut header, 10, sum.to_be_bytes());
    header
}

/// A UDP header with its checksum, which is never 0: that would say that there is none (RFC 768).
#[inline]
fn udp(len: u16, payload: &[u8], headers: &Headers) -> [u8; UDP] {
    let (source, destination) = (headers.source.port(), headers.destination.port());
    // The pseudo-header has the protocol and the length once more.
    let words = [u16::from(PROTOCOL_UDP), len, source, destination, len];
    let sum = match checksum::of(&words, [*headers.source.ip(), *headers.destination.ip()], Some(payload)) {
        0 => 0xffff,
        sum => sum,
    };
    let mut header = [0; UDP];
    put(&mut header, 0, source.to_be_bytes());
    put(&mut header, 2, destination.to_be_bytes());
    put(&mut header, 4, len.to_be_bytes());
    put(&mut header, 6, sum.to_be_bytes());
    header
}

/// Writes `value` at `at`; the callers' buffers always have room.
#[inline]
fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value;
    }
}
