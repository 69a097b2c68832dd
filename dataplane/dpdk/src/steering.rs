//! Which receive queue of a port a packet goes to: what a device can be told about it.

use std::mem::MaybeUninit;

use dpdk_sys::{
    rte_eth_rss_reta_entry64, rte_flow_action, rte_flow_action_queue, rte_flow_attr, rte_flow_error,
    rte_flow_item, rte_flow_item_udp,
};

use crate::error::reason;
use crate::{Error, Port};

/// Entries of a redirection table that DPDK takes at once.
const GROUP: usize = dpdk_sys::RTE_ETH_RETA_GROUP_SIZE as usize;
/// DPDK's word for an UDP/IPv4 packet that is no fragment.
pub(crate) const IPV4_UDP: u64 = dpdk_sys::dpdk_rss_ipv4_udp;

/// What a device says of itself before it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Queues in each direction, at most.
    pub queues: u16,
    /// Bytes of the key of its Toeplitz hash over addresses and ports of UDP/IPv4; `None`: it does not
    /// hash these.
    pub hash_key: Option<usize>,
    /// Entries of the table from a hash's low bits to a queue; 0: it has none.
    pub redirection: usize,
    /// Largest IP packet in bytes.
    pub mtu: u16,
}

impl Capabilities {
    pub(crate) fn of(info: &dpdk_sys::rte_eth_dev_info) -> Self {
        // Devices that don't say take the 40 bytes that the hash needs for IPv6.
        let key = if info.hash_key_size == 0 { 40 } else { usize::from(info.hash_key_size) };
        Self {
            queues: info.max_rx_queues.min(info.max_tx_queues).max(1),
            hash_key: (info.flow_type_rss_offloads & IPV4_UDP != 0).then_some(key),
            redirection: usize::from(info.reta_size),
            mtu: info.max_mtu,
        }
    }
}

impl Port<'_> {
    /// Sets the queue of each entry of the redirection table; its length is the device's own. Takes
    /// effect on a port that was started with a [`hash_key`](crate::PortConfig::hash_key).
    ///
    /// # Errors
    /// [`Error::Port`] when the device refuses it.
    pub fn set_redirection(&self, queues: &[u16]) -> Result<(), Error> {
        let group = |part: &[u16]| {
            let mut reta = [0; GROUP];
            reta.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            let mask = if part.len() < GROUP { (1 << part.len()) - 1 } else { u64::MAX };
            rte_eth_rss_reta_entry64 { mask, reta }
        };
        let mut groups: Vec<_> = queues.chunks(GROUP).map(group).collect();
        // SAFETY: the port exists; the groups cover as many entries as the length says, and DPDK
        // refuses a length that is not the device's.
        self.check("setting the redirection table", unsafe {
            dpdk_sys::rte_eth_dev_rss_reta_update(self.number(), groups.as_mut_ptr(), queues.len() as u16)
        })
    }

    /// The queue of each entry of the redirection table of `len` entries; `None` when the device does
    /// not say.
    pub fn redirection(&self, len: usize) -> Option<Vec<u16>> {
        let all = rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; GROUP] };
        let mut groups = vec![all; len.div_ceil(GROUP)];
        // SAFETY: the port exists; the groups have room for as many entries as the length says.
        let code =
            unsafe { dpdk_sys::rte_eth_dev_rss_reta_query(self.number(), groups.as_mut_ptr(), len as u16) };
        (code == 0).then(|| groups.iter().flat_map(|group| group.reta).take(len).collect())
    }

    /// Sends UDP/IPv4 packets whose destination port has the bits `port` under `mask` to a queue
    /// (`rte_flow`).
    ///
    /// # Errors
    /// [`Error::Port`] when the device has no such rules, or no room for one more.
    pub fn steer_udp(&self, port: u16, mask: u16, queue: u16) -> Result<(), Error> {
        let udp = |port: u16| {
            // SAFETY: all-zero is a valid UDP header.
            let mut item: rte_flow_item_udp = unsafe { std::mem::zeroed() };
            item.hdr.dst_port = port.to_be();
            item
        };
        let (spec, mask) = (udp(port), udp(mask));
        let item = |type_, spec: *const rte_flow_item_udp, mask: *const rte_flow_item_udp| rte_flow_item {
            type_,
            spec: spec.cast(),
            last: std::ptr::null(),
            mask: mask.cast(),
        };
        let any = std::ptr::null();
        let pattern = [
            item(dpdk_sys::rte_flow_item_type_RTE_FLOW_ITEM_TYPE_ETH, any, any),
            item(dpdk_sys::rte_flow_item_type_RTE_FLOW_ITEM_TYPE_IPV4, any, any),
            item(dpdk_sys::rte_flow_item_type_RTE_FLOW_ITEM_TYPE_UDP, &spec, &mask),
            item(dpdk_sys::rte_flow_item_type_RTE_FLOW_ITEM_TYPE_END, any, any),
        ];
        let target = rte_flow_action_queue { index: queue };
        let end = dpdk_sys::rte_flow_action_type_RTE_FLOW_ACTION_TYPE_END;
        let actions = [
            rte_flow_action {
                type_: dpdk_sys::rte_flow_action_type_RTE_FLOW_ACTION_TYPE_QUEUE,
                conf: (&raw const target).cast(),
            },
            rte_flow_action { type_: end, conf: std::ptr::null() },
        ];
        // SAFETY: all-zero is the default attribute: group 0, priority 0.
        let mut attributes: rte_flow_attr = unsafe { std::mem::zeroed() };
        attributes.set_ingress(1);
        let mut error = MaybeUninit::<rte_flow_error>::zeroed();
        // SAFETY: pattern and actions end with END entries, and all of it outlives the call, which
        // copies what it keeps. The error structure may be left untouched: it is zeroed.
        let rule = unsafe {
            dpdk_sys::rte_flow_create(
                self.number(),
                &attributes,
                pattern.as_ptr(),
                actions.as_ptr(),
                error.as_mut_ptr(),
            )
        };
        if rule.is_null() {
            Err(self.failed("making a flow rule", crate::error::last_reason()))
        } else {
            Ok(())
        }
    }

    /// Removes every rule of [`Self::steer_udp`].
    ///
    /// # Errors
    /// [`Error::Port`] when the device cannot.
    pub fn stop_steering(&self) -> Result<(), Error> {
        let mut error = MaybeUninit::<rte_flow_error>::zeroed();
        // SAFETY: the port exists; the error structure is zeroed and has room.
        let code = unsafe { dpdk_sys::rte_flow_flush(self.number(), error.as_mut_ptr()) };
        if code == 0 { Ok(()) } else { Err(self.failed("removing flow rules", reason(code))) }
    }
}

/// DPDK's own Toeplitz hash of a UDP/IPv4 packet: what a device computes with this key. To check a key
/// against; needs no EAL. `None`: the key is too short for the input.
pub fn softrss(
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
    key: &[u8],
) -> Option<u32> {
    let mut words = [source, destination, u32::from(source_port) << 16 | u32::from(destination_port)];
    if key.len() < (words.len() + 1) * 4 {
        return None;
    }
    // DPDK reads the key in words.
    let aligned: Vec<u32> =
        key.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_ne_bytes).collect();
    // SAFETY: reads the words, and of the key one word more than there are, which it has.
    Some(unsafe { dpdk_sys::rte_softrss(words.as_mut_ptr(), words.len() as u32, aligned.as_ptr().cast()) })
}
