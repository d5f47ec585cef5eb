//! Orders of messages that are worth trying one by one, and a gateway with several clients.

use super::ike_spis;
use super::support::mirror::assert_crosswise;
use super::support::setup::*;
use super::support::world::*;
use ikev2_core::{CallError, CookiePolicy, IdentityPattern};
use std::collections::BTreeSet;
use std::time::Duration;

/// What may be wrong with a call that comes at any time.
fn allowed(result: Result<(), CallError>) {
    let fine = matches!(result, Ok(()) | Err(CallError::Limit(_) | CallError::NotEstablished));
    assert!(fine, "{result:?}");
}

/// Both ends initiate at once (RFC 7296 §2.8: parallel SAs are legal): every interleaving of the two handshakes,
/// with INITIAL_CONTACT and without.
#[test]
fn both_initiate_at_once_in_every_order() {
    for initial_contact in [true, false] {
        // Which of the eight deliveries belong to the first handshake.
        for order in (0u32..256).filter(|order| order.count_ones() == 4) {
            let (mut a, mut b) = two();
            if !initial_contact {
                // A peer that is not known beforehand is not promised anything.
                a.connection.remote_id = IdentityPattern::Any;
                b.connection.remote_id = IdentityPattern::Any;
            }
            let mut world = World::pair(a, b);
            let (one, _) = (world.connect(A, B), world.connect(B, A));
            let first_spi = world.endpoint(A).ike_sa(one).unwrap().initiator_spi;
            for step in 0..8 {
                let of_first = order & (1 << step) != 0;
                let mut flying = world.take_all();
                let next = flying.iter().position(|p| (p.header().initiator_spi == first_spi) == of_first);
                let next = next.map(|at| flying.remove(at));
                flying.into_iter().for_each(|packet| world.put(packet));
                if let Some(packet) = next {
                    world.deliver(&packet);
                }
            }
            world.run();
            world.run_for_secs(120);
            assert!(!world.node(A).mirror.children.is_empty(), "{order:08b}: nothing is left");
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            assert_eq!(ike_spis(&world, A), ike_spis(&world, B), "{order:08b}");
            if !initial_contact {
                assert_eq!(world.node(A).mirror.children.len(), 2, "{order:08b}");
            }
        }
    }
}

/// One gateway and several clients behind NATs of their own, all at once.
#[test]
fn several_clients_of_one_gateway_do_not_disturb_each_other() {
    const CLIENTS: usize = 6;
    const GATEWAY: usize = 0;
    for seed in 0..40 {
        let mut gateway = Setup::new("gw.example", "any");
        gateway.connection.remote_id = IdentityPattern::Any;
        gateway.config.cookies = CookiePolicy::WhenHalfOpen(2);
        let clients = (1..=CLIENTS).map(|number| Setup::new(&format!("c{number}.example"), "gw.example"));
        let mut world = World::new(std::iter::once(gateway).chain(clients).collect(), seed);
        for client in (1..=CLIENTS).filter(|client| client % 2 == 0) {
            world.nodes[client].nat = Some(Nat::new(&format!("198.51.100.{client}")));
        }
        world.link =
            Link { loss: 100, duplication: 50, corruption: 10, latency: (5, 200), lateness: 20, mtu: 0 };
        world.strict = false;
        for _ in 0..60 {
            let pause = world.dice.below(1_500);
            world.run_for(Duration::from_millis(pause));
            let client = 1 + world.dice.below(CLIENTS as u64) as usize;
            let node = *world.dice.pick(&[GATEWAY, client, client, client]).unwrap();
            let handles: Vec<_> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
            match (world.dice.pick(&handles).copied(), world.dice.below(10)) {
                (Some(sa), 0..=4) => allowed(world.call(node, |e, now| e.create_child(now, sa, "first"))),
                (Some(sa), 5) => allowed(world.call(node, |e, now| e.delete_ike_sa(now, sa))),
                (Some(sa), 6) => allowed(world.call(node, |e, now| e.check_liveness(now, sa))),
                (_, 7) if node != GATEWAY => {
                    if let Some(nat) = &mut world.nodes[node].nat {
                        nat.rebind();
                    }
                }
                _ if node != GATEWAY && handles.is_empty() => drop(world.connect(node, GATEWAY)),
                _ => {}
            }
        }
        world.link = Link { latency: (1, 20), ..Link::default() };
        world.run_for_secs(600);
        let gateway = world.node(GATEWAY).mirror.spi_pairs();
        let clients: BTreeSet<_> =
            (1..=CLIENTS).flat_map(|client| world.node(client).mirror.spi_pairs()).collect();
        let crossed: BTreeSet<_> =
            clients.into_iter().map(|(inbound, outbound)| (outbound, inbound)).collect();
        assert_eq!(gateway, crossed, "seed {seed}");
        for node in 0..=CLIENTS {
            world.call(node, |endpoint, now| endpoint.shut_down(now));
        }
        world.run_for_secs(600);
        (0..=CLIENTS).for_each(|node| world.assert_empty(node));
    }
}
