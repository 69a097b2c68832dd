//! What of a frame may be shown to people: the bytes where no key can stand.

use std::ops::Range;

use crate::key::BLOCK;
use crate::layout::{Places, generations};
use crate::{FieldError, Frame, KeyBlock, MessageId};

/// Algorithm and lengths, at the beginning of the encryption block.
const BLOCK_HEAD: usize = 8;
/// Where the MKI flag and the key derivation rate begin in it.
const BLOCK_TAIL: usize = 40;
/// Messages about media whose layouts are not known here: nobody can say what stands in them.
const UNPLACED: [MessageId; 22] = [
    MessageId::MEDIA_PORT_LIST,
    MessageId::MULTICAST_MEDIA_RECEPTION_ACK,
    MessageId::MEDIA_RESOURCE_NOTIFICATION,
    MessageId::UPDATE_CAPABILITIES,
    MessageId::UPDATE_CAPABILITIES_V2,
    MessageId::UPDATE_CAPABILITIES_V3,
    MessageId::QOS_RESV_NOTIFY,
    MessageId::QOS_ERROR_NOTIFY,
    MessageId::MEDIA_PATH_EVENT,
    MessageId::MEDIA_PATH_CAPABILITY,
    MessageId::START_MEDIA_FAILURE_DETECTION,
    MessageId::START_ANNOUNCEMENT,
    MessageId::STOP_ANNOUNCEMENT,
    MessageId::ANNOUNCEMENT_FINISH,
    MessageId::MISCELLANEOUS_COMMAND,
    MessageId::FLOW_CONTROL_COMMAND,
    MessageId::QOS_LISTEN,
    MessageId::QOS_PATH,
    MessageId::QOS_TEARDOWN,
    MessageId::UPDATE_DSCP,
    MessageId::QOS_MODIFY,
    MessageId::EXTENSION_DEVICE_CAPS,
];

impl Frame {
    /// The parts of the body that can be shown since no key can stand there, in rising order, not touching each other.
    ///
    /// Of messages about media these are the known fields, of the encryption block its head and its end if it can be read;
    /// not gaps, and not what follows the last field. Nothing of unknown messages and of those about media whose layout
    /// is not known; all of others.
    pub fn showable(&self) -> Vec<Range<usize>> {
        let end = self.body().len();
        let Some(layouts) = generations(self.id()) else {
            let placed = self.id().name().is_some() && !UNPLACED.contains(&self.id());
            return std::iter::once(0..end).filter(|_| placed).collect();
        };
        let Some(channel) = self.channel() else { return Vec::new() };
        let mut secret: Vec<Range<usize>> = match channel.encryption() {
            Ok(KeyBlock::Keyed(_)) => block(channel.places(), BLOCK_HEAD..BLOCK_TAIL),
            Ok(KeyBlock::Clear) => block(channel.places(), BLOCK_HEAD..BLOCK),
            _ => block(channel.places(), 0..BLOCK),
        }
        .into_iter()
        .collect();
        if self.layout_is_doubtful() {
            secret.extend(layouts.iter().filter_map(|layout| block(&layout.fields, 0..BLOCK)));
        }
        let mut shown = vec![false; end];
        let mut mark = |range: Range<usize>, value| {
            let range = range.start.min(end)..range.end.min(end);
            if let Some(bytes) = shown.get_mut(range) {
                bytes.fill(value);
            }
        };
        fields(channel.places()).into_iter().for_each(|field| mark(field, true));
        secret.into_iter().for_each(|secret| mark(secret, false));
        runs(&shown)
    }

    /// Whether the frame has a place for a key, and its header version leaves open which: then a field that is read may be a
    /// part of a key.
    pub fn layout_is_doubtful(&self) -> bool {
        let keyed = self
            .channel()
            .is_some_and(|channel| !matches!(channel.encryption(), Err(FieldError::NoField { .. })));
        keyed && self.version() == crate::layout::TYPED_PERHAPS
    }
}

/// A part of the encryption block, as a part of the body.
fn block(places: &Places, part: Range<usize>) -> Option<Range<usize>> {
    places.encryption.map(|at| at + part.start..at + part.end)
}

fn fields(places: &Places) -> Vec<Range<usize>> {
    let words = [
        places.conference,
        places.party,
        places.call,
        places.status,
        places.port,
        places.rtcp_port,
        places.family,
        places.packet_ms,
        places.codec,
        places.telephone_event,
        places.port_handling,
        places.media_type,
    ];
    let words = words.into_iter().flatten().map(|at| at..at + 4);
    let address = places.address.map(|(form, at)| at..at + form.len());
    words.chain(address).chain(block(places, 0..BLOCK)).collect()
}

/// The runs of bytes that are shown.
fn runs(shown: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in (0..shown.len()).filter(|at| shown.get(*at) == Some(&true)) {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}
