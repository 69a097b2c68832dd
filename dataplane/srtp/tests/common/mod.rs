//! What the tests share: packets, and a sender and a receiver that use the crate as the relay does.
#![allow(dead_code, reason = "each test uses its own part")]

use pinhole_flow::slot::STREAMS;
use pinhole_flow::{MasterKey, Mki, StreamState, Suite};
use pinhole_srtp::kernels::{Engine, Kind, Outcome, Portable};
use pinhole_srtp::{Direction, Guess, Refused, Windows, outbound, rtcp, rtp};

/// A packet of an SSRC with a sequence number, no CSRC, no extension.
pub fn rtp_packet(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An RTP packet with `csrcs` CSRCs and a header extension of `words` words.
pub fn rtp_packet_with(ssrc: u32, sequence: u16, csrcs: u8, words: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut packet = rtp_packet(ssrc, sequence, &[]);
    packet[0] |= csrcs;
    for csrc in 0..csrcs {
        packet.extend([0xc5, 0, 0, csrc]);
    }
    if let Some(words) = words {
        packet[0] |= 0x10;
        packet.extend([0xbe, 0xde]);
        packet.extend(words.to_be_bytes());
        packet.extend((0..words * 4).map(|at| at as u8));
    }
    packet.extend(payload);
    packet
}

/// A compound RTCP packet: a sender report and, with `extra` words, an application packet.
pub fn rtcp_packet(ssrc: u32, extra: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x11; 20]);
    if let Some(words) = extra {
        packet.extend([0x80, 204]);
        packet.extend((words + 2).to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(b"test");
        packet.extend((0..words * 4).map(|at| at as u8));
    }
    packet
}

/// Master key and salt of a suite, different for each `seed`.
pub fn key_and_salt(suite: Suite, seed: u8) -> Vec<u8> {
    let len = suite.key_len() + suite.salt_len();
    (0..len).map(|at| (at as u8).wrapping_mul(37).wrapping_add(seed)).collect()
}

/// The keys of one direction.
pub fn direction(suite: Suite, seed: u8, mki: &[u8]) -> Direction {
    let master = MasterKey::new(suite, &key_and_salt(suite, seed)).unwrap();
    Direction::with_mki(&master, &Mki::new(mki).unwrap(), &Portable).unwrap().unwrap()
}

/// Why a packet was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    Malformed,
    Crypto(Outcome),
    State(Refused),
}

/// One direction with its stream states, used the way the relay uses it.
pub struct Party {
    pub engine: Box<dyn Engine>,
    pub direction: Direction,
    pub streams: [StreamState; STREAMS],
    pub windows: Windows,
}

impl Party {
    pub fn new(suite: Suite, seed: u8, mki: &[u8]) -> Self {
        Self::on(Box::new(Portable), suite, seed, mki)
    }

    /// A party whose packets an engine does.
    pub fn on(engine: Box<dyn Engine>, suite: Suite, seed: u8, mki: &[u8]) -> Self {
        let master = MasterKey::new(suite, &key_and_salt(suite, seed)).unwrap();
        let direction = Direction::with_mki(&master, &Mki::new(mki).unwrap(), &*engine).unwrap().unwrap();
        Self { engine, direction, streams: [StreamState::default(); STREAMS], windows: Windows::default() }
    }

    pub fn protect(&mut self, plain: &[u8]) -> Result<Vec<u8>, Drop> {
        let header = rtp::parse(plain).map_err(|_| Drop::Malformed)?;
        let index =
            outbound::assign_rtp(&mut self.streams, header.ssrc, header.sequence).map_err(Drop::State)?;
        self.send(Kind::Rtp, plain, header.payload_at, header.ssrc, index)
    }

    pub fn protect_rtcp(&mut self, plain: &[u8]) -> Result<Vec<u8>, Drop> {
        let header = rtcp::parse(plain).map_err(|_| Drop::Malformed)?;
        let index = outbound::assign_rtcp(&mut self.streams, header.ssrc).map_err(Drop::State)?;
        self.send(Kind::Rtcp, plain, rtcp::FIXED, header.ssrc, index)
    }

    /// Protects under a given index.
    pub fn send(
        &self,
        kind: Kind,
        plain: &[u8],
        payload_at: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<Vec<u8>, Drop> {
        let mut packet = plain.to_vec();
        packet.resize(plain.len() + self.direction.overhead(kind), 0);
        let mut jobs = [self.direction.job(kind, &mut packet, plain.len(), payload_at, ssrc, index)];
        self.engine.protect(&mut jobs);
        assert_eq!(jobs[0].outcome, Outcome::Done);
        assert_eq!(jobs[0].len, jobs[0].packet.len());
        Ok(packet)
    }

    pub fn unprotect(&mut self, protected: &[u8]) -> Result<Vec<u8>, Drop> {
        let header = rtp::parse(protected).map_err(|_| Drop::Malformed)?;
        let guess = Guess::rtp(&self.streams, &header);
        self.receive(guess, protected, header.payload_at)
    }

    pub fn unprotect_rtcp(&mut self, protected: &[u8]) -> Result<Vec<u8>, Drop> {
        let header = rtcp::parse(protected).map_err(|_| Drop::Malformed)?;
        let guess = Guess::rtcp(&self.direction, protected, &header).ok_or(Drop::Malformed)?;
        self.receive(guess, protected, rtcp::FIXED)
    }

    /// Authenticates with one guess after the other, then commits.
    fn receive(&mut self, first: Guess, protected: &[u8], payload_at: usize) -> Result<Vec<u8>, Drop> {
        let mut packet = protected.to_vec();
        let mut guess = first;
        loop {
            let len = packet.len();
            let mut jobs =
                [self.direction.job(guess.kind, &mut packet, len, payload_at, guess.ssrc, guess.index)];
            self.engine.unprotect(&mut jobs);
            let (outcome, len) = (jobs[0].outcome, jobs[0].len);
            if outcome == Outcome::Done {
                guess.commit(&mut self.streams, &mut self.windows).map_err(Drop::State)?;
                packet.truncate(len);
                return Ok(packet);
            }
            guess = match guess.again(&self.streams, None) {
                Some(next) if outcome == Outcome::AuthFailed => next,
                _ => return Err(Drop::Crypto(outcome)),
            };
        }
    }
}
