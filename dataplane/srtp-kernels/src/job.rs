//! What a caller asks of an engine.

use pinhole_flow::Suite;

use crate::{Keys, MkiTooLong, SessionKeys};

/// Which of the two protocols a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RTP, SRTP.
    Rtp,
    /// RTCP, SRTCP.
    Rtcp,
}

/// What became of a [`Job`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// No engine has seen the job yet.
    Pending,
    /// Protected or unprotected; `len` is the new length.
    Done,
    /// Unprotect: the tag does not match. The packet's bytes are unchanged.
    AuthFailed,
    /// Unprotect: the MKI is not the one of the keys. The packet's bytes are unchanged.
    MkiMismatch,
    /// Unprotect: shorter than header and trailer. The packet's bytes are unchanged.
    TooShort,
    /// Protect: `packet` has less than [`Keys::overhead`] bytes of room behind `len`, or `len` and
    /// `payload_at` contradict each other. The packet's bytes are unchanged.
    NoRoom,
    /// The keys were expanded by an engine of another kind: a mistake of the caller. The packet's
    /// bytes are unchanged.
    ForeignKeys,
}

/// One packet to protect or unprotect, in place.
#[derive(Debug)]
pub struct Job<'a> {
    /// Session keys of the packet's direction.
    pub keys: &'a Keys,
    /// SRTP or SRTCP.
    pub kind: Kind,
    /// The packet, from the first byte of its RTP or RTCP header on. To protect, with
    /// [`Keys::overhead`] bytes of room behind the packet.
    pub packet: &'a mut [u8],
    /// Bytes of `packet` in use: those of the packet before, and after [`Outcome::Done`] those of
    /// the result.
    pub len: usize,
    /// Where encryption starts: the length of the RTP header with CSRCs and extension, or 8 for RTCP.
    pub payload_at: usize,
    /// The SSRC of the RTP header, or of the sender of the RTCP packet.
    pub ssrc: u32,
    /// SRTP: ROC and sequence number (48 bits). SRTCP, to protect: the 31-bit index with
    /// [`E_BIT`](crate::E_BIT) set, or clear to leave the packet unencrypted. SRTCP, to unprotect:
    /// ignored, the packet carries it.
    pub index: u64,
    /// Set by the engine.
    pub outcome: Outcome,
}

/// Does jobs. An engine has no state of its own: what it needs of a flow is in the [`Keys`].
///
/// The packets of a batch may have different keys, suites, kinds and lengths; their order does not
/// matter. A job that fails leaves its packet as it was, so that it can be tried again with another
/// index. Nothing is allocated.
pub trait Engine: Send + Sync {
    /// Name, as operators see it.
    fn name(&self) -> &'static str;
    /// Expands the session keys of a direction into the form that this engine works on. Fails if the
    /// MKI is longer than 128 bytes.
    fn expand(
        &self,
        suite: Suite,
        rtp: &SessionKeys,
        rtcp: &SessionKeys,
        mki: &[u8],
    ) -> Result<Keys, MkiTooLong>;
    /// Encrypts each packet and appends MKI, tag and, for SRTCP, E bit and index.
    fn protect(&self, jobs: &mut [Job<'_>]);
    /// Checks MKI and tag of each packet, decrypts it and cuts the trailer off.
    fn unprotect(&self, jobs: &mut [Job<'_>]);
}
