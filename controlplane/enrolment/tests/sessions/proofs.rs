//! Certificates instead of a password.

use std::sync::LazyLock;

use openssl::nid::Nid;
use pinhole_enrolment::Malformed;

use super::phone::{Holder, answer, both, ec, element, fresh, read, rsa, standing};
use super::*;

static MIC: LazyLock<Holder> = LazyLock::new(|| Holder::new("CP-7965G-SEP0010DB000001", rsa(2048)));
static LSC: LazyLock<Holder> = LazyLock::new(|| Holder::new(DEVICE, rsa(2048)));
static EC: LazyLock<Holder> = LazyLock::new(|| Holder::new(DEVICE, ec(Nid::SECP384R1)));

fn bench() -> Bench {
    let bench = Bench::new().knows(&MIC, Kind::Manufacturer).trusts(&MIC);
    bench.knows(&LSC, Kind::Issued).knows(&EC, Kind::Issued)
}

#[test]
fn a_certificate_of_the_device_is_as_good_as_a_password() {
    for (holder, kind) in [(&*MIC, Kind::Manufacturer), (&*LSC, Kind::Issued), (&*EC, Kind::Issued)] {
        let mut bench = bench();
        let step = bench.send(&answer(ID, DEVICE, &both(ID, DEVICE, holder, &MIC)));
        assert_eq!((step.end.clone(), read(&step.send[0]).0), (None, 3));
        assert_eq!(bench.proofs, [Proof::Certificate { kind, der: holder.der.clone() }]);
        assert!(bench.password.is_some(), "not used up");
    }
}

#[test]
fn a_short_key_of_an_old_phone_proves_as_well() {
    let old = Holder::new(DEVICE, rsa(1024));
    let mut bench = bench().knows(&old, Kind::Manufacturer);
    assert_eq!(bench.send(&answer(ID, DEVICE, &both(ID, DEVICE, &old, &old))).end, None);
}

#[test]
fn a_proof_of_another_session_is_refused() {
    let heard = answer(ID, DEVICE, &both(ID, DEVICE, &LSC, &MIC));
    let mut bench = bench();
    assert_eq!(bench.send(&heard).end, None);
    // Another session with another number: said again, with the number changed where it stands in clear.
    bench.begin(ID + 1);
    let mut again = heard.clone();
    again[2..6].copy_from_slice(&(ID + 1).to_be_bytes());
    assert_eq!(bench.refused(&again).0, Refusal::Signature);
    bench.begin(ID + 1);
    assert_eq!(bench.refused(&heard).0, Refusal::OtherSession);
}

#[test]
fn without_the_part_for_this_session_a_proof_counts_only_where_that_is_allowed() {
    let proof = answer(ID, DEVICE, &standing(DEVICE, &LSC));
    assert_eq!(bench().refused(&proof).0, Refusal::NotFresh);
    let rules = Rules { keys: KeyRules { rsa_bits_min: 2048 }, fresh_proof: false };
    let mut tolerant = Bench::with(rules).knows(&LSC, Kind::Issued);
    assert_eq!(tolerant.send(&proof).end, None);
    // It is not looked at then, since the authority of a phone's MIC may not be known.
    let mut tolerant = Bench::with(rules).knows(&LSC, Kind::Issued);
    assert_eq!(tolerant.send(&answer(ID, DEVICE, &both(ID + 1, DEVICE, &LSC, &MIC))).end, None);
}

#[test]
fn a_certificate_or_fresh_proof_of_another_device_is_refused() {
    let other = Holder::new("SEP0010DB000002", rsa(2048));
    for proof in [both(ID, DEVICE, &other, &other), both(ID, DEVICE, &LSC, &other)] {
        assert_eq!(bench().refused(&answer(ID, DEVICE, &proof)).0, Refusal::Denied(Denied::Refused));
    }
    // The fresh part is by a certificate that names the device, whether the device is known by it or not.
    let mut known_by_another = Bench::new().knows(&LSC, Kind::Issued).trusts(&MIC);
    assert_eq!(known_by_another.send(&answer(ID, DEVICE, &both(ID, DEVICE, &LSC, &MIC))).end, None);
    let mut known_by_another = Bench::new().knows(&LSC, Kind::Issued).trusts(&MIC);
    let refused = known_by_another.refused(&answer(ID, DEVICE, &both(ID, DEVICE, &MIC, &MIC)));
    assert_eq!(refused.0, Refusal::Denied(Denied::Refused));
    // A proof for one name under another.
    let refused = bench().refused(&answer(ID, "SEP0010DB000002", &both(ID, DEVICE, &LSC, &MIC)));
    assert_eq!(refused.0, Refusal::Denied(Denied::Refused));
    let refused = bench().refused(&answer(ID, DEVICE, &both(ID, "SEP0010DB000002", &LSC, &MIC)));
    assert_eq!(refused.0, Refusal::Signature);
}

#[test]
fn a_certificate_without_its_key_proves_nothing() {
    let thief = |holder: &Holder| Holder { key: rsa(2048), der: holder.der.clone() };
    let pairs = [(thief(&LSC), MIC.clone()), (LSC.clone(), thief(&MIC)), (thief(&EC), MIC.clone())];
    for (holder, sudi) in pairs {
        let proof = answer(ID, DEVICE, &both(ID, DEVICE, &holder, &sudi));
        let mut bench = bench();
        assert_eq!(bench.refused(&proof).0, Refusal::Signature);
        assert!(bench.proofs.is_empty());
    }
}

#[test]
fn each_signature_that_is_there_must_hold_and_one_must_be_there() {
    let parts = both(ID, DEVICE, &LSC, &MIC);
    let [_, certificate, sha1, sha512, sudi] = parts.as_slice() else { panic!() };
    let (certificate, sha1, sha512, sudi) =
        (|| certificate.clone(), || sha1.clone(), || sha512.clone(), || sudi.clone());
    let flipped = |mut bytes: Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let bare = element(16, &element(0, &MIC.der));
    let mut unnumbered = sudi();
    let at = 3 + 3 + MIC.der.len();
    assert_eq!(unnumbered[at], 1, "the number of the first digest");
    unnumbered[at] = 0;
    for (proof, why) in [
        (vec![certificate(), sha1(), sudi()], None),
        (vec![certificate(), sha512(), sudi()], None),
        (vec![certificate(), sha1(), unnumbered], None),
        (vec![certificate(), sudi()], Some(Refusal::NoProof)),
        (vec![certificate(), sha1(), bare], Some(Refusal::NoProof)),
        (vec![certificate(), flipped(sha1()), sha512(), sudi()], Some(Refusal::Signature)),
        (vec![certificate(), sha1(), flipped(sha512()), sudi()], Some(Refusal::Signature)),
        (vec![certificate(), sha1(), sha512(), flipped(sudi())], Some(Refusal::Signature)),
        (vec![certificate(), element(6, &[]), sudi()], Some(Refusal::Signature)),
        (
            vec![certificate(), element(20, &element(9, &[1])), sudi()],
            Some(Refusal::Malformed(Malformed::Value(20))),
        ),
        (
            vec![certificate(), element(20, &[3, 9, 9, 9]), sudi()],
            Some(Refusal::Malformed(Malformed::Truncated(3))),
        ),
        (vec![certificate(), sha1(), element(16, &[])], Some(Refusal::Malformed(Malformed::Value(16)))),
    ] {
        let mut bench = bench();
        let step = bench.send(&answer(ID, DEVICE, &proof));
        assert_eq!(step.end, why.map(End::Refused));
    }
}

#[test]
fn bytes_behind_a_certificate_make_it_another_one() {
    let mut longer = LSC.clone();
    longer.der.push(0);
    let mut bench = bench().knows(&longer, Kind::Issued);
    let proof = [standing(DEVICE, &longer), vec![fresh(ID, &MIC)]].concat();
    let refused = bench.refused(&answer(ID, DEVICE, &proof));
    assert_eq!(refused.0, Refusal::Malformed(Malformed::Value(4)));
}
