//! The way out: destination, index, protection.

use pinhole_flow::{DropCause, LegLive, LegStats, SessionSlot};
use pinhole_srtp::kernels::{Engine, Outcome};
use pinhole_srtp::outbound::{assign_rtcp, assign_rtp};

use crate::admit::Jobs;
use crate::buffer::PacketBuffer;
use crate::frame::{Datagram, Parsed, parse};
use crate::network::Network;
use crate::output::{Arrival, Frames};
use crate::pinhole::Pinhole;
use crate::route::Route;
use crate::session::LegContext;
use crate::slots::{shared, sides};
use crate::tables::Tables;
use crate::work::{Departure, Phase, Work, Works};

/// How often a packet may pass from one of our media addresses to another. A call between two phones
/// is two sessions, so once is enough.
const MAX_HOPS: u8 = 1;

/// Gives an accepted packet the headers that it leaves with, and an index if it leaves by an SRTP leg: in this order, so that no
/// index is spent on a packet that goes nowhere. Counts it.
#[inline]
#[allow(clippy::too_many_arguments, reason = "as of `settle_one`")]
pub fn depart<B: PacketBuffer>(
    work: &mut Work,
    frame: &mut B,
    hole: Pinhole,
    leg: &mut LegContext,
    live: &mut LegLive,
    stats: &mut LegStats,
    network: &Network,
    identification: &mut u16,
) -> Result<Phase, DropCause> {
    let secure = hole.secure(hole.leg() ^ 1);
    // Of a plain leg the keys are not even looked at: they lie on another cache line.
    let overhead = match secure {
        // Never plain RTP where SRTP was ordered and the key is still to come.
        true => leg.outbound.as_ref().ok_or(DropCause::NoDestination)?.overhead(work.kind),
        false => 0,
    };
    let len = work.datagram.payload_len + overhead;
    readdress(work, frame, len, leg.route(work.is_rtcp(), network)?, identification)?;
    let phase = match secure {
        true => {
            work.index = index(work, frame, leg, live)?;
            Phase::Indexed
        }
        false => Phase::Ready,
    };
    count(work, stats, len as u64, 1);
    Ok(phase)
}

/// The index that a packet is protected under.
#[inline]
fn index<B: PacketBuffer>(
    work: &mut Work,
    frame: &mut B,
    leg: &mut LegContext,
    live: &mut LegLive,
) -> Result<u64, DropCause> {
    leg.outbound.iter().for_each(|keys| keys.prefetch(work.kind));
    if let Some(guess) = work.guess.filter(|_| leg.keeps_index) {
        // Under the key before, its index may be another packet's of today.
        return if work.old_key { Err(DropCause::TooOld) } else { Ok(guess.kept()) };
    }
    leg.resume(work.ssrc, &mut live.outbound);
    let index = match &work.header {
        Some(header) => assign_rtp(&mut live.outbound, work.ssrc, header.sequence)?,
        None => assign_rtcp(&mut live.outbound, work.ssrc)?,
    };
    // Only what is sent counts: else those who are refused would drive out those who are not.
    leg.sent(work.ssrc);
    if let Some(header) = &mut work.header
        && header.sequence != index as u16
    {
        // The sender has set its sequence numbers back.
        header.sequence = index as u16;
        let at = work.datagram.payload_at + 2;
        if let Some(field) = frame.data_mut().get_mut(at..at + 2) {
            field.copy_from_slice(&header.sequence.to_be_bytes());
        }
    }
    Ok(index)
}

/// Gives a packet the headers of its route. Its payload will have `len` bytes.
#[inline]
fn readdress<B: PacketBuffer>(
    work: &mut Work,
    frame: &mut B,
    len: usize,
    route: &Route,
    identification: &mut u16,
) -> Result<(), DropCause> {
    if route.hairpin.is_some() && work.hops >= MAX_HOPS {
        return Err(DropCause::HairpinLoop);
    }
    if len > usize::from(route.longest) {
        return Err(DropCause::TooBig);
    }
    *identification = identification.wrapping_add(1);
    let datagram = &mut work.datagram;
    let at = route.write(frame, datagram.payload_at, len, datagram.dscp, *identification);
    datagram.payload_at = at.ok_or(DropCause::TooBig)?;
    work.departure = Some(Departure { port: route.port, hairpin: route.hairpin });
    Ok(())
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
pub fn turn<B: PacketBuffer>(works: &mut Works, frames: &Frames<B>, network: &Network) -> (u64, usize) {
    let (mut hairpins, mut arrived) = (0, 0);
    for (work, frame) in works.iter_mut().zip(frames).filter(|(work, _)| work.phase == Phase::Ready) {
        let Some(own) = work.departure.and_then(|departure| departure.hairpin) else { continue };
        hairpins += 1;
        let Some(Parsed::Media(datagram)) = network.port(own).map(|port| parse(frame.data(), port)) else {
            // Not to a media port.
            work.drop(DropCause::ClosedPinhole);
            continue;
        };
        match network.other_worker(datagram.port) {
            Some(worker) => work.phase = Phase::Leaving(worker),
            None => {
                arrived += 1;
                // From no neighbour.
                let datagram = Datagram { mac: [0; 6], vlan: 0, ..datagram };
                *work = Work::new(Parsed::Media(datagram), own, Arrival::Hairpin);
            }
        }
    }
    (hairpins, arrived)
}
