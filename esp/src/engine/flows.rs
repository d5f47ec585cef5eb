//! The flow cache: what the policy said of the packets seen lately (RFC 4301 §4.4.1.1, §5.1).
//!
//! The key is everything that policy looks at, exactly as the packet has it, and the resource that sends it; so a key has one answer, and overlapping
//! entries need no decorrelation. An answer is good as long as the generation under which it was found: every change
//! of policy or of the SAs that carry traffic begins another. The size is fixed; where a set is full, one of its flows
//! gives way.

use super::table::Slot;
use crate::ip::{IpHeader, Ports};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipsec_types::sa::ResourceId;

/// Flows that share a place.
const WAYS: usize = 4;

/// What becomes of a flow's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    /// The outbound SA that carries them. It is there as long as the answer is good.
    By(Slot),
    /// The same, where their resource has no SA of its own.
    ByFallback(Slot),
    Bypass,
    Discard,
}

/// The key: numbers, which are read and compared at once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Flow {
    source: u128,
    destination: u128,
    /// IP version, resource, protocol and ports.
    rest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    flow: Flow,
    /// 0 for a place that was never used.
    generation: u64,
    route: Route,
}

/// See the module. Its memory is taken once.
#[derive(Debug)]
pub(super) struct FlowCache {
    sets: Vec<[Place; WAYS]>,
    /// Of answers that are still good; never 0.
    generation: u64,
    /// The way that gives way next.
    victim: usize,
    /// The flow that was asked for last: packets come in trains.
    latest: Place,
}

impl FlowCache {
    /// A cache for at least `flows` flows; for none where that is 0.
    pub(super) fn new(flows: usize) -> Self {
        let unused = Place { flow: Flow::default(), generation: 0, route: Route::Discard };
        let sets = if flows == 0 { 0 } else { flows.div_ceil(WAYS).next_power_of_two() };
        Self { sets: vec![[unused; WAYS]; sets], generation: 1, victim: 0, latest: unused }
    }

    /// Forgets all answers.
    pub(super) const fn invalidate(&mut self) {
        self.generation = self.generation.saturating_add(1);
    }

    /// The answer for such a packet, if it is known.
    #[inline]
    pub(super) fn get(&mut self, packet: &IpHeader, resource: Option<ResourceId>) -> Option<Route> {
        let flow = Flow::of(packet, resource);
        if self.latest.generation == self.generation && self.latest.flow == flow {
            return Some(self.latest.route);
        }
        let place = *self.place(&flow)?;
        self.latest = place;
        Some(place.route)
    }

    /// [`FlowCache::get`] for a packet whose turn has not come.
    pub(super) fn peek(&self, packet: &IpHeader, resource: Option<ResourceId>) -> Option<Route> {
        self.place(&Flow::of(packet, resource)).map(|place| place.route)
    }

    #[inline]
    fn place(&self, flow: &Flow) -> Option<&Place> {
        let set = self.sets.get(flow.set(self.sets.len()))?;
        set.iter().find(|place| place.generation == self.generation && place.flow == *flow)
    }

    /// Remembers an answer.
    pub(super) fn put(&mut self, packet: &IpHeader, resource: Option<ResourceId>, route: Route) {
        let flow = Flow::of(packet, resource);
        let set = flow.set(self.sets.len());
        self.victim = (self.victim + 1) % WAYS;
        let Some(set) = self.sets.get_mut(set) else { return };
        let free = set.iter().position(|place| place.generation != self.generation || place.flow == flow);
        if let Some(place) = set.get_mut(free.unwrap_or(self.victim)) {
            *place = Place { flow, generation: self.generation, route };
            self.latest = *place;
        }
    }
}

impl Flow {
    #[inline(always)]
    fn of(packet: &IpHeader, resource: Option<ResourceId>) -> Self {
        let ports = match packet.ports {
            Ports::Unavailable => 0,
            Ports::Pair(source, destination) => 1 << 32 | u64::from(source) << 16 | u64::from(destination),
            Ports::Single(value) => 1 << 33 | u64::from(value),
        };
        let protocol = packet.protocol.map_or(0, |protocol| 1 << 8 | u64::from(protocol));
        let version = u64::from(packet.source.is_ipv4());
        let resource = resource.map_or(0, |resource| 1 << 16 | u64::from(resource.0));
        Self {
            source: bits(packet.source),
            destination: bits(packet.destination),
            rest: version << 63 | resource << 43 | protocol << 34 | ports,
        }
    }

    /// The set of this flow, of `sets`, a power of two. Who makes many flows meet in one set gains that these are
    /// looked up slowly.
    #[inline(always)]
    const fn set(&self, sets: usize) -> usize {
        let hash = mix(mix(self.rest, folded(self.source)), folded(self.destination));
        hash as usize & sets.saturating_sub(1)
    }
}

#[inline(always)]
const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn folded(address: u128) -> u64 {
    mix((address >> 64) as u64, address as u64)
}

/// A folded multiplication by 2^64 divided by the golden ratio.
const fn mix(hash: u64, value: u64) -> u64 {
    let product = (hash ^ value) as u128 * 0x9E37_79B9_7F4A_7C15;
    (product >> 64) as u64 ^ (product as u64).rotate_left(17)
}

#[cfg(test)]
mod tests {
    use super::super::table::Slots;
    use super::*;
    use crate::ip::IpVersion;
    use ipsec_types::sa::ChildSaId;

    fn packet(source: u32, port: u16) -> IpHeader {
        IpHeader {
            version: IpVersion::V4,
            length: 28,
            ds_field: 0,
            dont_fragment: false,
            source: source.to_be_bytes().into(),
            destination: [10, 0, 0, 1].into(),
            protocol: Some(17),
            ports: Ports::Pair(port, 53),
            is_fragment: false,
            upper_offset: 20,
        }
    }

    #[test]
    fn answers_are_exact_and_end_with_their_generation() {
        let mut cache = FlowCache::new(64);
        let slot = Slots::default().insert(ChildSaId(7), ());
        cache.put(&packet(1, 1), None, Route::By(slot));
        assert_eq!(cache.get(&packet(1, 1), None), Some(Route::By(slot)));
        assert_eq!((cache.get(&packet(1, 2), None), cache.get(&packet(2, 1), None)), (None, None));
        let hidden = IpHeader { ports: Ports::Unavailable, ..packet(1, 1) };
        assert_eq!(cache.get(&hidden, None), None);
        cache.put(&packet(1, 1), None, Route::Bypass);
        assert_eq!(cache.get(&packet(1, 1), None), Some(Route::Bypass));
        cache.invalidate();
        assert_eq!(cache.get(&packet(1, 1), None), None);
        let mut none = FlowCache::new(0);
        none.put(&packet(1, 1), None, Route::Bypass);
        assert_eq!((none.get(&packet(1, 1), None), none.sets.len()), (None, 0));
    }

    /// Flows in number as configured mostly find their place; more take no more memory.
    #[test]
    fn flows_find_their_places() {
        let mut cache = FlowCache::new(4_096);
        for flow in 0..2_048u32 {
            cache.put(&packet(flow * 256, flow as u16), None, Route::Bypass);
        }
        let kept =
            (0..2_048u32).filter(|flow| cache.get(&packet(flow * 256, *flow as u16), None).is_some()).count();
        assert!(kept > 1_900, "{kept}");
        let capacity = cache.sets.capacity();
        for flow in 0..100_000 {
            cache.put(&packet(flow, 7), None, Route::Discard);
            assert_eq!(cache.get(&packet(flow, 7), None), Some(Route::Discard));
        }
        assert_eq!((cache.sets.len(), cache.sets.capacity()), (1_024, capacity));
    }
}
