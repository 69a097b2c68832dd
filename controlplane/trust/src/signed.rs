//! Signed files, `.sgn` (trust-files 2.2): a header before the content.

use std::io::Write as _;

use openssl::pkey::{HasPublic, Id, PKeyRef};
use openssl::sign::{Signer, Verifier};
use openssl::x509::X509;

use crate::certificate::{distinguished_name, serial};
use crate::header::{Header, Placed, modulus_code};
use crate::{Digest, Failure, Identity};

/// Signs a file under the name that it is asked for with, `.sgn` and folder included.
///
/// # Errors
/// [`Failure`].
pub fn sign(
    identity: &Identity,
    name: &str,
    content: &[u8],
    digest: Digest,
    timestamp: u32,
) -> Result<Vec<u8>, Failure> {
    seal(&begin(identity, [1, 0], name, digest, timestamp)?, identity, content)
}

/// The content of a signed file, whoever has signed it.
///
/// # Errors
/// [`Failure::Malformed`].
pub fn strip(file: &[u8]) -> Result<(Header, &[u8]), Failure> {
    let placed = Header::parse(file)?;
    Ok((placed.header, file.get(placed.len..).unwrap_or_default()))
}

/// The content of a file that a certificate's key has signed.
///
/// # Errors
/// [`Failure`].
pub fn verify<'a>(file: &'a [u8], signer: &X509) -> Result<(Header, &'a [u8]), Failure> {
    let placed = Header::parse(file)?;
    if placed.header.serial != serial(signer)? {
        return Err(Failure::BadSignature);
    }
    let key = signer.public_key()?;
    check(file, &placed, &key)?;
    Ok((placed.header, file.get(placed.len..).unwrap_or_default()))
}

/// A header that is complete but for its signature.
pub(crate) fn begin(
    identity: &Identity,
    version: [u8; 2],
    name: &str,
    digest: Digest,
    timestamp: u32,
) -> Result<Header, Failure> {
    Ok(Header {
        version,
        signer_version: None,
        signer: distinguished_name(identity.certificate.subject_name()),
        serial: serial(&identity.certificate)?,
        issuer: distinguished_name(identity.certificate.issuer_name()),
        digest,
        signature: Vec::new(),
        file_name: name.to_owned(),
        timestamp,
        encryption: None,
    })
}

/// The file: header with signature, content. Everything but the signature's field is signed (trust-files 2.1.5).
pub(crate) fn seal(header: &Header, identity: &Identity, content: &[u8]) -> Result<Vec<u8>, Failure> {
    let len = identity.key.size();
    if identity.key.id() != Id::RSA || modulus_code(len).is_none() {
        return Err(Failure::SignerKey);
    }
    let too_long = || Failure::HeaderTooLong(header.file_name.clone());
    let (mut file, place) = header.lay_out(len).ok_or_else(too_long)?;
    let mut signer = Signer::new(header.digest.message_digest(), &identity.key)?;
    for part in [&file[..place.start], &file[place.end..], content] {
        signer.update(part)?;
    }
    let signature = signer.sign_to_vec()?;
    // The value ends the field, and is as long as was laid out.
    (&mut file[place.end - len..place.end]).write_all(&signature).map_err(|_| Failure::SignerKey)?;
    file.extend_from_slice(content);
    Ok(file)
}

/// Checks a file's signature.
pub(crate) fn check<K: HasPublic>(file: &[u8], placed: &Placed, key: &PKeyRef<K>) -> Result<(), Failure> {
    let Placed { header, signature: place, .. } = placed;
    if key.id() != Id::RSA {
        return Err(Failure::SignerKey);
    }
    let mut verifier = Verifier::new(header.digest.message_digest(), key)?;
    for part in [file.get(..place.start), file.get(place.end..)] {
        verifier.update(part.unwrap_or_default())?;
    }
    // An error of the library is a signature that cannot be right, such as one of another length.
    if verifier.verify(&header.signature).unwrap_or(false) { Ok(()) } else { Err(Failure::BadSignature) }
}
