//! What an update does to keys and stream states, and how long a key that was replaced is accepted.

use std::collections::VecDeque;
use std::mem::take;

use pinhole_flow::{Leg, LegLive};
use pinhole_srtp::inbound::{carry_over, restore};
use pinhole_srtp::{allow_reset, fingerprint};

use crate::session::{KeyBefore, LegContext};

/// How long packets in flight are accepted under the key before: longer than any jitter buffer.
pub const GRACE_NS: u64 = 2_000_000_000;

/// A leg that has a key before.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// The session's slot.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
    /// The leg.
    pub leg: u8,
    /// When the key before is to be wiped.
    pub until_ns: u64,
}

/// Keys to be wiped, the next one first: every grace is of the same length.
pub type Graces = VecDeque<Grace>;

/// Takes over from `old` what outlives an update of a leg from the orders `was` to the orders `is`.
/// True if the inbound key before is accepted for a while.
///
/// - The same inbound key keeps its stream states, and with them ROC and replay window. A sender may set
///   its sequence numbers back, once.
/// - A new one keeps the ROCs alone (RFC 3711 section 3.3.1), and ROC 0 is tried once.
/// - One that was in force before it finds its own states again.
///
/// Outbound states stay in any case: the receiver expects the ROC to go on. Then there must be room for
/// the SSRC that signalling announces.
pub fn renew(
    live: &mut LegLive,
    old: &mut LegContext,
    new: &mut LegContext,
    was: &Leg,
    is: &Leg,
    now_ns: u64,
) -> bool {
    let (key_was, key_is) = (fingerprint(&was.inbound), fingerprint(&is.inbound));
    let same_key = key_was.is_some() && key_was == key_is;
    new.inherit(old, same_key);
    if same_key {
        new.windows = take(&mut old.windows);
        new.before = old.before.take();
        allow_reset(&mut live.inbound);
    } else {
        change_key(live, old, new, [key_was, key_is], now_ns);
    }
    allow_reset(&mut live.outbound);
    new.make_room(live);
    !same_key && key_was.is_some()
}

fn change_key(
    live: &mut LegLive,
    old: &mut LegContext,
    new: &mut LegContext,
    [was, is]: [Option<[u8; 16]>; 2],
    now_ns: u64,
) {
    let streams = live.inbound;
    let mut earlier = old.before.take();
    let retired = new.take_retired();
    match earlier.take_if(|earlier| Some(earlier.fingerprint) == is) {
        Some(back) => {
            let back = *back;
            live.inbound = back.streams;
            new.windows = back.windows;
            restore(&mut live.inbound);
            new.set_retired(back.retired.restored());
        }
        None => {
            carry_over(&mut live.inbound);
            new.set_retired(retired.carried_over());
        }
    }
    new.before = match was {
        Some(fingerprint) => Some(Box::new(KeyBefore {
            fingerprint,
            direction: old.inbound.take(),
            until_ns: now_ns + GRACE_NS,
            streams,
            windows: take(&mut old.windows),
            retired,
        })),
        // The key was taken away before: the one before that is still the last one.
        None => earlier,
    };
}
