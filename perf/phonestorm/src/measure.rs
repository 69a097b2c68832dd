//! What is measured, in order: the control plane at rest, with a few phones, in storms, with all phones, and when all have left.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{ClientConfig, SupportedProtocolVersion};
use serde_json::{Value, json};

use crate::StormError;
use crate::call_manager::CallManager;
use crate::certificates::Issuer;
use crate::crowd::{Crowd, Tally};
use crate::speech::Speech;
use crate::usage::Usage;

/// How long a storm may take.
const STORM_MAX: Duration = Duration::from_secs(120);
/// How long the control plane may take to let go of phones that have left.
const LEAVING: Duration = Duration::from_secs(20);
/// How long the answers under way may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Between two keep-alives of a phone that was there before the storm.
const PROBED: Duration = Duration::from_millis(100);
/// For how long those are alone before the storm.
const ALONE: Duration = Duration::from_secs(2);
/// Between two keep-alives of a phone, as call managers ask for.
pub const KEPT_ALIVE: Duration = Duration::from_secs(30);
/// Descriptors that are no phone's.
const OTHER_FILES: u64 = 64;

/// What to do.
#[derive(Clone, Debug)]
pub struct Storm {
    /// What the phones speak.
    pub speech: Speech,
    /// Where the control plane listens.
    pub to: SocketAddr,
    /// Where the call manager is to be.
    pub call_manager: SocketAddr,
    /// Of [`crate::certificates::make`].
    pub certificates: PathBuf,
    /// TLS version of the phones.
    pub version: &'static SupportedProtocolVersion,
    /// Phones in a storm.
    pub phones: usize,
    /// Phones that are there before.
    pub before: usize,
    /// Storms.
    pub rounds: usize,
    /// For how long all phones keep alive after the last of them.
    pub steady: Duration,
    /// The control plane's process.
    pub pid: u32,
}

/// What one storm has shown.
struct Round {
    seconds: f64,
    processor_seconds: f64,
    tally: Tally,
    full: Usage,
    after: Usage,
}

impl Storm {
    /// Measures; `say` tells of the progress.
    ///
    /// # Errors
    /// [`StormError`].
    pub fn run(&self, say: &mut dyn FnMut(String)) -> Result<Value, StormError> {
        allow_files(self.phones + self.before)?;
        let issuer = Issuer::read(&self.certificates, self.version)?;
        let names = |first: usize, count: usize| (first..first + count).map(device).collect::<Vec<_>>();
        let equip = |names: Vec<String>| -> Result<Vec<(String, Arc<ClientConfig>)>, StormError> {
            let clients = issuer.clients(&names)?;
            Ok(names.into_iter().zip(clients).collect())
        };
        let (before, phones) = (equip(names(0, self.before))?, equip(names(self.before, self.phones))?);
        say(format!("{} certificates are made", before.len() + phones.len()));
        let _call_manager = CallManager::start(self.call_manager, self.speech)?;
        let mut those_before = Crowd::new(self.to, self.speech, before)?;
        those_before.register(Instant::now() + STORM_MAX)?;
        let at_rest = Usage::of(self.pid)?;
        std::thread::sleep(ALONE);
        let idle = Usage::of(self.pid)?.percent_since(&at_rest);
        let probes = Probes::start(those_before);
        probes.tell(Phase::Alone);
        std::thread::sleep(ALONE);
        probes.tell(Phase::Silence);
        let few = Usage::of(self.pid)?;
        let mut crowd = Crowd::new(self.to, self.speech, phones)?;
        let mut rounds = Vec::new();
        let mut steady = None;
        for round in 1..=self.rounds {
            let begun = Usage::of(self.pid)?;
            probes.tell(Phase::Storm);
            let clock = Instant::now();
            crowd.register(clock + STORM_MAX)?;
            let seconds = clock.elapsed().as_secs_f64();
            probes.tell(Phase::Silence);
            let full = Usage::of(self.pid)?;
            let tally = crowd.take_tally()?;
            let processor_seconds = (full.processor - begun.processor).as_secs_f64();
            say(format!(
                "storm {round} of {}: {} of {} phones registered in {seconds:.2} s, {} turned away and come again",
                self.rounds, tally.registered, self.phones, tally.turned_away
            ));
            if round == self.rounds {
                steady = Some(self.steady(&mut crowd, say)?);
            }
            crowd.leave();
            let after = self.wait_until_gone(&few)?;
            rounds.push(Round { seconds, processor_seconds, tally, full, after });
        }
        let waits = probes.stop()?;
        Ok(self.figures(idle, &few, &rounds, steady, waits))
    }

    /// All phones keep alive.
    fn steady(&self, crowd: &mut Crowd, say: &mut dyn FnMut(String)) -> Result<(f64, Tally), StormError> {
        say(format!("{} phones keep alive for {} s", self.phones, self.steady.as_secs()));
        crowd.keep_alive(KEPT_ALIVE);
        let begun = Usage::of(self.pid)?;
        let until = Instant::now() + self.steady;
        while Instant::now() < until {
            crowd.turn(until)?;
        }
        let percent = Usage::of(self.pid)?.percent_since(&begun);
        crowd.fall_silent(Instant::now() + LAST_ANSWERS)?;
        Ok((percent, crowd.take_tally()?))
    }

    /// Waits until the control plane has closed what belongs to phones that have left.
    fn wait_until_gone(&self, few: &Usage) -> Result<Usage, StormError> {
        let deadline = Instant::now() + LEAVING;
        loop {
            let usage = Usage::of(self.pid)?;
            if usage.descriptors <= few.descriptors || Instant::now() > deadline {
                return Ok(usage);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn figures(
        &self,
        idle: f64,
        few: &Usage,
        rounds: &[Round],
        steady: Option<(f64, Tally)>,
        [alone, stormed]: [Tally; 2],
    ) -> Value {
        let per_phone = |bytes: i64| bytes as f64 / self.phones.max(1) as f64;
        let more = |usage: &Usage| usage.memory as i64 - few.memory as i64;
        let spread = |of: &dyn Fn(&Round) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            let at = |at: usize| rounded(values.get(at).copied().unwrap_or_default());
            json!({ "value": at(values.len() / 2), "min": at(0), "max": at(values.len().saturating_sub(1)) })
        };
        let missing = |round: &Round| (self.phones - round.tally.registered.min(self.phones)) as u64;
        let (steady_percent, kept) = steady.unzip();
        let kept_lost = kept.as_ref().map_or(0, |kept| kept.lost + kept.unanswered());
        let lost = rounds.iter().map(|round| missing(round) + round.tally.lost).sum::<u64>()
            + kept_lost
            + [&alone, &stormed].map(|tally| tally.lost).iter().sum::<u64>()
            + (alone.unanswered() + stormed.unanswered());
        let (first, last) = (rounds.first(), rounds.last());
        let wait = |tally: &Tally| {
            json!({
                "sent": tally.sent, "p50": tally.wait_ms(0.5), "p99": tally.wait_ms(0.99), "max": tally.wait_ms(1.0),
            })
        };
        let name = |figure: &str| format!("{}.{figure}", self.speech.name());
        let mut figures = serde_json::Map::new();
        let mut put = |figure: &str, value: Value| drop(figures.insert(name(figure), value));
        put("phones", self.phones.into());
        put("storm_seconds", spread(&|round| round.seconds));
        put("registrations_per_second", spread(&|round| round.tally.registered as f64 / round.seconds));
        put(
            "cpu_ms_per_registration",
            spread(&|round| 1000.0 * round.processor_seconds / round.tally.registered.max(1) as f64),
        );
        put("turned_away", rounds.iter().map(|round| round.tally.turned_away).sum::<u64>().into());
        put("lost", lost.into());
        put(
            "memory_per_phone_bytes",
            rounded(first.map_or(0.0, |round| per_phone(more(&round.full)))).into(),
        );
        put("memory_after", rounded(last.map_or(0.0, |round| per_phone(more(&round.after)))).into());
        let growth = first
            .zip(last)
            .map_or(1.0, |(first, last)| last.full.memory as f64 / (first.full.memory as f64).max(1.0));
        put("memory_growth", rounded(growth).into());
        put(
            "descriptors_left",
            last.map_or(0, |round| round.after.descriptors.saturating_sub(few.descriptors)).into(),
        );
        put("steady_cpu_percent", rounded(steady_percent.unwrap_or_default()).into());
        put("idle_cpu_percent", rounded(idle).into());
        put("keepalives", kept.as_ref().map_or(0, |kept| kept.sent).into());
        put("keepalive_p99_ms", rounded(stormed.wait_ms(0.99)).into());
        put("keepalive_alone_p99_ms", rounded(alone.wait_ms(0.99)).into());
        put("waits_ms", json!({ "before": self.before, "alone": wait(&alone), "storm": wait(&stormed) }));
        Value::Object(figures)
    }
}

/// The name of a phone: of a range of addresses that nobody's phones have.
fn device(number: usize) -> String {
    format!("SEP0200{number:08X}")
}

/// Three digits after the point.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Allows as many open files as the system lets us have.
fn allow_files(phones: usize) -> Result<(), StormError> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A phone's end and the call manager's.
    let needed = 2 * phones as u64 + OTHER_FILES;
    if limit < needed {
        return Err(StormError::Files { phones, needed, limit });
    }
    Ok(())
}

/// Phones that were there before the storm, on a thread of their own, and what they notice of it.
struct Probes {
    phases: Sender<Phase>,
    thread: JoinHandle<Result<[Tally; 2], StormError>>,
}

/// What goes on around them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Alone,
    /// The storm.
    Storm,
    /// They are to be silent.
    Silence,
}

impl Probes {
    /// With phones that are registered. They are silent.
    fn start(crowd: Crowd) -> Self {
        let (phases, told) = channel();
        Self { phases, thread: std::thread::spawn(move || keep_alive(crowd, &told)) }
    }

    fn tell(&self, phase: Phase) {
        // If the thread has ended by an error, its result will say so.
        let _ = self.phases.send(phase);
    }

    /// What they waited alone, and in storms.
    fn stop(self) -> Result<[Tally; 2], StormError> {
        drop(self.phases);
        self.thread.join().map_err(|_| StormError::Defect)?
    }
}

/// Until nobody tells phases any more.
fn keep_alive(mut crowd: Crowd, told: &Receiver<Phase>) -> Result<[Tally; 2], StormError> {
    crowd.take_tally()?;
    let [mut alone, mut storm] = [crowd.take_tally()?, crowd.take_tally()?];
    let mut phase = Phase::Silence;
    loop {
        let next = match told.try_recv() {
            Ok(next) => Some(next),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => return Ok([alone, storm]),
        };
        if let Some(next) = next.filter(|next| *next != phase) {
            // What was asked in a phase is answered in it.
            crowd.fall_silent(Instant::now() + LAST_ANSWERS)?;
            if next != Phase::Silence {
                crowd.keep_alive(PROBED);
            }
        }
        let tally = crowd.take_tally()?;
        if phase == Phase::Storm { &mut storm } else { &mut alone }.add(&tally);
        phase = next.unwrap_or(phase);
        crowd.turn(Instant::now() + PROBED)?;
    }
}
