//! Of ordinary chains, OpenSSL's own verification has the same verdict; of any bytes, there is one.

use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509PurposeId, X509StoreContext};
use pinhole_devices::{At, Certificate, Crl, Listener};
use proptest::prelude::*;

use crate::LSC;
use crate::chains::{Form, Issued, NOW, Site, authority, extended, key_usage, now, phone};

/// What may differ from a good certificate.
#[derive(Clone, Debug)]
struct Change {
    valid: (i64, i64),
    path_length: Option<u32>,
    is_authority: bool,
    has_key_usage: bool,
    usage: Option<bool>,
    key_ids: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let valid = prop_oneof![8 => Just((-1000, 1000)), 1 => Just((-1000, -1)), 1 => Just((10, 1000))];
    let path_length = prop_oneof![6 => Just(None), 2 => (0u32..3).prop_map(Some)];
    let usage = prop_oneof![4 => Just(None), 4 => Just(Some(true)), 1 => Just(Some(false))];
    (valid, path_length, prop::bool::weighted(0.9), any::<bool>(), usage, any::<bool>()).prop_map(
        |(valid, path_length, is_authority, has_key_usage, usage, key_ids)| Change {
            valid,
            path_length,
            is_authority,
            has_key_usage,
            usage,
            key_ids,
        },
    )
}

fn changed(form: Form, change: &Change, is_authority: bool) -> Form {
    Form {
        valid: (NOW + change.valid.0, NOW + change.valid.1),
        basic_constraints: Some((is_authority, change.path_length.filter(|_| is_authority))),
        key_usage: form.key_usage.clone().filter(|_| change.has_key_usage || is_authority),
        extended_key_usage: change.usage.map(|clients| match clients {
            true => extended(|usage| usage.client_auth()),
            false => extended(|usage| usage.server_auth()),
        }),
        key_ids: change.key_ids,
        ..form
    }
}

fn by_openssl(root: &Issued, chain: &[&Issued]) -> bool {
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(root.certificate.clone()).unwrap();
    store.set_purpose(X509PurposeId::SSL_CLIENT).unwrap();
    let mut param = X509VerifyParam::new().unwrap();
    param.set_time(NOW);
    store.set_param(&param).unwrap();
    let store = store.build();
    let mut others = Stack::new().unwrap();
    chain[1..].iter().for_each(|other| others.push(other.certificate.clone()).unwrap());
    let mut context = X509StoreContext::new().unwrap();
    context.init(&store, &chain[0].certificate, &others, |context| context.verify_cert()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn ordinary_chains_are_judged_as_openssl_does(
        leaf in change(),
        authorities in prop::collection::vec(change(), 1..5),
        left_out in prop::option::weighted(0.1, 0usize..4),
        forged in prop::option::weighted(0.1, 0usize..4),
    ) {
        let mut issuers: Vec<Issued> = Vec::new();
        for (at, change) in authorities.iter().enumerate() {
            // A root that is none is not read at all.
            let is_authority = at == 0 || change.is_authority;
            let change = if at == 0 { Change { usage: change.usage.map(|_| true), ..change.clone() } } else { change.clone() };
            let form = changed(authority(&format!("Authority {at}")), &change, is_authority);
            let form = Form { serial: 100 + at as u32, ..form };
            issuers.push(match issuers.last() {
                None => form.self_signed(),
                Some(issuer) => {
                    let key = if forged == Some(at) { crate::chains::ec() } else { issuer.key.clone() };
                    form.signed_by(&Issued { certificate: issuer.certificate.clone(), key })
                }
            });
        }
        let lsc = changed(phone(LSC), &leaf, false).signed_by(issuers.last().unwrap());
        let others = issuers[1..].iter().enumerate().filter(|(at, _)| left_out != Some(*at)).map(|(_, of)| of);
        let chain: Vec<_> = [&lsc].into_iter().chain(others).collect();
        let verdict = Site::new(&issuers[0], "").verify(&chain);
        prop_assert_eq!(verdict.is_ok(), by_openssl(&issuers[0], &chain), "{:?}", verdict);
    }

    #[test]
    fn nothing_of_a_certificate_can_be_changed(bit in 0usize..4096) {
        let (verifier, ders) = good();
        let mut changed = ders[0].clone();
        let at = bit / 8 % changed.len();
        changed[at] ^= 1 << (bit % 8);
        let at = At { listener: Listener::Sip, now: now(), pinned: &|_, _| true };
        prop_assert!(verifier.verify(&[&changed, &ders[1]], &at).is_err());
        // Nor of an authority's, but it may be left out of account.
        let mut changed = ders[1].clone();
        let place = bit / 8 % changed.len();
        changed[place] ^= 1 << (bit % 8);
        prop_assert!(verifier.verify(&[&ders[0], &changed], &at).is_err());
    }

    #[test]
    fn any_bytes_have_a_verdict(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (verifier, ders) = good();
        let mut changed = ders[0].clone();
        for (place, byte) in places {
            let at = place.index(changed.len());
            changed[at] = byte;
        }
        let _ = Certificate::parse(&changed);
        let _ = Crl::parse(&changed);
        let _ = Certificate::parse(&changed[..cut.index(changed.len())]);
        let at = At { listener: Listener::Sip, now: now(), pinned: &|_, _| true };
        let _ = verifier.verify(&[&changed, &ders[1], &changed], &at);
    }
}

/// A verifier, and what it accepts: a phone's certificate and the authority's between.
fn good() -> &'static (pinhole_devices::Verifier, [Vec<u8>; 2]) {
    static GOOD: std::sync::LazyLock<(pinhole_devices::Verifier, [Vec<u8>; 2])> =
        std::sync::LazyLock::new(|| {
            let root = authority("Root").self_signed();
            let middle = authority("Middle").signed_by(&root);
            let usage = Some(key_usage(|usage| usage.digital_signature()));
            let lsc = Form { key_usage: usage, ..phone(LSC) }.signed_by(&middle);
            (Site::new(&root, "").verifier(), [lsc.der(), middle.der()])
        });
    &GOOD
}

#[test]
fn what_the_properties_begin_with_is_accepted() {
    let (verifier, ders) = good();
    let at = At { listener: Listener::Sip, now: now(), pinned: &|_, _| false };
    assert!(verifier.verify(&[&ders[0], &ders[1]], &at).is_ok());
}

#[test]
fn names_are_written_as_openssl_does() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    for value in ["plain", " , + \" \\ < > ; # ", "#first", "Übergröße \u{1f4de}", "tab\tnew\nline", " "] {
        let form = Form {
            names: vec![("C", "US".into()), ("O", value.into()), ("CN", value.into())],
            ..authority("x")
        };
        let root = form.self_signed();
        let mut child = Command::new("openssl")
            .args(["x509", "-noout", "-issuer", "-nameopt", "RFC2253"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&root.certificate.to_pem().unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let certificate = Certificate::parse(&root.der()).unwrap();
        assert_eq!(format!("issuer={}", certificate.id().issuer), text.trim_end_matches('\n'));
    }
}
