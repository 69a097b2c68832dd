//! Bringing memory into the cache before it is needed.
#![allow(unsafe_code, reason = "the instruction is an intrinsic that takes a raw pointer")]

/// Asks the processor for all cache lines of `value`, without waiting for them. Into the second-level cache: a core has few places
/// for lines on their way to the first (Zen 4 has 24), waits for one, and forgets every fourth of many requests all the same. Does
/// nothing where the processor is not of the x86 family.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    for line in 0..size_of_val(value).div_ceil(64) {
        ask_for(value, line);
    }
}

/// The same for one line of `value`, counted from its start; does nothing behind its end.
#[inline]
pub fn prefetch_line<T: ?Sized>(value: &T, line: usize) {
    if 64 * line < size_of_val(value) {
        ask_for(value, line);
    }
}

#[inline]
fn ask_for<T: ?Sized>(value: &T, line: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let start = core::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a prefetch is a hint: it never faults, wherever the address lies.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(64 * line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, line);
}
