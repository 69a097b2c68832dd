//! An owned packet buffer.

use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::NonNull;

use arrayvec::ArrayVec;
use dpdk_sys::rte_mbuf;

use crate::Eal;

// The fields read here, where DPDK 22.11 has them.
const _: () = assert!(size_of::<rte_mbuf>() == 128);
const _: () = assert!(offset_of!(rte_mbuf, buf_addr) == 0);
const _: () = assert!(offset_of!(rte_mbuf, data_off) == 16);
const _: () = assert!(offset_of!(rte_mbuf, nb_segs) == 20);
const _: () = assert!(offset_of!(rte_mbuf, port) == 22);
const _: () = assert!(offset_of!(rte_mbuf, ol_flags) == 24);
const _: () = assert!(offset_of!(rte_mbuf, pkt_len) == 36);
const _: () = assert!(offset_of!(rte_mbuf, data_len) == 40);
const _: () = assert!(offset_of!(rte_mbuf, vlan_tci) == 42);
const _: () = assert!(offset_of!(rte_mbuf, buf_len) == 54);

/// `RTE_MBUF_F_RX_VLAN`: `vlan_tci` is set.
const RX_VLAN: u64 = 1 << 0;
/// `RTE_MBUF_F_RX_VLAN_STRIPPED`: the tag is no longer in the packet's bytes.
const RX_VLAN_STRIPPED: u64 = 1 << 6;

/// A packet buffer that belongs to its holder. Neither `Clone` nor `Copy`; goes back to its pool
/// when dropped.
#[repr(transparent)]
pub struct Mbuf<'eal> {
    raw: NonNull<rte_mbuf>,
    _eal: PhantomData<&'eal Eal>,
}

// SAFETY: the holder is the buffer's only user (see `from_raw`), and pools take buffers back from
// any thread.
unsafe impl Send for Mbuf<'_> {}

impl Mbuf<'_> {
    /// Takes over a buffer.
    ///
    /// # Safety
    /// `raw` is a live buffer of a pool of the running EAL, its reference count is 1, and nobody
    /// else uses it.
    pub(crate) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Self { raw, _eal: PhantomData }
    }

    fn header(&self) -> &rte_mbuf {
        // SAFETY: the buffer is live and ours, so its header is initialised and does not change
        // but through `&mut self`.
        unsafe { self.raw.as_ref() }
    }

    /// Whether the packet lies in one piece. A packet in several has only its first piece in
    /// [`Self::data`].
    pub fn is_contiguous(&self) -> bool {
        self.header().nb_segs == 1
    }

    /// The packet's bytes, from the Ethernet header on.
    pub fn data(&self) -> &[u8] {
        let header = self.header();
        // SAFETY: DPDK keeps data_off + data_len within buf_len bytes at buf_addr, which are
        // mapped memory of the pool; bytes of any value are valid u8. Nobody else writes them.
        unsafe {
            let start = header.buf_addr.cast::<u8>().add(usize::from(header.data_off));
            std::slice::from_raw_parts(start, usize::from(header.data_len))
        }
    }

    /// The packet's bytes, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        let header = self.header();
        // SAFETY: as in `data`, and `&mut self` makes this the only reference.
        unsafe {
            let start = header.buf_addr.cast::<u8>().add(usize::from(header.data_off));
            std::slice::from_raw_parts_mut(start, usize::from(header.data_len))
        }
    }

    /// Bytes that [`Self::grow`] can still add.
    pub fn tailroom(&self) -> usize {
        let header = self.header();
        if !self.is_contiguous() {
            return 0;
        }
        usize::from(header.buf_len)
            .saturating_sub(usize::from(header.data_off))
            .saturating_sub(usize::from(header.data_len))
    }

    /// Adds `len` bytes of undefined content at the end and returns them; `None` and no change if
    /// there is no room.
    pub fn grow(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.tailroom() {
            return None;
        }
        let old = self.data().len();
        self.set_len(old + len);
        self.data_mut().get_mut(old..)
    }

    /// Cuts the packet to its first `len` bytes; does nothing if it is not longer.
    pub fn truncate(&mut self, len: usize) {
        if len < self.data().len() && self.is_contiguous() {
            self.set_len(len);
        }
    }

    /// Removes `len` bytes at the front; `false` and no change if the first piece is shorter.
    pub fn trim_front(&mut self, len: usize) -> bool {
        let have = self.data().len();
        if len > have {
            return false;
        }
        // SAFETY: the header is ours; the new offset stays within the buffer as len <= data_len.
        let header = unsafe { self.raw.as_mut() };
        header.data_off += len as u16;
        header.data_len -= len as u16;
        header.pkt_len -= len as u32;
        true
    }

    /// Adds `len` bytes of undefined content at the front and returns the whole packet; `None` and
    /// no change if the headroom is too small.
    pub fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let header = self.header();
        if len > usize::from(header.data_off) || len + usize::from(header.data_len) > usize::from(u16::MAX) {
            return None;
        }
        // SAFETY: the header is ours; the new offset stays within the buffer as len <= data_off.
        let header = unsafe { self.raw.as_mut() };
        header.data_off -= len as u16;
        header.data_len += len as u16;
        header.pkt_len += len as u32;
        Some(self.data_mut())
    }

    /// The VLAN tag (priority, DEI and identifier) that the driver took out of the packet, if it
    /// did. The note is gone afterwards: whoever takes the tag puts it back or leaves it out.
    pub fn take_stripped_vlan(&mut self) -> Option<u16> {
        if self.header().ol_flags & RX_VLAN_STRIPPED == 0 {
            return None;
        }
        // SAFETY: the header is ours.
        let header = unsafe { self.raw.as_mut() };
        header.ol_flags &= !(RX_VLAN_STRIPPED | RX_VLAN);
        Some(header.vlan_tci)
    }

    /// A number that travels with the buffer: the field in which drivers note the receiving port, which
    /// nobody reads.
    pub fn tag(&self) -> u16 {
        self.header().port
    }

    /// Sets the number that travels with the buffer.
    pub fn set_tag(&mut self, tag: u16) {
        // SAFETY: the header is ours.
        unsafe { self.raw.as_mut() }.port = tag;
    }

    /// Sets the length of a packet in one piece. `len` is within the buffer.
    fn set_len(&mut self, len: usize) {
        // SAFETY: the header is ours; callers checked that `len` bytes fit behind data_off.
        let header = unsafe { self.raw.as_mut() };
        header.data_len = len as u16;
        header.pkt_len = len as u32;
    }
}

impl Drop for Mbuf<'_> {
    fn drop(&mut self) {
        // SAFETY: the buffer is ours and not used again.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.raw.as_ptr()) };
    }
}

/// Gives many buffers back in one call, which is cheaper than dropping them one by one.
pub fn free_bulk<const N: usize>(frames: &mut ArrayVec<Mbuf<'_>, N>) {
    let count = frames.len();
    // SAFETY: forgetting the elements first means that they are freed once, below.
    unsafe { frames.set_len(0) };
    // SAFETY: the first `count` entries are buffers that were ours; Mbuf is a transparent pointer.
    unsafe { dpdk_sys::rte_pktmbuf_free_bulk(frames.as_mut_ptr().cast(), count as u32) };
}
