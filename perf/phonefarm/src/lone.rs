//! The farm by itself: how many packets it makes and checks when nothing is between.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinhole_flow::Suite;
use serde_json::{Value, json};

use crate::FarmError;
use crate::farm::{Farm, Plan};
use crate::flow::{Flow, random_key};
use crate::frame::Path;
use crate::pinhole::{DESKS, PHONES};
use crate::port::{self, Device};

/// What to play.
#[derive(Clone, Debug)]
pub struct Alone {
    /// The core that the farm runs on.
    pub core: u32,
    /// Calls.
    pub sessions: u16,
    /// Suite of the keys.
    pub suite: Suite,
    /// Packets per second to offer.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Two devices between which somebody passes frames on as they are; `None`: ports that give back what is sent.
    pub between: Option<[Device; 2]>,
}

/// Plays calls whose packets come back as they were sent: SRTP from one port, RTP from the other, so that there is
/// one transform for two packets sent and one for two received, as with a relay between.
///
/// # Errors
/// [`FarmError`].
pub fn alone(options: &Alone, stop: &AtomicBool) -> Result<Value, FarmError> {
    let Alone { core, sessions, suite, rate, duration, .. } = *options;
    let eal = port::start_dpdk(2, core)?;
    let pool = port::pool(&eal, 2)?;
    let [one, two] = options.between.as_ref().unwrap_or(&[Device::Loop, Device::Loop]);
    let ports = [one.open(&eal, &pool, 0)?, two.open(&eal, &pool, 1)?];
    let flow = |number: u16, port: usize| -> Result<Flow, FarmError> {
        let send = Path {
            port,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            source: SocketAddrV4::new(PHONES, 1_024),
            destination: SocketAddrV4::new(DESKS, number),
        };
        let expect = Path { port: if options.between.is_some() { 1 - port } else { port }, ..send };
        let key = if port == 0 { Some(random_key(suite)?) } else { None };
        Ok(Flow { send, protect: key, expect, unprotect: key })
    };
    let flows = (0..sessions).flat_map(|number| [flow(number, 0), flow(number, 1)]);
    let flows = flows.collect::<Result<Vec<_>, _>>()?;
    let mut farm = Farm::new(&pool, &ports, &flows, 1)?;
    let interval = Duration::from_secs_f64(flows.len() as f64 / rate);
    let plan = Plan { interval, duration, patience: Duration::from_millis(200) };
    let report = farm.run(&plan, None, &mut |_, _| !stop.load(Ordering::Relaxed))?;
    let mut all = report.tally.json();
    if let Value::Object(all) = &mut all {
        all.insert("sessions".into(), sessions.into());
        all.insert("packets_per_second".into(), json!(report.rate().round()));
        all.insert("engine".into(), farm.engine().into());
        all.insert("huge_pages".into(), eal.has_huge_pages().into());
    }
    Ok(all)
}
