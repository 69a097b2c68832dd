//! The packaged libsrtp2: a session for each flow. It also keeps replay state, which the others do not.

use anyhow::Result;
use libsrtp2::{Policy, Session};
use pinhole_flow::Suite;

use super::contestant::{Contestant, LIBSRTP2, Role};
use super::packets::Packet;
use super::session;

pub(super) struct Libsrtp {
    role: Role,
    sessions: Vec<Session>,
}

impl Libsrtp {
    pub(super) fn new(suite: Suite, role: Role, flows: usize) -> Result<Self> {
        let side = match role {
            Role::Protect => libsrtp2::Role::Sender,
            Role::Unprotect => libsrtp2::Role::Receiver,
        };
        let create = |flow| {
            let key_and_salt = session::key_and_salt(suite, flow);
            let policy =
                Policy { suite: suite.name(), key_and_salt: &key_and_salt, mki: &[], encrypt_rtcp: true };
            Ok(Session::new(side, &policy)?)
        };
        Ok(Self { role, sessions: (0..flows).map(create).collect::<Result<_>>()? })
    }
}

impl Contestant for Libsrtp {
    fn name(&self) -> String {
        LIBSRTP2.into()
    }

    fn run(&mut self, packets: &mut [Packet]) -> bool {
        packets.iter_mut().all(|packet| {
            let session = &mut self.sessions[packet.flow];
            let len = match self.role {
                Role::Protect => session.protect(&mut packet.bytes, packet.len),
                Role::Unprotect => session.unprotect(&mut packet.bytes, packet.len),
            };
            packet.len = len.unwrap_or_default();
            len.is_ok()
        })
    }
}
