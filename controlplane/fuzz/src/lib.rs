//! A key that signs what the fuzzer has changed: otherwise nothing but the first refusal would ever be reached.

use std::sync::LazyLock;

use openssl::pkey::PKey;
use openssl::sign::{Signer, Verifier};
use openssl::x509::X509;
use pinhole_trust::{Header, Identity, signed};

/// Of 512 bits, so that a whole file stays small.
pub static SIGNER: LazyLock<Identity> = LazyLock::new(|| Identity {
    certificate: X509::from_pem(include_bytes!("../keys/signer.crt")).unwrap(),
    key: PKey::private_key_from_pem(include_bytes!("../keys/signer.pem")).unwrap(),
});

/// The header of a file and the place of its signature's value, found without the reader's help.
pub fn signature(file: &[u8]) -> Option<(Header, usize)> {
    let (header, _) = signed::strip(file).ok()?;
    let mut field = vec![12];
    field.extend((header.signature.len() as u16).to_be_bytes());
    field.extend(&header.signature);
    let at = file.windows(field.len()).position(|window| window == field)?;
    Some((header, at + 3))
}

/// The same file, signed by [`SIGNER`] if its signature has the right length.
pub fn sign_again(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let Some((header, at)) = signature(&file).filter(|(header, _)| header.signature.len() == 64) else {
        return file;
    };
    let mut signer = Signer::new(header.digest.message_digest(), &SIGNER.key).unwrap();
    signer.update(&file[..at - 3]).unwrap();
    signer.update(&file[at + 64..]).unwrap();
    // SHA-512 does not fit.
    if let Ok(signature) = signer.sign_to_vec() {
        file[at..at + 64].copy_from_slice(&signature);
    }
    file
}

/// Whether a certificate's key has signed a file, by the library alone.
pub fn is_signed_by(file: &[u8], certificate: &X509) -> bool {
    let Some((header, at)) = signature(file) else { return false };
    let key = certificate.public_key().unwrap();
    let mut verifier = Verifier::new(header.digest.message_digest(), &key).unwrap();
    verifier.update(&file[..at - 3]).unwrap();
    verifier.update(&file[at + header.signature.len()..]).unwrap();
    verifier.verify(&header.signature).unwrap_or(false)
}

/// An authority for phones' certificates, on P-256.
pub static AUTHORITY: LazyLock<Identity> = LazyLock::new(|| Identity {
    certificate: X509::from_pem(include_bytes!("../keys/authority.crt")).unwrap(),
    key: PKey::private_key_from_pem(include_bytes!("../keys/authority.pem")).unwrap(),
});

/// Who trusts [`AUTHORITY`].
pub static TRUST: LazyLock<pinhole_devices::Verifier> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/keys/authority.crt");
    let authority = toml::from_str(&format!("name = \"authority\"\nroots = [\"{root}\"]")).unwrap();
    let settings = pinhole_devices::Settings {
        authorities: vec![authority],
        crls: Vec::new(),
        crl_overdue: pinhole_devices::Overdue::Warn,
        clusters: Vec::new(),
    };
    pinhole_devices::Verifier::read(&settings).unwrap()
});

/// The first part of a certificate or revocation list, signed by [`AUTHORITY`], if it says that it is so (ECDSA, SHA-256).
pub fn issued_again(der: &[u8]) -> Option<Vec<u8>> {
    const ALGORITHM: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let signed = value(der)?;
    let length = signed.len() - value_and_rest(signed)?.1.len();
    let signed = signed.get(..length)?;
    let mut signer = Signer::new(openssl::hash::MessageDigest::sha256(), &AUTHORITY.key).unwrap();
    let signature = signer.sign_oneshot_to_vec(signed).unwrap();
    let mut content = signed.to_vec();
    content.extend(ALGORITHM);
    content.extend([3, signature.len() as u8 + 1, 0]);
    content.extend(signature);
    let mut der = match content.len() {
        0..0x80 => vec![0x30, content.len() as u8],
        0x80..0x100 => vec![0x30, 0x81, content.len() as u8],
        _ => vec![0x30, 0x82, (content.len() >> 8) as u8, content.len() as u8],
    };
    der.extend(content);
    Some(der)
}

fn value(der: &[u8]) -> Option<&[u8]> {
    value_and_rest(der).map(|(value, _)| value)
}

fn value_and_rest(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *der.get(1)? {
        short @ 0..=0x7f => (usize::from(short), der.get(2..)?),
        0x81 => (usize::from(*der.get(2)?), der.get(3..)?),
        0x82 => (usize::from(u16::from_be_bytes([*der.get(2)?, *der.get(3)?])), der.get(4..)?),
        _ => return None,
    };
    rest.split_at_checked(length)
}
