//! What a masked SIP message still shows, and what not.

use pinhole_trace::sip::masked;

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn shown(message: &str) -> String {
    masked(message.as_bytes())
}

#[test]
fn message_without_secrets_stays_as_it_is() {
    let message = "MESSAGE sip:1002@lab.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1\r\n\
        From: \"A\" <sip:1001@lab.example>;tag=1\r\nSubject: folded\r\n  here\r\nContent-Disposition: inline\r\n\
        WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello, the password is 1234";
    assert_eq!(shown(message), message);
}

#[test]
fn crypto_line_keeps_tag_suite_lifetime_and_mki() {
    let line =
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4 KDR=2 UNENCRYPTED_SRTCP\r\n");
    assert_eq!(
        shown(&line),
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:(masked)|2^20|1:4 KDR=2 UNENCRYPTED_SRTCP\r\n"
    );
}

#[test]
fn keys_are_masked_wherever_and_however_they_are_written() {
    for message in [
        format!("A = CRYPTO : 2 X INLINE : {KEY}"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80\r\n inline:{KEY}"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:\r\n\t{KEY}\r\n"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:\r\n \r\n {KEY}\r\n"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 other:{KEY}"),
        format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4;inline:{KEY}|2:4"),
        format!("a=acap:3 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        format!("a=key-mgmt:mikey {KEY}"),
        format!("a=acap:2 key-mgmt:mikey {KEY}"),
        format!("k=base64:{KEY}"),
        format!("K = clear:{KEY}"),
        format!("a=ice-pwd:{KEY}"),
        format!("Refer-To: <sip:a@b?body=a%3Dcrypto%3A1%20X%20inline%3a{KEY}>"),
        format!("Refer-To: <sip:a@b?body=%2561=crypto%253A1%20X%20%2569nline%253A{KEY}>"),
        format!("Refer-To: <sip:a@b?body=v%3D0%0D%0Ak%3Dclear:{KEY}>"),
        format!("Refer-To: <sip:a@b?Authorization=Basic%20{KEY}>"),
        format!("INVITE sip:a@b?authorizatio%6E=Basic%20{KEY} SIP/2.0\r\n"),
        format!("Content-Transfer-Encoding: base64\r\n\r\n{KEY}"),
        format!("Content-Encoding: gzip\r\n\r\n{KEY}"),
        format!("e: deflate\r\n\r\n{KEY}"),
        format!("\r\ni\0n\0l\0i\0n\0e\0:\0{KEY}"),
    ] {
        let shown = shown(&message);
        assert!(
            !KEY.as_bytes().windows(6).any(|part| shown.contains(std::str::from_utf8(part).unwrap())),
            "{shown}"
        );
    }
}

#[test]
fn credentials_show_who_but_not_the_proof() {
    let field = "Authorization: Digest username=\"1001\", realm=\"lab\", nonce=\"n\", uri=\"sip:lab\", response=\"0123456789abcdef\", \
        qop=auth, nc=00000001, cnonce=\"c\"\r\n";
    assert_eq!(
        shown(field),
        "Authorization: Digest username=\"1001\", realm=\"lab\", nonce=\"n\", uri=\"sip:lab\", response=(masked), \
        qop=auth, nc=00000001, cnonce=\"c\"\r\n"
    );
    for field in [
        "Proxy-Authorization: Basic 0123456789abcdef",
        "AUTHORIZATION : 0123456789abcdef",
        "Authorization: Digest\r\n username=\"x\",\r\n response=\"0123456789abcdef\"",
        "Authorization: Digest username=\"x, response=\"0123456789abcdef\"",
        "Authorization: Digest username=\"x\\\", response=\\\"0123456789abcdef\"",
        "Authorization: Digest username=x response=0123456789abcdef",
        "Authorization: Unknown token=0123456789abcdef",
        "Authentication-Info: nextnonce=\"n\", rspauth=\"0123456789abcdef\"",
    ] {
        assert!(!shown(field).contains("456789"), "{}", shown(field));
    }
}

#[test]
fn passwords_of_uris_are_masked() {
    assert_eq!(
        shown("To: <sips:1001:secret@lab.example:5061>, \"x\" <SIP:1002@lab.example>\r\n"),
        "To: <sips:1001:(masked)@lab.example:5061>, \"x\" <SIP:1002@lab.example>\r\n"
    );
    assert_eq!(
        shown("Authorization: Digest username=\"1001\", uri=\"sip:1001:secret@lab\", response=\"0123\"\r\n"),
        "Authorization: Digest username=\"1001\", uri=\"sip:1001:(masked)@lab\", response=(masked)\r\n"
    );
}

#[test]
fn what_follows_an_encoded_body_is_not_shown_but_what_comes_before_is() {
    let shown = shown("SIP/2.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc");
    assert_eq!(
        shown,
        "SIP/2.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n(3 bytes in an encoding are not shown)"
    );
}
