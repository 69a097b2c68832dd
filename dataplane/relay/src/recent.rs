//! Which SSRCs a direction of a leg has carried lately.
//!
//! A direction keeps the states of a few SSRCs only, and no packet, authentic or not, evicts one: captured
//! packets would deafen the sender. But every hold, transfer or music on hold may
//! bring a new SSRC, and a long call must not go deaf of them. They come with signalling, so it is an
//! update of the session that makes room for one more.

use pinhole_flow::StreamState;
use pinhole_flow::slot::STREAMS;
use pinhole_srtp::retire;

/// SSRCs, the most recent first, and zeros behind them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent {
    ssrcs: [u32; STREAMS],
}

impl Recent {
    /// Takes note of a packet.
    #[inline]
    pub fn touch(&mut self, ssrc: u32) {
        if self.ssrcs.first() != Some(&ssrc) {
            self.move_up(ssrc);
        }
    }

    fn move_up(&mut self, ssrc: u32) {
        let at = self.ssrcs.iter().position(|known| *known == ssrc).unwrap_or(STREAMS - 1);
        if let Some(moved) = self.ssrcs.get_mut(..=at) {
            moved.rotate_right(1);
        }
        if let Some(first) = self.ssrcs.first_mut() {
            *first = ssrc;
        }
    }

    /// Frees the state of the SSRC that was quiet longest, if none is free, and returns it.
    pub fn make_room(&self, states: &mut [StreamState; STREAMS]) -> Option<StreamState> {
        let age = |ssrc: u32| self.ssrcs.iter().position(|known| *known == ssrc).unwrap_or(STREAMS);
        let oldest = states.iter().map(|state| state.ssrc).max_by_key(|ssrc| age(*ssrc));
        if !states.iter().all(in_use) {
            return None;
        }
        retire(states, oldest?)
    }
}

/// Whether a stream state is in use.
pub fn in_use(state: &StreamState) -> bool {
    state.flags & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ssrc_that_was_quiet_longest_makes_room_and_only_when_all_states_are_used() {
        let mut recent = Recent::default();
        let all = std::array::from_fn::<u32, STREAMS, _>(|n| n as u32 + 1);
        for ssrc in all.into_iter().chain([1, 1, 3]) {
            recent.touch(ssrc);
        }
        let state = |ssrc| StreamState { ssrc, flags: 1, ..StreamState::default() };
        let mut full = all.map(state);
        assert_eq!(recent.make_room(&mut full), Some(state(2)));
        let flags = all.map(|ssrc| u32::from(ssrc != 2));
        assert_eq!(full.map(|state| state.flags), flags);
        let before = full;
        assert_eq!(recent.make_room(&mut full), None);
        assert_eq!(full, before);
    }
}
