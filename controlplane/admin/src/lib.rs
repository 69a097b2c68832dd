//! Requests and responses of the admin socket, and its client.
//!
//! The control plane listens on a Unix socket. A client writes one [`Request`] as a line of JSON and
//! reads one [`Response`] as a line of JSON; after [`Request::Events`] and [`Request::Trace`] one line per event or message follows.
//! No type here ever carries key material, but for the one-time password that was asked for.

#![forbid(unsafe_code)]

mod client;
mod counter;
mod event;
mod trace;
mod view;

pub use client::{Client, ClientError};
pub use event::{Event, EventKind, Severity};
pub use trace::{Content, Hop, Traced, TracedMessage};
pub use view::{
    Call, CallState, Counters, DataPlane, Direction, Leg, LegacyTls, Phone, Ports, SecurityClass, Session,
    Status, Worker,
};

use serde::{Deserialize, Serialize};

/// The longest request line in bytes that the control plane reads.
pub const REQUEST_MAX: usize = 4096;

/// What a client may ask. One line of JSON, for example `{"ask":"status"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The process and what it is attached to.
    Status,
    /// Phones that are connected or registered.
    Phones,
    /// Calls in progress.
    Calls,
    /// Media sessions with their legs and counters.
    Sessions,
    /// The data plane's workers.
    Workers,
    /// Every counter of both processes.
    Counters,
    /// Phones that fetch their configuration from us, all or one; of one with its time line.
    Provisioned {
        /// The device name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// Lets a device fetch its configuration.
    AllowPhone {
        /// The device name.
        device: String,
        /// Its security class; absent: as it was, of a new one encrypted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<SecurityClass>,
    },
    /// Forgets a device: what it may, what it has fetched, and the certificates that it is known by.
    ForgetPhone {
        /// The device name.
        device: String,
    },
    /// Pins a certificate to a device, by which it is known from then on.
    PinPhone {
        /// The device name.
        device: String,
        /// Serial number, hexadecimal.
        serial: String,
        /// Issuer, as the time line shows it; absent: any that devices' certificates are accepted of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// What the rewriting changes in the configuration of a device.
    DiffPhone {
        /// The device name.
        device: String,
    },
    /// Reads the authority's keys again, which somebody has changed.
    ReadKeys,
    /// Makes a one-time password, by which a device gets a certificate of ours.
    EnrolPhone {
        /// The device name.
        device: String,
        /// For how long it can be used.
        minutes: u32,
    },
    /// Lets a device delete the certificate that we have issued to it, when it comes next.
    WithdrawCertificate {
        /// The device name.
        device: String,
    },
    /// Lets devices that nobody has named fetch their configurations, for a while; 0 minutes end that.
    OpenEnrolment {
        /// For how long.
        minutes: u32,
        /// How many of them at most.
        devices: u32,
    },
    /// One phone's signalling on both sides, keys and passwords masked, as it passes.
    Trace {
        /// The device name.
        device: String,
        /// For how long.
        seconds: u32,
        /// How many messages at most; absent: as many as there are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        messages: Option<u64>,
        /// SCCP in hexadecimal digits too.
        #[serde(default)]
        hex: bool,
    },
    /// The latest events; with `follow`, those to come as well, until the client hangs up.
    Events {
        /// Go on after the events that are already there.
        #[serde(default)]
        follow: bool,
    },
}

/// What the control plane answers: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", content = "value", rename_all = "snake_case")]
pub enum Response {
    /// Answer to [`Request::Status`].
    Status(Box<Status>),
    /// Answer to [`Request::Phones`].
    Phones(Vec<Phone>),
    /// Answer to [`Request::Calls`].
    Calls(Vec<Call>),
    /// Answer to [`Request::Sessions`].
    Sessions(Vec<Session>),
    /// Answer to [`Request::Workers`].
    Workers(Vec<Worker>),
    /// Answer to [`Request::Counters`].
    Counters(Counters),
    /// One event of the answer to [`Request::Events`].
    Event(Event),
    /// One line of the answer to [`Request::Trace`].
    Trace(Traced),
    /// Answer to [`Request::Provisioned`]: each phone as provisioning describes it.
    Provisioned(Vec<serde_json::Value>),
    /// Answer to [`Request::DiffPhone`].
    Changes {
        /// Each change as provisioning describes it.
        changes: Vec<serde_json::Value>,
        /// Changes beyond those.
        unlisted: usize,
    },
    /// Answer to [`Request::EnrolPhone`].
    Password {
        /// The device name.
        device: String,
        /// Digits, to be typed on the phone.
        password: String,
        /// For how long it can be used.
        minutes: u32,
    },
    /// What was asked for is done; the text says what that was.
    Done(String),
    /// The end of the events, when they are not followed.
    End,
    /// The request could not be served; the text says why.
    Error(String),
}
