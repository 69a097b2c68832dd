//! Packets that arrive: which index they have, and whether they were seen before.

use pinhole_flow::StreamState;
use pinhole_srtp_kernels::{E_BIT, Kind};

use crate::streams::{self, BEFORE, CARRIED, HAS_BEFORE, MAY_RESET, RESTORED, RTCP, RTP, Refused, USED};
use crate::window::Windows;
use crate::{Direction, index, rtcp, rtp, window};

/// How many indices are tried for one packet: the likeliest, and after that only those that a known
/// behaviour of senders explains.
const ATTEMPTS: usize = 4;
/// How many packets the replay window of RTCP spans.
const RTCP_SPAN: u64 = 64;

/// The index that a packet probably has. Only its authentication tag tells whether it does: nothing
/// is stored until [`commit`](Self::commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// SRTP: ROC and sequence number. SRTCP: the 31-bit index, as the packet carries it.
    pub index: u64,
    /// The packet's SSRC; for RTCP its sender's.
    pub ssrc: u32,
    /// SRTP or SRTCP.
    pub kind: Kind,
    attempts: u8,
    /// The ROCs that were tried.
    tried: [u32; ATTEMPTS],
}

impl Guess {
    /// The likeliest index of an RTP packet (RFC 3711 section 3.3.1 and appendix A), never one with
    /// a negative ROC. A new SSRC starts with ROC 0.
    #[inline]
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

    #[inline]
    fn first(kind: Kind, ssrc: u32, index: u64) -> Self {
        Self { kind, ssrc, index, tried: [roc(index); ATTEMPTS], attempts: 1 }
    }

    /// Another index to try after the tag did not match, or `None`. It is
    /// - the likeliest one, if packets committed since (in the same burst) have moved it;
    /// - ROC 1 for an SSRC not seen before, whose sender started near 65535 and whose first packets
    ///   were lost;
    /// - ROC 0 after [`carry_over`], because some phones reset it when they change keys, and after
    ///   [`allow_reset`](crate::allow_reset), because some phones start anew after a hold;
    /// - what the ROC was before the sender set its sequence numbers back, for as long as it is not
    ///   clear which of the two is the sender;
    /// - after [`restore`], the ROC under the key between (`between` are its streams).
    ///
    /// A forged packet with an SSRC in use is not tried a second time otherwise, so a flood costs one
    /// tag each.
    #[must_use]
    pub fn again(&self, streams: &[StreamState], between: Option<&[StreamState]>) -> Option<Self> {
        if self.kind == Kind::Rtcp {
            return None;
        }
        let sequence = self.index as u16;
        let state = streams::find(streams, self.ssrc).filter(|state| state.flags & RTP != 0);
        let flags = state.map_or(0, |state| state.flags);
        let before = state.and_then(|state| streams.get(streams::position_before(streams, state)?));
        let between = between.filter(|_| flags & RESTORED != 0);
        let candidates = [
            Some(likeliest(streams, self.ssrc, sequence)),
            before.and_then(|before| index::estimate(before.index, sequence)),
            (state.is_none() && sequence < 1 << 15).then_some(1 << 16 | u64::from(sequence)),
            between.map(|between| likeliest(between, self.ssrc, sequence)),
            (flags & (CARRIED | MAY_RESET) != 0).then_some(u64::from(sequence)),
        ];
        let index = candidates.into_iter().flatten().find(|index| !self.tried.contains(&roc(*index)))?;
        let mut next = *self;
        next.index = index;
        *next.tried.get_mut(usize::from(self.attempts))? = roc(index);
        next.attempts += 1;
        Some(next)
    }

    /// Accepts the packet, whose tag matched: checks replay, then stores index and window, and for a
    /// new SSRC a state. Changes nothing if it refuses.
    #[inline]
    pub fn commit(&self, streams: &mut [StreamState], windows: &mut Windows) -> Result<(), Refused> {
        let at = streams::position(streams, self.ssrc)?;
        match self.kind {
            Kind::Rtp => commit_rtp(streams, windows, at, self.index)?,
            Kind::Rtcp => commit_rtcp(streams.get_mut(at).ok_or(Refused::SsrcLimit)?, self.index)?,
        }
        if let Some(state) = streams.get_mut(at) {
            state.flags |= USED;
        }
        Ok(())
    }
}

#[inline]
fn roc(index: u64) -> u32 {
    (index >> 16) as u32
}

/// Keeps the ROCs for a new master key (RFC 3711 section 3.3.1) and forgets which packets were seen
/// under the old one. For a leg whose inbound key was changed; with the same key, call
/// [`allow_reset`](crate::allow_reset).
pub fn carry_over(streams: &mut [StreamState]) {
    // Of a stream whose sender seems to have set its numbers back, the higher ROC: the other may be that of
    // a captured packet, and a sender that did so is found by ROC 0.
    for at in 0..streams.len() {
        let Some(before) = streams.get(at).filter(|state| state.flags & BEFORE != 0).copied() else {
            continue;
        };
        let now = streams.iter_mut().find(|state| state.flags & BEFORE == 0 && state.ssrc == before.ssrc);
        if let Some(now) = now {
            now.index = now.index.max(before.index);
        }
    }
    for state in streams.iter_mut().filter(|state| state.flags & USED != 0) {
        let carried = state.flags & RTP != 0 && state.flags & BEFORE == 0;
        *state = match carried {
            true => StreamState {
                ssrc: state.ssrc,
                index: state.index,
                flags: USED | RTP | CARRIED,
                ..StreamState::default()
            },
            false => StreamState::default(),
        };
    }
}

/// Prepares the states of a key that was in force before and comes back. Its windows stay, and no sender
/// may set its sequence numbers back, so that nothing seen under the key is accepted again.
pub fn restore(streams: &mut [StreamState]) {
    for state in streams.iter_mut().filter(|state| state.flags & (RTP | BEFORE) == RTP) {
        state.flags = state.flags & !MAY_RESET | RESTORED;
    }
}

#[inline]
fn likeliest(streams: &[StreamState], ssrc: u32, sequence: u16) -> u64 {
    streams::find(streams, ssrc)
        .filter(|state| state.flags & RTP != 0)
        .and_then(|state| index::estimate(state.index, sequence))
        .unwrap_or(u64::from(sequence))
}

#[inline]
fn commit_rtp(
    streams: &mut [StreamState],
    windows: &mut Windows,
    at: usize,
    index: u64,
) -> Result<(), Refused> {
    let state = streams.get_mut(at).ok_or(Refused::SsrcLimit)?;
    if state.flags & RTP == 0 || state.flags & CARRIED != 0 {
        start(state, windows, at, index);
        return Ok(());
    }
    let state = *state;
    let here = check(streams, windows, at, index);
    let before = streams::position_before(streams, &state);
    let before = before.map(|before| (before, check(streams, windows, before, index)));
    let at = match (here, before) {
        // Nothing that either window has seen is accepted.
        (Err(Refused::Replayed), _) | (_, Some((_, Err(Refused::Replayed)))) => {
            return Err(Refused::Replayed);
        }
        (Ok(_), None | Some((_, Err(_)))) => at,
        (Err(_), Some((before, Ok(_)))) => before,
        (Ok(distance), Some((before, Ok(other)))) => {
            if distance <= other {
                at
            } else {
                before
            }
        }
        (Err(_), _) if state.flags & MAY_RESET != 0 => return reset(streams, windows, at, index),
        (Err(refused), _) => return Err(refused),
    };
    let state = streams.get_mut(at).ok_or(Refused::SsrcLimit)?;
    state.index = window::record(state.index, &mut state.window, windows.wide_mut(at), index);
    state.flags &= !RESTORED;
    Ok(())
}

/// Begins a window with one packet.
fn start(state: &mut StreamState, windows: &mut Windows, at: usize, index: u64) {
    state.index = index;
    state.window = [1, 0];
    windows.wide_mut(at).fill(0);
    state.flags = state.flags & !(CARRIED | MAY_RESET | RESTORED) | RTP;
}

/// How far an index is from the highest of a stream, or why it is refused. One that the stream would not
/// be estimated to have was found by way of another state, and is not this one's to accept.
#[inline]
fn check(streams: &[StreamState], windows: &Windows, at: usize, index: u64) -> Result<u64, Refused> {
    let state = streams.get(at).ok_or(Refused::SsrcLimit)?;
    let estimated = index::estimate(state.index, index as u16) == Some(index);
    if !estimated && state.flags & RESTORED == 0 {
        return Err(Refused::TooOld);
    }
    window::check(state.index, state.window, windows.wide(at), windows.span(), index)?;
    Ok(state.index.abs_diff(index))
}

/// Takes an old index for a sender that has set its sequence numbers back. It may as well be a packet
/// that was captured and sent again, so what the stream was before is kept beside: the sender is heard
/// by whichever it goes on with. Of two such states the higher one is kept, because no captured packet
/// is newer than the real ones.
fn reset(streams: &mut [StreamState], windows: &mut Windows, at: usize, index: u64) -> Result<(), Refused> {
    let now = *streams.get(at).ok_or(Refused::SsrcLimit)?;
    let beside = streams::position_before(streams, &now).or(streams::position_free(streams));
    let beside = beside.ok_or(Refused::TooOld)?;
    let before = streams.get_mut(beside).ok_or(Refused::TooOld)?;
    if before.flags & BEFORE == 0 || before.index < now.index {
        let (ssrc, index, window) = (now.ssrc, now.index, now.window);
        *before = StreamState { ssrc, index, window, flags: USED | RTP | BEFORE, ..StreamState::default() };
        windows.copy(at, beside);
    }
    if let Some(state) = streams.get_mut(at) {
        start(state, windows, at, index);
        state.flags |= HAS_BEFORE;
    }
    Ok(())
}

fn commit_rtcp(state: &mut StreamState, index: u64) -> Result<(), Refused> {
    let highest = u64::from(state.rtcp_index);
    let mut seen = [state.rtcp_window, 0];
    let highest = if state.flags & RTCP == 0 {
        seen = [1, 0];
        index
    } else {
        window::check(highest, seen, &[], RTCP_SPAN, index)?;
        window::record(highest, &mut seen, &mut [], index)
    };
    let [window, _] = seen;
    state.rtcp_index = u32::try_from(highest).unwrap_or(index::RTCP_MAX);
    state.rtcp_window = window;
    state.flags |= RTCP;
    Ok(())
}
