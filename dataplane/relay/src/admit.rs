//! First half of the way in: header bounds, source, index, authentication. Nothing here changes any state.

use arrayvec::ArrayVec;
use pinhole_flow::{DropCause, SessionSlot};
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome};
use pinhole_srtp::{Direction, Guess, rtcp, rtp};

use crate::buffer::PacketBuffer;
use crate::network::Network;
use crate::output::{BURST, Frames};
use crate::session::{LegContext, never_remote};
use crate::slots;
use crate::tables::Tables;
use crate::warm::warm_sessions;
use crate::work::{Phase, Work, Works};

/// Packets for the engine.
pub type Jobs<'a> = ArrayVec<Job<'a>, BURST>;

/// Takes the packets that have arrived as far as the engine: a job for each in [`Phase::Sealed`].
pub fn admit<'a, B: PacketBuffer>(
    works: &mut Works,
    frames: &'a mut Frames<B>,
    tables: &'a Tables,
    slots: &[SessionSlot],
) -> Jobs<'a> {
    let mut jobs = Jobs::new();
    warm_sessions(works, tables, slots);
    for (work, frame) in works.iter_mut().zip(frames.iter_mut()) {
        if work.phase != Phase::Arrived {
            continue;
        }
        match admit_one(work, frame.data(), tables, slots) {
            Ok(None) => work.phase = Phase::Accepted,
            Ok(Some(direction)) => push(work, direction, frame, &mut jobs),
            Err(cause) => work.drop(cause),
        }
    }
    jobs
}

/// Adds the job of a packet whose index was guessed.
#[inline]
pub fn push<'a, B: PacketBuffer>(
    work: &mut Work,
    direction: &'a Direction,
    frame: &'a mut B,
    jobs: &mut Jobs<'a>,
) {
    let (Some(guess), Some(packet)) = (work.guess, work.payload_mut(frame.data_mut(), 0)) else {
        // Not reached: the datagram lies within its frame.
        return work.drop(DropCause::RtpMalformed);
    };
    let len = packet.len();
    jobs.push(direction.job(guess.kind, packet, len, work.encrypted_at(), guess.ssrc, guess.index));
    work.phase = Phase::Sealed;
}

/// Unprotects what is sealed, one batch, and notes the engine's verdicts. A packet that fails is left as it
/// was: another index or key may fit.
pub fn unprotect(works: &mut Works, mut jobs: Jobs<'_>, engine: &dyn Engine) {
    engine.unprotect(&mut jobs);
    let sealed = works.iter_mut().filter(|work| work.phase == Phase::Sealed);
    for (work, job) in sealed.zip(&jobs) {
        work.phase = match job.outcome {
            Outcome::Done => {
                work.datagram.payload_len = job.len;
                Phase::Unsealed
            }
            Outcome::MkiMismatch => Phase::Failed(DropCause::MkiMismatch),
            Outcome::TooShort => Phase::Failed(DropCause::PlainOnSecure),
            Outcome::AuthFailed | Outcome::Pending | Outcome::NoRoom | Outcome::ForeignKeys => {
                Phase::Failed(DropCause::AuthFailed)
            }
        };
    }
}

/// Reads a packet's clear header, with its bounds, and guesses its index. The keys that it is to be tried
/// with; `None` if it is plain, as it should be.
#[inline]
fn admit_one<'a>(
    work: &mut Work,
    frame: &[u8],
    tables: &'a Tables,
    slots: &[SessionSlot],
) -> Result<Option<&'a Direction>, DropCause> {
    let pinhole = work.pinhole.ok_or(DropCause::ClosedPinhole)?;
    let leg = tables.sessions.leg(pinhole.slot(), pinhole.leg());
    let leg = leg.filter(|leg| leg.orders.open).ok_or(DropCause::ClosedPinhole)?;
    let packet = work.payload(frame);
    work.kind = kind(packet, pinhole.rtcp(), leg.orders.mux)?;
    check_source(work, leg, &tables.network)?;
    // A secure leg without a key to check with accepts nothing.
    let direction = if leg.orders.secure { Some(leg.inbound.as_ref()) } else { None };
    let live = slots::live(slots, pinhole.slot(), pinhole.leg()).ok_or(DropCause::ClosedPinhole)?;
    match work.kind {
        Kind::Rtp => {
            let header = rtp::parse(packet).map_err(|_| DropCause::RtpMalformed)?;
            work.ssrc = header.ssrc;
            work.header = Some(header);
            if direction.is_some() {
                work.guess = Some(Guess::rtp(&live.inbound, &header));
            }
        }
        Kind::Rtcp => {
            let header = rtcp::parse(packet).map_err(|_| DropCause::RtpMalformed)?;
            work.ssrc = header.ssrc;
            work.header = None;
            if let Some(keys) = direction.flatten() {
                work.guess = Some(Guess::rtcp(keys, packet, &header).ok_or(DropCause::PlainOnSecure)?);
            }
        }
    }
    match direction {
        Some(keys) => keys.ok_or(DropCause::AuthFailed).map(Some),
        None => check_inside(work, packet).map(|()| None),
    }
}

/// RTP or RTCP: by the port, or under rtcp-mux on the RTP port by the packet (RFC 5761).
#[inline]
fn kind(packet: &[u8], rtcp_port: bool, mux: bool) -> Result<Kind, DropCause> {
    match (rtcp_port, rtcp::is_rtcp(packet)) {
        (true, _) => Ok(Kind::Rtcp),
        (false, false) => Ok(Kind::Rtp),
        (false, true) if mux => Ok(Kind::Rtcp),
        // RTP with such a payload type is forbidden since RFC 5761: it is RTCP at the wrong port.
        (false, true) => Err(DropCause::RtpMalformed),
    }
}

/// A leg that does not learn accepts the signalled address alone, or whom it is latched to. One that learns accepts any that a
/// sender on the wire can have, for the tag decides.
#[inline]
fn check_source(work: &Work, leg: &LegContext, network: &Network) -> Result<(), DropCause> {
    let source = work.datagram.source;
    let spoofed = work.hops == 0 && network.is_own(*source.ip()).is_some();
    let expected = leg.orders.learn
        || leg.orders.signalled(work.is_rtcp()) == Some(source)
        || (leg.orders.latch && leg.may_latch(source, work.is_rtcp(), work.hops > 0));
    let possible = source.port() != 0 && !source.ip().is_unspecified() && !never_remote(*source.ip());
    if spoofed || !expected || !possible { Err(DropCause::WrongSource) } else { Ok(()) }
}

/// Checks what SRTP hides: padding and the packets of a compound.
#[inline]
pub fn check_inside(work: &Work, packet: &[u8]) -> Result<(), DropCause> {
    let sound = match &work.header {
        Some(header) => header.padding_fits(packet),
        None => rtcp::check_compound(packet),
    };
    sound.map_err(|_| DropCause::RtpMalformed)
}
