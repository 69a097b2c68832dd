//! Expanded keys, in as few cache lines as the library's layout allows.

use crate::{Manager, sys};

/// Round keys, HMAC midstates and the caller's salt: four cache lines for AES-128, five for AES-256.
#[repr(C, align(64))]
pub(crate) struct Counter<const ROUND_KEYS: usize> {
    pub round_keys: [u8; ROUND_KEYS],
    pub ipad: [u8; 20],
    pub opad: [u8; 20],
    salt: [u8; 14],
}

/// The library's own GCM context (round keys and 48 powers of the hash key) and the caller's salt.
#[repr(C, align(64))]
pub(crate) struct Gcm {
    pub data: sys::gcm_key_data,
    salt: [u8; 14],
}

pub(crate) enum Context {
    Counter128(Box<Counter<176>>),
    Counter256(Box<Counter<240>>),
    Gcm128(Box<Gcm>),
    Gcm256(Box<Gcm>),
}

/// The session keys of one direction, expanded for the manager that made them.
pub struct Keys {
    pub(crate) context: Context,
}

impl Manager {
    /// Expands an AES-128 key and an HMAC-SHA1 key of 20 bytes.
    pub fn counter_128(&self, key: &[u8; 16], authentication: &[u8; 20], salt: [u8; 14]) -> Keys {
        Keys { context: Context::Counter128(self.counter(self.keyexp_128(), key, authentication, salt)) }
    }

    /// Expands an AES-256 key and an HMAC-SHA1 key of 20 bytes.
    pub fn counter_256(&self, key: &[u8; 32], authentication: &[u8; 20], salt: [u8; 14]) -> Keys {
        Keys { context: Context::Counter256(self.counter(self.keyexp_256(), key, authentication, salt)) }
    }

    /// Expands an AES-128 key for GCM; of the salt, 12 bytes count.
    pub fn gcm_128(&self, key: &[u8; 16], salt: [u8; 14]) -> Keys {
        Keys { context: Context::Gcm128(gcm(self.gcm128_pre(), key, salt)) }
    }

    /// Expands an AES-256 key for GCM; of the salt, 12 bytes count.
    pub fn gcm_256(&self, key: &[u8; 32], salt: [u8; 14]) -> Keys {
        Keys { context: Context::Gcm256(gcm(self.gcm256_pre(), key, salt)) }
    }

    fn counter<const ROUND_KEYS: usize>(
        &self,
        expand: sys::keyexp_t,
        key: &[u8],
        authentication: &[u8; 20],
        salt: [u8; 14],
    ) -> Box<Counter<ROUND_KEYS>> {
        let mut expanded =
            Box::new(Counter { round_keys: [0; ROUND_KEYS], ipad: [0; 20], opad: [0; 20], salt });
        // The library writes the decryption round keys whether they are wanted or not.
        let mut unused = [0_u8; 240];
        if let Some(expand) = expand {
            // SAFETY: the callers pair a key of 16 bytes with room for 11 round keys, and one of 32 with
            // room for 15; `unused` has room for 15.
            unsafe {
                expand(
                    key.as_ptr().cast(),
                    expanded.round_keys.as_mut_ptr().cast(),
                    unused.as_mut_ptr().cast(),
                )
            };
        }
        for (pad, state) in [(0x36, &mut expanded.ipad), (0x5c, &mut expanded.opad)] {
            let mut block = [pad; 64];
            block.iter_mut().zip(authentication).for_each(|(to, from)| *to ^= from);
            if let Some(hash) = self.sha1_one_block() {
                // SAFETY: reads 64 bytes, writes the five words of a SHA-1 state.
                unsafe { hash(block.as_ptr().cast(), state.as_mut_ptr().cast()) };
            }
        }
        expanded
    }
}

fn gcm(expand: sys::aes_gcm_pre_t, key: &[u8], salt: [u8; 14]) -> Box<Gcm> {
    // SAFETY: bytes only, for which all zeros is a value.
    let mut expanded = Box::new(Gcm { data: unsafe { std::mem::zeroed() }, salt });
    if let Some(expand) = expand {
        // SAFETY: the callers pair the key's length with the function; the context is the library's type.
        unsafe { expand(key.as_ptr().cast(), &mut expanded.data) };
    }
    expanded
}

impl Keys {
    /// The salt that they were made with.
    pub fn salt(&self) -> &[u8; 14] {
        match &self.context {
            Context::Counter128(counter) => &counter.salt,
            Context::Counter256(counter) => &counter.salt,
            Context::Gcm128(gcm) | Context::Gcm256(gcm) => &gcm.salt,
        }
    }

    /// Asks for the cache lines that a packet of some hundred bytes needs: of a GCM context the round keys
    /// and the 16 lowest powers of the hash key, which stand at the end, not all 17 lines.
    pub fn prefetch(&self) {
        match &self.context {
            Context::Counter128(counter) => lines(&raw const **counter, 0..256),
            Context::Counter256(counter) => lines(&raw const **counter, 0..320),
            Context::Gcm128(gcm) | Context::Gcm256(gcm) => {
                lines(&raw const **gcm, 0..240);
                lines(&raw const **gcm, 752..1022);
            }
        }
    }
}

/// Asks for the cache lines of a range of bytes of a context, into the second-level cache as our engines do.
fn lines<T>(context: *const T, bytes: std::ops::Range<usize>) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    for at in bytes.step_by(64) {
        // SAFETY: a prefetch reads nothing that a program can see, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(context.cast::<i8>().wrapping_add(at)) };
    }
}
