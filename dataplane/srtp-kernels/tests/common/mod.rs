//! What the tests of the engines share.

use pinhole_flow::Suite;
use pinhole_srtp_kernels::{Engine, Job, Keys, Kind, Outcome, SessionKeys};

/// Keys of session key and salt, the same for RTP and RTCP, with an authentication key of `auth`.
pub fn keys(engine: &dyn Engine, suite: Suite, key: &[u8], salt: &[u8], auth: u8, mki: &[u8]) -> Keys {
    let mut session = SessionKeys { authentication: [auth; 20], ..SessionKeys::default() };
    session.encryption[..key.len()].copy_from_slice(key);
    session.salt[..salt.len()].copy_from_slice(salt);
    engine.expand(suite, &session, &session, mki).unwrap()
}

/// A packet with room behind it for any trailer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub buffer: Vec<u8>,
    pub len: usize,
}

impl Packet {
    pub fn new(bytes: &[u8]) -> Self {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + 160, 0);
        Self { buffer, len: bytes.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Runs one job through `work` and returns its outcome.
pub fn one(
    work: impl Fn(&mut [Job<'_>]),
    keys: &Keys,
    kind: Kind,
    packet: &mut Packet,
    payload_at: usize,
    index: u64,
) -> Outcome {
    let at = if kind == Kind::Rtp { 8 } else { 4 };
    let ssrc = packet.buffer[at..at + 4].try_into().map_or(0, u32::from_be_bytes);
    let mut jobs = [Job {
        keys,
        kind,
        len: packet.len,
        packet: &mut packet.buffer,
        payload_at,
        ssrc,
        index,
        outcome: Outcome::Pending,
    }];
    work(&mut jobs);
    let [job] = jobs;
    packet.len = job.len;
    job.outcome
}
