//! A signalling shard's ends of everything that it shares with the workers.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::fence;

use zerocopy::{FromZeros, IntoBytes};
use zeroize::Zeroize;

use crate::layout::{FNV_START, Layout, NOTE_COPIES, fnv1a};
use crate::mapping::Mapping;
use crate::ring::{Consumer, Full, Producer};
use crate::slot::{NOTE_MAX, state};
use crate::steering::worker_of_slot;
use crate::sync::Ordering;
use crate::words::{WORD, Words};
use crate::{Command, Event, LegLive, LegStats, Note, SessionSlot};

/// Times that a slot is read again while its worker is changing it. A change takes well under a
/// microsecond; a worker that died in the middle of one never ends it.
const TRIES: usize = 10_000;

// `ShardEnd::activity` reads both in one word.
const _: () = assert!(std::mem::offset_of!(SessionSlot, state) == 0);
const _: () = assert!(std::mem::offset_of!(SessionSlot, generation) == 4);

/// A shard's ends.
pub struct ShardEnd {
    /// Commands, by worker.
    pub commands: Vec<Producer<Command>>,
    /// Events, by worker.
    pub events: Vec<Consumer<Event>>,
    /// The worker whose events are looked at next.
    next: usize,
    /// This shard's part of each worker's slots.
    parts: Vec<Part>,
    /// Slots of all workers and shards together.
    max_sessions: u32,
}

/// A shard's part of a worker's slots.
struct Part {
    /// Their numbers.
    slots: Range<u32>,
    /// The slots, in worker memory: read only.
    slot_words: Words,
    /// Their notes, in control memory.
    note_words: Words,
}

/// A note is longer than [`NOTE_MAX`], or its slot is not the shard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_MAX`].
    #[error("a note of {0} bytes does not fit: at most {NOTE_MAX}")]
    TooLong(usize),
    /// Not a slot of this shard.
    #[error("slot {0} is not of this shard")]
    ForeignSlot(u32),
}

/// A consistent copy of a slot. Its keys are wiped when it is dropped.
pub struct SlotView(SessionSlot);

impl Deref for SlotView {
    type Target = SessionSlot;

    fn deref(&self) -> &SessionSlot {
        &self.0
    }
}

impl Drop for SlotView {
    fn drop(&mut self) {
        self.0.session.zeroize();
    }
}

/// What tells whether media flows: a few words of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Generation of the session.
    pub generation: u32,
    /// Whether the slot is open.
    pub open: bool,
    /// RTP packets accepted, per leg.
    pub rx_packets: [u64; 2],
    /// CLOCK_MONOTONIC nanoseconds of the last accepted packet, per leg; 0: none yet.
    pub last_rx_ns: [u64; 2],
}

impl ShardEnd {
    pub(crate) fn new(
        commands: Vec<Producer<Command>>,
        events: Vec<Consumer<Event>>,
        slots: Vec<Range<u32>>,
        layout: &Layout,
        worker_memory: &Arc<Mapping>,
        control_memory: &Arc<Mapping>,
    ) -> Option<Self> {
        let part = |slots: Range<u32>| {
            let (first, count) = (slots.start as usize, slots.len());
            let slot_bytes = count * size_of::<SessionSlot>();
            let note_bytes = count * NOTE_COPIES * size_of::<Note>();
            Some(Part {
                slots,
                slot_words: Words::mapped(worker_memory, layout.slot(first), slot_bytes)?,
                note_words: Words::mapped(control_memory, layout.note(first, 0), note_bytes)?,
            })
        };
        let parts = slots.into_iter().map(part).collect::<Option<Vec<_>>>()?;
        Some(Self { commands, events, next: 0, parts, max_sessions: layout.max_sessions as u32 })
    }

    /// How many workers there are.
    pub fn workers(&self) -> u32 {
        self.parts.len() as u32
    }

    /// The slots of a worker that this shard allocates; none if there is no such worker.
    pub fn slots(&self, worker: u32) -> Range<u32> {
        self.parts.get(worker as usize).map_or(0..0, |part| part.slots.clone())
    }

    /// All slots that this shard allocates, in order.
    pub fn all_slots(&self) -> impl Iterator<Item = u32> + use<> {
        let ranges: Vec<_> = self.parts.iter().map(|part| part.slots.clone()).collect();
        ranges.into_iter().flatten()
    }

    /// Sends a command about a session to the worker that owns its slot.
    ///
    /// # Errors
    /// [`Full`]: the worker is behind; keep the command and send it later.
    pub fn command(&mut self, command: Command) -> Result<(), Full> {
        let worker = worker_of_slot(command.slot, self.workers(), self.max_sessions);
        self.commands.get_mut(worker as usize).ok_or(Full)?.push(command)
    }

    /// Sends a command about no session, a next hop, to every worker, each of which acknowledges it.
    ///
    /// # Errors
    /// [`Full`]: a worker is behind and none has got the command; keep it and send it later.
    pub fn broadcast(&mut self, command: Command) -> Result<(), Full> {
        if self.commands.iter_mut().any(|ring| ring.free() == 0) {
            return Err(Full);
        }
        self.commands.iter_mut().try_for_each(|ring| ring.push(command))
    }

    /// The next event of any worker, of each in turn.
    pub fn event(&mut self) -> Option<Event> {
        let workers = self.events.len();
        for at in (self.next..workers).chain(0..self.next) {
            if let Some(event) = self.events.get_mut(at).and_then(Consumer::pop) {
                self.next = (at + 1) % workers;
                return Some(event);
            }
        }
        None
    }

    /// Wipes the keys of consumed commands from the rings; call it now and then when idle.
    pub fn wipe(&mut self) {
        for commands in &mut self.commands {
            commands.refresh();
        }
    }

    /// A copy of a slot, consistent in everything that [`SessionSlot::change`] changes; counters and
    /// stream states are each whole but may be of different moments. `None`: not a slot of this
    /// shard, or its worker died in the middle of a change.
    pub fn read_slot(&self, slot: u32) -> Option<SlotView> {
        let (words, at) = self.slot_at(slot)?;
        let version = at + std::mem::offset_of!(SessionSlot, version) / WORD;
        let mut view = SlotView(SessionSlot::new_zeroed());
        for _ in 0..TRIES {
            // The reading side of the sequence lock: an even version that has not moved while the
            // copy was made. Acquire: the copy is not older than the version.
            let before = words.load(version, Ordering::Acquire);
            if before.is_multiple_of(2) {
                words.read(at, &mut view.0);
                // The second look at the version is not older than the copy.
                fence(std::sync::atomic::Ordering::Acquire);
                if words.load(version, Ordering::Relaxed) == before {
                    return Some(view);
                }
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Whether media flows in a slot; cheaper than [`ShardEnd::read_slot`], and not consistent with a
    /// change that is just being made. `None`: not a slot of this shard.
    pub fn activity(&self, slot: u32) -> Option<Activity> {
        let (words, at) = self.slot_at(slot)?;
        let head = words.load(at, Ordering::Acquire).to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = head;
        let leg = |leg: usize, field: usize| {
            let stats = std::mem::offset_of!(SessionSlot, live)
                + leg * size_of::<LegLive>()
                + std::mem::offset_of!(LegLive, stats);
            words.load(at + (stats + field) / WORD, Ordering::Relaxed)
        };
        let both = |field| [leg(0, field), leg(1, field)];
        Some(Activity {
            open: u32::from_ne_bytes([a, b, c, d]) == state::OPEN,
            generation: u32::from_ne_bytes([e, f, g, h]),
            rx_packets: both(std::mem::offset_of!(LegStats, rx_packets)),
            last_rx_ns: both(std::mem::offset_of!(LegStats, last_rx_ns)),
        })
    }

    /// Writes the note of a session. The copy that is overwritten is the older one.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn write_note(&mut self, slot: u32, generation: u32, bytes: &[u8]) -> Result<(), NoteError> {
        let mut note = Note::new_zeroed();
        note.bytes.get_mut(..bytes.len()).ok_or(NoteError::TooLong(bytes.len()))?.copy_from_slice(bytes);
        let (words, places) = self.note_places(slot).ok_or(NoteError::ForeignSlot(slot))?;
        let serials = places.map(|at| read_copy(words, at).map_or(0, |note| note.serial));
        note.serial = serials.into_iter().max().unwrap_or(0).saturating_add(1);
        note.generation = generation;
        note.len = bytes.len() as u32;
        note.checksum = checksum(&note);
        if let Some((_, at)) = serials.into_iter().zip(places).min() {
            words.write(at, &note);
        }
        Ok(())
    }

    /// The note of the session that has `slot` under `generation`. A torn note is ignored: the one
    /// before it counts. `None`: there is none, or the slot is not the shard's.
    pub fn read_note(&self, slot: u32, generation: u32) -> Option<Vec<u8>> {
        let (words, places) = self.note_places(slot)?;
        let newest = places
            .into_iter()
            .filter_map(|at| read_copy(words, at))
            .filter(|note| note.generation == generation)
            .max_by_key(|note| note.serial)?;
        newest.bytes.get(..newest.len as usize).map(<[u8]>::to_vec)
    }

    /// Removes the note of a closed session.
    pub fn wipe_note(&mut self, slot: u32) {
        let Some((words, places)) = self.note_places(slot) else { return };
        for at in places {
            words.wipe(at, size_of::<Note>() / WORD);
        }
    }

    /// Where a slot begins.
    fn slot_at(&self, slot: u32) -> Option<(&Words, usize)> {
        let (part, nth) = self.part(slot)?;
        Some((&part.slot_words, nth * (size_of::<SessionSlot>() / WORD)))
    }

    /// Where the copies of a slot's note begin.
    fn note_places(&self, slot: u32) -> Option<(&Words, [usize; NOTE_COPIES])> {
        let (part, nth) = self.part(slot)?;
        let words = size_of::<Note>() / WORD;
        Some((&part.note_words, std::array::from_fn(|copy| (nth * NOTE_COPIES + copy) * words)))
    }

    /// The part that holds a slot, and the slot's place in it.
    fn part(&self, slot: u32) -> Option<(&Part, usize)> {
        let part = self.parts.iter().find(|part| part.slots.contains(&slot))?;
        Some((part, (slot - part.slots.start) as usize))
    }
}

/// A copy of a note, if it is whole.
fn read_copy(words: &Words, at: usize) -> Option<Note> {
    let mut note = Note::new_zeroed();
    words.read(at, &mut note);
    (note.serial != 0 && note.len as usize <= NOTE_MAX && note.checksum == checksum(&note)).then_some(note)
}

fn checksum(note: &Note) -> u64 {
    let unsummed = Note { checksum: 0, ..*note };
    fnv1a(FNV_START, unsummed.as_bytes())
}
