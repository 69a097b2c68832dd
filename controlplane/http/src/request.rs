//! The head of a request: its line and its fields (RFC 9112 sections 3 and 5).

use httparse::{EMPTY_HEADER, Error, Status};
use thiserror::Error;

/// The longest request line with all fields, in bytes.
pub const HEAD_MAX: usize = 8192;
/// The most fields.
const FIELDS_MAX: usize = 64;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A file is asked for.
    Get,
    /// Only what would be said of it.
    Head,
    /// A file is sent to us: PUT, POST, PATCH.
    Upload,
    /// Anything else.
    Other,
}

/// A request, but for what may follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What is to be done.
    pub method: Method,
    /// The target without its first slash, as it was sent: nothing is decoded.
    pub name: Vec<u8>,
    /// Whether the connection may stay open.
    pub keeps_alive: bool,
    /// Whether something follows that belongs to the request.
    pub has_content: bool,
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The request line does not end.
    #[error("a request line longer than {HEAD_MAX} bytes")]
    LineTooLong,
    /// The fields do not end.
    #[error("a request head longer than {HEAD_MAX} bytes, or of more than {FIELDS_MAX} fields")]
    HeadTooLong,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("no version of HTTP that is known here")]
    Version,
    /// It is not HTTP.
    #[error("not HTTP")]
    Syntax,
    /// The target is neither a path nor the address of one.
    #[error("a target that is no path")]
    Target,
    /// Something follows a request that has no use for it.
    #[error("content after a GET or HEAD")]
    Content,
}

/// Reads the head of a request, and says how long it is; `None`: it has not all come yet.
///
/// # Errors
/// [`Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let within = bytes.get(..HEAD_MAX).unwrap_or(bytes);
    let len = match request.parse(within) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(Status::Partial) if within.contains(&b'\n') => return Err(Malformed::HeadTooLong),
        Ok(Status::Partial) => return Err(Malformed::LineTooLong),
        Err(Error::TooManyHeaders) => return Err(Malformed::HeadTooLong),
        Err(Error::Version) => return Err(Malformed::Version),
        Err(_) => return Err(Malformed::Syntax),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed::Syntax);
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" | "POST" | "PATCH" => Method::Upload,
        _ => Method::Other,
    };
    let name = match name_of(target) {
        Some(name) => name.to_vec(),
        // OPTIONS *, CONNECT host:port.
        None if method == Method::Other => Vec::new(),
        None => return Err(Malformed::Target),
    };
    let mut head = Head { method, name, keeps_alive: version == 1, has_content: false };
    for field in request.headers.iter() {
        head.field(field.name, field.value);
    }
    Ok(Some((head, len)))
}

impl Head {
    fn field(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    self.keeps_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    self.keeps_alive = true;
                }
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.has_content = true;
        } else if name.eq_ignore_ascii_case("content-length") {
            // Whatever is no plain zero: what cannot be read must not be taken for a request.
            self.has_content |= value.trim_ascii() != b"0";
        }
    }
}

/// The name in a target: a path, or the address of one (RFC 9112 section 3.2).
fn name_of(target: &str) -> Option<&[u8]> {
    let address = ["http://", "https://"].into_iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    match address {
        Some(rest) => rest.split_once('/').map(|(_, name)| name.as_bytes()),
        None => target.strip_prefix('/').map(str::as_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let (head, len) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(len, text.len());
        head
    }

    #[test]
    fn the_name_is_the_target_without_its_first_slash_and_nothing_is_decoded() {
        for (target, name) in [
            ("/SEP0010DB000001.cnf.xml.sgn", "SEP0010DB000001.cnf.xml.sgn"),
            ("/", ""),
            ("//a", "/a"),
            ("/%2e%2e/a?b#c", "%2e%2e/a?b#c"),
            ("http://203.0.113.5:6970/a/b", "a/b"),
            ("HTTPS://pinhole.example/a", "a"),
        ] {
            let head = head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(head.name, name.as_bytes(), "{target}");
        }
        assert_eq!(parse(b"GET a HTTP/1.1\r\n\r\n"), Err(Malformed::Target));
        assert_eq!(parse(b"GET http://a HTTP/1.1\r\n\r\n"), Err(Malformed::Target));
    }

    #[test]
    fn a_connection_stays_open_by_version_and_by_what_is_asked() {
        for (version, field, keeps) in [
            ("1.1", "", true),
            ("1.0", "", false),
            ("1.1", "Connection: Close\r\n", false),
            ("1.0", "connection: x, Keep-Alive\r\n", true),
        ] {
            assert_eq!(head(&format!("GET /a HTTP/{version}\r\n{field}\r\n")).keeps_alive, keeps);
        }
    }

    #[test]
    fn whatever_may_be_content_is_seen() {
        for (field, has) in [
            ("Content-Length: 0", false),
            ("Content-Length: 1", true),
            ("content-length: +0", true),
            ("Content-Length: 0\r\nContent-Length: 5", true),
            ("Transfer-Encoding: chunked", true),
        ] {
            assert_eq!(head(&format!("GET /a HTTP/1.1\r\n{field}\r\n\r\n")).has_content, has, "{field}");
        }
    }

    #[test]
    fn what_does_not_end_is_refused_at_the_limit_and_not_before() {
        let name = |len| [b"GET /".as_slice(), &vec![b'a'; len]].concat();
        assert_eq!(parse(&name(HEAD_MAX - 6)), Ok(None));
        assert_eq!(parse(&name(HEAD_MAX - 5)), Err(Malformed::LineTooLong));
        let line = b"GET /a HTTP/1.1\r\nx: ".as_slice();
        let fields = |len| [line, &vec![b'a'; len - line.len()]].concat();
        assert_eq!(parse(&fields(HEAD_MAX - 1)), Ok(None));
        assert_eq!(parse(&fields(HEAD_MAX)), Err(Malformed::HeadTooLong));
        let many = format!("GET /a HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(parse(many.as_bytes()), Err(Malformed::HeadTooLong));
    }

    #[test]
    fn what_is_no_http_is_refused() {
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01\n"), Err(Malformed::Syntax));
        assert_eq!(parse(b"GET /a HTTP/2.0\r\n\r\n"), Err(Malformed::Version));
        assert_eq!(parse(b"GET /a b HTTP/1.1\r\n\r\n"), Err(Malformed::Version));
        assert_eq!(head("DELETE /a HTTP/1.1\r\n\r\n").method, Method::Other);
        assert_eq!(head("OPTIONS * HTTP/1.1\r\n\r\n").method, Method::Other);
        assert_eq!(head("POST /a HTTP/1.1\r\n\r\n").method, Method::Upload);
    }
}
