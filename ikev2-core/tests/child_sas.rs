//! CREATE_CHILD_SA (RFC 7296 §1.3.1, §2.9, §2.17) between two that keep the rules, and what the data path reports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{CallError, ChildSaInfo, DownReason, Event, Failure, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{KeMethod, TransformType};
use ipsec_types::sa::{ChildSaId, Direction, ExpiryReason, PacketSelectors, PolicyId};
use ipsec_types::{EspSpi, SaReport};
use std::collections::BTreeSet;
use std::sync::Arc;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

fn create(world: &mut World, node: usize, name: &str) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.create_child(now, sa, name)).unwrap();
}

fn newest(world: &World, node: usize) -> ChildSaInfo {
    let (id, _) = world.node(node).mirror.children.last_key_value().unwrap();
    let sa = world.handle(node);
    world.endpoint(node).child_sas(sa).find(|info| info.child.id == *id).unwrap()
}

#[test]
fn several_child_sas_have_keys_of_their_own() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    for turn in 0..6 {
        create(&mut world, turn % 2, "first");
        world.run();
    }
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    let children = &world.node(A).mirror.children;
    assert_eq!(children.len(), 7);
    let halves = children.values().flat_map(|c| [c.inbound.clone().unwrap(), c.outbound.clone().unwrap()]);
    let keys: BTreeSet<Vec<u8>> = halves.map(|half| half.keys.encr.as_slice().to_vec()).collect();
    assert_eq!(keys.len(), 14);
}

/// §2.17: the keys of packets from the exchange's initiator come first, whoever began the IKE SA; of each
/// direction, the encryption key with its salt.
#[test]
fn the_exchanges_initiator_has_the_first_keys() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    let mut peer = Peer::initiator();
    let path = world.path(B, A);
    let request = peer.init_request(|_| {});
    world.receive(B, path, &request).unwrap();
    let answer = world.take();
    peer.got_init_answer(answer.message());
    let request = peer.auth_request(|_| {});
    world.receive(B, path, &request).unwrap();
    world.take();
    let keys = |world: &World| {
        let child = world.node(B).mirror.children.values().next_back().unwrap();
        let [inbound, outbound] = [&child.inbound, &child.outbound].map(|half| half.clone().unwrap().keys);
        assert!(inbound.integ.is_empty() && outbound.integ.is_empty());
        [inbound.encr.as_slice().to_vec(), outbound.encr.as_slice().to_vec()]
    };
    // AES-GCM-256: 32 octets of key and 4 of salt. The peer began, so the first are of what B receives.
    let keymat = peer.child_keymat(None, 72);
    assert_eq!(keys(&world), [keymat[..36].to_vec(), keymat[36..].to_vec()]);

    // Now B begins, on the IKE SA that the peer began.
    create(&mut world, B, "first");
    let asked = peer.open(world.take().message());
    let ours = body(&asked, PayloadType::NONCE).to_vec();
    let theirs = [0x5A; 24];
    let mut proposal = Peer::esp_proposal(0xCCCC_0001);
    proposal.number = body(&asked, PayloadType::SA)[4];
    let answer = [
        Peer::sa(&[proposal]),
        Raw::new(PayloadType::NONCE, &theirs),
        Raw::new(PayloadType::TS_I, body(&asked, PayloadType::TS_I)),
        Raw::new(PayloadType::TS_R, body(&asked, PayloadType::TS_R)),
    ];
    let answer = peer.answer(ExchangeType::CREATE_CHILD_SA, 0, &answer);
    world.receive(B, path, &answer).unwrap();
    let keymat = peer.child_keymat(Some((&ours, &theirs)), 72);
    assert_eq!(keys(&world), [keymat[36..].to_vec(), keymat[..36].to_vec()]);
}

#[test]
fn both_ask_at_once_and_both_get_theirs() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    create(&mut world, A, "first");
    create(&mut world, B, "first");
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 3);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// §2.9: the responder narrows, and both sides know.
#[test]
fn what_is_narrowed_is_the_same_on_both_sides() {
    let (mut a, mut b) = two();
    let ours = child(7, "wide", &["10.1.0.0/16", "10.7.0.0/16"], &["0.0.0.0/0"]);
    a.connection.children.push(ours);
    b.connection.children = vec![
        child(8, "else", &["172.16.0.0/12"], &["172.31.0.0/16"]),
        child(9, "narrow", &["10.2.0.0/16"], &["10.1.2.0/24"]),
        child(1, "first", &["0.0.0.0/0"], &["10.99.0.0/16"]),
    ];
    a.connection.children[0] = child(1, "first", &["10.99.0.0/16"], &["0.0.0.0/0"]);
    let mut world = World::established(a, b);
    create(&mut world, A, "wide");
    world.run();
    let (at_a, at_b) = (newest(&world, A), newest(&world, B));
    assert_eq!(at_a.child.local, nets(&["10.1.2.0/24"]));
    assert_eq!(at_a.child.remote, nets(&["10.2.0.0/16"]));
    assert!(at_a.narrowed && at_b.narrowed);
    assert_eq!((at_a.child.policy, at_b.child.policy), (PolicyId(7), PolicyId(9)));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn what_is_not_narrowed_says_so() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    create(&mut world, A, "first");
    world.run();
    assert!(!newest(&world, A).narrowed && !newest(&world, B).narrowed);
}

/// §1.3.1, §2.17: with a key exchange of its own.
#[test]
fn a_child_sa_can_have_its_own_key_exchange() {
    for (proposals, method) in [
        (["aes256gcm16-x25519", "aes256gcm16-x25519"], Some(KeMethod::CURVE25519)),
        (["aes128-sha256-ecp256", "aes128-sha256-ecp256"], Some(KeMethod::ECP_256)),
        (["aes256gcm16-x25519-none", "aes256gcm16"], None),
        (["aes256gcm16", "aes256gcm16-x25519-none"], None),
        (["aes256gcm16-x25519-none", "aes256gcm16-x25519-none"], Some(KeMethod::CURVE25519)),
    ] {
        let (mut a, mut b) = two();
        for (setup, proposal) in [&mut a, &mut b].into_iter().zip(proposals) {
            setup.connection.children = vec![child_with(1, "first", &[proposal])];
        }
        let mut world = World::established(a, b);
        create(&mut world, A, "first");
        world.run();
        assert_eq!((newest(&world, A).ke, newest(&world, B).ke), (method, method), "{proposals:?}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

/// §1.3: the method that the responder names, with everything else as it was.
#[test]
fn invalid_ke_payload_is_followed_in_create_child_sa() {
    let (mut a, mut b) = two();
    a.connection.children.push(child_with(2, "pfs", &["aes256gcm16-ecp256-x25519"]));
    b.connection.children = vec![child_with(1, "first", &["aes256gcm16-x25519"])];
    let mut world = World::established(a, b);
    create(&mut world, A, "pfs");
    let first = world.take();
    world.deliver(&first).unwrap().unwrap();
    let answer = world.take();
    let forger = Forger::new(&world.node(A).keys);
    let wanted = KeMethod::CURVE25519.0.to_be_bytes().to_vec();
    assert_eq!(notifies(&forger.open(answer.message())), [(NotifyType::INVALID_KE_PAYLOAD, wanted.clone())]);
    world.deliver(&answer).unwrap().unwrap();
    let second = world.take();
    assert_eq!(second.header().message_id, first.header().message_id + 1);
    let (before, after) = (forger.open(first.message()), forger.open(second.message()));
    for ty in [PayloadType::SA, PayloadType::TS_I, PayloadType::TS_R] {
        assert_eq!(body(&before, ty), body(&after, ty), "{ty}");
    }
    assert_eq!(body(&after, PayloadType::KE)[..2], wanted);
    world.deliver(&second).unwrap().unwrap();
    world.run();
    assert_eq!(newest(&world, A).ke, Some(KeMethod::CURVE25519));
    assert_eq!(kinds(&world.take_events(A)), ["data path", "data path", "Child up"]);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn starting_over_in_create_child_sa_is_bounded() {
    let (mut a, b) = two();
    a.connection.children.push(child_with(2, "pfs", &["aes256gcm16-ecp256-x25519"]));
    let mut world = World::established(a, b);
    create(&mut world, A, "pfs");
    let mut forger = Forger::new(&world.node(A).keys);
    let mut requests = 0;
    while world.in_flight().count() > 0 {
        let request = world.take();
        requests += 1;
        assert!(requests < 20);
        let id = request.header().message_id;
        let sent = body(&forger.open(request.message()), PayloadType::KE)[..2].to_vec();
        let other = if sent == [0, 19] { [0, 31] } else { [0, 19] };
        let head = forger.head(Role::Responder, ExchangeType::CREATE_CHILD_SA, id, true);
        let octets = forger.seal(&head, &[Raw::notify(NotifyType::INVALID_KE_PAYLOAD, &other)]);
        world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
    }
    assert_eq!(requests, 7);
    let failure = child_failure(&world.take_events(A));
    assert_eq!(failure, Failure::TooManyRetries(6));
    assert_eq!((world.node(A).mirror.sas.len(), world.node(A).mirror.children.len()), (1, 1));
    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
}

#[test]
fn a_method_that_was_not_offered_is_not_followed_in_create_child_sa() {
    for data in [&[0u8, 14][..], &[0, 31], &[31], &[]] {
        let (mut a, b) = two();
        a.connection.children.push(child_with(2, "pfs", &["aes256gcm16-x25519-ecp256"]));
        let mut world = World::established(a, b);
        create(&mut world, A, "pfs");
        let request = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let head = forger.head(Role::Responder, ExchangeType::CREATE_CHILD_SA, 2, true);
        let octets = forger.seal(&head, &[Raw::notify(NotifyType::INVALID_KE_PAYLOAD, data)]);
        world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
        assert_eq!(world.in_flight().count(), 0, "{data:?}");
        let failure = child_failure(&world.take_events(A));
        assert!(matches!(failure, Failure::KeMethodWanted { .. }), "{failure:?}");
        assert_eq!(world.node(A).mirror.sas.len(), 1);
    }
}

/// One side wants a key exchange and the other none. Both learn why, and nothing else ends.
#[test]
fn a_key_exchange_that_only_one_side_wants_fails_with_both_lists() {
    for (ours, theirs) in [("aes256gcm16-x25519", "aes256gcm16"), ("aes256gcm16", "aes256gcm16-x25519")] {
        let (mut a, mut b) = two();
        a.connection.children = vec![child_with(1, "first", &[ours])];
        b.connection.children = vec![child_with(1, "first", &[theirs])];
        let mut world = World::established(a, b);
        create(&mut world, A, "first");
        world.run();
        let failure = child_failure(&world.take_events(B));
        match &failure {
            Failure::NoProposalChosen(mismatch) => {
                let text = mismatch.to_string();
                assert!(text.contains("KE") && text.contains("Curve25519"), "{text}");
                assert!(matches!(
                    &mismatch.offered[0].reason,
                    ikev2_core::negotiation::RefusalReason::Transform { ty: TransformType::KE, .. }
                ));
                let told = child_failure(&world.take_events(A));
                assert!(matches!(told, Failure::OfferRefused { notify: NotifyType::NO_PROPOSAL_CHOSEN, .. }));
            }
            other => panic!("{other:?}"),
        }
        for node in [A, B] {
            assert_eq!(world.node(node).mirror.sas.len(), 1);
            assert_eq!(world.node(node).mirror.children.len(), 1);
        }
    }
}

#[test]
fn traffic_that_cannot_be_agreed_fails_alone() {
    let (mut a, mut b) = two();
    a.connection.children.push(child(2, "v6", &["2001:db8:1::/48"], &["2001:db8:2::/48"]));
    b.connection.children[0] = child(1, "first", &["0.0.0.0/0"], &["0.0.0.0/0"]);
    let mut world = World::established(a, b);
    create(&mut world, A, "v6");
    world.run();
    let (at_a, at_b) = (world.take_events(A), world.take_events(B));
    says(&child_failure(&at_a), &["TS_UNACCEPTABLE", "2001:db8:1::/48 === 2001:db8:2::/48"]);
    says(&child_failure(&at_b), &["traffic selectors unacceptable", "2001:db8:1::/48", "0.0.0.0/0"]);
    assert_eq!((kinds(&at_a), kinds(&at_b)), (vec!["Child failed"], vec!["Child failed"]));
    create(&mut world, A, "first");
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 2);
}

#[test]
fn a_peer_that_has_enough_refuses_more() {
    let (a, mut b) = two();
    b.config.max_children = 2;
    let mut world = World::established(a, b);
    for _ in 0..3 {
        create(&mut world, A, "first");
        world.run();
    }
    let events = world.take_events(A);
    let expected = Failure::Refused { notify: NotifyType::NO_ADDITIONAL_SAS };
    let failures: Vec<_> = events.iter().filter(|e| matches!(e, Event::ChildSaFailed { .. })).collect();
    assert_eq!(failures.len(), 2, "{events:?}");
    for event in failures {
        let Event::ChildSaFailed { failure, policy, .. } = event else { continue };
        assert_eq!((&**failure, *policy), (&expected, Some(PolicyId(1))));
        says(failure, &["NO_ADDITIONAL_SAS", "no further Child SA"]);
    }
    assert_eq!(world.node(B).mirror.children.len(), 2);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// §2.25.2: while the IKE SA is being deleted, nothing new is made on it.
#[test]
fn a_child_sa_asked_for_while_the_ike_sa_is_deleted_gets_temporary_failure() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    create(&mut world, B, "first");
    let request = world.take();
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.deliver(&request).unwrap().unwrap();
    let packets = world.take_all();
    let forger = Forger::new(&world.node(A).keys);
    let answer = packets.iter().find(|packet| packet.header().flags.is_response()).unwrap();
    assert_eq!(forger.open(answer.message()), [Raw::notify(NotifyType::TEMPORARY_FAILURE, &[])]);
    for packet in &packets {
        world.deliver(packet);
    }
    world.run();
    for node in [A, B] {
        assert_eq!(downs(&world.take_events(node)).len(), 1);
    }
    world.run_for_secs(30);
    world.assert_empty(A);
    world.assert_empty(B);
}

#[test]
fn an_acquire_makes_a_child_sa_for_its_policy() {
    let (mut a, b) = two();
    a.connection.children.push(child(5, "other", &["10.1.0.0/16"], &["10.2.0.0/16"]));
    let mut world = World::established(a, b);
    let packet = PacketSelectors { source: net("10.1.2.3/32"), destination: net("10.2.3.4/32") };
    let acquire = |policy| SaReport::Acquire { policy: PolicyId(policy), packet };
    world.call(A, |e, now| e.handle_report(now, &acquire(5))).unwrap();
    world.run();
    assert_eq!(newest(&world, A).child.policy, PolicyId(5));
    let unknown = world.call(A, |e, now| e.handle_report(now, &acquire(6)));
    assert_eq!(unknown, Err(CallError::NoSuchPolicy));
    // Without an established IKE SA nothing serves it, and the connection is begun by calls alone.
    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    let closing = world.call(A, |e, now| e.handle_report(now, &acquire(5)));
    assert_eq!(closing, Err(CallError::NotByTraffic));
}

#[test]
fn soft_lifetimes_are_told_and_hard_ones_delete() {
    let (mut a, b) = two();
    Arc::make_mut(&mut a.connection.children[0]).rekey = false;
    let mut world = World::established(a, b);
    let id = newest(&world, A).child.id;
    for reason in [ExpiryReason::Time, ExpiryReason::Octets, ExpiryReason::SequenceNumbers] {
        let report = SaReport::SoftExpired { id, direction: Direction::Outbound, reason };
        world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    }
    assert_eq!(kinds(&world.take_events(A)), ["Child expiring"; 3]);
    assert_eq!(world.in_flight().count(), 0);
    let reason = ExpiryReason::CipherUsage;
    let report = SaReport::HardExpired { id, direction: Direction::Outbound, reason };
    for _ in 0..3 {
        // Both directions may say so, and more than once.
        world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    }
    assert_eq!(world.in_flight().count(), 1);
    world.run();
    assert_eq!(child_downs(&world.take_events(A)), [(id, DownReason::Expired(reason))]);
    assert_eq!(child_downs(&world.take_events(B)).len(), 1);
    assert_eq!(world.call(A, |e, now| e.handle_report(now, &report)), Err(CallError::NoSuchChild));
    assert_eq!(world.node(B).mirror.sas.len(), 1);
}

#[test]
fn reports_of_what_is_not_known_are_errors_or_nothing() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let id = ChildSaId(4_711);
    let (direction, reason, at) = (Direction::Inbound, ExpiryReason::Time, world.now);
    let path = world.path(A, B);
    let before = dump(world.endpoint(A));
    for report in [
        SaReport::SoftExpired { id, direction, reason },
        SaReport::HardExpired { id, direction, reason },
        SaReport::LastInbound { id, at },
        SaReport::PeerMoved { id, path },
    ] {
        let result = world.call(A, |e, now| e.handle_report(now, &report));
        assert_eq!(result, Err(CallError::NoSuchChild), "{report:?}");
    }
    let spi = EspSpi::new(0x1234_5678).unwrap();
    world.call(A, |e, now| e.handle_report(now, &SaReport::UnknownSpi { spi, path })).unwrap();
    assert_eq!(before, dump(world.endpoint(A)));
}

#[test]
fn calls_that_name_nothing_are_errors_and_change_nothing() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    let path = world.path(A, B);
    let before = dump(world.endpoint(A));
    assert_eq!(world.call(A, |e, now| e.create_child(now, sa, "no such")), Err(CallError::NoSuchChild));
    let no_child = world.call(A, |e, now| e.delete_child(now, sa, ChildSaId(99)));
    assert_eq!(no_child, Err(CallError::NoSuchChild));
    assert_eq!(world.call(A, |e, now| e.connect(now, "no such", path)), Err(CallError::NoSuchConnection));
    for remote in ["192.0.2.2:0", "0.0.0.0:500", "[2001:db8::1]:500"] {
        let bad = ipsec_types::Path { remote: remote.parse().unwrap(), ..path };
        assert_eq!(
            world.call(A, |e, now| e.connect(now, "tunnel", bad)),
            Err(CallError::BadPath),
            "{remote}"
        );
    }
    assert_eq!(before, dump(world.endpoint(A)));
    // A handle that is gone never names another one.
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run();
    world.run_for_secs(20);
    let next = world.connect(A, B);
    world.run();
    assert_ne!(sa, next);
    assert_eq!(world.call(A, |e, now| e.create_child(now, sa, "first")), Err(CallError::NoSuchSa));
    assert_eq!(world.call(A, |e, now| e.delete_ike_sa(now, sa)), Err(CallError::NoSuchSa));
    assert_eq!(world.call(A, |e, now| e.check_liveness(now, sa)), Err(CallError::NoSuchSa));
    assert!(world.endpoint(A).ike_sa(sa).is_none() && world.endpoint(A).child_sas(sa).next().is_none());
}
