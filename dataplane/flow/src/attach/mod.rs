//! How a control plane comes to the shared memories: one exchange of packets over a Unix
//! `SOCK_SEQPACKET` socket. The client sends a request, the server answers with a reply, to
//! which the two memfds are attached (`SCM_RIGHTS`) if it agrees. The connection then stays open and
//! silent: its end is how each side learns of the other's.

pub(crate) mod client;
mod server;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use server::{AttachEvent, AttachServer, BindError, Peer};

use crate::layout::{ABI_VERSION, LAYOUT_HASH, MAX_SHARDS};

/// What a control plane asks for. The first three fields keep their places in every version.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Request {
    /// [`MAGIC`](crate::layout::MAGIC).
    magic: u64,
    /// Of the control plane.
    layout_hash: u64,
    /// Of the control plane.
    abi_version: u32,
    /// Number of signalling shards.
    shards: u32,
}

/// What the data plane answers. The first four fields keep their places in every version.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Reply {
    /// [`MAGIC`](crate::layout::MAGIC).
    magic: u64,
    /// Of the data plane.
    layout_hash: u64,
    /// Of the data plane.
    abi_version: u32,
    /// One of [`verdict`].
    verdict: u32,
    /// With [`verdict::BUSY`]: process id of the control plane that is attached.
    holder: u32,
    /// Zero.
    reserved: u32,
}

/// Values of [`Reply::verdict`].
mod verdict {
    /// The memfds are attached.
    pub const WELCOME: u32 = 0;
    /// Not a request.
    pub const MAGIC: u32 = 1;
    /// Another ABI version.
    pub const ABI: u32 = 2;
    /// Another layout.
    pub const LAYOUT: u32 = 3;
    /// Number of shards out of range.
    pub const SHARDS: u32 = 4;
    /// Another control plane is attached.
    pub const BUSY: u32 = 5;
}

/// Why a control plane could not attach.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Nobody listens.
    #[error("no data plane at {}: start pinhole-dataplane, or correct [dataplane] socket", path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
    },
    /// The socket may not be used by this user.
    #[error(
        "not permitted to attach at {}: set [dataplane] socket_group to a group of the control plane's user, \
         and let that user pass the directories above",
        path.display()
    )]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// Another control plane is attached.
    #[error("another control plane (process {pid}) is attached to this data plane: stop it first")]
    Busy {
        /// Its process id, 0 if unknown.
        pid: u32,
    },
    /// What answers is not a data plane.
    #[error(
        "what answers at the data plane's socket is not a data plane of Pinhole: check [dataplane] socket"
    )]
    Magic,
    /// Another version of the contract.
    #[error(
        "the data plane speaks version {theirs} of the contract, this control plane {ABI_VERSION}: \
             install both from one release and restart the older one"
    )]
    Abi {
        /// The data plane's version.
        theirs: u32,
    },
    /// Another layout of the shared memory.
    #[error(
        "the data plane's shared memory is laid out otherwise (layout {theirs:016x}, here {LAYOUT_HASH:016x}): \
             install both from one build and restart the older one"
    )]
    Layout {
        /// The data plane's layout hash.
        theirs: u64,
    },
    /// The number of shards is out of range.
    #[error("[controlplane] shards = {shards}: must be from 1 to {MAX_SHARDS}")]
    Shards {
        /// The number asked for.
        shards: u32,
    },
    /// No answer in time.
    #[error("the data plane at {} does not answer: see whether it hangs, and restart it", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
    },
    /// A worker does not consume its commands.
    #[error(
        "the data plane's worker has not touched its commands for {seconds} s: see whether it hangs, and restart it"
    )]
    Stalled {
        /// How long was waited.
        seconds: u64,
    },
    /// The header holds impossible numbers.
    #[error("the data plane's header makes no sense ({what}): restart the data plane")]
    Header {
        /// The numbers.
        what: String,
    },
    /// A memory has the wrong size.
    #[error("the data plane's shared memory has {found} bytes instead of {wanted}: restart the data plane")]
    Size {
        /// Bytes found.
        found: usize,
        /// Bytes expected.
        wanted: usize,
    },
    /// A memory is not sealed as it must be.
    #[error("the data plane's shared memory is not sealed: this is not a data plane of Pinhole")]
    Unsealed,
    /// The operating system refused something.
    #[error("attaching to the data plane failed at {step}: {source}")]
    Io {
        /// What failed.
        step: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl AttachError {
    pub(crate) fn io(step: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

/// Most packets that [`has_ended`] throws away at once.
const CHATTER: usize = 64;

/// Whether the peer of a connection that carries nothing more has gone. What it sends all the same is
/// thrown away: left there, it would make every poll of the connection return at once.
pub(crate) fn has_ended(connection: &OwnedFd) -> bool {
    let mut nothing = [0u8; 1];
    for _ in 0..CHATTER {
        match recv(connection, &mut nothing[..], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Ok((0, _)) | Err(_) => return true,
            Ok(_) => (),
        }
    }
    false
}

#[cfg(test)]
mod tests;
