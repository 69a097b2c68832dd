//! What an update does to keys and stream states, and how long a key that was replaced is accepted.

use std::collections::VecDeque;
use std::mem::take;

use pinhole_flow::{Leg, LegFlags, LegLive};
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

/// What came of an update of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The inbound key before is accepted for a while.
    pub grace: bool,
    /// Directions in which no room could be made for an SSRC.
    pub full: u64,
}

/// Keys to be wiped, the next one first: every grace is of the same length.
pub type Graces = VecDeque<Grace>;

/// Takes over from `old` what outlives an update of a leg from the orders `was` to the orders `is`.
///
/// - The same inbound key keeps its stream states, and with them ROC and replay window.
/// - A new one keeps the ROCs alone (RFC 3711 section 3.3.1), and ROC 0 is tried once.
/// - One that was in force before it finds its own states again.
///
/// Outbound states stay, since the receiver expects the ROC to go on; but not where the receiver of a new key
/// begins at 0 ([`LegFlags::FRESH_KEYS`]).
///
/// After a new offer (`anew`) a sender may set its sequence numbers back, once. Then, and after a change of
/// key, there must be room for the SSRC that signalling announces.
pub fn renew(
    live: &mut LegLive,
    old: &mut LegContext,
    new: &mut LegContext,
    was: &Leg,
    is: &Leg,
    anew: bool,
    now_ns: u64,
) -> Renewed {
    let (key_was, key_is) = (fingerprint(&was.inbound), fingerprint(&is.inbound));
    let same_key = key_was.is_some() && key_was == key_is;
    new.inherit(old, same_key, anew);
    if same_key {
        new.windows = take(&mut old.windows);
        new.before = old.before.take();
        if anew {
            allow_reset(&mut live.inbound);
        }
    } else {
        change_key(live, old, new, [key_was, key_is], now_ns);
    }
    let new_outbound = was.outbound != is.outbound;
    if new_outbound && is.has(LegFlags::FRESH_KEYS) {
        live.outbound = Default::default();
        new.forget_sent();
    } else if anew {
        allow_reset(&mut live.outbound);
    }
    let full = if anew || new_outbound || key_was != key_is { new.make_room(live) } else { 0 };
    Renewed { grace: !same_key && key_was.is_some(), full }
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
