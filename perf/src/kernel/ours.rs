//! Our engines.

use anyhow::{Result, anyhow};
use arrayvec::ArrayVec;
use pinhole_flow::Suite;
use pinhole_srtp::kernels::{Engine, Job, Keys, Kind, Outcome, prefetch};

use super::contestant::{BURST, Contestant, Role};
use super::packets::{HEADER, Packet};
use super::session;

pub(super) struct Ours {
    engine: Box<dyn Engine>,
    role: Role,
    prefetch: bool,
    keys: Vec<Keys>,
}

impl Ours {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        suite: Suite,
        role: Role,
        flows: usize,
        prefetch: bool,
    ) -> Result<Self> {
        let expand = |flow| {
            let keys = session::keys(suite, flow)?;
            engine.expand(suite, &keys, &keys, &[]).map_err(|_| anyhow!("an empty MKI is not too long"))
        };
        let keys = (0..flows).map(expand).collect::<Result<_>>()?;
        Ok(Self { engine, role, prefetch, keys })
    }
}

impl Contestant for Ours {
    fn name(&self) -> String {
        let engine = self.engine.name();
        if self.prefetch { engine.into() } else { format!("{engine}, no prefetch") }
    }

    fn run(&mut self, packets: &mut [Packet]) -> bool {
        if self.prefetch {
            packets.iter().for_each(|packet| prefetch(&self.keys[packet.flow]));
            packets.iter().for_each(|packet| self.keys[packet.flow].prefetch(Kind::Rtp));
        }
        let mut lens = ArrayVec::<usize, BURST>::new();
        let done = {
            // Filled in place: an array of jobs that is moved costs more than a packet.
            let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
            jobs.extend(packets.iter_mut().map(|packet| Job {
                keys: &self.keys[packet.flow],
                kind: Kind::Rtp,
                len: packet.len,
                payload_at: HEADER,
                ssrc: packet.ssrc(),
                index: packet.index,
                packet: &mut packet.bytes,
                outcome: Outcome::Pending,
            }));
            match self.role {
                Role::Protect => self.engine.protect(&mut jobs),
                Role::Unprotect => self.engine.unprotect(&mut jobs),
            }
            lens.extend(jobs.iter().map(|job| job.len));
            jobs.iter().all(|job| job.outcome == Outcome::Done)
        };
        packets.iter_mut().zip(lens).for_each(|(packet, len)| packet.len = len);
        done
    }
}
