//! Files from the call managers' servers, each by a socket of its own.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use pinhole_http as http;
use pinhole_provisioning::Failure;
use pinhole_provisioning::cache::Origin;
use pinhole_tftp::{self as tftp, Step};
use thiserror::Error;

use super::{CONNECTIONS, FETCHES};
use crate::config::FileServer;

/// Fetches at a time.
pub const AT_A_TIME: usize = 256;
/// Reads of one connection before the others have their turn.
const READS: usize = 64;

/// A file, or why it cannot be had.
pub(super) type Fetched = Result<Vec<u8>, FetchError>;

/// Why a file cannot be had.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    /// By TFTP.
    #[error(transparent)]
    Tftp(#[from] tftp::FetchError),
    /// By HTTP.
    #[error(transparent)]
    Http(#[from] http::FetchError),
    /// The cluster has no server.
    #[error("its cluster has no file server")]
    NoServer,
    /// Too many are being fetched.
    #[error("{AT_A_TIME} files are being fetched already")]
    TooMany,
    /// There is no socket.
    #[error("no socket to fetch it by: {0}")]
    Socket(#[from] io::Error),
}

impl FetchError {
    /// As what it is counted.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Tftp(tftp::FetchError::NotFound) | Self::Http(http::FetchError::NotFound) => {
                Failure::FileNotFound
            }
            Self::Tftp(tftp::FetchError::Silent) | Self::Http(http::FetchError::Silent) => {
                Failure::UpstreamSilent
            }
            _ => Failure::UpstreamError,
        }
    }
}

/// All that is being fetched.
pub(super) struct Upstream {
    /// By the names of their clusters.
    servers: HashMap<String, FileServer>,
    /// By token.
    running: HashMap<usize, Running>,
    next: usize,
    registry: Registry,
}

struct Running {
    origin: Origin,
    line: Line,
}

/// How a file is fetched.
enum Line {
    Tftp { fetch: tftp::Fetch, socket: UdpSocket },
    Http { fetch: http::Fetch, stream: TcpStream, unsent: Vec<u8> },
}

impl Upstream {
    pub fn new(servers: HashMap<String, FileServer>, registry: Registry) -> Self {
        Self { servers, running: HashMap::new(), next: FETCHES, registry }
    }

    /// Begins to fetch a file.
    ///
    /// # Errors
    /// Why it cannot be fetched.
    pub fn fetch(&mut self, origin: &Origin, now: Instant) -> Result<(), FetchError> {
        let server = *self.servers.get(&origin.upstream).ok_or(FetchError::NoServer)?;
        if self.running.len() >= AT_A_TIME {
            return Err(FetchError::TooMany);
        }
        let token = Token(self.next);
        let line = match server {
            FileServer::Tftp(server) => Line::tftp(server, &origin.name, now, token, &self.registry)?,
            FileServer::Http(server) => Line::http(server, &origin.name, now, token, &self.registry)?,
        };
        self.running.insert(token.0, Running { origin: origin.clone(), line });
        self.next = if self.next + 1 < CONNECTIONS { self.next + 1 } else { FETCHES };
        Ok(())
    }

    /// When [`Upstream::tick`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.running.values().map(|running| running.line.due()).min()
    }

    /// Takes what a socket has; what was fetched by that.
    pub fn ready(&mut self, token: usize, buffer: &mut [u8], now: Instant) -> Option<(Origin, Fetched)> {
        let fetched = match &mut self.running.get_mut(&token)?.line {
            Line::Tftp { fetch, socket } => loop {
                let (len, from) = socket.recv_from(buffer).ok()?;
                let step = fetch.datagram(from, buffer.get(..len).unwrap_or_default(), now);
                if let Some(fetched) = stepped(socket, step) {
                    break fetched;
                }
            },
            Line::Http { fetch, stream, unsent } => {
                let taken = match send(stream, unsent) {
                    Ok(()) => receive(fetch, stream, buffer, now),
                    Err(_) => Some(Err(fetch.cut())),
                };
                let Some(fetched) = taken else {
                    // There may be more, and the poll won't say so. It can be written to at any time.
                    if unsent.is_empty() {
                        let _ = self.registry.reregister(stream, Token(token), Interest::READABLE);
                    }
                    return None;
                };
                fetched.map_err(FetchError::from)
            }
        };
        self.over(token, fetched)
    }

    /// Sends again what is due; what has failed by that.
    pub fn tick(&mut self, now: Instant) -> Vec<(Origin, Fetched)> {
        let due = self.running.iter().filter(|(_, running)| running.line.due() <= now);
        let due: Vec<usize> = due.map(|(token, _)| *token).collect();
        due.into_iter()
            .filter_map(|token| {
                let fetched = match &mut self.running.get_mut(&token)?.line {
                    Line::Tftp { fetch, socket } => stepped(socket, fetch.tick(now))?,
                    Line::Http { fetch, .. } => Err(fetch.tick(now)?.into()),
                };
                self.over(token, fetched)
            })
            .collect()
    }

    fn over(&mut self, token: usize, fetched: Fetched) -> Option<(Origin, Fetched)> {
        // Its descriptor leaves the poll when it is closed.
        Some((self.running.remove(&token)?.origin, fetched))
    }
}

impl Line {
    fn tftp(
        server: SocketAddr,
        name: &str,
        now: Instant,
        token: Token,
        registry: &Registry,
    ) -> Result<Self, FetchError> {
        // Given up after seven seconds: the phone waits, and there may be an older copy.
        let settings = tftp::FetchSettings { retries: 2, ..tftp::FetchSettings::default() };
        let (fetch, request) = tftp::Fetch::begin(server, name, settings, now)?;
        let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let mut socket = UdpSocket::bind(any)?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        // Lost or refused, it is sent again when it is due.
        let _ = socket.send_to(&request, server);
        Ok(Self::Tftp { fetch, socket })
    }

    fn http(
        server: SocketAddr,
        name: &str,
        now: Instant,
        token: Token,
        registry: &Registry,
    ) -> Result<Self, FetchError> {
        let settings = http::FetchSettings::default();
        let (fetch, unsent) = http::Fetch::begin(server, name, settings, now)?;
        let mut stream = TcpStream::connect(server)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self::Http { fetch, stream, unsent })
    }

    fn due(&self) -> Instant {
        match self {
            Self::Tftp { fetch, .. } => fetch.due(),
            Self::Http { fetch, .. } => fetch.due(),
        }
    }
}

/// Sends what a step of TFTP has to send; the file if it was the last.
fn stepped(socket: &UdpSocket, step: Step) -> Option<Fetched> {
    match step {
        Step::Wait => None,
        Step::Send { to, datagram } => {
            let _ = socket.send_to(&datagram, to);
            None
        }
        Step::Over { file, last } => {
            if let Some((to, datagram)) = last {
                let _ = socket.send_to(&datagram, to);
            }
            Some(file.map_err(FetchError::from))
        }
    }
}

/// Sends as much of the request as goes.
fn send(stream: &mut TcpStream, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match stream.write(unsent) {
            Ok(len) => drop(unsent.drain(..len)),
            Err(error) if is_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The file, or why there is none, once that is known.
fn receive(
    fetch: &mut http::Fetch,
    stream: &mut TcpStream,
    buffer: &mut [u8],
    now: Instant,
) -> Option<Result<Vec<u8>, http::FetchError>> {
    for _ in 0..READS {
        match stream.read(buffer) {
            Ok(0) => return Some(Err(fetch.cut())),
            Ok(len) => {
                let fetched = fetch.received(buffer.get(..len).unwrap_or_default(), now);
                if fetched.is_some() {
                    return fetched;
                }
            }
            Err(error) if is_later(&error) => return None,
            Err(_) => return Some(Err(fetch.cut())),
        }
    }
    None
}

/// Whether the socket, which may not be connected yet, is only not ready.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
