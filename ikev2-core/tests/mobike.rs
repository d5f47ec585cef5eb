//! IKE SAs that move to other addresses (RFC 4555).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::AddressFault;
use ikev2_core::establish::nat::hash;
use ikev2_core::{CallError, DownReason, Event, Failure, MobikePolicy, NatStatus, Role, Routability};
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ipsec_types::udp::NON_ESP_MARKER;
use ipsec_types::{AddressRange, Encapsulation, Path, PathKind, SaCommand, SaReport};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::notifies;
use support::setup::*;
use support::told::*;
use support::world::*;

const A1: &str = "192.0.2.1";
const A2: &str = "198.51.100.7";
const A3: &str = "203.0.113.9";
const B1: &str = "192.0.2.2";
const B2: &str = "192.0.2.102";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn setups(change: impl Fn(usize, &mut Setup)) -> (Setup, Setup) {
    let (mut a, mut b) = two();
    for (node, setup) in [(A, &mut a), (B, &mut b)] {
        setup.connection.mobike = Some(MobikePolicy::default());
        change(node, setup);
    }
    (a, b)
}

fn policy(setup: &mut Setup) -> &mut MobikePolicy {
    setup.connection.mobike.as_mut().unwrap()
}

/// Both ends do MOBIKE, and are established between these addresses.
fn world_of(a: &[&str], b: &[&str], change: impl Fn(usize, &mut Setup)) -> World {
    let (x, y) = setups(change);
    let mut world = World::pair(x, y);
    world.set_addresses(A, a).unwrap();
    world.set_addresses(B, b).unwrap();
    world.connect(A, B);
    world.run();
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    assert_eq!(world.node(A).mirror.children.len(), 1);
    world
}

fn mobile() -> World {
    world_of(&[A1], &[B1], |_, _| {})
}

fn path(from: &str, to: &str) -> Path {
    Path::nat_t(SocketAddr::new(ip(from), 4500), SocketAddr::new(ip(to), 4500))
}

fn marked(message: &[u8]) -> Vec<u8> {
    [&NON_ESP_MARKER[..], message].concat()
}

fn paths(world: &World) -> [Path; 2] {
    [A, B].map(|node| world.node(node).only_sa().1.path)
}

fn opened(world: &World, packet: &Packet) -> Vec<(NotifyType, Vec<u8>)> {
    notifies(&Forger::new(&world.node(A).keys).open(packet.message()))
}

fn data(notifies: &[(NotifyType, Vec<u8>)], ty: NotifyType) -> Option<&[u8]> {
    notifies.iter().find(|(got, _)| *got == ty).map(|(_, data)| &data[..])
}

fn assert_settled(world: &mut World, a: &str, b: &str) {
    assert_eq!(paths(world), [path(a, b), path(b, a)]);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    for node in [A, B] {
        world.take_events(node);
        let sa = world.handle(node);
        world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        assert_eq!(kinds(&world.take_events(node)), ["alive"]);
    }
}

/// §3.1, §3.3, §3.4: both say so in IKE_AUTH, with their other addresses, and what follows goes by port 4500 without any
/// NAT; the Child SAs are not encapsulated for that.
#[test]
fn both_ends_say_so_and_go_on_by_port_4500() {
    let (a, b) = setups(|_, _| {});
    let mut world = World::pair(a, b);
    world.set_addresses(A, &[A1, A2, "2001:db8::1"]).unwrap();
    world.set_addresses(B, &[B1, B2]).unwrap();
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let request = world.take();
    assert_eq!((request.from.port(), request.to.port()), (4500, 4500));
    let said = opened(&world, &request);
    assert_eq!(data(&said, NotifyType::MOBIKE_SUPPORTED), Some(&[][..]));
    assert_eq!(data(&said, NotifyType::ADDITIONAL_IP4_ADDRESS), Some(&[198, 51, 100, 7][..]));
    let v6: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert_eq!(data(&said, NotifyType::ADDITIONAL_IP6_ADDRESS), Some(&v6.octets()[..]));
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    let said = opened(&world, &answer);
    assert!(data(&said, NotifyType::MOBIKE_SUPPORTED).is_some());
    assert_eq!(data(&said, NotifyType::ADDITIONAL_IP4_ADDRESS), Some(&[192, 0, 2, 102][..]));
    world.deliver(&answer).unwrap().unwrap();
    for node in [A, B] {
        let (_, info) = world.node(node).only_sa();
        assert!(info.mobike);
        assert_eq!((info.nat, info.path.kind), (NatStatus::default(), PathKind::NatT));
        let child = world.node(node).mirror.children.values().next().unwrap();
        assert_eq!(child.child.encapsulation, Encapsulation::None);
    }
}

#[test]
fn what_one_end_alone_supports_is_off() {
    for lacks in [A, B] {
        let mut world = world_of(&[A1], &[B1], |node, setup| {
            if node == lacks {
                setup.connection.mobike = None;
            }
        });
        let sa = world.handle(A);
        assert!(!world.node(A).only_sa().1.mobike && !world.node(B).only_sa().1.mobike);
        let moved = world.call(A, |e, now| e.move_ike_sa(now, sa, path(A2, B1)));
        assert_eq!(moved, Err(CallError::NotMovable));
        // What the other would ask is a status notify like any other that is not known.
        let mut forger = Forger::new(&world.node(A).keys);
        let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
        let request = forger.seal(&head, &[Raw::notify(NotifyType::UPDATE_SA_ADDRESSES, &[])]);
        let before = paths(&world);
        let elsewhere = Path { remote: "203.0.113.5:4500".parse().unwrap(), ..before[B] };
        let octets = if elsewhere.kind == PathKind::NatT { marked(&request) } else { request };
        world.receive(B, elsewhere, &octets).unwrap();
        assert_eq!(opened(&world, &world.peek()), []);
        assert_eq!((paths(&world), world.take_events(B)), (before, Vec::new()));
    }
}

/// §3.5: the update says nothing but that it is one, with NAT detection and COOKIE2; and everything moves in one step.
#[test]
fn the_ike_sa_and_all_its_child_sas_move_in_one_step() {
    let mut world = mobile();
    let sa = world.handle(A);
    for _ in 0..2 {
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
    }
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    world.set_addresses(A, &[A2]).unwrap();
    let update = world.take();
    assert_eq!((update.from.ip(), update.to.ip()), (ip(A2), ip(B1)));
    let said = opened(&world, &update);
    let types: Vec<_> = said.iter().map(|(ty, _)| *ty).collect();
    assert_eq!(
        types,
        [
            NotifyType::NO_ADDITIONAL_ADDRESSES,
            NotifyType::UPDATE_SA_ADDRESSES,
            NotifyType::NAT_DETECTION_SOURCE_IP,
            NotifyType::NAT_DETECTION_DESTINATION_IP,
            NotifyType::COOKIE2
        ]
    );
    let header = update.header();
    let source = hash(header.initiator_spi, header.responder_spi, update.from);
    assert_eq!(data(&said, NotifyType::NAT_DETECTION_SOURCE_IP), Some(&source[..]));
    assert_eq!(data(&said, NotifyType::UPDATE_SA_ADDRESSES), Some(&[][..]));
    // Nothing has moved yet at either end.
    assert_eq!(paths(&world), [path(A1, B1), path(B1, A1)]);
    world.deliver(&update).unwrap().unwrap();
    let answer = world.take();
    let returned = opened(&world, &answer);
    assert_eq!(data(&returned, NotifyType::COOKIE2), data(&said, NotifyType::COOKIE2));
    assert!(data(&returned, NotifyType::NAT_DETECTION_SOURCE_IP).is_some());
    // §3.7: the responder asks first whether the peer is there.
    assert_eq!((world.take_events(B), world.node(B).only_sa().1.path), (vec![], path(B1, A1)));
    let check = world.take();
    assert_eq!(check.to.ip(), ip(A2));
    let asked = opened(&world, &check);
    assert_eq!(asked.len(), 1);
    assert_eq!(data(&asked, NotifyType::COOKIE2).unwrap().len(), 16);
    world.deliver(&answer).unwrap().unwrap();
    world.deliver(&check).unwrap().unwrap();
    world.run();
    for (node, new) in [(A, path(A2, B1)), (B, path(B1, A2))] {
        let events = world.take_events(node);
        let rest = &events[usize::from(node == B && kinds(&events)[0] == "addresses")..];
        assert_eq!(kinds(rest), ["data path", "data path", "data path", "moved"]);
        assert_eq!(moves(&events), [(new, 3)]);
        for event in &rest[..3] {
            let Event::DataPath(SaCommand::Move { path, encapsulation, .. }) = event else {
                panic!("{event:?}")
            };
            assert_eq!((*path, *encapsulation), (new, Encapsulation::None));
        }
    }
    assert_settled(&mut world, A2, B1);
}

#[test]
fn routability_is_checked_before_or_after_or_never() {
    for (routability, moved_at_once, checks) in [
        (Routability::Before, false, true),
        (Routability::After, true, true),
        (Routability::Never, true, false),
    ] {
        let mut world = world_of(&[A1], &[B1], |_, setup| policy(setup).routability = routability);
        world.set_addresses(A, &[A2]).unwrap();
        world.deliver_next().unwrap().unwrap();
        assert_eq!(!moves(&world.take_events(B)).is_empty(), moved_at_once, "{routability:?}");
        let sent = world.take_all();
        let check = sent.iter().find(|packet| !packet.header().flags.is_response());
        assert_eq!(check.is_some(), checks, "{routability:?}");
        sent.into_iter().for_each(|packet| world.put(packet));
        world.run();
        assert_settled(&mut world, A2, B1);
    }
}

/// A peer that names somebody else's address gets the Child SAs' traffic nowhere, and is given up like any that does
/// not answer; §3.11: not before five minutes.
#[test]
fn nobody_is_flooded_who_does_not_answer() {
    let mut world = mobile();
    let sa = world.handle(A);
    world.call(A, |e, now| e.move_ike_sa(now, sa, path(A1, B1))).unwrap();
    let update = Packet { from: SocketAddr::new(ip(A3), 4500), ..world.take() };
    world.deliver(&update).unwrap().unwrap();
    world.take_all();
    world.nodes[A].ip = ip("192.0.2.250");
    world.run_for_secs(290);
    assert_eq!(moves(&world.take_events(B)), []);
    world.run_for_secs(30);
    assert_eq!(
        down(&world.take_events(B)),
        Failure::Timeout { exchange: ExchangeType::INFORMATIONAL, hint: None }
    );
}

#[test]
fn a_move_behind_a_nat_and_out_again_turns_encapsulation_on_and_off() {
    let mut world = mobile();
    world.nodes[A].nat = Some(Nat::new(A3));
    world.set_addresses(A, &["10.0.0.5"]).unwrap();
    world.run();
    let ((_, a), (_, b)) = (world.node(A).only_sa(), world.node(B).only_sa());
    assert_eq!(
        (a.nat, b.nat),
        (NatStatus { local: true, remote: false }, NatStatus { local: false, remote: true })
    );
    assert_eq!((a.path, b.path.remote.ip()), (path("10.0.0.5", B1), ip(A3)));
    for node in [A, B] {
        let child = world.node(node).mirror.children.values().next().unwrap();
        assert_eq!(child.child.encapsulation, Encapsulation::Udp);
        assert!(
            world
                .take_events(node)
                .iter()
                .any(|event| matches!(event, Event::Moved { nat, .. } if nat.any()))
        );
    }
    world.nodes[A].nat = None;
    world.set_addresses(A, &[A2]).unwrap();
    world.run();
    assert_eq!(
        world.node(A).mirror.children.values().next().unwrap().child.encapsulation,
        Encapsulation::None
    );
    assert_settled(&mut world, A2, B1);
}

#[test]
fn it_moves_to_the_other_version_of_ip() {
    let (a6, b6) = ("2001:db8::1", "2001:db8::2");
    let mut world = world_of(&[A1, a6], &[B1, b6], |_, _| {});
    world.set_addresses(A, &[a6]).unwrap();
    world.run();
    assert_settled(&mut world, a6, b6);
}

/// §3.5: "continues retransmitting them using the addresses in the IKE_SA (the new addresses)".
#[test]
fn what_waits_for_an_answer_is_sent_by_the_new_path_at_once() {
    let mut world = mobile();
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    let lost = world.take();
    world.set_addresses(A, &[A2]).unwrap();
    let again = world.take();
    assert_eq!(again, Packet { from: SocketAddr::new(ip(A2), 4500), ..lost });
    // The window has no room for the update before its answer.
    assert_eq!(world.in_flight().count(), 0);
    world.deliver(&again).unwrap().unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert_settled(&mut world, A2, B1);
}

/// The responder's own request is out while the initiator moves.
#[test]
fn a_request_of_the_responders_follows_the_initiator() {
    let mut world = mobile();
    let sa = world.handle(B);
    world.call(B, |e, now| e.create_child(now, sa, "first")).unwrap();
    let lost = world.take();
    world.set_addresses(A, &[A2]).unwrap();
    world.deliver_next().unwrap().unwrap();
    let sent = world.take_all();
    assert!(sent.iter().any(|packet| packet.to.ip() == ip(A2) && packet.octets == lost.octets));
    sent.into_iter().for_each(|packet| world.put(packet));
    world.run();
    assert_eq!(world.node(B).mirror.children.len(), 2);
    assert_settled(&mut world, A2, B1);
}

/// §3.5: "no MOBIKE processing is done for the reply message because a new UPDATE_SA_ADDRESSES is going to be sent".
#[test]
fn an_answer_to_an_older_update_moves_nothing() {
    let mut world = mobile();
    world.set_addresses(A, &[A2]).unwrap();
    world.deliver_next().unwrap().unwrap();
    let answer = world.take();
    world.take_all();
    world.set_addresses(A, &[A3]).unwrap();
    let again = world.take();
    assert_eq!(again.from.ip(), ip(A3));
    world.deliver(&Packet { to: again.from, ..answer }).unwrap().unwrap();
    assert_eq!(moves(&world.take_events(A)), []);
    world.run_for_secs(5);
    assert_settled(&mut world, A3, B1);
}

/// §3.5: with a window above 1 an update may overtake a newer one: it is answered, and moves nothing.
#[test]
fn an_older_update_that_comes_late_moves_nothing() {
    let mut world = world_of(&[A1], &[B1], |_, setup| {
        setup.config.window = 4;
        policy(setup).routability = Routability::Never;
    });
    world.set_addresses(A, &[A2]).unwrap();
    let older = world.take();
    world.set_addresses(A, &[A3]).unwrap();
    world.take();
    let newer = world.take();
    assert!(newer.header().message_id > older.header().message_id);
    world.deliver(&newer).unwrap().unwrap();
    world.deliver(&older).unwrap().unwrap();
    assert_eq!(world.node(B).only_sa().1.path, path(B1, A3));
    world.run_for_secs(5);
    assert_settled(&mut world, A3, B1);
}

/// §3.5, end, and §3.6: the responder cannot send from where it was, and the initiator follows.
#[test]
fn a_responder_that_moves_tells_its_addresses_and_the_initiator_follows() {
    let mut world = mobile();
    world.set_addresses(B, &[B2]).unwrap();
    let list = world.take();
    assert_eq!(list.from.ip(), ip(B2));
    assert!(data(&opened(&world, &list), NotifyType::NO_ADDITIONAL_ADDRESSES).is_some());
    world.deliver(&list).unwrap().unwrap();
    world.run();
    assert_settled(&mut world, A1, B2);
}

/// The responder is where our policy lets nobody be: it hears of the end.
#[test]
fn a_responder_that_moves_where_it_may_not_be_is_left() {
    let mut world = world_of(&[A1], &[B1], |node, setup| {
        if node == A {
            policy(setup).acceptable = Some(vec![AddressRange::single(ip(B1))]);
        }
    });
    world.set_addresses(B, &[B2]).unwrap();
    world.run();
    let fault = AddressFault::Unacceptable { path: path(A1, B2) };
    assert_eq!(down(&world.take_events(A)), fault.into());
    assert_eq!(downs(&world.take_events(B))[0].1, DownReason::DeletedByPeer);
}

/// §3.6: each list takes the place of the one before.
#[test]
fn the_peers_addresses_are_told_whole_and_bounded() {
    let mut world = world_of(&[A1], &[B1], |node, setup| {
        if node == A {
            policy(setup).max_addresses = 2;
        }
    });
    let told = |world: &mut World, addresses: &[&str]| {
        world.set_addresses(B, addresses).unwrap();
        world.run();
        let events = world.take_events(A);
        let [Event::PeerAddresses { addresses, .. }] = &events[..] else { panic!("{events:?}") };
        addresses.clone()
    };
    assert_eq!(told(&mut world, &[B1, B2]), [ip(B2)]);
    assert_eq!(told(&mut world, &[B1, A3, B2, "192.0.2.103"]), [ip(A3), ip(B2)]);
    assert_eq!(told(&mut world, &[B1]), [] as [IpAddr; 0]);
    // Wrong lengths, and addresses of no host.
    let mut forger = Forger::new(&world.node(A).keys);
    let id = world.node(B).only_sa().1.requests_sent;
    let head = forger.head(Role::Responder, ExchangeType::INFORMATIONAL, id, false);
    let list = [
        Raw::notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[1, 2, 3]),
        Raw::notify(NotifyType::ADDITIONAL_IP6_ADDRESS, &[1; 4]),
        Raw::notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[0; 4]),
        Raw::notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[224, 0, 0, 1]),
        Raw::notify(NotifyType::ADDITIONAL_IP4_ADDRESS, &[192, 0, 2, 104]),
    ];
    let request = forger.seal(&head, &list);
    world.receive(A, path(A1, B1), &marked(&request)).unwrap();
    let events = world.take_events(A);
    let [Event::PeerAddresses { addresses, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(addresses[..], [ip("192.0.2.104")]);
}

/// §3.10: nobody told that the path is dead; repeats go by the others too, and the one that works is used.
#[test]
fn a_dead_path_is_left_for_one_that_works() {
    for (dead, a, b) in [(A1, A2, B1), (B1, A1, B2)] {
        let mut world = world_of(&[A1, A2], &[B1, B2], |_, _| {});
        world.dead.insert(ip(dead));
        world.run_for_secs(120);
        assert_settled(&mut world, a, b);
    }
}

#[test]
fn addresses_that_the_policy_refuses_are_answered_so_and_others_are_tried() {
    let home = AddressRange::prefix(ip("192.0.2.0"), 24).unwrap();
    let mut world = world_of(&[A1], &[B1], |node, setup| {
        if node == B {
            policy(setup).acceptable = Some(vec![home]);
        }
    });
    let before = paths(&world);
    world.set_addresses(A, &[A1, A2, A3]).unwrap();
    world.run();
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    // Wanted, refused, and the next too: it stays.
    let sa = world.handle(A);
    world.call(A, |e, now| e.move_ike_sa(now, sa, path(A2, B1))).unwrap();
    let update = world.take();
    world.deliver(&update).unwrap().unwrap();
    let answer = world.take();
    let said = opened(&world, &answer);
    assert_eq!(said[1], (NotifyType::UNACCEPTABLE_ADDRESSES, vec![]));
    assert_eq!(data(&said, NotifyType::COOKIE2), data(&opened(&world, &update), NotifyType::COOKIE2));
    world.deliver(&answer).unwrap().unwrap();
    world.run();
    let failures = move_failures(&world.take_events(A));
    let [failure @ Failure::Addresses(fault)] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(**fault, AddressFault::Refused { path: path(A3, B1), tried: 2 });
    says(failure, &["203.0.113.9:4500", "2 tried"]);
    let told = move_failures(&world.take_events(B));
    assert_eq!(told.len(), 2);
    says(&told[0], &["wants to move", "198.51.100.7", "policy"]);
    assert_eq!(paths(&world), before);
    // Gone from home it finds the only one that is accepted.
    world.set_addresses(A, &[A2, A3, "192.0.2.77"]).unwrap();
    world.run();
    assert_settled(&mut world, "192.0.2.77", B1);
}

/// §3.5: "or disconnect". It cannot stay, and can go nowhere: the peer hears of the end.
#[test]
fn an_end_that_can_go_nowhere_says_so_and_ends() {
    let mut world = world_of(&[A1], &[B1], |node, setup| {
        if node == B {
            policy(setup).acceptable = Some(vec![AddressRange::single(ip(A1))]);
        }
    });
    world.set_addresses(A, &[A2]).unwrap();
    world.run();
    let fault = AddressFault::Refused { path: path(A2, B1), tried: 1 };
    assert_eq!(down(&world.take_events(A)), fault.into());
    assert_eq!(downs(&world.take_events(B))[0].1, DownReason::DeletedByPeer);
}

/// §3.9.
#[test]
fn a_nat_that_is_forbidden_keeps_it_where_it_is() {
    let mut world = world_of(&[A1], &[B1], |node, setup| policy(setup).no_nats = node == A);
    // A single datagram whose address somebody changed does no harm.
    world.set_addresses(A, &[A1, A2]).unwrap();
    world.run();
    let sa = world.handle(A);
    world.call(A, |e, now| e.move_ike_sa(now, sa, path(A2, B1))).unwrap();
    let update = world.take();
    let mut expected = vec![198, 51, 100, 7, 192, 0, 2, 2];
    expected.extend_from_slice(&[4500_u16.to_be_bytes(), 4500_u16.to_be_bytes()].concat());
    assert_eq!(data(&opened(&world, &update), NotifyType::NO_NATS_ALLOWED), Some(&expected[..]));
    let changed = Packet { from: "203.0.113.66:4500".parse().unwrap(), ..update };
    world.deliver(&changed).unwrap().unwrap();
    let answer = world.take();
    assert!(data(&opened(&world, &answer), NotifyType::UNEXPECTED_NAT_DETECTED).is_some());
    says(&move_failures(&world.take_events(B))[0], &["a NAT", "198.51.100.7:4500", "203.0.113.66:4500"]);
    world.deliver(&Packet { to: "198.51.100.7:4500".parse().unwrap(), ..answer }).unwrap().unwrap();
    world.run();
    assert_settled(&mut world, A2, B1);
    // A NAT that stays.
    world.nodes[A].nat = Some(Nat::new(A3));
    world.call(A, |e, now| e.move_ike_sa(now, sa, path(A1, B1))).unwrap();
    world.run();
    let failures = move_failures(&world.take_events(A));
    assert_eq!(failures, [AddressFault::NatForbidden { path: path(A1, B1), tries: 5 }.into()]);
    assert_eq!(paths(&world), [path(A2, B1), path(B1, A2)]);
}

#[test]
fn a_forbidden_nat_ends_the_handshake() {
    let (a, b) = setups(|node, setup| policy(setup).no_nats = node == A);
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new(A3));
    world.connect(A, B);
    world.run();
    assert_eq!(down(&world.take_events(A)), Failure::Refused { notify: NotifyType::UNEXPECTED_NAT_DETECTED });
    says(&down(&world.take_events(B)), &["a NAT, which the peer forbids"]);
}

/// §3.7: "If the values do not match, the IKE_SA MUST be closed."
#[test]
fn an_answer_without_our_cookie2_closes_the_ike_sa() {
    for got in [None, Some(16)] {
        let mut world = mobile();
        world.set_addresses(A, &[A2]).unwrap();
        world.deliver_next().unwrap().unwrap();
        let answer = world.take();
        world.take_all();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&answer, |payloads| {
            payloads.retain(|raw| raw.body[2..4] != NotifyType::COOKIE2.0.to_be_bytes());
            payloads.extend(got.map(|octets| Raw::notify(NotifyType::COOKIE2, &vec![7; octets])));
        });
        world.deliver(&altered).unwrap().unwrap();
        world.run();
        let downs = downs(&world.take_events(A));
        assert_eq!(downs[0].1, DownReason::Failed(Box::new(AddressFault::Cookie2 { got }.into())));
        assert_eq!(world.endpoint(B).ike_sas().count(), 0);
    }
}

/// §3.8: with MOBIKE the responder follows no IKE message; a liveness check finds the new mapping, and the update tells.
#[test]
fn a_mapping_that_changed_is_found_by_liveness_checks() {
    let (a, b) = setups(|_, _| {});
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new(A3));
    world.connect(A, B);
    world.run();
    let sa = world.handle(A);
    for change in [false, false, true] {
        if change {
            world.nodes[A].nat.as_mut().unwrap().rebind();
        }
        world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
        let before = world.node(B).only_sa().1.path;
        world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
        let check = world.take();
        assert!(data(&opened(&world, &check), NotifyType::NAT_DETECTION_SOURCE_IP).is_some());
        world.deliver(&check).unwrap().unwrap();
        assert_eq!(world.node(B).only_sa().1.path, before);
        world.run();
        assert_eq!(moves(&world.take_events(B)).len(), usize::from(change));
        assert_eq!(world.node(B).only_sa().1.path.remote, check.from);
    }
}

/// §3.8: "but MAY use them for ESP packets".
#[test]
fn esp_from_a_new_mapping_is_followed() {
    let (a, b) = setups(|_, _| {});
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new(A3));
    world.connect(A, B);
    world.run();
    let id = *world.node(B).mirror.children.keys().next().unwrap();
    let new = Path { remote: "203.0.113.9:5555".parse().unwrap(), ..world.node(B).only_sa().1.path };
    world.take_events(B);
    world.call(B, |e, now| e.handle_report(now, &SaReport::PeerMoved { id, path: new })).unwrap();
    assert_eq!(moves(&world.take_events(B)), [(new, 1)]);
}

#[test]
fn who_answered_first_moves_nothing_by_itself() {
    let mut world = mobile();
    let sa = world.handle(B);
    let moved = world.call(B, |e, now| e.move_ike_sa(now, sa, path(B2, A1)));
    assert_eq!(moved, Err(CallError::NotMovable));
    let sa = world.handle(A);
    let bad = Path { remote: "[2001:db8::2]:4500".parse().unwrap(), ..path(A1, B1) };
    assert_eq!(world.call(A, |e, now| e.move_ike_sa(now, sa, bad)), Err(CallError::BadPath));
    // An update of the responder's is none.
    let mut forger = Forger::new(&world.node(A).keys);
    let head = forger.head(Role::Responder, ExchangeType::INFORMATIONAL, 0, false);
    let request = forger.seal(&head, &[Raw::notify(NotifyType::UPDATE_SA_ADDRESSES, &[])]);
    world.receive(A, path(A1, B2), &marked(&request)).unwrap();
    assert_eq!((paths(&world)[A], world.take_events(A)), (path(A1, B1), vec![]));
}

#[test]
fn an_end_without_any_address_waits_for_one() {
    let mut world = world_of(&[A1], &[B1], |_, _| {});
    world.set_addresses(A, &["2001:db8::1"]).unwrap();
    let failures = move_failures(&world.take_events(A));
    assert_eq!(failures, [AddressFault::NoPath.into()]);
    world.set_addresses(A, &[A3]).unwrap();
    world.run_for_secs(10);
    assert_settled(&mut world, A3, B1);
}

/// A move beside rekeys of the IKE SA and of a Child SA, of either end's, in any order and with any one message lost.
#[test]
fn moves_and_rekeys_at_the_same_time_end_in_one_place() {
    for seed in 0..120 {
        let (a, b) = setups(|_, setup| setup.config.window = 1 + (seed % 3) as u32);
        let mut world = World::new(vec![a, b], seed);
        world.set_addresses(A, &[A1]).unwrap();
        world.set_addresses(B, &[B1]).unwrap();
        world.connect(A, B);
        world.run();
        world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
        let (ours, theirs) = (world.handle(A), world.handle(B));
        match seed % 4 {
            0 => world.call(A, |e, now| e.rekey_ike_sa(now, ours)).unwrap(),
            1 => world.call(B, |e, now| e.rekey_ike_sa(now, theirs)).unwrap(),
            2 => {
                world.call(A, |e, now| e.rekey_ike_sa(now, ours)).unwrap();
                world.call(B, |e, now| e.rekey_ike_sa(now, theirs)).unwrap();
            }
            _ => {
                let id = *world.node(B).mirror.children.keys().next().unwrap();
                world.call(B, |e, now| e.rekey_child(now, theirs, id)).unwrap();
            }
        }
        world.set_addresses(A, &[A2]).unwrap();
        if seed % 5 == 0 {
            world.set_addresses(A, &[A3]).unwrap();
        }
        world.deliver_in_any_order((seed % 7) as u32);
        world.run_for(Duration::from_secs(60));
        let last = if seed % 5 == 0 { A3 } else { A2 };
        assert_eq!(paths(&world), [path(last, B1), path(B1, last)], "{seed}");
        world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
        assert_settled(&mut world, last, B1);
    }
}
