//! One file on its way to a phone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::options::{BLOCK_DEFAULT, Options};
use crate::packet::{ErrorCode, Packet};
use crate::server::Settings;

/// Names a transfer; none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub(crate) u64);

/// Why a phone does not get its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no such file for it. Phones then go on to the next name.
    NotFound,
    /// It cannot be had now; the phone should ask again.
    Unavailable,
}

/// How a transfer has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The phone has acknowledged every byte.
    Acknowledged,
    /// Every byte was sent; the last acknowledgement is missing, those before it came.
    AllSent,
    /// The phone fell silent before the end.
    Silent,
    /// The phone has refused to go on.
    Refused {
        /// Its code.
        code: ErrorCode,
        /// What it says: at most 128 characters.
        message: String,
    },
    /// [`Server::answer`](crate::Server::answer) denied the file.
    Denied,
    /// The phone has begun anew, or it had acknowledged nothing and its place was needed.
    Abandoned,
    /// Nobody answered the request in time.
    Unanswered,
}

/// A transfer.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub id: TransferId,
    /// The socket that it goes out by.
    pub socket: usize,
    pub name: Vec<u8>,
    options: Options,
    state: State,
    /// When something is to be done about it.
    pub due: Instant,
}

#[derive(Debug)]
enum State {
    /// It is not known yet what to send.
    Waiting,
    Sending(Sending),
}

#[derive(Debug)]
struct Sending {
    file: Arc<[u8]>,
    taken: Options,
    block_size: usize,
    interval: Duration,
    /// The number of the packet that is not acknowledged yet: of a block, or 0 for the options.
    outstanding: u64,
    /// How often it was sent.
    times: u32,
    /// Whether it is held back, to keep a rate, until [`Transfer::due`].
    is_held: bool,
    /// Whether anything was acknowledged, so that the address is no forgery.
    is_proven: bool,
}

/// What is to be done next.
pub(crate) enum Next {
    /// Nothing.
    Nothing,
    /// The outstanding packet is sent.
    Send,
    /// It is over.
    End(End),
}

impl Transfer {
    pub fn new(id: TransferId, socket: usize, name: &[u8], options: Options, due: Instant) -> Self {
        Self { id, socket, name: name.to_vec(), options, state: State::Waiting, due }
    }

    /// Whether it sends, and the phone has acknowledged nothing yet.
    pub fn is_unproven(&self) -> bool {
        matches!(&self.state, State::Sending(sending) if !sending.is_proven)
    }

    /// Whether a request is this one again.
    pub fn is_of(&self, name: &[u8], options: &Options) -> bool {
        self.name == name && self.options == *options
    }

    /// Whether every byte was sent and all but the last block acknowledged.
    pub fn is_all_sent(&self) -> bool {
        matches!(&self.state, State::Sending(sending) if sending.is_proven && sending.is_last())
    }

    /// Starts to send.
    pub fn begin(&mut self, file: Arc<[u8]>, settings: &Settings) -> Next {
        if !matches!(self.state, State::Waiting) {
            return Next::Nothing;
        }
        let taken = Options {
            block_size: self.options.block_size.map(|size| size.min(settings.block_max)),
            // Of an empty file none: curl takes a size of 0 for an error.
            transfer_size: self.options.transfer_size.map(|_| file.len() as u64).filter(|size| *size > 0),
            // One of many seconds would keep a dead transfer for minutes.
            timeout: self
                .options
                .timeout
                .filter(|seconds| u64::from(*seconds) <= settings.timeout_max.as_secs()),
        };
        self.state = State::Sending(Sending {
            file,
            taken,
            block_size: taken.block_size.unwrap_or(BLOCK_DEFAULT).into(),
            interval: taken.timeout.map_or(settings.timeout, |seconds| Duration::from_secs(seconds.into())),
            outstanding: u64::from(taken.is_empty()),
            times: 0,
            is_held: false,
            is_proven: false,
        });
        Next::Send
    }

    /// An acknowledgement has come.
    pub fn acknowledged(&mut self, block: u16) -> Next {
        let State::Sending(sending) = &mut self.state else { return Next::Nothing };
        // Only of what is outstanding, and was sent: others are duplicates. An answer to each would double the
        // traffic for the rest of the file (RFC 1123 section 4.2.3.1).
        if sending.outstanding as u16 != block || sending.times == 0 {
            return Next::Nothing;
        }
        sending.is_proven = true;
        if sending.is_last() {
            return Next::End(End::Acknowledged);
        }
        sending.outstanding += 1;
        sending.times = 0;
        Next::Send
    }

    /// The request has come again.
    pub fn asked_again(&self) -> Next {
        if self.is_unproven() && !self.is_held() { Next::Send } else { Next::Nothing }
    }

    /// What was due is.
    pub fn timed_out(&self, settings: &Settings) -> Next {
        let State::Sending(sending) = &self.state else { return Next::End(End::Unanswered) };
        match sending.is_proven {
            _ if sending.is_held => Next::Send,
            true if sending.times <= settings.retries => Next::Send,
            true if sending.is_last() => Next::End(End::AllSent),
            _ => Next::End(End::Silent),
        }
    }

    /// Whether the outstanding packet is held back.
    pub fn is_held(&self) -> bool {
        matches!(&self.state, State::Sending(sending) if sending.is_held)
    }

    /// Holds the outstanding packet back.
    pub fn hold(&mut self, until: Instant) {
        if let State::Sending(sending) = &mut self.state {
            sending.is_held = true;
            self.due = until;
        }
    }

    /// The packet is held back no longer.
    pub fn release(&mut self) {
        if let State::Sending(sending) = &mut self.state {
            sending.is_held = false;
        }
    }

    /// Bytes of the outstanding packet.
    pub fn packet_len(&self) -> usize {
        match &self.state {
            State::Sending(sending) => 4 + sending.block().len(),
            State::Waiting => 0,
        }
    }

    /// The outstanding packet, which is now sent.
    pub fn packet(&mut self, settings: &Settings, now: Instant) -> Vec<u8> {
        let State::Sending(sending) = &mut self.state else { return Vec::new() };
        sending.times += 1;
        self.due = now
            + if sending.is_proven {
                // Twice as long each time, as far as eight times.
                sending.interval * (1 << (sending.times - 1).min(3))
            } else {
                settings.first_acknowledgement
            };
        match sending.outstanding {
            0 => Packet::Options(sending.taken).encode(),
            block => Packet::Data { block: block as u16, bytes: sending.block() }.encode(),
        }
    }
}

impl Sending {
    fn is_last(&self) -> bool {
        self.outstanding == (self.file.len() / self.block_size) as u64 + 1
    }

    /// The bytes of the outstanding block; none for the options.
    fn block(&self) -> &[u8] {
        let Some(before) = self.outstanding.checked_sub(1) else { return &[] };
        let from = before as usize * self.block_size;
        let to = self.file.len().min(from + self.block_size);
        self.file.get(from..to).unwrap_or_default()
    }
}
