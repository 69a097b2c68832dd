use thiserror::Error;

use super::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_MAX, ELEMENTS_MAX};

/// Why bytes are no configuration. The texts hold nothing of the file, since configurations hold passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum XmlError {
    /// Longer than [`DOCUMENT_MAX`].
    #[error(
        "configuration longer than {DOCUMENT_MAX} bytes; check what the upstream server gives for this name"
    )]
    TooLarge,
    /// An encoding that is neither UTF-8 nor ISO 8859-1, or one that contradicts a byte order mark.
    #[error("configuration in an encoding other than UTF-8 and ISO-8859-1; save it as UTF-8")]
    Encoding,
    /// Not UTF-8, though not declared as anything else.
    #[error("configuration is not UTF-8 at line {line}; save it as UTF-8, or declare ISO-8859-1")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// A document type declaration, which could define entities.
    #[error("DOCTYPE at line {line}: configurations with a document type are refused; remove it")]
    DocumentType {
        /// Counted from 1.
        line: usize,
    },
    /// An entity other than the five of XML, or a reference to no character.
    #[error(
        "unknown entity at line {line}: only &amp; &lt; &gt; &apos; &quot; and characters by number are read"
    )]
    Entity {
        /// Counted from 1.
        line: usize,
    },
    /// Elements in elements beyond [`DEPTH_MAX`].
    #[error("more than {DEPTH_MAX} elements inside one another")]
    TooDeep,
    /// More than [`ELEMENTS_MAX`].
    #[error("more than {ELEMENTS_MAX} elements")]
    TooManyElements,
    /// More than [`ATTRIBUTES_MAX`] in one tag.
    #[error("more than {ATTRIBUTES_MAX} attributes in one tag")]
    TooManyAttributes,
    /// A character that XML does not allow.
    #[error("control character at line {line}, which XML does not allow")]
    Character {
        /// Counted from 1.
        line: usize,
    },
    /// The root is not `device`, or there is none, or something is beside it.
    #[error("not a phone's configuration: exactly one root element, <device>, is expected")]
    Root,
    /// Anything else that is not well-formed.
    #[error("not well-formed XML at line {line}; look at the file on the call manager's TFTP server")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}
