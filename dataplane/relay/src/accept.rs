//! Second half of the way in: authenticate, replay, commit, learn. State changes here, and only for
//! packets that are authentic, or come from the signalled address of a plain leg.

use arrayvec::ArrayVec;
use pinhole_flow::{DropCause, Event, EventKind, LegLive, SessionSlot};
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome};
use pinhole_srtp::{Guess, rtcp};

use crate::admit::check_inside;
use crate::buffer::PacketBuffer;
use crate::learn::{Rank, Seen, learn};
use crate::output::{BURST, BURST_EVENTS, Frames};
use crate::pinhole::Pinhole;
use crate::recent::in_use;
use crate::session::LegContext;
use crate::slots::{live, shared};
use crate::tables::Tables;
use crate::work::{Phase, Work, Works};

/// Unprotects what is sealed, one batch, and says how many packets that were.
pub fn unprotect<B: PacketBuffer>(
    works: &mut Works,
    frames: &mut Frames<B>,
    tables: &Tables,
    engine: &dyn Engine,
) -> usize {
    let mut jobs: ArrayVec<Job<'_>, BURST> = ArrayVec::new();
    for (work, frame) in works.iter_mut().zip(frames.iter_mut()) {
        let Phase::Sealed(guess) = work.phase else { continue };
        let direction = leg_of(work, tables).and_then(|leg| match work.old_key {
            true => leg.before.as_ref().and_then(|before| before.direction.as_ref()),
            false => leg.inbound.as_ref(),
        });
        let packet = work.payload_mut(frame.data_mut(), 0);
        let (Some(direction), Some(packet)) = (direction, packet) else {
            // Not reached: both were there when the packet was admitted.
            work.drop(DropCause::AuthFailed);
            continue;
        };
        let len = packet.len();
        jobs.push(direction.job(guess.kind, packet, len, work.encrypted_at(), guess.ssrc, guess.index));
    }
    engine.unprotect(&mut jobs);
    let outcomes: ArrayVec<(Outcome, usize), BURST> = jobs.iter().map(|job| (job.outcome, job.len)).collect();
    drop(jobs);
    let done = outcomes.len();
    let sealed = works.iter_mut().zip(frames.iter_mut());
    let sealed = sealed.filter(|(work, _)| matches!(work.phase, Phase::Sealed(_)));
    for ((work, frame), (outcome, len)) in sealed.zip(outcomes) {
        unseal(work, frame, outcome, len);
    }
    done
}

/// Notes an engine's verdict. A packet that fails is left as it was: another index or key may fit.
fn unseal<B: PacketBuffer>(work: &mut Work, frame: &mut B, outcome: Outcome, len: usize) {
    let Phase::Sealed(guess) = work.phase else { return };
    work.phase = match outcome {
        Outcome::Done => {
            work.datagram.payload_len = len;
            frame.truncate(work.datagram.payload_at + len);
            Phase::Unsealed(guess)
        }
        Outcome::MkiMismatch => Phase::Failed(guess, DropCause::MkiMismatch),
        Outcome::TooShort => Phase::Failed(guess, DropCause::PlainOnSecure),
        Outcome::AuthFailed | Outcome::Pending | Outcome::NoRoom | Outcome::ForeignKeys => {
            Phase::Failed(guess, DropCause::AuthFailed)
        }
    }
}

/// Commits what is unsealed, and gives what failed another index or key, or up. In order of arrival.
/// Returns how many packets were accepted under the key before.
pub fn commit<B: PacketBuffer>(
    works: &mut Works,
    frames: &Frames<B>,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
    now_ns: u64,
) -> u64 {
    let mut old_key = 0;
    for work in works.iter_mut() {
        if let Phase::Unsealed(guess) = work.phase {
            let next = commit_one(work, &guess, tables, slots);
            old_key += u64::from(work.old_key && next.is_ok());
            work.proceed(next);
        }
    }
    for (work, frame) in works.iter_mut().zip(frames) {
        if let Phase::Failed(guess, cause) = work.phase {
            let next = try_again(work, frame.data(), &guess, cause, tables, slots, now_ns);
            // Only what is given up is worth a diagnosis.
            let next = next.ok_or_else(|| match looks_plain(work, frame.data(), tables) {
                true => DropCause::PlainOnSecure,
                false => cause,
            });
            work.proceed(next.map(Phase::Sealed));
        }
    }
    old_key
}

fn commit_one(
    work: &Work,
    guess: &Guess,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
) -> Result<Phase, DropCause> {
    let hole = work.pinhole.ok_or(DropCause::ClosedPinhole)?;
    let live = live(slots, hole.slot, hole.leg).ok_or(DropCause::ClosedPinhole)?;
    let leg = tables.leg_mut(hole.slot, hole.leg).ok_or(DropCause::ClosedPinhole)?;
    if work.old_key {
        let before = leg.before.as_mut().ok_or(DropCause::AuthFailed)?;
        guess.commit(&mut before.streams, &mut before.windows)?;
        return Ok(Phase::Committed(*guess));
    }
    guess.commit(&mut live.inbound, &mut leg.windows)?;
    leg.recent_inbound.touch(guess.ssrc);
    if guess.kind == Kind::Rtp {
        leg.last_secure_len = work.wire_len as u16;
    }
    Ok(Phase::Committed(*guess))
}

/// What to try next for a packet that failed: another index, and for a while after a change of key the
/// key before.
fn try_again(
    work: &mut Work,
    frame: &[u8],
    guess: &Guess,
    cause: DropCause,
    tables: &Tables,
    slots: &mut [SessionSlot],
    now_ns: u64,
) -> Option<Guess> {
    let hole = work.pinhole?;
    let before = tables.leg(hole.slot, hole.leg)?.before.as_deref();
    if cause == DropCause::AuthFailed {
        let again = match (work.old_key, before) {
            (true, Some(before)) => guess.again(&before.streams, None),
            _ => {
                let live = live(slots, hole.slot, hole.leg)?;
                guess.again(&live.inbound, before.map(|before| &before.streams[..]))
            }
        };
        if again.is_some() {
            return again;
        }
    }
    let before = before.filter(|before| !work.old_key && now_ns < before.until_ns)?;
    let direction = before.direction.as_ref()?;
    work.old_key = true;
    match &work.header {
        Some(header) => Some(Guess::rtp(&before.streams, header)),
        None => {
            let packet = work.payload(frame);
            Guess::rtcp(direction, packet, &rtcp::parse(packet).ok()?)
        }
    }
}

/// Learns from what was committed, counts it and what was plain from the start, and gives it all the
/// same standing.
pub fn accept<B: PacketBuffer>(
    works: &mut Works,
    frames: &Frames<B>,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
    now_ns: u64,
    events: &mut ArrayVec<Event, BURST_EVENTS>,
) {
    for (work, frame) in works.iter_mut().zip(frames) {
        let guess = match work.phase {
            Phase::Committed(guess) => Some(guess),
            Phase::Accepted => None,
            _ => continue,
        };
        let Some(hole) = work.pinhole else { continue };
        // A phone that is elsewhere may have the new key already.
        if let Some(guess) = guess.filter(|_| !work.old_key) {
            learn_source(work, &guess, hole, tables, slots, now_ns, events);
        }
        let (Some(leg), Some(live)) = (tables.leg_mut(hole.slot, hole.leg), live(slots, hole.slot, hole.leg))
        else {
            continue;
        };
        count(work, leg, live, now_ns);
        let inside = match guess {
            Some(_) => check_inside(work, work.payload(frame.data())),
            None => Ok(()),
        };
        work.proceed(inside.map(|()| Phase::Accepted));
    }
}

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
/// nothing: RTCP follows RTP there.
fn learn_source(
    work: &Work,
    guess: &Guess,
    hole: Pinhole,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
    now_ns: u64,
    events: &mut ArrayVec<Event, BURST_EVENTS>,
) {
    let number = tables.number(hole.slot);
    let Some(context) = tables.context_mut(hole.slot) else { return };
    let generation = context.generation;
    let Some(leg) = context.legs.get_mut(usize::from(hole.leg)) else { return };
    let datagram = &work.datagram;
    if !leg.orders.learn || (hole.rtcp && leg.orders.mux) {
        return;
    }
    let source = if hole.rtcp { &mut leg.rtcp_source } else { &mut leg.rtp_source };
    if let Some(source) = source
        && source.is(datagram.source, datagram.mac, datagram.vlan)
    {
        source.heard_ns = now_ns;
        return;
    }
    let Some(live) = live(slots, hole.slot, hole.leg) else { return };
    let seen =
        Seen { address: datagram.source, mac: datagram.mac, vlan: datagram.vlan, rank: rank(live, guess) };
    if !learn(source, &seen, now_ns) {
        return;
    }
    if let Some(entry) = shared(slots, hole.slot) {
        entry.change(|shared| shared.live.get_mut(usize::from(hole.leg)).map(|live| leg.publish(live)));
    }
    let event = Event {
        kind: EventKind::Learned as u32,
        slot: number,
        generation,
        sequence: 0,
        detail: u32::from(hole.leg),
        command: 0,
    };
    // The slot says the same, should there be no room.
    let _ = events.try_push(event);
}

fn rank(live: &LegLive, guess: &Guess) -> Rank {
    let of_stream = live.inbound.iter().filter(|state| in_use(state) && state.ssrc == guess.ssrc);
    let highest = of_stream.map(|state| match guess.kind {
        Kind::Rtp => state.index,
        Kind::Rtcp => u64::from(state.rtcp_index),
    });
    // There are two after the sender has set its sequence numbers back.
    let (mut newest, mut among) = (true, false);
    for index in highest {
        newest &= index <= guess.index;
        among |= index == guess.index;
    }
    match (among, newest) {
        (true, true) => Rank::Newest,
        (true, false) => Rank::Restarted,
        (false, _) => Rank::Late,
    }
}

/// Whether a packet that is not authentic was probably never meant to be: as long as the last authentic
/// one without tag and MKI, or RTCP that makes sense to its last byte. A diagnosis for the operator, who
/// has to tell a phone that forgot to encrypt from an attack; the packet is dropped either way.
fn looks_plain(work: &Work, frame: &[u8], tables: &Tables) -> bool {
    if work.is_rtcp() {
        return rtcp::check_compound(work.payload(frame)).is_ok();
    }
    leg_of(work, tables).is_some_and(|leg| {
        let overhead = leg.inbound.as_ref().map_or(0, |direction| direction.overhead(Kind::Rtp));
        leg.last_secure_len != 0 && work.wire_len + overhead == usize::from(leg.last_secure_len)
    })
}

fn leg_of<'a>(work: &Work, tables: &'a Tables) -> Option<&'a LegContext> {
    let hole = work.pinhole?;
    tables.leg(hole.slot, hole.leg)
}
