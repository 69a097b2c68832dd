//! Whether phones show a call as secure: what the call manager says, unless it cannot be true.

use std::collections::BTreeMap;

use pinhole_flow::MasterKey;
use pinhole_sccp::{Frame, SecurityStatus};

use super::SkinnyOutput;
use crate::config::SecureIndicator;
use crate::counters::Counter;
use crate::io::ConnId;
use crate::proxy::Proxy;

/// Calls of a connection whose indicator can be taken back. A phone has a few.
const KEPT: usize = 64;

/// By call reference, the messages by which a phone shows calls as secure: sent again, they take that back.
#[derive(Default)]
pub(super) struct Secured(BTreeMap<u32, Frame>);

impl Secured {
    fn insert(&mut self, call: u32, frame: Frame) {
        if self.0.len() >= KEPT && !self.0.contains_key(&call) {
            self.0.pop_first();
        }
        self.0.insert(call, frame);
    }

    pub(super) fn remove(&mut self, call: u32) -> Option<Frame> {
        self.0.remove(&call)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Proxy {
    /// CallInfo, CallInfoDynamic.
    pub(super) fn skinny_security(&mut self, conn: ConnId, frame: &mut Frame) {
        let Some(call) = frame.call() else { return };
        let (Ok(status), reference) = (call.security(), call.reference().ok()) else { return };
        // While it rings nothing is said of it.
        let says_secure = !matches!(status, SecurityStatus::Unknown | SecurityStatus::NotAuthenticated);
        let is_secure = says_secure && reference.is_some_and(|call| self.skinny_may_be_secure(conn, call));
        if says_secure && !is_secure {
            not_authenticated(frame);
            self.count(Counter::SkinnyIndicatorCleared);
        }
        let (Some(reference), Some(connection)) = (reference, self.skinny.connections.get_mut(&conn)) else {
            return;
        };
        match is_secure {
            true => connection.secured.insert(reference, frame.clone()),
            false => drop(connection.secured.remove(reference)),
        }
    }

    /// A way of a call was opened. If it is in the clear, and the phone shows the call as secure by now, that is taken back.
    pub(super) fn skinny_take_back(&mut self, conn: ConnId, call: u32) {
        if self.skinny_may_be_secure(conn, call) {
            return;
        }
        let connection = self.skinny.connections.get_mut(&conn);
        if let Some(mut frame) = connection.and_then(|connection| connection.secured.remove(call)) {
            not_authenticated(&mut frame);
            self.count(Counter::SkinnyIndicatorCleared);
            self.skinny_output(SkinnyOutput::ToPhone { conn, frame });
        }
    }

    fn skinny_may_be_secure(&self, conn: ConnId, call: u32) -> bool {
        let Some(connection) = self.skinny.connections.get(&conn) else { return false };
        let cluster = self.config.clusters.get(connection.cluster);
        match cluster.map(|cluster| cluster.skinny_calls.secure_indicator) {
            Some(SecureIndicator::CallManager) => true,
            Some(SecureIndicator::Truth) => connection.encrypted && !self.skinny_is_clear(conn, call),
            None => false,
        }
    }

    /// Whether a way of a call is open that is in the clear on either side.
    fn skinny_is_clear(&self, conn: ConnId, call: u32) -> bool {
        self.skinny.streams_of(conn).iter().filter_map(|id| self.skinny.streams.get(id)).any(|stream| {
            let Some(session) = self.sessions.get(stream.slot) else { return stream.call == call };
            let [outside, inside] = &session.orders.legs;
            let clear = |key: &MasterKey| key.suite().is_none();
            let receives = stream.receive.is_some() && (clear(&outside.outbound) || clear(&inside.inbound));
            let transmits = stream.transmit.is_some() && (clear(&outside.inbound) || clear(&inside.outbound));
            stream.call == call && (receives || transmits)
        })
    }
}

fn not_authenticated(frame: &mut Frame) {
    // The field was read, so it is there.
    let _there = frame.call_mut().map(|mut call| call.set_security(SecurityStatus::NotAuthenticated));
}
