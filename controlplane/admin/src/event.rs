//! Something worth telling an operator.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that happened, as one line for an operator. Never carries key material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the Unix epoch; 0 until the process stamps it (the proxy has no wall clock).
    #[serde(default)]
    pub time_ms: u64,
    /// What kind of thing happened.
    pub kind: EventKind,
    /// The device it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The call it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// One line that says what, where, and what to do.
    pub text: String,
}

impl Event {
    /// An event without device or call, not yet stamped.
    pub fn new(kind: EventKind, text: impl Into<String>) -> Self {
        Self { time_ms: 0, kind, device: None, call_id: None, text: text.into() }
    }

    /// Names the device.
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Names the call.
    #[must_use]
    pub fn call_id(mut self, call_id: impl Into<String>) -> Self {
        self.call_id = Some(call_id.into());
        self
    }
}

/// How much attention an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Normal operation.
    Info,
    /// Something was refused, lost or limited.
    Warning,
    /// A part is out of service.
    Error,
}

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $severity:ident;)+) => {
        /// Kinds of [`Event`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EventKind { $($(#[doc = $doc])+ $variant,)+ }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The kind's name, as JSON and the log carry it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
            /// How much attention it asks for.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

event_kinds! {
    /// The process has started.
    Started = "started", Info;
    /// The process stops.
    Stopping = "stopping", Info;
    /// A phone's TLS connection was accepted and bound to a device.
    PhoneConnected = "phone_connected", Info;
    /// A connection was refused: TLS, certificate, device name or limit.
    PhoneRefused = "phone_refused", Warning;
    /// A phone's connection ended.
    PhoneClosed = "phone_closed", Info;
    /// A newer connection of the same device took the place of an older one.
    PhoneReplaced = "phone_replaced", Info;
    /// A phone did not come back within its grace time; its calls are closed.
    PhoneLost = "phone_lost", Warning;
    /// A phone registered an address of record.
    Registered = "registered", Info;
    /// A registration ended or expired.
    Unregistered = "unregistered", Info;
    /// A phone used an identity that its certificate does not give it.
    IdentityRefused = "identity_refused", Warning;
    /// A call began.
    CallStarted = "call_started", Info;
    /// A call was answered.
    CallAnswered = "call_answered", Info;
    /// A call ended.
    CallEnded = "call_ended", Info;
    /// A call or an offer was refused.
    CallRefused = "call_refused", Warning;
    /// A call was taken over from before a restart.
    CallAdopted = "call_adopted", Info;
    /// A media session opened.
    SessionOpened = "session_opened", Info;
    /// A media session closed.
    SessionClosed = "session_closed", Info;
    /// No media came for longer than allowed; the call is closed.
    MediaTimeout = "media_timeout", Warning;
    /// The data plane refused a command.
    MediaRefused = "media_refused", Warning;
    /// A media session was lost with the data plane that had it; its call is closed.
    MediaLost = "media_lost", Warning;
    /// A message could not be parsed or is not allowed; it was dropped or answered with an error.
    MessageRefused = "message_refused", Warning;
    /// A configured limit was reached.
    LimitReached = "limit_reached", Warning;
    /// The data plane is attached.
    DataPlaneAttached = "data_plane_attached", Info;
    /// The data plane is absent or died; it is tried again.
    DataPlaneLost = "data_plane_lost", Error;
    /// A call manager answers again.
    CallManagerUp = "call_manager_up", Info;
    /// A call manager does not answer; it is tried again.
    CallManagerDown = "call_manager_down", Error;
    /// A next hop became known, moved or was lost.
    NextHop = "next_hop", Info;
    /// Somebody looks at a phone's signalling.
    TraceBegun = "trace_begun", Warning;
    /// Nobody looks any more.
    TraceEnded = "trace_ended", Warning;
    /// Anything else that asks for attention.
    Warning = "warning", Warning;
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.name()));
        }
    }
}
