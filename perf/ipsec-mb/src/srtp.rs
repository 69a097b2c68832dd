//! SRTP packets composed out of the library's jobs.

use crate::keys::Context;
use crate::{Keys, Manager, sys};

/// Most packets in a burst.
pub const BURST: usize = 64;

/// Bytes behind a packet that a job may write: an untruncated GCM tag. The library truncates HMAC-SHA1 to 12
/// bytes at least; the last two of them are not part of the packet.
const ROOM: usize = 16;
const HMAC: usize = 12;
const HMAC_TAG: usize = 10;
const GCM_TAG: usize = 16;

/// How the library is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Chained jobs (cipher and MAC) through the manager's queue: submit a burst, flush what is left.
    Queue,
    /// All ciphers of a burst in one synchronous call, then all MACs in another; to unprotect the other way
    /// around. For GCM, a direct call for each packet.
    Direct,
}

impl Interface {
    /// Both interfaces.
    pub const ALL: [Self; 2] = [Self::Queue, Self::Direct];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Direct => "direct",
        }
    }
}

/// A packet to protect or to unprotect, in place, with a tag of 80 bits (HMAC-SHA1) or 128 bits (GCM).
pub struct Job<'a> {
    /// Keys, of the same cipher for all packets of a burst.
    pub keys: &'a Keys,
    /// The packet from its RTP header on, with 16 bytes of room behind it.
    pub packet: &'a mut [u8],
    /// Bytes of the packet, and then of the result.
    pub len: usize,
    /// Length of the RTP header.
    pub payload_at: usize,
    /// Initialisation vector: 16 bytes for counter mode, 12 for GCM.
    pub iv: [u8; 16],
    /// Rollover counter, which HMAC-SHA1 authenticates.
    pub roc: u32,
    /// Whether the packet was protected, or was authentic.
    pub done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Protect,
    Unprotect,
}

/// The tag that a packet carries, and the one that was computed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tags {
    carried: [u8; ROOM],
    computed: [u8; ROOM],
}

impl Manager {
    /// Protects a burst of at most [`BURST`] packets; what does not fit is left undone.
    pub fn protect(&mut self, interface: Interface, jobs: &mut [Job<'_>]) {
        self.run(Direction::Protect, interface, jobs);
    }

    /// Unprotects a burst of at most [`BURST`] packets; what does not fit is left undone.
    pub fn unprotect(&mut self, interface: Interface, jobs: &mut [Job<'_>]) {
        self.run(Direction::Unprotect, interface, jobs);
    }

    fn run(&mut self, direction: Direction, interface: Interface, jobs: &mut [Job<'_>]) {
        let Some(cipher) = jobs.first().map(|job| Cipher::of(job.keys)) else { return };
        let fits = |job: &Job<'_>| {
            Cipher::of(job.keys) == cipher
                && cipher.body(direction, job).is_some_and(|body| {
                    job.payload_at <= body
                        && body.checked_add(ROOM).is_some_and(|end| end <= job.packet.len())
                })
        };
        if jobs.len() > BURST || !jobs.iter().all(fits) {
            return;
        }
        match (interface, cipher.gcm) {
            (Interface::Queue, _) => self.queue(direction, cipher, jobs),
            (Interface::Direct, false) => self.two_calls(direction, cipher, jobs),
            (Interface::Direct, true) => self.gcm(direction, cipher, jobs),
        }
    }

    /// Chained jobs through the queue, which is empty before and after.
    fn queue(&mut self, direction: Direction, cipher: Cipher, jobs: &mut [Job<'_>]) {
        let raw = self.raw.as_ptr();
        let (Some(next), Some(submit), Some(flush)) =
            (self.raw().get_next_burst, self.raw().submit_burst_nocheck, self.raw().flush_burst)
        else {
            return;
        };
        let mut submitted = 0;
        while submitted < jobs.len() {
            let rest = &mut jobs[submitted..];
            // SAFETY: the manager is alive; `slots` has room for what is asked for.
            let got = unsafe { next(raw, rest.len() as u32, self.slots.as_mut_ptr()) } as usize;
            if got == 0 {
                break;
            }
            for ((slot, job), tags) in self.slots.iter().zip(rest).zip(&mut self.tags[submitted..]).take(got)
            {
                // SAFETY: the library lends the slot until it is submitted.
                fill(unsafe { &mut **slot }, direction, cipher, job, tags);
            }
            // SAFETY: the jobs point to keys, packets and tags that outlive the flush below; `run` has checked
            // the lengths.
            unsafe { submit(raw, got as u32, self.slots.as_mut_ptr()) };
            submitted += got;
        }
        // SAFETY: as above; after this no job is left in the queue.
        while unsafe { flush(raw, BURST as u32, self.slots.as_mut_ptr()) } != 0 {}
        finish(direction, cipher, &mut jobs[..submitted], &self.tags);
    }

    /// Counter mode and HMAC-SHA1, each over the whole burst.
    fn two_calls(&mut self, direction: Direction, cipher: Cipher, jobs: &mut [Job<'_>]) {
        let raw = self.raw.as_ptr();
        let (Some(encrypt), Some(hash)) =
            (self.raw().submit_cipher_burst_nocheck, self.raw().submit_hash_burst_nocheck)
        else {
            return;
        };
        for ((slot, job), tags) in self.jobs.iter_mut().zip(jobs.iter_mut()).zip(self.tags.iter_mut()) {
            fill(slot, direction, cipher, job, tags);
        }
        let (slots, count) = (self.jobs.as_mut_ptr(), jobs.len() as u32);
        // SAFETY: both calls are synchronous; the jobs point to keys, packets and tags that outlive them, and
        // `run` has checked the lengths.
        let encrypt = || unsafe {
            let mode = sys::IMB_CIPHER_MODE_IMB_CIPHER_CNTR;
            let way = sys::IMB_CIPHER_DIRECTION_IMB_DIR_ENCRYPT;
            encrypt(raw, slots, count, mode, way, cipher.key_len)
        };
        // SAFETY: as above.
        let hash = || unsafe { hash(raw, slots, count, sys::IMB_HASH_ALG_IMB_AUTH_HMAC_SHA_1) };
        match direction {
            Direction::Protect => (encrypt(), hash()),
            Direction::Unprotect => (hash(), encrypt()),
        };
        finish(direction, cipher, jobs, &self.tags);
    }

    /// GCM, a packet after the other.
    fn gcm(&mut self, direction: Direction, cipher: Cipher, jobs: &mut [Job<'_>]) {
        let manager = self.raw();
        let call = match (direction, cipher.key_len) {
            (Direction::Protect, sys::IMB_KEY_SIZE_BYTES_IMB_KEY_128_BYTES) => manager.gcm128_enc,
            (Direction::Protect, _) => manager.gcm256_enc,
            (Direction::Unprotect, sys::IMB_KEY_SIZE_BYTES_IMB_KEY_128_BYTES) => manager.gcm128_dec,
            (Direction::Unprotect, _) => manager.gcm256_dec,
        };
        let Some(call) = call else { return };
        for (job, tags) in jobs.iter_mut().zip(self.tags.iter_mut()) {
            let (Context::Gcm128(keys) | Context::Gcm256(keys)) = &job.keys.context else { continue };
            let Some(body) = cipher.body(direction, job) else { continue };
            let packet = job.packet.as_mut_ptr();
            let tag = match direction {
                Direction::Protect => packet.wrapping_add(body),
                Direction::Unprotect => tags.computed.as_mut_ptr(),
            };
            let (payload, payload_len) = (packet.wrapping_add(job.payload_at), body - job.payload_at);
            // SAFETY: `run` has checked that header, payload and tag lie within the packet, of which payload and
            // header do not overlap; working in place is allowed. The context is written before it is read.
            unsafe {
                call(
                    &keys.data,
                    self.gcm_context.as_mut_ptr(),
                    payload,
                    payload,
                    payload_len as u64,
                    job.iv.as_ptr(),
                    packet,
                    job.payload_at as u64,
                    tag,
                    GCM_TAG as u64,
                );
            }
        }
        finish(direction, cipher, jobs, &self.tags);
    }
}

/// What decides which of the library's functions runs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cipher {
    gcm: bool,
    key_len: sys::IMB_KEY_SIZE_BYTES,
}

impl Cipher {
    fn of(keys: &Keys) -> Self {
        let (short, long) =
            (sys::IMB_KEY_SIZE_BYTES_IMB_KEY_128_BYTES, sys::IMB_KEY_SIZE_BYTES_IMB_KEY_256_BYTES);
        match keys.context {
            Context::Counter128(_) => Self { gcm: false, key_len: short },
            Context::Counter256(_) => Self { gcm: false, key_len: long },
            Context::Gcm128(_) => Self { gcm: true, key_len: short },
            Context::Gcm256(_) => Self { gcm: true, key_len: long },
        }
    }

    fn tag_len(self) -> usize {
        if self.gcm { GCM_TAG } else { HMAC_TAG }
    }

    /// Bytes of header and payload; `None` if the packet is shorter than a tag.
    fn body(self, direction: Direction, job: &Job<'_>) -> Option<usize> {
        match direction {
            Direction::Protect => Some(job.len),
            Direction::Unprotect => job.len.checked_sub(self.tag_len()),
        }
    }
}

/// Describes a packet to the library.
fn fill(slot: &mut sys::IMB_JOB, direction: Direction, cipher: Cipher, job: &mut Job<'_>, tags: &mut Tags) {
    let body = cipher.body(direction, job).unwrap_or_default();
    if !cipher.gcm {
        // The ROC is authenticated behind the packet: it takes the tag's place for the while.
        let trailer = &mut job.packet[body..body + HMAC_TAG];
        tags.carried[..HMAC_TAG].copy_from_slice(trailer);
        trailer[..4].copy_from_slice(&job.roc.to_be_bytes());
    }
    let packet = job.packet.as_mut_ptr();
    (slot.cipher_direction, slot.chain_order, slot.auth_tag_output) = match direction {
        Direction::Protect => (
            sys::IMB_CIPHER_DIRECTION_IMB_DIR_ENCRYPT,
            sys::IMB_CHAIN_ORDER_IMB_ORDER_CIPHER_HASH,
            packet.wrapping_add(body),
        ),
        Direction::Unprotect => (
            sys::IMB_CIPHER_DIRECTION_IMB_DIR_DECRYPT,
            sys::IMB_CHAIN_ORDER_IMB_ORDER_HASH_CIPHER,
            tags.computed.as_mut_ptr(),
        ),
    };
    slot.key_len_in_bytes = u64::from(cipher.key_len);
    slot.__bindgen_anon_1.src = packet;
    slot.__bindgen_anon_2.dst = packet.wrapping_add(job.payload_at);
    slot.__bindgen_anon_3.cipher_start_src_offset_in_bytes = job.payload_at as u64;
    slot.__bindgen_anon_4.msg_len_to_cipher_in_bytes = (body - job.payload_at) as u64;
    slot.hash_start_src_offset_in_bytes = 0;
    slot.iv = job.iv.as_ptr();
    match &job.keys.context {
        Context::Counter128(keys) => counter(slot, body, &keys.round_keys, &keys.ipad, &keys.opad),
        Context::Counter256(keys) => counter(slot, body, &keys.round_keys, &keys.ipad, &keys.opad),
        Context::Gcm128(keys) | Context::Gcm256(keys) => {
            slot.cipher_mode = sys::IMB_CIPHER_MODE_IMB_CIPHER_GCM;
            slot.hash_alg = sys::IMB_HASH_ALG_IMB_AUTH_AES_GMAC;
            (slot.enc_keys, slot.dec_keys) = ((&raw const keys.data).cast(), (&raw const keys.data).cast());
            slot.iv_len_in_bytes = 12;
            slot.auth_tag_output_len_in_bytes = GCM_TAG as u64;
            slot.u.GCM.aad = packet.cast();
            slot.u.GCM.aad_len_in_bytes = job.payload_at as u64;
        }
    }
}

/// The part of [`fill`] that is particular to counter mode with HMAC-SHA1.
fn counter(slot: &mut sys::IMB_JOB, body: usize, round_keys: &[u8], ipad: &[u8; 20], opad: &[u8; 20]) {
    slot.cipher_mode = sys::IMB_CIPHER_MODE_IMB_CIPHER_CNTR;
    slot.hash_alg = sys::IMB_HASH_ALG_IMB_AUTH_HMAC_SHA_1;
    slot.enc_keys = round_keys.as_ptr().cast();
    slot.iv_len_in_bytes = 16;
    slot.auth_tag_output_len_in_bytes = HMAC as u64;
    slot.__bindgen_anon_5.msg_len_to_hash_in_bytes = body as u64 + 4;
    slot.u.HMAC._hashed_auth_key_xor_ipad = ipad.as_ptr();
    slot.u.HMAC._hashed_auth_key_xor_opad = opad.as_ptr();
}

/// Sets lengths and outcomes. A packet that was not authentic is not given its bytes back: this is a yardstick.
fn finish(direction: Direction, cipher: Cipher, jobs: &mut [Job<'_>], tags: &[Tags; BURST]) {
    let tag_len = cipher.tag_len();
    for (job, tags) in jobs.iter_mut().zip(tags) {
        match direction {
            Direction::Protect => (job.len, job.done) = (job.len + tag_len, true),
            Direction::Unprotect => {
                let body = job.len - tag_len;
                let carried =
                    if cipher.gcm { &job.packet[body..body + tag_len] } else { &tags.carried[..tag_len] };
                let differences = carried.iter().zip(&tags.computed).fold(0, |sum, (a, b)| sum | (a ^ b));
                (job.len, job.done) = (body, differences == 0);
            }
        }
    }
}
