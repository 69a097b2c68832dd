//! The log: lines go through a bounded queue to a thread of their own, so that a slow, full or
//! failing disk never holds up signalling. Lines that cannot be written are counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat, LogLevel};

/// Lines that wait for the disk.
const QUEUE: usize = 4096;
/// How long a failing file is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// The running log. Dropping it writes out what waits.
pub struct Logging {
    lost: Arc<AtomicU64>,
    lines: Option<SyncSender<Option<Vec<u8>>>>,
    writer: Option<JoinHandle<()>>,
}

impl Logging {
    /// Starts the log and makes it the process's own.
    ///
    /// # Errors
    /// When the file cannot be opened at all, or no thread can be started.
    pub fn start(settings: &Log) -> io::Result<Self> {
        let target = Target::open(settings.file.as_deref())?;
        let (lines, queue) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let output = Output { target, failing_since: None, lost: Arc::clone(&lost) };
        let writer = std::thread::Builder::new().name("log".into()).spawn(move || output.run(&queue))?;
        let sink = Sink { lines: lines.clone(), lost: Arc::clone(&lost) };
        let level = match settings.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(sink)
            .with_target(false)
            .with_ansi(false);
        // A second start in one process (tests) keeps the first subscriber.
        let _ = match settings.format {
            LogFormat::Text => subscriber.try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        };
        Ok(Self { lost, lines: Some(lines), writer: Some(writer) })
    }

    /// Lines that could not be written, so far.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        // The subscriber keeps a sender for good, so the writer is told by an empty message.
        let told = self.lines.take().is_some_and(|lines| lines.try_send(None).is_ok());
        if let Some(writer) = self.writer.take().filter(|_| told) {
            let _ = writer.join();
        }
    }
}

/// Where tracing writes its lines to.
struct Sink {
    lines: SyncSender<Option<Vec<u8>>>,
    lost: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { sink: self, bytes: Vec::with_capacity(256) }
    }
}

/// One line on its way.
struct Line<'a> {
    sink: &'a Sink,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.sink.lines.try_send(Some(std::mem::take(&mut self.bytes))).is_err() {
            self.sink.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

enum Target {
    Stderr,
    File { path: PathBuf, file: File },
}

impl Target {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stderr) };
        Ok(Self::File { path: path.into(), file: open(path)? })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().write_all(line),
            Self::File { file, .. } => file.write_all(line),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

struct Output {
    target: Target,
    failing_since: Option<Instant>,
    lost: Arc<AtomicU64>,
}

impl Output {
    fn run(mut self, queue: &Receiver<Option<Vec<u8>>>) {
        loop {
            match queue.recv_timeout(RETRY) {
                Ok(Some(line)) => self.line(&line),
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        if self.failing_since.is_some_and(|since| since.elapsed() < RETRY) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.failing_since.is_some() {
            self.reopen();
        }
        match self.target.write(line) {
            Ok(()) => {
                if self.failing_since.take().is_some() {
                    let lost = self.lost.load(Ordering::Relaxed);
                    say(&format!("the log can be written again; {lost} lines were lost so far"));
                }
            }
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                if self.failing_since.replace(Instant::now()).is_none() {
                    let name = match &self.target {
                        Target::Stderr => "standard error".into(),
                        Target::File { path, .. } => path.display().to_string(),
                    };
                    say(&format!(
                        "the log {name} cannot be written ({error}); calls go on, it is tried again every {} s",
                        RETRY.as_secs()
                    ));
                }
            }
        }
    }

    /// The file may have been rotated away, or its disk remounted.
    fn reopen(&mut self) {
        if let Target::File { path, file } = &mut self.target
            && let Ok(again) = open(path)
        {
            *file = again;
        }
    }
}

/// A line about the log itself. If standard error fails as well, there is nobody left to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "pinhole-controlplane: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_loses_lines_counts_them_and_goes_on() {
        // /dev/full answers every write with "no space left on device".
        let target = Target::open(Some(Path::new("/dev/full"))).unwrap();
        let lost = Arc::new(AtomicU64::new(0));
        let mut output = Output { target, failing_since: None, lost: Arc::clone(&lost) };
        (0..3).for_each(|_| output.line(b"line\n"));
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        assert!(output.failing_since.is_some());
    }

    #[test]
    fn file_that_cannot_be_opened_is_an_error_at_start() {
        assert!(Target::open(Some(Path::new("/nonexistent/pinhole.log"))).is_err());
    }

    #[test]
    fn queue_that_is_full_never_blocks() {
        let (lines, queue) = sync_channel(1);
        let sink = Sink { lines, lost: Arc::default() };
        for _ in 0..3 {
            sink.make_writer().write_all(b"line\n").unwrap();
        }
        assert_eq!(sink.lost.load(Ordering::Relaxed), 2);
        assert_eq!(queue.try_recv().unwrap().unwrap(), b"line\n");
    }
}
