//! The pool that packet buffers come from.

use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::error::last_reason;
use crate::{Eal, Error, Mbuf};

/// Any NUMA node.
const SOCKET_ANY: i32 = -1;

/// Bytes of a packet that an ordinary buffer holds.
pub const ROOM: u16 = (dpdk_sys::RTE_MBUF_DEFAULT_BUF_SIZE - dpdk_sys::RTE_PKTMBUF_HEADROOM) as u16;

/// A pool of packet buffers. Its memory is given back when the [`Eal`] ends, not before, since buffers
/// may be in flight anywhere.
pub struct Mempool<'eal> {
    raw: NonNull<dpdk_sys::rte_mempool>,
    _eal: PhantomData<&'eal Eal>,
}

// SAFETY: a pktmbuf pool is made with the multi-producer, multi-consumer ring driver, and the
// handle is only a pointer to it.
unsafe impl Send for Mempool<'_> {}
// SAFETY: as above; all methods only call functions that DPDK documents as safe across threads.
unsafe impl Sync for Mempool<'_> {}

impl<'eal> Mempool<'eal> {
    /// Creates a pool of `buffers` packet buffers of [`ROOM`] bytes, with a cache of `cache` buffers for
    /// each thread that DPDK knows (at most 512, and at most two thirds of the buffers).
    ///
    /// # Errors
    /// [`Error::Pool`], most often because there is too little memory.
    pub fn new(eal: &'eal Eal, name: &str, buffers: u32, cache: u32) -> Result<Self, Error> {
        Self::with_room(eal, name, buffers, cache, ROOM)
    }

    /// The same with `room` bytes for a packet in each buffer, and DPDK's headroom before it.
    ///
    /// # Errors
    /// As above.
    pub fn with_room(eal: &'eal Eal, name: &str, buffers: u32, cache: u32, room: u16) -> Result<Self, Error> {
        let name = CString::new(name).map_err(|_| Error::Nul { what: "a pool name" })?;
        let room = room.saturating_add(dpdk_sys::RTE_PKTMBUF_HEADROOM as u16);
        // SAFETY: the name is NUL-terminated and copied by DPDK; the EAL is up, as it is borrowed.
        let raw =
            unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), buffers, cache, 0, room, SOCKET_ANY) };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, _eal: PhantomData }),
            None => Err(Error::Pool { buffers, reason: last_reason(), log: eal.log_for_error() }),
        }
    }

    /// An empty buffer, or `None` when the pool is exhausted.
    pub fn alloc(&self) -> Option<Mbuf<'eal>> {
        // SAFETY: the pool exists as long as the EAL, which `'eal` keeps alive.
        let raw = unsafe { dpdk_sys::rte_pktmbuf_alloc(self.raw.as_ptr()) };
        // SAFETY: a buffer fresh from the pool belongs to nobody else.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// How many buffers lie in the pool and its caches now.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool exists as long as the EAL; counting reads counters only.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) }
    }

    pub(crate) fn raw(&self) -> *mut dpdk_sys::rte_mempool {
        self.raw.as_ptr()
    }
}
