//! The crates of RustCrypto, used directly, a packet after the other.

use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{AeadInOut, AesGcm};
use anyhow::Result;
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, KeyInit, Mac};
use pinhole_flow::Suite;
use pinhole_srtp::kernels::{SessionKeys, prefetch};
use sha1::Sha1;

use super::contestant::{Contestant, RUSTCRYPTO, Role};
use super::packets::{HEADER, Packet};
use super::session;

/// A flow's ciphers and MACs.
trait Flow {
    fn protect(&self, packet: &mut Packet) -> Option<()>;
    fn unprotect(&self, packet: &mut Packet) -> Option<()>;
}

struct Counter<C> {
    cipher: C,
    mac: Hmac<Sha1>,
    salt: [u8; 14],
}

struct Gcm<A> {
    aead: A,
    salt: [u8; 12],
}

struct RustCrypto<F> {
    role: Role,
    flows: Vec<F>,
}

pub(super) fn contestant(suite: Suite, role: Role, flows: usize) -> Result<Box<dyn Contestant>> {
    let keys = (0..flows).map(|flow| session::keys(suite, flow)).collect::<Result<Vec<_>>>()?;
    let short = suite.key_len() == 16;
    Ok(match (suite.is_aead(), short) {
        (false, true) => counter::<Aes128Enc>(role, &keys, 16)?,
        (false, false) => counter::<Aes256Enc>(role, &keys, 32)?,
        (true, true) => gcm::<AesGcm<Aes128Enc, U12>>(role, &keys, 16)?,
        (true, false) => gcm::<AesGcm<Aes256Enc, U12>>(role, &keys, 32)?,
    })
}

fn counter<C>(role: Role, keys: &[SessionKeys], len: usize) -> Result<Box<dyn Contestant>>
where
    C: KeyInit + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + 'static,
{
    let flow = |keys: &SessionKeys| {
        Ok(Counter {
            cipher: C::new_from_slice(&keys.encryption[..len])?,
            mac: Hmac::new_from_slice(&keys.authentication)?,
            salt: keys.salt,
        })
    };
    Ok(Box::new(RustCrypto { role, flows: keys.iter().map(flow).collect::<Result<_>>()? }))
}

fn gcm<A>(role: Role, keys: &[SessionKeys], len: usize) -> Result<Box<dyn Contestant>>
where
    A: KeyInit + AeadInOut<NonceSize = U12, TagSize = U16> + 'static,
{
    let flow = |keys: &SessionKeys| {
        let aead = A::new_from_slice(&keys.encryption[..len])?;
        Ok(Gcm { aead, salt: session::gcm_salt(&keys.salt) })
    };
    Ok(Box::new(RustCrypto { role, flows: keys.iter().map(flow).collect::<Result<_>>()? }))
}

impl<F: Flow> Contestant for RustCrypto<F> {
    fn name(&self) -> String {
        RUSTCRYPTO.into()
    }

    fn run(&mut self, packets: &mut [Packet]) -> bool {
        packets.iter().for_each(|packet| prefetch(&self.flows[packet.flow]));
        packets.iter_mut().all(|packet| {
            let flow = &self.flows[packet.flow];
            match self.role {
                Role::Protect => flow.protect(packet).is_some(),
                Role::Unprotect => flow.unprotect(packet).is_some(),
            }
        })
    }
}

/// Bytes of the truncated HMAC-SHA1.
const TAG: usize = 10;
const GCM_TAG: usize = 16;

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Counter<C> {
    fn keystream(&self, packet: &mut Packet, body: usize) {
        let iv = session::counter_iv(&self.salt, packet).into();
        CtrCore::<&C, Ctr128BE>::inner_iv_init(&self.cipher, &iv)
            .apply_keystream_partial((&mut packet.bytes[HEADER..body]).into());
    }

    fn tag(&self, packet: &Packet, body: usize) -> [u8; 20] {
        let mut mac = self.mac.clone();
        mac.update(&packet.bytes[..body]);
        mac.update(&packet.roc().to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Flow for Counter<C> {
    fn protect(&self, packet: &mut Packet) -> Option<()> {
        let body = packet.len;
        self.keystream(packet, body);
        let tag = self.tag(packet, body);
        packet.bytes[body..body + TAG].copy_from_slice(&tag[..TAG]);
        packet.len = body + TAG;
        Some(())
    }

    fn unprotect(&self, packet: &mut Packet) -> Option<()> {
        let body = packet.len.checked_sub(TAG)?;
        let tag = self.tag(packet, body);
        if !session::same(&tag[..TAG], &packet.bytes[body..packet.len]) {
            return None;
        }
        self.keystream(packet, body);
        packet.len = body;
        Some(())
    }
}

impl<A: AeadInOut<NonceSize = U12, TagSize = U16>> Flow for Gcm<A> {
    fn protect(&self, packet: &mut Packet) -> Option<()> {
        let nonce = session::gcm_iv(&self.salt, packet).into();
        let body = packet.len;
        let (header, rest) = packet.bytes.split_at_mut(HEADER);
        let (payload, trailer) = rest.split_at_mut(body - HEADER);
        let tag = self.aead.encrypt_inout_detached(&nonce, header, payload.into()).ok()?;
        trailer[..GCM_TAG].copy_from_slice(&tag);
        packet.len = body + GCM_TAG;
        Some(())
    }

    fn unprotect(&self, packet: &mut Packet) -> Option<()> {
        let nonce = session::gcm_iv(&self.salt, packet).into();
        let body = packet.len.checked_sub(GCM_TAG)?;
        let (header, rest) = packet.bytes.split_at_mut(HEADER);
        let (payload, trailer) = rest.split_at_mut(body - HEADER);
        let tag = (*trailer.first_chunk::<GCM_TAG>()?).into();
        self.aead.decrypt_inout_detached(&nonce, header, payload.into(), &tag).ok()?;
        packet.len = body;
        Some(())
    }
}
