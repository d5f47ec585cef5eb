//! A list of traffic selectors as the one set of packets that it is: whether it holds all the packets of another
//! selector, even where no single entry of it does (RFC 7296 §2.9: an answer may straddle two adjacent selectors
//! of the request).
//!
//! The work for one question is at most quadratic in the length of the list, whatever its content.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipsec_types::{PortRange, TrafficSelector};

/// The union of a list of selectors.
#[derive(Debug)]
pub(super) struct Union {
    /// By the start of their port ranges, so that [`PortSweep`] can take them in one pass.
    by_port: Vec<TrafficSelector>,
}

impl Union {
    pub(super) fn new(selectors: &[TrafficSelector]) -> Self {
        let mut by_port = selectors.to_vec();
        by_port.sort_unstable_by_key(|s| s.ports.start());
        Self { by_port }
    }

    /// Whether every packet of `wanted` matches one of the list.
    ///
    /// A selector for any protocol also has packets of protocols that nobody lists (0 itself cannot be listed), so
    /// only entries for any protocol can make it up; the protocol needs no walk of its own.
    pub(super) fn covers(&self, wanted: &TrafficSelector) -> bool {
        if self.by_port.iter().any(|s| s.covers(wanted)) {
            return true;
        }
        let relevant: Vec<&TrafficSelector> = self
            .by_port
            .iter()
            .filter(|s| s.protocol == TrafficSelector::ANY_PROTOCOL || s.protocol == wanted.protocol)
            .filter(|s| s.addresses.intersection(&wanted.addresses).is_some())
            .collect();
        let end = wanted.addresses.end();
        let mut at = wanted.addresses.start();
        loop {
            let Some((ports, next)) = step(&relevant, at, wanted.ports) else { return false };
            if !ports.is_complete() {
                return false;
            }
            match next {
                Some(next) if next <= end => at = next,
                _ => return true,
            }
        }
    }

    /// Whether every packet of each selector matches one of the list.
    pub(super) fn covers_all(&self, wanted: &[TrafficSelector]) -> bool {
        wanted.iter().all(|s| self.covers(s))
    }
}

/// The ports covered at one address, and the next address at which other selectors apply. `None` where nothing
/// applies at the address.
fn step(relevant: &[&TrafficSelector], at: IpAddr, wanted: PortRange) -> Option<(PortSweep, Option<IpAddr>)> {
    let mut ports = PortSweep::new(wanted);
    let mut any = false;
    let mut next: Option<IpAddr> = None;
    for selector in relevant {
        let change = if selector.addresses.contains(at) {
            any = true;
            ports.add(selector.ports);
            successor(selector.addresses.end())
        } else {
            Some(selector.addresses.start()).filter(|start| *start > at)
        };
        next = match (next, change) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    any.then_some((ports, next))
}

/// The address after this one; `None` after the last of its family.
fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// What is still missing of a port range while ranges come in the order of their starts.
///
/// Beside the values 0 to 65535 there are the packets whose port is missing or hidden, which ANY and OPAQUE match
/// and ranges do not (RFC 4301 §4.4.1.1).
#[derive(Debug)]
struct PortSweep {
    next: u32,
    end: u32,
    needs_hidden: bool,
}

impl PortSweep {
    fn new(wanted: PortRange) -> Self {
        let (next, end) =
            if wanted.is_opaque() { (1, 0) } else { (u32::from(wanted.start()), u32::from(wanted.end())) };
        Self { next, end, needs_hidden: wanted.matches(None) }
    }

    fn add(&mut self, ports: PortRange) {
        if ports.matches(None) {
            self.needs_hidden = false;
        }
        if !ports.is_opaque() && u32::from(ports.start()) <= self.next {
            self.next = self.next.max(u32::from(ports.end()).saturating_add(1));
        }
    }

    const fn is_complete(&self) -> bool {
        !self.needs_hidden && self.next > self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec_types::AddressRange;
    use proptest::prelude::*;

    fn range(first: u8, last: u8, protocol: u8, ports: PortRange) -> TrafficSelector {
        let host = |last| IpAddr::from([10, 0, 0, last]);
        TrafficSelector { addresses: AddressRange::new(host(first), host(last)).unwrap(), protocol, ports }
    }

    fn ports(first: u16, last: u16) -> PortRange {
        PortRange::new(first, last).unwrap()
    }

    #[test]
    fn adjacent_ranges_make_up_the_range_across_them() {
        let halves = Union::new(&[range(0, 127, 0, PortRange::ANY), range(128, 255, 0, PortRange::ANY)]);
        assert!(halves.covers(&range(0, 255, 0, PortRange::ANY)));
        assert!(halves.covers(&range(100, 200, 6, ports(80, 80))));
        let gap = Union::new(&[range(0, 126, 0, PortRange::ANY), range(128, 255, 0, PortRange::ANY)]);
        assert!(!gap.covers(&range(0, 255, 0, PortRange::ANY)));
        assert!(gap.covers(&range(128, 255, 0, PortRange::ANY)));
    }

    #[test]
    fn port_ranges_and_opaque_together_are_any() {
        let low = range(0, 9, 17, ports(0, 1023));
        let high = range(0, 9, 17, ports(1024, 65_535));
        let hidden = range(0, 9, 17, PortRange::OPAQUE);
        assert!(Union::new(&[low, hidden, high]).covers(&range(0, 9, 17, PortRange::ANY)));
        assert!(!Union::new(&[low, high]).covers(&range(0, 9, 17, PortRange::ANY)));
        assert!(Union::new(&[high, low]).covers(&range(3, 4, 17, ports(1000, 2000))));
    }

    #[test]
    fn any_protocol_is_more_than_all_the_listed_ones() {
        let each: Vec<_> = (1..=255).map(|protocol| range(0, 9, protocol, PortRange::ANY)).collect();
        assert!(!Union::new(&each).covers(&range(0, 9, 0, PortRange::ANY)));
    }

    #[test]
    fn the_last_address_of_a_family_ends_the_walk() {
        assert!(Union::new(&[TrafficSelector::ALL_V4]).covers(&TrafficSelector::ALL_V4));
        let v6 = AddressRange::ALL_V6;
        let middle: IpAddr = "8000::".parse().unwrap();
        let below: IpAddr = "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        let halves = [
            TrafficSelector::addresses(AddressRange::new(v6.start(), below).unwrap()),
            TrafficSelector::addresses(AddressRange::new(middle, v6.end()).unwrap()),
        ];
        assert!(Union::new(&halves).covers(&TrafficSelector::ALL_V6));
        assert!(!Union::new(&halves).covers(&TrafficSelector::ALL_V4));
        assert!(!Union::new(&[]).covers(&TrafficSelector::ALL_V4));
    }

    fn selector() -> impl Strategy<Value = TrafficSelector> {
        let port = prop_oneof![
            2 => Just(PortRange::ANY),
            1 => Just(PortRange::OPAQUE),
            3 => (0u16..5, 0u16..5).prop_map(|(a, b)| ports(a.min(b), a.max(b))),
            1 => (0u16..5).prop_map(|a| ports(a, 65_535)),
        ];
        (0u8..6, 0u8..6, 0u8..3, port).prop_map(|(a, b, protocol, p)| range(a.min(b), a.max(b), protocol, p))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn covers_is_set_inclusion(list in prop::collection::vec(selector(), 0..8), wanted in selector()) {
            let mut all_in = true;
            for host in 0u8..7 {
                let address = IpAddr::from([10, 0, 0, host]);
                for protocol in 0u8..4 {
                    for port in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(65_535)] {
                        if wanted.matches(address, protocol, port)
                            && !list.iter().any(|s| s.matches(address, protocol, port))
                        {
                            all_in = false;
                        }
                    }
                }
            }
            prop_assert_eq!(Union::new(&list).covers(&wanted), all_in);
        }
    }
}
