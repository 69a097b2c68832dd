//! The rest of a line after the mark of a secret: what cannot be one is let through.

use crate::MASK;

/// What ends a token. None of it stands in base64.
const BETWEEN: [char; 14] = [' ', '\t', '\r', '\n', ';', '|', ',', '"', '\'', '<', '>', '(', ')', '&'];

/// Shows a text, each token masked that could be a secret. `tag`: the first may be a number.
pub(super) fn mask(text: &str, tag: bool, shown: &mut String) {
    let mut before = ' ';
    let mut first = tag;
    for piece in text.split_inclusive(BETWEEN) {
        let token = piece.trim_end_matches(BETWEEN);
        let between = piece.get(token.len()..).unwrap_or_default();
        if !token.is_empty() {
            self::token(token, before, first, shown);
            first = false;
        }
        shown.push_str(between);
        before = between.chars().last().unwrap_or(' ');
    }
}

fn token(token: &str, before: char, first: bool, shown: &mut String) {
    let method = token.get(..7).filter(|method| method.eq_ignore_ascii_case("inline:"));
    if let Some(method) = method {
        shown.push_str(method);
        if token.len() > method.len() {
            shown.push_str(MASK);
        }
        return;
    }
    let fine =
        is_word(token) || (first && is_number(token, 9)) || (before == '|' && is_lifetime_or_mki(token));
    shown.push_str(if fine { token } else { MASK });
}

/// A suite or a session parameter (RFC 4568 section 6.3): base64 has no underscore; the others by name.
fn is_word(token: &str) -> bool {
    let suite = token.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let parameter = |name: &str| token.strip_prefix(name).is_some_and(|value| is_number(value, 4));
    (suite && token.contains('_'))
        || matches!(token.to_ascii_lowercase().as_str(), "inline" | ":" | "mikey")
        || matches!(token, "FEC_ORDER=FEC_SRTP" | "FEC_ORDER=SRTP_FEC")
        || parameter("KDR=")
        || parameter("WSH=")
}

/// `2^20`, `1048576`, `1:4` (RFC 4568 section 6.1), which stand after a `|`.
fn is_lifetime_or_mki(token: &str) -> bool {
    let power = token.strip_prefix("2^").is_some_and(|power| is_number(power, 2));
    let mki = token.split_once(':').is_some_and(|(mki, length)| is_number(mki, 12) && is_number(length, 3));
    power || mki || is_number(token, 15)
}

fn is_number(token: &str, digits: usize) -> bool {
    (1..=digits).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit())
}
