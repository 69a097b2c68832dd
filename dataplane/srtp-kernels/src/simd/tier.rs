//! What a batch asks of a tier's kernels.

use arrayvec::ArrayVec;

use super::context::Gcm;
use super::message::Message;

/// Packets that are prepared at once. A burst has no more, so that none is cut in two.
pub(super) const BATCH: usize = 64;

/// A tag, its first byte the least significant.
pub(super) type Tag = u128;

/// Kernels of one set of instructions. A value exists only where the processor has them.
pub(super) trait Tier: Copy + Send + Sync {
    /// The engine's name.
    fn name(self) -> &'static str;
    /// Combines data with the key stream of AES in counter mode from `counter` on: at most 2^16 blocks.
    fn keystream<const KEYS: usize>(self, round_keys: &[[u8; 16]; KEYS], counter: u128, data: &mut [u8]);
    /// Authenticates messages; the tag of each is put at its place. May reorder the messages. A tag's
    /// first ten bytes are meant.
    fn tags(self, messages: &mut [Message<'_>], tags: &mut [Tag; BATCH]);
    /// Encrypts packets in place and puts their tags.
    fn seal<const KEYS: usize>(self, packets: &mut [Aead<'_, KEYS>]);
    /// Decrypts those packets in place whose tags are right. Of the others nothing is changed.
    fn open<const KEYS: usize>(self, packets: &mut [Aead<'_, KEYS>]);
}

/// A packet of AES-GCM.
pub(super) struct Aead<'a, const KEYS: usize, A: ?Sized = [u8], T: ?Sized = [u8]> {
    pub context: &'a Gcm<KEYS>,
    /// The initialisation vector as the most significant 96 bits.
    pub iv: u128,
    /// Authenticated only.
    pub aad: &'a A,
    /// Encrypted and authenticated.
    pub text: &'a mut T,
    /// Put to seal, expected to open.
    pub tag: &'a mut [u8; 16],
    /// Whether the expected tag is right: found out by opening.
    pub right: bool,
}

/// Whether two tags have the same first `len` bytes, found out in constant time.
pub(super) fn tags_match(one: Tag, other: Tag, len: usize) -> bool {
    use subtle::ConstantTimeEq;
    let unused = 128 - 8 * len.min(16) as u32;
    let difference = (one ^ other).checked_shl(unused).unwrap_or(0);
    bool::from(difference.ct_eq(&0))
}

/// Packets of AES-GCM that are done at once.
pub(super) type Pair<'a, const KEYS: usize> = ArrayVec<Aead<'a, KEYS>, 2>;

/// The messages of a batch.
pub(super) type Messages<'a> = ArrayVec<Message<'a>, BATCH>;
