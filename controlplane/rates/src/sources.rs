//! What is remembered of each source address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::bucket::{Bucket, Rate};

/// What outsiders may cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Requests of an address.
    pub requests_per_source: Rate,
    /// Requests of all.
    pub requests: Rate,
    /// Bytes to an address. `None`: without a limit.
    pub bytes_per_source: Option<Rate>,
    /// Bytes to all. `None`: without a limit.
    pub bytes: Option<Rate>,
    /// Addresses that are remembered at a time.
    pub sources: usize,
}

/// Which rate was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The address asks too often.
    Source,
    /// All together ask too often.
    All,
    /// There are too many addresses.
    Sources,
}

/// What counts as one source: an IPv4 address, or the first 64 bits of an IPv6 address, since whoever has one of those
/// has all 2^64 (RFC 4291 section 2.5.4, RFC 6177).
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Whether two addresses count as one source.
pub fn is_same_source(one: IpAddr, other: IpAddr) -> bool {
    network(one) == network(other)
}

/// What is remembered of source addresses: a bounded number of them.
#[derive(Debug)]
pub struct Sources {
    rates: Rates,
    /// By their [`network`].
    known: HashMap<IpAddr, Source>,
    swept: Option<Instant>,
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
}

#[derive(Debug)]
struct Source {
    requests: Bucket,
    bytes: Bucket,
    open: usize,
}

impl Sources {
    /// None are known yet.
    pub fn new(rates: Rates) -> Self {
        Self { rates, known: HashMap::new(), swept: None, requests: None, bytes: None }
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// It is not to be answered.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), Excess> {
        let (of_source, of_all) = (self.rates.requests_per_source, self.rates.requests);
        let source = self.source(address, now)?;
        if !source.requests.take(of_source, 1, now) {
            return Err(Excess::Source);
        }
        let all = self.requests.get_or_insert(Bucket::full(now));
        if all.take(of_all, 1, now) { Ok(()) } else { Err(Excess::All) }
    }

    /// How many transfers or connections an address has open.
    pub fn open(&self, address: IpAddr) -> usize {
        self.known.get(&network(address)).map_or(0, |source| source.open)
    }

    /// An address has opened a transfer or connection.
    ///
    /// # Errors
    /// There is no room to remember the address.
    pub fn opened(&mut self, address: IpAddr, now: Instant) -> Result<(), Excess> {
        self.source(address, now)?.open += 1;
        Ok(())
    }

    /// It was closed.
    pub fn closed(&mut self, address: IpAddr) {
        if let Some(source) = self.known.get_mut(&network(address)) {
            source.open = source.open.saturating_sub(1);
        }
    }

    /// Takes bytes to an address on credit; how long to wait before they are sent.
    pub fn owe(&mut self, address: IpAddr, bytes: usize, now: Instant) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut wait = Duration::ZERO;
        if let (Some(rate), Some(source)) =
            (self.rates.bytes_per_source, self.known.get_mut(&network(address)))
        {
            wait = source.bytes.owe(rate, bytes, now);
        }
        if let Some(rate) = self.rates.bytes {
            wait = wait.max(self.bytes.get_or_insert(Bucket::full(now)).owe(rate, bytes, now));
        }
        wait
    }

    fn source(&mut self, address: IpAddr, now: Instant) -> Result<&mut Source, Excess> {
        let address = network(address);
        if !self.known.contains_key(&address) && self.known.len() >= self.rates.sources {
            // Looked through once a second at most: a flood of addresses must not cost more than that.
            if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= Duration::from_secs(1)) {
                self.swept = Some(now);
                self.known.retain(|_, source| source.open > 0 || !source.requests.is_full(now));
            }
            if self.known.len() >= self.rates.sources {
                return Err(Excess::Sources);
            }
        }
        let fresh = || Source { requests: Bucket::full(now), bytes: Bucket::full(now), open: 0 };
        Ok(self.known.entry(address).or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(most: usize) -> Sources {
        Sources::new(Rates {
            requests_per_source: Rate { per_second: 1, burst: 3 },
            requests: Rate { per_second: 2, burst: 5 },
            bytes_per_source: None,
            bytes: None,
            sources: most,
        })
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn one_address_uses_up_its_own_share_and_all_together_the_whole() {
        let (mut sources, now) = (sources(10), Instant::now());
        for _ in 0..3 {
            assert_eq!(sources.admit(address(1), now), Ok(()));
        }
        assert_eq!(sources.admit(address(1), now), Err(Excess::Source));
        assert_eq!(sources.admit(address(2), now), Ok(()));
        assert_eq!(sources.admit(address(3), now), Ok(()));
        assert_eq!(sources.admit(address(4), now), Err(Excess::All));
        assert_eq!(sources.admit(address(1), now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn addresses_of_one_ipv6_network_have_one_share_together() {
        let (mut sources, now) = (sources(2), Instant::now());
        let within = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
        for host in 0..3 {
            assert_eq!(sources.admit(within(1, host), now), Ok(()));
        }
        assert_eq!(sources.admit(within(1, 3), now), Err(Excess::Source));
        assert_eq!(sources.admit(within(2, 0), now), Ok(()));
        assert_eq!(sources.opened(within(1, 4), now), Ok(()));
        assert_eq!((sources.open(within(1, 5)), sources.open(within(2, 4))), (1, 0));
        sources.closed(within(1, 6));
        assert_eq!(sources.open(within(1, 4)), 0);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(is_same_source(mapped, address(1)) && !is_same_source(mapped, address(2)));
    }

    #[test]
    fn an_address_with_something_open_is_not_forgotten_for_another() {
        let (mut sources, now) = (sources(2), Instant::now());
        assert_eq!(sources.opened(address(1), now), Ok(()));
        assert_eq!(sources.opened(address(2), now), Ok(()));
        let later = now + Duration::from_secs(60);
        assert_eq!(sources.admit(address(3), later), Err(Excess::Sources));
        sources.closed(address(2));
        assert_eq!(sources.admit(address(3), later + Duration::from_secs(2)), Ok(()));
        assert_eq!((sources.open(address(1)), sources.open(address(2))), (1, 0));
    }
}
