//! Where in a line a secret begins.

/// The first mark of a secret in a line. Places are bytes of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A field of credentials, whose value begins there.
    Credentials { value: usize },
    /// Nothing of what follows is shown.
    Everything { after: usize },
    /// What follows is shown as far as it cannot be a secret; `tag`: a number may come first.
    Tokens { after: usize, tag: bool },
}

/// Fields that carry credentials, or what proves that somebody has them.
const CREDENTIALS: [&str; 4] =
    ["authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info"];
/// Words and the sign after which a secret follows, wherever they stand. `crypto` is not among them: its keys follow `inline`.
const WORDS: [(&str, u8); 4] =
    [("inline", b':'), ("key-mgmt", b':'), ("ice-pwd", b':'), ("authorization", b'=')];
/// Characters of the longest mark at the beginning of a line, with some spaces in it.
const LONGEST: usize = 64;
/// How often a text is unescaped.
const ESCAPES: usize = 3;

/// The mark of a line without its end.
pub(super) fn of(line: &str) -> Option<Mark> {
    let lower = line.to_ascii_lowercase();
    // A secret in an escaped part of a URI, such as `?body=` or `?Authorization=`.
    let unescaped = unescape(&lower);
    if unescaped != lower.as_bytes() && secrets(&unescaped) > secrets(lower.as_bytes()) {
        let name = lower.find(':').map_or(0, |colon| colon + 1);
        return Some(Mark::Everything {
            after: word(lower.as_bytes()).map_or(name, |after| after.min(name)),
        });
    }
    first(&lower).or_else(|| word(lower.as_bytes()).map(|after| Mark::Tokens { after, tag: false }))
}

/// Whether a secret follows a word in a text, which may stand in any case.
pub(super) fn is_in(text: &str) -> bool {
    word(text.to_ascii_lowercase().as_bytes()).is_some()
}

/// Whether a text begins with a mark, so that it is no continuation, however far it is indented.
pub(super) fn begins(text: &str) -> bool {
    let begin: String = text.trim_start().chars().take(LONGEST).collect();
    first(&begin.to_ascii_lowercase()).is_some()
}

/// The mark that a line in lower case begins with.
fn first(line: &str) -> Option<Mark> {
    let trimmed = line.trim_start();
    let indent = line.len() - trimmed.len();
    if let Some((name, _)) = trimmed.split_once(':')
        && CREDENTIALS.contains(&name.trim_end())
    {
        return Some(Mark::Credentials { value: indent + name.len() + 1 });
    }
    if let Some(after) = letter(trimmed, 'k') {
        return Some(Mark::Everything { after: indent + after });
    }
    let after = letter(trimmed, 'a')?;
    let (name, _) = trimmed.get(after..)?.split_once(':')?;
    let after = indent + after + name.len() + 1;
    let name = name.trim();
    matches!(name, "crypto" | "key-mgmt" | "ice-pwd").then(|| Mark::Tokens { after, tag: name == "crypto" })
}

/// Where the value of an SDP line of that letter begins.
fn letter(line: &str, letter: char) -> Option<usize> {
    let value = line.strip_prefix(letter)?.trim_start().strip_prefix('=')?;
    Some(line.len() - value.len())
}

/// Where the first of [`WORDS`] ends.
fn word(line: &[u8]) -> Option<usize> {
    (0..line.len()).find_map(|at| word_at(line, at))
}

fn word_at(line: &[u8], at: usize) -> Option<usize> {
    WORDS.iter().find_map(|(word, sign)| {
        let after = line.get(at..)?.strip_prefix(word.as_bytes())?;
        let value = after.trim_ascii_start().strip_prefix(&[*sign])?;
        Some(line.len() - value.len())
    })
}

/// How many secrets a text seems to have.
fn secrets(text: &[u8]) -> usize {
    let words = (0..text.len()).filter(|at| word_at(text, *at).is_some()).count();
    let fields = text.windows(b"authorization:".len()).filter(|part| part == b"authorization:").count();
    let keys = text.windows(3).filter(|part| matches!(part, [b'\r' | b'\n', b'k', b'=']));
    words + fields + keys.count()
}

/// A text without `%` escapes, also escaped ones, in lower case.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..ESCAPES {
        let once = unescape_once(&bytes);
        if once.len() == bytes.len() {
            break;
        }
        bytes = once;
    }
    bytes
}

fn unescape_once(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, after @ ..] => digit(*high).zip(digit(*low)).map(|pair| (pair, after)),
            _ => None,
        };
        match escaped {
            Some(((high, low), after)) => {
                out.push((high * 16 + low).to_ascii_lowercase());
                rest = after;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_whatever_their_case_and_spaces() {
        assert_eq!(of("AUTHORIZATION : Digest"), Some(Mark::Credentials { value: 15 }));
        assert_eq!(of(" k = clear:x"), Some(Mark::Everything { after: 4 }));
        assert_eq!(of("a = Crypto : 1"), Some(Mark::Tokens { after: 12, tag: true }));
        assert_eq!(of("x InLine\t:KEY"), Some(Mark::Tokens { after: 10, tag: false }));
        assert_eq!(of("Refer-To: <sip:a@b?x=%69nline%3akey>"), Some(Mark::Everything { after: 9 }));
        assert_eq!(of("Refer-To: <sip:a@b?x=%2569nline%3akey>"), Some(Mark::Everything { after: 9 }));
        assert_eq!(of("authorization=key: %69nline:key"), Some(Mark::Everything { after: 14 }));
        assert_eq!(of("Content-Disposition: inline"), None);
        assert_eq!(of("Contact: <sip:a%20b@c>"), None);
    }
}
