//! Nothing is read or written outside a packet: packets that start or end at a page that may not be
//! touched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ptr;

use common::Case;
use pinhole_flow::Suite;
use pinhole_srtp_kernels::{Engine, Job, Kind, Outcome, every_variant};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const PAGE: usize = 4096;
const PAGES: usize = 4;

/// Pages between two that fault.
struct Fenced {
    start: *mut u8,
}

impl Fenced {
    fn new() -> Self {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let len = (PAGES + 2) * PAGE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), len, protection, MapFlags::PRIVATE) };
        let start = start.unwrap().cast::<u8>();
        for page in [0, PAGES + 1] {
            // SAFETY: a page of the mapping, which nothing refers to.
            unsafe { mprotect(start.wrapping_add(page * PAGE).cast(), PAGE, MprotectFlags::empty()) }
                .unwrap();
        }
        Self { start }
    }

    /// The `len` bytes at the end or at the start.
    fn bytes(&mut self, len: usize, at_end: bool) -> &mut [u8] {
        assert!(len <= PAGES * PAGE);
        let at = if at_end { (PAGES + 1) * PAGE - len } else { PAGE };
        // SAFETY: the bytes lie in the pages that may be read and written, and are borrowed from self.
        unsafe { std::slice::from_raw_parts_mut(self.start.wrapping_add(at), len) }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, to which nothing refers any more.
        unsafe { munmap(self.start.cast(), (PAGES + 2) * PAGE) }.unwrap();
    }
}

/// Protects and unprotects a batch of `burst` packets that each touch a fence.
fn stays_within(engine: &dyn Engine, case: &Case, burst: usize, at_end: bool, fences: &mut [Fenced]) {
    let keys = case.keys(engine);
    let len = case.plain.len();
    let protected = case.protected(engine);
    for protect in [true, false] {
        let before = if protect { &case.plain } else { protected.bytes() };
        let after = if protect { protected.bytes() } else { &case.plain };
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for fence in fences.iter_mut().take(burst) {
            let packet = fence.bytes(len + keys.overhead(case.kind), at_end);
            packet[..before.len()].copy_from_slice(before);
            jobs.push(Job {
                keys: &keys,
                kind: case.kind,
                packet,
                len: before.len(),
                payload_at: case.payload_at,
                ssrc: 0,
                index: case.index,
                outcome: Outcome::Pending,
            });
        }
        let at = if case.kind == Kind::Rtp { 8 } else { 4 };
        jobs.iter_mut()
            .for_each(|job| job.ssrc = u32::from_be_bytes(job.packet[at..at + 4].try_into().unwrap()));
        if protect {
            engine.protect(&mut jobs)
        } else {
            engine.unprotect(&mut jobs)
        }
        for job in &jobs {
            assert_eq!(job.outcome, Outcome::Done);
            assert!(&job.packet[..job.len] == after);
        }
    }
}

#[test]
fn packets_at_the_edge_of_a_page_touch_nothing_beyond_it() {
    let mut fences: Vec<Fenced> = (0..40).map(|_| Fenced::new()).collect();
    let short = (0..140).chain([160, 191, 192, 193, 224, 225, 239, 240, 241, 255, 256, 257, 511, 513]);
    let lengths: Vec<usize> = short.chain([1460, 4095, 9000]).collect();
    for engine in every_variant() {
        for suite in Suite::ALL {
            for (at, len) in lengths.iter().enumerate() {
                let cases = [
                    Case::rtp(suite, 12, *len),
                    Case::rtp(suite, 12 + 4 * (at % 40), *len),
                    Case::rtcp(suite, true, *len),
                    Case::rtcp(suite, false, *len),
                ];
                let case = &cases[at % 4];
                for at_end in [true, false] {
                    stays_within(&*engine, &cases[0], [1, 3, 9, 16, 40][at % 5], at_end, &mut fences);
                    stays_within(&*engine, case, 2, at_end, &mut fences);
                }
            }
        }
    }
}
