//! Messages in fragments: peers whose IKE_AUTH is large, and what of a fragment is readable.

use super::forge::{Forger, Raw};
use super::setup::{Setup, two};
use super::tickets::{ed25519, sign_now, verify_now};
use super::world::{A, B, Packet, World};
use ikev2_core::{FragmentPolicy, FragmentSizes, LocalAuth};
use ikev2_wire::codes::PayloadType;
use ikev2_wire::{Message, Protected};

/// Two that authenticate by signatures, with certificates of so many octets.
pub fn two_with_certificates(a_octets: usize, b_octets: usize) -> (Setup, Setup) {
    let key = ed25519();
    let (mut a, mut b) = two();
    for (setup, octets) in [(&mut a, a_octets), (&mut b, b_octets)] {
        sign_now(setup, &key);
        verify_now(setup, &key);
        give_certificates(setup, octets);
    }
    (a, b)
}

/// Certificates of so many octets in all, in pieces of at most 3,000. What is in them matters to nobody.
pub fn give_certificates(setup: &mut Setup, octets: usize) {
    let LocalAuth::Signature(identity) = &mut setup.connection.local_auth else { panic!("no signatures") };
    let certificate = |from| (from..octets.min(from + 3_000)).map(|at| (at % 251) as u8).collect();
    identity.certificates = (0..octets).step_by(3_000).map(certificate).collect();
}

/// A policy with these sizes over IPv4.
pub fn sizes(first: u16, least: u16) -> Option<FragmentPolicy> {
    Some(FragmentPolicy { ipv4: FragmentSizes { first, least }, ..FragmentPolicy::default() })
}

/// A world whose node A has sent its IKE_AUTH request: nothing else is in flight.
pub fn asking(a: Setup, b: Setup) -> World {
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    world
}

/// Fragment Number, Total Fragments and Next Payload; `None` where the message is not a fragment.
pub fn fragment(packet: &Packet) -> Option<(u16, u16, PayloadType)> {
    match Message::parse(packet.message()).unwrap().protected() {
        Some(Protected::Skf(skf)) => Some((skf.number, skf.total, skf.first_inner)),
        _ => None,
    }
}

/// The same, of datagrams all of which are fragments: numbers and totals.
pub fn numbers(packets: &[Packet]) -> Vec<(u16, u16)> {
    packets.iter().map(|packet| fragment(packet).map(|(number, total, _)| (number, total)).unwrap()).collect()
}

/// Total Fragments of a whole set, in order.
pub fn total(packets: &[Packet]) -> u16 {
    let total = packets.len() as u16;
    assert_eq!(numbers(packets), (1..=total).map(|number| (number, total)).collect::<Vec<_>>());
    total
}

/// The payloads in a set of fragments.
pub fn open(forger: &Forger, packets: &[Packet]) -> Vec<Raw> {
    forger.open_fragments(packets.iter().map(Packet::message))
}

/// Asserts that both ends have the IKE SA and its first Child SA.
pub fn assert_up(world: &World) {
    for node in [A, B] {
        assert_eq!(world.node(node).mirror.sas.len(), 1, "{node}: {:?}", world.node(node).events);
        assert_eq!(world.node(node).mirror.children.len(), 1, "{node}");
    }
    super::mirror::assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}
