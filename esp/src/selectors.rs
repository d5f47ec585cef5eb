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
