//! Copies of one phone's messages, for those who trace it. They hold keys, and are wiped where they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use pinhole_admin::Hop;
use pinhole_proxy::{DeviceName, Route, UpstreamId};
use pinhole_sip::Message;
use zeroize::Zeroizing;

use super::Shard;
use super::connection::{Said, Speech, Stage};

/// Messages that wait for a reader.
const MESSAGES: usize = 1024;
/// Bytes that wait for one.
const BYTES: usize = 1 << 20;

/// A message as it passed.
pub struct Seen {
    /// When.
    pub time: SystemTime,
    /// From whom, to whom.
    pub hop: Hop,
    /// The phone.
    pub phone: Option<SocketAddr>,
    /// Index of the cluster.
    pub cluster: Option<usize>,
    /// The call manager.
    pub call_manager: Option<SocketAddr>,
    /// What carries it.
    pub transport: &'static str,
    /// Whether it is SCCP.
    pub is_skinny: bool,
    /// How many messages were left out before it.
    pub lost: u64,
    /// The whole message.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The shard's end of a trace.
pub struct Tap {
    /// Its number, by which it is closed.
    pub id: u64,
    /// The phone.
    pub device: DeviceName,
    seen: SyncSender<Seen>,
    behind: Arc<Behind>,
}

/// The reader's end of a trace.
pub struct Reader {
    seen: Receiver<Seen>,
    behind: Arc<Behind>,
}

/// How far the reader is behind.
#[derive(Default)]
struct Behind {
    bytes: AtomicUsize,
    lost: AtomicU64,
}

impl Tap {
    /// Both ends of a new trace. A reader that is too slow loses messages, and never holds up the shard.
    pub fn new(id: u64, device: DeviceName) -> (Self, Reader) {
        let (sender, seen) = sync_channel(MESSAGES);
        let behind = Arc::new(Behind::default());
        (Self { id, device, seen: sender, behind: Arc::clone(&behind) }, Reader { seen, behind })
    }

    fn copy(&self, mut seen: Seen) {
        let length = seen.bytes.len();
        let lost = self.behind.lost.swap(0, Ordering::Relaxed);
        seen.lost = lost;
        if self.behind.bytes.fetch_add(length, Ordering::Relaxed) + length > BYTES
            || self.seen.try_send(seen).is_err()
        {
            self.behind.bytes.fetch_sub(length, Ordering::Relaxed);
            self.behind.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

impl Reader {
    /// The next message.
    ///
    /// # Errors
    /// When none came in that time, or none will come any more.
    pub fn next(&self, patience: Duration) -> Result<Seen, RecvTimeoutError> {
        let seen = self.seen.recv_timeout(patience)?;
        self.behind.bytes.fetch_sub(seen.bytes.len(), Ordering::Relaxed);
        Ok(seen)
    }

    /// How many messages were left out since the last that waits.
    pub fn lost(&self) -> u64 {
        self.behind.lost.swap(0, Ordering::Relaxed)
    }
}

/// The traces of a shard's phones.
#[derive(Default)]
pub(super) struct Taps {
    open: Vec<Tap>,
    /// The phone that the message from inside is about which is being handled.
    subject: Option<DeviceName>,
}

impl Taps {
    /// Whether there is none. The one branch that a message costs then.
    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn open(&mut self, tap: Tap) {
        self.open.push(tap);
    }

    pub(super) fn close(&mut self, id: u64) {
        self.open.retain(|tap| tap.id != id);
    }

    /// Ends the traces of a phone.
    pub(super) fn end(&mut self, device: &DeviceName) {
        self.open.retain(|tap| tap.device != *device);
    }

    fn of<'a>(&'a self, device: &'a DeviceName) -> impl Iterator<Item = &'a Tap> {
        self.open.iter().filter(move |tap| tap.device == *device)
    }
}

/// What is known of a message before it is known whether anybody traces its phone.
struct Passing<'a> {
    hop: Hop,
    device: &'a DeviceName,
    conn: Option<u64>,
    inside: Option<(usize, SocketAddr, &'static str)>,
    is_skinny: bool,
}

impl Shard {
    /// A phone's message.
    pub(super) fn tap_from_phone(&self, conn: u64, said: &Said) {
        if self.taps.is_empty() {
            return;
        }
        match said {
            Said::Skinny(frame) => self.tap_phone(Hop::FromPhone, conn, frame.as_bytes()),
            Said::Sip(pinhole_sip::Frame::Message(message)) => {
                self.tap_phone(Hop::FromPhone, conn, &Zeroizing::new(message.to_bytes()));
            }
            Said::Sip(_) => {}
        }
    }

    /// A message to a phone.
    pub(super) fn tap_to_phone(&self, conn: u64, bytes: &[u8]) {
        if !self.taps.is_empty() {
            self.tap_phone(Hop::ToPhone, conn, bytes);
        }
    }

    fn tap_phone(&self, hop: Hop, conn: u64, bytes: &[u8]) {
        let Some(phone) = self.phones.get(&conn) else { return };
        if let Stage::Bound(device) = &phone.stage {
            let is_skinny = matches!(phone.speech, Speech::Skinny { .. });
            self.tap(&Passing { hop, device, conn: Some(conn), inside: None, is_skinny }, bytes);
        }
    }

    /// A SIP message from a call manager; what is answered to it until [`Shard::tap_over`] concerns the same phone.
    pub(super) fn tap_from_inside(
        &mut self,
        cluster: usize,
        peer: SocketAddr,
        transport: &'static str,
        message: &Message,
    ) {
        if self.taps.is_empty() {
            return;
        }
        self.taps.subject = self.proxy.subject(cluster, message);
        let Some(device) = &self.taps.subject else { return };
        let inside = Some((cluster, peer, transport));
        let passing = Passing { hop: Hop::FromCallManager, device, conn: None, inside, is_skinny: false };
        self.tap(&passing, &Zeroizing::new(message.to_bytes()));
    }

    /// The message from inside is handled.
    pub(super) fn tap_over(&mut self) {
        self.taps.subject = None;
    }

    /// A SIP message to a call manager, on behalf of a device or in answer to the message that is being handled.
    pub(super) fn tap_to_inside(
        &self,
        cluster: usize,
        device: Option<&DeviceName>,
        route: &Route,
        bytes: &[u8],
    ) {
        if self.taps.is_empty() {
            return;
        }
        let Some(device) = device.or(self.taps.subject.as_ref()) else { return };
        let config = self.shared.config.clusters.get(cluster);
        let (peer, transport) = match route {
            Route::Udp { to } => (Some(*to), "udp"),
            Route::Upstream(UpstreamId(id)) => (self.upstream_peer(*id), "tcp"),
            Route::Device(_) => (config.map(|config| config.call_manager), "tcp"),
        };
        let inside = peer.map(|peer| (cluster, peer, transport));
        self.tap(&Passing { hop: Hop::ToCallManager, device, conn: None, inside, is_skinny: false }, bytes);
    }

    /// An SCCP frame from or to the call manager of a phone's connection.
    pub(super) fn tap_skinny(&self, hop: Hop, conn: u64, bytes: &[u8]) {
        if self.taps.is_empty() {
            return;
        }
        let Some(Stage::Bound(device)) = self.phones.get(&conn).map(|phone| &phone.stage) else { return };
        let inside = self.proxy.cluster_of(device).zip(self.server_of(conn));
        let inside = inside.map(|(cluster, (peer, transport))| (cluster, peer, transport));
        self.tap(&Passing { hop, device, conn: Some(conn), inside, is_skinny: true }, bytes);
    }

    /// Copies a message to those who trace its phone.
    fn tap(&self, passing: &Passing<'_>, bytes: &[u8]) {
        // A keep-alive of SIP is no message.
        if bytes.trim_ascii().is_empty() {
            return;
        }
        for tap in self.taps.of(passing.device) {
            let phone = passing.conn.or_else(|| self.proxy.connection_of(passing.device).map(|conn| conn.0));
            let phone = phone.and_then(|conn| self.phones.get(&conn)).map(|phone| phone.peer);
            let cluster = passing.inside.map(|(cluster, ..)| cluster);
            let cluster = cluster.or_else(|| self.proxy.cluster_of(passing.device));
            let call_manager = passing.inside.map(|(_, peer, _)| peer).or_else(|| match passing.conn {
                Some(conn) if passing.is_skinny => self.server_of(conn).map(|(peer, _)| peer),
                _ => cluster.and_then(|at| Some(self.shared.config.clusters.get(at)?.call_manager)),
            });
            tap.copy(Seen {
                time: SystemTime::now(),
                hop: passing.hop,
                phone,
                cluster,
                call_manager,
                transport: passing.inside.map_or("tls", |(.., transport)| transport),
                is_skinny: passing.is_skinny,
                lost: 0,
                bytes: Zeroizing::new(bytes.to_vec()),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(length: usize) -> Seen {
        Seen {
            time: SystemTime::UNIX_EPOCH,
            hop: Hop::ToPhone,
            phone: None,
            cluster: None,
            call_manager: None,
            transport: "tls",
            is_skinny: false,
            lost: 0,
            bytes: Zeroizing::new(vec![b'x'; length]),
        }
    }

    fn tap() -> (Tap, Reader) {
        Tap::new(1, DeviceName::new("SEP0010DB000001").unwrap())
    }

    #[test]
    fn reader_that_is_too_slow_loses_messages_and_learns_where_and_how_many() {
        let (tap, reader) = tap();
        (0..MESSAGES + 3).for_each(|_| tap.copy(seen(10)));
        let read: Vec<_> = std::iter::from_fn(|| reader.next(Duration::ZERO).ok()).collect();
        assert_eq!(read.len(), MESSAGES);
        assert!(read.iter().all(|seen| seen.lost == 0), "they were lost after these");
        tap.copy(seen(10));
        assert_eq!(reader.next(Duration::ZERO).unwrap().lost, 3);
        assert_eq!(reader.lost(), 0);
        (0..MESSAGES + 5).for_each(|_| tap.copy(seen(10)));
        assert_eq!((reader.lost(), reader.lost()), (5, 0), "told though nothing follows");
    }

    #[test]
    fn long_messages_take_no_more_memory_than_short_ones() {
        let (tap, reader) = tap();
        (0..20).for_each(|_| tap.copy(seen(65_536)));
        assert_eq!(reader.lost(), 20 - (BYTES / 65_536) as u64);
        while reader.next(Duration::ZERO).is_ok() {}
        assert_eq!(reader.behind.bytes.load(Ordering::Relaxed), 0);
        tap.copy(seen(65_536));
        assert_eq!(reader.lost(), 0);
    }
}
