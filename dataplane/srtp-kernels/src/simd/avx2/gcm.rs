//! AES-GCM (NIST SP 800-38D) with AES and carry-less multiplication instructions.

use core::arch::x86_64::*;

use super::keystream::{apply, encrypt};
use crate::simd::context::Gcm;
use crate::simd::ghash::{Products, lengths, reversal};
use crate::simd::memory::{big_endian, load_block, number};
use crate::simd::tier::{Aead, Tag, tags_match};

/// Blocks that one aggregated hash takes: as many as there are powers.
const POWERS: usize = 16;

/// Encrypts packets in place and puts their tags.
#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
pub(super) fn seal<const KEYS: usize>(packets: &mut [Aead<'_, KEYS>]) {
    for Aead { context, iv, aad, text, tag: to, .. } in packets {
        apply(&context.round_keys, *iv | 2, text);
        **to = tag(context, *iv, aad, text).to_le_bytes();
    }
}

/// Decrypts those packets in place whose tags are right. Of the others nothing is changed.
#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
pub(super) fn open<const KEYS: usize>(packets: &mut [Aead<'_, KEYS>]) {
    for Aead { context, iv, aad, text, tag: expected, right } in packets {
        *right = tags_match(tag(context, *iv, aad, text), Tag::from_le_bytes(**expected), 16);
        if *right {
            apply(&context.round_keys, *iv | 2, text);
        }
    }
}

/// The tag of a packet whose text is encrypted.
#[inline]
#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
fn tag<const KEYS: usize>(context: &Gcm<KEYS>, iv: u128, aad: &[u8], text: &[u8]) -> Tag {
    let left = aad.len().div_ceil(16) + text.len().div_ceil(16) + 1;
    let mut hash = Hash { powers: &context.powers, left, sum: Products::zero() };
    hash.absorb(aad);
    hash.absorb(text);
    hash.add(lengths(aad.len(), text.len()));
    let mut mask = [big_endian(iv | 1)];
    encrypt(&context.round_keys, &mut mask);
    number(_mm_xor_si128(_mm_shuffle_epi8(hash.sum.reduce(), reversal()), mask[0]))
}

/// A hash whose number of blocks is known beforehand, so that the last block meets the first power.
struct Hash<'a> {
    powers: &'a [[u8; 16]; POWERS],
    /// Blocks to come.
    left: usize,
    sum: Products,
}

impl Hash<'_> {
    /// Adds data, padded with zeros to whole blocks.
    #[inline]
    #[target_feature(enable = "pclmulqdq,ssse3")]
    fn absorb(&mut self, data: &[u8]) {
        let (whole, rest) = data.as_chunks::<16>();
        for block in whole {
            self.add(_mm_shuffle_epi8(load_block(block), reversal()));
        }
        if !rest.is_empty() {
            let mut block = [0; 16];
            block[..rest.len()].copy_from_slice(rest);
            self.add(_mm_shuffle_epi8(load_block(&block), reversal()));
        }
    }

    /// Adds a block. Whenever as many are left as there are powers, the sum is reduced and goes on as
    /// part of the next block.
    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    fn add(&mut self, mut block: __m128i) {
        if self.left.is_multiple_of(POWERS) {
            block = _mm_xor_si128(block, self.sum.reduce());
            self.sum = Products::zero();
        }
        let power = (self.left - 1) % POWERS;
        self.sum.add(block, load_block(&self.powers[POWERS - 1 - power]));
        self.left -= 1;
    }
}
