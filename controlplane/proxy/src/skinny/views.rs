//! What an operator can see of SCCP phones.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use pinhole_admin::{Call, CallState, Direction, Phone};

use super::connections::{Connection, Stage};
use super::streams::Stream;
use crate::DeviceName;
use crate::proxy::Proxy;

impl Proxy {
    /// SCCP connections, one line each.
    pub(crate) fn skinny_phones(&self, now: Instant) -> Vec<Phone> {
        let mut phones: Vec<Phone> = self
            .skinny
            .connections
            .iter()
            .map(|(conn, connection)| Phone {
                device: connection.device.as_str().to_owned(),
                shard: self.config.shard,
                cluster: self.cluster_name(connection.cluster),
                peer: Some(connection.peer),
                tls: connection.tls.clone(),
                since_s: now.saturating_duration_since(connection.since).as_secs(),
                registered: (connection.stage == Stage::Registered)
                    .then(|| "sccp".to_owned())
                    .into_iter()
                    .collect(),
                expires_s: None,
                calls: self.skinny.calls_of(*conn),
            })
            .collect();
        phones.sort_by(|one, other| (&one.device, one.peer).cmp(&(&other.device, other.peer)));
        phones
    }

    /// SCCP calls that have media.
    pub(crate) fn skinny_calls(&self, now: Instant) -> Vec<Call> {
        let mut calls: BTreeMap<(Option<u64>, &str, u32), Call> = BTreeMap::new();
        for stream in self.skinny.streams.values() {
            let key = (stream.conn.map(|conn| conn.0), stream.device.as_str(), stream.call);
            let call = calls.entry(key).or_insert_with(|| Call {
                call_id: format!("sccp-{}", stream.call),
                device: stream.device.as_str().to_owned(),
                shard: self.config.shard,
                cluster: self.cluster_name(stream.cluster),
                // Who began is not looked at.
                direction: Direction::ToPhone,
                from: String::new(),
                to: String::new(),
                // A stream whose connection is lost has no halves that we know of only after a restart.
                state: match (stream.conn, stream.receive, stream.transmit) {
                    (None, None, None) => CallState::Adopted,
                    _ => CallState::Setup,
                },
                suite: self.sessions.get(stream.slot).and_then(|session| {
                    let [outside, _] = &session.orders.legs;
                    let suite = outside.outbound.suite().map(pinhole_flow::Suite::name);
                    suite.or(stream.clear.then_some("RTP")).map(str::to_owned)
                }),
                since_s: now.saturating_duration_since(stream.since).as_secs(),
                sessions: Vec::new(),
            });
            call.sessions.push(stream.slot);
            if stream.receive.is_some() && stream.transmit.is_some() {
                call.state = CallState::Talking;
            }
        }
        calls.into_values().collect()
    }

    /// How many SCCP calls have media.
    pub(crate) fn skinny_call_count(&self) -> usize {
        let of = |stream: &Stream| (stream.conn, stream.device.clone(), stream.call);
        self.skinny.streams.values().map(of).collect::<HashSet<_>>().len()
    }

    /// Devices that are registered by SCCP, one that is so twice twice.
    pub(crate) fn skinny_registered_devices(&self) -> impl Iterator<Item = &DeviceName> {
        let registered = |connection: &&Connection| connection.stage == Stage::Registered;
        self.skinny.connections.values().filter(registered).map(|connection| &connection.device)
    }
}

impl super::Skinny {
    /// How many calls of a connection have media.
    fn calls_of(&self, conn: crate::ConnId) -> u32 {
        let mut references: Vec<u32> = self
            .streams_of(conn)
            .into_iter()
            .filter_map(|id| self.streams.get(&id))
            .map(|stream| stream.call)
            .collect();
        references.sort_unstable();
        references.dedup();
        u32::try_from(references.len()).unwrap_or(u32::MAX)
    }
}
