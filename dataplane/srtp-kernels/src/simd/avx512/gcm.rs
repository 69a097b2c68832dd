//! AES-GCM (NIST SP 800-38D) with VAES and VPCLMULQDQ, hashing by powers of the hash key.

use core::arch::x86_64::*;

use super::keystream::{apply, counter_blocks, rounds};
use crate::simd::context::Gcm;
use crate::simd::ghash::{self, lengths, reversal};
use crate::simd::memory::{
    big_endian, broadcast, load_block, load_part, load_text, number, powers, store_text, text_mask,
};
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
    /// It is hashed in one go; associated data, text and lengths fill so many vectors.
    Short(usize),
    Long,
}

impl Plan {
    #[inline]
    fn of(packet: &Aead<'_>) -> Self {
        let aad = packet.aad.len().div_ceil(16);
        let text = packet.text.len().div_ceil(16);
        let short = aad <= 1 + 4 && aad.max(1) + text < POWERS;
        if short { Self::Short((text + 2).div_ceil(4)) } else { Self::Long }
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

/// A packet of at most [`POWERS`] blocks, of which at most five are associated data. The first block
/// of the key stream masks the tag; where it stands among the vectors, the last block of associated
/// data stands in what is hashed, and the lengths stand behind the text. So 160 bytes under a plain
/// RTP header fill three vectors. The plain text is held back in registers until the tag is known to
/// be right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn short<const KEYS: usize, const VECTORS: usize, const SEAL: bool>(
    context: &Gcm<KEYS>,
    packet: Aead<'_>,
    expected: Tag,
) -> (Tag, bool) {
    let Aead { iv, aad, text } = packet;
    let reversal = _mm512_broadcast_i32x4(reversal());
    let blocks = text.len().div_ceil(16);
    let first = POWERS - (blocks + 2);
    let (early_aad, late_aad) = aad.split_at(aad.len().saturating_sub(1) / 16 * 16);
    let mut sum = Sum::zero();
    if !early_aad.is_empty() {
        let early = _mm512_shuffle_epi8(load_part(early_aad, 0), reversal);
        sum.add(early, powers(context, first - early_aad.len() / 16));
    }
    // Loaded before the text is stored: a load that a store overlaps in part waits for it.
    let late = _mm_shuffle_epi8(_mm512_castsi512_si128(load_part(late_aad, 0)), self::reversal());

    let mut stream = counter_blocks::<VECTORS>(iv | 1, broadcast(&context.round_keys[0]));
    rounds(&context.round_keys, &mut stream);
    let tag_mask = _mm512_castsi512_si128(stream[0]);
    let mut results = [_mm512_setzero_si512(); VECTORS];
    for at in 0..VECTORS {
        let mask = text_mask(text.len(), at);
        let input = load_text(text, at, mask);
        let output = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(input, stream[at]));
        if SEAL {
            store_text(text, at, mask, output);
        } else {
            results[at] = output;
        }
        let mut hashed = _mm512_shuffle_epi8(if SEAL { output } else { input }, reversal);
        if at == 0 {
            hashed = _mm512_mask_broadcast_i32x4(hashed, 0x000f, late);
        }
        if at == VECTORS - 1 {
            let lane = 0x000f << (4 * ((blocks + 1) % 4));
            hashed = _mm512_mask_broadcast_i32x4(hashed, lane, lengths(aad.len(), text.len()));
        }
        sum.add(hashed, powers(context, first + 4 * at));
    }
    let hash = _mm_shuffle_epi8(sum.fold().reduce(), self::reversal());
    let tag = _mm_xor_si128(hash, tag_mask);
    if SEAL {
        return (number(tag), true);
    }
    // One instruction, whatever the bytes. `tags_match` would be a call, over which the results and all else
    // would have to leave the registers: it makes a packet a fifth slower.
    let difference = _mm_xor_si128(tag, load_block(&expected.to_le_bytes()));
    let right = _mm_testz_si128(difference, difference) != 0;
    if right {
        for (at, output) in results.into_iter().enumerate() {
            store_text(text, at, text_mask(text.len(), at), output);
        }
    }
    (number(tag), right)
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
pub(super) struct Sum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn zero() -> Self {
        let zero = _mm512_setzero_si512();
        Self { low: zero, middle: zero, high: zero }
    }

    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    pub(super) fn add(&mut self, blocks: __m512i, powers: __m512i) {
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
    pub(super) fn fold(self) -> ghash::Products {
        ghash::Products::new(fold(self.low), fold(self.middle), fold(self.high))
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn fold(vector: __m512i) -> __m128i {
    let half = _mm256_xor_si256(_mm512_castsi512_si256(vector), _mm512_extracti64x4_epi64::<1>(vector));
    _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}
