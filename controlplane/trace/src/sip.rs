//! SIP messages without their secrets: SRTP keys of SDP (RFC 4568 `a=crypto`, RFC 4567 `a=key-mgmt`, RFC 8866 `k=`),
//! passwords of ICE, digest responses and other credentials, passwords in URIs.
//!
//! Every rule is applied to every line, be it of the head, of an SDP, of a part of a multipart body, or of a message within
//! a message: it does not matter whether the message is well-formed. Folded lines count as one.

mod credentials;
mod marks;
mod tokens;

use std::borrow::Cow;

use crate::MASK;
use marks::Mark;

/// The message as text, secrets masked. Bytes that are no UTF-8 are replaced; bodies that are encoded (compressed, base64 and
/// the like) or binary are left out from there to the end.
pub fn masked(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let (mut in_head, mut encoded, mut secret_follows) = (true, false, false);
    while !rest.is_empty() {
        let (line, later) = rest.split_at(logical_line(rest));
        if line.contains('\0') {
            shown.push_str(&format!("({} bytes that are no text are not shown)", rest.len()));
            return shown;
        }
        rest = later;
        if line.trim().is_empty() {
            shown.push_str(line);
            in_head = false;
            if encoded && !rest.is_empty() {
                shown.push_str(&format!("({} bytes in an encoding are not shown)", rest.len()));
                return shown;
            }
            continue;
        }
        encoded |= is_encoding(line, in_head);
        if std::mem::take(&mut secret_follows) {
            tokens::mask(line, false, &mut shown);
            continue;
        }
        secret_follows = self::line(line, &mut shown);
    }
    shown
}

/// Bytes of the first line with its end and with the lines that continue it (RFC 3261 section 7.3.1). Lines may end with CR
/// or LF alone; one of spaces only is a line of its own, and so is one that begins with a mark.
fn logical_line(text: &str) -> usize {
    let mut end = physical_line(text);
    let is_blank = |line: &str| line.trim().is_empty();
    if text.get(..end).is_none_or(is_blank) {
        return end;
    }
    while let Some(rest) = text.get(end..).filter(|rest| rest.starts_with([' ', '\t'])) {
        let length = physical_line(rest);
        if rest.get(..length).is_none_or(is_blank) || marks::begins(rest) {
            break;
        }
        end += length;
    }
    end
}

fn physical_line(text: &str) -> usize {
    match text.find(['\r', '\n']) {
        Some(at) if text.get(at..).is_some_and(|end| end.starts_with("\r\n")) => at + 2,
        Some(at) => at + 1,
        None => text.len(),
    }
}

/// Whether a line says that the body after it is in an encoding. `e` is short for Content-Encoding in the head alone.
fn is_encoding(line: &str, in_head: bool) -> bool {
    let Some((name, value)) = line.split_once(':') else { return false };
    let name = name.trim().to_ascii_lowercase();
    let plain: &[&str] = match name.as_str() {
        "content-encoding" => &["identity"],
        "e" if in_head => &["identity"],
        "content-transfer-encoding" => &["7bit", "8bit", "binary"],
        _ => return false,
    };
    let value = value.split([';', '(']).next().unwrap_or_default().trim().to_ascii_lowercase();
    !plain.contains(&value.as_str())
}

/// Shows a line; true if it ends where a secret should begin.
fn line(line: &str, shown: &mut String) -> bool {
    let body = line.trim_end_matches(['\r', '\n']);
    let end = line.get(body.len()..).unwrap_or_default();
    let follows = match marks::of(body) {
        Some(Mark::Credentials { value }) => {
            let (name, value) = body.split_at(value);
            shown.push_str(name);
            credentials::mask(value, shown);
            false
        }
        Some(Mark::Everything { after }) => {
            shown.push_str(body.get(..after).unwrap_or_default());
            shown.push_str(MASK);
            false
        }
        Some(Mark::Tokens { after, tag }) => {
            let (before, secret) = body.split_at(after);
            shown.push_str(&without_passwords(before));
            tokens::mask(secret, tag, shown);
            secret.trim().is_empty() || secret.trim_end().ends_with(':')
        }
        None => {
            shown.push_str(&without_passwords(body));
            false
        }
    };
    shown.push_str(end);
    follows
}

/// Masks the passwords of SIP URIs (`sip:user:password@host`).
fn without_passwords(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let mut shown = String::new();
    let mut done = 0;
    for (at, word) in lower.match_indices("sip") {
        let after = lower.get(at + word.len()..).unwrap_or_default();
        let Some(colon) = ["s:", ":"].into_iter().find(|end| after.starts_with(end)) else { continue };
        let from = at + word.len() + colon.len();
        if from < done {
            continue;
        }
        let uri = text.get(from..).unwrap_or_default();
        let uri = uri.split([' ', '\t', '\r', '\n', '<', '>', '"']).next().unwrap_or_default();
        let Some((user, _)) = uri.rsplit_once('@') else { continue };
        let Some((name, _)) = user.split_once(':') else { continue };
        shown.push_str(text.get(done..from + name.len() + 1).unwrap_or_default());
        shown.push_str(MASK);
        done = from + user.len();
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(shown)
}
