//! Inner addresses and what else a peer far away gets (RFC 7296 §2.19, §3.15; RFC 8598).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::config_payload::pool::RangePool;
use ikev2_core::config_payload::{DnsDomain, TrustAnchor};
use ikev2_core::error::ConfigFault;
use ikev2_core::{
    AddressPolicy, AddressSource, Answer, CallError, ConfigAttribute, ConfigRequest, Configuration,
    DownReason, Event, Failure, Handled, IdentityPattern, LeaseRequest, MobikePolicy, Role, Ticket,
};
use ikev2_wire::codes::{CfgAttribute, CfgType, ExchangeType, NotifyType, PayloadType};
use ipsec_types::sa::{PacketSelectors, PolicyId};
use ipsec_types::{AddressRange, SaReport};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::{body, has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn range(text: &str) -> AddressRange {
    let (address, length) = text.split_once('/').unwrap();
    AddressRange::prefix(ip(address), length.parse().unwrap()).unwrap()
}

const PRIVATE: CfgAttribute = CfgAttribute(20_000);

/// What every peer of the pool is told.
fn extras() -> Vec<ConfigAttribute> {
    let anchor = [&[0x4f, 0x66, 8, 2][..], &[0xe0; 32]].concat();
    vec![
        ConfigAttribute::dns(ip("10.3.0.53")),
        ConfigAttribute::subnet(range("10.2.0.0/16")).unwrap(),
        ConfigAttribute::dns_domain("example.com"),
        ConfigAttribute::new(CfgAttribute::INTERNAL_DNSSEC_TA, anchor),
        ConfigAttribute::dns_domain("city.example"),
        ConfigAttribute::new(CfgAttribute::P_CSCF_IP4_ADDRESS, [10, 3, 0, 5]),
        ConfigAttribute::new(PRIVATE, *b"anything"),
    ]
}

fn pool(ranges: &[&str]) -> Arc<RangePool> {
    Arc::new(RangePool::new(ranges.iter().map(|text| range(text)).collect(), extras()))
}

/// A asks for any address and offers everything; B has these addresses.
fn setups(source: AddressSource) -> (Setup, Setup) {
    let (mut a, mut b) = two();
    let mut request = ConfigRequest::any(true, false);
    request.attributes.extend([
        ConfigAttribute::ask(CfgAttribute::INTERNAL_DNS_DOMAIN),
        ConfigAttribute::ask(CfgAttribute::INTERNAL_DNSSEC_TA),
        ConfigAttribute::ask(PRIVATE),
    ]);
    a.connection.config_request = Some(request);
    b.connection.addresses = Some(AddressPolicy { source, required: true });
    for setup in [&mut a, &mut b] {
        setup.connection.mobike = Some(MobikePolicy::default());
    }
    (a, b)
}

fn established(pool: &Arc<RangePool>) -> World {
    let (a, b) = setups(AddressSource::Pool(pool.clone()));
    World::established(a, b)
}

fn given(world: &World, node: usize) -> Arc<Configuration> {
    world.node(node).only_sa().1.configuration.unwrap()
}

fn inner(world: &World, node: usize) -> Vec<IpAddr> {
    given(world, node).addresses().collect()
}

fn selectors(world: &World, node: usize) -> Vec<(String, String)> {
    let texts = |list: &[ipsec_types::TrafficSelector]| {
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let children = world.node(node).mirror.children.values();
    children.map(|view| (texts(&view.child.local), texts(&view.child.remote))).collect()
}

fn opened(world: &World, packet: &Packet) -> Vec<Raw> {
    Forger::new(&world.node(A).keys).open(packet.message())
}

/// The layout is that of RFC 7296 §3.15 and §3.15.1, by hand.
#[test]
fn an_address_and_more_is_asked_for_and_given() {
    let pool = pool(&["10.3.0.1/32"]);
    let (a, b) = setups(AddressSource::Pool(pool.clone()));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take_first(ExchangeType::IKE_AUTH, false);
    let expected = [
        &[1, 0, 0, 0][..],
        &[0, 1, 0, 0],
        &[0, 3, 0, 0],
        &[0, 25, 0, 0],
        &[0, 26, 0, 0],
        &[0x4e, 0x20, 0, 0],
    ]
    .concat();
    assert_eq!(body(&opened(&world, &request), PayloadType::CP), expected);
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    let payloads = opened(&world, &answer);
    let reply = body(&payloads, PayloadType::CP);
    assert_eq!(reply[..20], [2, 0, 0, 0, 0, 1, 0, 4, 10, 3, 0, 1, 0, 3, 0, 4, 10, 3, 0, 53]);
    assert_eq!(reply[20..32], [0, 13, 0, 8, 10, 2, 0, 0, 255, 255, 0, 0]);
    let place = |ty| payloads.iter().position(|raw| raw.ty == ty).unwrap();
    assert!(
        place(PayloadType::AUTH) < place(PayloadType::CP) && place(PayloadType::CP) < place(PayloadType::SA)
    );
    world.deliver(&answer).unwrap().unwrap();
    for node in [A, B] {
        let got = given(&world, node);
        assert_eq!(got.addresses().collect::<Vec<_>>(), [ip("10.3.0.1")]);
        assert_eq!(got.dns().collect::<Vec<_>>(), [ip("10.3.0.53")]);
        assert_eq!(got.subnets().collect::<Vec<_>>(), [range("10.2.0.0/16")]);
        assert_eq!(got.p_cscf().collect::<Vec<_>>(), [ip("10.3.0.5")]);
        assert_eq!(got.values(PRIVATE).collect::<Vec<_>>(), [b"anything"]);
        let anchor = TrustAnchor { key_tag: 0x4f66, algorithm: 8, digest_type: 2, digest: vec![0xe0; 32] };
        let domain = |name: &str, trust_anchors| DnsDomain { name: name.into(), trust_anchors };
        assert_eq!(got.dns_domains(), [domain("example.com", vec![anchor]), domain("city.example", vec![])]);
    }
    // Everything was offered.
    assert_eq!(selectors(&world, A), [("10.3.0.1/32".into(), "0.0.0.0/0".into())]);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    // The events tell it when the IKE SA is up.
    let up = |event: &Event| matches!(event, Event::IkeSaUp { info, .. } if info.configuration.is_some());
    assert!(world.take_events(A).iter().any(up) && world.take_events(B).iter().any(up));
    assert_eq!(pool.leases(), [(ip("10.3.0.1"), id("a.example"))]);
}

/// RFC 8598 §3.2: split DNS only where it was asked for.
#[test]
fn split_dns_is_not_given_unasked() {
    let pool = pool(&["10.3.0.0/24"]);
    let (mut a, b) = setups(AddressSource::Pool(pool));
    a.connection.config_request = Some(ConfigRequest::any(true, false));
    let world = World::established(a, b);
    assert_eq!((given(&world, A).dns_domains(), given(&world, A).dns().count()), (vec![], 1));
}

#[test]
fn a_lease_lives_through_rekeys_moves_and_reauthentication_and_ends_with_the_last_ike_sa() {
    let pool = pool(&["10.3.0.0/24"]);
    let (mut a, b) = setups(AddressSource::Pool(pool.clone()));
    a.connection.reauthenticate_after = Some(Duration::from_secs(100));
    let mut world = World::pair(a, b);
    world.set_addresses(A, &["192.0.2.1"]).unwrap();
    world.connect(A, B);
    world.run();
    let leased = pool.leases();
    let traffic = selectors(&world, A);
    let (ours, theirs) = (world.handle(A), world.handle(B));
    world.call(A, |e, now| e.rekey_ike_sa(now, ours)).unwrap();
    world.run();
    let child = *world.node(B).mirror.children.keys().next().unwrap();
    world.call(B, |e, now| e.rekey_child(now, theirs, child)).unwrap();
    world.run();
    world.set_addresses(A, &["198.51.100.7"]).unwrap();
    world.run();
    assert_eq!(moves(&world.take_events(B)).len(), 1);
    assert_eq!((pool.leases(), selectors(&world, A)), (leased.clone(), traffic.clone()));
    // The next one asks for what it has.
    world.run_until(ipsec_types::Instant::from_millis(90_000));
    world.run_for_secs(30);
    let (newer, info) = world.node(A).only_sa();
    assert_ne!(newer, ours);
    assert_eq!(info.replaces, Some(ours));
    assert_eq!(
        (pool.leases(), inner(&world, A), selectors(&world, A)),
        (leased, vec![ip("10.3.0.0")], traffic)
    );
    world.call(A, |e, now| e.delete_ike_sa(now, newer)).unwrap();
    world.run();
    assert_eq!(pool.leases(), []);
}

#[test]
fn two_ike_sas_of_one_identity_share_what_it_has() {
    let pool = pool(&["10.3.0.1/32"]);
    let mut world = established(&pool);
    let first = world.handle(B);
    world.connect(A, B);
    world.run();
    let all: Vec<_> = world.endpoint(B).ike_sas().map(|(_, info)| info.configuration.unwrap()).collect();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|given| given.addresses().eq([ip("10.3.0.1")])));
    world.call(B, |e, now| e.delete_ike_sa(now, first)).unwrap();
    world.run();
    assert_eq!(pool.leases().len(), 1);
    let last = world.handle(B);
    world.call(B, |e, now| e.delete_ike_sa(now, last)).unwrap();
    world.run();
    assert_eq!(pool.leases(), []);
}

/// §2.19: "the responder … INTERNAL_ADDRESS_FAILURE"; the IKE SA lives.
#[test]
fn without_an_address_there_is_no_child_sa_and_the_ike_sa_lives() {
    let pool = pool(&["10.3.0.1/32"]);
    let other = LeaseRequest {
        connection: String::new(),
        peer: id("c.example"),
        attributes: vec![ConfigAttribute::ask(CfgAttribute::INTERNAL_IP4_ADDRESS)],
        held: vec![],
    };
    ikev2_core::AddressPool::lease(&*pool, &other).unwrap();
    let (a, b) = setups(AddressSource::Pool(pool));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let (ours, theirs) = (child_failure(&world.take_events(A)), child_failure(&world.take_events(B)));
    assert_eq!(ours, Failure::Refused { notify: NotifyType::INTERNAL_ADDRESS_FAILURE });
    says(&ours, &["no inner address for us"]);
    says(&theirs, &["no inner address for the peer", "any IPv4 address"]);
    for node in [A, B] {
        assert_eq!((world.node(node).mirror.sas.len(), world.node(node).mirror.children.len()), (1, 0));
        assert_eq!(world.node(node).only_sa().1.configuration, None);
    }
}

#[test]
fn who_asks_for_nothing_gets_no_child_sa_where_an_address_is_required() {
    for required in [true, false] {
        let (mut a, mut b) = setups(AddressSource::Pool(pool(&["10.3.0.0/24"])));
        a.connection.config_request = None;
        b.connection.addresses.as_mut().unwrap().required = required;
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        assert_eq!(world.node(A).mirror.children.len(), usize::from(!required));
        if required {
            let failure = child_failure(&world.take_events(A));
            assert_eq!(failure, Failure::Refused { notify: NotifyType::FAILED_CP_REQUIRED });
            says(&child_failure(&world.take_events(B)), &["did not ask for an inner address"]);
            // Nor is it offered one, by its policy's traffic or by name.
            let sa = world.handle(B);
            let refused = world.call(B, |e, now| e.create_child(now, sa, "first"));
            assert_eq!(refused.map(|_| ()), Err(CallError::NoSuchChild));
            let packet = PacketSelectors { source: net("10.2.0.1/32"), destination: net("10.3.0.7/32") };
            let acquire = SaReport::Acquire { policy: PolicyId(1), packet };
            assert!(world.call(B, |e, now| e.handle_report(now, &acquire)).is_err());
            assert_eq!(world.in_flight().count(), 0);
        }
    }
}

/// A gateway without addresses ignores the request: the Child SA that it makes is of no use, and is deleted.
#[test]
fn a_child_sa_without_the_address_that_it_needs_is_deleted() {
    let (a, mut b) = setups(AddressSource::Embedder);
    b.connection.addresses = None;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let failure = child_failure(&world.take_events(A));
    assert_eq!(failure, ConfigFault::NotGiven { asked: vec![ip("0.0.0.0")] }.into());
    says(&failure, &["gave no inner address", "any IPv4 address"]);
    assert_eq!(child_downs(&world.take_events(B))[0].1, DownReason::DeletedByPeer);
    assert!(world.node(A).mirror.children.is_empty() && world.node(A).mirror.sas.len() == 1);
}

/// What the peer asks for beyond its address is not given to it, by either exchange.
#[test]
fn nobody_gets_another_ones_address() {
    let pool = pool(&["10.3.0.0/24"]);
    let (mut a, b) = setups(AddressSource::Pool(pool));
    a.connection.children = vec![child(1, "first", &["10.3.0.77/32"], &["0.0.0.0/0"])];
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    assert_eq!(child_failure(&world.take_events(A)).notify(), NotifyType::INVALID_SYNTAX);
    says(&child_failure(&world.take_events(B)), &["10.3.0.77"]);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.run();
    assert!(world.node(B).mirror.children.is_empty());
    // And we send by an inner address alone.
    let world = established(&self::pool(&["10.3.0.0/24"]));
    assert_eq!(selectors(&world, B), [("0.0.0.0/0".into(), "10.3.0.0/32".into())]);
}

fn needed(world: &mut World) -> (Ticket, ipsec_types::Instant, LeaseRequest) {
    let events = world.take_events(B);
    let found = events.iter().find_map(|event| match event {
        Event::AddressNeeded { ticket, deadline, request } => Some((*ticket, *deadline, (**request).clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{events:?}"))
}

fn asked() -> World {
    let (a, b) = setups(AddressSource::Embedder);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    world
}

#[test]
fn the_embedder_gives_an_address_later() {
    let mut world = asked();
    let (ticket, deadline, request) = needed(&mut world);
    assert_eq!((request.peer, request.connection.as_str()), (id("a.example"), "tunnel"));
    assert!(deadline > world.now && world.node(B).mirror.sas.is_empty());
    // The peer repeats, and hears nothing.
    world.run_for_secs(3);
    assert_eq!(world.node(B).rejections, []);
    let wrong = world.call(B, |e, now| e.answer(now, ticket, Answer::Verified));
    assert_eq!(wrong, Err(CallError::WrongAnswer));
    let answer = || Answer::Leased(Configuration::new(vec![ConfigAttribute::address(ip("10.9.9.9"))]));
    world.call(B, |e, now| e.answer(now, ticket, answer())).unwrap();
    assert_eq!(world.call(B, |e, now| e.answer(now, ticket, answer())), Err(CallError::NoSuchTicket));
    world.run();
    assert_eq!((inner(&world, A), inner(&world, B)), (vec![ip("10.9.9.9")], vec![ip("10.9.9.9")]));
    world.take_events(B);
    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run();
    let events = world.take_events(B);
    let released = events.iter().find_map(|event| match event {
        Event::AddressReleased { released } => Some((released.peer.clone(), released.address)),
        _ => None,
    });
    assert_eq!(released, Some((id("a.example"), ip("10.9.9.9"))), "{events:?}");
}

#[test]
fn the_embedder_refuses_or_never_answers() {
    for answers in [true, false] {
        let mut world = asked();
        let (ticket, ..) = needed(&mut world);
        if answers {
            world.call(B, |e, now| e.answer(now, ticket, Answer::Refused)).unwrap();
            world.run();
        } else {
            world.run_for_secs(25);
            let late = Answer::Leased(Configuration::new(vec![ConfigAttribute::address(ip("10.9.9.9"))]));
            assert_eq!(world.call(B, |e, now| e.answer(now, ticket, late)), Err(CallError::NoSuchTicket));
        }
        let failure = child_failure(&world.take_events(A));
        assert_eq!(failure, Failure::Refused { notify: NotifyType::INTERNAL_ADDRESS_FAILURE });
        assert_eq!((world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len()), (1, 1));
    }
}

/// The embedder is held to its own bookkeeping.
#[test]
fn an_address_is_given_to_one_peer_at_a_time() {
    let (mut b, a) = {
        let (a, b) = setups(AddressSource::Embedder);
        (b, a)
    };
    b.connection.remote_id = IdentityPattern::Any;
    let mut c = Setup::new("c.example", "b.example");
    c.connection.config_request = Some(ConfigRequest::any(true, false));
    let mut world = World::new(vec![a, b, c], 1);
    for node in [A, 2] {
        world.connect(node, B);
        world.run();
        let (ticket, ..) = needed(&mut world);
        let given = Configuration::new(vec![ConfigAttribute::address(ip("10.9.9.9"))]);
        world.call(B, |e, now| e.answer(now, ticket, Answer::Leased(given))).unwrap();
        world.run();
    }
    assert_eq!(world.node(A).mirror.children.len(), 1);
    assert_eq!(world.node(2).mirror.children.len(), 0);
    assert_eq!(child_failure(&world.take_events(B)), ConfigFault::GivenTwice(ip("10.9.9.9")).into());
}

/// Routers ask again when they rekey (RFC 7296 Appendix C.4): the rekey goes on, and nothing is given twice.
#[test]
fn a_request_in_a_rekey_changes_nothing() {
    let pool = pool(&["10.3.0.0/24"]);
    let mut world = established(&pool);
    let (sa, child) = (world.handle(A), *world.node(A).mirror.children.keys().next().unwrap());
    world.call(A, |e, now| e.rekey_child(now, sa, child)).unwrap();
    let request = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let altered = forger.alter(&request, |payloads| {
        payloads.insert(0, Raw::new(PayloadType::CP, &[1, 0, 0, 0, 0, 1, 0, 0]));
    });
    world.deliver(&altered).unwrap().unwrap();
    let answer = world.take();
    let payloads = opened(&world, &answer);
    assert!(has(&payloads, PayloadType::SA) && notifies(&payloads).is_empty());
    world.deliver(&answer).unwrap().unwrap();
    world.run();
    assert_eq!(pool.leases().len(), 1);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// Wrong lengths cost the attribute, and a flood of them nothing more than the bound.
#[test]
fn bad_attributes_are_left_out_and_many_are_bounded() {
    let (mut a, b) = setups(AddressSource::Pool(pool(&["10.3.0.0/24"])));
    a.config.max_config_octets = 100;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let answer = world.take_first(ExchangeType::IKE_AUTH, true);
    let mut forger = Forger::new(&world.node(A).keys);
    let altered = forger.alter(&answer, |payloads| {
        let cp = payloads.iter_mut().find(|raw| raw.ty == PayloadType::CP).unwrap();
        cp.body = vec![CfgType::REPLY.0, 0, 0, 0];
        // Of three octets, without one, with the reserved bit, of an unknown type, a domain with a NUL, an anchor before
        // any domain, and then very many.
        cp.body.extend_from_slice(&[0, 1, 0, 3, 1, 2, 3]);
        cp.body.extend_from_slice(&[0, 1, 0, 0]);
        cp.body.extend_from_slice(&[0x80, 1, 0, 4, 10, 3, 0, 7]);
        cp.body.extend_from_slice(&[0x3f, 0xff, 0, 1, 9]);
        cp.body.extend_from_slice(&[0, 26, 0, 5, 0, 1, 8, 2, 9]);
        cp.body.extend_from_slice(&[0, 25, 0, 2, b'a', 0]);
        (0..2_000).for_each(|_| cp.body.extend_from_slice(&[0, 3, 0, 4, 10, 3, 0, 53]));
    });
    world.deliver(&altered).unwrap().unwrap();
    let got = given(&world, A);
    assert_eq!(got.addresses().collect::<Vec<_>>(), [ip("10.3.0.7")]);
    assert_eq!(got.dns_domains(), []);
    let octets: usize = got.attributes.iter().map(|attribute| attribute.value.len() + 4).sum();
    assert!((80..=100).contains(&octets), "{octets}");
}

/// §3.15: what was not asked for is not taken.
#[test]
fn a_reply_to_no_request_is_ignored() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let answer = world.take_first(ExchangeType::IKE_AUTH, true);
    let mut forger = Forger::new(&world.node(A).keys);
    let altered = forger.alter(&answer, |payloads| {
        payloads.insert(0, Raw::new(PayloadType::CP, &[2, 0, 0, 0, 0, 1, 0, 4, 10, 3, 0, 7]));
    });
    world.deliver(&altered).unwrap().unwrap();
    let (_, info) = world.node(A).only_sa();
    assert_eq!((info.configuration, world.node(A).mirror.children.len()), (None, 1));
}

/// §3.15, §2.20: nothing is pushed to us, and nothing is told later.
#[test]
fn what_is_pushed_is_acknowledged_without_being_taken() {
    let mut world = established(&pool(&["10.3.0.0/24"]));
    let mut forger = Forger::new(&world.node(A).keys);
    for (number, (asks, answers)) in
        [(CfgType::SET, CfgType::ACK), (CfgType::REQUEST, CfgType::REPLY)].into_iter().enumerate()
    {
        let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2 + number as u32, false);
        let cp = [&[asks.0, 0, 0, 0][..], &[0, 1, 0, 4, 10, 3, 0, 99]].concat();
        let request = forger.seal(&head, &[Raw::new(PayloadType::CP, &cp)]);
        let path = world.node(B).only_sa().1.path;
        let octets = [&ipsec_types::udp::NON_ESP_MARKER[..], &request].concat();
        assert_eq!(world.receive(B, path, &octets), Ok(Handled::Processed));
        let answer = world.take();
        assert_eq!(body(&opened(&world, &answer), PayloadType::CP), [answers.0, 0, 0, 0]);
    }
    assert_eq!(inner(&world, B), [ip("10.3.0.0")]);
}

/// A range's lowest free address; what is asked for by name; each version of IP for itself.
#[test]
fn a_pool_gives_what_is_free() {
    use ikev2_core::AddressPool;
    let pool = RangePool::new(vec![range("10.3.0.0/30"), range("2001:db8::/126")], Vec::new());
    let ask = |peer: &str, wanted: &[&str], held: &[&str]| {
        let attribute = |text: &&str| match ip(text) {
            address if !address.is_unspecified() => ConfigAttribute::address(address),
            IpAddr::V4(_) => ConfigAttribute::ask(CfgAttribute::INTERNAL_IP4_ADDRESS),
            IpAddr::V6(_) => ConfigAttribute::ask(CfgAttribute::INTERNAL_IP6_ADDRESS),
        };
        let request = LeaseRequest {
            connection: String::new(),
            peer: id(peer),
            attributes: wanted.iter().map(attribute).collect(),
            held: held.iter().map(|text| ip(text)).collect(),
        };
        pool.lease(&request).map(|given| given.addresses().collect::<Vec<_>>())
    };
    assert_eq!(ask("a", &["0.0.0.0", "::"], &[]), Some(vec![ip("10.3.0.0"), ip("2001:db8::")]));
    assert_eq!(ask("b", &["10.3.0.2"], &[]), Some(vec![ip("10.3.0.2")]));
    assert_eq!(ask("c", &["10.3.0.2", "0.0.0.0"], &[]), Some(vec![ip("10.3.0.1"), ip("10.3.0.3")]));
    assert_eq!(ask("d", &["0.0.0.0", "::"], &[]), Some(vec![ip("2001:db8::1")]));
    assert_eq!(ask("d", &["0.0.0.0"], &[]), None);
    assert_eq!(ask("a", &["0.0.0.0"], &["10.3.0.0"]), Some(vec![ip("10.3.0.0")]));
    pool.release(&id("x"), ip("10.3.0.2"));
    assert_eq!(ask("d", &["0.0.0.0"], &[]), None);
    pool.release(&id("b"), ip("10.3.0.2"));
    assert_eq!(ask("d", &["192.0.2.1"], &[]), Some(vec![ip("10.3.0.2")]));
}
