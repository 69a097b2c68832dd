//! AVX2 with the AES and carry-less multiplication instructions, and the SHA instructions where there
//! are some.

mod gcm;
mod hmac;
mod keystream;

use super::message::Message;
use super::tier::{Aead, BATCH, Tag, Tier};

/// Proof that the processor has the tier's instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx2 {
    sha_ni: bool,
}

impl Avx2 {
    /// `None` if the processor lacks an instruction or the operating system does not save its registers.
    pub fn detect() -> Option<Self> {
        let complete = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        complete.then_some(Self { sha_ni: is_x86_feature_detected!("sha") })
    }

    /// The same without the SHA instructions, as on processors that lack them.
    pub fn without_sha_ni(self) -> Self {
        Self { sha_ni: false }
    }
}

// SAFETY of every block below: the kernels need no more than the processor's instructions, and
// `detect`, which alone makes a value, has checked that it has them.
impl Tier for Avx2 {
    fn name(self) -> &'static str {
        "avx2"
    }

    fn keystream<const KEYS: usize>(self, round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]) {
        // SAFETY: see above.
        unsafe { keystream::apply(round_keys, counter, data) }
    }

    fn tags(self, messages: &mut [Message<'_>], tags: &mut [Tag; BATCH]) {
        if !messages.is_sorted_by_key(|message| message.blocks()) {
            messages.sort_unstable_by_key(|message| message.blocks());
        }
        // SAFETY: see above.
        unsafe { if self.sha_ni { super::sha_ni::tags(messages, tags) } else { hmac::tags(messages, tags) } }
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
