//! Brings into the cache what a burst is about to need. With thousands of sessions nothing of a packet's
//! session is there, and one miss after the other would cost more than everything else. Asked for a few
//! packets ahead, while others are worked on, the misses overlap with each other and with that work.

use pinhole_flow::{DropCause, SessionSlot};
use pinhole_srtp::kernels::prefetch;

use crate::buffer::PacketBuffer;
use crate::frame::verify;
use crate::output::Frames;
use crate::slots::live;
use crate::tables::Tables;
use crate::work::{Phase, Work, Works};

/// Asks for the frames' headers and payloads.
pub fn warm_frames<B: PacketBuffer>(frames: &Frames<B>) {
    for frame in frames {
        prefetch(frame.data());
    }
}

/// Finds the pinholes of packets that have arrived, whose entries were asked for as they were parsed,
/// and asks for the sessions behind them; verifies checksums meanwhile.
pub fn find<B: PacketBuffer>(works: &mut Works, frames: &Frames<B>, tables: &Tables) {
    for (work, frame) in works.iter_mut().zip(frames) {
        if work.phase != Phase::Arrived {
            continue;
        }
        work.pinhole = tables.pinholes.get(work.port, work.datagram.port);
        if let Some(hole) = work.pinhole {
            tables.sessions.prefetch(hole.slot(), hole.leg());
        }
        // What came by hairpin has no headers yet.
        let sound = match tables.network.port(work.port).filter(|_| work.hops == 0) {
            Some(port) => verify(frame.data(), &work.datagram, port.media_address),
            None => Ok(()),
        };
        match (sound, work.pinhole) {
            (Err(cause), _) => {
                // No leg is blamed for what did not come whole.
                work.pinhole = None;
                work.drop(cause);
            }
            (Ok(()), None) => work.drop(DropCause::ClosedPinhole),
            (Ok(()), Some(_)) => {}
        }
    }
}

/// Asks for what a packet needs of its session besides what [`find`] has asked for: keys, stream states
/// and counters of both legs.
#[inline]
pub fn warm_session(work: &Work, tables: &Tables, slots: &[SessionSlot]) {
    let Some(hole) = work.pinhole else { return };
    let Some(context) = tables.sessions.context(hole.slot()) else { return };
    let [near, far] = [hole.leg(), hole.leg() ^ 1];
    if let (Some(leg), Some(live)) = (context.legs.get(usize::from(near)), live(slots, hole.slot(), near)) {
        prefetch(&live.stats.rx_packets);
        if let Some(direction) = &leg.inbound {
            live.inbound.first().into_iter().for_each(prefetch);
            direction.prefetch(work.kind);
        }
    }
    if let (Some(leg), Some(live)) = (context.legs.get(usize::from(far)), live(slots, hole.slot(), far)) {
        prefetch(&live.stats.tx_packets);
        if let Some(direction) = &leg.outbound {
            live.outbound.first().into_iter().for_each(prefetch);
            direction.prefetch(work.kind);
        }
    }
}
