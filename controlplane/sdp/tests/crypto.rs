//! Reading and writing `a=crypto`.

use pinhole_sdp::crypto::{Attribute, CryptoError, Mki, key_and_salt_len};
use proptest::prelude::*;

/// 30 bytes, from the examples of RFC 4568.
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

const SUITES: [&str; 8] = [
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_192_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
];

fn line(rest: &str) -> String {
    format!("1 AES_CM_128_HMAC_SHA1_80 {rest}")
}

fn parse(rest: &str) -> Result<Attribute, CryptoError> {
    Attribute::parse(&line(rest))
}

#[test]
fn line_with_everything_is_read_and_written_back() {
    let text = line(&format!("inline:{KEY}|2^20|2:4 FEC_ORDER=FEC_SRTP WSH=128 KDR=0 -x=1 -y"));
    let attribute = Attribute::parse(&text).unwrap();
    assert_eq!(attribute.tag, 1);
    assert_eq!(attribute.suite, "AES_CM_128_HMAC_SHA1_80");
    assert_eq!(attribute.key.key_and_salt.len(), 30);
    assert_eq!(attribute.key.lifetime, Some(1 << 20));
    assert_eq!(attribute.key.mki.as_ref().unwrap().bytes(), [0, 0, 0, 2]);
    assert_eq!(attribute.params.len(), 5);
    assert_eq!(*attribute.to_sdp(), text);
}

#[test]
fn base64_padding_is_optional() {
    for (suite, length) in [
        ("AES_192_CM_HMAC_SHA1_80", 38),
        ("AES_256_CM_HMAC_SHA1_80", 46),
        ("AEAD_AES_128_GCM", 28),
        ("AEAD_AES_256_GCM", 44),
    ] {
        let made = Attribute::new(7, suite, &vec![0xa5; length]).unwrap();
        let padded = made.to_sdp();
        assert!(padded.ends_with('='), "{suite}");
        assert_eq!(Attribute::parse(&padded).unwrap(), made);
        assert_eq!(Attribute::parse(padded.trim_end_matches('=')).unwrap(), made);
    }
}

#[test]
fn lifetime_and_mki_are_told_apart() {
    let key = |rest: &str| parse(&format!("inline:{KEY}{rest}")).map(|attribute| attribute.key);
    assert_eq!(key("").unwrap().lifetime, None);
    assert_eq!(key("|2^48").unwrap().lifetime, Some(1 << 48));
    assert_eq!(key("|1000").unwrap().lifetime, Some(1000));
    let only_mki = key("|66051:4").unwrap();
    assert_eq!((only_mki.lifetime, only_mki.mki.unwrap().bytes()), (None, &[0, 1, 2, 3][..]));
    for lifetime in ["|2^49", "|2^64", "|2^999999999999", "|2^", "|0", "|-1", "|+5", "|x", "|", "||1:1"] {
        assert_eq!(key(lifetime).err(), Some(CryptoError::Lifetime), "{lifetime}");
    }
    for mki in ["|1:0", "|1:129", "|256:1", "|:4", "|1:", "|-1:4", "|x:4", "|1:4:4", "|2^20|4", "|2^20|1:999"]
    {
        assert_eq!(key(mki).err(), Some(CryptoError::Mki), "{mki}");
    }
    assert_eq!(key("|2^20|1:4|x").err(), Some(CryptoError::Malformed));
    assert_eq!(key("|1:4|2^20").err(), Some(CryptoError::Lifetime));
}

#[test]
fn longest_mki_is_read_and_written() {
    let mki = Mki::new(&[0xff; 128]).unwrap();
    let text = line(&format!("inline:{KEY}|{mki}"));
    let attribute = Attribute::parse(&text).unwrap();
    assert_eq!(attribute.key.mki.as_ref(), Some(&mki));
    assert_eq!(*attribute.to_sdp(), text);
    // 256^128 does not fit.
    let more = text.replace("5:128", "6:128");
    assert_ne!(more, text);
    assert_eq!(Attribute::parse(&more).err(), Some(CryptoError::Mki));
    assert!(Mki::new(&[]).is_none() && Mki::new(&[0; 129]).is_none());
}

/// The line with this session parameter is refused so, also behind others that are tolerated.
fn refused(param: &str, error: CryptoError) {
    let alone = parse(&format!("inline:{KEY} {param}"));
    assert_eq!(alone.err(), Some(error), "{param}");
    let behind_tolerated_ones = parse(&format!("inline:{KEY} -ok FEC_ORDER=FEC_SRTP {param}"));
    assert!(behind_tolerated_ones.is_err(), "{param}");
}

#[test]
fn key_derivation_rate_other_than_zero_refuses_the_line() {
    assert!(parse(&format!("inline:{KEY} KDR=0")).is_ok());
    for rate in ["KDR=1", "KDR=24", "kdr=1"] {
        refused(rate, CryptoError::Unsupported("KDR"));
    }
    for broken in ["KDR=25", "KDR", "KDR=x", "KDR=0 KDR=0"] {
        refused(broken, CryptoError::Parameter("KDR"));
    }
}

#[test]
fn unencrypted_or_unauthenticated_streams_refuse_the_line() {
    for name in ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP"] {
        refused(name, CryptoError::Unsupported(name));
        refused(&name.to_ascii_lowercase(), CryptoError::Unsupported(name));
    }
}

#[test]
fn unknown_parameter_refuses_the_line_unless_it_is_optional() {
    refused("NEW_THING=1", CryptoError::UnknownParameter("NEW_THING".to_owned()));
    refused("-", CryptoError::UnknownParameter("(not a registered name)".to_owned()));
    for optional in ["-NEW_THING=1", "-x", "-KDR=9", "-UNENCRYPTED_SRTP"] {
        let line = parse(&format!("inline:{KEY} {optional}")).unwrap();
        assert_eq!(line.params.len(), 1, "{optional}");
    }
}

#[test]
fn window_size_hint_is_read_from_64_on() {
    for hint in ["WSH=64", "WSH=256", "wsh=100000"] {
        assert!(parse(&format!("inline:{KEY} {hint}")).is_ok(), "{hint}");
    }
    for broken in ["WSH=63", "WSH=0", "WSH", "WSH=x", "WSH=64 WSH=128"] {
        refused(broken, CryptoError::Parameter("WSH"));
    }
}

#[test]
fn fec_order_is_read_and_fec_key_refuses_the_line() {
    for order in ["FEC_ORDER=FEC_SRTP", "FEC_ORDER=SRTP_FEC"] {
        assert!(parse(&format!("inline:{KEY} {order}")).is_ok(), "{order}");
    }
    let broken = parse(&format!("inline:{KEY} FEC_ORDER=X"));
    assert_eq!(broken.err(), Some(CryptoError::Parameter("FEC_ORDER")));
    refused("FEC_KEY=inline:abc", CryptoError::Unsupported("FEC_KEY"));
}

#[test]
fn unknown_null_and_f8_suites_are_refused_by_name() {
    for suite in [
        "F8_128_HMAC_SHA1_80",
        "NULL_HMAC_SHA1_80",
        "AES_CM_128_NULL_AUTH",
        "AES_192_CM_NULL_AUTH",
        "SEED_128_CCM_80",
    ] {
        let refused = Attribute::parse(&format!("1 {suite} inline:{KEY}"));
        assert_eq!(refused.err(), Some(CryptoError::Suite(suite.to_owned())));
        assert_eq!(key_and_salt_len(suite), None);
    }
    assert_eq!(key_and_salt_len("aes_cm_128_hmac_sha1_80"), Some(30));
}

#[test]
fn broken_lines_are_refused() {
    for text in [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        "x AES_CM_128_HMAC_SHA1_80 inline:x",
        "-1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "1234567890 AES_CM_128_HMAC_SHA1_80 inline:x",
    ] {
        assert_eq!(Attribute::parse(text).err(), Some(CryptoError::Malformed), "{text}");
    }
    assert_eq!(parse("uri:x").err(), Some(CryptoError::KeyMethod));
    assert_eq!(parse("inline").err(), Some(CryptoError::KeyMethod));
    assert_eq!(parse("inline:????").err(), Some(CryptoError::Base64));
    assert_eq!(parse("inline:").err(), Some(CryptoError::KeyLength { actual: 0, expected: 30 }));
    assert_eq!(parse("inline:QUJD").err(), Some(CryptoError::KeyLength { actual: 3, expected: 30 }));
    assert_eq!(
        Attribute::new(1, "AEAD_AES_128_GCM", &[0; 30]).err(),
        Some(CryptoError::KeyLength { actual: 30, expected: 28 })
    );
    assert_eq!(
        Attribute::new(1_000_000_000, "AEAD_AES_128_GCM", &[0; 28]).err(),
        Some(CryptoError::Malformed)
    );
}

#[test]
fn several_keys_refuse_the_line() {
    for (first, second) in [("|1:1", "|2:1"), ("", ""), ("|2^20|1:4", "|2^20|2:4")] {
        refused_for(&format!("inline:{KEY}{first};inline:{KEY}{second}"), CryptoError::SeveralKeys);
    }
    refused_for(&format!("inline:{KEY};"), CryptoError::SeveralKeys);
}

fn refused_for(keys: &str, error: CryptoError) {
    assert_eq!(parse(keys).err(), Some(error), "{keys}");
}

#[test]
fn neither_debug_nor_errors_show_keys() {
    let attribute = parse(&format!("inline:{KEY}|2^31|1:1 -secret={KEY}")).unwrap();
    let debug = format!("{attribute:?} {:?}", attribute.key);
    assert!(!debug.contains("WVNf") && !debug.contains("89, 83"), "{debug}");
    for text in [
        format!("1 {KEY} inline:{KEY}"),
        line(&format!("inline:{KEY} {KEY}")),
        line(&format!("{KEY}:x")),
        line(&format!("inline:{KEY}|{KEY}|{KEY}")),
    ] {
        let error = Attribute::parse(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("WVNf"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_lines_read_back(tag in 0_u32..1_000_000_000, suite in prop::sample::select(&SUITES[..]), key in prop::collection::vec(any::<u8>(), 46), mki in prop::collection::vec(any::<u8>(), 0..=128)) {
        let mut made = Attribute::new(tag, suite, &key[..key_and_salt_len(suite).unwrap()]).unwrap();
        made.key.mki = Mki::new(&mki);
        prop_assert_eq!(Attribute::parse(&made.to_sdp()), Ok(made));
    }

    #[test]
    fn arbitrary_lines_never_panic(text in "[ -~]{0,120}|[0-9]{1,3} AES_CM_128_HMAC_SHA1_80 inline:[A-Za-z0-9+/=]{38,42}([|;:^=][0-9a-zA-Z^:]{0,12}){0,4}( [A-Z_=0-9-]{0,20}){0,3}") {
        if let Ok(attribute) = Attribute::parse(&text) {
            prop_assert_eq!(Attribute::parse(&attribute.to_sdp()), Ok(attribute));
        }
    }
}
