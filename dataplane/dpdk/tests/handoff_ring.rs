//! Packet buffers between two threads. One EAL per process.

use arrayvec::ArrayVec;
use dpdk::{BURST, Eal, Mbuf, Mempool, free_bulk, ring};

#[test]
fn buffers_cross_threads_in_order_and_none_is_lost() {
    let eal =
        Eal::init(&["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry", "--lcores", "0"])
            .unwrap();
    let pool = Mempool::new(&eal, "buffers", 1023, 0).unwrap();
    let (mut sender, mut receiver) = ring(&eal, "first", 100).unwrap();
    assert!(ring(&eal, "first", 100).is_err(), "the name is taken");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut burst = ArrayVec::<Mbuf<'_>, BURST>::new();
            let mut next = 0;
            while next < 20_000 || !burst.is_empty() {
                while next < 20_000 && !burst.is_full() {
                    let Some(mut mbuf) = pool.alloc() else { break };
                    mbuf.set_tag(next);
                    burst.push(mbuf);
                    next += 1;
                }
                sender.send(&mut burst);
            }
        });
        let mut burst = ArrayVec::<Mbuf<'_>, BURST>::new();
        let mut expect = 0;
        while expect < 20_000 {
            receiver.receive(&mut burst);
            for mbuf in &burst {
                assert_eq!(mbuf.tag(), expect);
                expect += 1;
            }
            free_bulk(&mut burst);
        }
    });
    assert_eq!(pool.available(), 1023);

    let mut burst: ArrayVec<_, 200> = std::iter::from_fn(|| pool.alloc()).take(200).collect();
    assert_eq!(sender.send(&mut burst), 127, "a full ring takes no more");
    assert_eq!(burst.len(), 73);
    drop(receiver);
    assert_eq!(sender.send(&mut burst), 0);
    free_bulk(&mut burst);
    assert_eq!(pool.available(), 1023 - 127);
    drop(sender);
    assert_eq!(pool.available(), 1023, "what was in the ring is back");
    ring(&eal, "first", 100).unwrap();
}
