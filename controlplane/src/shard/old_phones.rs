//! Phones that `pinhole-legacy-tls` hands over: verified as all are, and then phones like all.

use std::os::unix::net::UnixStream;
use std::time::{Instant, SystemTime};

use pinhole_admin::{Event, EventKind};
use pinhole_devices::Verified;
use pinhole_legacy_tls::{Cause, Handover, Refusals};

use super::Shard;
use super::connection::{Phone, Place, Speech};
use super::wire::Wire;
use crate::config::LegacyListener;
use crate::counters::Counter;
use crate::tls::{Legacy, Refusal};

/// A phone that has finished its handshake elsewhere.
pub struct OldPhone {
    /// What it says, in the clear.
    pub stream: UnixStream,
    /// Its place among old phones.
    pub place: Place,
    /// What it came to.
    pub listener: LegacyListener,
    /// Who it has proven to be, if that is trusted.
    pub handover: Handover,
}

impl Shard {
    /// Verifies what an old phone has shown, and takes it.
    pub(super) fn old_phone_arrives(&mut self, old: OldPhone, now: Instant) {
        let Handover { peer, version, suite, .. } = old.handover;
        let identity = match self.old_identity(&old) {
            Ok(identity) => identity,
            Err(refusal) => return self.refused(peer, &refusal),
        };
        if !self.shared.legacy.as_ref().is_some_and(|legacy| legacy.serves(&identity.device)) {
            self.counters.count(Counter::NoOldPhone);
            let text = format!("{peer} refused: it speaks old TLS, and legacy_tls.devices does not have it");
            return self.emit(Event::new(EventKind::PhoneRefused, text).device(identity.device));
        }
        let write_buffer = self.shared.config.limits.write_buffer_bytes as usize;
        let tls = Box::new(Legacy::new(identity, version, suite, write_buffer));
        let address = old.listener.address;
        let speech = match old.listener.is_sccp {
            true => Speech::skinny_at(address),
            false => Speech::sip_at(address, self.shared.config.limits.message_bytes),
        };
        let phone = Phone::new(Wire::clear(old.stream, old.place), peer, tls, None, speech);
        if let Some(conn) = self.adopt_connection(phone) {
            self.handshake_done(conn, now);
        }
    }

    fn old_identity(&self, old: &OldPhone) -> Result<Verified, Refusal> {
        let acceptors = self.shared.tls();
        let trust = if old.listener.is_sccp { acceptors.sccp.trust() } else { acceptors.sip.trust() };
        let chain: Vec<&[u8]> = old.handover.chain.iter().map(Vec::as_slice).collect();
        if chain.is_empty() {
            return Err(Refusal::NoCertificate);
        }
        Ok(trust.judge(&chain, SystemTime::now())?)
    }

    /// Counts connections that `pinhole-legacy-tls` has refused, and says why.
    pub(super) fn old_refused(&mut self, refusals: Refusals, now: Instant) {
        let Refusals { cause, count, peer, text } = refusals;
        // The last one is counted where it is told.
        let before = count.saturating_sub(1);
        let refusal = match cause {
            Cause::NoCertificate => Ok(Refusal::NoCertificate),
            Cause::NotHolder => Ok(Refusal::NotHolder(text)),
            Cause::RefusedUs => Ok(Refusal::RefusedUs(text)),
            Cause::Protocol => Ok(Refusal::Protocol(text)),
            Cause::Timeout => Err((Counter::HandshakeTimeout, "legacy_tls.handshake_timeout_s")),
            Cause::Closed => return self.counters.count_many(Counter::HandshakeClosed, count),
            Cause::Broken => return self.counters.count_many(Counter::TlsBroken, count),
            Cause::Handshakes => return self.old_phones_wait(count),
            Cause::GaveWay => Err((
                Counter::HandshakeGaveWay,
                "legacy_tls.handshakes: its address has most of them, and others wait",
            )),
            Cause::Waiting => Err((Counter::WaitingLimit, "too many of its address wait for a handshake")),
            Cause::Connections => Err((Counter::ConnectionLimit, "legacy_tls.connections")),
            Cause::Source => Err((
                Counter::OldSourceLimit,
                "legacy_tls.connections_per_source, requests_per_source, requests",
            )),
            Cause::Resources => Err((Counter::AcceptFailed, "no socket or memory")),
        };
        match refusal {
            Ok(refusal) => {
                self.counters.count_many(super::admission::counter(&refusal), before);
                self.refused(peer, &refusal);
            }
            Err((counter, limit)) => {
                self.counters.count_many(counter, count);
                let text = format!("{peer} refused at a listener for old phones ({limit})");
                match cause {
                    Cause::GaveWay | Cause::Waiting => self.tell_of_greed(now, text),
                    _ => self.emit(Event::new(EventKind::LimitReached, text)),
                }
            }
        }
    }

    fn old_phones_wait(&mut self, times: u32) {
        self.counters.count_many(Counter::HandshakeLimit, times);
        let text = "all places for handshakes of old phones are taken (legacy_tls.handshakes): further connections wait";
        self.emit(Event::new(EventKind::LimitReached, text));
    }
}
