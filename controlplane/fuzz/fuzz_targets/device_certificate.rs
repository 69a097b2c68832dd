//! Any bytes as a phone's certificate, as they are and signed by an authority that is trusted: no panic; what is trusted
//! names the device in its common name, is signed by it for OpenSSL too, and no bit of it can be changed.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use openssl::nid::Nid;
use openssl::x509::X509;
use pinhole_controlplane_fuzz::{AUTHORITY, TRUST, issued_again};
use pinhole_devices::{At, Certificate, Listener};

/// In 2030.
const NOW: u64 = 1_900_000_000;

fuzz_target!(|der: &[u8]| {
    for der in [Some(der.to_vec()), issued_again(der)].into_iter().flatten() {
        if let Ok(certificate) = Certificate::parse(&der) {
            assert_eq!(certificate.der(), der);
            assert!(certificate.id().issuer.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let at = At { listener: Listener::Sip, now, pinned: &|_, _| false };
        let verdict = TRUST.verify(&[&der, &der], &at);
        let Ok(verified) = verdict else { continue };
        let by_openssl = X509::from_der(&der).expect("OpenSSL cannot read it");
        let mut names = by_openssl.subject_name().entries_by_nid(Nid::COMMONNAME);
        let name = names.next().expect("it has a name").data().to_string().unwrap();
        assert!(names.next().is_none() && name.ends_with(&*verified.device));
        // More than that would be too much: extensions that are of no matter here may be broken.
        assert!(by_openssl.verify(&AUTHORITY.key).unwrap());
        let mut changed = der.clone();
        changed[der.len() / 2] ^= 1;
        assert!(TRUST.verify(&[&changed], &at).is_err(), "a bit can be changed");
    }
});
