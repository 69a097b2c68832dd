//! A receive and transmit queue of a port, owned by the thread that polls it.

use std::cell::Cell;
use std::marker::PhantomData;

use arrayvec::ArrayVec;

use crate::{Mbuf, Port};

/// One receive queue and one transmit queue of the same number. Handed out once by
/// [`Port::queue`]; moves to the polling thread and is used by one thread at a time.
pub struct Queue<'port, 'eal> {
    port: u16,
    queue: u16,
    _port: PhantomData<&'port Port<'eal>>,
    /// Neither shared nor polled from two threads at once.
    _one_thread: PhantomData<Cell<()>>,
}

// SAFETY: the handle is unique per port and queue, and DPDK's queues may be polled from any one
// thread. The port outlives the handle and is not stopped while it lives.
unsafe impl Send for Queue<'_, '_> {}

impl<'eal> Queue<'_, 'eal> {
    /// # Safety
    /// The port is started, has this queue in both directions, and no other handle for it exists.
    pub(crate) unsafe fn new(port: u16, queue: u16) -> Self {
        Self { port, queue, _port: PhantomData, _one_thread: PhantomData }
    }

    /// Receives into the free room of `frames`, up to `N` packets. Never blocks. Returns how many
    /// were added.
    pub fn rx_burst<const N: usize>(&mut self, frames: &mut ArrayVec<Mbuf<'eal>, N>) -> usize {
        let old = frames.len();
        let room = frames.remaining_capacity().min(usize::from(u16::MAX));
        // SAFETY: `room` pointers fit behind the `old` ones, Mbuf being a transparent pointer. The
        // driver writes as many as it returns, each a buffer that is now ours alone. The queue is
        // polled by this thread only, see the type.
        unsafe {
            let start = frames.as_mut_ptr().add(old).cast();
            let count = dpdk_sys::rte_eth_rx_burst(self.port, self.queue, start, room as u16);
            let count = usize::from(count).min(room);
            frames.set_len(old + count);
            count
        }
    }

    /// Sends from the front of `frames`; what the queue has no room for stays in it. Returns how many
    /// were sent. Never blocks, with one exception: `net_af_packet` calls `poll` without a time limit
    /// when its whole ring waits for a network card that does not send. It returns at once while the
    /// interface is down or gone.
    pub fn tx_burst<const N: usize>(&mut self, frames: &mut ArrayVec<Mbuf<'eal>, N>) -> usize {
        let count = frames.len();
        if count == 0 {
            return 0;
        }
        // SAFETY: `count` buffers of ours stand in `frames`; those that the driver takes (the
        // first `sent`) are forgotten by moving the rest to the front and cutting the length.
        unsafe {
            let start = frames.as_mut_ptr();
            let sent =
                dpdk_sys::rte_eth_tx_burst(self.port, self.queue, start.cast(), count.min(0xffff) as u16);
            let sent = usize::from(sent).min(count);
            std::ptr::copy(start.add(sent), start, count - sent);
            frames.set_len(count - sent);
            sent
        }
    }
}
