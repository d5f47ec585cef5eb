//! The half-open IKE SAs: by the request that made each, by their source, and by age. An entry lives as long as
//! its IKE SA waits for IKE_AUTH, and every count falls with it.

use crate::event::IkeSaHandle;
use crate::exchange::responses::RequestDigest;
use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use ipsec_types::Instant;

/// What is counted as one: an IPv4 address, or an IPv6 prefix, since a site holds at least a /64 (RFC 8019 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Source(IpAddr);

impl Source {
    pub(super) fn of(address: IpAddr, prefix: u8) -> Self {
        let address = address.to_canonical();
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let host = u32::from(128_u8.saturating_sub(prefix));
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        })
    }
}

#[derive(Debug)]
struct Entry {
    handle: IkeSaHandle,
    source: Source,
    since: Instant,
    /// Its place in the order of age; `None` where it must not give way.
    number: Option<u64>,
}

/// How many there are of a source, and those of them that may give way.
#[derive(Debug, Default)]
struct Share {
    count: usize,
    by_age: BTreeSet<u64>,
}

/// All of them.
#[derive(Default)]
pub(super) struct HalfOpen {
    entries: BTreeMap<RequestDigest, Entry>,
    shares: BTreeMap<Source, Share>,
    by_age: BTreeMap<u64, RequestDigest>,
    next_number: u64,
}

impl fmt::Debug for HalfOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.entries).finish()
    }
}

impl HalfOpen {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many there are of a source.
    pub(super) fn of_source(&self, source: Source) -> usize {
        self.shares.get(&source).map_or(0, |share| share.count)
    }

    /// The one that a request made.
    pub(super) fn find(&self, request: &RequestDigest) -> Option<IkeSaHandle> {
        self.entries.get(request).map(|entry| entry.handle)
    }

    pub(super) fn insert(
        &mut self,
        request: RequestDigest,
        handle: IkeSaHandle,
        source: Source,
        since: Instant,
    ) {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        self.by_age.insert(number, request);
        let share = self.shares.entry(source).or_default();
        share.count = share.count.saturating_add(1);
        share.by_age.insert(number);
        self.entries.insert(request, Entry { handle, source, since, number: Some(number) });
    }

    pub(super) fn remove(&mut self, request: &RequestDigest) {
        self.keep(request);
        let Some(entry) = self.entries.remove(request) else { return };
        if let Some(share) = self.shares.get_mut(&entry.source) {
            share.count = share.count.saturating_sub(1);
            if share.count == 0 {
                self.shares.remove(&entry.source);
            }
        }
    }

    /// The peer has shown that it is there: the entry gives way to nobody any more.
    pub(super) fn keep(&mut self, request: &RequestDigest) {
        let Some(entry) = self.entries.get_mut(request) else { return };
        if let Some(number) = entry.number.take() {
            self.by_age.remove(&number);
            if let Some(share) = self.shares.get_mut(&entry.source) {
                share.by_age.remove(&number);
            }
        }
    }

    /// The oldest one that may give way, of a source or of all.
    pub(super) fn oldest(
        &self,
        source: Option<Source>,
        now: Instant,
        grace: Duration,
    ) -> Option<IkeSaHandle> {
        let number = match source {
            Some(source) => self.shares.get(&source)?.by_age.first()?,
            None => self.by_age.first_key_value()?.0,
        };
        let entry = self.entries.get(self.by_age.get(number)?)?;
        (entry.since + grace <= now).then_some(entry.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap(), 64)
    }

    #[test]
    fn a_source_is_an_address_or_a_prefix() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        // The same host by a socket for both families.
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        let of = |text: &str, prefix| Source::of(text.parse().unwrap(), prefix);
        assert_eq!(of("2001:db8::1", 48), of("2001:db8:0:9::1", 48));
        assert_eq!(of("2001:db8::1", 0), of("fd00::1", 0));
        assert_ne!(of("2001:db8::1", 128), of("2001:db8::2", 128));
        assert_ne!(of("2001:db8::1", 255), of("2001:db8::2", 255));
    }

    #[test]
    fn every_count_falls_with_its_entry_and_the_oldest_gives_way_first() {
        let (mut table, grace) = (HalfOpen::default(), Duration::from_secs(2));
        let (at, handle) =
            (|s: u64| Instant::from_millis(s * 1_000), |slot| IkeSaHandle { slot, generation: 0 });
        let request = |n: u8| RequestDigest::of(&[n]);
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        for (n, of) in [(0, a), (1, b), (2, a)] {
            table.insert(request(n), handle(n.into()), of, at(n.into()));
        }
        assert_eq!((table.len(), table.of_source(a), table.of_source(b)), (3, 2, 1));
        assert_eq!(table.oldest(None, at(1), grace), None);
        assert_eq!(table.oldest(None, at(2), grace), Some(handle(0)));
        assert_eq!(table.oldest(Some(b), at(2), grace), None);
        assert_eq!(table.oldest(Some(b), at(3), grace), Some(handle(1)));
        table.keep(&request(0));
        assert_eq!((table.len(), table.of_source(a)), (3, 2));
        assert_eq!(table.oldest(None, at(9), grace), Some(handle(1)));
        assert_eq!(table.oldest(Some(a), at(9), grace), Some(handle(2)));
        for n in [0, 1, 2, 2] {
            table.remove(&request(n));
        }
        assert_eq!((table.len(), table.of_source(a), table.of_source(b)), (0, 0, 0));
        assert!(table.shares.is_empty() && table.by_age.is_empty());
    }
}
