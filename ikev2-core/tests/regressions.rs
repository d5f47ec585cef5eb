//! Faults that were found and mended, each by the rule that it broke.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{
    CallError, CookiePolicy, DownReason, DuplicatePolicy, Event, Failure, Handled, IdentityPattern,
    Rejection, Role,
};
use ikev2_wire::Payload;
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ipsec_types::sa::{Direction, ExpiryReason, PacketSelectors, PolicyId};
use ipsec_types::{Instant, SaReport};
use std::sync::Arc;
use std::time::Duration;
use support::forge::{Forger, Raw, head_of, payloads_of, plain};
use support::mirror::assert_crosswise;
use support::peer::Peer;
use support::setup::*;
use support::stages::about_to_authenticate;
use support::told::down;
use support::world::*;

#[test]
fn a_refused_delete_of_a_child_can_be_repeated() {
    let (mut a, b) = two();
    a.config.max_queued_requests = 1;
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    let id = *world.node(A).mirror.children.keys().next().unwrap();
    // One request in flight, one in the queue.
    for _ in 0..2 {
        world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    }
    assert!(matches!(world.call(A, |e, now| e.delete_child(now, sa, id)), Err(CallError::Limit(_))));
    world.run();
    let report = SaReport::HardExpired { id, direction: Direction::Inbound, reason: ExpiryReason::Time };
    world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    world.run();
    let events = world.take_events(A);
    let expected = DownReason::Expired(ExpiryReason::Time);
    assert!(
        events.iter().any(|e| matches!(e, Event::ChildSaDown { reason, .. } if *reason == expected)),
        "{events:?}"
    );
}

#[test]
fn the_end_of_time_ends_in_an_orderly_way() {
    for with_request in [false, true] {
        let (mut a, b) = two();
        a.connection.liveness = None;
        let mut world = World::pair(a, b);
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
        world.now = Instant::from_origin(Instant::MAX.since_origin() - Duration::from_secs(1));
        world.connect(A, B);
        world.run();
        if with_request {
            let sa = world.handle(A);
            world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
            world.take();
        }
        world.now = Instant::MAX;
        world.fire(A);
        world.fire(B);
        assert!(world.in_flight().count() <= 2, "a burst of {}", world.in_flight().count());
        world.run();
    }
}

#[test]
fn an_interval_of_zero_does_not_spin() {
    let (mut a, b) = two();
    a.connection.nat_keepalive = Duration::ZERO;
    a.connection.liveness = Some(Duration::ZERO);
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.connect(A, B);
    world.run();
    world.fire(A);
    assert!(world.in_flight().count() < 10);
}

#[test]
fn nothing_is_told_of_an_ike_sa_after_its_end() {
    let (mut a, b) = two();
    a.connection.remote_id = IdentityPattern::Exactly(id("c.example"));
    let mut b = b;
    b.connection.local_id = id("b.example");
    // A does not say whom it wants, so that B answers with its own name.
    a.connection.remote_id = IdentityPattern::Any;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    for _ in 0..3 {
        world.deliver_next();
    }
    // B's answer gets another AUTH on the way: A refuses B, and B believes the SA up.
    let mut forger = Forger::new(&world.node(A).keys);
    let answer = world.take();
    let altered = forger.alter(&answer, |payloads| {
        let auth = payloads.iter_mut().find(|raw| raw.ty == PayloadType::AUTH).unwrap();
        auth.body[10] ^= 1;
    });
    world.deliver(&altered).unwrap().unwrap();
    let sa = world.handle(B);
    let refusal = world.take();
    world.call(B, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.run();
    world.deliver(&refusal);
    world.run();
    assert_eq!(world.node(B).endpoint.ike_sas().count(), 0);
}

#[test]
fn max_children_counts_what_is_asked_for_too() {
    let (mut a, b) = two();
    a.config.max_children = 2;
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    let mut refused = 0;
    for _ in 0..4 {
        if world.call(A, |e, now| e.create_child(now, sa, "first")).is_err() {
            refused += 1;
        }
    }
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert_eq!(refused, 3);
}

#[test]
fn max_children_holds_for_requests_that_cross() {
    let (mut a, b) = two();
    a.config.max_children = 2;
    let mut world = World::established(a, b);
    let (at_a, at_b) = (world.handle(A), world.handle(B));
    world.call(A, |e, now| e.create_child(now, at_a, "first")).unwrap();
    world.call(B, |e, now| e.create_child(now, at_b, "first")).unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn invalid_syntax_in_an_answer_ends_the_ike_sa() {
    type Act = fn(&mut World);
    let acts: [Act; 3] = [
        |world| {
            let sa = world.handle(A);
            world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        },
        |world| {
            let sa = world.handle(A);
            let id = *world.node(A).mirror.children.keys().next().unwrap();
            world.call(A, |e, now| e.delete_child(now, sa, id)).unwrap();
        },
        |world| {
            let sa = world.handle(A);
            world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
        },
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let (a, b) = two();
        let mut world = World::established(a, b);
        act(&mut world);
        world.deliver_next();
        let answer = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&answer, |payloads| {
            *payloads = vec![Raw::notify(NotifyType::INVALID_SYNTAX, &[])];
        });
        world.deliver(&altered).unwrap().unwrap();
        let events = world.take_events(A);
        let down = events.iter().any(|event| {
            matches!(event, Event::IkeSaDown { reason: DownReason::Failed(failure), .. }
                if **failure == Failure::Refused { notify: NotifyType::INVALID_SYNTAX })
        });
        assert!(down, "{number}: {events:?}");
        assert!(!events.iter().any(|event| matches!(event, Event::PeerAlive { .. })), "{number}");
        assert_eq!(world.in_flight().count(), 0, "{number}");
    }
}

#[test]
fn an_ike_auth_request_without_child_payloads_makes_no_ike_sa() {
    let (mut world, mut forger, request) = about_to_authenticate();
    let altered = forger.alter(&request, |payloads| {
        payloads.retain(|raw| ![PayloadType::SA, PayloadType::TS_I, PayloadType::TS_R].contains(&raw.ty));
    });
    world.deliver(&altered).unwrap().unwrap();
    let answer = forger.open(world.take().message());
    assert_eq!(answer, [Raw::notify(NotifyType::INVALID_SYNTAX, &[])]);
    assert_eq!(world.endpoint(B).ike_sas().count(), 0);
}

#[test]
fn ike_auth_has_message_id_one() {
    let (a, mut b) = two();
    b.config.window = 4;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let request = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    for message_id in [2, 3] {
        let payloads = forger.open(request.message());
        let head = forger.head(Role::Initiator, ExchangeType::IKE_AUTH, message_id, false);
        let forged = request.with_message(&forger.seal(&head, &payloads));
        let refused = world.deliver(&forged).unwrap();
        assert_eq!(refused, Err(Rejection::MessageIdAhead(message_id)));
    }
    world.deliver(&request).unwrap().unwrap();
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn nothing_is_asked_for_while_the_ike_sa_is_being_deleted() {
    let asks = || {
        let (mut a, mut b) = two();
        let p256_first = || child_with(2, "second", &["aes256gcm16-ecp256-x25519"]);
        a.connection.children.push(p256_first());
        b.connection.children = vec![child_with(1, "only", &["aes256gcm16-x25519"])];
        (a, b)
    };
    let (a, b) = asks();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "second")).unwrap();
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    // INVALID_KE_PAYLOAD comes.
    world.deliver_next();
    world.deliver_next();
    let next = world.take();
    assert_eq!(next.header().exchange, ExchangeType::INFORMATIONAL);
    world.deliver(&next);
    world.run();
    let events = world.take_events(A);
    let failures: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::ChildSaFailed { failure, .. } => Some(failure.to_string()),
            _ => None,
        })
        .collect();
    assert!(failures.iter().all(|text| text.contains("being deleted")), "{failures:?}");
}

#[test]
fn the_delete_of_the_ike_sa_is_the_last_request() {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (8, 8);
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    let request = world.take();
    world.deliver(&request);
    let answer = world.take();
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    let delete = world.take();
    world.deliver(&answer).unwrap().unwrap();
    assert_eq!(world.in_flight().count(), 0, "a request after the Delete");
    let events = world.take_events(A);
    for event in &events {
        if let Event::ChildSaFailed { failure, .. } = event {
            assert!(failure.to_string().contains("being deleted"), "{failure}");
        }
    }
    world.deliver(&delete);
    world.run();
    assert_eq!(world.endpoint(A).ike_sas().count() + world.endpoint(B).ike_sas().count(), 0);
}

#[test]
fn a_forged_ike_auth_changes_nothing() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let request = world.take();
    let mut octets = request.message().to_vec();
    *octets.last_mut().unwrap() ^= 1;
    // `receive` compares the dumps.
    assert_eq!(world.deliver(&request.with_message(&octets)), Some(Err(Rejection::IntegrityCheck)));
    world.deliver(&request).unwrap().unwrap();
}

#[test]
fn a_bad_public_value_found_late_is_told_to_nobody() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take();
    // A public value of zero gives no secret (RFC 7748 §6), which the responder finds out with IKE_AUTH.
    let mut payloads = payloads_of(request.message());
    let ke = payloads.iter_mut().find(|raw| raw.ty == PayloadType::KE).unwrap();
    ke.body[4..].fill(0);
    let message = plain(&head_of(request.message()), &payloads);
    world.deliver(&request.with_message(&message)).unwrap().unwrap();
    world.deliver_next();
    let auth = world.take();
    let result = world.deliver(&auth).unwrap();
    assert!(matches!(result, Err(Rejection::KeyExchange(_))), "{result:?}");
    assert_eq!(world.take_events(B), []);
}

#[test]
fn a_forged_ike_sa_init_answer_does_not_shut_out_the_genuine_one() {
    let (a, b) = two();
    let (c, _) = (Setup::new("b.example", "a.example"), ());
    let mut c = c;
    // It knows everything but the secret.
    c.set_secret(b"a guess");
    let mut world = World::new(vec![a, b, c], 1);
    world.connect(A, B);
    let request = world.take();
    let mut to_c = request.clone();
    to_c.to = world.path(A, 2).remote;
    world.deliver(&to_c).unwrap().unwrap();
    let mut forged = world.take();
    forged.from = request.to;
    world.deliver(&request).unwrap().unwrap();
    let genuine = world.take();
    world.deliver(&forged).unwrap().unwrap();
    world.deliver(&genuine).unwrap().unwrap();
    world.run();
    assert_eq!(world.node(B).mirror.sas.len(), 1);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
}

/// A stranger answers IKE_SA_INIT before the peer does, and refuses us in a message that only it could make.
#[test]
fn a_refusal_by_who_answered_first_does_not_shut_out_the_peer() {
    for peer_answers in [true, false] {
        let (mut a, b) = two();
        a.connection.refusal_patience = Duration::from_secs(3);
        let mut c = Setup::new("b.example", "a.example");
        c.set_secret(b"a guess");
        let mut world = World::new(vec![a, b, c], 1);
        world.connect(A, B);
        let (to_b, to_c) = (world.path(A, B).remote, world.path(A, 2).remote);
        // Both requests of A's reach C alone, whose answers seem to come from B.
        for _ in 0..2 {
            let mut request = world.take();
            request.to.set_ip(to_c.ip());
            world.deliver(&request).unwrap().unwrap();
            let mut answer = world.take();
            answer.from.set_ip(to_b.ip());
            world.deliver(&answer).unwrap().unwrap();
        }
        let refused = down(&world.take_events(2));
        assert!(matches!(refused, Failure::Authentication(_)), "{refused:?}");
        assert_eq!(world.take_events(A), []);
        let repeated = world.peek();
        assert_eq!(repeated.header().exchange, ExchangeType::IKE_SA_INIT);
        if peer_answers {
            world.run();
            assert_eq!((world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len()), (1, 1));
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            world.run_for_secs(10);
            assert_eq!(world.node(A).mirror.sas.len(), 1);
        } else {
            world.take();
            world.link.loss = 1_000;
            world.run_for(Duration::from_millis(2_999));
            assert_eq!(world.take_events(A), []);
            world.run_for_secs(1);
            let told = down(&world.take_events(A));
            assert_eq!(told, Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
            world.run_for_secs(30);
            world.assert_empty(A);
        }
    }
}

/// However many strangers answer and refuse, few are followed, and no longer than one.
#[test]
fn strangers_that_refuse_one_after_the_other_are_not_followed_for_ever() {
    let (mut a, b) = two();
    a.connection.refusal_patience = Duration::from_secs(3);
    let mut world = World::pair(a.ike(&["aes256gcm16-prfsha256-x25519"]), b);
    world.connect(A, B);
    let request = world.take();
    let path = world.path(A, B);
    let began = world.now;
    let mut followed = 0;
    for number in 0..40 {
        let mut stranger = Peer::responder();
        stranger.spi = ikev2_wire::IkeSpi::new(0x7000 + number).unwrap();
        let answer = stranger.init_answer(request.message(), |_| {});
        if world.receive(A, path, &answer).is_err() {
            continue;
        }
        followed += 1;
        world.take_all();
        let refusal = Raw::notify(NotifyType::AUTHENTICATION_FAILED, &[]);
        let refused = stranger.answer(ExchangeType::IKE_AUTH, 1, &[refusal]);
        world.receive(A, path, &refused).unwrap();
        world.take_all();
        // Its answer once more is nothing new.
        assert!(world.receive(A, path, &answer).is_err());
    }
    assert_eq!(followed, 16);
    world.run_for_secs(3);
    assert_eq!(down(&world.take_events(A)), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
    assert!(world.now.saturating_since(began) <= Duration::from_secs(3));
}

#[test]
fn a_cookie_of_an_illegal_length_is_not_followed() {
    for length in [0, 65, 60_000] {
        let (a, mut b) = two();
        b.config.cookies = CookiePolicy::Always;
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        let demand = world.take();
        let notify = Raw::notify(NotifyType::COOKIE, &vec![7; length]);
        let message = plain(&head_of(demand.message()), &[notify]);
        let result = world.deliver(&demand.with_message(&message)).unwrap();
        assert!(result.is_err(), "{length}: {result:?}");
        assert_eq!(world.in_flight().count(), 0, "{length}");
        world.deliver(&demand).unwrap().unwrap();
        world.run();
        assert_eq!(world.node(A).mirror.sas.len(), 1, "{length}");
    }
}

#[test]
fn an_acquire_proposes_the_packet_first() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let packet = PacketSelectors { source: net("10.1.2.3/32"), destination: net("10.9.8.7/32") };
    let report = SaReport::Acquire { policy: PolicyId(1), packet };
    world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    let forger = Forger::new(&world.node(A).keys);
    let request = forger.open(world.take().message());
    for (ty, first) in [(PayloadType::TS_I, packet.source), (PayloadType::TS_R, packet.destination)] {
        let raw = request.iter().find(|raw| raw.ty == ty).unwrap();
        assert_eq!(raw.body[0], 2, "{ty}");
        let mut only = Vec::new();
        Payload::TsI(ikev2_wire::TsPayload::build(&[first]).unwrap()).encode_body(&mut only).unwrap();
        assert_eq!(raw.body[4..20], only[4..20], "{ty}");
    }
}

#[test]
fn acquires_of_one_policy_ask_once() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let packet = PacketSelectors { source: net("10.1.2.3/32"), destination: net("10.9.8.7/32") };
    for _ in 0..5 {
        let report = SaReport::Acquire { policy: PolicyId(1), packet };
        world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    }
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
}

#[test]
fn crossing_deletes_of_one_child_remove_each_half_once() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    for node in [A, B] {
        let sa = world.handle(node);
        let id = *world.node(node).mirror.children.keys().next().unwrap();
        world.call(node, |e, now| e.delete_child(now, sa, id)).unwrap();
    }
    let requests: Vec<_> = world.in_flight().cloned().collect();
    world.run();
    let forger = Forger::new(&world.node(A).keys);
    for request in requests {
        assert_eq!(forger.open(request.message()).len(), 1);
    }
    for node in [A, B] {
        let downs = world.take_events(node);
        let downs = downs.iter().filter(|event| matches!(event, Event::ChildSaDown { .. })).count();
        assert_eq!(downs, 1);
        assert!(world.node(node).mirror.children.is_empty());
        assert_eq!(world.node(node).mirror.sas.len(), 1);
    }
}

#[test]
fn a_critical_payload_in_front_of_sk_is_refused() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let path = world.path(B, A);
    let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let unknown = Raw::new(PayloadType(200), b"?").critical();
    let message = forger.seal_with(&head, &[unknown], &[]);
    world.receive(B, path, &message).unwrap();
    let answer = forger.open(world.take().message());
    assert_eq!(answer, [Raw::notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[200])]);
    assert_eq!(world.node(B).mirror.sas.len(), 1);
}

/// One exchange in each interval, begun by the initiator, whichever way the messages' times differ; by the responder
/// where the initiator does not. None where ESP in UDP keeps the path open. Traffic flows both ways all the time.
#[test]
fn plain_esp_does_not_keep_the_ike_path_open() {
    let cases = [(false, [true, true], [1, 0]), (false, [false, true], [0, 1]), (true, [true, true], [0, 0])];
    for (behind_nat, keeps, expected) in cases {
        for latency in [(0, 0), (20, 20), (10, 400)] {
            let (mut a, mut b) = two();
            for (setup, keeps) in [&mut a, &mut b].into_iter().zip(keeps) {
                setup.connection.ike_keepalive = keeps.then_some(Duration::from_secs(300));
                (setup.connection.ike_rekey_after, setup.connection.ike_expires_after) = (None, None);
            }
            let mut world = World::pair(a, b);
            world.strict = false;
            world.link.latency = latency;
            if behind_nat {
                world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
            }
            world.connect(A, B);
            world.run_for_secs(2);
            let ids = [A, B].map(|node| *world.node(node).mirror.children.keys().next().unwrap());
            let sent = |world: &World| [A, B].map(|node| world.node(node).only_sa().1.requests_sent);
            // The responder's turn is later.
            let interval = 300 + 2 + if expected == [0, 1] { 300 / 16 } else { 0 };
            for _ in 0..12 {
                let before = sent(&world);
                for _ in 0..interval / 2 {
                    world.run_for_secs(2);
                    for node in [A, B] {
                        let report = SaReport::LastInbound { id: ids[node], at: world.now };
                        world.call(node, |e, now| e.handle_report(now, &report)).unwrap();
                    }
                }
                let after = sent(&world);
                assert_eq!([after[A] - before[A], after[B] - before[B]], expected, "{keeps:?} {latency:?}");
            }
        }
    }
}

#[test]
fn both_initiate_at_once_and_keep_new_leaves_one() {
    let (mut a, mut b) = two();
    a.connection.duplicates = DuplicatePolicy::KeepNew;
    b.connection.duplicates = DuplicatePolicy::KeepNew;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.connect(B, A);
    world.run();
    world.run_for_secs(60);
    assert!(!world.node(A).mirror.children.is_empty(), "both are gone");
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn two_connects_at_once_both_live() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.connect(A, B);
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn what_timers_send_is_bounded_and_counted() {
    let (mut a, b) = two();
    a.config.max_events = 10;
    a.connection.liveness = None;
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.connect(A, B);
    world.run();
    let before = world.endpoint(A).statistics().datagrams_sent;
    world.nodes[A].polled = false;
    for _ in 0..100 {
        world.now += Duration::from_secs(20);
        let now = world.now;
        world.nodes[A].endpoint.handle_timeout(now);
    }
    world.nodes[A].polled = true;
    let count = world.settle(A);
    assert!(count <= 10, "{count}");
    assert_eq!(world.endpoint(A).statistics().datagrams_sent - before, count as u64);
}

#[test]
fn a_peer_that_could_not_read_our_ike_auth_answer_is_believed() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let path = world.path(B, A);
    let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let message = forger.seal(&head, &[Raw::notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[200])]);
    world.receive(B, path, &message).unwrap();
    assert_eq!(world.node(B).mirror.sas.len(), 0);
}

#[test]
fn the_observer_sees_every_message() {
    use ikev2_core::{MessageDirection, MessageObserver};
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<(bool, usize)>>);
    impl MessageObserver for Seen {
        fn message(
            &self,
            direction: MessageDirection,
            _: &ipsec_types::Path,
            _: &ikev2_wire::Header,
            octets: usize,
            _: &dyn std::fmt::Display,
        ) {
            self.0.lock().unwrap().push((direction == MessageDirection::Received, octets));
        }
    }
    let (a, mut b) = two();
    let seen = Arc::new(Seen::default());
    b.config.hooks.observer = Some(seen.clone());
    b.config.cookies = CookiePolicy::Always;
    b.connection.ike_proposals = ike(&["aes256gcm16-prfsha256-ecp256"]);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let mut expected = Vec::new();
    while world.in_flight().count() > 0 {
        let packet = world.take();
        let (node, _) = world.route(&packet).unwrap();
        expected.push((node == B, packet.message().len()));
        world.deliver(&packet);
    }
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

#[test]
fn an_ike_sa_that_is_being_deleted_still_tells_its_algorithms() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let (sa, before) = world.node(A).only_sa();
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    let (_, after) = world.node(A).only_sa();
    assert_eq!((before.suite, before.prf, before.ke), (after.suite, after.prf, after.ke));
}

#[test]
fn a_delete_that_overtakes_the_answer_is_not_forgotten() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let (at_a, at_b) = (world.handle(A), world.handle(B));
    world.call(A, |e, now| e.create_child(now, at_a, "first")).unwrap();
    world.deliver_next();
    let late = world.take();
    let newest = *world.node(B).mirror.children.keys().next_back().unwrap();
    world.call(B, |e, now| e.delete_child(now, at_b, newest)).unwrap();
    world.run();
    assert_eq!(world.node(B).mirror.children.len(), 1);
    world.deliver(&late);
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn nothing_is_told_of_a_replaced_ike_sa() {
    let (mut a, mut b) = two();
    (a.config.window, b.config.window) = (4, 4);
    let mut world = World::established(a, b);
    let (sa, _) = world.node(A).only_sa();
    // A forgets nothing, but says so: INITIAL_CONTACT replaces the SA at B while B asks for things on it.
    let at_b = world.handle(B);
    world.call(B, |e, now| e.check_liveness(now, at_b)).unwrap();
    world.call(B, |e, now| e.create_child(now, at_b, "first")).unwrap();
    let requests = world.take_all();
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    let request = world.take();
    let (fresh, _) = two();
    let mut fresh = Some(fresh);
    let replacement = ikev2_core::Endpoint::new(fresh.take().unwrap().finish(), seeded(99));
    let old = std::mem::replace(&mut world.nodes[A].endpoint, replacement);
    let mirror = std::mem::take(&mut world.nodes[A].mirror);
    world.run_for_secs(1);
    world.connect(A, B);
    world.run();
    assert!(
        world
            .node(B)
            .events
            .iter()
            .any(|event| { matches!(event, Event::IkeSaDown { reason: DownReason::Replaced, .. }) })
    );
    world.nodes[A].endpoint = old;
    world.nodes[A].mirror = mirror;
    for packet in requests.into_iter().chain([request]) {
        world.deliver(&packet);
        world.run();
    }
}

#[test]
fn the_window_that_is_announced_is_the_one_that_is_served() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    let mut wider = Setup::new("b.example", "a.example");
    wider.config.window = 5;
    let config = wider.finish();
    world.call(B, |endpoint, _| endpoint.set_config(config));
    world.run();
    let sa = world.handle(A);
    for _ in 0..5 {
        world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    }
    let mut requests = world.take_all();
    requests.reverse();
    for request in &requests {
        assert_eq!(world.deliver(request), Some(Ok(Handled::Processed)));
    }
}

#[test]
fn a_peer_with_an_endless_window_does_not_lift_our_bound() {
    let (mut a, mut b) = two();
    a.config.max_queued_requests = 8;
    b.config.window = u32::MAX;
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    let accepted = (0..1_000).filter(|_| world.call(A, |e, now| e.check_liveness(now, sa)).is_ok()).count();
    assert!(accepted < 100, "{accepted} requests in flight");
}
