//! Any bytes as a call manager's configuration: no panic; what comes out is a configuration, the same each time, that is
//! not changed again, leaves no call manager inside, and drives the phone to TLS.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use pinhole_provisioning::SecurityClass;
use pinhole_provisioning::xml::{CertificateHash, RewriteRules, stub};

/// The defaults, and all that is added, set and replaced.
const RULES: [&str; 2] = [
    r#"
    [[call_manager]]
    inside = "a"
    outside = "b"
    "#,
    r#"
    tvs = { at = { address = "t", port = 1 } }
    capf = { at = { address = "c", port = 2 } }
    ntp = { at = "n" }
    srst = { at = [{ address = "192.0.2.1" }] }
    [[call_manager]]
    inside = "a"
    outside = "b"
    [elements]
    load_information = { set = "a<b" }
    mgcp_ports = "remove"
    timer_register_delta = { set = "5" }
    connection_monitor_duration = { set = "60" }
    [urls]
    directory = { reverse_proxy = "https://r" }
    phone_services = { reverse_proxy = "https://r" }
    "#,
];

fuzz_target!(|document: &[u8]| {
    static PARSED: OnceLock<[RewriteRules; 2]> = OnceLock::new();
    let rules = PARSED.get_or_init(|| RULES.map(|rules| toml::from_str(rules).unwrap()));
    for rules in rules {
        let Ok(once) = rules.rewrite(document, SecurityClass::Encrypted) else { continue };
        let again = rules.rewrite(document, SecurityClass::Encrypted).unwrap();
        assert_eq!(again.body, once.body, "not the same each time");
        let twice = rules.rewrite(&once.body, SecurityClass::Encrypted).unwrap();
        assert_eq!(twice.body, once.body, "changed again: {:?}", twice.changes);
        let text = std::str::from_utf8(&once.body).unwrap();
        for secure in ["<deviceSecurityMode", "<transportLayerProtocol", "<processNodeName"] {
            assert!(text.contains(secure), "{secure} is missing");
        }
        stub(&once.body, CertificateHash([0; 16])).unwrap();
    }
});
