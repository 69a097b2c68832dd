//! What the poll's tokens mean.

use mio::Token;

/// The mailbox.
pub(super) const WAKER: Token = Token(0);
/// The TLS listener.
pub(super) const LISTENER: Token = Token(1);
/// First token of the TLS listeners for SCCP: at most [`SKINNY_MAX`].
const SKINNY: usize = 1 << 16;
/// More listeners for SCCP than anybody has.
const SKINNY_MAX: usize = 1 << 16;
/// First token of the clusters' sockets: two for each cluster.
const CLUSTERS: usize = 16;
/// First token of connections; never reused.
pub(super) const CONNECTIONS: u64 = 1 << 20;

/// The token of a TLS listener for SCCP.
pub(super) const fn skinny(at: usize) -> Token {
    Token(SKINNY + at)
}

/// Which TLS listener for SCCP a token is.
pub(super) fn skinny_of(token: Token) -> Option<usize> {
    token.0.checked_sub(SKINNY).filter(|at| *at < SKINNY_MAX)
}

/// The token of a connection.
pub(super) fn connection(id: u64) -> Token {
    Token(usize::try_from(id).unwrap_or(usize::MAX))
}

/// A cluster's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClusterSocket {
    Udp(usize),
    Listener(usize),
}

impl ClusterSocket {
    pub(super) const fn token(self) -> Token {
        match self {
            Self::Udp(cluster) => Token(CLUSTERS + 2 * cluster),
            Self::Listener(cluster) => Token(CLUSTERS + 2 * cluster + 1),
        }
    }

    pub(super) const fn from_token(token: Token) -> Option<Self> {
        let Some(at) = token.0.checked_sub(CLUSTERS) else { return None };
        if at % 2 == 0 { Some(Self::Udp(at / 2)) } else { Some(Self::Listener(at / 2)) }
    }
}
