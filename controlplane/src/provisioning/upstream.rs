//! Files from the call managers' TFTP servers, each by a socket of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use pinhole_provisioning::cache::Origin;
use pinhole_tftp::{Fetch, FetchError, FetchSettings, Step};

use super::{CONNECTIONS, FETCHES};

/// Fetches at a time.
const AT_A_TIME: usize = 256;

/// A file, or why it cannot be had.
pub(super) type Fetched = Result<Vec<u8>, FetchError>;

/// All that is being fetched.
pub(super) struct Upstream {
    /// By the names of their clusters.
    servers: HashMap<String, SocketAddr>,
    /// By token.
    running: HashMap<usize, Running>,
    next: usize,
    registry: Registry,
}

struct Running {
    origin: Origin,
    fetch: Fetch,
    socket: UdpSocket,
}

impl Upstream {
    pub fn new(servers: HashMap<String, SocketAddr>, registry: Registry) -> Self {
        Self { servers, running: HashMap::new(), next: FETCHES, registry }
    }

    /// Begins to fetch a file.
    ///
    /// # Errors
    /// Why it cannot be fetched.
    pub fn fetch(&mut self, origin: &Origin, now: Instant) -> Result<(), FetchError> {
        let server = *self.servers.get(&origin.upstream).ok_or(FetchError::NotFound)?;
        if self.running.len() >= AT_A_TIME {
            return Err(FetchError::Protocol("too many files are being fetched"));
        }
        // Given up after seven seconds: the phone waits, and there may be an older copy.
        let settings = FetchSettings { retries: 2, ..FetchSettings::default() };
        let (fetch, request) = Fetch::begin(server, &origin.name, settings, now)?;
        let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let opened = UdpSocket::bind(any).and_then(|mut socket| {
            self.registry.register(&mut socket, Token(self.next), Interest::READABLE)?;
            Ok(socket)
        });
        let socket = opened.map_err(|error| {
            tracing::error!("no socket to fetch a file by: {error}");
            FetchError::Protocol("no socket")
        })?;
        // Lost or refused, it is sent again when it is due.
        let _ = socket.send_to(&request, server);
        self.running.insert(self.next, Running { origin: origin.clone(), fetch, socket });
        self.next = if self.next + 1 < CONNECTIONS { self.next + 1 } else { FETCHES };
        Ok(())
    }

    /// When [`Upstream::tick`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.running.values().map(|running| running.fetch.due()).min()
    }

    /// Takes what a socket has; what was fetched by that.
    pub fn ready(&mut self, token: usize, buffer: &mut [u8], now: Instant) -> Option<(Origin, Fetched)> {
        loop {
            let running = self.running.get_mut(&token)?;
            let (len, from) = running.socket.recv_from(buffer).ok()?;
            let step = running.fetch.datagram(from, buffer.get(..len).unwrap_or_default(), now);
            if let Some(fetched) = self.step(token, step) {
                return Some(fetched);
            }
        }
    }

    /// Sends again what is due; what has failed by that.
    pub fn tick(&mut self, now: Instant) -> Vec<(Origin, Fetched)> {
        let due = self.running.iter().filter(|(_, running)| running.fetch.due() <= now);
        let due: Vec<usize> = due.map(|(token, _)| *token).collect();
        due.into_iter()
            .filter_map(|token| {
                let step = self.running.get_mut(&token)?.fetch.tick(now);
                self.step(token, step)
            })
            .collect()
    }

    fn step(&mut self, token: usize, step: Step) -> Option<(Origin, Fetched)> {
        let send = |socket: &UdpSocket, (to, datagram): (SocketAddr, Vec<u8>)| {
            let _ = socket.send_to(&datagram, to);
        };
        match step {
            Step::Wait => None,
            Step::Send { to, datagram } => {
                send(&self.running.get(&token)?.socket, (to, datagram));
                None
            }
            Step::Over { file, last } => {
                let Running { origin, mut socket, .. } = self.running.remove(&token)?;
                if let Some(last) = last {
                    send(&socket, last);
                }
                let _ = self.registry.deregister(&mut socket);
                Some((origin, file))
            }
        }
    }
}
