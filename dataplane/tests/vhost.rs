//! The process between two vhost ports. Needs root (a network namespace for the kernel twins);
//! without root it says so and does nothing.

mod common;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use common::peer::{self, Namespace, Received, connect, datagram, receive, rtp, send};
use common::{DESK, Dataplane, INSIDE, OUTSIDE, PHONE, is_root, next_hop, open, plain_leg};
use dpdk::Mempool;
use pinhole_flow::{Contract, DropCause};

#[test]
fn media_passes_vhost_ports_and_their_peer_may_leave_and_come_back() {
    if !is_root() {
        return;
    }
    let namespace = Namespace::new("vhost");
    let mut dataplane = Dataplane::new(&namespace.0);
    let config = peer::config(&dataplane, "[1]");
    let directory = dataplane.directory().display().to_string();
    let socket = dataplane.path("outside.sock");
    let (line, code) =
        dataplane.refusal(&config.replace(&format!("vhost:{directory}"), "vhost:/nonexistent"));
    assert!(
        line.contains("the directory of /nonexistent/outside.sock does not exist") && code == 1,
        "{line}"
    );
    std::fs::write(&socket, "precious").unwrap();
    let (line, code) = dataplane.refusal(&config);
    assert!(line.contains("outside.sock is not a socket") && code == 1, "{line}");
    std::fs::remove_file(&socket).unwrap();

    dataplane.start(&config);
    dataplane.kill();
    assert!(socket.exists(), "a killed process leaves its sockets");
    dataplane.start(&config);
    let metadata = socket.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid()), (0o660, 0));
    dataplane.wait(|this| this.log().contains("no peer is connected to"));

    let eal = peer::eal();
    let pool = Mempool::new(&eal, "buffers", 4095, 0).unwrap();
    let mut contract = Contract::attach(&dataplane.socket(), 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    for (number, mac) in (0..).zip(peer::PEER_MACS) {
        next_hop(&mut shard, 1, number, mac);
    }
    open(&mut shard, 3, [plain_leg(0, 16384, 0, (PHONE, 40000)), plain_leg(1, 16400, 1, (DESK, 40002))]);

    for visit in 0..3 {
        let outside = connect(&eal, &pool, &dataplane, 2 * visit, "outside", 1);
        let inside = connect(&eal, &pool, &dataplane, 2 * visit + 1, "inside", 1);
        dataplane.wait(|this| this.log().matches(": up again").count() == 2 * visit + 2);
        let (mut phone, mut desk) = (outside.queue().unwrap(), inside.queue().unwrap());
        for sequence in 0..50 {
            let payload = rtp(sequence);
            send(&pool, &mut phone, &datagram(0, 40000, 16384, &payload));
            let (source, destination) = ((INSIDE, 16400), (DESK, 40002));
            let expect = Received::new(source, destination, &payload);
            assert_eq!(receive(&mut desk), Some(expect), "{}", dataplane.log());
            send(&pool, &mut desk, &datagram(1, 40002, 16400, &payload));
            let expect = Received::new((OUTSIDE, 16384), (PHONE, 40000), &payload);
            assert_eq!(receive(&mut phone), Some(expect), "{}", dataplane.log());
        }
        drop((outside, inside));
        dataplane.wait(|this| this.log().matches("no peer is connected").count() == 2 * visit + 4);
    }
    assert_eq!(shard.read_slot(3).unwrap().live[0].stats.rx_packets, 150);
    // What the kernel sent while nobody was there found no room on the wire; nothing else was lost.
    let drops = contract.stats()[0].drops;
    assert_eq!(drops.iter().sum::<u64>(), drops[DropCause::TxFull as usize]);
    assert_eq!(dataplane.stop(), 0, "{}", dataplane.log());
    assert!(!socket.exists() && !dataplane.path("inside.sock").exists());
}
