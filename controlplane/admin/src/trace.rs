//! One phone's signalling as it passes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Traced {
    /// A message.
    Message(Box<TracedMessage>),
    /// Messages left out here, since what came before was not read fast enough.
    Lost {
        /// How many.
        messages: u64,
    },
    /// The end.
    Ended {
        /// Why.
        reason: String,
        /// Messages shown.
        messages: u64,
        /// Messages left out.
        lost: u64,
    },
}

/// A message that has come or is about to go. Keys and passwords are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedMessage {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// From whom, to whom.
    pub hop: Hop,
    /// The phone's address; absent when it is not connected.
    pub phone: Option<SocketAddr>,
    /// The cluster; empty when none serves the phone.
    pub cluster: String,
    /// The call manager; absent when that is not known.
    pub call_manager: Option<SocketAddr>,
    /// What carries it: `tls`, `tcp` or `udp`.
    pub transport: String,
    /// Its length in bytes.
    pub length: usize,
    /// What it says.
    pub content: Content,
}

/// One of the four ways that a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// Outside, from the phone to us.
    FromPhone,
    /// Outside, from us to the phone.
    ToPhone,
    /// Inside, from the call manager to us.
    FromCallManager,
    /// Inside, from us to the call manager.
    ToCallManager,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// SIP.
    Sip {
        /// The whole message.
        text: String,
    },
    /// SCCP.
    Sccp {
        /// The message's name.
        message: String,
        /// Its number.
        id: u32,
        /// The header version.
        version: u32,
        /// Names and values of the fields that are known.
        fields: Vec<(String, String)>,
        /// The body as hexadecimal digits, if that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hex: Option<String>,
    },
}
