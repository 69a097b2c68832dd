//! The replay window (RFC 3711 section 3.3.2): bit `n` stands for index `highest - n`.
//!
//! The first 128 bits of a stream's window lie in its [`StreamState`](pinhole_flow::StreamState); those
//! of a wider one lie in [`Windows`], which is the worker's own.

use pinhole_flow::slot::STREAMS;

use crate::Refused;

/// Words of a window that lie in the stream state.
const NEAR: usize = 2;
/// Words of the widest window there is, 1024 packets.
const MOST: usize = 16;

/// How many packets the windows of one direction span, and what of them has no room in the states.
#[derive(Clone, Debug)]
pub struct Windows {
    span: u32,
    /// The words from the third on, stream by stream; `None` unless windows are wider than 128.
    wide: Option<Box<[[u64; MOST - NEAR]; STREAMS]>>,
}

impl Windows {
    /// Empty windows of `span` packets: a multiple of 64 from 64 to 1024. Any other is taken for the next.
    pub fn new(span: u32) -> Self {
        let words = (span.div_ceil(64) as usize).clamp(1, MOST);
        let wide = (words > NEAR).then(|| Box::new([[0; MOST - NEAR]; STREAMS]));
        Self { span: 64 * words as u32, wide }
    }

    /// How many packets a window spans.
    #[inline]
    pub(crate) fn span(&self) -> u64 {
        self.span.into()
    }

    /// How many words of a window have no room in its state.
    fn words(&self) -> usize {
        (self.span as usize / 64).saturating_sub(NEAR)
    }

    /// The words of the stream at `at` that its state has no room for.
    #[inline]
    pub(crate) fn wide(&self, at: usize) -> &[u64] {
        let words = self.wide.as_ref().and_then(|wide| wide.get(at)?.get(..self.words()));
        words.unwrap_or_default()
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn wide_mut(&mut self, at: usize) -> &mut [u64] {
        let count = self.words();
        let words = self.wide.as_mut().and_then(|wide| wide.get_mut(at)?.get_mut(..count));
        words.unwrap_or_default()
    }

    /// Copies the words of one stream to those of another.
    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        if let Some(wide) = &mut self.wide
            && from.max(to) < STREAMS
        {
            wide.copy_within(from..=from, to);
        }
    }
}

impl Default for Windows {
    /// Windows of 128 packets.
    fn default() -> Self {
        Self::new(128)
    }
}

/// A stream's window, to be read: near words, wide words, how many packets it spans.
#[inline]
pub(crate) fn check(
    highest: u64,
    near: [u64; NEAR],
    wide: &[u64],
    span: u64,
    index: u64,
) -> Result<(), Refused> {
    let Some(age) = highest.checked_sub(index) else { return Ok(()) };
    if age >= span {
        return Err(Refused::TooOld);
    }
    // Below 1024.
    let word = (age / 64) as usize;
    let bits = near.iter().chain(wide).nth(word).copied().unwrap_or(0);
    if bits >> (age % 64) & 1 == 1 { Err(Refused::Replayed) } else { Ok(()) }
}

/// Takes note of `index`, which [`check`] has passed, and returns the highest index after it.
#[inline]
pub(crate) fn record(highest: u64, near: &mut [u64; NEAR], wide: &mut [u64], index: u64) -> u64 {
    let advance = index.checked_sub(highest);
    if let Some(advance) = advance {
        shift(near, wide, advance);
    }
    let age = if advance.is_some() { 0 } else { highest - index };
    if let Some(word) = near.iter_mut().chain(wide).nth((age / 64) as usize) {
        *word |= 1 << (age % 64);
    }
    highest.max(index)
}

/// Makes every bit `by` packets older.
#[inline]
fn shift(near: &mut [u64; NEAR], wide: &mut [u64], by: u64) {
    if wide.is_empty() {
        let [low, high] = *near;
        let old = u128::from(high) << 64 | u128::from(low);
        let new = u32::try_from(by).ok().and_then(|by| old.checked_shl(by)).unwrap_or(0);
        *near = [new as u64, (new >> 64) as u64];
        return;
    }
    let mut old = [0; MOST];
    for (to, from) in old.iter_mut().zip(near.iter().chain(wide.iter())) {
        *to = *from;
    }
    let (words, bits) = (usize::try_from(by / 64).unwrap_or(MOST), (by % 64) as u32);
    let old = |at: Option<usize>| at.and_then(|at| old.get(at)).copied().unwrap_or(0);
    for (at, to) in near.iter_mut().chain(wide).enumerate() {
        let from = at.checked_sub(words);
        let carried = old(from.and_then(|from| from.checked_sub(1))).checked_shr(64 - bits).unwrap_or(0);
        *to = old(from) << bits | carried;
    }
}
