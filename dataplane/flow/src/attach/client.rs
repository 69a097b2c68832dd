//! The control plane's side.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, send, socket_with,
};
use zerocopy::{FromZeros, IntoBytes};

use super::{AttachError, Reply, Request, verdict};
use crate::layout::{ABI_VERSION, LAYOUT_HASH, MAGIC};

/// How long the data plane may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the data plane gave us.
pub(crate) struct Attached {
    pub connection: OwnedFd,
    pub worker_memfd: OwnedFd,
    pub control_memfd: OwnedFd,
}

/// Asks the data plane at `path` for its memories.
pub(crate) fn attach(path: &Path, shards: u32) -> Result<Attached, AttachError> {
    let request = Request { magic: MAGIC, layout_hash: LAYOUT_HASH, abi_version: ABI_VERSION, shards };
    ask(path, &request)
}

/// One exchange.
pub(super) fn ask(path: &Path, request: &Request) -> Result<Attached, AttachError> {
    let silent = || AttachError::Silent { path: path.into() };
    let connection = dial(path)?;
    match send(&connection, request.as_bytes(), SendFlags::NOSIGNAL) {
        Ok(_) => (),
        Err(Errno::AGAIN) => return Err(silent()),
        // The server has hung up already; it may have said why.
        Err(Errno::PIPE | Errno::CONNRESET) => (),
        Err(errno) => return Err(io("send", errno)),
    }
    let mut reply = Reply::new_zeroed();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        &connection,
        &mut [IoSliceMut::new(reply.as_mut_bytes())],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    let bytes = match received {
        Ok(message) => message.bytes,
        Err(Errno::AGAIN | Errno::CONNRESET) => 0,
        Err(errno) => return Err(io("recvmsg", errno)),
    };
    if bytes == 0 {
        return Err(silent());
    }
    judge(&reply, bytes, request.shards)?;
    let mut fds = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let mut fds = fds.next().into_iter().flatten();
    match (fds.next(), fds.next()) {
        (Some(worker_memfd), Some(control_memfd)) => Ok(Attached { connection, worker_memfd, control_memfd }),
        _ => Err(AttachError::Magic),
    }
}

fn dial(path: &Path) -> Result<OwnedFd, AttachError> {
    let connection = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| io("socket", errno))?;
    for which in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(&connection, which, Some(PATIENCE)).map_err(|errno| io("setsockopt", errno))?;
    }
    let address = SocketAddrUnix::new(path).map_err(|errno| io("the socket's path", errno))?;
    match connect(&connection, &address) {
        Ok(()) => Ok(connection),
        Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR) => {
            Err(AttachError::Absent { path: path.into() })
        }
        Err(Errno::ACCESS | Errno::PERM) => Err(AttachError::Permission { path: path.into() }),
        // A socket of another type, or not a socket at all.
        Err(Errno::PROTOTYPE) => Err(AttachError::Magic),
        Err(Errno::AGAIN) => Err(AttachError::Silent { path: path.into() }),
        Err(errno) => Err(io("connect", errno)),
    }
}

fn judge(reply: &Reply, bytes: usize, shards: u32) -> Result<(), AttachError> {
    if bytes != size_of::<Reply>() || reply.magic != MAGIC {
        return Err(AttachError::Magic);
    }
    match reply.verdict {
        verdict::WELCOME => Ok(()),
        verdict::ABI => Err(AttachError::Abi { theirs: reply.abi_version }),
        verdict::LAYOUT => Err(AttachError::Layout { theirs: reply.layout_hash }),
        verdict::SHARDS => Err(AttachError::Shards { shards }),
        verdict::BUSY => Err(AttachError::Busy { pid: reply.holder }),
        _ => Err(AttachError::Magic),
    }
}

fn io(step: &'static str, errno: Errno) -> AttachError {
    AttachError::Io { step, source: errno.into() }
}
