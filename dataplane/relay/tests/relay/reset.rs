//! A sender sets its sequence numbers back, but keeps SSRC and key: after a re-offer only.

use pinhole_flow::{Command, DropCause, Suite};

use crate::support::bench::SECOND;
use crate::support::peer::master;
use crate::support::*;

/// How long a phone is silent before another address may be its own although the numbers are set back.
const SILENCE: u64 = 5 * SECOND;
const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn from_phone(peer: &mut Peer, sequence: u16) -> Packet {
    Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, sequence)))
}

/// A new endpoint with the same keys, whose ROC is 0 again.
fn restarted(bench: &Bench) -> Peer {
    let [outside, _] = bench.slots[1].session.legs;
    Peer::new(&outside.inbound, &outside.outbound)
}

/// A call whose phone has sent up to this sequence number at ROC 3, and its last 200 packets.
fn call_at_roc_3(bench: &mut Bench) -> (Peer, Vec<Packet>) {
    let mut peer = bench.call(1, SUITE);
    for sequence in [1, 30_000, 60_000, 24_464, 54_464, 18_928, 48_928, 65_000, 4_800] {
        bench.send(&from_phone(&mut peer, sequence));
    }
    let captured: Vec<_> = (4_801..=5_000).map(|n| from_phone(&mut peer, n)).collect();
    for packet in &captured {
        assert_eq!(bench.send(packet).sent.len(), 1);
    }
    assert_eq!(bench.slots[1].live[0].inbound[0].index, 3 << 16 | 5_000);
    (peer, captured)
}

fn update(bench: &mut Bench) {
    let orders = bench.slots[1].session;
    bench.update(1, orders);
}

#[test]
fn a_phone_that_sets_its_sequence_numbers_back_is_heard_after_a_re_offer_only() {
    let mut bench = Bench::new();
    call_at_roc_3(&mut bench);
    let mut phone = restarted(&bench);
    bench.refuses(&from_phone(&mut phone, 1), DropCause::AuthFailed, Some((1, 0)));
    update(&mut bench);
    for sequence in 2..200 {
        let out = bench.send(&from_phone(&mut phone, sequence));
        assert_eq!(out.one().1.payload, rtp(7, sequence));
    }
}

#[test]
fn an_update_without_an_offer_lets_neither_side_set_its_numbers_back() {
    let mut bench = Bench::new();
    call_at_roc_3(&mut bench);
    let from_desk = |sequence| Packet::new(inside(), ours_inside(1), &rtp(8, sequence));
    for sequence in 1_000..1_200 {
        bench.send(&from_desk(sequence));
    }
    let mut orders = bench.slots[1].session;
    orders.legs[0].remote_rtp += 2;
    let restarted_at_1 = from_phone(&mut restarted(&bench), 1);
    for anew in [[false; 2], [false, true]] {
        bench.change(Command::update(1, 1, 0, orders).after_offer(anew));
        bench.refuses(&restarted_at_1, DropCause::AuthFailed, Some((1, 0)));
        bench.refuses(&from_desk(1_001), DropCause::TooOld, Some((1, 1)));
    }
    bench.change(Command::update(1, 1, 0, orders).after_offer([true, false]));
    assert_eq!(bench.send(&restarted_at_1).sent.len(), 1);
    assert_eq!(bench.send(&from_desk(1_001)).sent.len(), 1);
}

#[test]
fn a_phone_that_sets_its_sequence_numbers_back_at_the_same_roc_is_too_old_without_a_re_offer() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, SUITE);
    for sequence in 1_000..1_200 {
        bench.send(&from_phone(&mut peer, sequence));
    }
    let mut phone = restarted(&bench);
    bench.refuses(&from_phone(&mut phone, 1), DropCause::TooOld, Some((1, 0)));
    update(&mut bench);
    for sequence in 2..100 {
        assert_eq!(bench.send(&from_phone(&mut phone, sequence)).one().1.payload, rtp(7, sequence));
    }
}

#[test]
fn sequence_numbers_are_set_back_once_per_re_offer() {
    let mut bench = Bench::new();
    call_at_roc_3(&mut bench);
    update(&mut bench);
    let mut phone = restarted(&bench);
    for sequence in [10_000, 10_001] {
        assert_eq!(bench.send(&from_phone(&mut phone, sequence)).sent.len(), 1);
    }
    let mut again = restarted(&bench);
    bench.refuses(&from_phone(&mut again, 5), DropCause::TooOld, Some((1, 0)));
    update(&mut bench);
    assert_eq!(bench.send(&from_phone(&mut again, 6)).sent.len(), 1);
}

#[test]
fn a_captured_packet_after_a_re_offer_cannot_deafen_the_real_sender() {
    // Old packets that were lost on their way to us, and captured there: at ROC 0, 2 and 3.
    let path = [30_000, 60_000, 24_464, 54_464, 18_928, 40_000, 65_000];
    for (steps, sequence) in [(0, 100), (5, 40_000), (7, 4_000)] {
        let mut bench = Bench::new();
        let (mut peer, _) = call_at_roc_3(&mut bench);
        let mut captured = restarted(&bench);
        for step in &path[..steps] {
            captured.protect(&rtp(7, *step));
        }
        let old: Vec<_> = (0..3).map(|n| from_phone(&mut captured, sequence + n)).collect();
        // Twice, so that what is kept beside is put to the test as well.
        for round in 0..2u16 {
            update(&mut bench);
            for packet in &old {
                bench.send(packet);
            }
            for n in 1..=20 {
                let real = 5_000 + 20 * round + n;
                let out = bench.send(&from_phone(&mut peer, real));
                assert_eq!(out.one().1.payload, rtp(7, real), "captured at {sequence}, step {steps}");
            }
        }
    }
}

#[test]
fn a_captured_packet_after_a_re_offer_moves_no_address_while_the_phone_is_heard() {
    let attacker = at("192.0.2.66:6666");
    let mut bench = Bench::new();
    let (mut peer, _) = call_at_roc_3(&mut bench);
    update(&mut bench);
    let mut captured = restarted(&bench);
    let goes_to = |bench: &mut Bench, sequence| {
        bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, sequence))).one().1.destination
    };
    for sequence in 100..103 {
        assert_eq!(bench.send(&from_phone(&mut peer, 5_000 + sequence)).sent.len(), 1);
        let old = Packet { source: attacker, ..from_phone(&mut captured, sequence) };
        assert_eq!(bench.send(&old).sent.len(), 1);
        assert_eq!(goes_to(&mut bench, sequence), phone());
    }
}

#[test]
fn captured_packets_after_a_re_offer_move_no_address_while_the_phone_is_silent() {
    let attacker = at("192.0.2.66:6666");
    let mut bench = Bench::new();
    let (mut peer, packets) = call_at_roc_3(&mut bench);
    bench.now += SILENCE;
    let goes_to = |bench: &mut Bench, sequence| {
        bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, sequence))).one().1.destination
    };
    // One and the same, again and again, and a few.
    for sequence in 1..100 {
        update(&mut bench);
        let again = Packet { source: attacker, ..packets[0].clone() };
        assert_eq!(bench.send(&again).sent.len(), usize::from(sequence == 1));
        bench.now += SILENCE;
        assert_eq!(goes_to(&mut bench, sequence), phone());
    }
    for (sequence, packet) in (100..).zip(&packets[1..15]) {
        assert_eq!(bench.send(&Packet { source: attacker, ..packet.clone() }).sent.len(), 1);
        assert_eq!(goes_to(&mut bench, sequence), phone());
    }
    // Who has captured more gets media until the phone is heard again.
    bench.send(&Packet { source: attacker, ..packets[15].clone() });
    assert_eq!(goes_to(&mut bench, 200), attacker);
    bench.now += SECOND;
    bench.send(&from_phone(&mut peer, 5_001));
    assert_eq!(goes_to(&mut bench, 201), phone());
}

#[test]
fn a_phone_that_starts_anew_behind_another_address_after_a_hold_is_followed() {
    let moved = at("198.51.100.99:6666");
    let mut bench = Bench::new();
    call_at_roc_3(&mut bench);
    bench.now += SILENCE;
    update(&mut bench);
    let mut phone = restarted(&bench);
    for sequence in 1..=16 {
        let packet = Packet { source: moved, ..from_phone(&mut phone, sequence) };
        assert_eq!(bench.send(&packet).one().1.payload, rtp(7, sequence));
    }
    let out = bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, 1)));
    assert_eq!(out.one().1.destination, moved);
}

#[test]
fn a_captured_packet_before_a_new_key_does_not_take_the_rollover_counter_along() {
    let mut bench = Bench::new();
    call_at_roc_3(&mut bench);
    update(&mut bench);
    let mut captured = restarted(&bench);
    assert_eq!(bench.send(&from_phone(&mut captured, 40_000)).sent.len(), 1);
    let mut orders = bench.slots[1].session;
    orders.legs[0].inbound = master(SUITE, 99);
    bench.update(1, orders);
    let mut phone = restarted(&bench);
    for sequence in [1, 30_000, 60_000, 24_464, 54_464, 18_928, 48_928, 65_000, 5_000] {
        phone.protect(&rtp(7, sequence));
    }
    assert_eq!(bench.send(&from_phone(&mut phone, 5_001)).one().1.payload, rtp(7, 5_001));
}

#[test]
fn nothing_inside_either_window_is_accepted_twice() {
    let mut bench = Bench::new();
    let (mut peer, captured) = call_at_roc_3(&mut bench);
    update(&mut bench);
    let mut phone = restarted(&bench);
    let anew: Vec<_> = (1..60).map(|n| from_phone(&mut phone, n)).collect();
    for packet in &anew {
        assert_eq!(bench.send(packet).sent.len(), 1);
    }
    // The window of the stream before, and that of the stream now.
    for packet in captured[200 - 128..].iter().chain(&anew) {
        bench.refuses(packet, DropCause::Replayed, Some((1, 0)));
    }
    // Older than either.
    for packet in &captured[..200 - 128] {
        bench.refuses(packet, DropCause::TooOld, Some((1, 0)));
    }
    let on = from_phone(&mut peer, 5_001);
    assert_eq!(bench.send(&on).sent.len(), 1);
    bench.refuses(&on, DropCause::Replayed, Some((1, 0)));
}

#[test]
fn a_plain_sender_that_sets_its_sequence_numbers_back_is_heard_after_a_re_offer_only() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, SUITE);
    let inwards = |sequence| Packet::new(inside(), ours_inside(1), &rtp(8, sequence));
    let mut heard = Vec::new();
    let mut hear = |bench: &mut Bench, sequence: u16| {
        let sealed = bench.send(&inwards(sequence)).one().1.payload.clone();
        let plain = peer.unprotect(&sealed).unwrap();
        // All but the sequence number is the sender's.
        assert_eq!((&plain[..2], &plain[4..]), (&rtp(8, sequence)[..2], &rtp(8, sequence)[4..]));
        heard.push(u16::from_be_bytes([plain[2], plain[3]]));
    };
    for sequence in 65_300..=65_535 {
        hear(&mut bench, sequence);
    }
    for sequence in 0..200 {
        hear(&mut bench, sequence);
    }
    bench.refuses(&inwards(150), DropCause::Replayed, Some((1, 1)));
    bench.refuses(&inwards(65_310), DropCause::TooOld, Some((1, 1)));
    update(&mut bench);
    // One of the network's own duplicates is not taken for it.
    bench.refuses(&inwards(199), DropCause::Replayed, Some((1, 1)));
    for sequence in 65_310..65_400 {
        hear(&mut bench, sequence);
    }
    // A packet from before that was late goes where it belongs; one sent before does not go again.
    bench.refuses(&inwards(198), DropCause::Replayed, Some((1, 1)));
    for sequence in 65_400..65_410 {
        hear(&mut bench, sequence);
    }
    let expected: Vec<u16> = (65_300..=65_535).chain(0..300).collect();
    assert_eq!(heard, expected, "the phone sees one stream without a gap");
    // Once only.
    bench.refuses(&inwards(65_310), DropCause::Replayed, Some((1, 1)));
}

#[test]
fn a_change_of_ssrc_and_back_keeps_the_first_ones_rollover_counter() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, SUITE);
    let mut relay = |ssrc: u32, sequence: u16| {
        let sealed = Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(ssrc, sequence)));
        assert_eq!(bench.send(&sealed).one().1.payload, rtp(ssrc, sequence));
    };
    for (ssrc, sequence) in [(1, 65_534), (1, 65_535), (1, 0), (2, 9), (2, 10), (1, 1), (2, 11), (1, 2)] {
        relay(ssrc, sequence);
    }
}

/// A report of the phone, the next under its SRTCP index.
fn report(peer: &mut Peer) -> Packet {
    Packet::new(next(phone()), next(ours_outside(1)), &peer.protect(&rtcp(7)))
}

/// A call whose phone has sent so many reports, and these.
fn call_with_reports(bench: &mut Bench, count: usize) -> (Peer, Vec<Packet>) {
    let mut peer = bench.call(1, SUITE);
    let reports: Vec<_> = (0..count).map(|_| report(&mut peer)).collect();
    for packet in &reports {
        assert_eq!(bench.send(packet).one().1.payload, rtcp(7));
    }
    (peer, reports)
}

#[test]
fn a_phone_that_sets_its_srtcp_index_back_is_heard_after_a_re_offer_only() {
    let mut bench = Bench::new();
    call_with_reports(&mut bench, 200);
    let mut phone = restarted(&bench);
    bench.refuses(&report(&mut phone), DropCause::TooOld, Some((1, 0)));
    update(&mut bench);
    for _ in 1..200 - 64 {
        assert_eq!(bench.send(&report(&mut phone)).one().1.payload, rtcp(7));
    }
    // Indices that the window of before has seen are not accepted again, whoever sends them.
    for _ in 200 - 64..200 {
        bench.refuses(&report(&mut phone), DropCause::Replayed, Some((1, 0)));
    }
    assert_eq!(bench.send(&report(&mut phone)).one().1.payload, rtcp(7));
}

#[test]
fn an_srtcp_index_is_set_back_once_per_re_offer() {
    let mut bench = Bench::new();
    call_with_reports(&mut bench, 500);
    update(&mut bench);
    let mut phone = restarted(&bench);
    for _ in 0..100 {
        assert_eq!(bench.send(&report(&mut phone)).sent.len(), 1);
    }
    let mut again = restarted(&bench);
    bench.refuses(&report(&mut again), DropCause::TooOld, Some((1, 0)));
    update(&mut bench);
    assert_eq!(bench.send(&report(&mut again)).sent.len(), 1);
}

#[test]
fn a_captured_report_after_a_re_offer_cannot_deafen_the_real_sender() {
    let mut bench = Bench::new();
    let (mut peer, reports) = call_with_reports(&mut bench, 200);
    // Twice, so that what is kept beside is put to the test as well.
    for old in [10, 50] {
        update(&mut bench);
        bench.send(&reports[old]);
        for _ in 0..20 {
            let real = report(&mut peer);
            assert_eq!(bench.send(&real).one().1.payload, rtcp(7));
            bench.refuses(&real, DropCause::Replayed, Some((1, 0)));
            // Nor is any other captured report accepted from there on.
            assert!(reports.iter().all(|packet| bench.send(packet).sent.is_empty()));
        }
    }
}

#[test]
fn captured_packets_after_a_re_offer_are_refused_once_the_real_sender_has_gone_on_for_a_while() {
    let mut bench = Bench::new();
    let (mut peer, captured) = call_at_roc_3(&mut bench);
    update(&mut bench);
    assert_eq!(bench.send(&captured[0]).sent.len(), 1);
    for n in 1..=128 {
        assert_eq!(bench.send(&from_phone(&mut peer, 5_000 + n)).sent.len(), 1);
    }
    for packet in &captured {
        bench.refuses(packet, DropCause::TooOld, Some((1, 0)));
    }
    assert_eq!(bench.send(&from_phone(&mut peer, 5_200)).sent.len(), 1);
    let used = bench.slots[1].live[0].inbound.iter().filter(|state| state.flags & 1 != 0).count();
    assert_eq!(used, 1, "what was kept beside has made room");
}

#[test]
fn sequence_numbers_and_srtcp_index_are_set_back_each_on_its_own() {
    let mut bench = Bench::new();
    let (mut peer, _) = call_with_reports(&mut bench, 200);
    for sequence in 1_000..1_200 {
        bench.send(&from_phone(&mut peer, sequence));
    }
    update(&mut bench);
    let mut phone = restarted(&bench);
    // RTP alone begins anew at first: reports go on, and may begin anew later.
    assert_eq!(bench.send(&from_phone(&mut phone, 1)).sent.len(), 1);
    assert_eq!(bench.send(&report(&mut peer)).sent.len(), 1);
    assert_eq!(bench.send(&report(&mut phone)).sent.len(), 1);
    for sequence in 2..100 {
        assert_eq!(bench.send(&from_phone(&mut phone, sequence)).sent.len(), 1);
        assert_eq!(bench.send(&report(&mut phone)).sent.len(), 1);
    }
    let used = bench.slots[1].live[0].inbound.iter().filter(|state| state.flags & 1 != 0).count();
    assert_eq!(used, 2, "what was before stands in one entry for both");
}

#[test]
fn a_new_key_forgets_that_reports_may_begin_anew() {
    let mut bench = Bench::new();
    let (_, reports) = call_with_reports(&mut bench, 200);
    let first = bench.slots[1].session;
    update(&mut bench);
    let mut orders = first;
    orders.legs[0].inbound = master(SUITE, 99);
    bench.update(1, orders);
    // The first key comes back: nothing of before is accepted under it again.
    bench.update(1, first);
    for packet in &reports {
        assert!(bench.send(packet).sent.is_empty());
    }
}

#[test]
fn srtcp_indices_towards_a_phone_never_go_back() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, SUITE);
    for index in 0..10u32 {
        if index % 3 == 0 {
            update(&mut bench);
        }
        let out = bench.send(&Packet::new(next(inside()), next(ours_inside(1)), &rtcp(8)));
        let sealed = &out.one().1.payload;
        let word = &sealed[sealed.len() - 14..sealed.len() - 10];
        assert_eq!(word, (1 << 31 | index).to_be_bytes());
        assert_eq!(peer.unprotect(sealed), Some(rtcp(8)));
    }
}
