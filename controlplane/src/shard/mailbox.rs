//! How threads talk to a shard.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};

use mio::{Poll, Waker};
use pinhole_flow::ShardEnd;
use pinhole_legacy_tls::Refusals;
use pinhole_proxy::DeviceName;

use super::connection::Phone;
use super::old_phones::OldPhone;
use super::taps::Tap;
use super::tokens;
use super::view::View;
use crate::neighbours::Update;

/// What a shard may be told.
pub enum ToShard {
    /// A phone's connection whose home is here, just after its handshake.
    Phone(Box<Phone>),
    /// An old phone, just after its handshake.
    OldPhone(Box<OldPhone>),
    /// Old phones were refused.
    OldRefused(Box<Refusals>),
    /// The data plane is attached.
    Attached(Box<Attached>),
    /// The data plane is gone.
    Detached,
    /// A next hop has changed (shard 0 tells the data plane).
    NextHop(Update),
    /// Somebody wants to see what there is.
    Look(SyncSender<View>),
    /// Somebody traces a phone whose home is here.
    Trace(Box<Tap>),
    /// The trace of that number is over.
    TraceEnds(u64),
    /// A phone is withdrawn: whoever traces it is to look no longer, and it is served no longer.
    Withdrawn(DeviceName),
    /// A phone is of another class, perhaps: a connection from before is served no longer.
    Reclassed(DeviceName),
    /// The process ends.
    Stop,
}

/// This shard's ends of the contract.
pub struct Attached {
    /// Rings, slots and notes.
    pub end: ShardEnd,
    /// Next-hop indices of sessions that were found open, by slot.
    pub hops: Vec<(u32, [u32; 2])>,
}

/// Where messages for a shard are put. Bounded by what is behind the messages: connections, attaches, questions.
#[derive(Clone)]
pub struct Mailbox {
    sender: Sender<ToShard>,
    waker: Arc<Waker>,
}

/// A shard's own part of its mailbox.
pub struct Inbox {
    pub(super) poll: Poll,
    pub(super) messages: Receiver<ToShard>,
}

impl Mailbox {
    /// A mailbox and the shard's part of it.
    ///
    /// # Errors
    /// When the system gives no epoll or eventfd.
    pub fn new() -> io::Result<(Self, Inbox)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), tokens::WAKER)?);
        let (sender, messages) = channel();
        Ok((Self { sender, waker }, Inbox { poll, messages }))
    }

    /// Puts a message; false when the shard has ended.
    pub fn send(&self, message: ToShard) -> bool {
        self.sender.send(message).is_ok() && self.waker.wake().is_ok()
    }
}
