//! Commands: checked, idempotent, acknowledged.

use pinhole_flow::leg::mapped;
use pinhole_flow::slot::state;
use pinhole_flow::{Command, DropCause, Event, EventKind, Leg, MasterKey, NextHop, Refusal, Session, Suite};

use crate::support::bench::SLOTS;
use crate::support::*;

fn plain() -> Session {
    session(leg(OUTSIDE, 20_010, phone()), leg(INSIDE, 30_010, inside()))
}

fn refused(event: Event, refusal: Refusal) {
    assert_eq!((event.kind, event.detail), (EventKind::Refused as u32, refusal as u32), "{refusal:?}");
}

fn done(event: Event) {
    assert_eq!((event.kind, event.detail), (EventKind::Done as u32, 0), "{event:?}");
}

fn to_inside_leg() -> Packet {
    Packet::new(inside(), ours_inside(1), &rtp(7, 1))
}

#[test]
fn an_opened_session_is_shown_in_its_slot() {
    let mut bench = Bench::new();
    bench.open(1, plain());
    let slot = &bench.slots[1];
    assert_eq!((slot.state, slot.generation, slot.worker), (state::OPEN, 1, 0));
    assert_eq!((slot.session, slot.opened_ns), (plain(), bench.now));
    assert_eq!(slot.live[0].remote_rtp, phone().port());
    assert_eq!(slot.live[0].remote_ip, mapped((*phone().ip()).into()));
    assert_eq!(slot.version % 2, 0);
    assert_eq!(bench.relay.open_sessions(), 1);
}

#[test]
fn repeated_commands_are_acknowledged_and_change_nothing() {
    let mut bench = Bench::new();
    bench.open(1, plain());
    bench.send(&to_inside_leg());
    let mut other = plain();
    other.legs[0].local_rtp = 22_222;
    done(bench.command(Command::open(1, 1, 0, other)));
    assert_eq!(bench.slots[1].session, plain());
    assert_eq!(bench.slots[1].live[1].stats.rx_packets, 1);
    done(bench.command(Command::close(1, 1, 0)));
    done(bench.command(Command::close(1, 1, 0)));
    // An Open that comes late does not bring the session back.
    refused(bench.command(Command::open(1, 1, 0, plain())), Refusal::SlotBusy);
    assert_eq!(bench.relay.open_sessions(), 0);
    done(bench.command(Command::open(1, 2, 0, plain())));
}

#[test]
fn close_shuts_the_pinholes_and_wipes_the_keys_before_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.call(1, Suite::AeadAes256Gcm);
    assert_ne!(bench.slots[1].session.legs[0].inbound, MasterKey::NONE);
    assert_eq!(bench.send(&to_inside_leg()).sent.len(), 1);
    done(bench.command(Command::close(1, 1, 0)));
    let slot = &bench.slots[1];
    assert_eq!((slot.state, slot.generation), (state::FREE, 1));
    assert!(slot.session.legs.iter().all(|leg| [leg.inbound, leg.outbound] == [MasterKey::NONE; 2]));
    assert_eq!(slot.live[1].stats.rx_packets, 1, "counters stay to be read");
    for destination in [ours_inside(1), next(ours_inside(1)), ours_outside(1), next(ours_outside(1))] {
        let packet = Packet::new(inside(), destination, &rtp(7, 2));
        bench.refuses(&packet, DropCause::ClosedPinhole, None);
    }
}

#[test]
fn commands_that_fit_no_slot_are_refused() {
    let mut bench = Bench::new();
    refused(bench.command(Command::open(SLOTS, 1, 0, plain())), Refusal::BadIndex);
    refused(bench.command(Command::update(u32::MAX, 1, 0, plain())), Refusal::BadIndex);
    refused(bench.command(Command::close(SLOTS, 1, 0)), Refusal::BadIndex);
    refused(bench.command(Command::update(1, 1, 0, plain())), Refusal::NotOpen);
    refused(bench.command(Command::close(1, 1, 0)), Refusal::NotOpen);
    refused(bench.command(Command { kind: 99, ..Command::close(1, 1, 0) }), Refusal::UnknownKind);
    bench.open(1, plain());
    refused(bench.command(Command::open(1, 2, 0, plain())), Refusal::SlotBusy);
    refused(bench.command(Command::update(1, 2, 0, plain())), Refusal::NotOpen);
    refused(bench.command(Command::close(1, 2, 0)), Refusal::NotOpen);
}

#[test]
fn legs_that_make_no_sense_are_refused_and_change_nothing() {
    let mut bench = Bench::new();
    let good = plain().legs[0];
    let mut long_mki = Leg { ..good };
    long_mki.inbound = MasterKey { suite: 1, ..MasterKey::NONE };
    long_mki.mki.len = 129;
    let bad = [
        Leg { port: 2, ..good },
        Leg { flags: 0x80, ..good },
        Leg { dscp: 64, ..good },
        Leg { local_rtp: 20_011, local_rtcp: 20_012, ..good },
        Leg { local_rtcp: 20_013, ..good },
        Leg { local_rtp: 16_382, local_rtcp: 16_383, ..good },
        Leg { local_rtp: 32_768, local_rtcp: 32_769, ..good },
        Leg { next_hop: 8, ..good },
        Leg { remote_ip: [0x20; 16], ..good },
        Leg { remote_ip: mapped(std::net::Ipv4Addr::LOCALHOST.into()), ..good },
        Leg { remote_ip: mapped(std::net::Ipv4Addr::BROADCAST.into()), ..good },
        Leg { inbound: MasterKey { suite: 77, ..MasterKey::NONE }, ..good },
        long_mki,
        Leg { port: INSIDE, local_rtp: 30_010, local_rtcp: 30_011, ..good },
    ];
    for (index, leg) in bad.into_iter().enumerate() {
        let event = bench.command(Command::open(1, 1, 0, session(leg, plain().legs[1])));
        assert_eq!(event.detail, Refusal::BadLeg as u32, "leg {index}");
        assert_eq!(bench.slots[1].state, state::FREE);
    }
    bench.open(1, plain());
    for leg in bad {
        refused(bench.command(Command::update(1, 1, 0, session(leg, plain().legs[1]))), Refusal::BadLeg);
    }
    assert_eq!(bench.slots[1].session, plain());
    assert_eq!(bench.send(&to_inside_leg()).sent.len(), 1);
}

#[test]
fn a_media_port_belongs_to_one_session() {
    let mut bench = Bench::new();
    bench.open(1, plain());
    let clash = session(leg(OUTSIDE, 20_020, phone()), leg(INSIDE, 30_010, inside()));
    refused(bench.command(Command::open(2, 1, 0, clash)), Refusal::PortBusy);
    bench.open(2, session(leg(OUTSIDE, 20_020, phone()), leg(INSIDE, 30_020, inside())));
    refused(bench.command(Command::update(2, 1, 0, clash)), Refusal::PortBusy);
    done(bench.command(Command::close(1, 1, 0)));
    bench.update(2, clash);
}

#[test]
fn an_update_moves_pinholes_and_destinations() {
    let mut bench = Bench::new();
    bench.open(1, plain());
    let elsewhere = at("198.51.100.99:7000");
    bench.update(1, session(leg(OUTSIDE, 20_010, elsewhere), leg(INSIDE, 30_400, inside())));
    bench.refuses(&to_inside_leg(), DropCause::ClosedPinhole, None);
    let out = bench.send(&Packet::new(inside(), at("10.20.0.5:30400"), &rtp(7, 1)));
    assert_eq!(out.one().1.destination, elsewhere);
    assert_eq!(bench.slots[1].live[0].remote_rtp, 7000);
}

#[test]
fn next_hops_are_checked_and_an_unresolved_one_is_a_drop() {
    let mut bench = Bench::new();
    let hop = NextHop { port: 0, valid: 1, vlan: 0, mac: [2; 6], reserved: [0; 2] };
    refused(bench.command(Command::next_hop(8, 0, hop)), Refusal::BadIndex);
    refused(bench.command(Command::next_hop(0, 0, NextHop { port: 9, ..hop })), Refusal::BadLeg);
    refused(bench.command(Command::next_hop(0, 0, NextHop { vlan: 4095, ..hop })), Refusal::BadLeg);
    refused(bench.command(Command::next_hop(0, 0, NextHop { valid: 2, ..hop })), Refusal::BadLeg);
    bench.open(1, plain());
    for hop in [NextHop { valid: 0, ..hop }, NextHop { port: 1, ..hop }] {
        bench.next_hop(0, hop);
        bench.refuses(&to_inside_leg(), DropCause::NoNextHop, Some((1, 1)));
    }
    for mac in [[2; 6], [4; 6]] {
        bench.next_hop(0, NextHop { mac, ..hop });
        assert_eq!(bench.send(&to_inside_leg()).one().1.destination_mac, mac);
    }
    bench.next_hop(0, NextHop { valid: 0, ..hop });
    bench.refuses(&to_inside_leg(), DropCause::NoNextHop, Some((1, 1)));
}

#[test]
fn a_leg_whose_address_is_not_known_yet_is_sent_nothing() {
    let mut bench = Bench::new();
    let unknown = [Leg { remote_rtp: 0, ..plain().legs[0] }, Leg { remote_ip: [0; 16], ..plain().legs[0] }];
    for (slot, outside) in (1..).zip(unknown) {
        let inside_leg = leg(INSIDE, 30_000 + 10 * slot as u16, inside());
        let outside =
            Leg { local_rtp: 20_000 + 10 * slot as u16, local_rtcp: 20_001 + 10 * slot as u16, ..outside };
        bench.open(slot, session(outside, inside_leg));
        let packet = Packet::new(inside(), ours_inside(slot), &rtp(7, 1));
        bench.refuses(&packet, DropCause::NoDestination, Some((slot as usize, 1)));
    }
}
