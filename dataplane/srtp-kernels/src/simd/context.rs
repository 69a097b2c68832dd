//! What the SIMD engines keep of a key.

use pinhole_flow::Suite;
use sha1::block_api::compress;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{ghash, schedule};
use crate::iv::left_aligned;
use crate::{SessionKeys, prefetch};

/// Session keys of one kind, expanded. Boxed and filled in place: no copy stays behind on the stack.
pub(crate) enum Context {
    Cm128(Box<Cm<11>>),
    Cm192(Box<Cm<13>>),
    Cm256(Box<Cm<15>>),
    Gcm128(Box<Gcm<11>>),
    Gcm256(Box<Gcm<15>>),
}

/// AES counter mode with HMAC-SHA1: four cache lines for AES-128.
#[repr(C, align(64))]
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Cm<const KEYS: usize> {
    pub midstates: Midstates,
    pub round_keys: [[u8; 16]; KEYS],
    /// The salt, as the most significant 112 bits.
    pub salt: u128,
}

/// SHA-1 states after the padded HMAC key: 0 to 4 the inner one, 5 to 9 the outer one (RFC 2104).
pub(crate) type Midstates = [u32; 16];

/// AES-GCM.
#[repr(C, align(64))]
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Gcm<const KEYS: usize> {
    /// H^16 to H^1 in the form of [`ghash`].
    pub powers: [[u8; 16]; 16],
    pub round_keys: [[u8; 16]; KEYS],
    /// The salt, as the most significant 96 bits.
    pub salt: u128,
}

const _: () = assert!(size_of::<Cm<11>>() == 256 && size_of::<Cm<13>>() == 320 && size_of::<Cm<15>>() == 320);
const _: () = assert!(size_of::<Gcm<11>>() == 448 && size_of::<Gcm<15>>() == 512);
const _: () = assert!(size_of::<Context>() == 16);

/// Initial state of SHA-1 (FIPS 180-4 section 5.3.1).
const SHA1_INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

impl Context {
    /// Expands session keys.
    ///
    /// # Safety
    /// The processor has AES, SSSE3 and PCLMULQDQ instructions.
    pub(super) unsafe fn new(suite: Suite, keys: &SessionKeys) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            match suite {
                Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => Self::Cm128(Cm::new(keys)),
                Suite::AesCm192HmacSha1_80 | Suite::AesCm192HmacSha1_32 => Self::Cm192(Cm::new(keys)),
                Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => Self::Cm256(Cm::new(keys)),
                Suite::AeadAes128Gcm => Self::Gcm128(Gcm::new(keys)),
                Suite::AeadAes256Gcm => Self::Gcm256(Gcm::new(keys)),
            }
        }
    }

    /// Brings the context into the cache.
    #[inline]
    pub(crate) fn prefetch(&self) {
        match self {
            Self::Cm128(context) => prefetch(&**context),
            Self::Cm192(context) => prefetch(&**context),
            Self::Cm256(context) => prefetch(&**context),
            Self::Gcm128(context) => prefetch(&**context),
            Self::Gcm256(context) => prefetch(&**context),
        }
    }
}

impl<const KEYS: usize> Cm<KEYS> {
    #[target_feature(enable = "aes")]
    fn new(keys: &SessionKeys) -> Box<Self> {
        let mut context = Box::new(Self { midstates: [0; 16], round_keys: [[0; 16]; KEYS], salt: 0 });
        let (inner, outer) = context.midstates.split_at_mut(5);
        midstate(&keys.authentication, 0x36, inner);
        midstate(&keys.authentication, 0x5c, outer);
        fill(&mut context.round_keys, keys);
        context.salt = left_aligned(&keys.salt);
        context
    }
}

impl<const KEYS: usize> Gcm<KEYS> {
    #[target_feature(enable = "aes,ssse3,pclmulqdq")]
    fn new(keys: &SessionKeys) -> Box<Self> {
        let mut context = Box::new(Self { powers: [[0; 16]; 16], round_keys: [[0; 16]; KEYS], salt: 0 });
        fill(&mut context.round_keys, keys);
        ghash::fill_powers(&context.round_keys, &mut context.powers);
        let [salt @ .., _, _] = &keys.salt;
        context.salt = left_aligned(salt);
        context
    }
}

#[target_feature(enable = "aes")]
fn fill<const KEYS: usize>(round_keys: &mut [[u8; 16]; KEYS], keys: &SessionKeys) {
    let key = keys.encryption.iter().take(4 * schedule::key_words(KEYS));
    for (to, from) in round_keys.as_flattened_mut().iter_mut().zip(key) {
        *to = *from;
    }
    schedule::expand(round_keys);
}

/// SHA-1 state after the HMAC key, padded with zeros and combined with `pad` (RFC 2104).
fn midstate(key: &[u8; 20], pad: u8, to: &mut [u32]) {
    let mut block = Zeroizing::new([pad; 64]);
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    let mut state = Zeroizing::new(SHA1_INITIAL);
    compress(&mut state, core::slice::from_ref(&*block));
    for (to, from) in to.iter_mut().zip(*state) {
        *to = from;
    }
}
