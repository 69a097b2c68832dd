//! The messages that a proxy sends of its own accord.

use std::net::{Ipv4Addr, SocketAddr};

use zeroize::Zeroizing;

use crate::servers::body_len;
use crate::{
    Encryption, FieldError, Frame, FrameError, Limits, MediaStatus, MessageId, ResetKind, Server,
    header_version,
};

/// Why a message cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The protocol version is unknown.
    #[error("SCCP message not built: {0}")]
    Frame(#[from] FrameError),
    /// A value does not fit.
    #[error("SCCP message not built: {0}")]
    Field(#[from] FieldError),
}

/// A channel to be opened or a transmission to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The conference.
    pub conference: u32,
    /// The pass-through party id.
    pub party: u32,
    /// The call reference.
    pub call: u32,
    /// The codec's number.
    pub codec: u32,
    /// Milliseconds of audio per packet.
    pub packet_ms: u32,
    /// The RTP payload type of telephone events, 0 for none.
    pub telephone_event: u32,
    /// Where media comes from (a channel) or goes to (a transmission). `None` leaves the address of a channel all zeros.
    pub endpoint: Option<SocketAddr>,
    /// The key; `None` for RTP in the clear.
    pub encryption: Option<Encryption>,
}

const REJECT_TEXT_LEN: usize = 32;

impl Frame {
    /// A KeepAliveAck.
    ///
    /// # Errors
    /// None in practice; the header version is 0 for every protocol (sccp 2.6.1).
    pub fn keep_alive_ack() -> Result<Self, BuildError> {
        Ok(Self::new(MessageId::KEEP_ALIVE_ACK, 0, &[])?)
    }

    /// A RegisterReject. A phone shows the text, of which 31 bytes fit, and tries again later.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown protocol version.
    pub fn register_reject(protocol: u32, text: &str) -> Result<Self, BuildError> {
        let mut end = text.len().min(REJECT_TEXT_LEN - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut body = text.get(..end).unwrap_or_default().as_bytes().to_vec();
        body.resize(REJECT_TEXT_LEN, 0);
        Ok(Self::new(MessageId::REGISTER_REJECT, header_version(protocol), &body)?)
    }

    /// A RegisterTokenReject: the phone waits that long before it asks again.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown protocol version.
    pub fn register_token_reject(protocol: u32, wait_s: u32) -> Result<Self, BuildError> {
        let body = wait_s.to_le_bytes();
        Ok(Self::new(MessageId::REGISTER_TOKEN_REJECT, header_version(protocol), &body)?)
    }

    /// A Reset.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown protocol version.
    pub fn reset(protocol: u32, kind: ResetKind) -> Result<Self, BuildError> {
        let body = kind.to_wire().to_le_bytes();
        Ok(Self::new(MessageId::RESET, header_version(protocol), &body)?)
    }

    /// A ServerRes with up to five call managers.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown protocol version, too many servers, a name that is too long, or an IPv6 address
    /// before protocol 17.
    pub fn server_res(protocol: u32, servers: &[Server]) -> Result<Self, BuildError> {
        let version = header_version(protocol);
        let mut frame = Self::zeroed(MessageId::SERVER_RES, version, body_len(version))?;
        if let Some(mut view) = frame.servers_mut() {
            for (place, server) in servers.iter().enumerate() {
                view.set(place, server)?;
            }
        }
        Ok(frame)
    }

    /// An OpenReceiveChannel: the phone opens a port and answers with it.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown protocol version, or an address that the version cannot carry (any before 11, IPv6
    /// before 17).
    pub fn open_receive_channel(protocol: u32, media: &Media) -> Result<Self, BuildError> {
        let length = match protocol {
            0..=10 => 92,
            11..=16 => 116,
            17..=19 => 132,
            _ => 168,
        };
        Self::media(MessageId::OPEN_RECEIVE_CHANNEL, protocol, length, media)
    }

    /// A StartMediaTransmission: the phone sends to the endpoint.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown protocol version, or an IPv6 address before protocol 17.
    pub fn start_media_transmission(protocol: u32, media: &Media) -> Result<Self, BuildError> {
        let length = match protocol {
            0..=16 => 116,
            17..=19 => 132,
            _ => 168,
        };
        Self::media(MessageId::START_MEDIA_TRANSMISSION, protocol, length, media)
    }

    /// The acknowledgement with which a phone would refuse this request to open a channel or start a transmission, audio or
    /// video: its ids, no address. `None` if it is no such request.
    ///
    /// # Errors
    /// [`BuildError`] if the request has no ids.
    pub fn refusal(&self, status: MediaStatus) -> Option<Result<Self, BuildError>> {
        let id = match self.id() {
            MessageId::OPEN_RECEIVE_CHANNEL => MessageId::OPEN_RECEIVE_CHANNEL_ACK,
            MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL => MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK,
            MessageId::START_MEDIA_TRANSMISSION => MessageId::START_MEDIA_TRANSMISSION_ACK,
            MessageId::START_MULTIMEDIA_TRANSMISSION => MessageId::START_MULTIMEDIA_TRANSMISSION_ACK,
            _ => return None,
        };
        Some(self.refusal_of(id, status))
    }

    fn refusal_of(&self, id: MessageId, status: MediaStatus) -> Result<Self, BuildError> {
        let request = self.channel().ok_or_else(|| self.no_field("channel"))?;
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut refusal =
            Self::media_failure(id, self.version(), (request.party()?, request.call()?), nowhere)?;
        if let Some(mut answer) = refusal.channel_mut() {
            answer.set_status(status)?;
            if let Ok(conference) = request.conference() {
                // OpenReceiveChannelAck has none.
                let _without = answer.set_conference(conference);
            }
        }
        Ok(refusal)
    }

    /// What a phone says whose media fails: the acknowledgement of a request, with [`MediaStatus::UNKNOWN`] and no
    /// address, or a MediaTransmissionFailure, which names the `far` end. `ids` are the party and the call reference; the
    /// conference is the call reference too, as phones have it.
    ///
    /// # Errors
    /// [`BuildError`] for an unknown header version, another message, or an IPv6 address before version 17.
    pub fn media_failure(
        id: MessageId,
        version: u32,
        ids: (u32, u32),
        far: SocketAddr,
    ) -> Result<Self, BuildError> {
        let plain = match id {
            MessageId::START_MEDIA_TRANSMISSION_ACK | MessageId::START_MULTIMEDIA_TRANSMISSION_ACK => 24,
            _ => 20,
        };
        let mut failure = Self::zeroed(id, version, if version >= 17 { plain + 16 } else { plain })?;
        let without = failure.no_field("channel");
        let mut channel = failure.channel_mut().ok_or(without)?;
        channel.set_party(ids.0)?;
        channel.set_call(ids.1)?;
        // An acknowledgement of a channel has no conference.
        let _without = channel.set_conference(ids.1);
        match channel.set_status(MediaStatus::UNKNOWN) {
            Ok(()) => channel.set_endpoint(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?,
            Err(_) => channel.set_endpoint(far)?,
        }
        Ok(failure)
    }

    fn media(id: MessageId, protocol: u32, length: usize, media: &Media) -> Result<Self, BuildError> {
        let mut frame = Self::zeroed(id, header_version(protocol), length)?;
        if let Some(mut channel) = frame.channel_mut() {
            channel.set_conference(media.conference)?;
            channel.set_party(media.party)?;
            channel.set_call(media.call)?;
            channel.set_codec(media.codec)?;
            channel.set_packet_ms(media.packet_ms)?;
            channel.set_telephone_event(media.telephone_event)?;
            if let Some(endpoint) = media.endpoint {
                channel.set_endpoint(endpoint)?;
            }
            if let Some(encryption) = &media.encryption {
                channel.set_encryption(encryption)?;
            }
        }
        Ok(frame)
    }

    fn zeroed(id: MessageId, version: u32, length: usize) -> Result<Self, FrameError> {
        Self::new(id, version, &Zeroizing::new(vec![0; length.min(Limits::FRAME_MAX)]))
    }
}
