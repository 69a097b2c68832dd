//! Packets beyond Ethernet's usual size, between two vhost ports. Needs root (a network namespace for
//! the kernel twins); without root it says so and does nothing.

mod common;

use common::peer::{self, Namespace, Received, connect, datagram, receive, send};
use common::{DESK, Dataplane, INSIDE, PHONE, is_root, next_hop, open, plain_leg, sh};
use dpdk::Mempool;
use pinhole_flow::Contract;

#[test]
fn packets_up_to_an_mtu_of_9000_pass() {
    if !is_root() {
        return;
    }
    let namespace = Namespace::new("large");
    let mut dataplane = Dataplane::new(&namespace.0);
    let config = peer::config(&dataplane, "[1]").replace("media_ports", "mtu = 9000\nmedia_ports");
    dataplane.start(&config);
    let twin = sh(&format!("ip -n {} link show dev outside", namespace.0));
    assert!(twin.contains("mtu 1500"), "{twin}");

    let eal = peer::eal();
    let pool = Mempool::with_room(&eal, "buffers", 1023, 0, 9200).unwrap();
    let outside = connect(&eal, &pool, &dataplane, 0, "outside", 1);
    let inside = connect(&eal, &pool, &dataplane, 1, "inside", 1);
    let (mut phone, mut desk) = (outside.queue().unwrap(), inside.queue().unwrap());
    let mut contract = Contract::attach(&dataplane.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (number, mac) in (0..).zip(peer::PEER_MACS) {
        next_hop(&mut shard, 1, number, mac);
    }
    open(&mut shard, 3, [plain_leg(0, 16384, 0, (PHONE, 40000)), plain_leg(1, 16400, 1, (DESK, 40002))]);
    peer::warm_up(&pool, &mut phone, &mut desk, &datagram(0, 40000, 16384, &peer::rtp(0)));
    for len in [172, 1472, 1473, 1872, 1873, 2048, 4000, 8971, 8972] {
        let mut payload: Vec<u8> = (0..len).map(|at| (at * at / 7) as u8).collect();
        payload[0] = 0x80;
        send(&pool, &mut phone, &datagram(0, 40000, 16384, &payload));
        let expect = Received::new((INSIDE, 16400), (DESK, 40002), &payload);
        assert!(receive(&mut desk) == Some(expect), "{len} bytes; log:\n{}", dataplane.log());
    }
    drop((outside, inside));
    assert_eq!(dataplane.stop(), 0, "{}", dataplane.log());
}
