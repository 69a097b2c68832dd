//! SSRCs that made room for others. One that comes back goes on from where it was: nothing that arrives is
//! accepted twice, and nothing is sent twice under one index, which betrays both plaintexts (and with GCM the
//! authentication key).

use pinhole_flow::StreamState;
use pinhole_flow::slot::STREAMS;
use pinhole_srtp::{Guess, Refused, Windows, inbound};

use crate::recent::in_use;

/// An update makes room for one SSRC, so that a call needs as many of them to get here; then no SSRC makes room.
const MOST: usize = 256;

/// The states of such SSRCs in one direction under one key.
#[derive(Clone, Debug, Default)]
pub struct Retired(Vec<StreamState>);

/// Those of a leg.
#[derive(Debug, Default)]
pub struct RetiredStreams {
    /// Of packets that arrive.
    pub inbound: Retired,
    /// Of packets that are sent.
    pub outbound: Retired,
}

impl Retired {
    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    /// Keeps the state of an SSRC that has made room.
    pub fn keep(&mut self, state: StreamState) {
        self.0.push(state);
    }

    /// Whether an SSRC is among them.
    pub fn has(&self, ssrc: u32) -> bool {
        self.0.iter().any(|state| state.ssrc == ssrc)
    }

    /// The states.
    pub fn states(&self) -> &[StreamState] {
        &self.0
    }

    /// The same, after a change of key.
    #[must_use]
    pub fn carried_over(&self) -> Self {
        let mut states = self.0.clone();
        inbound::carry_over(&mut states);
        states.retain(in_use);
        Self(states)
    }

    /// The same, when their key comes back.
    #[must_use]
    pub fn restored(mut self) -> Self {
        inbound::restore(&mut self.0);
        self
    }

    /// Commits an authentic packet of an SSRC that comes back among those of the leg. `None`: the packet is of
    /// another. Changes nothing if it is refused, and allocates nothing.
    #[cold]
    pub fn commit(
        &mut self,
        guess: &Guess,
        streams: &mut [StreamState; STREAMS],
        windows: &mut Windows,
    ) -> Option<Result<(), Refused>> {
        let at = self.position(guess.ssrc, streams)?;
        let mut resumed = *streams;
        let result = inbound::resume(&mut resumed, windows, *self.0.get(at)?)
            .and_then(|()| guess.commit(&mut resumed, windows));
        if result.is_ok() {
            *streams = resumed;
            self.0.swap_remove(at);
        }
        Some(result)
    }

    /// Puts the state of an SSRC that comes back among those of the leg, if one is free. Allocates nothing.
    #[cold]
    pub fn resume(&mut self, ssrc: u32, streams: &mut [StreamState]) {
        if let Some(at) = self.position(ssrc, streams)
            && let Some(free) = streams.iter_mut().find(|state| !in_use(state))
        {
            *free = self.0.swap_remove(at);
        }
    }

    /// Where the state of an SSRC is that has none among those of the leg.
    fn position(&self, ssrc: u32, streams: &[StreamState]) -> Option<usize> {
        let there = streams.iter().any(|state| in_use(state) && state.ssrc == ssrc);
        if there { None } else { self.0.iter().position(|state| state.ssrc == ssrc) }
    }
}
