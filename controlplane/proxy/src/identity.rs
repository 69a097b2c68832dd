//! Who a device is, and in whose name it may speak.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use regex::Regex;

/// Longest device name in bytes.
pub const DEVICE_NAME_MAX: usize = 64;

/// The name of a device, taken from its certificate. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName(Arc<str>);

/// Why a text is no device name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device name: 1 to 64 letters, digits, '-', '_' or '.' are allowed")]
pub struct BadDeviceName(pub String);

impl DeviceName {
    /// Takes a device name of 1 to [`DEVICE_NAME_MAX`] letters, digits, `-`, `_` or `.`.
    ///
    /// # Errors
    /// Anything else.
    pub fn new(name: &str) -> Result<Self, BadDeviceName> {
        let fits = (1..=DEVICE_NAME_MAX).contains(&name.len());
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits && plain {
            Ok(Self(name.into()))
        } else {
            Err(BadDeviceName(name.chars().take(DEVICE_NAME_MAX).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shard of `shards` that the device lives on.
    pub fn shard(&self, shards: u32) -> u32 {
        let hash = crate::token::fnv128(&[self.0.as_bytes()]);
        u32::try_from((hash >> 32) % u128::from(shards.max(1))).unwrap_or_default()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a certificate's subject common name becomes a device name (`[identity] device_name`).
#[derive(Clone, Debug)]
pub struct DeviceNameRule(Regex);

impl DeviceNameRule {
    /// A rule from a pattern; capture group 1 is the device name (the whole match if there is none).
    pub fn new(pattern: Regex) -> Self {
        Self(pattern)
    }

    /// The device name of a common name; `None` when the rule does not match.
    pub fn device_name(&self, common_name: &str) -> Option<DeviceName> {
        let found = self.0.captures(common_name)?;
        DeviceName::new(found.get(1).or_else(|| found.get(0))?.as_str()).ok()
    }
}

/// Which device may use which addresses of record.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Addresses of record of named devices: `1001`, or `1001@example.com` to bind the host as well.
    pub devices: BTreeMap<String, Vec<String>>,
    /// Address of record of any other device; `{device}` stands for its name. `None`: no other
    /// device may register or call.
    pub aor_pattern: Option<String>,
}

impl Identity {
    /// Whether `device` may speak as `user` at `host`. User parts compare exactly, hosts without
    /// regard to case (RFC 3261 section 19.1.4). Deny by default.
    pub fn allows(&self, device: &DeviceName, user: &str, host: &str) -> bool {
        if let Some(allowed) = self.devices.get(device.as_str()) {
            return allowed.iter().any(|aor| aor_matches(aor, user, host));
        }
        self.aor_pattern
            .as_ref()
            .is_some_and(|pattern| aor_matches(&pattern.replace("{device}", device.as_str()), user, host))
    }
}

fn aor_matches(aor: &str, user: &str, host: &str) -> bool {
    if user.is_empty() {
        return false;
    }
    match aor.rsplit_once('@') {
        Some((aor_user, aor_host)) => aor_user == user && aor_host.eq_ignore_ascii_case(host),
        None => aor == user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceName {
        DeviceName::new(name).unwrap()
    }

    #[test]
    fn device_names_are_plain_and_bounded() {
        assert!(DeviceName::new("SEP0010DB000001").is_ok());
        for bad in ["", "a b", "a\nb", "a@b", &"x".repeat(65)] {
            assert!(DeviceName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn allow_list_names_exactly_who_may_speak() {
        let identity = Identity {
            devices: BTreeMap::from([(
                "SEP1".to_owned(),
                vec!["1001".to_owned(), "1002@lab.example".to_owned()],
            )]),
            aor_pattern: None,
        };
        assert!(identity.allows(&device("SEP1"), "1001", "anything"));
        assert!(identity.allows(&device("SEP1"), "1002", "LAB.example"));
        assert!(!identity.allows(&device("SEP1"), "1002", "other.example"));
        assert!(!identity.allows(&device("SEP1"), "2001", "lab.example"));
        assert!(!identity.allows(&device("SEP1"), "", "lab.example"));
        assert!(!identity.allows(&device("SEP2"), "1001", "lab.example"));
    }

    #[test]
    fn pattern_gives_each_device_its_own_name() {
        let identity = Identity { devices: BTreeMap::new(), aor_pattern: Some("line-{device}".to_owned()) };
        assert!(identity.allows(&device("SEP1"), "line-SEP1", "lab.example"));
        assert!(!identity.allows(&device("SEP1"), "line-SEP2", "lab.example"));
    }

    #[test]
    fn common_name_becomes_device_name_by_rule() {
        let rule = DeviceNameRule::new(Regex::new("^(SEP[0-9A-F]{12})(-.*)?$").unwrap());
        assert_eq!(rule.device_name("SEP0010DB000001-x").unwrap().as_str(), "SEP0010DB000001");
        assert!(rule.device_name("toaster").is_none());
    }
}
