//! TFTP (RFC 1350) with options (RFC 2347), block size (RFC 2348), time-out and transfer size (RFC 2349), without
//! sockets: [`Server`] answers phones, [`Fetch`] gets one file from a call manager's server. Both take datagrams and
//! the time, and say what to send and when they want to be asked again.
//!
//! The server has no files. It reports a request as [`Output::Requested`], is told by [`Server::answer`] what to send,
//! and reports by [`Output::Ended`] how that went. It only reads: whatever a phone uploads is refused unread.
//!
//! Nobody who forges a source address gets more out of it than he sends: until a transfer's first acknowledgement the
//! server answers each request with at most one block, and sends nothing of its own accord.

#![forbid(unsafe_code)]

mod fetch;
mod options;
mod packet;
mod server;
mod transfer;

pub use fetch::{Fetch, FetchError, FetchSettings, Step};
pub use options::{BLOCK_DEFAULT, BLOCK_MAX, BLOCK_MIN, Options};
pub use packet::{ErrorCode, MAX_NAME, MAX_REQUEST, Malformed, Packet, Request};
pub use pinhole_rates::Rate;
pub use server::{Limits, Output, Refusal, Server, Settings};
pub use transfer::{Denied, End, TransferId};
