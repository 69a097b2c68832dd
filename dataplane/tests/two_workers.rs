//! Two workers on two cores between two vhost ports with two queues each. Needs root (a network
//! namespace for the kernel twins) and two cores; otherwise it says so and does nothing.

mod common;

use std::net::Ipv4Addr;

use common::peer::{
    self, Namespace, OUR_MACS, PATIENCE, PEER_MACS, Received, connect, datagram, receive, receive_frame, rtp,
    send,
};
use common::{DESK, Dataplane, INSIDE, OUTSIDE, PHONE, is_root, next_hop, open, plain_leg, sh};
use dpdk::{Mempool, Queue};
use pinhole_flow::steering::worker_of;
use pinhole_flow::{Contract, DropCause, ShardEnd, WorkerStats};

/// Each phone's leg belongs to another worker: what one sends passes from our inside address to our
/// inside address.
fn call_between_phones<'eal>(pool: &Mempool<'eal>, phones: &mut [Queue<'_, 'eal>; 2], shard: &mut ShardEnd) {
    let ports = [16388, 16390];
    assert_eq!(ports.map(|port| worker_of(port, 2)), [0, 1]);
    for (here, there) in [(0, 1), (1, 0)] {
        let slot = shard.slots(here as u32).start + 1;
        let far = plain_leg(1, ports[here], 1, (INSIDE, ports[there]));
        open(shard, slot, [plain_leg(0, ports[here], 0, (PHONE, 40000 + ports[here])), far]);
    }
    for sequence in 0..10 {
        for (here, there) in [(0, 1), (1, 0)] {
            let payload = rtp(sequence);
            send(pool, &mut phones[here], &datagram(0, 40000 + ports[here], ports[here], &payload));
            let expect = Received::new((OUTSIDE, ports[there]), (PHONE, 40000 + ports[there]), &payload);
            assert_eq!(receive(&mut phones[there]), Some(expect));
        }
    }
}

fn arp_request(from: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let head = [&[0xff; 6][..], &from, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    [&head[..], &from, &sender.octets(), &[0; 6], &target.octets()].concat()
}

#[test]
fn two_workers_relay_what_comes_to_either() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !is_root() || cores < 2 {
        eprintln!("skipped: needs root and two cores, there are {cores}");
        return;
    }
    let namespace = Namespace::new("two");
    let mut dataplane = Dataplane::new(&namespace.0);
    dataplane.start(&peer::config(&dataplane, "[0, 1]"));
    dataplane.wait(|this| [0, 1].map(|worker| this.worker_capabilities(worker)) == [Some(0); 2]);
    assert!(dataplane.log().contains("queues: 2, steering by hand-off"), "{}", dataplane.log());
    sh(&format!("ip -n {} addr add {OUTSIDE}/24 dev outside", namespace.0));
    sh(&format!("ip -n {} addr add {INSIDE}/24 dev inside", namespace.0));

    let eal = peer::eal();
    let pool = Mempool::new(&eal, "buffers", 4095, 0).unwrap();
    let outside = connect(&eal, &pool, &dataplane, 0, "outside", 2);
    let inside = connect(&eal, &pool, &dataplane, 1, "inside", 2);
    let mut phones = [outside.queue().unwrap(), outside.queue().unwrap()];
    let mut desks = [inside.queue().unwrap(), inside.queue().unwrap()];

    let mut contract = Contract::attach(&dataplane.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (number, mac) in (0..).zip(PEER_MACS) {
        next_hop(&mut shard, 2, number, mac);
    }
    // Worker w has the ports 16384 + 2w.
    let port = |worker: usize| 16384 + 2 * worker as u16;
    assert_eq!([0, 1].map(|worker| worker_of(port(worker), 2)), [0, 1]);
    for worker in 0..2 {
        let slot = shard.slots(worker as u32).start;
        let legs =
            [plain_leg(0, port(worker), 0, (PHONE, 40000)), plain_leg(1, port(worker), 1, (DESK, 40000))];
        open(&mut shard, slot, legs);
    }
    for (from, worker) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let frame = |side| datagram(side, 40000, port(worker), &rtp(0));
        peer::warm_up(&pool, &mut phones[from], &mut desks[worker], &frame(0));
        peer::warm_up(&pool, &mut desks[from], &mut phones[worker], &frame(1));
    }

    let received = |shard: &ShardEnd, worker: usize| {
        let view = shard.read_slot(shard.slots(worker as u32).start).unwrap();
        [0, 1].map(|leg| view.live[leg].stats.rx_packets)
    };
    let warm = [0, 1].map(|worker| received(&shard, worker));
    // Every worker's session, from each queue: the worker's own and the other's.
    let mut before = contract.stats();
    for worker in 0..2 {
        for queue in 0..2 {
            for sequence in 0..20 {
                let payload = rtp(sequence);
                send(&pool, &mut phones[queue], &datagram(0, 40000, port(worker), &payload));
                let expect = Received::new((INSIDE, port(worker)), (DESK, 40000), &payload);
                assert_eq!(receive(&mut desks[worker]), Some(expect), "{}", dataplane.log());
                send(&pool, &mut desks[queue], &datagram(1, 40000, port(worker), &payload));
                let expect = Received::new((OUTSIDE, port(worker)), (PHONE, 40000), &payload);
                assert_eq!(receive(&mut phones[worker]), Some(expect), "{}", dataplane.log());
            }
            let (there, here) = if queue == worker { (0, 0) } else { (40, queue) };
            let counted = |at: usize| if at == here { there } else { 0 };
            let taken = |at: usize| if at == worker { there } else { 0 };
            let now = contract.stats();
            let change = |of: fn(&WorkerStats) -> u64| [0, 1].map(|at| of(&now[at]) - of(&before[at]));
            assert_eq!(change(|stats| stats.missteered), [0, 1].map(counted));
            assert_eq!(change(|stats| stats.handoff_out), [0, 1].map(counted));
            assert_eq!(change(|stats| stats.handoff_in), [0, 1].map(taken));
            before = now;
        }
        assert_eq!(received(&shard, worker), warm[worker].map(|count| count + 40));
    }

    call_between_phones(&pool, &mut phones, &mut shard);
    let stats = contract.stats();
    assert_eq!(stats.iter().map(|stats| stats.hairpins).sum::<u64>(), 20);
    assert_eq!([0, 1].map(|worker| stats[worker].sessions_open), [2, 2]);

    // What is not media goes to the twin, whoever polls it, and comes back.
    for queue in 0..2 {
        let request = arp_request(PEER_MACS[0], PHONE, OUTSIDE);
        send(&pool, &mut phones[queue], &request);
        let reply = receive_frame(&mut phones[0], PATIENCE, |frame| {
            frame.get(12..22) == Some(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2])
        });
        assert_eq!(&reply.unwrap()[22..28], &OUR_MACS[0], "the kernel's answer, through queue {queue}");
    }
    for stats in contract.stats() {
        let lost = stats.drops.iter().sum::<u64>() - stats.drops[DropCause::TxFull as usize];
        assert_eq!(lost, 0, "{:?}", stats.drops);
    }
    drop((outside, inside));
    assert_eq!(dataplane.stop(), 0, "{}", dataplane.log());
}
