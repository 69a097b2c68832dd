//! What can go wrong, in one line each.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the phones cannot do what they were told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StormError {
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Certificates(#[from] openssl::error::ErrorStack),
    /// A file cannot be read or written.
    #[error("{path}: {source}; make the certificates with `phonestorm certificates`", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Keys or certificates do not suit TLS.
    #[error("TLS cannot begin: {0}")]
    Tls(#[from] rustls::Error),
    /// The call manager's address cannot be used.
    #[error("the call manager cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses something else.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(
        "{phones} phones and their call manager need {needed} open files, {limit} are allowed (ulimit -Hn)"
    )]
    Files {
        /// Phones asked for.
        phones: usize,
        /// Descriptors that they need.
        needed: u64,
        /// Descriptors that they may have.
        limit: u64,
    },
    /// The control plane is not there.
    #[error("there is no process {0}, or it is another user's: name the control plane's with --pid")]
    Gone(u32),
    /// The histogram of waiting times could not be made.
    #[error("the histogram of waiting times: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// A thread ended by a panic.
    #[error("a thread of the storm has ended by a defect")]
    Defect,
}

impl StormError {
    /// For [`Result::map_err`].
    pub(crate) fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
