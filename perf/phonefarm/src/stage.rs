//! Everything that a measurement against a running pinhole-dataplane needs: DPDK, two ports, the control
//! plane's part, calls, and the farm that plays them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinhole_flow::Suite;
use serde_json::{Value, json};

use crate::FarmError;
use crate::account::Tally;
use crate::farm::{Farm, Plan, Report};
use crate::flow::Flow;
use crate::forge::Forger;
use crate::pinhole::{self, Call, Control, INSIDE, OUTSIDE};
use crate::port::{self, Device};

/// Against what, and with how many calls.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The data plane's configuration file.
    pub config: PathBuf,
    /// Our end outside; `None`: the other end of the data plane's vhost socket.
    pub outside: Option<Device>,
    /// Our end inside; `None`: as above.
    pub inside: Option<Device>,
    /// The core that the farm runs on.
    pub core: u32,
    /// Calls.
    pub sessions: usize,
    /// Suite of the phones' keys.
    pub suite: Suite,
    /// Determines order, phases and payloads.
    pub seed: u64,
    /// Set when the farm shall stop.
    pub stop: Arc<AtomicBool>,
}

/// Calls that are up, in a data plane, and the farm that plays them.
pub struct Stage<'port, 'eal> {
    /// The control plane's part.
    pub control: Control,
    /// The calls. Call `n` has flow `2n` inwards and flow `2n + 1` outwards.
    pub calls: Vec<Call>,
    /// The farm.
    pub farm: Farm<'port, 'eal>,
    /// The farm's core and that of the first worker.
    pub cores: [u32; 2],
    stop: Arc<AtomicBool>,
}

/// A moment at which no call is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The calls are not set up yet.
    BeforeSetUp,
    /// They are set up, and no phone has sent anything.
    BeforeFirstPacket,
    /// They have ended.
    AfterEnd,
}

impl Moment {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeSetUp => "before_set_up",
            Self::BeforeFirstPacket => "before_first_packet",
            Self::AfterEnd => "after_end",
        }
    }
}

/// What happens at each [`Moment`].
pub type Between<'a> = dyn FnMut(Moment, &mut Farm<'_, '_>, &[Call]) -> Result<(), FarmError> + 'a;

/// Nothing does.
///
/// # Errors
/// None.
pub fn quiet(_: Moment, _: &mut Farm<'_, '_>, _: &[Call]) -> Result<(), FarmError> {
    Ok(())
}

/// Sets everything up, has `play` do its part, ends the calls, and checks that all slots are free again. `between`
/// has its say before, in the middle of and after that.
///
/// # Errors
/// [`FarmError`].
pub fn perform<R>(
    setting: &Setting,
    between: &mut Between<'_>,
    play: impl FnOnce(&mut Stage<'_, '_>) -> Result<R, FarmError>,
) -> Result<R, FarmError> {
    let settings = pinhole::load(&setting.config)?;
    let device = |given: &Option<Device>, side: usize, option| match (given, settings.port.get(side)) {
        (Some(device), _) => Ok(device.clone()),
        (None, Some(port)) => pinhole::opposite(&setting.config, port, option),
        (None, None) => Err(FarmError::UnknownPort(side)),
    };
    let devices =
        [device(&setting.outside, OUTSIDE, "--outside")?, device(&setting.inside, INSIDE, "--inside")?];
    let eal = port::start_dpdk(devices.len(), setting.core)?;
    let pool = port::pool(&eal, devices.len())?;
    let open = |(number, device): (usize, &Device)| device.open(&eal, &pool, number);
    let ports = devices.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
    let [outside, inside] = &ports[..] else { return Err(FarmError::UnknownPort(INSIDE)) };
    let mut control = Control::attach(&settings, [outside.mac()?, inside.mac()?])?;
    let calls = control.plan(setting.sessions, setting.suite)?;
    let flows: Vec<Flow> = calls.iter().flat_map(|call| [call.inwards, call.outwards]).collect();
    let farm = Farm::new(&pool, &ports, &flows, setting.seed)?;
    let cores = [setting.core, settings.worker_cores.first().copied().unwrap_or(setting.core)];
    let mut stage = Stage { control, calls, farm, cores, stop: Arc::clone(&setting.stop) };
    between(Moment::BeforeSetUp, &mut stage.farm, &stage.calls)?;
    stage.control.open(&stage.calls)?;
    let played = between(Moment::BeforeFirstPacket, &mut stage.farm, &stage.calls)
        .and_then(|()| stage.greet())
        .and_then(|()| play(&mut stage));
    let closed = stage.control.close(&stage.calls).and_then(|()| match stage.control.slots_open() {
        0 => Ok(()),
        left => Err(FarmError::LeftOpen(left)),
    });
    let result = played?;
    closed?;
    between(Moment::AfterEnd, &mut stage.farm, &stage.calls)?;
    Ok(result)
}

/// What came of playing for a while.
pub struct Outcome {
    /// The farm's account.
    pub report: Report,
    /// The data plane's.
    pub data_plane: Value,
}

impl Outcome {
    /// All of it as one object.
    pub fn json(&self) -> Value {
        let mut all = self.report.tally.json();
        let ports =
            self.report.by_port.iter().map(|(sent, received)| json!({ "sent": sent, "received": received }));
        if let Value::Object(all) = &mut all {
            all.insert("clean".into(), self.report.tally.is_clean().into());
            all.insert("seconds".into(), json!(self.report.sending.as_secs_f64()));
            all.insert("packets_per_second".into(), json!(self.report.rate().round()));
            all.insert("by_port".into(), ports.collect());
            all.insert("data_plane".into(), self.data_plane.clone());
        }
        all
    }
}

impl Stage<'_, '_> {
    /// Each phone says hello, so that the data plane learns where it is; then each desk, so that nothing is
    /// cold.
    fn greet(&mut self) -> Result<(), FarmError> {
        let spread = Duration::from_micros(20 * self.calls.len() as u64).max(Duration::from_millis(20));
        self.farm.greet(OUTSIDE, spread)?;
        self.control.drain();
        self.farm.greet(INSIDE, spread)
    }

    /// Plays all calls, with progress on standard error once a second.
    ///
    /// # Errors
    /// [`FarmError::Stopped`] after a signal, [`FarmError::Gone`] when the data plane has ended.
    pub fn play(
        &mut self,
        plan: &Plan,
        forger: Option<&mut (dyn Forger + '_)>,
    ) -> Result<Outcome, FarmError> {
        self.play_with(plan, forger, &mut |_, _| Ok(()))
    }

    /// Plays all calls; `order` may send commands, ten times a second.
    ///
    /// # Errors
    /// As [`Stage::play`], and those of `order`.
    pub fn play_with(
        &mut self,
        plan: &Plan,
        forger: Option<&mut (dyn Forger + '_)>,
        order: &mut dyn FnMut(&mut Control, Duration) -> Result<(), FarmError>,
    ) -> Result<Outcome, FarmError> {
        let Self { control, farm, stop, .. } = self;
        let usage = control.usage();
        let before = control.sample();
        let mut last = before.clone();
        let mut said = 0;
        let mut ordered = Ok(());
        let report = farm.run(plan, forger, &mut |tally, elapsed| {
            if elapsed < plan.duration {
                last = control.sample();
            }
            control.drain();
            if elapsed.as_secs() > said {
                said = elapsed.as_secs();
                progress(said, tally);
            }
            ordered = order(control, elapsed);
            ordered.is_ok() && !stop.load(Ordering::Relaxed) && control.is_alive()
        })?;
        ordered?;
        if !control.is_alive() {
            return Err(FarmError::Gone);
        }
        if report.stopped {
            return Err(FarmError::Stopped);
        }
        let mut data_plane = before.until(&control.sample());
        if let Value::Object(data_plane) = &mut data_plane {
            data_plane.insert("engine".into(), control.engine().into());
            data_plane.insert("worker_utilisation".into(), json!(before.utilisation(&last)));
            data_plane.insert("usage_before".into(), json!(usage.map(|usage| usage.json())));
            data_plane.insert("usage_after".into(), json!(control.usage().map(|usage| usage.json())));
            data_plane.insert("sessions_open".into(), control.sessions_open().into());
        }
        Ok(Outcome { report, data_plane })
    }
}

fn progress(second: u64, tally: &Tally) {
    eprintln!(
        "{second:4} s: {} sent, {} received, {} wrong, {} twice, delay p50 {:.1} µs, p99.9 {:.1} µs",
        tally.sent,
        tally.received,
        tally.wrong(),
        tally.duplicates,
        tally.delay.value_at_quantile(0.5) as f64 / 1e3,
        tally.delay.value_at_quantile(0.999) as f64 / 1e3,
    );
}
