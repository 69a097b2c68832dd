//! The kernels' operations alone, for [`rounds`](crate::rounds).

use core::arch::x86_64::*;
use core::hint::black_box;

use super::gcm::Sum;
use super::keystream;
use super::sha1::compress;
use crate::Rounds;

/// Does a part `n` times.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq")]
pub(super) fn rounds(part: Rounds, n: usize) {
    let vector = black_box(_mm512_set1_epi32(0x0123_4567));
    match part {
        Rounds::Sha1 => {
            let (mut states, words) = ([[vector; 5]; 2], [[vector; 16]; 2]);
            (0..n).for_each(|_| compress(&mut states, &words));
            black_box(states);
        }
        Rounds::Aes => {
            let (mut blocks, round_keys) = ([vector; 8], [[7; 16]; 11]);
            (0..n.div_ceil(8)).for_each(|_| keystream::rounds(&round_keys, &mut blocks));
            black_box(blocks);
        }
        Rounds::Ghash => {
            let mut sum = Sum::zero();
            (0..n).for_each(|_| sum.add(black_box(vector), vector));
            black_box(sum);
        }
    }
}
