//! Batches of packets of any length, header and key through every engine of this processor: nothing outside
//! a packet is touched, each engine says and writes what the portable one does, what was protected comes back
//! whole, what failed is unchanged.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_flow::{Mki, Suite};
use pinhole_fuzz::support::peer::master;
use pinhole_srtp::Direction;
use pinhole_srtp::kernels::{Engine, Job, Kind, Outcome, available};

/// Bytes before and behind a packet that nobody may touch.
const FENCE: usize = 64;
/// Room behind a packet: more than any trailer.
const ROOM: usize = 192;
/// The longest packet.
const LONGEST: u16 = 9_000;

#[derive(Arbitrary, Debug)]
struct Packet {
    key: u8,
    rtcp: bool,
    /// Where the packet begins, for vectors that mind alignment.
    shift: u8,
    len: u16,
    payload_at: u16,
    ssrc: u32,
    index: u64,
    /// Leaves a few bytes of room only.
    cramped: Option<u8>,
    /// Changes a byte of what was protected.
    tampered: Option<(u16, u8)>,
}

/// An engine with keys of every suite, without and with MKIs, in the same order for each engine.
struct Equipped {
    engine: Box<dyn Engine>,
    keys: Vec<Direction>,
}

static ENGINES: LazyLock<Vec<Equipped>> = LazyLock::new(|| {
    let equip = |engine: Box<dyn Engine>| {
        let keys = (0..18u8).map(|n| {
            let key = master(Suite::ALL[usize::from(n % 6)], n);
            let mki = Mki::new(&[7; 128][..[0, 4, 128][usize::from(n / 6)]]).unwrap();
            Direction::with_mki(&key, &mki, &*engine).unwrap().unwrap()
        });
        Equipped { keys: keys.collect(), engine }
    };
    available().into_iter().map(equip).collect()
});

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fate {
    outcome: Outcome,
    len: usize,
    buffer: Vec<u8>,
}

impl Packet {
    fn kind(&self) -> Kind {
        if self.rtcp { Kind::Rtcp } else { Kind::Rtp }
    }

    fn start(&self) -> usize {
        FENCE + usize::from(self.shift % 64)
    }

    fn plain(&self, number: usize) -> Fate {
        let len = usize::from(self.len % (LONGEST + 1));
        let room = self.cramped.map_or(ROOM, |room| usize::from(room) % ROOM);
        let buffer = (0..self.start() + len + room + FENCE).map(|at| (at * 31 + number) as u8).collect();
        Fate { outcome: Outcome::Pending, len, buffer }
    }

    fn job<'a>(&self, keys: &'a [Direction], fate: &'a mut Fate) -> Job<'a> {
        let end = fate.buffer.len() - FENCE;
        let packet = &mut fate.buffer[self.start()..end];
        let index = if self.rtcp { self.index & 0xffff_ffff } else { self.index & ((1 << 48) - 1) };
        let key = &keys[usize::from(self.key) % keys.len()];
        key.job(self.kind(), packet, fate.len, usize::from(self.payload_at), self.ssrc, index)
    }
}

/// Has an engine work on copies of `fates`.
fn work(equipped: &Equipped, packets: &[Packet], fates: &[Fate], protect: bool) -> Vec<Fate> {
    let mut after = fates.to_vec();
    let pairs = packets.iter().zip(&mut after);
    let mut jobs: Vec<_> = pairs.map(|(packet, fate)| packet.job(&equipped.keys, fate)).collect();
    match protect {
        true => equipped.engine.protect(&mut jobs),
        false => equipped.engine.unprotect(&mut jobs),
    }
    let verdicts: Vec<_> = jobs.into_iter().map(|job| (job.outcome, job.len)).collect();
    for ((fate, before), (outcome, len)) in after.iter_mut().zip(fates).zip(verdicts) {
        assert!(outcome != Outcome::Pending, "forgotten");
        assert!(outcome == Outcome::Done || fate.buffer == before.buffer, "failed and changed: {outcome:?}");
        (fate.outcome, fate.len) = (outcome, len);
    }
    for ((packet, fate), before) in packets.iter().zip(&after).zip(fates) {
        let end = fate.buffer.len() - FENCE;
        let outside = |buffer: &[u8]| [&buffer[..packet.start()], &buffer[end..]].concat();
        assert!(outside(&fate.buffer) == outside(&before.buffer), "wrote outside its packet: {packet:?}");
    }
    after
}

/// Has all engines do the same, and returns what they agree on.
fn agree(packets: &[Packet], fates: &[Fate], protect: bool) -> Vec<Fate> {
    let (portable, others) = ENGINES.split_last().unwrap();
    let expected = work(portable, packets, fates, protect);
    for equipped in others {
        let found = work(equipped, packets, fates, protect);
        let differs = found.iter().zip(&expected).position(|(found, expected)| {
            let bytes = |fate: &Fate| fate.buffer.clone();
            (found.outcome, found.len, bytes(found)) != (expected.outcome, expected.len, bytes(expected))
        });
        if let Some(at) = differs {
            let name = equipped.engine.name();
            panic!(
                "{name} differs on packet {at}, {:?}: {:?} not {:?}",
                packets[at], found[at], expected[at]
            );
        }
    }
    expected
}

fuzz_target!(|packets: Vec<Packet>| {
    let packets = &packets[..packets.len().min(64)];
    let plain: Vec<_> = packets.iter().enumerate().map(|(number, packet)| packet.plain(number)).collect();
    let mut sealed = agree(packets, &plain, true);
    for (packet, fate) in packets.iter().zip(&mut sealed) {
        if let Some((at, mask)) = packet.tampered {
            let at = packet.start() + usize::from(at) % fate.len.max(1);
            fate.buffer[at] ^= mask;
        }
    }
    let opened = agree(packets, &sealed, false);
    for ((packet, (before, sealed)), after) in packets.iter().zip(plain.iter().zip(&sealed)).zip(&opened) {
        let honest = packet.tampered.is_none_or(|(_, mask)| mask == 0);
        if honest && sealed.outcome == Outcome::Done {
            let body = |fate: &Fate| fate.buffer[packet.start()..packet.start() + before.len].to_vec();
            assert_eq!((after.outcome, after.len), (Outcome::Done, before.len), "{packet:?}");
            assert!(body(after) == body(before), "came back changed: {packet:?}");
        }
    }
});
