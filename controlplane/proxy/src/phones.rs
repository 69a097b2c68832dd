//! Phones: their connections, and what becomes of calls when a phone is lost.

use std::time::{Duration, Instant};

use pinhole_admin::{Event, EventKind};

use crate::counters::Counter;
use crate::dialogs::SetId;
use crate::io::{ConnId, Connected, Output};
use crate::proxy::{Device, Proxy};
use crate::registrations::RegistrationKey;
use crate::timers::Timer;
use crate::transactions::Side;
use crate::{DeviceName, teardown::Ending};

impl Proxy {
    pub(crate) fn phone_connected(&mut self, connected: Connected, now: Instant) {
        let Connected { conn, device, peer, tls, class, listener } = connected;
        let Some(cluster) = self.cluster_of(&device) else {
            self.count(Counter::DevicesWithoutCluster);
            self.event(
                Event::new(
                    EventKind::PhoneRefused,
                    format!("no [[cluster]] serves {device}: add its name to a cluster's `devices`"),
                )
                .device(device.as_str()),
            );
            self.output(Output::ClosePhone { conn, reason: "no cluster serves this device" });
            return;
        };
        if !self.devices.contains_key(&device)
            && self.devices.len() >= self.config.limits.devices
            && !self.forget_idle_device()
        {
            self.count(Counter::DeviceLimit);
            self.event(
                Event::new(EventKind::LimitReached, "too many devices: phone refused")
                    .device(device.as_str()),
            );
            self.output(Output::ClosePhone { conn, reason: "too many devices" });
            return;
        }
        let old = self.devices.remove(&device);
        if let Some(old_conn) = old.as_ref().and_then(|old| old.conn).filter(|old| *old != conn) {
            self.conns.remove(&old_conn);
            self.count(Counter::PhonesReplaced);
            self.event(
                Event::new(EventKind::PhoneReplaced, format!("a newer connection from {peer} takes over"))
                    .device(device.as_str()),
            );
            self.output(Output::ClosePhone { conn: old_conn, reason: "replaced by a newer connection" });
        }
        self.event(
            Event::new(EventKind::PhoneConnected, format!("connected from {peer}, {tls}"))
                .device(device.as_str()),
        );
        self.conns.insert(conn, device.clone());
        for set in self.sets.calls_at(&device) {
            self.timers.cancel(&Timer::Grace(set));
            if let Some(call) = self.sets.call_mut(set) {
                call.awaits_phone = false;
            }
        }
        let offered = old.map(|old| old.offered).unwrap_or_default();
        let conn = Some(conn);
        let device_now = Device { cluster, conn, peer, tls, class, listener, since: now, offered };
        self.devices.insert(device, device_now);
    }

    pub(crate) fn phone_closed(&mut self, conn: ConnId, now: Instant) {
        let Some(device) = self.conns.remove(&conn) else { return };
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.conn = None;
            entry.since = now;
        }
        let grace = self.config.timers.phone_lost_grace;
        let calls = self.sets.calls_at(&device);
        self.event(
            Event::new(
                EventKind::PhoneClosed,
                match calls.len() {
                    0 => "connection ended".to_owned(),
                    n => format!("connection ended; {n} call(s) go on for {} s", grace.as_secs()),
                },
            )
            .device(device.as_str()),
        );
        for set in calls {
            self.timers.set(Timer::Grace(set), now + grace);
        }
    }

    /// The grace time of a call whose phone is gone is over.
    pub(crate) fn check_grace(&mut self, set: SetId, now: Instant) {
        let Some(device) = self.sets.get(set).map(|set| set.device.clone()) else { return };
        if self.conn_of(&device).is_some() {
            return;
        }
        // After a restart of ours a phone may take a registration interval to come back. While it
        // still sends authentic media, it is there.
        let grace = self.config.timers.phone_lost_grace.max(Duration::from_secs(1));
        if let Some(call) = self.sets.call(set)
            && call.awaits_phone
            && call.phone_media_seen + grace > now
            && call.phone_media_seen > call.since
        {
            let again = call.phone_media_seen + grace;
            self.timers.set(Timer::Grace(set), again);
            return;
        }
        self.count(Counter::PhonesLost);
        self.call_event(set, EventKind::PhoneLost, "the phone did not come back: call ended");
        self.end_call(set, Ending::ByUs { code: 480, reason: "Temporarily Unavailable" }, now);
    }

    /// The connection to the call manager failed for a device.
    pub(crate) fn upstream_failed(&mut self, cluster: usize, device: &DeviceName, now: Instant) {
        for id in self.transactions.awaiting(Side::Cluster, device) {
            if self.transactions.get(id).is_some_and(|tx| tx.cluster == cluster) {
                self.count(Counter::ClusterFailures);
                self.fail_transaction(id, 503, "Service Unavailable", now);
            }
        }
    }

    pub(crate) fn registration_expired(&mut self, key: &RegistrationKey) {
        if self.registrations.remove(key).is_some() {
            self.count(Counter::RegistrationsExpired);
            self.event(
                Event::new(EventKind::Unregistered, format!("registration of {} ran out", key.aor))
                    .device(key.device.as_str()),
            );
        }
    }

    /// Makes room in the table of devices; `false` if every device is busy.
    fn forget_idle_device(&mut self) -> bool {
        let idle = self
            .devices
            .iter()
            .filter(|(name, device)| {
                device.conn.is_none()
                    && self.registrations.count_of_phone(name) == 0
                    && self.sets.count_of_phone(name) == 0
            })
            .min_by_key(|(_, device)| device.since)
            .map(|(name, _)| name.clone());
        idle.is_some_and(|name| self.devices.remove(&name).is_some())
    }
}
