//! A message to authenticate, and its last blocks.

use super::context::Midstates;

/// Bytes to authenticate with HMAC-SHA1.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// States after the key.
    pub midstates: &'a Midstates,
    /// The blocks of the packet.
    whole: &'a [[u8; 64]],
    /// What of the packet follows the blocks.
    rest: &'a [u8],
    /// What follows the packet: SRTP's rollover counter, and the byte that starts the padding.
    end: u64,
    /// How many blocks the padded message has.
    blocks: u32,
    /// Its bits, those of the key's block included.
    bits: u32,
    /// Where its tag belongs.
    pub place: usize,
}

/// The last block or two of a padded message: what is left of it, its padding and length.
#[repr(C, align(64))]
pub(super) struct Tail(pub [u8; 128]);

impl<'a> Message<'a> {
    /// A packet to authenticate, with the ROC behind it if there is one.
    #[inline]
    pub fn new(midstates: &'a Midstates, data: &'a [u8], roc: Option<u32>, place: usize) -> Self {
        let (whole, rest) = data.as_chunks();
        let (end, roc_len) = match roc {
            Some(roc) => (u64::from(roc.swap_bytes()) | 0x80 << 32, 4),
            None => (0x80, 0),
        };
        let len = data.len() as u32 + roc_len;
        Self { midstates, whole, rest, end, blocks: (len + 9).div_ceil(64), bits: (64 + len) * 8, place }
    }

    /// The fewer than 64 bytes of the packet behind the blocks.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many blocks the padded message has, the tail's included.
    #[inline]
    pub fn blocks(&self) -> usize {
        self.blocks as usize
    }

    /// A block of the padded message; behind its end, any block.
    #[inline]
    pub fn block<'b>(&self, tail: &'b Tail, at: usize) -> &'b [u8; 64]
    where
        'a: 'b,
    {
        match self.whole.get(at) {
            Some(block) => block,
            None => &tail.0.as_chunks().0[usize::from(at > self.whole.len())],
        }
    }

    /// Puts ROC, padding and length (FIPS 180-4 section 5.1.1) behind what is left of the message,
    /// which the caller has put into the tail, with zeros behind it.
    #[inline]
    pub fn pad(&self, tail: &mut Tail) {
        let end = self.rest.len() % 64;
        tail.0[end..end + 8].copy_from_slice(&self.end.to_le_bytes());
        let last = if self.blocks() - self.whole.len() == 1 { 60 } else { 124 };
        tail.0[last..last + 4].copy_from_slice(&self.bits.to_be_bytes());
    }

    /// The tail, made without vector instructions.
    pub fn tail(&self) -> Tail {
        let mut tail = Tail([0; 128]);
        tail.0[..self.rest.len()].copy_from_slice(self.rest);
        self.pad(&mut tail);
        tail
    }
}
