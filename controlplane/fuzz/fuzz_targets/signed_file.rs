//! Any bytes as a signed or encrypted file, as they are and signed: no panic; the content is the rest of the file; what
//! verifies was signed by that key, and no bit of it can be changed; what is decrypted has the digest that it says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openssl::hash::hash;
use pinhole_controlplane_fuzz::{SIGNER, is_signed_by, sign_again};
use pinhole_trust::{Digest, encrypted, signed};

fuzz_target!(|file: &[u8]| {
    for file in [file, &sign_again(file)] {
        let Ok((header, content)) = signed::strip(file) else { continue };
        let len = usize::from(u16::from_be_bytes([file[8], file[9]]));
        assert_eq!(content, &file[len..]);
        let Ok(verified) = signed::verify(file, &SIGNER.certificate) else { continue };
        assert_eq!(verified, (header, content));
        assert!(is_signed_by(file, &SIGNER.certificate), "somebody else has signed it");
        let mut changed = file.to_vec();
        changed[file.len() / 2] ^= 1;
        assert!(signed::verify(&changed, &SIGNER.certificate).is_err(), "a bit can be changed");
        if let Ok((header, clear)) = encrypted::decrypt(file, &SIGNER.certificate, &SIGNER.key) {
            let encryption = header.encryption.unwrap();
            let digest = hash(encryption.digest_algorithm.message_digest(), &clear).unwrap();
            assert_eq!(*digest, *encryption.digest);
        }
    }
    let signed = signed::sign(&SIGNER, "a.xml.sgn", file, Digest::Sha1, 0).unwrap();
    assert_eq!(signed::verify(&signed, &SIGNER.certificate).unwrap().1, file);
});
