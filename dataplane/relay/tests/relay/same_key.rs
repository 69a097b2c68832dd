//! A key that is the same on both sides: packets leave as they came.

use pinhole_flow::{Command, DropCause, LegFlags, Session, Suite};

use crate::support::bench::SECOND;
use crate::support::peer::master;
use crate::support::*;

/// The phone, and the far end inside.
struct Ends {
    phone: Peer,
    far: Peer,
}

/// A session whose legs have the same two keys.
fn orders(suite: Suite, seed: u8) -> (Session, Ends) {
    let (outside, phone_end) = secure(leg(OUTSIDE, 20_010, phone()), suite, seed);
    let mut inside_leg = leg(INSIDE, 30_010, inside());
    (inside_leg.inbound, inside_leg.outbound) = (outside.outbound, outside.inbound);
    let far = Peer::new(&inside_leg.inbound, &inside_leg.outbound);
    (session(outside, inside_leg), Ends { phone: phone_end, far })
}

fn open(suite: Suite) -> (Bench, Ends) {
    let mut bench = Bench::new();
    let (orders, ends) = orders(suite, 10);
    bench.open(1, orders);
    (bench, ends)
}

fn packet(from_phone: bool, sealed: &[u8]) -> Packet {
    let rtcp = sealed[1] >= 192;
    let (source, ours) = if from_phone { (phone(), ours_outside(1)) } else { (inside(), ours_inside(1)) };
    if rtcp { Packet::new(next(source), next(ours), sealed) } else { Packet::new(source, ours, sealed) }
}

/// What leaves on the other side.
fn relayed(bench: &mut Bench, from_phone: bool, sealed: &[u8]) -> Vec<u8> {
    let out = bench.send(&packet(from_phone, sealed));
    let (port, sent) = out.one();
    assert_eq!(*port, if from_phone { INSIDE } else { OUTSIDE });
    sent.payload.clone()
}

#[test]
fn packets_leave_as_they_came_in_every_suite() {
    for suite in Suite::ALL {
        let (mut bench, Ends { phone, far }) = open(suite);
        for (from_phone, mut end) in [(true, phone), (false, far)] {
            // The first reports are lost, so that our own count would be another; and sequence numbers run over.
            (0..5).for_each(|_| drop(end.protect(&rtcp(7))));
            for n in 0..12_u16 {
                let sealed = end.protect(&rtp(7, 65_530_u16.wrapping_add(n)));
                assert_eq!(relayed(&mut bench, from_phone, &sealed), sealed, "{suite:?} {n}");
                let report = if n % 3 == 0 { end.authenticate(&rtcp(7)) } else { end.protect(&rtcp(7)) };
                assert_eq!(relayed(&mut bench, from_phone, &report), report, "{suite:?} {n}");
            }
        }
    }
}

#[test]
fn packets_that_are_late_lost_or_again_keep_their_indices() {
    let (mut bench, Ends { phone: mut end, .. }) = open(Suite::AesCm128HmacSha1_32);
    let sealed: Vec<Vec<u8>> = (0..40).map(|n| end.protect(&rtp(7, 65_520_u16.wrapping_add(n)))).collect();
    for n in [0, 3, 1, 20, 18, 19, 39, 38] {
        assert_eq!(relayed(&mut bench, true, &sealed[n]), sealed[n], "{n}");
        bench.refuses(&packet(true, &sealed[n]), DropCause::Replayed, Some((1, 0)));
    }
}

#[test]
fn what_is_forged_or_clear_is_dropped_and_the_source_learned_from_what_is_authentic() {
    let (mut bench, Ends { phone: mut end, .. }) = open(Suite::AesCm128HmacSha1_32);
    let mut forged = end.protect(&rtp(7, 1));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    bench.refuses(&packet(true, &forged), DropCause::AuthFailed, Some((1, 0)));
    let elsewhere = at("198.51.100.99:4711");
    let sealed = end.protect(&rtp(7, 2));
    assert_eq!(bench.send(&Packet::new(elsewhere, ours_outside(1), &sealed)).one().1.payload, sealed);
    assert_eq!(bench.slots[1].live[0].remote_rtp, 4711);
}

#[test]
fn sender_that_begins_anew_after_an_offer_is_relayed_as_it_is() {
    let (mut bench, Ends { far: mut end, .. }) = open(Suite::AesCm128HmacSha1_32);
    for n in 0..200 {
        let sealed = end.protect(&rtp(7, 5_000 + n));
        assert_eq!(relayed(&mut bench, false, &sealed), sealed);
    }
    let again = bench.slots[1].session;
    bench.update(1, again);
    end.restart();
    for n in 0..200 {
        let sealed = end.protect(&rtp(7, 100 + n));
        assert_eq!(relayed(&mut bench, false, &sealed), sealed, "no number is moved");
    }
}

#[test]
fn packets_under_the_key_before_are_not_sent_under_the_new_one() {
    let (mut bench, Ends { phone: mut old, .. }) = open(Suite::AesCm128HmacSha1_32);
    let sealed = old.protect(&rtp(7, 1));
    assert_eq!(relayed(&mut bench, true, &sealed), sealed);
    let in_flight = old.protect(&rtp(7, 2));
    let (other, Ends { phone: mut new, .. }) = orders(Suite::AesCm128HmacSha1_32, 50);
    bench.update(1, other);
    bench.refuses(&packet(true, &in_flight), DropCause::TooOld, Some((1, 0)));
    let sealed = new.protect(&rtp(7, 2));
    assert_eq!(relayed(&mut bench, true, &sealed), sealed);
}

#[test]
fn way_whose_keys_differ_has_indices_of_ours() {
    let (mut same, Ends { mut phone, mut far }) = orders(Suite::AesCm128HmacSha1_32, 10);
    same.legs[0].outbound = master(Suite::AesCm128HmacSha1_32, 77);
    same.legs[0].flags |= LegFlags::FRESH_KEYS;
    let mut bench = Bench::new();
    bench.open(1, same);
    let mut hearer = Peer::new(&same.legs[0].inbound, &same.legs[0].outbound);
    let sealed = phone.protect(&rtp(7, 1));
    assert_eq!(relayed(&mut bench, true, &sealed), sealed);
    let sealed = far.protect(&rtp(8, 1));
    let changed = relayed(&mut bench, false, &sealed);
    assert_ne!(changed, sealed);
    assert_eq!(hearer.unprotect(&changed), Some(rtp(8, 1)));
    // From then on with the same key, and back to another.
    let mut relaying = same;
    relaying.legs[0].outbound = relaying.legs[1].inbound;
    bench.change(Command::update(1, 1, 0, relaying));
    let sealed = far.protect(&rtp(8, 2));
    assert_eq!(relayed(&mut bench, false, &sealed), sealed);
    let mut other = same;
    other.legs[0].outbound = master(Suite::AesCm128HmacSha1_32, 78);
    bench.change(Command::update(1, 1, 0, other));
    bench.now += SECOND;
    let changed = relayed(&mut bench, false, &far.protect(&rtp(8, 3)));
    let mut hearer = Peer::new(&other.legs[0].inbound, &other.legs[0].outbound);
    assert_eq!(hearer.unprotect(&changed), Some(rtp(8, 3)));
}
