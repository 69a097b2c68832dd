//! Binding the process's addresses.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::{Config, LegacyListener, Transport};
use crate::shard::{ClusterSockets, Sockets};

/// Connections that the kernel keeps for us until we accept them, which we do with all of them at once; those of an office that comes
/// back together are to fit. Who finds it full tries again a second later. As many as the kernel allows by default
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Bytes of datagrams that the kernel keeps for us.
const DATAGRAMS: usize = 1 << 20;

/// Why an address cannot be used.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process has it.
    #[error("{key}: {address} is already in use; stop the other process or choose another port")]
    Busy {
        /// The configuration key.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "{key}: no permission for {address}; choose a port from 1024 on, or give the process CAP_NET_BIND_SERVICE"
    )]
    Permission {
        /// The configuration key.
        key: String,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("{key}: {address} cannot be used: {source}")]
    Other {
        /// The configuration key.
        key: String,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn of(key: &str, address: SocketAddr, source: io::Error) -> Self {
        let key = key.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Busy { key, address },
            io::ErrorKind::PermissionDenied => Self::Permission { key, address },
            _ => Self::Other { key, address, source },
        }
    }
}

/// The sockets of every shard, and addresses that are not on this machine yet: the twins may
/// appear, and get their addresses, after us.
///
/// # Errors
/// When an address cannot be used.
pub fn bind(config: &Config) -> Result<(Vec<Sockets>, Vec<SocketAddr>), BindError> {
    let mut missing = Vec::new();
    let listen = config.outside.listen;
    // Shards share the port; another process of the same user could share it as well. So look first.
    drop(tcp("outside.listen", listen, false, &mut missing)?);
    for (address, key) in config.sccp_listeners() {
        drop(tcp(&key, address, false, &mut missing)?);
    }
    let mut shards = Vec::new();
    for shard in 0..config.controlplane.shards {
        let listener = tcp("outside.listen", listen, true, &mut missing)?;
        let mut clusters = Vec::new();
        for (n, cluster) in config.clusters.iter().enumerate() {
            let key = format!("cluster[{n}].local");
            let local = cluster.local_of(shard);
            let udp = match cluster.transport {
                Transport::Udp => Some(udp(&key, local, &mut missing)?),
                Transport::Tcp => None,
            };
            clusters.push(ClusterSockets { udp, listener: tcp(&key, local, false, &mut missing)? });
        }
        let mut sccp = Vec::new();
        for (address, key) in config.sccp_listeners() {
            sccp.push((address, tcp(&key, address, true, &mut missing)?));
        }
        shards.push(Sockets { listener, sccp, clusters });
    }
    Ok((shards, missing))
}

/// The listeners for old phones, which another process accepts at.
///
/// # Errors
/// When an address cannot be used.
pub fn legacy(
    config: &Config,
    missing: &mut Vec<SocketAddr>,
) -> Result<Vec<(LegacyListener, TcpListener)>, BindError> {
    let bound = config.legacy_listeners().into_iter().map(|listener| {
        let socket = tcp(&listener.key, listener.address, false, missing)?;
        Ok((listener, socket))
    });
    bound.collect()
}

/// A listener. `shared`: several sockets of ours may have the address.
///
/// # Errors
/// When the address cannot be used.
pub fn tcp(
    key: &str,
    address: SocketAddr,
    shared: bool,
    missing: &mut Vec<SocketAddr>,
) -> Result<TcpListener, BindError> {
    let mut make = || {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        bind_even_if_missing(&socket, address, missing)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    make().map_err(|error| BindError::of(key, address, error))
}

/// A socket for datagrams.
///
/// # Errors
/// When the address cannot be used.
pub fn udp(key: &str, address: SocketAddr, missing: &mut Vec<SocketAddr>) -> Result<UdpSocket, BindError> {
    let mut make = || {
        let socket =
            Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        // A smaller buffer than asked for is no error.
        let _ = socket.set_recv_buffer_size(DATAGRAMS);
        bind_even_if_missing(&socket, address, missing)?;
        Ok(socket.into())
    };
    make().map_err(|error| BindError::of(key, address, error))
}

fn bind_even_if_missing(
    socket: &Socket,
    address: SocketAddr,
    missing: &mut Vec<SocketAddr>,
) -> io::Result<()> {
    match socket.bind(&address.into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            missing.push(address);
            if address.is_ipv4() {
                socket.set_freebind_v4(true)?
            } else {
                socket.set_freebind_v6(true)?
            }
            socket.bind(&address.into())
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_port_is_one_clear_line() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = tcp("outside.listen", address, false, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("already in use"), "{error}");
    }

    #[test]
    fn absent_address_is_bound_all_the_same_and_told() {
        let mut missing = Vec::new();
        let address: SocketAddr = "192.0.2.77:5060".parse().unwrap();
        tcp("outside.listen", address, false, &mut missing).unwrap();
        udp("cluster[0].local", address, &mut missing).unwrap();
        assert_eq!(missing, vec![address, address]);
    }
}
