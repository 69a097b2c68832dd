//! The replay window of 128 packets (RFC 3711 section 3.3.2): bit `n` stands for index `highest - n`.

use crate::Refused;

/// How many packets the window spans.
pub(crate) const SIZE: u64 = 128;

fn bits(window: [u64; 2]) -> u128 {
    let [low, high] = window;
    u128::from(high) << 64 | u128::from(low)
}

/// Whether `index` may be accepted.
pub(crate) fn check(highest: u64, window: [u64; 2], index: u64) -> Result<(), Refused> {
    match highest.checked_sub(index) {
        None => Ok(()),
        Some(age) if age >= SIZE => Err(Refused::TooOld),
        Some(age) if bits(window) >> age & 1 == 1 => Err(Refused::Replayed),
        Some(_) => Ok(()),
    }
}

/// The highest index and the window after `index`, which [`check`] has passed, was accepted.
pub(crate) fn record(highest: u64, window: [u64; 2], index: u64) -> (u64, [u64; 2]) {
    let old = bits(window);
    let (highest, new) = match index.checked_sub(highest) {
        Some(advance) => {
            let kept = u32::try_from(advance).ok().and_then(|advance| old.checked_shl(advance));
            (index, kept.unwrap_or(0) | 1)
        }
        None => {
            let age = u32::try_from(highest - index).ok().and_then(|age| 1u128.checked_shl(age));
            (highest, old | age.unwrap_or(0))
        }
    };
    (highest, [new as u64, (new >> 64) as u64])
}
