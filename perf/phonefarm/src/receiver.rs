//! Receives at a port: finds each frame's flow, authenticates and decrypts SRTP in a batch, and checks
//! headers, checksums, RTP header and payload byte for byte.

use arrayvec::ArrayVec;
use dpdk::{BURST, Mbuf, free_bulk};
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome, prefetch};
use pinhole_srtp::{Direction, KeyError};

use crate::account::{Sequence, Tally};
use crate::clock::{self, Clock};
use crate::flow::Flow;
use crate::frame::{self, PAYLOAD_AT, PLAIN, RTP_AT};
use crate::payload;
use crate::sender::Source;
use crate::wire::Wire;

/// What checking a flow needs: one cache line.
#[repr(C, align(64))]
pub(crate) struct Stream {
    sequence: Sequence,
    /// Received packets that were right, in this run.
    pub(crate) received: u32,
    /// Bytes of a frame.
    len: u16,
    first_sequence: u16,
    addresses: [u8; 12],
    mac: [u8; 6],
}

/// A frame that belongs to a flow.
struct Arrival {
    flow: u32,
    /// Whether nothing was found wrong so far.
    good: bool,
}

impl Stream {
    /// A new run begins: what was sent before packet `count` does not count any more.
    pub(crate) fn begin(&mut self, count: u32) {
        self.sequence.begin(count);
        self.received = 0;
    }
}

/// All flows, as their receivers.
pub(crate) struct Receivers {
    pub(crate) streams: Vec<Stream>,
    keys: Vec<Option<Direction>>,
    seed: u64,
}

impl Receivers {
    pub(crate) fn new(
        flows: &[Flow],
        sources: &[Source],
        engine: &dyn Engine,
        seed: u64,
    ) -> Result<Self, KeyError> {
        let key = |flow: &Flow| match &flow.unprotect {
            Some(key) => Direction::derive(key, engine),
            None => Ok(None),
        };
        let keys = flows.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let streams = flows.iter().zip(&keys).zip(sources).map(|((flow, key), source)| Stream {
            sequence: Sequence::default(),
            received: 0,
            len: (PLAIN + key.as_ref().map_or(0, |key| key.overhead(Kind::Rtp))) as u16,
            first_sequence: source.first_sequence(),
            addresses: flow.expect.addresses(),
            mac: flow.expect.destination_mac,
        });
        Ok(Self { streams: streams.collect(), keys, seed })
    }

    /// Receives a burst and accounts for it. Datagrams that no flow expects go to `stranger`. Returns how many
    /// frames there were.
    pub(crate) fn burst<'eal>(
        &mut self,
        wire: &mut Wire<'_, 'eal>,
        sources: &[Source],
        engine: &dyn Engine,
        clock: &Clock,
        tally: &mut Tally,
        stranger: &mut dyn FnMut(&[u8]),
    ) -> usize {
        let mut frames = ArrayVec::<Mbuf<'eal>, BURST>::new();
        let count = wire.queue.rx_burst(&mut frames);
        if count == 0 {
            return 0;
        }
        let now = clock::ticks();
        frames.iter().for_each(|frame| prefetch(frame.data()));
        let mut arrivals = self.sort(wire, &mut frames, tally, stranger);
        self.look(&frames, &mut arrivals, tally);
        self.unprotect(&mut frames, &mut arrivals, engine, tally);
        for (frame, arrival) in frames.iter().zip(&arrivals).filter(|(_, arrival)| arrival.good) {
            self.check(frame.data(), arrival.flow, sources, clock, now, tally);
        }
        free_bulk(&mut frames);
        count
    }

    /// Keeps the frames that belong to flows, and fetches these flows' state into the cache.
    #[inline]
    fn sort(
        &self,
        wire: &Wire<'_, '_>,
        frames: &mut ArrayVec<Mbuf<'_>, BURST>,
        tally: &mut Tally,
        stranger: &mut dyn FnMut(&[u8]),
    ) -> ArrayVec<Arrival, BURST> {
        let mut arrivals = ArrayVec::new();
        frames.retain(|frame| {
            let headers = frame::headers(frame.data());
            let flow = headers.and_then(|headers| wire.expected(headers.port));
            let Some((flow, stream)) = flow.and_then(|flow| Some((flow, self.streams.get(flow as usize)?)))
            else {
                if headers.is_some() {
                    tally.unexpected += 1;
                    stranger(frame.data());
                } else {
                    tally.other_frames += 1;
                }
                return false;
            };
            prefetch(stream);
            self.keys.get(flow as usize).into_iter().for_each(prefetch);
            arrivals.push(Arrival { flow, good: false });
            true
        });
        arrivals
    }

    /// Checks what surrounds the RTP packet.
    #[inline]
    fn look(&self, frames: &[Mbuf<'_>], arrivals: &mut [Arrival], tally: &mut Tally) {
        for (frame, arrival) in frames.iter().zip(arrivals) {
            let frame = frame.data();
            let at = arrival.flow as usize;
            let Some(stream) = self.streams.get(at) else { continue };
            if let Some(Some(key)) = self.keys.get(at) {
                key.prefetch(Kind::Rtp);
            }
            let addressed = frame::headers(frame)
                .is_some_and(|headers| headers.addresses == stream.addresses)
                && frame.starts_with(&stream.mac);
            if !addressed {
                tally.wrong_headers += 1;
            } else if !frame::is_sound(frame, usize::from(stream.len)) {
                tally.wrong_checksum += 1;
            } else {
                arrival.good = true;
            }
        }
    }

    /// Authenticates and decrypts what came on SRTP flows.
    #[inline]
    fn unprotect(
        &self,
        frames: &mut [Mbuf<'_>],
        arrivals: &mut [Arrival],
        engine: &dyn Engine,
        tally: &mut Tally,
    ) {
        let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
        let mut places = ArrayVec::<&mut Arrival, BURST>::new();
        for (frame, arrival) in frames.iter_mut().zip(arrivals).filter(|(_, arrival)| arrival.good) {
            let at = arrival.flow as usize;
            let (Some(stream), Some(Some(key))) = (self.streams.get(at), self.keys.get(at)) else { continue };
            let len = usize::from(stream.len);
            let Some(packet) = frame.data_mut().get_mut(RTP_AT..len) else { continue };
            let Some(&[_, _, s0, s1, _, _, _, _, r0, r1, r2, r3]) = packet.first_chunk() else { continue };
            let sequence = u16::from_be_bytes([s0, s1]);
            // A number before the first belongs to no packet: it fails to authenticate.
            let number = stream.sequence.number(stream.first_sequence, sequence).unwrap_or(u32::MAX);
            let index = u64::from(stream.first_sequence) + u64::from(number);
            let ssrc = u32::from_be_bytes([r0, r1, r2, r3]);
            jobs.push(key.job(Kind::Rtp, packet, len - RTP_AT, PAYLOAD_AT - RTP_AT, ssrc, index));
            places.push(arrival);
        }
        if jobs.is_empty() {
            return;
        }
        engine.unprotect(&mut jobs);
        for (job, arrival) in jobs.iter().zip(places) {
            if job.outcome != Outcome::Done {
                arrival.good = false;
                tally.auth_failed += 1;
            }
        }
    }

    /// Checks RTP header and payload, and notes the packet as received.
    #[inline]
    fn check(
        &mut self,
        frame: &[u8],
        flow: u32,
        sources: &[Source],
        clock: &Clock,
        now: u64,
        tally: &mut Tally,
    ) {
        let payload = frame.get(PAYLOAD_AT..).and_then(|rest| rest.first_chunk());
        let stamp = payload.and_then(|payload| payload::check(payload, self.seed));
        let Some(stamp) = stamp.filter(|stamp| stamp.flow == flow) else {
            tally.wrong_payload += 1;
            return;
        };
        let (Some(source), Some(stream)) = (sources.get(flow as usize), self.streams.get_mut(flow as usize))
        else {
            return;
        };
        if frame.get(RTP_AT..PAYLOAD_AT) != Some(&source.rtp(stamp.count).header()) {
            tally.wrong_rtp += 1;
            return;
        }
        let verdict = stream.sequence.receive(stamp.count);
        stream.received += u32::from(verdict.is_first());
        tally.receive(verdict, clock.nanoseconds(now.saturating_sub(stamp.ticks)));
    }
}
