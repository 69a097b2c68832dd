//! What comes out of a burst.

use arrayvec::ArrayVec;
use pinhole_flow::{Event, MAX_PORTS};

/// How many frames a burst has at most.
pub const BURST: usize = 32;
/// How many events a burst has at most: each frame can move a leg's source once, and once more by
/// hairpin.
pub const BURST_EVENTS: usize = 2 * BURST;

/// A burst of frames.
pub type Frames<B> = ArrayVec<B, BURST>;

/// How a frame came to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// From the wire.
    Wire,
    /// From one of our own media addresses: another worker sent it to a media address of ours.
    Hairpin,
}

/// A frame that is another worker's to relay.
#[derive(Debug)]
pub struct Handoff<B> {
    /// The worker that has the media port.
    pub worker: u8,
    /// Index of the data-plane port that the frame is for.
    pub port: u8,
    /// How it is to arrive there.
    pub arrival: Arrival,
    /// The frame: as it came from the wire, or complete with headers from our own address to our own.
    pub frame: B,
}

/// Where each frame of a burst goes. The worker empties it before the next burst; frames for which
/// there is no room are dropped.
#[derive(Debug)]
pub struct Output<B> {
    /// Frames to send, by data-plane port.
    pub tx: [Frames<B>; MAX_PORTS],
    /// Frames for the kernel twin of the port they came from, unchanged.
    pub punt: Frames<B>,
    /// Frames for other workers.
    pub handoff: ArrayVec<Handoff<B>, BURST>,
    /// Frames whose buffers are to be freed. Their drops are counted already.
    pub dropped: Frames<B>,
    /// Sources learned or moved.
    pub events: ArrayVec<Event, BURST_EVENTS>,
}

impl<B> Default for Output<B> {
    fn default() -> Self {
        Self {
            tx: std::array::from_fn(|_| Frames::new()),
            punt: Frames::new(),
            handoff: ArrayVec::new(),
            dropped: Frames::new(),
            events: ArrayVec::new(),
        }
    }
}
