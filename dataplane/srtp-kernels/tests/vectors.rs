//! The published vectors, through the public interface of an engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Packet, keys, one};
use pinhole_flow::Suite;
use pinhole_srtp_kernels::{E_BIT, Job, Kind, Outcome, every_variant};

/// The bytes of a string of hexadecimal digits and white space.
fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The keystream of an all-zero packet with SSRC 0 and index 0 is its payload.
fn keystream_is(suite: Suite, key: &str, first: &str, last: &str) {
    for engine in every_variant() {
        let keys = keys(&*engine, suite, &hex(key), &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), 0, &[]);
        let mut packet = Packet::new(&vec![0; 12 + 0xff02 * 16]);
        let outcome = one(|jobs| engine.protect(jobs), &keys, Kind::Rtp, &mut packet, 12, 0);
        assert_eq!(outcome, Outcome::Done);
        let keystream = &packet.bytes()[12..][..0xff02 * 16];
        assert_eq!(keystream[..48], hex(first), "{}", engine.name());
        assert_eq!(keystream[0xfeff * 16..], hex(last), "{}", engine.name());
    }
}

#[test]
fn rfc_3711_b_2_aes_128_counter_mode_keystream() {
    keystream_is(
        Suite::AesCm128HmacSha1_80,
        "2B7E151628AED2A6ABF7158809CF4F3C",
        "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0",
        "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44",
    );
}

#[test]
fn rfc_6188_7_1_aes_256_counter_mode_keystream() {
    keystream_is(
        Suite::AesCm256HmacSha1_80,
        "57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98",
        "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31",
        "cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d 6eb246913062a16891433e97dd01a57f",
    );
}

#[test]
fn rfc_6188_7_3_aes_192_counter_mode_keystream() {
    keystream_is(
        Suite::AesCm192HmacSha1_80,
        "eab234764e517b2d3d160d587d8c8621 9740f65f99b6bcf7",
        "35096cba4610028dc1b57503804ce37c 5de986291dcce161d5165ec4568f5c9a 474a40c77894bc17180202272a4c264d",
        "d108d1a31a00bad6367ec23eb044b415 c8f57129fdeb970b59f917b257662d4c a5dab625811034e8cebdfeb6dc158dd3",
    );
}

#[test]
fn rfc_2202_hmac_sha1_truncated_to_80_and_32_bits() {
    // Test case 1: key 0x0b times 20, data "Hi There". SRTP authenticates the packet and the ROC:
    // here "Hi T" and "here".
    let expected = hex("b617318655057264e28bc0b6fb378c8ef146be00");
    let roc = u64::from(u32::from_be_bytes(*b"here"));
    for (suite, tag_len) in [(Suite::AesCm128HmacSha1_80, 10), (Suite::AesCm256HmacSha1_32, 4)] {
        for engine in every_variant() {
            let keys = keys(&*engine, suite, &[1; 16], &[2; 14], 0x0b, &[]);
            let mut packet = Packet::new(b"Hi T");
            let mut jobs = [Job {
                keys: &keys,
                kind: Kind::Rtp,
                len: 4,
                packet: &mut packet.buffer,
                payload_at: 4,
                ssrc: 0,
                index: roc << 16,
                outcome: Outcome::Pending,
            }];
            engine.protect(&mut jobs);
            assert_eq!(jobs[0].len, 4 + tag_len);
            assert_eq!(jobs[0].packet[4..4 + tag_len], expected[..tag_len]);
        }
    }
}

const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
                   69736120 696e2070 61727465 73207472 6573";
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                    deadbeef deadbeef deadbeef deadbeef deadbeef";
const SALT: &str = "51756964 2070726f 2071756f";
const KEY_128: &str = "00010203 04050607 08090a0b 0c0d0e0f";
const KEY_256: &str = "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f";

/// Protects `plain` and compares, then unprotects that and compares.
fn both_ways(
    suite: Suite,
    key: &str,
    kind: Kind,
    payload_at: usize,
    index: u64,
    plain: &str,
    protected: &str,
) {
    for engine in every_variant() {
        let keys = keys(&*engine, suite, &hex(key), &hex(SALT), 0, &[]);
        let mut packet = Packet::new(&hex(plain));
        let outcome = one(|jobs| engine.protect(jobs), &keys, kind, &mut packet, payload_at, index);
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(packet.bytes(), hex(protected), "{}", engine.name());
        // The SRTCP index is read from the packet, so it need not be given.
        let index = if kind == Kind::Rtp { index } else { 0 };
        let outcome = one(|jobs| engine.unprotect(jobs), &keys, kind, &mut packet, payload_at, index);
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(packet.bytes(), hex(plain), "{}", engine.name());
    }
}

#[test]
fn rfc_7714_16_1_1_and_16_1_2_srtp_aes_128_gcm() {
    let protected = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                     0d294e6f 42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce";
    both_ways(Suite::AeadAes128Gcm, KEY_128, Kind::Rtp, 12, 0xf17b, RTP, protected);
}

#[test]
fn rfc_7714_16_1_3_and_16_1_4_srtp_aes_128_gcm_tag_over_an_empty_payload() {
    let protected = format!("{RTP} 22493f82 d2bce397 e9d79e3b 19aa4216");
    both_ways(Suite::AeadAes128Gcm, KEY_128, Kind::Rtp, 50, 0xf17b, RTP, &protected);
}

#[test]
fn rfc_7714_16_2_1_and_16_2_2_srtp_aes_256_gcm() {
    let protected = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
                     9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b 7aa3db36 dfffd6b0 f9bb7878 d7a76c13";
    both_ways(Suite::AeadAes256Gcm, KEY_256, Kind::Rtp, 12, 0xf17b, RTP, protected);
}

#[test]
fn rfc_7714_16_2_3_and_16_2_4_srtp_aes_256_gcm_tag_over_an_empty_payload() {
    let protected = format!("{RTP} a866d591 0f887463 067ceefe c45215d4");
    both_ways(Suite::AeadAes256Gcm, KEY_256, Kind::Rtp, 50, 0xf17b, RTP, &protected);
}

#[test]
fn rfc_7714_17_1_srtcp_aes_128_gcm_encrypted() {
    let protected = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
                     c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
                     45d9eade 800005d4";
    both_ways(Suite::AeadAes128Gcm, KEY_128, Kind::Rtcp, 8, u64::from(E_BIT | 0x5d4), RTCP, protected);
}

#[test]
fn rfc_7714_17_2_srtcp_aes_256_gcm_encrypted() {
    let protected = "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
                     a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
                     b26ac3be 800005d4";
    both_ways(Suite::AeadAes256Gcm, KEY_256, Kind::Rtcp, 8, u64::from(E_BIT | 0x5d4), RTCP, protected);
}

#[test]
fn rfc_7714_17_3_srtcp_aes_128_gcm_authenticated_only() {
    let protected = format!("{RTCP} 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4");
    both_ways(Suite::AeadAes128Gcm, KEY_128, Kind::Rtcp, 8, 0x5d4, RTCP, &protected);
}

#[test]
fn rfc_7714_17_4_srtcp_aes_256_gcm_authenticated_only() {
    let protected = format!("{RTCP} 91db4afb feee5a97 8fab4393 ed2615fe 000005d4");
    both_ways(Suite::AeadAes256Gcm, KEY_256, Kind::Rtcp, 8, 0x5d4, RTCP, &protected);
}
