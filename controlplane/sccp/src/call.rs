use std::borrow::{Borrow, BorrowMut};

use crate::{FieldError, Frame, MessageId};

/// What a call manager tells a phone about a call: CallInfo 0x008F, CallInfoDynamic 0x014A, CallState 0x0111.
///
/// The security status of CallInfo is certain (sccp 2.6.3 [V]); the other places follow from its length of 384 bytes and
/// common descriptions [M].
#[derive(Debug)]
pub struct Call<F> {
    frame: F,
    places: &'static Places,
}

#[derive(Debug)]
struct Places {
    line: usize,
    call: usize,
    kind: Option<usize>,
    security: Option<usize>,
    state: Option<usize>,
}

const CALL_INFO: Places = Places { line: 128, call: 132, kind: Some(136), security: Some(376), state: None };
const CALL_INFO_DYNAMIC: Places = Places { line: 0, call: 4, kind: Some(8), security: Some(24), state: None };
const CALL_STATE: Places = Places { line: 4, call: 8, kind: None, security: None, state: Some(0) };

/// Whether a call is shown as secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityStatus {
    /// 0: unknown; what servers send while it rings.
    Unknown,
    /// 1: not authenticated.
    NotAuthenticated,
    /// 2: authenticated, not encrypted.
    Authenticated,
    /// 3: encrypted: the phone shows a lock.
    Encrypted,
    /// A number that is not known.
    Other(u32),
}

impl SecurityStatus {
    fn from_wire(value: u32) -> Self {
        match value {
            0 => Self::Unknown,
            1 => Self::NotAuthenticated,
            2 => Self::Authenticated,
            3 => Self::Encrypted,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::NotAuthenticated => 1,
            Self::Authenticated => 2,
            Self::Encrypted => 3,
            Self::Other(other) => other,
        }
    }
}

/// The state of a call, by number. Those that the proxy looks at have names here [M].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallState(pub u32);

impl CallState {
    /// The phone is off hook.
    pub const OFF_HOOK: Self = Self(1);
    /// The call is over.
    pub const ON_HOOK: Self = Self(2);
    /// The far end rings.
    pub const RING_OUT: Self = Self(3);
    /// The phone rings.
    pub const RING_IN: Self = Self(4);
    /// Connected.
    pub const CONNECTED: Self = Self(5);
    /// The far end is busy.
    pub const BUSY: Self = Self(6);
    /// On hold.
    pub const HOLD: Self = Self(8);
    /// A consultation call before a transfer.
    pub const CALL_TRANSFER: Self = Self(10);
    /// Dialling is complete.
    pub const PROCEED: Self = Self(12);
}

fn places(id: MessageId) -> Option<&'static Places> {
    match id {
        MessageId::CALL_INFO => Some(&CALL_INFO),
        MessageId::CALL_INFO_DYNAMIC => Some(&CALL_INFO_DYNAMIC),
        MessageId::CALL_STATE => Some(&CALL_STATE),
        _ => None,
    }
}

impl Frame {
    /// The frame as one that tells about a call, `None` if it is another.
    pub fn call(&self) -> Option<Call<&Self>> {
        Some(Call { places: places(self.id())?, frame: self })
    }

    /// [`Frame::call`], to be edited.
    pub fn call_mut(&mut self) -> Option<Call<&mut Self>> {
        Some(Call { places: places(self.id())?, frame: self })
    }
}

const SECURITY: &str = "security status";

impl<F: Borrow<Frame>> Call<F> {
    /// The phone's line, from 1.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn line(&self) -> Result<u32, FieldError> {
        self.frame.borrow().word("line", self.places.line)
    }

    /// The call reference.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn reference(&self) -> Result<u32, FieldError> {
        self.frame.borrow().word("call reference", self.places.call)
    }

    /// The type of call: 1 inbound, 2 outbound, 3 forwarded [M].
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn kind(&self) -> Result<u32, FieldError> {
        self.word("call type", self.places.kind)
    }

    /// The state of the call.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn state(&self) -> Result<CallState, FieldError> {
        self.word("call state", self.places.state).map(CallState)
    }

    /// Whether the call is shown as secure.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn security(&self) -> Result<SecurityStatus, FieldError> {
        self.word(SECURITY, self.places.security).map(SecurityStatus::from_wire)
    }

    fn word(&self, field: &'static str, at: Option<usize>) -> Result<u32, FieldError> {
        let frame = self.frame.borrow();
        frame.word(field, at.ok_or_else(|| frame.no_field(field))?)
    }
}

impl<F: BorrowMut<Frame>> Call<F> {
    /// Sets whether the call is shown as secure.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_security(&mut self, status: SecurityStatus) -> Result<(), FieldError> {
        let frame = self.frame.borrow_mut();
        let at = self.places.security.ok_or_else(|| frame.no_field(SECURITY))?;
        frame.put_word(SECURITY, at, status.to_wire())
    }
}
