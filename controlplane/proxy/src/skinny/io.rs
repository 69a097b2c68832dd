//! What of SCCP goes into a proxy, and what comes out.

use std::net::SocketAddr;

use pinhole_sccp::Frame;

use crate::io::{ConnId, Connected};

/// Everything that can happen to SCCP phones. Time passes with [`Input::Tick`](crate::Input::Tick), and the data plane
/// speaks with the inputs that SIP has too.
#[derive(Debug)]
pub enum SkinnyInput {
    /// A phone has connected that speaks SCCP.
    Connected(Connected),
    /// A phone sent a frame.
    FromPhone {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// The call manager sent a frame for the phone on this connection.
    FromServer {
        /// The phone's connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// The phone's connection ended.
    PhoneClosed {
        /// The connection.
        conn: ConnId,
    },
    /// The connection inside that belongs to this one ended, or could not be made.
    ServerClosed {
        /// The phone's connection.
        conn: ConnId,
    },
}

/// Everything of SCCP that a proxy asks the process to do. In order.
#[derive(Debug)]
pub enum SkinnyOutput {
    /// Connect to a call manager, from the cluster's local address, for a phone's connection. Frames for it wait until then.
    Connect {
        /// The phone's connection.
        conn: ConnId,
        /// Index of the cluster.
        cluster: usize,
        /// The call manager.
        to: SocketAddr,
    },
    /// Send to a phone. When the connection is gone, drop it.
    ToPhone {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// Send to the call manager of a phone's connection. When it is gone, drop it.
    ToServer {
        /// The phone's connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// The call manager has registered the phone of this connection.
    Registered {
        /// The phone's connection.
        conn: ConnId,
    },
    /// The call manager has refused to register the phone of this connection.
    NotRegistered {
        /// The phone's connection.
        conn: ConnId,
        /// The text that it shows to the phone.
        text: String,
    },
    /// Close both connections once what was sent before is out; whichever is gone already. No input needs to follow.
    Close {
        /// The phone's connection.
        conn: ConnId,
        /// Why, for the log.
        reason: &'static str,
    },
}
