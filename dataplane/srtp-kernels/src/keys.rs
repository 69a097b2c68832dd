//! Session keys and what an engine precomputes from them.

use std::fmt;

use pinhole_flow::Suite;
use pinhole_flow::leg::MKI_MAX;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

#[cfg(target_arch = "x86_64")]
use crate::simd;
use crate::trailer::Shape;
use crate::{Kind, portable, prefetch, trailer};

/// The session keys of one direction for one [`Kind`], derived from a master key (RFC 3711
/// section 4.3). Wiped on drop.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    /// Encryption key; 128-bit suites use the first 16 bytes, 192-bit ones the first 24.
    pub encryption: [u8; 32],
    /// Salt; GCM suites use the first 12 bytes.
    pub salt: [u8; 14],
    /// HMAC-SHA1 key; unused by GCM suites.
    pub authentication: [u8; 20],
}

impl fmt::Debug for SessionKeys {
    /// Never prints key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}

/// The MKI has more than [`MKI_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MkiTooLong;

/// Session keys of one direction, RTP and RTCP, in the form that the [`Engine`](crate::Engine) which
/// expanded them works on. Wiped on drop. Small: MKI and contexts stand elsewhere.
pub struct Keys {
    suite: Suite,
    /// Of an RTP and of an RTCP packet.
    shapes: [Shape; 2],
    /// Few keys have one.
    mki: Option<Box<Zeroizing<Vec<u8>>>>,
    rtp: Context,
    rtcp: Context,
}

const _: () = assert!(size_of::<Keys>() == 56);

/// What an engine made of the session keys of one [`Kind`].
pub(crate) enum Context {
    Portable(Box<portable::Transform>),
    #[cfg(target_arch = "x86_64")]
    Simd(simd::Context),
}

impl Keys {
    /// Holds what an engine expanded.
    pub(crate) fn new(suite: Suite, rtp: Context, rtcp: Context, mki: &[u8]) -> Result<Self, MkiTooLong> {
        if mki.len() > MKI_MAX {
            return Err(MkiTooLong);
        }
        let shapes = [Kind::Rtp, Kind::Rtcp].map(|kind| Shape::new(suite, kind, mki.len()));
        let mki = (!mki.is_empty()).then(|| Box::new(Zeroizing::new(mki.to_vec())));
        Ok(Self { suite, shapes, mki, rtp, rtcp })
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The master key identifier that packets carry; empty: none.
    #[inline]
    pub fn mki(&self) -> &[u8] {
        self.mki.as_ref().map_or(&[], |mki| mki.as_slice())
    }

    /// What the trailer of a packet is made up of.
    #[inline]
    pub(crate) fn shape(&self, kind: Kind) -> Shape {
        let [rtp, rtcp] = self.shapes;
        if kind == Kind::Rtp { rtp } else { rtcp }
    }

    /// Length of the authentication tag in bytes.
    #[inline]
    pub fn tag_len(&self, kind: Kind) -> usize {
        self.shape(kind).tag_len()
    }

    /// By how many bytes protection lengthens a packet: tag, MKI and, for SRTCP, the index word.
    #[inline]
    pub fn overhead(&self, kind: Kind) -> usize {
        self.shape(kind).len()
    }

    /// The word with [`E_BIT`](crate::E_BIT) and index that a protected SRTCP packet carries, not
    /// yet authenticated. `None` if the packet is shorter than an RTCP header and the trailer.
    pub fn srtcp_word(&self, packet: &[u8]) -> Option<u32> {
        let parts = trailer::split(self.shape(Kind::Rtcp), packet.len(), 8)?;
        packet.get(parts.word()..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
    }

    /// Brings the context of a kind into the processor's cache, for a packet that will need it soon.
    /// Does nothing where the processor is not of the x86 family.
    #[inline]
    pub fn prefetch(&self, kind: Kind) {
        match self.context(kind) {
            Context::Portable(transform) => prefetch(&**transform),
            #[cfg(target_arch = "x86_64")]
            Context::Simd(context) => context.prefetch(),
        }
    }

    #[inline]
    pub(crate) fn context(&self, kind: Kind) -> &Context {
        match kind {
            Kind::Rtp => &self.rtp,
            Kind::Rtcp => &self.rtcp,
        }
    }
}

impl ZeroizeOnDrop for Keys {}

impl fmt::Debug for Keys {
    /// Never prints key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.suite.name())
    }
}
