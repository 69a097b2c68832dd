//! What an operator can see of SCCP phones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use pinhole_admin::{Call, CallState, Direction, Phone};

use super::connections::{Connection, Stage};
use crate::DeviceName;
use crate::io::ConnId;
use crate::proxy::Proxy;

/// A call: the connection, if it is there, the device, and the reference.
type Key<'a> = (Option<ConnId>, &'a DeviceName, u32);

impl Proxy {
    /// SCCP connections, one line each.
    pub(crate) fn skinny_phones(&self, now: Instant) -> Vec<Phone> {
        let mut calls: BTreeMap<Option<ConnId>, u32> = BTreeMap::new();
        self.skinny.call_keys().into_iter().for_each(|(conn, ..)| *calls.entry(conn).or_default() += 1);
        let mut phones: Vec<Phone> = self
            .skinny
            .connections
            .iter()
            .map(|(conn, connection)| Phone {
                device: connection.device.as_str().to_owned(),
                shard: self.config.shard,
                cluster: self.cluster_name(connection.cluster),
                protocol: "sccp".to_owned(),
                call_manager: Some(connection.to),
                peer: Some(connection.peer),
                tls: connection.tls.clone(),
                since_s: now.saturating_duration_since(connection.since).as_secs(),
                registered: (connection.stage == Stage::Registered)
                    .then(|| "sccp".to_owned())
                    .into_iter()
                    .collect(),
                expires_s: None,
                calls: calls.get(&Some(*conn)).copied().unwrap_or_default(),
            })
            .collect();
        phones.sort_by(|one, other| (&one.device, one.peer).cmp(&(&other.device, other.peer)));
        phones
    }

    /// SCCP calls: those that have media, and those that their phones were told of.
    pub(crate) fn skinny_calls(&self, now: Instant) -> Vec<Call> {
        let mut calls: BTreeMap<Key<'_>, Call> = BTreeMap::new();
        for (conn, connection) in &self.skinny.connections {
            for (reference, told, state) in connection.told.iter() {
                let key = (Some(*conn), &connection.device, reference);
                let call = Call {
                    direction: told.direction,
                    state,
                    since_s: now.saturating_duration_since(told.since).as_secs(),
                    ..self.skinny_call(&connection.device, connection.cluster, reference)
                };
                calls.insert(key, call);
            }
        }
        for stream in self.skinny.streams.values() {
            let told = stream.conn.and_then(|conn| self.skinny.connections.get(&conn)?.told.get(stream.call));
            let call = calls.entry((stream.conn, &stream.device, stream.call)).or_insert_with(|| Call {
                direction: told.map_or(Direction::ToPhone, |told| told.direction),
                // A stream whose connection is lost has no halves that we know of only after a restart.
                state: match (stream.conn, stream.receive, stream.transmit) {
                    (None, None, None) => CallState::Adopted,
                    _ => CallState::Setup,
                },
                since_s: now.saturating_duration_since(stream.since).as_secs(),
                ..self.skinny_call(&stream.device, stream.cluster, stream.call)
            });
            call.sessions.push(stream.slot);
            call.suite = call.suite.take().or_else(|| {
                let [outside, _] = &self.sessions.get(stream.slot)?.orders.legs;
                let suite = outside.outbound.suite().map(pinhole_flow::Suite::name);
                suite.or(stream.clear.then_some("RTP")).map(str::to_owned)
            });
            if stream.receive.is_some() && stream.transmit.is_some() {
                call.state = CallState::Talking;
            }
        }
        calls.into_values().collect()
    }

    /// A call of which nothing is known but whose it is. Numbers are not read: their places are not certain.
    fn skinny_call(&self, device: &DeviceName, cluster: usize, reference: u32) -> Call {
        Call {
            call_id: format!("sccp-{reference}"),
            device: device.as_str().to_owned(),
            shard: self.config.shard,
            cluster: self.cluster_name(cluster),
            direction: Direction::ToPhone,
            from: String::new(),
            to: String::new(),
            state: CallState::Setup,
            suite: None,
            since_s: 0,
            sessions: Vec::new(),
        }
    }

    /// How many SCCP calls there are.
    pub(crate) fn skinny_call_count(&self) -> usize {
        self.skinny.call_keys().len()
    }

    /// Devices that are registered by SCCP, one that is so twice twice.
    pub(crate) fn skinny_registered_devices(&self) -> impl Iterator<Item = &DeviceName> {
        let registered = |connection: &&Connection| connection.stage == Stage::Registered;
        self.skinny.connections.values().filter(registered).map(|connection| &connection.device)
    }
}

impl super::Skinny {
    /// Every call that is shown.
    fn call_keys(&self) -> BTreeSet<Key<'_>> {
        let told = self.connections.iter().flat_map(|(conn, connection)| {
            connection.told.iter().map(move |(reference, ..)| (Some(*conn), &connection.device, reference))
        });
        told.chain(self.streams.values().map(|stream| (stream.conn, &stream.device, stream.call))).collect()
    }
}
