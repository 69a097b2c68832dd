//! Phones that ask by TFTP: the sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use pinhole_provisioning::Failure;
use pinhole_provisioning::service::Transport;
use pinhole_tftp::{self as tftp, End, Output, Refusal, Server, TransferId};

use super::ProvisioningError;
use super::desk::{Answer, Asked, Asker, Denied, Desk, Outcome};
use crate::config;
use crate::sockets;

/// Datagrams of one socket before the others have their turn.
const DATAGRAMS: usize = 64;

/// The server and its sockets. Their tokens count from 0.
pub(super) struct Tftp {
    server: Server,
    sockets: Vec<UdpSocket>,
    said: Vec<Output>,
}

impl Tftp {
    pub fn open(
        settings: &config::Tftp,
        registry: &Registry,
        missing: &mut Vec<SocketAddr>,
    ) -> Result<Self, ProvisioningError> {
        let addresses = std::iter::once(settings.listen).chain(settings.reply_addresses());
        let mut sockets = Vec::new();
        for (at, address) in addresses.enumerate() {
            let key = if at == 0 { "provisioning.tftp.listen" } else { "provisioning.tftp.reply_port" };
            let mut socket = UdpSocket::from_std(sockets::udp(key, address, missing)?);
            registry.register(&mut socket, Token(at), Interest::READABLE).map_err(ProvisioningError::Poll)?;
            sockets.push(socket);
        }
        Ok(Self { server: Server::new(settings.settings()), sockets, said: Vec::new() })
    }

    pub fn due(&self) -> Option<Instant> {
        self.server.due()
    }

    pub fn tick(&mut self, now: Instant) {
        self.server.tick(now, &mut self.said);
    }

    /// Takes what a socket has.
    pub fn receive(&mut self, socket: usize, buffer: &mut [u8], registry: &Registry) {
        for _ in 0..DATAGRAMS {
            let Some(received) = self.sockets.get(socket).map(|socket| socket.recv_from(buffer)) else {
                return;
            };
            // What the kernel reports of one phone is nothing to the others.
            let (len, client) = match received {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let datagram = buffer.get(..len).unwrap_or_default();
            self.server.datagram(socket, client, datagram, Instant::now(), &mut self.said);
            self.send();
        }
        // There may be more, and the poll won't say so.
        if let Some(socket_again) = self.sockets.get_mut(socket) {
            let _ = registry.reregister(socket_again, Token(socket), Interest::READABLE);
        }
    }

    pub fn answer(&mut self, transfer: TransferId, answer: Answer) {
        let answer = answer.map_err(|denied| match denied {
            Denied::NotFound => tftp::Denied::NotFound,
            Denied::Unavailable => tftp::Denied::Unavailable,
        });
        self.server.answer(transfer, answer, Instant::now(), &mut self.said);
    }

    /// Sends what is to be sent, and tells the rest to the desk.
    pub fn report(&mut self, desk: &mut Desk) {
        self.send();
        for output in std::mem::take(&mut self.said) {
            match output {
                Output::Send { .. } => {}
                Output::Requested { transfer, client, name } => {
                    let asked = Asked { transport: Transport::Tftp, client, name: &name, certificate: None };
                    desk.ask(Asker::Tftp(transfer), &asked);
                }
                Output::Ended { transfer, end } => desk.ended(Asker::Tftp(transfer), outcome(&end)),
                Output::Refused { client, why } => refused(client, &why, desk),
            }
        }
    }

    fn send(&mut self) {
        let sockets = &self.sockets;
        self.said.retain(|output| {
            let Output::Send { socket, to, datagram } = output else { return true };
            if let Some(socket) = sockets.get(*socket) {
                // A full buffer is a loss like any other: the protocol sends again.
                let _ = socket.send_to(datagram, *to);
            }
            false
        });
    }
}

fn outcome(end: &End) -> Outcome {
    match end {
        End::Acknowledged => Outcome::Acknowledged,
        End::AllSent => Outcome::Sent,
        End::Refused { code, message } => {
            tracing::info!(?code, message, "a phone refuses a file");
            Outcome::Refused
        }
        End::Silent | End::Abandoned => Outcome::Silent,
        End::Denied | End::Unanswered => Outcome::Nothing,
    }
}

fn refused(client: SocketAddr, why: &Refusal, desk: &Desk) {
    match why {
        Refusal::Upload { name } => desk.upload(client, name),
        Refusal::SourceRate | Refusal::Rate => desk.fail(Failure::RateLimited),
        Refusal::SourceTransfers | Refusal::Transfers | Refusal::Sources => desk.fail(Failure::TransferLimit),
        Refusal::Malformed(error) => tracing::debug!(%client, "{error}"),
        Refusal::Mode | Refusal::UnknownTransfer => tracing::debug!(%client, "refused: {why:?}"),
    }
}
