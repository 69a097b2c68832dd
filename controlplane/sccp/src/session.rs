//! Short messages of a registration: one or two words, read one by one; and Alarm.

use std::net::Ipv4Addr;

use crate::registration::until_nul;
use crate::{FieldError, Frame, MessageId};

/// What RegisterAck grants: 0x0081 (sccp 2.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterAck {
    /// Seconds between keep-alives to the primary call manager.
    pub keep_alive_s: u32,
    /// Seconds between keep-alives to a backup.
    pub backup_keep_alive_s: u32,
    /// The protocol version that is spoken from now on; 0 if the message ends before it.
    pub protocol: u8,
    /// The three feature bytes; zeros if the message ends before them.
    pub features: [u8; 3],
}

/// What a phone is told by Reset: 0x009F.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// 1: start anew from nothing.
    Reset,
    /// 2: register again.
    Restart,
    /// 3: take the new configuration.
    ApplyConfig,
    /// A number that is not known.
    Other(u32),
}

impl ResetKind {
    fn from_wire(value: u32) -> Self {
        match value {
            1 => Self::Reset,
            2 => Self::Restart,
            3 => Self::ApplyConfig,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Reset => 1,
            Self::Restart => 2,
            Self::ApplyConfig => 3,
            Self::Other(other) => other,
        }
    }
}

const BACKUP_KEEP_ALIVE: usize = 12;
const PROTOCOL: usize = 16;
const ALARM_ADDRESS: usize = 88;
const ALARM_ADDRESS_NAME: &str = "address";
const REJECT_TEXT: usize = 32;

impl Frame {
    /// What a RegisterAck grants.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn register_ack(&self) -> Result<RegisterAck, FieldError> {
        self.must_be(MessageId::REGISTER_ACK, "registration")?;
        let [protocol, features @ ..] = self.array::<4>("protocol version", PROTOCOL).unwrap_or_default();
        Ok(RegisterAck {
            keep_alive_s: self.word("keep-alive interval", 0)?,
            backup_keep_alive_s: self.word("backup keep-alive interval", BACKUP_KEEP_ALIVE)?,
            protocol,
            features,
        })
    }

    /// What a Reset asks for.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn reset_kind(&self) -> Result<ResetKind, FieldError> {
        self.must_be(MessageId::RESET, "reset type")?;
        self.word("reset type", 0).map(ResetKind::from_wire)
    }

    /// The text of a RegisterReject, up to its first NUL.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn reject_text(&self) -> Result<&[u8], FieldError> {
        self.must_be(MessageId::REGISTER_REJECT, "text")?;
        self.span("text", 0, self.body().len().min(REJECT_TEXT)).map(until_nul)
    }

    /// Seconds that a RegisterTokenReject makes the phone wait; of either kind.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn token_wait_s(&self) -> Result<u32, FieldError> {
        if self.id() != MessageId::SPCP_REGISTER_TOKEN_REJECT {
            self.must_be(MessageId::REGISTER_TOKEN_REJECT, "waiting time")?;
        }
        self.word("waiting time", 0)
    }

    /// The status of an UnregisterAck: 0 for done [M].
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn unregister_status(&self) -> Result<u32, FieldError> {
        self.must_be(MessageId::UNREGISTER_ACK, "status")?;
        self.word("status", 0)
    }

    /// How serious an Alarm is, by number. Its text is among [`Frame::texts`].
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn alarm_severity(&self) -> Result<u32, FieldError> {
        self.must_be(MessageId::ALARM, "severity")?;
        self.word("severity", 0)
    }

    /// The second parameter of an Alarm, which holds the phone's own address [M].
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] for any other message.
    pub fn alarm_address(&self) -> Result<Ipv4Addr, FieldError> {
        self.must_be(MessageId::ALARM, ALARM_ADDRESS_NAME)?;
        self.array::<4>(ALARM_ADDRESS_NAME, ALARM_ADDRESS).map(Into::into)
    }

    /// Sets the second parameter of an Alarm.
    ///
    /// # Errors
    /// As [`Frame::alarm_address`].
    pub fn set_alarm_address(&mut self, address: Ipv4Addr) -> Result<(), FieldError> {
        self.alarm_address()?;
        self.put(ALARM_ADDRESS_NAME, ALARM_ADDRESS, &address.octets())
    }

    fn must_be(&self, id: MessageId, field: &'static str) -> Result<(), FieldError> {
        if self.id() == id { Ok(()) } else { Err(self.no_field(field)) }
    }
}
