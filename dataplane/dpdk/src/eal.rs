//! DPDK's environment: starts once per process, ends with its owner.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::error::{last_reason, reason};
use crate::log::Capture;

static STARTED: AtomicBool = AtomicBool::new(false);

/// DPDK's environment abstraction layer. Dropping it closes what is still open and unmaps all
/// packet memory; everything that uses that memory borrows from the `Eal`.
pub struct Eal {
    log: Capture,
    /// Numbers of the ports that were opened, so that none is opened twice; the lock also keeps
    /// device creation to one thread at a time.
    pub(crate) opened: Mutex<Vec<u16>>,
}

impl Eal {
    /// Starts the EAL with these arguments (without a program name), such as `--no-huge`.
    ///
    /// The calling thread becomes DPDK's main lcore and is pinned to its core.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`] at the second call in a process, [`Error::Init`] when DPDK
    /// refuses the arguments or the machine lacks something.
    pub fn init<S: AsRef<str>>(arguments: &[S]) -> Result<Self, Error> {
        let mut owned = vec![c"pinhole".to_owned()];
        for argument in arguments {
            owned.push(CString::new(argument.as_ref()).map_err(|_| Error::Nul { what: "an EAL argument" })?);
        }
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyStarted);
        }
        let log = Capture::install();
        // The EAL keeps and permutes the pointers: the strings are leaked, once per process.
        let mut pointers: Vec<_> = owned.into_iter().map(CString::into_raw).collect();
        let count = i32::try_from(pointers.len()).unwrap_or(i32::MAX);
        pointers.push(std::ptr::null_mut());
        // SAFETY: argv has `count` writable NUL-terminated strings and a closing null pointer, all
        // of which stay valid; this is the only call in the process.
        let code = unsafe { dpdk_sys::rte_eal_init(count, Vec::leak(pointers).as_mut_ptr()) };
        if code < 0 {
            return Err(Error::Init { reason: last_reason(), log: log.take() });
        }
        Ok(Self { log, opened: Mutex::new(Vec::new()) })
    }

    /// Creates or probes a device from its arguments, such as `net_tap0,iface=outside`.
    ///
    /// # Errors
    /// [`Error::Probe`] with what DPDK said.
    pub fn probe(&self, device: &str) -> Result<(), Error> {
        let arguments = CString::new(device).map_err(|_| Error::Nul { what: "a device name" })?;
        let _one_at_a_time = self.opened.lock();
        // SAFETY: the string is NUL-terminated and only read during the call; the EAL is up.
        let code = unsafe { dpdk_sys::rte_dev_probe(arguments.as_ptr()) };
        if code < 0 {
            return Err(Error::Probe {
                device: device.to_owned(),
                reason: reason(code),
                log: self.log.take(),
            });
        }
        Ok(())
    }

    /// Whether packet memory is in huge pages.
    pub fn has_huge_pages(&self) -> bool {
        // SAFETY: reads the EAL's configuration, which is set up.
        unsafe { dpdk_sys::rte_eal_has_hugepages() != 0 }
    }

    /// The lines that DPDK logged since the last call.
    pub fn take_log(&self) -> Vec<String> {
        self.log.take().0
    }

    pub(crate) fn log_for_error(&self) -> crate::error::Log {
        self.log.take()
    }

    /// Makes the calling thread known to DPDK, which gives it its own cache in every pool. Pinning
    /// the thread to a core is the caller's business.
    ///
    /// # Errors
    /// [`Error::Thread`] when DPDK has no lcore number left.
    pub fn register_thread(&self) -> Result<RegisteredThread<'_>, Error> {
        // SAFETY: the EAL is up; registering an already registered thread is refused by DPDK or
        // does nothing.
        if unsafe { dpdk_sys::rte_thread_register() } < 0 {
            return Err(Error::Thread { reason: last_reason() });
        }
        Ok(RegisteredThread { _eal: PhantomData, _this_thread: PhantomData })
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        // SAFETY: the EAL was started by `init` and is cleaned up once. Ports, queues, pools and
        // buffers borrow from this value, so none can be used after it.
        unsafe { dpdk_sys::rte_eal_cleanup() };
    }
}

/// A thread that DPDK knows, until this is dropped on the same thread.
pub struct RegisteredThread<'eal> {
    _eal: PhantomData<&'eal Eal>,
    /// Not `Send`: unregistering is for the thread that registered.
    _this_thread: PhantomData<Cell<*const ()>>,
}

impl Drop for RegisteredThread<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread was registered by `Eal::register_thread`, as the guard is not Send.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}

/// DPDK's version as it describes itself, such as `DPDK 22.11.11`.
pub fn version() -> String {
    // SAFETY: returns a static NUL-terminated string; needs no EAL.
    unsafe { CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned()
}
