//! Nothing that comes in panics, whatever the stage: arbitrary octets, arbitrary fields, and messages with
//! something changed; also where it is authentic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::Role;
use ikev2_core::exchange::protect::MessageHead;
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ikev2_wire::{Flags, IkeSpi};
use ipsec_types::{Path, PathKind};
use proptest::prelude::*;
use support::forge::{Forger, Raw, plain};
use support::setup::*;
use support::world::*;

/// A world some way into a life, with what is in flight.
fn world_at(step: usize) -> World {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (2, 3);
    let mut world = World::pair(a, b);
    world.strict = false;
    world.connect(A, B);
    for _ in 0..step.min(4) {
        world.deliver_next();
    }
    if step > 4 {
        let (at_a, at_b) = (world.handle(A), world.handle(B));
        world.call(A, |e, now| e.create_child(now, at_a, "first")).unwrap();
        world.call(B, |e, now| e.check_liveness(now, at_b)).unwrap();
        if step > 5 {
            world.deliver_next();
        }
        if step > 6 {
            world.call(B, |e, now| e.delete_ike_sa(now, at_b)).unwrap();
        }
    }
    world
}

fn paths() -> impl Strategy<Value = (bool, u16)> {
    (any::<bool>(), 1..=u16::MAX)
}

fn path(node: usize, (nat_t, port): (bool, u16)) -> Path {
    let local = if nat_t { 4500 } else { 500 };
    let ip = |node: usize| std::net::IpAddr::from([192, 0, 2, node as u8 + 1]);
    Path {
        local: (ip(node), local).into(),
        remote: (ip(1 - node), port).into(),
        kind: if nat_t { PathKind::NatT } else { PathKind::Ike },
    }
}

fn raws() -> impl Strategy<Value = Vec<Raw>> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(0u8..5, 0..40),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    let ty = prop_oneof![33u8..=54, any::<u8>()];
    let raw = (ty, any::<bool>(), body).prop_map(|(ty, critical, body)| {
        let ty = if ty == 0 { PayloadType::VENDOR_ID } else { PayloadType(ty) };
        Raw { ty, critical, body }
    });
    prop::collection::vec(raw, 0..8)
}

/// Afterwards everything still works, or ends in order.
fn aftermath(mut world: World) {
    world.run_for_secs(300);
    for node in [A, B] {
        world.call(node, |endpoint, now| endpoint.shut_down(now));
    }
    world.run_for_secs(300);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// An SPI that nobody chose. Its first half is not zero, so that what echoes it is not taken for the non-ESP
/// marker.
fn stranger() -> IkeSpi {
    IkeSpi::new(0x7700_0000_0000_0077).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_octets(
        step in 0..8usize,
        node in 0..2usize,
        way in paths(),
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut world = world_at(step);
        let _ = world.receive(node, path(node, way), &octets);
        // The same behind a header that fits an SA of the node.
        let spis = world.endpoint(node).ike_sas().next().map(|(_, info)| info);
        if let Some(info) = spis {
            let head = MessageHead {
                initiator_spi: info.initiator_spi,
                responder_spi: info.responder_spi,
                exchange: ExchangeType(octets.first().copied().unwrap_or(0)),
                flags: Flags(octets.get(1).copied().unwrap_or(0)),
                message_id: u32::from(octets.get(2).copied().unwrap_or(0) % 5),
            };
            let sk = Raw::new(PayloadType::SK, &octets);
            let _ = world.receive(node, path(node, (false, 500)), &plain(&head, &[sk]));
        }
        aftermath(world);
    }

    #[test]
    fn arbitrary_payloads_in_the_clear(
        step in 0..8usize,
        node in 0..2usize,
        way in paths(),
        payloads in raws(),
        (exchange, flags, message_id) in (33..46u8, any::<u8>(), 0..4u32),
        known in any::<bool>(),
    ) {
        let mut world = world_at(step);
        let info = world.endpoint(node).ike_sas().next().map(|(_, info)| info);
        let info = info.filter(|_| known);
        let head = MessageHead {
            initiator_spi: info.as_ref().map_or(stranger(), |info| info.initiator_spi),
            responder_spi: info.and_then(|info| info.responder_spi),
            exchange: ExchangeType(exchange),
            flags: Flags(flags),
            message_id,
        };
        let message = plain(&head, &payloads);
        let marked = [&[0; 4][..], &message].concat();
        let octets = if way.0 { &marked } else { &message };
        let _ = world.receive(node, path(node, way), octets);
        aftermath(world);
    }

    #[test]
    fn messages_with_something_changed(
        step in 0..8usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        fix_length in any::<bool>(),
    ) {
        let mut world = world_at(step);
        for packet in world.take_all() {
            let mut octets = packet.message().to_vec();
            for (at, octet) in &changes {
                let at = at.index(octets.len());
                octets[at] = *octet;
            }
            if let Some(cut) = &cut {
                octets.truncate(cut.index(octets.len()));
            }
            if fix_length && octets.len() >= 28 {
                let length = octets.len() as u32;
                octets[24..28].copy_from_slice(&length.to_be_bytes());
            }
            world.deliver(&packet.with_message(&octets));
            world.deliver(&packet);
        }
        aftermath(world);
    }

    /// A peer with the right keys that says anything at all.
    #[test]
    fn arbitrary_payloads_that_are_authentic(
        step in 2..8usize,
        node in 0..2usize,
        payloads in raws(),
        outside in raws(),
        (exchange, response, message_id) in (34..38u8, any::<bool>(), 0..5u32),
        text in prop::option::of((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60))),
    ) {
        let mut world = world_at(step);
        let Some(line) = world.node(node).keys.ike_lines().pop() else { return Ok(()) };
        let mut forger = Forger::from_line(&line);
        let role = if node == A { Role::Responder } else { Role::Initiator };
        let head = forger.head(role, ExchangeType(exchange), message_id, response);
        let outside: Vec<Raw> =
            outside.into_iter().filter(|raw| ![46, 53].contains(&raw.ty.0)).take(2).collect();
        let message = match text {
            Some((first, text)) => forger.seal_text(&head, &outside, PayloadType(first), &text),
            None => forger.seal_with(&head, &outside, &payloads),
        };
        let _ = world.receive(node, path(node, (false, 500)), &message);
        aftermath(world);
    }

    /// What a sound peer says, with payloads left out, doubled, moved and changed, and sealed again.
    #[test]
    fn authentic_messages_with_something_changed(
        step in 2..8usize,
        edits in prop::collection::vec((0..5u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut world = world_at(step);
        for packet in world.take_all() {
            if packet.header().next_payload != PayloadType::SK {
                world.deliver(&packet);
                continue;
            }
            let mut forger = Forger::new(&world.node(A).keys);
            let altered = forger.alter(&packet, |payloads| {
                for (edit, at, to, octet) in &edits {
                    if payloads.is_empty() {
                        return;
                    }
                    let at = at.index(payloads.len());
                    match edit {
                        0 => drop(payloads.remove(at)),
                        1 => payloads.push(payloads[at].clone()),
                        2 => {
                            let to = to.index(payloads.len());
                            payloads.swap(at, to);
                        }
                        3 => payloads[at].ty = PayloadType((*octet).max(1)),
                        _ => {
                            let body = &mut payloads[at].body;
                            if !body.is_empty() {
                                let at = to.index(body.len());
                                body[at] = *octet;
                            }
                        }
                    }
                }
            });
            world.deliver(&altered);
        }
        // The two may have been told different things; both must come to rest.
        world.run_for_secs(600);
        for node in [A, B] {
            world.call(node, |endpoint, now| endpoint.shut_down(now));
        }
        world.run_for_secs(300);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}
