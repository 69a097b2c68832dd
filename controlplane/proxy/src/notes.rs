//! Notes: what a call needs to outlive a restart of the control plane, kept beside its media.

use std::collections::BTreeMap;
use std::time::Instant;

use pinhole_admin::{Event, EventKind};
use pinhole_flow::{Leg, LegFlags, MasterKey, Session, slot::NOTE_MAX};
use pinhole_sip::NameAddr;
use serde::{Deserialize, Serialize};

use crate::DeviceName;
use crate::calls::{Call, Keying, Profile, Stream, StreamCrypto};
use crate::counters::Counter;
use crate::dialogs::{Dialog, DialogSet, End, SetId};
use crate::io::Output;
use crate::proxy::Proxy;
use crate::sessions::Owner;
use crate::timers::Timer;
use crate::token::token;
use crate::transactions::Side;

/// Version of the notes. A note of another version is not understood, its session is closed.
const VERSION: u8 = 1;

/// A note. Names are short because room is. No keys: they stand in the session's orders.
#[derive(Debug, Serialize, Deserialize)]
struct CallNote {
    v: u8,
    /// Call-ID.
    i: String,
    /// Device name.
    d: String,
    /// Cluster's name.
    c: String,
    /// Whether the phone began.
    o: bool,
    /// Number of the media line.
    m: usize,
    /// Kind of the media line.
    k: String,
    /// Profile with feedback.
    f: bool,
    /// Tag of the crypto line.
    t: u32,
    /// On hold.
    h: bool,
    /// The phone's end.
    p: EndNote,
    /// The call manager's end.
    q: EndNote,
}

#[derive(Debug, Serialize, Deserialize)]
struct EndNote {
    /// Tag.
    t: String,
    /// Address.
    a: String,
    /// Target.
    u: Option<String>,
    /// Routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    r: Vec<String>,
    /// CSeq number.
    c: u32,
}

impl EndNote {
    fn of(end: &End) -> Self {
        Self {
            t: end.tag.clone(),
            a: end.address.clone(),
            u: end.target.clone(),
            r: end.routes.clone(),
            c: end.cseq,
        }
    }

    fn restore(self) -> End {
        End { tag: self.t, address: self.a, target: self.u, routes: self.r, cseq: self.c }
    }

    /// The address without display name and parameters.
    fn plain(&mut self) {
        if let Ok(address) = self.a.parse::<NameAddr>() {
            self.a = format!("<{}>", address.uri);
        }
    }
}

impl Proxy {
    /// Writes the notes of an answered call, one per session, where they have changed.
    pub(crate) fn write_notes(&mut self, set_id: SetId) {
        let Some(set) = self.sets.get(set_id) else { return };
        let Some(call) = set.call.as_ref().filter(|call| call.answered) else { return };
        let Some(dialog) = set.dialogs.iter().find(|dialog| dialog.confirmed) else { return };
        let Some(cluster) = self.config.clusters.get(set.cluster) else { return };
        let mut notes = Vec::new();
        for (line, stream) in call.streams.iter().filter(|(_, stream)| !stream.tentative) {
            let note = CallNote {
                v: VERSION,
                i: set.call_id.clone(),
                d: set.device.as_str().to_owned(),
                c: cluster.name.clone(),
                o: set.initiator == Side::Phone,
                m: *line,
                k: stream.kind.clone(),
                f: stream.profile == Profile::Feedback,
                t: match &stream.keying {
                    Some(Keying::Sdes(crypto)) => crypto.tag,
                    Some(Keying::Clear) | None => 1,
                },
                h: stream.held,
                p: EndNote::of(&dialog.phone),
                q: EndNote::of(&dialog.cluster),
            };
            notes.push((stream.slot, note));
        }
        for (slot, note) in notes {
            let Some(bytes) = self.fit(note) else { continue };
            let Some(session) = self.sessions.get_mut(slot).filter(|session| session.note != bytes) else {
                continue;
            };
            session.note.clone_from(&bytes);
            let generation = session.generation;
            self.output(Output::Note { slot, generation, bytes });
        }
    }

    /// A note's bytes, cut down to essentials when they are too many.
    fn fit(&mut self, mut note: CallNote) -> Option<Vec<u8>> {
        for step in 0..3 {
            match step {
                0 => {}
                1 => {
                    note.p.plain();
                    note.q.plain();
                }
                _ => {
                    note.p.r.clear();
                    note.q.r.clear();
                }
            }
            let bytes = serde_json::to_vec(&note).ok()?;
            if bytes.len() <= NOTE_MAX {
                if step > 0 {
                    self.count(Counter::NotesShortened);
                }
                return Some(bytes);
            }
        }
        self.count(Counter::NotesTooLong);
        None
    }

    /// Writes every note again: the data plane is new.
    pub(crate) fn write_all_notes(&mut self) {
        for set in self.sets.with_call() {
            let slots: Vec<u32> = self
                .sets
                .call(set)
                .map(|call| call.streams.values().map(|stream| stream.slot).collect())
                .unwrap_or_default();
            for slot in slots {
                if let Some(session) = self.sessions.get_mut(slot) {
                    session.note.clear();
                }
            }
            self.write_notes(set);
        }
        self.skinny_write_all_notes();
    }

    /// Takes over a session found open after our start.
    pub(crate) fn adopt(
        &mut self,
        slot: u32,
        generation: u32,
        mut orders: Session,
        note: &[u8],
        now: Instant,
    ) {
        for leg in &mut orders.legs {
            leg.next_hop = 0;
        }
        if !self.sessions.adopt(slot, generation, orders) {
            self.count(Counter::SessionsForeign);
            self.event(Event::new(
                EventKind::Warning,
                format!("session {slot} was found open but cannot be ours (configuration changed?): closed"),
            ));
            let rested = self.rested(now);
            let command =
                match self.sessions.get(slot).is_some_and(|session| session.generation == generation) {
                    true => self.sessions.close(slot, rested),
                    false => Some(self.sessions.close_foreign(slot, generation)),
                };
            if let Some(command) = command {
                self.command(command);
            }
            return;
        }
        let parsed = serde_json::from_slice::<CallNote>(note).ok().filter(|note| note.v == VERSION);
        let claimed = match parsed {
            Some(parsed) => self.adopt_note(slot, orders, parsed, now).map(|_| ()),
            None => self.skinny_adopt(slot, &orders, note, now),
        };
        if claimed.is_none() {
            let grace = now + self.config.timers.adopt_grace;
            if !self.timers.runs(&Timer::Unclaimed) {
                self.timers.set(Timer::Unclaimed, grace);
            }
        }
    }

    fn adopt_note(&mut self, slot: u32, orders: Session, note: CallNote, now: Instant) -> Option<SetId> {
        let device = DeviceName::new(&note.d).ok()?;
        let cluster = self.config.clusters.iter().position(|cluster| cluster.name == note.c)?;
        let [outside, inside] = &orders.legs;
        let ours = self.config.clusters.get(cluster)?.port;
        if outside.port != self.config.outside.port || inside.port != ours {
            return None;
        }
        let stream = Stream {
            slot,
            kind: note.k,
            profile: if note.f { Profile::Feedback } else { Profile::Plain },
            keying: Some(keying_of(outside, note.t)?),
            mux: outside.has(LegFlags::RTCP_MUX),
            held: note.h,
            tentative: false,
        };
        let set_id = match self.sets.of_phone(&note.i, &device) {
            Some(set) => set,
            None => self.adopt_call(device, cluster, note.i, note.o, note.p.restore(), note.q.restore(), now),
        };
        let call = self.sets.call_mut(set_id)?;
        if call.streams.contains_key(&note.m) {
            return None;
        }
        call.streams.insert(note.m, stream);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.owner = Some(Owner::Call(set_id));
        }
        Some(set_id)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a note")]
    fn adopt_call(
        &mut self,
        device: DeviceName,
        cluster: usize,
        call_id: String,
        from_phone: bool,
        phone: End,
        far: End,
        now: Instant,
    ) -> SetId {
        let mut call = Call::new(now);
        call.answered = true;
        call.adopted = true;
        call.awaits_phone = true;
        let (initiator, origin) =
            if from_phone { (Side::Phone, phone.clone()) } else { (Side::Cluster, far.clone()) };
        let set = self.sets.insert(DialogSet {
            token: token(&["call", &call_id, device.as_str()]),
            call_id,
            device,
            cluster,
            initiator,
            origin,
            dialogs: vec![Dialog { phone, cluster: far, confirmed: true, ack: None }],
            call: Some(call),
        });
        let timers = &self.config.timers;
        let grace = timers.adopt_grace.max(timers.phone_lost_grace);
        self.timers.set(Timer::Grace(set), now + grace);
        self.watch_media(set, now);
        self.count(Counter::CallsAdopted);
        self.call_event(set, EventKind::CallAdopted, "taken over from before the restart");
        set
    }

    /// Every session was handed over; those that belong to no call end after a while.
    pub(crate) fn adopt_done(&mut self, now: Instant) {
        if !self.sessions.unclaimed().is_empty() && !self.timers.runs(&Timer::Unclaimed) {
            self.timers.set(Timer::Unclaimed, now + self.config.timers.adopt_grace);
        }
    }

    pub(crate) fn close_unclaimed(&mut self, now: Instant) {
        let rested = self.rested(now);
        for slot in self.sessions.unclaimed() {
            self.count(Counter::SessionsUnclaimed);
            self.event(Event::new(
                EventKind::SessionClosed,
                format!("session {slot} belongs to no call that survived the restart: closed"),
            ));
            self.close_session(slot, rested);
        }
    }

    /// Packets were accepted on a session's legs.
    pub(crate) fn media_activity(&mut self, slot: u32, generation: u32, packets: [u64; 2], now: Instant) {
        let Some(session) = self.sessions.get_mut(slot).filter(|session| session.generation == generation)
        else {
            return;
        };
        session.reports = session.reports.saturating_add(1);
        let before = session.packets.replace(packets);
        let (before, set) = match (before, session.owner) {
            (Some(before), Some(Owner::Call(set))) => (before, set),
            (Some(before), Some(Owner::Stream(stream))) => {
                return self.skinny_activity(stream, packets[0] != before[0], now);
            }
            _ => return,
        };
        let Some(call) = self.sets.call_mut(set) else { return };
        if packets != before {
            call.media_seen = now;
        }
        if packets[0] != before[0] {
            call.phone_media_seen = now;
        }
    }

    /// Starts the watch over a call's media afresh.
    pub(crate) fn watch_media(&mut self, set: SetId, now: Instant) {
        let Some(call) = self.sets.call_mut(set).filter(|call| call.answered) else { return };
        call.media_seen = now;
        for slot in call.streams.values().map(|stream| stream.slot).collect::<Vec<_>>() {
            if let Some(session) = self.sessions.get_mut(slot) {
                session.reports = 0;
            }
        }
        self.check_media(set, now);
    }

    /// Ends a call without media; otherwise sets the time to look again.
    pub(crate) fn check_media(&mut self, set: SetId, now: Instant) {
        let Some(call) = self.sets.call(set).filter(|call| call.answered) else { return };
        let timers = &self.config.timers;
        let quiet = call.held() || call.streams.is_empty();
        let limit = if quiet { timers.hold_timeout.max(timers.media_timeout) } else { timers.media_timeout };
        let due = call.media_seen + limit;
        if due > now {
            self.timers.set(Timer::Media(set), due);
            return;
        }
        self.count(Counter::MediaTimeouts);
        self.call_event(
            set,
            EventKind::MediaTimeout,
            format!("no media for {} s: call ended", limit.as_secs()),
        );
        self.end_call(set, crate::teardown::Ending::ByUs { code: 408, reason: "Request Timeout" }, now);
    }
}

/// How a leg that was found open is keyed; `None`: it is none of ours.
fn keying_of(outside: &Leg, tag: u32) -> Option<Keying> {
    if in_the_clear(outside) {
        return Some(Keying::Clear);
    }
    Some(Keying::Sdes(StreamCrypto {
        tag,
        suite: outside.outbound.suite()?,
        phone: Some((outside.inbound, outside.mki)).filter(|(key, _)| *key != MasterKey::NONE),
        ours: outside.outbound,
    }))
}

/// Whether a leg was ordered to carry plain RTP.
pub(crate) fn in_the_clear(leg: &Leg) -> bool {
    !leg.has(LegFlags::LEARN) && [leg.inbound, leg.outbound] == [MasterKey::NONE; 2]
}

/// Calls by device, for the view of phones.
pub(crate) fn count_by_device(calls: &[pinhole_admin::Call]) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.device.as_str()).or_default() += 1;
    }
    counts
}
