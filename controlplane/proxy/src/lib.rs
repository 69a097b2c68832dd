//! Phones, registrations, calls, legs and ports, without sockets.
//!
//! A [`Proxy`] is the signalling brain of one shard: a back-to-back transport proxy. It takes
//! [`Input`]s with the time and gives [`Output`]s; the process around it owns sockets, TLS and the
//! rings to the data plane.

#![forbid(unsafe_code)]

mod beginnings;
mod calls;
mod config;
mod counters;
mod description;
mod dialogs;
mod identity;
mod io;
mod messages;
mod notes;
mod offer_answer;
mod offered;
mod phones;
mod ports;
mod proxy;
mod register;
mod registrations;
mod relay;
mod requests;
mod responses;
mod rewriting;
mod sessions;
mod skinny;
mod slots;
mod streams;
mod subject;
mod teardown;
mod timers;
mod token;
mod transactions;
mod views;

pub use config::{
    ClusterConfig, Limits, MediaPort, Network, Outside, ProxyConfig, SecureIndicator, SkinnyCalls,
    SkinnyKeys, SkinnyServer, Timers, Transport,
};
pub use counters::{Counter, Counters};
pub use identity::{BadDeviceName, DEVICE_NAME_MAX, DeviceName, DeviceNameRule, Identity};
pub use io::{ConnId, Connected, Input, Output, Random, Route, Silence, Source, UpstreamId};
pub use messages::Messages;
pub use proxy::Proxy;
pub use skinny::{SkinnyInput, SkinnyOutput};
