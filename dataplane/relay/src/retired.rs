//! SSRCs that a leg has sent and that made room for others. Should one come back, it goes on from where it was:
//! two packets under one index betray their plaintexts (and with GCM the authentication key).

use pinhole_flow::StreamState;

use crate::recent::in_use;

/// An update makes room for one SSRC, so that a call needs as many of them to get here; then no SSRC makes room.
const MOST: usize = 256;

/// The outbound states of those SSRCs.
#[derive(Debug, Default)]
pub struct Retired(Vec<StreamState>);

impl Retired {
    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    /// Keeps the state of an SSRC that has made room.
    pub fn keep(&mut self, state: StreamState) {
        self.0.push(state);
    }

    /// Puts the state of an SSRC that comes back among those of the leg, if one is free. Allocates nothing.
    #[cold]
    pub fn resume(&mut self, ssrc: u32, states: &mut [StreamState]) {
        let known = self.0.iter().position(|state| state.ssrc == ssrc);
        if let Some(known) = known
            && let Some(free) = states.iter_mut().find(|state| !in_use(state))
        {
            *free = self.0.swap_remove(known);
        }
    }
}
