//! Commands that wait for room in the rings, in order, with no more than one Update for a session.

use std::collections::{HashMap, VecDeque};

use pinhole_flow::{Command, CommandKind};
use zeroize::Zeroize as _;

/// The commands that wait. Of each slot an Open or Update and a Close at most, so that a phone or a call
/// manager that changes its mind over and over takes no more room than one that does so once.
#[derive(Default)]
pub(super) struct CommandQueue {
    waiting: VecDeque<Command>,
    /// Commands that have left, since the place of one in the queue moves as others leave.
    left: u64,
    /// Where a slot's Open or Update stands, counted from the first command ever.
    orders: HashMap<u32, u64>,
}

impl CommandQueue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts a command at the end; an Update in the place of the orders for the same session that wait.
    pub(super) fn push(&mut self, command: Command) {
        match CommandKind::from_code(command.kind) {
            Some(CommandKind::Update) if self.replace(&command) => return,
            Some(CommandKind::Open | CommandKind::Update) => {
                self.orders.insert(command.slot, self.left + self.waiting.len() as u64);
            }
            Some(CommandKind::Close) => {
                self.orders.remove(&command.slot);
            }
            _ => {}
        }
        self.waiting.push_back(command);
    }

    /// Whether orders for the same session wait; then they are replaced.
    fn replace(&mut self, update: &Command) -> bool {
        let at =
            self.orders.get(&update.slot).and_then(|at| usize::try_from(at.checked_sub(self.left)?).ok());
        let earlier = at.and_then(|at| self.waiting.get_mut(at));
        let Some(earlier) = earlier.filter(|earlier| earlier.generation == update.generation) else {
            return false;
        };
        earlier.session = update.session;
        earlier.sequence = update.sequence;
        // An offer counts as much if other orders follow it.
        earlier.anew |= update.anew;
        true
    }

    /// The next command.
    pub(super) fn front(&self) -> Option<Command> {
        self.waiting.front().copied()
    }

    /// Takes the next command away, and wipes the keys that its place would hold until it is used again.
    pub(super) fn leave(&mut self) {
        let Some(command) = self.waiting.front_mut() else { return };
        command.session.zeroize();
        let of_slot = is_of_session(command) && self.orders.get(&command.slot) == Some(&self.left);
        if of_slot {
            self.orders.remove(&command.slot);
        }
        self.left += 1;
        self.waiting.pop_front();
    }

    /// Forgets all commands, and the keys in them, but the Updates of these sessions.
    pub(super) fn keep_updates(&mut self, of: impl Fn(u32, u32) -> bool) {
        let before = std::mem::take(self);
        for mut command in before.waiting {
            let update = CommandKind::from_code(command.kind) == Some(CommandKind::Update);
            if update && of(command.slot, command.generation) {
                self.push(command);
            }
            command.session.zeroize();
        }
    }
}

/// Whether a command's slot is that of a session.
fn is_of_session(command: &Command) -> bool {
    command.kind != CommandKind::NextHop as u32
}

#[cfg(test)]
mod tests {
    use pinhole_flow::{NextHop, Session};
    use zerocopy::FromZeros as _;

    use super::*;

    fn orders(port: u16) -> Session {
        let mut session = Command::close(0, 0, 0).session;
        session.legs[0].remote_rtp = port;
        session
    }

    fn drain(queue: &mut CommandQueue) -> Vec<(u32, u32, u16)> {
        let next = |queue: &mut CommandQueue| {
            let command = queue.front()?;
            queue.leave();
            Some((command.kind, command.slot, command.session.legs[0].remote_rtp))
        };
        std::iter::from_fn(|| next(queue)).collect()
    }

    const OPEN: u32 = CommandKind::Open as u32;
    const UPDATE: u32 = CommandKind::Update as u32;
    const CLOSE: u32 = CommandKind::Close as u32;
    const NEXT_HOP: u32 = CommandKind::NextHop as u32;

    #[test]
    fn a_million_updates_of_a_session_take_the_room_of_one() {
        let mut queue = CommandQueue::default();
        queue.push(Command::update(3, 1, 0, orders(1)));
        for n in 0..1_000_000_u32 {
            queue.push(Command::update(4, 1, n, orders(n as u16)));
        }
        assert_eq!(drain(&mut queue), [(UPDATE, 3, 1), (UPDATE, 4, 999_999_u32 as u16)]);
        assert!(queue.is_empty() && queue.orders.is_empty());
    }

    #[test]
    fn update_of_a_session_whose_open_waits_opens_it_as_it_is_to_be() {
        let mut queue = CommandQueue::default();
        queue.push(Command::next_hop(4, 0, NextHop::new_zeroed()));
        queue.push(Command::open(4, 1, 0, orders(1)));
        queue.leave();
        queue.push(Command::update(4, 1, 1, orders(2)));
        queue.push(Command::close(4, 1, 2));
        queue.push(Command::update(4, 2, 3, orders(3)));
        assert_eq!(drain(&mut queue), [(OPEN, 4, 2), (CLOSE, 4, 0), (UPDATE, 4, 3)]);
    }

    #[test]
    fn offer_is_not_forgotten_when_other_orders_follow_it() {
        let mut queue = CommandQueue::default();
        queue.push(Command::update(4, 1, 0, orders(1)).after_offer([false, true]));
        queue.push(Command::update(4, 1, 1, orders(2)));
        assert_eq!(queue.front().unwrap().anew, 0b10);
    }

    #[test]
    fn next_hop_of_the_same_number_is_no_sessions() {
        let mut queue = CommandQueue::default();
        queue.push(Command::next_hop(4, 0, NextHop::new_zeroed()));
        queue.push(Command::update(4, 1, 0, orders(1)));
        queue.push(Command::next_hop(4, 0, NextHop::new_zeroed()));
        queue.push(Command::update(4, 1, 1, orders(2)));
        assert_eq!(drain(&mut queue), [(NEXT_HOP, 4, 0), (UPDATE, 4, 2), (NEXT_HOP, 4, 0)]);
    }

    #[test]
    fn only_updates_of_sessions_that_are_still_open_outlive_a_data_plane_that_is_away() {
        let mut queue = CommandQueue::default();
        queue.push(Command::close(1, 1, 0));
        queue.push(Command::update(2, 1, 0, orders(2)));
        queue.push(Command::update(3, 1, 0, orders(3)));
        queue.keep_updates(|slot, _| slot == 3);
        queue.push(Command::update(3, 1, 1, orders(4)));
        assert_eq!(drain(&mut queue), [(UPDATE, 3, 4)]);
    }
}
