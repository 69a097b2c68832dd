//! Packets through a `net_ring` port, which receives what it sends. One EAL per process, so one
//! test per file; no network interface, privilege or huge page is needed.

use arrayvec::ArrayVec;
use dpdk::{BURST, Eal, Error, Mbuf, Mempool, Port, PortConfig, free_bulk};

type Burst<'eal> = ArrayVec<Mbuf<'eal>, BURST>;

#[test]
fn what_a_ring_port_sends_it_receives_and_no_buffer_is_lost() {
    let eal =
        Eal::init(&["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry", "--lcores", "0"])
            .unwrap();
    assert!(matches!(Eal::init::<&str>(&[]), Err(Error::AlreadyStarted)));
    assert!(!eal.has_huge_pages());

    let pool = Mempool::new(&eal, "buffers", 4095, 128).unwrap();
    eal.probe("net_ring0").unwrap();
    let absent = eal.probe("net_af_packet9,iface=no-such-if").unwrap_err();
    assert!(absent.to_string().contains("no-such-if"), "{absent}");

    let port = Port::start(&eal, "net_ring0", &pool, &PortConfig::default()).unwrap();
    assert!(matches!(
        Port::start(&eal, "net_ring0", &pool, &PortConfig::default()),
        Err(Error::PortTaken { .. })
    ));
    assert!(matches!(
        Port::start(&eal, "net_none", &pool, &PortConfig::default()),
        Err(Error::NoSuchPort { .. })
    ));
    assert_eq!(port.driver(), "net_ring");
    assert!(port.link().unwrap().up);

    let mut queue = port.queue().unwrap();
    assert!(port.queue().is_none(), "a queue is handed out once");
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let _registered = eal.register_thread().unwrap();
            let mut out = Burst::new();
            for number in 0..20_u8 {
                let mut frame = pool.alloc().unwrap();
                frame.grow(60).unwrap().fill(number);
                out.push(frame);
            }
            assert_eq!(queue.tx_burst(&mut out), 20);
            assert!(out.is_empty());

            let mut back = Burst::new();
            back.push(pool.alloc().unwrap());
            assert_eq!(queue.rx_burst(&mut back), 20);
            let numbers: Vec<u8> = back.iter().skip(1).map(|frame| frame.data()[0]).collect();
            assert_eq!(numbers, (0..20).collect::<Vec<u8>>());
            drop(back.pop());
            free_bulk(&mut back);
            assert!(back.is_empty());
        });
        worker.join().unwrap();
    });
    assert_eq!(port.stats().unwrap().tx_packets, 20);
    assert_eq!(pool.available(), 4095);

    let mut frame = pool.alloc().unwrap();
    assert!(frame.data().is_empty() && frame.is_contiguous());
    assert!(frame.grow(5000).is_none(), "more than the buffer has");
    frame.grow(10).unwrap().copy_from_slice(b"0123456789");
    assert!(frame.trim_front(4) && frame.data() == b"456789");
    assert!(!frame.trim_front(7));
    frame.prepend(2).unwrap()[..2].copy_from_slice(b"ab");
    frame.truncate(4);
    assert_eq!(frame.data(), b"ab45");
    assert!(frame.prepend(4000).is_none());
    drop(frame);

    let mut all: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    // The cache of the thread that is gone keeps up to one and a half times its size.
    assert!(all.len() >= 4095 - 192, "an empty pool says so, but only at {}", all.len());
    all.clear();
    assert_eq!(pool.available(), 4095);
}
