//! Asking IKE for SAs (RFC 4301 §5.1, RFC 9611 §6): once for a flow, or for a resource, and a time, however many packets wait for the answer.

use crate::ip::{IpHeader, Ports};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use ipsec_types::sa::{ChildSaId, PacketSelectors, PolicyId, ResourceId};
use ipsec_types::{AddressRange, Instant, PortRange, TrafficSelector};

/// What an SA is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// A policy, and one of its flows.
    Policy(PolicyId),
    /// A resource, like the pair that it sends by, whichever the flow.
    Resource(ChildSaId, ResourceId),
}

#[derive(Debug)]
struct Asked {
    want: Want,
    packet: PacketSelectors,
    until: Instant,
}

/// What was asked for lately.
#[derive(Debug)]
pub(super) struct Acquires(Vec<Asked>);

impl Acquires {
    /// With room for so many.
    pub(super) fn new(limit: usize) -> Self {
        Self(Vec::with_capacity(limit))
    }

    /// What to ask for, where it was not asked for since `interval`. `Err` where too much was: it is to be asked for
    /// again by a later packet.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        interval: Duration,
        want: Want,
        packet: &IpHeader,
    ) -> Result<Option<PacketSelectors>, TooMany> {
        let packet = selectors_of(packet);
        self.0.retain(|asked| asked.until > now);
        let any_flow = matches!(want, Want::Resource(..));
        if self.0.iter().any(|asked| asked.want == want && (any_flow || asked.packet == packet)) {
            return Ok(None);
        }
        if self.0.len() == self.0.capacity() {
            return Err(TooMany);
        }
        self.0.push(Asked { want, packet, until: now.saturating_add(interval) });
        Ok(Some(packet))
    }

    /// What was to be asked for last was not.
    pub(super) fn take_back(&mut self) {
        self.0.pop();
    }
}

/// The bound of what is asked for at a time is reached.
#[derive(Debug)]
pub(super) struct TooMany;

/// The selectors that match this packet alone, as far as its headers tell.
pub(super) fn selectors_of(packet: &IpHeader) -> PacketSelectors {
    let (from, to) = match packet.ports {
        Ports::Unavailable => (PortRange::ANY, PortRange::ANY),
        Ports::Pair(from, to) => (PortRange::single(from), PortRange::single(to)),
        Ports::Single(value) => (PortRange::single(value), PortRange::single(value)),
    };
    let protocol = packet.protocol.unwrap_or(TrafficSelector::ANY_PROTOCOL);
    let side = |address: IpAddr, ports| TrafficSelector {
        addresses: AddressRange::single(address),
        protocol,
        ports,
    };
    PacketSelectors { source: side(packet.source, from), destination: side(packet.destination, to) }
}
