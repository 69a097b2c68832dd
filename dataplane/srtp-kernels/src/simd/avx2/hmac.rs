//! HMAC-SHA1 of eight messages at once, for processors without the SHA instructions.

use core::arch::x86_64::*;

use crate::simd::memory::load_8_words;
use crate::simd::message::{Message, Tail};
use crate::simd::tier::{BATCH, Tag};

const LANES: usize = 8;

/// A word of each message.
type Words = __m256i;

/// Authenticates messages, which are best ordered by length; the tag of each is put at its place.
#[target_feature(enable = "avx2")]
pub(super) fn tags(messages: &[Message<'_>], tags: &mut [Tag; BATCH]) {
    for messages in messages.chunks(LANES) {
        lanes(messages, tags);
    }
}

/// At most eight messages. Lanes without one repeat the last.
#[target_feature(enable = "avx2")]
fn lanes(messages: &[Message<'_>], tags: &mut [Tag; BATCH]) {
    let lane = |at: usize| messages.get(at).or(messages.last());
    let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g), Some(h)] =
        [lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7)]
    else {
        return;
    };
    let lanes = [a, b, c, d, e, f, g, h];
    let tails: [Tail; LANES] = lanes.map(Message::tail);
    let word = |of: [u32; LANES]| {
        let [a, b, c, d, e, f, g, h] = of.map(|word| word as i32);
        _mm256_setr_epi32(a, b, c, d, e, f, g, h)
    };
    let mut inner: [Words; 5] = core::array::from_fn(|at| word(lanes.map(|lane| lane.midstates[at])));
    let mut outer: [Words; 5] = core::array::from_fn(|at| word(lanes.map(|lane| lane.midstates[5 + at])));
    let most = lanes.iter().map(|lane| lane.blocks()).max().unwrap_or(0);
    for at in 0..most {
        let mut words = [_mm256_setzero_si256(); 16];
        for half in 0..2 {
            let mut rows = [_mm256_setzero_si256(); LANES];
            for (row, (lane, tail)) in rows.iter_mut().zip(lanes.iter().zip(&tails)) {
                *row = big_endian_words(&lane.block(tail, at).as_chunks().0[half]);
            }
            words[8 * half..8 * half + 8].copy_from_slice(&transpose(&rows));
        }
        let before = inner;
        compress(&mut inner, &mut words);
        // All ones in the lanes whose messages have no such block.
        let ended = word(lanes.map(|lane| if lane.blocks() <= at { u32::MAX } else { 0 }));
        for (new, old) in inner.iter_mut().zip(before) {
            *new = _mm256_blendv_epi8(*new, old, ended);
        }
    }
    let mut words = [_mm256_setzero_si256(); 16];
    words[..5].copy_from_slice(&inner);
    words[5] = _mm256_set1_epi32(i32::MIN);
    words[15] = _mm256_set1_epi32((64 + 20) * 8);
    compress(&mut outer, &mut words);
    let mut digests = [[0u32; LANES]; 3];
    for (digest, word) in digests.iter_mut().zip(outer) {
        *digest = words_of(word).map(u32::swap_bytes);
    }
    for (lane, message) in messages.iter().enumerate() {
        let word = |at: usize| u128::from(digests[at][lane]) << (32 * at);
        tags[message.place() % BATCH] = word(0) | word(1) | word(2);
    }
}

/// The words of a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn words_of(vector: Words) -> [u32; LANES] {
    let mut words = [0; LANES];
    // SAFETY: writes 32 bytes, the array's; the store takes any alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn big_endian_words(from: &[u8; 32]) -> Words {
    let order = _mm256_set_epi64x(
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
    );
    _mm256_shuffle_epi8(load_8_words(from), order)
}

/// Turns eight rows of eight words into eight columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: &[Words; 8]) -> [Words; 8] {
    let zero = _mm256_setzero_si256();
    let mut pairs = [zero; 8];
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut quads = [zero; 8];
    for i in 0..2 {
        let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
        quads[4 * i] = _mm256_unpacklo_epi64(a, c);
        quads[4 * i + 1] = _mm256_unpackhi_epi64(a, c);
        quads[4 * i + 2] = _mm256_unpacklo_epi64(b, d);
        quads[4 * i + 3] = _mm256_unpackhi_epi64(b, d);
    }
    let mut columns = [zero; 8];
    for i in 0..4 {
        columns[i] = _mm256_permute2x128_si256::<0x20>(quads[i], quads[4 + i]);
        columns[4 + i] = _mm256_permute2x128_si256::<0x31>(quads[i], quads[4 + i]);
    }
    columns
}

/// Adds a block to each state (FIPS 180-4 section 6.1.2). The words are used up.
#[inline]
#[target_feature(enable = "avx2")]
fn compress(state: &mut [Words; 5], words: &mut [Words; 16]) {
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for t in 0..80 {
        if t >= 16 {
            let word = _mm256_xor_si256(words[(t + 13) % 16], words[(t + 8) % 16]);
            let word = _mm256_xor_si256(word, _mm256_xor_si256(words[(t + 2) % 16], words[t % 16]));
            words[t % 16] = rotate::<1, 31>(word);
        }
        let (chosen, constant) = match t / 20 {
            0 => (_mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d))), 0x5a82_7999),
            1 => (_mm256_xor_si256(b, _mm256_xor_si256(c, d)), 0x6ed9_eba1),
            2 => {
                let both = _mm256_and_si256(b, c);
                (_mm256_or_si256(both, _mm256_and_si256(d, _mm256_or_si256(b, c))), 0x8f1b_bcdc)
            }
            _ => (_mm256_xor_si256(b, _mm256_xor_si256(c, d)), 0xca62_c1d6_u32),
        };
        let keyed = _mm256_add_epi32(words[t % 16], _mm256_set1_epi32(constant as i32));
        let sum = _mm256_add_epi32(_mm256_add_epi32(e, keyed), chosen);
        let next = _mm256_add_epi32(sum, rotate::<5, 27>(a));
        (a, b, c, d, e) = (next, a, rotate::<30, 2>(b), c, d);
    }
    for (to, from) in state.iter_mut().zip([a, b, c, d, e]) {
        *to = _mm256_add_epi32(*to, from);
    }
}

/// Rotation to the left by `LEFT` bits; `RIGHT` is the rest of 32.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(word: Words) -> Words {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(word), _mm256_srli_epi32::<RIGHT>(word))
}
