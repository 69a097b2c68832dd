//! The way out: destination, index, protection.

use std::net::SocketAddrV4;

use arrayvec::ArrayVec;
use pinhole_flow::{DropCause, SessionSlot};
use pinhole_srtp::kernels::{Engine, Job, Outcome};
use pinhole_srtp::outbound::{assign_rtcp, assign_rtp};

use crate::buffer::PacketBuffer;
use crate::frame::{IPV4, UDP};
use crate::output::{BURST, Frames};
use crate::session::LegContext;
use crate::slots::live;
use crate::tables::Tables;
use crate::work::{Departure, Next, Phase, Work, Works};

/// How often a packet may pass from one of our media addresses to another. A call between two phones
/// is two sessions, so once is enough.
const MAX_HOPS: u8 = 1;

/// Finds a destination for each accepted packet, before an index is spent on it.
pub fn route(works: &mut Works, tables: &Tables) {
    for work in works.iter_mut() {
        if work.phase == Phase::Accepted {
            let next = route_one(work, tables).map(Phase::Routed);
            work.proceed(next);
        }
    }
}

fn route_one(work: &Work, tables: &Tables) -> Result<Departure, DropCause> {
    let leg = far_leg(work, tables).ok_or(DropCause::NoDestination)?;
    let rtcp = work.is_rtcp();
    if leg.orders.secure && leg.outbound.is_none() {
        // Never plain RTP where SRTP was ordered and the key is still to come.
        return Err(DropCause::NoDestination);
    }
    let destination = leg.destination(rtcp).ok_or(DropCause::NoDestination)?;
    let port = tables.ports.get(usize::from(leg.orders.port)).ok_or(DropCause::NoDestination)?;
    let next = next_stop(work, leg, destination, tables)?;
    let overhead = leg.outbound.as_ref().map_or(0, |direction| direction.overhead(work.kind));
    if work.datagram.payload_len + overhead + UDP + IPV4 > usize::from(port.mtu) {
        return Err(DropCause::TooBig);
    }
    Ok(Departure {
        port: leg.orders.port,
        source: SocketAddrV4::new(port.media_address, leg.orders.local_port(rtcp)),
        destination,
        dscp: leg.orders.dscp.unwrap_or(work.datagram.dscp),
        next,
    })
}

fn next_stop(
    work: &Work,
    leg: &LegContext,
    destination: SocketAddrV4,
    tables: &Tables,
) -> Result<Next, DropCause> {
    if let Some(port) = tables.is_own(*destination.ip()) {
        return if work.hops < MAX_HOPS { Ok(Next::Hairpin(port)) } else { Err(DropCause::HairpinLoop) };
    }
    if let Some(source) = leg.learned(work.is_rtcp()) {
        return Ok(Next::Wire(source.mac, source.vlan));
    }
    let hop = tables.next_hop(leg.orders.next_hop, leg.orders.port).ok_or(DropCause::NoNextHop)?;
    Ok(Next::Wire(hop.mac, hop.vlan))
}

/// Gives each packet that leaves by an SRTP leg its index.
pub fn assign<B: PacketBuffer>(
    works: &mut Works,
    frames: &mut Frames<B>,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
) {
    for (work, frame) in works.iter_mut().zip(frames) {
        if let Phase::Routed(departure) = work.phase {
            let next = assign_one(work, departure, tables, slots);
            if let (Some(header), Ok(Phase::Indexed(_, index))) = (&mut work.header, &next)
                && header.sequence != *index as u16
            {
                // The sender has set its sequence numbers back.
                header.sequence = *index as u16;
                let sequence = header.sequence.to_be_bytes();
                if let Some(field) = work.payload_mut(frame.data_mut(), 0).and_then(|rtp| rtp.get_mut(2..4)) {
                    field.copy_from_slice(&sequence);
                }
            }
            work.proceed(next);
        }
    }
}

fn assign_one(
    work: &Work,
    departure: Departure,
    tables: &mut Tables,
    slots: &mut [SessionSlot],
) -> Result<Phase, DropCause> {
    let hole = work.pinhole.ok_or(DropCause::NoDestination)?;
    let leg = tables.leg_mut(hole.slot, hole.leg ^ 1).ok_or(DropCause::NoDestination)?;
    if leg.outbound.is_none() {
        return Ok(Phase::Ready(departure));
    }
    let live = live(slots, hole.slot, hole.leg ^ 1).ok_or(DropCause::NoDestination)?;
    let index = match &work.header {
        Some(header) => assign_rtp(&mut live.outbound, work.ssrc, header.sequence)?,
        None => assign_rtcp(&mut live.outbound, work.ssrc)?,
    };
    leg.recent_outbound.touch(work.ssrc);
    Ok(Phase::Indexed(departure, index))
}

/// Protects what has an index, one batch.
pub fn protect<B: PacketBuffer>(
    works: &mut Works,
    frames: &mut Frames<B>,
    tables: &Tables,
    engine: &dyn Engine,
) {
    let mut jobs: ArrayVec<Job<'_>, BURST> = ArrayVec::new();
    for (work, frame) in works.iter_mut().zip(frames.iter_mut()) {
        let Phase::Indexed(_, index) = work.phase else { continue };
        let job = far_leg(work, tables).and_then(|leg| leg.outbound.as_ref()).and_then(|direction| {
            let overhead = direction.overhead(work.kind);
            let len = work.datagram.payload_len;
            frame.grow(overhead)?;
            let packet = work.payload_mut(frame.data_mut(), overhead)?;
            Some(direction.job(work.kind, packet, len, work.encrypted_at(), work.ssrc, index))
        });
        match job {
            Some(job) => jobs.push(job),
            None => work.drop(DropCause::TooBig),
        }
    }
    engine.protect(&mut jobs);
    let outcomes: ArrayVec<(Outcome, usize), BURST> = jobs.iter().map(|job| (job.outcome, job.len)).collect();
    drop(jobs);
    let indexed = works.iter_mut().zip(frames.iter_mut());
    let indexed = indexed.filter(|(work, _)| matches!(work.phase, Phase::Indexed(..)));
    for ((work, frame), (outcome, len)) in indexed.zip(outcomes) {
        let Phase::Indexed(departure, _) = work.phase else { continue };
        work.datagram.payload_len = len;
        frame.truncate(work.datagram.payload_at + len);
        let done = outcome == Outcome::Done;
        work.proceed(if done { Ok(Phase::Ready(departure)) } else { Err(DropCause::TooBig) });
    }
}

/// Counts what is ready on the leg that it leaves by, and turns what goes to one of our own media
/// addresses into an arrival there. Returns how many did.
pub fn turn(works: &mut Works, tables: &Tables, slots: &mut [SessionSlot]) -> u64 {
    let mut hairpins = 0;
    for work in works.iter_mut() {
        let Phase::Ready(departure) = work.phase else { continue };
        let Some(hole) = work.pinhole else { continue };
        if let Some(live) = live(slots, hole.slot, hole.leg ^ 1) {
            match work.is_rtcp() {
                true => live.stats.rtcp_tx += 1,
                false => {
                    live.stats.tx_packets += 1;
                    live.stats.tx_bytes += work.datagram.payload_len as u64;
                }
            }
        }
        match departure.next {
            Next::Wire(..) => work.phase = Phase::Leaving(departure),
            Next::Hairpin(port) => {
                hairpins += 1;
                match tables.other_worker(departure.destination.port()) {
                    Some(_) => work.phase = Phase::Leaving(departure),
                    None => arrive(work, port, &departure),
                }
            }
        }
    }
    hairpins
}

/// What leaves for one of our own addresses arrives there, from the other.
fn arrive(work: &mut Work, port: u8, departure: &Departure) {
    work.phase = Phase::Arrived;
    work.port = port;
    work.hops += 1;
    work.pinhole = None;
    work.wire_len = work.datagram.payload_len;
    work.old_key = false;
    work.datagram.source = departure.source;
    work.datagram.port = departure.destination.port();
    work.datagram.dscp = departure.dscp;
    work.datagram.mac = [0; 6];
    work.datagram.vlan = 0;
}

fn far_leg<'a>(work: &Work, tables: &'a Tables) -> Option<&'a LegContext> {
    let hole = work.pinhole?;
    tables.leg(hole.slot, hole.leg ^ 1)
}
