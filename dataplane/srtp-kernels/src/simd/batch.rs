//! From jobs to kernels: lays trailers out, groups a batch by transform, checks tags.

use arrayvec::ArrayVec;
use pinhole_flow::Suite;

use super::context::{Cm, Context, Gcm, Midstates};
use super::message::Message;
use super::tier::{Aead, BATCH, Messages, Pair, Tag, Tier, tags_match};
use crate::trailer::{Parts, WORD, cut, payload_at, put, room};
use crate::{E_BIT, Engine, Job, Keys, Kind, MkiTooLong, Outcome, SessionKeys, iv};

/// The engine of a tier.
pub(super) struct Batches<T>(pub T);

/// A counter-mode packet of a batch, between its stages.
struct Authenticated<'a> {
    /// Place of its job.
    job: u32,
    parts: Parts,
    midstates: &'a Midstates,
}

/// The counter-mode packets of a batch.
type Counting<'a> = ArrayVec<Authenticated<'a>, BATCH>;

impl<T: Tier> Engine for Batches<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn expand(
        &self,
        suite: Suite,
        rtp: &SessionKeys,
        rtcp: &SessionKeys,
        mki: &[u8],
    ) -> Result<Keys, MkiTooLong> {
        // SAFETY: a tier exists only where the processor has its instructions, and every tier's
        // include AES, SSSE3 and PCLMULQDQ.
        let context = |keys| crate::keys::Context::Simd(unsafe { Context::new(suite, keys) });
        Keys::new(suite, context(rtp), context(rtcp), mki)
    }

    fn protect(&self, jobs: &mut [Job<'_>]) {
        jobs.chunks_mut(BATCH).for_each(|batch| protect(self.0, batch));
    }

    fn unprotect(&self, jobs: &mut [Job<'_>]) {
        jobs.chunks_mut(BATCH).for_each(|batch| unprotect(self.0, batch));
    }
}

fn protect<T: Tier>(tier: T, jobs: &mut [Job<'_>]) {
    let mut counting = Counting::new();
    let (mut sealing128, mut sealing256) = (Pair::new(), Pair::new());
    for (at, job) in jobs.iter_mut().enumerate() {
        let parts = room(job);
        let Some((context, parts)) = prepared(job, parts) else { continue };
        let midstates = match context {
            Context::Cm128(context) => encrypt(tier, context, job, parts),
            Context::Cm192(context) => encrypt(tier, context, job, parts),
            Context::Cm256(context) => encrypt(tier, context, job, parts),
            Context::Gcm128(context) => {
                seal(tier, context, job, parts, &mut sealing128);
                continue;
            }
            Context::Gcm256(context) => {
                seal(tier, context, job, parts, &mut sealing256);
                continue;
            }
        };
        counting.push(Authenticated { job: at as u32, parts, midstates });
    }
    tier.seal(&mut sealing128);
    tier.seal(&mut sealing256);
    drop((sealing128, sealing256));
    if counting.is_empty() {
        return;
    }
    let mut tags = [0; BATCH];
    authenticate(tier, jobs, &counting, &mut tags);
    for (&Authenticated { job, parts, .. }, &tag) in counting.iter().zip(&tags) {
        let Some(job) = jobs.get_mut(job as usize) else { continue };
        put_tag(job.packet, parts, tag);
        job.len = parts.end();
        job.outcome = Outcome::Done;
    }
}

fn unprotect<T: Tier>(tier: T, jobs: &mut [Job<'_>]) {
    let mut counting = Counting::new();
    let (mut opening128, mut opening256) = (Opening::default(), Opening::default());
    for (at, job) in jobs.iter_mut().enumerate() {
        let parts = cut(job);
        let Some((context, parts)) = prepared(job, parts) else { continue };
        let midstates = match context {
            Context::Cm128(context) => &context.midstates,
            Context::Cm192(context) => &context.midstates,
            Context::Cm256(context) => &context.midstates,
            Context::Gcm128(context) => {
                open(tier, context, job, parts, &mut opening128);
                continue;
            }
            Context::Gcm256(context) => {
                open(tier, context, job, parts, &mut opening256);
                continue;
            }
        };
        counting.push(Authenticated { job: at as u32, parts, midstates });
    }
    opening128.finish(tier);
    opening256.finish(tier);
    drop((opening128, opening256));
    if counting.is_empty() {
        return;
    }
    let mut tags = [0; BATCH];
    authenticate(tier, jobs, &counting, &mut tags);
    for (&Authenticated { job, parts, .. }, &tag) in counting.iter().zip(&tags) {
        let Some(job) = jobs.get_mut(job as usize) else { continue };
        if !tags_match(tag_of(job.packet, parts), tag, parts.tag_len()) {
            job.outcome = Outcome::AuthFailed;
            continue;
        }
        job.len = parts.body();
        job.outcome = Outcome::Done;
        match simd(job) {
            Some(Context::Cm128(context)) => decrypt(tier, context, job, parts),
            Some(Context::Cm192(context)) => decrypt(tier, context, job, parts),
            Some(Context::Cm256(context)) => decrypt(tier, context, job, parts),
            _ => {}
        }
    }
}

/// A job's context, if one of the SIMD engines has expanded its keys.
#[inline]
fn simd<'a>(job: &Job<'a>) -> Option<&'a Context> {
    match job.keys.context(job.kind) {
        crate::keys::Context::Simd(context) => Some(context),
        crate::keys::Context::Portable(_) => None,
    }
}

/// A job's context and trailer. `None` if it cannot be done: its outcome says why.
#[inline]
fn prepared<'a>(job: &mut Job<'a>, parts: Result<Parts, Outcome>) -> Option<(&'a Context, Parts)> {
    let context = simd(job).ok_or(Outcome::ForeignKeys);
    match context.and_then(|context| Ok((context, parts?))) {
        Ok(prepared) => Some(prepared),
        Err(outcome) => {
            job.outcome = outcome;
            None
        }
    }
}

/// Authenticates the counter-mode packets of a batch.
fn authenticate<T: Tier>(tier: T, jobs: &[Job<'_>], counting: &Counting<'_>, tags: &mut [Tag; BATCH]) {
    let mut messages = Messages::new();
    for (place, packet) in counting.iter().enumerate() {
        let Some(job) = jobs.get(packet.job as usize) else { continue };
        // SRTP authenticates the ROC behind the packet; SRTCP's index is part of it.
        let roc = (job.kind == Kind::Rtp).then_some((job.index >> 16) as u32);
        let data = job.packet.get(..packet.parts.mki()).unwrap_or_default();
        messages.push(Message::new(packet.midstates, data, roc, place));
    }
    tier.tags(&mut messages, tags);
}

/// Encrypts a packet of counter mode and writes SRTCP index and MKI. Returns what to authenticate it with.
#[inline]
fn encrypt<'a, T: Tier, const KEYS: usize>(
    tier: T,
    context: &'a Cm<KEYS>,
    job: &mut Job<'_>,
    parts: Parts,
) -> &'a Midstates {
    let word = job.index as u32;
    if job.kind == Kind::Rtcp {
        put(job.packet, parts.word(), &word.to_be_bytes());
    }
    put_mki(job, parts);
    apply(tier, context, job, parts, word);
    &context.midstates
}

/// Decrypts a packet of counter mode.
#[inline]
fn decrypt<T: Tier, const KEYS: usize>(tier: T, context: &Cm<KEYS>, job: &mut Job<'_>, parts: Parts) {
    let word = word_of(job.packet, parts);
    apply(tier, context, job, parts, word);
}

/// Applies the key stream to the encrypted part of a packet; `word` is that of SRTCP.
#[inline]
fn apply<T: Tier, const KEYS: usize>(
    tier: T,
    context: &Cm<KEYS>,
    job: &mut Job<'_>,
    parts: Parts,
    word: u32,
) {
    let (index, encrypted) = match job.kind {
        Kind::Rtp => (job.index, true),
        Kind::Rtcp => (u64::from(word & !E_BIT), word & E_BIT != 0),
    };
    let from = if encrypted { payload_at(job) } else { parts.body() };
    let data = job.packet.get_mut(from..parts.body()).unwrap_or_default();
    tier.keystream(&context.round_keys, iv::counter(context.salt, job.ssrc, index), data);
}

/// Protects a packet with AES-GCM, as soon as others have joined it.
fn seal<'b, T: Tier, const KEYS: usize>(
    tier: T,
    context: &'b Gcm<KEYS>,
    job: &'b mut Job<'_>,
    parts: Parts,
    sealing: &mut Pair<'b, KEYS>,
) {
    put_mki(job, parts);
    if job.kind == Kind::Rtcp {
        return seal_control(tier, context, job, parts);
    }
    let iv = iv::gcm(context.salt, job.ssrc, job.index);
    let Some(packet) = associate(context, iv, job.packet, job.payload_at, parts) else {
        job.outcome = Outcome::NoRoom;
        return;
    };
    job.len = parts.end();
    job.outcome = Outcome::Done;
    sealing.push(packet);
    if sealing.is_full() {
        tier.seal(sealing);
        sealing.clear();
    }
}

/// Unprotects a packet of AES-GCM, as soon as others have joined it.
fn open<'b, T: Tier, const KEYS: usize>(
    tier: T,
    context: &'b Gcm<KEYS>,
    job: &'b mut Job<'_>,
    parts: Parts,
    opening: &mut Opening<'b, KEYS>,
) {
    if job.kind == Kind::Rtcp {
        return open_control(tier, context, job, parts);
    }
    let iv = iv::gcm(context.salt, job.ssrc, job.index);
    let Some(packet) = associate(context, iv, job.packet, job.payload_at, parts) else {
        job.outcome = Outcome::TooShort;
        return;
    };
    opening.packets.push(packet);
    opening.results.push((&mut job.outcome, &mut job.len, parts.body()));
    if opening.packets.is_full() {
        opening.finish(tier);
    }
}

/// RTP packets of AES-GCM that are opened at once.
#[derive(Default)]
struct Opening<'b, const KEYS: usize> {
    packets: Pair<'b, KEYS>,
    /// Outcome and length of each packet's job, and the length if it is opened.
    results: ArrayVec<(&'b mut Outcome, &'b mut usize, usize), 2>,
}

impl<const KEYS: usize> Opening<'_, KEYS> {
    fn finish<T: Tier>(&mut self, tier: T) {
        tier.open(&mut self.packets);
        for (packet, (outcome, len, opened)) in self.packets.drain(..).zip(self.results.drain(..)) {
            *outcome = if packet.right { Outcome::Done } else { Outcome::AuthFailed };
            if packet.right {
                *len = opened;
            }
        }
    }
}

/// What GCM authenticates and what it encrypts of an RTP packet (RFC 7714 section 8.2).
fn associate<'b, const KEYS: usize>(
    context: &'b Gcm<KEYS>,
    iv: u128,
    packet: &'b mut [u8],
    payload_at: usize,
    parts: Parts,
) -> Option<Aead<'b, KEYS>> {
    let (body, trailer) = packet.split_at_mut_checked(parts.body())?;
    let (aad, text) = body.split_at_mut_checked(payload_at)?;
    Some(Aead { context, iv, aad, text, tag: trailer.first_chunk_mut()?, right: false })
}

/// Protects an SRTCP packet with AES-GCM (RFC 7714 section 9.2).
fn seal_control<T: Tier, const KEYS: usize>(tier: T, context: &Gcm<KEYS>, job: &mut Job<'_>, parts: Parts) {
    let word = job.index as u32;
    let mut tag = [0; 16];
    let mut header = [0; 8 + WORD];
    let packet = associate_control(context, job, parts, word, &mut header, &mut tag);
    tier.seal(&mut [packet]);
    put_tag(job.packet, parts, Tag::from_le_bytes(tag));
    put(job.packet, parts.word(), &word.to_be_bytes());
    job.len = parts.end();
    job.outcome = Outcome::Done;
}

/// Unprotects an SRTCP packet of AES-GCM (RFC 7714 section 9.2).
fn open_control<T: Tier, const KEYS: usize>(tier: T, context: &Gcm<KEYS>, job: &mut Job<'_>, parts: Parts) {
    let word = word_of(job.packet, parts);
    let carried = tag_of(job.packet, parts);
    let mut tag = carried.to_le_bytes();
    let mut header = [0; 8 + WORD];
    let mut packets = [associate_control(context, job, parts, word, &mut header, &mut tag)];
    tier.open(&mut packets);
    let [Aead { right, .. }] = packets;
    // What `associate_control` has overwritten.
    put_tag(job.packet, parts, carried);
    job.outcome = if right { Outcome::Done } else { Outcome::AuthFailed };
    if right {
        job.len = parts.body();
    }
}

/// What GCM authenticates and what it encrypts of an SRTCP packet. `header` takes the associated data
/// of an encrypted one. That of an unencrypted one is its body and `word`, which is put where the tag
/// will stand.
fn associate_control<'b, const KEYS: usize>(
    context: &'b Gcm<KEYS>,
    job: &'b mut Job<'_>,
    parts: Parts,
    word: u32,
    header: &'b mut [u8; 8 + WORD],
    tag: &'b mut [u8; 16],
) -> Aead<'b, KEYS> {
    let iv = iv::gcm(context.salt, job.ssrc, u64::from(word & !E_BIT));
    if word & E_BIT == 0 {
        put(job.packet, parts.body(), &word.to_be_bytes());
        let aad = job.packet.get(..parts.body() + WORD).unwrap_or_default();
        return Aead { context, iv, aad, text: &mut [], tag, right: false };
    }
    let body = job.packet.get_mut(..parts.body()).unwrap_or_default();
    let (start, text) = body.split_at_mut_checked(8).unwrap_or_default();
    header.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
    header[8..].copy_from_slice(&word.to_be_bytes());
    Aead { context, iv, aad: header, text, tag, right: false }
}

/// The tag that a packet carries. A tag has one of three lengths, so that each copy is a few moves.
fn tag_of(packet: &[u8], parts: Parts) -> Tag {
    let carried = packet.get(parts.tag()..).unwrap_or_default();
    let mut tag = [0; 16];
    match parts.tag_len() {
        4 => copy::<4>(&mut tag, carried),
        10 => copy::<10>(&mut tag, carried),
        _ => copy::<16>(&mut tag, carried),
    }
    Tag::from_le_bytes(tag)
}

/// Writes the packet's tag.
fn put_tag(packet: &mut [u8], parts: Parts, tag: Tag) {
    let to = packet.get_mut(parts.tag()..).unwrap_or_default();
    let tag = tag.to_le_bytes();
    match parts.tag_len() {
        4 => copy::<4>(to, &tag),
        10 => {
            copy::<8>(to, &tag);
            copy::<2>(to.get_mut(8..).unwrap_or_default(), &tag[8..]);
        }
        _ => copy::<16>(to, &tag),
    }
}

/// Copies the first `LEN` bytes.
fn copy<const LEN: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<LEN>(), from.first_chunk()) {
        *to = *from;
    }
}

/// Writes the MKI. Most keys have none.
fn put_mki(job: &mut Job<'_>, parts: Parts) {
    let mki = job.keys.mki();
    if !mki.is_empty() {
        put(job.packet, parts.mki(), mki);
    }
}

/// The word that an SRTCP packet carries.
fn word_of(packet: &[u8], parts: Parts) -> u32 {
    let word = packet.get(parts.word()..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_be_bytes(*word))
}
