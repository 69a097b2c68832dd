//! A message to authenticate, and its last blocks.

use super::context::Midstates;

/// Bytes to authenticate with HMAC-SHA1.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// States after the key.
    pub midstates: &'a Midstates,
    /// The packet.
    pub data: &'a [u8],
    /// What follows it: SRTP's rollover counter.
    pub roc: Option<u32>,
    /// Where its tag belongs.
    pub place: usize,
}

/// The last block or two of a padded message: what is left of it, its padding and length.
#[repr(C, align(64))]
pub(super) struct Tail(pub [u8; 128]);

impl Message<'_> {
    /// The blocks of the message before its tail.
    #[inline]
    pub fn whole(&self) -> &[[u8; 64]] {
        self.data.as_chunks().0
    }

    fn roc_len(&self) -> usize {
        if self.roc.is_some() { 4 } else { 0 }
    }

    /// How many blocks the padded message has, the tail's included.
    #[inline]
    pub fn blocks(&self) -> usize {
        (self.data.len() + self.roc_len() + 9).div_ceil(64)
    }

    /// A block of the padded message; behind its end, any block.
    #[inline]
    pub fn block<'b>(&'b self, tail: &'b Tail, at: usize) -> &'b [u8; 64] {
        let whole = self.whole();
        let [first, second] = tail.0.as_chunks().0 else { return &[0; 64] };
        match whole.get(at) {
            Some(block) => block,
            None if at > whole.len() => second,
            None => first,
        }
    }

    /// Puts ROC, padding and length (FIPS 180-4 section 5.1.1) behind what is left of the message,
    /// which the caller has put into the tail, with zeros behind it.
    #[inline]
    pub fn pad(&self, tail: &mut Tail) {
        let mut end = self.data.len() % 64;
        if let Some(roc) = self.roc {
            tail.0[end..end + 4].copy_from_slice(&roc.to_be_bytes());
            end += 4;
        }
        tail.0[end] = 0x80;
        let last = if end + 9 <= 64 { 64 } else { 128 };
        let bits = (64 + self.data.len() + self.roc_len()) as u64 * 8;
        tail.0[last - 8..last].copy_from_slice(&bits.to_be_bytes());
    }

    /// The tail, made without vector instructions.
    pub fn tail(&self) -> Tail {
        let mut tail = Tail([0; 128]);
        let rest = self.data.as_chunks::<64>().1;
        tail.0[..rest.len()].copy_from_slice(rest);
        self.pad(&mut tail);
        tail
    }
}
