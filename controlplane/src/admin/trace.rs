//! One phone's signalling, masked, to a client of the admin socket. Who looks is in the log.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, UNIX_EPOCH};

use pinhole_admin::{Content, Event, EventKind, Response, Traced, TracedMessage};
use pinhole_proxy::DeviceName;
use pinhole_trace::{sccp, sip};
use rustix::net::sockopt::socket_peercred;

use super::{Answers, LOOK, send};
use crate::shard::{Mailbox, Place, Reader, Seen, Tap, ToShard};

/// Traces at one time. Each holds about a megabyte of messages at most.
const TRACES: u64 = 8;
/// The longest trace in seconds: a day.
const LONGEST: u32 = 86_400;

/// What is asked for.
pub(super) struct Wish {
    pub(super) device: String,
    pub(super) seconds: u32,
    pub(super) messages: Option<u64>,
    pub(super) hex: bool,
}

/// Serves a trace until its end.
pub(super) fn serve(
    stream: &UnixStream,
    answers: &Answers,
    stop: &AtomicBool,
    wish: &Wish,
) -> io::Result<()> {
    let refuse = |text: String| send(stream, &Response::Error(text));
    let device = match DeviceName::new(&wish.device) {
        Ok(device) => device,
        Err(error) => return refuse(error.to_string()),
    };
    if !(1..=LONGEST).contains(&wish.seconds) {
        return refuse(format!("a trace lasts 1 to {LONGEST} seconds"));
    }
    let Some(_place) = Place::take(&answers.traces, TRACES) else {
        return refuse(format!("{TRACES} traces are under way already"));
    };
    let shards = answers.shared.shards.get();
    let home = device.shard(answers.shared.config.controlplane.shards);
    let Some(shard) = shards.and_then(|shards| shards.get(home as usize)) else {
        return refuse("Pinhole is not yet ready".into());
    };
    let who = who(stream);
    let tell =
        |kind, text: String| answers.shared.events.emit(Event::new(kind, text).device(device.as_str()));
    let open = Open::new(shard, &device);
    tell(EventKind::TraceBegun, format!("{who} traces its signalling, for {} s at most", wish.seconds));
    let mut trace = Trace { stream, answers, stop, wish, shown: 0, lost: 0 };
    let ended = trace.run(&open.reader);
    trace.lost += open.reader.lost();
    drop(open);
    let reason = match &ended {
        Ok(reason) => *reason,
        Err(_) => "its reader is gone",
    };
    let (shown, lost) = (trace.shown, trace.lost);
    tell(
        EventKind::TraceEnded,
        format!("the trace of {who} ended: {reason}; {shown} messages shown, {lost} lost"),
    );
    ended.and_then(|reason| {
        let reason = reason.to_owned();
        send(stream, &Response::Trace(Traced::Ended { reason, messages: shown, lost }))
    })
}

/// Whoever is at the other end of the socket.
fn who(stream: &UnixStream) -> String {
    match socket_peercred(stream) {
        Ok(peer) => format!("user {} (process {})", peer.uid.as_raw(), peer.pid.as_raw_nonzero()),
        Err(_) => "an unknown user".into(),
    }
}

/// A trace that the shard knows of; it forgets it when this is dropped.
struct Open<'a> {
    shard: &'a Mailbox,
    id: u64,
    reader: Reader,
}

impl<'a> Open<'a> {
    fn new(shard: &'a Mailbox, device: &DeviceName) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        let (tap, reader) = Tap::new(id, device.clone());
        shard.send(ToShard::Trace(Box::new(tap)));
        Self { shard, id, reader }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shard.send(ToShard::TraceEnds(self.id));
    }
}

struct Trace<'a> {
    stream: &'a UnixStream,
    answers: &'a Answers,
    stop: &'a AtomicBool,
    wish: &'a Wish,
    shown: u64,
    lost: u64,
}

impl Trace<'_> {
    /// Shows what passes; why it ended.
    fn run(&mut self, reader: &Reader) -> io::Result<&'static str> {
        // Short, so that the end is noticed while somebody reads nothing.
        self.stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        self.stream.set_write_timeout(Some(LOOK))?;
        let until = Instant::now() + Duration::from_secs(u64::from(self.wish.seconds));
        let mut look_at = Instant::now() + LOOK;
        loop {
            let now = Instant::now();
            if self.stop.load(Ordering::Relaxed) {
                return Ok("Pinhole stops");
            }
            if now >= until {
                return Ok("its time is over");
            }
            if self.wish.messages.is_some_and(|messages| self.shown >= messages) {
                return Ok("as many messages as were asked for");
            }
            if now >= look_at {
                look_at = now + LOOK;
                let mut stream = self.stream;
                if matches!(stream.read(&mut [0]), Ok(0)) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
            let next = reader.next(LOOK.min(until.saturating_duration_since(now)));
            let lost = next.as_ref().map_or_else(|_| reader.lost(), |seen| seen.lost);
            if lost > 0 {
                self.lost += lost;
                self.say(Traced::Lost { messages: lost }, until)?;
            }
            match next {
                Ok(seen) => {
                    self.shown += 1;
                    self.say(Traced::Message(Box::new(self.message(&seen))), until)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.stop.load(Ordering::Relaxed) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok("the phone was withdrawn"),
            }
        }
    }

    /// Sends a line. A reader that takes its time is waited for, as long as the trace lasts.
    fn say(&self, traced: Traced, until: Instant) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Response::Trace(traced))?;
        line.push(b'\n');
        let (mut rest, mut stream) = (line.as_slice(), self.stream);
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if Instant::now() >= until || self.stop.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn message(&self, seen: &Seen) -> TracedMessage {
        let cluster = seen.cluster.and_then(|at| self.answers.shared.config.clusters.get(at));
        let since = seen.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        TracedMessage {
            time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            hop: seen.hop,
            phone: seen.phone,
            cluster: cluster.map(|cluster| cluster.name.clone()).unwrap_or_default(),
            call_manager: seen.call_manager,
            transport: seen.transport.to_owned(),
            length: seen.bytes.len(),
            content: self.content(seen),
        }
    }

    fn content(&self, seen: &Seen) -> Content {
        let frame = pinhole_sccp::Frame::parse(&seen.bytes, &pinhole_sccp::Limits::default());
        match frame {
            Ok(frame) if seen.is_skinny => Content::Sccp {
                message: frame.id().to_string(),
                id: frame.id().0,
                version: frame.version(),
                fields: sccp::fields(&frame),
                hex: self.wish.hex.then(|| sccp::hex(&frame)),
            },
            // What passes has been parsed; if not, nothing is shown that could be a key.
            _ if seen.is_skinny => Content::Sccp {
                message: "unreadable".into(),
                id: 0,
                version: 0,
                fields: Vec::new(),
                hex: None,
            },
            _ => Content::Sip { text: sip::masked(&seen.bytes) },
        }
    }
}
