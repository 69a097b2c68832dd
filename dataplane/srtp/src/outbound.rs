//! Packets that are sent: which index they get. The ROC of each SSRC follows the sequence numbers
//! of the packets themselves, so that packets out of order across a rollover get the right one.

use pinhole_flow::StreamState;
use pinhole_srtp_kernels::E_BIT;

use crate::streams::{self, MAY_RESET, RTCP, RTP, Refused, USED};
use crate::{index, window};

/// How many packets the window of sent packets spans.
const SPAN: u64 = 128;
/// A packet seen before is the network's duplicate if it is younger than this many packets, and may be
/// of a sender that set its sequence numbers back if it is older.
const DUPLICATE: u64 = 16;

/// The index of an RTP packet to be sent: ROC and sequence number, for [`Job`](crate::kernels::Job).
/// Its low 16 bits are the sequence number that the packet must be sent with.
///
/// No index is given out twice, because two packets under one index betray their plaintexts (and
/// with GCM the authentication key): a sequence number sent before is refused, as is one that is
/// older than 128 packets or before the start of the stream.
///
/// After [`allow_reset`](crate::allow_reset) a sender may set its sequence numbers back, once. The
/// stream goes on from its highest index then, and the sender's numbers are moved by an offset from
/// there on. RTCP is left as it is: sender reports carry no sequence numbers, and a receiver report
/// shows the sender the highest number as the phone sees it, off by that offset; the losses and jitter
/// in it are right.
#[inline]
pub fn assign_rtp(streams: &mut [StreamState], ssrc: u32, sequence: u16) -> Result<u64, Refused> {
    let at = streams::position(streams, ssrc)?;
    let state = streams.get_mut(at).ok_or(Refused::SsrcLimit)?;
    if state.flags & RTP == 0 {
        state.index = u64::from(sequence);
        state.window = [1, 0];
        state.flags |= USED | RTP;
        return Ok(state.index);
    }
    let known = estimate(state, sequence);
    let accepted =
        known.and_then(|index| window::check(state.index, state.window, &[], SPAN, index).map(|()| index));
    let index = match accepted {
        Ok(index) => index,
        Err(refused) if state.flags & MAY_RESET != 0 && is_set_back(state, known, refused) => {
            reset(state, sequence)?
        }
        Err(refused) => return Err(refused),
    };
    state.index = window::record(state.index, &mut state.window, &mut [], index);
    Ok(index)
}

/// The index nearest to the highest, by today's offset or, for a packet that is late, by that before.
#[inline]
fn estimate(state: &StreamState, sequence: u16) -> Result<u64, Refused> {
    let by = |offset| index::estimate(state.index, sequence.wrapping_add(offset));
    let distance = |index: &u64| index.abs_diff(state.index);
    let nearest = match state.offset == state.offset_before {
        true => by(state.offset),
        false => [by(state.offset), by(state.offset_before)].into_iter().flatten().min_by_key(distance),
    };
    match nearest {
        Some(index) => Ok(index),
        None if state.index > index::MAX >> 1 => Err(Refused::Exhausted),
        None => Err(Refused::TooOld),
    }
}

fn is_set_back(state: &StreamState, known: Result<u64, Refused>, refused: Refused) -> bool {
    let age = known.map_or(u64::MAX, |index| state.index.saturating_sub(index));
    refused == Refused::TooOld || refused == Refused::Replayed && age >= DUPLICATE
}

/// Goes on behind the highest index, whatever the sender's sequence number.
fn reset(state: &mut StreamState, sequence: u16) -> Result<u64, Refused> {
    let index = state.index + 1;
    if index > index::MAX {
        return Err(Refused::Exhausted);
    }
    state.offset_before = state.offset;
    state.offset = (index as u16).wrapping_sub(sequence);
    state.flags &= !MAY_RESET;
    Ok(index)
}

/// The index of an RTCP packet to be sent, with the E bit set, for [`Job`](crate::kernels::Job):
/// 0 for the first of an SSRC, then one more for each (RFC 3711 section 3.4).
pub fn assign_rtcp(streams: &mut [StreamState], ssrc: u32) -> Result<u64, Refused> {
    let at = streams::position(streams, ssrc)?;
    let state = streams.get_mut(at).ok_or(Refused::SsrcLimit)?;
    let index = match state.flags & RTCP {
        0 => 0,
        _ if state.rtcp_index >= index::RTCP_MAX => return Err(Refused::Exhausted),
        _ => state.rtcp_index + 1,
    };
    state.rtcp_index = index;
    state.flags |= USED | RTCP;
    Ok(u64::from(E_BIT | index))
}
