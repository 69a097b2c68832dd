//! HMAC-SHA1 (RFC 2104) of many messages of different keys and lengths.

use core::arch::x86_64::*;

use super::sha1::{compress, transpose};
use crate::simd::memory::{broadcast, load_16_words, load_64, load_part, store_16_words, store_64};
use crate::simd::message::{Message, Tail};
use crate::simd::sha_ni;
use crate::simd::tier::{BATCH, Tag};

/// From how many messages on sixteen lanes are faster than the SHA instructions, four at a time.
const SIXTEEN_FROM: usize = 9;

/// Authenticates messages; the tag of each is put at its place. Reorders them by length, so that
/// lanes end together.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,sha,sse4.1,bmi2")]
pub(in crate::simd) fn tags(messages: &mut [Message<'_>], tags: &mut [Tag; BATCH]) {
    if !messages.is_sorted_by_key(|message| message.blocks()) {
        messages.sort_unstable_by_key(|message| message.blocks());
    }
    let mut rest = &*messages;
    while rest.len() >= SIXTEEN_FROM {
        let (now, later) = rest.split_at(rest.len().min(32));
        if now.len() > 16 {
            groups::<2>(now, tags);
        } else {
            groups::<1>(now, tags);
        }
        rest = later;
    }
    sha_ni::tags(rest, tags);
}

/// At most sixteen messages for each group. Lanes without one repeat the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
fn groups<const GROUPS: usize>(messages: &[Message<'_>], tags: &mut [Tag; BATCH]) {
    let [.., last] = messages else { return };
    let zero = _mm512_setzero_si512();
    let swap = broadcast(&[3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]);
    let mut lanes = [[last; 16]; GROUPS];
    for (lane, message) in lanes.as_flattened_mut().iter_mut().zip(messages) {
        *lane = message;
    }
    // The tails first: their stores have drained when they are loaded.
    let mut tails = [const { [const { Tail([0; 128]) }; 16] }; GROUPS];
    let (mut fewest, mut most) = (usize::MAX, 0);
    for g in 0..GROUPS {
        for lane in 0..16 {
            let message = lanes[g][lane];
            fill(message, &mut tails[g][lane]);
            fewest = fewest.min(message.blocks());
            most = most.max(message.blocks());
        }
    }
    let mut inner = [[zero; GROUPS]; 5];
    let mut outer = [[zero; GROUPS]; 5];
    for g in 0..GROUPS {
        let mut rows = [zero; 16];
        for lane in 0..16 {
            rows[lane] = load_16_words(lanes[g][lane].midstates);
        }
        let columns = transpose(&rows);
        for word in 0..5 {
            inner[word][g] = columns[word];
            outer[word][g] = columns[5 + word];
        }
    }
    for at in 0..most {
        let mut words = [[zero; GROUPS]; 16];
        for g in 0..GROUPS {
            let mut rows = [zero; 16];
            for lane in 0..16 {
                let block = lanes[g][lane].block(&tails[g][lane], at);
                rows[lane] = _mm512_shuffle_epi8(load_64(block), swap);
            }
            let columns = transpose(&rows);
            for word in 0..16 {
                words[word][g] = columns[word];
            }
        }
        let before = inner;
        compress(&mut inner, &mut words);
        if at >= fewest {
            for g in 0..GROUPS {
                let ended = ended(&lanes[g], at);
                for word in 0..5 {
                    inner[word][g] = _mm512_mask_mov_epi32(inner[word][g], ended, before[word][g]);
                }
            }
        }
    }
    let mut words = [[zero; GROUPS]; 16];
    for g in 0..GROUPS {
        for word in 0..5 {
            words[word][g] = inner[word][g];
        }
        words[5][g] = _mm512_set1_epi32(i32::MIN);
        words[15][g] = _mm512_set1_epi32((64 + 20) * 8);
    }
    compress(&mut outer, &mut words);
    for g in 0..GROUPS {
        let mut digests = [[0; 16]; 3];
        for word in 0..3 {
            store_16_words(&mut digests[word], _mm512_shuffle_epi8(outer[word][g], swap));
        }
        for (lane, message) in messages.iter().skip(16 * g).take(16).enumerate() {
            let word = |at: usize| u128::from(digests[at][lane]) << (32 * at);
            tags[message.place % BATCH] = word(0) | word(1) | word(2);
        }
    }
}

/// The lanes whose messages have no block `at`.
#[inline]
fn ended(lanes: &[&Message<'_>; 16], at: usize) -> u16 {
    (0..16).fold(0, |ended, lane| ended | u16::from(lanes[lane].blocks() <= at) << lane)
}

/// Makes the last blocks of a message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn fill(message: &Message<'_>, tail: &mut Tail) {
    let whole = 64 * message.whole().len();
    if let [first, second] = tail.0.as_chunks_mut().0 {
        store_64(first, load_part(message.data, whole));
        store_64(second, _mm512_setzero_si512());
    }
    message.pad(tail);
}
