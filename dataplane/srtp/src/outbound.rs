//! Packets that are sent: which index they get. The ROC of each SSRC follows the sequence numbers
//! of the packets themselves, so that packets out of order across a rollover get the right one.

use pinhole_flow::StreamState;
use pinhole_srtp_kernels::E_BIT;

use crate::streams::{self, RTCP, RTP, Refused, USED};
use crate::{index, window};

/// The index of an RTP packet to be sent: ROC and sequence number, for [`Job`](crate::kernels::Job).
///
/// No index is given out twice, because two packets under one index betray their plaintexts (and
/// with GCM the authentication key): a sequence number sent before is refused, as is one that is
/// older than 128 packets or before the start of the stream.
pub fn assign_rtp(streams: &mut [StreamState], ssrc: u32, sequence: u16) -> Result<u64, Refused> {
    let state = streams::find_or_free(streams, ssrc)?;
    if state.flags & RTP == 0 {
        state.index = u64::from(sequence);
        state.window = [1, 0];
        state.flags |= USED | RTP;
        return Ok(state.index);
    }
    let index = match index::estimate(state.index, sequence) {
        Some(index) => index,
        None if state.index > index::MAX >> 1 => return Err(Refused::Exhausted),
        None => return Err(Refused::TooOld),
    };
    window::check(state.index, state.window, index)?;
    (state.index, state.window) = window::record(state.index, state.window, index);
    Ok(index)
}

/// The index of an RTCP packet to be sent, with the E bit set, for [`Job`](crate::kernels::Job):
/// 0 for the first of an SSRC, then one more for each (RFC 3711 section 3.4).
pub fn assign_rtcp(streams: &mut [StreamState], ssrc: u32) -> Result<u64, Refused> {
    let state = streams::find_or_free(streams, ssrc)?;
    let index = match state.flags & RTCP {
        0 => 0,
        _ if state.rtcp_index >= index::RTCP_MAX => return Err(Refused::Exhausted),
        _ => state.rtcp_index + 1,
    };
    state.rtcp_index = index;
    state.flags |= USED | RTCP;
    Ok(u64::from(E_BIT | index))
}
