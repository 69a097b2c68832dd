//! An HTTP server under arbitrary bytes on some connections, at arbitrary times, and a client under arbitrary answers.
//!
//! Each request that was reported ends once, connections and what is kept of them stay within their limits, and what is
//! not taken by a connection is never asked for.

#![no_main]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_http::{
    ConnectionId, Denied, Fetch, FetchSettings, HEAD_MAX, Output, RequestId, Server, Settings, parse,
};

#[derive(Arbitrary, Debug)]
enum Act<'a> {
    Connect {
        client: u8,
        pays: bool,
    },
    Bytes {
        connection: u8,
        bytes: &'a [u8],
    },
    /// A request as phones send it, so that more than errors is reached.
    Request {
        connection: u8,
        name: u8,
        head: bool,
        closes: bool,
    },
    Answer {
        len: u16,
    },
    Deny,
    Take {
        connection: u8,
        len: u16,
    },
    End {
        connection: u8,
    },
    Lose {
        connection: u8,
    },
    Wait {
        ms: u16,
    },
    ToClient {
        bytes: &'a [u8],
    },
}

/// The server, and what it has said.
struct Stage {
    server: Server,
    now: Instant,
    open: Vec<ConnectionId>,
    waiting: Vec<RequestId>,
    requests: HashMap<RequestId, bool>,
    closed: HashSet<ConnectionId>,
}

fuzz_target!(|acts: Vec<Act<'_>>| {
    let settings = Settings { connections: 4, connections_per_source: 2, ..Settings::default() };
    let mut stage = Stage {
        server: Server::new(settings),
        now: Instant::now(),
        open: Vec::new(),
        waiting: Vec::new(),
        requests: HashMap::new(),
        closed: HashSet::new(),
    };
    let settings = FetchSettings { limit: 4096, ..FetchSettings::default() };
    let upstream = SocketAddr::from(([192, 0, 2, 1], 6970));
    let Ok((mut fetch, _)) = Fetch::begin(upstream, "name", settings, stage.now) else { return };
    for act in acts {
        if let Act::ToClient { bytes } = act {
            if let Some(Ok(file)) = fetch.received(bytes, stage.now) {
                assert!(file.len() <= 4096);
                return;
            }
            continue;
        }
        stage.act(&act);
    }
    stage.now += Duration::from_secs(3600);
    for _ in 0..4 {
        stage.act(&Act::Wait { ms: u16::MAX });
    }
    assert!(stage.requests.is_empty() && stage.server.connections() == 0, "nothing is open for ever");
});

impl Stage {
    fn act(&mut self, act: &Act<'_>) {
        let mut out = Vec::new();
        match *act {
            Act::Connect { client, pays } => {
                let client = SocketAddr::from(([198, 51, 100, client % 8], 1000));
                if let Ok(connection) = self.server.accepted(client, pays, self.now, &mut out) {
                    self.open.push(connection);
                }
            }
            Act::Bytes { connection, bytes } => {
                if let Ok(Some((head, len))) = parse(bytes) {
                    assert!(len <= HEAD_MAX && head.name.len() < len);
                }
                self.receive(connection, bytes, &mut out);
            }
            Act::Request { connection, name, head, closes } => {
                let method = if head { "HEAD" } else { "GET" };
                let field = if closes { "Connection: close\r\n" } else { "" };
                let text = format!("{method} /{name}.xml HTTP/1.1\r\n{field}\r\n");
                self.receive(connection, text.as_bytes(), &mut out);
            }
            Act::Answer { len } => {
                if let Some(request) = self.waiting.pop() {
                    self.server.answer(request, Ok(Arc::from(vec![0; len.into()])), self.now, &mut out);
                }
            }
            Act::Deny => {
                if let Some(request) = self.waiting.pop() {
                    self.server.answer(request, Err(Denied::NotFound), self.now, &mut out);
                }
            }
            Act::Take { connection, len } => {
                if let Some(connection) = self.connection(connection) {
                    let len = self.server.to_send(connection).len().min(len.into());
                    self.server.sent(connection, len, self.now, &mut out);
                }
            }
            Act::End { connection } => {
                if let Some(connection) = self.connection(connection) {
                    self.server.peer_ended(connection, self.now, &mut out);
                }
            }
            Act::Lose { connection } => {
                if let Some(connection) = self.connection(connection) {
                    self.server.lost(connection, self.now, &mut out);
                }
            }
            Act::Wait { ms } => {
                self.now += Duration::from_millis(ms.into());
                self.server.tick(self.now, &mut Vec::new(), &mut out);
            }
            Act::ToClient { .. } => {}
        }
        for output in out {
            self.hear(output);
        }
        assert_eq!(self.server.connections(), self.open.len());
        assert!(self.open.len() <= 4);
        assert_eq!(self.server.due().is_some(), !self.open.is_empty());
    }

    fn connection(&self, number: u8) -> Option<ConnectionId> {
        self.open.get(usize::from(number) % self.open.len().max(1)).copied()
    }

    fn receive(&mut self, connection: u8, bytes: &[u8], out: &mut Vec<Output>) {
        let Some(connection) = self.connection(connection) else { return };
        let room = self.server.room(connection);
        assert!(room <= HEAD_MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.server.received(connection, bytes, self.now, out);
    }

    fn hear(&mut self, output: Output) {
        match output {
            Output::Requested { request, .. } => {
                assert!(!self.closed.contains(&request.connection));
                assert!(self.requests.insert(request, false).is_none());
                self.waiting.push(request);
            }
            Output::Sent { request } => assert_eq!(self.requests.insert(request, true), Some(false)),
            Output::Ended { request, .. } => assert!(self.requests.remove(&request).is_some()),
            Output::Close { connection } => {
                assert!(self.closed.insert(connection));
                self.open.retain(|open| *open != connection);
            }
            Output::Refused { .. } | Output::Shut { .. } => {}
        }
    }
}
