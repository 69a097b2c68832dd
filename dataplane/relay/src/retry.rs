//! What becomes of packets that were not authentic at the first try.

use pinhole_flow::{DropCause, SessionSlot};
use pinhole_srtp::kernels::{Engine, Kind};
use pinhole_srtp::{Direction, Guess, rtcp};

use crate::admit::{Jobs, push, unprotect};
use crate::buffer::PacketBuffer;
use crate::output::Frames;
use crate::session::LegContext;
use crate::slots::live;
use crate::tables::Tables;
use crate::work::{Phase, Work, Works};

/// Gives packets that failed another index or key and unprotects them, one batch, or gives them up. Says
/// whether there were any to be unprotected.
#[cold]
pub fn retry<B: PacketBuffer>(
    works: &mut Works,
    frames: &mut Frames<B>,
    tables: &Tables,
    slots: &[SessionSlot],
    engine: &dyn Engine,
    now_ns: u64,
) -> bool {
    let mut jobs = Jobs::new();
    for (work, frame) in works.iter_mut().zip(frames.iter_mut()) {
        let Phase::Failed(cause) = work.phase else { continue };
        match again(work, frame.data(), cause, tables, slots, now_ns) {
            Some((direction, guess)) => {
                work.guess = Some(guess);
                push(work, direction, frame, &mut jobs);
            }
            // Only what is given up is worth a diagnosis.
            None if looks_plain(work, frame.data(), tables) => work.drop(DropCause::PlainOnSecure),
            None => work.drop(cause),
        }
    }
    let any = !jobs.is_empty();
    unprotect(works, jobs, engine);
    any
}

/// What to try next for a packet that failed: another index, and for a while after a change of key the
/// key before.
fn again<'a>(
    work: &mut Work,
    frame: &[u8],
    cause: DropCause,
    tables: &'a Tables,
    slots: &[SessionSlot],
    now_ns: u64,
) -> Option<(&'a Direction, Guess)> {
    let (hole, guess) = (work.pinhole?, work.guess?);
    let leg = tables.sessions.leg(hole.slot(), hole.leg())?;
    let before = leg.before.as_deref();
    if cause == DropCause::AuthFailed {
        let other = match (work.old_key, before) {
            (true, Some(before)) => guess.again(&before.streams, None).zip(before.direction.as_ref()),
            _ => {
                let live = live(slots, hole.slot(), hole.leg())?;
                let retired = leg.retired_with(guess.ssrc);
                let between = retired.or(before.map(|before| &before.streams[..]));
                guess.again(&live.inbound, between).zip(leg.inbound.as_ref())
            }
        };
        if let Some((guess, direction)) = other {
            return Some((direction, guess));
        }
    }
    let before = before.filter(|before| !work.old_key && now_ns < before.until_ns)?;
    let direction = before.direction.as_ref()?;
    work.old_key = true;
    let guess = match &work.header {
        Some(header) => Guess::rtp(&before.streams, header),
        None => {
            let packet = work.payload(frame);
            Guess::rtcp(direction, packet, &rtcp::parse(packet).ok()?)?
        }
    };
    Some((direction, guess))
}

/// Whether a packet that is not authentic was probably never meant to be: as long as the last authentic
/// one without tag and MKI, or RTCP that makes sense to its last byte. A diagnosis for the operator, who
/// has to tell a phone that forgot to encrypt from an attack; the packet is dropped either way.
fn looks_plain(work: &Work, frame: &[u8], tables: &Tables) -> bool {
    if work.is_rtcp() {
        return rtcp::check_compound(work.payload(frame)).is_ok();
    }
    let overhead = |leg: &LegContext| leg.inbound.as_ref().map_or(0, |keys| keys.overhead(Kind::Rtp));
    let leg = work.pinhole.and_then(|hole| tables.sessions.leg(hole.slot(), hole.leg()));
    leg.is_some_and(|leg| {
        leg.last_secure_len != 0 && work.wire_len + overhead(leg) == usize::from(leg.last_secure_len)
    })
}
