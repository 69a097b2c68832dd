//! Where MKI, tag and SRTCP index stand behind a packet.
//!
//! Counter mode (RFC 3711 figures 1 and 2): body, for SRTCP the index word, MKI, tag.
//! GCM (RFC 7714 sections 8.2 and 9.2): body, tag, for SRTCP the index word, MKI.

use subtle::ConstantTimeEq;

use crate::{Job, Keys, Kind, Outcome};

/// The E bit of the word that ends an SRTCP packet: the body is encrypted (RFC 3711 section 3.4).
pub const E_BIT: u32 = 1 << 31;

/// Bytes of the word with E bit and SRTCP index.
pub(crate) const WORD: usize = 4;

/// The parts of a packet that was cut by [`split`].
pub(crate) struct Parts {
    /// Bytes before the trailer.
    pub body: usize,
    /// Where the tag starts.
    pub tag: usize,
    /// Length of the tag: 4, 10 or 16 bytes.
    pub tag_len: usize,
    /// Where the MKI starts.
    pub mki: usize,
    /// Where the SRTCP index word starts; meaningless for SRTP.
    pub word: usize,
    /// Where the packet ends.
    pub end: usize,
}

/// Where the trailer's parts stand behind a body of `body` bytes.
pub(crate) fn lay_out(keys: &Keys, kind: Kind, body: usize) -> Parts {
    let tag_len = keys.tag_len(kind);
    let mki_len = keys.mki().len();
    let word_len = if kind == Kind::Rtcp { WORD } else { 0 };
    if keys.is_aead() {
        let word = body + tag_len;
        let mki = word + word_len;
        Parts { body, tag: body, tag_len, word, mki, end: mki + mki_len }
    } else {
        let mki = body + word_len;
        let tag = mki + mki_len;
        Parts { body, word: body, mki, tag, tag_len, end: tag + tag_len }
    }
}

/// Cuts a protected packet of `len` bytes; `None` if it is shorter than `header` and trailer.
pub(crate) fn split(keys: &Keys, kind: Kind, len: usize, header: usize) -> Option<Parts> {
    let body = len.checked_sub(keys.overhead(kind))?;
    (body >= header).then(|| lay_out(keys, kind, body))
}

/// Where encryption starts: an RTCP header is always 8 bytes long.
pub(crate) fn payload_at(job: &Job<'_>) -> usize {
    match job.kind {
        Kind::Rtp => job.payload_at,
        Kind::Rtcp => 8,
    }
}

/// The trailer of a packet to protect, if there is room for it.
pub(crate) fn room(job: &Job<'_>) -> Result<Parts, Outcome> {
    let parts = lay_out(job.keys, job.kind, job.len);
    let fits = parts.end <= job.packet.len() && payload_at(job) <= job.len;
    if fits { Ok(parts) } else { Err(Outcome::NoRoom) }
}

/// The trailer of a packet to unprotect, with its MKI checked.
pub(crate) fn cut(job: &Job<'_>) -> Result<Parts, Outcome> {
    let packet = job.packet.get(..job.len).ok_or(Outcome::TooShort)?;
    let parts = split(job.keys, job.kind, job.len, payload_at(job)).ok_or(Outcome::TooShort)?;
    let expected = job.keys.mki();
    let mki = packet.get(parts.mki..parts.mki + expected.len()).ok_or(Outcome::TooShort)?;
    if expected.is_empty() || bool::from(mki.ct_eq(expected)) { Ok(parts) } else { Err(Outcome::MkiMismatch) }
}

/// Copies `from` to `packet` at `at`.
pub(crate) fn put(packet: &mut [u8], at: usize, from: &[u8]) -> Option<()> {
    packet.get_mut(at..at + from.len())?.copy_from_slice(from);
    Some(())
}
