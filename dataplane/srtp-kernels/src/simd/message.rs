//! A message to authenticate, and its last blocks.

use super::context::Midstates;

/// Bytes to authenticate with HMAC-SHA1. Small, since a batch writes and reads many: what can be had
/// from the length is worked out again.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// States after the key.
    pub midstates: &'a Midstates,
    /// The packet.
    data: &'a [u8],
    /// What follows the packet: SRTP's rollover counter, and the byte that starts the padding.
    end: u64,
    /// How many blocks the padded message has.
    blocks: u32,
    /// Where its tag belongs.
    place: u32,
}

const _: () = assert!(size_of::<Message<'_>>() == 40);

/// The byte that starts the padding.
const PADDING: u64 = 0x80;

/// The last block or two of a padded message: what is left of it, its padding and length.
#[repr(C, align(64))]
pub(super) struct Tail(pub [u8; 128]);

impl<'a> Message<'a> {
    /// A packet to authenticate, with the ROC behind it if there is one.
    #[inline]
    pub fn new(midstates: &'a Midstates, data: &'a [u8], roc: Option<u32>, place: usize) -> Self {
        let (end, roc_len) = match roc {
            Some(roc) => (u64::from(roc.swap_bytes()) | PADDING << 32, 4),
            None => (PADDING, 0),
        };
        let blocks = (data.len() as u32 + roc_len + 9).div_ceil(64);
        Self { midstates, data, end, blocks, place: place as u32 }
    }

    /// Where its tag belongs.
    #[inline]
    pub fn place(&self) -> usize {
        self.place as usize
    }

    /// The fewer than 64 bytes of the packet behind its blocks.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.data.as_chunks::<64>().1
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
        let whole = self.data.as_chunks().0;
        match whole.get(at) {
            Some(block) => block,
            None => &tail.0.as_chunks().0[usize::from(at > whole.len())],
        }
    }

    /// Puts ROC, padding and length (FIPS 180-4 section 5.1.1) behind what is left of the message,
    /// which the caller has put into the tail, with zeros behind it.
    #[inline]
    pub fn pad(&self, tail: &mut Tail) {
        let len = self.data.len();
        tail.0[len % 64..len % 64 + 8].copy_from_slice(&self.end.to_le_bytes());
        let last = if self.blocks() - len / 64 == 1 { 60 } else { 124 };
        let roc_len = if self.end == PADDING { 0 } else { 4 };
        let bits = 8 * (64 + len as u32 + roc_len);
        tail.0[last..last + 4].copy_from_slice(&bits.to_be_bytes());
    }

    /// The tail, made without vector instructions.
    pub fn tail(&self) -> Tail {
        let mut tail = Tail([0; 128]);
        let rest = self.rest();
        tail.0[..rest.len()].copy_from_slice(rest);
        self.pad(&mut tail);
        tail
    }
}
