//! What a phone gets as `.cnf.xml.sgn` when its configuration is only given encrypted (trust-files 2.3).

use std::fmt::Write;

use super::XmlError;
use super::encoding::decode;
use super::tree::Tree;

/// What is taken over from the configuration.
const KEPT: [&str; 4] = ["loadInformation", "ipAddressMode", "capfAuthMode", "capfList"];

/// MD5 of a device certificate, by which a phone knows to which of its certificates a configuration is encrypted. It
/// protects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateHash(pub [u8; 16]);

/// The stub of a configuration that was rewritten.
///
/// # Errors
/// When that is no configuration.
pub fn stub(configuration: &[u8], certificate: CertificateHash) -> Result<Vec<u8>, XmlError> {
    let document = decode(configuration)?;
    let tree = Tree::read(&document.text)?;
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<device>\n<fullConfig>false</fullConfig>\n",
    );
    let found = KEPT
        .iter()
        .filter_map(|name| tree.child(0, name, |_| true))
        .filter_map(|index| tree.nodes.get(index));
    for node in found {
        out.extend([tree.slice(node.span.clone()), "\n"]);
    }
    out.push_str("<certHash>");
    certificate.0.iter().try_for_each(|byte| write!(out, "{byte:02x}")).unwrap_or_default();
    out.push_str("</certHash>\n<encrConfig>true</encrConfig>\n</device>\n");
    Ok(out.into_bytes())
}
