//! Which names are known, and why the others are refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use pinhole_provisioning::names::{FileName, Kind, NAME_MAX, NameError, OtherFile, Signature, Wrapping};
use pinhole_provisioning::{BadDevice, Device};
use proptest::prelude::*;

const DEVICE: Device = Device::new([0x00, 0x10, 0xdb, 0x00, 0x00, 0x01]);

fn other(name: &str) -> OtherFile {
    match FileName::parse(name.as_bytes()) {
        Ok(FileName::Other(file)) => file,
        found => panic!("{name}: {found:?}"),
    }
}

fn refused(name: impl AsRef<[u8]>) -> NameError {
    FileName::parse(name.as_ref()).unwrap_err()
}

#[test]
fn names_of_a_device_tell_the_device_and_the_file() {
    let configuration = |wrapping| FileName::Configuration { device: DEVICE, wrapping };
    for (name, expected) in [
        ("CTLSEP0010DB000001.tlv", FileName::Ctl(DEVICE)),
        ("ITLSEP0010DB000001.tlv", FileName::Itl(DEVICE)),
        ("ext_ITLSEP0010DB000001.tlv", FileName::ItlExtended(DEVICE)),
        ("SEP0010DB000001.cnf.xml", configuration(Wrapping::Plain)),
        ("SEP0010DB000001.cnf.xml.sgn", configuration(Wrapping::Signed)),
        ("SEP0010DB000001.cnf.xml.enc.sgn", configuration(Wrapping::EncryptedSigned)),
    ] {
        let found = FileName::parse(name.as_bytes()).unwrap();
        assert_eq!(found, expected);
        assert_eq!(found.device(), Some(DEVICE));
        assert_eq!(found.to_string(), name);
    }
}

#[test]
fn names_of_no_device_are_known_too() {
    for (name, expected) in [
        ("CTLFile.tlv", FileName::CtlCommon),
        ("ITLFile.tlv", FileName::ItlCommon),
        ("XMLDefault.cnf.xml", FileName::DefaultConfiguration { signed: false }),
        ("XMLDefault.cnf.xml.sgn", FileName::DefaultConfiguration { signed: true }),
    ] {
        let found = FileName::parse(name.as_bytes()).unwrap();
        assert_eq!(found, expected);
        assert_eq!(found.device(), None);
        assert_eq!(found.to_string(), name);
    }
}

#[test]
fn other_files_are_told_by_their_ending_and_at_most_one_known_folder() {
    for (name, kind, signature, upstream) in [
        ("Ringlist.xml.sgn", Kind::Xml, Signature::Sgn, "Ringlist.xml"),
        ("Ringlist-wb.xml", Kind::Xml, Signature::None, "Ringlist-wb.xml"),
        ("New_Zealand/g3-tones.xml.sgn", Kind::Xml, Signature::Sgn, "New_Zealand/g3-tones.xml"),
        (
            "English_United_States/mk-sip.jar.sgn",
            Kind::Jar,
            Signature::Sgn,
            "English_United_States/mk-sip.jar",
        ),
        ("Desktops/320x212x16/List.xml.sgn", Kind::Xml, Signature::Sgn, "Desktops/320x212x16/List.xml"),
        (
            "Desktops/320x212x16/TN-Fountain.png",
            Kind::Picture,
            Signature::None,
            "Desktops/320x212x16/TN-Fountain.png",
        ),
        ("Analog1.raw.sgn", Kind::Ring, Signature::Sgn, "Analog1.raw"),
        ("Chime.rwb.sgn.sha512", Kind::Ring, Signature::SgnSha512, "Chime.rwb"),
    ] {
        let file = other(name);
        assert_eq!((file.kind(), file.signature()), (kind, signature), "{name}");
        assert_eq!((file.upstream().as_str(), file.is_vendor_signed()), (upstream, false), "{name}");
        assert_eq!(file.to_string(), name);
    }
}

#[test]
fn firmware_is_the_vendors_and_keeps_its_full_name() {
    for name in [
        "SIP42.9-3-1SR1-1S.loads",
        "apps42.9-3-1ES4.sbn",
        "dkernel.88xx.zz.sgn",
        "rootfs88xx.12-5-1.zz.sgn.sha512",
        "P0030801SR02.bin",
        "P0S3-8-12-00.sb2",
    ] {
        let file = other(name);
        assert!(file.is_vendor_signed(), "{name}");
        assert_eq!(file.upstream(), name);
    }
}

#[test]
fn each_bad_name_is_refused_by_its_own_reason() {
    for (name, reason) in [
        ("", NameError::Empty),
        ("../SEP0010DB000001.cnf.xml", NameError::ParentFolder),
        ("English/../Ringlist.xml", NameError::ParentFolder),
        ("Ring..list.xml", NameError::ParentFolder),
        ("English\\Ringlist.xml", NameError::Backslash),
        ("/etc/passwd", NameError::Absolute),
        ("/Ringlist.xml", NameError::Absolute),
        ("C:Ringlist.xml", NameError::Absolute),
        ("Ring\0list.xml", NameError::ControlCharacter),
        ("Ringlist.xml\n", NameError::ControlCharacter),
        ("Ring\u{7f}list.xml", NameError::ControlCharacter),
        ("Ringlist\u{e9}.xml", NameError::NotAscii),
        ("english/Ringlist.xml", NameError::UnknownFolder),
        ("./Ringlist.xml", NameError::UnknownFolder),
        ("A/B/Ringlist.xml", NameError::UnknownFolder),
        ("English//Ringlist.xml", NameError::UnknownFolder),
        ("Desktops/320x212/List.xml", NameError::UnknownFolder),
        ("Desktops/List.xml/", NameError::UnknownFolder),
        ("Desktops/320x212x16/x/List.xml", NameError::UnknownFolder),
        ("English/", NameError::UnknownPattern),
        ("Ringlist.txt", NameError::UnknownPattern),
        ("Ringlist", NameError::UnknownPattern),
        (".xml", NameError::UnknownPattern),
        ("English/.xml", NameError::UnknownPattern),
        (".hidden.xml", NameError::UnknownPattern),
        ("Ring list.xml", NameError::UnknownPattern),
        ("Ringlist%2exml", NameError::UnknownPattern),
        ("%2e%2e%2fRinglist.xml", NameError::UnknownPattern),
        ("Ringlist.xml.sgn.sgn", NameError::UnknownPattern),
        ("Ringlist.xml.enc.sgn", NameError::UnknownPattern),
        ("Ringlist.XML", NameError::UnknownPattern),
    ] {
        assert_eq!(refused(name), reason, "{name:?}");
    }
    assert_eq!(refused([b'a'; 10_000]), NameError::TooLong);
    let longest = format!("{}.xml", "a".repeat(NAME_MAX - 4));
    assert_eq!(other(&longest).upstream(), longest);
    assert_eq!(refused(format!("a{longest}")), NameError::TooLong);
}

#[test]
fn what_only_resembles_a_configuration_or_trust_list_never_passes_as_an_ordinary_file() {
    for name in [
        "sep0010db000001.cnf.xml",
        "SEP0010db000001.cnf.xml",
        "SEP0010DB000001.CNF.xml",
        "SEP0010DB000001.cnf.xml.sgn.sha512",
        "SEP0010DB000001.xml",
        "SEP0010DB00000.cnf.xml",
        "English/SEP0010DB000001.cnf.xml",
        "English/CTLSEP0010DB000001.tlv",
        "xmldefault.cnf.xml",
        "CTLSEP0010DB000001.tlv.sgn",
        "ctlfile.tlv",
        "CTLFile.TLV.xml",
    ] {
        assert_eq!(refused(name), NameError::Disguised, "{name}");
    }
}

#[test]
fn device_names_are_exact() {
    assert_eq!("SEP0010DB000001".parse(), Ok(DEVICE));
    assert_eq!(DEVICE.to_string(), "SEP0010DB000001");
    for bad in [
        "",
        "SEP",
        "SEP0010DB00000",
        "SEP0010DB0000011",
        "SEP0010DB00000G",
        "SEP0010db000001",
        "sep0010DB000001",
    ] {
        assert_eq!(bad.parse::<Device>(), Err(BadDevice), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_known_name_says_exactly_what_was_asked_and_no_name_panics(
        name in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(CTL|ITL|ext_ITL|English/|Desktops/1x2x3/)?(SEP[0-9A-F]{11,13}|[A-Za-z.-]{0,9})\\.(tlv|cnf\\.xml|loads|xml|zz|png)(\\.enc)?(\\.sgn)?(\\.sha512)?"
                .prop_map(String::into_bytes),
        ]
    ) {
        if let Ok(found) = FileName::parse(&name) {
            prop_assert_eq!(found.to_string().into_bytes(), name);
            if let FileName::Other(file) = found {
                let upstream = file.upstream().to_lowercase();
                prop_assert!(!upstream.contains(".cnf") && !upstream.contains(".tlv") && !upstream.contains(".."));
            }
        }
    }
}
