//! Allocations and bytes, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use anyhow::Result;
use pinhole_flow::SessionSlot;
use pinhole_srtp::kernels::Engine;

use crate::scene::Scene;

/// How many sessions the bytes are taken of.
const SESSIONS: u32 = 10_000;
/// Two RTP and two RTCP ports of a session, each with an entry in the table of pinholes.
const PINHOLES: f64 = 4.0 * size_of::<u32>() as f64;

/// Counts allocations of each thread, and the bytes that they hold.
pub struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// What an allocation takes: glibc's header of 8 bytes, and no other use of what alignment skips.
fn bytes_of(layout: Layout) -> i64 {
    (layout.size() + 8).next_multiple_of(layout.align().max(16)) as i64
}

// SAFETY: every call is passed on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get() + bytes_of(layout));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get() - bytes_of(layout));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Allocations and frees of this thread so far.
pub fn calls() -> u64 {
    CALLS.get()
}

/// Bytes of one session in the data plane: slot, pinholes, and what the relay holds beyond a relay with
/// no sessions, keys of RTP and RTCP included.
pub fn bytes_per_session(engine: Box<dyn Engine>) -> Result<f64> {
    let start = BYTES.get();
    let none = Scene::open(0, pinhole_srtp::kernels::best())?;
    let empty = BYTES.get() - start - none.own_bytes();
    drop(none);
    let start = BYTES.get();
    let some = Scene::open(SESSIONS, engine)?;
    let held = BYTES.get() - start - some.own_bytes() - empty;
    Ok(held as f64 / f64::from(SESSIONS) + size_of::<SessionSlot>() as f64 + PINHOLES)
}
