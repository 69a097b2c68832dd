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
