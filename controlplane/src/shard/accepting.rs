//! From the listeners to the beginning of a handshake. Everybody is accepted at once and then waits for their turn, so that who
//! comes in masses keeps none from coming but its own.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use pinhole_admin::{Event, EventKind};
use pinhole_rates::{Steps, Turn, Turns};

use super::Shard;
use super::connection::{Phone, Place, Speech};
use super::wire::Wire;
use crate::config::Config;
use crate::counters::Counter;

/// Connections of the process that may wait for a handshake to begin; each takes a file and nothing else of ours.
pub const WAITING_MAX: u32 = 4096;
/// Connections accepted at a listener before others have their turn.
const ACCEPTS: usize = 64;
/// How long accepting rests after a failure such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often operators are told of an address that has to give way.
const TELL: Duration = Duration::from_secs(10);

/// A connection that waits for its handshake to begin.
pub struct Came {
    stream: TcpStream,
    peer: SocketAddr,
    /// The listener's address, if it is one for SCCP.
    skinny: Option<SocketAddr>,
}

/// A shard's share of the places for handshakes. The kernel spreads connections among shards, those of one address as well.
pub fn turns(config: &Config) -> Turns<Came> {
    let share = |of_all: u32| of_all.div_ceil(config.controlplane.shards.max(1)) as usize;
    Turns::new(share(config.limits.handshakes), share(WAITING_MAX))
}

impl Shard {
    /// Something waits at a listener.
    pub(super) fn accept_soon(&mut self, now: Instant) {
        self.accept_at.get_or_insert(now);
    }

    /// Accepts what waits at the listeners, each time beginning with another.
    pub(super) fn accept(&mut self, now: Instant) {
        if self.accept_at.is_none_or(|at| now < at) {
            return;
        }
        self.accept_at = None;
        // The first is for SIP, the others are for SCCP.
        let doors = 1 + self.skinny.len();
        self.first_door = (self.first_door + 1) % doors;
        for n in 0..doors {
            self.accept_at_door(((self.first_door + n) % doors).checked_sub(1), now);
        }
    }

    fn accept_at_door(&mut self, skinny: Option<usize>, now: Instant) {
        for _ in 0..ACCEPTS {
            let (listener, address) = match skinny {
                None => (self.listener.as_ref(), None),
                Some(at) => self.skinny.get(at).map(|(address, listener)| (listener, *address)).unzip(),
            };
            let Some(listener) = listener else { return };
            match listener.accept() {
                Ok((stream, peer)) => self.came(Came { stream, peer, skinny: address }, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    self.counters.count(Counter::AcceptFailed);
                    let text = format!("connections cannot be accepted ({error}); tried again");
                    self.emit(Event::new(EventKind::LimitReached, text));
                    self.accept_at = Some(now + ACCEPT_REST);
                    return;
                }
            }
        }
        self.accept_soon(now);
    }

    fn came(&mut self, came: Came, now: Instant) {
        self.counters.count(Counter::Accepted);
        if let Some(Came { peer, .. }) = self.turns.wait(came.peer.ip(), came) {
            self.counters.count(Counter::WaitingLimit);
            self.tell_of_greed(now, format!("{peer} refused: too many of its address wait for a handshake"));
        }
    }

    /// Begins handshakes of those whose turn it is.
    pub(super) fn begin_handshakes(&mut self, now: Instant) {
        while self.steps.have_room() {
            match self.turns.next(now) {
                Turn::Begins(came) => self.begin_handshake(came, now),
                Turn::GivesWay(conn) => self.gives_way(conn, now),
                Turn::Full => return self.all_places_taken(),
                Turn::Nobody => {
                    self.is_full = false;
                    return;
                }
            }
        }
    }

    fn begin_handshake(&mut self, came: Came, now: Instant) {
        let Came { stream, peer, skinny } = came;
        let limits = &self.shared.config.limits;
        let acceptors = self.shared.tls();
        let acceptor = if skinny.is_some() { &acceptors.sccp } else { &acceptors.sip };
        let tls = match acceptor.accept(limits.write_buffer_bytes as usize) {
            Ok(tls) => Box::new(tls),
            Err(refusal) => return self.refused(peer, &refusal),
        };
        let deadline = now + Duration::from_secs(u64::from(limits.handshake_timeout_s));
        let speech = match skinny {
            None => Speech::sip_at(self.shared.config.outside.listen, limits.message_bytes),
            Some(listener) => Speech::skinny_at(listener),
        };
        // How many there may be is a matter of turns; this one only counts them.
        let place = Place::take(&self.shared.handshakes, u64::MAX);
        let phone = Phone::new(Wire::tcp(stream), peer, tls, place, speech);
        let Some(conn) = self.adopt_connection(phone) else { return };
        self.turns.began(peer.ip(), conn, now);
        self.deadlines.insert((deadline, conn));
        self.phone_ready(conn, now);
    }

    /// Some steps of handshakes.
    pub(super) fn handshakes(&mut self, now: Instant) {
        for _ in 0..Steps::<u64>::AT_A_TIME {
            let Some(conn) = self.steps.take() else { return };
            self.phone_readable(conn, now);
        }
    }

    /// Whoever comes waits: to be turned away and to come again would cost more.
    fn all_places_taken(&mut self) {
        if !std::mem::replace(&mut self.is_full, true) {
            self.counters.count(Counter::HandshakeLimit);
            let most = self.shared.config.limits.handshakes;
            let text = format!("{most} handshakes in progress (limits.handshakes): further connections wait");
            self.emit(Event::new(EventKind::LimitReached, text));
        }
    }

    /// The oldest handshake of the address that has most of them makes room for another address.
    fn gives_way(&mut self, conn: u64, now: Instant) {
        let Some(peer) = self.phones.get(&conn).map(|phone| phone.peer) else { return };
        self.counters.count(Counter::HandshakeGaveWay);
        let text = format!(
            "{peer} closed: no address has more handshakes in progress, and others wait (limits.handshakes)"
        );
        self.tell_of_greed(now, text);
        self.drop_phone(conn);
    }

    /// Tells operators what the counters count, not each time.
    pub(super) fn tell_of_greed(&mut self, now: Instant, text: String) {
        if self.greed_told.is_none_or(|told| now.saturating_duration_since(told) >= TELL) {
            self.greed_told = Some(now);
            self.emit(Event::new(EventKind::LimitReached, text));
        }
    }
}
