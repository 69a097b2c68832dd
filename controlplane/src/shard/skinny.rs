//! Connections to call managers for SCCP phones: one for each connection of a phone, ended together with it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::Interest;
use pinhole_admin::{Event, EventKind, Hop};
use pinhole_proxy::{ConnId, SkinnyInput, SkinnyOutput};
use pinhole_sccp::{Framer, Limits};
use zeroize::Zeroizing;

use super::connection::Stage;
use super::outgoing::{CONNECT_TIME, Line, connecting};
use super::{Shard, tokens};
use crate::counters::Counter;

/// Reads before others have their turn.
const BUDGET: usize = 16;

/// The connections to call managers, by their own numbers and by those of phones.
#[derive(Default)]
pub(super) struct Servers {
    by_id: HashMap<u64, Server>,
    of_phone: HashMap<u64, u64>,
    /// Call managers that took no connection when it was tried last.
    down: BTreeSet<SocketAddr>,
}

/// A connection to a call manager.
struct Server {
    /// The phone's connection.
    conn: u64,
    line: Line,
    peer: SocketAddr,
    /// Whether it has come up.
    up: bool,
    framer: Framer,
}

impl Shard {
    pub(super) fn skinny_output(&mut self, output: SkinnyOutput, now: Instant) {
        match output {
            SkinnyOutput::Connect { conn, cluster, to } => self.server_connect(conn.0, cluster, to, now),
            SkinnyOutput::ToPhone { conn, frame } => self.send_phone(conn.0, frame.as_bytes(), now),
            SkinnyOutput::ToServer { conn, frame } => self.server_send(conn.0, frame.as_bytes(), now),
            SkinnyOutput::Registered { conn } => self.phone_registered(conn.0, now),
            SkinnyOutput::NotRegistered { conn, text } => {
                self.phone_not_registered(
                    conn.0,
                    &format!("the call manager answers RegisterReject: {text}"),
                );
            }
            SkinnyOutput::Close { conn, reason } => {
                if let Some(id) = self.servers.of_phone.get(&conn.0).copied() {
                    // What the phone has said last is to arrive.
                    self.server_writable(id, now);
                    self.server_drop(id);
                }
                self.close_phone(conn.0, reason, now);
            }
        }
    }

    fn server_connect(&mut self, conn: u64, cluster: usize, peer: SocketAddr, now: Instant) {
        let made = self.line_to(conn, cluster, peer);
        let id = self.next_id();
        let registered = made.and_then(|mut line| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut line.stream, tokens::connection(id), interest)?;
            Ok(line)
        });
        match registered {
            Ok(line) => {
                let framer = Framer::new(Limits::default());
                let server = Server { conn, line, peer, up: false, framer };
                self.servers.by_id.insert(id, server);
                self.servers.of_phone.insert(conn, id);
                self.deadlines.insert((now + CONNECT_TIME, id));
            }
            Err(error) => {
                self.server_refuses(peer, &error.to_string());
                self.skinny_input(SkinnyInput::ServerClosed { conn: ConnId(conn) }, now);
            }
        }
    }

    /// The call manager of a phone's connection, and what carries frames to it.
    pub(super) fn server_of(&self, conn: u64) -> Option<(SocketAddr, &'static str)> {
        let server = self.servers.by_id.get(self.servers.of_phone.get(&conn)?)?;
        Some((server.peer, server.line.transport()))
    }

    /// A connection to a call manager, as the configuration has it: never in the clear where that says TLS.
    fn line_to(&self, conn: u64, cluster: usize, peer: SocketAddr) -> io::Result<Line> {
        let limit = self.shared.config.limits.write_buffer_bytes as usize;
        let settings = self.shared.config.clusters.get(cluster).ok_or(io::ErrorKind::NotFound)?;
        let server = settings.sccp.iter().find(|server| server.call_manager == peer);
        let stream = || connecting(peer, settings.local.ip());
        if server.ok_or(io::ErrorKind::NotFound)?.authority.is_none() {
            return Ok(Line::clear(stream()?, limit));
        }
        let tls = self.shared.tls();
        let caller = tls.callers.get(&(cluster, peer)).ok_or(io::ErrorKind::NotFound)?;
        let Some(Stage::Bound(device)) = self.phones.get(&conn).map(|phone| &phone.stage) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let tls = caller.call(device, limit).map_err(io::Error::other)?;
        Ok(Line::tls(stream()?, tls))
    }

    fn server_send(&mut self, conn: u64, bytes: &[u8], now: Instant) {
        let id = self.servers.of_phone.get(&conn).copied();
        let Some((id, server)) = id.and_then(|id| Some((id, self.servers.by_id.get_mut(&id)?))) else {
            return self.counters.count(Counter::SkinnyServerGone);
        };
        if !server.line.take(bytes) {
            self.counters.count(Counter::WriteLimit);
            return self.server_ended(id, Some("it does not read what is sent to it"), now);
        }
        let up = server.up;
        self.tap_skinny(Hop::ToCallManager, conn, bytes);
        if up {
            self.server_writable(id, now);
        }
    }

    /// The socket is connected, or takes more.
    pub(super) fn server_writable(&mut self, id: u64, now: Instant) {
        let Some(server) = self.servers.by_id.get_mut(&id) else { return };
        match server.line.flush() {
            Ok(()) => self.server_comes_up(id),
            Err(error) => self.server_ended(id, Some(&error.to_string()), now),
        }
    }

    /// Takes note of a connection that has come up.
    fn server_comes_up(&mut self, id: u64) {
        let Some(server) = self.servers.by_id.get_mut(&id) else { return };
        if !server.line.is_up() || std::mem::replace(&mut server.up, true) {
            return;
        }
        let peer = server.peer;
        self.counters.count(Counter::SkinnyConnected);
        if self.servers.down.remove(&peer) {
            let text = format!("call manager {peer} takes SCCP connections again");
            self.emit(Event::new(EventKind::CallManagerUp, text));
        }
    }

    /// Reads a connection and hands on its frames.
    pub(super) fn server_readable(&mut self, id: u64, now: Instant) {
        // Most readable connections are phones': the buffer costs more than the look.
        if !self.servers.by_id.contains_key(&id) {
            return;
        }
        let mut chunk = Zeroizing::new([0; 16_384]);
        for _ in 0..BUDGET {
            let Some(server) = self.servers.by_id.get_mut(&id) else { return };
            let conn = ConnId(server.conn);
            let read = server.line.read(&mut chunk[..]);
            self.server_comes_up(id);
            let Some(server) = self.servers.by_id.get_mut(&id) else { return };
            match read {
                Ok(0) => return self.server_ended(id, None, now),
                Ok(length) => server.framer.push(chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.server_ended(id, Some(&error.to_string()), now),
            }
            while let Some(frame) = self.servers.by_id.get_mut(&id).and_then(|server| server.framer.next()) {
                match frame {
                    Ok(frame) => {
                        self.tap_skinny(Hop::FromCallManager, conn.0, frame.as_bytes());
                        self.skinny_input(SkinnyInput::FromServer { conn, frame }, now);
                    }
                    Err(error) => {
                        self.counters.count(Counter::SkinnyMalformed);
                        return self.server_ended(id, Some(&error.to_string()), now);
                    }
                }
            }
        }
        self.again.push(id);
    }

    /// A connection did not come up in time.
    pub(super) fn server_deadline(&mut self, id: u64, now: Instant) {
        if self.servers.by_id.get(&id).is_some_and(|server| !server.up) {
            self.server_ended(id, Some("no answer"), now);
        }
    }

    fn server_ended(&mut self, id: u64, reason: Option<&str>, now: Instant) {
        let Some(server) = self.server_drop(id) else { return };
        if !server.up {
            self.server_refuses(server.peer, reason.unwrap_or("it closed the connection"));
        } else if let Some(reason) = reason {
            let text = format!("the connection to call manager {} ended: {reason}", server.peer);
            self.emit(Event::new(EventKind::Warning, text));
        }
        self.skinny_input(SkinnyInput::ServerClosed { conn: ConnId(server.conn) }, now);
    }

    fn server_refuses(&mut self, peer: SocketAddr, reason: &str) {
        self.counters.count(Counter::SkinnyFailed);
        if self.servers.down.insert(peer) {
            let text =
                format!("call manager {peer} takes no SCCP connection ({reason}): phones must try another");
            self.emit(Event::new(EventKind::CallManagerDown, text));
        }
    }

    fn server_drop(&mut self, id: u64) -> Option<Server> {
        let mut server = self.servers.by_id.remove(&id)?;
        self.servers.of_phone.remove(&server.conn);
        server.line.close();
        let _ = self.poll.registry().deregister(&mut server.line.stream);
        Some(server)
    }
}
