//! Phonefarm plays both sides of thousands of calls against a media relay and accounts for every packet:
//! lost, twice, late, or with one wrong byte anywhere. One thread sends and receives over DPDK, paced by
//! the time stamp counter.
//!
//! # Against pinhole-dataplane
//! [`pinhole::Control`] attaches as its control plane, opens sessions and gives the [`Flow`]s that
//! go through them. The program `phonefarm` does that; `phonefarm --help` tells how.
//!
//! # Against any other relay
//! Tell the farm what to send and what must come out of the relay; who set the calls up does not matter:
//!
//! ```no_run
//! use std::time::Duration;
//! use phonefarm::{Device, Farm, Flow, Path, Plan, port};
//!
//! # fn main() -> Result<(), phonefarm::FarmError> {
//! // The phones' ends of two veth pairs (offloads off); the relay has the other ends. The kernel must not
//! // answer for the phones' addresses there, so the relay's side needs permanent neighbour entries for them.
//! let eal = port::start_dpdk(2, 0)?;
//! let pool = port::pool(&eal, 2)?;
//! let devices: [Device; 2] = ["af_packet:phones".parse()?, "af_packet:office".parse()?];
//! let mut ports = Vec::new();
//! for (number, device) in devices.iter().enumerate() {
//!     ports.push(device.open(&eal, &pool, number)?);
//! }
//! let relay_mac = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];
//! let ours = [ports[0].mac()?, ports[1].mac()?];
//! // A call: the phone at 198.51.100.7:4000 was told to send to the relay's 198.51.100.1:30000, the
//! // one at 10.0.0.7:4000 hears from the relay's 10.0.0.1:30002. One flow for each direction.
//! let phone = "198.51.100.7:4000".parse().unwrap();
//! let phone_side = "198.51.100.1:30000".parse().unwrap();
//! let desk_side = "10.0.0.1:30002".parse().unwrap();
//! let desk = "10.0.0.7:4000".parse().unwrap();
//! let path = |port: usize, to_relay, source, destination| {
//!     let (relay, own) = (relay_mac[port], ours[port]);
//!     let (source_mac, destination_mac) = if to_relay { (own, relay) } else { (relay, own) };
//!     Path { port, source_mac, destination_mac, source, destination }
//! };
//! let key = phonefarm::random_key(pinhole_flow::Suite::AesCm128HmacSha1_80)?;
//! let inwards = Flow {
//!     send: path(0, true, phone, phone_side),
//!     protect: Some(key),
//!     expect: path(1, false, desk_side, desk),
//!     unprotect: None,
//! };
//! let mut farm = Farm::new(&pool, &ports, &[inwards], 1)?;
//! farm.greet(0, Duration::from_millis(100))?;
//! let plan = Plan {
//!     interval: Duration::from_millis(20),
//!     duration: Duration::from_secs(5),
//!     patience: Duration::from_millis(500),
//! };
//! let report = farm.run(&plan, None, &mut |_, _| true)?;
//! println!("{}", report.tally.json());
//! # Ok(())
//! # }
//! ```

mod account;
mod error;
mod farm;
mod flow;
mod frame;
mod pacing;
mod payload;
mod receiver;
mod sender;
mod wire;

pub mod attack;
pub mod churn;
pub mod clock;
pub mod distance;
pub mod forge;
pub mod lone;
pub mod pinhole;
pub mod port;
pub mod process;
pub mod search;
pub mod stage;

pub use account::Tally;
pub use error::FarmError;
pub use farm::{Farm, PORTS_MAX, Plan, Report};
pub use flow::{Flow, random_key};
pub use frame::{Path, Rtp};
pub use pacing::{Pace, Random};
pub use port::Device;
