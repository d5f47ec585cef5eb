//! The half-open IKE SAs: by the request that made each, by their source, and by age, with what each keeps of its
//! initiator's. An entry lives as long as its IKE SA waits for IKE_AUTH, and every count falls with it.

use crate::config::EndpointConfig;
use crate::error::Bound;
use crate::event::IkeSaHandle;
use crate::exchange::responses::RequestDigest;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
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
    /// What it keeps of its initiator's.
    octets: usize,
    /// Its place in the order of age; `None` where it must not give way.
    number: Option<u64>,
}

/// How many there are of a source, with what they keep, and those of them that may give way.
#[derive(Debug, Default)]
struct Share {
    count: usize,
    octets: usize,
    by_age: BTreeSet<u64>,
}

/// All of them.
#[derive(Default)]
pub(super) struct HalfOpen {
    entries: BTreeMap<RequestDigest, Entry>,
    shares: BTreeMap<Source, Share>,
    by_age: BTreeMap<u64, RequestDigest>,
    next_number: u64,
    octets: usize,
}

/// How many there may be, of a source or in all, and how much they may keep.
#[derive(Clone, Copy)]
pub(super) struct Most {
    source: Option<Source>,
    count: (usize, Bound),
    octets: (usize, Bound),
}

impl Most {
    pub(super) fn of_source(source: Source, config: &EndpointConfig) -> Self {
        Self {
            source: Some(source),
            count: (config.max_half_open_from_source, Bound::HalfOpenFromSource),
            octets: (config.max_half_open_octets_from_source, Bound::HalfOpenOctetsFromSource),
        }
    }

    pub(super) fn of_all(config: &EndpointConfig) -> Self {
        Self {
            source: None,
            count: (config.max_half_open, Bound::HalfOpen),
            octets: (config.max_half_open_octets, Bound::HalfOpenOctets),
        }
    }
}

/// Those that must give way for another one.
#[derive(Debug, Default)]
pub(super) struct Displaced {
    pub(super) handles: Vec<IkeSaHandle>,
    octets: usize,
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

    /// The octets that those of the same source keep.
    fn octets_beside(&self, request: &RequestDigest) -> usize {
        let share = self.entries.get(request).and_then(|entry| self.shares.get(&entry.source));
        share.map_or(0, |share| share.octets)
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
        self.entries.insert(request, Entry { handle, source, since, octets: 0, number: Some(number) });
    }

    /// Which bound of octets leaves no room for more of this one's initiator.
    pub(super) fn crowded(&self, request: &RequestDigest, config: &EndpointConfig) -> Option<Bound> {
        if self.octets_beside(request) >= config.max_half_open_octets_from_source {
            return Some(Bound::HalfOpenOctetsFromSource);
        }
        (self.octets >= config.max_half_open_octets).then_some(Bound::HalfOpenOctets)
    }

    /// It keeps so many octets now.
    pub(super) fn weigh(&mut self, request: &RequestDigest, octets: usize) {
        let Some(entry) = self.entries.get_mut(request) else { return };
        let before = core::mem::replace(&mut entry.octets, octets);
        let share = self.shares.get_mut(&entry.source).map(|share| &mut share.octets);
        for sum in share.into_iter().chain([&mut self.octets]) {
            *sum = sum.saturating_sub(before).saturating_add(octets);
        }
    }

    pub(super) fn remove(&mut self, request: &RequestDigest) {
        self.keep(request);
        self.weigh(request, 0);
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

    /// Finds who else must give way, so that with another one of so many octets there is not more than that: the
    /// oldest that have had their grace.
    ///
    /// # Errors
    /// The bound that leaves no room: they are too few.
    pub(super) fn displace(
        &self,
        displaced: &mut Displaced,
        another: usize,
        most: &Most,
        now: Instant,
        grace: Duration,
    ) -> Result<(), Bound> {
        let empty = Share::default();
        let share = most.source.map(|source| self.shares.get(&source).unwrap_or(&empty));
        let (count, octets) = share.map_or((self.len(), self.octets), |share| (share.count, share.octets));
        let of_share = share.into_iter().flat_map(|share| &share.by_age);
        let of_all = self.by_age.keys().filter(|_| share.is_none());
        let entries = of_share.chain(of_all).filter_map(|number| self.entries.get(self.by_age.get(number)?));
        let mut by_age = entries.take_while(|entry| entry.since + grace <= now);
        loop {
            let count = count.saturating_sub(displaced.handles.len());
            let octets = octets.saturating_sub(displaced.octets).saturating_add(another);
            let full = if count >= most.count.0 {
                most.count.1
            } else if octets > most.octets.0 {
                most.octets.1
            } else {
                return Ok(());
            };
            let oldest = by_age.find(|entry| !displaced.handles.contains(&entry.handle)).ok_or(full)?;
            displaced.handles.push(oldest.handle);
            displaced.octets = displaced.octets.saturating_add(oldest.octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

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
        let bounds = (Bound::HalfOpen, Bound::HalfOpenOctets);
        let oldest = |table: &HalfOpen, source: Option<Source>, now| {
            let count = source.map_or(table.len(), |source| table.of_source(source));
            let most = Most { source, count: (count, bounds.0), octets: (usize::MAX, bounds.1) };
            let mut displaced = Displaced::default();
            table.displace(&mut displaced, 0, &most, now, grace).map(|()| displaced.handles[0]).ok()
        };
        assert_eq!(oldest(&table, None, at(1)), None);
        assert_eq!(oldest(&table, None, at(2)), Some(handle(0)));
        assert_eq!(oldest(&table, Some(b), at(2)), None);
        assert_eq!(oldest(&table, Some(b), at(3)), Some(handle(1)));
        table.keep(&request(0));
        assert_eq!((table.len(), table.of_source(a)), (3, 2));
        assert_eq!(oldest(&table, None, at(9)), Some(handle(1)));
        assert_eq!(oldest(&table, Some(a), at(9)), Some(handle(2)));
        for n in [0, 1, 2, 2] {
            table.remove(&request(n));
        }
        assert_eq!((table.len(), table.of_source(a), table.of_source(b)), (0, 0, 0));
        assert!(table.shares.is_empty() && table.by_age.is_empty());
    }

    #[test]
    fn as_many_give_way_as_the_octets_need() {
        let (mut table, grace) = (HalfOpen::default(), Duration::ZERO);
        let handle = |slot| IkeSaHandle { slot, generation: 0 };
        let request = |n: u8| RequestDigest::of(&[n]);
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        for (n, of, octets) in [(0, a, 100), (1, b, 1_000), (2, a, 300)] {
            table.insert(request(n), handle(n.into()), of, Instant::ZERO);
            table.weigh(&request(n), octets);
        }
        assert_eq!((table.octets, table.octets_beside(&request(0))), (1_400, 400));
        let bounds = (Bound::HalfOpen, Bound::HalfOpenOctets);
        let displace = |displaced: &mut Displaced, source, another, octets| {
            let most = Most { source, count: (10, bounds.0), octets: (octets, bounds.1) };
            table.displace(displaced, another, &most, Instant::ZERO, grace)
        };
        let displaced = |source, another, octets| {
            let mut displaced = Displaced::default();
            displace(&mut displaced, source, another, octets).map(|()| displaced.handles)
        };
        assert_eq!(displaced(None, 100, 1_500), Ok(vec![]));
        assert_eq!(displaced(None, 101, 1_500), Ok(vec![handle(0)]));
        assert_eq!(displaced(None, 201, 1_500), Ok(vec![handle(0), handle(1)]));
        assert_eq!(displaced(Some(a), 201, 500), Ok(vec![handle(0), handle(2)]));
        assert_eq!(displaced(Some(b), 501, 500), Err(Bound::HalfOpenOctets));
        // Who gives way already counts no more.
        let mut both = Displaced::default();
        displace(&mut both, Some(a), 201, 501).unwrap();
        displace(&mut both, None, 201, 1_501).unwrap();
        assert_eq!(both.handles, [handle(0)]);
        displace(&mut both, None, 201, 1_500).unwrap();
        assert_eq!(both.handles, [handle(0), handle(1)]);
        table.weigh(&request(2), 0);
        table.remove(&request(1));
        assert_eq!((table.octets, table.octets_beside(&request(0))), (100, 100));
    }
}
