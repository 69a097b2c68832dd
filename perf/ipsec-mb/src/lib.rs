//! The packaged intel-ipsec-mb, as the reference that the kernels are measured beside.
//!
//! Only for benchmarks: nothing that is shipped links it. The library knows ciphers and MACs, not SRTP;
//! this crate composes the SRTP packet out of them in each way that the library offers, without its
//! parameter checks: the caller picks what is fastest.

#[cfg(not(target_arch = "x86_64"))]
compile_error!("intel-ipsec-mb is measured on x86-64 only");

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

#[allow(non_camel_case_types, non_upper_case_globals, non_snake_case, reason = "bindgen names")]
#[allow(missing_docs, dead_code, unnecessary_transmutes, clippy::all, reason = "bindgen output")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "bindgen output")]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

mod keys;
mod srtp;

pub use keys::Keys;
pub use srtp::{BURST, Interface, Job};

/// One of the library's implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// AVX-512, with VAES, VPCLMULQDQ and SHA extensions where the processor has them.
    Avx512,
    /// AVX2.
    Avx2,
    /// AVX.
    Avx,
    /// SSE4.2, with SHA extensions where the processor has them.
    Sse,
}

impl Arch {
    /// Every implementation.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Avx, Self::Sse];

    /// The library's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Avx => "avx",
            Self::Sse => "sse",
        }
    }
}

/// The library's version, such as "v1.3.0".
pub fn version() -> String {
    // SAFETY: a constant string of the library.
    unsafe { CStr::from_ptr(sys::imb_get_version_str()) }.to_string_lossy().into_owned()
}

/// A multi-buffer manager: an implementation and its queues.
pub struct Manager {
    raw: NonNull<sys::IMB_MGR>,
    /// Slots of the queue.
    slots: [*mut sys::IMB_JOB; srtp::BURST],
    /// Jobs of the synchronous calls, which are the caller's.
    jobs: Box<[sys::IMB_JOB; srtp::BURST]>,
    gcm_context: Box<MaybeUninit<sys::gcm_context_data>>,
    tags: Box<[srtp::Tags; srtp::BURST]>,
}

impl Manager {
    /// The manager of an implementation; `None` if the processor lacks it or memory is short.
    pub fn new(arch: Arch) -> Option<Self> {
        // SAFETY: allocates; null if it cannot.
        let raw = NonNull::new(unsafe { sys::alloc_mb_mgr(0) })?;
        // SAFETY: integers and pointers, for which all zeros is "unset".
        let jobs = Box::new(unsafe { std::mem::zeroed() });
        let manager = Self {
            raw,
            slots: [ptr::null_mut(); srtp::BURST],
            jobs,
            gcm_context: Box::new(MaybeUninit::uninit()),
            tags: Box::new([srtp::Tags::default(); srtp::BURST]),
        };
        let needed = match arch {
            Arch::Avx512 => sys::IMB_CPUFLAGS_AVX512,
            Arch::Avx2 => sys::IMB_CPUFLAGS_AVX2,
            Arch::Avx => sys::IMB_CPUFLAGS_AVX,
            Arch::Sse => sys::IMB_CPUFLAGS_SSE,
        };
        if manager.raw().features & u64::from(needed) != u64::from(needed) {
            return None;
        }
        // SAFETY: allocated by `alloc_mb_mgr`, and the processor has what the implementation needs.
        unsafe {
            match arch {
                Arch::Avx512 => sys::init_mb_mgr_avx512(raw.as_ptr()),
                Arch::Avx2 => sys::init_mb_mgr_avx2(raw.as_ptr()),
                Arch::Avx => sys::init_mb_mgr_avx(raw.as_ptr()),
                Arch::Sse => sys::init_mb_mgr_sse(raw.as_ptr()),
            }
        }
        (manager.raw().imb_errno == 0).then_some(manager)
    }

    fn raw(&self) -> &sys::IMB_MGR {
        // SAFETY: allocated in `new`, freed in `drop`; the library writes it only inside calls that take
        // `&mut self`.
        unsafe { self.raw.as_ref() }
    }

    fn keyexp_128(&self) -> sys::keyexp_t {
        self.raw().keyexp_128
    }

    fn keyexp_256(&self) -> sys::keyexp_t {
        self.raw().keyexp_256
    }

    fn sha1_one_block(&self) -> sys::hash_one_block_t {
        self.raw().sha1_one_block
    }

    fn gcm128_pre(&self) -> sys::aes_gcm_pre_t {
        self.raw().gcm128_pre
    }

    fn gcm256_pre(&self) -> sys::aes_gcm_pre_t {
        self.raw().gcm256_pre
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: allocated by `alloc_mb_mgr`, freed once.
        unsafe { sys::free_mb_mgr(self.raw.as_ptr()) };
    }
}
