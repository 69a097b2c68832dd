//! The session slots, as the relay sees them: shared memory in the process, a vector in the tests. The
//! relay is their only writer.

use pinhole_flow::{LegLive, SessionSlot};

/// The slot of a number; `None` if there is none.
pub fn shared(slots: &mut [SessionSlot], number: u32) -> Option<&mut SessionSlot> {
    slots.get_mut(usize::try_from(number).ok()?)
}

/// What the worker knows of a leg (0 or 1) of the session in a slot.
pub fn live(slots: &mut [SessionSlot], number: u32, leg: u8) -> Option<&mut LegLive> {
    shared(slots, number)?.live.get_mut(usize::from(leg))
}
