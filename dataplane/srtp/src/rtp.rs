//! The RTP header (RFC 3550 section 5.1), with strict bounds.

/// Length of the fixed header in bytes.
pub const FIXED: usize = 12;

/// The header of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Padding bit. How much padding there is, the packet's last byte says, once it is decrypted:
    /// see [`Header::padding_fits`].
    pub padding: bool,
    /// Where the payload starts: behind CSRCs and header extension.
    pub payload_at: usize,
}

/// Why a packet is not RTP or RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than the fixed header.
    #[error("packet shorter than the fixed header")]
    TooShort,
    /// Version other than 2.
    #[error("version other than 2")]
    Version,
    /// The CSRC list ends behind the packet.
    #[error("CSRC list longer than the packet")]
    Csrc,
    /// The header extension ends behind the packet.
    #[error("header extension longer than the packet")]
    Extension,
    /// RTCP: a packet type outside 192 to 223.
    #[error("RTCP packet type outside 192 to 223")]
    PacketType,
    /// RTCP: a length field that the packet contradicts.
    #[error("RTCP length field contradicts the packet's length")]
    Length,
    /// The padding count is 0 or more than the payload.
    #[error("padding longer than the payload")]
    Padding,
}

/// Parses the header of an RTP or SRTP packet. What SRTP encrypts is not looked at.
#[inline]
pub fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let fixed: &[u8; FIXED] = packet.first_chunk().ok_or(Malformed::TooShort)?;
    let [flags, kind, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = *fixed;
    if flags >> 6 != 2 {
        return Err(Malformed::Version);
    }
    let mut payload_at = FIXED + 4 * usize::from(flags & 0x0f);
    if payload_at > packet.len() {
        return Err(Malformed::Csrc);
    }
    if flags & 0x10 != 0 {
        let extension =
            packet.get(payload_at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed::Extension)?;
        let [_, _, high, low] = *extension;
        payload_at += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        if payload_at > packet.len() {
            return Err(Malformed::Extension);
        }
    }
    Ok(Header {
        ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        payload_type: kind & 0x7f,
        marker: kind & 0x80 != 0,
        padding: flags & 0x20 != 0,
        payload_at,
    })
}

impl Header {
    /// Checks the padding count of a plain (or decrypted) packet, the one this header was parsed of.
    #[inline]
    pub fn padding_fits(&self, packet: &[u8]) -> Result<(), Malformed> {
        if !self.padding {
            return Ok(());
        }
        let payload = packet.get(self.payload_at..).unwrap_or_default();
        match payload.last() {
            Some(count) if *count > 0 && usize::from(*count) <= payload.len() => Ok(()),
            _ => Err(Malformed::Padding),
        }
    }
}
