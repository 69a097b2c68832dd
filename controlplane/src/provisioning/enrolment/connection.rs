//! A phone's connection for enrolment or trust verification: socket, TLS, and the session in it.

use std::io::{self, Read as _};
use std::net::{IpAddr, Shutdown};
use std::time::Instant;

use mio::net::TcpStream;
use pinhole_enrolment::capf::{Office, Session};
use pinhole_enrolment::tvs;

use crate::tls::{Modern, Refusal, TlsSession as _};

/// How many times a connection is read before the others have their turn.
const READS: usize = 8;
/// Bytes of plaintext taken at a time.
const CHUNK: usize = 8192;
/// Questions that one connection may ask.
const QUESTIONS: u32 = 64;

/// A connection.
pub(super) struct Connection {
    pub stream: TcpStream,
    pub source: IpAddr,
    /// When it ends at the latest.
    pub until: Instant,
    tls: Modern,
    talk: Talk,
    stage: Stage,
    is_proved: bool,
    /// Under what the device was known when it proved who it is.
    pub epoch: Option<u64>,
}

/// What is spoken.
pub(super) enum Talk {
    Capf(Box<Session>, Vec<Vec<u8>>),
    Tvs { server: tvs::Server, questions: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Open,
    /// What was sent is still to go out; nothing is read any more.
    Closing,
}

/// What came of a connection's turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It waits for more.
    Waits,
    /// It has more than its turn.
    More,
    /// The handshake is done.
    Opened,
    /// An enrolment has ended; what was said last still goes out.
    Ended(pinhole_enrolment::capf::End),
    /// A question was answered.
    Answered { device: Option<String>, is_known: bool },
    /// What came is no question.
    Refused(tvs::Refused),
    /// TLS failed.
    Failed(Refusal),
    /// The connection is gone, or all that was to be sent is out.
    Gone,
}

/// What a session needs to answer.
pub(super) struct Answerer<'a> {
    pub office: Option<&'a mut dyn Office>,
    pub known: &'a tvs::Known,
}

impl Connection {
    pub fn new(stream: TcpStream, source: IpAddr, tls: Modern, talk: Talk, until: Instant) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream, source, until, tls, talk, stage: Stage::Handshake, is_proved: false, epoch: None }
    }

    /// The name that the phone says it has.
    pub fn device(&self) -> Option<&str> {
        match &self.talk {
            Talk::Capf(session, _) => session.device(),
            Talk::Tvs { .. } => None,
        }
    }

    /// Whether the phone has proved who it is since this was asked last.
    pub fn has_proved(&mut self) -> bool {
        let is_proved = matches!(&self.talk, Talk::Capf(session, _) if session.is_proved());
        is_proved && !std::mem::replace(&mut self.is_proved, true)
    }

    /// Whether an enrolment goes on that has not ended.
    pub fn is_enrolling(&self) -> bool {
        self.stage == Stage::Open && matches!(self.talk, Talk::Capf(..))
    }

    /// Reads, answers and sends, up to something that is to be told.
    pub fn turn(&mut self, answerer: &mut Answerer<'_>) -> Turn {
        for _ in 0..READS {
            if let Stage::Closing = self.stage {
                return self.linger();
            }
            if self.stage == Stage::Open
                && let Some(told) = self.talk(answerer)
            {
                return told;
            }
            let read = self.tls.read_tls(&mut self.stream);
            // Even when nothing was read: the handshake may want to go on.
            let has_read = match read {
                Ok(0) => return Turn::Gone,
                Ok(_) => true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                Err(_) => return Turn::Gone,
            };
            if let Err(refusal) = self.tls.process() {
                // The alert says why.
                self.stage = Stage::Closing;
                return Turn::Failed(refusal);
            }
            self.flush();
            if self.stage == Stage::Handshake && !self.tls.is_handshaking() {
                self.stage = Stage::Open;
                self.open();
                return Turn::Opened;
            }
            if !has_read {
                return Turn::Waits;
            }
        }
        Turn::More
    }

    /// The server speaks first.
    fn open(&mut self) {
        if let Talk::Capf(_, first) = &mut self.talk {
            let first = std::mem::take(first);
            self.send(&first);
        }
    }

    /// Takes plaintext and answers it; what is to be told.
    fn talk(&mut self, answerer: &mut Answerer<'_>) -> Option<Turn> {
        let mut chunk = [0; CHUNK];
        loop {
            if let Some(told) = self.answer(answerer) {
                return Some(told);
            }
            match self.tls.read_plain(&mut chunk) {
                Ok(0) => return Some(Turn::Gone),
                Ok(len) => {
                    let bytes = chunk.get(..len).unwrap_or_default();
                    if let Some(told) = self.receive(bytes, answerer) {
                        return Some(told);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(Turn::Gone),
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], answerer: &mut Answerer<'_>) -> Option<Turn> {
        match &mut self.talk {
            Talk::Capf(session, _) => {
                let step = session.receive(bytes, *answerer.office.as_mut()?);
                self.send(&step.send);
                let end = step.end?;
                self.close();
                Some(Turn::Ended(end))
            }
            Talk::Tvs { server, .. } => {
                server.push(bytes);
                None
            }
        }
    }

    /// Answers the next question that is there.
    fn answer(&mut self, answerer: &mut Answerer<'_>) -> Option<Turn> {
        let Talk::Tvs { server, questions } = &mut self.talk else { return None };
        match server.answer(answerer.known)? {
            Ok(tvs::Answered { device, is_known, bytes }) => {
                *questions += 1;
                let is_last = *questions >= QUESTIONS;
                self.send(&[bytes]);
                if is_last {
                    self.close();
                }
                Some(Turn::Answered { device, is_known })
            }
            Err(refused) => {
                self.close();
                Some(Turn::Refused(refused))
            }
        }
    }

    /// Each message by one write, and so in one TLS record.
    fn send(&mut self, messages: &[Vec<u8>]) {
        for message in messages {
            if self.tls.write_plain(message) < message.len() {
                // It does not read what it has asked for.
                return self.close();
            }
        }
        self.flush();
    }

    /// Sends what is left, then waits for the peer's end: a connection closed before would take the last message with it.
    fn linger(&mut self) -> Turn {
        if !self.flush() {
            return Turn::Waits;
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut unread = [0; CHUNK];
        for _ in 0..READS {
            match self.stream.read(&mut unread) {
                Ok(0) => return Turn::Gone,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Waits,
                Err(_) => return Turn::Gone,
            }
        }
        Turn::More
    }

    fn close(&mut self) {
        self.stage = Stage::Closing;
        self.tls.send_close();
    }

    /// Sends as much as the socket takes; true when nothing is left, or the socket is broken.
    fn flush(&mut self) -> bool {
        self.tls.flush(&mut self.stream)
    }
}
