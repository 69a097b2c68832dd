//! Which worker polls which queue, and how a network card is told to bring each media packet to the
//! worker that has its port.
//!
//! The map from port to worker is fixed in [`pinhole_flow::steering`]. In order of preference a card
//! realises it by its hash ([`hash_key`], [`redirection`]), by flow rules on port bits ([`rules`]), or
//! not at all: then the workers hand packets on. All other packets arrive at queue 0 or by the same
//! bits at any queue; each queue is polled, so they find their way to the kernel twin.

use std::fmt;

use dpdk::{Capabilities, Eal, Error, Mempool, Port, PortConfig};
use pinhole_flow::steering::{CLASSES, worker_of};

/// The one bit of the hash's key that is set, counted from the first byte's highest bit. A Toeplitz
/// hash takes, for each bit i of the input that is set, the 32 bits of the key from bit i on, and adds
/// them up without carry. With this one bit, hash bit n (0: the lowest) is input bit 90 + n. The input
/// of UDP/IPv4 is both addresses, then the source port, then the destination port in bits 80 to 95, so
/// that hash bits 0 to 5 are destination port bits 5 to 0 and all others are zero.
const KEY_BIT: usize = 121;
/// Shortest key that has this bit and as many bits as DPDK reads.
const KEY_MIN: usize = 16;

/// How a port's packets come to the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// There is one worker.
    Alone,
    /// The card's hash, with a redirection table of so many entries.
    Hash(usize),
    /// So many flow rules of the card.
    Rules(usize),
    /// The workers hand packets on.
    Handoff,
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => f.write_str("no steering needed"),
            Self::Hash(entries) => write!(f, "steering by hash, {entries} entries"),
            Self::Rules(count) => write!(f, "steering by {count} flow rules"),
            Self::Handoff => f.write_str("steering by hand-off between workers"),
        }
    }
}

/// The worker that polls queue `queue` of the port of this index.
pub fn poller(index: usize, queues: u16, queue: u16, workers: usize) -> usize {
    // Single queues, the kernel twins' among them, are spread over the workers.
    if queues == 1 { index % workers.max(1) } else { usize::from(queue) }
}

/// The worker that sends for `worker` on the port of this index: itself if it polls a queue of it.
pub fn sender(index: usize, queues: u16, worker: usize, workers: usize) -> usize {
    if queues == 1 { index % workers.max(1) } else { worker % usize::from(queues.max(1)) }
}

/// Starts a port with as many queues as there are workers, or as it has, and steers its packets as well
/// as it can.
///
/// # Errors
/// [`Error`]: the port does not start. That it cannot steer is none.
pub fn start<'eal>(
    eal: &'eal Eal,
    name: &str,
    pool: &Mempool<'eal>,
    config: &PortConfig<'_>,
    workers: usize,
) -> Result<(Port<'eal>, Steering), Error> {
    let can = Port::capabilities(eal, name)?;
    let queues = can.queues.min(workers as u16);
    let config = PortConfig { queues, ..*config };
    if workers == 1 {
        return Ok((Port::start(eal, name, pool, &config)?, Steering::Alone));
    }
    if let Some((key, table)) = hash(&can, queues, workers) {
        let config = PortConfig { hash_key: Some(&key), ..config };
        let port = Port::start(eal, name, pool, &config)?;
        let told = port.set_redirection(&table);
        let done = told.is_ok() && port.redirection(table.len()).is_none_or(|found| found == table);
        let steering = if done { Steering::Hash(table.len()) } else { steer_by_rules(&port, workers) };
        return Ok((port, steering));
    }
    let port = Port::start(eal, name, pool, &config)?;
    let steering = if queues > 1 { steer_by_rules(&port, workers) } else { Steering::Handoff };
    Ok((port, steering))
}

fn hash(can: &Capabilities, queues: u16, workers: usize) -> Option<(Vec<u8>, Vec<u16>)> {
    let key = can.hash_key.and_then(hash_key)?;
    let table = redirection(can.redirection, queues, workers)?;
    (queues > 1).then_some((key, table))
}

fn steer_by_rules(port: &Port<'_>, workers: usize) -> Steering {
    let rules = rules(port.queues(), workers);
    match rules.iter().try_for_each(|rule| port.steer_udp(rule.port, rule.mask, rule.queue)) {
        Ok(()) => Steering::Rules(rules.len()),
        Err(_) => {
            // Some may stand. They do no harm, the workers hand on what they don't cover.
            let _ = port.stop_steering();
            Steering::Handoff
        }
    }
}

/// The key of a Toeplitz hash, of `len` bytes, that depends on the low six bits of the destination port
/// only. `None`: too short a key.
fn hash_key(len: usize) -> Option<Vec<u8>> {
    let mut key = vec![0; len];
    *key.get_mut(KEY_BIT / 8)? |= 0x80 >> (KEY_BIT % 8);
    (len >= KEY_MIN).then_some(key)
}

/// The queue of each entry of a redirection table, which the hash's low bits index. `None`: the
/// table is too small to tell all classes of ports apart.
fn redirection(entries: usize, queues: u16, workers: usize) -> Option<Vec<u16>> {
    let enough = entries.is_power_of_two() && entries >= usize::from(CLASSES);
    let queue = |entry: usize| {
        // Entry bits 0 to 4 are port bits 5 to 1: the class of the port, mirrored.
        let class = ((entry as u16) & (CLASSES - 1)).reverse_bits() >> (u16::BITS - CLASSES.trailing_zeros());
        queue_of(class << 1, queues, workers)
    };
    enough.then(|| (0..entries).map(queue).collect())
}

/// The queue that the packets of a media port should come to.
fn queue_of(port: u16, queues: u16, workers: usize) -> u16 {
    // The worker has that queue, or else the queue's worker sends for it too.
    (worker_of(port, workers as u32) as u16) % queues.max(1)
}

/// A flow rule: UDP/IPv4 packets whose destination port has the bits `port` under `mask` go to `queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    port: u16,
    mask: u16,
    queue: u16,
}

/// Rules that cover every port: one for each worker if their number is a power of two that divides the
/// classes, otherwise one for each class.
fn rules(queues: u16, workers: usize) -> Vec<Rule> {
    let classes = match workers as u16 {
        workers if workers.is_power_of_two() && workers <= CLASSES => workers,
        _ => CLASSES,
    };
    let rule = |class: u16| {
        let port = class << 1;
        Rule { port, mask: (classes - 1) << 1, queue: queue_of(port, queues, workers) }
    };
    (0..classes).map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random numbers enough for tuples (xorshift).
    fn random(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    #[test]
    fn the_hash_of_dpdk_and_our_table_give_the_worker_of_the_port() {
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        for entries in [32, 64, 128, 256, 512, 2048] {
            for workers in 1..=16 {
                let key = hash_key(if entries == 64 { 52 } else { 40 }).unwrap();
                let table = redirection(entries, workers, usize::from(workers)).unwrap();
                assert_eq!(table.len(), entries);
                for _ in 0..2000 {
                    let [addresses, ports] = [random(&mut seed), random(&mut seed)];
                    let (source_port, port) = (ports as u16, (ports >> 16) as u16);
                    let (source, destination) = (addresses as u32, (addresses >> 32) as u32);
                    let hash = dpdk::softrss(source, destination, source_port, port, &key).unwrap();
                    let queue = table[hash as usize & (entries - 1)];
                    assert_eq!(u32::from(queue), worker_of(port, workers.into()), "port {port}");
                }
            }
        }
    }

    #[test]
    fn every_port_has_one_rule_and_it_leads_to_its_worker() {
        for workers in 2..=16 {
            let rules = rules(workers, usize::from(workers));
            assert_eq!(rules.len(), if workers.is_power_of_two() { workers.into() } else { 32 });
            for port in 0..=u16::MAX {
                let mut matching = rules.iter().filter(|rule| port & rule.mask == rule.port);
                let rule = matching.next().unwrap();
                assert_eq!(u32::from(rule.queue), worker_of(port, workers.into()));
                assert_eq!(matching.next(), None);
            }
        }
    }

    #[test]
    fn what_cannot_tell_the_classes_apart_is_not_used() {
        assert_eq!(redirection(16, 2, 2), None);
        assert_eq!(redirection(100, 2, 2), None);
        assert_eq!(redirection(0, 2, 2), None);
        assert_eq!(hash_key(12), None);
        assert_eq!(hash_key(15), None);
    }

    #[test]
    fn every_queue_is_polled_once_and_every_worker_finds_a_sender_that_polls() {
        for workers in 1..=16_usize {
            for queues in 1..=workers as u16 {
                for index in 0..8 {
                    let polled: Vec<_> =
                        (0..queues).map(|queue| poller(index, queues, queue, workers)).collect();
                    assert!(polled.iter().all(|worker| *worker < workers));
                    assert!(polled.iter().enumerate().all(|(at, worker)| !polled[..at].contains(worker)));
                    for worker in 0..workers {
                        let sends = sender(index, queues, worker, workers);
                        assert!(polled.contains(&sends));
                        assert!(
                            sends == worker || !polled.contains(&worker),
                            "whoever polls a port sends on it"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn with_fewer_queues_than_workers_packets_come_to_the_worker_that_sends_for_theirs() {
        let table = redirection(64, 2, 5).unwrap();
        assert!(table.iter().all(|queue| *queue < 2));
        for rule in rules(2, 5) {
            let worker = worker_of(rule.port, 5) as usize;
            assert_eq!(usize::from(rule.queue), sender(0, 2, worker, 5));
        }
    }
}
