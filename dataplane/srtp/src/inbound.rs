//! Packets that arrive: which index they have, and whether they were seen before.

use pinhole_flow::StreamState;
use pinhole_srtp_kernels::{E_BIT, Kind};

use crate::streams::{self, BEFORE, CARRIED, MAY_RESET, MAY_RESET_RTCP, RESTORED, RTCP, RTP, Refused, USED};
use crate::window::Windows;
use crate::{Direction, index, rtcp, rtp, window};

/// How many indices are tried for one packet: the likeliest, and after that only those that a known
/// behaviour of senders explains.
const ATTEMPTS: usize = 4;
/// So many packets must go on from where a sender was before it seemed to have set its sequence numbers back.
const GOES_ON: u16 = 128;
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
    /// Whether an SRTCP packet has the E bit.
    encrypted: bool,
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
        let first = Self::first(Kind::Rtcp, header.ssrc, u64::from(word & !E_BIT));
        Some(Self { encrypted: word & E_BIT != 0, ..first })
    }

    /// The index for a [`Job`](crate::kernels::Job) that protects the packet as it was: of RTCP with the E bit if it
    /// had that.
    pub fn kept(&self) -> u64 {
        match (self.kind, self.encrypted) {
            (Kind::Rtcp, true) => self.index | u64::from(E_BIT),
            _ => self.index,
        }
    }

    #[inline]
    fn first(kind: Kind, ssrc: u32, index: u64) -> Self {
        Self { kind, ssrc, index, encrypted: false, tried: [roc(index); ATTEMPTS], attempts: 1 }
    }

    /// Another index to try after the tag did not match, or `None`. It is
    /// - the likeliest one, if packets committed since (in the same burst) have moved it;
    /// - ROC 1 for an SSRC not seen before, whose sender started near 65535 and whose first packets
    ///   were lost;
    /// - ROC 0 after [`carry_over`], because some phones reset it when they change keys, and after
    ///   [`allow_reset`](crate::allow_reset), because some phones start anew after a hold;
    /// - what the ROC was before the sender set its sequence numbers back, for as long as it is not
    ///   clear which of the two is the sender;
    /// - after [`restore`], the ROC under the key between (`between` are its streams), and for an SSRC that
    ///   has no state, the one that it has there.
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
        let before = state.and_then(|state| streams.get(streams::position_before(streams, state, RTP)?));
        let between = between.filter(|_| state.is_none() || flags & RESTORED != 0);
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
            Kind::Rtcp => commit_rtcp(streams, at, self.index)?,
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
/// may set its indices back, so that nothing seen under the key is accepted again.
pub fn restore(streams: &mut [StreamState]) {
    for state in streams.iter_mut().filter(|state| state.flags & BEFORE == 0) {
        let restored = if state.flags & RTP != 0 { RESTORED } else { 0 };
        state.flags = state.flags & !(MAY_RESET | MAY_RESET_RTCP) | restored;
    }
}

/// Puts back the state of an SSRC that was [retired](crate::retire). Its window is known for 128 packets;
/// those before count as seen.
///
/// # Errors
/// [`Refused::SsrcLimit`], and nothing changes.
pub fn resume(streams: &mut [StreamState], windows: &mut Windows, state: StreamState) -> Result<(), Refused> {
    let at = streams::position_free(streams).ok_or(Refused::SsrcLimit)?;
    *streams.get_mut(at).ok_or(Refused::SsrcLimit)? = state;
    windows.wide_mut(at).fill(u64::MAX);
    Ok(())
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
    let (now, state) = (at, *state);
    let here = check(streams, windows, at, index);
    let before = streams::position_before(streams, &state, RTP);
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
    let newest = index > state.index;
    state.index = window::record(state.index, &mut state.window, windows.wide_mut(at), index);
    state.flags &= !RESTORED;
    if at != now && newest {
        goes_on(streams, windows, now, at);
    }
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
    let beside = streams::beside(streams, at).ok_or(Refused::TooOld)?;
    let [state, before] = streams.get_disjoint_mut([at, beside]).map_err(|_| Refused::TooOld)?;
    if before.flags & RTP == 0 || before.index < state.index {
        (before.index, before.window) = (state.index, state.window);
        before.flags |= RTP;
        windows.copy(at, beside);
    }
    before.offset = 0;
    start(state, windows, at, index);
    Ok(())
}

/// A sender that was thought to have set its sequence numbers back goes on from where it was. Not on
/// account of a few packets, which may have been late; but then the others were captured ones, or it has
/// caught up with itself, and what was taken for its new stream is forgotten.
#[cold]
fn goes_on(streams: &mut [StreamState], windows: &mut Windows, at: usize, beside: usize) {
    let Ok([state, before]) = streams.get_disjoint_mut([at, beside]) else { return };
    before.offset = before.offset.saturating_add(1);
    if before.offset >= GOES_ON {
        (state.index, state.window) = (before.index, before.window);
        windows.copy(beside, at);
        streams::forget_before(state, before, RTP);
    }
}

/// The same for SRTCP, whose index each packet carries: no estimate, but two windows after a sender has set
/// it back, and nothing that either has seen is accepted. A sender whose new indices run into the window of
/// the old ones is not heard there. Reports are seconds apart, so none is late: the first that goes on from
/// where the sender was shows that it is there still.
fn commit_rtcp(streams: &mut [StreamState], at: usize, index: u64) -> Result<(), Refused> {
    let state = streams.get_mut(at).ok_or(Refused::SsrcLimit)?;
    if state.flags & RTCP == 0 {
        return start_rtcp(state, index);
    }
    let (now, state, may_reset) = (at, *state, state.flags & MAY_RESET_RTCP != 0);
    let here = check_rtcp(&state, index);
    let before = streams::position_before(streams, &state, RTCP).and_then(|at| Some((at, *streams.get(at)?)));
    let at = match (here, before.map(|(at, state)| (at, check_rtcp(&state, index)))) {
        (Err(Refused::Replayed), _) | (_, Some((_, Err(Refused::Replayed)))) => {
            return Err(Refused::Replayed);
        }
        (Ok(distance), Some((before, Ok(other)))) if other < distance => before,
        (Ok(_), _) => at,
        (Err(_), Some((before, Ok(_)))) => before,
        (Err(_), _) if may_reset => return reset_rtcp(streams, at, index),
        (Err(refused), _) => return Err(refused),
    };
    let state = streams.get_mut(at).ok_or(Refused::SsrcLimit)?;
    let (mut seen, before) = ([state.rtcp_window, 0], state.rtcp_index);
    let highest = window::record(u64::from(before), &mut seen, &mut [], index);
    [state.rtcp_window, _] = seen;
    state.rtcp_index = rtcp_index(highest);
    if state.rtcp_index > before
        && let Ok([state, before]) = streams.get_disjoint_mut([now, at])
    {
        (state.rtcp_index, state.rtcp_window) = (before.rtcp_index, before.rtcp_window);
        streams::forget_before(state, before, RTCP);
    }
    Ok(())
}

/// Begins a window with one SRTCP packet.
fn start_rtcp(state: &mut StreamState, index: u64) -> Result<(), Refused> {
    state.rtcp_index = rtcp_index(index);
    state.rtcp_window = 1;
    state.flags = state.flags & !MAY_RESET_RTCP | RTCP;
    Ok(())
}

/// How far an SRTCP index is from the highest of a stream, or why it is refused.
fn check_rtcp(state: &StreamState, index: u64) -> Result<u64, Refused> {
    let highest = u64::from(state.rtcp_index);
    window::check(highest, [state.rtcp_window, 0], &[], RTCP_SPAN, index)?;
    Ok(highest.abs_diff(index))
}

/// As [`reset`].
fn reset_rtcp(streams: &mut [StreamState], at: usize, index: u64) -> Result<(), Refused> {
    let beside = streams::beside(streams, at).ok_or(Refused::TooOld)?;
    let [state, before] = streams.get_disjoint_mut([at, beside]).map_err(|_| Refused::TooOld)?;
    if before.flags & RTCP == 0 || before.rtcp_index < state.rtcp_index {
        (before.rtcp_index, before.rtcp_window) = (state.rtcp_index, state.rtcp_window);
        before.flags |= RTCP;
    }
    start_rtcp(state, index)
}

/// An SRTCP index as it is kept; a packet carries 31 bits.
fn rtcp_index(index: u64) -> u32 {
    u32::try_from(index).unwrap_or(index::RTCP_MAX)
}
