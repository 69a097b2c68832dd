//! The RTCP header (RFC 3550 section 6.4), with strict bounds.

use crate::rtp::Malformed;

/// Length of the header that SRTCP leaves in clear, in bytes.
pub const FIXED: usize = 8;

/// The header of the first packet of a compound RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// SSRC of the packet's sender.
    pub ssrc: u32,
    /// Packet type: 200 sender report, 201 receiver report and so on.
    pub packet_type: u8,
    /// Length of the first packet in bytes, header included.
    pub first_len: usize,
}

/// Whether a packet on a port shared by RTP and RTCP is RTCP (RFC 5761 section 4): by its second
/// byte, 192 to 223. Says nothing about whether it is well formed.
#[inline]
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [_, 192..=223, ..])
}

/// Parses the header of an RTCP or SRTCP packet. What SRTCP encrypts is not looked at.
pub fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let fixed: &[u8; FIXED] = packet.first_chunk().ok_or(Malformed::TooShort)?;
    let [flags, packet_type, l0, l1, r0, r1, r2, r3] = *fixed;
    if flags >> 6 != 2 {
        return Err(Malformed::Version);
    }
    if !is_rtcp(packet) {
        return Err(Malformed::PacketType);
    }
    let first_len = 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
    if first_len < FIXED || first_len > packet.len() {
        return Err(Malformed::Length);
    }
    Ok(Header { ssrc: u32::from_be_bytes([r0, r1, r2, r3]), packet_type, first_len })
}

/// Checks that a plain (or decrypted) compound packet is made of whole RTCP packets, the last of
/// which alone may be padded (RFC 3550 appendix A.2; reduced-size packets of RFC 5506 pass).
pub fn check_compound(packet: &[u8]) -> Result<(), Malformed> {
    let mut rest = packet;
    loop {
        let [flags, _, l0, l1] = *rest.first_chunk().ok_or(Malformed::TooShort)?;
        if flags >> 6 != 2 {
            return Err(Malformed::Version);
        }
        if !is_rtcp(rest) {
            return Err(Malformed::PacketType);
        }
        let len = 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let (packet, next) = rest.split_at_checked(len).ok_or(Malformed::Length)?;
        if flags & 0x20 != 0 {
            let count = packet.last().map_or(0, |count| usize::from(*count));
            if !next.is_empty() || count == 0 || count > len - 4 {
                return Err(Malformed::Padding);
            }
        }
        if next.is_empty() {
            return Ok(());
        }
        rest = next;
    }
}
