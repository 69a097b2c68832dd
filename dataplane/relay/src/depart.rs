//! The way out: destination, index, protection.

use std::net::SocketAddrV4;

use pinhole_flow::{DropCause, LegLive, LegStats, SessionSlot};
use pinhole_srtp::kernels::{Engine, Outcome};
use pinhole_srtp::outbound::{assign_rtcp, assign_rtp};

use crate::admit::Jobs;
use crate::buffer::PacketBuffer;
use crate::frame::{IPV4, UDP};
use crate::network::Network;
use crate::output::Frames;
use crate::session::LegContext;
use crate::slots::{shared, sides};
use crate::tables::Tables;
use crate::work::{Departure, Phase, Work, Works};

/// How often a packet may pass from one of our media addresses to another. A call between two phones
/// is two sessions, so once is enough.
const MAX_HOPS: u8 = 1;

/// Finds the destination of an accepted packet, on the leg that it leaves by, and gives it an index if that
/// is an SRTP leg: in this order, so that no index is spent on a packet that goes nowhere. Counts it.
#[inline]
pub fn depart<B: PacketBuffer>(
    work: &mut Work,
    frame: &mut B,
    leg: &mut LegContext,
    live: &mut LegLive,
    stats: &mut LegStats,
    network: &Network,
) -> Result<Phase, DropCause> {
    // Of a plain leg the keys are not even looked at: they lie on another cache line.
    let overhead = match leg.orders.secure {
        // Never plain RTP where SRTP was ordered and the key is still to come.
        true => leg.outbound.as_ref().ok_or(DropCause::NoDestination)?.overhead(work.kind),
        false => 0,
    };
    let len = work.datagram.payload_len + overhead;
    work.departure = Some(route(work, len, leg, network)?);
    let mut phase = Phase::Ready;
    if let Some(guess) = work.guess.filter(|_| leg.orders.keeps_index) {
        // Under the key before, its index may be another packet's of today.
        if work.old_key {
            return Err(DropCause::TooOld);
        }
        work.index = guess.kept();
        phase = Phase::Indexed;
    } else if leg.orders.secure {
        leg.resume(work.ssrc, &mut live.outbound);
        work.index = match &mut work.header {
            Some(header) => {
                let index = assign_rtp(&mut live.outbound, work.ssrc, header.sequence)?;
                if header.sequence != index as u16 {
                    // The sender has set its sequence numbers back.
                    header.sequence = index as u16;
                    let at = work.datagram.payload_at + 2;
                    if let Some(field) = frame.data_mut().get_mut(at..at + 2) {
                        field.copy_from_slice(&header.sequence.to_be_bytes());
                    }
                }
                index
            }
            None => assign_rtcp(&mut live.outbound, work.ssrc)?,
        };
        leg.outbound.iter().for_each(|keys| keys.prefetch(work.kind));
        leg.sent(work.ssrc);
        phase = Phase::Indexed;
    }
    count(work, stats, len as u64, 1);
    Ok(phase)
}

/// Counts a packet of `len` bytes for the leg that it arrived on, or with `by` -1 takes it back.
#[inline]
fn count(work: &Work, stats: &mut LegStats, len: u64, by: i64) {
    match work.is_rtcp() {
        true => stats.rtcp_passed = stats.rtcp_passed.wrapping_add_signed(by),
        false => {
            stats.passed_packets = stats.passed_packets.wrapping_add_signed(by);
            stats.passed_bytes = stats.passed_bytes.wrapping_add_signed(by * len as i64);
        }
    }
}

/// Where a packet of `len` bytes, as it is sent, goes.
#[inline]
fn route(work: &Work, len: usize, leg: &LegContext, network: &Network) -> Result<Departure, DropCause> {
    let rtcp = work.is_rtcp();
    let destination = leg.destination(rtcp).ok_or(DropCause::NoDestination)?;
    let port = network.port(leg.orders.port).ok_or(DropCause::NoDestination)?;
    let hairpin = network.is_own(*destination.ip());
    let (mac, vlan) = match hairpin {
        Some(_) if work.hops >= MAX_HOPS => return Err(DropCause::HairpinLoop),
        Some(own) => network.port(own).map(|own| (own.mac, own.vlan.unwrap_or_default())),
        None => neighbour(leg, rtcp, network),
    }
    .ok_or(DropCause::NoNextHop)?;
    if len + UDP + IPV4 > usize::from(port.mtu) {
        return Err(DropCause::TooBig);
    }
    Ok(Departure {
        port: leg.orders.port,
        source: SocketAddrV4::new(port.media_address, leg.orders.local_port(rtcp)),
        destination,
        dscp: leg.orders.dscp.unwrap_or(work.datagram.dscp),
        hairpin,
        mac,
        vlan,
    })
}

/// The neighbour that a leg's packets are given to: where a learned source's came from, or else the next hop
/// of the signalled address.
#[inline]
fn neighbour(leg: &LegContext, rtcp: bool, network: &Network) -> Option<([u8; 6], u16)> {
    if let Some(source) = leg.learned(rtcp) {
        return Some((source.mac, source.vlan));
    }
    network.next_hop(leg.orders.next_hop.into(), leg.orders.port).map(|hop| (hop.mac, hop.vlan))
}

/// Protects what has an index, one batch.
pub fn protect<B: PacketBuffer>(
    works: &mut Works,
    frames: &mut Frames<B>,
    tables: &Tables,
    slots: &mut [SessionSlot],
    engine: &dyn Engine,
) {
    let mut jobs = Jobs::new();
    for (work, frame) in works.iter_mut().zip(frames.iter_mut()) {
        if work.phase != Phase::Indexed {
            continue;
        }
        let leg = work.pinhole.and_then(|hole| tables.sessions.leg(hole.slot(), hole.leg() ^ 1));
        let job = leg.and_then(|leg| leg.outbound.as_ref()).and_then(|direction| {
            let overhead = direction.overhead(work.kind);
            let len = work.datagram.payload_len;
            frame.grow(overhead)?;
            let packet = work.payload_mut(frame.data_mut(), overhead)?;
            Some(direction.job(work.kind, packet, len, work.encrypted_at(), work.ssrc, work.index))
        });
        match job {
            Some(job) => jobs.push(job),
            None => give_up(work, tables, slots),
        }
    }
    engine.protect(&mut jobs);
    let indexed = works.iter_mut().filter(|work| work.phase == Phase::Indexed);
    for (work, job) in indexed.zip(&jobs) {
        match job.outcome {
            Outcome::Done => {
                work.datagram.payload_len = job.len;
                work.phase = Phase::Ready;
            }
            _ => give_up(work, tables, slots),
        }
    }
}

/// Drops a packet that was counted as sent: its buffer has no room for the tag.
#[cold]
fn give_up(work: &mut Work, tables: &Tables, slots: &mut [SessionSlot]) {
    if let Some(hole) = work.pinhole
        && let Some(leg) = tables.sessions.leg(hole.slot(), hole.leg() ^ 1)
        && let Some(slot) = shared(slots, hole.slot())
    {
        let overhead = leg.outbound.as_ref().map_or(0, |keys| keys.overhead(work.kind));
        count(work, &mut sides(slot, hole.leg()).0.stats, (work.datagram.payload_len + overhead) as u64, -1);
    }
    work.drop(DropCause::TooBig);
}

/// Turns what goes to one of our own media addresses into an arrival there. Returns how many packets go to
/// one in all, and how many of them arrive at this worker.
#[cold]
pub fn turn(works: &mut Works, network: &Network) -> (u64, usize) {
    let (mut hairpins, mut arrived) = (0, 0);
    for work in works.iter_mut().filter(|work| work.phase == Phase::Ready) {
        let Some(departure) = work.departure else { continue };
        let Some(port) = departure.hairpin else { continue };
        hairpins += 1;
        match network.other_worker(departure.destination.port()) {
            Some(_) => work.phase = Phase::Leaving,
            None => {
                arrived += 1;
                arrive(work, port, &departure);
            }
        }
    }
    (hairpins, arrived)
}

/// What leaves for one of our own addresses arrives there, from the other.
fn arrive(work: &mut Work, port: u8, departure: &Departure) {
    work.phase = Phase::Arrived;
    work.port = port;
    work.hops += 1;
    work.pinhole = None;
    work.guess = None;
    work.departure = None;
    work.wire_len = work.datagram.payload_len;
    work.old_key = false;
    work.datagram.source = departure.source;
    work.datagram.port = departure.destination.port();
    work.datagram.dscp = departure.dscp;
    work.datagram.mac = [0; 6];
    work.datagram.vlan = 0;
}
