//! The proxy of one shard.

use std::collections::VecDeque;
use std::time::Instant;

use crate::{Counters, Input, Output, ProxyConfig, Random};

/// The signalling brain of one shard. No sockets, no clock, no threads.
pub struct Proxy {
    config: ProxyConfig,
    rng: Box<dyn Random + Send>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Proxy {
    /// A proxy that knows nothing yet.
    pub fn new(config: ProxyConfig, rng: Box<dyn Random + Send>) -> Self {
        Self { config, rng, counters: Counters::default(), outputs: VecDeque::new() }
    }

    /// Takes one input. Afterwards drain [`Proxy::poll_output`].
    pub fn handle(&mut self, input: Input, now: Instant) {
        let _ = (input, now, &self.config, &mut self.rng);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Phones that are connected or registered.
    pub fn phones(&self, _now: Instant) -> Vec<pinhole_admin::Phone> {
        Vec::new()
    }

    /// Calls in progress.
    pub fn calls(&self, _now: Instant) -> Vec<pinhole_admin::Call> {
        Vec::new()
    }

    /// Media ports of this shard.
    pub fn ports(&self) -> pinhole_admin::Ports {
        pinhole_admin::Ports::default()
    }

    /// The call and device that a slot serves, for the view of sessions.
    pub fn session_owner(&self, _slot: u32, _generation: u32) -> Option<(String, String)> {
        None
    }

    /// Sessions open or being closed: the slots whose activity must be reported, with generation.
    pub fn sessions(&self) -> Vec<(u32, u32)> {
        Vec::new()
    }

    /// Counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
