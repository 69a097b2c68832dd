//! A TFTP server and a client under arbitrary datagrams, at arbitrary times.
//!
//! The server's tables stay within their limits, each transfer that was requested ends once, and nobody gets more
//! packets than were asked for or acknowledged until something was acknowledged.

#![no_main]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use pinhole_tftp::{Denied, Fetch, FetchSettings, Limits, Output, Server, Settings, Step};

#[derive(Arbitrary, Debug)]
enum Act<'a> {
    Datagram { socket: u8, client: u8, bytes: &'a [u8] },
    Answer { len: u16 },
    Deny,
    Wait { ms: u16 },
    ToClient { port: u8, bytes: &'a [u8] },
}

fuzz_target!(|acts: Vec<Act<'_>>| {
    let limits = Limits { transfers: 4, transfers_per_source: 2, sources: 6, ..Limits::default() };
    let mut server = Server::new(Settings { reply_sockets: 2, limits, ..Settings::default() });
    let mut now = Instant::now();
    let upstream = SocketAddr::from(([192, 0, 2, 1], 69));
    let settings = FetchSettings { limit: 4096, ..FetchSettings::default() };
    let Ok((mut fetch, _)) = Fetch::begin(upstream, "name", settings, now) else { return };
    let (mut waiting, mut open) = (Vec::new(), HashSet::new());
    for act in acts {
        let mut out = Vec::new();
        let mut step = fetch.tick(now);
        match act {
            Act::Datagram { socket, client, bytes } => {
                let client = SocketAddr::from(([198, 51, 100, client / 16], 1000 + u16::from(client % 16)));
                server.datagram(usize::from(socket % 3), client, bytes, now, &mut out);
                let sent = out.iter().filter(|output| matches!(output, Output::Send { .. })).count();
                assert!(sent <= 1, "one datagram was answered by {sent}");
            }
            Act::Answer { len } => {
                if let Some(transfer) = waiting.pop() {
                    server.answer(transfer, Ok(Arc::from(vec![0; len.into()])), now, &mut out);
                }
            }
            Act::Deny => {
                if let Some(transfer) = waiting.pop() {
                    server.answer(transfer, Err(Denied::NotFound), now, &mut out);
                }
            }
            Act::Wait { ms } => {
                now += Duration::from_millis(ms.into());
                server.tick(now, &mut out);
            }
            Act::ToClient { port, bytes } => {
                step = fetch.datagram(SocketAddr::from(([192, 0, 2, 1], port.into())), bytes, now);
            }
        }
        if let Step::Over { file: Ok(file), .. } = step {
            assert!(file.len() <= 4096);
        }
        for output in out {
            match output {
                Output::Requested { transfer, .. } => {
                    assert!(open.insert(transfer));
                    waiting.push(transfer);
                }
                Output::Ended { transfer, .. } => assert!(open.remove(&transfer)),
                Output::Send { .. } | Output::Refused { .. } => {}
            }
        }
        assert_eq!(server.transfers(), open.len());
        assert!(open.len() <= 4);
    }
});
