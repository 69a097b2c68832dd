//! `pinholectl phone` against a running control plane and a packaged file server with the call manager's configurations.

mod support;

use std::fs;

use support::Stage;

const DEVICE: &str = "SEP0010DB000001";

const CONFIGURATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<device>
<deviceSecurityMode>1</deviceSecurityMode>
<transportLayerProtocol>2</transportLayerProtocol>
<devicePool><callManagerGroup><members><member priority="0"><callManager>
<ports><ethernetPhonePort>2000</ethernetPhonePort><sipPort>5060</sipPort><securedSipPort>5061</securedSipPort></ports>
<processNodeName>10.20.0.10</processNodeName>
</callManager></member></members></callManagerGroup></devicePool>
<vendorConfig><webAccess>0</webAccess></vendorConfig>
<servicesURL>http://joe:hunter2@10.20.0.10/services?password=hunter2</servicesURL>
<ldap><ldapPassword>hunter2</ldapPassword></ldap>
</device>
"#;

#[test]
fn what_is_rewritten_for_a_phone_is_shown_without_passwords_and_before_it_is_allowed() {
    let stage = Stage::start();
    let of = |arguments: &str| format!("phone {arguments}");
    let refused = stage.refuses(&of(&format!("diff {DEVICE}")));
    assert!(refused.contains("The call manager has no such file"), "{refused}");
    let file = stage.call_manager.folder.path().join(format!("{DEVICE}.cnf.xml"));
    fs::write(&file, CONFIGURATION).unwrap();
    let diff = stage.does(&of(&format!("diff {DEVICE}")));
    for words in [
        "device/deviceSecurityMode 1 3",
        "device/transportLayerProtocol 2 3",
        "processNodeName 10.20.0.10 203.0.113.5",
        "securedSipPort 5061 5071",
        "device/vendorConfig/webAccess 0 1",
        "http://***@10.20.0.10/services?password=*** (empty)",
    ] {
        let is_there = diff.lines().any(|line| {
            let line: Vec<_> = line.split_whitespace().collect();
            line.join(" ").ends_with(words)
        });
        assert!(is_there, "{words} in {diff}");
    }
    assert!(diff.contains("device/ldap") && !diff.contains("hunter2"), "{diff}");
    assert!(stage.does(&of(&format!("diff {DEVICE} --json"))).starts_with('['));

    fs::write(&file, "<device><open></device>").unwrap();
    let refused = stage.refuses(&of(&format!("diff {DEVICE}")));
    assert!(refused.contains("line 1"), "{refused}");
    assert!(stage.refuses(&of("diff SEPNOTHEX")).contains("SEP"));
    // Nothing of this was the phone's doing.
    assert!(stage.refuses(&of(&format!("show {DEVICE}"))).contains("has asked for nothing"));
}

#[test]
fn a_phone_is_shown_with_its_list_its_certificates_and_what_happened_when_and_why() {
    let stage = Stage::start();
    stage.does("trust create");
    let pin = |arguments: &str| format!("phone pin {DEVICE} --serial {arguments}");
    assert!(stage.refuses(&pin("0A:1B")).contains("allow it first"));
    stage.does(&format!("phone allow {DEVICE}"));
    let done = stage.does(&pin("0a:1b:02"));
    assert!(done.contains("serial 0a1b02 of any issuer"), "{done}");
    stage.does(&pin("0A1B2D --issuer CN=Manufacturing_CA"));
    for (serial, why) in [("xyz", "hexadecimal"), ("", "1 to 32 bytes"), (&"01".repeat(33), "1 to 32 bytes")]
    {
        let refused = stage.refuses(&pin(serial));
        assert!(refused.contains(why), "{refused}");
    }
    stage.fetch(&format!("CTL{DEVICE}.tlv"), "ctl.tlv");
    let show = || stage.does(&format!("phone show {DEVICE}"));
    support::common::eventually(|| show().contains("delivered"), "the list is delivered");
    let shown = show();
    for expected in [
        "serial 0a1b02 of any issuer (listed)",
        "serial 0a1b2d of CN=Manufacturing_CA (listed)",
        "allowed",
        "pinned",
        "granted",
        "delivered",
        "Fetched from    127.0.0.1",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    // A stranger, with the reason and the remedy.
    stage.is_denied("CTLSEP0010DB000009.tlv");
    let shown = stage.does("phone show SEP0010DB000009");
    assert!(shown.contains("stranger") && shown.contains("pinholectl phone allow SEP"), "{shown}");
    let counted = stage.does("counters provisioning");
    assert!(row_of(&counted, "not_allowed") && !counted.contains("handshakes"), "{counted}");
    assert!(stage.refuses("counters nothing").contains("provisioning"));
}

#[test]
fn a_one_time_password_is_made_and_said_once() {
    let stage = Stage::start();
    assert!(stage.refuses(&format!("phone enrol {DEVICE}")).contains("allow it first"));
    stage.does(&format!("phone allow {DEVICE}"));
    assert!(stage.refuses(&format!("phone enrol {DEVICE} --minutes 0")).contains("1 to 10080 minutes"));
    let said = stage.does(&format!("phone enrol {DEVICE} --minutes 5"));
    let password = said.split(" is ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(password.len() == 8 && password.bytes().all(|byte| byte.is_ascii_digit()), "{said}");
    assert!(said.ends_with("for 5 minutes.\n"), "{said}");
    let again: serde_json::Value =
        serde_json::from_str(&stage.does(&format!("phone enrol {DEVICE} --json"))).unwrap();
    let other = again["value"]["password"].as_str().unwrap();
    assert!(other.len() == 8 && other != password, "{again}");
    let shown = stage.does(&format!("phone show {DEVICE}"));
    let word = |text: &str| shown.contains(text);
    assert!(word("Password        until 2") && word("password set") && word("Issued          -"), "{shown}");
    assert!(!word(password) && !word(other), "{shown}");
    assert!(stage.refuses(&format!("phone withdraw {DEVICE}")).contains("no certificate was issued"));
}

#[test]
fn security_class_is_set_and_shown_and_what_a_phone_is_driven_to() {
    let stage = Stage::start_with("authenticated_devices = \"allow\"");
    let file = stage.call_manager.folder.path().join(format!("{DEVICE}.cnf.xml"));
    fs::write(&file, CONFIGURATION).unwrap();
    stage.does(&format!("phone allow {DEVICE} --class authenticated"));
    let listed = stage.does("phone list");
    assert!(listed.contains("Security") && listed.contains("authenticated"), "{listed}");
    assert!(stage.does(&format!("phone show {DEVICE}")).contains("Security        authenticated"));
    let mode = || {
        let diff = stage.does(&format!("phone diff {DEVICE}"));
        let line = diff.lines().find(|line| line.contains("deviceSecurityMode")).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(mode(), "2");
    stage.does(&format!("phone allow {DEVICE} --class encrypted"));
    assert_eq!(mode(), "3");
    let output = stage.run(&format!("phone allow {DEVICE} --class none"), "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"encrypted\" or \"authenticated\""));
    let other = Stage::start();
    let refused = other.refuses(&format!("phone allow {DEVICE} --class authenticated"));
    assert!(refused.contains("authenticated_devices = \"allow\""), "{refused}");
}

/// Whether a counter has a line of its group.
fn row_of(counted: &str, counter: &str) -> bool {
    counted.lines().any(|line| line.contains("provisioning") && line.contains(counter))
}
