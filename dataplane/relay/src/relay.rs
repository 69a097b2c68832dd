//! The relay: tables and the staged burst.

use pinhole_flow::{Command, DropCause, Event, SessionSlot, WorkerStats};
use pinhole_srtp::kernels::Engine;

use crate::accept::{accept, commit, unprotect};
use crate::admit::admit;
use crate::buffer::PacketBuffer;
use crate::config::{ConfigError, RelayConfig};
use crate::depart::{assign, protect, route, turn};
use crate::frame::{self, Parsed};
use crate::output::{Frames, Output};
use crate::readdress::{Headers, readdress};
use crate::slots::live;
use crate::tables::Tables;
use crate::work::{Departure, Next, Phase, Work, Works};

/// What one worker does to frames. It owns the sessions of its slots; nobody else touches them.
pub struct Relay {
    tables: Tables,
    engine: Box<dyn Engine>,
    /// IPv4 identification of the next packet.
    identification: u16,
}

impl Relay {
    /// A relay without sessions.
    pub fn new(config: RelayConfig, engine: Box<dyn Engine>) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { tables: Tables::new(config), engine, identification: 0 })
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> u32 {
        self.tables.open_sessions()
    }

    /// Carries out a command and returns its acknowledgement, Done or Refused. May allocate.
    pub fn command(&mut self, command: &Command, slots: &mut [SessionSlot], now_ns: u64) -> Event {
        self.tables.command(command, slots, now_ns)
    }

    /// Relays a burst of frames received on data-plane port `port` at `now_ns` (CLOCK_MONOTONIC
    /// nanoseconds). Takes every frame out of `frames` and puts each into exactly one place of
    /// `output`, which the caller has emptied. Drops and hairpins are counted in `stats` and, once a
    /// leg is known, in its slot. Allocates nothing.
    pub fn burst<B: PacketBuffer>(
        &mut self,
        now_ns: u64,
        port: u8,
        frames: &mut Frames<B>,
        slots: &mut [SessionSlot],
        stats: &mut WorkerStats,
        output: &mut Output<B>,
    ) {
        let mut works = self.parse(port, frames);
        while works.iter().any(|work| work.phase == Phase::Arrived) {
            admit(&mut works, frames, &self.tables, slots);
            // Ends: a guess is tried again only a few times.
            while unprotect(&mut works, frames, &self.tables, &*self.engine) > 0 {
                commit(&mut works, frames, &mut self.tables, slots);
            }
            accept(&mut works, frames, &mut self.tables, slots, now_ns, &mut output.events);
            route(&mut works, &self.tables);
            assign(&mut works, &mut self.tables, slots);
            protect(&mut works, frames, &self.tables, &*self.engine);
            // Ends: a packet arrives again only a few times.
            stats.hairpins += turn(&mut works, slots);
        }
        self.deliver(&works, frames, slots, stats, output);
    }

    fn parse<B: PacketBuffer>(&self, index: u8, frames: &mut Frames<B>) -> Works {
        let port = self.tables.ports.get(usize::from(index));
        let parse = |frame: &mut B| {
            let parsed = port.map_or(Parsed::Punt, |port| frame::parse(frame.data(), port));
            if let Parsed::Media(datagram) = &parsed {
                // Cuts the padding of short Ethernet frames off.
                frame.truncate(datagram.payload_at + datagram.payload_len);
            }
            Work::new(parsed, index)
        };
        frames.iter_mut().map(parse).collect()
    }

    fn deliver<B: PacketBuffer>(
        &mut self,
        works: &Works,
        frames: &mut Frames<B>,
        slots: &mut [SessionSlot],
        stats: &mut WorkerStats,
        output: &mut Output<B>,
    ) {
        for (work, mut frame) in works.iter().zip(frames.drain(..)) {
            let cause = match work.phase {
                Phase::Punted => match output.punt.try_push(frame) {
                    Ok(()) => continue,
                    Err(full) => {
                        frame = full.element();
                        DropCause::PuntFull
                    }
                },
                Phase::Leaving(departure) => match self.send(work, &departure, frame, output) {
                    Ok(()) => continue,
                    Err((back, cause)) => {
                        frame = back;
                        cause
                    }
                },
                Phase::Dropped(cause) => cause,
                // Not reached: every other phase has been left.
                _ => DropCause::NoDestination,
            };
            count_drop(work, cause, slots, stats);
            // Without room the buffer is freed here and now.
            let _ = output.dropped.try_push(frame);
        }
    }

    fn send<B: PacketBuffer>(
        &mut self,
        work: &Work,
        departure: &Departure,
        mut frame: B,
        output: &mut Output<B>,
    ) -> Result<(), (B, DropCause)> {
        let at = usize::from(departure.port);
        let (Next::Wire(mac, vlan), Some(port), Some(tx)) =
            (departure.next, self.tables.ports.get(at), output.tx.get_mut(at))
        else {
            return Err((frame, DropCause::NoDestination));
        };
        self.identification = self.identification.wrapping_add(1);
        let headers = Headers {
            source_mac: port.mac,
            destination_mac: mac,
            vlan,
            dscp: departure.dscp,
            identification: self.identification,
            source: departure.source,
            destination: departure.destination,
        };
        let (at, len) = (work.datagram.payload_at, work.datagram.payload_len);
        match readdress(&mut frame, at, len, &headers) {
            Some(()) => tx.try_push(frame).map_err(|full| (full.element(), DropCause::TxFull)),
            None => Err((frame, DropCause::TooBig)),
        }
    }
}

/// Counts a drop for everybody, and for the leg that the packet arrived on.
fn count_drop(work: &Work, cause: DropCause, slots: &mut [SessionSlot], stats: &mut WorkerStats) {
    let leg = work.pinhole.and_then(|hole| live(slots, hole.slot, hole.leg));
    let counters = [Some(&mut stats.drops), leg.map(|live| &mut live.stats.drops)];
    for counter in counters.into_iter().flatten().filter_map(|drops| drops.get_mut(cause as usize)) {
        *counter += 1;
    }
}
