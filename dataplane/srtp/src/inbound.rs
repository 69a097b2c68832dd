//! Packets that arrive: which index they have, and whether they were seen before.

use pinhole_flow::StreamState;
use pinhole_srtp_kernels::{E_BIT, Kind};

use crate::streams::{self, CARRIED, RTCP, RTP, Refused, USED};
use crate::{Direction, index, rtcp, rtp, window};

/// How many indices are tried for one packet: the likeliest, and after that only those that a known
/// behaviour of senders explains.
const ATTEMPTS: usize = 3;

/// The index that a packet probably has. Only its authentication tag tells whether it does: nothing
/// is stored until [`commit`](Self::commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// SRTP or SRTCP.
    pub kind: Kind,
    /// The packet's SSRC; for RTCP its sender's.
    pub ssrc: u32,
    /// SRTP: ROC and sequence number. SRTCP: the 31-bit index, as the packet carries it.
    pub index: u64,
    tried: [u64; ATTEMPTS],
    attempts: usize,
}

impl Guess {
    /// The likeliest index of an RTP packet (RFC 3711 section 3.3.1 and appendix A), never one with
    /// a negative ROC. A new SSRC starts with ROC 0.
    pub fn rtp(streams: &[StreamState], header: &rtp::Header) -> Self {
        let index = likeliest(streams, header.ssrc, header.sequence);
        Self::first(Kind::Rtp, header.ssrc, index)
    }

    /// The index that an RTCP packet carries; the E bit is the engine's business. `None` if the
    /// packet is too short for its trailer.
    pub fn rtcp(direction: &Direction, packet: &[u8], header: &rtcp::Header) -> Option<Self> {
        let word = direction.keys().srtcp_word(packet)?;
        Some(Self::first(Kind::Rtcp, header.ssrc, u64::from(word & !E_BIT)))
    }

    fn first(kind: Kind, ssrc: u32, index: u64) -> Self {
        Self { kind, ssrc, index, tried: [index; ATTEMPTS], attempts: 1 }
    }

    /// Another index to try after the tag did not match, or `None`. It is
    /// - the likeliest one, if packets committed since (in the same burst) have moved it;
    /// - ROC 1 for an SSRC not seen before, whose sender started near 65535 and whose first packets
    ///   were lost;
    /// - ROC 0 after [`carry_over`], because some phones reset it when they change keys.
    ///
    /// A forged packet with an SSRC in use is not tried a second time, so a flood costs one tag each.
    #[must_use]
    pub fn again(&self, streams: &[StreamState]) -> Option<Self> {
        if self.kind == Kind::Rtcp {
            return None;
        }
        let sequence = self.index as u16;
        let state = streams::find(streams, self.ssrc).filter(|state| state.flags & RTP != 0);
        let explained = match state {
            None if sequence < 1 << 15 => Some(1 << 16 | u64::from(sequence)),
            Some(state) if state.flags & CARRIED != 0 => Some(u64::from(sequence)),
            _ => None,
        };
        let candidates = [Some(likeliest(streams, self.ssrc, sequence)), explained];
        let index = candidates.into_iter().flatten().find(|index| !self.tried.contains(index))?;
        let mut next = *self;
        next.index = index;
        *next.tried.get_mut(self.attempts)? = index;
        next.attempts += 1;
        Some(next)
    }

    /// Accepts the packet, whose tag matched: checks replay, then stores index and window, and for a
    /// new SSRC a state. Changes nothing if it refuses.
    pub fn commit(&self, streams: &mut [StreamState]) -> Result<(), Refused> {
        let state = streams::find_or_free(streams, self.ssrc)?;
        match self.kind {
            Kind::Rtp => commit_rtp(state, self.index)?,
            Kind::Rtcp => commit_rtcp(state, self.index)?,
        }
        state.flags |= USED;
        Ok(())
    }
}

/// Keeps the ROCs for a new master key (RFC 3711 section 3.3.1) and forgets which packets were seen
/// under the old one. For a leg whose inbound key was changed; with the same key, call nothing.
pub fn carry_over(streams: &mut [StreamState]) {
    for state in streams.iter_mut().filter(|state| state.flags & USED != 0) {
        state.window = [0; 2];
        state.rtcp_window = [0; 2];
        state.rtcp_index = 0;
        state.flags &= !RTCP;
        if state.flags & RTP != 0 {
            state.flags |= CARRIED;
        }
    }
}

fn likeliest(streams: &[StreamState], ssrc: u32, sequence: u16) -> u64 {
    streams::find(streams, ssrc)
        .filter(|state| state.flags & RTP != 0)
        .and_then(|state| index::estimate(state.index, sequence))
        .unwrap_or(u64::from(sequence))
}

fn commit_rtp(state: &mut StreamState, index: u64) -> Result<(), Refused> {
    if state.flags & RTP == 0 || state.flags & CARRIED != 0 {
        state.index = index;
        state.window = [1, 0];
        state.flags = state.flags & !CARRIED | RTP;
        return Ok(());
    }
    window::check(state.index, state.window, index)?;
    (state.index, state.window) = window::record(state.index, state.window, index);
    Ok(())
}

fn commit_rtcp(state: &mut StreamState, index: u64) -> Result<(), Refused> {
    let highest = u64::from(state.rtcp_index);
    let (highest, seen) = if state.flags & RTCP == 0 {
        (index, [1, 0])
    } else {
        window::check(highest, state.rtcp_window, index)?;
        window::record(highest, state.rtcp_window, index)
    };
    state.rtcp_index = u32::try_from(highest).unwrap_or(index::RTCP_MAX);
    state.rtcp_window = seen;
    state.flags |= RTCP;
    Ok(())
}
