//! Sends the flows of a port: builds frames, protects those of SRTP flows in a batch, fills the checksum in.

use arrayvec::ArrayVec;
use dpdk::{BURST, Mempool};
use pinhole_srtp::Direction;
use pinhole_srtp::kernels::{Engine, Job, Kind, prefetch};

use crate::account::Tally;
use crate::clock;
use crate::flow::Flow;
use crate::forge::Forger;
use crate::frame::{self, PAYLOAD_AT, PLAIN, RTP_AT, Rtp};
use crate::pacing::Random;
use crate::payload::{self, Stamp};
use crate::wire::{AHEAD, Wire};

/// Samples of G.711 in a packet.
const SAMPLES: u32 = payload::LEN as u32;

/// What sending a flow needs: one cache line.
#[repr(C, align(64))]
pub(crate) struct Source {
    headers: [u8; RTP_AT],
    first_sequence: u16,
    first_timestamp: u32,
    ssrc: u32,
    /// Packets sent.
    pub(crate) count: u32,
    /// Bytes of a frame.
    len: u16,
}

impl Source {
    /// The RTP header of packet `count`.
    #[inline]
    pub(crate) fn rtp(&self, count: u32) -> Rtp {
        Rtp {
            ssrc: self.ssrc,
            sequence: self.first_sequence.wrapping_add(count as u16),
            timestamp: self.first_timestamp.wrapping_add(count.wrapping_mul(SAMPLES)),
        }
    }

    /// The sequence number of the first packet.
    pub(crate) fn first_sequence(&self) -> u16 {
        self.first_sequence
    }

    /// The SRTP index of packet `count`: the ROC is 0 at the first.
    #[inline]
    fn index(&self, count: u32) -> u64 {
        u64::from(self.first_sequence) + u64::from(count)
    }
}

/// A packet that was built just now.
struct Fresh {
    flow: u32,
    count: u32,
}

/// All flows, as their senders.
pub(crate) struct Senders {
    pub(crate) sources: Vec<Source>,
    keys: Vec<Option<Direction>>,
    seed: u64,
}

impl Senders {
    pub(crate) fn new(
        flows: &[Flow],
        engine: &dyn Engine,
        random: &mut Random,
        seed: u64,
    ) -> Result<Self, pinhole_srtp::KeyError> {
        let key = |flow: &Flow| match &flow.protect {
            Some(key) => Direction::derive(key, engine),
            None => Ok(None),
        };
        let keys = flows.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let sources = flows.iter().zip(&keys).map(|(flow, key)| {
            let len = PLAIN + key.as_ref().map_or(0, |key| key.overhead(Kind::Rtp));
            Source {
                headers: flow.send.headers(len - RTP_AT),
                first_sequence: random.number() as u16,
                first_timestamp: random.number() as u32,
                ssrc: random.number() as u32,
                count: 0,
                len: len as u16,
            }
        });
        Ok(Self { sources: sources.collect(), keys, seed })
    }

    /// Builds up to `due` packets behind those that wait at the wire, in the wire's order. `listener` hears of
    /// each. Returns how many there are.
    pub(crate) fn build<'eal>(
        &mut self,
        wire: &mut Wire<'_, 'eal>,
        due: usize,
        engine: &dyn Engine,
        pool: &Mempool<'eal>,
        tally: &mut Tally,
        listener: Option<&mut (dyn Forger + '_)>,
    ) -> usize {
        let waiting = wire.out.len();
        let room = wire.out.remaining_capacity().min(due);
        let mut fresh = ArrayVec::<Fresh, BURST>::new();
        let ticks = clock::ticks();
        for _ in 0..room {
            let Some(packet) = self.next(wire, ticks, pool, tally) else { break };
            fresh.push(packet);
        }
        self.protect(wire, waiting, &fresh, engine);
        tally.sent += fresh.len() as u64;
        if let Some(listener) = listener {
            for (frame, Fresh { flow, count }) in wire.out.iter().skip(waiting).zip(&fresh) {
                listener.sent(*flow, *count, frame.data());
            }
        }
        fresh.len()
    }

    /// Builds the next plain packet behind those that wait.
    #[inline]
    fn next<'eal>(
        &mut self,
        wire: &mut Wire<'_, 'eal>,
        ticks: u64,
        pool: &Mempool<'eal>,
        tally: &mut Tally,
    ) -> Option<Fresh> {
        self.fetch(wire);
        let flow = *wire.order.get(wire.next)?;
        let source = self.sources.get_mut(flow as usize)?;
        let mut frame = pool.alloc().filter(|frame| frame.tailroom() >= usize::from(source.len));
        let Some(bytes) = frame.as_mut().and_then(|frame| frame.grow(usize::from(source.len))) else {
            tally.no_buffer += 1;
            return None;
        };
        let (head, rest) = bytes.split_at_mut(RTP_AT);
        head.copy_from_slice(&source.headers);
        let (rtp, rest) = rest.split_at_mut(PAYLOAD_AT - RTP_AT);
        rtp.copy_from_slice(&source.rtp(source.count).header());
        if let Some(payload) = rest.first_chunk_mut() {
            payload::fill(payload, self.seed, Stamp { ticks, flow, count: source.count });
        }
        let fresh = Fresh { flow, count: source.count };
        source.count = source.count.wrapping_add(1);
        wire.advance();
        wire.out.extend(frame);
        Some(fresh)
    }

    /// Fetches what the flows that are next but some need: first their state, then what it points to.
    #[inline]
    fn fetch(&self, wire: &Wire<'_, '_>) {
        let ahead = |packets: usize| wire.order.get(wire.next + packets).map(|flow| *flow as usize);
        if let Some(flow) = ahead(AHEAD) {
            self.sources.get(flow).into_iter().for_each(prefetch);
            self.keys.get(flow).into_iter().for_each(prefetch);
        }
        if let Some(Some(key)) = ahead(AHEAD / 2).and_then(|flow| self.keys.get(flow)) {
            key.prefetch(Kind::Rtp);
        }
    }

    /// Protects the new packets of SRTP flows and fills the checksums in.
    fn protect(&self, wire: &mut Wire<'_, '_>, waiting: usize, fresh: &[Fresh], engine: &dyn Engine) {
        let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
        for (frame, Fresh { flow, count }) in wire.out.iter_mut().skip(waiting).zip(fresh) {
            let at = *flow as usize;
            let (Some(source), Some(Some(key))) = (self.sources.get(at), self.keys.get(at)) else { continue };
            let Some(packet) = frame.data_mut().get_mut(RTP_AT..) else { continue };
            let index = source.index(*count);
            jobs.push(key.job(Kind::Rtp, packet, PLAIN - RTP_AT, PAYLOAD_AT - RTP_AT, source.ssrc, index));
        }
        if !jobs.is_empty() {
            engine.protect(&mut jobs);
        }
        drop(jobs);
        for frame in wire.out.iter_mut().skip(waiting) {
            frame::finish(frame.data_mut());
        }
    }
}
