//! Texts in which addresses, names and URLs may stand (sccp 2.6.3), read and rewritten as texts.

use crate::registration::until_nul;
use crate::user_data::UserData;
use crate::{FieldError, Frame, MessageId};

/// A text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The field's name.
    pub field: &'static str,
    /// The text, in no particular encoding.
    pub bytes: &'a [u8],
}

/// Where texts stand in a body.
#[derive(Clone, Copy)]
enum Place {
    /// A field of fixed size, filled with zeros: name, offset, bytes.
    Fixed(&'static str, usize, usize),
    /// One text from an offset up to a NUL or the end of the message.
    Rest(&'static str, usize),
    /// Texts that end with a NUL each, from an offset to the end of the message.
    Strings(&'static str, usize),
    /// The data of a message between a phone and an application, with its own length.
    UserData,
}

fn places(id: MessageId) -> &'static [Place] {
    match id {
        MessageId::ALARM => &[Place::Fixed("text", 4, 80)],
        MessageId::REGISTER_REJECT => &[Place::Fixed("text", 0, 32)],
        MessageId::SERVER_RES => &[
            Place::Fixed("server name", 0, 48),
            Place::Fixed("server name", 48, 48),
            Place::Fixed("server name", 96, 48),
            Place::Fixed("server name", 144, 48),
            Place::Fixed("server name", 192, 48),
        ],
        MessageId::CONFIG_STAT => &[Place::Fixed("user name", 24, 40), Place::Fixed("server name", 64, 40)],
        // The packing of the two names differs between sources [V]: whatever ends with a NUL is a text.
        MessageId::CONFIG_STAT_DYNAMIC => &[Place::Strings("name", 24)],
        MessageId::SERVICE_URL_STAT => &[Place::Fixed("URL", 4, 256), Place::Fixed("label", 260, 40)],
        MessageId::SERVICE_URL_STAT_DYNAMIC => &[Place::Strings("URL or label", 4)],
        // That the text begins with the body is not certain [I]; nothing else is known to be there.
        MessageId::XML_ALARM | MessageId::LOCATION_INFO => &[Place::Rest("XML", 0)],
        MessageId::DEVICE_TO_USER_DATA
        | MessageId::DEVICE_TO_USER_DATA_RESPONSE
        | MessageId::DEVICE_TO_USER_DATA_VERSION1
        | MessageId::DEVICE_TO_USER_DATA_RESPONSE_VERSION1
        | MessageId::USER_TO_DEVICE_DATA
        | MessageId::USER_TO_DEVICE_DATA_VERSION1 => &[Place::UserData],
        _ => &[],
    }
}

impl Frame {
    /// The texts of this message that may hold addresses, names or URLs, none that is empty. Fields beyond the end of the
    /// frame are left out; one that the frame cuts off is read as far as it goes.
    pub fn texts(&self) -> Vec<Text<'_>> {
        let mut texts = Vec::new();
        for place in places(self.id()) {
            let text = |field, bytes| Text { field, bytes };
            match *place {
                Place::Fixed(field, at, length) => texts.push(text(field, until_nul(self.upto(at, length)))),
                Place::Rest(field, at) => texts.push(text(field, until_nul(self.upto(at, usize::MAX)))),
                Place::Strings(field, at) => {
                    let strings = self.upto(at, usize::MAX).split(|byte| *byte == 0);
                    texts.extend(strings.map(|bytes| text(field, bytes)));
                }
                Place::UserData => {
                    let data = self.user_data().map(|view| view.data_present()).unwrap_or_default();
                    texts.push(text("data", data));
                }
            }
        }
        texts.retain(|text| !text.bytes.is_empty());
        texts
    }

    /// Calls `rewrite` with each of [`Frame::texts`], and puts what it returns in the text's place. A field of fixed size
    /// is filled up with zeros; a longer text elsewhere moves what follows. Returns how many texts were replaced.
    ///
    /// # Errors
    /// [`FieldError::NoRoom`] if a text does not fit, [`FieldError::Short`] if the frame cuts off the field that is to be
    /// written; the frame is unchanged then. [`FieldError::Invalid`] for a new text with a NUL, which would be its end.
    pub fn rewrite_texts(
        &mut self,
        mut rewrite: impl FnMut(Text<'_>) -> Option<Vec<u8>>,
    ) -> Result<usize, FieldError> {
        let mut rewritten = self.clone();
        let mut count = 0;
        for place in places(self.id()) {
            count += match *place {
                Place::Fixed(field, at, length) => {
                    rewritten.rewrite_fixed(field, at, length, &mut rewrite)?
                }
                Place::Rest(field, at) => rewritten.rewrite_rest(field, at, &mut rewrite)?,
                Place::Strings(field, at) => rewritten.rewrite_strings(field, at, &mut rewrite)?,
                Place::UserData => rewritten.rewrite_user_data(&mut rewrite)?,
            };
        }
        *self = rewritten;
        Ok(count)
    }

    fn rewrite_fixed(
        &mut self,
        field: &'static str,
        at: usize,
        length: usize,
        rewrite: &mut impl FnMut(Text<'_>) -> Option<Vec<u8>>,
    ) -> Result<usize, FieldError> {
        let old = until_nul(self.upto(at, length));
        let Some(mut new) = self.ask(field, old, rewrite)? else { return Ok(0) };
        if new.len() >= length {
            let room = length - 1;
            return Err(FieldError::NoRoom { message: self.id(), field, length: new.len(), room });
        }
        new.resize(length, 0);
        self.put(field, at, &new)?;
        Ok(1)
    }

    fn rewrite_rest(
        &mut self,
        field: &'static str,
        at: usize,
        rewrite: &mut impl FnMut(Text<'_>) -> Option<Vec<u8>>,
    ) -> Result<usize, FieldError> {
        let old = until_nul(self.upto(at, usize::MAX));
        let length = old.len();
        let Some(new) = self.ask(field, old, rewrite)? else { return Ok(0) };
        self.replace_padded(field, at, length, &new)?;
        Ok(1)
    }

    fn rewrite_strings(
        &mut self,
        field: &'static str,
        at: usize,
        rewrite: &mut impl FnMut(Text<'_>) -> Option<Vec<u8>>,
    ) -> Result<usize, FieldError> {
        let old = self.upto(at, usize::MAX);
        let (length, whole_words) = (old.len(), self.body().len().is_multiple_of(4));
        let (mut new, mut count) = (Vec::new(), 0);
        for (index, bytes) in old.split(|byte| *byte == 0).enumerate() {
            if index != 0 {
                new.push(0);
            }
            match self.ask(field, bytes, rewrite)? {
                Some(text) => {
                    new.extend_from_slice(&text);
                    count += 1;
                }
                None => new.extend_from_slice(bytes),
            }
        }
        if count != 0 {
            self.splice(field, at, length, &new)?;
            self.pad(field, whole_words)?;
        }
        Ok(count)
    }

    fn rewrite_user_data(
        &mut self,
        rewrite: &mut impl FnMut(Text<'_>) -> Option<Vec<u8>>,
    ) -> Result<usize, FieldError> {
        let Some(view) = self.user_data() else { return Ok(0) };
        let old = view.data_present();
        if old.is_empty() {
            return Ok(0);
        }
        // Data may hold any bytes, NUL too.
        let Some(new) = rewrite(Text { field: "data", bytes: old }) else { return Ok(0) };
        self.user_data_mut().map_or(Ok(()), |mut view: UserData<&mut Self>| view.set_data(&new))?;
        Ok(1)
    }

    fn ask(
        &self,
        field: &'static str,
        old: &[u8],
        rewrite: &mut impl FnMut(Text<'_>) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, FieldError> {
        if old.is_empty() {
            return Ok(None);
        }
        match rewrite(Text { field, bytes: old }) {
            Some(new) if new.contains(&0) => Err(self.invalid(field)),
            new => Ok(new),
        }
    }

    /// Puts `new` in the place of `length` bytes at `at`. While only zeros follow they make room, or are made where the new
    /// text is shorter, so that the frame keeps its length; else the frame grows, in whole words if it had them.
    pub(crate) fn replace_padded(
        &mut self,
        field: &'static str,
        at: usize,
        length: usize,
        new: &[u8],
    ) -> Result<(), FieldError> {
        let after = self.upto(at.saturating_add(length), usize::MAX);
        let room = length.saturating_add(after.len());
        if after.iter().all(|byte| *byte == 0) && new.len() <= room {
            self.span_mut(field, at, room)?.fill(0);
            return self.put(field, at, new);
        }
        let whole_words = self.body().len().is_multiple_of(4);
        self.splice(field, at, length, new)?;
        self.pad(field, whole_words)
    }

    fn pad(&mut self, field: &'static str, whole_words: bool) -> Result<(), FieldError> {
        match whole_words {
            true => self.grow(field, self.body().len().next_multiple_of(4)),
            false => Ok(()),
        }
    }

    /// Up to `length` bytes of the body at `at`, as many as there are.
    pub(crate) fn upto(&self, at: usize, length: usize) -> &[u8] {
        let body = self.body();
        body.get(at..at.saturating_add(length).min(body.len())).unwrap_or_default()
    }
}
