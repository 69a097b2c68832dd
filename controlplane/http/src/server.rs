//! The server: all connections, and who may have one.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinhole_rates::{Rate, Rates, Sources};

use crate::connection::{Connection, Output, Refusal, RequestId, Turn};
use crate::response::Denied;

/// Requests of one connection: more come by the next one.
pub(crate) const REQUESTS_MAX: u32 = 1000;

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// How the server works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a request may take to come, from its first byte to its last; the first one, from when the connection was
    /// accepted.
    pub head: Duration,
    /// How long a connection may stay open without a request.
    pub idle: Duration,
    /// How long a request may wait for [`Server::answer`].
    pub answer: Duration,
    /// How long a phone may take nothing of a response.
    pub stall: Duration,
    /// How long the peer may take to close after the last response.
    pub linger: Duration,
    /// Connections of an address at a time.
    pub connections_per_source: usize,
    /// Connections of all at a time.
    pub connections: usize,
    /// What may be asked for, and how much is sent; what is more waits.
    pub rates: Rates,
}

impl Default for Settings {
    /// A phone that starts asks for some ten files; behind one address may be an office.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            connections_per_source: 50,
            connections: 500,
            rates: Rates {
                requests_per_source: Rate { per_second: 10, burst: 100 },
                requests: Rate { per_second: 300, burst: 600 },
                bytes_per_source: None,
                bytes: None,
                sources: 4096,
            },
        }
    }
}

/// An HTTP server. It is bounded in every table by its [`Settings`].
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    connections: HashMap<ConnectionId, Connection>,
    /// When something is to be done about each.
    due: BTreeSet<(Instant, ConnectionId)>,
    sources: Sources,
    next: u64,
}

impl Server {
    /// A server without connections.
    pub fn new(settings: Settings) -> Self {
        let sources = Sources::new(settings.rates.clone());
        Self { settings, connections: HashMap::new(), due: BTreeSet::new(), sources, next: 0 }
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// A connection was accepted. `pays`: its first request is counted at once, since already its handshake costs.
    ///
    /// # Errors
    /// It is to be closed at once.
    pub fn accepted(
        &mut self,
        client: SocketAddr,
        pays: bool,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<ConnectionId, Refusal> {
        if self.sources.open(client.ip()) >= self.settings.connections_per_source {
            return Err(Refusal::SourceConnections);
        }
        if pays {
            self.sources.admit(client.ip(), now)?;
        }
        if self.connections.len() >= self.settings.connections {
            // One that nothing is asked by gives way, the longest first.
            let gives_way = |id: &ConnectionId| self.connections.get(id).is_some_and(Connection::gives_way);
            let oldest = self.due.iter().map(|(_, id)| *id).find(gives_way).ok_or(Refusal::Connections)?;
            self.with(oldest, now, out, |connection, turn| connection.over(turn));
        }
        self.sources.opened(client.ip(), now)?;
        let id = ConnectionId(self.next);
        self.next += 1;
        let due = now + self.settings.head;
        self.connections.insert(id, Connection::new(id, client, pays, due));
        self.due.insert((due, id));
        Ok(id)
    }

    /// How many bytes a connection takes now: so many may be read, and not more.
    pub fn room(&self, connection: ConnectionId) -> usize {
        self.connections.get(&connection).map_or(0, Connection::room)
    }

    /// Takes what has come by a connection: not more than [`Server::room`].
    pub fn received(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant, out: &mut Vec<Output>) {
        let bytes = bytes.get(..self.room(connection)).unwrap_or(bytes);
        self.with(connection, now, out, |connection, turn| connection.received(bytes, turn));
    }

    /// The peer sends nothing more.
    pub fn peer_ended(&mut self, connection: ConnectionId, now: Instant, out: &mut Vec<Output>) {
        self.with(connection, now, out, Connection::peer_ended);
    }

    /// A connection is broken.
    pub fn lost(&mut self, connection: ConnectionId, now: Instant, out: &mut Vec<Output>) {
        self.with(connection, now, out, Connection::lost);
    }

    /// Says what is sent for a request. Nothing happens if it has ended, or was answered before.
    pub fn answer(
        &mut self,
        request: RequestId,
        answer: Result<Arc<[u8]>, Denied>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        self.with(request.connection, now, out, |connection, turn| {
            connection.answered(request, answer, turn)
        });
    }

    /// What is to be sent by a connection next.
    pub fn to_send(&self, connection: ConnectionId) -> &[u8] {
        self.connections.get(&connection).map_or(&[], Connection::to_send)
    }

    /// So many bytes of that were handed over.
    pub fn sent(&mut self, connection: ConnectionId, count: usize, now: Instant, out: &mut Vec<Output>) {
        self.with(connection, now, out, |connection, turn| connection.sent(count, turn));
    }

    /// Does what is due. Connections that have something to send by that are added to `sends`.
    pub fn tick(&mut self, now: Instant, sends: &mut Vec<ConnectionId>, out: &mut Vec<Output>) {
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            if !self.connections.contains_key(&id) {
                self.due.remove(&(due, id));
                continue;
            }
            self.with(id, now, out, Connection::timed_out);
            if !self.to_send(id).is_empty() {
                sends.push(id);
            }
        }
    }

    /// When [`Server::tick`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Gives a connection its turn, and looks what has become of it.
    fn with(
        &mut self,
        id: ConnectionId,
        now: Instant,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Connection, &mut Turn<'_>),
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = connection.due;
        let mut turn = Turn { settings: &self.settings, sources: &mut self.sources, now, out };
        act(connection, &mut turn);
        let (due, is_over, client) = (connection.due, connection.is_over(), connection.client);
        if is_over {
            self.connections.remove(&id);
            self.sources.closed(client.ip());
        }
        if is_over || due != before {
            self.due.remove(&(before, id));
        }
        if !is_over && due != before {
            self.due.insert((due, id));
        }
    }
}
