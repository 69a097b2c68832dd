//! The states of the SSRCs of one direction: a short array, searched from the front.

use pinhole_flow::{DropCause, StreamState};
use pinhole_srtp_kernels::Kind;

/// The entry is in use.
pub(crate) const USED: u32 = 1;
/// `index` and `window` are valid.
pub(crate) const RTP: u32 = 2;
/// `rtcp_index` and `rtcp_window` are valid.
pub(crate) const RTCP: u32 = 4;
/// The ROC was carried over from an earlier key and nothing was authenticated since.
pub(crate) const CARRIED: u32 = 8;
/// The sender may set its sequence numbers back, once.
pub(crate) const MAY_RESET: u32 = 16;
/// The key was in force before, and nothing was authenticated since it came back.
pub(crate) const RESTORED: u32 = 32;
/// What the indices were before the sender set them back: the SSRC has another entry.
pub(crate) const BEFORE: u32 = 64;
/// The SSRC has such another entry.
pub(crate) const HAS_BEFORE: u32 = 128;
/// The sender may set its SRTCP index back, once.
pub(crate) const MAY_RESET_RTCP: u32 = 256;

/// Why an authentic packet is not accepted, or an outgoing packet not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The index was seen before.
    #[error("packet index seen before")]
    Replayed,
    /// The index is older than the replay window, or before the start of the stream.
    #[error("packet older than the replay window")]
    TooOld,
    /// The direction has as many SSRCs as it may have.
    #[error("more SSRCs than one direction of a leg may have")]
    SsrcLimit,
    /// The index space of the master key is used up (RFC 3711 section 9.2).
    #[error("packet index exhausted, the master key must be changed")]
    Exhausted,
}

impl From<Refused> for DropCause {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Replayed => Self::Replayed,
            Refused::TooOld => Self::TooOld,
            Refused::Exhausted => Self::KeyExhausted,
            Refused::SsrcLimit => Self::SsrcLimit,
        }
    }
}

/// The state of an SSRC.
#[inline]
pub(crate) fn find(streams: &[StreamState], ssrc: u32) -> Option<&StreamState> {
    streams.iter().find(|state| state.flags & (USED | BEFORE) == USED && state.ssrc == ssrc)
}

/// Where the state is that the SSRC of `state` had before its sender set its sequence numbers ([`RTP`]) or
/// its SRTCP index ([`RTCP`]) back.
#[inline]
pub(crate) fn position_before(streams: &[StreamState], state: &StreamState, kind: u32) -> Option<usize> {
    // Without the flag the other entries are not even looked at: they lie on other cache lines.
    let has = state.flags & HAS_BEFORE != 0;
    let is = |other: &StreamState| other.flags & (BEFORE | kind) == BEFORE | kind && other.ssrc == state.ssrc;
    if has { streams.iter().position(is) } else { None }
}

/// Where the SSRC of the state at `at` keeps what its indices were before they were set back: one entry for
/// RTP and RTCP, made if there is none.
pub(crate) fn beside(streams: &mut [StreamState], at: usize) -> Option<usize> {
    let now = *streams.get(at)?;
    if let Some(known) = position_before(streams, &now, 0) {
        return Some(known);
    }
    let free = position_free(streams)?;
    *streams.get_mut(free)? = StreamState { ssrc: now.ssrc, flags: USED | BEFORE, ..StreamState::default() };
    streams.get_mut(at)?.flags |= HAS_BEFORE;
    Some(free)
}

/// Takes the state of an SSRC away. Of what its sender may have set back, the higher is kept.
pub fn retire(streams: &mut [StreamState], ssrc: u32) -> Option<StreamState> {
    let mut all = streams.iter_mut().filter(|state| state.flags & USED != 0 && state.ssrc == ssrc);
    let mut kept = std::mem::take(all.next()?);
    for other in all {
        let other = std::mem::take(other);
        if other.flags & RTP != 0 && (kept.flags & RTP == 0 || kept.index < other.index) {
            (kept.index, kept.window) = (other.index, other.window);
        }
        if other.flags & RTCP != 0 && (kept.flags & RTCP == 0 || kept.rtcp_index < other.rtcp_index) {
            (kept.rtcp_index, kept.rtcp_window) = (other.rtcp_index, other.rtcp_window);
        }
        kept.flags = (kept.flags | other.flags) & !(BEFORE | HAS_BEFORE);
        kept.offset = 0;
    }
    Some(kept)
}

/// Forgets what an SSRC's indices of a kind ([`RTP`] or [`RTCP`]) were before they were set back.
pub(crate) fn forget_before(state: &mut StreamState, before: &mut StreamState, kind: u32) {
    before.flags &= !kind;
    if before.flags & (RTP | RTCP) == 0 {
        *before = StreamState::default();
        state.flags &= !HAS_BEFORE;
    }
}

/// Where an unused entry is.
pub(crate) fn position_free(streams: &[StreamState]) -> Option<usize> {
    streams.iter().position(|state| state.flags & USED == 0)
}

/// The highest index of an SSRC, and what it was before its sender set it back, if it has.
pub fn highest(streams: &[StreamState], ssrc: u32, kind: Kind) -> impl Iterator<Item = u64> {
    let valid = USED | if kind == Kind::Rtp { RTP } else { RTCP };
    streams.iter().filter(move |state| state.flags & valid == valid && state.ssrc == ssrc).map(move |state| {
        match kind {
            Kind::Rtp => state.index,
            Kind::Rtcp => u64::from(state.rtcp_index),
        }
    })
}

/// Where the state of an SSRC is, or an entry that was free and is now prepared for it, but not yet
/// marked as used.
#[inline]
pub(crate) fn position(streams: &mut [StreamState], ssrc: u32) -> Result<usize, Refused> {
    let mut all = streams.iter();
    if let Some(at) = all.position(|state| state.flags & (USED | BEFORE) == USED && state.ssrc == ssrc) {
        return Ok(at);
    }
    let at = position_free(streams).ok_or(Refused::SsrcLimit)?;
    if let Some(state) = streams.get_mut(at) {
        *state = StreamState { ssrc, ..StreamState::default() };
    }
    Ok(at)
}

/// Lets each sender set its sequence numbers and its SRTCP index back, each once: for both directions of a
/// leg whose session was updated after a new offer, since that is when signalling has told of a new offer. Outbound SRTCP
/// indices are ours, and never go back.
pub fn allow_reset(streams: &mut [StreamState]) {
    for state in streams.iter_mut().filter(|state| state.flags & BEFORE == 0) {
        let rtp = if state.flags & RTP != 0 { MAY_RESET } else { 0 };
        let rtcp = if state.flags & RTCP != 0 { MAY_RESET_RTCP } else { 0 };
        state.flags |= rtp | rtcp;
    }
}
