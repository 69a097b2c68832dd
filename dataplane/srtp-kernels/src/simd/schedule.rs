//! The AES key schedule (FIPS 197 section 5.2) with the AES instructions, so that no table look-up
//! depends on the key.

use core::arch::x86_64::*;

/// How many words a key has that makes `round_keys` round keys: 4, 6 or 8 for 11, 13 or 15.
pub(super) const fn key_words(round_keys: usize) -> usize {
    round_keys - 7
}

/// Fills `round_keys`, which starts with the key.
#[target_feature(enable = "aes")]
pub(super) fn expand<const KEYS: usize>(round_keys: &mut [[u8; 16]; KEYS]) {
    let key_words = key_words(KEYS);
    let words = round_keys.as_flattened_mut().as_chunks_mut::<4>().0;
    // At most ten round constants are needed, and only AES-128 comes beyond the eighth.
    let mut constant = 1;
    for at in key_words..words.len() {
        let mut word = u32::from_le_bytes(words[at - 1]);
        if at % key_words == 0 {
            word = substitute(word).rotate_right(8) ^ constant;
            constant = if constant == 0x80 { 0x1b } else { constant << 1 };
        } else if key_words == 8 && at % key_words == 4 {
            word = substitute(word);
        }
        words[at] = (u32::from_le_bytes(words[at - key_words]) ^ word).to_le_bytes();
    }
}

/// SubWord: the word stands in each column, so that ShiftRows in AESENCLAST moves nothing.
#[inline]
#[target_feature(enable = "aes")]
fn substitute(word: u32) -> u32 {
    let block = _mm_aesenclast_si128(_mm_set1_epi32(word as i32), _mm_setzero_si128());
    _mm_cvtsi128_si32(block) as u32
}
