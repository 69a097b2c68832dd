//! Any bytes as a trust list, as they are and signed: no panic; a list that verifies has its signer among its security
//! administrators, and that one's key has signed it; who holds it would accept it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openssl::x509::X509;
use pinhole_controlplane_fuzz::{is_signed_by, sign_again};
use pinhole_trust::{Function, TrustList};

fuzz_target!(|file: &[u8]| {
    for file in [file, &sign_again(file)] {
        let Ok(list) = TrustList::verify(file) else { continue };
        assert_eq!(TrustList::parse(file).as_ref(), Ok(&list));
        assert_eq!(TrustList::verify_against(file, &list).unwrap(), list);
        let header = &list.header;
        let mut sasts = list.records.iter().filter(|record| record.function == Function::Sast);
        let signer =
            sasts.find(|record| (&record.serial, &record.issuer) == (&header.serial, &header.issuer));
        let certificate = signer.and_then(|record| record.certificate.as_deref());
        let certificate = X509::from_der(certificate.expect("the signer is no administrator")).unwrap();
        assert!(is_signed_by(file, &certificate), "somebody else has signed it");
        // Nothing of it is without effect.
        let mut changed = file.to_vec();
        changed[file.len() / 2] ^= 1;
        assert!(TrustList::verify(&changed).is_err(), "a bit can be changed");
    }
});
