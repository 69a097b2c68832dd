//! The AES key schedule (FIPS 197 section 5.2) with the AES instructions, so that no table look-up
//! depends on the key.

use core::arch::x86_64::*;

use super::memory::{load_block, store_block};

/// Fills `round_keys`, which starts with the key: `WORDS` = 1 key block and 11 round keys for AES-128,
/// 2 and 15 for AES-256.
#[target_feature(enable = "aes,ssse3")]
pub(super) fn expand<const KEYS: usize>(round_keys: &mut [[u8; 16]; KEYS]) {
    let words = if KEYS == 11 { 1 } else { 2 };
    // The last word of the block before, rotated or not, in each column: then ShiftRows in
    // AESENCLAST moves nothing, and what remains is SubWord and the addition of the round constant.
    let rotated = _mm_set1_epi32(0x0c0f_0e0d);
    let plain = _mm_set1_epi32(0x0f0e_0d0c);
    let mut constant = 1;
    for at in words..KEYS {
        let before = load_block(&round_keys[at - 1]);
        let substituted = if at % words == 0 {
            let word = _mm_shuffle_epi8(before, rotated);
            let substituted = _mm_aesenclast_si128(word, _mm_set1_epi32(constant));
            constant = if constant == 0x80 { 0x1b } else { constant << 1 };
            substituted
        } else {
            _mm_aesenclast_si128(_mm_shuffle_epi8(before, plain), _mm_setzero_si128())
        };
        let mut key = load_block(&round_keys[at - words]);
        key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
        key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
        store_block(&mut round_keys[at], _mm_xor_si128(key, substituted));
    }
}
