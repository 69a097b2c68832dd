//! What the packets carry: 160 bytes, of which each follows from when, on which flow and as which
//! packet of the flow they were sent. So one wrong byte anywhere shows.

/// Bytes of a payload: 20 ms of G.711.
pub const LEN: usize = 160;

/// Words of a payload behind the stamp.
const WORDS: usize = LEN / 8 - 2;

/// What a payload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// [`ticks`](crate::clock::ticks) when it was sent.
    pub ticks: u64,
    /// Number of the flow.
    pub flow: u32,
    /// Number of the packet in its flow, from 0.
    pub count: u32,
}

/// Writes the payload of `stamp`.
#[inline]
pub fn fill(payload: &mut [u8; LEN], seed: u64, stamp: Stamp) {
    let number = u64::from(stamp.flow) << 32 | u64::from(stamp.count);
    let (words, _) = payload.as_chunks_mut::<8>();
    if let [ticks, identity, rest @ ..] = words {
        *ticks = stamp.ticks.to_le_bytes();
        *identity = number.to_le_bytes();
        for (word, value) in rest.iter_mut().zip(pattern(seed, stamp.ticks, number)) {
            *word = value.to_le_bytes();
        }
    }
}

/// The stamp of a payload; `None` if any byte is not what [`fill`] wrote.
#[inline]
pub fn check(payload: &[u8; LEN], seed: u64) -> Option<Stamp> {
    let (words, _) = payload.as_chunks::<8>();
    let [ticks, identity, rest @ ..] = words else { return None };
    let (ticks, number) = (u64::from_le_bytes(*ticks), u64::from_le_bytes(*identity));
    // No early exit: almost every payload is right, and so the comparison is a few vector operations.
    let difference = rest
        .iter()
        .zip(pattern(seed, ticks, number))
        .fold(0, |sum, (word, value)| sum | (u64::from_le_bytes(*word) ^ value));
    (difference == 0).then_some(Stamp { ticks, flow: (number >> 32) as u32, count: number as u32 })
}

/// The words behind the stamp: they depend on every bit of it.
#[inline]
fn pattern(seed: u64, ticks: u64, number: u64) -> impl Iterator<Item = u64> {
    // Multiplication by an odd number and the shift-xor are one-to-one, so two stamps that differ in
    // one of the words never have the same pattern.
    let mut base = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    base ^= base >> 32;
    base = (base ^ ticks).wrapping_mul(0xd6e8_feb8_6659_fd93);
    base ^= base >> 32;
    (0..WORDS as u64).map(move |at| base.wrapping_add(at.wrapping_mul(0xa076_1d64_78bd_642f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { ticks: 0x0123_4567_89ab_cdef, flow: 19_999, count: 77 };

    #[test]
    fn a_payload_tells_when_and_as_what_it_was_sent() {
        let mut payload = [0; LEN];
        fill(&mut payload, 5, STAMP);
        assert_eq!(check(&payload, 5), Some(STAMP));
        assert_eq!(check(&payload, 6), None, "of another run");
    }

    #[test]
    fn any_changed_byte_shows() {
        let mut payload = [0; LEN];
        fill(&mut payload, 5, STAMP);
        for at in 0..LEN {
            for bit in 0..8 {
                payload[at] ^= 1 << bit;
                assert_eq!(check(&payload, 5), None, "byte {at}, bit {bit}");
                payload[at] ^= 1 << bit;
            }
        }
        assert_eq!(check(&payload, 5), Some(STAMP));
    }
}
