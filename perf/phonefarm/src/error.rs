//! What can go wrong, in one line each.

use std::path::PathBuf;

use pinhole_flow::{AttachError, Refusal};

/// Why the farm cannot do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FarmError {
    /// A DPDK step failed.
    #[error(transparent)]
    Dpdk(#[from] dpdk::Error),
    /// A device is not one of those that the farm drives.
    #[error("{0:?} is no device of the farm: write virtio:/PATH.sock, af_packet:IFACE or af_xdp:IFACE")]
    Device(String),
    /// The data plane's socket of a virtio device is not there.
    #[error("there is no socket {}: is a data plane running with device = \"vhost:{}\"?", .0.display(), .0.display())]
    NoSocket(PathBuf),
    /// A port has no queue left.
    #[error("port {0} gives no queue")]
    NoQueue(String),
    /// Two flows arrive at the same UDP port of the same port of the farm.
    #[error("two flows are expected at UDP port {udp} of port {port}: give each its own")]
    SamePort {
        /// Index of the farm's port.
        port: usize,
        /// The UDP port.
        udp: u16,
    },
    /// A flow names a port that the farm does not have.
    #[error("a flow uses port {0}, which the farm does not have")]
    UnknownPort(usize),
    /// A master key is broken.
    #[error("a flow's key: {0}")]
    Key(#[from] pinhole_srtp::KeyError),
    /// The histogram of delays could not be made.
    #[error("the histogram of delays: {0}")]
    Delays(#[from] hdrhistogram::CreationError),
    /// No random keys could be had.
    #[error("the kernel gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The data plane cannot be attached to.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// More sessions than there is room for.
    #[error("{wanted} sessions do not fit: {limit}")]
    TooMany {
        /// How many were asked for.
        wanted: usize,
        /// What limits them, and where that is set.
        limit: String,
    },
    /// The data plane refused a command.
    #[error("the data plane refuses to {what}: {}", .why.map_or_else(|| "for an unknown reason".to_owned(), |why| format!("{why:?}")))]
    Refused {
        /// What was asked.
        what: String,
        /// Its reason.
        why: Option<Refusal>,
    },
    /// No acknowledgement came.
    #[error(
        "the data plane does not answer within {seconds} s while the farm waits to {what}; is its worker running?"
    )]
    NoAnswer {
        /// What was asked.
        what: &'static str,
        /// How long the farm waited.
        seconds: u64,
    },
    /// The data plane ended.
    #[error("the data plane has ended")]
    Gone,
    /// The configuration does not suit the farm.
    #[error("{path}: {message}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// Phones are not heard although they should be.
    #[error(
        "{lost} of {sent} first packets did not arrive: the relay does not relay, or its addresses are not those configured"
    )]
    NotRelayed {
        /// Packets sent.
        sent: u64,
        /// Packets that did not arrive.
        lost: u64,
    },
    /// Sessions were closed and acknowledged, and yet slots are open.
    #[error("{0} slots are still open in the data plane after every close was acknowledged")]
    LeftOpen(usize),
    /// No signal handler could be set.
    #[error("cannot set a signal handler: {0}")]
    Signal(std::io::Error),
    /// Ended by a signal.
    #[error("stopped by a signal")]
    Stopped,
}
