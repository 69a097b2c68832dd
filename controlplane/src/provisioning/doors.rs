//! Phones that ask by HTTP: listeners and connections.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use pinhole_http::{self as http, ConnectionId, End, Malformed, Output, Refusal, RequestId, Server};
use pinhole_provisioning::Failure;
use pinhole_provisioning::service::Transport;

use super::desk::{Answer, Asked, Asker, Denied, Desk, Outcome};
use super::https::{Https, Session, Stop};
use super::listening::Listening;
use super::{CONNECTIONS, LISTENERS, ProvisioningError};
use crate::config;

/// How many doors there are at most.
const DOORS: usize = 2;
/// Turns of one connection before the others have their turn.
const AT_ONCE: usize = 64;
/// Bytes that are handed over at a time.
const PIECE: usize = 65_536;

/// A listener and its connections.
pub(super) struct Door {
    number: usize,
    transport: Transport,
    listening: Listening,
    /// By HTTPS, what connections begin with; `None`: there are no keys yet.
    https: Option<Https>,
    server: Server,
    wires: HashMap<ConnectionId, Wire>,
    said: Vec<Output>,
    /// Handshakes that failed, and why.
    refusals: Vec<(SocketAddr, crate::tls::Refusal)>,
    /// Who has something to send by what was due.
    sends: Vec<ConnectionId>,
}

/// A connection.
struct Wire {
    stream: TcpStream,
    tls: Option<Session>,
    client: SocketAddr,
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
        let listening = Listening::open(key, settings.listen, LISTENERS + number, registry, missing)?;
        let server = Server::new(settings.settings(rates));
        let (wires, said, refusals, sends) = Default::default();
        Ok(Self { number, transport, listening, https: None, server, wires, said, refusals, sends })
    }

    /// From now on, connections by HTTPS begin with this.
    pub fn secure(&mut self, https: Https) {
        self.https = Some(https);
    }

    pub fn is_https(&self) -> bool {
        self.transport == Transport::Https
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
    pub fn tick(&mut self, now: Instant, registry: &Registry, desk: &Desk, buffer: &mut [u8]) {
        self.server.tick(now, &mut self.sends, &mut self.said);
        for connection in std::mem::take(&mut self.sends) {
            self.ready(connection, registry, buffer);
        }
        if self.listening.is_short() {
            self.accept(registry, desk);
        }
    }

    /// Accepts who has come.
    pub fn accept(&mut self, registry: &Registry, desk: &Desk) {
        for (stream, client) in self.listening.accept(registry) {
            self.accepted(stream, client, registry, desk);
        }
    }

    fn accepted(&mut self, mut stream: TcpStream, client: SocketAddr, registry: &Registry, desk: &Desk) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let begun = self.https.as_ref().map(Https::accept);
        let tls = match tls(self.is_https(), begun) {
            Ok(tls) => tls,
            Err(failure) => return desk.fail(failure),
        };
        let accepted = self.server.accepted(client, self.is_https(), Instant::now(), &mut self.said);
        let connection = match accepted {
            Ok(connection) => connection,
            Err(why) => return self.said.push(Output::Refused { client, why }),
        };
        let _ = stream.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(&mut stream, self.token(connection), interest).is_err() {
            return self.server.lost(connection, Instant::now(), &mut self.said);
        }
        self.wires.insert(connection, Wire { stream, tls, client, shuts: false });
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
        let read = match &mut wire.tls {
            None => wire.stream.read(buffer).map_err(Stop::from),
            Some(tls) => tls.read(&mut wire.stream, buffer),
        };
        let now = Instant::now();
        match read {
            Ok(0) => self.server.peer_ended(connection, now, &mut self.said),
            Ok(len) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                self.server.received(connection, bytes, now, &mut self.said);
                return true;
            }
            Err(Stop::Wait) => {}
            Err(Stop::Again) => return true,
            Err(Stop::Lost) => self.server.lost(connection, now, &mut self.said),
            Err(Stop::Refused(error)) => {
                self.refusals.push((wire.client, error));
                self.server.lost(connection, now, &mut self.said);
            }
        }
        false
    }

    /// Whether there may be more to send.
    fn write(&mut self, connection: ConnectionId) -> bool {
        let Some(wire) = self.wires.get_mut(&connection) else { return false };
        let piece = self.server.to_send(connection);
        let piece = piece.get(..PIECE).unwrap_or(piece);
        let written = match &mut wire.tls {
            Some(tls) => tls.write(&mut wire.stream, piece),
            None if piece.is_empty() => Ok(0),
            None => wire.stream.write(piece).map_err(Stop::from),
        };
        match written {
            Ok(0) if std::mem::take(&mut wire.shuts) => wire.shut(),
            Ok(0) => {}
            Ok(len) => {
                self.server.sent(connection, len, Instant::now(), &mut self.said);
                return true;
            }
            Err(Stop::Wait) => {}
            Err(Stop::Again) => return true,
            Err(Stop::Lost | Stop::Refused(_)) => {
                self.server.lost(connection, Instant::now(), &mut self.said);
            }
        }
        false
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
        for (client, error) in self.refusals.drain(..) {
            tracing::info!(%client, "refused by HTTPS: {error}");
            desk.refused(&error, client);
        }
        while !self.said.is_empty() {
            for output in std::mem::take(&mut self.said) {
                self.hear(output, desk);
            }
        }
    }

    fn hear(&mut self, output: Output, desk: &mut Desk) {
        match output {
            Output::Requested { request, client, name } => {
                let wire = self.wires.get(&request.connection);
                let certificate = wire.and_then(|wire| wire.tls.as_ref()?.shown());
                let asked = Asked { transport: self.transport, client, name: &name, certificate };
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
            Output::Close { connection } => {
                if let Some(mut wire) = self.wires.remove(&connection) {
                    wire.end();
                }
            }
        }
    }
}

impl Wire {
    /// Nothing more is sent.
    fn shut(&mut self) {
        self.end();
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.end(&mut self.stream);
        }
    }
}

/// What a new connection begins with. By HTTPS nothing goes without TLS, whatever is in its way.
fn tls(is_https: bool, begun: Option<Result<Session, rustls::Error>>) -> Result<Option<Session>, Failure> {
    match begun {
        _ if !is_https => Ok(None),
        Some(Ok(session)) => Ok(Some(session)),
        Some(Err(error)) => {
            tracing::info!("TLS cannot begin a connection: {error}");
            Err(Failure::HandshakeFailed)
        }
        None => Err(Failure::TrustListUnavailable),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_by_https_that_has_no_tls_is_refused_and_never_served_in_the_clear() {
        let failed = || Some(Err(rustls::Error::General("no connection".into())));
        assert!(matches!(tls(true, failed()), Err(Failure::HandshakeFailed)));
        assert!(matches!(tls(true, None), Err(Failure::TrustListUnavailable)));
        assert!(matches!(tls(false, None), Ok(None)));
    }
}
