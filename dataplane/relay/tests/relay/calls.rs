//! Long calls, with what happens in them: nobody goes deaf.

use pinhole_flow::Suite;

use crate::support::bench::SECOND;
use crate::support::peer::master;
use crate::support::*;

/// Packets in five minutes.
const FIVE_MINUTES: u16 = 15_000;

/// A call and how far its two senders are.
struct Call {
    bench: Bench,
    suite: Suite,
    peer: Peer,
    /// Where the phone's packets come from.
    source: std::net::SocketAddrV4,
    /// SSRC and sequence number of the phone.
    phone: (u32, u16),
    /// The same of the inside phone.
    desk: (u32, u16),
}

impl Call {
    fn new(suite: Suite) -> Self {
        let mut bench = Bench::new();
        let peer = bench.call(1, suite);
        Self { bench, suite, peer, source: phone(), phone: (7, 65_530), desk: (8, 40_000) }
    }

    /// Five minutes, of which every tenth packet arrives, and every report.
    fn talk(&mut self) {
        for sent in 0..FIVE_MINUTES / 10 {
            let (ssrc, sequence) = self.phone;
            let sealed = self.peer.protect(&rtp(ssrc, sequence));
            let out = self.bench.send(&Packet::new(self.source, ours_outside(1), &sealed));
            assert_eq!(out.one().1.payload, rtp(ssrc, sequence), "inwards {ssrc} {sequence}");
            self.phone.1 = sequence.wrapping_add(10);

            let (ssrc, sequence) = self.desk;
            let clear = rtp(ssrc, sequence);
            let out = self.bench.send(&Packet::new(inside(), ours_inside(1), &clear));
            let (_, sealed) = out.one();
            assert_eq!(sealed.destination, self.source);
            let heard = self.peer.unprotect(&sealed.payload).unwrap();
            // A number may have been moved on.
            assert_eq!((&heard[..2], &heard[4..]), (&clear[..2], &clear[4..]), "outwards {ssrc} {sequence}");
            self.desk.1 = sequence.wrapping_add(10);

            if sent % 25 == 0 {
                self.report();
            }
            self.bench.now += SECOND / 50 * 10;
        }
    }

    fn report(&mut self) {
        let sealed = self.peer.protect(&rtcp(self.phone.0));
        let out = self.bench.send(&Packet::new(next(self.source), next(ours_outside(1)), &sealed));
        assert_eq!(out.one().1.payload, rtcp(self.phone.0));
        let clear = rtcp(self.desk.0);
        let out = self.bench.send(&Packet::new(next(inside()), next(ours_inside(1)), &clear));
        assert_eq!(self.peer.unprotect(&out.one().1.payload), Some(clear));
    }

    /// A hold of two minutes and the re-offers around it, after which something may be new.
    fn hold(&mut self) {
        let orders = self.bench.slots[1].session;
        self.bench.update(1, orders);
        self.bench.now += 120 * SECOND;
        self.bench.update(1, orders);
    }

    fn rekey(&mut self, seed: u8) {
        let mut orders = self.bench.slots[1].session;
        orders.legs[0].inbound = master(self.suite, seed);
        self.bench.update(1, orders);
        self.peer.rekey(&orders.legs[0].inbound);
    }
}

#[test]
fn a_call_of_an_hour_and_a_half_with_all_that_happens_in_it_loses_nothing() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let mut call = Call::new(suite);
        call.talk();
        call.hold();
        call.talk();
        // Other streams for a while (music on hold, a transfer), then the first ones again.
        let (first, desk) = (call.phone, call.desk);
        (call.phone, call.desk) = ((17, 3), (18, 65_000));
        call.hold();
        call.talk();
        (call.phone, call.desk) = (first, desk);
        call.hold();
        call.talk();
        // Another address of the NAT.
        call.source = at("198.51.100.77:61000");
        call.bench.now += SECOND;
        let sealed = call.peer.protect(&rtp(7, call.phone.1));
        call.bench.send(&Packet::new(call.source, ours_outside(1), &sealed));
        let sealed = call.peer.protect(&rtcp(7));
        call.bench.send(&Packet::new(next(call.source), next(ours_outside(1)), &sealed));
        call.phone.1 = call.phone.1.wrapping_add(1);
        call.talk();
        // A new key, with the counter as it was, and one with a counter that begins at 0.
        call.rekey(201);
        call.talk();
        call.talk();
        assert_ne!(call.bench.slots[1].live[0].inbound[0].index >> 16, 0);
        call.rekey(202);
        call.peer.restart();
        call.talk();
        // Half an hour without anything.
        for _ in 0..6 {
            call.talk();
        }
        // The inside phone sets its numbers back at a resume.
        call.hold();
        call.desk.1 = 5;
        call.talk();
        call.hold();
        call.talk();
        let drops = &call.bench.stats.drops;
        assert!(drops.iter().all(|count| *count == 0), "{drops:?}");
    }
}

#[test]
fn a_phone_that_begins_anew_at_every_resume_is_heard_but_for_the_numbers_last_seen() {
    let mut call = Call::new(Suite::AesCm128HmacSha1_80);
    for round in 0..8 {
        let start = if round % 2 == 0 { 1_000 } else { 60_000 };
        call.peer.restart();
        let heard = (start..start + 300).filter(|sequence| {
            let sealed = call.peer.protect(&rtp(7, *sequence));
            let out = call.bench.send(&Packet::new(phone(), ours_outside(1), &sealed));
            out.sent.len() == 1
        });
        let heard = heard.count();
        // Numbers in the window of before, of 128, are not accepted again; the first two rounds know none.
        assert!(heard >= if round < 2 { 300 } else { 300 - 128 }, "round {round}: {heard}");
        call.hold();
    }
}
