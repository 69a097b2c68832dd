//! What phones write in `a=crypto`, and what the data plane is told of it.

use pinhole_flow::{Leg, MasterKey, Suite};
use pinhole_proxy::{Counter, ProxyConfig};

use crate::stage::*;

/// An offer of the phone with these crypto lines.
fn offer(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("a=crypto:{line}\r\n")).collect();
    sdp("192.168.77.11", &format!("m=audio 30000 RTP/SAVP 0\r\n{lines}"))
}

/// A call with this offer: the keys that the data plane has of the phone and from us, and our answer.
fn call(lines: &[&str]) -> ([MasterKey; 2], String) {
    let (leg, answer) = leg_of(lines);
    ([leg.inbound, leg.outbound], answer)
}

/// A call with this offer: the phone's leg, and our answer.
fn leg_of(lines: &[&str]) -> (Leg, String) {
    leg_under(config(), lines)
}

/// The same under a configuration.
fn leg_under(config: ProxyConfig, lines: &[&str]) -> (Leg, String) {
    let mut stage = Stage::with(config);
    stage.connect(PHONE_A, 1);
    let request = stage.ring_cm(&offer(lines));
    stage.cm_sends(reply(&request, 200, "OK", "cmtag", &answer_inside()));
    let answer = sdp_line(&stage.at_phone(), "a=crypto:");
    (stage.commands[0].session.legs[0], answer)
}

fn refused(lines: &[&str]) -> Stage {
    let mut stage = Stage::new();
    stage.connect(PHONE_A, 1);
    let invite = stage.invite_of_phone("call-1", &offer(lines));
    stage.phone_sends(1, invite);
    assert_eq!(stage.at_phone().code(), Some(488), "{lines:?}");
    assert_eq!(stage.count(Counter::OfferWithoutSuite), 1, "{lines:?}");
    stage.nothing_more();
    assert!(stage.commands.is_empty());
    stage
}

#[test]
fn mki_of_the_phone_is_what_its_packets_must_carry() {
    let (leg, answer) = leg_of(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|2^20|258:4")]);
    assert_eq!(leg.mki.bytes(), Some(&[0, 0, 1, 2][..]));
    assert!(answer.starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:") && !answer.contains('|'));
    let (longest, _) = leg_of(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|1:128")]);
    let longest = longest.mki.bytes().unwrap();
    assert_eq!((longest.len(), longest.last()), (128, Some(&1)));
}

#[test]
fn line_with_several_keys_is_passed_over_and_alone_refused_with_its_reason() {
    let several = format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|1:1;{KEY_B}|2:1");
    let (leg, answer) = leg_of(&[&several, &format!("2 AES_CM_128_HMAC_SHA1_80 {KEY_A}|1:1")]);
    assert_eq!(tag_and_suite(&answer), ("2", "AES_CM_128_HMAC_SHA1_80"));
    assert_eq!((leg.mki.bytes(), leg.inbound.key()), (Some(&[1][..]), &[0; 16][..]));
    let stage = refused(&[&several]);
    let reason = |event: &pinhole_admin::Event| event.text.contains("several keys in one line");
    assert!(stage.events.iter().any(reason), "{:?}", stage.events);
}

#[test]
fn answer_has_the_tag_and_suite_of_the_line_that_was_chosen() {
    let lines = [
        format!("4 AES_CM_128_HMAC_SHA1_32 {KEY_A}"),
        format!("7 AES_CM_128_HMAC_SHA1_80 {KEY_B}"),
        format!("9 AES_CM_128_HMAC_SHA1_32 {KEY_B}"),
    ];
    let ([phone, ours], answer) = call(&lines.each_ref().map(String::as_str));
    assert_eq!(tag_and_suite(&answer), ("7", "AES_CM_128_HMAC_SHA1_80"));
    assert_eq!([phone.suite(), ours.suite()], [Some(Suite::AesCm128HmacSha1_80); 2]);
}

#[test]
fn aes_192_is_chosen_where_the_phone_offers_nothing_that_is_preferred() {
    let suites = vec![Suite::AesCm128HmacSha1_80, Suite::AesCm192HmacSha1_80];
    let key = format!("inline:{}", "A".repeat(50));
    let aes_192 = format!("1 AES_192_CM_HMAC_SHA1_80 {key}A=");
    let (leg, answer) = leg_under(ProxyConfig { suites: suites.clone(), ..config() }, &[&aes_192]);
    assert_eq!(tag_and_suite(&answer), ("1", "AES_192_CM_HMAC_SHA1_80"));
    assert_eq!(leg.outbound.suite(), Some(Suite::AesCm192HmacSha1_80));
    assert_eq!((leg.inbound.key().len(), leg.inbound.salt().len()), (24, 14));
    let aes_128 = format!("2 AES_CM_128_HMAC_SHA1_80 {KEY_A}");
    let (_, answer) = leg_under(ProxyConfig { suites, ..config() }, &[&aes_192, &aes_128]);
    assert_eq!(tag_and_suite(&answer), ("2", "AES_CM_128_HMAC_SHA1_80"));
}

#[test]
fn optional_parameters_and_hints_do_not_refuse_a_line() {
    for params in ["WSH=256", "FEC_ORDER=SRTP_FEC", "KDR=0", "-NEW=1 -other", "|2^31", "|2^20|1:4 WSH=64"] {
        let gap = if params.starts_with('|') { "" } else { " " };
        let ([phone, _], answer) = call(&[&format!("3 AES_CM_128_HMAC_SHA1_80 {KEY_A}{gap}{params}")]);
        assert_eq!(phone.key(), [0; 16], "{params}");
        assert_eq!(tag_and_suite(&answer), ("3", "AES_CM_128_HMAC_SHA1_80"));
        assert_eq!(answer.split(' ').count(), 3, "the answer repeats no parameter: {answer}");
    }
}

#[test]
fn line_that_asks_for_what_is_not_implemented_is_passed_over() {
    let weak = format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A} UNENCRYPTED_SRTCP");
    let good = format!("2 AES_CM_128_HMAC_SHA1_32 {KEY_B}");
    let ([phone, _], answer) = call(&[&weak, &good]);
    assert_eq!(tag_and_suite(&answer), ("2", "AES_CM_128_HMAC_SHA1_32"));
    assert_eq!(phone.suite(), Some(Suite::AesCm128HmacSha1_32));
}

#[test]
fn offer_with_only_such_lines_is_refused() {
    for params in [
        "UNENCRYPTED_SRTP",
        "UNENCRYPTED_SRTCP",
        "UNAUTHENTICATED_SRTP",
        "KDR=1",
        "FEC_KEY=inline:x",
        "NEW=1",
    ] {
        refused(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A} {params}")]);
    }
    for suite in ["NULL_HMAC_SHA1_80", "AES_CM_128_NULL_AUTH", "F8_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_32"] {
        refused(&[&format!("1 {suite} {KEY_A}")]);
    }
    refused(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|1:0")]);
    refused(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|1:129")]);
    refused(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|2^49")]);
    refused(&[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_A}|0|1:4")]);
    refused(&["1 AES_CM_128_HMAC_SHA1_80 inline:AAAA"]);
}
