//! An Ethernet port.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::error::reason;
use crate::steering::IPV4_UDP;
use crate::{Capabilities, Eal, Error, Mempool, Queue};

/// How a port is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig<'a> {
    /// Receive and transmit queues, each: at least 1; never more than the device has.
    pub queues: u16,
    /// Key of the Toeplitz hash that spreads UDP/IPv4 packets over the queues; `None`: no hash.
    pub hash_key: Option<&'a [u8]>,
    /// Descriptors per receive queue, rounded to what the device takes.
    pub rx_descriptors: u16,
    /// Descriptors per transmit queue, rounded to what the device takes.
    pub tx_descriptors: u16,
    /// Largest IP packet in bytes; `None`: the device's own.
    pub mtu: Option<u16>,
}

impl Default for PortConfig<'_> {
    fn default() -> Self {
        Self { queues: 1, hash_key: None, rx_descriptors: 1024, tx_descriptors: 1024, mtu: None }
    }
}

/// State of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether it is up.
    pub up: bool,
    /// Megabits per second; `None`: unknown.
    pub speed: Option<u32>,
}

/// A port's counters, as the device keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets lost because the receive queue was full.
    pub rx_missed: u64,
    /// Broken packets received.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets lost because the pool was empty.
    pub rx_no_buffer: u64,
}

/// A started port. Stopped and closed when dropped; a `net_tap` interface vanishes with it.
pub struct Port<'eal> {
    number: u16,
    name: String,
    driver: String,
    queues: u16,
    /// How many queues were handed out.
    taken: Cell<u16>,
    /// Whether promiscuous mode was switched on here.
    promiscuous: Cell<bool>,
    eal: &'eal Eal,
    /// Control functions of a port are for one thread.
    _one_thread: PhantomData<*const ()>,
}

impl<'eal> Port<'eal> {
    /// Configures and starts the port of this name, with receive buffers from `pool`.
    ///
    /// # Errors
    /// [`Error::NoSuchPort`], [`Error::PortTaken`], or [`Error::Port`] with the step that failed.
    pub fn start(
        eal: &'eal Eal,
        name: &str,
        pool: &Mempool<'eal>,
        config: &PortConfig<'_>,
    ) -> Result<Self, Error> {
        let mut port = Self::open(eal, name)?;
        let info = info(eal, name, port.number)?;
        // SAFETY: the driver's name is a static NUL-terminated string.
        port.driver = unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned();
        port.queues = config.queues.clamp(1, Capabilities::of(&info).queues);
        port.configure(config.hash_key)?;
        port.set_up_queues(pool, config)?;
        if let Some(mtu) = config.mtu {
            port.set_mtu(mtu)?;
        }
        // SAFETY: the port is configured and has its queues.
        port.check("starting", unsafe { dpdk_sys::rte_eth_dev_start(port.number) })?;
        Ok(port)
    }

    /// Also receives frames for other MAC addresses, until the port is dropped.
    ///
    /// # Errors
    /// [`Error::Port`] when the driver cannot.
    pub fn set_promiscuous(&self) -> Result<(), Error> {
        // SAFETY: the port is started.
        self.check("promiscuous mode", unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.number) })?;
        self.promiscuous.set(true);
        Ok(())
    }

    /// What the device of this name can do; it need not be started.
    ///
    /// # Errors
    /// [`Error::NoSuchPort`], or [`Error::Port`] when it does not say.
    pub fn capabilities(eal: &'eal Eal, name: &str) -> Result<Capabilities, Error> {
        info(eal, name, number(name)?).map(|info| Capabilities::of(&info))
    }

    fn open(eal: &'eal Eal, name: &str) -> Result<Self, Error> {
        let number = number(name)?;
        let mut opened = eal.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if opened.contains(&number) {
            return Err(Error::PortTaken { name: name.to_owned() });
        }
        opened.push(number);
        Ok(Self {
            number,
            name: name.to_owned(),
            driver: String::new(),
            queues: 1,
            taken: Cell::new(0),
            promiscuous: Cell::new(false),
            eal,
            _one_thread: PhantomData,
        })
    }

    fn configure(&self, hash_key: Option<&[u8]>) -> Result<(), Error> {
        // No offload: the packet code relies on none.
        // SAFETY: all-zero is rte_eth_conf's documented default (integers, pointers that may be null,
        // and C enums from 0).
        let mut conf: dpdk_sys::rte_eth_conf = unsafe { std::mem::zeroed() };
        if let Some(key) = hash_key {
            conf.rxmode.mq_mode = dpdk_sys::rte_eth_rx_mq_mode_RTE_ETH_MQ_RX_RSS;
            // DPDK's type says that it may write the key; configuring only reads it.
            conf.rx_adv_conf.rss_conf.rss_key = key.as_ptr().cast_mut();
            conf.rx_adv_conf.rss_conf.rss_key_len = key.len().min(usize::from(u8::MAX)) as u8;
            conf.rx_adv_conf.rss_conf.rss_hf = IPV4_UDP;
        }
        // SAFETY: the port exists and is not started; the configuration is copied, and the drivers
        // copy the key, which lives until this returns.
        self.check("configuring", unsafe {
            dpdk_sys::rte_eth_dev_configure(self.number, self.queues, self.queues, &conf)
        })
    }

    fn set_up_queues(&self, pool: &Mempool<'eal>, config: &PortConfig<'_>) -> Result<(), Error> {
        let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
        // SAFETY: the port is configured; both numbers are read and adjusted.
        self.check("choosing queue sizes", unsafe {
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.number, &mut rx, &mut tx)
        })?;
        for queue in 0..self.queues {
            // SAFETY: the queue number is below the configured count; no settings means the
            // driver's defaults; the pool lives as long as the EAL.
            self.check("setting up a receive queue", unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(
                    self.number,
                    queue,
                    rx,
                    u32::MAX,
                    std::ptr::null(),
                    pool.raw(),
                )
            })?;
            // SAFETY: as above.
            self.check("setting up a transmit queue", unsafe {
                dpdk_sys::rte_eth_tx_queue_setup(self.number, queue, tx, u32::MAX, std::ptr::null())
            })?;
        }
        Ok(())
    }

    /// Sets the MTU unless it stands already: some drivers cannot change it, and some (`net_vhost`)
    /// know of none and take what fits a buffer.
    fn set_mtu(&self, mtu: u16) -> Result<(), Error> {
        if self.mtu() == Some(mtu) {
            return Ok(());
        }
        // SAFETY: the port exists and is not started.
        match unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.number, mtu) } {
            code if code == -libc::ENOTSUP => Ok(()),
            code => self.check("setting the MTU", code),
        }
    }

    /// The MTU in bytes, if the driver knows it.
    pub fn mtu(&self) -> Option<u16> {
        let mut mtu = 0;
        // SAFETY: the port exists; `mtu` is written on success.
        (unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.number, &mut mtu) } == 0).then_some(mtu)
    }

    /// The port's name, as given to [`Self::start`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver's name, such as `net_af_xdp`.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// How many queues the port has in each direction.
    pub fn queues(&self) -> u16 {
        self.queues
    }

    /// The port's MAC address.
    ///
    /// # Errors
    /// [`Error::Port`] when the driver does not know it.
    pub fn mac(&self) -> Result<[u8; 6], Error> {
        let mut mac = MaybeUninit::<dpdk_sys::rte_ether_addr>::zeroed();
        // SAFETY: the port exists; the address is written on success.
        let code = unsafe { dpdk_sys::rte_eth_macaddr_get(self.number, mac.as_mut_ptr()) };
        self.check("reading the MAC address", code)?;
        // SAFETY: six bytes of any value.
        Ok(unsafe { mac.assume_init() }.addr_bytes)
    }

    /// The state of the link, without waiting for it.
    pub fn link(&self) -> Option<Link> {
        let mut link = MaybeUninit::<dpdk_sys::rte_eth_link>::zeroed();
        // SAFETY: the port exists; the structure has room and is zeroed.
        let code = unsafe { dpdk_sys::rte_eth_link_get_nowait(self.number, link.as_mut_ptr()) };
        // SAFETY: integers and bit fields of any value, zeroed above.
        let link = unsafe { link.assume_init() };
        let speed = (link.link_speed != 0 && link.link_speed != u32::MAX).then_some(link.link_speed);
        (code == 0).then(|| Link { up: link.link_status() != 0, speed })
    }

    /// The device's counters.
    pub fn stats(&self) -> Option<PortStats> {
        let mut stats = MaybeUninit::<dpdk_sys::rte_eth_stats>::zeroed();
        // SAFETY: the port exists; the structure has room and is zeroed.
        let code = unsafe { dpdk_sys::rte_eth_stats_get(self.number, stats.as_mut_ptr()) };
        // SAFETY: integers of any value, zeroed above.
        let stats = unsafe { stats.assume_init() };
        (code == 0).then_some(PortStats {
            rx_packets: stats.ipackets,
            tx_packets: stats.opackets,
            rx_bytes: stats.ibytes,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            rx_no_buffer: stats.rx_nombuf,
        })
    }

    /// The next queue that nobody has yet; `None` when all are handed out. While it lives, the
    /// port cannot be dropped.
    pub fn queue(&self) -> Option<Queue<'_, 'eal>> {
        let number = self.taken.get();
        if number >= self.queues {
            return None;
        }
        self.taken.set(number + 1);
        // SAFETY: the port is started, the queue exists, and the count makes the handle unique.
        Some(unsafe { Queue::new(self.number, number) })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn check(&self, step: &'static str, code: i32) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(self.failed(step, reason(code))) }
    }

    pub(crate) fn failed(&self, step: &'static str, reason: String) -> Error {
        Error::Port { port: self.name.clone(), step, reason, log: self.eal.log_for_error() }
    }
}

/// DPDK's number of the device of this name.
fn number(name: &str) -> Result<u16, Error> {
    let c_name = CString::new(name).map_err(|_| Error::Nul { what: "a port name" })?;
    let mut number = 0;
    // SAFETY: the name is NUL-terminated, `number` is written on success.
    match unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &mut number) } {
        0 => Ok(number),
        _ => Err(Error::NoSuchPort { name: name.to_owned() }),
    }
}

fn info(eal: &Eal, name: &str, number: u16) -> Result<dpdk_sys::rte_eth_dev_info, Error> {
    let mut info = MaybeUninit::zeroed();
    // SAFETY: the port exists; DPDK fills the structure in whole when it returns 0.
    let code = unsafe { dpdk_sys::rte_eth_dev_info_get(number, info.as_mut_ptr()) };
    if code != 0 {
        let (port, step) = (name.to_owned(), "reading its properties");
        return Err(Error::Port { port, step, reason: reason(code), log: eal.log_for_error() });
    }
    // SAFETY: filled in just now.
    Ok(unsafe { info.assume_init() })
}

impl Drop for Port<'_> {
    fn drop(&mut self) {
        // SAFETY: the port exists, and no queue handle is left, as they borrow from it. Stopping a
        // port that never started does nothing.
        unsafe {
            // A kernel interface would stay promiscuous otherwise.
            if self.promiscuous.get() {
                dpdk_sys::rte_eth_promiscuous_disable(self.number);
            }
            dpdk_sys::rte_eth_dev_stop(self.number);
            dpdk_sys::rte_eth_dev_close(self.number);
        }
        let mut opened = self.eal.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        opened.retain(|number| *number != self.number);
    }
}
