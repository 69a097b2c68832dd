//! The order of trust: what is not what it should be is dropped under its own cause, never relayed,
//! and changes nothing but a counter.

use pinhole_flow::{DropCause, Suite};

use crate::support::*;

/// Everything of a slot but its drop counters.
fn state_of(bench: &Bench, slot: usize) -> Vec<u8> {
    use zerocopy::IntoBytes;
    let mut slot = bench.slots[slot];
    for live in &mut slot.live {
        live.stats.drops.fill(0);
    }
    slot.as_bytes().to_vec()
}

/// Sends what must be dropped for `cause`, without a trace but in the counters.
fn refuses_without_trace(bench: &mut Bench, packet: &Packet, cause: DropCause, leg: usize) {
    let before = state_of(bench, 1);
    bench.refuses(packet, cause, Some((1, leg)));
    assert!(state_of(bench, 1) == before, "{cause} changed the slot");
}

fn from_phone(peer: &mut Peer, sequence: u16) -> Packet {
    Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, sequence)))
}

#[test]
fn a_port_without_pinhole_is_dropped_and_counted_and_never_punted() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    for port in [16_384, 20_012, 29_999, 32_767] {
        let packet = Packet::new(phone(), at(&format!("203.0.113.5:{port}")), &rtp(7, 1));
        bench.refuses(&packet, DropCause::ClosedPinhole, None);
    }
}

#[test]
fn a_replayed_packet_is_dropped_and_counted() {
    for suite in Suite::ALL {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, suite);
        let packets: Vec<_> = (0..300).map(|sequence| from_phone(&mut peer, sequence)).collect();
        for (sequence, packet) in (0..).zip(&packets) {
            assert_eq!(bench.send(packet).one().1.payload, rtp(7, sequence));
            refuses_without_trace(&mut bench, packet, DropCause::Replayed, 0);
        }
        // Half a window, a window, and more behind.
        refuses_without_trace(&mut bench, &packets[299 - 64], DropCause::Replayed, 0);
        refuses_without_trace(&mut bench, &packets[299 - 127], DropCause::Replayed, 0);
        refuses_without_trace(&mut bench, &packets[299 - 128], DropCause::TooOld, 0);
        refuses_without_trace(&mut bench, &packets[0], DropCause::TooOld, 0);
        let sealed = Packet::new(next(phone()), next(ours_outside(1)), &peer.protect(&rtcp(7)));
        assert_eq!(bench.send(&sealed).sent.len(), 1);
        refuses_without_trace(&mut bench, &sealed, DropCause::Replayed, 0);
    }
}

#[test]
fn a_packet_that_comes_twice_in_one_burst_is_relayed_once() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let frame = from_phone(&mut peer, 1).buffer();
    let out = bench.burst(OUTSIDE, [frame.clone(), frame.clone(), frame]);
    assert_eq!((out.sent.len(), out.dropped, bench.drops(DropCause::Replayed)), (1, 2, 2));
}

#[test]
fn a_forged_packet_is_dropped_and_counted() {
    for suite in Suite::ALL {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, suite);
        // Before the first packet of the call, and after.
        for sequence in [1, 1000] {
            for ssrc in [7, 0xdead_beef] {
                let mut forged = rtp(ssrc, sequence + 1);
                forged.resize(forged.len() + suite.rtp_tag_len(), 0x5a);
                let packet = Packet::new(phone(), ours_outside(1), &forged);
                refuses_without_trace(&mut bench, &packet, DropCause::AuthFailed, 0);
                // Beginnings of the phone's own sequence numbers at other ROCs.
                let mut far = forged;
                far[2] ^= 0xff;
                let packet = Packet::new(phone(), ours_outside(1), &far);
                refuses_without_trace(&mut bench, &packet, DropCause::AuthFailed, 0);
            }
            let mut changed = from_phone(&mut peer, sequence);
            *changed.payload.last_mut().unwrap() ^= 1;
            refuses_without_trace(&mut bench, &changed, DropCause::AuthFailed, 0);
            *changed.payload.last_mut().unwrap() ^= 1;
            assert_eq!(bench.send(&changed).one().1.payload, rtp(7, sequence));
        }
        let mut forged = peer.protect(&rtcp(7));
        forged[20] ^= 1;
        let packet = Packet::new(next(phone()), next(ours_outside(1)), &forged);
        refuses_without_trace(&mut bench, &packet, DropCause::AuthFailed, 0);
    }
}

#[test]
fn plain_packets_on_a_secure_leg_are_dropped_and_told_from_forged_ones() {
    for suite in Suite::ALL {
        let mut bench = Bench::new();
        let mut peer = bench.call(1, suite);
        assert_eq!(bench.send(&from_phone(&mut peer, 1)).sent.len(), 1);
        let plain = |packet: &[u8]| Packet::new(phone(), ours_outside(1), packet);
        refuses_without_trace(&mut bench, &plain(&rtp(7, 2)), DropCause::PlainOnSecure, 0);
        refuses_without_trace(&mut bench, &plain(&rtp(9, 2)), DropCause::PlainOnSecure, 0);
        // Too short for a tag.
        refuses_without_trace(&mut bench, &plain(&rtp(7, 3)[..13]), DropCause::PlainOnSecure, 0);
        let report = Packet::new(next(phone()), next(ours_outside(1)), &rtcp(7));
        refuses_without_trace(&mut bench, &report, DropCause::PlainOnSecure, 0);
    }
}

#[test]
fn a_stranger_on_a_plain_leg_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    let strangers = ["10.20.0.66:5000", "10.20.0.20:5002", "10.20.0.5:30010", "203.0.113.5:5000"];
    for stranger in strangers {
        let packet = Packet::new(at(stranger), ours_inside(1), &rtp(8, 1));
        refuses_without_trace(&mut bench, &packet, DropCause::WrongSource, 1);
    }
    // RTCP from the RTP port.
    let packet = Packet::new(inside(), next(ours_inside(1)), &rtcp(8));
    refuses_without_trace(&mut bench, &packet, DropCause::WrongSource, 1);
    assert_eq!(bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, 1))).sent.len(), 1);
}

#[test]
fn a_source_that_nobody_can_have_is_refused_also_when_the_packet_is_authentic() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let sources = [
        "0.0.0.0:4000",
        "127.0.0.1:4000",
        "224.0.0.1:4000",
        "255.255.255.255:4000",
        "198.51.100.10:0",
        "10.20.0.5:30010",
    ];
    for source in sources {
        let packet = Packet::new(at(source), ours_outside(1), &peer.protect(&rtp(7, 1)));
        refuses_without_trace(&mut bench, &packet, DropCause::WrongSource, 0);
        peer = Peer::new(&bench.slots[1].session.legs[0].inbound, &bench.slots[1].session.legs[0].outbound);
    }
}

#[test]
fn malformed_headers_are_dropped_on_both_legs() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes128Gcm);
    let mut bad: Vec<Vec<u8>> = (0..12).map(|len| rtp(7, 1)[..len].to_vec()).collect();
    let change = |at: usize, byte: u8| {
        let mut packet = rtp(7, 1)[..40].to_vec();
        packet[at] = byte;
        packet
    };
    bad.push(change(0, 0x40));
    bad.push(change(0, 0x8f));
    // An extension whose length field is the payload.
    bad.push(change(0, 0x90));
    for payload in &bad {
        for (source, destination, leg) in [(phone(), ours_outside(1), 0), (inside(), ours_inside(1), 1)] {
            let packet = Packet::new(source, destination, payload);
            refuses_without_trace(&mut bench, &packet, DropCause::RtpMalformed, leg);
        }
    }
    let padded = |count: u8| {
        let mut packet = rtp(7, 1);
        packet[0] |= 0x20;
        *packet.last_mut().unwrap() = count;
        packet
    };
    for count in [0, 161] {
        let packet = Packet::new(inside(), ours_inside(1), &padded(count));
        refuses_without_trace(&mut bench, &packet, DropCause::RtpMalformed, 1);
    }
    assert_eq!(bench.send(&Packet::new(inside(), ours_inside(1), &padded(160))).sent.len(), 1);
    for len in 0..8 {
        for (source, destination, leg) in [(phone(), ours_outside(1), 0), (inside(), ours_inside(1), 1)] {
            let packet = Packet::new(next(source), next(destination), &rtcp(7)[..len]);
            refuses_without_trace(&mut bench, &packet, DropCause::RtpMalformed, leg);
        }
    }
}

#[test]
fn packets_of_0_to_64_bytes_are_refused_on_a_secure_leg_and_only_whole_ones_pass_a_plain_one() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AesCm256HmacSha1_32, Suite::AeadAes128Gcm] {
        let mut bench = Bench::new();
        bench.call(1, suite);
        for len in 0..=64 {
            // Flags: none, 15 CSRCs, an extension, padding, all of them; then bytes that say much or little.
            for flags in [0x80, 0x8f, 0x90, 0xa0, 0xbf] {
                for (kind, fill) in [(0, 0xff), (0, 0), (0, 1), (200, 0xff), (200, 0), (200, 1)] {
                    let mut payload = [&[flags, kind], &[fill; 62][..]].concat();
                    payload.truncate(len);
                    let rtcp = kind == 200;
                    let to = |address| if rtcp { next(address) } else { address };
                    let secure = Packet::new(to(phone()), to(ours_outside(1)), &payload);
                    let before = state_of(&bench, 1);
                    assert!(bench.send(&secure).sent.is_empty(), "{payload:02x?}");
                    assert!(state_of(&bench, 1) == before, "{payload:02x?}");
                    let plain = Packet::new(to(inside()), to(ours_inside(1)), &payload);
                    let sent = bench.send(&plain).sent.len();
                    let shortest = if rtcp { 8 } else { 12 };
                    assert!(sent == 0 || len >= shortest && flags & 0x0f == 0, "{payload:02x?}");
                }
            }
        }
        // One of each fill's sequence number, since no number is sent twice.
        assert_eq!(bench.slots[1].live[1].stats.passed_packets, 3);
        assert_eq!(bench.slots[1].live[0].stats.passed_packets, 0);
    }
}

#[test]
fn authentic_packets_with_broken_padding_go_no_further() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes128Gcm);
    let mut padded = rtp(7, 1);
    padded[0] |= 0x20;
    *padded.last_mut().unwrap() = 200;
    let packet = Packet::new(phone(), ours_outside(1), &peer.protect(&padded));
    bench.refuses(&packet, DropCause::RtpMalformed, Some((1, 0)));
}

#[test]
fn an_index_is_never_used_twice_towards_a_phone() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes256Gcm);
    let clear = |payload: &[u8]| Packet::new(inside(), ours_inside(1), payload);
    let out = bench.send(&clear(&rtp(8, 1)));
    assert_eq!(peer.unprotect(&out.one().1.payload), Some(rtp(8, 1)));
    let mut other = rtp(8, 1);
    other[100] ^= 1;
    bench.refuses(&clear(&other), DropCause::Replayed, Some((1, 1)));
}

#[test]
fn a_key_that_is_used_up_sends_nothing_more_and_is_its_own_cause() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AeadAes256Gcm);
    let rtp_in = |sequence| Packet::new(inside(), ours_inside(1), &rtp(8, sequence));
    let rtcp_in = Packet::new(next(inside()), next(ours_inside(1)), &rtcp(8));
    bench.send(&rtp_in(65_534));
    bench.send(&rtcp_in);
    let sent = &mut bench.slots[1].live[0].outbound[0];
    (sent.index, sent.rtcp_index) = ((1 << 48) - 2, (1 << 31) - 2);
    // The last of each.
    assert_eq!(bench.send(&rtp_in(65_535)).sent.len(), 1);
    let last = bench.send(&rtcp_in).one().1.payload.clone();
    assert_eq!(peer.unprotect(&last), Some(rtcp(8)));
    let orders = bench.slots[1].session;
    for round in 0..2 {
        for sequence in [0, 1, 30_000] {
            bench.refuses(&rtp_in(sequence), DropCause::KeyExhausted, Some((1, 1)));
        }
        bench.refuses(&rtcp_in, DropCause::KeyExhausted, Some((1, 1)));
        // Nor does a sender that begins anew, after a re-offer, get an index that was used.
        let old = if round == 0 { DropCause::TooOld } else { DropCause::KeyExhausted };
        bench.refuses(&rtp_in(60_000), old, Some((1, 1)));
        bench.update(1, orders);
    }
}

#[test]
fn a_flood_of_forged_packets_with_random_ssrcs_takes_no_state_and_deafens_nobody() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AesCm128HmacSha1_80);
    assert_eq!(bench.send(&from_phone(&mut peer, 1)).sent.len(), 1);
    for n in 0..2000u32 {
        let ssrc = if n % 2 == 0 { 7 } else { n.wrapping_mul(2_654_435_761) };
        let mut forged = rtp(ssrc, n.wrapping_mul(40_503) as u16);
        forged.resize(182, n as u8);
        let packet = Packet::new(at("203.0.113.66:4444"), ours_outside(1), &forged);
        refuses_without_trace(&mut bench, &packet, DropCause::AuthFailed, 0);
    }
    for sequence in 2..22 {
        assert_eq!(bench.send(&from_phone(&mut peer, sequence)).one().1.payload, rtp(7, sequence));
    }
}
