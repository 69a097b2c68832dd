//! Steps of handshakes, so that who is served already waits little for who comes.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// Handshakes that may wait for their next step before more of them begin: so no handshake takes longer than it must.
const WAITING: usize = 64;

/// Handshakes that wait for their next step, in order, each once.
#[derive(Debug)]
pub struct Steps<I> {
    order: VecDeque<I>,
    waiting: HashSet<I>,
}

impl<I> Default for Steps<I> {
    fn default() -> Self {
        Self { order: VecDeque::new(), waiting: HashSet::new() }
    }
}

impl<I: Copy + Eq + Hash> Steps<I> {
    /// Steps before others have their turn. A step is a signature or two, so phones that are served already wait a few
    /// milliseconds for them.
    pub const AT_A_TIME: usize = 8;

    /// A handshake can go on: it waits for its turn, if it does not already.
    pub fn wait(&mut self, handshake: I) {
        if self.waiting.insert(handshake) {
            self.order.push_back(handshake);
        }
    }

    /// Takes the handshake whose step it is; it may have ended meanwhile.
    pub fn take(&mut self) -> Option<I> {
        let next = self.order.pop_front()?;
        self.waiting.remove(&next);
        Some(next)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether so few wait that another handshake may begin.
    pub fn have_room(&self) -> bool {
        self.order.len() < WAITING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshake_waits_once_and_again_after_its_step() {
        let mut steps = Steps::default();
        [1, 2, 1, 2, 3].into_iter().for_each(|id| steps.wait(id));
        assert_eq!(steps.take(), Some(1));
        steps.wait(1);
        assert_eq!(std::iter::from_fn(|| steps.take()).collect::<Vec<_>>(), [2, 3, 1]);
        assert!(steps.is_empty() && steps.waiting.is_empty());
    }

    #[test]
    fn no_handshake_may_begin_while_many_wait_for_a_step() {
        let mut steps = Steps::default();
        (0..WAITING).for_each(|id| {
            assert!(steps.have_room());
            steps.wait(id);
        });
        assert!(!steps.have_room());
        steps.take();
        assert!(steps.have_room());
    }
}
