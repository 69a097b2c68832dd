//! Frames between workers: a ring from each to each other, and what a frame in it is for.
//!
//! The rings are DPDK's, for one producer and one consumer: a burst of buffers crosses with one write
//! that the other worker sees, nothing is allocated, and what is in them at the end is freed.

use arrayvec::ArrayVec;
use dpdk::{BURST, Eal, Mbuf, RingReceiver, RingSender, ring};
use pinhole_relay::Arrival;

use crate::StartError;

/// Frames that wait for one worker at most, in the rings from all others together.
pub const WAITING: u32 = 1024;
/// Frames in one ring at least.
const RING_MIN: u32 = 64;

/// What a frame that comes from another worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// To be relayed as it came from a wire.
    Arrived,
    /// To be relayed as it came from one of our own media addresses.
    Hairpin,
    /// To be sent on a wire.
    Send,
    /// To be sent on a wire, from the kernel.
    Inject,
    /// To be given to a kernel twin.
    Punt,
}

impl Errand {
    const ALL: [Self; 5] = [Self::Arrived, Self::Hairpin, Self::Send, Self::Inject, Self::Punt];

    /// The errand and its port as the number that travels with a buffer.
    pub fn tag(self, port: u8) -> u16 {
        u16::from_be_bytes([self as u8, port])
    }

    /// What [`Self::tag`] made a number of.
    pub fn of(tag: u16) -> Option<(Self, u8)> {
        let [errand, port] = tag.to_be_bytes();
        Some((*Self::ALL.get(usize::from(errand))?, port))
    }
}

impl From<Arrival> for Errand {
    fn from(arrival: Arrival) -> Self {
        match arrival {
            Arrival::Wire => Self::Arrived,
            Arrival::Hairpin => Self::Hairpin,
        }
    }
}

/// A worker's ends of the rings to and from all workers, by number; there is none to itself.
#[derive(Default)]
pub struct Links<'eal> {
    to: Vec<Option<RingSender<'eal>>>,
    from: Vec<RingReceiver<'eal>>,
}

impl<'eal> Links<'eal> {
    /// The links of each of so many workers.
    ///
    /// # Errors
    /// [`StartError::Eal`]: no memory.
    pub fn between(eal: &'eal Eal, workers: usize) -> Result<Vec<Self>, StartError> {
        let mut all: Vec<_> = (0..workers).map(|_| Self::default()).collect();
        let others = u32::try_from(workers).unwrap_or(1).saturating_sub(1).max(1);
        for from in 0..workers {
            for to in 0..workers {
                let ends = if from == to {
                    None
                } else {
                    let name = format!("handoff_{from}_{to}");
                    let made = ring(eal, &name, (WAITING / others).max(RING_MIN) - 1);
                    Some(made.map_err(|source| StartError::Eal(Box::new(source)))?)
                };
                let (sender, receiver) = ends.unzip();
                if let Some(links) = all.get_mut(from) {
                    links.to.push(sender);
                }
                if let (Some(links), Some(receiver)) = (all.get_mut(to), receiver) {
                    links.from.push(receiver);
                }
            }
        }
        Ok(all)
    }

    /// How many workers there are others than this one.
    pub fn others(&self) -> usize {
        self.from.len()
    }

    /// Hands frames to a worker for an errand; what finds no room stays in `frames`. Returns how many
    /// were handed over.
    pub fn hand(
        &mut self,
        worker: usize,
        errand: Errand,
        port: u8,
        frames: &mut ArrayVec<Mbuf<'eal>, BURST>,
    ) -> usize {
        let Some(Some(ring)) = self.to.get_mut(worker) else { return 0 };
        frames.iter_mut().for_each(|frame| frame.set_tag(errand.tag(port)));
        ring.send(frames)
    }

    /// Takes a burst from one of the [`others`](Self::others).
    pub fn take(&mut self, other: usize, frames: &mut ArrayVec<Mbuf<'eal>, BURST>) -> usize {
        self.from.get_mut(other).map_or(0, |ring| ring.receive(frames))
    }
}

/// Moves what `pick` picks out of `from` to `to`; both keep their order.
pub fn pick_out<T, const N: usize>(
    from: &mut ArrayVec<T, N>,
    mut pick: impl FnMut(&T) -> bool,
    mut to: impl FnMut(T),
) {
    let rest: ArrayVec<T, N> = from
        .drain(..)
        .filter_map(|item| {
            if pick(&item) {
                to(item);
                None
            } else {
                Some(item)
            }
        })
        .collect();
    *from = rest;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_survives_being_a_number() {
        for errand in Errand::ALL {
            for port in [0, 1, 7, 255] {
                assert_eq!(Errand::of(errand.tag(port)), Some((errand, port)));
            }
        }
        assert_eq!(Errand::of(0x0500), None);
        assert_eq!(Errand::of(u16::MAX), None);
    }

    #[test]
    fn picking_out_keeps_the_order_of_both() {
        let mut numbers: ArrayVec<u32, 32> = (0..10).collect();
        let mut even = Vec::new();
        pick_out(&mut numbers, |number| number % 2 == 0, |number| even.push(number));
        assert_eq!((&numbers[..], &even[..]), (&[1, 3, 5, 7, 9][..], &[0, 2, 4, 6, 8][..]));
    }
}
