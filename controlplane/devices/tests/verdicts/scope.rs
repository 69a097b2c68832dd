//! What an authority may name, where it counts, and what is said of a refusal.

use pinhole_devices::{At, Kind, Listener, Refusal};

use crate::chains::{self, Site, authority, phone, verify};
use crate::{LSC, MIC};

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
