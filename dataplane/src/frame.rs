//! The relay's view of an mbuf, and VLAN tags on the punt path.

use dpdk::Mbuf;
use pinhole_relay::PacketBuffer;

/// Bytes of the two MAC addresses, behind which a VLAN tag stands.
const TAG_AT: usize = 12;
/// Bytes of a VLAN tag (IEEE 802.1Q).
const TAG_LEN: usize = 4;
/// The tag's EtherType.
const TPID: [u8; 2] = [0x81, 0x00];
/// Bits of the tag that are the VLAN identifier.
const VID_MASK: u16 = 0x0fff;

/// A packet buffer, as the relay takes it.
pub struct Frame<'eal>(pub Mbuf<'eal>);

impl PacketBuffer for Frame<'_> {
    fn data(&self) -> &[u8] {
        self.0.data()
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.0.data_mut()
    }

    fn grow(&mut self, n: usize) -> Option<&mut [u8]> {
        self.0.grow(n)
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// A frame as it comes from a wire, made whole: a tag that the driver took out is put back, so
/// that tagged frames look the same with every driver. `None` for a frame in several pieces, which
/// no port is set up to receive, or without room for its tag.
pub fn received(mut mbuf: Mbuf<'_>) -> Option<Frame<'_>> {
    if !mbuf.is_contiguous() {
        return None;
    }
    if let Some(tci) = mbuf.take_stripped_vlan()
        && !insert_tag(&mut mbuf, tci)
    {
        return None;
    }
    Some(Frame(mbuf))
}

/// A frame from the wire as the kernel twin sees it: the twin of a port with a VLAN is untagged
/// and gets that VLAN's frames only.
pub fn to_twin<'eal>(frame: Frame<'eal>, vlan: Option<u16>) -> Option<Mbuf<'eal>> {
    let mut mbuf = frame.0;
    if let Some(vlan) = vlan {
        if tag_of(mbuf.data())? & VID_MASK != vlan {
            return None;
        }
        let data = mbuf.data_mut();
        data.copy_within(..TAG_AT, TAG_LEN);
        mbuf.trim_front(TAG_LEN);
    }
    Some(mbuf)
}

/// A frame from the kernel twin as it goes on the wire.
pub fn from_twin<'eal>(mut mbuf: Mbuf<'eal>, vlan: Option<u16>) -> Option<Mbuf<'eal>> {
    if !mbuf.is_contiguous() {
        return None;
    }
    match vlan {
        Some(vlan) if !insert_tag(&mut mbuf, vlan) => None,
        _ => Some(mbuf),
    }
}

/// The tag of a tagged frame.
fn tag_of(data: &[u8]) -> Option<u16> {
    let tag: &[u8; TAG_LEN] = data.get(TAG_AT..TAG_AT + TAG_LEN)?.try_into().ok()?;
    let [first, second, high, low] = *tag;
    ([first, second] == TPID).then(|| u16::from_be_bytes([high, low]))
}

/// Puts a tag behind the MAC addresses; `false` if the frame is too short or has no headroom.
fn insert_tag(mbuf: &mut Mbuf<'_>, tci: u16) -> bool {
    if mbuf.data().len() < TAG_AT {
        return false;
    }
    let Some(data) = mbuf.prepend(TAG_LEN) else { return false };
    data.copy_within(TAG_LEN..TAG_LEN + TAG_AT, 0);
    let [high, low] = tci.to_be_bytes();
    let [first, second] = TPID;
    match data.get_mut(TAG_AT..TAG_AT + TAG_LEN) {
        Some(tag) => tag.copy_from_slice(&[first, second, high, low]),
        None => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use dpdk::{Eal, Mempool};

    use super::*;

    // The one test of this binary that starts an EAL.
    #[test]
    fn the_twin_of_a_vlan_port_is_untagged_and_sees_that_vlan_only() {
        let eal = Eal::init(&["--no-huge", "-m", "32", "--no-shconf", "--no-pci", "--lcores", "0"]).unwrap();
        let pool = Mempool::new(&eal, "frames", 127, 0).unwrap();
        let addresses = *b"ddddddssssss";
        let untagged = [&addresses[..], &[0x08, 0x00], b"payload"].concat();
        let tagged = [&addresses[..], &[0x81, 0x00, 0x60, 42], &[0x08, 0x00], b"payload"].concat();
        let frame = |bytes: &[u8]| {
            let mut mbuf = pool.alloc().unwrap();
            mbuf.grow(bytes.len()).unwrap().copy_from_slice(bytes);
            Frame(mbuf)
        };
        let data = |mbuf: Option<Mbuf<'_>>| mbuf.map(|mbuf| mbuf.data().to_vec());

        assert_eq!(data(to_twin(frame(&tagged), Some(42))), Some(untagged.clone()));
        assert_eq!(data(to_twin(frame(&tagged), Some(43))), None);
        assert_eq!(data(to_twin(frame(&untagged), Some(42))), None);
        assert_eq!(data(to_twin(frame(&tagged), None)), Some(tagged.clone()));
        assert_eq!(data(to_twin(frame(&untagged), None)), Some(untagged.clone()));

        let back = [&addresses[..], &[0x81, 0x00, 0, 42], &[0x08, 0x00], b"payload"].concat();
        assert_eq!(data(from_twin(frame(&untagged).0, Some(42))), Some(back));
        assert_eq!(data(from_twin(frame(&untagged).0, None)), Some(untagged));
        assert_eq!(data(from_twin(frame(b"short").0, Some(42))), None);
        assert_eq!(pool.available(), 127, "what is refused is freed");
    }
}
