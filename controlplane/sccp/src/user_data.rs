use std::borrow::{Borrow, BorrowMut};

use crate::{FieldError, Frame, Limits, MessageId};

/// Data, XML as a rule, between a phone and an application on the call manager's side: 0x002E, 0x002F, 0x011E, and with a
/// longer head ("version 1") 0x0041, 0x0042, 0x013F (sccp 2.6.3).
#[derive(Debug)]
pub struct UserData<F> {
    frame: F,
    version1: bool,
}

const APPLICATION: usize = 0;
const LINE: usize = 4;
const CALL: usize = 8;
const TRANSACTION: usize = 12;
const LENGTH: usize = 16;
const DATA: usize = 20;
const SEQUENCE_VERSION1: usize = 20;
const DATA_VERSION1: usize = 40;
const DATA_NAME: &str = "data";

fn version1(id: MessageId) -> Option<bool> {
    match id {
        MessageId::DEVICE_TO_USER_DATA
        | MessageId::DEVICE_TO_USER_DATA_RESPONSE
        | MessageId::USER_TO_DEVICE_DATA => Some(false),
        MessageId::DEVICE_TO_USER_DATA_VERSION1
        | MessageId::DEVICE_TO_USER_DATA_RESPONSE_VERSION1
        | MessageId::USER_TO_DEVICE_DATA_VERSION1 => Some(true),
        _ => None,
    }
}

impl Frame {
    /// The frame as one with data of an application, `None` if it is another.
    pub fn user_data(&self) -> Option<UserData<&Self>> {
        Some(UserData { version1: version1(self.id())?, frame: self })
    }

    /// [`Frame::user_data`], to be edited.
    pub fn user_data_mut(&mut self) -> Option<UserData<&mut Self>> {
        Some(UserData { version1: version1(self.id())?, frame: self })
    }
}

impl<'a> UserData<&'a Frame> {
    /// The data as far as the frame has it, however much it announces.
    pub(crate) fn data_present(&self) -> &'a [u8] {
        let length = self.frame.word("length", LENGTH).unwrap_or_default();
        self.frame.upto(self.data_at(), usize::try_from(length).unwrap_or(usize::MAX))
    }
}

impl<F> UserData<F> {
    fn data_at(&self) -> usize {
        if self.version1 { DATA_VERSION1 } else { DATA }
    }
}

impl<F: Borrow<Frame>> UserData<F> {
    /// The application's id.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn application(&self) -> Result<u32, FieldError> {
        self.frame.borrow().word("application id", APPLICATION)
    }

    /// The phone's line.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn line(&self) -> Result<u32, FieldError> {
        self.frame.borrow().word("line", LINE)
    }

    /// The call reference, 0 if there is no call.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn call(&self) -> Result<u32, FieldError> {
        self.frame.borrow().word("call reference", CALL)
    }

    /// The transaction's id.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn transaction(&self) -> Result<u32, FieldError> {
        self.frame.borrow().word("transaction id", TRANSACTION)
    }

    /// Which piece of a document this is, in messages of version 1.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::NoField`] in the others.
    pub fn sequence(&self) -> Result<u32, FieldError> {
        let frame = self.frame.borrow();
        if !self.version1 {
            return Err(frame.no_field("sequence"));
        }
        frame.word("sequence", SEQUENCE_VERSION1)
    }

    /// The data.
    ///
    /// # Errors
    /// [`FieldError::Short`] if the frame ends before the announced length.
    pub fn data(&self) -> Result<&[u8], FieldError> {
        let frame = self.frame.borrow();
        let length = frame.word("length", LENGTH)?;
        frame.span(DATA_NAME, self.data_at(), usize::try_from(length).unwrap_or(usize::MAX))
    }
}

impl<F: BorrowMut<Frame>> UserData<F> {
    /// Sets the data and its length. Zeros behind the old data make room; what else follows is moved.
    ///
    /// # Errors
    /// [`FieldError::Short`] if the frame ends before the old data does, [`FieldError::NoRoom`] above
    /// [`Limits::USER_DATA`] unless the old data was as long.
    pub fn set_data(&mut self, data: &[u8]) -> Result<(), FieldError> {
        let (at, old) = (self.data_at(), self.data()?.len());
        let frame = self.frame.borrow_mut();
        let room = old.max(Limits::USER_DATA);
        if data.len() > room {
            return Err(FieldError::NoRoom {
                message: frame.id(),
                field: DATA_NAME,
                length: data.len(),
                room,
            });
        }
        let length = u32::try_from(data.len()).map_err(|_| frame.invalid(DATA_NAME))?;
        frame.replace_padded(DATA_NAME, at, old, data)?;
        frame.put_word("length", LENGTH, length)
    }
}
