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
    slots: Range<u32>,
    /// The slots of this shard, in worker memory: read only.
    slot_words: Words,
    /// The notes of this shard, in control memory.
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
        slots: Range<u32>,
        layout: &Layout,
        worker_memory: &Arc<Mapping>,
        control_memory: &Arc<Mapping>,
    ) -> Option<Self> {
        let count = slots.len();
        let first = slots.start as usize;
        let slot_words = Words::mapped(worker_memory, layout.slot(first), count * size_of::<SessionSlot>())?;
        let note_words =
            Words::mapped(control_memory, layout.note(first, 0), count * NOTE_COPIES * size_of::<Note>())?;
        Some(Self { commands, events, slots, slot_words, note_words })
    }

    /// The slots that this shard allocates.
    pub fn slots(&self) -> Range<u32> {
        self.slots.clone()
    }

    /// Sends a command to the worker that owns the slot (there is one worker for now).
    ///
    /// # Errors
    /// [`Full`]: the worker is behind; keep the command and send it later.
    pub fn command(&mut self, command: Command) -> Result<(), Full> {
        self.commands.first_mut().ok_or(Full)?.push(command)
    }

    /// The next event of any worker.
    pub fn event(&mut self) -> Option<Event> {
        self.events.iter_mut().find_map(Consumer::pop)
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
        let at = self.slot_at(slot)?;
        let version = at + std::mem::offset_of!(SessionSlot, version) / WORD;
        let mut view = SlotView(SessionSlot::new_zeroed());
        for _ in 0..TRIES {
            // The reading side of the sequence lock: an even version that has not moved while the
            // copy was made. Acquire: the copy is not older than the version.
            let before = self.slot_words.load(version, Ordering::Acquire);
            if before.is_multiple_of(2) {
                self.slot_words.read(at, &mut view.0);
                // The second look at the version is not older than the copy.
                fence(std::sync::atomic::Ordering::Acquire);
                if self.slot_words.load(version, Ordering::Relaxed) == before {
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
        let at = self.slot_at(slot)?;
        let head = self.slot_words.load(at, Ordering::Acquire).to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = head;
        let leg = |leg: usize, field: usize| {
            let stats = std::mem::offset_of!(SessionSlot, live)
                + leg * size_of::<LegLive>()
                + std::mem::offset_of!(LegLive, stats);
            self.slot_words.load(at + (stats + field) / WORD, Ordering::Relaxed)
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
        let places = self.note_places(slot).ok_or(NoteError::ForeignSlot(slot))?;
        let serials = places.map(|at| self.read_copy(at).map_or(0, |note| note.serial));
        note.serial = serials.into_iter().max().unwrap_or(0).saturating_add(1);
        note.generation = generation;
        note.len = bytes.len() as u32;
        note.checksum = checksum(&note);
        if let Some((_, at)) = serials.into_iter().zip(places).min() {
            self.note_words.write(at, &note);
        }
        Ok(())
    }

    /// The note of the session that has `slot` under `generation`. A torn note is ignored: the one
    /// before it counts. `None`: there is none, or the slot is not the shard's.
    pub fn read_note(&self, slot: u32, generation: u32) -> Option<Vec<u8>> {
        let newest = self
            .note_places(slot)?
            .into_iter()
            .filter_map(|at| self.read_copy(at))
            .filter(|note| note.generation == generation)
            .max_by_key(|note| note.serial)?;
        newest.bytes.get(..newest.len as usize).map(<[u8]>::to_vec)
    }

    /// Removes the note of a closed session.
    pub fn wipe_note(&mut self, slot: u32) {
        for at in self.note_places(slot).into_iter().flatten() {
            self.note_words.wipe(at, size_of::<Note>() / WORD);
        }
    }

    /// A copy of a note, if it is whole.
    fn read_copy(&self, at: usize) -> Option<Note> {
        let mut note = Note::new_zeroed();
        self.note_words.read(at, &mut note);
        (note.serial != 0 && note.len as usize <= NOTE_MAX && note.checksum == checksum(&note))
            .then_some(note)
    }

    fn slot_at(&self, slot: u32) -> Option<usize> {
        let nth = self.nth(slot)?;
        Some(nth * (size_of::<SessionSlot>() / WORD))
    }

    fn note_places(&self, slot: u32) -> Option<[usize; NOTE_COPIES]> {
        let words = size_of::<Note>() / WORD;
        let first = self.nth(slot)? * NOTE_COPIES * words;
        Some(std::array::from_fn(|copy| first + copy * words))
    }

    fn nth(&self, slot: u32) -> Option<usize> {
        self.slots.contains(&slot).then(|| (slot - self.slots.start) as usize)
    }
}

fn checksum(note: &Note) -> u64 {
    let unsummed = Note { checksum: 0, ..*note };
    fnv1a(FNV_START, unsummed.as_bytes())
}
