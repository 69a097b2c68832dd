//! Where MKI, tag and SRTCP index stand behind a packet.
//!
//! Counter mode (RFC 3711 figures 1 and 2): body, for SRTCP the index word, MKI, tag.
//! GCM (RFC 7714 sections 8.2 and 9.2): body, tag, for SRTCP the index word, MKI.

use pinhole_flow::Suite;
use pinhole_flow::leg::MKI_MAX;
use subtle::ConstantTimeEq;

use crate::{Job, Kind, Outcome};

/// The E bit of the word that ends an SRTCP packet: the body is encrypted (RFC 3711 section 3.4).
pub const E_BIT: u32 = 1 << 31;

/// Bytes of the word with E bit and SRTCP index.
pub(crate) const WORD: usize = 4;

/// How the trailer of a suite and [`Kind`] with an MKI of some length is made up: where its parts
/// stand behind the body, and how long they are. Worked out once for a key, in one word: a batch
/// has many.
#[derive(Clone, Copy)]
pub(crate) struct Shape(u32);

// The places of the fields: tag and whole length in 8 bits, MKI, word and length of the tag in 5.
const TAG: u32 = 0;
const LEN: u32 = 8;
const MKI: u32 = 16;
const INDEX: u32 = 21;
const TAG_LEN: u32 = 26;

const _: () = assert!(MKI_MAX + 16 + WORD < 1 << 8 && 16 + WORD < 1 << 5);

impl Shape {
    /// The trailer with an MKI of `mki_len` bytes, at most [`MKI_MAX`].
    pub fn new(suite: Suite, kind: Kind, mki_len: usize) -> Self {
        let mki_len = mki_len.min(MKI_MAX);
        let (tag_len, word_len) = match kind {
            Kind::Rtp => (suite.rtp_tag_len(), 0),
            Kind::Rtcp => (suite.rtcp_tag_len(), WORD),
        };
        let (tag, word, mki) = match suite.is_aead() {
            true => (0, tag_len, tag_len + word_len),
            false => (word_len + mki_len, 0, word_len),
        };
        let len = tag_len + word_len + mki_len;
        let fields = [(tag, TAG), (len, LEN), (mki, MKI), (word, INDEX), (tag_len, TAG_LEN)];
        Self(fields.iter().fold(0, |shape, (value, at)| shape | (*value as u32) << at))
    }

    /// Length of the tag: 4, 10 or 16 bytes.
    pub fn tag_len(self) -> usize {
        (self.0 >> TAG_LEN) as usize
    }

    /// Bytes of the whole trailer.
    pub fn len(self) -> usize {
        usize::from((self.0 >> LEN) as u8)
    }
}

/// The parts of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    body: u32,
    shape: Shape,
}

impl Parts {
    /// Bytes before the trailer.
    pub fn body(self) -> usize {
        self.body as usize
    }

    /// Where the tag starts.
    pub fn tag(self) -> usize {
        self.body() + usize::from((self.shape.0 >> TAG) as u8)
    }

    /// Length of the tag: 4, 10 or 16 bytes.
    pub fn tag_len(self) -> usize {
        self.shape.tag_len()
    }

    /// Where the MKI starts.
    pub fn mki(self) -> usize {
        self.body() + (self.shape.0 >> MKI) as usize % 32
    }

    /// Where the SRTCP index word starts; meaningless for SRTP.
    pub fn word(self) -> usize {
        self.body() + (self.shape.0 >> INDEX) as usize % 32
    }

    /// Where the packet ends.
    pub fn end(self) -> usize {
        self.body() + self.shape.len()
    }
}

/// Cuts a protected packet of `len` bytes; `None` if it is shorter than `header` and trailer.
pub(crate) fn split(shape: Shape, len: usize, header: usize) -> Option<Parts> {
    let body = len.checked_sub(shape.len())?;
    (body >= header).then_some(Parts { body: body as u32, shape })
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
    let parts = Parts { body: job.len as u32, shape: job.keys.shape(job.kind) };
    let fits = parts.end() <= job.packet.len() && payload_at(job) <= job.len;
    if fits { Ok(parts) } else { Err(Outcome::NoRoom) }
}

/// The trailer of a packet to unprotect, with its MKI checked.
pub(crate) fn cut(job: &Job<'_>) -> Result<Parts, Outcome> {
    let packet = job.packet.get(..job.len).ok_or(Outcome::TooShort)?;
    let parts = split(job.keys.shape(job.kind), job.len, payload_at(job)).ok_or(Outcome::TooShort)?;
    let expected = job.keys.mki();
    if expected.is_empty() {
        return Ok(parts);
    }
    let mki = packet.get(parts.mki()..parts.mki() + expected.len()).ok_or(Outcome::TooShort)?;
    if bool::from(mki.ct_eq(expected)) { Ok(parts) } else { Err(Outcome::MkiMismatch) }
}

/// Copies `from` to `packet` at `at`.
pub(crate) fn put(packet: &mut [u8], at: usize, from: &[u8]) -> Option<()> {
    packet.get_mut(at..at + from.len())?.copy_from_slice(from);
    Some(())
}
