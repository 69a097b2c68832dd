//! What holds for every configuration.
#![allow(clippy::unwrap_used)]

use pinhole_provisioning::SecurityClass;
use pinhole_provisioning::xml::{CertificateHash, RewriteRules, stub};
use proptest::prelude::*;
use proptest::sample::Index;

const SAMPLE: &str = include_str!("data/SEP0010DB000001.cnf.xml");

fn rules() -> RewriteRules {
    toml::from_str(
        r#"
        tvs = { at = { address = "edge.example.net", port = 2445 } }
        [[call_manager]]
        inside = "cucm-sub1.lab.example"
        outside = "phones.example.net"
        [[call_manager]]
        inside = "10.1.0.2"
        outside = "192.0.2.20"
        "#,
    )
    .unwrap()
}

/// Bytes near a configuration: the sample with random damage.
fn near_configuration() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..5), 0..6);
    damage.prop_map(|damage| {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for (index, byte, kind) in damage {
            bytes.push(b'\n');
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b"<>/&;\"'=! -?[]"[usize::from(byte) % 14]),
                2 => drop(bytes.remove(at)),
                3 => {
                    let part = bytes[at..bytes.len().min(at + 40)].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes.truncate(at + 1),
            }
        }
        bytes
    })
}

/// Elements that the table does not name, in every manner of writing.
fn unknown() -> impl Strategy<Value = String> {
    prop_oneof![
        "<x[a-zA-Z0-9._-]{0,8}( {1,2}a = '[a-z&&[^<&]]{0,5}')? ?/>",
        "<!--[ a-z<>&]{0,10}-->",
        "[ \t\r\n]{1,4}",
        "<\\?y[a-z]{0,5} [a-z]{0,5}\\?>",
        "[ a-z>\u{e4}\u{20ac}\u{1f600}]{1,9}",
        "&(amp|lt|#65|#x41);",
        "<!\\[CDATA\\[[ a-z<>&]{0,9}\\]\\]>",
    ]
    .prop_map(|piece| piece)
    .prop_flat_map(|piece| {
        prop_oneof![
            Just(piece.clone()),
            "x[a-z]{0,5}".prop_map(move |name| format!("<{name}\n>{piece}</{name} >"))
        ]
    })
}

fn known() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<deviceSecurityMode>1</deviceSecurityMode>",
        "<transportLayerProtocol/>",
        "<vendorConfig><webAccess>0</webAccess></vendorConfig>",
        "<vpnGroup><mtu/></vpnGroup>",
        "<idleURL>http://10.0.0.1/</idleURL>",
        "<TVS></TVS>",
        "<capfList/>",
        "<versionStamp>1</versionStamp>",
        "<natEnabled> true </natEnabled>",
        "<certHash><!-- x -->y</certHash>",
    ])
}

const MEMBERS: &str = "<devicePool><callManagerGroup><members><member priority=\"0\"><callManager>\
    <processNodeName>10.1.0.2</processNodeName></callManager></member></members></callManagerGroup></devicePool>";

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = rules().rewrite(&bytes, SecurityClass::Encrypted);
        let _ = stub(&bytes, CertificateHash([0; 16]));
    }

    #[test]
    fn what_comes_out_is_a_configuration_that_is_not_changed_again(bytes in near_configuration()) {
        let rules = rules();
        if let Ok(once) = rules.rewrite(&bytes, SecurityClass::Encrypted) {
            let twice = rules.rewrite(&once.body, SecurityClass::Encrypted).unwrap();
            prop_assert_eq!(&twice.body, &once.body, "{:?}", twice.changes);
            prop_assert_eq!(&rules.rewrite(&bytes, SecurityClass::Encrypted).unwrap().body, &once.body);
            stub(&once.body, CertificateHash([0; 16])).unwrap();
        }
    }

    #[test]
    fn elements_outside_the_table_are_unchanged_and_in_order(
        pieces in prop::collection::vec((unknown(), prop::option::of(known())), 0..12)
    ) {
        let mut input = String::from("<device>");
        for (unknown, known) in &pieces {
            input.extend([unknown, known.unwrap_or_default()]);
        }
        input.extend([MEMBERS, "</device>"]);
        let out = rules().rewrite(input.as_bytes(), SecurityClass::Encrypted).unwrap();
        let text = String::from_utf8(out.body).unwrap();
        let mut rest = text.as_str();
        for (unknown, _) in &pieces {
            let at = rest.find(unknown.as_str());
            prop_assert!(at.is_some(), "{unknown:?} is missing in {text}");
            rest = &rest[at.unwrap() + unknown.len()..];
        }
    }
}
