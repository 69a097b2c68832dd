//! Responses: their heads, and how much of them was sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Malformed;

/// Bytes a second that a phone has to take, on average: who reads slower holds the connection for nothing.
const SLOWEST: u64 = 1000;
/// How long a phone has for a file of any length, beside the time in which it may take nothing: who reads slower than that
/// holds the memory of the file for nothing. For 64 MiB, the most that is fetched, it is 18 kilobytes a second.
const LONGEST: Duration = Duration::from_secs(3600);

/// Why a phone does not get a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It may not have it, or there is none: 404.
    NotFound,
    /// It cannot be had now: 503.
    Unavailable,
}

/// A status (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    LineTooLong,
    TooManyRequests,
    HeadTooLong,
    Unavailable,
    Version,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed\r\nAllow: GET, HEAD",
            Self::LineTooLong => "414 URI Too Long",
            Self::TooManyRequests => "429 Too Many Requests",
            Self::HeadTooLong => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
            Self::Version => "505 HTTP Version Not Supported",
        }
    }
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::LineTooLong => Self::LineTooLong,
            Malformed::HeadTooLong => Self::HeadTooLong,
            Malformed::Version => Self::Version,
            Malformed::Syntax | Malformed::Target | Malformed::Content => Self::BadRequest,
        }
    }
}

/// A response that is being sent.
#[derive(Debug)]
pub(crate) struct Response {
    /// Which request's file it is; `None`: it is none's.
    pub number: Option<u32>,
    /// Whether another request may follow.
    pub keeps_alive: bool,
    /// When it must have been taken.
    pub until: Instant,
    head: Vec<u8>,
    file: Arc<[u8]>,
    sent: usize,
}

impl Response {
    /// A response without content. `len`: of the content that a GET would bring.
    pub fn bare(status: Status, len: usize, kind: &str, keeps_alive: bool, until: Instant) -> Self {
        let connection = if keeps_alive { "keep-alive" } else { "close" };
        // Nobody on the way is to keep what holds a phone's secrets.
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Length: {len}\r\n{kind}Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n",
            status.line()
        );
        Self { number: None, keeps_alive, until, head: head.into_bytes(), file: Arc::from([]), sent: 0 }
    }

    /// A file.
    pub fn file(number: u32, name: &[u8], file: Arc<[u8]>, keeps_alive: bool, until: Instant) -> Self {
        let time = Duration::from_secs(file.len() as u64 / SLOWEST).min(LONGEST);
        let bare = Self::bare(Status::Ok, file.len(), kind(name), keeps_alive, until + time);
        Self { number: Some(number), file, ..bare }
    }

    /// What is said of a file.
    pub fn described(name: &[u8], len: usize, keeps_alive: bool, until: Instant) -> Self {
        Self::bare(Status::Ok, len, kind(name), keeps_alive, until)
    }

    /// What is sent next; nothing when all was.
    pub fn rest(&self) -> &[u8] {
        let of_head = self.head.get(self.sent..).filter(|rest| !rest.is_empty());
        of_head.or_else(|| self.file.get(self.sent - self.head.len()..)).unwrap_or_default()
    }

    /// So many bytes of that were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent += count.min(self.rest().len());
    }
}

/// What a file is, by its name. Everything signed is bytes to whoever does not know the format.
fn kind(name: &[u8]) -> &'static str {
    if name.ends_with(b".xml") {
        "Content-Type: text/xml\r\n"
    } else {
        "Content-Type: application/octet-stream\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_after_its_head_in_pieces_of_any_size() {
        for piece in [1, 3, 1000] {
            let mut response = Response::file(1, b"a.xml", Arc::from(*b"content"), true, Instant::now());
            let mut all = Vec::new();
            while !response.rest().is_empty() {
                let next = response.rest();
                let next = &next[..piece.min(next.len())];
                all.extend_from_slice(next);
                let count = next.len();
                response.sent(count);
            }
            assert_eq!(
                String::from_utf8(all).unwrap(),
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Type: text/xml\r\nCache-Control: no-store\r\n\
                 Connection: keep-alive\r\n\r\ncontent"
            );
        }
    }
}
