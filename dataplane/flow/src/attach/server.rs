//! The data plane's side. Nothing in it blocks, and nothing that a client does can hold it up:
//! clients that don't say what they want have a bounded number of places and a bounded time.

use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, bind, connect, listen, recv, sendmsg, socket_with,
};
use zerocopy::{FromZeros, IntoBytes};

use super::{Reply, Request, has_ended, verdict};
use crate::Region;
use crate::layout::{ABI_VERSION, LAYOUT_HASH, MAGIC, MAX_SHARDS};

/// Clients that are connected and have not sent their request.
const WAITING_MAX: usize = 8;
/// How long a client may take to send its request.
const WAITING_TIME: Duration = Duration::from_secs(1);

/// The socket on which control planes attach, one at a time.
pub struct AttachServer {
    path: PathBuf,
    listener: OwnedFd,
    waiting: Vec<Client>,
    attached: Option<Client>,
}

/// A connection.
struct Client {
    connection: OwnedFd,
    peer: Peer,
    since: Instant,
}

/// Who is at the other end, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id, 0 if unknown (another pid namespace).
    pub pid: u32,
    /// User id.
    pub uid: u32,
}

/// What happened at the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachEvent {
    /// A control plane has attached.
    Attached {
        /// Who.
        peer: Peer,
        /// Its number of signalling shards.
        shards: u32,
    },
    /// The control plane has gone. Media goes on; the next one may attach.
    Detached {
        /// Who.
        peer: Peer,
    },
    /// Somebody was turned away.
    Refused {
        /// Who.
        peer: Peer,
        /// Why.
        reason: &'static str,
    },
}

/// Why the attach socket could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A data plane is running.
    #[error("another data plane listens at {}: stop it first, or give this one its own [dataplane] socket", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is in the way.
    #[error("{} is not a socket: remove it, or choose another [dataplane] socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The directory is missing.
    #[error("the directory of {} does not exist: create it, or choose another [dataplane] socket", path.display())]
    NoDirectory {
        /// The socket.
        path: PathBuf,
    },
    /// There is no such group.
    #[error("[dataplane] socket_group = {group:?}: there is no such group in /etc/group")]
    NoGroup {
        /// The name.
        group: String,
    },
    /// The operating system refused something.
    #[error("cannot make the attach socket {}: {step}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What failed.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl AttachServer {
    /// Listens at `path`, for this user and the members of `group` (name or number). A socket file
    /// that a dead data plane left is replaced.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, BindError> {
        let failed =
            |step: &'static str| move |source: io::Error| BindError::Io { path: path.into(), step, source };
        let gid = group.map(group_id).transpose()?;
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(BindError::NoDirectory { path: path.into() });
        }
        refuse_occupied(path)?;
        // Made under another name, so that nobody connects before the permissions are right.
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let _ = fs::remove_file(&draft);
        let listener = open(&draft).map_err(|errno| failed("bind")(errno.into()))?;
        let finish = || {
            if let Some(gid) = gid {
                chown(&draft, None, Some(gid)).map_err(failed("changing its group"))?;
            }
            let mode = if gid.is_some() { 0o660 } else { 0o600 };
            fs::set_permissions(&draft, fs::Permissions::from_mode(mode))
                .map_err(failed("changing its permissions"))?;
            fs::rename(&draft, path).map_err(failed("renaming"))
        };
        if let Err(error) = finish() {
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        Ok(Self { path: path.into(), listener, waiting: Vec::new(), attached: None })
    }

    /// Sleeps until something happens at the socket, `timeout` has passed, or a signal comes.
    pub fn wait(&self, timeout: Duration) {
        let clients = self.waiting.iter().chain(&self.attached).map(|client| client.connection.as_fd());
        // Without a place for a client, one that knocks must not wake us over and over.
        let listener = (self.waiting.len() < WAITING_MAX).then(|| self.listener.as_fd());
        let mut fds: Vec<PollFd<'_>> = listener
            .into_iter()
            .chain(clients)
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let timeout = Timespec::try_from(timeout).ok();
        // A signal or an error only makes the caller's turn come early.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    /// The listening socket, for a poll loop.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Who is attached.
    pub fn attached(&self) -> Option<Peer> {
        self.attached.as_ref().map(|client| client.peer)
    }

    /// Does what is to be done without blocking, and tells the next thing that happened. To be
    /// called until `None`, whenever [`AttachServer::wait`] returns or a few times a second.
    pub fn poll(&mut self, region: &Region) -> Option<AttachEvent> {
        // First of all: the control plane that follows may be in the queue already.
        if let Some(gone) = self.attached.take_if(|client| has_ended(&client.connection)) {
            return Some(AttachEvent::Detached { peer: gone.peer });
        }
        self.accept();
        for at in 0..self.waiting.len() {
            let client = self.waiting.get(at)?;
            let mut request = Request::new_zeroed();
            let outcome = match recv(
                &client.connection,
                request.as_mut_bytes(),
                RecvFlags::DONTWAIT | RecvFlags::TRUNC,
            ) {
                Err(Errno::AGAIN | Errno::INTR) if client.since.elapsed() < WAITING_TIME => continue,
                // The second number is the packet's true length. Later versions may ask at more length.
                Ok((_, len)) if len >= size_of::<Request>() => Ok(request),
                Ok((_, 0)) => Err("it hung up without a request"),
                Ok(_) => Err("its request is too short"),
                Err(_) => Err("it sent no request in time"),
            };
            let client = self.waiting.remove(at);
            return Some(match outcome {
                Ok(request) => self.answer(client, &request, region),
                Err(reason) => refuse(&client, verdict::MAGIC, 0, reason),
            });
        }
        None
    }

    /// Takes in connections while there are places for them.
    fn accept(&mut self) {
        while self.waiting.len() < WAITING_MAX {
            match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(connection) => {
                    let peer = peer_of(&connection);
                    self.waiting.push(Client { connection, peer, since: Instant::now() });
                }
                Err(_) => return,
            }
        }
    }

    fn answer(&mut self, client: Client, request: &Request, region: &Region) -> AttachEvent {
        if request.magic != MAGIC {
            return refuse(&client, verdict::MAGIC, 0, "it is not a control plane of Pinhole");
        }
        if request.abi_version != ABI_VERSION {
            return refuse(&client, verdict::ABI, 0, "it speaks another version of the contract");
        }
        if request.layout_hash != LAYOUT_HASH {
            return refuse(
                &client,
                verdict::LAYOUT,
                0,
                "it was built with another layout of the shared memory",
            );
        }
        if !(1..=MAX_SHARDS as u32).contains(&request.shards) {
            return refuse(&client, verdict::SHARDS, 0, "it asks for an impossible number of shards");
        }
        if let Some(holder) = &self.attached {
            return refuse(&client, verdict::BUSY, holder.peer.pid, "another control plane is attached");
        }
        // Before the memory is handed over, so that the first event goes to the right shard.
        region.set_shards(request.shards);
        let fds = region.memfds();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds))
            || reply(&client, verdict::WELCOME, 0, &mut ancillary).is_err()
        {
            return AttachEvent::Refused { peer: client.peer, reason: "it hung up before it was answered" };
        }
        let peer = client.peer;
        self.attached = Some(client);
        AttachEvent::Attached { peer, shards: request.shards }
    }
}

impl Drop for AttachServer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Turns a client away. That it may not hear it any more is no concern of ours.
fn refuse(client: &Client, verdict: u32, holder: u32, reason: &'static str) -> AttachEvent {
    let _ = reply(client, verdict, holder, &mut SendAncillaryBuffer::default());
    AttachEvent::Refused { peer: client.peer, reason }
}

fn reply(
    client: &Client,
    verdict: u32,
    holder: u32,
    ancillary: &mut SendAncillaryBuffer<'_, '_, '_>,
) -> Result<usize, Errno> {
    let reply = Reply {
        magic: MAGIC,
        layout_hash: LAYOUT_HASH,
        abi_version: ABI_VERSION,
        verdict,
        holder,
        reserved: 0,
    };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(&client.connection, &[IoSlice::new(reply.as_bytes())], ancillary, flags)
}

/// The peer's credentials. Not through rustix, whose `Pid` cannot be the 0 that the kernel says when
/// the peer lives in another pid namespace.
fn peer_of(connection: &OwnedFd) -> Peer {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of `found`, and any bits are a
    // `ucred`. An error leaves `found` as it is: nobody.
    unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut len,
        )
    };
    Peer { pid: found.pid as u32, uid: found.uid }
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    listen(&listener, WAITING_MAX as i32)?;
    Ok(listener)
}

/// Refuses a path at which something lives; a dead data plane's socket doesn't.
fn refuse_occupied(path: &Path) -> Result<(), BindError> {
    let failed = |step| move |errno: Errno| BindError::Io { path: path.into(), step, source: errno.into() };
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.into() });
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed("socket"))?;
    let address = SocketAddrUnix::new(path).map_err(failed("its path"))?;
    match connect(&probe, &address) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // Connected, its queue is full, or it is a living socket of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(BindError::Running { path: path.into() }),
        Err(errno) => Err(failed("probing")(errno)),
    }
}

/// The number of a group, given by number or by its name in /etc/group.
pub(super) fn group_id(group: &str) -> Result<u32, BindError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let all = fs::read_to_string("/etc/group").unwrap_or_default();
    all.lines()
        .map(|line| line.split(':'))
        .filter_map(|mut fields| (fields.next()? == group).then(|| fields.nth(1))?)
        .find_map(|gid| gid.parse().ok())
        .ok_or_else(|| BindError::NoGroup { group: group.into() })
}
