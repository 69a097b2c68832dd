//! A network in memory, and what the tests of the server share.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinhole_tftp::{Fetch, FetchError, FetchSettings, Output, Server, Settings, Step};

/// What the network does to packets.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// Of a hundred packets, so many are lost.
    pub loss: u32,
    /// Of a hundred packets, so many arrive twice.
    pub doubling: u32,
    /// Each takes up to so long, so that they overtake each other.
    pub delay_ms: u64,
}

/// Bytes that repeat late.
pub fn file(size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub struct Network {
    weather: Weather,
    random: u64,
    /// By the time they arrive: whether to the server, the socket that they came or go by, the bytes.
    on_the_way: BTreeMap<(Instant, u64), (bool, usize, Vec<u8>)>,
    pub carried: u64,
}

impl Network {
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, random: seed | 1, on_the_way: BTreeMap::new(), carried: 0 }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    fn carry(&mut self, to_server: bool, socket: usize, datagram: &[u8], now: Instant) {
        let copies = if self.roll(100) < self.weather.doubling.into() { 2 } else { 1 };
        for _ in 0..copies {
            if self.roll(100) < self.weather.loss.into() {
                continue;
            }
            self.carried += 1;
            let at = now + Duration::from_millis(self.roll(self.weather.delay_ms + 1));
            self.on_the_way.insert((at, self.carried), (to_server, socket, datagram.to_vec()));
        }
    }

    /// Fetches a file through the network.
    pub fn fetch(
        &mut self,
        sent: &[u8],
        fetch: FetchSettings,
        settings: Settings,
    ) -> Result<Vec<u8>, FetchError> {
        let (phone, server_ip) = (address("192.0.2.7:40000"), address("198.51.100.1:69"));
        let socket_of = |from: SocketAddr| usize::from(from.port() - 69);
        let address_of = |socket: usize| SocketAddr::new(server_ip.ip(), 69 + socket as u16);
        let sent: Arc<[u8]> = sent.into();
        let mut server = Server::new(settings);
        let mut now = Instant::now();
        let (mut client, first) = Fetch::begin(server_ip, "g3-tones.xml.sgn", fetch, now).unwrap();
        self.carry(true, 0, &first, now);
        for _ in 0..10_000_000 {
            let mut out = Vec::new();
            let mut steps = Vec::new();
            let next = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let due = [next, server.due(), Some(client.due())].into_iter().flatten().min().unwrap();
            now = now.max(due);
            if let Some(first) = self.on_the_way.first_entry().filter(|first| first.key().0 <= now) {
                let (to_server, socket, datagram) = first.remove();
                if to_server {
                    server.datagram(socket, phone, &datagram, now, &mut out);
                } else {
                    steps.push(client.datagram(address_of(socket), &datagram, now));
                }
            }
            server.tick(now, &mut out);
            steps.push(client.tick(now));
            while let Some(output) = out.pop() {
                match output {
                    Output::Requested { transfer, .. } => {
                        server.answer(transfer, Ok(sent.clone()), now, &mut out);
                    }
                    Output::Send { socket, datagram, .. } => self.carry(false, socket, &datagram, now),
                    Output::Ended { .. } | Output::Refused { .. } => {}
                }
            }
            for step in steps {
                match step {
                    Step::Wait => {}
                    Step::Send { to, datagram } => self.carry(true, socket_of(to), &datagram, now),
                    Step::Over { file, .. } => return file,
                }
            }
        }
        panic!("neither a file nor a failure");
    }
}
