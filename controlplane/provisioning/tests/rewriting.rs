//! What becomes of a configuration.
#![allow(clippy::unwrap_used)]

use pinhole_provisioning::SecurityClass;
use pinhole_provisioning::xml::{
    CertificateHash, Change, RewriteError, RewriteRules, Rewritten, XmlError, stub,
};

const SAMPLE: &str = include_str!("data/SEP0010DB000001.cnf.xml");
const RULES: &str = r#"
    [[call_manager]]
    inside = "cucm-sub1.lab.example"
    outside = "phones.example.net"
    [[call_manager]]
    inside = "10.1.0.2"
    outside = "192.0.2.20"
    sccp_tls_port = 12443
    sip_tls_port = 15061
"#;

fn rules(more: &str) -> RewriteRules {
    let rules: RewriteRules = toml::from_str(&format!("{more}\n{RULES}")).unwrap();
    assert_eq!(rules.problems(), []);
    rules
}

fn rewritten(rules: &RewriteRules, input: &str) -> Rewritten {
    rules.rewrite(input.as_bytes(), SecurityClass::Encrypted).unwrap()
}

fn text(rewritten: &Rewritten) -> String {
    String::from_utf8(rewritten.body.clone()).unwrap()
}

/// The sample rewritten by the rules with these in front.
fn sample(more: &str) -> String {
    text(&rewritten(&rules(more), SAMPLE))
}

/// A configuration with a call manager and these elements.
fn small(elements: &str) -> String {
    format!(
        "<device><devicePool><callManagerGroup><members><member priority=\"0\"><callManager><ports>\
         <ethernetPhonePort>2000</ethernetPhonePort><securedSipPort>5061</securedSipPort></ports>\
         <processNodeName>phones.example.net</processNodeName></callManager></member></members></callManagerGroup>\
         </devicePool>{elements}</device>"
    )
}

fn refused(input: impl AsRef<[u8]>) -> RewriteError {
    rules("").rewrite(input.as_ref(), SecurityClass::Encrypted).unwrap_err()
}

#[test]
fn defaults_drive_the_phone_to_tls_and_hide_the_inside() {
    let expected = include_str!("data/rewritten.cnf.xml");
    assert_eq!(sample(""), expected);
    for inside in ["10.1.", "10.2.", "lab.example"] {
        assert!(!expected.contains(inside), "{inside}");
    }
}

#[test]
fn each_change_is_listed_and_secrets_are_masked() {
    let change = |path: &str, before: Option<&str>, after: Option<&str>| Change {
        path: path.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let found = rewritten(&rules(""), SAMPLE);
    let members = "device/devicePool/callManagerGroup/members";
    for expected in [
        change("device/deviceSecurityMode", Some("1"), Some("3")),
        change("device/transportLayerProtocol", Some("1"), Some("3")),
        change(
            &format!("{members}/member/callManager/processNodeName"),
            Some("CUCM-Sub1.lab.example"),
            Some("phones.example.net"),
        ),
        change(&format!("{members}/member[1]/callManager/ports/securedSipPort"), None, Some("15061")),
        change(&format!("{members}/member[2]/callManager/processNodeName"), Some("10.1.0.1"), None),
        change("device/vpnGroup/addresses/url1", Some("https://vpn.lab.example"), None),
        change("device/vendorConfig/sshAccess", None, Some("1")),
        change("device/phoneServices/phoneService[1]/url", Some("http://***@10.1.0.7/weather"), Some("")),
    ] {
        assert!(found.changes.contains(&expected), "{expected:?}");
    }
    assert_eq!(found.unlisted, 0);
    let shown = format!("{found:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("joe"), "{shown}");
}

#[test]
fn rewriting_again_changes_nothing() {
    for more in ["", "tvs = { at = { address = \"edge.example.net\", port = 2445 } }\nsrst = \"keep\""] {
        let rules = rules(more);
        let once = rewritten(&rules, SAMPLE);
        let twice = rewritten(&rules, &text(&once));
        assert_eq!(twice.body, once.body);
        assert_eq!(twice.changes, []);
    }
}

#[test]
fn version_stamp_follows_what_comes_out() {
    let stamp = |text: &str| {
        let from = text.find("<versionStamp>").unwrap() + 14;
        text[from..from + text[from..].find('<').unwrap()].to_owned()
    };
    let plain = stamp(&sample(""));
    assert!(plain.starts_with("{Mar 01 2024 10:00:00}-") && plain.len() == 39, "{plain}");
    assert_eq!(stamp(&sample("")), plain);
    assert_ne!(stamp(&sample("srst = \"keep\"")), plain);
    assert_ne!(
        stamp(&sample("").replace("Standard", "Summer")),
        stamp(&SAMPLE.replace("Standard", "Summer"))
    );
    let other = text(&rewritten(&rules(""), &SAMPLE.replace("<name>1001", "<name>1002")));
    assert_ne!(stamp(&other), plain);
    assert_eq!(stamp(&sample("version_stamp = \"keep\"")), "{Mar 01 2024 10:00:00}");
    // One without a stamp gets one.
    let added = text(&rewritten(&rules(""), &small("")));
    assert_eq!(stamp(&added).len(), 16);
}

#[test]
fn class_decides_the_security_mode() {
    let soft = rules("").rewrite(SAMPLE.as_bytes(), SecurityClass::Authenticated).unwrap();
    assert!(text(&soft).contains("<deviceSecurityMode>2</deviceSecurityMode>"));
    assert!(text(&soft).contains("<transportLayerProtocol>3</transportLayerProtocol>"));
}

#[test]
fn missing_elements_that_security_needs_are_added() {
    let input = "<device><devicePool><callManagerGroup><members><member priority='0'><callManager>\
                 <processNodeName>10.1.0.2</processNodeName></callManager></member></members></callManagerGroup>\
                 </devicePool></device>";
    let out = text(&rewritten(&rules("version_stamp = \"keep\""), input));
    assert_eq!(
        out,
        "<device><devicePool><callManagerGroup><members><member priority='0'><callManager>\
         <processNodeName>192.0.2.20</processNodeName><ports><ethernetPhonePort>12000</ethernetPhonePort>\
         <securedSipPort>15061</securedSipPort></ports></callManager></member></members></callManagerGroup>\
         </devicePool><deviceSecurityMode>3</deviceSecurityMode><transportLayerProtocol>3</transportLayerProtocol>\
         <vendorConfig><webAccess>1</webAccess><pcPort>1</pcPort><voiceVlanAccess>1</voiceVlanAccess>\
         <spanToPCPort>1</spanToPCPort><sshAccess>1</sshAccess></vendorConfig></device>"
    );
}

#[test]
fn element_that_hides_in_a_replaced_one_does_not_count_as_there() {
    let out = text(&rewritten(
        &rules(""),
        &small("<webAccess><deviceSecurityMode>1</deviceSecurityMode></webAccess><deviceSecurityMode/>"),
    ));
    assert!(out.contains("<webAccess>1</webAccess><deviceSecurityMode>3</deviceSecurityMode>"), "{out}");
    let out = text(&rewritten(
        &rules(""),
        &small("<vpnGroup><deviceSecurityMode>1</deviceSecurityMode></vpnGroup>"),
    ));
    assert!(
        out.contains("<deviceSecurityMode>3</deviceSecurityMode>") && !out.contains(">1</deviceSec"),
        "{out}"
    );
}

#[test]
fn stamp_with_elements_in_it_becomes_a_stamp() {
    let stamp = "<versionStamp>7<members/><idleURL>x</idleURL></versionStamp>";
    let out = rewritten(&rules(""), &small(stamp));
    let text = text(&out);
    assert!(text.contains("<versionStamp>7-") && !text.contains("idleURL"), "{text}");
    assert_eq!(rewritten(&rules(""), &text).body, out.body);
    let only =
        small("").replace("<devicePool>", "<versionStamp>").replace("</devicePool>", "</versionStamp>");
    assert_eq!(refused(only), RewriteError::NoCallManager);
}

#[test]
fn every_occurrence_of_an_element_is_rewritten() {
    let twice = "<deviceSecurityMode>3</deviceSecurityMode><x><deviceSecurityMode>1</deviceSecurityMode></x>";
    let out = text(&rewritten(&rules(""), &small(twice)));
    assert!(!out.contains("<deviceSecurityMode>1"), "{out}");
}

#[test]
fn own_servers_take_the_place_of_those_inside() {
    let out = sample(
        "tvs = { at = { address = \"edge.example.net\", port = 2446 } }\n\
         capf = { at = { address = \"edge.example.net\", port = 3805 } }\n\
         ntp = { at = \"ntp.example.net\" }\n\
         srst = { at = [{ address = \"192.0.2.30\", sip_port = 5070 }] }",
    );
    for expected in [
        "<TVS><members><member priority=\"0\"><port>2446</port><address>edge.example.net</address></member>\n  </members></TVS>",
        "<capf><phonePort>3805</phonePort><processNodeName>edge.example.net</processNodeName></capf>",
        "<ntp><name>ntp.example.net</name>",
        "<ipAddr1>192.0.2.30</ipAddr1><port1>2000</port1><ipAddr2></ipAddr2>",
        "<sipIpAddr1>192.0.2.30</sipIpAddr1><sipPort1>5070</sipPort1>",
        "<isSecure>true</isSecure>",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    let added = text(&rewritten(
        &rules("tvs = { at = { address = \"edge.example.net\", port = 2445 } }"),
        &small(""),
    ));
    let tvs = "<TVS><members><member priority=\"0\"><port>2445</port><address>edge.example.net</address></member></members></TVS>";
    assert!(added.contains(tvs), "{added}");
}

#[test]
fn services_go_through_the_reverse_proxy() {
    let out = sample(
        "[urls]\ndirectory = { reverse_proxy = \"https://edge.example.net:6972\" }\nphone_services = \"keep\"",
    );
    assert!(out.contains(
        "<directoryURL>https://edge.example.net:6972/ccmcip/xmldirectory.jsp?a=1&amp;b=2</directoryURL>"
    ));
    assert!(out.contains(
        "<secureDirectoryURL>https://edge.example.net:6972/ccmcip/xmldirectory.jsp</secureDirectoryURL>"
    ));
    assert!(out.contains("<url>http://joe:pw@10.1.0.7/weather</url>"));
    assert!(out.contains("<authenticationURL></authenticationURL>"));
}

#[test]
fn each_element_of_the_table_has_its_switch() {
    let out = sample(
        "[elements]\nweb_access = \"keep\"\ngarp = { set = \"1\" }\nvpn_group = \"keep\"\nssh_access = \"remove\"\n\
         load_server = { set = \"a<b\" }\nnat_enabled = \"blank\"\ntimer_register_expires = { set = \"600\" }\n\
         timer_keep_alive_expires = { set = \"60\" }",
    );
    for expected in [
        "<webAccess>0</webAccess>",
        "<garp>1</garp>",
        "<mtu>1290</mtu>",
        "<loadServer>a&lt;b</loadServer>",
        "<natEnabled></natEnabled>",
        "<timerRegisterExpires>600</timerRegisterExpires><timerKeepAliveExpires>60</timerKeepAliveExpires></sipStack>",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    assert!(!out.contains("sshAccess"));
}

#[test]
fn wrong_rules_are_told_all_at_once() {
    let wrong: RewriteRules = toml::from_str(
        r#"
        tvs = { at = { address = "a b", port = 0 } }
        srst = { at = [] }
        [[call_manager]]
        inside = "a"
        outside = "this-name-is-longer-than-the-fifty-characters-allowed.example"
        sccp_tls_port = 443
        [[call_manager]]
        inside = "A"
        outside = "b"
        [[call_manager]]
        inside = "b"
        outside = "b"
        [elements]
        web_access = { set = "9" }
        timer_register_expires = { set = "x" }
        [urls]
        idle = { reverse_proxy = "http://edge" }
        "#,
    )
    .unwrap();
    let keys: Vec<_> = wrong.problems().into_iter().map(|problem| problem.key).collect();
    let expected = [
        "call_manager[0].outside",
        "call_manager[0].sccp_tls_port",
        "call_manager[0].inside",
        "call_manager[1].inside",
        "call_manager[2].inside",
        "tvs.at.address",
        "tvs.at.port",
        "srst.at",
        "elements.web_access",
        "elements.timer_register_expires",
        "urls.idle",
    ];
    assert_eq!(keys, expected);
    assert!(toml::from_str::<RewriteRules>("srts = \"clear\"").is_err());
    assert!(toml::from_str::<RewriteRules>("[elements]\nwebAccess = \"keep\"").is_err());
}

#[test]
fn phone_without_a_call_manager_gets_no_configuration() {
    assert_eq!(refused("<device/>"), RewriteError::NoCallManager);
    let unmapped = small("").replace("phones.example.net", "10.9.9.9");
    let error = refused(unmapped);
    assert_eq!(error, RewriteError::UnmappedCallManagers(vec!["10.9.9.9".into()]));
    assert!(error.to_string().contains("rewrite.call_manager"));
    assert_eq!(refused("<device><fullConfig>false</fullConfig></device>"), RewriteError::Encrypted);
}

#[test]
fn more_than_five_call_managers_are_cut_off() {
    let member = "<member><callManager><processNodeName>10.1.0.2</processNodeName></callManager></member>";
    let out = text(&rewritten(
        &rules(""),
        &format!(
            "<device><callManagerGroup><members>{}</members></callManagerGroup></device>",
            member.repeat(7)
        ),
    ));
    assert_eq!(out.matches("<member>").count(), 5);
}

#[test]
fn only_strict_xml_is_read() {
    let xml = |input: &str| match refused(input) {
        RewriteError::Xml(error) => error,
        other => panic!("{input}: {other:?}"),
    };
    let deep = format!("<device>{}{}</device>", "<a>".repeat(40), "</a>".repeat(40));
    let long = format!("<device><{0}></{0}></device>", "a".repeat(129));
    let attributes: String = (0..70).map(|number| format!(" a{number}='x'")).collect();
    for (input, expected) in [
        ("", XmlError::Root),
        ("hello", XmlError::Root),
        ("<!DOCTYPE device>\n<device/>", XmlError::DocumentType { line: 1 }),
        (
            "<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<device>&x;</device>",
            XmlError::DocumentType { line: 1 },
        ),
        ("<device>\n&x;</device>", XmlError::Entity { line: 2 }),
        ("<device a='&x;'/>", XmlError::Entity { line: 1 }),
        ("<device>&#0;</device>", XmlError::Entity { line: 1 }),
        ("<device>a & b</device>", XmlError::Entity { line: 1 }),
        ("<Default/>", XmlError::Root),
        ("<device/><device/>", XmlError::Root),
        ("<device/>x", XmlError::Root),
        ("<device>\n\n<a></b></device>", XmlError::Malformed { line: 3 }),
        ("<device><a></device>", XmlError::Malformed { line: 1 }),
        ("<device>", XmlError::Malformed { line: 1 }),
        ("<device a='1' a='2'/>", XmlError::Malformed { line: 1 }),
        ("<device a=1/>", XmlError::Malformed { line: 1 }),
        ("<device a='<'/>", XmlError::Malformed { line: 1 }),
        ("<device><1a/></device>", XmlError::Malformed { line: 1 }),
        ("<device><a\u{e9}/></device>", XmlError::Malformed { line: 1 }),
        ("<device><!-- a -- b --></device>", XmlError::Malformed { line: 1 }),
        ("<device><?xml version='1.0'?></device>", XmlError::Malformed { line: 1 }),
        ("<?xml encoding='UTF-8'?><device/>", XmlError::Malformed { line: 1 }),
        ("<?xml version='1.0' encoding='UTF-8' encoding='x'?><device/>", XmlError::Malformed { line: 1 }),
        ("<?xml version='1.0'encoding='UTF-8'?><device/>", XmlError::Malformed { line: 1 }),
        ("<?xml version='1.0' <device/>", XmlError::Malformed { line: 1 }),
        ("<device>\n\u{1}</device>", XmlError::Character { line: 2 }),
        ("\u{feff}\u{feff}<device/>", XmlError::Character { line: 1 }),
        ("<?xml version='1.0' encoding='UTF-16'?><device/>", XmlError::Encoding),
        ("\u{feff}<?xml version='1.0' encoding='ISO-8859-1'?><device/>", XmlError::Encoding),
        (&long, XmlError::Malformed { line: 1 }),
        (&deep, XmlError::TooDeep),
        (&format!("<device{attributes}/>"), XmlError::TooManyAttributes),
        (&format!("<device>{}</device>", "<a/>".repeat(20_000)), XmlError::TooManyElements),
        (&format!("<device>{}</device>", "x".repeat(256 << 10)), XmlError::TooLarge),
    ] {
        assert_eq!(xml(input), expected, "{:.80}", input);
    }
    assert_eq!(refused(b"<device>\n\xe9</device>"), RewriteError::Xml(XmlError::NotUtf8 { line: 2 }));
}

#[test]
fn configuration_that_grows_too_large_is_refused() {
    let input = small(&"<versionStamp/>".repeat(15_000));
    assert!(input.len() < 256 << 10);
    assert_eq!(refused(input), RewriteError::Xml(XmlError::TooLarge));
}

#[test]
fn latin1_becomes_utf8_and_a_byte_order_mark_stays() {
    let input = small("<name>J\u{f6}rg</name>");
    let declared = format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{input}");
    let latin1: Vec<u8> = declared.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let out = rules("").rewrite(&latin1, SecurityClass::Encrypted).unwrap();
    let out = text(&out);
    assert!(out.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><device>"), "{out}");
    assert!(out.contains("<name>J\u{f6}rg</name>"));
    for declaration in
        ["<?xml version='1.0'?>", "<?xml  version = '1.0' encoding = 'utf8' standalone=\"yes\" ?>"]
    {
        let out = text(&rewritten(&rules(""), &format!("{declaration}{input}")));
        assert!(out.starts_with(declaration), "{out}");
    }
    let marked = rewritten(&rules(""), &format!("\u{feff}{input}"));
    assert!(text(&marked).starts_with("\u{feff}<device>"));
}

#[test]
fn stub_points_to_the_encrypted_file_and_tells_nothing_else() {
    let full = rewritten(&rules("capf = { at = { address = \"edge.example.net\", port = 3804 } }"), SAMPLE);
    let stub = String::from_utf8(stub(&full.body, CertificateHash([0xab; 16])).unwrap()).unwrap();
    assert_eq!(
        stub,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<device>\n<fullConfig>false</fullConfig>\n\
             <loadInformation>SIP42.9-3-1SR1-1S</loadInformation>\n<ipAddressMode>0</ipAddressMode>\n\
             <capfAuthMode>0</capfAuthMode>\n<capfList><capf><phonePort>3804</phonePort>\
             <processNodeName>edge.example.net</processNodeName></capf></capfList>\n<certHash>{}</certHash>\n\
             <encrConfig>true</encrConfig>\n</device>\n",
            "ab".repeat(16)
        )
    );
}
