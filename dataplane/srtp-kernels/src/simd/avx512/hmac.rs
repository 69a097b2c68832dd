//! HMAC-SHA1 (RFC 2104) of many messages of different keys and lengths.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::sha1::{State, Words, compress, transpose};
use crate::simd::memory::{begin_tail, broadcast, load_16_words, load_64, load_part, store_16_words};
use crate::simd::message::{Message, Tail};
use crate::simd::sha_ni;
use crate::simd::tier::{BATCH, Tag};

/// From how many messages on sixteen lanes are faster than the SHA instructions, four at a time:
/// measured on Zen 4, where both take as long for nine.
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

/// An array of what a macro makes of 0 to 15: sixteen vectors that stay in registers.
macro_rules! sixteen {
    ($each:ident) => {
        [
            $each!(0),
            $each!(1),
            $each!(2),
            $each!(3),
            $each!(4),
            $each!(5),
            $each!(6),
            $each!(7),
            $each!(8),
            $each!(9),
            $each!(10),
            $each!(11),
            $each!(12),
            $each!(13),
            $each!(14),
            $each!(15),
        ]
    };
}

/// Messages in groups of sixteen.
type Lanes<'a, const GROUPS: usize> = [[&'a Message<'a>; 16]; GROUPS];

/// At most sixteen messages for each group, ordered by length. Lanes without one repeat the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
fn groups<const GROUPS: usize>(messages: &[Message<'_>], tags: &mut [Tag; BATCH]) {
    let ([first, ..], [.., last]) = (messages, messages) else { return };
    let (fewest, most) = (first.blocks(), last.blocks());
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
        let lanes = &lanes[g];
        macro_rules! row {
            ($lane:literal) => {
                load_16_words(lanes[$lane].midstates)
            };
        }
        let rows = sixteen!(row);
        [inner[g], outer[g]] = states(&transpose(&rows));
    }
    let mut words = [[zero; 16]; GROUPS];
    for at in 0..fewest {
        load_words(&lanes, &tails, at, &mut words);
        compress(&mut inner, &words);
    }
    for at in fewest..most {
        let before = inner;
        load_words(&lanes, &tails, at, &mut words);
        compress(&mut inner, &words);
        for g in 0..GROUPS {
            let ended = ended(&lanes[g], at);
            for word in 0..5 {
                inner[g][word] = _mm512_mask_mov_epi32(inner[g][word], ended, before[g][word]);
            }
        }
    }
    let padding = _mm512_set1_epi32(i32::MIN);
    let bits = _mm512_set1_epi32((64 + 20) * 8);
    for g in 0..GROUPS {
        words[g] = [zero; 16];
        words[g][..5].copy_from_slice(&inner[g]);
        words[g][5] = padding;
        words[g][15] = bits;
    }
    compress(&mut outer, &words);
    for (g, messages) in messages.chunks(16).enumerate() {
        let mut digests = [[0; 16]; 3];
        for word in 0..3 {
            store_16_words(&mut digests[word], _mm512_shuffle_epi8(outer[g][word], swap()));
        }
        for (lane, message) in messages.iter().enumerate() {
            let word = |at: usize| u128::from(digests[at][lane]) << (32 * at);
            tags[message.place() % BATCH] = word(0) | word(1) | word(2);
        }
    }
}

/// The inner and the outer states from transposed midstates.
#[inline]
fn states([a, b, c, d, e, f, g, h, i, j, ..]: &Words) -> [State; 2] {
    [[*a, *b, *c, *d, *e], [*f, *g, *h, *i, *j]]
}

/// Fills in the words of block `at` of each message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_words<const GROUPS: usize>(
    lanes: &Lanes<'_, GROUPS>,
    tails: &[[&Tail; 16]; GROUPS],
    at: usize,
    words: &mut [Words; GROUPS],
) {
    let swap = swap();
    for g in 0..GROUPS {
        let (lanes, tails) = (&lanes[g], &tails[g]);
        macro_rules! row {
            ($lane:literal) => {
                _mm512_shuffle_epi8(load_64(lanes[$lane].block(tails[$lane], at)), swap)
            };
        }
        words[g] = transpose(&sixteen!(row));
    }
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
    let tail = begin_tail(memory, load_part(message.rest(), 0));
    message.pad(tail);
    tail
}
