//! The farm as pinhole-dataplane's control plane: opens the sessions that its calls go through.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use pinhole_flow::leg::mapped;
use pinhole_flow::steering::worker_of;
use pinhole_flow::{
    Command, CommandKind, Contract, DataplaneSettings, Device as DataplaneDevice, DropCause, Event,
    EventKind, Leg, LegFlags, MasterKey, Mki, NextHop, PortSettings, Refusal, Session, ShardEnd, SlotView,
    StreamState, Suite, WorkerStats,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::FarmError;
use crate::flow::{Flow, random_key};
use crate::frame::Path;
use crate::port::Device;
use crate::process::Usage;

/// Where the phones are: addresses of RFC 2544, which are for such tests.
pub const PHONES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Where the desks are.
pub const DESKS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 2);
/// The data plane's port that faces the phones, by its place in the configuration.
pub const OUTSIDE: usize = 0;
/// The one that faces the call manager.
pub const INSIDE: usize = 1;

/// How long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Commands on their way at most.
const IN_FLIGHT: u32 = 256;

/// A configuration file, as far as the farm reads it.
#[derive(Deserialize)]
struct File {
    dataplane: Option<DataplaneSettings>,
}

/// Reads the `[dataplane]` table of a configuration file.
///
/// # Errors
/// [`FarmError::Config`] with what is wrong.
pub fn load(path: &FilePath) -> Result<DataplaneSettings, FarmError> {
    let wrong = |message: String| FarmError::Config { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let file: File = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    let settings = file.dataplane.ok_or_else(|| wrong("has no [dataplane] table".to_owned()))?;
    settings.validate().map_err(|error| wrong(error.to_string()))?;
    if settings.port.len() < 2 {
        return Err(wrong("the farm needs two [[dataplane.port]]: outside first, then inside".to_owned()));
    }
    if let Some(port) = settings.port.iter().take(2).find(|port| port.mac.is_none()) {
        let name = &port.name;
        return Err(wrong(format!(
            "[[dataplane.port]] {name:?} has no mac: set one, the farm does not ask by ARP"
        )));
    }
    Ok(settings)
}

/// The farm's end of a port of the data plane: the other end of a vhost socket.
///
/// # Errors
/// [`FarmError::Config`]: the device has no natural other end, it must be named.
pub fn opposite(config: &FilePath, port: &PortSettings, option: &str) -> Result<Device, FarmError> {
    match &port.device {
        DataplaneDevice::Vhost(path) => Ok(Device::Virtio(path.clone())),
        other => Err(FarmError::Config {
            path: config.to_owned(),
            message: format!("port {:?} is {other}: tell with {option} which device faces it", port.name),
        }),
    }
}

/// A call that is set up.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its slot.
    pub slot: u32,
    /// The session's generation in the slot.
    pub generation: u32,
    /// What was ordered.
    pub session: Session,
    /// From the phone to the desk: SRTP in, RTP out.
    pub inwards: Flow,
    /// From the desk to the phone: RTP in, SRTP out.
    pub outwards: Flow,
}

/// The farm's hold of a data plane.
pub struct Control {
    contract: Contract,
    shard: ShardEnd,
    settings: DataplaneSettings,
    /// Our MAC addresses, outside and inside.
    macs: [[u8; 6]; 2],
    sequence: u32,
    generation: u32,
}

impl Control {
    /// Attaches as the only control plane, and tells where our two ports are.
    ///
    /// # Errors
    /// [`FarmError`], for instance because another control plane is attached.
    pub fn attach(settings: &DataplaneSettings, macs: [[u8; 6]; 2]) -> Result<Self, FarmError> {
        let mut contract = Contract::attach(&settings.socket, 1)?;
        if !contract.fits(settings) {
            let message = "its data plane was started with another [dataplane] table".to_owned();
            return Err(FarmError::Config { path: settings.socket.clone(), message });
        }
        let shard = contract.shard(0).ok_or(FarmError::Gone)?;
        // Generations go on from a random number: those of a farm before are not repeated, and what it left open is closed below.
        let generation = getrandom::u32().map_err(FarmError::Random)?;
        let settings = settings.clone();
        let mut this = Self { contract, shard, settings, macs, sequence: 0, generation };
        this.close_strays()?;
        for (index, mac) in (0..).zip(macs) {
            let hop = NextHop { port: index, valid: 1, vlan: this.vlan(index), mac, reserved: [0; 2] };
            this.carry_out(&[Command::next_hop(u32::from(index), 0, hop)], "set a next hop")?;
        }
        Ok(this)
    }

    fn vlan(&self, port: u8) -> u16 {
        self.settings.port.get(usize::from(port)).and_then(|port| port.vlan).unwrap_or(0)
    }

    /// What a control plane before us left open.
    fn close_strays(&mut self) -> Result<(), FarmError> {
        let open = self.shard.all_slots().filter_map(|slot| {
            let activity = self.shard.activity(slot)?;
            activity.open.then(|| Command::close(slot, activity.generation, 0))
        });
        let commands: Vec<_> = open.collect();
        self.carry_out(&commands, "close a session that was left open")
    }

    /// Plans `count` calls, with random keys of `suite`, spread over all workers. They have slots and media ports that
    /// are free as long as no other calls are open.
    ///
    /// # Errors
    /// [`FarmError::TooMany`] when slots or media ports do not suffice.
    pub fn plan(&mut self, count: usize, suite: Suite) -> Result<Vec<Call>, FarmError> {
        let max = self.contract.header().max_sessions;
        if count > max as usize {
            let limit = format!("the data plane was started with max_sessions = {max}");
            return Err(FarmError::TooMany { wanted: count, limit });
        }
        self.generation = self.generation.wrapping_add(1);
        let places = self.places(count)?;
        places.into_iter().map(|(slot, port)| self.call(slot, port, suite)).collect()
    }

    /// Sets calls up.
    ///
    /// # Errors
    /// [`FarmError::Refused`], [`FarmError::NoAnswer`].
    pub fn open(&mut self, calls: &[Call]) -> Result<(), FarmError> {
        let command = |call: &Call| Command::open(call.slot, call.generation, 0, call.session);
        self.carry_out(&calls.iter().map(command).collect::<Vec<_>>(), "open a session")
    }

    /// Slots and media ports for `count` sessions, taking turns among the workers.
    fn places(&self, count: usize) -> Result<Vec<(u32, u16)>, FarmError> {
        let workers = self.contract.header().workers;
        let range = |port: usize| self.settings.port.get(port).map(|port| port.media_ports);
        let (Some(outside), Some(inside)) = (range(OUTSIDE), range(INSIDE)) else {
            return Err(FarmError::Gone);
        };
        let ports = outside.first().max(inside.first())..=outside.last().min(inside.last());
        let mut of_worker: Vec<_> = (0..workers)
            .map(|worker| {
                let ports = ports.clone().step_by(2).filter(move |port| worker_of(*port, workers) == worker);
                self.shard.slots(worker).zip(ports)
            })
            .collect();
        let mut places = Vec::with_capacity(count);
        loop {
            let before = places.len();
            for places_of in &mut of_worker {
                if places.len() == count {
                    return Ok(places);
                }
                places.extend(places_of.next());
            }
            if places.len() == before {
                let limit = format!("slots and media_ports of both sides suffice for {before}");
                return Err(FarmError::TooMany { wanted: count, limit });
            }
        }
    }

    /// A call on a media port; the phones have the same port numbers as the data plane has.
    fn call(&self, slot: u32, port: u16, suite: Suite) -> Result<Call, FarmError> {
        let (to_us, to_them) = (random_key(suite)?, random_key(suite)?);
        let leg = |index: u8, address: Ipv4Addr, flags: u8, inbound: MasterKey, outbound: MasterKey| Leg {
            port: index,
            flags,
            dscp: 255,
            latch_prefix: 0,
            local_rtp: port,
            local_rtcp: port + 1,
            // A phone is found by its first packet.
            remote_rtp: if flags & LegFlags::LEARN == 0 { port } else { 0 },
            remote_rtcp: if flags & LegFlags::LEARN == 0 { port + 1 } else { 0 },
            next_hop: u32::from(index),
            remote_ip: mapped(address.into()),
            inbound,
            outbound,
            mki: Mki::NONE,
            reserved2: [0; 7],
        };
        let session = Session {
            legs: [
                leg(0, PHONES, LegFlags::LEARN, to_us, to_them),
                leg(1, DESKS, 0, MasterKey::NONE, MasterKey::NONE),
            ],
        };
        let sides = [(OUTSIDE, PHONES), (INSIDE, DESKS)].map(|(side, far)| self.side(side, far, port));
        let [Some((phone_sends, phone_hears)), Some((desk_sends, desk_hears))] = sides else {
            return Err(FarmError::Gone);
        };
        Ok(Call {
            slot,
            generation: self.generation,
            session,
            inwards: Flow { send: phone_sends, protect: Some(to_us), expect: desk_hears, unprotect: None },
            outwards: Flow { send: desk_sends, protect: None, expect: phone_hears, unprotect: Some(to_them) },
        })
    }

    /// The ways of frames on one side: to the data plane, and from it.
    fn side(&self, side: usize, far: Ipv4Addr, port: u16) -> Option<(Path, Path)> {
        let settings = self.settings.port.get(side)?;
        let (ours, theirs) = (*self.macs.get(side)?, settings.mac?.0);
        let (far, near) = (SocketAddrV4::new(far, port), SocketAddrV4::new(settings.media_address, port));
        let path = |source_mac, destination_mac, source, destination| Path {
            port: side,
            source_mac,
            destination_mac,
            source,
            destination,
        };
        Some((path(ours, theirs, far, near), path(theirs, ours, near, far)))
    }

    /// Replaces the legs of a call's session with the same ones, as a re-offer does.
    ///
    /// # Errors
    /// [`FarmError::Refused`], [`FarmError::NoAnswer`].
    pub fn update(&mut self, call: &Call) -> Result<(), FarmError> {
        self.carry_out(
            &[Command::update(call.slot, call.generation, 0, call.session).after_offer([true; 2])],
            "update a session",
        )
    }

    /// Ends calls.
    ///
    /// # Errors
    /// [`FarmError::Refused`], [`FarmError::NoAnswer`].
    pub fn close(&mut self, calls: &[Call]) -> Result<(), FarmError> {
        let command = |call: &Call| Command::close(call.slot, call.generation, 0);
        self.carry_out(&calls.iter().map(command).collect::<Vec<_>>(), "close a session")
    }

    /// Sessions that are open in the data plane, by its own count.
    pub fn sessions_open(&self) -> u64 {
        self.contract.stats().iter().map(|stats| stats.sessions_open).sum()
    }

    /// Slots that are open.
    pub fn slots_open(&self) -> usize {
        self.shard
            .all_slots()
            .filter(|slot| self.shard.activity(*slot).is_some_and(|found| found.open))
            .count()
    }

    /// The most SSRCs that any leg of these calls keeps the state of, in one direction.
    pub fn streams(&self, calls: &[Call]) -> usize {
        let slots = calls.iter().filter_map(|call| self.shard.read_slot(call.slot));
        let used = |streams: &[StreamState]| streams.iter().filter(|stream| stream.flags & 1 != 0).count();
        let most = |slot: SlotView| {
            slot.live.iter().map(|leg| used(&leg.inbound).max(used(&leg.outbound))).max().unwrap_or(0)
        };
        slots.map(most).max().unwrap_or(0)
    }

    /// Takes the events that nobody waits for off the rings: learned addresses.
    pub fn drain(&mut self) {
        while self.shard.event().is_some() {}
        self.shard.wipe();
    }

    /// Sends commands and waits until all are acknowledged.
    fn carry_out(&mut self, commands: &[Command], what: &'static str) -> Result<(), FarmError> {
        let mut left = commands.iter();
        let mut held: Option<Command> = None;
        let mut in_flight = 0;
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            while in_flight < IN_FLIGHT {
                let Some(mut command) = held.take().or_else(|| left.next().copied()) else { break };
                self.sequence = self.sequence.wrapping_add(1);
                command.sequence = self.sequence;
                // A next hop is for all workers, and each acknowledges it.
                let (pushed, answers) = match CommandKind::from_code(command.kind) {
                    Some(CommandKind::NextHop) => (self.shard.broadcast(command), self.shard.workers()),
                    _ => (self.shard.command(command), 1),
                };
                if pushed.is_err() {
                    held = Some(command);
                    break;
                }
                in_flight += answers;
            }
            if in_flight == 0 && held.is_none() {
                self.shard.wipe();
                return Ok(());
            }
            while let Some(event) = self.shard.event() {
                if is_answer(&event, what)? {
                    in_flight -= 1;
                    deadline = Instant::now() + PATIENCE;
                }
            }
            if Instant::now() > deadline {
                if !self.contract.is_alive() {
                    return Err(FarmError::Gone);
                }
                return Err(FarmError::NoAnswer { what, seconds: PATIENCE.as_secs() });
            }
            std::hint::spin_loop();
        }
    }

    /// Counters of the data plane, as of now.
    pub fn sample(&self) -> Sample {
        Sample { at: Instant::now(), workers: self.contract.stats() }
    }

    /// Memory and descriptors of the data plane, as of now; `None`: it is another user's.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid())
    }

    /// Whether the data plane still holds the connection.
    pub fn is_alive(&self) -> bool {
        self.contract.is_alive()
    }

    /// Process id of the data plane.
    pub fn pid(&self) -> u32 {
        self.contract.header().pid
    }

    /// Name of the data plane's SRTP engine.
    pub fn engine(&self) -> String {
        self.contract.header().engine()
    }

    /// Slots of the data plane.
    pub fn max_sessions(&self) -> usize {
        self.contract.header().max_sessions as usize
    }

    /// The data plane's settings.
    pub fn settings(&self) -> &DataplaneSettings {
        &self.settings
    }
}

/// Whether an event acknowledges a command.
fn is_answer(event: &Event, what: &str) -> Result<bool, FarmError> {
    match EventKind::from_code(event.kind) {
        Some(EventKind::Done) => Ok(true),
        Some(EventKind::Refused) => {
            Err(FarmError::Refused { what: what.to_owned(), why: Refusal::from_code(event.detail) })
        }
        _ => Ok(false),
    }
}

/// The data plane's counters at one moment.
#[derive(Clone)]
pub struct Sample {
    at: Instant,
    workers: Vec<WorkerStats>,
}

impl Sample {
    /// The part of the time from `self` to `later` in which each worker had work.
    pub fn utilisation(&self, later: &Self) -> Vec<f64> {
        let wall = later.at.duration_since(self.at).as_nanos().max(1) as f64;
        let share = |(old, new): (&WorkerStats, &WorkerStats)| {
            (new.busy_ns.saturating_sub(old.busy_ns) as f64 / wall * 10_000.0).round() / 10_000.0
        };
        self.workers.iter().zip(&later.workers).map(share).collect()
    }

    /// What was counted from `self` to `later`, all workers together: drops by cause, and the counters that tell
    /// of trouble or of work between workers.
    pub fn until(&self, later: &Self) -> Value {
        let total = |field: fn(&WorkerStats) -> u64| -> u64 {
            let pairs = self.workers.iter().zip(&later.workers);
            pairs.map(|(old, new)| field(new).wrapping_sub(field(old))).sum()
        };
        json!({
            "drops": self.drops(later),
            "missteered": total(|stats| stats.missteered),
            "handoff_in": total(|stats| stats.handoff_in),
            "handoff_out": total(|stats| stats.handoff_out),
            "hairpins": total(|stats| stats.hairpins),
            "mbuf_failures": total(|stats| stats.mbuf_failures),
            "commands_refused": total(|stats| stats.commands_refused),
            "rx_packets": total(|stats| stats.ports.iter().map(|port| port.rx_packets).sum()),
            "tx_packets": total(|stats| stats.ports.iter().map(|port| port.tx_packets).sum()),
        })
    }

    /// Drops between two samples by cause; causes that did not occur are left out.
    fn drops(&self, later: &Self) -> Value {
        let count = |sample: &Self, cause: DropCause| -> u64 {
            sample.workers.iter().filter_map(|stats| stats.drops.get(cause as usize)).sum()
        };
        let drops: Map<String, Value> = DropCause::ALL
            .into_iter()
            .map(|cause| (cause.name().to_owned(), count(later, cause).wrapping_sub(count(self, cause))))
            .filter(|(_, drops)| *drops > 0)
            .map(|(name, drops)| (name, drops.into()))
            .collect();
        Value::Object(drops)
    }
}
