//! Captured packets, sent again.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Scenario, result};
use crate::FarmError;
use crate::farm::Plan;
use crate::forge::{Forger, Frame, View};
use crate::stage::Stage;

/// Packets of a rollover.
const ROLLOVER: u32 = 1 << 16;
/// What is kept for a rollover: one packet of these.
const SAMPLE: u32 = 64;
/// Packets of a flow: more than a rollover.
const PACKETS: u32 = ROLLOVER + 2_000;
/// How long they take.
const DURATION: Duration = Duration::from_secs(20);

/// Packets that wait for their time.
struct Delay {
    /// How many packets of the flow later.
    lag: u32,
    /// Per flow: number and frame.
    held: Vec<VecDeque<(u32, Box<[u8]>)>>,
    sent: u64,
}

/// Replays what the phones sent.
struct Replay {
    delays: Vec<Delay>,
    /// Which delay, and the frame.
    ready: VecDeque<(usize, Box<[u8]>)>,
    port: usize,
    left: u64,
    heard: u64,
}

pub(super) fn run(stage: &mut Stage<'_, '_>, packets: u64) -> Result<Value, FarmError> {
    let window = stage.control.settings().replay_window;
    let phones = stage.calls.len();
    let delay = |lag| Delay { lag, held: vec![VecDeque::new(); phones], sent: 0 };
    let mut replay = Replay {
        delays: [0, window / 2, window, ROLLOVER].map(delay).into(),
        ready: VecDeque::new(),
        port: stage.calls.first().map_or(0, |call| call.inwards.send.port),
        left: packets,
        heard: 0,
    };
    let plan = Plan { interval: DURATION / PACKETS, duration: DURATION, patience: PATIENCE };
    let outcome = stage.play(&plan, Some(&mut replay))?;
    let sent: Vec<Value> =
        replay.delays.iter().map(|delay| json!({ "packets_later": delay.lag, "sent": delay.sent })).collect();
    let total = replay.delays.iter().map(|delay| delay.sent).sum();
    let mut all = result(stage, Scenario::Replay, total, replay.heard, &outcome)?;
    if let Value::Object(all) = &mut all {
        all.insert("replays".into(), sent.into());
    }
    Ok(all)
}

impl Forger for Replay {
    fn listens(&self) -> bool {
        true
    }

    fn sent(&mut self, flow: u32, count: u32, frame: &[u8]) {
        // Flow 2n is the phone's of call n.
        if !flow.is_multiple_of(2) {
            return;
        }
        for (which, delay) in self.delays.iter_mut().enumerate() {
            let Some(held) = delay.held.get_mut(flow as usize / 2) else { continue };
            if delay.lag < ROLLOVER || count.is_multiple_of(SAMPLE) {
                held.push_back((count, frame.into()));
            }
            while held.front().is_some_and(|(number, _)| number.saturating_add(delay.lag) <= count) {
                let Some((_, frame)) = held.pop_front() else { break };
                if self.left > 0 {
                    self.left -= 1;
                    self.ready.push_back((which, frame));
                }
            }
        }
    }

    fn stranger(&mut self, _port: usize, _frame: &[u8]) {
        self.heard += 1;
    }

    fn is_at_work(&self) -> bool {
        !self.ready.is_empty()
    }

    fn forge(&mut self, _now: u64, _view: &View<'_>, frame: &mut Frame) -> Option<usize> {
        let (which, captured) = self.ready.pop_front()?;
        frame.try_extend_from_slice(&captured).ok()?;
        if let Some(delay) = self.delays.get_mut(which) {
            delay.sent += 1;
        }
        Some(self.port)
    }
}
