//! What the control plane and `pinhole-legacy-tls` say to each other.
//!
//! Old phones speak TLS 1.0 with static RSA and AES-CBC-SHA (facts: tls-capf-tvs 2.8), soft phones in "authenticated" mode
//! NULL-SHA. A process of its own does that, by OpenSSL, with no right to anything but the sockets that it is given. The
//! control plane starts it, and stays the one that decides: it gives it listening sockets, key and settings ([`Settings`]);
//! for each phone that has finished its handshake it gets back the clear stream and the certificates that were shown
//! ([`Report::Phone`]), and verifies them as those of any phone.
//!
//! Messages are packets on a `SOCK_SEQPACKET` socket pair; descriptors come along with them (`SCM_RIGHTS`). Each side bounds
//! and checks what it reads: the process that strangers talk to is not trusted by the control plane.

#![forbid(unsafe_code)]

mod channel;
mod message;

pub use channel::{Channel, ChannelError, FILES_MAX};
pub use message::{
    BadMessage, CERTIFICATES_MAX, Cause, CipherSuite, Handover, Limits, MESSAGE_MAX, Refusals, Report,
    Settings, TEXT_MAX, Version,
};
