//! Any bytes as a revocation list, as they are and signed by an authority: no panic; what the authority has signed is
//! signed by it for OpenSSL too, which finds no more and no other numbers in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openssl::x509::X509Crl;
use pinhole_controlplane_fuzz::{AUTHORITY, issued_again};
use pinhole_devices::{Certificate, Crl};

fuzz_target!(|der: &[u8]| {
    let authority = Certificate::parse(&AUTHORITY.certificate.to_der().unwrap()).unwrap();
    for der in [Some(der.to_vec()), issued_again(der)].into_iter().flatten() {
        let Ok(list) = Crl::parse(&der) else { continue };
        let _ = list.is_overdue(0);
        if !list.is_of(&authority) {
            continue;
        }
        let by_openssl = X509Crl::from_der(&der).expect("OpenSSL cannot read it");
        assert!(by_openssl.verify(&AUTHORITY.key).unwrap());
        for revoked in by_openssl.get_revoked().into_iter().flatten() {
            let serial = revoked.serial_number().to_bn().unwrap();
            // Negative numbers are none; the library that reads them is not asked about them.
            if !serial.is_negative() {
                let serial = if serial.num_bits() == 0 { vec![0] } else { serial.to_vec() };
                assert!(list.has(&serial), "a number was not read");
            }
        }
    }
});
