//! TCP connections that a shard makes: to call managers, in the clear or by TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustls::{ClientConnection, Error};
use socket2::{Domain, Protocol, Socket, Type};
use zeroize::Zeroizing;

/// How long a connection to a call manager may take to come up, TLS included.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A connection that is being made from our own address.
pub(super) fn connecting(peer: SocketAddr, local: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Else a port is taken for this connection alone, before it is known where to: there are some 28,000 of `local` in all. So it is
    // chosen with the peer, and serves other peers too. A kernel that cannot do that (before 4.2) takes one as ever.
    let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
    socket.bind(&SocketAddr::new(local, 0).into())?;
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Whether a connection that was begun has come up; `false`: not yet.
///
/// # Errors
/// Why it will not.
pub(super) fn has_connected(stream: &TcpStream) -> io::Result<bool> {
    match (stream.take_error(), stream.peer_addr()) {
        (Ok(None), Ok(_)) => {
            let _ = stream.set_nodelay(true);
            Ok(true)
        }
        (Ok(Some(error)) | Err(error), _) => Err(error),
        (Ok(None), Err(_)) => Ok(false),
    }
}

/// Sends as much of what waits as the socket takes.
///
/// # Errors
/// When the connection is broken.
pub(super) fn send_waiting(stream: &mut TcpStream, waiting: &mut Vec<u8>) -> io::Result<()> {
    while !waiting.is_empty() {
        match stream.write(waiting) {
            Ok(length) => drop(waiting.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A connection with what is to be sent on it.
pub(super) struct Line {
    pub(super) stream: TcpStream,
    connected: bool,
    carrier: Carrier,
}

enum Carrier {
    Clear {
        /// To be sent.
        waiting: Zeroizing<Vec<u8>>,
        /// The most that may wait.
        limit: usize,
    },
    Tls(Box<ClientConnection>),
}

impl Line {
    /// What carries it, for operators.
    pub(super) fn transport(&self) -> &'static str {
        match self.carrier {
            Carrier::Clear { .. } => "tcp",
            Carrier::Tls(_) => "tls",
        }
    }

    /// One in the clear on which at most `limit` bytes wait to be sent.
    pub(super) fn clear(stream: TcpStream, limit: usize) -> Self {
        Self { stream, connected: false, carrier: Carrier::Clear { waiting: Zeroizing::default(), limit } }
    }

    /// One by TLS; its limit is that of the TLS connection.
    pub(super) fn tls(stream: TcpStream, tls: ClientConnection) -> Self {
        Self { stream, connected: false, carrier: Carrier::Tls(Box::new(tls)) }
    }

    /// Whether it has come up: the peer is there, and who it should be.
    pub(super) fn is_up(&self) -> bool {
        self.connected
            && match &self.carrier {
                Carrier::Clear { .. } => true,
                Carrier::Tls(tls) => !tls.is_handshaking(),
            }
    }

    /// Takes bytes to be sent, once that is possible; false if there is no room for them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        match &mut self.carrier {
            Carrier::Clear { waiting, limit } => {
                let fits = waiting.len() + bytes.len() <= *limit;
                if fits {
                    waiting.extend_from_slice(bytes);
                }
                fits
            }
            Carrier::Tls(tls) => tls.writer().write(bytes).is_ok_and(|taken| taken == bytes.len()),
        }
    }

    /// Goes on with the connection, and sends as much as the socket takes.
    ///
    /// # Errors
    /// When the connection is broken, or could not be made.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.connected {
            self.connected = has_connected(&self.stream)?;
            if !self.connected {
                return Ok(());
            }
        }
        let tls = match &mut self.carrier {
            Carrier::Clear { waiting, .. } => return send_waiting(&mut self.stream, waiting),
            Carrier::Tls(tls) => tls,
        };
        while tls.wants_write() {
            match tls.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what the peer has sent. `Ok(0)` is its end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now; else when the connection is broken, or the peer is not who it should be.
    pub(super) fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.connected {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let tls = match &mut self.carrier {
            Carrier::Clear { .. } => return self.stream.read(to),
            Carrier::Tls(tls) => tls,
        };
        loop {
            match tls.reader().read(to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Whether it said goodbye makes no difference: frames tell where they end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if tls.read_tls(&mut self.stream)? == 0 && tls.is_handshaking() {
                return Ok(0);
            }
            let processed = tls.process_new_packets().map(drop);
            // An answer, or an alert that says why not. A broken socket shows when it is read.
            while tls.wants_write() && tls.write_tls(&mut self.stream).is_ok_and(|length| length != 0) {}
            processed.map_err(|error| io::Error::other(explained(&error)))?;
        }
    }

    /// Says goodbye, as far as that is possible at once.
    pub(super) fn close(&mut self) {
        if let Carrier::Tls(tls) = &mut self.carrier {
            tls.send_close_notify();
        }
        let _ = self.flush();
    }
}

/// Why TLS with a call manager fails, for an operator.
fn explained(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(reason) => {
            format!(
                "its certificate is not the one, or of the authority and name, that is configured: {reason}"
            )
        }
        Error::AlertReceived(alert) => {
            format!("it refused us ({alert:?} alert): does it trust the certificate of [outside]?")
        }
        other => format!("TLS failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sys::socket::getsockopt;

    use super::*;

    #[test]
    fn port_is_taken_with_the_peer_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = "127.0.0.78".parse().unwrap();
        let stream = connecting(listener.local_addr().unwrap(), local).unwrap();
        assert!(getsockopt(&stream, IpBindAddressNoPort).unwrap());
        let (_, from) = listener.accept().unwrap();
        assert_eq!((from.ip(), from), (local, stream.local_addr().unwrap()));
    }
}
