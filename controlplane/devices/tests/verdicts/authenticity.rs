//! Who signed, with what: certificates that an authority of ours has signed, and others.

use openssl::hash::MessageDigest;
use openssl::sha::sha256;
use pinhole_devices::{Curve, KeyKind, Kind, Refusal};

use crate::chains::{self, RSA_1024, RSA_2048, Site, authority, ec, phone};
use crate::{LSC, MIC};

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
