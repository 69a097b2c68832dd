//! The relay: tables and the staged burst.

use pinhole_flow::{Command, DropCause, Event, SessionSlot, WorkerStats};
use pinhole_srtp::kernels::Engine;

use crate::accept::{Tally, settle};
use crate::admit::{admit, unprotect};
use crate::buffer::PacketBuffer;
use crate::config::{ConfigError, RelayConfig};
use crate::depart::{protect, turn};
use crate::frame::{self, Parsed};
use crate::observe::{Observer, Stage};
use crate::output::{Arrival, Frames, Handoff, Output};
use crate::retry::retry;
use crate::route::finish;
use crate::slots::{shared, sides};
use crate::tables::Tables;
use crate::warm::{find, warm_frames};
use crate::work::{Phase, Work, Works};

/// What one worker does to frames. It owns the sessions of its slots; nobody else touches them.
pub struct Relay {
    tables: Tables,
    engine: Box<dyn Engine>,
    /// IPv4 identification of the last packet.
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
        self.tables.command(command, slots, now_ns, &*self.engine)
    }

    /// How often an update could make no room for one SSRC more in a direction.
    pub fn ssrcs_full(&self) -> u64 {
        self.tables.ssrcs_full()
    }

    /// Wipes what its time is over for: keys that were replaced. To be called now and then between
    /// bursts, several times a second.
    pub fn housekeeping(&mut self, now_ns: u64) {
        self.tables.housekeeping(now_ns);
    }

    /// Whether a leg (0 or 1) of the session in a slot still holds keys that were replaced.
    pub fn holds_old_key(&self, slot: u32, leg: u8) -> bool {
        let sessions = &self.tables.sessions;
        let leg = sessions.slot(slot).and_then(|slot| sessions.leg(slot, leg));
        leg.and_then(|leg| leg.before.as_ref()).is_some_and(|before| before.direction.is_some())
    }

    /// Relays a burst of frames that came to data-plane port `port` at `now_ns` (CLOCK_MONOTONIC
    /// nanoseconds), from the wire or from another worker. Takes every frame out of `frames` and puts each into exactly one place of
    /// `output`, which the caller has emptied. Drops and hairpins are counted in `stats` and, once a
    /// leg is known, in its slot. Allocates nothing.
    #[allow(clippy::too_many_arguments, reason = "each is the caller's, and changes from burst to burst")]
    pub fn burst<B: PacketBuffer>(
        &mut self,
        now_ns: u64,
        port: u8,
        arrival: Arrival,
        frames: &mut Frames<B>,
        slots: &mut [SessionSlot],
        stats: &mut WorkerStats,
        output: &mut Output<B>,
    ) {
        self.burst_observed(now_ns, port, arrival, frames, slots, stats, output, &mut ());
    }

    /// The same, with an observer.
    #[allow(clippy::too_many_arguments, reason = "as above")]
    pub fn burst_observed<B: PacketBuffer>(
        &mut self,
        now_ns: u64,
        port: u8,
        arrival: Arrival,
        frames: &mut Frames<B>,
        slots: &mut [SessionSlot],
        stats: &mut WorkerStats,
        output: &mut Output<B>,
        observer: &mut impl Observer,
    ) {
        let mut works = Works::new();
        self.parse(port, arrival, frames, &mut works);
        observer.passed(Stage::Parse);
        loop {
            find(&mut works, frames, &self.tables);
            observer.passed(Stage::Find);
            let jobs = admit(&mut works, frames, &self.tables, slots);
            observer.passed(Stage::Admit);
            unprotect(&mut works, jobs, &*self.engine);
            observer.passed(Stage::Unprotect);
            let hairpins = self.settle(&mut works, frames, slots, now_ns, stats, output);
            observer.passed(Stage::Settle);
            protect(&mut works, frames, &self.tables, slots, &*self.engine);
            observer.passed(Stage::Protect);
            if !hairpins {
                break;
            }
            let (hairpins, arrived) = turn(&mut works, frames, &self.tables.network);
            stats.hairpins += hairpins;
            // Ends: a packet arrives again only a few times.
            if arrived == 0 {
                break;
            }
        }
        self.deliver(&works, arrival, frames, slots, stats, output);
        observer.passed(Stage::Deliver);
    }

    /// Settles what can be settled, also after other tries, and says whether there are hairpins.
    fn settle<B: PacketBuffer>(
        &mut self,
        works: &mut Works,
        frames: &mut Frames<B>,
        slots: &mut [SessionSlot],
        now_ns: u64,
        stats: &mut WorkerStats,
        output: &mut Output<B>,
    ) -> bool {
        let tables = &mut self.tables;
        let (events, old_key, identification) =
            (&mut output.events, &mut stats.old_key, &mut self.identification);
        let mut tally = Tally { events, old_key, identification };
        let mut left = settle(works, frames, tables, slots, now_ns, &mut tally);
        let mut hairpins = left.hairpins;
        // Ends: a guess is tried again only a few times.
        while left.failed && retry(works, frames, tables, slots, &*self.engine, now_ns) {
            left = settle(works, frames, tables, slots, now_ns, &mut tally);
            hairpins |= left.hairpins;
        }
        hairpins
    }

    fn parse<B: PacketBuffer>(&self, index: u8, arrival: Arrival, frames: &mut Frames<B>, works: &mut Works) {
        warm_frames(frames);
        let port = self.tables.network.port(index);
        for frame in frames {
            let parsed = port.map_or(Parsed::Punt, |port| frame::parse(frame.data(), port));
            let mut work = Work::new(parsed, index, arrival);
            if let Parsed::Media(datagram) = &parsed {
                match self.tables.network.other_worker(datagram.port) {
                    Some(worker) => work.phase = Phase::Missteered(worker),
                    None => {
                        self.tables.pinholes.prefetch(index, datagram.port);
                        // Cuts the padding of short Ethernet frames off.
                        frame.truncate(datagram.payload_at + datagram.payload_len);
                    }
                }
            }
            works.push(work);
        }
    }

    fn deliver<B: PacketBuffer>(
        &self,
        works: &Works,
        arrival: Arrival,
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
                Phase::Missteered(worker) => {
                    stats.missteered += 1;
                    match hand_off(Handoff { worker, port: work.port, arrival, frame }, output) {
                        Ok(()) => continue,
                        Err((back, cause)) => {
                            frame = back;
                            cause
                        }
                    }
                }
                Phase::Ready | Phase::Leaving(_) => match send(work, frame, output) {
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
}

/// Finishes a packet and puts it where it goes.
fn send<B: PacketBuffer>(work: &Work, mut frame: B, output: &mut Output<B>) -> Result<(), (B, DropCause)> {
    let Some(departure) = work.departure else { return Err((frame, DropCause::NoDestination)) };
    if finish(&mut frame, work.datagram.payload_at).is_none() {
        return Err((frame, DropCause::TooBig));
    }
    match (work.phase, departure.hairpin) {
        (Phase::Leaving(worker), Some(port)) => {
            hand_off(Handoff { worker, port, arrival: Arrival::Hairpin, frame }, output)
        }
        _ => match output.tx.get_mut(usize::from(departure.port)) {
            Some(tx) => tx.try_push(frame).map_err(|full| (full.element(), DropCause::TxFull)),
            None => Err((frame, DropCause::NoDestination)),
        },
    }
}

fn hand_off<B>(handoff: Handoff<B>, output: &mut Output<B>) -> Result<(), (B, DropCause)> {
    output.handoff.try_push(handoff).map_err(|full| (full.element().frame, DropCause::HandoffFull))
}

/// Counts a drop for everybody, and for the leg that the packet arrived on.
fn count_drop(work: &Work, cause: DropCause, slots: &mut [SessionSlot], stats: &mut WorkerStats) {
    let leg = work.pinhole.and_then(|hole| Some(sides(shared(slots, hole.slot())?, hole.leg()).0));
    let counters = [Some(&mut stats.drops[..]), leg.map(|live| &mut live.stats.drops[..])];
    for counter in counters.into_iter().flatten().filter_map(|drops| drops.get_mut(cause as usize)) {
        *counter += 1;
    }
}
