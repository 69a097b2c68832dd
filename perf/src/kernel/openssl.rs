//! OpenSSL through EVP: contexts with expanded keys, to which a packet gives an IV.

use anyhow::Result;
use openssl_evp::{Cipher, GCM_TAG, Mac, Mode, Scratch};
use pinhole_flow::Suite;

use super::contestant::{Contestant, Role};
use super::packets::{HEADER, Packet};
use super::session;

/// Bytes of the truncated HMAC-SHA1.
const TAG: usize = 10;

enum Flow {
    Counter { cipher: Cipher, mac: Mac, salt: [u8; 14] },
    Gcm { cipher: Cipher, salt: [u8; 12] },
}

pub(super) struct Openssl {
    role: Role,
    scratch: Scratch,
    flows: Vec<Flow>,
}

impl Openssl {
    pub(super) fn new(suite: Suite, role: Role, flows: usize) -> Result<Self> {
        let flow = |flow| {
            let keys = session::keys(suite, flow)?;
            let key = &keys.encryption[..suite.key_len()];
            Ok(if suite.is_aead() {
                let mode = if role == Role::Protect { Mode::GcmSeal } else { Mode::GcmOpen };
                Flow::Gcm { cipher: Cipher::new(mode, key)?, salt: session::gcm_salt(&keys.salt) }
            } else {
                let cipher = Cipher::new(Mode::Counter, key)?;
                Flow::Counter { cipher, mac: Mac::new(&keys.authentication)?, salt: keys.salt }
            })
        };
        Ok(Self { role, scratch: Scratch::new()?, flows: (0..flows).map(flow).collect::<Result<_>>()? })
    }
}

impl Contestant for Openssl {
    fn name(&self) -> String {
        "OpenSSL".into()
    }

    fn run(&mut self, packets: &mut [Packet]) -> bool {
        packets.iter_mut().all(|packet| {
            let flow = &mut self.flows[packet.flow];
            match self.role {
                Role::Protect => flow.protect(&mut self.scratch, packet).is_some(),
                Role::Unprotect => flow.unprotect(&mut self.scratch, packet).is_some(),
            }
        })
    }
}

/// The tag over packet and ROC, which takes the trailer's place for the while: one update, not two.
fn tag(mac: &Mac, scratch: &mut Scratch, packet: &mut Packet, body: usize) -> Option<[u8; 20]> {
    let roc = packet.roc().to_be_bytes();
    packet.bytes[body..body + 4].copy_from_slice(&roc);
    mac.tag(scratch, &packet.bytes[..body + 4]).ok()
}

impl Flow {
    fn protect(&mut self, scratch: &mut Scratch, packet: &mut Packet) -> Option<()> {
        let body = packet.len;
        match self {
            Self::Counter { cipher, mac, salt } => {
                let iv = session::counter_iv(salt, packet);
                cipher.counter(&iv, &mut packet.bytes[HEADER..body]).ok()?;
                let tag = tag(mac, scratch, packet, body)?;
                packet.bytes[body..body + TAG].copy_from_slice(&tag[..TAG]);
                packet.len = body + TAG;
            }
            Self::Gcm { cipher, salt } => {
                let iv = session::gcm_iv(salt, packet);
                let (header, rest) = packet.bytes.split_at_mut(HEADER);
                let (payload, trailer) = rest.split_at_mut(body - HEADER);
                trailer[..GCM_TAG].copy_from_slice(&cipher.seal(&iv, header, payload).ok()?);
                packet.len = body + GCM_TAG;
            }
        }
        Some(())
    }

    fn unprotect(&mut self, scratch: &mut Scratch, packet: &mut Packet) -> Option<()> {
        match self {
            Self::Counter { cipher, mac, salt } => {
                let body = packet.len.checked_sub(TAG)?;
                let carried: [u8; TAG] = *packet.bytes[body..].first_chunk()?;
                let tag = tag(mac, scratch, packet, body)?;
                if !session::same(&tag[..TAG], &carried) {
                    return None;
                }
                let iv = session::counter_iv(salt, packet);
                cipher.counter(&iv, &mut packet.bytes[HEADER..body]).ok()?;
                packet.len = body;
            }
            Self::Gcm { cipher, salt } => {
                let body = packet.len.checked_sub(GCM_TAG)?;
                let iv = session::gcm_iv(salt, packet);
                let (header, rest) = packet.bytes.split_at_mut(HEADER);
                let (payload, trailer) = rest.split_at_mut(body - HEADER);
                cipher.open(&iv, header, payload, *trailer.first_chunk()?).ok()?;
                packet.len = body;
            }
        }
        Some(())
    }
}
