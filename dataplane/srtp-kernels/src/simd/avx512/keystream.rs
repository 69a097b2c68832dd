//! AES in counter mode, four blocks in a vector.

use core::arch::x86_64::*;

use crate::simd::memory::{big_endian, broadcast, load_part, store_part};
use crate::simd::tier::Stream;

/// Bytes up to which packets are taken in pairs.
const SHORT: usize = 256;

/// Applies each stream to its data. The rounds of neighbours overlap, since one packet of speech
/// alone leaves the AES units idle.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
pub(super) fn apply_all(streams: &mut [Stream<'_>]) {
    for streams in streams.chunks_mut(2) {
        if let [one, other] = streams
            && one.data.len().max(other.data.len()) <= SHORT
        {
            if let (Some(key), Some(other_key)) = (array(one.round_keys), array(other.round_keys)) {
                pair::<11>([key, other_key], [one, other]);
                continue;
            }
            if let (Some(key), Some(other_key)) = (array(one.round_keys), array(other.round_keys)) {
                pair::<15>([key, other_key], [one, other]);
                continue;
            }
            if let (Some(key), Some(other_key)) = (array(one.round_keys), array(other.round_keys)) {
                pair::<13>([key, other_key], [one, other]);
                continue;
            }
        }
        for stream in streams {
            if let Some(round_keys) = array::<11>(stream.round_keys) {
                apply(round_keys, stream.counter, stream.data);
            } else if let Some(round_keys) = array::<15>(stream.round_keys) {
                apply(round_keys, stream.counter, stream.data);
            } else if let Some(round_keys) = array::<13>(stream.round_keys) {
                apply(round_keys, stream.counter, stream.data);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
fn pair<const KEYS: usize>(round_keys: [&[[u8; 16]; KEYS]; 2], streams: [&mut Stream<'_>; 2]) {
    let [one, other] = streams;
    match one.data.len().max(other.data.len()).div_ceil(64) {
        0 => {}
        1 => pair_of::<KEYS, 1>(round_keys, [one, other]),
        2 => pair_of::<KEYS, 2>(round_keys, [one, other]),
        3 => pair_of::<KEYS, 3>(round_keys, [one, other]),
        _ => pair_of::<KEYS, 4>(round_keys, [one, other]),
    }
}

/// The round keys, if they are as many.
#[inline]
fn array<const KEYS: usize>(round_keys: &[[u8; 16]]) -> Option<&[[u8; 16]; KEYS]> {
    round_keys.try_into().ok()
}

/// Two packets of up to `VECTORS` times 64 bytes. What the shorter one does not have is not stored.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
fn pair_of<const KEYS: usize, const VECTORS: usize>(
    round_keys: [&[[u8; 16]; KEYS]; 2],
    streams: [&mut Stream<'_>; 2],
) {
    let mut blocks = [[_mm512_setzero_si512(); VECTORS]; 2];
    for packet in 0..2 {
        blocks[packet] = counter_blocks(streams[packet].counter, broadcast(&round_keys[packet][0]));
    }
    for round in 1..KEYS - 1 {
        for packet in 0..2 {
            let key = broadcast(&round_keys[packet][round]);
            for block in &mut blocks[packet] {
                *block = _mm512_aesenc_epi128(*block, key);
            }
        }
    }
    for (packet, stream) in streams.into_iter().enumerate() {
        let key = broadcast(&round_keys[packet][KEYS - 1]);
        for at in 0..VECTORS {
            if 64 * at < stream.data.len() {
                combine(stream.data, 64 * at, _mm512_aesenclast_epi128(blocks[packet][at], key));
            }
        }
    }
}

/// Counter blocks from `counter` on, combined with the first round key. They must all have the same
/// bytes but the last.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn counter_blocks<const VECTORS: usize>(counter: u128, key: __m512i) -> [__m512i; VECTORS] {
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
    store_part(data, at, _mm512_xor_si512(load_part(data, at), keystream));
}

/// Applies the stream from counter block `counter` on to data of any length.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,bmi2")]
pub(super) fn apply<const KEYS: usize>(round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]) {
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
