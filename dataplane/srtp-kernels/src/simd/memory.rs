//! Loads and stores of vectors. They take slices and arrays, so that no kernel has a pointer that
//! could leave its packet: the bounds are kept here.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::context::Gcm;
use super::message::Tail;
use super::tier::Tag;

/// A block of 16 bytes.
#[inline]
pub(super) fn load_block(from: &[u8; 16]) -> __m128i {
    // SAFETY: reads 16 bytes, the array's; the load takes any alignment. SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

/// Stores a block of 16 bytes.
#[inline]
pub(super) fn store_block(to: &mut [u8; 16], block: __m128i) {
    // SAFETY: writes 16 bytes, the array's; the store takes any alignment. SSE2 is part of x86-64.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), block) };
}

/// Four words.
#[inline]
pub(super) fn load_words(from: &[u32; 4]) -> __m128i {
    // SAFETY: reads 16 bytes, the array's; the load takes any alignment. SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

/// A value whose most significant byte comes first in memory.
#[inline]
pub(super) fn big_endian(value: u128) -> __m128i {
    load_block(&value.to_be_bytes())
}

/// The bytes of a block as a number, the first the least significant.
#[inline]
pub(super) fn number(block: __m128i) -> u128 {
    let mut bytes = [0; 16];
    store_block(&mut bytes, block);
    u128::from_le_bytes(bytes)
}

/// One block in each of four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn broadcast(from: &[u8; 16]) -> __m512i {
    _mm512_broadcast_i32x4(load_block(from))
}

/// The vector. The compiler works it out before this place, and not behind where it is used.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn worked_out(mut vector: __m512i) -> __m512i {
    // SAFETY: there is no instruction.
    unsafe { core::arch::asm!("/* {0} */", inout(zmm_reg) vector, options(nomem, nostack, preserves_flags)) };
    vector
}

/// 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_64(from: &[u8; 64]) -> __m512i {
    // SAFETY: reads 64 bytes, the array's; the load takes any alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Stores 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_64(to: &mut [u8; 64], vector: __m512i) {
    // SAFETY: writes 64 bytes, the array's; the store takes any alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) };
}

/// Sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_16_words(from: &[u32; 16]) -> __m512i {
    // SAFETY: reads 64 bytes, the array's; the load takes any alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Stores four tags.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_tags(to: &mut [Tag; 4], vector: __m512i) {
    // SAFETY: writes 64 bytes, the array's; the store takes any alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) };
}

/// Eight words.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_8_words(from: &[u8; 32]) -> __m256i {
    // SAFETY: reads 32 bytes, the array's; the load takes any alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// A bit for each of the at most 64 bytes of `len` from `at` on.
#[inline]
#[target_feature(enable = "bmi2")]
pub(super) fn mask(len: usize, at: usize) -> u64 {
    _bzhi_u64(!0, len.saturating_sub(at).min(64) as u32)
}

/// The at most 64 bytes of `data` from `at` on, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
pub(crate) fn load_part(data: &[u8], at: usize) -> __m512i {
    let from = data.as_ptr().wrapping_add(at);
    // SAFETY: the mask has a bit for each byte between `at` and the slice's end and no other. What
    // it leaves out is neither read nor does it fault.
    unsafe { _mm512_maskz_loadu_epi8(mask(data.len(), at), from.cast()) }
}

/// Stores the first bytes of `vector` to the at most 64 bytes of `data` from `at` on, where `keep` has a bit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
pub(super) fn store_part(data: &mut [u8], at: usize, keep: u64, vector: __m512i) {
    let mask = mask(data.len(), at) & keep;
    let to = data.as_mut_ptr().wrapping_add(at);
    // SAFETY: the mask has no bit but for bytes between `at` and the slice's end. What it leaves out is
    // neither written nor does it fault.
    unsafe { _mm512_mask_storeu_epi8(to.cast(), mask, vector) };
}

/// The at most 32 bytes of `data` from `at` on, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
pub(super) fn load_half(data: &[u8], at: usize) -> __m256i {
    let from = data.as_ptr().wrapping_add(at);
    // SAFETY: as in `load_part`.
    unsafe { _mm256_maskz_loadu_epi8(mask(data.len(), at) as u32, from.cast()) }
}

/// Stores the first bytes of `vector` to the at most 32 bytes of `data` from `at` on, where `keep` has a
/// bit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
pub(super) fn store_half(data: &mut [u8], at: usize, keep: u64, vector: __m256i) {
    let mask = (mask(data.len(), at) & keep) as u32;
    let to = data.as_mut_ptr().wrapping_add(at);
    // SAFETY: as in `store_part`.
    unsafe { _mm256_mask_storeu_epi8(to.cast(), mask, vector) };
}

/// The at most 16 bytes of `data`, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2")]
pub(super) fn load_at_most_block(data: &[u8]) -> __m128i {
    // SAFETY: as in `load_part`.
    unsafe { _mm_maskz_loadu_epi8(mask(data.len(), 0) as u16, data.as_ptr().cast()) }
}

/// A message's tail in memory that was not initialised: `rest`, then zeros.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn begin_tail(tail: &mut MaybeUninit<Tail>, rest: __m512i) -> &mut Tail {
    let to = tail.as_mut_ptr().cast::<__m512i>();
    // SAFETY: a tail is 128 bytes, aligned to 64, and both stores together write all of them.
    unsafe {
        _mm512_store_si512(to, rest);
        _mm512_store_si512(to.add(1), _mm512_setzero_si512());
        tail.assume_init_mut()
    }
}

/// Powers of the hash key that follow one another from place `first` on, of which 0 to 16 exist.
/// What stands behind them is of no use: its factor must be zero.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn powers<const KEYS: usize>(context: &Gcm<KEYS>, first: usize) -> __m512i {
    let blocks = core::ptr::from_ref(context).cast::<[u8; 16]>();
    // SAFETY: reads the blocks `first` to `first + 3`, at most 16 to 19. A context starts with 16
    // powers and at least 11 round keys, without padding.
    unsafe { _mm512_loadu_si512(blocks.add(first.min(16)).cast()) }
}
