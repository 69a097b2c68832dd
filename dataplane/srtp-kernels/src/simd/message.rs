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

    /// A block that the packet fills.
    #[inline]
    pub fn whole_block(&self, at: usize) -> &'a [u8; 64] {
        self.data.as_chunks().0.get(at).unwrap_or(&[0; 64])
    }

    /// The last 64 bytes of the packet, if it has as many.
    #[inline]
    pub fn last_block(&self) -> &'a [u8; 64] {
        self.data.last_chunk().unwrap_or(&[0; 64])
    }

    /// The two words behind the packet: the ROC and the start of the padding, or that and zero.
    #[inline]
    pub fn words_behind(&self) -> [u32; 2] {
        [self.end as u32, (self.end >> 32) as u32].map(u32::swap_bytes)
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
        tail.0[last..last + 4].copy_from_slice(&self.bits().to_be_bytes());
    }

    /// The length in bits that ends the padded message: that of the key's block, packet and ROC.
    #[inline]
    pub fn bits(&self) -> u32 {
        8 * (64 + self.data.len() as u32 + self.roc_len())
    }

    #[inline]
    fn roc_len(&self) -> u32 {
        if self.end == PADDING { 0 } else { 4 }
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

/// The common layout of messages: their packets have the same number of whole words, at least a
/// block. The words behind them then stand at the same places, as in the speech of one codec.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Words of the packet.
    words: usize,
    /// Blocks of the padded message.
    blocks: usize,
    /// The word that ends it.
    bits: u32,
}

/// Where a word of a message's last blocks comes from.
pub(super) enum Word {
    /// The packet's last 16 words.
    OfLastBlock(usize),
    /// The [words behind it](Message::words_behind).
    Behind(usize),
    /// The padding.
    Constant(u32),
}

impl Layout {
    /// The layout of all the messages, if they have one.
    #[inline]
    pub fn of(messages: &[Message<'_>]) -> Option<Self> {
        let first = messages.first()?;
        let (len, roc_len) = (first.data.len(), first.roc_len());
        let alike = |message: &Message<'_>| message.data.len() == len && message.roc_len() == roc_len;
        let alike = len >= 64 && len.is_multiple_of(4) && messages.iter().all(alike);
        alike.then(|| Self { words: len / 4, blocks: first.blocks(), bits: first.bits() })
    }

    /// How many blocks the packet fills.
    #[inline]
    pub fn whole(&self) -> usize {
        self.words / 16
    }

    /// A word of a block behind those.
    #[inline]
    pub fn word(&self, block: usize, place: usize) -> Word {
        let at = 16 * block + place;
        match at.checked_sub(self.words) {
            None => Word::OfLastBlock(at + 16 - self.words),
            Some(behind @ (0 | 1)) => Word::Behind(behind),
            Some(_) if at + 1 == 16 * self.blocks => Word::Constant(self.bits),
            Some(_) => Word::Constant(0),
        }
    }
}
