//! Arithmetic of GHASH (NIST SP 800-38D section 6.4), in the form of POLYVAL (RFC 8452 appendix A):
//! blocks are reversed and the key is multiplied by x once, which spares a shift in each product.

use core::arch::x86_64::*;

use super::memory::{load_block, store_block};

/// Fills in the powers of the hash key, H^16 first. H is the encryption of the zero block.
#[target_feature(enable = "aes,ssse3,pclmulqdq")]
pub(super) fn fill_powers<const KEYS: usize>(round_keys: &[[u8; 16]; KEYS], powers: &mut [[u8; 16]; 16]) {
    let mut block = load_block(&round_keys[0]);
    for key in &round_keys[1..KEYS - 1] {
        block = _mm_aesenc_si128(block, load_block(key));
    }
    block = _mm_aesenclast_si128(block, load_block(&round_keys[KEYS - 1]));
    let key = times_x(_mm_shuffle_epi8(block, reversal()));
    let mut power = key;
    for to in powers.iter_mut().rev() {
        store_block(to, power);
        let mut products = Products::zero();
        products.add(power, key);
        power = products.reduce();
    }
}

/// The shuffle that reverses a block's bytes.
#[inline]
pub(super) fn reversal() -> __m128i {
    load_block(&[15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
}

/// The block that ends a GHASH: lengths of associated data and ciphertext in bits, reversed.
#[inline]
pub(super) fn lengths(aad: usize, text: usize) -> __m128i {
    load_block(&(((aad as u128 * 8) << 64) | (text as u128 * 8)).to_le_bytes())
}

/// Multiplication by x modulo x^128 + x^127 + x^126 + x^121 + 1, without a branch on the key.
#[inline]
#[target_feature(enable = "ssse3")]
fn times_x(key: __m128i) -> __m128i {
    let shifted = _mm_or_si128(_mm_add_epi64(key, key), _mm_slli_si128(_mm_srli_epi64(key, 63), 8));
    let carry = _mm_shuffle_epi32(_mm_srai_epi32(key, 31), 0xff);
    _mm_xor_si128(shifted, _mm_and_si128(carry, _mm_set_epi64x(0xc2 << 56, 1)))
}

/// Sum of carry-less products, not yet reduced.
#[derive(Clone, Copy)]
pub(super) struct Products {
    low: __m128i,
    middle: __m128i,
    high: __m128i,
}

impl Products {
    #[inline]
    pub(super) fn zero() -> Self {
        let zero = load_block(&[0; 16]);
        Self { low: zero, middle: zero, high: zero }
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn add(&mut self, block: __m128i, power: __m128i) {
        let crossed = _mm_xor_si128(
            _mm_clmulepi64_si128::<0x01>(block, power),
            _mm_clmulepi64_si128::<0x10>(block, power),
        );
        self.low = _mm_xor_si128(self.low, _mm_clmulepi64_si128::<0x00>(block, power));
        self.middle = _mm_xor_si128(self.middle, crossed);
        self.high = _mm_xor_si128(self.high, _mm_clmulepi64_si128::<0x11>(block, power));
    }

    /// The sum modulo POLYVAL's polynomial, times x^-128 (Montgomery reduction).
    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn reduce(self) -> __m128i {
        let low = _mm_xor_si128(self.low, _mm_slli_si128(self.middle, 8));
        let high = _mm_xor_si128(self.high, _mm_srli_si128(self.middle, 8));
        let polynomial = _mm_set_epi64x(0, 0xc2 << 56);
        let fold = |value| {
            let product = _mm_clmulepi64_si128::<0x00>(value, polynomial);
            _mm_xor_si128(_mm_shuffle_epi32(value, 0x4e), product)
        };
        _mm_xor_si128(high, fold(fold(low)))
    }
}
