//! From jobs to kernels: lays trailers out, groups a batch by transform, checks tags.

use arrayvec::ArrayVec;
use pinhole_flow::Suite;

use super::context::{self, Counted, Form, Gcm, Midstates};
use super::message::Message;
use super::tier::{Aead, BATCH, Messages, Stream, Streams, Tag, Tier, tags_match};
use crate::keys::Context;
use crate::trailer::{Parts, WORD, cut, payload_at, put, room};
use crate::{E_BIT, Engine, Job, Keys, Kind, MkiTooLong, Outcome, SessionKeys, iv};

/// The engine of a tier.
pub(super) struct Batches<T>(pub T);

/// A counter-mode packet of a batch, between its stages.
struct Authenticated<'a> {
    /// Place of its job.
    job: usize,
    midstates: &'a Midstates,
    parts: Parts,
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
        let context = |keys| Context::Simd(unsafe { context::Context::new(suite, keys) });
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
    let mut streams = Streams::new();
    for (at, job) in jobs.iter_mut().enumerate() {
        match prepared(job, room(job)) {
            Err(outcome) => job.outcome = outcome,
            Ok((Form::Gcm128(context), parts)) => seal(tier, context, job, parts),
            Ok((Form::Gcm256(context), parts)) => seal(tier, context, job, parts),
            Ok((Form::Counted(keys), parts)) => {
                streams.push(stream_to_protect(keys, job, parts));
                counting.push(Authenticated { job: at, midstates: keys.midstates, parts });
                if streams.is_full() {
                    tier.keystream(&mut streams);
                    streams.clear();
                }
            }
        }
    }
    tier.keystream(&mut streams);
    drop(streams);
    let tags = tags(tier, jobs, &counting);
    for (&Authenticated { job, parts, .. }, tag) in counting.iter().zip(tags) {
        let Some(job) = jobs.get_mut(job) else { continue };
        put_tag(job.packet, parts, tag);
        job.len = parts.end();
        job.outcome = Outcome::Done;
    }
}

fn unprotect<T: Tier>(tier: T, jobs: &mut [Job<'_>]) {
    let mut counting = Counting::new();
    for (at, job) in jobs.iter_mut().enumerate() {
        match prepared(job, cut(job)) {
            Err(outcome) => job.outcome = outcome,
            Ok((Form::Gcm128(context), parts)) => open(tier, context, job, parts),
            Ok((Form::Gcm256(context), parts)) => open(tier, context, job, parts),
            Ok((Form::Counted(keys), parts)) => {
                counting.push(Authenticated { job: at, midstates: keys.midstates, parts });
            }
        }
    }
    let tags = tags(tier, jobs, &counting);
    let mut streams = Streams::new();
    let mut counting = counting.iter().zip(tags).peekable();
    for (at, job) in jobs.iter_mut().enumerate() {
        let Some((&Authenticated { parts, .. }, tag)) = counting.next_if(|(next, _)| next.job == at) else {
            continue;
        };
        if !tags_match(tag_of(job.packet, parts), tag, parts.tag_len()) {
            job.outcome = Outcome::AuthFailed;
            continue;
        }
        job.len = parts.body();
        job.outcome = Outcome::Done;
        let Some(keys) = counted(job) else { continue };
        streams.push(stream_to_unprotect(keys, job, parts));
        if streams.is_full() {
            tier.keystream(&mut streams);
            streams.clear();
        }
    }
    tier.keystream(&mut streams);
}

/// A job's context and trailer, or why it cannot be done.
fn prepared<'a>(job: &Job<'a>, parts: Result<Parts, Outcome>) -> Result<(Form<'a>, Parts), Outcome> {
    match job.keys.context(job.kind) {
        Context::Simd(context) => Ok((context.form(), parts?)),
        Context::Portable(_) => Err(Outcome::ForeignKeys),
    }
}

/// The keys of a job in counter mode.
fn counted<'a>(job: &Job<'a>) -> Option<Counted<'a>> {
    match job.keys.context(job.kind) {
        Context::Simd(context) => match context.form() {
            Form::Counted(keys) => Some(keys),
            _ => None,
        },
        Context::Portable(_) => None,
    }
}

/// Authenticates the counter-mode packets of a batch.
fn tags<T: Tier>(tier: T, jobs: &[Job<'_>], counting: &Counting<'_>) -> [Tag; BATCH] {
    let mut messages = Messages::new();
    for (place, packet) in counting.iter().enumerate() {
        let Some(job) = jobs.get(packet.job) else { continue };
        // SRTP authenticates the ROC behind the packet; SRTCP's index is part of it.
        let roc = (job.kind == Kind::Rtp).then_some((job.index >> 16) as u32);
        let data = job.packet.get(..packet.parts.mki()).unwrap_or_default();
        messages.push(Message::new(packet.midstates, data, roc, place));
    }
    let mut tags = [0; BATCH];
    tier.tags(&mut messages, &mut tags);
    tags
}

/// What of a packet is encrypted. Writes SRTCP index and MKI before.
fn stream_to_protect<'b>(keys: Counted<'b>, job: &'b mut Job<'_>, parts: Parts) -> Stream<'b> {
    let word = job.index as u32;
    if job.kind == Kind::Rtcp {
        put(job.packet, parts.word(), &word.to_be_bytes());
    }
    put_mki(job, parts);
    stream(keys, job, parts, word)
}

fn stream_to_unprotect<'b>(keys: Counted<'b>, job: &'b mut Job<'_>, parts: Parts) -> Stream<'b> {
    let word = word_of(job.packet, parts);
    stream(keys, job, parts, word)
}

/// The encrypted part of a packet; `word` is that of SRTCP.
fn stream<'b>(keys: Counted<'b>, job: &'b mut Job<'_>, parts: Parts, word: u32) -> Stream<'b> {
    let (index, encrypted) = match job.kind {
        Kind::Rtp => (job.index, true),
        Kind::Rtcp => (u64::from(word & !E_BIT), word & E_BIT != 0),
    };
    let from = if encrypted { payload_at(job) } else { parts.body() };
    let data = job.packet.get_mut(from..parts.body()).unwrap_or_default();
    Stream { round_keys: keys.round_keys, counter: iv::counter(keys.salt, job.ssrc, index), data }
}

/// Protects a packet with AES-GCM.
fn seal<T: Tier, const KEYS: usize>(tier: T, context: &Gcm<KEYS>, job: &mut Job<'_>, parts: Parts) {
    let word = job.index as u32;
    let mut header = [0; 8 + WORD];
    let packet = associate(context, job, parts, word, &mut header);
    let tag = tier.seal(context, packet);
    put_tag(job.packet, parts, tag);
    if job.kind == Kind::Rtcp {
        put(job.packet, parts.word(), &word.to_be_bytes());
    }
    put_mki(job, parts);
    job.len = parts.end();
    job.outcome = Outcome::Done;
}

/// Unprotects a packet of AES-GCM.
fn open<T: Tier, const KEYS: usize>(tier: T, context: &Gcm<KEYS>, job: &mut Job<'_>, parts: Parts) {
    let tag = tag_of(job.packet, parts);
    let word = word_of(job.packet, parts);
    let mut header = [0; 8 + WORD];
    let packet = associate(context, job, parts, word, &mut header);
    let opened = tier.open(context, packet, tag);
    if job.kind == Kind::Rtcp {
        // What `associate` has overwritten.
        put_tag(job.packet, parts, tag);
    }
    if opened {
        job.len = parts.body();
    }
    job.outcome = if opened { Outcome::Done } else { Outcome::AuthFailed };
}

/// What GCM authenticates and what it encrypts (RFC 7714 sections 8.2 and 9.2). `header` takes the
/// associated data of an encrypted SRTCP packet. That of an unencrypted one is its body and `word`,
/// which is put where the tag will stand.
fn associate<'b, const KEYS: usize>(
    context: &Gcm<KEYS>,
    job: &'b mut Job<'_>,
    parts: Parts,
    word: u32,
    header: &'b mut [u8; 8 + WORD],
) -> Aead<'b> {
    if job.kind == Kind::Rtp {
        let iv = iv::gcm(context.salt, job.ssrc, job.index);
        let body = job.packet.get_mut(..parts.body()).unwrap_or_default();
        let (aad, text) = body.split_at_mut_checked(job.payload_at).unwrap_or_default();
        return Aead { iv, aad, text };
    }
    let iv = iv::gcm(context.salt, job.ssrc, u64::from(word & !E_BIT));
    if word & E_BIT == 0 {
        put(job.packet, parts.body(), &word.to_be_bytes());
        return Aead { iv, aad: job.packet.get(..parts.body() + WORD).unwrap_or_default(), text: &mut [] };
    }
    let body = job.packet.get_mut(..parts.body()).unwrap_or_default();
    let (start, text) = body.split_at_mut_checked(8).unwrap_or_default();
    header.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
    header[8..].copy_from_slice(&word.to_be_bytes());
    Aead { iv, aad: header, text }
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
        10 => copy::<10>(to, &tag),
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
