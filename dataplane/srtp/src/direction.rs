//! One direction of a leg.

use pinhole_flow::{MasterKey, Mki, Suite};
use pinhole_srtp_kernels::{Engine, Job, Keys, Kind, Outcome};

use crate::derive;

/// The keys of one direction of a leg, derived and expanded. Stays in the worker, wiped on drop.
#[derive(Debug)]
pub struct Direction {
    keys: Keys,
}

/// Why a master key gives no session keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The suite's code is not one of [`Suite`].
    #[error("crypto suite code {0} is unknown: control plane and data plane are of different versions")]
    UnknownSuite(u8),
    /// The MKI's length is out of range.
    #[error("MKI of {0} bytes: RFC 4568 allows 1 to 128")]
    MkiTooLong(u8),
}

impl Direction {
    /// Derives the session keys of a master key (RFC 3711 section 4.3, key derivation rate 0) and
    /// expands them for `engine`, which alone takes this direction's jobs. `Ok(None)` for plain RTP.
    pub fn derive(master: &MasterKey, engine: &dyn Engine) -> Result<Option<Self>, KeyError> {
        Self::with_mki(master, &Mki::NONE, engine)
    }

    /// The same, with an MKI in each packet.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn with_mki(master: &MasterKey, mki: &Mki, engine: &dyn Engine) -> Result<Option<Self>, KeyError> {
        if master.suite == 0 {
            return Ok(None);
        }
        let suite = master.suite().ok_or(KeyError::UnknownSuite(master.suite))?;
        let bytes = mki.bytes().ok_or(KeyError::MkiTooLong(mki.len))?;
        let rtp = derive::session_keys(suite, master, Kind::Rtp);
        let rtcp = derive::session_keys(suite, master, Kind::Rtcp);
        let keys = engine.expand(suite, &rtp, &rtcp, bytes);
        Ok(Some(Self { keys: keys.map_err(|_| KeyError::MkiTooLong(mki.len))? }))
    }

    /// The expanded keys, for a [`Job`].
    #[inline]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Brings the keys of a kind into the processor's cache, for a packet that will need them soon.
    #[inline]
    pub fn prefetch(&self, kind: Kind) {
        self.keys.prefetch(kind);
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.keys.suite()
    }

    /// By how many bytes protection lengthens a packet: tag, MKI and, for SRTCP, the index word.
    #[inline]
    pub fn overhead(&self, kind: Kind) -> usize {
        self.keys.overhead(kind)
    }

    /// A job on a packet of this direction. `len` is the packet's length; to protect, `packet` has
    /// [`overhead`](Self::overhead) bytes of room behind it. `payload_at` is ignored for RTCP;
    /// `index` comes from a [`Guess`](crate::Guess) or from [`outbound`](crate::outbound).
    #[inline]
    pub fn job<'a>(
        &'a self,
        kind: Kind,
        packet: &'a mut [u8],
        len: usize,
        payload_at: usize,
        ssrc: u32,
        index: u64,
    ) -> Job<'a> {
        Job { keys: &self.keys, kind, packet, len, payload_at, ssrc, index, outcome: Outcome::Pending }
    }
}
