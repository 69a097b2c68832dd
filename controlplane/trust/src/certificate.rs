//! What lists and headers say of a certificate.

use openssl::x509::{X509, X509NameRef};

use crate::Failure;

/// A distinguished name as headers and records have it: the most specific part first, semicolons between, as call
/// managers write them. Phones take commas as well. \[V\]
pub fn distinguished_name(name: &X509NameRef) -> String {
    let part = |entry: &openssl::x509::X509NameEntryRef| {
        let key = entry.object().nid().short_name().unwrap_or("OID");
        let value = entry.data().to_string().unwrap_or_default();
        // No zero byte can stand in a string of the file.
        format!("{key}={}", value.replace('\0', ""))
    };
    let mut parts: Vec<_> = name.entries().map(part).collect();
    parts.reverse();
    parts.join(";")
}

/// A certificate's serial number, big-endian without a sign byte; of zero one byte.
pub(crate) fn serial(certificate: &X509) -> Result<Vec<u8>, Failure> {
    let bytes = certificate.serial_number().to_bn()?.to_vec();
    Ok(if bytes.is_empty() { vec![0] } else { bytes })
}
