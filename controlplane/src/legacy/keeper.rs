//! Keeps `pinhole-legacy-tls` running, and passes on what it says.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinhole_admin::{Event, EventKind};
use pinhole_legacy_tls::{Channel, ChannelError, Handover, MESSAGE_MAX, Report};
use pinhole_rates::{Bucket, Rate};

use super::Legacy;
use crate::shard::{OldPhone, Place, Shared, ToShard};

/// First and longest pause before it is started again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// One that has lived for so long is started again after the first pause.
const STEADY: Duration = Duration::from_secs(60);
/// How often the end of our own process, and other settings, are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// How long it may take to end by itself.
const STEP_DOWN: Duration = Duration::from_secs(1);
/// More refusals than the process tells of.
const REFUSALS: Rate = Rate { per_second: 1000, burst: 1000 };

/// The process, ended when this is dropped.
struct Running {
    child: Child,
    channel: Channel,
}

impl Running {
    /// How it ended, once it says nothing more. It is not waited for for long: it may be in somebody else's hands.
    fn end(&mut self) -> String {
        let until = Instant::now() + STEP_DOWN;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) => return "it has closed its channel".into(),
                Err(error) => return error.to_string(),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Legacy {
    /// Keeps it running until `stop`. The thread that runs this must live as long as the process should.
    pub fn run(&self, shared: &Shared, stop: &AtomicBool) {
        let mut pause = PAUSE.0;
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let end = match self.start() {
                Ok((mut running, told)) => self.serve(&mut running, told, shared, stop),
                Err(reason) => reason,
            };
            self.pid.store(0, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            count(&self.counted.ended);
            pause = if began.elapsed() >= STEADY { PAUSE.0 } else { pause };
            let text = format!(
                "LEGACY TLS: {} does not run ({end}): old phones are cut off, others are not; it is started again in {} ms",
                self.program.display(),
                pause.as_millis()
            );
            shared.events.emit(Event::new(EventKind::Warning, text));
            let until = Instant::now() + pause;
            while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK.min(pause));
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Starts it; with how often the settings had changed.
    fn start(&self) -> Result<(Running, u64), String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let (channel, theirs) = Channel::pair().map_err(|error| failed(&error))?;
        let child = Command::new(&self.program)
            // No configuration of OpenSSL's that a machine may have: all that it needs is told.
            .env_clear()
            .env("OPENSSL_CONF", "/dev/null")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("it cannot be started: {error}; is it installed? see legacy_tls.program")
            })?;
        let running = Running { child, channel };
        self.pid.store(running.child.id(), Ordering::Relaxed);
        count(&self.counted.started);
        running.channel.set_timeout(LOOK).map_err(|error| failed(&error))?;
        let (changes, settings) = self.held().clone();
        let settings =
            settings.encode().map_err(|_| "its settings are too long: too many authorities".to_owned())?;
        let files: Vec<_> = self.listeners.iter().map(|(_, socket)| socket.as_fd()).collect();
        running.channel.send(&settings, &files).map_err(|error| failed(&error))?;
        Ok((running, changes))
    }

    /// Passes on what it says; why it ended.
    fn serve(&self, running: &mut Running, mut told: u64, shared: &Shared, stop: &AtomicBool) -> String {
        let mut buffer = vec![0; MESSAGE_MAX];
        let mut refusals = Bucket::full(Instant::now());
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.tell_changes(&running.channel, &mut told) {
                return error.to_string();
            }
            let (length, files) = match running.channel.receive(&mut buffer) {
                Ok(received) => received,
                Err(ChannelError::WouldBlock) => continue,
                Err(ChannelError::Closed) => return running.end(),
                Err(error) => {
                    count(&self.counted.bad_reports);
                    return error.to_string();
                }
            };
            let report =
                Report::decode(buffer.get(..length).unwrap_or_default()).map_err(|error| error.to_string());
            if let Err(reason) = report.and_then(|report| self.reported(report, files, &mut refusals, shared))
            {
                count(&self.counted.bad_reports);
                return reason;
            }
        }
        String::new()
    }

    fn tell_changes(&self, channel: &Channel, told: &mut u64) -> Result<(), ChannelError> {
        let (changes, settings) = &*self.held();
        if changes != told
            && let Ok(settings) = settings.encode()
        {
            channel.send(&settings, &[])?;
            *told = *changes;
        }
        Ok(())
    }

    fn reported(
        &self,
        report: Report,
        files: Vec<OwnedFd>,
        refusals: &mut Bucket,
        shared: &Shared,
    ) -> Result<(), String> {
        match report {
            Report::Ready(confined) => {
                let pid = self.pid.load(Ordering::Relaxed);
                let text =
                    format!("LEGACY TLS: {} runs as process {pid}: {confined}", self.program.display());
                *self.confined.lock().unwrap_or_else(PoisonError::into_inner) = confined;
                shared.events.emit(Event::new(EventKind::Started, text));
            }
            Report::Accepted(count) => {
                self.counted.accepted.fetch_add(count.into(), Ordering::Relaxed);
            }
            Report::Phone(handover) => return self.handed_over(handover, files, shared),
            Report::Refused(refused) => {
                if !refusals.take(REFUSALS, 1, Instant::now()) {
                    return Err("it says too much".into());
                }
                let first = shared.shards.get().and_then(|shards| shards.first());
                first.map(|mailbox| mailbox.send(ToShard::OldRefused(Box::new(refused))));
            }
        }
        Ok(())
    }

    fn handed_over(&self, handover: Handover, files: Vec<OwnedFd>, shared: &Shared) -> Result<(), String> {
        let listener = self.listeners.get(usize::from(handover.listener));
        let (Some((listener, _)), Ok([file])) = (listener, <[OwnedFd; 1]>::try_from(files)) else {
            return Err("it hands over a phone without a stream, or of no listener".into());
        };
        let Some(place) = Place::take(&self.phones, self.most) else {
            count(&self.counted.over_limit);
            return Ok(());
        };
        let stream = UnixStream::from(file);
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        // Any shard; the home is known when the certificate has told the device.
        let number = self.counted.handed_over.fetch_add(1, Ordering::Relaxed);
        let shards = shared.shards.get().map(Vec::as_slice).unwrap_or_default();
        let at = number.checked_rem(shards.len() as u64).and_then(|at| shards.get(usize::try_from(at).ok()?));
        let phone = OldPhone { stream, place, listener: listener.clone(), handover };
        at.map(|mailbox| mailbox.send(ToShard::OldPhone(Box::new(phone))));
        Ok(())
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
