//! The sum that the Internet checksum (RFC 1071) is made of. It has nothing to do with SRTP, but every packet
//! that is relayed needs it twice, and vector instructions live in this crate.
#![allow(unsafe_code, reason = "vector instructions")]

/// A number that is congruent, modulo 2^16 - 1, to the sum of the 16-bit words of `bytes` as the processor
/// reads them from memory; an odd last byte counts as a word with a zero behind it. Below 2^48 for anything
/// shorter than a gibibyte, so that sums can be added.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions.
        return unsafe { vector(bytes) };
    }
    scalar(bytes)
}

fn scalar(bytes: &[u8]) -> u64 {
    let (blocks, tail) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (words, tail) = tail.as_chunks::<4>();
    let words: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    lanes.iter().sum::<u64>() + words + u64::from(u32::from_ne_bytes(last))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
fn vector(bytes: &[u8]) -> u64 {
    use core::arch::x86_64::*;

    use crate::simd::memory::load_part;
    let low = _mm512_set1_epi64(0xffff_ffff);
    let mut sum = _mm512_setzero_si512();
    for at in (0..bytes.len()).step_by(64) {
        let words = load_part(bytes, at);
        let halves = _mm512_add_epi64(_mm512_and_si512(words, low), _mm512_srli_epi64::<32>(words));
        sum = _mm512_add_epi64(sum, halves);
    }
    _mm512_reduce_add_epi64(sum) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(mut sum: u64) -> u64 {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    }

    #[test]
    fn the_sum_is_that_of_the_words_at_every_length() {
        let bytes: Vec<u8> = (0..9000u32).map(|n| ((n * 73) >> 3) as u8 | 1).collect();
        for len in (0..300).chain([1499, 1500, 8999, 9000]) {
            let bytes = &bytes[..len];
            let words = bytes.chunks(2).map(|word| [word[0], word.get(1).copied().unwrap_or(0)]);
            let expected = words.map(|word| u64::from(u16::from_ne_bytes(word))).sum();
            assert_eq!(folded(sum(bytes)), folded(expected), "{len}");
            assert_eq!(folded(scalar(bytes)), folded(expected), "{len}");
        }
    }
}
