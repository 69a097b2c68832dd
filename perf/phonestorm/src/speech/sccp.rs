//! SCCP frames: length, header version, message id, body; little-endian.

use super::Heard;

pub(super) const KEEP_ALIVE: u32 = 0x0000;
const REGISTER: u32 = 0x0001;
const CAPABILITIES: u32 = 0x0010;
const REGISTER_ACK: u32 = 0x0081;
const CAPABILITIES_REQUEST: u32 = 0x009B;
const REGISTER_REJECT: u32 = 0x009D;
const KEEP_ALIVE_ACK: u32 = 0x0100;

const PROTOCOL: u8 = 17;
/// Seconds between keep-alives that call managers ask for: at a primary, at a backup.
const KEEP_ALIVE_SECONDS: [u8; 2] = [30, 60];
/// Bytes of the body of a Register of protocol 17.
const REGISTER_BYTES: usize = 172;
/// Payload types of the capabilities: G.711 A-law, µ-law, G.729.
const CODECS: [u8; 3] = [2, 4, 11];

/// A frame.
pub(super) fn frame(id: u32, version: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(12 + body.len());
    frame.extend((body.len() as u32 + 4).to_le_bytes());
    frame.extend(version.to_le_bytes());
    frame.extend(id.to_le_bytes());
    frame.extend(body);
    frame
}

/// Takes the next frame: its id and body.
fn take(came: &mut Vec<u8>) -> Option<(u32, Vec<u8>)> {
    let word = |at: usize| Some(u32::from_le_bytes(came.get(at..at + 4)?.try_into().ok()?));
    let (length, id) = (word(0)? as usize + 8, word(8)?);
    let body = came.get(12..length)?.to_vec();
    came.drain(..length);
    Some((id, body))
}

pub(super) fn register(device: &str) -> Vec<u8> {
    let mut body = [0; REGISTER_BYTES];
    for (to, from) in body.iter_mut().zip(device.bytes().take(15)) {
        *to = from;
    }
    // Instance, address, device type (7941), streams, protocol.
    for (at, bytes) in [(20, &[1][..]), (24, &[192, 168, 1, 20]), (28, &[115]), (32, &[5]), (40, &[PROTOCOL])]
    {
        for (to, from) in body.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
    frame(REGISTER, 0, &body)
}

fn capabilities() -> Vec<u8> {
    let mut body = vec![CODECS.len() as u8, 0, 0, 0];
    for codec in CODECS {
        // Codec, frames per packet, eight more bytes of parameters.
        body.extend([codec, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    frame(CAPABILITIES, 0, &body)
}

fn register_ack() -> Vec<u8> {
    let [primary, backup] = KEEP_ALIVE_SECONDS;
    let mut body = vec![primary, 0, 0, 0];
    body.extend(b"D/M/Y\0\0\0");
    body.extend([backup, 0, 0, 0, PROTOCOL, 0, 0, 0]);
    frame(REGISTER_ACK, 0, &body)
}

pub(super) fn hear(came: &mut Vec<u8>) -> Option<Heard> {
    Some(match take(came)?.0 {
        REGISTER_ACK => Heard::Registered,
        REGISTER_REJECT => Heard::Refused,
        KEEP_ALIVE_ACK => Heard::Alive,
        CAPABILITIES_REQUEST => Heard::Asked(capabilities()),
        _ => Heard::Other,
    })
}

/// What a call manager says to the next frame that has come; empty: nothing. `None`: more must come.
pub fn answer(came: &mut Vec<u8>) -> Option<Vec<u8>> {
    Some(match take(came)?.0 {
        REGISTER => [register_ack(), frame(CAPABILITIES_REQUEST, 0, &[])].concat(),
        KEEP_ALIVE => frame(KEEP_ALIVE_ACK, 0, &[]),
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_phone_says_is_answered_so_that_it_understands() {
        let mut said = [register("SEP0010DB000001"), frame(KEEP_ALIVE, 0, &[]), capabilities()].concat();
        let last = said.split_off(said.len() - 1);
        let mut answers: Vec<u8> = std::iter::from_fn(|| answer(&mut said)).flatten().collect();
        said.extend(last);
        assert_eq!(answer(&mut said), Some(Vec::new()));
        let heard: Vec<_> = std::iter::from_fn(|| hear(&mut answers)).collect();
        assert_eq!(heard, [Heard::Registered, Heard::Asked(capabilities()), Heard::Alive]);
    }

    #[test]
    fn a_register_has_name_address_and_protocol_where_call_managers_look() {
        let frame = register("SEP0010DB000001");
        assert_eq!(&frame[..12], &[176, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(&frame[12..28], b"SEP0010DB000001\0");
        assert_eq!(&frame[36..40], &[192, 168, 1, 20]);
        assert_eq!(frame[52], 17);
    }
}
