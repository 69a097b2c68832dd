//! Every engine, both directions, against libsrtp2, an implementation that shares nothing with ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Drop, Party, key_and_salt, rtcp_packet, rtp_packet, rtp_packet_with};
use libsrtp2::{Error, Policy, ROOM, Role, Session};
use pinhole_flow::{MasterKey, Suite};
use pinhole_srtp::kernels::{E_BIT, Engine, Job, Keys, Kind, Outcome, SessionKeys, every_variant};
use pinhole_srtp::session_keys;

const MKIS: [&[u8]; 3] = [&[], &[0, 0, 0, 1], &[0x5a; 128]];

/// All but AES-192, for which libsrtp2 2.5 derives other session keys than RFC 6188 says: see
/// [`aes_192_interoperates_under_the_same_session_keys`].
const SUITES: [Suite; 6] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

fn theirs(role: Role, suite: Suite, mki: &[u8]) -> Session {
    let key_and_salt = key_and_salt(suite, 1);
    let policy = Policy { suite: suite.name(), key_and_salt: &key_and_salt, mki, encrypt_rtcp: true };
    Session::new(role, &policy).unwrap()
}

/// Runs one of libsrtp2's functions on a copy of `packet`.
fn call(packet: &[u8], run: impl FnOnce(&mut [u8], usize) -> Result<usize, Error>) -> Result<Vec<u8>, Error> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + ROOM, 0);
    let len = run(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

/// Sends `plain` from us to libsrtp2 and from libsrtp2 to us; the bytes on the wire are equal too.
struct Pair {
    suite: Suite,
    us: Party,
    to_them: Session,
    them: Session,
    to_us: Party,
}

impl Pair {
    /// `engine` is the place of one of the [`every_variant`]s.
    fn new(engine: usize, suite: Suite, mki: &[u8]) -> Self {
        Self {
            suite,
            us: Party::on(variant(engine), suite, 1, mki),
            to_them: theirs(Role::Receiver, suite, mki),
            them: theirs(Role::Sender, suite, mki),
            to_us: Party::on(variant(engine), suite, 1, mki),
        }
    }

    fn rtp(&mut self, plain: &[u8]) {
        let ours = self.us.protect(plain).unwrap();
        let opened = call(&ours, |packet, len| self.to_them.unprotect(packet, len));
        assert_eq!(opened.unwrap(), plain, "{} ours to libsrtp2", self.suite.name());
        let theirs = call(plain, |packet, len| self.them.protect(packet, len)).unwrap();
        assert_eq!(self.to_us.unprotect(&theirs).unwrap(), plain, "{} libsrtp2 to us", self.suite.name());
        assert_eq!(ours, theirs, "{} bytes on the wire", self.suite.name());
    }

    fn rtcp(&mut self, plain: &[u8]) {
        let ours = self.us.protect_rtcp(plain).unwrap();
        if finds_the_mki_of_srtcp(self.suite, self.us.direction.keys().mki()) {
            let opened = call(&ours, |packet, len| self.to_them.unprotect_rtcp(packet, len));
            assert_eq!(opened.unwrap(), plain, "{} ours to libsrtp2", self.suite.name());
        }
        let theirs = call(plain, |packet, len| self.them.protect_rtcp(packet, len)).unwrap();
        assert_eq!(
            self.to_us.unprotect_rtcp(&theirs).unwrap(),
            plain,
            "{} libsrtp2 to us",
            self.suite.name()
        );

        // libsrtp2 starts the SRTCP index at 1, RFC 3711 section 3.4 and we at 0: compare at theirs.
        let word = self.us.direction.keys().srtcp_word(&theirs).unwrap();
        let ssrc = u32::from_be_bytes(plain[4..8].try_into().unwrap());
        let same = self.us.send(Kind::Rtcp, plain, 8, ssrc, u64::from(word)).unwrap();
        assert_eq!(same, theirs, "{} bytes on the wire", self.suite.name());
    }
}

/// libsrtp2 2.5 looks for an SRTCP packet's MKI in front of a tag of RTP's length, so it
/// refuses even its own packets of the `_32` suites (cisco/libsrtp pull request 733).
fn finds_the_mki_of_srtcp(suite: Suite, mki: &[u8]) -> bool {
    mki.is_empty() || suite.rtp_tag_len() == suite.rtcp_tag_len()
}

fn variant(at: usize) -> Box<dyn Engine> {
    every_variant().swap_remove(at)
}

fn every_engine_suite_and_mki(mut test: impl FnMut(Pair)) {
    for engine in 0..every_variant().len() {
        for suite in SUITES {
            for mki in MKIS {
                test(Pair::new(engine, suite, mki));
            }
        }
    }
}

#[test]
fn rtp_of_every_payload_length_interoperates() {
    for engine in 0..every_variant().len() {
        for suite in SUITES {
            let mut pair = Pair::new(engine, suite, &[]);
            for len in (0u16..=1500).chain((1501..=9000).step_by(250)).chain([9000]) {
                let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
                pair.rtp(&rtp_packet(0xcafe_babe, len, &payload));
            }
        }
    }
}

#[test]
fn rtp_with_csrcs_and_header_extensions_interoperates() {
    every_engine_suite_and_mki(|mut pair| {
        let mut sequence = 100;
        for csrcs in [0, 1, 4, 15] {
            for extension in [None, Some(0), Some(1), Some(7)] {
                for payload in [&[][..], &[1; 1], &[2; 160]] {
                    sequence += 1;
                    pair.rtp(&rtp_packet_with(7, sequence, csrcs, extension, payload));
                }
            }
        }
    });
}

#[test]
fn rtcp_of_every_length_interoperates() {
    every_engine_suite_and_mki(|mut pair| {
        pair.rtcp(&[0x80, 201, 0, 1, 1, 2, 3, 4]);
        pair.rtcp(&rtcp_packet(5, None));
        for words in [0, 1, 3, 4, 5, 30, 300] {
            pair.rtcp(&rtcp_packet(5, Some(words)));
        }
    });
}

#[test]
fn several_ssrcs_interleaved_interoperate() {
    every_engine_suite_and_mki(|mut pair| {
        for step in 0..20 {
            for ssrc in [1, 2, 0, u32::MAX] {
                pair.rtp(&rtp_packet(ssrc, 1000 * (ssrc as u16 & 7) + step, &[step as u8; 33]));
                pair.rtcp(&rtcp_packet(ssrc, Some(step)));
            }
        }
    });
}

#[test]
fn a_stream_interoperates_across_three_rollovers() {
    every_engine_suite_and_mki(|mut pair| {
        for step in 0u32..220 {
            pair.rtp(&rtp_packet(9, (65_000 + step * 997) as u16, &[step as u8; 20]));
        }
        assert_eq!(pair.us.streams[0].index >> 16, 4);
        assert_eq!(pair.to_us.streams[0].index >> 16, 4);
    });
}

#[test]
fn a_high_rollover_counter_interoperates() {
    every_engine_suite_and_mki(|mut pair| {
        pair.rtp(&rtp_packet(9, 10, &[1; 20]));
        for party in [&mut pair.us, &mut pair.to_us] {
            party.streams[0].index |= 0xfedc_ba98 << 16;
        }
        for session in [&mut pair.to_them, &mut pair.them] {
            session.set_roc(9, 0xfedc_ba98).unwrap();
        }
        pair.rtp(&rtp_packet(9, 11, &[2; 20]));
        pair.rtp(&rtp_packet(9, 12, &[3; 160]));
    });
}

#[test]
fn a_forged_packet_is_refused_by_both() {
    every_engine_suite_and_mki(|mut pair| {
        let mut ours = pair.us.protect(&rtp_packet(9, 10, &[1; 20])).unwrap();
        ours[20] ^= 1;
        let refused = call(&ours, |packet, len| pair.to_them.unprotect(packet, len));
        assert_eq!(refused, Err(Error::AuthFailed));
        assert_eq!(pair.to_us.unprotect(&ours), Err(Drop::Crypto(Outcome::AuthFailed)));
    });
}

#[test]
fn a_packet_under_another_mki_is_refused_by_both() {
    for suite in SUITES {
        let mut pair = Pair::new(0, suite, &[1, 2]);
        let mut stranger = Party::new(suite, 1, &[1, 3]);
        let packet = stranger.protect(&rtp_packet(9, 10, &[1; 20])).unwrap();
        let refused = call(&packet, |packet, len| pair.to_them.unprotect(packet, len));
        assert_eq!(refused, Err(Error::BadMki));
        assert_eq!(pair.to_us.unprotect(&packet), Err(Drop::Crypto(Outcome::MkiMismatch)));
    }
}

#[test]
fn unencrypted_srtcp_interoperates() {
    for (engine, suite) in (0..every_variant().len()).flat_map(|engine| SUITES.map(|suite| (engine, suite))) {
        for mki in MKIS {
            let key_and_salt = key_and_salt(suite, 1);
            let policy =
                Policy { suite: suite.name(), key_and_salt: &key_and_salt, mki, encrypt_rtcp: false };
            let plain = rtcp_packet(5, Some(3));

            let mut sender = Session::new(Role::Sender, &policy).unwrap();
            let theirs = call(&plain, |packet, len| sender.protect_rtcp(packet, len)).unwrap();
            assert_eq!(theirs[..plain.len()], plain, "E bit clear: the body is in clear");
            let mut to_us = Party::on(variant(engine), suite, 1, mki);
            assert_eq!(to_us.unprotect_rtcp(&theirs).unwrap(), plain);
            assert_eq!(to_us.streams[0].rtcp_index, 1);
            let mut forged = theirs.clone();
            forged[9] ^= 1;
            assert_eq!(to_us.unprotect_rtcp(&forged), Err(Drop::Crypto(Outcome::AuthFailed)));

            let ours = Party::on(variant(engine), suite, 1, mki).send(Kind::Rtcp, &plain, 8, 5, 1).unwrap();
            assert_eq!(ours, theirs);
            if finds_the_mki_of_srtcp(suite, mki) {
                let mut receiver = Session::new(Role::Receiver, &policy).unwrap();
                assert_eq!(call(&ours, |packet, len| receiver.unprotect_rtcp(packet, len)).unwrap(), plain);
            }
        }
    }
}

#[test]
fn the_e_bit_is_set_on_what_we_send() {
    for suite in SUITES {
        let mut us = Party::new(suite, 1, &[]);
        for expected in 0..3 {
            let packet = us.protect_rtcp(&rtcp_packet(5, None)).unwrap();
            assert_eq!(us.direction.keys().srtcp_word(&packet), Some(E_BIT | expected));
        }
    }
}

/// libsrtp2 before 2.8 derives the session keys of AES-192 with AES-256, from master key and salt padded
/// with zeros to the length of AES-256's (cisco/libsrtp issue 763). What is done with session keys can be
/// compared all the same; that ours are right, the vectors of RFC 6188 section 7.4 show.
fn as_libsrtp2_derives(key_and_salt: &[u8], kind: Kind) -> SessionKeys {
    let mut padded = key_and_salt.to_vec();
    padded.resize(46, 0);
    let suite = Suite::AesCm256HmacSha1_80;
    session_keys(suite, &MasterKey::new(suite, &padded).unwrap(), kind)
}

fn job<'a>(keys: &'a Keys, kind: Kind, packet: &'a mut [u8], len: usize, index: u64) -> Job<'a> {
    let ssrc_at = if kind == Kind::Rtp { 8 } else { 4 };
    let ssrc = u32::from_be_bytes(packet[ssrc_at..ssrc_at + 4].try_into().unwrap());
    Job { keys, kind, packet, len, payload_at: 12, ssrc, index, outcome: Outcome::Pending }
}

#[test]
fn aes_192_interoperates_under_the_same_session_keys() {
    for (engine, suite) in every_variant().iter().flat_map(|engine| {
        [Suite::AesCm192HmacSha1_80, Suite::AesCm192HmacSha1_32].map(|suite| (engine, suite))
    }) {
        for mki in MKIS {
            let key_and_salt = key_and_salt(suite, 1);
            let [rtp, rtcp] = [Kind::Rtp, Kind::Rtcp].map(|kind| as_libsrtp2_derives(&key_and_salt, kind));
            let keys = engine.expand(suite, &rtp, &rtcp, mki).unwrap();
            let mut sender = theirs(Role::Sender, suite, mki);
            let compare = |kind, plain: &[u8], index, theirs: Vec<u8>| {
                let mut ours = plain.to_vec();
                ours.resize(plain.len() + keys.overhead(kind), 0);
                let mut jobs = [job(&keys, kind, &mut ours, plain.len(), index)];
                engine.protect(&mut jobs);
                assert_eq!(jobs[0].outcome, Outcome::Done);
                assert_eq!(ours, theirs, "{} bytes on the wire", suite.name());
                let len = ours.len();
                let mut jobs = [job(&keys, kind, &mut ours, len, index)];
                engine.unprotect(&mut jobs);
                assert_eq!((jobs[0].outcome, jobs[0].len), (Outcome::Done, plain.len()));
                assert_eq!(ours[..plain.len()], *plain);
            };
            for len in (0..=300u16).chain([1500, 9000]) {
                let plain = rtp_packet(7, len, &vec![len as u8; usize::from(len)]);
                let theirs = call(&plain, |packet, len| sender.protect(packet, len)).unwrap();
                compare(Kind::Rtp, &plain, len.into(), theirs);
            }
            // libsrtp2 starts the SRTCP index at 1.
            for index in 1..30u16 {
                let plain = rtcp_packet(7, Some(index));
                let theirs = call(&plain, |packet, len| sender.protect_rtcp(packet, len)).unwrap();
                compare(Kind::Rtcp, &plain, u64::from(E_BIT | u32::from(index)), theirs);
            }
        }
    }
}
