//! AES in counter mode, four blocks in a vector.

use core::arch::x86_64::*;

use crate::simd::memory::{big_endian, broadcast, load_64, load_part, store_64, store_part};

/// Applies the stream from counter block `counter` on to data of any length.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
pub(super) fn apply<const KEYS: usize>(round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]) {
    match data.len().div_ceil(64) {
        0 => {}
        1 => short::<KEYS, 1>(round_keys, counter, data),
        2 => short::<KEYS, 2>(round_keys, counter, data),
        3 => short::<KEYS, 3>(round_keys, counter, data),
        4 => short::<KEYS, 4>(round_keys, counter, data),
        _ => long(round_keys, counter, data),
    }
}

/// Applies a stream to up to `VECTORS` times 64 bytes. Nothing waits for the rounds: those of the next packet
/// overlap with them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
fn short<const KEYS: usize, const VECTORS: usize>(
    round_keys: &[[u8; 16]; KEYS],
    counter: u128,
    data: &mut [u8],
) {
    let mut blocks = counter_blocks::<VECTORS>(counter, broadcast(&round_keys[0]));
    rounds(round_keys, &mut blocks);
    for (at, block) in blocks.into_iter().enumerate() {
        combine(data, 64 * at, block);
    }
}

/// Counter blocks from `counter` on, combined with the first round key. They must all have the same
/// bytes but the last.
#[inline]
#[target_feature(enable = "avx512f")]
fn counter_blocks<const VECTORS: usize>(counter: u128, key: __m512i) -> [__m512i; VECTORS] {
    let step = |block: i32| block << 24;
    let first = _mm512_set_epi32(step(3), 0, 0, 0, step(2), 0, 0, 0, step(1), 0, 0, 0, 0, 0, 0, 0);
    let four = _mm512_set_epi32(step(4), 0, 0, 0, step(4), 0, 0, 0, step(4), 0, 0, 0, step(4), 0, 0, 0);
    let mut next = _mm512_add_epi32(_mm512_broadcast_i32x4(big_endian(counter)), first);
    let mut blocks = [next; VECTORS];
    for block in &mut blocks {
        *block = _mm512_xor_si512(next, key);
        next = _mm512_add_epi32(next, four);
    }
    blocks
}

/// Combines the at most 64 bytes from `at` on with a key stream.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn combine(data: &mut [u8], at: usize, keystream: __m512i) {
    match data.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        Some(whole) => store_64(whole, _mm512_xor_si512(load_64(whole), keystream)),
        None => store_part(data, at, !0, _mm512_xor_si512(load_part(data, at), keystream)),
    }
}

/// Applies a stream to data of any length.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
fn long<const KEYS: usize>(round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]) {
    const VECTORS: usize = 8;
    // Reversed blocks: the counter is the first word of each.
    let reversal = _mm512_broadcast_i32x4(crate::simd::ghash::reversal());
    let base = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(big_endian(counter)), reversal);
    let mut next = _mm512_add_epi32(base, _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0));
    let four = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4);
    for data in data.chunks_mut(64 * VECTORS) {
        let mut blocks = [next; VECTORS];
        let used = data.len().div_ceil(64);
        let key = broadcast(&round_keys[0]);
        for block in &mut blocks {
            *block = _mm512_xor_si512(_mm512_shuffle_epi8(next, reversal), key);
            next = _mm512_add_epi32(next, four);
        }
        if used > VECTORS / 2 {
            rounds(round_keys, &mut blocks);
        } else if let Some(half) = blocks.first_chunk_mut::<{ VECTORS / 2 }>() {
            rounds(round_keys, half);
        }
        for (at, block) in blocks.into_iter().enumerate().take(used) {
            combine(data, 64 * at, block);
        }
    }
}

/// All rounds but the addition of the first key.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
pub(super) fn rounds<const KEYS: usize, const VECTORS: usize>(
    round_keys: &[[u8; 16]; KEYS],
    blocks: &mut [__m512i; VECTORS],
) {
    for key in &round_keys[1..KEYS - 1] {
        let key = broadcast(key);
        for block in &mut *blocks {
            *block = _mm512_aesenc_epi128(*block, key);
        }
    }
    let key = broadcast(&round_keys[KEYS - 1]);
    for block in blocks {
        *block = _mm512_aesenclast_epi128(*block, key);
    }
}
