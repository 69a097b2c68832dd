//! The middle of the way: replay, commit, learn, count, and the way out. State changes here, and only for
//! packets that are authentic, or come from the signalled address of a plain leg.

use std::num::NonZeroU64;

use arrayvec::ArrayVec;
use pinhole_flow::{DropCause, Event, EventKind, LegLive, SessionSlot};
use pinhole_srtp::kernels::Kind;
use pinhole_srtp::{Guess, highest};

use crate::admit::check_inside;
use crate::buffer::PacketBuffer;
use crate::depart::depart;
use crate::learn::{Rank, Seen, Source, learn};
use crate::network::Network;
use crate::output::{BURST_EVENTS, Frames};
use crate::pinhole::Pinhole;
use crate::session::LegContext;
use crate::slots::{shared, sides};
use crate::tables::Tables;
use crate::work::{Phase, Work, Works};

/// What [`settle`] leaves to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsettled {
    /// There are packets in [`Phase::Failed`].
    pub failed: bool,
    /// There are packets for our own media addresses.
    pub hairpins: bool,
}

/// What [`settle`] adds to.
pub struct Tally<'a> {
    /// Sources learned or moved.
    pub events: &'a mut ArrayVec<Event, BURST_EVENTS>,
    /// How many packets were accepted under the key before.
    pub old_key: &'a mut u64,
    /// IPv4 identification of the last packet that was given headers.
    pub identification: &'a mut u16,
}

/// Takes each packet that is unsealed or accepted through its session, in order of arrival: commits its
/// index, learns where it came from, counts it, gives it the headers that it leaves with and an index there.
pub fn settle<B: PacketBuffer>(
    works: &mut Works,
    frames: &mut Frames<B>,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
    now_ns: u64,
    tally: &mut Tally<'_>,
) -> Unsettled {
    let mut left = Unsettled::default();
    for (work, frame) in works.iter_mut().zip(frames.iter_mut()) {
        match work.phase {
            Phase::Unsealed | Phase::Accepted => {}
            Phase::Failed(_) => {
                left.failed = true;
                continue;
            }
            _ => continue,
        }
        let Some(hole) = work.pinhole else { continue };
        let Tables { sessions, network, .. } = &mut *tables;
        let number = sessions.number(hole.slot());
        let (Some(legs), Some(slot)) = (sessions.sides(hole.slot(), hole.leg()), shared(slots, hole.slot()))
        else {
            // Not reached: the session was there when the packet was admitted.
            work.drop(DropCause::ClosedPinhole);
            continue;
        };
        let Tally { events, old_key, identification } = tally;
        let learned = |generation| {
            let (kind, leg) = (EventKind::Learned as u32, u32::from(hole.leg()));
            let event = Event { kind, slot: number, generation, sequence: 0, detail: leg, command: 0 };
            // The slot says the same, should there be no room.
            let _ = events.try_push(event);
        };
        let next = settle_one(work, frame, hole, legs, slot, network, now_ns, identification, learned);
        **old_key += u64::from(work.old_key && next.is_ok());
        left.hairpins |= work.departure.is_some_and(|departure| departure.hairpin.is_some());
        work.proceed(next);
    }
    left
}

#[inline]
#[allow(clippy::too_many_arguments, reason = "parts of what `settle` has, borrowed one by one")]
fn settle_one<B: PacketBuffer>(
    work: &mut Work,
    frame: &mut B,
    hole: Pinhole,
    (near, far): (&mut LegContext, &mut LegContext),
    slot: &mut SessionSlot,
    network: &Network,
    now_ns: u64,
    identification: &mut u16,
    learned: impl FnOnce(u32),
) -> Result<Phase, DropCause> {
    let guess = work.guess;
    let mut moved = false;
    if let Some(guess) = &guess {
        commit(work, guess, near, sides(slot, hole.leg()).0)?;
        // A phone that is elsewhere may have the new key already.
        if !work.old_key && learn_source(work, guess, hole, near, slot, now_ns) {
            moved = true;
        }
    }
    if near.orders.latch {
        moved = latch(work, hole, near, slot, now_ns)?;
    }
    if moved {
        learned(slot.generation);
    }
    let (live, far_live) = sides(slot, hole.leg());
    count(work, near, live, now_ns);
    if guess.is_some() {
        frame.truncate(work.datagram.payload_at + work.datagram.payload_len);
        check_inside(work, work.payload(frame.data()))?;
    }
    depart(work, frame, hole, far, far_live, &mut live.stats, network, identification)
}

#[inline]
fn commit(work: &Work, guess: &Guess, leg: &mut LegContext, live: &mut LegLive) -> Result<(), DropCause> {
    if work.old_key {
        let before = leg.before.as_mut().ok_or(DropCause::AuthFailed)?;
        if before.retired.has(guess.ssrc) {
            return Err(DropCause::TooOld);
        }
        guess.commit(&mut before.streams, &mut before.windows)?;
        return Ok(());
    }
    leg.commit(guess, live)?;
    leg.recent_inbound.touch(guess.ssrc);
    if guess.kind == Kind::Rtp {
        leg.last_secure_len = work.wire_len as u16;
    }
    Ok(())
}

#[inline]
fn count(work: &Work, leg: &mut LegContext, live: &mut LegLive, now_ns: u64) {
    let stats = &mut live.stats;
    stats.last_rx_ns = now_ns;
    match &work.header {
        Some(header) => {
            stats.rx_packets += 1;
            stats.rx_bytes += work.wire_len as u64;
            leg.reception.note(header, now_ns, stats);
        }
        None => stats.rtcp_rx += 1,
    }
}

/// Learns where an authenticated packet came from. The RTCP port of a leg under rtcp-mux teaches
/// nothing: RTCP follows RTP there. True if the source was learned or has moved.
#[inline]
fn learn_source(
    work: &Work,
    guess: &Guess,
    hole: Pinhole,
    leg: &mut LegContext,
    slot: &mut SessionSlot,
    now_ns: u64,
) -> bool {
    let datagram = &work.datagram;
    if !leg.orders.learn || (hole.rtcp() && leg.orders.mux) {
        return false;
    }
    let source = if hole.rtcp() { &mut leg.rtcp_source } else { &mut leg.rtp_source };
    if let Some(source) = source
        && source.is(datagram.source, datagram.mac, datagram.vlan)
    {
        source.heard(now_ns);
        return false;
    }
    let rank = rank(sides(slot, hole.leg()).0, guess);
    let seen = Seen { address: datagram.source, mac: datagram.mac, vlan: datagram.vlan, rank };
    if !learn(source, &seen, now_ns) {
        return false;
    }
    slot.change(|slot| leg.moved(sides(slot, hole.leg()).0));
    true
}

/// Latches a plain leg to the first who sends RTP. Others of the same burst were let in before; here they are not. True if it
/// was latched.
#[cold]
fn latch(
    work: &Work,
    hole: Pinhole,
    leg: &mut LegContext,
    slot: &mut SessionSlot,
    now_ns: u64,
) -> Result<bool, DropCause> {
    let datagram = &work.datagram;
    if !leg.may_latch(datagram.source, work.is_rtcp(), work.hops > 0) {
        return Err(DropCause::WrongSource);
    }
    if leg.rtp_source.is_some() {
        return Ok(false);
    }
    leg.rtp_source = Some(Source {
        address: datagram.source,
        mac: datagram.mac,
        vlan: datagram.vlan,
        restarted: 0,
        moved_ns: NonZeroU64::new(now_ns).unwrap_or(NonZeroU64::MIN),
        heard_ns: now_ns,
    });
    slot.change(|slot| leg.moved(sides(slot, hole.leg()).0));
    Ok(true)
}

#[cold]
fn rank(live: &LegLive, guess: &Guess) -> Rank {
    // There are two after the sender has set its indices back.
    let (mut newest, mut among) = (true, false);
    for index in highest(&live.inbound, guess.ssrc, guess.kind) {
        newest &= index <= guess.index;
        among |= index == guess.index;
    }
    match (among, newest) {
        (true, true) => Rank::Newest,
        (true, false) => Rank::Restarted,
        (false, _) => Rank::Late,
    }
}
