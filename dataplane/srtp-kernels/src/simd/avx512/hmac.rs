//! HMAC-SHA1 (RFC 2104) of many messages of different keys and lengths.

use core::arch::x86_64::*;
use core::array::from_fn;
use core::mem::MaybeUninit;

use super::sha1::{State, Words, compress, transpose};
use crate::simd::memory::{begin_tail, broadcast, load_16_words, load_64, load_part, store_16_words};
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

/// Messages in groups of sixteen.
type Lanes<'a, const GROUPS: usize> = [[&'a Message<'a>; 16]; GROUPS];

/// At most sixteen messages for each group. Lanes without one repeat the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
fn groups<const GROUPS: usize>(messages: &[Message<'_>], tags: &mut [Tag; BATCH]) {
    let [.., last] = messages else { return };
    let zero = _mm512_setzero_si512();
    let mut lanes: Lanes<'_, GROUPS> = [[last; 16]; GROUPS];
    for (lane, message) in lanes.as_flattened_mut().iter_mut().zip(messages) {
        *lane = message;
    }
    // The tails first: their stores have drained when they are loaded.
    let mut memory = [const { [const { MaybeUninit::uninit() }; 16] }; GROUPS];
    let mut each = lanes.as_flattened().iter();
    let tails: [[&Tail; 16]; GROUPS] = memory
        .each_mut()
        .map(|group| group.each_mut().map(|memory| tail(each.next().unwrap_or(&last), memory)));
    let mut inner = [[zero; 5]; GROUPS];
    let mut outer = [[zero; 5]; GROUPS];
    for g in 0..GROUPS {
        let rows = from_fn(|lane| load_16_words(lanes[g][lane].midstates));
        [inner[g], outer[g]] = states(&transpose(&rows));
    }
    let (mut fewest, mut most) = (usize::MAX, 0);
    for message in messages {
        fewest = fewest.min(message.blocks());
        most = most.max(message.blocks());
    }
    for at in 0..fewest {
        compress(&mut inner, &mut words(&lanes, &tails, at));
    }
    for at in fewest..most {
        let before = inner;
        compress(&mut inner, &mut words(&lanes, &tails, at));
        for g in 0..GROUPS {
            let ended = ended(&lanes[g], at);
            for word in 0..5 {
                inner[g][word] = _mm512_mask_mov_epi32(inner[g][word], ended, before[g][word]);
            }
        }
    }
    let padding = _mm512_set1_epi32(i32::MIN);
    let bits = _mm512_set1_epi32((64 + 20) * 8);
    let digest = |[a, b, c, d, e]: State| {
        [a, b, c, d, e, padding, zero, zero, zero, zero, zero, zero, zero, zero, zero, bits]
    };
    compress(&mut outer, &mut inner.map(digest));
    for (g, messages) in messages.chunks(16).enumerate() {
        let mut digests = [[0; 16]; 3];
        for word in 0..3 {
            store_16_words(&mut digests[word], _mm512_shuffle_epi8(outer[g][word], swap()));
        }
        for (lane, message) in messages.iter().enumerate() {
            let word = |at: usize| u128::from(digests[at][lane]) << (32 * at);
            tags[message.place % BATCH] = word(0) | word(1) | word(2);
        }
    }
}

/// The inner and the outer states from transposed midstates.
#[inline]
fn states([a, b, c, d, e, f, g, h, i, j, ..]: &Words) -> [State; 2] {
    [[*a, *b, *c, *d, *e], [*f, *g, *h, *i, *j]]
}

/// The words of block `at` of each message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn words<const GROUPS: usize>(
    lanes: &Lanes<'_, GROUPS>,
    tails: &[[&Tail; 16]; GROUPS],
    at: usize,
) -> [Words; GROUPS] {
    let swap = swap();
    from_fn(|g| {
        let row = |lane: usize| {
            let block = lanes[g][lane].block(tails[g][lane], at);
            _mm512_shuffle_epi8(load_64(block), swap)
        };
        transpose(&from_fn(row))
    })
}

/// The shuffle that swaps the bytes of each word.
#[inline]
#[target_feature(enable = "avx512f")]
fn swap() -> __m512i {
    broadcast(&[3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12])
}

/// The lanes whose messages have no block `at`.
#[inline]
fn ended(lanes: &[&Message<'_>; 16], at: usize) -> u16 {
    (0..16).fold(0, |ended, lane| ended | u16::from(lanes[lane].blocks() <= at) << lane)
}

/// Makes the last blocks of a message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn tail<'a>(message: &Message<'_>, memory: &'a mut MaybeUninit<Tail>) -> &'a Tail {
    let whole = 64 * message.whole().len();
    let tail = begin_tail(memory, load_part(message.data, whole));
    message.pad(tail);
    tail
}
