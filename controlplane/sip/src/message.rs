use std::fmt;

use crate::params::split_outside_quotes;
use crate::{CSeq, FieldError, Limits, Method, NameAddr, ParseError, Via, name};

/// A SIP request or response.
///
/// Two messages are equal when first line, fields with their bytes, and body are.
#[derive(Clone)]
pub struct Message {
    /// Request line or status line.
    pub start: StartLine,
    /// Header fields in order. Adding and removing is free; each field keeps the bytes it came in until it is set.
    pub headers: Vec<Header>,
    /// The body. [`Message::to_bytes`] adapts Content-Length to it.
    pub body: Vec<u8>,
    /// The first line as received, and what was read from it: sent again as it was, unless `start` is changed.
    received_start: Option<Box<(StartLine, Vec<u8>)>>,
}

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// A request line.
    Request {
        /// The method.
        method: Method,
        /// The Request-URI as it was written.
        uri: String,
    },
    /// A status line.
    Response {
        /// Status code, 100 to 699.
        code: u16,
        /// Reason phrase; may be empty.
        reason: String,
    },
}

/// One header field. Name and value change together through [`Message`]; an unchanged field keeps its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
    raw: Option<Vec<u8>>,
}

impl Header {
    /// A new field.
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), raw: None }
    }

    /// The name as it was written, perhaps compact.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The logical value: trimmed, folded lines joined by one space, bytes that are no UTF-8 replaced.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether this is the field of that name, in long or compact form and any case.
    pub fn is(&self, name: &str) -> bool {
        name::same(&self.name, name)
    }

    /// Changes the value; the name stays as it was written.
    pub fn set_value(&mut self, value: &str) {
        if self.value != value {
            self.value = value.to_owned();
            self.raw = None;
        }
    }

    /// A field from its bytes: lines joined by CRLF, no line end. `None` if it has no colon or no proper name.
    pub(crate) fn from_raw(raw: Vec<u8>) -> Option<Self> {
        let colon = raw.iter().position(|byte| *byte == b':')?;
        let (name, value) = raw.split_at_checked(colon)?;
        let name = name.trim_ascii_end();
        if name.is_empty() || !name.iter().copied().all(crate::parse::is_token) {
            return None;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let value = String::from_utf8_lossy(value.get(1..)?).into_owned();
        let lines: Vec<&str> = value.split("\r\n").map(|line| line.trim_matches([' ', '\t'])).collect();
        let value = lines.join(" ").trim_matches([' ', '\t']).to_owned();
        Some(Self { name, value, raw: Some(raw) })
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.raw {
            Some(raw) => out.extend_from_slice(raw),
            None => {
                write_clean(&self.name, out);
                out.extend_from_slice(b": ");
                write_clean(&self.value, out);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ({} bytes)", self.name, self.value.len())
    }
}

impl Message {
    /// Reads one datagram.
    ///
    /// # Errors
    /// [`ParseError`] for anything that is no SIP message within the limits; [`ParseError::Empty`] for a keep-alive.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        crate::parse::datagram(bytes, limits)
    }

    /// A request without headers.
    pub fn request(method: Method, uri: &str) -> Self {
        Self::new(StartLine::Request { method, uri: uri.to_owned() })
    }

    /// A response without headers; see [`Message::response_to`] for one that answers a request.
    pub fn response(code: u16, reason: &str) -> Self {
        Self::new(StartLine::Response { code, reason: reason.to_owned() })
    }

    /// A response to a request (RFC 3261 section 8.2.6): Via, From, To, Call-ID and CSeq are copied as they are; `to_tag`
    /// is added to To unless it has a tag.
    pub fn response_to(request: &Self, code: u16, reason: &str, to_tag: Option<&str>) -> Self {
        let mut response = Self::response(code, reason);
        let copied = [name::VIA, name::FROM, name::TO, name::CALL_ID, name::CSEQ];
        response.headers = request
            .headers
            .iter()
            .filter(|header| copied.iter().any(|name| header.is(name)))
            .cloned()
            .collect();
        if let (Some(tag), Ok(to)) = (to_tag, request.to())
            && to.tag().is_none()
            && let Some(header) = response.headers.iter_mut().find(|header| header.is(name::TO))
        {
            let value = format!("{};tag={tag}", header.value());
            header.set_value(&value);
        }
        response
    }

    fn new(start: StartLine) -> Self {
        Self { start, headers: Vec::new(), body: Vec::new(), received_start: None }
    }

    pub(crate) fn from_wire(start: StartLine, line: Vec<u8>, headers: Vec<Header>) -> Self {
        let received_start = Some(Box::new((start.clone(), line)));
        Self { start, headers, body: Vec::new(), received_start }
    }

    /// The message as it is sent. Content-Length says what the body measures: corrected if it is wrong, added at the
    /// end if it is missing. Fields that were set cannot break the framing: CR, LF and NUL in them become spaces.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size: usize = self.headers.iter().map(|header| header.name.len() + header.value.len() + 8).sum();
        let mut out = Vec::with_capacity(size + self.body.len() + 128);
        self.write_start(&mut out);
        let length = self.body.len().to_string();
        let mut has_length = false;
        for header in &self.headers {
            if !header.is(name::CONTENT_LENGTH) {
                header.write(&mut out);
            } else if !has_length {
                has_length = true;
                let mut header = header.clone();
                if header.value.parse() != Ok(self.body.len()) {
                    header.set_value(&length);
                }
                header.write(&mut out);
            }
        }
        if !has_length {
            Header::new(name::CONTENT_LENGTH, &length).write(&mut out);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }

    fn write_start(&self, out: &mut Vec<u8>) {
        match &self.received_start {
            Some(received) if received.0 == self.start => out.extend_from_slice(&received.1),
            _ => write_clean(&self.start.to_string(), out),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The method: a request's own, a response's from its CSeq. `None` for a response whose CSeq is unusable.
    pub fn method(&self) -> Option<Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method.clone()),
            StartLine::Response { .. } => self.cseq().ok().map(|cseq| cseq.method),
        }
    }

    /// The status code of a response.
    pub fn code(&self) -> Option<u16> {
        match self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { code, .. } => Some(code),
        }
    }

    /// The Request-URI of a request.
    pub fn uri(&self) -> Option<&str> {
        match &self.start {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Response { .. } => None,
        }
    }

    /// Changes the Request-URI; does nothing to a response.
    pub fn set_uri(&mut self, new: &str) {
        if let StartLine::Request { uri, .. } = &mut self.start {
            *uri = new.to_owned();
        }
    }

    /// Checks what every message must have (RFC 3261 section 8.1.1): exactly one well-formed From, To, Call-ID and CSeq,
    /// at least one Via and a well-formed topmost one, and in a request the CSeq method of the request line.
    ///
    /// # Errors
    /// The first fault found. A request may be answered with 400, a response is dropped.
    pub fn validate(&self) -> Result<(), FieldError> {
        self.from()?;
        self.to()?;
        self.call_id()?;
        self.top_via()?;
        let cseq = self.cseq()?;
        match &self.start {
            StartLine::Request { method, .. } if *method != cseq.method => Err(FieldError::CSeqMethod),
            _ => Ok(()),
        }
    }

    /// The value of the first field of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.is(name)).map(Header::value)
    }

    /// The value of a field that must occur exactly once.
    ///
    /// # Errors
    /// [`FieldError::Missing`] or [`FieldError::Duplicate`].
    pub fn single(&self, name: &str) -> Result<&str, FieldError> {
        let mut fields = self.headers.iter().filter(|header| header.is(name));
        match (fields.next(), fields.next()) {
            (Some(header), None) => Ok(header.value()),
            (None, _) => Err(FieldError::Missing(name.to_owned())),
            _ => Err(FieldError::Duplicate(name.to_owned())),
        }
    }

    /// All values of a list field (Via, Contact, Route, Supported and so on), over all its header lines, split at the
    /// commas outside quotes and angle brackets; empty ones are left out.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|header| header.is(name))
            .flat_map(|header| split_outside_quotes(header.value(), b',', true))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Sets a field to one value: in the place of the first of this name, the others are removed; else at the end.
    /// An equal single value leaves the field's bytes alone.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut seen = false;
        self.headers.retain_mut(|header| {
            if !header.is(name) {
                return true;
            }
            if !seen {
                header.set_value(value);
            }
            !std::mem::replace(&mut seen, true)
        });
        if !seen {
            self.push(name, value);
        }
    }

    /// Adds a field above the others of its name; above all fields if there is none.
    pub fn push_top(&mut self, name: &str, value: &str) {
        let at = self.headers.iter().position(|header| header.is(name)).unwrap_or(0);
        self.headers.insert(at, Header::new(name, value));
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &str, value: &str) {
        self.headers.push(Header::new(name, value));
    }

    /// Removes every field of a name and returns them, as they came, in order.
    pub fn remove(&mut self, name: &str) -> Vec<Header> {
        self.headers.extract_if(.., |header| header.is(name)).collect()
    }

    /// Puts fields (as [`Message::remove`] returned them) at the top, in their order and with their bytes.
    pub fn insert_top(&mut self, headers: Vec<Header>) {
        self.headers.splice(0..0, headers);
    }

    /// The CSeq.
    ///
    /// # Errors
    /// If it is missing, malformed or there are several.
    pub fn cseq(&self) -> Result<CSeq, FieldError> {
        self.single(name::CSEQ)?.parse()
    }

    /// The Call-ID: opaque, never empty.
    ///
    /// # Errors
    /// If it is missing, empty or there are several.
    pub fn call_id(&self) -> Result<&str, FieldError> {
        match self.single(name::CALL_ID)? {
            "" => Err(FieldError::malformed(name::CALL_ID)),
            id => Ok(id),
        }
    }

    /// The From address.
    ///
    /// # Errors
    /// If it is missing, malformed or there are several.
    pub fn from(&self) -> Result<NameAddr, FieldError> {
        self.address(name::FROM)
    }

    /// The To address.
    ///
    /// # Errors
    /// If it is missing, malformed or there are several.
    pub fn to(&self) -> Result<NameAddr, FieldError> {
        self.address(name::TO)
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<String> {
        self.from().ok()?.tag().map(str::to_owned)
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<String> {
        self.to().ok()?.tag().map(str::to_owned)
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn top_via(&self) -> Result<Via, FieldError> {
        self.values(name::VIA).first().ok_or_else(|| FieldError::Missing(name::VIA.to_owned()))?.parse()
    }

    /// Every Contact.
    ///
    /// # Errors
    /// If one is malformed.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, FieldError> {
        self.addresses(name::CONTACT)
    }

    /// The only Contact, if there is one.
    ///
    /// # Errors
    /// If it is malformed or there are several.
    pub fn contact(&self) -> Result<Option<NameAddr>, FieldError> {
        let mut contacts = self.contacts()?;
        match contacts.len() {
            0 | 1 => Ok(contacts.pop()),
            _ => Err(FieldError::Duplicate(name::CONTACT.to_owned())),
        }
    }

    /// Every address of a list field: Contact, Route, Record-Route, P-Asserted-Identity and so on.
    ///
    /// # Errors
    /// If one is malformed.
    pub fn addresses(&self, name: &str) -> Result<Vec<NameAddr>, FieldError> {
        self.values(name).iter().map(|value| value.parse().map_err(|_| FieldError::malformed(name))).collect()
    }

    fn address(&self, name: &str) -> Result<NameAddr, FieldError> {
        self.single(name)?.parse().map_err(|_| FieldError::malformed(name))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start && self.headers == other.headers && self.body == other.body
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("start", &self.start)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Display for StartLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, uri } => write!(f, "{method} {uri} SIP/2.0"),
            Self::Response { code, reason } => write!(f, "SIP/2.0 {code} {reason}"),
        }
    }
}

fn write_clean(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
}
