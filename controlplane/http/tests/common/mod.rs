//! A server with one connection or many, and time that tests move.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinhole_http::{ConnectionId, Denied, End, Output, Refusal, RequestId, Server, Settings};

/// A server, the time, and what it has said so far.
pub struct Stage {
    pub server: Server,
    pub now: Instant,
    pub said: Vec<Output>,
}

impl Stage {
    pub fn new(settings: Settings) -> Self {
        Self { server: Server::new(settings), now: Instant::now(), said: Vec::new() }
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.server.tick(self.now, &mut Vec::new(), &mut self.said);
    }

    pub fn connect(&mut self, host: u8) -> Result<ConnectionId, Refusal> {
        let client = SocketAddr::from(([192, 0, 2, host], 4000));
        self.server.accepted(client, false, self.now, &mut self.said)
    }

    pub fn send(&mut self, connection: ConnectionId, text: &str) {
        self.server.received(connection, text.as_bytes(), self.now, &mut self.said);
    }

    pub fn answer(&mut self, request: RequestId, answer: Result<&[u8], Denied>) {
        let answer = answer.map(Arc::from);
        self.server.answer(request, answer, self.now, &mut self.said);
    }

    /// Reads all that is sent by a connection, as text.
    pub fn read(&mut self, connection: ConnectionId) -> String {
        let mut text = Vec::new();
        while !self.server.to_send(connection).is_empty() {
            let piece = self.server.to_send(connection).to_vec();
            text.extend_from_slice(&piece);
            self.server.sent(connection, piece.len(), self.now, &mut self.said);
        }
        String::from_utf8(text).unwrap()
    }

    /// What it has said since the last time.
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    /// The one request since the last time.
    pub fn requested(&mut self) -> (RequestId, String) {
        match self.take().as_slice() {
            [Output::Requested { request, name, .. }] => (*request, String::from_utf8(name.clone()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    pub fn ends(&mut self) -> Vec<End> {
        let ends = self.take().into_iter().filter_map(|output| match output {
            Output::Ended { end, .. } => Some(end),
            _ => None,
        });
        ends.collect()
    }

    pub fn refusals(&mut self) -> Vec<Refusal> {
        let refusals = self.take().into_iter().filter_map(|output| match output {
            Output::Refused { why, .. } => Some(why),
            _ => None,
        });
        refusals.collect()
    }
}

pub fn status(response: &str) -> u16 {
    response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{response:?}"))
}
