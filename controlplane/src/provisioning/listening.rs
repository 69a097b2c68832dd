//! A TCP listener of the provisioning thread.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::ProvisioningError;
use crate::sockets;

/// Connections accepted before the others have their turn.
const AT_ONCE: usize = 64;

/// A listener that the poll watches.
pub(super) struct Listening {
    listener: TcpListener,
    token: Token,
    /// The system had no more descriptors.
    is_short: bool,
}

impl Listening {
    /// Listens at an address, which stands in the configuration under `key`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(
        key: &'static str,
        address: SocketAddr,
        token: usize,
        registry: &Registry,
        missing: &mut Vec<SocketAddr>,
    ) -> Result<Self, ProvisioningError> {
        let mut listener = TcpListener::from_std(sockets::tcp(key, address, false, missing)?);
        let token = Token(token);
        registry.register(&mut listener, token, Interest::READABLE).map_err(ProvisioningError::Poll)?;
        Ok(Self { listener, token, is_short: false })
    }

    /// Whether connections may wait that the poll won't tell of again: the last one could not be accepted.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Who has come.
    pub fn accept(&mut self, registry: &Registry) -> Vec<(TcpStream, SocketAddr)> {
        let mut accepted = Vec::new();
        for _ in 0..AT_ONCE {
            match self.listener.accept() {
                Ok(one) => {
                    self.is_short = false;
                    accepted.push(one);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_short = false;
                    return accepted;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.is_short, true) {
                        tracing::warn!("a phone's connection cannot be accepted, tried again: {error}");
                    }
                    return accepted;
                }
            }
        }
        // There may be more, and the poll won't say so.
        let _ = registry.reregister(&mut self.listener, self.token, Interest::READABLE);
        accepted
    }
}
