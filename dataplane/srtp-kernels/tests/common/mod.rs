//! What the tests of the engines share.
#![allow(dead_code, reason = "each test uses its own part")]

use pinhole_flow::Suite;
use pinhole_srtp_kernels::{E_BIT, Engine, Job, Keys, Kind, Outcome, SessionKeys};

/// Keys of session key and salt, the same for RTP and RTCP, with an authentication key of `auth`.
pub fn keys(engine: &dyn Engine, suite: Suite, key: &[u8], salt: &[u8], auth: u8, mki: &[u8]) -> Keys {
    let mut session = SessionKeys { authentication: [auth; 20], ..SessionKeys::default() };
    session.encryption[..key.len()].copy_from_slice(key);
    session.salt[..salt.len()].copy_from_slice(salt);
    engine.expand(suite, &session, &session, mki).unwrap()
}

/// Session keys that depend on `seed`, others for RTP than for RTCP.
pub fn session_keys(seed: u8) -> [SessionKeys; 2] {
    [0, 128].map(|kind| {
        let byte = |at: usize| {
            (at as u8).wrapping_mul(29).wrapping_add(seed).wrapping_add(kind) ^ seed.rotate_left(3)
        };
        SessionKeys {
            encryption: std::array::from_fn(byte),
            salt: std::array::from_fn(|at| byte(at + 40)),
            authentication: std::array::from_fn(|at| byte(at + 60)),
        }
    })
}

/// A packet, its keys and its place in the stream.
#[derive(Clone, Debug)]
pub struct Case {
    pub suite: Suite,
    pub seed: u8,
    pub mki: Vec<u8>,
    pub kind: Kind,
    pub payload_at: usize,
    /// With the E bit, for RTCP.
    pub index: u64,
    pub plain: Vec<u8>,
}

impl Case {
    /// An RTP packet of a header and a payload.
    pub fn rtp(suite: Suite, header: usize, payload: usize) -> Self {
        Self {
            suite,
            seed: payload as u8,
            mki: Vec::new(),
            kind: Kind::Rtp,
            payload_at: header,
            index: 0x1_0002_fffe + payload as u64,
            plain: bytes(header + payload),
        }
    }

    /// An RTCP packet with a body behind its header.
    pub fn rtcp(suite: Suite, encrypt: bool, body: usize) -> Self {
        let index = 5 + body as u64 + if encrypt { u64::from(E_BIT) } else { 0 };
        Self { kind: Kind::Rtcp, index, ..Self::rtp(suite, 8, body) }
    }

    pub fn with_mki(self, mki: &[u8]) -> Self {
        Self { mki: mki.to_vec(), ..self }
    }

    pub fn keys(&self, engine: &dyn Engine) -> Keys {
        let [rtp, rtcp] = session_keys(self.seed);
        engine.expand(self.suite, &rtp, &rtcp, &self.mki).unwrap()
    }

    /// Whether the payload, if there is one, is encrypted.
    pub fn encrypted(&self) -> bool {
        self.kind == Kind::Rtp || self.index & u64::from(E_BIT) != 0
    }

    pub fn protected(&self, engine: &dyn Engine) -> Packet {
        let mut packet = Packet::new(&self.plain);
        let protect = |jobs: &mut [Job<'_>]| engine.protect(jobs);
        let outcome = one(protect, &self.keys(engine), self.kind, &mut packet, self.payload_at, self.index);
        assert_eq!(outcome, Outcome::Done);
        packet
    }

    pub fn unprotect(&self, engine: &dyn Engine, packet: &mut Packet) -> Outcome {
        let unprotect = |jobs: &mut [Job<'_>]| engine.unprotect(jobs);
        one(unprotect, &self.keys(engine), self.kind, packet, self.payload_at, self.index)
    }
}

/// Bytes that are not all alike.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32).wrapping_mul(0x9e37_79b9).rotate_left(9) as u8 ^ len as u8).collect()
}

/// Runs packets of several cases through an engine as one batch.
pub fn batch(
    work: impl Fn(&mut [Job<'_>]),
    cases: &[Case],
    keys: &[Keys],
    packets: &mut [Packet],
) -> Vec<Outcome> {
    let mut jobs: Vec<Job<'_>> = (cases.iter().zip(keys).zip(&mut *packets))
        .map(|((case, keys), packet)| {
            let at = if case.kind == Kind::Rtp { 8 } else { 4 };
            Job {
                keys,
                kind: case.kind,
                len: packet.len,
                ssrc: u32::from_be_bytes(packet.buffer[at..at + 4].try_into().unwrap()),
                packet: &mut packet.buffer,
                payload_at: case.payload_at,
                index: case.index,
                outcome: Outcome::Pending,
            }
        })
        .collect();
    work(&mut jobs);
    let done: Vec<(Outcome, usize)> = jobs.iter().map(|job| (job.outcome, job.len)).collect();
    packets.iter_mut().zip(&done).for_each(|(packet, (_, len))| packet.len = *len);
    done.into_iter().map(|(outcome, _)| outcome).collect()
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
