//! What a phone's connection is made of: its own socket, or the clear stream that `pinhole-legacy-tls` handed over.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use super::connection::Place;

/// The socket of a phone's connection.
pub enum Wire {
    /// The phone's own.
    Tcp(TcpStream),
    /// An old phone's, in the clear, with its place among them.
    Clear {
        /// Its end here.
        stream: UnixStream,
        /// Given back with it.
        _place: Place,
    },
}

impl Wire {
    /// A phone's own socket. It must tell when the phone has lost its power; if the system refuses, the proxy's timers are
    /// left.
    pub fn tcp(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(Duration::from_secs(30)));
        Self::Tcp(stream)
    }

    /// A clear stream, which must not block.
    pub fn clear(stream: StdUnixStream, place: Place) -> Self {
        Self::Clear { stream: UnixStream::from_std(stream), _place: place }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Clear { stream, .. } => stream,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(to),
            Self::Clear { stream, .. } => stream.read(to),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Clear { stream, .. } => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            Self::Clear { stream, .. } => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Wire {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}
