//! intel-ipsec-mb, with every manager that the processor runs and in every way that the library can be used.

use anyhow::{Result, ensure};
use arrayvec::ArrayVec;
use ipsec_mb::{Arch, Interface, Job, Keys, Manager};
use pinhole_flow::Suite;

use super::contestant::{BURST, Contestant, IPSEC_MB, Role};
use super::packets::{HEADER, Packet};
use super::session;

const _: () = assert!(BURST <= ipsec_mb::BURST, "a burst fits into the library's");

/// An implementation, with keys expanded for it: GCM contexts differ between implementations.
struct Implementation {
    arch: Arch,
    manager: Manager,
    keys: Vec<Keys>,
}

pub(super) struct IpsecMb {
    role: Role,
    gcm: bool,
    implementations: Vec<Implementation>,
    chosen: Way,
}

/// A way to use the library.
#[derive(Clone, Copy)]
struct Way {
    implementation: usize,
    interface: Interface,
    prefetch: bool,
}

impl IpsecMb {
    pub(super) fn new(suite: Suite, role: Role, flows: usize) -> Result<Self> {
        let mut implementations = Vec::new();
        for arch in Arch::ALL {
            let Some(manager) = Manager::new(arch) else { continue };
            let keys = (0..flows).map(|flow| expand(&manager, suite, flow)).collect::<Result<Vec<_>>>()?;
            implementations.push(Implementation { arch, manager, keys });
        }
        ensure!(!implementations.is_empty(), "intel-ipsec-mb finds no implementation for this processor");
        let chosen = Way { implementation: 0, interface: Interface::Queue, prefetch: true };
        Ok(Self { role, gcm: suite.is_aead(), implementations, chosen })
    }
}

fn expand(manager: &Manager, suite: Suite, flow: usize) -> Result<Keys> {
    let keys = session::keys(suite, flow)?;
    let [k128 @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = &keys.encryption;
    let k256 = &keys.encryption;
    Ok(match (suite.is_aead(), suite.key_len()) {
        (false, 16) => manager.counter_128(k128, &keys.authentication, keys.salt),
        (false, _) => manager.counter_256(k256, &keys.authentication, keys.salt),
        (true, 16) => manager.gcm_128(k128, keys.salt),
        (true, _) => manager.gcm_256(k256, keys.salt),
    })
}

impl Contestant for IpsecMb {
    fn name(&self) -> String {
        IPSEC_MB.into()
    }

    fn run(&mut self, packets: &mut [Packet]) -> bool {
        let Implementation { manager, keys, .. } = &mut self.implementations[self.chosen.implementation];
        if self.chosen.prefetch {
            packets.iter().for_each(|packet| keys[packet.flow].prefetch());
        }
        let mut lens = ArrayVec::<usize, BURST>::new();
        let done = {
            // Filled in place: an array of jobs that is moved costs more than a packet.
            let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
            jobs.extend(packets.iter_mut().map(|packet| {
                let keys = &keys[packet.flow];
                let mut iv = [0; 16];
                if self.gcm {
                    iv[..12].copy_from_slice(&session::gcm_iv(&session::gcm_salt(keys.salt()), packet));
                } else {
                    iv = session::counter_iv(keys.salt(), packet);
                }
                let (len, roc) = (packet.len, packet.roc());
                Job { keys, packet: &mut packet.bytes, len, payload_at: HEADER, iv, roc, done: false }
            }));
            match self.role {
                Role::Protect => manager.protect(self.chosen.interface, &mut jobs),
                Role::Unprotect => manager.unprotect(self.chosen.interface, &mut jobs),
            }
            lens.extend(jobs.iter().map(|job| job.len));
            jobs.iter().all(|job| job.done)
        };
        packets.iter_mut().zip(lens).for_each(|(packet, len)| packet.len = len);
        done
    }

    fn ways(&self) -> usize {
        self.implementations.len() * Interface::ALL.len() * 2
    }

    fn choose(&mut self, way: usize) -> String {
        let prefetch = way.is_multiple_of(2);
        let interface = Interface::ALL[way / 2 % Interface::ALL.len()];
        let implementation = way / 2 / Interface::ALL.len();
        self.chosen = Way { implementation, interface, prefetch };
        let arch = self.implementations[implementation].arch.name();
        format!("{arch} {}{}", interface.name(), if prefetch { " prefetch" } else { "" })
    }
}
