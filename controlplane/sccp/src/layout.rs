//! How the layout of a message is chosen, and the layouts of all messages about media (sccp 2.6.3).

use crate::address::{Form, TYPE_MAX};
use crate::{Frame, MessageId};

/// From this protocol version an address is a type and 16 bytes [V].
const TYPED: u32 = 17;
/// "A few messages switch at 16" [V], which ones is not known: at this version the frame itself decides.
pub(crate) const TYPED_PERHAPS: u32 = 16;

/// A layout and the frames that it is for.
pub(crate) struct Generation<T> {
    /// The first header version.
    pub(crate) since: u32,
    /// Bytes of body without which the frame is of an older generation, whatever its header says. 0 for messages with a key
    /// block, which may be lengthened.
    pub(crate) needs: usize,
    /// Bytes of body that servers and phones send at least, and older generations do not.
    pub(crate) usual: usize,
    /// Where the type of an address stands, which no older generation has.
    pub(crate) kind: Option<usize>,
    pub(crate) fields: T,
}

impl<T> Generation<T> {
    fn admits(&self, frame: &Frame) -> bool {
        let length = frame.body().len();
        if frame.version() >= self.since {
            return length >= self.needs;
        }
        let typed = self.kind.and_then(|at| frame.word("", at).ok()).is_some_and(|kind| kind <= TYPE_MAX);
        self.since == TYPED && frame.version() == TYPED_PERHAPS && length >= self.usual && typed
    }
}

/// The layout of a frame among generations, the newest first: the newest that its header version allows and its length
/// holds. Of a frame that is too short for any, the newest that the version allows, whose fields are then beyond its end.
pub(crate) fn choose<T>(generations: &'static [Generation<T>], frame: &Frame) -> Option<&'static T> {
    let version = frame.version();
    generations
        .iter()
        .find(|generation| generation.admits(frame))
        .or_else(|| generations.iter().find(|generation| version >= generation.since))
        .map(|generation| &generation.fields)
}

/// Where the fields of a message about media begin in its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) conference: Option<usize>,
    pub(crate) party: Option<usize>,
    pub(crate) call: Option<usize>,
    pub(crate) status: Option<usize>,
    pub(crate) address: Option<(Form, usize)>,
    pub(crate) port: Option<usize>,
    pub(crate) rtcp_port: Option<usize>,
    pub(crate) family: Option<usize>,
    pub(crate) encryption: Option<usize>,
    pub(crate) packet_ms: Option<usize>,
    pub(crate) codec: Option<usize>,
    pub(crate) telephone_event: Option<usize>,
    pub(crate) port_handling: Option<usize>,
    pub(crate) media_type: Option<usize>,
}

const NOTHING: Places = Places {
    conference: None,
    party: None,
    call: None,
    status: None,
    address: None,
    port: None,
    rtcp_port: None,
    family: None,
    encryption: None,
    packet_ms: None,
    codec: None,
    telephone_event: None,
    port_handling: None,
    media_type: None,
};

type Generations = &'static [Generation<Places>];

/// The generations of a message about media, `None` for other messages.
pub(crate) fn generations(id: MessageId) -> Option<Generations> {
    Some(match id {
        MessageId::OPEN_RECEIVE_CHANNEL => OPEN_RECEIVE,
        MessageId::OPEN_RECEIVE_CHANNEL_ACK | MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK => {
            OPEN_RECEIVE_ACK
        }
        MessageId::START_MEDIA_TRANSMISSION => START_MEDIA,
        MessageId::START_MEDIA_TRANSMISSION_ACK | MessageId::START_MULTIMEDIA_TRANSMISSION_ACK => {
            START_MEDIA_ACK
        }
        MessageId::MEDIA_TRANSMISSION_FAILURE => MEDIA_FAILURE,
        MessageId::STOP_MEDIA_TRANSMISSION
        | MessageId::CLOSE_RECEIVE_CHANNEL
        | MessageId::STOP_MULTIMEDIA_TRANSMISSION
        | MessageId::CLOSE_MULTIMEDIA_RECEIVE_CHANNEL => STOP,
        MessageId::PORT_REQUEST => PORT_REQUEST,
        MessageId::PORT_RESPONSE => PORT_RESPONSE,
        MessageId::PORT_CLOSE => PORT_CLOSE,
        MessageId::OPEN_MULTIMEDIA_RECEIVE_CHANNEL => OPEN_MULTIMEDIA_RECEIVE,
        MessageId::START_MULTIMEDIA_TRANSMISSION => START_MULTIMEDIA,
        MessageId::START_MULTICAST_MEDIA_RECEPTION => START_MULTICAST_RECEPTION,
        MessageId::START_MULTICAST_MEDIA_TRANSMISSION => START_MULTICAST_TRANSMISSION,
        MessageId::STOP_MULTICAST_MEDIA_RECEPTION | MessageId::STOP_MULTICAST_MEDIA_TRANSMISSION => {
            STOP_MULTICAST
        }
        MessageId::START_SESSION_TRANSMISSION | MessageId::STOP_SESSION_TRANSMISSION => SESSION_TRANSMISSION,
        MessageId::IP_PORT => IP_PORT,
        _ => return None,
    })
}

/// The only generation.
const fn always(fields: Places) -> Generation<Places> {
    Generation { since: 0, needs: 0, usual: 0, kind: None, fields }
}

/// Before protocol 17.
const fn plain(fields: Places) -> Generation<Places> {
    always(fields)
}

/// From protocol 17. `needs` and `usual`: bytes of body, as in [`Generation`].
const fn typed(needs: usize, usual: usize, fields: Places) -> Generation<Places> {
    let kind = match fields.address {
        Some((_, at)) => Some(at),
        None => None,
    };
    Generation { since: TYPED, needs, usual, kind, fields }
}

/// 0x0105. The source address came with about protocol 11; up to there all generations agree.
const OPEN_RECEIVE: Generations = &[
    typed(
        0,
        128,
        Places {
            address: Some((Form::Typed, 100)),
            port: Some(120),
            family: Some(124),
            ..OPEN_RECEIVE_PLAIN
        },
    ),
    plain(OPEN_RECEIVE_PLAIN),
];
const OPEN_RECEIVE_PLAIN: Places = Places {
    conference: Some(0),
    party: Some(4),
    packet_ms: Some(8),
    codec: Some(12),
    call: Some(24),
    encryption: Some(28),
    telephone_event: Some(84),
    address: Some((Form::Plain, 100)),
    port: Some(104),
    family: Some(108),
    ..NOTHING
};

/// 0x0022, and 0x0031 for video.
const OPEN_RECEIVE_ACK: Generations = &[
    typed(
        28,
        36,
        Places {
            status: Some(0),
            address: Some((Form::Typed, 4)),
            port: Some(24),
            party: Some(28),
            call: Some(32),
            ..NOTHING
        },
    ),
    plain(Places {
        status: Some(0),
        address: Some((Form::Plain, 4)),
        port: Some(8),
        party: Some(12),
        call: Some(16),
        ..NOTHING
    }),
];

/// 0x008A.
const START_MEDIA: Generations = &[
    typed(
        0,
        132,
        Places {
            conference: Some(0),
            party: Some(4),
            address: Some((Form::Typed, 8)),
            port: Some(28),
            packet_ms: Some(32),
            codec: Some(36),
            call: Some(56),
            encryption: Some(60),
            telephone_event: Some(116),
            ..NOTHING
        },
    ),
    plain(Places {
        conference: Some(0),
        party: Some(4),
        address: Some((Form::Plain, 8)),
        port: Some(12),
        packet_ms: Some(16),
        codec: Some(20),
        call: Some(40),
        encryption: Some(44),
        telephone_event: Some(100),
        ..NOTHING
    }),
];

/// 0x0154, and 0x0155 for video [I].
const START_MEDIA_ACK: Generations = &[
    typed(
        36,
        40,
        Places {
            conference: Some(0),
            party: Some(4),
            call: Some(8),
            address: Some((Form::Typed, 12)),
            port: Some(32),
            status: Some(36),
            ..NOTHING
        },
    ),
    plain(Places {
        conference: Some(0),
        party: Some(4),
        call: Some(8),
        address: Some((Form::Plain, 12)),
        port: Some(16),
        status: Some(20),
        ..NOTHING
    }),
];

/// 0x002A.
const MEDIA_FAILURE: Generations = &[
    typed(
        32,
        36,
        Places {
            conference: Some(0),
            party: Some(4),
            address: Some((Form::Typed, 8)),
            port: Some(28),
            call: Some(32),
            ..NOTHING
        },
    ),
    plain(Places {
        conference: Some(0),
        party: Some(4),
        address: Some((Form::Plain, 8)),
        port: Some(12),
        call: Some(16),
        ..NOTHING
    }),
];

/// 0x008B, 0x0106, and 0x0133, 0x0136 for video.
const STOP: Generations = &[always(Places {
    conference: Some(0),
    party: Some(4),
    call: Some(8),
    port_handling: Some(12),
    ..NOTHING
})];

/// 0x014C. The order of the ids is PortResponse's [M]; the media type came with about protocol 19 [M].
const PORT_CLOSE: Generations = &[always(Places { media_type: Some(12), ..PORT_IDS })];
const PORT_IDS: Places = Places { conference: Some(0), call: Some(4), party: Some(8), ..NOTHING };

/// 0x014B. As PortClose [M]; the family at 16 is certain.
const PORT_REQUEST: Generations = &[always(Places { family: Some(16), media_type: Some(20), ..PORT_IDS })];

/// 0x0045. The media type came with protocol 19.
const PORT_RESPONSE: Generations = &[
    typed(
        36,
        40,
        Places {
            address: Some((Form::Typed, 12)),
            port: Some(32),
            rtcp_port: Some(36),
            media_type: Some(40),
            ..PORT_IDS
        },
    ),
    plain(Places { address: Some((Form::Plain, 12)), port: Some(16), rtcp_port: Some(20), ..PORT_IDS }),
];

/// 0x0131. Offsets by arithmetic [I]. The source address came with protocol 12; before it all generations agree.
const OPEN_MULTIMEDIA_RECEIVE: Generations = &[
    typed(
        0,
        192,
        Places {
            address: Some((Form::Typed, 164)),
            port: Some(184),
            family: Some(188),
            ..OPEN_MULTIMEDIA_RECEIVE_PLAIN
        },
    ),
    plain(OPEN_MULTIMEDIA_RECEIVE_PLAIN),
];
const OPEN_MULTIMEDIA_RECEIVE_PLAIN: Places = Places {
    conference: Some(0),
    party: Some(4),
    codec: Some(8),
    call: Some(16),
    encryption: Some(108),
    address: Some((Form::Plain, 164)),
    port: Some(168),
    ..NOTHING
};

/// 0x0132. Offsets by arithmetic, and one captured length [I].
const START_MULTIMEDIA: Generations = &[
    typed(
        0,
        184,
        Places {
            conference: Some(0),
            party: Some(4),
            codec: Some(8),
            address: Some((Form::Typed, 12)),
            port: Some(32),
            call: Some(36),
            encryption: Some(128),
            ..NOTHING
        },
    ),
    plain(Places {
        conference: Some(0),
        party: Some(4),
        codec: Some(8),
        address: Some((Form::Plain, 12)),
        port: Some(16),
        call: Some(20),
        encryption: Some(112),
        ..NOTHING
    }),
];

/// 0x0101. What follows the address of the newer one is moved by 16 as elsewhere [I].
const START_MULTICAST_RECEPTION: Generations = &[
    typed(
        32,
        48,
        Places {
            address: Some((Form::Typed, 8)),
            port: Some(28),
            packet_ms: Some(32),
            codec: Some(36),
            call: Some(48),
            ..MULTICAST_IDS
        },
    ),
    plain(Places {
        address: Some((Form::Plain, 8)),
        port: Some(12),
        packet_ms: Some(16),
        codec: Some(20),
        call: Some(32),
        ..MULTICAST_IDS
    }),
];
const MULTICAST_IDS: Places = Places { conference: Some(0), party: Some(4), ..NOTHING };

/// 0x0102.
const START_MULTICAST_TRANSMISSION: Generations = &[
    typed(32, 48, Places { address: Some((Form::Typed, 8)), port: Some(28), ..MULTICAST_IDS }),
    plain(Places { address: Some((Form::Plain, 8)), port: Some(12), ..MULTICAST_IDS }),
];

/// 0x0103, 0x0104 [M].
const STOP_MULTICAST: Generations = &[always(Places { call: Some(8), ..MULTICAST_IDS })];

/// 0x0095, 0x0096.
const SESSION_TRANSMISSION: Generations = &[
    typed(20, 24, Places { address: Some((Form::Typed, 0)), ..NOTHING }),
    plain(Places { address: Some((Form::Plain, 0)), ..NOTHING }),
];

/// 0x0002.
const IP_PORT: Generations = &[always(Places { port: Some(0), ..NOTHING })];
