//! Ports that are asked for before a channel is opened: PortRequest, PortResponse, PortClose. For which medium, newer call
//! managers say; of older ones the channel shows it, which has the same party id.

use std::time::Instant;

use pinhole_sccp::{Channel, Frame, MediaType};

use super::channels::ids;
use super::streams::{Medium, Stream, StreamId, Way};
use crate::counters::Counter;
use crate::io::ConnId;
use crate::proxy::Proxy;
use crate::timers::Timer;

/// For what a stream's ports were asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The party id of the channel to come; 0: not said.
    party: u32,
    /// Whether the medium was not said.
    guessed: bool,
    /// Whether the phone has named its ports.
    answered: bool,
}

/// The medium that a message names, if it does [M].
fn said<F: std::borrow::Borrow<Frame>>(channel: &Channel<F>) -> Option<Medium> {
    match channel.media_type() {
        Ok(MediaType::AUDIO) => Some(Medium::Audio),
        Ok(MediaType::MAIN_VIDEO | MediaType::PRESENTATION_VIDEO) => Some(Medium::Video),
        _ => None,
    }
}

impl Stream {
    /// The parties of its channels, and of those that its ports were asked for.
    fn parties(&self) -> impl Iterator<Item = u32> {
        let halves = [self.receive, self.transmit].map(|half| half.map(|half| half.party));
        let asked = self.asked.map(|asked| asked.party);
        halves.into_iter().chain([asked]).flatten().filter(|party| *party != 0)
    }

    /// Whether it is this party's.
    pub(super) fn is_of(&self, party: u32) -> bool {
        self.parties().any(|known| known == party)
    }

    /// Whether it is, or may be, another channel's than that of this party.
    fn is_of_another(&self, party: u32) -> bool {
        party != 0 && self.parties().any(|other| other != party)
    }

    /// Whether this party's channel may open in it that way; with no way, whether its ports may be that party's.
    pub(super) fn is_free_for(&self, party: u32, way: Option<Way>) -> bool {
        match way.filter(|_| !self.unused()) {
            Some(way) => self.opened(way).is_none_or(|half| [0, party].contains(&half.party)),
            None => !self.is_of_another(party),
        }
    }

    fn is_asked_by(&self, party: u32) -> bool {
        party != 0 && self.asked.is_some_and(|asked| asked.party == party)
    }

    /// Whether it may yet be of the other medium.
    fn is_guessed(&self) -> bool {
        self.unused() && self.asked.is_some_and(|asked| asked.guessed)
    }
}

impl Proxy {
    /// PortRequest. If no channel uses the ports for as long as a call may ring, they are given back: a call manager that
    /// lost the call would never close them.
    pub(super) fn skinny_port_request(
        &mut self,
        conn: ConnId,
        frame: &Frame,
        now: Instant,
    ) -> Result<(), Counter> {
        let channel = frame.channel().ok_or(Counter::SkinnyMalformed)?;
        let (call, said) = (channel.call()?, said(&channel));
        let (party, _) = ids(&channel);
        if let Some(medium) = said {
            self.skinny_settle(conn, (party, call), medium);
        }
        let of_party = self.skinny.asked(conn, call, |stream| stream.is_asked_by(party));
        let medium = said.unwrap_or_else(|| {
            let mut audio = self.skinny.of_call(conn, call, Medium::Audio);
            // A call has sound first.
            if audio.any(|(_, audio)| audio.is_of_another(party)) { Medium::Video } else { Medium::Audio }
        });
        let id = match of_party.filter(|_| said.is_none()) {
            Some(again) => again,
            None => self.skinny_stream(conn, (party, call), medium, None, now)?,
        };
        if let Some(stream) = self.skinny.streams.get_mut(&id).filter(|stream| !stream.is_of_another(party)) {
            stream.asked = Some(Asked { party, guessed: said.is_none(), answered: false });
        }
        self.timers.set(Timer::Unused(id), now + self.config.timers.ring);
        Ok(())
    }

    /// The medium of a party's ports is known now: if it was guessed wrong, they are of the other. Of videos there may be
    /// several, of audio one: if that was a guess as well, it is video.
    pub(super) fn skinny_settle(&mut self, conn: ConnId, (party, call): (u32, u32), medium: Medium) {
        let wrong =
            |stream: &Stream| stream.is_asked_by(party) && stream.is_guessed() && stream.medium != medium;
        let Some(id) = self.skinny.asked(conn, call, wrong) else { return };
        let audio = self.skinny.of_call(conn, call, Medium::Audio).next().map(|(id, _)| id);
        if let Some(audio) = audio.filter(|_| medium == Medium::Audio) {
            match self.skinny.streams.get_mut(&audio).filter(|audio| audio.is_guessed()) {
                Some(audio) => audio.medium = Medium::Video,
                // That is taken: the channel has it, and these ports nobody uses.
                None => return,
            }
        }
        if let Some(stream) = self.skinny.streams.get_mut(&id) {
            stream.medium = medium;
        }
    }

    /// PortResponse: the phone names its ports; they become ours.
    pub(super) fn skinny_ports(&mut self, conn: ConnId, frame: &mut Frame) -> Result<(), Counter> {
        let mut channel = frame.channel_mut().ok_or(Counter::SkinnyMalformed)?;
        let call = channel.call()?;
        let ((party, _), said) = (ids(&channel), said(&channel));
        let skinny = &self.skinny;
        let id = skinny.asked(conn, call, |stream| stream.is_asked_by(party));
        let of_medium = |stream: &Stream| said == Some(stream.medium);
        let waits = |stream: &Stream| stream.asked.is_some_and(|asked| !asked.answered);
        let id = id.or_else(|| skinny.asked(conn, call, |stream| of_medium(stream) && waits(stream)));
        let id = id.or_else(|| skinny.asked(conn, call, of_medium));
        let id = id.or_else(|| skinny.asked(conn, call, waits));
        let id = id.or_else(|| skinny.of_call(conn, call, Medium::Audio).next().map(|(id, _)| id));
        let id = id.ok_or(Counter::SkinnyStrayChannels)?;
        let [_, inside] = self.skinny_ends(id).ok_or(Counter::SkinnyStrayChannels)?;
        channel.set_endpoint(inside)?;
        if channel.rtcp_port().is_ok() {
            channel.set_rtcp_port(inside.port() + 1)?;
        }
        if let Some(asked) = self.skinny.streams.get_mut(&id).and_then(|stream| stream.asked.as_mut()) {
            asked.answered = true;
        }
        Ok(())
    }

    /// PortClose: of a stream that no channel has used.
    pub(super) fn skinny_port_close(&mut self, conn: ConnId, frame: &Frame, now: Instant) {
        let Some(channel) = frame.channel() else { return };
        let ((party, call), said) = (ids(&channel), said(&channel));
        let of_party = self.skinny.asked(conn, call, |stream| stream.is_asked_by(party));
        let id = of_party.or_else(|| {
            let nameless = |stream: &Stream| party == 0 || stream.asked.is_some_and(|asked| asked.party == 0);
            let same = |stream: &Stream| said.is_none_or(|said| said == stream.medium);
            self.skinny.asked(conn, call, |stream| nameless(stream) && same(stream) && stream.unused())
        });
        let Some(id) = id else { return };
        if self.skinny.streams.get(&id).is_some_and(Stream::unused) {
            self.skinny_close_stream(id, "its ports are not wanted any more", now);
        }
    }
}

impl super::Skinny {
    /// The first of a call's streams that ports were asked for, of those that are such.
    fn asked(&self, conn: ConnId, call: u32, such: impl Fn(&Stream) -> bool) -> Option<StreamId> {
        let of_call = |stream: &&Stream| stream.call == call && stream.asked.is_some();
        let is = |id: &StreamId| self.streams.get(id).filter(of_call).is_some_and(&such);
        self.connections.get(&conn)?.streams.iter().copied().find(is)
    }
}
