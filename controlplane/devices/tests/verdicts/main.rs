//! Chains that are trusted, and every reason why others are not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use what is here")]

mod chains;
mod constraints;
mod parity;
mod revocation;
mod settings;

use chains::{NOW, RSA_1024, RSA_2048, Site, authority, ec, phone, verify};
use openssl::hash::MessageDigest;
use openssl::sha::sha256;
use pinhole_devices::{At, Curve, KeyKind, Kind, Listener, Refusal};

const LSC: &str = "SEP0010DB000001";
const MIC: &str = "CP-8841-SEP0010DB000001";

#[test]
fn a_phone_shows_its_lsc() {
    let root = authority("CAPF-1").self_signed();
    let lsc = phone(LSC).signed_by(&root);
    let verified = Site::new(&root, "").verify(&[&lsc]).unwrap();
    assert_eq!((&*verified.device, verified.kind), (LSC, Kind::Lsc));
    assert_eq!(&*verified.certificate.serial, [0x12, 0x34]);
    assert_eq!(&*verified.certificate.issuer, "CN=CAPF-1,O=Phones");
    assert_eq!(verified.certificate.sha256, sha256(&lsc.der()));
    assert_eq!(verified.key.kind(), KeyKind::Ec(Curve::P256));
    assert_eq!(&*verified.authority, "phones");
    assert!(!verified.is_expired && !verified.legacy && !verified.crl_overdue);
}

#[test]
fn a_phone_shows_its_mic_below_an_intermediate_in_any_order() {
    let root = authority("Root CA 2048").self_signed();
    let middle = authority("Manufacturing CA").signed_by(&root);
    let other = authority("Other").signed_by(&root);
    let mic = chains::Form { key: RSA_2048.clone(), ..phone(MIC) }.signed_by(&middle);
    let site = Site::new(&root, "kind = \"mic\"");
    for chain in [vec![&mic, &middle], vec![&mic, &root, &other, &middle]] {
        let verified = site.verify(&chain).unwrap();
        assert_eq!((&*verified.device, verified.kind), (LSC, Kind::Mic));
        assert_eq!(verified.key.kind(), KeyKind::Rsa(2048));
    }
    let refusal = site.verify(&[&mic]).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::UnknownCa { issuer: "CN=Manufacturing CA,O=Phones".into(), listener: "SIP" }
    );
    assert!(site.with_intermediate(&middle).verify(&[&mic]).is_ok(), "known from a file");
}

#[test]
fn an_unknown_authority_is_refused_also_under_a_known_name() {
    let root = authority("CAPF-1").self_signed();
    let site = Site::new(&root, "");
    let unknown = |refusal| matches!(refusal, Err(Refusal::UnknownCa { .. }));
    let stranger = authority("Strangers").self_signed();
    assert!(unknown(site.verify(&[&phone(LSC).signed_by(&stranger), &stranger])));
    for key_ids in [true, false] {
        let impostor = authority("CAPF-1").self_signed();
        let forged = chains::Form { key_ids, ..phone(LSC) }.signed_by(&impostor);
        assert!(unknown(site.verify(&[&forged])), "{key_ids}");
        assert!(unknown(site.verify(&[&forged, &impostor])), "{key_ids}");
    }
    let own = phone(LSC).self_signed();
    assert!(unknown(site.verify(&[&own])));
    // A root is no phone, though it be pinned.
    let root_as_phone = chains::Form { basic_constraints: None, key_usage: None, ..phone(LSC) }.self_signed();
    assert!(unknown(Site::new(&root_as_phone, "").verify(&[&root_as_phone])));
}

#[test]
fn a_forged_certificate_is_invalid() {
    let root = authority("CAPF-1").self_signed();
    let other = chains::Form { key: ec(), ..authority("CAPF-1") };
    // The key identifier of the real one, the signature of another.
    let forged =
        phone(LSC).signed_by(&chains::Issued { certificate: root.certificate.clone(), key: other.key });
    let refusal = Site::new(&root, "").verify(&[&forged]).unwrap_err();
    assert!(matches!(&refusal, Refusal::Invalid(why) if why.contains("signature")), "{refusal}");
}

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

#[test]
fn weak_signatures_and_keys_are_refused_except_below_a_legacy_root() {
    let old =
        chains::Form { digest: MessageDigest::sha1(), key: RSA_2048.clone(), ..authority("Root CA 2048") };
    let old = old.self_signed();
    let modern = authority("Root CA M2").self_signed();
    let sha1 = MessageDigest::sha1();
    let by_sha1 = chains::Form { digest: sha1, ..phone(MIC) }.signed_by(&old);
    let short = chains::Form { key: RSA_1024.clone(), ..phone(MIC) }.signed_by(&old);
    let both = chains::Form { key: RSA_1024.clone(), digest: sha1, ..phone(MIC) }.signed_by(&old);
    let elsewhere = chains::Form { key: RSA_1024.clone(), ..phone(MIC) }.signed_by(&modern);
    let strict = Site::new(&old, "");
    let legacy = Site::new(&old, "legacy = true").and("modern", &modern, "");
    for weak in [&by_sha1, &short, &both] {
        let refusal = strict.verify(&[weak]).unwrap_err();
        assert!(matches!(refusal, Refusal::Weak { .. }), "{refusal}");
        assert!(legacy.verify(&[weak]).unwrap().legacy);
    }
    let refusal = legacy.verify(&[&elsewhere]).unwrap_err();
    assert!(matches!(&refusal, Refusal::Weak { authority, .. } if authority == "modern"), "{refusal}");
    let key = openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(768).unwrap()).unwrap();
    let shorter = chains::Form { key, ..phone(MIC) }.signed_by(&old);
    assert!(matches!(legacy.verify(&[&shorter]), Err(Refusal::Weak { .. })), "shorter than legacy allows");
    let md5 = chains::Form { digest: MessageDigest::md5(), ..phone(MIC) }.signed_by(&old);
    let refusal = legacy.verify(&[&md5]).unwrap_err();
    assert!(matches!(&refusal, Refusal::Invalid(why) if why.contains("not accepted")), "{refusal}");
}

#[test]
fn only_the_names_that_an_authority_may_give_are_devices() {
    let root = authority("Root").self_signed();
    let refused = |lines: &str, common_name: &str| {
        let lsc = phone(common_name).signed_by(&root);
        matches!(Site::new(&root, lines).verify(&[&lsc]), Err(Refusal::Name { .. }))
    };
    for wrong in
        ["toaster.example", "SEP0010db000001", "xSEP0010DB000001", "SEP0010DB000001\nx", "CP-SEP0010DB000001"]
    {
        assert!(refused("", wrong), "{wrong}");
    }
    assert!(refused("kind = \"mic\"", LSC) && refused("kind = \"lsc\"", MIC));
    let capture = "names = [\"phone ([a-z /]+)\"]";
    assert!(refused(capture, "phone a/b"), "no device's name, though it is captured");
    let two =
        chains::Form { names: vec![("CN", LSC.into()), ("CN", LSC.into())], ..phone(LSC) }.signed_by(&root);
    assert!(matches!(Site::new(&root, "").verify(&[&two]), Err(Refusal::Name { .. })));
    let own = phone("phone hall").signed_by(&root);
    let verified = Site::new(&root, capture).verify(&[&own]).unwrap();
    assert_eq!((&*verified.device, verified.kind), ("hall", Kind::Mic));
}

#[test]
fn an_authority_counts_where_it_is_told_to() {
    let root = authority("Root").self_signed();
    let lsc = phone(LSC).signed_by(&root);
    let not = |_: &str, _: &_| false;
    let verifier = Site::new(&root, "listeners = [\"https\", \"capf\"]").verifier();
    assert!(verify(&verifier, &[&lsc], Listener::Https, &not).is_ok());
    assert!(matches!(verify(&verifier, &[&lsc], Listener::Sip, &not), Err(Refusal::UnknownCa { .. })));
    assert_eq!(verifier.subjects(Listener::Sip).count(), 0);
    assert_eq!(verifier.subjects(Listener::Capf).count(), 1);
    // SEP00... belongs to east, everything else to west.
    assert!(Site::new(&root, "clusters = [\"east\"]").verify(&[&lsc]).is_ok());
    let site = Site::new(&root, "clusters = [\"west\"]");
    assert!(matches!(site.verify(&[&lsc]), Err(Refusal::OtherCluster { .. })));
    // Another entry with the same root may say otherwise.
    assert!(site.and("also", &root, "clusters = [\"east\"]").verify(&[&lsc]).is_ok());
}

#[test]
fn a_refusal_says_who_and_why_in_one_line() {
    let root = authority("Root").self_signed();
    let stranger = authority("Strangers").self_signed();
    let verifier = Site::new(&root, "").verifier();
    let der = phone(MIC).signed_by(&stranger).der();
    let at = At { listener: Listener::Sip, now: chains::now(), pinned: &|_, _| false };
    let refused = verifier.verify(&[&der], &at).unwrap_err();
    assert_eq!(refused.device.as_deref(), Some(LSC));
    let line = refused.to_string();
    assert!(
        line.contains(LSC) && line.contains("CN=Strangers,O=Phones") && line.contains("identity.authority"),
        "{line}"
    );
    let refused = verifier.verify(&[b"\x30\x03abc"], &at).unwrap_err();
    assert_eq!((refused.device.clone(), refused.certificate.clone()), (None, None));
    assert!(matches!(refused.refusal, Refusal::Invalid(_)) && !refused.to_string().contains('\n'));
    assert!(matches!(verifier.verify(&[], &at).unwrap_err().refusal, Refusal::Invalid(_)));
}
