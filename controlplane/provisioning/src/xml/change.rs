//! What was changed, for the operator to see.

use serde::{Deserialize, Serialize};

/// The most changes listed of one configuration.
pub const CHANGES_MAX: usize = 512;
const VALUE_MAX: usize = 255;
const MASK: &str = "***";

/// One change of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The element, as `device/devicePool/callManagerGroup/members/member[1]`.
    pub path: String,
    /// What it was; `None`: it was not there. Secrets are masked.
    pub before: Option<String>,
    /// What it is; `None`: it is gone.
    pub after: Option<String>,
}

/// What may be shown of an element's value: nothing of a password, and no password within an address.
pub(super) fn shown(name: &str, value: &str) -> String {
    if is_secret(name) && !value.is_empty() {
        return MASK.to_owned();
    }
    let mut shown = without_user(value);
    if let Some((address, query)) = shown.split_once('?') {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((key, _)) if is_secret(key) => format!("{key}={MASK}"),
            _ => parameter.to_owned(),
        });
        shown = format!("{address}?{}", parameters.collect::<Vec<_>>().join("&"));
    }
    match shown.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => shown.get(..end).unwrap_or_default().to_owned() + "...",
        None => shown,
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "pwd", "secret", "credential"].iter().any(|word| name.contains(word))
        || matches!(name.as_str(), "pin" | "key" | "token")
}

/// `http://user:password@host/` without the user.
fn without_user(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://{MASK}{}", rest.get(user.len()..).unwrap_or_default()),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn secrets_are_never_shown() {
        assert_eq!(shown("phonePassword", "hunter2"), "***");
        assert_eq!(shown("authPassword", ""), "");
        assert_eq!(shown("url", "http://joe:hunter2@10.0.0.1/x"), "http://***@10.0.0.1/x");
        assert_eq!(
            shown("url", "http://10.0.0.1/x?name=joe&Password=hunter2"),
            "http://10.0.0.1/x?name=joe&Password=***"
        );
        assert_eq!(
            shown("url", "http://10.0.0.1/a@b?name=#DEVICENAME#"),
            "http://10.0.0.1/a@b?name=#DEVICENAME#"
        );
        assert_eq!(shown("loadServer", &"x".repeat(300)).len(), 258);
    }
}
