//! Rekeys of the IKE SA (RFC 7296 §1.3.2, §2.18), and all that can cross them (§2.8.1, §2.25.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::Fault;
use ikev2_core::{DownReason, Event, Failure, IkeSaInfo, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ipsec_types::SaReport;
use std::collections::BTreeMap;
use std::time::Duration;
use support::forge::{Forger, Raw, head_of};
use support::mirror::assert_crosswise;
use support::peer::{body, has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

fn established() -> World {
    let (a, b) = two();
    World::established(a, b)
}

fn rekey(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
}

fn info(world: &World, node: usize) -> IkeSaInfo {
    world.node(node).only_sa().1
}

/// Both ends have the same IKE SA and the same Child SAs, and both can use them either way.
fn assert_whole(world: &mut World, children: usize) {
    let (a, b) = (info(world, A), info(world, B));
    assert_eq!((a.initiator_spi, a.responder_spi), (b.initiator_spi, b.responder_spi));
    assert_ne!(a.role, b.role);
    assert_eq!((a.suite, a.prf, a.ke), (b.suite, b.prf, b.ke));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), children);
    for node in [A, B] {
        world.take_events(node);
        let sa = world.handle(node);
        world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"alive"));
    }
}

/// §1.3.2, §2.18: new SPIs and roles, Message IDs from 0; the handle, the Child SAs and who the peer is stay.
#[test]
fn the_ike_sa_is_rekeyed_by_either_side() {
    for (rekeyer, other) in [(A, B), (B, A)] {
        let mut world = established();
        let forger = Forger::new(&world.node(A).keys);
        let (handle, before) = world.node(rekeyer).only_sa();
        rekey(&mut world, rekeyer);
        let request = world.take();
        let payloads = forger.open(request.message());
        let types: Vec<_> = payloads.iter().map(|raw| raw.ty).collect();
        assert_eq!(types, [PayloadType::SA, PayloadType::NONCE, PayloadType::KE]);
        // Protocol IKE, an SPI of eight octets (§3.3.1).
        assert_eq!(body(&payloads, PayloadType::SA)[5..7], [1, 8]);
        world.deliver(&request).unwrap().unwrap();
        assert_eq!(kinds(&world.take_events(other)), ["IKE rekeyed"]);
        let answer = world.take();
        assert!(!has(&forger.open(answer.message()), PayloadType::NOTIFY));
        world.deliver(&answer).unwrap().unwrap();
        assert_eq!(kinds(&world.take_events(rekeyer)), ["IKE rekeyed"]);

        // The old one is deleted by who began, under the old keys.
        let delete = world.take();
        assert_eq!(forger.open(delete.message()), [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]);
        world.deliver(&delete).unwrap().unwrap();
        world.run();
        let (after_handle, after) = world.node(rekeyer).only_sa();
        assert_eq!((after_handle, after.role), (handle, Role::Initiator));
        assert_eq!((after.requests_sent, after.requests_answered), (0, 0));
        assert_ne!(after.initiator_spi, before.initiator_spi);
        assert_ne!(after.responder_spi, before.responder_spi);
        let kept = |info: &IkeSaInfo| {
            let at = (info.created_at, info.established_at);
            (info.children.clone(), info.path, info.nat, info.remote_id.clone(), at)
        };
        assert_eq!(kept(&after), kept(&before));
        assert_whole(&mut world, 1);
        let sa = world.handle(A);
        world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
        world.run_for_secs(30);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// Repeats of the old generation's last requests are answered for a while, and then it is forgotten.
#[test]
fn the_old_generation_answers_repeats_until_it_is_forgotten() {
    let mut world = established();
    rekey(&mut world, A);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.deliver_next();
    let delete = world.take();
    world.deliver(&delete).unwrap().unwrap();
    let answer = world.take();
    for repeated in [&delete, &delete] {
        world.deliver(repeated).unwrap().unwrap();
        assert_eq!(world.take().octets, answer.octets);
    }
    world.deliver(&answer).unwrap().unwrap();
    world.run_for_secs(11);
    assert!(world.deliver(&delete).unwrap().is_err());
    assert_whole(&mut world, 1);
}

#[test]
fn generations_follow_each_other_and_take_everything_along() {
    let (mut a, b) = two();
    a.connection.force_udp_encapsulation = true;
    let mut world = World::established(a, b);
    let before = info(&world, A);
    for turn in 0..20 {
        rekey(&mut world, turn % 2);
        world.run_for_secs(15);
        let node = world.node((turn + 1) % 2);
        let (sa, child) = (node.only_sa().0, *node.mirror.children.keys().next().unwrap());
        world.call((turn + 1) % 2, |e, now| e.rekey_child(now, sa, child)).unwrap();
        world.run_for_secs(15);
        assert_whole(&mut world, 1);
        assert_eq!(world.endpoint(A).ike_sas().count(), 1);
    }
    let after = info(&world, A);
    assert_eq!((before.nat, before.path), (after.nat, after.path));
    assert_eq!(world.endpoint(A).statistics().ike_sas_rekeyed, 20);
}

#[test]
fn the_ike_sa_is_rekeyed_when_its_time_has_come() {
    let (mut a, b) = two();
    a.connection.ike_rekey_after = Some(Duration::from_secs(3_600));
    let mut world = World::established(a, b);
    world.strict = false;
    world.run_for_secs(24 * 3_600);
    let rekeys = world.endpoint(A).statistics().ike_sas_rekeyed;
    assert!((24..=27).contains(&rekeys), "{rekeys}");
    assert_whole(&mut world, 1);
}

#[test]
fn an_ike_sa_that_nothing_rekeys_ends() {
    let (mut a, mut b) = two();
    (a.connection.ike_rekey_after, b.connection.ike_rekey_after) = (None, None);
    a.connection.ike_expires_after = Some(Duration::from_secs(7_200));
    let mut world = World::established(a, b);
    world.strict = false;
    world.run_for_secs(7_199);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
    world.run_for_secs(30);
    let reason = downs(&world.take_events(A))[0].1.clone();
    assert_eq!(reason, DownReason::Expired(ipsec_types::sa::ExpiryReason::Time));
    world.assert_empty(B);
}

/// All orders in which the messages of two crossing rekeys can arrive, with at most one of them lost once: in the
/// end both ends have one IKE SA, the same, with the same Child SAs.
#[test]
fn crossing_rekeys_leave_one_ike_sa_in_every_order_with_every_loss() {
    let mut rekeyed = BTreeMap::new();
    for seed in 0..100 {
        for lost in 0..=8 {
            let (a, b) = two();
            let mut world = World::new(vec![a, b], seed);
            world.strict = false;
            world.connect(A, B);
            world.run();
            let before = info(&world, A).initiator_spi;
            rekey(&mut world, A);
            rekey(&mut world, B);
            world.deliver_in_any_order(lost);
            world.run_for_secs(100);
            assert_ne!(info(&world, A).initiator_spi, before, "seed {seed}, lost {lost}");
            let times = world.endpoint(A).statistics().ike_sas_rekeyed;
            *rekeyed.entry(times).or_insert(0) += 1;
            assert_whole(&mut world, 1);
            for node in [A, B] {
                world.call(node, |e, now| e.shut_down(now));
            }
            world.run_for_secs(300);
            world.assert_empty(A);
            world.assert_empty(B);
        }
    }
    assert!(rekeyed.len() >= 2, "{rekeyed:?}");
}

/// §2.25.2: what is about a Child SA waits while the IKE SA is rekeyed, and the other way round.
#[test]
fn what_cannot_go_together_waits() {
    let temporary = [(NotifyType::TEMPORARY_FAILURE, Vec::new())];
    for ike_first in [true, false] {
        let mut world = established();
        let forger = Forger::new(&world.node(A).keys);
        rekey(&mut world, if ike_first { A } else { B });
        let of_ike = world.take();
        let creator = if ike_first { B } else { A };
        let sa = world.handle(creator);
        world.call(creator, |e, now| e.create_child(now, sa, "first")).unwrap();
        let of_child = world.take();
        // Each gets the other's request while its own is out.
        for request in [&of_ike, &of_child] {
            world.deliver(request).unwrap().unwrap();
            let answer = world.take();
            assert_eq!(notifies(&forger.open(answer.message())), temporary);
            world.put(answer);
        }
        world.run_for_secs(120);
        assert_whole(&mut world, 2);
        assert_ne!(world.endpoint(A).statistics().ike_sas_rekeyed, 0);
    }
}

/// A Child SA is deleted as ever while the IKE SA is rekeyed (§2.25.2).
#[test]
fn a_child_sa_is_deleted_while_the_ike_sa_is_rekeyed() {
    let mut world = established();
    rekey(&mut world, A);
    let request = world.take();
    let (sa, child) = (world.handle(B), *world.node(B).mirror.children.keys().next().unwrap());
    world.call(B, |e, now| e.delete_child(now, sa, child)).unwrap();
    world.deliver_next();
    assert_eq!(kinds(&world.take_events(A)), ["data path", "Child down"]);
    world.deliver(&request).unwrap().unwrap();
    world.run_for_secs(120);
    assert_whole(&mut world, 0);
}

/// §2.25.2: a Delete of the IKE SA ends its rekey.
#[test]
fn a_delete_ends_the_rekey_that_it_crosses() {
    let mut world = established();
    rekey(&mut world, A);
    let request = world.take();
    let sa = world.handle(B);
    world.call(B, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    let delete = world.take();
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    let forger = Forger::new(&world.node(A).keys);
    assert_eq!(forger.open(answer.message()), [Raw::notify(NotifyType::TEMPORARY_FAILURE, &[])]);
    world.deliver(&delete).unwrap().unwrap();
    assert_eq!(downs(&world.take_events(A))[0].1, DownReason::DeletedByPeer);
    world.run_for_secs(30);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// The peer has rekeyed the IKE SA and deletes what that made, while our own rekey waits for its answer: either ours
/// is what is left over of the two, or the peer ends the IKE SA. Where ours is refused it is the latter, and nothing
/// more is begun.
#[test]
fn a_delete_of_what_the_peers_rekey_made_is_understood_by_the_answer_to_ours() {
    let mut fell_back = 0;
    for seed in 0..20 {
        let (mut a, mut b) = two();
        (a.config.window, b.config.window) = (3, 3);
        let mut world = World::new(vec![a, b], seed);
        world.strict = false;
        world.connect(A, B);
        world.run();
        rekey(&mut world, A);
        let request_of_a = world.take();
        rekey(&mut world, B);
        let request_of_b = world.take();
        world.deliver(&request_of_b).unwrap().unwrap();
        world.deliver_next();
        let at_b = world.handle(B);
        world.call(B, |e, now| e.delete_ike_sa(now, at_b)).unwrap();
        let (old, new): (Vec<_>, Vec<_>) =
            world.take_all().into_iter().partition(|delete| delete.header().message_id > 0);
        world.deliver(&request_of_a).unwrap().unwrap();
        let refusal = world.take_all();
        world.take_events(A);
        world.deliver(&new[0]).unwrap().unwrap();
        if !kinds(&world.take_events(A)).contains(&"IKE rekeyed") {
            continue;
        }
        fell_back += 1;
        let at_a = world.handle(A);
        world.call(A, |e, now| e.create_child(now, at_a, "first")).unwrap();
        for packet in refusal {
            world.deliver(&packet).unwrap().unwrap();
        }
        let begun = world.in_flight().any(|packet| {
            let header = packet.header();
            header.exchange == ExchangeType::CREATE_CHILD_SA && !header.flags.is_response()
        });
        assert!(!begun, "seed {seed}");
        old.into_iter().for_each(|packet| world.put(packet));
        world.run_for_secs(20);
        assert_eq!(downs(&world.take_events(A)), [(at_a, DownReason::DeletedByPeer)], "seed {seed}");
        world.assert_empty(A);
        world.assert_empty(B);
    }
    assert!(fell_back > 3, "{fell_back}");
}

/// A Delete of the IKE SA while our own rekey of it is out waits for the answer: the peer may have made a new one by
/// then, and that is the one to delete.
#[test]
fn an_ike_sa_that_is_deleted_while_its_rekey_is_out_is_gone_at_both_ends() {
    for seed in 0..100 {
        for both in [false, true] {
            let (mut a, mut b) = two();
            (a.config.window, b.config.window) = (2, 2);
            let mut world = World::new(vec![a, b], seed);
            world.strict = false;
            world.connect(A, B);
            world.run();
            rekey(&mut world, A);
            if both {
                rekey(&mut world, B);
            }
            let sa = world.handle(A);
            world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
            world.deliver_in_any_order(0);
            // No time passes in which anybody could find the other gone.
            world.run_for_secs(20);
            world.assert_empty(A);
            world.assert_empty(B);
            assert_eq!(downs(&world.take_events(A)), [(sa, DownReason::Requested)], "{seed} {both}");
            assert_eq!(downs(&world.take_events(B))[0].1, DownReason::DeletedByPeer, "{seed} {both}");
        }
    }
}

/// §2.25.2: "closing a Child SA of that IKE SA" is what the Delete by the former one still does.
#[test]
fn a_rekey_waits_for_a_delete_that_went_by_the_former_ike_sa() {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (2, 2);
    let mut world = World::established(a, b);
    rekey(&mut world, A);
    let (sa, child) = (world.handle(A), *world.node(A).mirror.children.keys().next().unwrap());
    world.call(A, |e, now| e.delete_child(now, sa, child)).unwrap();
    let (request, delete) = (world.take(), world.take());
    world.deliver(&request).unwrap().unwrap();
    world.deliver_next().unwrap().unwrap();
    let forger = Forger::new(&world.node(A).keys);
    rekey(&mut world, B);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    assert_eq!(notifies(&forger.open(answer.message())), [(NotifyType::TEMPORARY_FAILURE, Vec::new())]);
    world.put(answer);
    world.put(delete);
    world.run_for_secs(120);
    assert_whole(&mut world, 0);
    assert_eq!(world.endpoint(B).statistics().ike_sas_rekeyed, 2);
}

/// What waits for a former IKE SA holds no liveness check back, which would stay due for ever.
#[test]
fn a_liveness_check_goes_ahead_of_what_waits_for_a_former_ike_sa() {
    let (mut a, b) = two();
    a.connection.liveness = Some(Duration::from_secs(10));
    let mut world = World::established(a, b);
    rekey(&mut world, A);
    world.take();
    rekey(&mut world, B);
    world.deliver_next().unwrap().unwrap();
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.take_all();
    world.link.loss = 1_000;
    world.run_for_secs(30);
    assert_eq!(info(&world, A).requests_sent, 1);
}

#[test]
fn a_refused_rekey_is_told_and_tried_again() {
    let mut world = established();
    let mut forger = Forger::new(&world.node(A).keys);
    rekey(&mut world, A);
    let request = world.take();
    let head = forger.head(Role::Responder, ExchangeType::CREATE_CHILD_SA, 2, true);
    let octets = forger.seal(&head, &[Raw::notify(NotifyType::NO_PROPOSAL_CHOSEN, &[])]);
    world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
    let told = world.take_events(A);
    let expected = Failure::Refused { notify: NotifyType::NO_PROPOSAL_CHOSEN };
    assert!(
        matches!(&told[..], [Event::IkeRekeyFailed { failure, .. }] if **failure == expected),
        "{told:?}"
    );
    let (next, _) = world.next_timer().unwrap();
    world.run_until(next.max(world.now + Duration::from_secs(8)));
    let again = world.endpoint(A).ike_sas().next().unwrap().1.requests_sent;
    assert_eq!(again, 4, "it asks again after a pause");
}

/// INVALID_KE_PAYLOAD in a rekey (§1.3): the same with the method that the peer names.
#[test]
fn the_method_that_the_peer_names_is_used() {
    let (a, b) = two();
    let a = a.ike(&["aes256gcm16-prfsha256-x25519-ecp256"]);
    let b = b.ike(&["aes256gcm16-prfsha256-ecp256"]);
    let mut world = World::established(a, b);
    rekey(&mut world, A);
    world.run();
    assert_eq!(info(&world, A).ke, Some(ikev2_wire::KeMethod::ECP_256));
    assert_whole(&mut world, 1);
}

/// A packet, a report or a message under the old generation after the rekey disturbs nothing.
#[test]
fn what_comes_late_disturbs_nothing() {
    let mut world = established();
    let at_b = world.handle(B);
    world.call(B, |e, now| e.check_liveness(now, at_b)).unwrap();
    let late = world.take();
    rekey(&mut world, A);
    world.deliver_next();
    world.deliver_next();
    // Its keys are those of the old generation, which the peer is deleting.
    world.deliver(&late).unwrap().unwrap();
    let child = *world.node(A).mirror.children.keys().next().unwrap();
    let now = world.now;
    world.call(A, |e, _| e.handle_report(now, &SaReport::LastInbound { id: child, at: now })).unwrap();
    world.run_for_secs(120);
    assert_whole(&mut world, 1);
}

/// A peer that rekeys again and again and deletes nothing is held to a bound.
#[test]
fn former_generations_are_bounded() {
    let mut world = established();
    let mut forger = Forger::new(&world.node(B).keys);
    let mut refused = false;
    for _ in 0..6 {
        rekey(&mut world, A);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        refused |= notifies(&forger.open(answer.message()))
            .iter()
            .any(|notify| notify.0 == NotifyType::TEMPORARY_FAILURE);
        world.deliver(&answer).unwrap().unwrap();
        // The Delete of the old one is lost for good.
        world.take_all();
        forger = Forger::from_line(world.node(B).keys.ike_lines().last().unwrap());
        if refused {
            break;
        }
    }
    assert!(refused);
}

/// The peer has answered with a new IKE SA, and goes on by that one alone. Where we cannot have it, nothing is left: the
/// old one ends with a Delete, and not with another attempt by an IKE SA that the peer has left.
#[test]
fn an_answer_that_gives_no_keys_ends_the_ike_sa() {
    let zeros = |payload: Raw| match payload.ty {
        PayloadType::KE => {
            let mut body = payload.body;
            body[4..].fill(0);
            Some(Raw::new(PayloadType::KE, &body))
        }
        _ => Some(payload),
    };
    let without_ke = |payload: Raw| (payload.ty != PayloadType::KE).then_some(payload);
    for change in [&zeros as &dyn Fn(Raw) -> Option<Raw>, &without_ke] {
        let mut world = established();
        let mut forger = Forger::new(&world.node(A).keys);
        rekey(&mut world, A);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        let altered: Vec<_> = forger.open(answer.message()).into_iter().filter_map(change).collect();
        let altered = answer.with_message(&forger.seal(&head_of(answer.message()), &altered));
        world.take_events(A);
        world.deliver(&altered).unwrap().unwrap();
        let delete = world.peek();
        assert_eq!(forger.open(delete.message()), [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]);
        world.run_for_secs(60);
        let events = world.take_events(A);
        let failure = down(&events);
        let told = matches!(failure, Failure::KeyExchange { .. } | Failure::MissingPayload(PayloadType::KE));
        assert!(told && failure.fault() == Fault::PeerMisbehaved, "{failure}");
        assert!(!kinds(&events).contains(&"IKE rekey failed"), "{events:?}");
        world.assert_empty(A);
    }
}
