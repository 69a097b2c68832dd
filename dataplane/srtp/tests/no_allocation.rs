//! Nothing is allocated between a packet's arrival and its departure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod counting;

use common::{key_and_salt, rtcp_packet, rtp_packet};
use counting::account;
use pinhole_flow::slot::STREAMS;
use pinhole_flow::{MasterKey, Mki, StreamState, Suite};
use pinhole_srtp::kernels::{Kind, Outcome, every_variant};
use pinhole_srtp::{Direction, Guess, Windows, outbound, rtcp, rtp};

#[test]
fn a_packet_is_protected_and_unprotected_without_allocation() {
    let engines = every_variant();
    let all = engines.iter().flat_map(|engine| Suite::ALL.map(|suite| (engine, suite)));
    for (engine, suite) in all {
        let master = MasterKey::new(suite, &key_and_salt(suite, 1)).unwrap();
        let mki = Mki::new(&[1, 2, 3, 4]).unwrap();
        let direction = Direction::with_mki(&master, &mki, &**engine).unwrap().unwrap();
        let mut windows = Windows::new(1024);
        let mut outgoing = [StreamState::default(); STREAMS];
        let mut incoming = [StreamState::default(); STREAMS];
        let mut rtp_packet = rtp_packet(7, 1, &[0; 160]);
        let mut rtcp_packet = rtcp_packet(7, None);
        let (rtp_len, rtcp_len) = (rtp_packet.len(), rtcp_packet.len());
        rtp_packet.resize(rtp_len + direction.overhead(Kind::Rtp), 0);
        rtcp_packet.resize(rtcp_len + direction.overhead(Kind::Rtcp), 0);

        let before = account();
        assert_ne!(before.calls, 0, "the counter counts");
        let header = rtp::parse(&rtp_packet).unwrap();
        let rtcp_header = rtcp::parse(&rtcp_packet).unwrap();
        let index = outbound::assign_rtp(&mut outgoing, 7, header.sequence).unwrap();
        let word = outbound::assign_rtcp(&mut outgoing, 7).unwrap();
        let mut jobs = [
            direction.job(Kind::Rtp, &mut rtp_packet, rtp_len, header.payload_at, 7, index),
            direction.job(Kind::Rtcp, &mut rtcp_packet, rtcp_len, 8, 7, word),
        ];
        engine.protect(&mut jobs);
        assert!(jobs.iter().all(|job| job.outcome == Outcome::Done));

        let guess = Guess::rtp(&incoming, &header);
        let rtcp_guess = Guess::rtcp(&direction, &rtcp_packet, &rtcp_header).unwrap();
        let (rtp_len, rtcp_len) = (rtp_packet.len(), rtcp_packet.len());
        let mut jobs = [
            direction.job(Kind::Rtp, &mut rtp_packet, rtp_len, header.payload_at, 7, guess.index),
            direction.job(Kind::Rtcp, &mut rtcp_packet, rtcp_len, 8, 7, rtcp_guess.index),
        ];
        engine.unprotect(&mut jobs);
        assert!(jobs.iter().all(|job| job.outcome == Outcome::Done));
        guess.commit(&mut incoming, &mut windows).unwrap();
        rtcp_guess.commit(&mut incoming, &mut windows).unwrap();
        assert_eq!(account(), before, "{}, {}", engine.name(), suite.name());
    }
}
