//! Addresses, URIs, Via, parameters.

use pinhole_sip::{NameAddr, Params, Uri, Via};

#[test]
fn uris_are_read_and_written_back() {
    for text in [
        "sip:192.0.2.1",
        "sip:1001@lab.example",
        "sips:1001@[2001:db8::10]:5061;transport=tcp;lr",
        "SIP:+1(555)@h_x-1.example.;user=phone?Subject=a&Replaces=x%3By",
        "sip:alice:secret@h",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        "sip:user;par=u%40example.net@example.com",
        "sip:4cbf-7adc-ac@10.20.0.5:5060;x-token=\"a;b\"",
    ] {
        let parsed: Result<Uri, _> = text.parse();
        match parsed {
            Ok(uri) => assert_eq!(uri.to_string(), text),
            // A quote is no URI character.
            Err(_) => assert!(text.contains('"'), "{text}"),
        }
    }
}

#[test]
fn parts_of_a_uri_are_found() {
    let uri: Uri = "sips:a%62;c?:p:q@[::1]:99;lr;Transport=TLS?h=v".parse().unwrap();
    assert!(uri.is_sips());
    assert_eq!(uri.user.as_deref(), Some("a%62;c?"));
    assert_eq!(uri.unescaped_user().as_deref(), Some("ab;c?"));
    assert_eq!(uri.password.as_deref(), Some("p:q"));
    assert_eq!(uri.host, "[::1]");
    assert_eq!(uri.host_ip(), Some("::1".parse().unwrap()));
    assert_eq!(uri.port, Some(99));
    assert_eq!(uri.params.value("transport"), Some("TLS"));
    assert!(uri.params.has("LR"));
    assert_eq!(uri.headers.as_deref(), Some("h=v"));
}

#[test]
fn ambiguous_or_broken_uris_are_refused() {
    for text in [
        "",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a@b:",
        "sip:a@b:65536",
        "sip:a@b:+5",
        "sip:a@b:5x",
        "sip:a b@c",
        "sip:a@b\r\nX: y",
        "sip:a@<b>",
        "sip:a@[::1",
        "sip:a@[x]",
        "sip:a@b/c",
        "tel:+15551234",
        "urn:x-cisco-remotecc:token-registration",
        "*",
    ] {
        let parsed: Result<Uri, _> = text.parse();
        let empty_port = text == "sip:a@b:";
        assert!(parsed.is_err() || empty_port, "{text}");
    }
}

#[test]
fn broken_escapes_give_no_user() {
    for user in ["%", "%4", "%zz", "%ff"] {
        let uri: Uri = format!("sip:{user}@h").parse().unwrap();
        assert_eq!(uri.unescaped_user(), None, "{user}");
    }
    assert_eq!("sip:%00x@h".parse::<Uri>().unwrap().unescaped_user().as_deref(), Some("\0x"));
}

#[test]
fn addresses_are_read_in_every_form() {
    let cases = [
        ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
        ("<sip:a@b;x=1>;tag=2", None, "sip:a@b;x=1", Some("2")),
        ("Bob the Great <sip:a@b> ; tag = 3", Some("Bob the Great"), "sip:a@b", Some("3")),
        ("\"B <sip:x@y>;tag=9 \\\" ,\" <tel:+1>;TAG=4", Some("B <sip:x@y>;tag=9 \" ,"), "tel:+1", Some("4")),
        ("<urn:x-cisco-remotecc:token-registration>", None, "urn:x-cisco-remotecc:token-registration", None),
        ("*", None, "*", None),
        ("<sip:a@b>;+sip.instance=\"<urn:uuid:0;x>\";tag=5", None, "sip:a@b", Some("5")),
    ];
    for (text, display, uri, tag) in cases {
        let address: NameAddr = text.parse().unwrap();
        assert_eq!(address.display_text().as_deref(), display, "{text}");
        assert_eq!(address.uri, uri, "{text}");
        assert_eq!(address.tag(), tag, "{text}");
        assert_eq!(address.to_string().parse::<NameAddr>().unwrap(), address, "{text}");
    }
}

#[test]
fn cisco_contact_parameters_are_found() {
    let contact: NameAddr = "<sip:8a5d3f6e@192.168.77.11:50001;transport=tls>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-0010db000001>\";+u.sip!devicename.ccm.cisco.com=\"SEP0010DB000001\";cisco-keep-alive"
        .parse()
        .unwrap();
    assert_eq!(contact.params.value("+u.sip!devicename.ccm.cisco.com"), Some("\"SEP0010DB000001\""));
    assert!(contact.params.has("cisco-keep-alive"));
    assert_eq!(contact.sip_uri().unwrap().port, Some(50001));
}

#[test]
fn broken_addresses_are_refused() {
    for text in [
        "",
        "<>",
        "<sip:a@b",
        "\"x <sip:a@b>",
        "\"x\" y <sip:a@b>",
        "\"x\" sip:a@b",
        "<a b>",
        "<sip:a@b>x",
        "a b",
    ] {
        assert!(text.parse::<NameAddr>().is_err(), "{text}");
    }
}

#[test]
fn vias_are_read_with_odd_spacing() {
    let via: Via =
        "SIP  / 2.0  / TLS   [2001:db8::1] : 5061 ; branch = z9hG4bKx ;rport;received=198.51.100.10"
            .parse()
            .unwrap();
    assert_eq!((via.transport.as_str(), via.host.as_str(), via.port), ("TLS", "[2001:db8::1]", Some(5061)));
    assert_eq!(via.branch(), Some("z9hG4bKx"));
    assert_eq!(via.rport(), None);
    assert!(via.params.has("rport"));
    assert_eq!(via.received(), Some("198.51.100.10".parse().unwrap()));
    assert_eq!(
        via.to_string(),
        "SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKx;rport;received=198.51.100.10"
    );
    for text in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/1.0/UDP h",
        "HTTP/2.0/UDP h",
        "SIP/2.0/ h",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP a b",
    ] {
        assert!(text.parse::<Via>().is_err(), "{text}");
    }
}

#[test]
fn parameters_are_edited_in_place() {
    let mut params = Params::parse(";a=1;B;c=\"x;y\";;a=2").unwrap();
    params.set("b", Some("9"));
    params.set("new", None);
    assert_eq!(params.to_string(), ";a=1;B=9;c=\"x;y\";a=2;new");
    assert!(params.remove("A"));
    assert!(!params.remove("A"));
    assert_eq!(params.to_string(), ";B=9;c=\"x;y\";new");
    assert_eq!(Params::parse("junk;a"), None);
}
