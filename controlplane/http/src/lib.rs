//! HTTP/1.1 (RFC 9110, RFC 9112) as phones fetch files by it, without sockets: [`Server`] answers GET and HEAD on
//! connections that it is told of, [`Fetch`] gets one file from a call manager's server. Both take bytes and the time, and
//! say what to send and when they want to be asked again.
//!
//! The server has no files. It reports a request as [`Output::Requested`], is told by [`Server::answer`] what to send,
//! and reports by [`Output::Sent`] and [`Output::Ended`] how that went. It only reads: what a phone sends along with a
//! request is thrown away unread.
//!
//! Requests on a connection are answered one after the other; what comes early waits, up to the length of one request
//! head. Ranges, conditions and encodings are not asked about: the answer is the whole file.

#![forbid(unsafe_code)]

mod connection;
mod fetch;
mod request;
mod response;
mod server;

pub use connection::{End, Output, Refusal, RequestId};
pub use fetch::{Fetch, FetchError, FetchSettings};
pub use pinhole_rates::{Rate, Rates};
pub use request::{HEAD_MAX, Head, Malformed, Method, parse};
pub use response::Denied;
pub use server::{ConnectionId, Server, Settings};
