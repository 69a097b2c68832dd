//! AES-GCM (NIST SP 800-38D) with VAES and VPCLMULQDQ, hashing by powers of the hash key.

use core::arch::x86_64::*;
use core::hint::black_box;

use super::keystream::apply;
use crate::simd::context::Gcm;
use crate::simd::ghash::{self, lengths, reversal};
use crate::simd::memory::{
    big_endian, broadcast, load_at_most_block, load_block, load_half, load_part, mask, number, powers,
    store_block, store_half, store_part, worked_out,
};
use crate::simd::tier::{Aead, Tag, tags_match};

/// Blocks that one aggregated hash takes: as many as there are powers.
const POWERS: usize = 16;

/// A packet as most are: a plain RTP header and 20 ms of G.711.
type Speech<'a, const KEYS: usize> = Aead<'a, KEYS, [u8; 12], [u8; 160]>;

/// Encrypts packets in place and puts their tags.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
pub(super) fn seal<const KEYS: usize>(packets: &mut [Aead<'_, KEYS>]) {
    in_pairs::<KEYS, true>(packets);
}

/// Decrypts those packets in place whose tags are right. Of the others nothing is changed.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
pub(super) fn open<const KEYS: usize>(packets: &mut [Aead<'_, KEYS>]) {
    in_pairs::<KEYS, false>(packets);
}

/// Two packets of speech are done at once: the rounds of one fill the gaps that those of the other
/// leave, and both hashes are reduced in one vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn in_pairs<const KEYS: usize, const SEAL: bool>(packets: &mut [Aead<'_, KEYS>]) {
    for packets in packets.chunks_mut(2) {
        if let [one, other] = packets
            && let (Some(first), Some(second)) = (speech(one), speech(other))
        {
            [one.right, other.right] = short::<KEYS, 2, 3, SEAL, _, _>([first, second]);
            continue;
        }
        for packet in packets {
            alone::<KEYS, SEAL>(packet);
        }
    }
}

/// The packet if it is speech: with lengths that the compiler knows.
#[inline]
fn speech<'b, const KEYS: usize>(packet: &'b mut Aead<'_, KEYS>) -> Option<Speech<'b, KEYS>> {
    let Aead { context, iv, aad, text, tag, right } = packet;
    let (aad, text) = ((*aad).try_into().ok()?, (&mut **text).try_into().ok()?);
    Some(Aead { context, iv: *iv, aad, text, tag, right: *right })
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn alone<const KEYS: usize, const SEAL: bool>(packet: &mut Aead<'_, KEYS>) {
    if let Some(speech) = speech(packet) {
        [packet.right] = short::<KEYS, 1, 3, SEAL, _, _>([speech]);
        return;
    }
    let Aead { context, iv, aad, text, tag, right } = packet;
    let (aad_blocks, text_blocks) = (aad.len().div_ceil(16), text.len().div_ceil(16));
    if aad_blocks > 1 + 4 || aad_blocks.max(1) + text_blocks >= POWERS {
        *right = long::<KEYS, SEAL>(context, *iv, aad, text, tag);
        return;
    }
    let packet = [Aead { context, iv: *iv, aad: *aad, text: &mut **text, tag, right: false }];
    [*right] = match (text_blocks + 2).div_ceil(4) {
        1 => short::<KEYS, 1, 1, SEAL, _, _>(packet),
        2 => short::<KEYS, 1, 2, SEAL, _, _>(packet),
        3 => short::<KEYS, 1, 3, SEAL, _, _>(packet),
        _ => short::<KEYS, 1, 4, SEAL, _, _>(packet),
    };
}

/// Packets of at most [`POWERS`] blocks, of which at most five are associated data, whose text and two
/// blocks fill so many vectors. In the last one there is room for two blocks of text. Behind them stand
/// lengths and last block of associated data in what is hashed, and the block that masks the tag in the
/// key stream. So 160 bytes under a plain RTP header fill three vectors. To open, the plain text is held
/// back in registers until the tag is known to be right; returns whether it is.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn short<const KEYS: usize, const N: usize, const VECTORS: usize, const SEAL: bool, A, T>(
    mut packets: [Aead<'_, KEYS, A, T>; N],
) -> [bool; N]
where
    A: AsRef<[u8]> + ?Sized,
    T: AsRef<[u8]> + AsMut<[u8]> + ?Sized,
{
    let last = VECTORS - 1;
    let reversal = _mm512_broadcast_i32x4(reversal());
    let mut sums = [Sum::zero(); N];
    let mut ends = [_mm256_setzero_si256(); N];
    let mut streams = [[_mm512_setzero_si512(); VECTORS]; N];
    for (at, Aead { context, iv, aad, text, .. }) in packets.iter().enumerate() {
        let (aad, text) = (aad.as_ref(), text.as_ref());
        let (early, late) = aad.split_at(aad.len().saturating_sub(1) / 16 * 16);
        if !early.is_empty() {
            let blocks = _mm512_shuffle_epi8(load_part(early, 0), reversal);
            sums[at].add(blocks, powers(context, first_power(text) - early.len() / 16));
        }
        let late = _mm_shuffle_epi8(load_at_most_block(late), _mm512_castsi512_si128(reversal));
        let lengths = _mm256_castsi128_si256(lengths(aad.len(), text.len()));
        ends[at] = _mm256_inserti128_si256::<1>(lengths, late);
        streams[at] = counter_blocks(*iv, broadcast(&context.round_keys[0]));
    }
    for round in 1..KEYS - 1 {
        for at in 0..N {
            let key = broadcast(&packets[at].context.round_keys[round]);
            for block in &mut streams[at] {
                *block = _mm512_aesenc_epi128(*block, key);
            }
        }
    }
    if SEAL {
        streams = streams.map(|stream| stream.map(|block| worked_out(block)));
    }
    let mut masks = [_mm_setzero_si128(); N];
    for (at, Aead { context, text, .. }) in packets.iter_mut().enumerate() {
        let text = text.as_mut();
        let first = first_power(text);
        let (stream, sum) = (&mut streams[at], &mut sums[at]);
        let key = broadcast(&context.round_keys[KEYS - 1]);
        for block in &mut *stream {
            *block = _mm512_aesenclast_epi128(*block, key);
        }
        masks[at] = _mm512_extracti32x4_epi32::<3>(stream[last]);
        for vector in 0..last {
            let input = load_part(text, 64 * vector);
            let output = _mm512_xor_si512(input, stream[vector]);
            stream[vector] = _mm512_maskz_mov_epi8(mask(text.len(), 64 * vector), output);
            let hashed = _mm512_shuffle_epi8(if SEAL { stream[vector] } else { input }, reversal);
            sum.add(hashed, powers(context, first + 1 + 4 * vector));
        }
        let input = load_half(text, 64 * last);
        let output = _mm256_xor_si256(input, _mm512_castsi512_si256(stream[last]));
        let output = _mm256_maskz_mov_epi8(mask(text.len(), 64 * last) as u32, output);
        stream[last] = _mm512_castsi256_si512(output);
        let hashed = _mm256_shuffle_epi8(if SEAL { output } else { input }, _mm512_castsi512_si256(reversal));
        let powers = powers(context, first + 1 + 4 * last);
        let powers = _mm512_mask_broadcast_i32x4(powers, 0x0f00, load_block(&context.powers[POWERS - 1]));
        let powers = _mm512_mask_broadcast_i32x4(powers, 0xf000, load_block(&context.powers[first]));
        sum.add(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(hashed), ends[at]), powers);
        if SEAL {
            store_text(text, stream, !0);
        }
    }
    let hashes = hashes(sums);
    let mut right = [true; N];
    for (at, Aead { text, tag: carried, .. }) in packets.iter_mut().enumerate() {
        let tag = _mm_xor_si128(_mm_shuffle_epi8(hashes[at], _mm512_castsi512_si128(reversal)), masks[at]);
        if SEAL {
            store_block(carried, tag);
            continue;
        }
        // One instruction, whatever the bytes. `tags_match` would be a call, over which the results and all
        // else would have to leave the registers: it makes a packet a fifth slower.
        let difference = _mm_xor_si128(tag, load_block(carried));
        right[at] = _mm_testz_si128(difference, difference) != 0;
        // Hidden from the compiler: it makes a branch of it and moves the rounds behind that.
        let keep = black_box(u64::from(right[at]).wrapping_neg());
        store_text(text.as_mut(), &streams[at], keep);
    }
    right
}

/// Place of the power that belongs to the block before the text.
#[inline]
fn first_power(text: &[u8]) -> usize {
    POWERS - (text.len().div_ceil(16) + 2)
}

/// Stores text that fills so many vectors, the last at most half, at those bytes of each vector for which
/// `keep` has a bit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
fn store_text<const VECTORS: usize>(text: &mut [u8], vectors: &[__m512i; VECTORS], keep: u64) {
    let last = VECTORS - 1;
    for at in 0..last {
        store_part(text, 64 * at, keep, vectors[at]);
    }
    store_half(text, 64 * last, keep, _mm512_castsi512_si256(vectors[last]));
}

/// Counter blocks from the second on, combined with the first round key. In the last lane stands the first
/// block.
#[inline]
#[target_feature(enable = "avx512f")]
fn counter_blocks<const VECTORS: usize>(iv: u128, key: __m512i) -> [__m512i; VECTORS] {
    let iv = _mm512_broadcast_i32x4(big_endian(iv));
    let mut blocks = [iv; VECTORS];
    for at in 0..VECTORS {
        let lane =
            |lane: usize| if (at + 1, lane) == (VECTORS, 3) { 1 << 24 } else { (4 * at + lane + 2) << 24 };
        let [one, two, three, four] = [lane(0), lane(1), lane(2), lane(3)].map(|word| word as i32);
        let counters = _mm512_set_epi32(four, 0, 0, 0, three, 0, 0, 0, two, 0, 0, 0, one, 0, 0, 0);
        blocks[at] = _mm512_ternarylogic_epi64::<0x96>(iv, counters, key);
    }
    blocks
}

/// A packet of any length: seals it, or opens it and returns whether its tag is right.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq,bmi2")]
fn long<const KEYS: usize, const SEAL: bool>(
    context: &Gcm<KEYS>,
    iv: u128,
    aad: &[u8],
    text: &mut [u8],
    tag: &mut [u8; 16],
) -> bool {
    if SEAL {
        apply(&context.round_keys, iv | 2, text);
        *tag = long_tag(context, iv, aad, text).to_le_bytes();
        return true;
    }
    let right = tags_match(long_tag(context, iv, aad, text), Tag::from_le_bytes(*tag), 16);
    if right {
        apply(&context.round_keys, iv | 2, text);
    }
    right
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
        [hash] = hashes([sum]);
    }
    hash
}

/// Sums of products in four lanes.
#[derive(Clone, Copy)]
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
}

/// Adds up the four lanes of each sum and reduces it as [`Products`](ghash::Products) does, two sums at once.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,vpclmulqdq")]
fn hashes<const N: usize>(sums: [Sum; N]) -> [__m128i; N] {
    let mut hashes = [_mm_setzero_si128(); N];
    for one in (0..N).step_by(2) {
        let other = (one + 1).min(N - 1);
        let low = fold(sums[one].low, sums[other].low);
        let middle = fold(sums[one].middle, sums[other].middle);
        let high = fold(sums[one].high, sums[other].high);
        let low = _mm256_xor_si256(low, _mm256_slli_si256::<8>(middle));
        let high = _mm256_xor_si256(high, _mm256_srli_si256::<8>(middle));
        let polynomial = _mm256_set1_epi64x(0xc2 << 56);
        let fold = |value| {
            let product = _mm256_clmulepi64_epi128::<0x00>(value, polynomial);
            _mm256_xor_si256(_mm256_shuffle_epi32::<0x4e>(value), product)
        };
        let hash = _mm256_xor_si256(high, fold(fold(low)));
        hashes[other] = _mm256_extracti128_si256::<1>(hash);
        hashes[one] = _mm256_castsi256_si128(hash);
    }
    hashes
}

/// The sum of one vector's lanes, and that of the other's.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(one: __m512i, other: __m512i) -> __m256i {
    let half =
        |vector| _mm256_xor_si256(_mm512_castsi512_si256(vector), _mm512_extracti64x4_epi64::<1>(vector));
    let (one, other) = (half(one), half(other));
    _mm256_xor_si256(
        _mm256_permute2x128_si256::<0x20>(one, other),
        _mm256_permute2x128_si256::<0x31>(one, other),
    )
}
