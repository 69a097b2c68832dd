//! The session slots, as the relay sees them: shared memory in the process, a vector in the tests. The
//! relay is their only writer.

use pinhole_flow::{LegLive, SessionSlot};

/// The slot of a number; `None` if there is none.
#[inline]
pub fn shared(slots: &mut [SessionSlot], number: u32) -> Option<&mut SessionSlot> {
    slots.get_mut(number as usize)
}

/// What the worker knows of a leg (0 or 1) of the session in a slot.
#[inline]
pub fn live(slots: &[SessionSlot], number: u32, leg: u8) -> Option<&LegLive> {
    slots.get(number as usize)?.live.get(usize::from(leg))
}

/// What the worker knows of a leg (0 or 1), and of the one across.
#[inline]
pub fn sides(slot: &mut SessionSlot, leg: u8) -> (&mut LegLive, &mut LegLive) {
    let [first, second] = &mut slot.live;
    if leg == 0 { (first, second) } else { (second, first) }
}
