//! What goes through the rings: commands to a worker, events from it.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::ring::Entry;
use crate::{NextHop, Session};

/// Kinds of [`Command`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CommandKind {
    /// Open a session in `slot` under `generation`. Repeating it is acknowledged and changes nothing.
    Open = 1,
    /// Replace the session's legs. Per leg: with the same inbound key its stream states stay, and with
    /// them ROC and replay window; with a new one the ROCs stay (RFC 3711 section 3.3.1), ROC 0 is tried
    /// once, the replay windows start empty, and the key before is accepted for two seconds; with the key
    /// before that one, its windows come back. Outbound states stay, but where a key is changed on a leg
    /// with [`LegFlags::FRESH_KEYS`](crate::LegFlags::FRESH_KEYS). After a new offer, see
    /// [`Command::anew`], a sender may set its indices back once under the same key. After a new offer and
    /// a change of key there is room for one SSRC more.
    Update = 2,
    /// Close the session: pinholes shut, keys wiped, then acknowledged.
    Close = 3,
    /// Set next hop number `slot`.
    NextHop = 4,
}

impl CommandKind {
    /// The kind of a code read from shared memory.
    pub fn from_code(code: u32) -> Option<Self> {
        [Self::Open, Self::Update, Self::Close, Self::NextHop].into_iter().find(|kind| *kind as u32 == code)
    }
}

/// An entry of the command ring (control plane to worker).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Command {
    /// A [`CommandKind`].
    pub kind: u32,
    /// Session slot, or next-hop index.
    pub slot: u32,
    /// Generation of the slot; ignored for next hops.
    pub generation: u32,
    /// The sender's number of this command, returned in the acknowledgement.
    pub sequence: u32,
    /// Legs of Open and Update.
    pub session: Session,
    /// Value of NextHop.
    pub next_hop: NextHop,
    /// Of Update: bit `n` tells that the ends of leg `n` have agreed on a new offer, after which senders may
    /// begin anew. Never because a phone says so alone: it allows a reset of indices.
    pub anew: u32,
}

impl Command {
    /// Opens a session.
    pub fn open(slot: u32, generation: u32, sequence: u32, session: Session) -> Self {
        Self { session, ..Self::bare(CommandKind::Open, slot, generation, sequence) }
    }

    /// Replaces the legs of a session.
    pub fn update(slot: u32, generation: u32, sequence: u32, session: Session) -> Self {
        Self { session, ..Self::bare(CommandKind::Update, slot, generation, sequence) }
    }

    /// The same command, with [`Command::anew`] for these legs.
    #[must_use]
    pub fn after_offer(self, legs: [bool; 2]) -> Self {
        let [first, second] = legs.map(u32::from);
        Self { anew: first | second << 1, ..self }
    }

    /// Closes a session.
    pub fn close(slot: u32, generation: u32, sequence: u32) -> Self {
        Self::bare(CommandKind::Close, slot, generation, sequence)
    }

    /// Sets a next hop.
    pub fn next_hop(index: u32, sequence: u32, next_hop: NextHop) -> Self {
        Self { next_hop, ..Self::bare(CommandKind::NextHop, index, 0, sequence) }
    }

    /// The event that says what became of it.
    pub fn answer(&self, result: Result<(), Refusal>) -> Event {
        let (kind, detail) = match result {
            Ok(()) => (EventKind::Done, 0),
            Err(refusal) => (EventKind::Refused, refusal as u32),
        };
        Event {
            kind: kind as u32,
            slot: self.slot,
            generation: self.generation,
            sequence: self.sequence,
            detail,
            command: self.kind,
        }
    }

    fn bare(kind: CommandKind, slot: u32, generation: u32, sequence: u32) -> Self {
        Self { kind: kind as u32, slot, generation, sequence, ..Self::new_zeroed() }
    }
}

/// Kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// A command was carried out.
    Done = 1,
    /// A command was refused; `detail` is a [`Refusal`].
    Refused = 2,
    /// The remote address of leg `detail` was learned or has moved; it stands in the slot.
    Learned = 3,
}

impl EventKind {
    /// The kind of a code read from shared memory.
    pub fn from_code(code: u32) -> Option<Self> {
        [Self::Done, Self::Refused, Self::Learned].into_iter().find(|kind| *kind as u32 == code)
    }
}

/// Why a worker refused a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Refusal {
    /// Unknown command kind.
    UnknownKind = 1,
    /// Slot or next-hop index out of range.
    BadIndex = 2,
    /// The slot is open under another generation.
    SlotBusy = 3,
    /// The slot is not open under this generation.
    NotOpen = 4,
    /// Port index, media port, flags, suite, MKI length or address out of range.
    BadLeg = 5,
    /// A media port is already used by another session.
    PortBusy = 6,
    /// A media port belongs to another worker than the slot (see [`steering`](crate::steering)).
    WrongWorker = 7,
}

impl Refusal {
    /// The reason of a code read from shared memory.
    pub fn from_code(code: u32) -> Option<Self> {
        [
            Self::UnknownKind,
            Self::BadIndex,
            Self::SlotBusy,
            Self::NotOpen,
            Self::BadLeg,
            Self::PortBusy,
            Self::WrongWorker,
        ]
        .into_iter()
        .find(|reason| *reason as u32 == code)
    }
}

/// An entry of the event ring (worker to control plane).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Event {
    /// An [`EventKind`].
    pub kind: u32,
    /// Session slot, or next-hop index.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u32,
    /// For Done and Refused: the command's sequence. Otherwise 0.
    pub sequence: u32,
    /// See [`EventKind`].
    pub detail: u32,
    /// For Done and Refused: the command's kind. Otherwise 0.
    pub command: u32,
}

impl Entry for Command {
    /// Open and Update carry master keys.
    const WIPED: bool = true;
}

impl Entry for Event {}
