//! SIP messages (RFC 3261), parsed leniently and forwarded with minimal edits.
//!
//! [`Message`] keeps each header line as it came, so a message that nobody edits leaves byte for byte as it arrived, and
//! an edit touches its own header only. [`Message::parse`] reads a datagram, [`Framer`] cuts messages out of a stream;
//! both use one head parser and one reading of `Content-Length`, so they cannot disagree about where a message ends.
//!
//! Three things are changed even in an untouched message: bare LF line ends become CRLF, empty lines before the start
//! line and bytes after the announced body (datagrams only) are dropped, and a missing `Content-Length` is added.
//!
//! Nothing here opens a socket or knows a policy. `Debug` of a message shows no bodies (they may hold SRTP keys) and no
//! header values.
#![forbid(unsafe_code)]

mod body;
mod cseq;
mod error;
mod framer;
mod limits;
mod message;
mod method;
pub mod name;
mod name_addr;
mod params;
mod parse;
mod uri;
mod via;

pub use body::BodyError;
pub use cseq::CSeq;
pub use error::{FieldError, FrameError, ParseError};
pub use framer::{Frame, Framer};
pub use limits::Limits;
pub use message::{Header, Message, StartLine};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::Params;
pub use uri::Uri;
pub use via::Via;
