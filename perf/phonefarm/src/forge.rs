//! Packets that are no part of a call: what attackers send between those of the flows.

use arrayvec::ArrayVec;

use crate::frame::{self, Path, RTP_AT, Rtp};
use crate::sender::Source;

/// The largest frame that a forger sends.
pub const FRAME_MAX: usize = 1_514;

/// Bytes of the shortest frame, without its check sequence.
const FRAME_MIN: usize = 60;

/// A frame under construction, from the Ethernet header on.
pub type Frame = ArrayVec<u8, FRAME_MAX>;

/// What an attacker on the wire may know of the flows.
pub struct View<'a> {
    pub(crate) sources: &'a [Source],
}

impl View<'_> {
    /// The RTP header of the packet that is sent next on a flow.
    pub fn next_header(&self, flow: u32) -> Option<Rtp> {
        self.sources.get(flow as usize).map(|source| source.rtp(source.count))
    }

    /// How many packets were sent on a flow.
    pub fn count(&self, flow: u32) -> u32 {
        self.sources.get(flow as usize).map_or(0, |source| source.count)
    }
}

/// Sends frames of its own while the flows are played.
pub trait Forger {
    /// Whether it wants to hear of the flows' frames ([`Forger::sent`]).
    fn listens(&self) -> bool {
        false
    }

    /// Packet `count` of `flow` is sent as `frame`.
    fn sent(&mut self, flow: u32, count: u32, frame: &[u8]) {
        let _ = (flow, count, frame);
    }

    /// A UDP datagram arrived at `port` that no flow expects.
    fn stranger(&mut self, port: usize, frame: &[u8]) {
        let _ = (port, frame);
    }

    /// Whether it has more to send; the run does not end before.
    fn is_at_work(&self) -> bool;

    /// Writes the next frame into the empty `frame`, if one is due at `now` (in ticks), and tells the port.
    fn forge(&mut self, now: u64, view: &View<'_>, frame: &mut Frame) -> Option<usize>;
}

/// Writes a datagram that goes along `path`; cut to what fits a frame.
pub fn datagram(frame: &mut Frame, path: &Path, data: &[u8]) {
    let data = data.get(..FRAME_MAX - RTP_AT).unwrap_or(data);
    frame.clear();
    frame.extend(path.headers(data.len()).into_iter().chain(data.iter().copied()));
    frame::finish(frame);
    // Ethernet's shortest frame.
    while frame.len() < FRAME_MIN {
        frame.push(0);
    }
}
