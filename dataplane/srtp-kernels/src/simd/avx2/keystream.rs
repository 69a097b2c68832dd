//! AES in counter mode, eight blocks at once.

use core::arch::x86_64::*;

use crate::simd::ghash::reversal;
use crate::simd::memory::{big_endian, load_block, store_block};

/// Blocks whose rounds overlap.
const BLOCKS: usize = 8;

/// Applies the stream from counter block `counter` on to data of any length.
#[target_feature(enable = "aes,ssse3,sse4.1")]
pub(super) fn apply<const KEYS: usize>(round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]) {
    // Reversed: the counter is the first word.
    let mut next = _mm_shuffle_epi8(big_endian(counter), reversal());
    for data in data.chunks_mut(16 * BLOCKS) {
        let mut blocks = [next; BLOCKS];
        for block in &mut blocks {
            *block = _mm_shuffle_epi8(next, reversal());
            next = _mm_add_epi32(next, _mm_set_epi32(0, 0, 0, 1));
        }
        if data.len() > 32 {
            encrypt(round_keys, &mut blocks);
        } else if let Some(few) = blocks.first_chunk_mut::<2>() {
            encrypt(round_keys, few);
        }
        let (whole, rest) = data.as_chunks_mut::<16>();
        let mut blocks = blocks.into_iter();
        for (data, block) in whole.iter_mut().zip(&mut blocks) {
            store_block(data, _mm_xor_si128(load_block(data), block));
        }
        if let (false, Some(block)) = (rest.is_empty(), blocks.next()) {
            let mut keystream = [0; 16];
            store_block(&mut keystream, block);
            rest.iter_mut().zip(keystream).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

/// Encrypts blocks (FIPS 197).
#[inline]
#[target_feature(enable = "aes")]
pub(super) fn encrypt<const KEYS: usize, const COUNT: usize>(
    round_keys: &[[u8; 16]; KEYS],
    blocks: &mut [__m128i; COUNT],
) {
    let key = load_block(&round_keys[0]);
    for block in &mut *blocks {
        *block = _mm_xor_si128(*block, key);
    }
    for key in &round_keys[1..KEYS - 1] {
        let key = load_block(key);
        for block in &mut *blocks {
            *block = _mm_aesenc_si128(*block, key);
        }
    }
    let key = load_block(&round_keys[KEYS - 1]);
    for block in blocks {
        *block = _mm_aesenclast_si128(*block, key);
    }
}
