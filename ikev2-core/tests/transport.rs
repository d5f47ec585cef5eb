//! Transport mode (RFC 7296 §1.3.1), and its traffic selectors through NATs (§2.23.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::Fault;
use ikev2_core::{CallError, ChildConfig, ChildSaInfo, Failure, ModePolicy, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{Payload, TsPayload};
use ipsec_types::sa::{ChildSa, OriginalAddresses, PacketSelectors, PolicyId};
use ipsec_types::{AddressRange, Encapsulation, Mode, PortRange, SaReport, TrafficSelector};
use std::net::IpAddr;
use std::sync::Arc;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

use ModePolicy::{PreferTransport, RequireTransport, Tunnel};

/// The nodes' own addresses, and those of their NATs.
const IP1: &str = "192.0.2.1";
const IPN1: &str = "198.51.100.1";
const IP2: &str = "192.0.2.2";
const IPN2: &str = "198.51.100.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host(text: &str) -> TrafficSelector {
    net(&format!("{text}/32"))
}

fn with_mode(mode: ModePolicy, local: &[&str], remote: &[&str]) -> Arc<ChildConfig> {
    let mut config = ChildConfig::tunnel(PolicyId(1), "first", nets(local), nets(remote));
    config.mode = mode;
    Arc::new(config)
}

fn modes(a: ModePolicy, b: ModePolicy) -> (Setup, Setup) {
    let (mut one, mut two) = two();
    for (setup, mode) in [(&mut one, a), (&mut two, b)] {
        setup.connection.children = vec![with_mode(mode, &["0.0.0.0/0"], &["0.0.0.0/0"])];
    }
    (one, two)
}

fn world(setups: (Setup, Setup), a_behind: bool, b_behind: bool) -> World {
    let mut world = World::pair(setups.0, setups.1);
    world.nodes[A].nat = a_behind.then(|| Nat::new(IPN1));
    world.nodes[B].nat = b_behind.then(|| Nat::forwarding(IPN2));
    world.connect(A, B);
    world
}

fn newest(world: &World, node: usize) -> Arc<ChildSa> {
    world.node(node).mirror.children.last_key_value().unwrap().1.child.clone()
}

fn create(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.create_child(now, sa, "first")).unwrap();
}

/// What becomes of each pair of policies, initiator's first: the mode, or the failures at both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    In(Mode),
    InitiatorRefuses,
    ResponderRefuses,
}

const OUTCOMES: [(ModePolicy, ModePolicy, Outcome); 9] = [
    (Tunnel, Tunnel, Outcome::In(Mode::Tunnel)),
    (Tunnel, PreferTransport, Outcome::In(Mode::Tunnel)),
    (Tunnel, RequireTransport, Outcome::ResponderRefuses),
    (PreferTransport, Tunnel, Outcome::In(Mode::Tunnel)),
    (PreferTransport, PreferTransport, Outcome::In(Mode::Transport)),
    (PreferTransport, RequireTransport, Outcome::In(Mode::Transport)),
    (RequireTransport, Tunnel, Outcome::InitiatorRefuses),
    (RequireTransport, PreferTransport, Outcome::In(Mode::Transport)),
    (RequireTransport, RequireTransport, Outcome::In(Mode::Transport)),
];

#[test]
fn each_pair_of_policies_in_ike_auth() {
    for (a, b, outcome) in OUTCOMES {
        let mut world = world(modes(a, b), false, false);
        world.run();
        judge(&mut world, outcome, (a, b), A, B);
    }
}

#[test]
fn each_pair_of_policies_in_create_child_sa_begun_by_either_side() {
    for (ours, theirs, outcome) in OUTCOMES {
        for (node, other) in [(A, B), (B, A)] {
            let (a, b) = if node == A { (ours, theirs) } else { (theirs, ours) };
            // The first Child SA is another one, of which both take the same.
            let (mut one, mut two) = modes(a, b);
            for (setup, local, remote) in [
                (&mut one, "2001:db8:1::/48", "2001:db8:2::/48"),
                (&mut two, "2001:db8:2::/48", "2001:db8:1::/48"),
            ] {
                setup.connection.children.insert(0, child(9, "other", &[local], &[remote]));
            }
            let mut world = World::established(one, two);
            create(&mut world, node);
            world.run();
            judge(&mut world, outcome, (a, b), node, other);
            assert_eq!(world.node(A).mirror.sas.len(), 1);
        }
    }
}

fn judge(
    world: &mut World,
    outcome: Outcome,
    policies: (ModePolicy, ModePolicy),
    began: usize,
    other: usize,
) {
    let (at_initiator, at_responder) = (world.take_events(began), world.take_events(other));
    let failure = Failure::Mode { got: Mode::Tunnel, wanted: Mode::Transport };
    match outcome {
        Outcome::In(mode) => {
            for node in [A, B] {
                assert_eq!(newest(world, node).mode, mode, "{policies:?}");
                assert_eq!(newest(world, node).original_addresses, None, "{policies:?}");
            }
            if policies == (Tunnel, Tunnel) {
                assert_eq!(newest(world, A).local, nets(&["0.0.0.0/0"]));
            }
            if mode == Mode::Transport {
                assert_eq!(
                    (newest(world, A).local.clone(), newest(world, A).remote.clone()),
                    ([host(IP1)].to_vec(), [host(IP2)].to_vec())
                );
            }
        }
        // §1.3.1: what is unacceptable to the initiator is deleted.
        Outcome::InitiatorRefuses => {
            assert_eq!(child_failure(&at_initiator), failure, "{policies:?}");
            assert_eq!(failure.fault(), Fault::PeerIncompatible);
            says(&failure, &["tunnel mode", "transport mode alone"]);
            assert!(kinds(&at_responder).ends_with(&["Child up", "data path", "Child down"]));
        }
        Outcome::ResponderRefuses => {
            assert_eq!(child_failure(&at_responder), failure, "{policies:?}");
            let told = child_failure(&at_initiator);
            assert!(
                matches!(told, Failure::OfferRefused { notify: NotifyType::NO_PROPOSAL_CHOSEN, .. }),
                "{told:?}"
            );
        }
    }
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// The example of §2.23.1 on the wire: the client sends IP1 and IPN2, the server answers IPN1 and IP2, and each
/// installs what it sees.
#[test]
fn the_worked_example_of_section_2_23_1_on_the_wire() {
    let mut world = world(modes(RequireTransport, RequireTransport), true, true);
    world.deliver_next();
    world.deliver_next();
    let forger = Forger::new(&world.node(A).keys);
    for (from, to) in [(IP1, IPN2), (IPN1, IP2)] {
        let message = world.take();
        let payloads = forger.open(message.message());
        let selectors = |ty| body(&payloads, ty).to_vec();
        assert_eq!(selectors(PayloadType::TS_I), ts(&[host(from)]));
        assert_eq!(selectors(PayloadType::TS_R), ts(&[host(to)]));
        assert!(notifies(&payloads).contains(&(NotifyType::USE_TRANSPORT_MODE, Vec::new())));
        // Appendix C.2: before the SA payload.
        let place = |found: &dyn Fn(&Raw) -> bool| payloads.iter().position(found).unwrap();
        let notify = place(&|raw| *raw == Raw::notify(NotifyType::USE_TRANSPORT_MODE, &[]));
        assert!(notify < place(&|raw| raw.ty == PayloadType::SA));
        world.deliver(&message).unwrap().unwrap();
    }
    let (client, server) = (newest(&world, A), newest(&world, B));
    assert_eq!((&client.local[..], &client.remote[..]), (&[host(IP1)][..], &[host(IPN2)][..]));
    assert_eq!((&server.local[..], &server.remote[..]), (&[host(IP2)][..], &[host(IPN1)][..]));
    let original = |local, remote| Some(OriginalAddresses { local: ip(local), remote: ip(remote) });
    assert_eq!(client.original_addresses, original(IPN1, IP2));
    assert_eq!(server.original_addresses, original(IPN2, IP1));
    assert_eq!(client.encapsulation, Encapsulation::Udp);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

fn ts(selectors: &[TrafficSelector]) -> Vec<u8> {
    Raw::of(&Payload::TsI(TsPayload::build(selectors).unwrap())).body
}

/// Each NAT in front of each side, and each side that begins an exchange.
#[test]
fn both_ends_agree_whatever_nat_is_between_and_whoever_begins() {
    for (a_behind, b_behind) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut world = world(modes(RequireTransport, RequireTransport), a_behind, b_behind);
        world.run();
        for node in [B, A] {
            create(&mut world, node);
            world.run();
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            let (a, b) = (newest(&world, A), newest(&world, B));
            let (seen_a, seen_b) = (if a_behind { IPN1 } else { IP1 }, if b_behind { IPN2 } else { IP2 });
            assert_eq!((&a.local[..], &a.remote[..]), (&[host(IP1)][..], &[host(seen_b)][..]));
            assert_eq!((&b.local[..], &b.remote[..]), (&[host(IP2)][..], &[host(seen_a)][..]));
            let any = a_behind || b_behind;
            assert_eq!(a.original_addresses.is_some(), any);
            assert_eq!(b.original_addresses.is_some(), any);
        }
        assert_eq!(world.node(A).mirror.children.len(), 3);
    }
}

/// A rekey by either side keeps mode, selectors and original addresses (§2.8).
#[test]
fn a_rekey_keeps_mode_and_selectors_whatever_nat_is_between() {
    for (a_behind, b_behind) in [(false, false), (true, false), (false, true), (true, true)] {
        for node in [A, B] {
            let mut world = world(modes(PreferTransport, PreferTransport), a_behind, b_behind);
            world.run();
            let before = [A, B].map(|side| newest(&world, side));
            let sa = world.handle(node);
            let old = before[node].id;
            world.call(node, |e, now| e.rekey_child(now, sa, old)).unwrap();
            world.run();
            for (side, before) in [A, B].into_iter().zip(&before) {
                let after = newest(&world, side);
                assert_ne!(after.id, before.id);
                assert_eq!(after.mode, Mode::Transport);
                assert_eq!((&after.local, &after.remote), (&before.local, &before.remote));
                assert_eq!(after.original_addresses, before.original_addresses);
            }
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        }
    }
}

/// Protocols and ports are narrowed as ever, on what was substituted.
#[test]
fn ports_are_narrowed_through_nats() {
    let (mut a, mut b) = two();
    let any = |protocol, ports| TrafficSelector { protocol, ports, ..TrafficSelector::ALL_V4 };
    let ports = |first, last| PortRange::new(first, last).unwrap();
    let transport =
        |local, remote| Arc::new(ChildConfig::transport(PolicyId(1), "first", vec![local], vec![remote]));
    a.connection.children = vec![transport(any(6, PortRange::ANY), any(6, ports(1, 1_000)))];
    b.connection.children = vec![transport(any(6, ports(443, 443)), TrafficSelector::ALL_V4)];
    let mut world = world((a, b), true, true);
    world.run();
    let client = newest(&world, A);
    let expected = |address, ports| TrafficSelector { protocol: 6, ports, ..host(address) };
    assert_eq!(client.remote, [expected(IPN2, PortRange::single(443))]);
    assert_eq!(client.local, [expected(IP1, PortRange::ANY)]);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// §2.23.1: where no policy takes transport mode, the substitution is undone, and tunnel mode has what was sent.
#[test]
fn a_policy_for_tunnel_mode_is_compared_with_what_was_sent() {
    let (mut a, mut b) = two();
    a.connection.children = vec![with_mode(PreferTransport, &["0.0.0.0/0"], &["0.0.0.0/0"])];
    b.connection.children = vec![with_mode(Tunnel, &["0.0.0.0/0"], &["192.0.2.1/32"])];
    let mut world = world((a, b), true, false);
    world.run();
    let server = newest(&world, B);
    assert_eq!((server.mode, &server.remote[..]), (Mode::Tunnel, &[host(IP1)][..]));
    assert_eq!(server.original_addresses, None);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// §2.23.1: of several policies the one that takes transport mode is found first, by the substituted addresses.
#[test]
fn a_policy_for_transport_mode_is_found_before_one_for_tunnel_mode() {
    let (mut a, mut b) = two();
    a.connection.children = vec![with_mode(PreferTransport, &["0.0.0.0/0"], &["0.0.0.0/0"])];
    let mut second =
        ChildConfig::transport(PolicyId(2), "second", nets(&["0.0.0.0/0"]), nets(&["198.51.100.0/24"]));
    second.mode = PreferTransport;
    b.connection.children = vec![with_mode(Tunnel, &["0.0.0.0/0"], &["0.0.0.0/0"]), Arc::new(second)];
    let mut world = world((a, b), true, false);
    world.run();
    assert_eq!((newest(&world, B).mode, newest(&world, B).policy), (Mode::Transport, PolicyId(2)));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// A policy with no traffic between the two ends: tunnel mode from the start, or an error of the call.
#[test]
fn transport_mode_is_for_the_ends_themselves() {
    let (mut a, mut b) = two();
    a.connection.children = vec![with_mode(PreferTransport, &["10.1.0.0/16"], &["10.2.0.0/16"])];
    b.connection.children = vec![with_mode(PreferTransport, &["10.2.0.0/16"], &["10.1.0.0/16"])];
    let mut gateways = world((a, b), false, false);
    gateways.run();
    assert_eq!(
        (newest(&gateways, A).mode, &newest(&gateways, A).local),
        (Mode::Tunnel, &nets(&["10.1.0.0/16"]))
    );

    let (mut a, b) = two();
    a.connection.children = vec![with_mode(RequireTransport, &["10.1.0.0/16"], &["10.2.0.0/16"])];
    let mut world = World::pair(a, b);
    let failure = Failure::TransportEnds { local: ip(IP1), remote: ip(IP2) };
    assert_eq!(world.try_connect(A, B), Err(CallError::Failed(Box::new(failure.clone()))));
    assert_eq!(failure.fault(), Fault::Caller);
    says(&failure, &[IP1, IP2, "transport mode"]);
    world.assert_empty(A);
}

/// An acquire's packet leads the selectors (§2.23.1: "very specific" ones first).
#[test]
fn the_packet_that_asked_comes_first() {
    let mut world = world(modes(RequireTransport, RequireTransport), true, true);
    world.run();
    let end = |address, port| TrafficSelector {
        addresses: AddressRange::single(ip(address)),
        protocol: 17,
        ports: PortRange::single(port),
    };
    let packet = PacketSelectors { source: end(IP1, 1_024), destination: end(IPN2, 53) };
    let report = SaReport::Acquire { policy: PolicyId(1), packet };
    world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    let request = Forger::new(&world.node(A).keys).open(world.peek().message());
    assert_eq!(body(&request, PayloadType::TS_I), ts(&[end(IP1, 1_024), host(IP1)]));
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// A responder that grants what nobody asked for is not followed.
#[test]
fn transport_mode_that_was_not_asked_for_is_ignored() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take();
    let mut peer = Peer::responder();
    let answer = peer.init_answer(request.message(), |_| {});
    world.deliver(&Packet { from: request.to, to: request.from, octets: answer }).unwrap().unwrap();
    let auth = world.take();
    let answer = peer.auth_answer(|payloads| payloads.push(Raw::notify(NotifyType::USE_TRANSPORT_MODE, &[])));
    world.deliver(&Packet { from: auth.to, to: auth.from, octets: answer }).unwrap().unwrap();
    assert_eq!(newest(&world, A).mode, Mode::Tunnel);
}

/// A peer behind a NAT that sends several addresses, which §2.23.1 forbids: tunnel mode, or nothing.
#[test]
fn several_addresses_behind_a_nat_get_no_transport_mode() {
    for (policy, mode) in [(PreferTransport, Some(Mode::Tunnel)), (RequireTransport, None)] {
        let mut world = world(modes(PreferTransport, policy), true, false);
        world.run();
        world.nodes[B].take_events();
        create(&mut world, A);
        let request = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let mut payloads = forger.open(request.message());
        let two = ts(&[host(IP1), host("192.0.2.77")]);
        payloads.iter_mut().find(|raw| raw.ty == PayloadType::TS_I).unwrap().body = two;
        let head =
            forger.head(Role::Initiator, ExchangeType::CREATE_CHILD_SA, request.header().message_id, false);
        let altered = request.with_message(&forger.seal(&head, &payloads));
        world.deliver(&altered).unwrap().unwrap();
        let events = world.take_events(B);
        match mode {
            Some(mode) => {
                let up = newest(&world, B);
                assert_eq!((up.mode, up.remote.len(), up.original_addresses), (mode, 2, None));
            }
            None => says(&child_failure(&events), &["transport mode alone"]),
        }
    }
}

/// An answer that is no part of the request after the substitution either.
#[test]
fn an_answer_with_foreign_ports_is_refused_through_a_nat() {
    let mut world = world(modes(RequireTransport, RequireTransport), true, true);
    for _ in 0..3 {
        world.deliver_next();
    }
    let answer = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let altered = forger.alter(&answer, |payloads| {
        let wide = ts(&[net("198.51.100.0/24")]);
        payloads.iter_mut().find(|raw| raw.ty == PayloadType::TS_I).unwrap().body = wide;
    });
    world.deliver(&altered).unwrap().unwrap();
    let failure = child_failure(&world.take_events(A));
    assert!(matches!(failure, Failure::TsAnswer(_)), "{failure:?}");
}

/// §1.3.1: no TFC padding to a peer that cannot take it.
#[test]
fn a_peer_that_takes_no_tfc_padding_gets_none() {
    for refuses in [false, true] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        let mut peer = Peer::initiator();
        let path = world.path(B, A);
        let request = peer.init_request(|_| {});
        world.receive(B, path, &request).unwrap();
        peer.got_init_answer(world.take().message());
        let request = peer.auth_request(|payloads| {
            if refuses {
                payloads.push(Raw::notify(NotifyType::ESP_TFC_PADDING_NOT_SUPPORTED, &[]));
            }
        });
        world.receive(B, path, &request).unwrap();
        assert_eq!(newest(&world, B).tfc_allowed, !refuses);
    }
}

/// What [`ChildSaInfo`] shows is what the data path was given.
#[test]
fn the_mode_can_be_read_of_an_installed_child_sa() {
    let mut world = world(modes(RequireTransport, RequireTransport), false, false);
    world.run();
    let sa = world.handle(A);
    let infos: Vec<ChildSaInfo> = world.endpoint(A).child_sas(sa).collect();
    assert_eq!(infos[0].child.mode, Mode::Transport);
}
