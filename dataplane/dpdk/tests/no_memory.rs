//! A pool that does not fit the memory is an error that says so. One EAL per process.

use dpdk::{Eal, Error, Mempool};

#[test]
fn a_pool_larger_than_the_memory_is_refused() {
    let eal =
        Eal::init(&["--no-huge", "-m", "16", "--no-shconf", "--no-pci", "--no-telemetry", "--lcores", "0"])
            .unwrap();
    let error = Mempool::new(&eal, "too_large", 100_000, 0).err().unwrap();
    assert!(matches!(error, Error::Pool { buffers: 100_000, .. }), "{error}");
    assert!(error.to_string().contains("100000 packet buffers"), "{error}");
}
