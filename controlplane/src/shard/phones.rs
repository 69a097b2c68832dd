//! The phones' side of a shard: handshakes, hand-over, messages.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Interest;
use pinhole_admin::{Event, EventKind};
use pinhole_proxy::{ConnId, Connected, DeviceName, Input, SkinnyInput};
use pinhole_sip::{Frame, FrameError};

use super::admission::session_over;
use super::connection::{End, Phone, Said, Stage};
use super::{Shard, tokens};
use crate::counters::Counter;
use crate::provisioning::Session;

/// How long a connection that is being closed may take to send what is left.
const CLOSE_TIME: Duration = Duration::from_secs(5);

impl Shard {
    /// There is something to be read of a connection. Handshakes take their turns.
    pub(super) fn phone_ready(&mut self, conn: u64, now: Instant) {
        match self.phones.get(&conn).map(|phone| &phone.stage) {
            Some(Stage::Handshake) => self.steps.wait(conn),
            Some(_) => self.phone_readable(conn, now),
            None => {}
        }
    }

    /// Gives a connection a number here and begins to watch it.
    pub(super) fn adopt_connection(&mut self, mut phone: Phone) -> Option<u64> {
        let conn = self.next_id();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll.registry().register(&mut phone.stream, tokens::connection(conn), interest)
        {
            self.counters.count(Counter::AcceptFailed);
            self.emit(Event::new(
                EventKind::LimitReached,
                format!("{} cannot be watched ({error})", phone.peer),
            ));
            return None;
        }
        self.phones.insert(conn, phone);
        Some(conn)
    }

    /// A connection that another shard hands over.
    pub(super) fn phone_arrives(&mut self, mut phone: Phone, now: Instant) {
        let Stage::Bound(device) = phone.stage.clone() else { return };
        // An operator may have changed something while it was on its way: nothing that it has said meanwhile counts.
        if let Err(failure) = phone.session.as_ref().map_or(Ok(()), Session::holds) {
            self.counters.count(Counter::SessionOver);
            self.emit(session_over(&phone, failure));
            phone.close();
            return;
        }
        let (peer, tls) = (phone.peer, phone.tls.description());
        if let Some(conn) = self.adopt_connection(phone) {
            self.bound(conn, device, peer, tls, now);
        }
    }

    pub(super) fn bound(
        &mut self,
        conn: u64,
        device: DeviceName,
        peer: SocketAddr,
        tls: String,
        now: Instant,
    ) {
        let Some(phone) = self.phones.get(&conn) else { return };
        let (listener, is_skinny) = (phone.speech.listener(), phone.speech.is_skinny());
        // Of a phone that is not in the database nothing is known: it is encrypted.
        let class = phone.session.as_ref().map(Session::class).unwrap_or_default();
        let connected = Connected { conn: ConnId(conn), device, peer, tls, class, listener };
        if is_skinny {
            self.skinny_input(SkinnyInput::Connected(connected), now);
        } else {
            self.input(Input::PhoneConnected(connected), now);
        }
        self.phone_readable(conn, now);
    }

    /// Reads a connection and does what its messages ask for.
    pub(super) fn phone_readable(&mut self, conn: u64, now: Instant) {
        let time = self.message_time();
        let Some(phone) = self.phones.get_mut(&conn) else { return };
        let received = phone.receive();
        phone.flush();
        phone.note_unfinished(!received.frames.is_empty(), now);
        if let Some(since) = phone.unfinished
            && !std::mem::replace(&mut phone.watched, true)
        {
            self.deadlines.insert((since + time, conn));
        }
        if received.handshake_done {
            return self.handshake_done(conn, now);
        }
        if !received.frames.is_empty() && !self.is_alive(conn, now) {
            return;
        }
        for frame in received.frames {
            self.tap_from_phone(conn, &frame);
            match frame {
                Said::Skinny(frame) => {
                    self.skinny_input(SkinnyInput::FromPhone { conn: ConnId(conn), frame }, now)
                }
                Said::Sip(Frame::Message(message)) => {
                    self.input(Input::PhoneMessage { conn: ConnId(conn), message }, now)
                }
                Said::Sip(Frame::Ping) => {
                    self.counters.count(Counter::KeepAlives);
                    self.send_phone(conn, b"\r\n", now);
                }
                Said::Sip(Frame::Pong) => {}
            }
        }
        match received.end {
            Some(end) => self.phone_ended(conn, end, now),
            None if received.more => self.again.push(conn),
            None => {}
        }
    }

    /// The socket takes more.
    pub(super) fn phone_writable(&mut self, conn: u64) {
        let Some(phone) = self.phones.get_mut(&conn) else { return };
        if phone.flush() && phone.stage == Stage::Closing {
            self.drop_phone(conn);
        }
    }

    /// Sends to a phone; a phone that does not read is closed.
    pub(super) fn send_phone(&mut self, conn: u64, bytes: &[u8], now: Instant) {
        self.tap_to_phone(conn, bytes);
        let Some(phone) = self.phones.get_mut(&conn).filter(|phone| phone.stage != Stage::Closing) else {
            return self.counters.count(Counter::PhoneGone);
        };
        if phone.send(bytes).is_err() {
            let text = format!(
                "{} closed: it does not read what is sent to it (limits.write_buffer_bytes)",
                phone.peer
            );
            self.counters.count(Counter::WriteLimit);
            self.emit(Event::new(EventKind::LimitReached, text));
            self.phone_gone(conn, now);
        }
    }

    /// Closes a connection once what was sent is out.
    pub(super) fn close_phone(&mut self, conn: u64, reason: &str, now: Instant) {
        let Some(phone) = self.phones.get_mut(&conn) else { return };
        tracing::debug!(peer = %phone.peer, reason, "closing the phone's connection");
        if phone.close() {
            self.drop_phone(conn);
        } else {
            self.deadlines.insert((now + CLOSE_TIME, conn));
        }
    }

    /// A deadline of a connection has passed.
    pub(super) fn phone_deadline(&mut self, conn: u64, now: Instant) {
        let time = self.message_time();
        let Some(phone) = self.phones.get_mut(&conn) else { return };
        match &phone.stage {
            Stage::Handshake => {
                let text = format!(
                    "{} refused: the TLS handshake was not finished in time (limits.handshake_timeout_s)",
                    phone.peer
                );
                self.counters.count(Counter::HandshakeTimeout);
                self.emit(Event::new(EventKind::PhoneRefused, text));
                self.drop_phone(conn);
            }
            Stage::Closing => self.drop_phone(conn),
            Stage::Bound(device) => match phone.unfinished.map(|since| since + time) {
                Some(due) if due <= now => {
                    let text = format!(
                        "{} closed: a message was not finished in time (limits.message_timeout_s)",
                        phone.peer
                    );
                    let event = Event::new(EventKind::MessageRefused, text).device(device.as_str());
                    self.counters.count(Counter::MessageTimeout);
                    self.emit(event);
                    self.phone_gone(conn, now);
                }
                // A later message.
                Some(due) => drop(self.deadlines.insert((due, conn))),
                None => phone.watched = false,
            },
        }
    }

    fn message_time(&self) -> Duration {
        Duration::from_secs(u64::from(self.shared.config.limits.message_timeout_s))
    }

    fn phone_ended(&mut self, conn: u64, end: End, now: Instant) {
        let Some(phone) = self.phones.get_mut(&conn) else { return };
        let (peer, stage) = (phone.peer, phone.stage.clone());
        phone.flush();
        match (stage, end) {
            (Stage::Handshake, End::Tls(refusal)) => {
                self.drop_phone(conn);
                return self.refused(peer, &refusal);
            }
            (Stage::Handshake, _) => {
                self.counters.count(Counter::HandshakeClosed);
                return self.drop_phone(conn);
            }
            (Stage::Bound(device), End::Tls(refusal)) => {
                self.counters.count(Counter::TlsBroken);
                self.emit(
                    Event::new(EventKind::PhoneClosed, format!("{peer}: {refusal}")).device(device.as_str()),
                );
            }
            (Stage::Bound(device), End::Frame(error)) => {
                self.count_frame_error(&error);
                let text = format!("{peer} closed: {error}");
                self.emit(Event::new(EventKind::MessageRefused, text).device(device.as_str()));
            }
            (Stage::Bound(device), End::SkinnyFrame(error)) => {
                self.counters.count(Counter::SkinnyMalformed);
                let text = format!("{peer} closed: {error}");
                self.emit(Event::new(EventKind::MessageRefused, text).device(device.as_str()));
            }
            (Stage::Bound(_) | Stage::Closing, _) => {}
        }
        self.phone_gone(conn, now);
    }

    pub(super) fn count_frame_error(&mut self, error: &FrameError) {
        self.counters.count(if super::is_too_long(error) {
            Counter::MessageLimit
        } else {
            Counter::Malformed
        });
    }

    pub(super) fn phone_gone(&mut self, conn: u64, now: Instant) {
        let bound = self.phones.get(&conn).filter(|phone| matches!(phone.stage, Stage::Bound(_)));
        let skinny = bound.map(|phone| phone.speech.is_skinny());
        self.drop_phone(conn);
        let conn = ConnId(conn);
        match skinny {
            Some(false) => self.input(Input::PhoneClosed { conn }, now),
            Some(true) => self.skinny_input(SkinnyInput::PhoneClosed { conn }, now),
            None => {}
        }
    }

    pub(super) fn drop_phone(&mut self, conn: u64) {
        if let Some(mut phone) = self.phones.remove(&conn) {
            self.turns.ended(phone.peer.ip(), conn);
            phone.close();
            let _ = self.poll.registry().deregister(&mut phone.stream);
        }
    }
}
