//! First half of the way in: header bounds, source, index. Nothing here changes any state.

use pinhole_flow::{DropCause, SessionSlot};
use pinhole_srtp::kernels::Kind;
use pinhole_srtp::{Guess, rtcp, rtp};

use crate::buffer::PacketBuffer;
use crate::output::Frames;
use crate::session::{LegContext, never_remote};
use crate::slots::live;
use crate::tables::Tables;
use crate::warm::warm_session;
use crate::work::{Phase, Work, Works};

/// How many packets ahead of the one that is admitted sessions are brought into the cache.
const AHEAD: usize = 8;

/// Takes the packets that have arrived as far as the engine.
pub fn admit<B: PacketBuffer>(
    works: &mut Works,
    frames: &Frames<B>,
    tables: &Tables,
    slots: &mut [SessionSlot],
) {
    works.iter().take(AHEAD).for_each(|work| warm_session(work, tables, slots));
    for at in 0..works.len() {
        if let Some(ahead) = works.get(at + AHEAD) {
            warm_session(ahead, tables, slots);
        }
        if let (Some(work), Some(frame)) = (works.get_mut(at), frames.get(at))
            && work.phase == Phase::Arrived
        {
            let next = admit_one(work, frame.data(), tables, slots);
            work.proceed(next);
        }
    }
}

fn admit_one(
    work: &mut Work,
    frame: &[u8],
    tables: &Tables,
    slots: &mut [SessionSlot],
) -> Result<Phase, DropCause> {
    let pinhole = work.pinhole.ok_or(DropCause::ClosedPinhole)?;
    let leg = tables.leg(pinhole.slot, pinhole.leg).ok_or(DropCause::ClosedPinhole)?;
    let packet = work.payload(frame);
    work.kind = kind(packet, pinhole.rtcp, leg.orders.mux)?;
    check_source(work, leg, tables)?;
    if !leg.orders.secure {
        read_header(work, packet)?;
        check_inside(work, packet)?;
        return Ok(Phase::Accepted);
    }
    // A leg without a key to check with accepts nothing.
    let direction = leg.inbound.as_ref().ok_or(DropCause::AuthFailed)?;
    let streams = &live(slots, pinhole.slot, pinhole.leg).ok_or(DropCause::ClosedPinhole)?.inbound;
    let guess = match read_header(work, packet)? {
        Header::Rtp(header) => Guess::rtp(streams, &header),
        Header::Rtcp(header) => Guess::rtcp(direction, packet, &header).ok_or(DropCause::PlainOnSecure)?,
    };
    Ok(Phase::Sealed(guess))
}

/// RTP or RTCP: by the port, or under rtcp-mux on the RTP port by the packet (RFC 5761).
fn kind(packet: &[u8], rtcp_port: bool, mux: bool) -> Result<Kind, DropCause> {
    match (rtcp_port, rtcp::is_rtcp(packet)) {
        (true, _) => Ok(Kind::Rtcp),
        (false, false) => Ok(Kind::Rtp),
        (false, true) if mux => Ok(Kind::Rtcp),
        // RTP with such a payload type is forbidden since RFC 5761: it is RTCP at the wrong port.
        (false, true) => Err(DropCause::RtpMalformed),
    }
}

/// A leg that does not learn accepts the signalled address alone. One that learns accepts any that a
/// sender on the wire can have, for the tag decides.
fn check_source(work: &Work, leg: &LegContext, tables: &Tables) -> Result<(), DropCause> {
    let source = work.datagram.source;
    let spoofed = work.hops == 0 && tables.is_own(*source.ip()).is_some();
    let expected = leg.orders.learn || leg.orders.signalled(work.is_rtcp()) == Some(source);
    let possible = source.port() != 0 && !source.ip().is_unspecified() && !never_remote(*source.ip());
    if spoofed || !expected || !possible { Err(DropCause::WrongSource) } else { Ok(()) }
}

enum Header {
    Rtp(rtp::Header),
    Rtcp(rtcp::Header),
}

/// Parses the clear header, with its bounds.
fn read_header(work: &mut Work, packet: &[u8]) -> Result<Header, DropCause> {
    if work.is_rtcp() {
        let header = rtcp::parse(packet).map_err(|_| DropCause::RtpMalformed)?;
        work.ssrc = header.ssrc;
        work.header = None;
        return Ok(Header::Rtcp(header));
    }
    let header = rtp::parse(packet).map_err(|_| DropCause::RtpMalformed)?;
    work.ssrc = header.ssrc;
    work.header = Some(header);
    Ok(Header::Rtp(header))
}

/// Checks what SRTP hides: padding and the packets of a compound.
pub fn check_inside(work: &Work, packet: &[u8]) -> Result<(), DropCause> {
    let sound = match &work.header {
        Some(header) => header.padding_fits(packet),
        None => rtcp::check_compound(packet),
    };
    sound.map_err(|_| DropCause::RtpMalformed)
}
