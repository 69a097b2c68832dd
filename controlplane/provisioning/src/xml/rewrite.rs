//! From a call manager's configuration to the one that a phone outside gets.

use std::borrow::Cow;

use openssl::sha::sha256;
use thiserror::Error;

use super::change::Change;
use super::encoding::{Text, decode};
use super::plan::Plan;
use super::tree::Tree;
use super::{DOCUMENT_MAX, RewriteRules, VersionStamp, XmlError};
use crate::SecurityClass;

/// A configuration for a phone outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The file, in UTF-8.
    pub body: Vec<u8>,
    /// What was changed, at most [`CHANGES_MAX`](super::CHANGES_MAX).
    pub changes: Vec<Change>,
    /// Changes beyond that, not listed.
    pub unlisted: usize,
}

/// Why a configuration cannot be given to a phone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RewriteError {
    /// The file is no configuration.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// There is no `callManagerGroup` member in it.
    #[error("configuration without a call manager; check the phone's device pool on the call manager")]
    NoCallManager,
    /// None of its call managers is known.
    #[error("no call manager of the configuration has an outside address ({}); add one as rewrite.call_manager", .0.join(", "))]
    UnmappedCallManagers(
        /// What the configuration calls them.
        Vec<String>,
    ),
    /// It is only the stub of an encrypted configuration.
    #[error(
        "the call manager encrypts this configuration (fullConfig is false); turn TFTP encryption off in the phone's security profile"
    )]
    Encrypted,
}

impl RewriteRules {
    /// Rewrites a configuration for a phone of this class. Given its own output, it changes nothing.
    ///
    /// # Errors
    /// When the file is no configuration, or leaves the phone without a call manager.
    pub fn rewrite(&self, input: &[u8], class: SecurityClass) -> Result<Rewritten, RewriteError> {
        let document = decode(input)?;
        let tree = Tree::read(&document.text)?;
        let root = tree.nodes.first().filter(|root| root.name == "device").ok_or(XmlError::Root)?;
        debug_assert!(root.parent.is_none());
        if is_stub(&tree) {
            return Err(RewriteError::Encrypted);
        }
        let mut plan = Plan::new(&tree, self, class);
        plan.make()?;
        let mut body = document.bytes(&plan.apply());
        if self.version_stamp == VersionStamp::Derive && body != input {
            stamp(&mut plan, &document, &mut body);
        }
        if body.len() > DOCUMENT_MAX {
            return Err(XmlError::TooLarge.into());
        }
        let (changes, unlisted) = plan.into_changes();
        Ok(Rewritten { body, changes, unlisted })
    }
}

/// What stands in for a configuration that is only given encrypted (trust-files 2.3).
fn is_stub(tree: &Tree<'_>) -> bool {
    let full = tree.child(0, "fullConfig", |_| true).and_then(|index| tree.nodes.get(index));
    full.is_some_and(|node| node.value.trim() == "false")
}

/// The call manager's stamp, and a hash of what came out: it changes when anything does.
fn stamp(plan: &mut Plan<'_>, document: &Text<'_>, body: &mut Vec<u8>) {
    let [a, b, c, d, e, f, g, h, ..] = sha256(body);
    let hash = format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    let original: String = plan.version_stamp().chars().take(64).collect();
    let stamp: Cow<'_, str> = match original.as_str() {
        "" => hash.into(),
        original => format!("{original}-{hash}").into(),
    };
    plan.set_version_stamp(&stamp);
    *body = document.bytes(&plan.apply());
}

impl std::fmt::Debug for Rewritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { body, changes, unlisted } = self;
        let mut shown = f.debug_struct("Rewritten");
        shown.field("bytes", &body.len()).field("changes", changes).field("unlisted", unlisted).finish()
    }
}
