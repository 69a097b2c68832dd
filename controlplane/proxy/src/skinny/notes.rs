//! Notes of streams: what lets the media of a phone that goes on talking outlive a restart of the control plane.

use std::time::Instant;

use pinhole_admin::{Event, EventKind};
use pinhole_flow::Session;
use serde::{Deserialize, Serialize};

use super::streams::{Medium, Stream, StreamId};
use crate::DeviceName;
use crate::counters::Counter;
use crate::io::Output;
use crate::notes::in_the_clear;
use crate::proxy::Proxy;
use crate::sessions::Owner;
use crate::timers::Timer;

/// A note. Names are as short as those of calls, and not among them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamNote {
    /// Version of SCCP notes.
    sccp: u8,
    /// Device name.
    d: String,
    /// Cluster's name.
    c: String,
    /// Call reference.
    r: u32,
    /// Whether it is video.
    m: bool,
}

const VERSION: u8 = 1;

impl Proxy {
    /// Writes the note of a stream, once its session is opened.
    pub(super) fn skinny_write_note(&mut self, id: StreamId) {
        let Some(stream) = self.skinny.streams.get(&id) else { return };
        let Some(cluster) = self.config.clusters.get(stream.cluster) else { return };
        let note = StreamNote {
            sccp: VERSION,
            d: stream.device.as_str().to_owned(),
            c: cluster.name.clone(),
            r: stream.call,
            m: stream.medium == Medium::Video,
        };
        let Some(session) = self.sessions.get(stream.slot).filter(|session| session.opened) else { return };
        let (slot, generation) = (stream.slot, session.generation);
        // Names of devices and clusters leave room enough.
        match serde_json::to_vec(&note) {
            Ok(bytes) if bytes.len() <= pinhole_flow::slot::NOTE_MAX => {
                self.output(Output::Note { slot, generation, bytes });
            }
            _ => self.count(Counter::NotesTooLong),
        }
    }

    /// Writes the notes of all streams: the data plane is new.
    pub(crate) fn skinny_write_all_notes(&mut self) {
        for id in self.skinny.streams.keys().copied().collect::<Vec<_>>() {
            self.skinny_write_note(id);
        }
    }

    /// Takes over a stream from before a restart. Its connection is gone: like any whose connection is lost, it lives while
    /// the phone talks, or until it registers. `None`: the note is of no stream of ours.
    pub(crate) fn skinny_adopt(
        &mut self,
        slot: u32,
        orders: &Session,
        note: &[u8],
        now: Instant,
    ) -> Option<()> {
        let note: StreamNote =
            serde_json::from_slice(note).ok().filter(|note: &StreamNote| note.sccp == VERSION)?;
        let device = DeviceName::new(&note.d).ok()?;
        let cluster = self.config.clusters.iter().position(|cluster| cluster.name == note.c)?;
        let [outside, inside] = &orders.legs;
        let ours = [self.config.outside.port, self.config.clusters.get(cluster)?.port];
        let clear = in_the_clear(outside);
        if [outside.port, inside.port] != ours || (outside.outbound.suite().is_none() && !clear) {
            return None;
        }
        let id = self.skinny.next_id();
        self.sessions.get_mut(slot)?.owner = Some(Owner::Stream(id));
        self.count(Counter::CallsAdopted);
        let text = format!("SCCP call {} in slot {slot}: taken over from before the restart", note.r);
        self.event(Event::new(EventKind::CallAdopted, text).device(device.as_str()));
        self.skinny.devices.change(&device, |held| held.orphans.push(id));
        let medium = if note.m { Medium::Video } else { Medium::Audio };
        let stream = Stream::new((device, cluster, None), (note.r, medium), (slot, clear), now);
        self.skinny.streams.insert(id, stream);
        let timers = &self.config.timers;
        self.timers.set(Timer::Orphan(id), now + timers.adopt_grace.max(timers.phone_lost_grace));
        Some(())
    }
}
