//! Public keys and the signatures that they verify.

use std::fmt;

use openssl::bn::BigNumContext;
use openssl::ec::EcKeyRef;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, Oid,
};
use x509_parser::prelude::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// The fewest bits of an RSA key that no policy has to allow.
pub(crate) const RSA_BITS: u32 = 2048;
/// The fewest bits of an RSA key that a legacy root may have below it: MICs of old phones.
pub(crate) const RSA_BITS_LEGACY: u32 = 1024;
/// The most bits of an RSA key: a verification takes longer with each.
const RSA_BITS_MAX: u32 = 8192;
/// The most bits of an RSA key's exponent; 65537 has 17.
const EXPONENT_BITS_MAX: i32 = 33;

/// What a signature is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2).
    RsaPkcs1(Hash),
    /// RSASSA-PSS with MGF1 of the same hash and a salt of its length (RFC 8446 section 4.2.3); in handshakes only.
    RsaPss(Hash),
    /// ECDSA (RFC 5480).
    Ecdsa(Hash),
}

/// Curves of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Curve {
    P256,
    P384,
    P521,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with so many bits.
    Rsa(u32),
    /// On a curve.
    Ec(Curve),
}

/// A public key that was read.
#[derive(Clone)]
pub struct PublicKey {
    key: PKey<Public>,
    kind: KeyKind,
}

impl Hash {
    fn digest(self) -> MessageDigest {
        match self {
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}

impl Algorithm {
    /// The hash.
    pub fn hash(self) -> Hash {
        match self {
            Self::RsaPkcs1(hash) | Self::RsaPss(hash) | Self::Ecdsa(hash) => hash,
        }
    }

    /// How a certificate is signed; `None`: in a way that is not accepted here (MD5, for one).
    pub(crate) fn of_certificate(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        let oid = &identifier.algorithm;
        let known = [
            (&OID_PKCS1_SHA1WITHRSA, Self::RsaPkcs1(Hash::Sha1)),
            (&OID_PKCS1_SHA256WITHRSA, Self::RsaPkcs1(Hash::Sha256)),
            (&OID_PKCS1_SHA384WITHRSA, Self::RsaPkcs1(Hash::Sha384)),
            (&OID_PKCS1_SHA512WITHRSA, Self::RsaPkcs1(Hash::Sha512)),
            (&OID_SIG_ECDSA_WITH_SHA256, Self::Ecdsa(Hash::Sha256)),
            (&OID_SIG_ECDSA_WITH_SHA384, Self::Ecdsa(Hash::Sha384)),
            (&OID_SIG_ECDSA_WITH_SHA512, Self::Ecdsa(Hash::Sha512)),
        ];
        known.into_iter().find(|(known, _)| *known == oid).map(|(_, algorithm)| algorithm)
    }
}

impl PublicKey {
    /// A key as it stands in a certificate, and as OpenSSL has read it there (which takes long, so it is not read again); or the
    /// reason why it cannot be one here.
    pub(crate) fn parse(info: &SubjectPublicKeyInfo<'_>, key: Option<PKey<Public>>) -> Result<Self, String> {
        let AlgorithmIdentifier { algorithm, parameters } = &info.algorithm;
        // Only named curves: what else a key says of its curve need not be the curve.
        let curve = parameters.as_ref().and_then(|of| Oid::try_from(of.clone()).ok());
        let key = || key.ok_or_else(|| "its public key is broken".to_owned());
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let key = key()?;
            let rsa = key.rsa().map_err(|_| "its RSA key is broken")?;
            let bits = u32::try_from(rsa.n().num_bits()).unwrap_or(u32::MAX);
            if bits > RSA_BITS_MAX || rsa.e().num_bits() > EXPONENT_BITS_MAX {
                return Err(format!("its RSA key is too long ({bits} bits)"));
            }
            Ok(Self { kind: KeyKind::Rsa(bits), key })
        } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let named = [
                (OID_EC_P256, Curve::P256, Nid::X9_62_PRIME256V1),
                (OID_NIST_EC_P384, Curve::P384, Nid::SECP384R1),
                (OID_NIST_EC_P521, Curve::P521, Nid::SECP521R1),
            ];
            let named = named.into_iter().find(|(oid, ..)| curve.as_ref() == Some(oid));
            let (_, curve, nid) = named.ok_or("its key is on none of the curves P-256, P-384 and P-521")?;
            let key = key()?;
            let ec = key.ec_key().map_err(|_| "its EC key is broken")?;
            if ec.group().curve_name() != Some(nid) || !is_in_group(&ec) {
                return Err("its EC key is broken".into());
            }
            Ok(Self { kind: KeyKind::Ec(curve), key })
        } else {
            Err(format!("its key is neither RSA nor EC but {algorithm}"))
        }
    }

    /// What it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether the key has made this signature over the message.
    pub fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let wanted = match algorithm {
            Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_) => Id::RSA,
            Algorithm::Ecdsa(_) => Id::EC,
        };
        if self.key.id() != wanted {
            return false;
        }
        let verify = || {
            let digest = algorithm.hash().digest();
            let mut verifier = Verifier::new(digest, &self.key)?;
            if let Algorithm::RsaPss(_) = algorithm {
                verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                verifier.set_rsa_mgf1_md(digest)?;
            }
            verifier.verify_oneshot(signature, message)
        };
        verify().unwrap_or(false)
    }

    /// Whether both are the same key.
    pub fn is(&self, other: &Self) -> bool {
        self.key.public_eq(&other.key)
    }
}

/// Whether the point is one of the curve's group. On these curves, whose cofactor is 1, each point but that at infinity is, so
/// it need not be multiplied by the order (SP 800-56A section 5.6.2.3.4).
fn is_in_group(key: &EcKeyRef<Public>) -> bool {
    let (group, point) = (key.group(), key.public_key());
    let on_curve = BigNumContext::new().and_then(|mut context| point.is_on_curve(group, &mut context));
    !point.is_infinity(group) && on_curve.unwrap_or(false)
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA, {bits} bits"),
            Self::Ec(Curve::P256) => f.write_str("EC, P-256"),
            Self::Ec(Curve::P384) => f.write_str("EC, P-384"),
            Self::Ec(Curve::P521) => f.write_str("EC, P-521"),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey, EcPoint};

    use super::*;
    use crate::Certificate;

    #[test]
    fn a_point_that_is_not_on_the_curve_is_no_key() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let mut der = certificate.der().to_vec();
        assert!(Certificate::parse(&der).is_ok());
        let point = key.public_key_raw();
        let at = der.windows(point.len()).position(|bytes| bytes == point).unwrap();
        der[at + point.len() - 1] ^= 1;
        let refused = Certificate::parse(&der).unwrap_err().to_string();
        assert!(refused.contains("key is broken"), "{refused}");
    }

    #[test]
    fn the_point_at_infinity_is_no_key() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let of = |point: &_| is_in_group(&EcKey::from_public_key(&group, point).unwrap());
        assert!(of(group.generator_opt().unwrap()));
        assert!(!of(&EcPoint::new(&group).unwrap()));
    }
}
