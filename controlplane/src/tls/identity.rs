//! From certificate to device name.

use pinhole_proxy::DeviceName;
use regex::Regex;
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// As much of a refused common name is shown.
const SHOWN: usize = 64;

/// Gives the device name of a certificate, or refuses it.
#[derive(Clone, Debug)]
pub struct DeviceNames {
    pattern: Regex,
}

/// Why a certificate names no device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The certificate cannot be parsed.
    #[error("its certificate cannot be parsed")]
    Broken,
    /// The subject has no common name, or more than one.
    #[error("its certificate's subject has {0} common names, one is needed")]
    CommonNames(usize),
    /// The common name does not match `identity.device_name`.
    #[error("its certificate's common name {0:?} does not match identity.device_name")]
    NoMatch(String),
}

impl DeviceNames {
    /// Device names by `identity.device_name`. The pattern must match the whole common name.
    ///
    /// # Errors
    /// When the pattern is not a regular expression (it was checked with the configuration).
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self { pattern: Regex::new(&format!("^(?:{pattern})$"))? })
    }

    /// The device name of a certificate (DER).
    ///
    /// # Errors
    /// When the certificate names no device.
    pub fn of_certificate(&self, der: &[u8]) -> Result<DeviceName, NameError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| NameError::Broken)?;
        let names: Vec<_> =
            certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
        let [name] = names.as_slice() else { return Err(NameError::CommonNames(names.len())) };
        self.of_common_name(name)
    }

    fn of_common_name(&self, name: &str) -> Result<DeviceName, NameError> {
        let captured =
            self.pattern.captures(name).and_then(|captures| captures.get(1)).map(|group| group.as_str());
        captured
            .and_then(|device| DeviceName::new(device).ok())
            .ok_or_else(|| NameError::NoMatch(name.chars().take(SHOWN).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_one_is_the_device_name() {
        let names = DeviceNames::new(r"(SEP[0-9A-F]{12})\.phones\.example").unwrap();
        assert_eq!(
            names.of_common_name("SEP0010DB000001.phones.example").unwrap().as_str(),
            "SEP0010DB000001"
        );
    }

    #[test]
    fn pattern_must_match_the_whole_common_name() {
        let names = DeviceNames::new("(SEP[0-9A-F]{12})").unwrap();
        for wrong in ["xSEP0010DB000001", "SEP0010DB000001x", "SEP0010DB000001\nfoo", "", "SEP0010db000001"] {
            assert_eq!(names.of_common_name(wrong), Err(NameError::NoMatch(wrong.into())));
        }
    }

    #[test]
    fn broken_certificate_is_refused() {
        let names = DeviceNames::new("(.*)").unwrap();
        assert_eq!(names.of_certificate(b"\x30\x03abc"), Err(NameError::Broken));
    }
}
