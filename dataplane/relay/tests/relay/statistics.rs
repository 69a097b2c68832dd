//! Counters of a leg.

use pinhole_flow::Suite;

use crate::support::*;

#[test]
fn packets_bytes_loss_and_payload_type_are_counted_per_leg() {
    let mut bench = Bench::new();
    let mut peer = bench.call(1, Suite::AesCm128HmacSha1_80);
    for sequence in [10u16, 11, 13, 16, 15] {
        bench.send(&Packet::new(phone(), ours_outside(1), &peer.protect(&rtp(7, sequence))));
    }
    let [outside, inside] = bench.slots[1].live.map(|live| live.stats);
    assert_eq!((outside.rx_packets, outside.rx_bytes), (5, 5 * 182));
    assert_eq!((outside.expected, outside.payload_type), (7, 0));
    assert_eq!(outside.last_rx_ns, bench.now);
    assert_eq!((outside.passed_packets, outside.passed_bytes), (5, 5 * 172));
    assert_eq!((inside.rx_packets, inside.last_rx_ns, inside.passed_packets), (0, 0, 0));
}

#[test]
fn an_even_stream_on_the_clock_has_no_jitter() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AesCm128HmacSha1_80);
    for sequence in 0..100 {
        bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, sequence)));
    }
    assert_eq!(bench.slots[1].live[1].stats.jitter_q4, 0);
    bench.now += 10_000_000;
    bench.send(&Packet::new(inside(), ours_inside(1), &rtp(8, 100)));
    assert_eq!(bench.slots[1].live[1].stats.jitter_q4, 80);
}
