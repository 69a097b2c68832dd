//! A port as the farm uses it: its queue, the flows that it sends in their order, and which flow
//! arrives where.

use arrayvec::ArrayVec;
use dpdk::{BURST, Mbuf, Queue};

use crate::FarmError;
use crate::account::Tally;
use crate::flow::Flow;
use crate::pacing::Random;

/// How many packets before its turn a flow's state is fetched into the cache.
pub(crate) const AHEAD: usize = 32;

/// No flow.
const NONE: u32 = u32::MAX;

pub(crate) struct Wire<'port, 'eal> {
    pub(crate) queue: Queue<'port, 'eal>,
    /// Numbers of the flows that are sent here, in random order, with the first [`AHEAD`] once more at
    /// the end.
    pub(crate) order: Vec<u32>,
    /// How many flows are sent here.
    pub(crate) flows: usize,
    /// Whose turn is next.
    pub(crate) next: usize,
    /// Frames that wait for room in the transmit ring.
    pub(crate) out: ArrayVec<Mbuf<'eal>, BURST>,
    /// Flow that is expected at a UDP port.
    expected: Vec<u32>,
}

impl<'port, 'eal> Wire<'port, 'eal> {
    pub(crate) fn new(
        queue: Queue<'port, 'eal>,
        number: usize,
        flows: &[Flow],
        random: &mut Random,
    ) -> Result<Self, FarmError> {
        let mut order: Vec<u32> =
            (0..).zip(flows).filter(|(_, flow)| flow.send.port == number).map(|(at, _)| at).collect();
        random.shuffle(&mut order);
        let sent = order.len();
        let again: Vec<u32> = order.iter().copied().cycle().take(if sent == 0 { 0 } else { AHEAD }).collect();
        order.extend(again);
        let mut expected = vec![NONE; 1 << 16];
        for (at, flow) in (0..).zip(flows).filter(|(_, flow)| flow.expect.port == number) {
            let udp = flow.expect.destination.port();
            if let Some(place) = expected.get_mut(usize::from(udp)) {
                if *place != NONE {
                    return Err(FarmError::SamePort { port: number, udp });
                }
                *place = at;
            }
        }
        Ok(Self { queue, order, flows: sent, next: 0, out: ArrayVec::new(), expected })
    }

    /// The next flow's turn.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        if self.next == self.flows {
            self.next = 0;
        }
    }

    /// Sends what waits, as far as there is room. Returns how many packets left.
    #[inline]
    pub(crate) fn flush(&mut self, tally: &mut Tally) -> usize {
        if self.out.is_empty() {
            return 0;
        }
        let sent = self.queue.tx_burst(&mut self.out);
        tally.ring_full += u64::from(!self.out.is_empty());
        sent
    }

    /// The flow that is expected at a UDP port.
    #[inline]
    pub(crate) fn expected(&self, udp: u16) -> Option<u32> {
        self.expected.get(usize::from(udp)).copied().filter(|flow| *flow != NONE)
    }
}
