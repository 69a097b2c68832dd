//! Sender and receiver.

use std::io::{BufRead, Write};
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::ensure;
use phonefarm::{Device, Farm, Flow, Path, Plan, port};
use serde_json::json;

use crate::calls::Call;

/// The phones' port and the desks'.
const OUTSIDE: usize = 0;
const INSIDE: usize = 1;
/// How long after the last packet the missing ones are given up.
const PATIENCE: Duration = Duration::from_millis(300);
/// Each flow's first packet is sent within this time: slow enough for any relay.
const GREETING: Duration = Duration::from_millis(100);
/// Bounds of a trial.
const SECONDS_MAX: f64 = 600.0;
const RATE_MAX: f64 = 1e8;

/// Plays trials until standard input ends. `relay` has the relay's MAC addresses; without one, each frame is
/// expected as it was sent.
///
/// # Errors
/// What DPDK says, a line that makes no sense, or a relay that lets nothing through.
pub fn run(
    calls: &[Call],
    devices: [Device; 2],
    relay: Option<[[u8; 6]; 2]>,
    core: u32,
) -> anyhow::Result<()> {
    let eal = port::start_dpdk(devices.len(), core)?;
    let pool = port::pool(&eal, devices.len())?;
    let ports = devices
        .iter()
        .enumerate()
        .map(|(number, device)| device.open(&eal, &pool, number))
        .collect::<Result<Vec<_>, _>>()?;
    let ours = ports.iter().map(|port| port.mac()).collect::<Result<Vec<_>, _>>()?;
    let [out, inside] = ours[..] else { anyhow::bail!("two ports are needed") };
    let ends = Ends { ours: [out, inside], relay };
    let flows: Vec<Flow> = calls.iter().flat_map(|call| ends.flows(call)).collect();
    let mut farm = Farm::new(&pool, &ports, &flows, 1)?;
    for port in [OUTSIDE, INSIDE] {
        farm.greet(port, GREETING)?;
    }
    let mut answers = std::io::stdout().lock();
    writeln!(answers, "{}", json!({"ready": true, "engine": farm.engine(), "flows": flows.len()}))?;
    answers.flush()?;
    for line in std::io::stdin().lock().lines() {
        let plan = plan(&line?, flows.len())?;
        let report = farm.run(&plan, None, &mut |_, _| true)?;
        let mut answer = report.tally.json();
        answer["rate"] = json!(report.rate());
        answer["seconds"] = json!(report.sending.as_secs_f64());
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

/// Reads `PACKETS-PER-SECOND SECONDS`.
fn plan(line: &str, flows: usize) -> anyhow::Result<Plan> {
    let mut words = line.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(rate)), Some(Ok(seconds)), None) = (words.next(), words.next(), words.next()) else {
        anyhow::bail!("{line:?}: write PACKETS-PER-SECOND SECONDS");
    };
    ensure!((1.0..=RATE_MAX).contains(&rate), "{rate} packets per second: from 1 to {RATE_MAX}");
    ensure!((0.01..=SECONDS_MAX).contains(&seconds), "{seconds} seconds: from 0.01 to {SECONDS_MAX}");
    Ok(Plan {
        interval: Duration::from_secs_f64(flows as f64 / rate),
        duration: Duration::from_secs_f64(seconds),
        patience: PATIENCE,
    })
}

/// Who is at the ends of the wires, by port.
struct Ends {
    ours: [[u8; 6]; 2],
    relay: Option<[[u8; 6]; 2]>,
}

impl Ends {
    /// Both directions of a call: SRTP inwards comes out as RTP, RTP outwards as SRTP.
    fn flows(&self, call: &Call) -> [Flow; 2] {
        let inwards = self.path(OUTSIDE, true, call.phone, call.outside);
        let outwards = self.path(INSIDE, true, call.desk, call.inside);
        let Some(_) = self.relay else {
            let arrives = |sent: Path, port| Path { port, ..sent };
            return [
                Flow {
                    send: inwards,
                    protect: Some(call.phone_key),
                    expect: arrives(inwards, INSIDE),
                    unprotect: Some(call.phone_key),
                },
                Flow { send: outwards, protect: None, expect: arrives(outwards, OUTSIDE), unprotect: None },
            ];
        };
        [
            Flow {
                send: inwards,
                protect: Some(call.phone_key),
                expect: self.path(INSIDE, false, call.inside, call.desk),
                unprotect: None,
            },
            Flow {
                send: outwards,
                protect: None,
                expect: self.path(OUTSIDE, false, call.outside, call.phone),
                unprotect: Some(call.relay_key),
            },
        ]
    }

    /// What is sent at a port goes to the relay, or to our other port where there is none.
    fn path(&self, port: usize, sent: bool, source: SocketAddrV4, destination: SocketAddrV4) -> Path {
        let own = self.ours.get(port).copied().unwrap_or_default();
        let far = self.relay.unwrap_or({
            let [outside, inside] = self.ours;
            [inside, outside]
        });
        let far = far.get(port).copied().unwrap_or_default();
        let (source_mac, destination_mac) = if sent { (own, far) } else { (far, own) };
        Path { port, source_mac, destination_mac, source, destination }
    }
}
