//! The value of a field of credentials: parameters that identify are shown, those that prove are not.

use super::{marks, without_passwords};
use crate::MASK;

/// Parameters of digest authentication that are no secret (RFC 7616 section 3.4).
const SHOWN: [&str; 12] = [
    "username",
    "realm",
    "nonce",
    "nextnonce",
    "uri",
    "algorithm",
    "qop",
    "nc",
    "opaque",
    "cnonce",
    "userhash",
    "charset",
];

/// Shows a value, which begins after the field's colon. Of schemes other than Digest nothing but their name is shown.
pub(super) fn mask(value: &str, shown: &mut String) {
    let trimmed = value.trim_start();
    shown.push_str(value.get(..value.len() - trimmed.len()).unwrap_or_default());
    let (scheme, parameters) = match trimmed.split_once([' ', '\t', '\r', '\n']) {
        // Authentication-Info has parameters without a scheme.
        Some((scheme, _)) if scheme.contains('=') => ("", trimmed),
        Some(pair) => pair,
        None => ("", trimmed),
    };
    let known = ["digest", "basic", "bearer", "ntlm", "kerberos", "negotiate"];
    let scheme_lower = scheme.to_ascii_lowercase();
    if known.contains(&scheme_lower.as_str()) {
        shown.push_str(scheme);
        shown.push(' ');
    }
    if !matches!(scheme_lower.as_str(), "" | "digest") {
        return shown.push_str(MASK);
    }
    for (at, parameter) in outside_quotes(parameters).into_iter().enumerate() {
        if at > 0 {
            shown.push(',');
        }
        self::parameter(parameter, shown);
    }
}

fn parameter(parameter: &str, shown: &mut String) {
    match parameter.split_once('=') {
        Some((name, value)) if is_shown(name.trim()) && is_whole(value.trim()) && !marks::is_in(value) => {
            shown.push_str(&without_passwords(parameter));
        }
        Some((name, _)) if is_name(name.trim()) => {
            shown.push_str(name);
            shown.push('=');
            shown.push_str(MASK);
        }
        _ if parameter.trim().is_empty() => {}
        _ => shown.push_str(MASK),
    }
}

fn is_shown(name: &str) -> bool {
    SHOWN.iter().any(|shown| shown.eq_ignore_ascii_case(name))
}

fn is_name(name: &str) -> bool {
    (1..=20).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

/// A token, or one quoted string and nothing else: another's value could be taken for a part of it.
fn is_whole(value: &str) -> bool {
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').is_some_and(|inner| !inner.contains('"')),
        None => !value.contains(['"', ' ', '\t', '\r', '\n', '=']),
    }
}

/// The parts between commas that are not in quotes.
fn outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}
