//! AES-GCM (NIST SP 800-38D) with VAES and VPCLMULQDQ, hashing by powers of the hash key.

use core::arch::x86_64::*;

use super::keystream::{apply, counter_blocks, rounds};
use crate::simd::context::Gcm;
use crate::simd::ghash::{self, lengths, reversal};
use crate::simd::memory::{big_endian, broadcast, load_block, load_part, number, powers, store_part};
use crate::simd::tier::{Aead, Tag, tags_match};

/// Blocks that one aggregated hash takes: as many as there are powers.
const POWERS: usize = 16;

/// Encrypts in place and returns the tag.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
pub(super) fn seal<const KEYS: usize>(context: &Gcm<KEYS>, packet: Aead<'_>) -> Tag {
    match Plan::of(&packet) {
        Plan::Short(vectors) => dispatch::<KEYS, true>(vectors, context, packet, 0).0,
        Plan::Long => {
            let Aead { iv, aad, text } = packet;
            apply(&context.round_keys, iv | 2, text);
            long_tag(context, iv, aad, text)
        }
    }
}

/// Decrypts in place if the tag is right. Otherwise nothing is changed.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
pub(super) fn open<const KEYS: usize>(context: &Gcm<KEYS>, packet: Aead<'_>, tag: Tag) -> bool {
    match Plan::of(&packet) {
        Plan::Short(vectors) => dispatch::<KEYS, false>(vectors, context, packet, tag).1,
        Plan::Long => {
            let Aead { iv, aad, text } = packet;
            let right = tags_match(long_tag(context, iv, aad, text), tag, 16);
            if right {
                apply(&context.round_keys, iv | 2, text);
            }
            right
        }
    }
}

/// Which path a packet takes.
enum Plan {
    /// It is hashed in one go, and its key stream, that of the tag before it, has so many vectors.
    Short(usize),
    Long,
}

impl Plan {
    #[inline]
    fn of(packet: &Aead<'_>) -> Self {
        let text = packet.text.len().div_ceil(16);
        let short = packet.aad.len() <= 64 && packet.aad.len().div_ceil(16) + text < POWERS;
        if short { Self::Short(text / 4 + 1) } else { Self::Long }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn dispatch<const KEYS: usize, const SEAL: bool>(
    vectors: usize,
    context: &Gcm<KEYS>,
    packet: Aead<'_>,
    tag: Tag,
) -> (Tag, bool) {
    match vectors {
        1 => short::<KEYS, 1, SEAL>(context, packet, tag),
        2 => short::<KEYS, 2, SEAL>(context, packet, tag),
        3 => short::<KEYS, 3, SEAL>(context, packet, tag),
        _ => short::<KEYS, 4, SEAL>(context, packet, tag),
    }
}

/// A packet whose associated data has at most four blocks and which has fewer than [`POWERS`] blocks
/// in all. Its plain text is held back in registers until the tag has been checked.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn short<const KEYS: usize, const VECTORS: usize, const SEAL: bool>(
    context: &Gcm<KEYS>,
    packet: Aead<'_>,
    expected: Tag,
) -> (Tag, bool) {
    let Aead { iv, aad, text } = packet;
    let reversal = _mm512_broadcast_i32x4(reversal());
    let aad_blocks = aad.len().div_ceil(16);
    let first = POWERS - (aad_blocks + text.len().div_ceil(16) + 1);
    let mut sum = Sum::of_lengths(context, aad.len(), text.len());
    if !aad.is_empty() {
        sum.add(_mm512_shuffle_epi8(load_part(aad, 0), reversal), powers(context, first));
    }

    let mut stream = counter_blocks::<VECTORS>(iv | 1, broadcast(&context.round_keys[0]));
    rounds(&context.round_keys, &mut stream);
    // The first block masks the tag: the text's key stream starts one block behind it.
    let tag_mask = _mm512_castsi512_si128(stream[0]);
    let mut results = [_mm512_setzero_si512(); VECTORS];
    for at in 0..VECTORS {
        let len = text.len();
        if 64 * at >= len {
            break;
        }
        let next = if at + 1 < VECTORS { stream[at + 1] } else { _mm512_setzero_si512() };
        let input = load_part(text, 64 * at);
        let output = _mm512_xor_si512(input, _mm512_alignr_epi64::<2>(next, stream[at]));
        let output = _mm512_maskz_mov_epi8(crate::simd::memory::mask(len, 64 * at), output);
        if SEAL {
            store_part(text, 64 * at, output);
        } else {
            results[at] = output;
        }
        let hashed = _mm512_shuffle_epi8(if SEAL { output } else { input }, reversal);
        sum.add(hashed, powers(context, first + aad_blocks + 4 * at));
    }
    let hash = _mm_shuffle_epi8(sum.fold().reduce(), self::reversal());
    let tag = number(_mm_xor_si128(hash, tag_mask));
    if SEAL {
        return (tag, true);
    }
    let right = tags_match(tag, expected, 16);
    if right {
        for (at, output) in results.into_iter().enumerate() {
            if 64 * at < text.len() {
                store_part(text, 64 * at, output);
            }
        }
    }
    (tag, right)
}

/// The tag of a packet of any length, whose text is encrypted.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn long_tag<const KEYS: usize>(context: &Gcm<KEYS>, iv: u128, aad: &[u8], text: &[u8]) -> Tag {
    let mut hash = _mm_setzero_si128();
    hash = absorb(context, hash, aad);
    hash = absorb(context, hash, text);
    let mut last = ghash::Products::zero();
    last.add(_mm_xor_si128(hash, lengths(aad.len(), text.len())), load_block(&context.powers[POWERS - 1]));
    let hash = _mm_shuffle_epi8(last.reduce(), reversal());
    let mut mask = _mm_xor_si128(big_endian(iv | 1), load_block(&context.round_keys[0]));
    for key in &context.round_keys[1..KEYS - 1] {
        mask = _mm_aesenc_si128(mask, load_block(key));
    }
    mask = _mm_aesenclast_si128(mask, load_block(&context.round_keys[KEYS - 1]));
    number(_mm_xor_si128(hash, mask))
}

/// Hashes data, padded with zeros to whole blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq,pclmulqdq,bmi2")]
fn absorb<const KEYS: usize>(context: &Gcm<KEYS>, mut hash: __m128i, data: &[u8]) -> __m128i {
    let reversal = _mm512_broadcast_i32x4(reversal());
    for data in data.chunks(16 * POWERS) {
        let blocks = data.len().div_ceil(16);
        let mut sum = Sum::zero();
        let mut carried = _mm512_zextsi128_si512(hash);
        for at in 0..blocks.div_ceil(4) {
            let vector = _mm512_shuffle_epi8(load_part(data, 64 * at), reversal);
            sum.add(_mm512_xor_si512(vector, carried), powers(context, POWERS - blocks + 4 * at));
            carried = _mm512_setzero_si512();
        }
        hash = sum.fold().reduce();
    }
    hash
}

/// Sums of products in four lanes.
struct Sum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self { low: zero, middle: zero, high: zero }
    }

    /// The product of the block of lengths, which is the last.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn of_lengths<const KEYS: usize>(context: &Gcm<KEYS>, aad: usize, text: usize) -> Self {
        let mut sum = Self::zero();
        let block = _mm512_zextsi128_si512(lengths(aad, text));
        sum.add(block, _mm512_castsi128_si512(load_block(&context.powers[POWERS - 1])));
        sum
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn add(&mut self, blocks: __m512i, powers: __m512i) {
        let low = _mm512_clmulepi64_epi128::<0x00>(blocks, powers);
        let high = _mm512_clmulepi64_epi128::<0x11>(blocks, powers);
        let one = _mm512_clmulepi64_epi128::<0x01>(blocks, powers);
        let other = _mm512_clmulepi64_epi128::<0x10>(blocks, powers);
        self.low = _mm512_xor_si512(self.low, low);
        self.middle = _mm512_ternarylogic_epi64::<0x96>(self.middle, one, other);
        self.high = _mm512_xor_si512(self.high, high);
    }

    /// The sum of the four lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn fold(self) -> ghash::Products {
        ghash::Products::new(fold(self.low), fold(self.middle), fold(self.high))
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn fold(vector: __m512i) -> __m128i {
    let half = _mm256_xor_si256(_mm512_castsi512_si256(vector), _mm512_extracti64x4_epi64::<1>(vector));
    _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}
