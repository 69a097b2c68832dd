//! Distinguished names as text, in one fixed notation: that of RFC 2253 as OpenSSL writes it, so that an operator can
//! compare with `openssl x509 -noout -issuer -nameopt RFC2253`. It is plain ASCII, whatever the name holds.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag, ToDer as _};
use x509_parser::prelude::X509Name;

/// Attribute types that have a name; others are written by their object identifier and the DER of their value.
const ATTRIBUTES: [(&str, &str); 20] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The text of a name.
pub(crate) fn text(name: &X509Name<'_>) -> String {
    let attributes = name.iter_rdn().flat_map(|set| {
        set.iter().enumerate().map(|(at, attribute)| {
            let oid = attribute.attr_type().to_id_string();
            let known = ATTRIBUTES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
            let value = known.and_then(|_| characters(attribute.attr_value()));
            let value = value.map_or_else(|| dumped(attribute.attr_value()), |value| escaped(&value));
            (at > 0, format!("{}={value}", known.unwrap_or(&oid)))
        })
    });
    let mut text = String::new();
    let mut is_joined = false;
    for (joins_before, attribute) in attributes.collect::<Vec<_>>().into_iter().rev() {
        if !text.is_empty() {
            text.push(if is_joined { '+' } else { ',' });
        }
        text.push_str(&attribute);
        is_joined = joins_before;
    }
    text
}

/// The characters of a string; `None`: it is of another type, or broken.
fn characters(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        // As everybody does, for Latin-1.
        Tag::T61String => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = value.data.chunks(2).map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok()
        }
        _ => None,
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::new();
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => text.extend(['\\', char::from(byte)]),
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => drop(write!(text, "\\{byte:02X}")),
        }
    }
    text
}

fn dumped(value: &Any<'_>) -> String {
    let der = value.to_der_vec().unwrap_or_default();
    der.iter().fold(String::from("#"), |text, byte| text + &format!("{byte:02X}"))
}
