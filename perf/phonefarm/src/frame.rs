//! Frames: Ethernet, IPv4 without options, UDP, RTP without extensions, and a payload of fixed size.

use std::net::SocketAddrV4;

use pinhole_srtp::kernels;

use crate::payload;

/// Where the IPv4 header starts.
pub const IP_AT: usize = 14;
/// Where the IPv4 addresses start, which the UDP checksum covers too.
const ADDRESSES_AT: usize = IP_AT + 12;
/// Where the UDP header starts.
pub const UDP_AT: usize = IP_AT + 20;
/// Where the RTP header starts.
pub const RTP_AT: usize = UDP_AT + 8;
/// Where the payload starts.
pub const PAYLOAD_AT: usize = RTP_AT + 12;
/// Bytes of a frame of plain RTP.
pub const PLAIN: usize = PAYLOAD_AT + payload::LEN;

/// Payload type 0, G.711 mu-law (RFC 3551).
const PAYLOAD_TYPE: u8 = 0;

/// A way of frames over one port of the farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Index of the farm's port.
    pub port: usize,
    /// Ethernet source; of frames that are expected it is not looked at.
    pub source_mac: [u8; 6],
    /// Ethernet destination.
    pub destination_mac: [u8; 6],
    /// UDP source.
    pub source: SocketAddrV4,
    /// UDP destination.
    pub destination: SocketAddrV4,
}

impl Path {
    /// The bytes of a frame from the IPv4 source address up to the UDP destination port.
    pub(crate) fn addresses(&self) -> [u8; 12] {
        let [a, b, c, d] = self.source.ip().octets();
        let [e, f, g, h] = self.destination.ip().octets();
        let [i, j] = self.source.port().to_be_bytes();
        let [k, l] = self.destination.port().to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Ethernet, IPv4 and UDP header of a frame with `len` bytes behind the UDP header; the UDP
    /// checksum is left 0.
    pub fn headers(&self, len: usize) -> [u8; RTP_AT] {
        let mut out = [0; RTP_AT];
        let udp = (len + 8) as u16;
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(to) = out.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        };
        put(0, &self.destination_mac);
        put(6, &self.source_mac);
        put(12, &[0x08, 0x00, 0x45, 0xb8]);
        put(IP_AT + 2, &(udp + 20).to_be_bytes());
        // Don't fragment; a time to live as phones have it; UDP.
        put(IP_AT + 6, &[0x40, 0x00, 64, 17]);
        put(ADDRESSES_AT, &self.addresses());
        put(UDP_AT + 4, &udp.to_be_bytes());
        let sum = out.get(IP_AT..UDP_AT).map_or(0, |header| !sum(header, 0));
        if let Some(field) = out.get_mut(IP_AT + 10..IP_AT + 12) {
            field.copy_from_slice(&sum.to_ne_bytes());
        }
        out
    }
}

/// What the RTP header of a packet must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
}

impl Rtp {
    /// The header's bytes.
    #[inline]
    pub fn header(&self) -> [u8; 12] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = self.ssrc.to_be_bytes();
        [0x80, PAYLOAD_TYPE, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
    }
}

/// The Internet checksum's sum over `bytes` and `more`, in the machine's byte order (RFC 1071).
#[inline]
pub fn sum(bytes: &[u8], more: u64) -> u16 {
    let sum = kernels::sum(bytes) + more;
    // Each half is added to the other: the carry out of the lower one arrives in the higher.
    let half = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (half.wrapping_add(half.rotate_left(16)) >> 16) as u16
}

/// The sum of UDP's pseudo header, header and data of a frame whose IPv4 header has no options.
#[inline]
fn udp_sum(frame: &[u8]) -> u16 {
    let udp = (frame.len().saturating_sub(UDP_AT)) as u16;
    let more = u64::from(u16::from_ne_bytes([0, 17])) + u64::from(udp.to_be());
    frame.get(ADDRESSES_AT..).map_or(0, |covered| sum(covered, more))
}

/// Fills the UDP checksum of a frame in; the field is 0 before.
#[inline]
pub fn finish(frame: &mut [u8]) {
    // A sum of 0 is sent as all ones: 0 would mean that there is no checksum (RFC 768).
    let checksum = match !udp_sum(frame) {
        0 => 0xffff,
        other => other,
    };
    if let Some(field) = frame.get_mut(UDP_AT + 6..RTP_AT) {
        field.copy_from_slice(&checksum.to_ne_bytes());
    }
}

/// The headers of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// From the IPv4 source address to the UDP destination port, as [`Path`] has them.
    pub addresses: [u8; 12],
    /// UDP destination port.
    pub port: u16,
}

/// Reads the headers of a UDP datagram without IPv4 options; `None`: it is something else.
#[inline]
pub fn headers(frame: &[u8]) -> Option<Headers> {
    let start: &[u8; RTP_AT] = frame.first_chunk()?;
    let udp = start[12] == 0x08 && start[13] == 0 && start[IP_AT] == 0x45 && start[IP_AT + 9] == 17;
    let addresses: &[u8; 12] = start.get(ADDRESSES_AT..)?.first_chunk()?;
    udp.then_some(Headers { addresses: *addresses, port: u16::from_be_bytes([addresses[10], addresses[11]]) })
}

/// Whether lengths and both checksums of a datagram are right. `frame` may have Ethernet's padding behind.
#[inline]
pub fn is_sound(frame: &[u8], len: usize) -> bool {
    let Some(frame) = frame.get(..len) else { return false };
    let Some(start) = frame.first_chunk::<RTP_AT>() else { return false };
    let ip_len = u16::from_be_bytes([start[IP_AT + 2], start[IP_AT + 3]]);
    let udp_len = u16::from_be_bytes([start[UDP_AT + 4], start[UDP_AT + 5]]);
    usize::from(ip_len) == len - IP_AT
        && usize::from(udp_len) == len - UDP_AT
        && start.get(IP_AT..UDP_AT).is_some_and(|header| sum(header, 0) == 0xffff)
        && ((start[UDP_AT + 6], start[UDP_AT + 7]) == (0, 0) || udp_sum(frame) == 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        Path {
            port: 0,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            source: "203.0.113.66:4000".parse().unwrap(),
            destination: "203.0.113.5:16384".parse().unwrap(),
        }
    }

    fn frame() -> Vec<u8> {
        let mut frame = path().headers(172).to_vec();
        frame.extend(Rtp { ssrc: 7, sequence: 65_535, timestamp: 160 }.header());
        frame.extend((0..160_u8).map(|at| at.wrapping_mul(37)));
        finish(&mut frame);
        frame
    }

    #[test]
    fn sum_is_that_of_rfc_1071() {
        let plain = |bytes: &[u8]| {
            let mut sum = bytes.chunks(2).fold(0_u32, |sum, pair| {
                sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
            });
            while sum >> 16 != 0 {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            sum as u16
        };
        let mut random = crate::pacing::Random::new(3);
        let bytes: Vec<u8> = (0..1_000).map(|_| random.number() as u8).collect();
        for len in 0..300 {
            assert_eq!(sum(&bytes[..len], 0).to_be(), plain(&bytes[..len]), "{len}");
        }
        assert_eq!(sum(&[0xff; 300], 0), 0xffff);
    }

    #[test]
    fn a_finished_frame_is_sound_and_any_changed_byte_behind_ethernet_is_not() {
        let good = frame();
        assert_eq!(good.len(), PLAIN);
        assert!(is_sound(&good, PLAIN));
        assert_eq!(headers(&good).unwrap().addresses, path().addresses());
        for at in IP_AT..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(!is_sound(&bad, PLAIN), "byte {at}");
        }
        assert!(!is_sound(&good, PLAIN + 1) && !is_sound(&good, PLAIN - 1));
    }
}
