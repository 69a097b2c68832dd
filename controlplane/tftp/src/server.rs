//! The server: who may ask, and all that is on its way.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinhole_rates::{Excess, Rate, Rates, Sources};

use crate::packet::{ErrorCode, Malformed, Packet, Request, readable};
use crate::transfer::{Denied, End, Next, Transfer, TransferId};

/// How the server works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Sockets that replies go out by, beside socket 0, which requests come in by. Each transfer has one of them
    /// (RFC 1350 section 4). 0: everything goes out by socket 0, for phones behind routers that let nothing else in.
    pub reply_sockets: usize,
    /// The greatest block that is agreed on, in bytes: what fits a packet on the way to the phones.
    pub block_max: u16,
    /// Until a packet is sent again for the first time, if the phone does not say.
    pub timeout: Duration,
    /// The longest that a phone may ask for instead.
    pub timeout_max: Duration,
    /// How often a packet is sent again.
    pub retries: u32,
    /// How long a phone may take for its first acknowledgement.
    pub first_acknowledgement: Duration,
    /// How long a request may wait for [`Server::answer`].
    pub answer: Duration,
    /// What may be asked for.
    pub limits: Limits,
}

/// Limits on what outsiders cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests of an address.
    pub requests_per_source: Rate,
    /// Requests of all.
    pub requests: Rate,
    /// Transfers of an address at a time.
    pub transfers_per_source: usize,
    /// Transfers of all at a time.
    pub transfers: usize,
    /// Bytes to an address; what is more waits. `None`: without a limit.
    pub bytes_per_source: Option<Rate>,
    /// Bytes to all; what is more waits. `None`: without a limit.
    pub bytes: Option<Rate>,
    /// Addresses that are remembered at a time. More than `transfers`.
    pub sources: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reply_sockets: 16,
            block_max: 1428,
            timeout: Duration::from_secs(1),
            timeout_max: Duration::from_secs(10),
            retries: 5,
            first_acknowledgement: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    /// A phone that starts asks for some ten files; behind one address may be an office.
    fn default() -> Self {
        Self {
            requests_per_source: Rate { per_second: 10, burst: 100 },
            requests: Rate { per_second: 300, burst: 600 },
            transfers_per_source: 50,
            transfers: 500,
            bytes_per_source: None,
            bytes: None,
            sources: 4096,
        }
    }
}

/// What the server wants done, or reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A datagram is sent.
    Send {
        /// By which socket.
        socket: usize,
        /// To whom.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// A phone asks for a file. [`Server::answer`] is called soon.
    Requested {
        /// The transfer that waits for the answer.
        transfer: TransferId,
        /// Who asks.
        client: SocketAddr,
        /// The name as it was sent.
        name: Vec<u8>,
    },
    /// A transfer has ended; each that was [`Output::Requested`] does once.
    Ended {
        /// Which.
        transfer: TransferId,
        /// How.
        end: End,
    },
    /// A datagram was refused.
    Refused {
        /// Whose.
        client: SocketAddr,
        /// Why.
        why: Refusal,
    },
}

/// Why a datagram was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no TFTP packet.
    Malformed(Malformed),
    /// An upload, of a file of this name.
    Upload {
        /// The name.
        name: Vec<u8>,
    },
    /// A mode other than octet.
    Mode,
    /// The address asks too often.
    SourceRate,
    /// All together ask too often.
    Rate,
    /// The address has too many transfers.
    SourceTransfers,
    /// There are too many transfers.
    Transfers,
    /// There are too many addresses.
    Sources,
    /// It belongs to no transfer.
    UnknownTransfer,
}

/// A TFTP server. It is bounded in every table by its [`Limits`].
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    transfers: HashMap<SocketAddr, Transfer>,
    clients: HashMap<TransferId, SocketAddr>,
    /// When something is to be done about each transfer.
    due: BTreeSet<(Instant, TransferId)>,
    /// Those that send and have no acknowledgement yet: the oldest give way.
    unproven: BTreeSet<TransferId>,
    sources: Sources,
    next: u64,
    /// Chooses sockets as outsiders cannot foresee.
    chooser: RandomState,
}

impl Server {
    /// A server without transfers.
    pub fn new(settings: Settings) -> Self {
        let Limits { requests_per_source, requests, bytes_per_source, bytes, sources, .. } =
            settings.limits.clone();
        let rates = Rates { requests_per_source, requests, bytes_per_source, bytes, sources };
        Self {
            settings,
            transfers: HashMap::new(),
            clients: HashMap::new(),
            due: BTreeSet::new(),
            unproven: BTreeSet::new(),
            sources: Sources::new(rates),
            next: 0,
            chooser: RandomState::new(),
        }
    }

    /// How many transfers there are.
    pub fn transfers(&self) -> usize {
        self.transfers.len()
    }

    /// Takes a datagram that came by a socket.
    pub fn datagram(
        &mut self,
        socket: usize,
        client: SocketAddr,
        datagram: &[u8],
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let refused = match Packet::parse(datagram) {
            Err(malformed) => Some(Refusal::Malformed(malformed)),
            Ok(Packet::Read(request)) if socket == 0 => self.request(client, &request, now, out).err(),
            Ok(Packet::Write(request)) if socket == 0 => Some(self.upload(client, &request, now, out)),
            Ok(Packet::Acknowledge { block }) => {
                self.of_transfer(socket, client, now, out, |transfer| transfer.acknowledged(block))
            }
            Ok(Packet::Error { code, message }) => self.of_transfer(socket, client, now, out, |_| {
                Next::End(End::Refused { code, message: readable(message) })
            }),
            Ok(_) => Some(Refusal::UnknownTransfer),
        };
        if let Some(why) = refused {
            out.push(Output::Refused { client, why });
        }
    }

    /// Says what a transfer sends. Nothing happens if it has ended, or was answered before.
    pub fn answer(
        &mut self,
        transfer: TransferId,
        answer: Result<Arc<[u8]>, Denied>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let Some(client) = self.clients.get(&transfer).copied() else { return };
        let Some(found) = self.transfers.get_mut(&client) else { return };
        match answer {
            Ok(file) => {
                let next = found.begin(file, &self.settings);
                self.go_on(client, next, now, out);
            }
            Err(denied) => {
                let (code, message) = match denied {
                    Denied::NotFound => (ErrorCode::NotFound, "file not found"),
                    Denied::Unavailable => (ErrorCode::NotDefined, "not available now, ask again"),
                };
                out.push(error(found.socket, client, code, message));
                self.go_on(client, Next::End(End::Denied), now, out);
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            let Some(client) = self.clients.get(&id).copied() else {
                self.due.remove(&(due, id));
                continue;
            };
            let next = self.transfers.get(&client).map(|transfer| transfer.timed_out(&self.settings));
            self.go_on(client, next.unwrap_or(Next::Nothing), now, out);
        }
    }

    /// When [`Server::tick`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Refuses an upload, by a packet that is not longer than the request was.
    fn upload(
        &mut self,
        client: SocketAddr,
        request: &Request<'_>,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Refusal {
        if let Err(refusal) = self.admit(client.ip(), now) {
            return refusal;
        }
        out.push(error(0, client, ErrorCode::AccessViolation, "read only"));
        Refusal::Upload { name: request.name.to_vec() }
    }

    fn request(
        &mut self,
        client: SocketAddr,
        request: &Request<'_>,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        self.admit(client.ip(), now)?;
        if !request.is_octet {
            out.push(error(0, client, ErrorCode::IllegalOperation, "octet mode only"));
            return Err(Refusal::Mode);
        }
        if let Some(transfer) = self.transfers.get(&client) {
            if transfer.is_of(request.name, &request.options) && !transfer.is_all_sent() {
                let next = transfer.asked_again();
                self.go_on(client, next, now, out);
                return Ok(());
            }
            let end = if transfer.is_all_sent() { End::AllSent } else { End::Abandoned };
            self.go_on(client, Next::End(end), now, out);
        }
        self.make_room(client.ip(), now, out)?;
        self.begin(client, request, now, out);
        Ok(())
    }

    /// Counts a request of an address.
    fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        self.sources.admit(address, now).map_err(|excess| match excess {
            Excess::Source => Refusal::SourceRate,
            Excess::All => Refusal::Rate,
            Excess::Sources => Refusal::Sources,
        })
    }

    /// Makes room for one more transfer of an address. Only one that has acknowledged nothing gives way.
    fn make_room(&mut self, address: IpAddr, now: Instant, out: &mut Vec<Output>) -> Result<(), Refusal> {
        if self.sources.open(address) >= self.settings.limits.transfers_per_source {
            return Err(Refusal::SourceTransfers);
        }
        if self.transfers.len() >= self.settings.limits.transfers {
            let oldest = self.unproven.first().and_then(|id| self.clients.get(id)).copied();
            self.go_on(oldest.ok_or(Refusal::Transfers)?, Next::End(End::Abandoned), now, out);
        }
        Ok(())
    }

    fn begin(&mut self, client: SocketAddr, request: &Request<'_>, now: Instant, out: &mut Vec<Output>) {
        let id = TransferId(self.next);
        self.next += 1;
        let socket = match self.settings.reply_sockets as u64 {
            0 => 0,
            sockets => 1 + (self.chooser.hash_one((client, id)) % sockets) as usize,
        };
        let due = now + self.settings.answer;
        let transfer = Transfer::new(id, socket, request.name, request.options, due);
        self.due.insert((due, id));
        self.clients.insert(id, client);
        self.transfers.insert(client, transfer);
        // It was admitted, so it is known.
        let _ = self.sources.opened(client.ip(), now);
        out.push(Output::Requested { transfer: id, client, name: request.name.to_vec() });
    }

    /// Does something with the transfer of a client, if it has one on that socket.
    fn of_transfer(
        &mut self,
        socket: usize,
        client: SocketAddr,
        now: Instant,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Transfer) -> Next,
    ) -> Option<Refusal> {
        let Some(transfer) = self.transfers.get_mut(&client).filter(|transfer| transfer.socket == socket)
        else {
            return Some(Refusal::UnknownTransfer);
        };
        let next = act(transfer);
        self.go_on(client, next, now, out);
        None
    }

    fn go_on(&mut self, client: SocketAddr, next: Next, now: Instant, out: &mut Vec<Output>) {
        match next {
            Next::Nothing => {}
            Next::Send => self.send(client, now, out),
            Next::End(end) => {
                let Some(transfer) = self.transfers.remove(&client) else { return };
                self.clients.remove(&transfer.id);
                self.due.remove(&(transfer.due, transfer.id));
                self.unproven.remove(&transfer.id);
                self.sources.closed(client.ip());
                out.push(Output::Ended { transfer: transfer.id, end });
            }
        }
    }

    /// Sends a transfer's outstanding packet, or holds it back.
    fn send(&mut self, client: SocketAddr, now: Instant, out: &mut Vec<Output>) {
        let Some(transfer) = self.transfers.get_mut(&client) else { return };
        self.due.remove(&(transfer.due, transfer.id));
        let mut wait = Duration::ZERO;
        if transfer.is_held() {
            transfer.release();
        } else {
            wait = self.sources.owe(client.ip(), transfer.packet_len(), now);
        }
        if wait.is_zero() {
            let datagram = transfer.packet(&self.settings, now);
            out.push(Output::Send { socket: transfer.socket, to: client, datagram });
        } else {
            transfer.hold(now + wait);
        }
        self.due.insert((transfer.due, transfer.id));
        if transfer.is_unproven() {
            self.unproven.insert(transfer.id);
        } else {
            self.unproven.remove(&transfer.id);
        }
    }
}

fn error(socket: usize, to: SocketAddr, code: ErrorCode, message: &str) -> Output {
    let datagram = Packet::Error { code, message: message.as_bytes() }.encode();
    Output::Send { socket, to, datagram }
}
