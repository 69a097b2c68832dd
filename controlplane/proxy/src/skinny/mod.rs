//! SCCP phones: connections, registrations, and the streams of their calls. What passes, what is changed on the way and what
//! becomes of media is in `docs/sccp.md`.

mod asked;
mod calls;
mod channels;
mod connections;
mod devices;
mod indicator;
mod io;
mod messages;
mod notes;
mod relayed;
mod streams;
mod views;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use crate::io::ConnId;
use crate::messages::Way;
use crate::proxy::Proxy;

use connections::Connection;
use devices::Devices;
use relayed::Relayed;
use streams::Stream;

pub use io::{SkinnyInput, SkinnyOutput};
pub(crate) use streams::StreamId;

/// What a shard knows of its SCCP phones.
#[derive(Default)]
pub(crate) struct Skinny {
    connections: HashMap<ConnId, Connection>,
    devices: Devices,
    streams: BTreeMap<StreamId, Stream>,
    relayed: Relayed,
    /// The id given last.
    last: StreamId,
    outputs: VecDeque<SkinnyOutput>,
}

impl Proxy {
    /// Takes one input of SCCP. Afterwards drain [`Proxy::poll_output`], then [`Proxy::poll_skinny_output`].
    pub fn handle_skinny(&mut self, input: SkinnyInput, now: Instant) {
        match input {
            SkinnyInput::Connected(connected) => self.skinny_connected(connected, now),
            SkinnyInput::FromPhone { conn, frame } => self.skinny_from_phone(conn, frame, now),
            SkinnyInput::FromServer { conn, frame } => self.skinny_from_server(conn, frame, now),
            SkinnyInput::PhoneClosed { conn } => {
                self.skinny_closed(conn, "the phone's connection ended", now)
            }
            SkinnyInput::ServerClosed { conn } => {
                self.skinny_closed(conn, "the call manager's connection ended", now);
            }
        }
        self.run_timers(now);
    }

    /// The next thing of SCCP to do.
    pub fn poll_skinny_output(&mut self) -> Option<SkinnyOutput> {
        self.skinny.outputs.pop_front()
    }

    fn skinny_output(&mut self, output: SkinnyOutput) {
        match &output {
            SkinnyOutput::ToPhone { frame, .. } => self.messages.sccp(Way::ToPhone, frame.id()),
            SkinnyOutput::ToServer { frame, .. } => self.messages.sccp(Way::ToCallManager, frame.id()),
            _ => {}
        }
        self.skinny.outputs.push_back(output);
    }
}
