//! A list of traffic selectors as the one set of packets that it is: whether it holds all the packets of another
//! selector, even where no single entry of it does (RFC 7296 §2.9: an answer may straddle two adjacent selectors
//! of the request).
//!
//! The work for one question is at most quadratic in the length of the list, whatever its content.

use alloc::vec::Vec;
use core::net::IpAddr;
use ipsec_types::TrafficSelector;

/// A traffic selector in numbers that compare fast.
///
/// Beside the ports 0 to 65535 there are the packets whose port is missing or hidden, which ANY and OPAQUE match and
/// ranges do not (RFC 4301 §4.4.1.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Cuboid {
    is_ipv4: bool,
    addresses: (u128, u128),
    protocol: u8,
    /// Reversed where no port is meant.
    ports: (u16, u16),
    hidden_ports: bool,
}

impl From<&TrafficSelector> for Cuboid {
    fn from(selector: &TrafficSelector) -> Self {
        let number = |address| match address {
            IpAddr::V4(v4) => v4.to_bits().into(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Self {
            is_ipv4: selector.addresses.is_ipv4(),
            addresses: (number(selector.addresses.start()), number(selector.addresses.end())),
            protocol: selector.protocol,
            ports: (selector.ports.start(), selector.ports.end()),
            hidden_ports: selector.ports.matches(None),
        }
    }
}

impl Cuboid {
    /// Whether every packet of `other` is one of `self`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.has_protocols_of(other)
            && self.addresses.0 <= other.addresses.0
            && other.addresses.1 <= self.addresses.1
            && (other.ports.0 > other.ports.1
                || self.ports.0 <= other.ports.0 && other.ports.1 <= self.ports.1)
            && (self.hidden_ports || !other.hidden_ports)
    }

    /// Whether all that tells packets apart but addresses and ports is in `self`.
    const fn has_protocols_of(&self, other: &Self) -> bool {
        self.is_ipv4 == other.is_ipv4
            && (self.protocol == TrafficSelector::ANY_PROTOCOL || self.protocol == other.protocol)
    }

    const fn meets_addresses_of(&self, other: &Self) -> bool {
        self.addresses.0 <= other.addresses.1 && other.addresses.0 <= self.addresses.1
    }
}

/// The union of a list of selectors.
#[derive(Debug)]
pub(super) struct Union {
    /// By the start of their port ranges, so that [`PortSweep`] can take them in one pass.
    by_port: Vec<Cuboid>,
}

impl Union {
    pub(super) fn new(selectors: &[TrafficSelector]) -> Self {
        let mut by_port: Vec<Cuboid> = selectors.iter().map(Cuboid::from).collect();
        by_port.sort_unstable_by_key(|cuboid| cuboid.ports.0);
        Self { by_port }
    }

    /// Whether every packet of the selector matches one of the list.
    ///
    /// A selector for any protocol also has packets of protocols that nobody lists (0 itself cannot be listed), so
    /// only entries for any protocol can make it up; the protocol needs no walk of its own.
    pub(super) fn covers(&self, selector: &TrafficSelector) -> bool {
        let wanted = Cuboid::from(selector);
        if self.by_port.iter().any(|cuboid| cuboid.covers(&wanted)) {
            return true;
        }
        let relevant = |c: &&Cuboid| c.has_protocols_of(&wanted) && c.meets_addresses_of(&wanted);
        let relevant: Vec<Cuboid> = self.by_port.iter().filter(relevant).copied().collect();
        let mut at = wanted.addresses.0;
        loop {
            let (ports, next) = step(&relevant, at, &wanted);
            if !ports.is_complete() {
                return false;
            }
            match next {
                Some(next) if next <= wanted.addresses.1 => at = next,
                _ => return true,
            }
        }
    }
}

/// The ports covered at one address, and the next address at which other selectors apply.
fn step(relevant: &[Cuboid], at: u128, wanted: &Cuboid) -> (PortSweep, Option<u128>) {
    let mut ports = PortSweep::new(wanted);
    let mut next: Option<u128> = None;
    for cuboid in relevant {
        let change = if at < cuboid.addresses.0 {
            Some(cuboid.addresses.0)
        } else if at <= cuboid.addresses.1 {
            ports.add(cuboid);
            cuboid.addresses.1.checked_add(1)
        } else {
            None
        };
        if let Some(change) = change {
            next = Some(next.map_or(change, |next| next.min(change)));
        }
    }
    (ports, next)
}

/// What is still missing of the ports of a selector while others come in the order of their starts.
#[derive(Debug)]
struct PortSweep {
    next: u32,
    end: u32,
    needs_hidden: bool,
}

impl PortSweep {
    fn new(wanted: &Cuboid) -> Self {
        let (next, end) = if wanted.ports.0 > wanted.ports.1 { (1, 0) } else { wanted.ports };
        Self { next: next.into(), end: end.into(), needs_hidden: wanted.hidden_ports }
    }

    fn add(&mut self, cuboid: &Cuboid) {
        let (start, end) = cuboid.ports;
        self.needs_hidden &= !cuboid.hidden_ports;
        if start <= end && u32::from(start) <= self.next {
            self.next = self.next.max(u32::from(end).saturating_add(1));
        }
    }

    const fn is_complete(&self) -> bool {
        !self.needs_hidden && self.next > self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec_types::{AddressRange, PortRange};
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
            for single in &list {
                prop_assert_eq!(Cuboid::from(single).covers(&(&wanted).into()), single.covers(&wanted));
            }
        }
    }
}
