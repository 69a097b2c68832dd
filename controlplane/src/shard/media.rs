//! The data plane's side of a shard: commands, events, notes, adoption.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pinhole_admin::{Event as Told, EventKind as Kind};
use pinhole_flow::{Command, CommandKind, Event, EventKind, Full, Refusal, Session, ShardEnd};
use pinhole_proxy::Input;

use super::queue::CommandQueue;
use super::{Attached, Shard, Shared};
use crate::counters::Counter;
use crate::neighbours::Update;

/// Commands that may wait for room in the ring before new sessions are refused.
const QUEUE_MAX: usize = 4096;
/// How often events are looked for while commands are outstanding, and otherwise.
const POLLED: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What a shard knows of the data plane.
pub(super) struct Media {
    pub(super) end: Option<ShardEnd>,
    /// Commands that wait for room in the ring.
    queue: CommandQueue,
    /// Commands in the ring or being carried out.
    outstanding: usize,
    /// Closes that are not acknowledged yet: (slot, generation).
    closing: HashMap<(u32, u32), Command>,
    /// Next-hop indices in use by each slot's legs.
    hops: HashMap<u32, [u32; 2]>,
    /// Slots that are closed because nobody knows them.
    orphans: HashSet<(u32, u32)>,
    /// Our own media addresses: packets for them take no wire.
    own: Vec<IpAddr>,
}

impl Media {
    pub(super) fn new(shared: &Shared) -> Self {
        let own = shared.config.dataplane.port.iter().map(|port| IpAddr::V4(port.media_address)).collect();
        Self {
            end: None,
            queue: CommandQueue::default(),
            outstanding: 0,
            closing: HashMap::new(),
            hops: HashMap::new(),
            orphans: HashSet::new(),
            own,
        }
    }

    /// How long the shard may sleep as far as the data plane is concerned.
    pub(super) fn patience(&self) -> Duration {
        let busy = self.end.is_some() && (self.outstanding > 0 || !self.queue.is_empty());
        if busy { POLLED.0 } else { POLLED.1 }
    }

    /// Commands outstanding and queued.
    pub(super) fn backlog(&self) -> (usize, usize) {
        (self.outstanding, self.queue.len())
    }

    fn send(&mut self, command: Command) -> bool {
        let Some(end) = &mut self.end else {
            // The data plane may be back with the session; closes and next hops are sent again in any case.
            if command.kind == CommandKind::Update as u32 {
                self.queue.push(command);
            }
            return false;
        };
        if self.queue.is_empty()
            && let Ok(acknowledgements) = push(end, command)
        {
            self.outstanding += acknowledgements;
            return true;
        }
        self.queue.push(command);
        false
    }
}

impl Shard {
    /// Carries a command of the proxy to the data plane.
    pub(super) fn command(&mut self, mut command: Command, now: Instant) {
        let kind = CommandKind::from_code(command.kind);
        if kind == Some(CommandKind::Open)
            && (self.media.end.is_none() || self.media.queue.len() >= QUEUE_MAX)
        {
            self.counters.count(Counter::NoDataPlane);
            let refused = command.answer(Err(Refusal::NotOpen));
            return self.input(Input::Media(refused), now);
        }
        match kind {
            Some(CommandKind::Open | CommandKind::Update) => {
                self.set_next_hops(command.slot, &mut command.session)
            }
            Some(CommandKind::Close) => {
                self.media.closing.insert((command.slot, command.generation), command);
            }
            _ => {}
        }
        self.counters.count(Counter::CommandsSent);
        if !self.media.send(command) && self.media.end.is_some() {
            self.counters.count(Counter::CommandsQueued);
        }
    }

    /// Shard 0 tells the data plane of next hops.
    pub(super) fn next_hop(&mut self, update: Update) {
        // When it is not attached it is told of all of them later.
        if self.media.end.is_some() {
            self.counters.count(Counter::CommandsSent);
            self.media.send(Command::next_hop(update.index, 0, update.value));
        }
    }

    /// Keeps a note with a session.
    pub(super) fn note(&mut self, slot: u32, generation: u32, bytes: &[u8]) {
        let written =
            self.media.end.as_mut().is_some_and(|end| end.write_note(slot, generation, bytes).is_ok());
        if !written {
            self.counters.count(Counter::NotesFailed);
        }
    }

    /// Reads events and sends what waits.
    pub(super) fn media_turn(&mut self, now: Instant) {
        while let Some(event) = self.media.end.as_mut().and_then(ShardEnd::event) {
            self.media_event(event, now);
        }
        let Some(end) = &mut self.media.end else { return };
        while let Some(command) = self.media.queue.front() {
            let Ok(acknowledgements) = push(end, command) else { return };
            self.media.outstanding += acknowledgements;
            self.media.queue.leave();
        }
        end.wipe();
    }

    fn media_event(&mut self, event: Event, now: Instant) {
        let Some(kind) = EventKind::from_code(event.kind) else { return };
        let command = CommandKind::from_code(event.command);
        match kind {
            EventKind::Done => {
                self.media.outstanding = self.media.outstanding.saturating_sub(1);
                self.counters.count(Counter::CommandsDone);
            }
            EventKind::Refused => {
                self.media.outstanding = self.media.outstanding.saturating_sub(1);
                self.counters.count(Counter::CommandsRefused);
                let why = Refusal::from_code(event.detail);
                tracing::debug!(slot = event.slot, ?command, ?why, "the data plane refused a command");
            }
            EventKind::Learned => {}
        }
        let ended = matches!(
            (kind, command),
            (EventKind::Done | EventKind::Refused, Some(CommandKind::Close))
                | (EventKind::Refused, Some(CommandKind::Open))
        );
        if ended {
            self.media.closing.remove(&(event.slot, event.generation));
            self.release_next_hops(event.slot);
        }
        if command == Some(CommandKind::Close)
            && let Some(end) = &mut self.media.end
        {
            end.wipe_note(event.slot);
        }
        let orphan =
            command == Some(CommandKind::Close) && self.media.orphans.remove(&(event.slot, event.generation));
        if !orphan && command != Some(CommandKind::NextHop) {
            self.input(Input::Media(event), now);
        }
    }

    /// The data plane is attached: adopt what it carries, or bring it up to what the proxy wants.
    pub(super) fn attached(&mut self, attached: Attached, now: Instant) {
        self.counters.count(Counter::Attached);
        let Attached { end, hops } = attached;
        self.media.outstanding = 0;
        let open: Vec<u32> = end
            .all_slots()
            .filter(|slot| end.activity(*slot).is_some_and(|activity| activity.open))
            .collect();
        self.media.end = Some(end);
        if self.serving {
            self.reattached(&open, now);
        } else {
            self.media.hops.extend(hops);
            self.adopt(&open, now);
            self.serving = true;
        }
        if self.id == 0 {
            self.shared.next_hops.resolved().into_iter().for_each(|update| self.next_hop(update));
        }
    }

    fn adopt(&mut self, open: &[u32], now: Instant) {
        for slot in open.iter().copied() {
            let Some(end) = &self.media.end else { return };
            let Some(view) = end.read_slot(slot) else { continue };
            let note = end.read_note(slot, view.generation).unwrap_or_default();
            let session = Box::new(view.session);
            self.input(Input::Adopt { slot, generation: view.generation, session, note }, now);
        }
        self.input(Input::AdoptDone, now);
    }

    /// The data plane came while phones were already served: it is new, or it was away.
    fn reattached(&mut self, open: &[u32], now: Instant) {
        let known: HashSet<(u32, u32)> = self.proxy.sessions().into_iter().collect();
        let Some(end) = &self.media.end else { return };
        let still: HashSet<(u32, u32)> =
            open.iter().filter_map(|slot| Some((*slot, end.activity(*slot)?.generation))).collect();
        // Closes of what is gone are done, and it is not updated; what is still there is.
        self.media.queue.keep_updates(|slot, generation| still.contains(&(slot, generation)));
        for session in still.iter().filter(|session| !known.contains(session)) {
            self.counters.count(Counter::OrphansClosed);
            self.media.orphans.insert(*session);
            self.media.send(Command::close(session.0, session.1, 0));
        }
        for (session, command) in std::mem::take(&mut self.media.closing) {
            if still.contains(&session) && known.contains(&session) {
                self.media.closing.insert(session, command);
                self.media.send(command);
            } else {
                self.release_next_hops(session.0);
                self.input(Input::Media(command.answer(Ok(()))), now);
            }
        }
        self.input(Input::MediaBack { open: still }, now);
    }

    /// The data plane is gone. Calls go on without media until it is back or their media times out.
    pub(super) fn detached(&mut self) {
        self.counters.count(Counter::Detached);
        self.media.end = None;
        self.media.outstanding = 0;
        self.media.queue.keep_updates(|_, _| true);
    }

    /// Tells the proxy which sessions have media.
    pub(super) fn report_activity(&mut self, now: Instant) {
        if self.media.end.is_none() {
            return;
        }
        for (slot, generation) in self.proxy.sessions() {
            let activity = self.media.end.as_ref().and_then(|end| end.activity(slot));
            if let Some(activity) =
                activity.filter(|activity| activity.open && activity.generation == generation)
            {
                self.input(Input::MediaActivity { slot, generation, packets: activity.rx_packets }, now);
            }
        }
    }

    /// Gives both legs the index of their next hop.
    fn set_next_hops(&mut self, slot: u32, session: &mut Session) {
        let mut hops = [0; 2];
        for (leg, hop) in session.legs.iter_mut().zip(&mut hops) {
            let ip = leg.remote_ip();
            if leg.remote_rtp != 0 && !ip.is_unspecified() && !self.media.own.contains(&ip) {
                *hop = self.shared.next_hops.acquire(leg.port, ip);
                if *hop == 0 {
                    let text = format!(
                        "no next hop for {ip}: the table of {} addresses is full",
                        pinhole_flow::NEXT_HOPS
                    );
                    self.shared.events.emit(Told::new(Kind::LimitReached, text));
                }
            }
            leg.next_hop = *hop;
        }
        let before = self.media.hops.insert(slot, hops);
        before.into_iter().flatten().for_each(|hop| self.shared.next_hops.release(hop));
    }

    fn release_next_hops(&mut self, slot: u32) {
        let hops = self.media.hops.remove(&slot);
        hops.into_iter().flatten().for_each(|hop| self.shared.next_hops.release(hop));
    }
}

/// Sends a command to the worker of its slot, a next hop to all; how many will acknowledge it.
fn push(end: &mut ShardEnd, command: Command) -> Result<usize, Full> {
    if command.kind == CommandKind::NextHop as u32 {
        end.broadcast(command).map(|()| end.commands.len())
    } else {
        end.command(command).map(|()| 1)
    }
}
