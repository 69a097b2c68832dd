//! The memory a frame lives in, as the relay sees it.

/// A frame's bytes, contiguous, from the Ethernet header on. An mbuf in the process, a vector in
/// the tests.
pub trait PacketBuffer {
    /// The frame.
    fn data(&self) -> &[u8];

    /// The frame, to be changed.
    fn data_mut(&mut self) -> &mut [u8];

    /// Makes the frame `n` bytes longer at its tail and returns the new bytes, whose contents are
    /// unspecified. `None`, and nothing changes, when the buffer has no room.
    fn grow(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Cuts the frame to `len` bytes. Does nothing if it is not longer than that.
    fn truncate(&mut self, len: usize);
}
