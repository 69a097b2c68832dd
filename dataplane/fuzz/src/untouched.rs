//! What a packet that nobody vouches for may change of a session's slot: its drop counters.

use pinhole_flow::leg::unmapped_v4;
use pinhole_flow::{LegFlags, SessionSlot};
use zerocopy::{FromZeros, IntoBytes};

use crate::support::{Bench, inside};

/// The slots as they were.
pub struct Untouched {
    slots: Vec<SessionSlot>,
    signalled: bool,
}

impl Untouched {
    /// Takes a copy. With `signalled`, some of the packets to come may be from an address that signalling
    /// told a plain leg of: what such a leg counts, and what its far leg sends for it, is not compared.
    pub fn of(bench: &Bench, signalled: bool) -> Self {
        Self { slots: masked(&bench.slots, signalled), signalled }
    }

    /// Compares.
    pub fn check(&self, bench: &Bench) {
        let now = masked(&bench.slots, self.signalled);
        for (slot, (before, after)) in self.slots.iter().zip(&now).enumerate() {
            let same = before.as_bytes() == after.as_bytes();
            assert!(same, "slot {slot} was changed: {:?} became {:?}", before.live, after.live);
        }
    }
}

fn masked(slots: &[SessionSlot], signalled: bool) -> Vec<SessionSlot> {
    let mut slots = slots.to_vec();
    for slot in &mut slots {
        let [phone, within] = &slot.session.legs;
        let phone_is_plain = phone.inbound.suite == 0 && !phone.has(LegFlags::LEARN);
        let inside_is_plain =
            within.inbound.suite == 0 && unmapped_v4(within.remote_ip) == Some(*inside().ip());
        if signalled && phone_is_plain {
            slot.live = FromZeros::new_zeroed();
        } else if signalled && inside_is_plain {
            let [near, far] = &mut slot.live;
            near.outbound = FromZeros::new_zeroed();
            far.stats = FromZeros::new_zeroed();
        }
        for live in &mut slot.live {
            live.stats.drops.fill(0);
        }
    }
    slots
}
