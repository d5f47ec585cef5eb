//! The NAT_DETECTION notifies of a message (RFC 7296 §2.23). No recording has a NAT in it.

use crate::coverage::Coverage;
use crate::message::Plain;
use ikev2_core::NatStatus;
use ikev2_core::establish::nat::{detect, hash};
use ikev2_wire::{NotifyPayload, NotifyType};
use ipsec_conformance::Packet;
use ipsec_types::Path;

/// Compares the hashes with those of the packet's addresses, and what the receiver finds by them.
pub(crate) fn check(packet: &Packet, plain: &Plain, coverage: &mut Coverage) {
    let contents = plain.contents();
    let of_type = |ty| contents.notifies.iter().filter(move |notify| notify.ty == ty);
    let sources: Vec<&NotifyPayload<'_>> = of_type(NotifyType::NAT_DETECTION_SOURCE_IP).collect();
    let destinations: Vec<_> = of_type(NotifyType::NAT_DETECTION_DESTINATION_IP).collect();
    assert_eq!((sources.is_empty(), destinations.len()), (destinations.is_empty(), sources.len()));
    let [destination] = destinations[..] else { return };

    let (initiator, responder) = (plain.header.initiator_spi, plain.header.responder_spi);
    assert_eq!(destination.data, hash(initiator, responder, packet.destination));
    let honest = sources.iter().any(|source| source.data == hash(initiator, responder, packet.source));
    coverage.nat_hashes += 1 + usize::from(honest);
    coverage.nat_claims += usize::from(!honest);

    let path = Path::ike(packet.destination, packet.source);
    let data = sources.iter().map(|source| source.data);
    let found = detect(initiator, responder, &path, data, Some(destination.data), false);
    assert_eq!(found, Some(NatStatus { local: false, remote: !honest }));
}
