use zerocopy::FromZeros;

use super::*;
use crate::layout::COMMANDS;
use crate::slot::{NOTE_MAX, state};
use crate::{Command, MasterKey, Mki, NoteError, Session, Suite, WorkerEnd};

pub(crate) fn settings(max_sessions: u32) -> DataplaneSettings {
    let text = format!(
        "max_sessions = {max_sessions}\n[[port]]\nname = \"a\"\ndevice = \"af_packet:a0\"\ntap = \"a\"\n\
         media_address = \"192.0.2.1\"\nmedia_ports = \"16384-32767\""
    );
    let settings: DataplaneSettings = toml::from_str(&text).unwrap();
    settings.validate().unwrap();
    settings
}

fn planes(max_sessions: u32, shards: u32) -> (Region, WorkerEnd, Contract) {
    let mut region = Region::create(&settings(max_sessions), "portable").unwrap();
    let worker = region.worker().unwrap();
    let contract = Contract::beside(&region, shards).unwrap();
    (region, worker, contract)
}

/// A session that is full of one byte, keys and all.
fn filled(byte: u8) -> Session {
    let mut session = Session::new_zeroed();
    for leg in &mut session.legs {
        leg.remote_ip = [byte; 16];
        leg.inbound = MasterKey::new(Suite::AeadAes128Gcm, &[byte; 28]).unwrap();
        leg.mki = Mki::new(&[byte; 4]).unwrap();
        leg.outbound = leg.inbound;
    }
    session
}

#[test]
fn header_tells_what_the_data_plane_is() {
    let (region, _, contract) = planes(100, 1);
    let header = contract.header();
    assert_eq!(header, region.header());
    assert_eq!((header.max_sessions, header.workers, header.ports), (100, 1, 1));
    assert_eq!(header.engine(), "portable");
    assert_eq!(header.version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(header.pid, std::process::id());
    assert!(contract.fits(&settings(100)));
    assert!(!contract.fits(&settings(101)));
}

#[test]
fn each_end_is_given_out_once() {
    let (mut region, _worker, mut contract) = planes(10, 2);
    assert!(region.worker().is_none());
    assert!(contract.shard(0).is_some());
    assert!(contract.shard(0).is_none());
    assert_eq!(contract.shard(1).unwrap().slots(0), 5..10);
    assert!(contract.shard(2).is_none(), "a ring that no shard uses");
}

#[test]
fn commands_and_acknowledgements_cross_on_the_rings_of_their_shard() {
    let (_region, mut worker, mut contract) = planes(10, 2);
    let mut shards = [contract.shard(0).unwrap(), contract.shard(1).unwrap()];
    for (number, shard) in shards.iter_mut().enumerate() {
        let slot = shard.slots(0).start;
        shard.command(Command::open(slot, 1, number as u32 + 7, filled(1))).unwrap();
    }
    assert_eq!(worker.shards(), 2);
    for number in 0..worker.shards() {
        let command = worker.commands[number].pop().unwrap();
        assert_eq!(command.session, filled(1));
        assert_eq!(worker.shard_of(command.slot), number);
        worker.events[number].push(command.answer(Ok(()))).unwrap();
    }
    for (number, shard) in shards.iter_mut().enumerate() {
        assert_eq!(shard.event().unwrap().sequence, number as u32 + 7);
        assert_eq!(shard.event(), None);
    }
}

#[test]
fn full_command_ring_pushes_back_and_loses_nothing() {
    let (_region, mut worker, mut contract) = planes(10, 1);
    let mut shard = contract.shard(0).unwrap();
    let sent = (0..).take_while(|n| shard.command(Command::close(0, 0, *n)).is_ok()).count();
    assert_eq!(sent, COMMANDS);
    for n in 0..COMMANDS as u32 {
        assert_eq!(worker.commands[0].pop().unwrap().sequence, n);
    }
    assert!(worker.commands[0].pop().is_none());
    assert!(shard.command(Command::close(0, 0, 0)).is_ok());
}

/// Two or more workers of one region, and a control plane beside them.
fn crew(workers: u32, max_sessions: u32, shards: u32) -> (Region, Vec<WorkerEnd>, Contract) {
    let mut settings = settings(max_sessions);
    settings.worker_cores = (1..=workers).collect();
    let mut region = Region::create(&settings, "portable").unwrap();
    let ends = (0..workers).map(|_| region.worker().unwrap()).collect();
    assert!(region.worker().is_none());
    let contract = Contract::beside(&region, shards).unwrap();
    (region, ends, contract)
}

#[test]
fn header_names_every_worker_and_its_core() {
    let (region, _, contract) = crew(3, 100, 1);
    assert_eq!(contract.header(), region.header());
    assert_eq!((contract.header().workers, contract.header().worker_cores()), (3, &[1, 2, 3][..]));
    assert_eq!(contract.header().replay_window, 128);
    assert!(!contract.fits(&settings(100)), "one worker");
}

#[test]
fn command_reaches_the_worker_of_its_slot_and_its_acknowledgement_the_right_shard() {
    for (workers, max_sessions, shards) in [(2, 10, 2), (2, 7, 3), (3, 64, 4), (16, 17, 16)] {
        let (_region, mut ends, mut contract) = crew(workers, max_sessions, shards);
        let mut shards: Vec<_> = (0..shards).map(|shard| contract.shard(shard).unwrap()).collect();
        for shard in &mut shards {
            assert_eq!(shard.workers(), workers);
            for slot in shard.all_slots() {
                shard.command(Command::open(slot, 1, slot + 100, filled(1))).unwrap();
            }
        }
        let mut carried_out = Vec::new();
        for worker in &mut ends {
            let first = worker.first_slot();
            for ring in 0..worker.shards() {
                while let Some(command) = worker.commands[ring].pop() {
                    assert_eq!(worker.shard_of(command.slot), ring);
                    let own = (command.slot - first) as usize;
                    worker.slots[own].change(|slot| {
                        slot.state = state::OPEN;
                        slot.generation = command.slot + 1;
                    });
                    worker.events[ring].push(command.answer(Ok(()))).unwrap();
                    carried_out.push(command.slot);
                }
            }
        }
        assert_eq!(carried_out, (0..max_sessions).collect::<Vec<_>>());
        for shard in &mut shards {
            let mut told: Vec<_> = std::iter::from_fn(|| shard.event()).map(|event| event.slot).collect();
            told.sort_unstable();
            assert_eq!(told, shard.all_slots().collect::<Vec<_>>());
            assert!(told.iter().all(|slot| shard.read_slot(*slot).unwrap().is_open(slot + 1)));
        }
    }
}

#[test]
fn next_hop_reaches_every_worker_or_none() {
    let (_region, mut ends, mut contract) = crew(2, 10, 1);
    let mut shard = contract.shard(0).unwrap();
    let hop = Command::next_hop(9, 5, crate::NextHop::new_zeroed());
    shard.broadcast(hop).unwrap();
    for worker in &mut ends {
        let command = worker.commands[0].pop().unwrap();
        assert_eq!((command.slot, command.sequence), (9, 5));
        worker.events[0].push(command.answer(Ok(()))).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| shard.event()).count(), 2);

    // The second worker is behind.
    let last = shard.slots(1).start;
    while shard.command(Command::close(last, 1, 0)).is_ok() {}
    assert_eq!(shard.broadcast(hop), Err(crate::Full));
    assert!(ends[0].commands[0].pop().is_none(), "nor has the first one got it");
    while ends[1].commands[0].pop().is_some() {}
    shard.broadcast(hop).unwrap();
    assert!(ends.iter_mut().all(|worker| worker.commands[0].pop().is_some()));
}

#[test]
fn busy_worker_does_not_keep_events_of_the_others_back() {
    let (_region, mut ends, mut contract) = crew(2, 10, 1);
    let mut shard = contract.shard(0).unwrap();
    for worker in &mut ends {
        let slot = worker.first_slot();
        for sequence in 0..3 {
            worker.events[0].push(Command::close(slot, 1, sequence).answer(Ok(()))).unwrap();
        }
    }
    let slots: Vec<_> = std::iter::from_fn(|| shard.event()).map(|event| event.slot).collect();
    assert_eq!(slots, [0, 5, 0, 5, 0, 5]);
}

#[test]
fn next_control_plane_waits_for_every_worker() {
    let (region, mut ends, mut contract) = crew(2, 10, 2);
    let mut shard = contract.shard(1).unwrap();
    for worker in 0..2 {
        shard.command(Command::close(shard.slots(worker).start, 1, 1)).unwrap();
    }
    drop((shard, contract));
    let mut contract = Contract::beside(&region, 1).unwrap();
    for worker in &mut ends {
        assert!(matches!(contract.settle(Duration::from_millis(5)), Err(AttachError::Stalled { .. })));
        let command = worker.commands[1].pop().unwrap();
        worker.events[1].push(command.answer(Ok(()))).unwrap();
        assert!(worker.commands[1].pop().is_none());
    }
    contract.settle(Duration::from_millis(5)).unwrap();
    assert_eq!(contract.shard(0).unwrap().event(), None, "nobody waits for those events");
}

#[test]
fn keys_of_consumed_commands_are_wiped_in_the_rings_of_every_worker() {
    let (_region, mut ends, mut contract) = crew(2, 10, 1);
    let mut shard = contract.shard(0).unwrap();
    let mut slots = Vec::new();
    for worker in 0..2 {
        let slot = shard.slots(worker).start;
        shard.command(Command::open(slot, 1, 1, filled(0xa5))).unwrap();
        slots.push(slot);
    }
    let ring = |contract: &Contract, worker| {
        let memories = (&contract.worker_memory, &contract.control_memory);
        let places = contract.layout.commands(memories.0, memories.1, (0, worker)).unwrap();
        let mut command = Command::new_zeroed();
        places.entries.read(0, &mut command);
        command.session == filled(0xa5)
    };
    for (worker, end) in ends.iter_mut().enumerate() {
        assert!(ring(&contract, worker));
        assert_eq!(end.commands[0].pop().unwrap().slot, slots[worker]);
        assert!(end.commands[0].pop().is_none());
    }
    shard.wipe();
    assert!(!ring(&contract, 0) && !ring(&contract, 1));
}

#[test]
fn slots_are_read_by_their_shard_only() {
    let (_region, mut worker, mut contract) = planes(10, 2);
    let shard = contract.shard(1).unwrap();
    worker.slots[7].change(|slot| {
        slot.state = state::OPEN;
        slot.generation = 3;
        slot.session = filled(9);
    });
    worker.slots[7].live[1].stats.rx_packets = 5;
    worker.slots[7].live[1].stats.last_rx_ns = 99;
    let view = shard.read_slot(7).unwrap();
    assert!(view.is_open(3) && !view.is_open(2));
    assert_eq!((view.session, view.live[1].stats.rx_packets), (filled(9), 5));
    let activity = shard.activity(7).unwrap();
    assert_eq!((activity.open, activity.generation), (true, 3));
    assert_eq!((activity.rx_packets, activity.last_rx_ns), ([0, 5], [0, 99]));
    assert!(!shard.activity(8).unwrap().open);
    for foreign in [0, 4, 10, u32::MAX] {
        assert!(shard.read_slot(foreign).is_none());
        assert!(shard.activity(foreign).is_none());
    }
}

#[test]
fn slot_that_a_dead_worker_left_in_the_middle_of_a_change_reads_as_none() {
    let (_region, mut worker, mut contract) = planes(10, 1);
    let shard = contract.shard(0).unwrap();
    worker.slots[0].version = 5;
    assert!(shard.read_slot(0).is_none());
    worker.slots[0].change(|slot| slot.generation = 2);
    assert_eq!(shard.read_slot(0).unwrap().version, 6);
}

#[test]
fn readers_never_see_half_a_change() {
    let (_region, mut worker, mut contract) = planes(1, 1);
    let shard = contract.shard(0).unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..200_000_u32 {
            worker.slots[0].change(|slot| {
                slot.generation = n;
                slot.sequence = n;
                slot.session = filled(n as u8);
                slot.live[1].remote_ip = [n as u8; 16];
            });
            // The per-packet part, outside of any change.
            worker.slots[0].live[0].stats.rx_packets += 1;
        }
    });
    let mut read = 0;
    let mut packets = 0;
    while !writer.is_finished() {
        let Some(view) = shard.read_slot(0) else { continue };
        assert_eq!(view.sequence, view.generation);
        if view.version != 0 {
            assert!(view.session == filled(view.generation as u8));
            assert_eq!(view.live[1].remote_ip, [view.generation as u8; 16]);
        }
        assert!(view.live[0].stats.rx_packets >= packets, "a counter never goes back");
        packets = view.live[0].stats.rx_packets;
        read += 1;
    }
    writer.join().unwrap();
    assert!(read > 0);
}

#[test]
fn statistics_are_the_workers_own() {
    let (_region, mut worker, contract) = planes(10, 1);
    worker.stats.polls = 11;
    worker.stats.ports[3].punt_packets = 12;
    let [stats] = contract.stats()[..] else { panic!("one worker") };
    assert_eq!((stats.polls, stats.ports[3].punt_packets), (11, 12));
}

#[test]
fn note_survives_the_process_that_wrote_it() {
    let (region, _worker, mut contract) = planes(10, 1);
    let mut shard = contract.shard(0).unwrap();
    assert_eq!(shard.read_note(4, 2), None);
    shard.write_note(4, 2, b"first").unwrap();
    shard.write_note(4, 2, b"second").unwrap();
    shard.write_note(4, 2, &[7; NOTE_MAX]).unwrap();
    drop((shard, contract));
    let mut contract = Contract::beside(&region, 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    assert_eq!(shard.read_note(4, 2).unwrap(), [7; NOTE_MAX]);
    assert_eq!(shard.read_note(4, 3), None, "another session's");
    shard.write_note(4, 3, b"").unwrap();
    assert_eq!(shard.read_note(4, 3).unwrap(), b"");
    shard.wipe_note(4);
    assert_eq!(shard.read_note(4, 3), None);
    assert_eq!(shard.write_note(4, 1, &[0; NOTE_MAX + 1]), Err(NoteError::TooLong(NOTE_MAX + 1)));
    assert_eq!(shard.write_note(10, 1, b""), Err(NoteError::ForeignSlot(10)));
}

#[test]
fn torn_note_is_ignored_and_the_one_before_it_counts() {
    let (region, _worker, mut contract) = planes(10, 1);
    let mut shard = contract.shard(0).unwrap();
    shard.write_note(2, 1, b"whole").unwrap();
    shard.write_note(2, 1, b"being written").unwrap();
    // As a kill would leave it: the second copy's text is not all there.
    let layout = Layout::new(10, 1);
    let text = layout.note(2, 1) + std::mem::offset_of!(crate::Note, bytes);
    Words::mapped(&contract.control_memory, text, 8).unwrap().store(
        0,
        0,
        std::sync::atomic::Ordering::Relaxed,
    );
    drop((shard, contract));
    let mut contract = Contract::beside(&region, 1).unwrap();
    let mut shard = contract.shard(0).unwrap();
    assert_eq!(shard.read_note(2, 1).unwrap(), b"whole");
    // The next one goes over the torn one.
    shard.write_note(2, 1, b"next").unwrap();
    assert_eq!(shard.read_note(2, 1).unwrap(), b"next");
    shard.write_note(2, 1, b"after").unwrap();
    assert_eq!(shard.read_note(2, 1).unwrap(), b"after");
}

#[test]
fn next_control_plane_resumes_the_rings_of_the_one_before() {
    let (region, mut worker, mut contract) = planes(10, 4);
    let mut shard = contract.shard(3).unwrap();
    shard.command(Command::close(9, 1, 100)).unwrap();
    shard.command(Command::close(9, 1, 101)).unwrap();
    let first = worker.commands[3].pop().unwrap();
    worker.events[3].push(first.answer(Ok(()))).unwrap();
    drop((shard, contract));

    // With fewer shards: the fourth ring still has a command of the dead one.
    let mut contract = Contract::beside(&region, 2).unwrap();
    assert!(matches!(contract.settle(Duration::from_millis(20)), Err(AttachError::Stalled { .. })));
    assert_eq!(worker.shards(), 4);
    let second = worker.commands[3].pop().unwrap();
    assert_eq!(second.sequence, 101);
    worker.events[3].push(second.answer(Ok(()))).unwrap();
    assert!(worker.commands[3].pop().is_none());
    contract.settle(Duration::from_millis(20)).unwrap();
    assert_eq!(worker.events[3].free(), worker.events[3].capacity(), "nobody waits for those events");

    let mut shard = contract.shard(1).unwrap();
    assert_eq!(shard.slots(0), 5..10);
    assert_eq!(worker.shard_of(9), 1);
    shard.command(Command::close(9, 1, 1)).unwrap();
    let command = worker.commands[1].pop().unwrap();
    worker.events[1].push(command.answer(Ok(()))).unwrap();
    assert_eq!(shard.event().unwrap().sequence, 1);
}

#[test]
fn impossible_headers_are_refused_with_a_reason() {
    let (_region, _worker, contract) = planes(10, 1);
    let good = *contract.header();
    let refusal = |change: fn(&mut Header)| {
        let mut header = good;
        change(&mut header);
        check_header(&header).unwrap_err().to_string()
    };
    assert!(refusal(|header| header.magic = 1).contains("not a data plane of Pinhole"));
    assert!(refusal(|header| header.abi_version += 1).contains("speaks version"));
    assert!(refusal(|header| header.layout_hash ^= 1).contains("laid out otherwise"));
    assert!(refusal(|header| header.max_sessions = 0).contains("0 sessions"));
    assert!(refusal(|header| header.max_sessions = u32::MAX).contains("sessions"));
    assert!(refusal(|header| header.workers = 17).contains("17 workers"));
    assert!(check_header(&good).is_ok());
}

#[test]
fn shards_out_of_range_are_refused() {
    let (region, ..) = planes(10, 1);
    for shards in [0, MAX_SHARDS as u32 + 1] {
        assert!(matches!(Contract::beside(&region, shards), Err(AttachError::Shards { .. })));
    }
}

#[test]
fn kernel_refuses_the_control_plane_every_way_to_write_worker_memory() {
    use rustix::fs::{FallocateFlags, fallocate, ftruncate};
    let (region, ..) = planes(10, 1);
    let [worker, control] = region.memfds();
    assert!(Mapping::new(worker, 4096, Access::Write).is_err());
    assert!(rustix::io::pwrite(worker, &[1], 0).is_err());
    assert!(fallocate(worker, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 4096).is_err());
    for memfd in [worker, control] {
        assert!(ftruncate(memfd, 0).is_err());
        assert!(ftruncate(memfd, 1 << 30).is_err());
    }
}

#[test]
fn memory_that_is_not_sealed_or_has_the_wrong_size_is_refused() {
    let (region, ..) = planes(10, 1);
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    let [worker, control] = region.memfds();
    // The control memory lacks the seal that the worker memory must have.
    assert!(matches!(Contract::open(copy(control), copy(control), 1), Err(AttachError::Unsealed)));
    // The right seals, but another memory's size.
    assert!(matches!(Contract::open(copy(worker), copy(worker), 1), Err(AttachError::Size { .. })));
}
