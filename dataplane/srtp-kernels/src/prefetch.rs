//! Bringing memory into the cache before it is needed.
#![allow(unsafe_code, reason = "the instruction is an intrinsic that takes a raw pointer")]

/// Asks the processor for all cache lines of `value`, without waiting for them. Does nothing where
/// the processor is not of the x86 family.
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = core::ptr::from_ref(value).cast::<i8>();
        for line in (0..size_of_val(value)).step_by(64) {
            // SAFETY: a prefetch is a hint: it never faults, and the address lies within `value`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
