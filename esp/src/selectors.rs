//! Whether a packet is one of those that an SA carries (RFC 4301 §4.4.1.1, §5.2 step 4).

use crate::ip::{IpHeader, Ports};
use core::net::IpAddr;
use ipsec_types::TrafficSelector;
use ipsec_types::sa::{ChildSa, Direction};

/// Whether the SA's selectors admit the packet: one of the near side's and one of the far side's, in any
/// combination (RFC 7296 §2.9).
#[must_use]
pub fn admits(child: &ChildSa, packet: &IpHeader, direction: Direction) -> bool {
    let (sources, destinations) = match direction {
        Direction::Outbound => (&child.local, &child.remote),
        Direction::Inbound => (&child.remote, &child.local),
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
