//! The states of the SSRCs of one direction: a short array, searched from the front.

use pinhole_flow::{DropCause, StreamState};

/// The entry is in use.
pub(crate) const USED: u32 = 1;
/// `index` and `window` are valid.
pub(crate) const RTP: u32 = 2;
/// `rtcp_index` and `rtcp_window` are valid.
pub(crate) const RTCP: u32 = 4;
/// The ROC was carried over from an earlier key and nothing was authenticated since.
pub(crate) const CARRIED: u32 = 8;

/// Why an authentic packet is not accepted, or an outgoing packet not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The index was seen before.
    #[error("packet index seen before")]
    Replayed,
    /// The index is older than the replay window, or before the start of the stream.
    #[error("packet older than the replay window of 128 packets")]
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
            Refused::TooOld | Refused::Exhausted => Self::TooOld,
            Refused::SsrcLimit => Self::SsrcLimit,
        }
    }
}

/// The state of an SSRC.
pub(crate) fn find(streams: &[StreamState], ssrc: u32) -> Option<&StreamState> {
    streams.iter().find(|state| state.flags & USED != 0 && state.ssrc == ssrc)
}

/// The state of an SSRC or an unused entry for it, not yet marked as used.
pub(crate) fn find_or_free(streams: &mut [StreamState], ssrc: u32) -> Result<&mut StreamState, Refused> {
    let known = streams.iter().position(|state| state.flags & USED != 0 && state.ssrc == ssrc);
    let at = known.or_else(|| streams.iter().position(|state| state.flags & USED == 0));
    let state = at.and_then(|at| streams.get_mut(at)).ok_or(Refused::SsrcLimit)?;
    if known.is_none() {
        *state = StreamState { ssrc, ..StreamState::default() };
    }
    Ok(state)
}
