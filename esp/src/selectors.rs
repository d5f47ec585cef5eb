//! Whether a packet is one of those that an SA carries, or a policy is for (RFC 4301 §4.4.1.1, §5.2 step 4).

use crate::ip::{IpHeader, Ports};
use core::net::IpAddr;
use ipsec_types::sa::{ChildSa, Direction};
use ipsec_types::{PortRange, TrafficSelector};
use thiserror::Error;

/// Whether the SA's selectors admit the packet: one of the near side's and one of the far side's, in any
/// combination (RFC 7296 §2.9). Those of an SA to a group are the same at both ends (RFC 5374 §4.1).
#[must_use]
#[inline]
pub fn admits(child: &ChildSa, packet: &IpHeader, direction: Direction) -> bool {
    let direction = if child.group.is_some() { Direction::Outbound } else { direction };
    match_sides(&child.local, &child.remote, packet, direction)
}

/// [`admits`], for the selectors of either side.
#[inline]
pub(crate) fn match_sides(
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
    packet: &IpHeader,
    direction: Direction,
) -> bool {
    let (sources, destinations) = match direction {
        Direction::Outbound => (local, remote),
        Direction::Inbound => (remote, local),
    };
    let protocol = packet.protocol;
    // Where one value stands for the whole packet, the source's selector must name it; the destination's may
    // name it too or be OPAQUE: a one-directional rule (RFC 4301 §4.4.1.3).
    let (source_port, destination_port, or_opaque) = match packet.ports {
        Ports::Unavailable => (None, None, false),
        Ports::Pair(source, destination) => (Some(source), Some(destination), false),
        Ports::Single(value) => (Some(value), Some(value), true),
    };
    sources.iter().any(|selector| side_admits(selector, packet.source, protocol, source_port))
        && destinations.iter().any(|selector| {
            side_admits(selector, packet.destination, protocol, destination_port)
                || or_opaque && side_admits(selector, packet.destination, protocol, None)
        })
}

/// [`TrafficSelector::matches`], with a protocol that may not be seen: then only "any" admits it.
#[inline]
fn side_admits(selector: &TrafficSelector, address: IpAddr, protocol: Option<u8>, port: Option<u16>) -> bool {
    match protocol {
        Some(protocol) => selector.matches(address, protocol, port),
        None => {
            selector.protocol == TrafficSelector::ANY_PROTOCOL
                && selector.addresses.contains(address)
                && selector.ports.matches(port)
        }
    }
}

/// The selectors of most SAs in a few octets, so that their packets need no look at [`ChildSa`]: one range of IPv4
/// addresses on either side, for every protocol and every port. What it does not admit the others may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plain {
    sources: (u32, u32),
    destinations: (u32, u32),
}

impl Plain {
    /// The selectors of the SA, where they are of that kind.
    pub(crate) fn of(child: &ChildSa, direction: Direction) -> Option<Self> {
        let direction = if child.group.is_some() { Direction::Outbound } else { direction };
        Self::of_sides(&child.local, &child.remote, direction)
    }

    fn of_sides(local: &[TrafficSelector], remote: &[TrafficSelector], direction: Direction) -> Option<Self> {
        let side = |selectors: &[TrafficSelector]| match selectors {
            [
                TrafficSelector { addresses, protocol: TrafficSelector::ANY_PROTOCOL, ports: PortRange::ANY },
            ] => match (addresses.start(), addresses.end()) {
                (IpAddr::V4(start), IpAddr::V4(end)) => Some((start.to_bits(), end.to_bits())),
                _ => None,
            },
            _ => None,
        };
        let (local, remote) = (side(local)?, side(remote)?);
        Some(match direction {
            Direction::Outbound => Self { sources: local, destinations: remote },
            Direction::Inbound => Self { sources: remote, destinations: local },
        })
    }

    /// Whether it admits the packet.
    #[inline(always)]
    pub(crate) const fn admits(&self, packet: &IpHeader) -> bool {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (packet.source, packet.destination) else {
            return false;
        };
        let (source, destination) = (source.to_bits(), destination.to_bits());
        self.sources.0 <= source
            && source <= self.sources.1
            && self.destinations.0 <= destination
            && destination <= self.destinations.1
    }
}

/// What is wrong with the selectors of an SA or of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SelectorFault {
    /// One side has no selector: nothing could ever match.
    #[error("one side has no traffic selector")]
    NoSelectors,
    /// A selector for any protocol that names ports: protocols differ in what a port is (RFC 7296 §3.13.1).
    #[error("the selector {0} names ports of any protocol")]
    PortsOfAnyProtocol(TrafficSelector),
}

/// Refuses selectors that could not mean anything.
pub(crate) fn check(local: &[TrafficSelector], remote: &[TrafficSelector]) -> Result<(), SelectorFault> {
    for side in [local, remote] {
        if side.is_empty() {
            return Err(SelectorFault::NoSelectors);
        }
        let ports_of_any = |selector: &&TrafficSelector| {
            selector.protocol == TrafficSelector::ANY_PROTOCOL && selector.ports != PortRange::ANY
        };
        if let Some(selector) = side.iter().find(ports_of_any) {
            return Err(SelectorFault::PortsOfAnyProtocol(*selector));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::IpVersion;
    use alloc::vec::Vec;
    use ipsec_types::AddressRange;
    use proptest::prelude::*;

    fn selector() -> impl Strategy<Value = TrafficSelector> {
        let addresses = prop_oneof![
            4 => (0u32..8, 0u32..8).prop_map(|(a, b)| {
                let [start, end] = [a.min(b), a.max(b)].map(|bits| IpAddr::from(bits.to_be_bytes()));
                AddressRange::new(start, end).unwrap()
            }),
            1 => Just(AddressRange::ALL_V4),
            1 => Just(AddressRange::ALL_V6),
        ];
        let ports = prop_oneof![3 => Just(PortRange::ANY), 1 => Just(PortRange::single(7))];
        (addresses, prop_oneof![3 => Just(0u8), 1 => Just(17)], ports)
            .prop_map(|(addresses, protocol, ports)| TrafficSelector { addresses, protocol, ports })
    }

    fn header() -> impl Strategy<Value = IpHeader> {
        let ports = prop_oneof![Just(Ports::Unavailable), Just(Ports::Pair(7, 8)), Just(Ports::Single(7))];
        (any::<bool>(), 0u32..9, 0u32..9, prop_oneof![Just(None), Just(Some(17)), Just(Some(6))], ports)
            .prop_map(|(v4, source, destination, protocol, ports)| {
                let address = |bits: u32| match v4 {
                    true => IpAddr::from(bits.to_be_bytes()),
                    false => IpAddr::from(u128::from(bits).to_be_bytes()),
                };
                IpHeader {
                    version: if v4 { IpVersion::V4 } else { IpVersion::V6 },
                    length: 28,
                    ds_field: 0,
                    dont_fragment: false,
                    source: address(source),
                    destination: address(destination),
                    protocol,
                    ports,
                    is_fragment: false,
                    upper_offset: 20,
                }
            })
    }

    proptest! {
        /// What the short form admits the selectors admit, and the other way round where there is a short form.
        #[test]
        fn the_short_form_means_the_same(
            local in prop::collection::vec(selector(), 1..3),
            remote in prop::collection::vec(selector(), 1..3),
            header in header(),
            outbound: bool,
        ) {
            let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
            let plain = Plain::of_sides(&local, &remote, direction);
            let simple = |side: &Vec<TrafficSelector>| match &side[..] {
                [one] => one.addresses.is_ipv4() && one.protocol == 0 && one.ports == PortRange::ANY,
                _ => false,
            };
            prop_assert_eq!(plain.is_some(), simple(&local) && simple(&remote));
            if let Some(plain) = plain {
                prop_assert_eq!(plain.admits(&header), match_sides(&local, &remote, &header, direction));
            }
        }
    }
}
