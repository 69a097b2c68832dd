//! Whose turn it is where only so many may be served at a time: sources share the places fairly, and who finds none waits.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::sources::network;

/// For how long nobody has to give way: many times what an honest handshake takes, slow phones and long ways included.
const GRACE: Duration = Duration::from_secs(2);

/// A bounded number of places, and a bounded number of those who wait for one, by source ([`network`]). The next place is
/// for the source that has the fewest; among equals, for who came first. If no place becomes free, the oldest of the
/// source that has the most gives way to a source with fewer, once it has had its place for two seconds.
#[derive(Debug)]
pub struct Turns<W> {
    most: usize,
    waiting_most: usize,
    shares: HashMap<IpAddr, Share<W>>,
    served: usize,
    waiting: usize,
    came: u64,
}

/// What a source has.
#[derive(Debug)]
struct Share<W> {
    /// Oldest first.
    served: VecDeque<(Instant, u64)>,
    /// First come, first; with a number that counts all who came.
    waiting: VecDeque<(u64, W)>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<W> {
    /// Nobody waits.
    Nobody,
    /// All places are taken, and nobody has to give way yet.
    Full,
    /// This one has to go ([`Turns::ended`] was called for it). Ask again then.
    GivesWay(u64),
    /// It is this one's turn: tell of it by [`Turns::began`].
    Begins(W),
}

impl<W> Turns<W> {
    /// With so many places, and room for so many to wait.
    pub fn new(most: usize, waiting_most: usize) -> Self {
        Self { most, waiting_most, shares: HashMap::new(), served: 0, waiting: 0, came: 0 }
    }

    /// From now on there are so many places. Nobody loses one by that.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// How many have a place.
    pub fn served(&self) -> usize {
        self.served
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Waits for its turn. Who is returned cannot: there is no room, and it is the last of the source with most who wait.
    pub fn wait(&mut self, source: IpAddr, whoever: W) -> Option<W> {
        self.came += 1;
        let came = self.came;
        self.share(source).waiting.push_back((came, whoever));
        self.waiting += 1;
        if self.waiting <= self.waiting_most {
            return None;
        }
        let (source, share) = self.shares.iter_mut().max_by_key(|(_, share)| share.waiting.len())?;
        let (source, turned_away) = (*source, share.waiting.pop_back());
        self.waiting -= 1;
        self.forget_empty(source);
        turned_away.map(|(_, whoever)| whoever)
    }

    /// What is to be done next.
    pub fn next(&mut self, now: Instant) -> Turn<W> {
        if self.waiting == 0 {
            return Turn::Nobody;
        }
        let next = self.shares.iter().filter_map(|(source, share)| {
            let (came, _) = share.waiting.front()?;
            Some((share.served.len(), *came, *source))
        });
        let Some((has, _, source)) = next.min() else { return Turn::Nobody };
        if self.served < self.most {
            let begins = self.shares.get_mut(&source).and_then(|share| share.waiting.pop_front());
            self.waiting -= 1;
            self.forget_empty(source);
            return begins.map_or(Turn::Nobody, |(_, whoever)| Turn::Begins(whoever));
        }
        let greediest = self.shares.iter().max_by_key(|(_, share)| share.served.len());
        let Some((greedy, share)) = greediest.filter(|(_, share)| share.served.len() > has + 1) else {
            return Turn::Full;
        };
        match share.served.front() {
            Some((began, id)) if now.saturating_duration_since(*began) >= GRACE => {
                let (greedy, id) = (*greedy, *id);
                self.ended(greedy, id);
                Turn::GivesWay(id)
            }
            _ => Turn::Full,
        }
    }

    /// Takes a place, under a number by which it is known.
    pub fn began(&mut self, source: IpAddr, id: u64, now: Instant) {
        self.share(source).served.push_back((now, id));
        self.served += 1;
    }

    /// Gives a place back. Nothing happens if it has none.
    pub fn ended(&mut self, source: IpAddr, id: u64) {
        let source = network(source);
        let Some(share) = self.shares.get_mut(&source) else { return };
        let Some(at) = share.served.iter().position(|(_, known)| *known == id) else { return };
        share.served.remove(at);
        self.served -= 1;
        self.forget_empty(source);
    }

    fn share(&mut self, source: IpAddr) -> &mut Share<W> {
        let none = || Share { served: VecDeque::new(), waiting: VecDeque::new() };
        self.shares.entry(network(source)).or_insert_with(none)
    }

    fn forget_empty(&mut self, source: IpAddr) {
        if self.shares.get(&source).is_some_and(|share| share.served.is_empty() && share.waiting.is_empty()) {
            self.shares.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Begins whoever may; what was done last.
    fn begin_all(turns: &mut Turns<(u8, u64)>, now: Instant) -> (Vec<u64>, Turn<(u8, u64)>) {
        let mut begun = Vec::new();
        loop {
            match turns.next(now) {
                Turn::Begins((source, id)) => {
                    turns.began(address(source), id, now);
                    begun.push(id);
                }
                other => return (begun, other),
            }
        }
    }

    #[test]
    fn one_source_may_have_all_places_and_gives_way_to_others_after_a_while_only() {
        let (mut turns, now) = (Turns::new(4, 100), Instant::now());
        for id in 0..10 {
            assert_eq!(turns.wait(address(1), (1, id)), None);
        }
        assert_eq!(begin_all(&mut turns, now), (vec![0, 1, 2, 3], Turn::Full));
        // As long as nobody else comes, its own go on in order, and none of them gives way.
        let later = now + Duration::from_secs(60);
        assert_eq!(turns.next(later), Turn::Full);
        turns.ended(address(1), 2);
        assert_eq!(begin_all(&mut turns, later), (vec![4], Turn::Full));
        // Another source has the next place, before those who came earlier.
        assert_eq!(turns.wait(address(2), (2, 20)), None);
        assert_eq!(turns.next(later), Turn::GivesWay(0));
        assert_eq!(begin_all(&mut turns, later), (vec![20], Turn::Full));
        assert_eq!((turns.served(), turns.waiting()), (4, 5));
    }

    #[test]
    fn who_has_just_begun_does_not_give_way_but_the_next_place_is_for_who_has_fewest() {
        let (mut turns, now) = (Turns::new(2, 100), Instant::now());
        for id in 0..4 {
            assert_eq!(turns.wait(address(1), (1, id)), None);
        }
        assert_eq!(begin_all(&mut turns, now), (vec![0, 1], Turn::Full));
        assert_eq!(turns.wait(address(2), (2, 20)), None);
        assert_eq!(turns.next(now + GRACE - Duration::from_millis(1)), Turn::Full);
        turns.ended(address(1), 1);
        assert_eq!(begin_all(&mut turns, now), (vec![20], Turn::Full));
        // Both have one: nobody has to give way any more.
        assert_eq!(turns.next(now + GRACE), Turn::Full);
    }

    #[test]
    fn without_room_the_last_of_who_has_most_waiting_is_turned_away() {
        let (mut turns, now) = (Turns::new(1, 3), Instant::now());
        for id in 0..3 {
            assert_eq!(turns.wait(address(1), (1, id)), None);
        }
        assert_eq!(turns.wait(address(2), (2, 20)), Some((1, 2)));
        assert_eq!(turns.wait(address(1), (1, 3)), Some((1, 3)));
        assert_eq!(turns.waiting(), 3);
        assert_eq!(begin_all(&mut turns, now), (vec![0], Turn::Full));
        turns.ended(address(1), 0);
        turns.ended(address(1), 0);
        assert_eq!(begin_all(&mut turns, now), (vec![1], Turn::Full));
        turns.ended(address(1), 1);
        assert_eq!(begin_all(&mut turns, now), (vec![20], Turn::Nobody));
        turns.ended(address(2), 20);
        assert!(turns.shares.is_empty() && turns.served() == 0 && turns.waiting() == 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_take_turns_as_one() {
        let (mut turns, now) = (Turns::new(1, 10), Instant::now());
        let host = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
        for n in 0..2 {
            assert_eq!(turns.wait(host(1, n), u64::from(n)), None);
        }
        assert_eq!(turns.next(now), Turn::Begins(0));
        turns.began(host(1, 0), 0, now);
        assert_eq!(turns.wait(host(2, 0), 7), None);
        turns.ended(host(1, 9), 0);
        // Neither has a place: who came first.
        assert_eq!(turns.next(now), Turn::Begins(1));
    }
}
