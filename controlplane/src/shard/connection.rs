//! A phone's connection: socket, TLS and framing together, without knowledge of what the messages mean.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pinhole_proxy::DeviceName;
use pinhole_sip::{Frame, FrameError};

use super::wire::Wire;
use crate::provisioning::Session;
use crate::tls::{Refusal, TlsSession};

/// How many times a connection is read before the others have their turn.
const READS: usize = 8;
/// Bytes of plaintext taken at a time.
const CHUNK: usize = 16_384;

/// A place among a bounded number of connections; given back when dropped.
pub struct Place(Arc<AtomicU64>);

impl Place {
    /// A place, if fewer than `limit` are taken.
    pub fn take(taken: &Arc<AtomicU64>, limit: u64) -> Option<Self> {
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < limit).then_some(now + 1))
            .ok()
            .map(|_| Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far a connection has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The TLS handshake goes on.
    Handshake,
    /// The connection of a device.
    Bound(DeviceName),
    /// What was sent is still to go out; nothing is read any more.
    Closing,
}

/// A phone's connection.
pub struct Phone {
    /// The socket.
    pub stream: Wire,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The TLS session.
    pub tls: Box<dyn TlsSession>,
    /// How far it has come.
    pub stage: Stage,
    /// Its place among handshakes or connections; none between them.
    pub place: Option<Place>,
    /// Its session in the secure-phone database, if it is there.
    pub session: Option<Session>,
    /// Since when the message that is under way has been so.
    pub unfinished: Option<Instant>,
    /// Whether a deadline is set for it.
    pub watched: bool,
    /// What it speaks.
    pub speech: Speech,
}

/// What a connection speaks, with what has come of an unfinished message.
pub enum Speech {
    /// SIP.
    Sip {
        /// Cuts the stream.
        framer: pinhole_sip::Framer,
        /// The listener's address.
        listener: SocketAddr,
    },
    /// SCCP, on a listener that stands for a call manager.
    Skinny {
        /// Cuts the stream.
        framer: pinhole_sccp::Framer,
        /// The listener's address.
        listener: SocketAddr,
    },
}

/// A whole message.
#[derive(Debug)]
pub enum Said {
    /// Of SIP.
    Sip(Frame),
    /// Of SCCP.
    Skinny(pinhole_sccp::Frame),
}

impl Speech {
    /// SIP at a listener, in messages of so many bytes at most.
    pub fn sip_at(listener: SocketAddr, message_bytes: u32) -> Self {
        let limits = pinhole_sip::Limits::with_message(message_bytes as usize);
        Self::Sip { framer: pinhole_sip::Framer::new(limits), listener }
    }

    /// SCCP at a listener.
    pub fn skinny_at(listener: SocketAddr) -> Self {
        Self::Skinny { framer: pinhole_sccp::Framer::new(Default::default()), listener }
    }

    /// Whether it is SCCP.
    pub fn is_skinny(&self) -> bool {
        matches!(self, Self::Skinny { .. })
    }

    /// The listener that it came to.
    pub fn listener(&self) -> SocketAddr {
        match self {
            Self::Sip { listener, .. } | Self::Skinny { listener, .. } => *listener,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Sip { framer, .. } => framer.push(bytes),
            Self::Skinny { framer, .. } => framer.push(bytes),
        }
    }

    fn next(&mut self) -> Option<Result<Said, End>> {
        match self {
            Self::Sip { framer, .. } => framer.next().map(|frame| frame.map(Said::Sip).map_err(End::Frame)),
            Self::Skinny { framer, .. } => {
                framer.next().map(|frame| frame.map(Said::Skinny).map_err(End::SkinnyFrame))
            }
        }
    }

    fn pending(&self) -> usize {
        match self {
            Self::Sip { framer, .. } => framer.pending(),
            Self::Skinny { framer, .. } => framer.pending(),
        }
    }
}

/// What came of reading a connection.
#[derive(Debug, Default)]
pub struct Received {
    /// Complete frames, in order.
    pub frames: Vec<Said>,
    /// Why nothing more will come.
    pub end: Option<End>,
    /// The handshake was finished just now.
    pub handshake_done: bool,
    /// There may be more: read again soon.
    pub more: bool,
}

/// Why a connection gives nothing more.
#[derive(Debug)]
pub enum End {
    /// The peer closed it or went away.
    Closed,
    /// TLS failed.
    Tls(Refusal),
    /// What was sent is no SIP.
    Frame(FrameError),
    /// What was sent is no SCCP.
    SkinnyFrame(pinhole_sccp::FrameError),
}

/// The peer does not read what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl Phone {
    /// A connection that was just accepted.
    pub fn new(
        stream: Wire,
        peer: SocketAddr,
        tls: Box<dyn TlsSession>,
        place: Option<Place>,
        speech: Speech,
    ) -> Self {
        let stage = Stage::Handshake;
        let (session, unfinished) = (None, None);
        Self { stream, peer, tls, stage, place, session, unfinished, watched: false, speech }
    }

    /// Notes whether a message is under way after reading; `finished`: others have come to their end meanwhile.
    pub fn note_unfinished(&mut self, finished: bool, now: Instant) {
        self.unfinished = match self.unfinished {
            _ if self.speech.pending() == 0 => None,
            Some(since) if !finished => Some(since),
            _ => Some(now),
        };
    }

    /// Reads what is there, within a bound.
    pub fn receive(&mut self) -> Received {
        let mut received = Received::default();
        if self.stage == Stage::Closing {
            return received;
        }
        // After a hand-over, plaintext may wait that came with the end of the handshake.
        if self.stage != Stage::Handshake && self.plaintext(&mut received) {
            return received;
        }
        for _ in 0..READS {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => {
                    received.end = Some(End::Closed);
                    return received;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    received.end = Some(End::Closed);
                    return received;
                }
            }
            if let Err(refusal) = self.tls.process() {
                received.end = Some(End::Tls(refusal));
                return received;
            }
            if self.stage == Stage::Handshake {
                if !self.tls.is_handshaking() {
                    received.handshake_done = true;
                    return received;
                }
            } else if self.plaintext(&mut received) {
                return received;
            }
        }
        received.more = true;
        received
    }

    /// Takes plaintext out of TLS and frames out of plaintext; true when the end has come.
    fn plaintext(&mut self, received: &mut Received) -> bool {
        let mut chunk = [0; CHUNK];
        loop {
            match self.tls.read_plain(&mut chunk) {
                Ok(0) => {
                    received.end = Some(End::Closed);
                    return true;
                }
                Ok(length) => self.speech.push(chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    received.end = Some(End::Closed);
                    return true;
                }
            }
            while let Some(frame) = self.speech.next() {
                match frame {
                    Ok(frame) => received.frames.push(frame),
                    Err(end) => {
                        received.end = Some(end);
                        return true;
                    }
                }
            }
        }
    }

    /// Queues plaintext and sends as much as the socket takes.
    ///
    /// # Errors
    /// [`Overflow`] when the bounded buffer is full.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        if self.tls.write_plain(bytes) < bytes.len() {
            return Err(Overflow);
        }
        self.flush();
        Ok(())
    }

    /// Sends as much as the socket takes; true when nothing is left. A broken socket shows when it is read.
    pub fn flush(&mut self) -> bool {
        self.tls.flush(&mut self.stream)
    }

    /// Begins the orderly end; true when everything is out.
    pub fn close(&mut self) -> bool {
        if self.stage != Stage::Closing {
            self.stage = Stage::Closing;
            self.session = None;
            self.tls.send_close();
        }
        self.flush()
    }
}
