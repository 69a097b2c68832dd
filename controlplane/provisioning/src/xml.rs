//! Rewriting of a phone's configuration (provisioning 2.5).
//!
//! The file is read strictly and changed by single spans: what no rule names stays byte for byte, whatever it means.

mod change;
mod elements;
mod encoding;
mod error;
mod plan;
mod rewrite;
mod rules;
mod stub;
mod tree;

pub use change::{CHANGES_MAX, Change};
pub use elements::{Action, ElementRules, UrlAction, UrlRules};
pub use error::XmlError;
pub use rewrite::{RewriteError, Rewritten};
pub use rules::{
    CallManager, MEMBERS_MAX, NODE_NAME_MAX, RewriteRules, RuleProblem, SCCP_SECURE_OFFSET, Server,
    ServerAddress, Srst, SrstServer, TimeServer, VersionStamp,
};
pub use stub::{CertificateHash, stub};

/// The longest configuration, in bytes, before and after it is rewritten.
pub const DOCUMENT_MAX: usize = 256 << 10;
/// The most elements inside one another.
pub const DEPTH_MAX: usize = 32;
/// The most elements of a configuration.
pub const ELEMENTS_MAX: usize = 16_384;
/// The most attributes of a tag.
pub const ATTRIBUTES_MAX: usize = 64;
