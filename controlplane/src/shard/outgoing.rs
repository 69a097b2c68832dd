//! TCP connections that a shard makes: to call managers.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// How long a connection to a call manager may take to come up.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A connection that is being made from our own address.
pub(super) fn connecting(peer: SocketAddr, local: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
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
