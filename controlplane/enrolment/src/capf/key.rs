//! The key pair that a phone makes: what it is asked for, and which public key is good enough.

use openssl::ec::EcKey;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;

use super::tag;
use crate::element::Elements;

/// The most bytes of a public key: RSA of 4096 bits has 550.
const DER_MAX: usize = 1024;
/// The longest RSA key, in bits.
const RSA_MAX: u32 = 4096;

/// A curve that phones know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Its number in the element.
    const fn number(self) -> u8 {
        match self {
            Self::P256 => 0,
            Self::P384 => 1,
            Self::P521 => 2,
        }
    }

    const fn nid(self) -> Nid {
        match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
            Self::P521 => Nid::SECP521R1,
        }
    }
}

/// The key pair that a phone is asked for. EC needs a trust list of signer version 1.1 on the phone, and a newer model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRequest {
    /// RSA of so many bits.
    Rsa(u16),
    /// EC on a curve.
    Ec(Curve),
}

impl KeyRequest {
    /// The elements that ask for it.
    pub(super) fn elements(self) -> Elements {
        let elements = Elements::default();
        match self {
            Self::Rsa(bits) => elements.with(tag::KEY_TYPE, [0]).with(tag::KEY_SIZE, bits.to_be_bytes()),
            Self::Ec(curve) => elements.with(tag::KEY_TYPE, [1]).with(tag::CURVE, [curve.number()]),
        }
    }
}

/// Which public keys get a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRules {
    /// The fewest bits of an RSA key.
    pub rsa_bits_min: u32,
}

/// Why a public key gets no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No SubjectPublicKeyInfo.
    #[error("it is no public key")]
    Form,
    /// Neither RSA nor EC on a known curve.
    #[error("it is neither RSA nor EC on P-256, P-384 or P-521")]
    Kind,
    /// Too short or too long.
    #[error("RSA of {0} bits; {1} to {RSA_MAX} are allowed")]
    Bits(u32, u32),
    /// A modulus or exponent that no key pair has.
    #[error("it is of no key pair that could be made")]
    Value,
}

impl KeyRules {
    /// Reads a public key. It need not be of the kind that was asked for: some phones have but one.
    ///
    /// # Errors
    /// When it is not good enough.
    pub fn read(self, der: &[u8]) -> Result<PKey<Public>, BadKey> {
        if der.len() > DER_MAX {
            return Err(BadKey::Form);
        }
        let key = PKey::public_key_from_der(der).map_err(|_| BadKey::Form)?;
        match key.id() {
            Id::RSA => self.rsa(&key.rsa().map_err(|_| BadKey::Form)?)?,
            Id::EC => ec(&key.ec_key().map_err(|_| BadKey::Form)?)?,
            _ => return Err(BadKey::Kind),
        }
        Ok(key)
    }

    fn rsa(self, key: &Rsa<Public>) -> Result<(), BadKey> {
        let bits = u32::try_from(key.n().num_bits()).unwrap_or_default();
        if !(self.rsa_bits_min..=RSA_MAX).contains(&bits) {
            return Err(BadKey::Bits(bits, self.rsa_bits_min));
        }
        // With an exponent of one, anybody could decrypt and sign.
        let exponent = key.e();
        if !key.n().is_bit_set(0) || !exponent.is_bit_set(0) || exponent.num_bits() < 2 {
            return Err(BadKey::Value);
        }
        Ok(())
    }
}

fn ec(key: &EcKey<Public>) -> Result<(), BadKey> {
    let curve = key.group().curve_name();
    if !Curve::ALL.into_iter().any(|known| curve == Some(known.nid())) {
        return Err(BadKey::Kind);
    }
    key.check_key().map_err(|_| BadKey::Value)
}
