use std::borrow::{Borrow, BorrowMut};
use std::net::{IpAddr, SocketAddr};

use crate::address::{Address, Family, Form};
use crate::key::{self, Encryption, KeyBlock};
use crate::layout::{Places, choose, generations};
use crate::{FieldError, Frame};

/// A message that opens, starts, acknowledges, stops or otherwise concerns media: audio, video, multicast and ports
/// (the channel messages of sccp 2.6.3). Which fields a message has, its table in `docs/sccp.md` says.
///
/// Getters fail with [`FieldError::NoField`] for what the message never has, with [`FieldError::Short`] for what this
/// frame is too short for. Setters change the bytes of their fields and nothing else, or nothing at all.
#[derive(Debug)]
pub struct Channel<F> {
    frame: F,
    places: Places,
}

impl Frame {
    /// The frame as a message about media, `None` if it is another.
    pub fn channel(&self) -> Option<Channel<&Self>> {
        let places = *choose(generations(self.id())?, self)?;
        Some(Channel { frame: self, places })
    }

    /// [`Frame::channel`], to be edited.
    pub fn channel_mut(&mut self) -> Option<Channel<&mut Self>> {
        let places = *choose(generations(self.id())?, self)?;
        Some(Channel { frame: self, places })
    }
}

/// Where media goes or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address as it is written.
    pub address: Address,
    /// The UDP port of RTP.
    pub port: u16,
}

impl Endpoint {
    /// Address and port, if the address is one.
    pub fn socket_address(self) -> Option<SocketAddr> {
        self.address.ip().map(|address| SocketAddr::new(address, self.port))
    }
}

/// What an acknowledgement says, by number (sccp 2.6.3, media status codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaStatus(pub u32);

impl MediaStatus {
    /// The channel is open, or the transmission runs.
    pub const OK: Self = Self(0);
    /// Unknown failure.
    pub const UNKNOWN: Self = Self(1);
    /// No more channels.
    pub const OUT_OF_CHANNELS: Self = Self(2);
    /// No more sockets or ports.
    pub const OUT_OF_SOCKETS: Self = Self(8);
    /// The address family asked for is not available.
    pub const FAMILY_UNAVAILABLE: Self = Self(11);
}

/// What becomes of the port when media stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortHandling {
    /// 0: the port is closed.
    Close,
    /// 1: the port stays open for the next channel.
    Keep,
    /// A number that is not known.
    Other(u32),
}

/// What ports are for, by number. Two are known; a proxy takes others for not said [M].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType(pub u32);

impl MediaType {
    /// Audio.
    pub const AUDIO: Self = Self(1);
    /// The picture of who speaks.
    pub const MAIN_VIDEO: Self = Self(2);
    /// A picture that is shown beside.
    pub const PRESENTATION_VIDEO: Self = Self(4);
}

impl<F: Borrow<Frame>> Channel<F> {
    /// The conference that the channel belongs to; phones do not fill it alike.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn conference(&self) -> Result<u32, FieldError> {
        self.word("conference id", self.places.conference)
    }

    /// The pass-through party id, by which a call manager knows the channel. Some phones answer with 0: match the call
    /// reference then (sccp 2.6.1).
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn party(&self) -> Result<u32, FieldError> {
        self.word("pass-through party id", self.places.party)
    }

    /// The call reference. Some phones leave it 0 or out.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn call(&self) -> Result<u32, FieldError> {
        self.word("call reference", self.places.call)
    }

    /// What an acknowledgement says.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn status(&self) -> Result<MediaStatus, FieldError> {
        self.word("status", self.places.status).map(MediaStatus)
    }

    /// Milliseconds of audio per packet.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn packet_ms(&self) -> Result<u32, FieldError> {
        self.word("packet size", self.places.packet_ms)
    }

    /// The codec's number (sccp 2.6.3, codec ids).
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn codec(&self) -> Result<u32, FieldError> {
        self.word("codec", self.places.codec)
    }

    /// The RTP payload type of telephone events (RFC 2833), 0 for none.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn telephone_event(&self) -> Result<u32, FieldError> {
        self.word("telephone-event payload type", self.places.telephone_event)
    }

    /// The address family that the phone is asked to open.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn family(&self) -> Result<Family, FieldError> {
        self.word("address family", self.places.family).map(Family::from_wire)
    }

    /// What becomes of the port.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn port_handling(&self) -> Result<PortHandling, FieldError> {
        self.word("port handling", self.places.port_handling).map(|value| match value {
            0 => PortHandling::Close,
            1 => PortHandling::Keep,
            other => PortHandling::Other(other),
        })
    }

    /// What the ports of a PortRequest, PortResponse or PortClose are for.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::Short`] before protocol 19.
    pub fn media_type(&self) -> Result<MediaType, FieldError> {
        self.word("media type", self.places.media_type).map(MediaType)
    }

    /// The address alone.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn address(&self) -> Result<Address, FieldError> {
        let (form, at) = self.address_place()?;
        form.read(self.frame(), ADDRESS, at)
    }

    /// The RTP port alone.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::Invalid`] above 65,535.
    pub fn port(&self) -> Result<u16, FieldError> {
        self.port_at(PORT, self.places.port)
    }

    /// The RTCP port of a PortResponse.
    ///
    /// # Errors
    /// As [`Channel::port`].
    pub fn rtcp_port(&self) -> Result<u16, FieldError> {
        self.port_at(RTCP_PORT, self.places.rtcp_port)
    }

    /// Address and RTP port. In a request to open a channel it is the sender's, elsewhere the receiver's.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn endpoint(&self) -> Result<Endpoint, FieldError> {
        Ok(Endpoint { address: self.address()?, port: self.port()? })
    }

    /// What the encryption block orders.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::Short`] if the frame ends before the block's salt does, as those of protocols before 5.
    pub fn encryption(&self) -> Result<KeyBlock, FieldError> {
        key::read(self.frame(), self.encryption_place()?)
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    fn frame(&self) -> &Frame {
        self.frame.borrow()
    }

    fn place(&self, field: &'static str, at: Option<usize>) -> Result<usize, FieldError> {
        at.ok_or_else(|| self.frame().no_field(field))
    }

    fn word(&self, field: &'static str, at: Option<usize>) -> Result<u32, FieldError> {
        self.frame().word(field, self.place(field, at)?)
    }

    fn port_at(&self, field: &'static str, at: Option<usize>) -> Result<u16, FieldError> {
        u16::try_from(self.word(field, at)?).map_err(|_| self.frame().invalid(field))
    }

    fn address_place(&self) -> Result<(Form, usize), FieldError> {
        self.places.address.ok_or_else(|| self.frame().no_field(ADDRESS))
    }

    fn encryption_place(&self) -> Result<usize, FieldError> {
        self.place("encryption block", self.places.encryption)
    }
}

const ADDRESS: &str = "address";
const PORT: &str = "port";
const RTCP_PORT: &str = "RTCP port";

impl<F: BorrowMut<Frame>> Channel<F> {
    /// Sets the conference.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_conference(&mut self, value: u32) -> Result<(), FieldError> {
        self.put_word("conference id", self.places.conference, value)
    }

    /// Sets the pass-through party id.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_party(&mut self, value: u32) -> Result<(), FieldError> {
        self.put_word("pass-through party id", self.places.party, value)
    }

    /// Sets the call reference.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_call(&mut self, value: u32) -> Result<(), FieldError> {
        self.put_word("call reference", self.places.call, value)
    }

    /// Sets what an acknowledgement says.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_status(&mut self, status: MediaStatus) -> Result<(), FieldError> {
        self.put_word("status", self.places.status, status.0)
    }

    /// Sets the milliseconds per packet.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_packet_ms(&mut self, value: u32) -> Result<(), FieldError> {
        self.put_word("packet size", self.places.packet_ms, value)
    }

    /// Sets the codec's number.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_codec(&mut self, value: u32) -> Result<(), FieldError> {
        self.put_word("codec", self.places.codec, value)
    }

    /// Sets the payload type of telephone events.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_telephone_event(&mut self, value: u32) -> Result<(), FieldError> {
        self.put_word("telephone-event payload type", self.places.telephone_event, value)
    }

    /// Sets the address family that is asked for.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_family(&mut self, family: Family) -> Result<(), FieldError> {
        self.put_word("address family", self.places.family, family.to_wire())
    }

    /// Sets address and RTP port.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::Family`] for an IPv6 address before protocol 17.
    pub fn set_endpoint(&mut self, endpoint: SocketAddr) -> Result<(), FieldError> {
        self.word(PORT, self.places.port)?;
        self.set_address(endpoint.ip())?;
        self.set_port(endpoint.port())
    }

    /// Sets the address alone.
    ///
    /// # Errors
    /// As [`Channel::set_endpoint`].
    pub fn set_address(&mut self, address: IpAddr) -> Result<(), FieldError> {
        let (form, at) = self.address_place()?;
        form.write(self.frame_mut(), ADDRESS, at, address)
    }

    /// Sets the RTP port alone.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_port(&mut self, port: u16) -> Result<(), FieldError> {
        self.put_word(PORT, self.places.port, port.into())
    }

    /// Sets the RTCP port of a PortResponse.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set_rtcp_port(&mut self, port: u16) -> Result<(), FieldError> {
        self.put_word(RTCP_PORT, self.places.rtcp_port, port.into())
    }

    /// Overwrites the encryption block, all of it that the frame has: whole, or without its last two words.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::Short`] if there is no block: see [`Channel::insert_encryption`].
    pub fn set_encryption(&mut self, encryption: &Encryption) -> Result<(), FieldError> {
        let at = self.encryption_place()?;
        key::write(self.frame_mut(), at, encryption)
    }

    /// [`Channel::set_encryption`]; a frame without a block is lengthened, with zeros, to have one. Call managers send the
    /// block from protocol 5 up, so only older ones need this; that such phones read it is not known [I].
    ///
    /// # Errors
    /// [`FieldError::NoField`] if the message has no place for a key.
    pub fn insert_encryption(&mut self, encryption: &Encryption) -> Result<(), FieldError> {
        let at = self.encryption_place()?;
        key::make_room(self.frame_mut(), at)?;
        key::write(self.frame_mut(), at, encryption)
    }

    /// Fills the encryption block with zeros, if the frame has one or some of it.
    ///
    /// # Errors
    /// [`FieldError::NoField`] if the message has no place for a key.
    pub fn clear_encryption(&mut self) -> Result<(), FieldError> {
        let at = self.encryption_place()?;
        key::clear(self.frame_mut(), at)
    }

    fn frame_mut(&mut self) -> &mut Frame {
        self.frame.borrow_mut()
    }

    fn put_word(&mut self, field: &'static str, at: Option<usize>, value: u32) -> Result<(), FieldError> {
        let at = self.place(field, at)?;
        self.frame_mut().put_word(field, at, value)
    }
}
