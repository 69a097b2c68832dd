use std::borrow::{Borrow, BorrowMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{FieldError, Frame, MessageId};

/// A phone's request to be registered, or for a token that allows it: 0x0001, 0x0029, 0x8000 (sccp 2.6.3). Of one layout in
/// all protocol versions; old phones stop early (a 7936 after 44 bytes, 6961 and 7960 after 68 [V]).
#[derive(Debug)]
pub struct Registration<F> {
    frame: F,
    places: &'static Places,
}

/// Where fields begin. Name, user id, instance, address and device type are at one place in all three messages.
#[derive(Debug)]
struct Places {
    max_streams: Option<usize>,
    active_streams: Option<usize>,
    protocol: Option<usize>,
    features: Option<usize>,
    ipv6: Option<usize>,
}

const NAME: usize = 0;
const NAME_LEN: usize = 16;
const USER: usize = 16;
const INSTANCE: usize = 20;
const IPV4: usize = 24;
const DEVICE_TYPE: usize = 28;
const IPV6_LEN: usize = 16;

const REGISTER: Places = Places {
    max_streams: Some(32),
    active_streams: Some(36),
    protocol: Some(40),
    features: Some(41),
    ipv6: Some(72),
};
const TOKEN: Places =
    Places { max_streams: None, active_streams: None, protocol: None, features: None, ipv6: Some(32) };
const SPCP_TOKEN: Places =
    Places { max_streams: Some(32), active_streams: None, protocol: None, features: None, ipv6: None };

fn places(id: MessageId) -> Option<&'static Places> {
    match id {
        MessageId::REGISTER => Some(&REGISTER),
        MessageId::REGISTER_TOKEN_REQ => Some(&TOKEN),
        MessageId::SPCP_REGISTER_TOKEN_REQ => Some(&SPCP_TOKEN),
        _ => None,
    }
}

impl Frame {
    /// The frame as a request to register or for a token, `None` if it is another.
    pub fn registration(&self) -> Option<Registration<&Self>> {
        Some(Registration { places: places(self.id())?, frame: self })
    }

    /// [`Frame::registration`], to be edited.
    pub fn registration_mut(&mut self) -> Option<Registration<&mut Self>> {
        Some(Registration { places: places(self.id())?, frame: self })
    }
}

impl<F: Borrow<Frame>> Registration<F> {
    /// The device name, `SEP` and the MAC address in upper case as a rule. The message's MAC field, which real phones fill
    /// with all sorts of things (sccp 2.6.3), is not read at all.
    ///
    /// # Errors
    /// [`FieldError::Invalid`] unless it is 1 to 16 letters, digits, `-`, `_` or `.`; what follows a NUL is not read.
    pub fn device_name(&self) -> Result<&str, FieldError> {
        let frame = self.frame.borrow();
        let name = until_nul(frame.span("device name", NAME, NAME_LEN)?);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty() && name.bytes().all(plain))
            .ok_or_else(|| frame.invalid("device name"))
    }

    /// The user id word.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn user(&self) -> Result<u32, FieldError> {
        self.word("user id", Some(USER))
    }

    /// The instance word.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn instance(&self) -> Result<u32, FieldError> {
        self.word("instance", Some(INSTANCE))
    }

    /// The phone's own IPv4 address, the one behind its NAT.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn ipv4(&self) -> Result<Ipv4Addr, FieldError> {
        self.frame.borrow().array::<4>("IPv4 address", IPV4).map(Into::into)
    }

    /// The phone's own IPv6 address, all zeros if it has none.
    ///
    /// # Errors
    /// [`FieldError`]; old phones end before it.
    pub fn ipv6(&self) -> Result<Ipv6Addr, FieldError> {
        let at = self.place(IPV6_NAME, self.places.ipv6)?;
        self.frame.borrow().array::<16>(IPV6_NAME, at).map(Into::into)
    }

    /// The device type's number.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn device_type(&self) -> Result<u32, FieldError> {
        self.word("device type", Some(DEVICE_TYPE))
    }

    /// How many streams the phone can have at a time.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn max_streams(&self) -> Result<u32, FieldError> {
        self.word("maximum of streams", self.places.max_streams)
    }

    /// How many streams the phone says it has now.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn active_streams(&self) -> Result<u32, FieldError> {
        self.word("active streams", self.places.active_streams)
    }

    /// The protocol version that the phone asks for.
    ///
    /// # Errors
    /// [`FieldError`]; phones older than the field end before it.
    pub fn protocol(&self) -> Result<u8, FieldError> {
        let at = self.place("protocol version", self.places.protocol)?;
        self.frame.borrow().array("protocol version", at).map(u8::from_le_bytes)
    }

    /// The three feature bytes beside the protocol version. Bits for authenticated signalling and media encryption are among
    /// them, which is not known (sccp 2.6.4).
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn features(&self) -> Result<[u8; 3], FieldError> {
        let at = self.place(FEATURES_NAME, self.places.features)?;
        self.frame.borrow().array(FEATURES_NAME, at)
    }

    fn place(&self, field: &'static str, at: Option<usize>) -> Result<usize, FieldError> {
        at.ok_or_else(|| self.frame.borrow().no_field(field))
    }

    fn word(&self, field: &'static str, at: Option<usize>) -> Result<u32, FieldError> {
        self.frame.borrow().word(field, self.place(field, at)?)
    }
}

const IPV6_NAME: &str = "IPv6 address";
const FEATURES_NAME: &str = "feature bytes";

impl<F: BorrowMut<Frame>> Registration<F> {
    /// Sets the phone's address: of the given family to this one, of the other to all zeros.
    ///
    /// # Errors
    /// [`FieldError`] for an IPv6 address if there is no room for one.
    pub fn set_address(&mut self, address: IpAddr) -> Result<(), FieldError> {
        self.ipv4()?;
        match address {
            IpAddr::V4(ipv4) => {
                self.clear_ipv6()?;
                self.set_ipv4(ipv4)
            }
            IpAddr::V6(ipv6) => {
                self.set_ipv6(ipv6)?;
                self.set_ipv4(Ipv4Addr::UNSPECIFIED)
            }
        }
    }

    /// Sets the IPv4 address alone.
    ///
    /// # Errors
    /// [`FieldError::Short`].
    pub fn set_ipv4(&mut self, address: Ipv4Addr) -> Result<(), FieldError> {
        self.frame.borrow_mut().put("IPv4 address", IPV4, &address.octets())
    }

    /// Sets the IPv6 address alone.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_ipv6(&mut self, address: Ipv6Addr) -> Result<(), FieldError> {
        let at = self.place(IPV6_NAME, self.places.ipv6)?;
        self.frame.borrow_mut().put(IPV6_NAME, at, &address.octets())
    }

    /// Sets the feature bytes.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_features(&mut self, features: [u8; 3]) -> Result<(), FieldError> {
        let at = self.place(FEATURES_NAME, self.places.features)?;
        self.frame.borrow_mut().put(FEATURES_NAME, at, &features)
    }

    /// Sets how many streams the phone says it can have.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_max_streams(&mut self, value: u32) -> Result<(), FieldError> {
        let at = self.place("maximum of streams", self.places.max_streams)?;
        self.frame.borrow_mut().put_word("maximum of streams", at, value)
    }

    /// Zeros over the IPv6 address, or over what a frame that ends within it has of it.
    fn clear_ipv6(&mut self) -> Result<(), FieldError> {
        let Some(at) = self.places.ipv6 else { return Ok(()) };
        let frame = self.frame.borrow_mut();
        let length = frame.body().len().saturating_sub(at).min(IPV6_LEN);
        frame.put(IPV6_NAME, at.min(frame.body().len()), [0; IPV6_LEN].get(..length).unwrap_or_default())
    }
}

/// A text field up to its first NUL.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.get(..end).unwrap_or_default()
}
