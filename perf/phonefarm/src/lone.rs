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

/// Plays `sessions` calls over two ports that give back what is sent, as fast as they go: on one SRTP, on
/// the other RTP, so that there is one transform for two packets sent and one for two received, as with a relay between.
///
/// # Errors
/// [`FarmError`].
pub fn alone(
    core: u32,
    sessions: u16,
    suite: Suite,
    rate: f64,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<Value, FarmError> {
    let eal = port::start_dpdk(2, core)?;
    let pool = port::pool(&eal, 2)?;
    let ports = [Device::Loop.open(&eal, &pool, 0)?, Device::Loop.open(&eal, &pool, 1)?];
    let flow = |number: u16, port: usize| -> Result<Flow, FarmError> {
        let path = Path {
            port,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            source: SocketAddrV4::new(PHONES, 1_024),
            destination: SocketAddrV4::new(DESKS, number),
        };
        let key = if port == 0 { Some(random_key(suite)?) } else { None };
        Ok((path, key)).map(|(path, key)| Flow { send: path, protect: key, expect: path, unprotect: key })
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
