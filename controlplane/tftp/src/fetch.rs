//! The client: one file from a call manager's TFTP server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::options::{BLOCK_DEFAULT, Options};
use crate::packet::{ErrorCode, MAX_NAME, Packet, Request, readable};

/// How a file is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// The block size to ask for, in bytes.
    pub block_size: u16,
    /// The longest file, in bytes.
    pub limit: usize,
    /// Until a packet is sent again.
    pub timeout: Duration,
    /// How often a packet is sent again.
    pub retries: u32,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self { block_size: 1428, limit: 64 << 20, timeout: Duration::from_secs(1), retries: 4 }
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until a datagram comes or [`Fetch::due`].
    Wait,
    /// A datagram is sent.
    Send {
        /// To whom.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// It is over. What is to be sent yet, acknowledges the last block or tells the server to stop.
    Over {
        /// The file.
        file: Result<Vec<u8>, FetchError>,
        /// The last packet, if the server is to have one.
        last: Option<(SocketAddr, Vec<u8>)>,
    },
}

/// Why a file was not got.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The server has no such file.
    #[error("the TFTP server has no such file")]
    NotFound,
    /// The server refuses.
    #[error("the TFTP server refuses: {code:?} {message:?}")]
    Refused {
        /// Its code.
        code: ErrorCode,
        /// What it says: at most 128 characters.
        message: String,
    },
    /// The server does not answer.
    #[error("the TFTP server does not answer")]
    Silent,
    /// The file is longer than allowed.
    #[error("the file has more than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The server does what the protocol has not.
    #[error("the TFTP server breaks the protocol: {0}")]
    Protocol(&'static str),
    /// The name cannot be asked for.
    #[error("a file name of none or more than {MAX_NAME} bytes, or with a zero")]
    Name,
}

/// A file that is being fetched.
#[derive(Debug)]
pub struct Fetch {
    settings: FetchSettings,
    server: SocketAddr,
    /// Where the file comes from: the server's address, the port of its first packet.
    sender: Option<SocketAddr>,
    block_size: usize,
    file: Vec<u8>,
    /// Blocks that have come.
    blocks: u64,
    last: Vec<u8>,
    times: u32,
    due: Instant,
    is_over: bool,
}

impl Fetch {
    /// Begins; the datagram is the request, for the server's port 69.
    ///
    /// # Errors
    /// [`FetchError::Name`].
    pub fn begin(
        server: SocketAddr,
        name: &str,
        settings: FetchSettings,
        now: Instant,
    ) -> Result<(Self, Vec<u8>), FetchError> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            return Err(FetchError::Name);
        }
        let options =
            Options { block_size: Some(settings.block_size), transfer_size: Some(0), timeout: None };
        let request = Packet::Read(Request { name: name.as_bytes(), is_octet: true, options }).encode();
        let fetch = Self {
            server,
            sender: None,
            block_size: BLOCK_DEFAULT.into(),
            file: Vec::new(),
            blocks: 0,
            last: request.clone(),
            times: 1,
            due: now + settings.timeout,
            is_over: false,
            settings,
        };
        Ok((fetch, request))
    }

    /// When [`Fetch::tick`] is to be called.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Takes a datagram. One from elsewhere, or after the end, changes nothing.
    pub fn datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Step {
        if self.is_over || from.ip() != self.server.ip() || self.sender.is_some_and(|sender| sender != from) {
            return Step::Wait;
        }
        // What cannot be read could be anybody's: the server sends again.
        match Packet::parse(datagram) {
            Ok(Packet::Data { block, bytes }) => self.data(from, block, bytes, now),
            Ok(Packet::Options(options)) => self.options(from, options, now),
            Ok(Packet::Error { code: ErrorCode::NotFound, .. }) => self.over(Err(FetchError::NotFound), None),
            Ok(Packet::Error { code, message }) => {
                self.over(Err(FetchError::Refused { code, message: readable(message) }), None)
            }
            Ok(_) | Err(_) => Step::Wait,
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) -> Step {
        if self.is_over || now < self.due {
            return Step::Wait;
        }
        if self.times > self.settings.retries {
            return self.over(Err(FetchError::Silent), None);
        }
        self.times += 1;
        self.due = now + self.settings.timeout * (1 << (self.times - 1).min(3));
        Step::Send { to: self.sender.unwrap_or(self.server), datagram: self.last.clone() }
    }

    fn options(&mut self, from: SocketAddr, options: Options, now: Instant) -> Step {
        if self.sender.is_some() {
            // The same once more: the first acknowledgement is on its way, or sent again when it is due.
            return Step::Wait;
        }
        let block_size = options.block_size.unwrap_or(BLOCK_DEFAULT);
        if options.block_size.is_some_and(|size| size > self.settings.block_size) {
            return self.stop(from, FetchError::Protocol("a greater block than was asked for"));
        }
        if options.transfer_size.is_some_and(|size| size > self.settings.limit as u64) {
            return self.stop(from, FetchError::TooLong { limit: self.settings.limit });
        }
        self.sender = Some(from);
        self.block_size = block_size.into();
        self.acknowledge(from, 0, now)
    }

    fn data(&mut self, from: SocketAddr, block: u16, bytes: &[u8], now: Instant) -> Step {
        let expected = self.blocks.wrapping_add(1) as u16;
        if block != expected {
            // The block before: its acknowledgement was lost, and is sent again when it is due.
            return Step::Wait;
        }
        if bytes.len() > self.block_size {
            return self.stop(from, FetchError::Protocol("a longer block than was agreed on"));
        }
        if self.file.len() + bytes.len() > self.settings.limit {
            return self.stop(from, FetchError::TooLong { limit: self.settings.limit });
        }
        self.sender = Some(from);
        self.file.extend_from_slice(bytes);
        self.blocks += 1;
        if bytes.len() < self.block_size {
            let file = std::mem::take(&mut self.file);
            return self.over(Ok(file), Some((from, Packet::Acknowledge { block }.encode())));
        }
        self.acknowledge(from, block, now)
    }

    fn acknowledge(&mut self, to: SocketAddr, block: u16, now: Instant) -> Step {
        self.last = Packet::Acknowledge { block }.encode();
        self.times = 1;
        self.due = now + self.settings.timeout;
        Step::Send { to, datagram: self.last.clone() }
    }

    /// Tells the server to stop.
    fn stop(&mut self, to: SocketAddr, error: FetchError) -> Step {
        let (code, message): (_, &[u8]) = match error {
            FetchError::TooLong { .. } => (ErrorCode::DiskFull, b"the file is too long"),
            _ => (ErrorCode::IllegalOperation, b"protocol error"),
        };
        self.over(Err(error), Some((to, Packet::Error { code, message }.encode())))
    }

    fn over(&mut self, file: Result<Vec<u8>, FetchError>, last: Option<(SocketAddr, Vec<u8>)>) -> Step {
        self.is_over = true;
        Step::Over { file, last }
    }
}
