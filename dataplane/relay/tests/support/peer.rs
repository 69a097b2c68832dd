//! An SRTP endpoint made of the srtp crate.

use pinhole_flow::slot::STREAMS;
use pinhole_flow::{MasterKey, Mki, StreamState, Suite};
use pinhole_srtp::kernels::{E_BIT, Engine, Kind, Outcome, Portable};
use pinhole_srtp::outbound::{assign_rtcp, assign_rtp};
use pinhole_srtp::{Direction, Guess, Windows, rtcp, rtp};

/// An endpoint: what it sends under one key and receives under another.
pub struct Peer {
    sending: Direction,
    sent: [StreamState; STREAMS],
    receiving: Direction,
    received: [StreamState; STREAMS],
}

/// A master key of a suite that depends on `seed`.
pub fn master(suite: Suite, seed: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..suite.key_len() + suite.salt_len())
        .map(|n| (n as u8).wrapping_mul(7).wrapping_add(seed.wrapping_mul(31)))
        .collect();
    MasterKey::new(suite, &bytes).unwrap()
}

impl Peer {
    /// An endpoint that sends under `sending` and receives under `receiving`.
    pub fn new(sending: &MasterKey, receiving: &MasterKey) -> Self {
        Self::with_mki(sending, &[], receiving)
    }

    /// The same, with an MKI in what it sends.
    pub fn with_mki(sending: &MasterKey, mki: &[u8], receiving: &MasterKey) -> Self {
        Self {
            sending: Direction::with_mki(sending, &Mki::new(mki).unwrap(), &Portable).unwrap().unwrap(),
            sent: Default::default(),
            receiving: Direction::derive(receiving, &Portable).unwrap().unwrap(),
            received: Default::default(),
        }
    }

    /// Sends under another key from now on, its indices where they were.
    pub fn rekey(&mut self, sending: &MasterKey) {
        self.sending = Direction::derive(sending, &Portable).unwrap().unwrap();
    }

    /// Begins anew: forgets the indices of what it has sent.
    pub fn restart(&mut self) {
        self.sent = Default::default();
    }

    /// Protects an RTP or RTCP packet.
    pub fn protect(&mut self, packet: &[u8]) -> Vec<u8> {
        let (kind, ssrc, payload_at, index) = if rtcp::is_rtcp(packet) {
            let ssrc = rtcp::parse(packet).unwrap().ssrc;
            (Kind::Rtcp, ssrc, 8, assign_rtcp(&mut self.sent, ssrc).unwrap())
        } else {
            let header = rtp::parse(packet).unwrap();
            let index = assign_rtp(&mut self.sent, header.ssrc, header.sequence).unwrap();
            (Kind::Rtp, header.ssrc, header.payload_at, index)
        };
        self.seal(packet, kind, payload_at, ssrc, index)
    }

    /// Authenticates an RTCP packet and leaves it unencrypted: without the E bit.
    pub fn authenticate(&mut self, report: &[u8]) -> Vec<u8> {
        let ssrc = rtcp::parse(report).unwrap().ssrc;
        let index = assign_rtcp(&mut self.sent, ssrc).unwrap() & !u64::from(E_BIT);
        self.seal(report, Kind::Rtcp, 8, ssrc, index)
    }

    fn seal(&self, packet: &[u8], kind: Kind, payload_at: usize, ssrc: u32, index: u64) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        bytes.resize(packet.len() + self.sending.overhead(kind), 0);
        let mut jobs = [self.sending.job(kind, &mut bytes, packet.len(), payload_at, ssrc, index)];
        Portable.protect(&mut jobs);
        assert_eq!(jobs[0].outcome, Outcome::Done);
        bytes
    }

    /// Unprotects a packet; `None` if it is not authentic or was seen before.
    pub fn unprotect(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = packet.to_vec();
        let (guess, payload_at) = if rtcp::is_rtcp(packet) {
            let header = rtcp::parse(packet).ok()?;
            (Guess::rtcp(&self.receiving, packet, &header)?, 8)
        } else {
            let header = rtp::parse(packet).ok()?;
            (Guess::rtp(&self.received, &header), header.payload_at)
        };
        let mut jobs =
            [self.receiving.job(guess.kind, &mut bytes, packet.len(), payload_at, guess.ssrc, guess.index)];
        Portable.unprotect(&mut jobs);
        let (outcome, len) = (jobs[0].outcome, jobs[0].len);
        if outcome != Outcome::Done {
            return None;
        }
        guess.commit(&mut self.received, &mut Windows::default()).ok()?;
        bytes.truncate(len);
        Some(bytes)
    }
}
