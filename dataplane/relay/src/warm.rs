//! Brings into the cache what a burst is about to need. With thousands of sessions nothing of a packet's
//! session is there, and one miss after the other would cost more than everything else. Asked for before any
//! packet of the burst needs it, the misses overlap with each other and with the work.

use pinhole_flow::{DropCause, SessionSlot};
use pinhole_srtp::kernels::prefetch;

use crate::buffer::PacketBuffer;
use crate::frame::verify;
use crate::output::Frames;
use crate::pinhole::Pinhole;
use crate::session::LegLine;
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
/// and asks for the sessions behind them; verifies checksums meanwhile. All sessions are asked for first: a
/// request waits for the translation of its address, and the processor looks ahead to a few more requests
/// only if little else stands between them.
pub fn find<B: PacketBuffer>(works: &mut Works, frames: &Frames<B>, tables: &Tables) {
    for work in works.iter_mut().filter(|work| work.phase == Phase::Arrived) {
        work.pinhole = tables.pinholes.get(work.port, work.datagram.port);
        if let Some(hole) = work.pinhole {
            warm_context(hole, tables);
        }
    }
    for (work, frame) in works.iter_mut().zip(frames) {
        if work.phase != Phase::Arrived {
            continue;
        }
        // The sums of what came by hairpin are ours, and not finished yet.
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

/// Asks for the orders of the leg that it arrives on, the route of the one that it leaves by, and the lines that lead to keys.
#[inline]
fn warm_context(hole: Pinhole, tables: &Tables) {
    let (slot, near, far) = (hole.slot(), hole.leg(), hole.leg() ^ 1);
    tables.sessions.prefetch(slot, near, LegLine::Orders);
    tables.sessions.prefetch(slot, far, LegLine::Route);
    if hole.secure(near) {
        tables.sessions.prefetch(slot, near, LegLine::Inbound);
    }
    if hole.secure(far) {
        tables.sessions.prefetch(slot, far, LegLine::Outbound);
    }
}

/// Asks for what packets need of their sessions besides what [`find`] has asked for: keys, stream states
/// and counters. The keys that they are protected with are asked for once they have their headers.
pub fn warm_sessions(works: &Works, tables: &Tables, slots: &[SessionSlot]) {
    works.iter().for_each(|work| warm_session(work, tables, slots));
}

#[inline]
fn warm_session(work: &Work, tables: &Tables, slots: &[SessionSlot]) {
    let Some(hole) = work.pinhole else { return };
    let (slot, near, far) = (hole.slot(), hole.leg(), hole.leg() ^ 1);
    tables.sessions.prefetch(slot, near, LegLine::Reception);
    if let Some(live) = live(slots, slot, near) {
        prefetch(&live.stats.rx_packets);
        if hole.secure(near) {
            live.inbound.first().into_iter().for_each(prefetch);
            if let Some(keys) = tables.sessions.leg(slot, near).and_then(|leg| leg.inbound.as_ref()) {
                keys.prefetch(work.kind);
            }
        }
    }
    if hole.secure(far)
        && let Some(live) = live(slots, slot, far)
    {
        live.outbound.first().into_iter().for_each(prefetch);
    }
}
