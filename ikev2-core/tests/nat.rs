//! NAT detection, the NAT-T path, keepalives and peers that move (RFC 7296 §2.11, §2.23, RFC 3948).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::establish::nat::hash;
use ikev2_core::{CookiePolicy, Event, Handled, NatStatus, Rejection};
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ipsec_types::udp::{NAT_KEEPALIVE, NON_ESP_MARKER};
use ipsec_types::{Encapsulation, Path, PathKind, SaCommand, SaReport};
use sha1::{Digest, Sha1};
use std::net::SocketAddr;
use std::time::Duration;
use support::forge::{Forger, Raw, payloads_of};
use support::mirror::assert_crosswise;
use support::peer::{Peer, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

/// A world with NATs where asked for, and everything established.
fn behind(a_behind: bool, b_behind: bool) -> World {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    if a_behind {
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    }
    if b_behind {
        world.nodes[B].nat = Some(Nat::forwarding("198.51.100.2"));
    }
    world.connect(A, B);
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 1);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    world
}

fn check_liveness(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
}

fn encapsulation(world: &World, node: usize) -> Encapsulation {
    world.node(node).mirror.children.values().next().unwrap().child.encapsulation
}

#[test]
fn each_side_finds_its_own_nat_and_the_others() {
    for (a_behind, b_behind) in [(false, false), (true, false), (false, true), (true, true)] {
        let world = behind(a_behind, b_behind);
        let ((_, a), (_, b)) = (world.node(A).only_sa(), world.node(B).only_sa());
        assert_eq!(a.nat, NatStatus { local: a_behind, remote: b_behind });
        assert_eq!(b.nat, NatStatus { local: b_behind, remote: a_behind });
        let any = a_behind || b_behind;
        let (kind, port) = if any { (PathKind::NatT, 4500) } else { (PathKind::Ike, 500) };
        assert_eq!((a.path.kind, b.path.kind), (kind, kind));
        assert_eq!((a.path.local.port(), b.path.local.port(), a.path.remote.port()), (port, port, port));
        let expected = if any { Encapsulation::Udp } else { Encapsulation::None };
        assert_eq!((encapsulation(&world, A), encapsulation(&world, B)), (expected, expected));
    }
}

/// §2.23: `SHA-1(SPIi | SPIr | address | port)`, the SPIs as in the header of the message that carries it.
#[test]
fn the_hashes_are_over_the_spis_of_their_own_message() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    for _ in 0..2 {
        let packet = world.take();
        let header = packet.message()[..16].to_vec();
        let expected = |end: SocketAddr| {
            let std::net::IpAddr::V4(address) = end.ip() else { panic!() };
            let octets = [&header[..], &address.octets(), &end.port().to_be_bytes()].concat();
            Sha1::digest(&octets).to_vec()
        };
        let found = notifies(&payloads_of(packet.message()));
        let claims: Vec<_> = found
            .into_iter()
            .filter(|(ty, _)| {
                *ty == NotifyType::NAT_DETECTION_SOURCE_IP || *ty == NotifyType::NAT_DETECTION_DESTINATION_IP
            })
            .collect();
        let source = (NotifyType::NAT_DETECTION_SOURCE_IP, expected(packet.from));
        let destination = (NotifyType::NAT_DETECTION_DESTINATION_IP, expected(packet.to));
        assert_eq!(claims, [source, destination], "{}", packet.header().flags.is_response());
        world.deliver(&packet).unwrap().unwrap();
    }
}

/// §2.23: from IKE_AUTH on, and with the marker exactly there (which [`World`] asserts of every datagram).
#[test]
fn with_a_nat_everything_from_ike_auth_on_goes_by_the_nat_t_ports() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.connect(A, B);
    for (exchange, marked) in [
        (ExchangeType::IKE_SA_INIT, false),
        (ExchangeType::IKE_SA_INIT, false),
        (ExchangeType::IKE_AUTH, true),
        (ExchangeType::IKE_AUTH, true),
    ] {
        let packet = world.take();
        assert_eq!(packet.header().exchange, exchange);
        assert_eq!(packet.octets.starts_with(&NON_ESP_MARKER), marked, "{exchange}");
        let (node, path) = world.route(&packet).unwrap();
        assert_eq!(path.kind, if marked { PathKind::NatT } else { PathKind::Ike });
        if node == B && marked {
            assert_eq!(packet.to.port(), 4500);
        }
        world.deliver(&packet).unwrap().unwrap();
    }
}

#[test]
fn nat_t_ports_are_configurable() {
    let (mut a, mut b) = two();
    (a.config.local_nat_t_port, b.config.local_nat_t_port) = (4_501, 14_500);
    a.connection.remote_nat_t_port = 14_500;
    let mut world = World::pair(a, b);
    world.nodes[B].nat = Some(Nat::forwarding("198.51.100.2"));
    world.connect(A, B);
    world.run();
    let (_, info) = world.node(A).only_sa();
    assert_eq!((info.path.local.port(), info.path.remote.port()), (4_501, 14_500));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// RFC 3948 §4: every 20 s, only from behind a NAT, and not while anything else is sent.
#[test]
fn keepalives_come_from_behind_the_nat_alone() {
    for (a_behind, b_behind) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut a, mut b) = two();
        for setup in [&mut a, &mut b] {
            setup.connection.liveness = None;
            setup.connection.ike_rekey_after = None;
            setup.connection.ike_expires_after = None;
            setup.connection.ike_keepalive = None;
        }
        let mut world = World::pair(a, b);
        world.nodes[A].nat = a_behind.then(|| Nat::new("198.51.100.1"));
        world.nodes[B].nat = b_behind.then(|| Nat::forwarding("198.51.100.2"));
        world.connect(A, B);
        world.run();
        let began = world.now;
        for (node, behind) in [(A, a_behind), (B, b_behind)] {
            let timer = world.endpoint(node).poll_timeout();
            assert_eq!(timer.map(|at| at.saturating_since(began).as_secs()), behind.then_some(20), "{node}");
        }
        for turn in 1..=3 {
            world.now = began + Duration::from_secs(20 * turn);
            for node in [A, B] {
                world.fire(node);
            }
            let sent = world.take_all();
            assert_eq!(sent.len(), usize::from(a_behind) + usize::from(b_behind));
            for packet in sent {
                assert_eq!(packet.octets, NAT_KEEPALIVE);
                assert_eq!(world.deliver(&packet), Some(Ok(Handled::Keepalive)));
            }
        }
        assert_eq!(world.endpoint(B).statistics().rejected_in_all(), 0);
    }
}

#[test]
fn anything_sent_on_the_path_postpones_the_keepalive() {
    let (mut a, mut b) = two();
    (a.connection.liveness, b.connection.liveness) = (None, None);
    let mut world = World::pair(a, b);
    world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
    world.connect(A, B);
    world.run();
    // A request of ours, and an answer.
    for node in [A, B] {
        world.run_for_secs(15);
        check_liveness(&mut world, node);
        world.run();
    }
    world.run_for(Duration::from_millis(19_999));
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, 4);
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, 5);
}

/// A keepalive is from anyone, and proves nothing.
#[test]
fn a_keepalive_is_no_sign_of_life_and_moves_nobody() {
    let mut world = behind(true, false);
    let before = dump(world.endpoint(B));
    let at = Path { remote: "203.0.113.9:7777".parse().unwrap(), ..world.node(B).only_sa().1.path };
    assert_eq!(world.receive(B, at, &NAT_KEEPALIVE), Ok(Handled::Keepalive));
    assert_eq!(before, dump(world.endpoint(B)));
}

#[test]
fn udp_encapsulation_can_be_forced_by_either_side() {
    for (force_a, force_b) in [(true, false), (false, true), (true, true)] {
        let (mut a, mut b) = two();
        a.connection.force_udp_encapsulation = force_a;
        b.connection.force_udp_encapsulation = force_b;
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        assert_eq!(encapsulation(&world, A), Encapsulation::Udp, "{force_a} {force_b}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        let ((_, a), (_, b)) = (world.node(A).only_sa(), world.node(B).only_sa());
        assert_eq!((a.path.kind, b.path.kind), (PathKind::NatT, PathKind::NatT));
        assert_eq!((a.nat.local, b.nat.local), (force_a, force_b));
        assert_eq!((a.nat.remote, b.nat.remote), (force_b, force_a));
    }
}

/// Whoever does not know its address must not make one side see a NAT and the other none.
#[test]
fn an_unknown_local_address_ends_in_one_encapsulation_on_both_sides() {
    for a_behind in [false, true] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.nodes[A].nat = a_behind.then(|| Nat::new("198.51.100.1"));
        let mut path = world.path(A, B);
        path.local = "0.0.0.0:500".parse().unwrap();
        world.call(A, |e, now| e.connect(now, "tunnel", path)).unwrap();
        world.run();
        assert_eq!(
            (encapsulation(&world, A), encapsulation(&world, B)),
            (Encapsulation::Udp, Encapsulation::Udp)
        );
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(B).only_sa().1.nat, NatStatus { local: false, remote: true });
        // And it lives on.
        world.run_for_secs(200);
        assert_eq!((world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len()), (1, 1));
    }
}

/// The forced hash is the same in every repeat of IKE_SA_INIT.
#[test]
fn a_forced_hash_is_the_same_after_cookie_and_invalid_ke() {
    for forced in [true, false] {
        let (mut a, mut b) = two();
        a.connection.force_udp_encapsulation = forced;
        b.config.cookies = CookiePolicy::Always;
        let a = a.ike(&["aes256gcm16-prfsha256-ecp256-x25519"]);
        let mut world = World::pair(a, b.ike(&["aes256gcm16-prfsha256-x25519"]));
        let mut path = world.path(A, B);
        if !forced {
            path.local = "0.0.0.0:500".parse().unwrap();
        }
        world.call(A, |e, now| e.connect(now, "tunnel", path)).unwrap();
        let mut claims = Vec::new();
        for _ in 0..3 {
            let request = world.take();
            let found = notifies(&payloads_of(request.message()));
            let nat = |ty: NotifyType| found.iter().find(|(t, _)| *t == ty).unwrap().1.clone();
            let spi = request.header().initiator_spi;
            let source = nat(NotifyType::NAT_DETECTION_SOURCE_IP);
            assert_ne!(source, hash(spi, None, request.from));
            let destination = nat(NotifyType::NAT_DETECTION_DESTINATION_IP);
            assert_eq!(destination, hash(spi, None, request.to));
            claims.push(source);
            let _ = world.deliver(&request);
            world.deliver_next();
        }
        assert!(claims.iter().all(|claim| *claim == claims[0]));
        world.run();
        assert_eq!(world.node(A).mirror.sas.len(), 1);
    }
}

/// Where the peer is not reached by port 500, the NAT-T socket is used from the first message on.
#[test]
fn the_first_message_goes_by_the_nat_t_path_where_the_port_is_not_500() {
    for port in [4_500, 4_501] {
        let (mut a, mut b) = two();
        a.connection.remote_address = Some("192.0.2.2".parse().unwrap());
        a.connection.remote_port = port;
        a.connection.remote_nat_t_port = port;
        b.config.local_nat_t_port = port;
        let connection = a.connection.clone();
        let config = a.config.clone();
        let mut world = World::pair(a, b);
        let local: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let path = connection.initial_path(local, &config).unwrap();
        assert_eq!((path.kind, path.local.port(), path.remote.port()), (PathKind::NatT, 4_500, port));
        world.call(A, |e, now| e.connect(now, "tunnel", path)).unwrap();
        while world.in_flight().count() > 0 {
            let packet = world.take();
            assert!(packet.octets.starts_with(&NON_ESP_MARKER));
            world.deliver(&packet).unwrap().unwrap();
        }
        let (_, info) = world.node(A).only_sa();
        assert_eq!((info.path, info.nat), (path, NatStatus::default()));
        // No NAT: plain ESP, though IKE goes by these ports.
        assert_eq!(
            (encapsulation(&world, A), encapsulation(&world, B)),
            (Encapsulation::None, Encapsulation::None)
        );
        check_liveness(&mut world, A);
        world.run();
        assert_eq!(world.node(A).only_sa().1.path, path);
    }
}

#[test]
fn initial_path_wants_a_known_address_of_one_family() {
    let (a, _) = two();
    let mut connection = a.connection;
    let local: SocketAddr = "192.0.2.1:500".parse().unwrap();
    assert_eq!(connection.initial_path(local, &a.config), None);
    connection.remote_address = Some("2001:db8::2".parse().unwrap());
    assert_eq!(connection.initial_path(local, &a.config), None);
    connection.remote_address = Some("192.0.2.2".parse().unwrap());
    let path = connection.initial_path(local, &a.config).unwrap();
    assert_eq!(path, Path::ike(local, "192.0.2.2:500".parse().unwrap()));
}

/// Without NAT_DETECTION notifies the peer does no NAT traversal, and none is done.
#[test]
fn a_peer_without_nat_traversal_is_taken_as_it_is() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    let mut peer = Peer::initiator();
    let path = Path { remote: "198.51.100.9:5000".parse().unwrap(), ..world.path(B, A) };
    let request = peer.init_request(|_| {});
    world.receive(B, path, &request).unwrap();
    let answer = world.take();
    assert!(!notifies(&payloads_of(answer.message())).iter().any(|(ty, _)| {
        [NotifyType::NAT_DETECTION_SOURCE_IP, NotifyType::NAT_DETECTION_DESTINATION_IP].contains(ty)
    }));
    peer.got_init_answer(answer.message());
    let request = peer.auth_request(|_| {});
    world.receive(B, path, &request).unwrap();
    assert_eq!(world.node(B).only_sa().1.nat, NatStatus::default());
    assert_eq!(encapsulation(&world, B), Encapsulation::None);
}

/// §2.23: several source hashes, of which one fits, are no NAT.
#[test]
fn one_of_several_source_hashes_is_enough() {
    for (fits, expected) in [(true, false), (false, true)] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        let mut peer = Peer::initiator();
        let path = world.path(B, A);
        let spi = peer.spi;
        let request = peer.init_request(|payloads| {
            let other: SocketAddr = "10.0.0.1:500".parse().unwrap();
            let real = if fits { path.remote } else { "10.0.0.2:500".parse().unwrap() };
            for end in [other, real, "10.0.0.3:500".parse().unwrap()] {
                payloads.push(Raw::notify(NotifyType::NAT_DETECTION_SOURCE_IP, &hash(spi, None, end)));
            }
            let ours = hash(spi, None, path.local);
            payloads.push(Raw::notify(NotifyType::NAT_DETECTION_DESTINATION_IP, &ours));
        });
        world.receive(B, path, &request).unwrap();
        let answer = world.take();
        peer.got_init_answer(answer.message());
        let request = peer.auth_request(|_| {});
        world.receive(B, path, &request).unwrap();
        assert_eq!(world.node(B).only_sa().1.nat, NatStatus { local: false, remote: expected });
    }
}

/// A new mapping moves everything in one step, and only when the message is authentic and new.
#[test]
fn only_an_authentic_new_request_moves_the_peer_and_all_its_child_sas() {
    let mut world = behind(true, false);
    let sa = world.handle(A);
    for _ in 0..2 {
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
    }
    world.nodes.iter_mut().for_each(|node| drop(node.take_events()));
    check_liveness(&mut world, A);
    let request = world.take();
    let new: SocketAddr = "198.51.100.1:33333".parse().unwrap();
    let before = dump(world.endpoint(B));
    // Forged.
    let mut octets = request.message().to_vec();
    *octets.last_mut().unwrap() ^= 1;
    let forged = Packet { from: new, ..request.with_message(&octets) };
    assert_eq!(world.deliver(&forged), Some(Err(Rejection::IntegrityCheck)));
    assert_eq!(before, dump(world.endpoint(B)));
    // Valid, from where it always came; then replayed from the new place.
    world.deliver(&request).unwrap().unwrap();
    world.take_all();
    let before = dump(world.endpoint(B));
    let replayed = Packet { from: new, ..request.clone() };
    assert_eq!(world.deliver(&replayed), Some(Ok(Handled::RepeatAnswered)));
    assert_eq!(world.take().to, new);
    assert_eq!(before, dump(world.endpoint(B)));
    assert_eq!(world.take_events(B), []);
    // The old answer, so that A can go on.
    let head = Forger::new(&world.node(A).keys);
    drop(head);
    world.deliver(&request).unwrap().unwrap();
    world.run();
    // Valid and new.
    world.nodes[A].nat.as_mut().unwrap().rebind();
    check_liveness(&mut world, A);
    let request = world.take();
    assert_ne!(request.from, replayed.from);
    world.deliver(&request).unwrap().unwrap();
    let events = world.take_events(B);
    assert_eq!(kinds(&events), ["data path", "data path", "data path", "moved"]);
    let (_, info) = world.node(B).only_sa();
    assert_eq!(moves(&events), [(info.path, 3)]);
    assert_eq!(info.path.remote, request.from);
    for event in &events[..3] {
        let Event::DataPath(SaCommand::Move { path, encapsulation, .. }) = event else { panic!("{event:?}") };
        assert_eq!((*path, *encapsulation), (info.path, Encapsulation::Udp));
    }
    // The answer, and everything from then on, goes to the new place.
    assert_eq!(world.take().to, request.from);
    check_liveness(&mut world, B);
    assert_eq!(world.take().to, request.from);
}

/// An authentic answer from a new place is as good as a request.
#[test]
fn an_authentic_answer_moves_the_peer_too() {
    let mut world = behind(true, false);
    check_liveness(&mut world, B);
    world.deliver_next();
    let mut answer = world.take();
    answer.from = "198.51.100.1:44444".parse().unwrap();
    world.deliver(&answer).unwrap().unwrap();
    let events = world.take_events(B);
    assert_eq!(moves(&events).len(), 1);
    assert_eq!(world.node(B).only_sa().1.path.remote, answer.from);
}

/// A repeat in flight goes to the new place as well.
#[test]
fn what_is_repeated_after_a_move_goes_to_the_new_place() {
    let mut world = behind(true, false);
    check_liveness(&mut world, B);
    let lost = world.take();
    world.nodes[A].nat.as_mut().unwrap().rebind();
    check_liveness(&mut world, A);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.run();
    world.take_events(B);
    world.run_for(Duration::from_millis(1_100));
    assert_ne!(lost.to, request.from);
    assert_eq!(kinds(&world.take_events(B)), ["alive"]);
}

/// §2.23: a host behind a NAT does not follow, since its own NAT would not let it.
#[test]
fn a_host_behind_a_nat_itself_does_not_follow() {
    let mut world = behind(true, true);
    let before = world.node(B).only_sa().1.path;
    world.nodes[A].nat.as_mut().unwrap().rebind();
    check_liveness(&mut world, A);
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    // Answered where it came from all the same.
    assert_eq!(world.take().to, request.from);
    assert_eq!(world.take_events(B), []);
    assert_eq!(world.node(B).only_sa().1.path, before);
}

/// §2.11: without any NAT, a request from elsewhere is answered there and moves nothing.
#[test]
fn without_a_nat_nobody_moves() {
    let mut world = behind(false, false);
    let before = world.node(B).only_sa().1.path;
    check_liveness(&mut world, A);
    let request = Packet { from: "192.0.2.77:1234".parse().unwrap(), ..world.take() };
    world.deliver(&request).unwrap().unwrap();
    assert_eq!(world.take().to, request.from);
    assert_eq!(world.take_events(B), []);
    assert_eq!(world.node(B).only_sa().1.path, before);
    let id = *world.node(B).mirror.children.keys().next().unwrap();
    let path = Path { remote: request.from, ..before };
    world.call(B, |e, now| e.handle_report(now, &SaReport::PeerMoved { id, path })).unwrap();
    assert_eq!(world.take_events(B), []);
}

/// After the move to the NAT-T ports, the other socket still serves, without a marker.
#[test]
fn a_request_on_the_other_socket_is_answered_there_and_moves_nothing() {
    let mut world = behind(true, false);
    let before = world.node(B).only_sa().1.path;
    check_liveness(&mut world, A);
    let request = world.take();
    let path = Path::ike("192.0.2.2:500".parse().unwrap(), "198.51.100.1:20001".parse().unwrap());
    let message = request.message().to_vec();
    world.receive(B, path, &message).unwrap();
    let answer = world.take();
    assert_eq!((answer.from.port(), answer.to), (500, path.remote));
    assert!(!answer.octets.starts_with(&NON_ESP_MARKER));
    assert_eq!(world.node(B).only_sa().1.path, before);
    assert_eq!(world.take_events(B), []);
    // And it is a repeat on either.
    assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
    assert!(world.take().octets.starts_with(&NON_ESP_MARKER));
}

/// ESP from a new place, as the data path reports it after a good ICV, does the same.
#[test]
fn what_the_data_path_reports_moves_the_peer() {
    let mut world = behind(true, false);
    let id = *world.node(B).mirror.children.keys().next().unwrap();
    let old = world.node(B).only_sa().1.path;
    let path = Path { remote: "198.51.100.1:55555".parse().unwrap(), ..old };
    let report = SaReport::PeerMoved { id, path };
    world.call(B, |e, now| e.handle_report(now, &report)).unwrap();
    assert_eq!(moves(&world.take_events(B)), [(path, 1)]);
    assert_eq!(world.node(B).only_sa().1.path, path);
    // Once is enough.
    world.call(B, |e, now| e.handle_report(now, &report)).unwrap();
    assert_eq!(world.take_events(B), []);
}

/// The mapping changes in the middle of IKE_AUTH, or after each message.
#[test]
fn a_mapping_that_changes_during_the_handshake_does_no_harm() {
    for step in 0..4 {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
        world.connect(A, B);
        for _ in 0..step {
            world.deliver_next();
        }
        world.nodes[A].nat.as_mut().unwrap().rebind();
        world.run_for_secs(60);
        assert_eq!((world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len()), (1, 1), "{step}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(A).only_sa().1.nat, NatStatus { local: true, remote: false });
    }
}

/// Nothing of an answer to IKE_SA_INIT is authentic: it does not choose where we send to.
#[test]
fn an_answer_from_another_address_moves_nothing() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    let mut answer = world.take();
    answer.from = "203.0.113.66:500".parse().unwrap();
    let result = world.deliver(&answer).unwrap();
    if result.is_ok() {
        let auth = world.take();
        assert_eq!(auth.to.ip(), world.node(B).ip);
    }
}
