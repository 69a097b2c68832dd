//! SRTP of a sender that is free in what it sends: any index, any header that parses.

use pinhole_flow::{MasterKey, Mki};
use pinhole_srtp::kernels::{E_BIT, Engine, Kind, Outcome, Portable};
use pinhole_srtp::{Direction, rtcp, rtp};

/// Which packet of which stream, under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// RTCP.
    pub rtcp: bool,
    /// SSRC.
    pub ssrc: u32,
    /// Packet index.
    pub index: u64,
}

/// Protects packets under a key.
pub struct Sealer(Direction);

impl Sealer {
    /// A sender under this key, with this MKI in its packets.
    pub fn new(key: &MasterKey, mki: &Mki) -> Self {
        Self(Direction::with_mki(key, mki, &Portable).unwrap().unwrap())
    }

    /// Protects a packet under rollover counter `roc`, or as RTCP under the index `roc`. `None` if its header
    /// does not parse: such a packet cannot be protected.
    pub fn seal(&self, packet: &[u8], roc: u32) -> Option<(Vec<u8>, Identity)> {
        let (kind, ssrc, payload_at, index) = if rtcp::is_rtcp(packet) {
            let header = rtcp::parse(packet).ok()?;
            (Kind::Rtcp, header.ssrc, rtcp::FIXED, u64::from(roc & !E_BIT))
        } else {
            let header = rtp::parse(packet).ok()?;
            (Kind::Rtp, header.ssrc, header.payload_at, u64::from(roc) << 16 | u64::from(header.sequence))
        };
        let word = if kind == Kind::Rtcp { u64::from(E_BIT) } else { 0 };
        let mut bytes = packet.to_vec();
        bytes.resize(packet.len() + self.0.overhead(kind), 0);
        let mut jobs = [self.0.job(kind, &mut bytes, packet.len(), payload_at, ssrc, index | word)];
        Portable.protect(&mut jobs);
        assert_eq!(jobs[0].outcome, Outcome::Done);
        Some((bytes, Identity { rtcp: kind == Kind::Rtcp, ssrc, index }))
    }
}
