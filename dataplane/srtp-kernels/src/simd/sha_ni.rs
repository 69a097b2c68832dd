//! HMAC-SHA1 with the SHA instructions, four messages interleaved or one alone.

use core::arch::x86_64::*;

use super::memory::{load_block, load_words, number};
use super::message::{Message, Tail};
use super::tier::{BATCH, Tag};

/// Authenticates messages, which are best ordered by length; the tag of each is put at its place.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn tags(messages: &[Message<'_>], tags: &mut [Tag; BATCH]) {
    for messages in messages.chunks(4) {
        match *messages {
            [ref one] => lanes([one], tags),
            [ref one, ref two] => lanes([one, two], tags),
            [ref one, ref two, ref three] => lanes([one, two, three, three], tags),
            [ref one, ref two, ref three, ref four] => lanes([one, two, three, four], tags),
            _ => {}
        }
    }
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn lanes<const LANES: usize>(messages: [&Message<'_>; LANES], tags: &mut [Tag; BATCH]) {
    let zero = _mm_setzero_si128();
    let tails: [Tail; LANES] = core::array::from_fn(|lane| messages[lane].tail());
    let mut states = [[zero; 2]; LANES];
    let mut outer = [[zero; 2]; LANES];
    let (mut fewest, mut most) = (usize::MAX, 0);
    for lane in 0..LANES {
        let [words @ .., _, _, _, _, _, _] = messages[lane].midstates;
        states[lane] = state([words[0], words[1], words[2], words[3], words[4]]);
        outer[lane] = state([words[5], words[6], words[7], words[8], words[9]]);
        fewest = fewest.min(messages[lane].blocks());
        most = most.max(messages[lane].blocks());
    }
    for at in 0..most {
        let mut words = [[zero; LANES]; 4];
        for lane in 0..LANES {
            let block = messages[lane].block(&tails[lane], at);
            for (word, block) in words.iter_mut().zip(block.as_chunks().0) {
                word[lane] = _mm_shuffle_epi8(load_block(block), reversal());
            }
        }
        let before = states;
        compress(&mut states, words);
        if at >= fewest {
            for lane in 0..LANES {
                if messages[lane].blocks() <= at {
                    states[lane] = before[lane];
                }
            }
        }
    }
    let mut words = [[zero; LANES]; 4];
    for lane in 0..LANES {
        let [abcd, e] = states[lane];
        words[0][lane] = abcd;
        // E, then the padding of a message of a block and 20 bytes.
        words[1][lane] = _mm_or_si128(e, _mm_set_epi32(0, i32::MIN, 0, 0));
        words[3][lane] = _mm_set_epi32(0, 0, 0, (64 + 20) * 8);
    }
    compress(&mut outer, words);
    for lane in 0..LANES {
        tags[messages[lane].place() % BATCH] = number(_mm_shuffle_epi8(outer[lane][0], reversal()));
    }
}

/// The shuffle that brings four words of a message into the order of the instructions: the first word
/// is the most significant.
#[inline]
fn reversal() -> __m128i {
    load_block(&[15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
}

/// A state as the instructions take it: A to D in one register, E in the highest word of the other.
#[inline]
#[target_feature(enable = "sse4.1")]
fn state([a, b, c, d, e]: [u32; 5]) -> [__m128i; 2] {
    [load_words(&[d, c, b, a]), load_words(&[0, 0, 0, e])]
}

/// Adds a block to each state.
#[inline]
#[target_feature(enable = "sha,sse4.1")]
fn compress<const LANES: usize>(states: &mut [[__m128i; 2]; LANES], mut words: [[__m128i; LANES]; 4]) {
    let mut current = states.map(|[abcd, _]| abcd);
    // A to D four rounds ago, from which comes E.
    let mut earlier = current;
    for lane in 0..LANES {
        let [abcd, e] = states[lane];
        current[lane] = _mm_sha1rnds4_epu32::<0>(abcd, _mm_add_epi32(e, words[0][lane]));
    }
    macro_rules! rounds {
        ($function:literal: $($step:literal)*) => { $(
            for lane in 0..LANES {
                if $step >= 4 {
                    let word = _mm_sha1msg1_epu32(words[$step % 4][lane], words[($step + 1) % 4][lane]);
                    let word = _mm_xor_si128(word, words[($step + 2) % 4][lane]);
                    words[$step % 4][lane] = _mm_sha1msg2_epu32(word, words[($step + 3) % 4][lane]);
                }
                let e = _mm_sha1nexte_epu32(earlier[lane], words[$step % 4][lane]);
                earlier[lane] = current[lane];
                current[lane] = _mm_sha1rnds4_epu32::<$function>(current[lane], e);
            }
        )* };
    }
    rounds!(0: 1 2 3 4);
    rounds!(1: 5 6 7 8 9);
    rounds!(2: 10 11 12 13 14);
    rounds!(3: 15 16 17 18 19);
    for lane in 0..LANES {
        let [abcd, e] = states[lane];
        states[lane] = [_mm_add_epi32(current[lane], abcd), _mm_sha1nexte_epu32(earlier[lane], e)];
    }
}
