//! Delete, either way round and crossing (RFC 7296 §1.4.1, §2.25), and orderly ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{CallError, DownReason, Handled, Rejection};
use ikev2_wire::codes::{ExchangeType, PayloadType};
use ipsec_types::EspSpi;
use ipsec_types::sa::ChildSaId;
use std::time::Duration;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::setup::*;
use support::told::*;
use support::world::*;

fn delete_of(spis: &[EspSpi]) -> Raw {
    let mut body = vec![3, 4];
    body.extend_from_slice(&(spis.len() as u16).to_be_bytes());
    spis.iter().for_each(|spi| body.extend_from_slice(&spi.to_be_bytes()));
    Raw::new(PayloadType::DELETE, &body)
}

fn only_child(world: &World, node: usize) -> (ChildSaId, EspSpi) {
    let (id, child) = world.node(node).mirror.children.first_key_value().unwrap();
    (*id, child.inbound.as_ref().unwrap().spi)
}

fn delete_child(world: &mut World, node: usize) -> ChildSaId {
    let (sa, (id, _)) = (world.handle(node), only_child(world, node));
    world.call(node, |e, now| e.delete_child(now, sa, id)).unwrap();
    id
}

fn delete_ike(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.delete_ike_sa(now, sa)).unwrap();
}

#[test]
fn a_child_sa_is_deleted_by_either_side_and_each_names_its_inbound_spi() {
    for (deleter, other) in [(A, B), (B, A)] {
        let (a, b) = two();
        let mut world = World::established(a, b);
        let forger = Forger::new(&world.node(A).keys);
        let (ours, theirs) = (only_child(&world, deleter), only_child(&world, other));
        delete_child(&mut world, deleter);
        // Nothing is gone before the answer.
        assert_eq!(world.take_events(deleter), []);
        let request = world.take();
        assert_eq!(request.header().exchange, ExchangeType::INFORMATIONAL);
        assert_eq!(forger.open(request.message()), [delete_of(&[ours.1])]);
        world.deliver(&request).unwrap().unwrap();
        assert_eq!(child_downs(&world.take_events(other)), [(theirs.0, DownReason::DeletedByPeer)]);
        let answer = world.take();
        assert_eq!(forger.open(answer.message()), [delete_of(&[theirs.1])]);
        world.deliver(&answer).unwrap().unwrap();
        assert_eq!(child_downs(&world.take_events(deleter)), [(ours.0, DownReason::Requested)]);
        for node in [A, B] {
            assert_eq!((world.node(node).mirror.sas.len(), world.node(node).mirror.children.len()), (1, 0));
        }
    }
}

#[test]
fn deleting_a_child_sa_twice_asks_once() {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (4, 4);
    let mut world = World::established(a, b);
    delete_child(&mut world, A);
    delete_child(&mut world, A);
    assert_eq!(world.in_flight().count(), 1);
    world.run();
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, 3);
    assert_eq!(child_downs(&world.take_events(A)).len(), 1);
}

#[test]
fn deletes_of_different_child_sas_cross_without_touching_each_other() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    for _ in 0..2 {
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
    }
    let at_b = world.handle(B);
    let ids: Vec<_> = world.node(A).mirror.children.keys().copied().collect();
    world.call(A, |e, now| e.delete_child(now, sa, ids[0])).unwrap();
    world.call(B, |e, now| e.delete_child(now, at_b, ids[1])).unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 1);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn a_delete_that_waits_for_the_window_answers_the_peers_delete() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    let liveness = world.take();
    delete_child(&mut world, A);
    let (_, inbound) = only_child(&world, A);
    delete_child(&mut world, B);
    world.deliver_next();
    let answer = world.take();
    let forger = Forger::new(&world.node(A).keys);
    // Ours was not sent, so that the pair is named in the answer as usual.
    assert_eq!(forger.open(answer.message()), [delete_of(&[inbound])]);
    world.deliver(&answer).unwrap().unwrap();
    world.deliver(&liveness);
    world.run();
    let (at_a, at_b) = (child_downs(&world.take_events(A)), child_downs(&world.take_events(B)));
    assert_eq!((at_a.len(), at_b.len()), (1, 1));
    assert_eq!(at_a[0].1, DownReason::Requested);
    // And nothing is asked for what is gone.
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, 4);
}

#[test]
fn the_ike_sa_is_deleted_by_either_side_with_its_child_sas_first() {
    for (deleter, other) in [(A, B), (B, A)] {
        let (a, b) = two();
        let mut world = World::established(a, b);
        let sa = world.handle(A);
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
        world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
        delete_ike(&mut world, deleter);
        assert_eq!(world.take_events(deleter), []);
        let forger = Forger::new(&world.node(A).keys);
        let request = world.take();
        assert_eq!(forger.open(request.message()), [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]);
        world.deliver(&request).unwrap().unwrap();
        let events = world.take_events(other);
        assert_eq!(kinds(&events), ["data path", "Child down", "data path", "Child down", "IKE down"]);
        assert_eq!(downs(&events)[0].1, DownReason::DeletedByPeer);
        assert!(child_downs(&events).iter().all(|(_, reason)| *reason == DownReason::IkeSaEnded));
        // §1.4.1: the answer to the Delete of the IKE SA is empty.
        assert_eq!(forger.open(world.in_flight().next().unwrap().message()), []);
        world.run();
        let events = world.take_events(deleter);
        assert_eq!(kinds(&events), ["data path", "Child down", "data path", "Child down", "IKE down"]);
        assert_eq!(downs(&events)[0].1, DownReason::Requested);
        world.run_for_secs(11);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// Both gone within one round trip and one retransmission, each side tells it once.
#[test]
fn crossing_deletes_of_the_ike_sa_in_every_order_and_with_one_loss() {
    for order in 0..8 {
        for lost in [None, Some(0), Some(1), Some(2), Some(3)] {
            let (a, b) = two();
            let mut world = World::established(a, b);
            delete_ike(&mut world, A);
            delete_ike(&mut world, B);
            for step in 0.. {
                let mut flying = world.take_all();
                if flying.is_empty() {
                    break;
                }
                let next = flying.remove(if order & (1 << (step % 3)) != 0 { flying.len() - 1 } else { 0 });
                flying.into_iter().for_each(|packet| world.put(packet));
                if Some(step) != lost {
                    world.deliver(&next);
                }
            }
            world.run_for(Duration::from_millis(1_100));
            for node in [A, B] {
                let events = world.take_events(node);
                assert_eq!(downs(&events).len(), 1, "{order} {lost:?}: {events:?}");
                assert_eq!(downs(&events)[0].1, DownReason::Requested, "{order} {lost:?}");
                assert_eq!(child_downs(&events).len(), 1, "{order} {lost:?}");
                assert_eq!(world.endpoint(node).ike_sas().count(), 0);
            }
            world.run_for_secs(15);
            world.assert_empty(A);
            world.assert_empty(B);
        }
    }
}

#[test]
fn the_delete_of_a_child_sa_crosses_that_of_the_ike_sa() {
    for child_first in [true, false] {
        let (a, b) = two();
        let mut world = World::established(a, b);
        delete_child(&mut world, A);
        delete_ike(&mut world, B);
        let mut flying = world.take_all();
        if !child_first {
            flying.reverse();
        }
        flying.iter().for_each(|packet| drop(world.deliver(packet)));
        world.run();
        for node in [A, B] {
            let events = world.take_events(node);
            assert_eq!((downs(&events).len(), child_downs(&events).len()), (1, 1), "{events:?}");
        }
        world.run_for_secs(15);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

#[test]
fn the_delete_of_the_ike_sa_waits_for_the_window_and_drops_what_waits_before_it() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    for _ in 0..5 {
        world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    }
    delete_ike(&mut world, A);
    assert_eq!(world.in_flight().count(), 1);
    world.run();
    let events = world.take_events(A);
    assert_eq!(kinds(&events), ["alive", "data path", "Child down", "IKE down"]);
    assert_eq!(world.call(A, |e, now| e.delete_ike_sa(now, sa)), Err(CallError::NotEstablished));
}

/// The answer to a Delete is lost: the repeat of the request is answered by what is left of the SA, and the end
/// was told already.
#[test]
fn a_deleted_ike_sa_still_answers_repeats_for_a_while() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    delete_ike(&mut world, A);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    assert_eq!(downs(&world.take_events(B)).len(), 1);
    assert_eq!(world.endpoint(B).ike_sas().count(), 0);
    for _ in 0..3 {
        assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
        assert_eq!(world.take(), answer);
    }
    world.run_for(Duration::from_millis(9_900));
    world.take_all();
    assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
    world.run_for(Duration::from_millis(200));
    world.take_all();
    let spi = request.header().responder_spi.unwrap();
    assert_eq!(world.deliver(&request), Some(Err(Rejection::UnknownSpi(spi))));
    assert_eq!(world.take_events(B), []);
}

#[test]
fn a_delete_that_is_never_answered_ends_all_the_same() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    world.link.loss = 1_000;
    delete_ike(&mut world, A);
    world.run_for_secs(194);
    assert_eq!(downs(&world.take_events(A)), []);
    world.run_for_secs(2);
    let events = world.take_events(A);
    assert_eq!(downs(&events).len(), 1);
    // It was asked for; that the peer was not there changes nothing of it.
    assert_eq!(downs(&events)[0].1, DownReason::Requested);
    world.run_for_secs(15);
    world.assert_empty(A);
}

#[test]
fn an_ike_sa_that_is_not_established_ends_at_once_and_silently() {
    for messages in 0..4 {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        let sa = world.connect(A, B);
        for _ in 0..messages.min(3) {
            world.deliver_next();
        }
        if messages == 3 {
            // B is established, A is not.
            assert_eq!(world.node(B).mirror.sas.len(), 1);
        }
        let late = world.take_all();
        world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["IKE down"], "{messages}");
        assert_eq!(downs(&events)[0].1, DownReason::Requested);
        assert_eq!(world.in_flight().count(), 0);
        // What comes late does nothing.
        for packet in &late {
            let _ = world.deliver(packet);
        }
        world.run();
        assert_eq!(world.take_events(A), [], "{messages}");
        // B finds out by itself.
        world.run_for_secs(400);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

#[test]
fn a_half_open_ike_sa_can_be_deleted_by_its_responder() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    delete_ike(&mut world, B);
    assert_eq!(world.endpoint(B).half_open(), 0);
    assert_eq!(world.endpoint(B).ike_sas().count(), 0);
    world.run();
    world.run_for_secs(15);
    world.assert_empty(B);
}

#[test]
fn shut_down_ends_everything_in_order_whatever_its_stage() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    // Established; half-open at B; waiting for IKE_SA_INIT; and one that is being deleted.
    for _ in 0..2 {
        world.connect(A, B);
        world.run();
    }
    let closing = world.endpoint(A).ike_sas().next().unwrap().0;
    world.connect(A, B);
    world.deliver_next();
    world.take_all();
    world.connect(A, B);
    world.take_all();
    world.call(A, |e, now| e.delete_ike_sa(now, closing)).unwrap();
    world.take_all();
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    world.call(A, |e, now| e.shut_down(now));
    world.call(A, |e, now| e.shut_down(now));
    // The two that never got anywhere end at once.
    assert_eq!(kinds(&world.take_events(A)), ["IKE down", "IKE down"]);
    world.run_for_secs(3);
    assert_eq!(downs(&world.take_events(A)).len(), 2);
    assert_eq!(downs(&world.take_events(B)).len(), 2);
    world.run_for_secs(60);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// A liveness check of the deleted peer's: it was in flight when the Delete came.
#[test]
fn what_was_in_flight_when_the_peer_deleted_is_forgotten() {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (4, 4);
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    let requests = world.take_all();
    delete_ike(&mut world, B);
    world.run();
    let events = world.take_events(A);
    assert_eq!(kinds(&events), ["data path", "Child down", "IKE down"]);
    for request in &requests {
        let refused = world.deliver(request).unwrap();
        assert!(matches!(refused, Err(Rejection::UnexpectedExchange(_))), "{refused:?}");
    }
    world.run_for_secs(15);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// §1.4.1: what both delete at once is named in no answer, and each side tells its end once. Every order of the
/// four messages, with none lost and with each lost once.
#[test]
fn crossing_deletes_of_one_child_sa_in_every_order() {
    for order in 0..6 {
        for lost in [None, Some(0), Some(1), Some(2), Some(3)] {
            let (a, b) = two();
            let mut world = World::established(a, b);
            let forger = Forger::new(&world.node(A).keys);
            delete_child(&mut world, A);
            delete_child(&mut world, B);
            let mut dropped = 0;
            let mut delivered = 0;
            for step in 0.. {
                let mut flying = world.take_all();
                if flying.is_empty() {
                    break;
                }
                let next = flying.remove(if order & (1 << (step % 3)) != 0 { flying.len() - 1 } else { 0 });
                flying.into_iter().for_each(|packet| world.put(packet));
                if next.header().flags.is_response() {
                    assert_eq!(forger.open(next.message()), [], "a Delete in the answer to a crossing one");
                }
                if Some(delivered + dropped) == lost && dropped == 0 {
                    dropped += 1;
                } else {
                    delivered += 1;
                    world.deliver(&next);
                }
            }
            // One retransmission.
            world.run_for(Duration::from_millis(1_100));
            for node in [A, B] {
                let events = world.take_events(node);
                assert_eq!(child_downs(&events).len(), 1, "{order} {lost:?}: {events:?}");
                assert!(world.node(node).mirror.children.is_empty());
                assert_eq!(world.node(node).mirror.sas.len(), 1);
            }
        }
    }
}

#[test]
fn calls_on_an_ike_sa_that_is_being_deleted_are_refused() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let (sa, (id, _)) = (world.handle(A), only_child(&world, A));
    delete_ike(&mut world, A);
    let before = dump(world.endpoint(A));
    let refused = Err(CallError::NotEstablished);
    assert_eq!(world.call(A, |e, now| e.delete_ike_sa(now, sa)), refused);
    assert_eq!(world.call(A, |e, now| e.create_child(now, sa, "first")), refused);
    assert_eq!(world.call(A, |e, now| e.check_liveness(now, sa)), refused);
    assert_eq!(world.call(A, |e, now| e.delete_child(now, sa, id)), refused);
    assert_eq!(before, dump(world.endpoint(A)));
}
