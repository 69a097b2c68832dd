//! A burst allocates nothing.

#![allow(clippy::unwrap_used)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pinhole_flow::Suite;
use pinhole_relay::{Arrival, Frames, Output};
use support::*;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_burst_of_everything_allocates_and_frees_nothing() {
    let mut bench = Bench::new();
    let mut peers: Vec<_> =
        Suite::ALL.into_iter().zip(1..).map(|(suite, slot)| bench.call(slot, suite)).collect();
    let (first, mut near) = secure(leg(OUTSIDE, 20_100, phone()), Suite::AeadAes128Gcm, 100);
    bench.open(10, session(first, leg(INSIDE, 30_100, ours_inside(11))));
    let (second, _) = secure(leg(OUTSIDE, 20_110, phone()), Suite::AesCm256HmacSha1_80, 110);
    bench.open(11, session(second, leg(INSIDE, 30_110, ours_inside(10))));

    let mut bursts = Vec::new();
    for sequence in 0..20u16 {
        let mut frames = Frames::new();
        for (slot, peer) in (1..).zip(&mut peers) {
            let sealed = peer.protect(&rtp(slot, sequence));
            // A source that moves, a replay, a forgery, plain RTP, a stranger, no pinhole.
            let moving = at(&format!("192.0.2.1:{}", 1000 + sequence));
            frames.push(Packet::new(moving, ours_outside(slot), &sealed).buffer());
            frames.push(Packet::new(moving, ours_outside(slot), &sealed).buffer());
            frames.push(Packet::new(moving, ours_outside(slot), &rtp(slot, sequence)).buffer());
            frames.push(Packet::new(moving, ours_outside(slot), &[&sealed[..], b"x"].concat()).buffer());
        }
        frames.push(Packet::new(phone(), ours_outside(10), &near.protect(&rtp(7, sequence))).buffer());
        frames.push(Packet::new(phone(), ours_outside(9), &rtp(7, sequence)).buffer());
        frames.push(TestBuffer::new(&[0xff; 60]));
        let mut inwards = Frames::new();
        for slot in 1..=6 {
            inwards.push(Packet::new(inside(), ours_inside(slot), &rtp(slot, sequence)).tagged(5).buffer());
            inwards.push(Packet::new(next(inside()), next(ours_inside(slot)), &rtcp(slot)).buffer());
            inwards.push(Packet::new(phone(), ours_inside(slot), &rtp(slot, sequence)).buffer());
        }
        bursts.push((OUTSIDE, frames));
        bursts.push((INSIDE, inwards));
    }

    let mut output = Output::default();
    let mut sent = 0;
    for (port, mut frames) in bursts {
        bench.now += 700_000_000;
        let before = ALLOCATIONS.get();
        let (slots, stats) = (&mut bench.slots, &mut bench.stats);
        bench.relay.burst(bench.now, port, Arrival::Wire, &mut frames, slots, stats, &mut output);
        assert_eq!(ALLOCATIONS.get(), before);
        sent += output.tx.iter().map(|tx| tx.len()).sum::<usize>();
        assert!(!output.dropped.is_empty());
        output.tx.iter_mut().for_each(|tx| tx.clear());
        output.punt.clear();
        output.dropped.clear();
        output.events.clear();
    }
    assert_eq!(sent, 20 * (6 + 1 + 12));
    assert_eq!(bench.stats.hairpins, 20);
}
