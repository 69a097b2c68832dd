//! HMAC-SHA1 (RFC 2104) of many messages of different keys and lengths.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::sha1::{State, Words, compress, transpose};
use crate::simd::memory::{begin_tail, broadcast, load_16_words, load_64, load_part, store_tags};
use crate::simd::message::{Layout, Message, Tail, Word};
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

/// An array of what a closure makes of 0 to 15: sixteen vectors that stay in registers.
macro_rules! sixteen {
    ($of:expr) => {{
        let of = $of;
        [
            of(0),
            of(1),
            of(2),
            of(3),
            of(4),
            of(5),
            of(6),
            of(7),
            of(8),
            of(9),
            of(10),
            of(11),
            of(12),
            of(13),
            of(14),
            of(15),
        ]
    }};
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
    // The ends first: their stores have drained when they are loaded.
    let mut memory = [const { [const { MaybeUninit::uninit() }; 16] }; GROUPS];
    let ends = if let Some(layout) = Layout::of(messages) {
        Ends::Alike(layout, lanes.each_ref().map(|lanes| words_behind(lanes)))
    } else {
        let mut lanes = lanes.as_flattened().iter();
        let mut next = |memory| tail(lanes.next().unwrap_or(&last), memory);
        Ends::Tails(memory.each_mut().map(|group| group.each_mut().map(&mut next)))
    };
    let mut inner = [[zero; 5]; GROUPS];
    let mut outer = [[zero; 5]; GROUPS];
    for g in 0..GROUPS {
        let rows = sixteen!(|lane: usize| load_16_words(lanes[g][lane].midstates));
        [inner[g], outer[g]] = states(&transpose(&rows));
    }
    let mut words = [[zero; 16]; GROUPS];
    for at in 0..fewest {
        load_words(&lanes, &ends, at, &mut words);
        compress(&mut inner, &words);
    }
    for at in fewest..most {
        let before = inner;
        load_words(&lanes, &ends, at, &mut words);
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
    for (outer, messages) in outer.iter().zip(messages.chunks(16)) {
        let digests = digests(outer);
        for (lane, message) in messages.iter().enumerate() {
            tags[message.place() % BATCH] = digests[lane % 4][lane / 4];
        }
    }
}

/// The first four words of the digest of lane `l`, at `[l % 4][l / 4]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn digests([a, b, c, d, _]: &State) -> [[Tag; 4]; 4] {
    let swap = swap();
    let (ab, cd) = (_mm512_unpacklo_epi32(*a, *b), _mm512_unpacklo_epi32(*c, *d));
    let (later_ab, later_cd) = (_mm512_unpackhi_epi32(*a, *b), _mm512_unpackhi_epi32(*c, *d));
    let lanes = [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(later_ab, later_cd),
        _mm512_unpackhi_epi64(later_ab, later_cd),
    ];
    let mut digests = [[0; 4]; 4];
    for (digests, lanes) in digests.iter_mut().zip(lanes) {
        store_tags(digests, _mm512_shuffle_epi8(lanes, swap));
    }
    digests
}

/// The inner and the outer states from transposed midstates.
#[inline]
fn states([a, b, c, d, e, f, g, h, i, j, ..]: &Words) -> [State; 2] {
    [[*a, *b, *c, *d, *e], [*f, *g, *h, *i, *j]]
}

/// What stands behind the whole blocks of the messages of each group.
enum Ends<'a, const GROUPS: usize> {
    /// The messages are laid out alike: the two words behind each.
    Alike(Layout, [[__m512i; 2]; GROUPS]),
    /// Each message has a tail of its own.
    Tails([[&'a Tail; 16]; GROUPS]),
}

/// The two words behind each message.
#[inline]
#[target_feature(enable = "avx512f")]
fn words_behind(lanes: &[&Message<'_>; 16]) -> [__m512i; 2] {
    let mut words = [[0; 16]; 2];
    for lane in 0..16 {
        [words[0][lane], words[1][lane]] = lanes[lane].words_behind();
    }
    words.map(|words| load_16_words(&words))
}

/// Fills in the words of block `at` of each message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn load_words<const GROUPS: usize>(
    lanes: &Lanes<'_, GROUPS>,
    ends: &Ends<'_, GROUPS>,
    at: usize,
    words: &mut [Words; GROUPS],
) {
    let swap = swap();
    for g in 0..GROUPS {
        let lanes = &lanes[g];
        match ends {
            Ends::Tails(tails) => {
                words[g] = transpose(&sixteen!(|lane: usize| {
                    _mm512_shuffle_epi8(load_64(lanes[lane].block(tails[g][lane], at)), swap)
                }));
            }
            Ends::Alike(layout, _) if at < layout.whole() => {
                words[g] = transpose(&sixteen!(|lane: usize| {
                    _mm512_shuffle_epi8(load_64(lanes[lane].whole_block(at)), swap)
                }));
            }
            Ends::Alike(layout, behind) => {
                let last = transpose(&sixteen!(|lane: usize| {
                    _mm512_shuffle_epi8(load_64(lanes[lane].last_block()), swap)
                }));
                for (place, word) in words[g].iter_mut().enumerate() {
                    *word = match layout.word(at, place) {
                        Word::OfLastBlock(place) => last[place % 16],
                        Word::Behind(place) => behind[g][place % 2],
                        Word::Constant(word) => _mm512_set1_epi32(word as i32),
                    };
                }
            }
        }
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
