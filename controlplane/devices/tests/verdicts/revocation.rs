//! Revocation lists.

use pinhole_devices::{Crl, CrlError, Overdue, Refusal};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint,
    DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use crate::chains::{Form, Issued, Site, authority, ec, key_usage, now, phone, verify};
use crate::{LSC, MIC};

/// The years in which lists of these tests are overdue, and are not: everything is verified in 2026.
const OVERDUE: i32 = 2025;
const CURRENT: i32 = 2030;

/// The list of an authority, as that of these names and key.
fn list(issuer: &Issued, name: &str, revoked: &[u32], next_update: i32) -> rcgen::CertificateRevocationList {
    with_scope(issuer, name, revoked, next_update, None)
}

fn with_scope(
    issuer: &Issued,
    name: &str,
    revoked: &[u32],
    next_update: i32,
    issuing_distribution_point: Option<CrlIssuingDistributionPoint>,
) -> rcgen::CertificateRevocationList {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Phones");
    params.distinguished_name.push(DnType::CommonName, name);
    let pem = String::from_utf8(issuer.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let issuer = Issuer::new(params, KeyPair::from_pem(&pem).unwrap());
    let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(u64::from(*serial)),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(next_update, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(&issuer)
    .unwrap()
}

fn is_revoked(result: Result<pinhole_devices::Verified, Refusal>) -> bool {
    matches!(result, Err(Refusal::Revoked { .. }))
}

#[test]
fn a_revoked_certificate_is_refused() {
    let root = authority("Root").self_signed();
    let crl = list(&root, "Root", &[7, 0x1234], CURRENT);
    let lsc = phone(LSC).signed_by(&root);
    let other = Form { serial: 0x1235, ..phone(LSC) }.signed_by(&root);
    for file in [crl.pem().unwrap().into_bytes(), crl.der().to_vec()] {
        let site = Site::new(&root, "").with_crl(&file, Overdue::Warn);
        assert!(is_revoked(site.verify(&[&lsc])));
        assert!(site.verify(&[&other]).is_ok());
        assert!(site.verifier().warnings(now()).is_empty());
    }
}

#[test]
fn a_revoked_certificate_stays_refused_though_it_has_expired_and_is_pinned() {
    let root = authority("Root").self_signed();
    let crl = list(&root, "Root", &[0x1234], CURRENT);
    let site = Site::new(&root, "expired = \"accept_pinned\"").with_crl(crl.der(), Overdue::Warn);
    let mic = Form { valid: (0, 1), ..phone(MIC) }.signed_by(&root);
    assert!(is_revoked(verify(&site.verifier(), &[&mic], pinhole_devices::Listener::Sip, &|_, _| { true })));
}

#[test]
fn a_revoked_authority_takes_all_below_with_it() {
    let root = authority("Root").self_signed();
    let middle = Form { serial: 99, ..authority("Middle") }.signed_by(&root);
    let crl = list(&root, "Root", &[99], CURRENT);
    let lsc = phone(LSC).signed_by(&middle);
    let site = Site::new(&root, "").with_crl(crl.der(), Overdue::Warn);
    assert!(is_revoked(site.verify(&[&lsc, &middle])));
}

#[test]
fn the_list_of_an_intermediate_counts_though_phones_bring_the_intermediate() {
    let root = authority("Root").self_signed();
    let middle = authority("Middle").signed_by(&root);
    let crl = list(&middle, "Middle", &[0x1234], CURRENT);
    let lsc = phone(LSC).signed_by(&middle);
    let by_root = phone(LSC).signed_by(&root);
    let site = Site::new(&root, "").with_crl(crl.der(), Overdue::Warn);
    assert!(site.mistakes()[0].message.contains("CN=Middle"), "nobody can say who has signed it");
    let site = site.with_intermediate(&middle);
    assert!(is_revoked(site.verify(&[&lsc, &middle])));
    assert!(site.verify(&[&by_root]).is_ok(), "the same number of another issuer");
}

#[test]
fn an_overdue_list_still_counts_and_is_told_or_refuses_all() {
    let root = authority("Root").self_signed();
    let crl = list(&root, "Root", &[0x1234], OVERDUE);
    let lsc = phone(LSC).signed_by(&root);
    let other = Form { serial: 0x1235, ..phone(LSC) }.signed_by(&root);
    let site = Site::new(&root, "").with_crl(crl.der(), Overdue::Warn);
    assert!(is_revoked(site.verify(&[&lsc])));
    assert!(site.verify(&[&other]).unwrap().crl_overdue);
    assert_eq!(site.verifier().warnings(now()).len(), 1);
    let site = site.with_crl(crl.der(), Overdue::Refuse);
    assert!(matches!(site.verify(&[&other]), Err(Refusal::CrlOverdue { .. })));
    let newer = list(&root, "Root", &[], CURRENT);
    let site = site.with_crl(newer.der(), Overdue::Refuse);
    assert!(site.verify(&[&other]).is_ok(), "one of them is new enough");
    assert!(is_revoked(site.verify(&[&lsc])), "the old one counts as well");
}

#[test]
fn lists_that_are_forged_or_partial_are_not_used() {
    let root = authority("Root").self_signed();
    let impostor = Issued { key: ec(), ..root.clone() };
    let forged = list(&impostor, "Root", &[], CURRENT);
    let mistakes = Site::new(&root, "").with_crl(forged.der(), Overdue::Warn).mistakes();
    assert!(mistakes[0].key == "crls[0]" && mistakes[0].message.contains("not signed by"), "{mistakes:?}");
    let mut changed = list(&root, "Root", &[0x1234], CURRENT).der().to_vec();
    let at = changed.windows(2).rposition(|bytes| bytes == [0x12, 0x34]).unwrap();
    changed[at + 1] ^= 1;
    assert!(!Site::new(&root, "").with_crl(&changed, Overdue::Warn).mistakes().is_empty());
    let scope = CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint { uris: vec!["http://crl.example/1".into()] },
        scope: Some(rcgen::CrlScope::UserCertsOnly),
    };
    let partial = with_scope(&root, "Root", &[], CURRENT, Some(scope));
    assert!(matches!(Crl::parse(partial.der()), Err(CrlError::Partial(_))));
    assert!(matches!(Crl::parse(&root.der()), Err(CrlError::Broken)));
    let no_lists = Some(key_usage(|usage| usage.key_cert_sign()));
    let quiet = Form { key_usage: no_lists, key: root.key.clone(), ..authority("Root") }.self_signed();
    let crl = list(&root, "Root", &[], CURRENT);
    assert!(!Site::new(&quiet, "").with_crl(crl.der(), Overdue::Warn).mistakes().is_empty());
}
