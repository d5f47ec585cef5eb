//! IKE_SA_INIT and IKE_AUTH (RFC 7296 §1.2, §2.6, §2.7, §2.15), each case by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::RejectionKind;
use ikev2_core::negotiation::{KeMismatch, RefusalReason};
use ikev2_core::{CookiePolicy, Event, Failure, IkeSaState, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use ikev2_wire::{KeMethod, Transform, TransformType};
use ipsec_types::{EncrId, PathKind};
use std::time::Duration;
use support::forge::{Raw, head_of, payloads_of, plain};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

#[test]
fn a_plain_handshake_takes_four_messages_and_tells_both_sides_alike() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    for _ in 0..4 {
        world.deliver_next().unwrap().unwrap();
    }
    assert_eq!(world.in_flight().count(), 0);
    for node in [A, B] {
        let events = world.take_events(node);
        assert_eq!(kinds(&events), ["IKE up", "data path", "data path", "Child up"]);
    }
    let ((_, a), (_, b)) = (world.node(A).only_sa(), world.node(B).only_sa());
    assert_eq!((a.role, b.role), (Role::Initiator, Role::Responder));
    assert_eq!((a.state, b.state), (IkeSaState::Established, IkeSaState::Established));
    assert_eq!((a.initiator_spi, a.responder_spi), (b.initiator_spi, b.responder_spi));
    assert_eq!((a.suite, a.prf, a.ke), (b.suite, b.prf, b.ke));
    assert_eq!((Some(a.local_id), a.remote_id), (b.remote_id, Some(b.local_id)));
    assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
    assert_eq!(world.endpoint(A).statistics().rejected_in_all(), 0);
    assert_eq!(world.endpoint(A).statistics().key_exchanges, 1);
    assert_eq!(world.endpoint(B).statistics().key_exchanges, 1);
}

#[test]
fn every_suite_and_both_address_families_work_either_way_round() {
    for proposal in [
        "aes128gcm16-prfsha256-x25519",
        "aes192gcm16-prfsha384-x25519",
        "aes256gcm16-prfsha512-ecp256",
        "aes128-sha256-x25519",
        "aes192-sha256-prfsha384-ecp256",
        "aes256-sha256-prfsha512-x25519",
    ] {
        for ipv6 in [false, true] {
            let (a, b) = two();
            let mut world = World::pair(a.ike(&[proposal]), b.ike(&[proposal]));
            if ipv6 {
                world.nodes[A].ip = "2001:db8::1".parse().unwrap();
                world.nodes[B].ip = "2001:db8::2".parse().unwrap();
            }
            world.connect(A, B);
            world.connect(B, A);
            world.run();
            assert_eq!(world.node(A).mirror.children.len(), 2, "{proposal}");
            assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
            for (_, info) in world.endpoint(A).ike_sas() {
                assert_eq!(info.nat, ikev2_core::NatStatus::default());
                assert_eq!(info.path.kind, PathKind::Ike);
            }
            let at_a = world.endpoint(A).ike_sas().next().unwrap().0;
            world.call(A, |e, now| e.check_liveness(now, at_a)).unwrap();
            world.run();
            let alive = |event: &Event| matches!(event, Event::PeerAlive { .. });
            assert!(world.take_events(A).iter().any(alive), "{proposal}");
        }
    }
}

/// §2.6: the cookie comes first, everything else is as it was, and the responder keeps nothing until then.
#[test]
fn a_cookie_is_returned_in_front_of_the_same_request() {
    let (a, mut b) = two();
    b.config.cookies = CookiePolicy::Always;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let first = world.take();
    assert_eq!(world.deliver(&first).unwrap(), Err(Rejection::CookieRequired));
    assert_eq!((world.endpoint(B).ike_sas().count(), world.endpoint(B).half_open()), (0, 0));
    let demand = world.take();
    let header = demand.header();
    assert_eq!((header.responder_spi, header.message_id), (None, 0));
    assert!(header.flags.is_response() && !header.flags.is_initiator());
    let asked = notifies(&payloads_of(demand.message()));
    assert_eq!(asked[0].0, NotifyType::COOKIE);
    assert!((1..=64).contains(&asked[0].1.len()));

    world.deliver(&demand).unwrap().unwrap();
    let second = world.take();
    assert_eq!(second.header().initiator_spi, first.header().initiator_spi);
    assert_eq!((second.header().responder_spi, second.header().message_id), (None, 0));
    let mut payloads = payloads_of(second.message());
    assert_eq!(payloads.remove(0), Raw::notify(NotifyType::COOKIE, &asked[0].1));
    assert_eq!(payloads, payloads_of(first.message()));

    world.deliver(&second).unwrap().unwrap();
    world.run();
    assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
    assert_eq!(world.endpoint(B).statistics().cookies_sent, 1);
}

#[test]
fn a_wrong_or_stale_cookie_is_like_none() {
    let (a, mut b) = two();
    b.config.cookies = CookiePolicy::Always;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let good = world.take();
    // Wrong: each octet of it matters, and so does who brings it.
    for at in [0, 1, 20, 32] {
        let mut payloads = payloads_of(good.message());
        payloads[0].body[4 + at] ^= 1;
        let forged = good.with_message(&plain(&head_of(good.message()), &payloads));
        assert_eq!(world.deliver(&forged).unwrap(), Err(Rejection::CookieRequired), "{at}");
        world.take();
    }
    let elsewhere = Packet { from: "192.0.2.77:500".parse().unwrap(), ..good.clone() };
    assert_eq!(world.deliver(&elsewhere).unwrap(), Err(Rejection::CookieRequired));
    world.take();
    // Stale: the secret was changed twice.
    world.now += Duration::from_secs(60);
    let other = Packet { from: "192.0.2.78:500".parse().unwrap(), ..good.clone() };
    let _ = world.deliver(&other);
    world.take();
    world.now += Duration::from_secs(60);
    assert_eq!(world.deliver(&good).unwrap(), Err(Rejection::CookieRequired));
    // And the new one that it is asked for serves.
    world.deliver_next().unwrap().unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.sas.len(), 1);
}

#[test]
fn a_cookie_outlives_one_change_of_the_secret() {
    let (a, mut b) = two();
    b.config.cookies = CookiePolicy::Always;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let good = world.take();
    world.now += Duration::from_secs(60);
    let other = Packet { from: "192.0.2.78:500".parse().unwrap(), ..good.clone() };
    let _ = world.deliver(&other);
    world.take();
    world.now += Duration::from_secs(50);
    world.deliver(&good).unwrap().unwrap();
}

#[test]
fn cookies_begin_with_the_half_open_sas_that_the_policy_names() {
    let (a, mut b) = two();
    b.config.cookies = CookiePolicy::WhenHalfOpen(3);
    let mut world = World::pair(a, b);
    for expected in [0, 0, 0, 1, 2] {
        world.connect(A, B);
        let _ = world.deliver_next();
        world.take();
        assert_eq!(world.endpoint(B).statistics().cookies_sent, expected);
    }
    assert_eq!(world.endpoint(B).half_open(), 3);
    // They go away, and with them the cookies.
    world.take_all();
    world.now += Duration::from_secs(31);
    world.fire(B);
    assert_eq!(world.endpoint(B).half_open(), 0);
}

/// §1.2, §3.3.6: the same proposals, the same SPI, the other method.
#[test]
fn invalid_ke_payload_is_followed_with_all_proposals_unchanged() {
    let (a, b) = two();
    let a = a.ike(&["aes256gcm16-prfsha256-ecp256-x25519", "aes128gcm16-prfsha256-ecp256"]);
    let mut world = World::pair(a, b.ike(&["aes256gcm16-prfsha256-x25519"]));
    world.connect(A, B);
    let first = world.take();
    let refused = world.deliver(&first).unwrap();
    let (sent, wanted) = (KeMethod::ECP_256, KeMethod::CURVE25519);
    let (offered, allowed) = (vec![sent, wanted], vec![wanted]);
    let mismatch = KeMismatch { sent: Some(sent), wanted, offered, allowed };
    assert_eq!(refused, Err(Rejection::KeMethod(Box::new(mismatch))));
    assert_eq!(world.endpoint(B).ike_sas().count(), 0);
    let answer = world.take();
    assert_eq!(
        notifies(&payloads_of(answer.message())),
        [(NotifyType::INVALID_KE_PAYLOAD, wanted.0.to_be_bytes().to_vec())]
    );
    world.deliver(&answer).unwrap().unwrap();
    let second = world.take();
    let (before, after) = (payloads_of(first.message()), payloads_of(second.message()));
    assert_eq!(body(&before, PayloadType::SA), body(&after, PayloadType::SA));
    assert_eq!(first.header().initiator_spi, second.header().initiator_spi);
    let ke = |payloads: &[Raw]| {
        let body = body(payloads, PayloadType::KE);
        KeMethod(u16::from_be_bytes([body[0], body[1]]))
    };
    assert_eq!((ke(&before), ke(&after)), (KeMethod::ECP_256, KeMethod::CURVE25519));
    world.deliver(&second).unwrap().unwrap();
    world.run();
    assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
    assert_eq!(world.node(B).only_sa().1.ke, Some(KeMethod::CURVE25519));
}

/// §2.6.1, both orders.
#[test]
fn cookie_and_invalid_ke_come_in_either_order() {
    for cookie_first in [true, false] {
        let (a, mut b) = two();
        if cookie_first {
            b.config.cookies = CookiePolicy::Always;
        }
        let a = a.ike(&["aes256gcm16-prfsha256-ecp256-x25519"]);
        let mut world = World::pair(a, b.ike(&["aes256gcm16-prfsha256-x25519"]));
        world.connect(A, B);
        let mut refusals = Vec::new();
        refusals.push(world.deliver_next().unwrap().unwrap_err());
        if !cookie_first {
            let (_, mut b) = two();
            b.config.cookies = CookiePolicy::Always;
            let config = b.ike(&["aes256gcm16-prfsha256-x25519"]).finish();
            world.call(B, |endpoint, _| endpoint.set_config(config));
        }
        world.deliver_next().unwrap().unwrap();
        refusals.push(world.deliver_next().unwrap().unwrap_err());
        let cookie = refusals.iter().position(|r| *r == Rejection::CookieRequired).unwrap();
        assert_eq!(cookie, usize::from(!cookie_first));
        assert!(matches!(refusals[1 - cookie], Rejection::KeMethod(_)), "{refusals:?}");
        world.run();
        assert_eq!(world.node(A).mirror.sas.len(), 1);
        assert_crosswise(&world.nodes[A].mirror, &world.nodes[B].mirror);
        // Two round trips more than a plain one.
        assert_eq!(world.endpoint(A).statistics().datagrams_sent, 4);
    }
}

/// Whoever sends COOKIE or INVALID_KE_PAYLOAD for ever gets a bounded number of requests.
#[test]
fn starting_over_is_bounded() {
    for kind in ["cookies", "methods", "both"] {
        let (a, b) = two();
        let a = a.ike(&["aes256gcm16-prfsha256-ecp256-x25519"]);
        let mut world = World::pair(a, b);
        let sa = world.connect(A, B);
        let mut requests = 1;
        for turn in 0u16..40 {
            let Some(request) = world.in_flight().next().cloned() else { break };
            world.take();
            let head = head_of(request.message());
            let head = ikev2_core::exchange::protect::MessageHead {
                flags: ikev2_wire::Flags::new(false, true),
                ..head
            };
            let cookie = Raw::notify(NotifyType::COOKIE, &turn.to_be_bytes());
            let ke = body(&payloads_of(request.message()), PayloadType::KE)[..2].to_vec();
            let other = if ke == [0, 19] { [0, 31] } else { [0, 19] };
            let method = Raw::notify(NotifyType::INVALID_KE_PAYLOAD, &other);
            let notify = match kind {
                "cookies" => cookie,
                "methods" => method,
                _ if turn % 2 == 0 => cookie,
                _ => method,
            };
            let answer = Packet { from: request.to, to: request.from, octets: plain(&head, &[notify]) };
            let result = world.deliver(&answer).unwrap();
            if world.in_flight().count() == 0 {
                let useless = matches!(&result, Err(Rejection::UselessAnswer(f))
                    if matches!(**f, Failure::TooManyRetries(6)));
                assert!(useless, "{kind}: {result:?}");
            } else {
                requests += 1;
            }
        }
        assert_eq!(requests, 7, "{kind}");
        // It is still waiting, and gives up in the usual time.
        assert!(world.endpoint(A).ike_sa(sa).is_some());
        world.link.loss = 1_000;
        world.run_for_secs(400);
        let events = world.take_events(A);
        assert!(matches!(down(&events), Failure::Timeout { .. }), "{kind}");
    }
}

#[test]
fn a_method_that_was_not_offered_or_just_sent_is_not_followed() {
    for (data, why) in [
        (&[0u8, 14][..], "not offered"),
        (&[0, 31], "just sent"),
        (&[31], "one octet"),
        (&[0, 0, 19], "three octets"),
        (&[], "none"),
    ] {
        let (a, b) = two();
        let a = a.ike(&["aes256gcm16-prfsha256-x25519-ecp256"]);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        let head = ikev2_core::exchange::protect::MessageHead {
            flags: ikev2_wire::Flags::new(false, true),
            ..head_of(request.message())
        };
        let notify = Raw::notify(NotifyType::INVALID_KE_PAYLOAD, data);
        let forged = Packet { from: request.to, to: request.from, octets: plain(&head, &[notify]) };
        let result = world.deliver(&forged).unwrap();
        assert!(result.is_err(), "{why}: {result:?}");
        assert_eq!(world.in_flight().count(), 0, "{why}");
        world.deliver(&request).unwrap().unwrap();
        world.run();
        assert_eq!(world.node(A).mirror.sas.len(), 1, "{why}");
    }
}

#[test]
fn no_proposal_chosen_shows_both_lists_and_what_failed_first() {
    let (a, b) = two();
    let a = a.ike(&["aes256gcm16-prfsha256-x25519"]);
    let mut world = World::pair(a, b.ike(&["aes128gcm16-aes128gcm16-prfsha256-x25519"]));
    world.connect(A, B);
    let rejection = world.deliver_next().unwrap().unwrap_err();
    let Rejection::NoProposalChosen(mismatch) = &rejection else { panic!("{rejection:?}") };
    assert_eq!(mismatch.offered.len(), 1);
    assert_eq!(mismatch.allowed.len(), 1);
    let RefusalReason::Transform { ty, offered, allowed } = &mismatch.offered[0].reason else {
        panic!("{mismatch}")
    };
    assert_eq!(*ty, TransformType::ENCR);
    assert_eq!(*offered, [Transform::encr(EncrId::AES_GCM_16, Some(256))]);
    assert_eq!(*allowed, [Transform::encr(EncrId::AES_GCM_16, Some(128))]);
    says(&rejection, &["no proposal", "AES_GCM_16-256", "AES_GCM_16-128", "the peer offers", "we allow"]);
    assert_eq!(world.endpoint(B).statistics().rejected(RejectionKind::NoProposalChosen), 1);
    assert_eq!(world.endpoint(B).ike_sas().count(), 0);
    assert_eq!(world.take_events(B), []);

    // The initiator sees it at once, and believes it after a while.
    world.run();
    assert_eq!(kinds(&world.take_events(A)), ["error seen"]);
    world.run_for(Duration::from_millis(2_900));
    assert_eq!(kinds(&world.take_events(A)), Vec::<&str>::new());
    world.run_for(Duration::from_millis(200));
    let events = world.take_events(A);
    assert_eq!(kinds(&events), ["IKE down"]);
    let failure = down(&events);
    assert!(matches!(failure, Failure::OfferRefused { notify: NotifyType::NO_PROPOSAL_CHOSEN, .. }));
    says(&failure, &["NO_PROPOSAL_CHOSEN", "none of our proposals is in its policy"]);
    world.run_for_secs(60);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// §2.21.1: an error that anyone can send does not cost the genuine answer.
#[test]
fn a_forged_error_does_not_stop_the_genuine_answer() {
    for notify in [
        NotifyType::NO_PROPOSAL_CHOSEN,
        NotifyType::AUTHENTICATION_FAILED,
        NotifyType::INVALID_SYNTAX,
        NotifyType::INVALID_MAJOR_VERSION,
        NotifyType(8_191),
    ] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        let head = ikev2_core::exchange::protect::MessageHead {
            flags: ikev2_wire::Flags::new(false, true),
            ..head_of(request.message())
        };
        let octets = plain(&head, &[Raw::notify(notify, &[])]);
        let forged = Packet { from: request.to, to: request.from, octets };
        for _ in 0..3 {
            world.deliver(&forged).unwrap().unwrap();
        }
        world.now += Duration::from_secs(2);
        world.deliver(&request).unwrap().unwrap();
        world.run();
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["error seen", "IKE up", "data path", "data path", "Child up"]);
        world.run_for_secs(10);
        assert_eq!(world.node(A).mirror.sas.len(), 1, "{notify}");
    }
}

/// Numbers are labels; the first acceptable one by position wins and keeps its number.
#[test]
fn proposal_numbers_are_labels() {
    for (numbers, bits, expected) in
        [([3, 7], [256, 128], 3), ([2, 2], [256, 128], 2), ([1, 3], [192, 256], 3), ([255, 1], [192, 256], 1)]
    {
        let (_, b) = two();
        let mut world = World::pair(two().0, b.ike(&["aes256gcm16-prfsha256-x25519"]));
        let mut peer = Peer::initiator();
        let proposals: Vec<_> = numbers
            .iter()
            .zip(bits)
            .map(|(number, bits)| {
                let mut proposal = Peer::ike_proposal(*number);
                proposal.transforms[0] = Transform::encr(EncrId::AES_GCM_16, Some(bits));
                proposal
            })
            .collect();
        let request = peer.init_request(|payloads| payloads[0] = Peer::sa(&proposals));
        let path = world.path(B, A);
        world.receive(B, path, &request).unwrap();
        let answer = payloads_of(world.take().message());
        let sa = body(&answer, PayloadType::SA);
        assert_eq!(sa[4], expected, "{numbers:?}");
        assert_eq!(sa[5], ProtocolId::IKE.0);
    }
}

/// The method of KEi is preferred among what is acceptable, and its length is judged by its own
/// method.
#[test]
fn a_ke_payload_is_judged_by_its_own_method() {
    for order in ["aes256gcm16-prfsha256-ecp256-x25519", "aes256gcm16-prfsha256-x25519-ecp256"] {
        let (a, b) = two();
        let a = a.ike(&["aes256gcm16-prfsha256-x25519-ecp256"]);
        let mut world = World::pair(a, b.ike(&[order]));
        world.connect(A, B);
        world.run();
        assert_eq!(world.node(B).only_sa().1.ke, Some(KeMethod::CURVE25519), "{order}");
        assert_eq!(world.endpoint(B).statistics().rejected_in_all(), 0, "{order}");
    }
}

/// Notifies with a Protocol ID and no SPI, and capabilities that nobody asked for.
#[test]
fn an_answer_full_of_notifies_that_nobody_asked_for_is_taken() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take();
    let mut peer = Peer::responder();
    let unasked = [
        NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED,
        NotifyType::IKEV2_FRAGMENTATION_SUPPORTED,
        NotifyType::MOBIKE_SUPPORTED,
        NotifyType::SIGNATURE_HASH_ALGORITHMS,
        NotifyType::CHILDLESS_IKEV2_SUPPORTED,
        NotifyType::REDIRECT_SUPPORTED,
        NotifyType(40_961),
        NotifyType(65_535),
    ];
    let answer = peer.init_answer(request.message(), |payloads| {
        for ty in unasked {
            for protocol in [0, 1, 2, 3, 255] {
                let mut notify = Raw::notify(ty, &[0, 2]);
                notify.body[0] = protocol;
                payloads.push(notify);
            }
        }
        payloads.push(Raw::new(PayloadType::VENDOR_ID, &[]));
        payloads.push(Raw::new(PayloadType::CERTREQ, &[4]));
        payloads.push(Raw::new(PayloadType(200), b"unknown, not critical"));
        payloads.reverse();
    });
    world.deliver(&Packet { from: request.to, to: request.from, octets: answer }).unwrap().unwrap();
    let auth = world.take();
    // Nothing was switched on: no other exchange, no fragment, no NAT-T.
    assert_eq!(auth.header().exchange, ExchangeType::IKE_AUTH);
    assert_eq!(auth.header().next_payload, PayloadType::SK);
    let asked = notifies(&peer.open(auth.message()));
    assert!(asked.iter().all(|(ty, _)| *ty == NotifyType::INITIAL_CONTACT), "{asked:?}");
    let answer = peer.auth_answer(|payloads| {
        payloads.push(Raw::notify(NotifyType::MOBIKE_SUPPORTED, &[]));
        payloads.push(Raw::notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED, &[]));
        payloads.push(Raw::notify(NotifyType(50_000), &[1, 2, 3]));
        payloads.reverse();
    });
    world.deliver(&Packet { from: auth.to, to: auth.from, octets: answer }).unwrap().unwrap();
    let events = world.take_events(A);
    assert_eq!(kinds(&events), ["IKE up", "data path", "data path", "Child up"]);
    assert_eq!(world.node(A).only_sa().1.nat, ikev2_core::NatStatus::default());
}

/// §2.14: nonces of any legal length, equal ones included.
#[test]
fn nonces_of_any_legal_length_work_and_may_be_equal() {
    for length in [16, 17, 255, 256] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        let mut peer = Peer::responder();
        peer.nonce = vec![length as u8; length];
        if length == 17 {
            peer.nonce = body(&payloads_of(request.message()), PayloadType::NONCE).to_vec();
        }
        let answer = peer.init_answer(request.message(), |_| {});
        world.deliver(&Packet { from: request.to, to: request.from, octets: answer }).unwrap().unwrap();
        let auth = world.take();
        let answer = peer.auth_answer(|_| {});
        world.deliver(&Packet { from: auth.to, to: auth.from, octets: answer }).unwrap().unwrap();
        assert_eq!(world.node(A).mirror.children.len(), 1, "{length}");
    }
}
