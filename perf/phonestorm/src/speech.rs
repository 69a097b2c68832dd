//! What phones and call managers say: the few frames of a registration. Facts: `docs/sccp.md`, RFC 3261.

mod sccp;
mod sip;

use std::net::SocketAddr;

pub use sccp::answer as sccp_answer;
pub use sip::answer as sip_answer;

/// What phones speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Speech {
    /// Skinny, protocol 17.
    Sccp,
    /// SIP.
    Sip,
}

/// What a phone hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is registered.
    Registered,
    /// It is not, and will not be.
    Refused,
    /// Its keep-alive was answered.
    Alive,
    /// It is to say this.
    Asked(Vec<u8>),
    /// Something else.
    Other,
}

impl Speech {
    /// The name that figures begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sccp => "sccp",
            Self::Sip => "sip",
        }
    }

    /// What a phone says first.
    pub fn register(self, device: &str, own: SocketAddr) -> Vec<u8> {
        match self {
            Self::Sccp => sccp::register(device),
            Self::Sip => sip::register(device, own),
        }
    }

    /// What it says to keep its connection.
    pub fn keep_alive(self) -> Vec<u8> {
        match self {
            Self::Sccp => sccp::frame(sccp::KEEP_ALIVE, 0, &[]),
            Self::Sip => b"\r\n\r\n".to_vec(),
        }
    }

    /// The next thing that was said to a phone, taken from what has come; `None`: more must come.
    pub fn hear(self, came: &mut Vec<u8>) -> Option<Heard> {
        match self {
            Self::Sccp => sccp::hear(came),
            Self::Sip => sip::hear(came),
        }
    }
}
