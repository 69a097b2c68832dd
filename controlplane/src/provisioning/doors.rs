//! Phones that ask by HTTP: listeners and connections.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use pinhole_http::{self as http, ConnectionId, End, Malformed, Output, Refusal, RequestId, Server};
use pinhole_provisioning::Failure;
use pinhole_provisioning::service::Transport;

use super::desk::{Answer, Asked, Asker, Denied, Desk, Outcome};
use super::{CONNECTIONS, LISTENERS, ProvisioningError};
use crate::{config, sockets};

/// How many doors there are at most.
const DOORS: usize = 2;
/// Connections accepted, and turns of one connection, before the others have their turn.
const AT_ONCE: usize = 64;
/// Bytes that are handed over at a time.
const PIECE: usize = 65_536;

/// A listener and its connections.
pub(super) struct Door {
    number: usize,
    transport: Transport,
    listener: TcpListener,
    server: Server,
    wires: HashMap<ConnectionId, Wire>,
    said: Vec<Output>,
    /// Who has something to send by what was due.
    sends: Vec<ConnectionId>,
    /// The system had no more descriptors.
    is_short: bool,
}

/// A connection.
struct Wire {
    stream: TcpStream,
    /// Once all is sent, the peer is told that no more comes.
    shuts: bool,
}

impl Door {
    pub fn open(
        number: usize,
        transport: Transport,
        settings: &config::Http,
        rates: &config::Tftp,
        registry: &Registry,
        missing: &mut Vec<SocketAddr>,
    ) -> Result<Self, ProvisioningError> {
        let key = match transport {
            Transport::Https => "provisioning.https.listen",
            _ => "provisioning.http.listen",
        };
        let mut listener = TcpListener::from_std(sockets::tcp(key, settings.listen, false, missing)?);
        registry
            .register(&mut listener, Token(LISTENERS + number), Interest::READABLE)
            .map_err(ProvisioningError::Poll)?;
        let server = Server::new(settings.settings(rates));
        let (wires, said, sends) = Default::default();
        Ok(Self { number, transport, listener, server, wires, said, sends, is_short: false })
    }

    /// Which door and connection a token belongs to.
    pub fn of_token(token: usize) -> (usize, ConnectionId) {
        let at = token.saturating_sub(CONNECTIONS);
        (at % DOORS, ConnectionId((at / DOORS) as u64))
    }

    fn token(&self, connection: ConnectionId) -> Token {
        Token(CONNECTIONS + connection.0 as usize * DOORS + self.number)
    }

    pub fn due(&self) -> Option<Instant> {
        self.server.due()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, registry: &Registry, buffer: &mut [u8]) {
        self.server.tick(now, &mut self.sends, &mut self.said);
        for connection in std::mem::take(&mut self.sends) {
            self.ready(connection, registry, buffer);
        }
        if std::mem::take(&mut self.is_short) {
            self.accept(registry);
        }
    }

    /// Accepts who has come.
    pub fn accept(&mut self, registry: &Registry) {
        for _ in 0..AT_ONCE {
            match self.listener.accept() {
                Ok((stream, client)) => self.accepted(stream, client, registry),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!("a phone's connection cannot be accepted, tried again: {error}");
                    self.is_short = true;
                    return;
                }
            }
        }
        // There may be more, and the poll won't say so.
        let _ = registry.reregister(&mut self.listener, Token(LISTENERS + self.number), Interest::READABLE);
    }

    fn accepted(&mut self, mut stream: TcpStream, client: SocketAddr, registry: &Registry) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let accepted = self.server.accepted(client, false, Instant::now(), &mut self.said);
        let connection = match accepted {
            Ok(connection) => connection,
            Err(why) => return self.said.push(Output::Refused { client, why }),
        };
        let _ = stream.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(&mut stream, self.token(connection), interest).is_err() {
            return self.server.lost(connection, Instant::now(), &mut self.said);
        }
        self.wires.insert(connection, Wire { stream, shuts: false });
    }

    /// Reads and sends by a connection as much as there is, within a bound.
    pub fn ready(&mut self, connection: ConnectionId, registry: &Registry, buffer: &mut [u8]) {
        for _ in 0..AT_ONCE {
            let has_read = self.read(connection, buffer);
            let has_written = self.write(connection);
            if !has_read && !has_written {
                return;
            }
        }
        // There may be more, and the poll won't say so.
        let token = self.token(connection);
        if let Some(wire) = self.wires.get_mut(&connection) {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let _ = registry.reregister(&mut wire.stream, token, interest);
        }
    }

    /// Whether there may be more to read.
    fn read(&mut self, connection: ConnectionId, buffer: &mut [u8]) -> bool {
        let room = self.server.room(connection).min(buffer.len());
        let (Some(wire), Some(buffer)) = (self.wires.get_mut(&connection), buffer.get_mut(..room)) else {
            return false;
        };
        if room == 0 {
            return false;
        }
        let now = Instant::now();
        match wire.stream.read(buffer) {
            Ok(0) => self.server.peer_ended(connection, now, &mut self.said),
            Ok(len) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                self.server.received(connection, bytes, now, &mut self.said);
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(_) => self.server.lost(connection, now, &mut self.said),
        }
        false
    }

    /// Whether there may be more to send.
    fn write(&mut self, connection: ConnectionId) -> bool {
        let Some(wire) = self.wires.get_mut(&connection) else { return false };
        let piece = self.server.to_send(connection);
        let piece = piece.get(..PIECE).unwrap_or(piece);
        if piece.is_empty() {
            if std::mem::take(&mut wire.shuts) {
                let _ = wire.stream.shutdown(Shutdown::Write);
            }
            return false;
        }
        match wire.stream.write(piece) {
            Ok(len) => self.server.sent(connection, len, Instant::now(), &mut self.said),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                self.server.lost(connection, Instant::now(), &mut self.said);
                return false;
            }
        }
        true
    }

    pub fn answer(&mut self, request: RequestId, answer: Answer, registry: &Registry, buffer: &mut [u8]) {
        let answer = answer.map_err(|denied| match denied {
            Denied::NotFound => http::Denied::NotFound,
            Denied::Unavailable => http::Denied::Unavailable,
        });
        self.server.answer(request, answer, Instant::now(), &mut self.said);
        self.ready(request.connection, registry, buffer);
    }

    /// Ends what is over, and tells the rest to the desk.
    pub fn report(&mut self, desk: &mut Desk) {
        while !self.said.is_empty() {
            for output in std::mem::take(&mut self.said) {
                self.hear(output, desk);
            }
        }
    }

    fn hear(&mut self, output: Output, desk: &mut Desk) {
        match output {
            Output::Requested { request, client, name } => {
                let asked = Asked { transport: self.transport, client, name: &name, certificate: None };
                desk.ask(Asker::Http { door: self.number, request }, &asked);
            }
            Output::Sent { request } => desk.sent(Asker::Http { door: self.number, request }),
            Output::Ended { request, end } => {
                desk.ended(Asker::Http { door: self.number, request }, outcome(end));
            }
            Output::Refused { client, why } => refused(client, &why, desk),
            Output::Shut { connection } => {
                if let Some(wire) = self.wires.get_mut(&connection) {
                    wire.shuts = true;
                }
                self.write(connection);
            }
            // Its descriptor leaves the poll when it is closed.
            Output::Close { connection } => drop(self.wires.remove(&connection)),
        }
    }
}

fn outcome(end: End) -> Outcome {
    match end {
        End::Acknowledged => Outcome::Acknowledged,
        End::AllSent => Outcome::Sent,
        End::Silent => Outcome::Silent,
        End::Described | End::Denied | End::Unanswered => Outcome::Nothing,
    }
}

fn refused(client: SocketAddr, why: &Refusal, desk: &Desk) {
    match why {
        Refusal::Upload { name } => desk.upload(client, name),
        Refusal::SourceRate | Refusal::Rate => desk.fail(Failure::RateLimited),
        Refusal::SourceConnections | Refusal::Connections | Refusal::Sources => {
            desk.fail(Failure::TransferLimit);
        }
        Refusal::Malformed(Malformed::LineTooLong) => desk.fail(Failure::NameTooLong),
        Refusal::Malformed(error) => tracing::debug!(%client, "{error}"),
        Refusal::Method | Refusal::Slow => tracing::debug!(%client, "refused: {why:?}"),
    }
}
