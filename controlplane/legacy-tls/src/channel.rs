//! The socket pair that messages go over.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_send_buffer_size, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use thiserror::Error;

use crate::message::MESSAGE_MAX;

/// The most descriptors that come with one message.
pub const FILES_MAX: usize = 64;

/// One end of the socket pair.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// Why nothing was received, or sent.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The other side has gone.
    #[error("the other side has gone")]
    Closed,
    /// Nothing within the time, or no room now.
    #[error("not now")]
    WouldBlock,
    /// More than a message may be.
    #[error("a message of more than {MESSAGE_MAX} bytes or {FILES_MAX} descriptors")]
    TooLong,
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Channel {
    /// Both ends.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for socket in [&one, &other] {
            // A message must fit; the system's default is enough where it gives no more.
            let _ = set_socket_send_buffer_size(socket, 2 * MESSAGE_MAX);
            let _ = set_socket_recv_buffer_size(socket, 2 * MESSAGE_MAX);
        }
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// The end that a process was started with.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_stdin() -> io::Result<Self> {
        Ok(Self { socket: io::stdin().as_fd().try_clone_to_owned()? })
    }

    /// Receiving and sending wait for nothing from now on.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        Ok(ioctl_fionbio(&self.socket, true)?)
    }

    /// How long receiving and sending may take.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        set_socket_timeout(&self.socket, Timeout::Recv, Some(timeout))?;
        Ok(set_socket_timeout(&self.socket, Timeout::Send, Some(timeout))?)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it cannot be sent; nothing of it was sent then.
    pub fn send(&self, bytes: &[u8], files: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        if bytes.len() > MESSAGE_MAX || files.len() > FILES_MAX {
            return Err(ChannelError::TooLong);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(ChannelError::TooLong);
        }
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(failed)
    }

    /// Receives a message into `buffer`, which should have [`MESSAGE_MAX`] bytes: its length, and what came along.
    ///
    /// # Errors
    /// When there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags);
        let received = received.map_err(failed)?;
        let files = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let files: Vec<OwnedFd> = files.flatten().collect();
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(ChannelError::TooLong);
        }
        // No message is empty.
        if received.bytes == 0 { Err(ChannelError::Closed) } else { Ok((received.bytes, files)) }
    }
}

fn failed(errno: Errno) -> ChannelError {
    match errno {
        Errno::AGAIN | Errno::INTR => ChannelError::WouldBlock,
        Errno::PIPE | Errno::CONNRESET => ChannelError::Closed,
        Errno::MSGSIZE => ChannelError::TooLong,
        other => ChannelError::Io(other.into()),
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
