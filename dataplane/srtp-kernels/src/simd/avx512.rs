//! AVX-512 with VAES, VPCLMULQDQ and the SHA instructions: Ice Lake, Zen 4 and later.

mod alone;
mod gcm;
mod hmac;
mod keystream;
mod sha1;

use super::message::Message;
use super::tier::{Aead, BATCH, Tag, Tier};
use crate::Rounds;

/// Proof that the processor has the tier's instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// `None` if the processor lacks an instruction or the operating system does not save its registers.
    pub fn detect() -> Option<Self> {
        let complete = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("bmi2");
        complete.then_some(Self(()))
    }
}

impl Avx512 {
    /// Does a part `n` times.
    pub fn rounds(self, part: Rounds, n: usize) {
        // SAFETY: as below.
        unsafe { alone::rounds(part, n) }
    }
}

// SAFETY of every block below: the kernels need no more than the processor's instructions, and
// `detect`, which alone makes a value, has checked that it has them.
impl Tier for Avx512 {
    fn name(self) -> &'static str {
        "avx512"
    }

    fn keystream<const KEYS: usize>(self, round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]) {
        // SAFETY: see above.
        unsafe { keystream::apply(round_keys, counter, data) }
    }

    fn tags(self, messages: &mut [Message<'_>], tags: &mut [Tag; BATCH]) {
        // SAFETY: see above.
        unsafe { hmac::tags(messages, tags) }
    }

    fn seal<const KEYS: usize>(self, packets: &mut [Aead<'_, KEYS>]) {
        // SAFETY: see above.
        unsafe { gcm::seal(packets) }
    }

    fn open<const KEYS: usize>(self, packets: &mut [Aead<'_, KEYS>]) {
        // SAFETY: see above.
        unsafe { gcm::open(packets) }
    }
}
