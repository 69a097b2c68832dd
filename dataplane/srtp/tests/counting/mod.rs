//! What a thread allocates, counted: for tests here and of the relay, and for the relay's benchmark.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with an account for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a thread has asked of the allocator so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Allocations and frees.
    pub calls: u64,
    /// Bytes allocated and not freed.
    pub bytes: i64,
}

thread_local! {
    static ACCOUNT: Cell<Account> = const { Cell::new(Account { calls: 0, bytes: 0 }) };
}

/// This thread's account.
pub fn account() -> Account {
    ACCOUNT.get()
}

fn count(bytes: i64) {
    let Account { calls, bytes: held } = ACCOUNT.get();
    ACCOUNT.set(Account { calls: calls + 1, bytes: held + bytes });
}

/// What an allocation takes: glibc's header of 8 bytes, and no other use of what alignment skips.
fn bytes_of(layout: Layout) -> i64 {
    (layout.size() + 8).next_multiple_of(layout.align().max(16)) as i64
}

// SAFETY: every call is passed on to the system's allocator, unchanged, so that its guarantees are ours; counting neither
// allocates (the account is made at compile time and needs no destructor) nor panics.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, and we pass it on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(bytes_of(layout));
        // SAFETY: the caller's layout has a size above 0, as it promises us.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`, and we pass it on.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-bytes_of(layout));
        // SAFETY: the caller has `pointer` from `alloc` with this layout, hence from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}
