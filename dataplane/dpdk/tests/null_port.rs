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
    let can = Port::capabilities(&eal, "net_null1").unwrap();
    assert!(can.queues >= 2 && can.redirection >= 64, "{can:?}");
    let key = [0x5a; 40];
    assert_eq!(can.hash_key, Some(key.len()));
    let config = PortConfig { queues: 2, hash_key: Some(&key), ..config };
    let port = Port::start(&eal, "net_null1", &pool, &config).unwrap();
    let table: Vec<u16> = (0..can.redirection).map(|entry| (entry / 3 % 2) as u16).collect();
    port.set_redirection(&table).unwrap();
    assert_eq!(port.redirection(can.redirection), Some(table));
    let refusal = port.steer_udp(16384, 0x3e, 1).unwrap_err().to_string();
    assert!(refusal.contains("making a flow rule failed"), "{refusal}");
}
