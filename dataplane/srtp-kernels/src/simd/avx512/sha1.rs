//! The SHA-1 compression function (FIPS 180-4 section 6.1.2) on sixteen messages, or on two groups of
//! sixteen in lock step.
//!
//! A block of sixteen messages takes 752 vector operations. A processor that does 512 bits in halves
//! (Zen 4) does two a cycle: 376 cycles, or 94 for a packet of speech with its four blocks, is the
//! least there. The kernel is within a few percent of it, and two groups gain nothing over one;
//! where the units are 512 bits wide, a second group fills the waits of the first.

use core::arch::x86_64::*;

/// Words A to E of sixteen messages.
pub(super) type State = [__m512i; 5];

/// The words of a block of sixteen messages.
pub(super) type Words = [__m512i; 16];

/// Adds a block to each state.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn compress<const GROUPS: usize>(states: &mut [State; GROUPS], words: &[Words; GROUPS]) {
    let mut words = *words;
    let [mut a, mut b, mut c, mut d, mut e] =
        core::array::from_fn(|word| core::array::from_fn::<_, GROUPS, _>(|group| states[group][word]));
    macro_rules! round {
        ($a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $constant:ident, $choice:literal, $t:expr) => {
            for g in 0..GROUPS {
                if $t >= 16 {
                    let word = _mm512_ternarylogic_epi32::<0x96>(
                        words[g][($t + 13) % 16],
                        words[g][($t + 8) % 16],
                        words[g][($t + 2) % 16],
                    );
                    words[g][$t % 16] = _mm512_rol_epi32::<1>(_mm512_xor_si512(word, words[g][$t % 16]));
                }
                let chosen = _mm512_ternarylogic_epi32::<$choice>($b[g], $c[g], $d[g]);
                let keyed = _mm512_add_epi32(words[g][$t % 16], $constant);
                let sum = _mm512_add_epi32(first(_mm512_add_epi32($e[g], keyed)), chosen);
                $e[g] = _mm512_add_epi32(sum, _mm512_rol_epi32::<5>($a[g]));
                $b[g] = _mm512_rol_epi32::<30>($b[g]);
            }
        };
    }
    macro_rules! five {
        ($constant:ident, $choice:literal, $t:expr) => {
            round!(a, b, c, d, e, $constant, $choice, $t);
            round!(e, a, b, c, d, $constant, $choice, $t + 1);
            round!(d, e, a, b, c, $constant, $choice, $t + 2);
            round!(c, d, e, a, b, $constant, $choice, $t + 3);
            round!(b, c, d, e, a, $constant, $choice, $t + 4);
        };
    }
    macro_rules! twenty {
        ($constant:literal, $choice:literal, $t:expr) => {
            let constant = _mm512_set1_epi32($constant as u32 as i32);
            five!(constant, $choice, $t);
            five!(constant, $choice, $t + 5);
            five!(constant, $choice, $t + 10);
            five!(constant, $choice, $t + 15);
        };
    }
    // Truth tables of Ch, Parity and Maj.
    twenty!(0x5a82_7999, 0xca, 0);
    twenty!(0x6ed9_eba1, 0x96, 20);
    twenty!(0x8f1b_bcdcu32, 0xe8, 40);
    twenty!(0xca62_c1d6u32, 0x96, 60);
    for g in 0..GROUPS {
        for (to, from) in states[g].iter_mut().zip([a[g], b[g], c[g], d[g], e[g]]) {
            *to = _mm512_add_epi32(*to, from);
        }
    }
}

/// A sum that is to be formed before it is added to anything else.
#[inline]
#[target_feature(enable = "avx512f")]
fn first(mut sum: __m512i) -> __m512i {
    // SAFETY: there is no instruction.
    unsafe {
        core::arch::asm!("/* {} */", inout(zmm_reg) sum, options(pure, nomem, nostack, preserves_flags))
    };
    sum
}

/// Turns sixteen rows of sixteen words into sixteen columns.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(rows: &Words) -> Words {
    let zero = _mm512_setzero_si512();
    let mut pairs = [zero; 16];
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Lane k of quads[4 g + c] has rows 4 g to 4 g + 3 of column 4 k + c.
    let mut quads = [zero; 16];
    for i in 0..4 {
        let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
        quads[4 * i] = _mm512_unpacklo_epi64(a, c);
        quads[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        quads[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        quads[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    let mut columns = [zero; 16];
    for i in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(quads[i], quads[4 + i]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(quads[i], quads[4 + i]);
        let later_even = _mm512_shuffle_i32x4::<0x88>(quads[8 + i], quads[12 + i]);
        let later_odd = _mm512_shuffle_i32x4::<0xdd>(quads[8 + i], quads[12 + i]);
        columns[i] = _mm512_shuffle_i32x4::<0x88>(even, later_even);
        columns[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even, later_even);
        columns[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd, later_odd);
        columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd, later_odd);
    }
    columns
}
