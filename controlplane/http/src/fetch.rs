//! The client: one file from a call manager's HTTP server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Status};
use thiserror::Error;

/// The longest status line with all fields, in bytes.
const HEAD_MAX: usize = 8192;
/// The most fields.
const FIELDS_MAX: usize = 64;
/// The longest name, in bytes.
const NAME_MAX: usize = 256;

/// How a file is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// The longest file, in bytes.
    pub limit: usize,
    /// How long nothing may come.
    pub silence: Duration,
    /// How long all of it may take.
    pub whole: Duration,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self { limit: 64 << 20, silence: Duration::from_secs(7), whole: Duration::from_secs(300) }
    }
}

/// Why a file was not got.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The server has no such file.
    #[error("the HTTP server has no such file")]
    NotFound,
    /// The server refuses, or sends us elsewhere: its address is configured, not learned.
    #[error("the HTTP server answers with status {0}")]
    Refused(u16),
    /// The server does not answer.
    #[error("the HTTP server does not answer")]
    Silent,
    /// The connection ended before the file did.
    #[error("the connection to the HTTP server broke off")]
    Cut,
    /// The file is longer than allowed.
    #[error("the file has more than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The server does what the protocol has not, or more of it than is read here.
    #[error("the HTTP server answers with what is not read here: {0}")]
    Protocol(&'static str),
    /// The name cannot be asked for.
    #[error(
        "a file name of none or more than {NAME_MAX} bytes, or with other than letters, digits, and -._+/"
    )]
    Name,
}

/// A file that is being fetched.
#[derive(Debug)]
pub struct Fetch {
    settings: FetchSettings,
    head: Vec<u8>,
    /// How long the file is, once that is known.
    len: Option<usize>,
    file: Vec<u8>,
    heard: Instant,
    until: Instant,
}

impl Fetch {
    /// Begins; the bytes are the request. The answer is expected not to be cut in pieces, as HTTP/1.0 has none.
    ///
    /// # Errors
    /// [`FetchError::Name`].
    pub fn begin(
        server: SocketAddr,
        name: &str,
        settings: FetchSettings,
        now: Instant,
    ) -> Result<(Self, Vec<u8>), FetchError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+/".contains(&byte);
        if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(FetchError::Name);
        }
        let request = format!("GET /{name} HTTP/1.0\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        let until = now + settings.whole;
        let fetch = Self { settings, head: Vec::new(), len: None, file: Vec::new(), heard: now, until };
        Ok((fetch, request.into_bytes()))
    }

    /// Takes what has come; the file, once it is whole, or why it cannot be had.
    pub fn received(&mut self, bytes: &[u8], now: Instant) -> Option<Result<Vec<u8>, FetchError>> {
        self.heard = now;
        match self.take(bytes) {
            Ok(false) => None,
            Ok(true) => Some(Ok(std::mem::take(&mut self.file))),
            Err(error) => Some(Err(error)),
        }
    }

    /// The connection has ended, or could not be made.
    pub fn cut(&self) -> FetchError {
        if self.len.is_none() && self.head.is_empty() { FetchError::Silent } else { FetchError::Cut }
    }

    /// When [`Fetch::tick`] is to be called.
    pub fn due(&self) -> Instant {
        self.until.min(self.heard + self.settings.silence)
    }

    /// Whether it has taken too long.
    pub fn tick(&self, now: Instant) -> Option<FetchError> {
        (now >= self.due()).then_some(FetchError::Silent)
    }

    /// Whether the file is whole.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool, FetchError> {
        let len = match self.len {
            Some(len) => len,
            None => {
                let before = self.head.len();
                let room = HEAD_MAX - before;
                self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                let Some((end, len)) = self.read_head()? else { return Ok(false) };
                bytes = bytes.get(end.saturating_sub(before)..).unwrap_or_default();
                self.head = vec![b'\n'];
                *self.len.insert(len)
            }
        };
        if self.file.len() + bytes.len() > len {
            return Err(FetchError::Protocol("more than was announced"));
        }
        self.file.extend_from_slice(bytes);
        Ok(self.file.len() == len)
    }

    /// Where the head ends, and how long the file is.
    fn read_head(&self) -> Result<Option<(usize, usize)>, FetchError> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let end = match response.parse(&self.head) {
            Ok(Status::Complete(end)) => end,
            Ok(Status::Partial) if self.head.len() < HEAD_MAX => return Ok(None),
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(FetchError::Protocol("a head that is too long"));
            }
            Err(_) => return Err(FetchError::Protocol("no HTTP")),
        };
        match response.code {
            Some(200) => {}
            Some(404 | 410) => return Err(FetchError::NotFound),
            other => return Err(FetchError::Refused(other.unwrap_or_default())),
        }
        let mut announced = None;
        for field in response.headers.iter() {
            if field.name.eq_ignore_ascii_case("transfer-encoding")
                || field.name.eq_ignore_ascii_case("content-encoding")
            {
                return Err(FetchError::Protocol("an encoding that was not asked for"));
            }
            if field.name.eq_ignore_ascii_case("content-length") {
                let digits = std::str::from_utf8(field.value).ok().map(str::trim);
                let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let len = digits.and_then(|digits| digits.parse::<usize>().ok());
                let len = len.ok_or(FetchError::Protocol("a length that is none"))?;
                if announced.replace(len).is_some_and(|before| before != len) {
                    return Err(FetchError::Protocol("two lengths"));
                }
            }
        }
        // Without, a file that was cut off could not be told from a whole one.
        let len = announced.ok_or(FetchError::Protocol("no length"))?;
        if len > self.settings.limit {
            return Err(FetchError::TooLong { limit: self.settings.limit });
        }
        Ok(Some((end, len)))
    }
}
