//! Sets calls up in a pinhole-dataplane over the contract.

use std::io::{BufRead, Write};
use std::net::IpAddr;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pinhole_flow::leg::mapped;
use pinhole_flow::{
    Command, Contract, DropCause, EventKind, Leg, LegFlags, MacAddr, MasterKey, NextHop, Session, ShardEnd,
};
use serde_json::{Map, Value, json};

use crate::calls::Call;

/// How long the data plane may take for a command.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens all calls, then answers each line of standard input with the data plane's counters.
///
/// # Errors
/// The data plane cannot be attached to, or refuses a session.
pub fn run(calls: &[Call], socket: &Path, far: [MacAddr; 2]) -> anyhow::Result<()> {
    let mut contract = Contract::attach(socket, 1)?;
    let mut shard = contract.shard(0).context("the contract has no shard")?;
    for (index, mac) in (0..).zip(far) {
        let hop = NextHop { port: index, valid: 1, vlan: 0, mac: mac.0, reserved: [0; 2] };
        order(&mut shard, Command::next_hop(u32::from(index), u32::from(index) + 1, hop))?;
    }
    for (slot, call) in (0..).zip(calls) {
        order(&mut shard, Command::open(slot, 1, slot + 3, session(call)))?;
    }
    shard.wipe();
    let mut answers = std::io::stdout().lock();
    writeln!(answers, "{}", json!({"ready": true, "sessions": calls.len()}))?;
    answers.flush()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        ensure!(contract.is_alive(), "the data plane has ended");
        writeln!(answers, "{}", counters(&contract))?;
        answers.flush()?;
    }
    Ok(())
}

/// Has one command carried out.
fn order(shard: &mut ShardEnd, command: Command) -> anyhow::Result<()> {
    let (sequence, deadline) = (command.sequence, Instant::now() + PATIENCE);
    shard.command(command)?;
    loop {
        match shard.event() {
            Some(event) if event.sequence != sequence => (),
            Some(event) if event.kind == EventKind::Done as u32 => return Ok(()),
            Some(event) => bail!("the data plane refuses command {sequence} for reason {}", event.detail),
            None if Instant::now() > deadline => bail!("the data plane does not answer"),
            None => std::hint::spin_loop(),
        }
    }
}

/// The outside learns where the phone is, as it does for phones on the Internet.
fn session(call: &Call) -> Session {
    let outside = leg(0, LegFlags::LEARN, call.outside, call.phone, call.phone_key, call.relay_key);
    Session { legs: [outside, leg(1, 0, call.inside, call.desk, MasterKey::NONE, MasterKey::NONE)] }
}

fn leg(
    port: u8,
    flags: u8,
    local: SocketAddrV4,
    far: SocketAddrV4,
    inbound: MasterKey,
    outbound: MasterKey,
) -> Leg {
    Leg {
        port,
        flags,
        dscp: 255,
        reserved: 0,
        local_rtp: local.port(),
        local_rtcp: local.port() + 1,
        remote_rtp: far.port(),
        remote_rtcp: far.port() + 1,
        next_hop: u32::from(port),
        remote_ip: mapped(IpAddr::V4(*far.ip())),
        inbound,
        outbound,
    }
}

/// What tells where time and packets went, of all workers together.
fn counters(contract: &Contract) -> Value {
    let workers = contract.stats();
    let sum = |of: &dyn Fn(&pinhole_flow::WorkerStats) -> u64| workers.iter().map(of).sum::<u64>();
    let drops: Map<String, Value> = DropCause::ALL
        .iter()
        .map(|cause| (cause.name().to_owned(), sum(&|stats| stats.drops[*cause as usize])))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name, json!(count)))
        .collect();
    json!({
        "polls": sum(&|stats| stats.polls),
        "idle_polls": sum(&|stats| stats.idle_polls),
        "busy_ns": sum(&|stats| stats.busy_ns),
        "drops": drops,
    })
}
