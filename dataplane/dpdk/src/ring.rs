//! A ring that carries packet buffers from one thread to another.

use std::cell::Cell;
use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::error::last_reason;
use crate::{BURST, Eal, Error, Mbuf, free_bulk};

/// Any NUMA node.
const SOCKET_ANY: i32 = -1;

/// Makes a ring with room for at least `frames` packet buffers, and gives out its two ends. `name` is
/// the ring's alone.
///
/// It is DPDK's `rte_ring` for one producer and one consumer: a burst costs one write that the other
/// side sees, and nothing is allocated after this. What is in it when both ends are gone goes back to
/// its pool.
///
/// # Errors
/// [`Error::Ring`], most often because there is too little memory.
pub fn ring<'eal>(
    eal: &'eal Eal,
    name: &str,
    frames: u32,
) -> Result<(RingSender<'eal>, RingReceiver<'eal>), Error> {
    let c_name = CString::new(name).map_err(|_| Error::Nul { what: "a ring name" })?;
    let flags = dpdk_sys::RING_F_SP_ENQ | dpdk_sys::RING_F_SC_DEQ;
    // A ring of n places holds n - 1 buffers, and n is a power of two.
    let places = frames.saturating_add(1).checked_next_power_of_two().unwrap_or(u32::MAX);
    // SAFETY: the name is NUL-terminated and copied by DPDK; the EAL is up, as it is borrowed.
    let raw = unsafe { dpdk_sys::rte_ring_create(c_name.as_ptr(), places, SOCKET_ANY, flags) };
    let raw = NonNull::new(raw).ok_or_else(|| Error::Ring {
        name: name.to_owned(),
        reason: last_reason(),
        log: eal.log_for_error(),
    })?;
    let ring = Arc::new(Ring { raw, _eal: PhantomData });
    let receiver = RingReceiver { ring: Arc::clone(&ring), _one_thread: PhantomData };
    Ok((RingSender { ring, _one_thread: PhantomData }, receiver))
}

/// The ring that two ends share.
struct Ring<'eal> {
    raw: NonNull<dpdk_sys::rte_ring>,
    _eal: PhantomData<&'eal Eal>,
}

// SAFETY: the ends are the only users of the ring. Each is one value used by one thread at a time, and
// DPDK's ring is made for one producer and one consumer at once.
unsafe impl Send for Ring<'_> {}
// SAFETY: as above.
unsafe impl Sync for Ring<'_> {}

impl<'eal> Ring<'eal> {
    /// Takes buffers out into the free room of `frames`.
    ///
    /// # Safety
    /// No other thread does so at the same time.
    unsafe fn take<const N: usize>(&self, frames: &mut ArrayVec<Mbuf<'eal>, N>) -> usize {
        let (old, room) = (frames.len(), frames.remaining_capacity());
        // SAFETY: `room` pointers fit behind the `old` ones, Mbuf being a transparent pointer. The ring
        // gives out what `RingSender::send` put in: buffers that nobody else has any more.
        unsafe {
            let start = frames.as_mut_ptr().add(old).cast();
            let left = std::ptr::null_mut();
            let count = dpdk_sys::rte_ring_sc_dequeue_burst(self.raw.as_ptr(), start, room as u32, left);
            let count = (count as usize).min(room);
            frames.set_len(old + count);
            count
        }
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let mut frames = ArrayVec::<Mbuf<'_>, BURST>::new();
        // SAFETY: both ends are gone, so this thread is the only one.
        while unsafe { self.take(&mut frames) } > 0 {
            free_bulk(&mut frames);
        }
        // SAFETY: nobody has the ring any more.
        unsafe { dpdk_sys::rte_ring_free(self.raw.as_ptr()) };
    }
}

/// The end that buffers go in at. Moves to the sending thread.
pub struct RingSender<'eal> {
    ring: Arc<Ring<'eal>>,
    /// Not `Sync`.
    _one_thread: PhantomData<Cell<()>>,
}

impl<'eal> RingSender<'eal> {
    /// Sends from the front of `frames`; what the ring has no room for stays in it. Returns how many
    /// were sent. Never blocks.
    pub fn send<const N: usize>(&mut self, frames: &mut ArrayVec<Mbuf<'eal>, N>) -> usize {
        let count = frames.len();
        // SAFETY: `count` buffers of ours stand in `frames`; those that the ring takes (the first
        // `sent`) are forgotten by moving the rest to the front and cutting the length. This is the
        // one sender: it is not Clone, and `&mut self`.
        unsafe {
            let start = frames.as_mut_ptr();
            let free = std::ptr::null_mut();
            let raw = self.ring.raw.as_ptr();
            let sent = dpdk_sys::rte_ring_sp_enqueue_burst(raw, start.cast(), count as u32, free);
            let sent = (sent as usize).min(count);
            std::ptr::copy(start.add(sent), start, count - sent);
            frames.set_len(count - sent);
            sent
        }
    }
}

/// The end that buffers come out at. Moves to the receiving thread.
pub struct RingReceiver<'eal> {
    ring: Arc<Ring<'eal>>,
    /// Not `Sync`.
    _one_thread: PhantomData<Cell<()>>,
}

impl<'eal> RingReceiver<'eal> {
    /// Receives into the free room of `frames`. Returns how many were added. Never blocks.
    pub fn receive<const N: usize>(&mut self, frames: &mut ArrayVec<Mbuf<'eal>, N>) -> usize {
        // SAFETY: this is the one receiver: it is not Clone, and `&mut self`.
        unsafe { self.ring.take(frames) }
    }
}
