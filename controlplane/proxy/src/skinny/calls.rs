//! Calls as call managers tell phones of them. For those who look only: what passes and what is opened does not depend on it.

use std::collections::BTreeMap;
use std::time::Instant;

use pinhole_admin::{CallState, Direction};
use pinhole_sccp::{CallState as Told, Frame};

/// Calls of a connection that are kept in mind. A phone has a few.
const KEPT: usize = 64;

/// A call that a phone was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToldCall {
    pub(super) direction: Direction,
    /// `None` for a phone that is off hook, or hears that the other is busy: that is no call.
    pub(super) state: Option<CallState>,
    pub(super) since: Instant,
}

/// The calls of a connection, by reference.
#[derive(Default)]
pub(super) struct ToldCalls(BTreeMap<u32, ToldCall>);

impl ToldCalls {
    /// Takes what a call manager says of a call. Returns the call that is over, if it says that.
    pub(super) fn tell(&mut self, frame: &Frame, now: Instant) -> Option<u32> {
        let said = frame.call()?;
        let reference = said.reference().ok()?;
        let state = said.state().ok();
        if state == Some(Told::ON_HOOK) {
            self.0.remove(&reference);
            return Some(reference);
        }
        if state.is_none() && !self.0.contains_key(&reference) {
            // What is told of a call that is over, or not yet there.
            return None;
        }
        if self.0.len() >= KEPT && !self.0.contains_key(&reference) {
            self.0.pop_first();
        }
        let first = ToldCall { direction: Direction::FromPhone, state: None, since: now };
        let call = self.0.entry(reference).or_insert(first);
        match state {
            Some(Told::RING_IN) => {
                (call.direction, call.state) = (Direction::ToPhone, Some(CallState::Setup));
            }
            Some(Told::RING_OUT | Told::PROCEED) => call.state = Some(CallState::Setup),
            Some(Told::CONNECTED) => call.state = Some(CallState::Talking),
            Some(Told::HOLD) => call.state = Some(CallState::Held),
            Some(Told::OFF_HOOK | Told::BUSY) => call.state = None,
            _ => {}
        }
        // Inbound and forwarded [M].
        if let Ok(1 | 3) = said.kind() {
            call.direction = Direction::ToPhone;
        }
        None
    }

    pub(super) fn get(&self, reference: u32) -> Option<&ToldCall> {
        self.0.get(&reference)
    }

    /// Those that are calls by now.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &ToldCall, CallState)> {
        self.0.iter().filter_map(|(reference, call)| Some((*reference, call, call.state?)))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
