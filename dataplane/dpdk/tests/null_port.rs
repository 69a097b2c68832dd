//! Bursts on a `net_null` port, which makes empty packets and swallows what it is given. One EAL
//! per process.

use arrayvec::ArrayVec;
use dpdk::{BURST, Eal, Mbuf, Mempool, Port, PortConfig};

#[test]
fn a_null_port_forwards_bursts_and_its_port_can_be_started_again() {
    let eal =
        Eal::init(&["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry", "--lcores", "0"])
            .unwrap();
    let pool = Mempool::new(&eal, "buffers", 2047, 0).unwrap();
    eal.probe("net_null0,size=64").unwrap();
    let config = PortConfig { mtu: Some(1500), ..PortConfig::default() };
    let port = Port::start(&eal, "net_null0", &pool, &config).unwrap();
    assert_eq!((port.driver(), port.queues(), port.mtu()), ("net_null", 1, Some(1500)));
    port.set_promiscuous().unwrap();
    {
        let mut queue = port.queue().unwrap();
        let mut frames = ArrayVec::<Mbuf<'_>, BURST>::new();
        for _ in 0..1000 {
            assert_eq!(queue.rx_burst(&mut frames), BURST);
            assert_eq!(frames.iter().map(|frame| frame.data().len()).sum::<usize>(), BURST * 64);
            assert_eq!(queue.tx_burst(&mut frames), BURST);
        }
    }
    drop(port);
    assert_eq!(pool.available(), 2047);
    eal.probe("net_null1").unwrap();
    Port::start(&eal, "net_null1", &pool, &PortConfig::default()).unwrap();
}
