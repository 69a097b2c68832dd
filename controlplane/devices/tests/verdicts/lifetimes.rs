//! Certificates before, in and after their time.

use pinhole_devices::{Listener, Refusal};

use crate::chains::{self, NOW, Site, authority, phone, verify};
use crate::{LSC, MIC};

#[test]
fn an_expired_certificate_is_refused_unless_it_is_pinned_and_the_policy_says_so() {
    let root = authority("Root CA 2048").self_signed();
    let expired = chains::Form { valid: (NOW - 1000, NOW - 1), ..phone(MIC) }.signed_by(&root);
    let last_second = chains::Form { valid: (NOW - 1000, NOW), ..phone(MIC) }.signed_by(&root);
    let is_expired = |result| matches!(result, Err(Refusal::Expired { .. }));
    let strict = Site::new(&root, "").verifier();
    let lenient = Site::new(&root, "expired = \"accept_pinned\"").verifier();
    let id = verify(&lenient, &[&expired], Listener::Sip, &|_, _| true).unwrap().certificate;
    let pinned = |device: &str, shown: &pinhole_devices::CertificateId| device == LSC && *shown == id;
    assert!(is_expired(verify(&strict, &[&expired], Listener::Sip, &pinned)));
    assert!(is_expired(verify(&lenient, &[&expired], Listener::Sip, &|_, _| false)));
    let verified = verify(&lenient, &[&expired], Listener::Sip, &pinned).unwrap();
    assert!(verified.is_expired);
    assert!(!verify(&strict, &[&last_second], Listener::Sip, &|_, _| false).unwrap().is_expired);
    let early = chains::Form { valid: (NOW + 1, NOW + 1000), ..phone(MIC) }.signed_by(&root);
    let refusal = verify(&lenient, &[&early], Listener::Sip, &|_, _| true).unwrap_err();
    assert!(matches!(refusal, Refusal::NotYetValid { .. }), "{refusal}");
}

#[test]
fn an_expired_authority_makes_all_below_expired() {
    let root = authority("Root CA 2048").self_signed();
    let middle =
        chains::Form { valid: (NOW - 1000, NOW - 1), ..authority("Manufacturing CA") }.signed_by(&root);
    let mic = phone(MIC).signed_by(&middle);
    let refusal = Site::new(&root, "").verify(&[&mic, &middle]).unwrap_err();
    assert!(matches!(&refusal, Refusal::Expired { of, .. } if of.contains("Manufacturing")), "{refusal}");
    let old = chains::Form { valid: (NOW - 1000, NOW - 1), ..authority("Old") }.self_signed();
    let site = Site::new(&old, "expired = \"accept_pinned\"");
    let mic = phone(MIC).signed_by(&old);
    assert!(matches!(site.verify(&[&mic]), Err(Refusal::Expired { .. })));
    assert!(verify(&site.verifier(), &[&mic], Listener::Sip, &|_, _| true).unwrap().is_expired);
    assert_eq!(site.verifier().warnings(chains::now()).len(), 1);
}
