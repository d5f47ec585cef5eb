//! IKE SAs that move from one endpoint to another while they live: the peer notices nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::config_payload::pool::RangePool;
use ikev2_core::{
    AddressPolicy, AddressSource, After, CallError, ConfigRequest, CookiePolicy, DownReason, Endpoint,
    EndpointConfig, Event, IdentityPattern, IkeSaHandle, MobikePolicy, MoveError, Next, Role, Start,
    Unsettled,
};
use ikev2_wire::codes::ExchangeType;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::state::{StateError, StateKey, StateKind, StateWriter};
use ipsec_crypto::{CipherError, CryptoProvider};
use ipsec_types::sa::{ChildSaId, PolicyId};
use ipsec_types::{AddressRange, Instant, SaReport};
use std::sync::Arc;
use std::time::Duration;
use support::many::{Gateway, Proof};
use support::mirror::assert_crosswise;
use support::setup::*;
use support::tickets::{Clerk, ed25519, sign_later, verify_now};
use support::told::*;
use support::world::*;

const NO_TIME: Duration = Duration::ZERO;

fn key() -> StateKey {
    StateKey::new(&RUSTCRYPTO, b"a key of the embedder, 32 octets").unwrap()
}

fn established() -> World {
    let (a, b) = two();
    World::established(a, b)
}

/// The node's process is replaced by another one, which goes on with its only IKE SA.
fn upgrade(world: &mut World, node: usize) -> IkeSaHandle {
    let sa = world.handle(node);
    world.take_events(node);
    let sealed = world.export(node, sa, &key()).unwrap();
    world.assert_left(node);
    world.restart(node, 77);
    let sa = world.call(node, |e, now| e.import(now, &key(), &sealed, NO_TIME)).unwrap();
    assert_eq!(kinds(&world.take_events(node)), ["IKE imported"]);
    sa
}

impl Left for World {
    fn assert_left(&self, node: usize) {
        let endpoint = self.endpoint(node);
        assert_eq!((endpoint.ike_sas().count(), endpoint.poll_timeout()), (0, None));
        let dump = dump(endpoint);
        for empty in ["ike_spis: IkeSpis({})", "timers: {}", "inbound: {}", "owners: {}", "peers: Peers({})"]
        {
            assert!(dump.contains(empty), "{empty} is not in {dump}");
        }
        assert!(dump.contains("policies: Policies({})"), "{dump}");
    }
}

trait Left {
    /// Nothing is left of the IKE SA that was exported.
    fn assert_left(&self, node: usize);
}

/// Both ends use it in every way.
fn assert_alive(world: &mut World) {
    for node in [A, B] {
        let sa = world.handle(node);
        world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"alive"));
        let child = world.node(node).only_sa().1.children[0];
        world.call(node, |e, now| e.rekey_child(now, sa, child)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"Child replaced"));
        world.call(node, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"IKE rekeyed"));
        world.call(node, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        world.take_events(A);
        world.take_events(B);
    }
}

/// What MOBIKE and the configuration payload made of it goes along.
#[test]
fn addresses_and_leases_move_along() {
    for mover in [A, B] {
        let range = AddressRange::prefix("10.3.0.0".parse().unwrap(), 24).unwrap();
        let pool = Arc::new(RangePool::new(vec![range], Vec::new()));
        let (mut a, mut b) = two();
        a.connection.config_request = Some(ConfigRequest::any(true, false));
        let source = AddressSource::Pool(pool.clone());
        b.connection.addresses = Some(AddressPolicy { source, required: true });
        a.connection.mobike = Some(MobikePolicy::default());
        b.connection.mobike = Some(MobikePolicy::default());
        let mut world = World::established(a, b);
        let before = world.node(mover).only_sa().1;
        let sa = upgrade(&mut world, mover);
        let after = world.node(mover).only_sa().1;
        assert!(after.mobike && after.configuration.is_some());
        assert_eq!((after.mobike, after.configuration), (before.mobike, before.configuration));
        assert_eq!(pool.leases().len(), 1);
        assert_alive(&mut world);
        let narrowed = |world: &World, node: usize| {
            let children = world.node(node).mirror.children.values();
            children
                .map(|view| view.child.local.iter().map(ToString::to_string).collect())
                .collect::<Vec<String>>()
        };
        assert!(narrowed(&world, A).iter().all(|local| local == "10.3.0.0/32"));
        world.set_addresses(A, &["198.51.100.7"]).unwrap();
        world.run();
        assert_eq!(moves(&world.take_events(B)).len(), 1);
        world.call(mover, |e, now| e.delete_ike_sa(now, sa)).unwrap();
        world.run();
        assert_eq!(pool.leases(), []);
    }
}

/// Either end moves, and moves on; either end rekeys, and either end deletes.
#[test]
fn the_peer_notices_nothing() {
    for mover in [A, B] {
        for ender in [A, B] {
            let mut world = established();
            for _ in 0..3 {
                upgrade(&mut world, mover);
                assert_alive(&mut world);
            }
            let sa = world.handle(ender);
            world.call(ender, |e, now| e.delete_ike_sa(now, sa)).unwrap();
            world.run_for_secs(30);
            world.assert_empty(A);
            world.assert_empty(B);
        }
    }
}

/// With each kind of protection, with fragments, through a NAT, with wide windows.
#[test]
fn whatever_was_agreed_goes_along() {
    let suites =
        ["aes256gcm16-prfsha384-ecp384", "aes128-sha256-x25519", "chacha20poly1305-prfsha256-x25519"];
    for suite in suites {
        let (mut a, mut b) = two();
        (a, b) = (a.ike(&[suite]), b.ike(&[suite]));
        (a.config.window, b.config.window) = (4, 8);
        a.connection.force_udp_encapsulation = true;
        let mut world = World::established(a, b);
        for mover in [A, B, A] {
            let before = world.node(mover).only_sa().1;
            upgrade(&mut world, mover);
            assert_eq!(world.node(mover).only_sa().1, before);
        }
        assert_alive(&mut world);
    }
}

/// What moves are keys as they became by every key exchange, and none of what they were made from: the peer agrees with
/// the new process on the keys of all that follows.
#[test]
fn keys_are_those_of_every_key_exchange() {
    let suite = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_ecp256";
    let esp = ["aes256gcm16-x25519-ke1_mlkem768"];
    for mover in [A, B] {
        let (mut a, mut b) = two();
        (a, b) = (a.ike(&[suite]), b.ike(&[suite]));
        for setup in [&mut a, &mut b] {
            setup.connection.children = vec![child_with(1, "first", &esp)];
        }
        let mut world = World::established(a, b);
        let before = world.node(mover).only_sa().1;
        upgrade(&mut world, mover);
        assert_eq!(world.node(mover).only_sa().1, before);
        assert_alive(&mut world);
        upgrade(&mut world, mover);
        assert_alive(&mut world);
    }
}

/// The state of the new endpoint is the old one's, to the last field, apart from what tells moves apart.
#[test]
fn every_field_moves() {
    let (mut a, mut b) = two();
    a.connection.reauthenticate_after = Some(Duration::from_secs(900));
    b.connection.authentication_lifetime = Some(Duration::from_secs(1_000));
    let mut world = World::established(a, b);
    for node in [A, B] {
        // Something in every place: a former generation, a Child SA that was replaced, a time of each kind.
        let sa = world.handle(node);
        world.run_for_secs(3);
        world.call(node, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
        world.run();
        let other = if node == A { B } else { A };
        let (peer, info) = world.node(other).only_sa();
        world.call(other, |e, now| e.rekey_child(now, peer, info.children[0])).unwrap();
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let withheld = world.take_all();
        let before = dump(world.endpoint(node));
        assert!(before.contains("former: [Former") && before.contains("awaits: Some"), "{before}");
        upgrade(&mut world, node);
        let after = dump(world.endpoint(node));
        assert_eq!(sas_of(&after), sas_of(&before).replace("moves: 0", "moves: 1"));
        withheld.into_iter().for_each(|packet| world.put(packet));
        world.run();
    }
    assert_alive(&mut world);
}

/// The part of a dump that is about IKE SAs, timers and names.
fn sas_of(dump: &str) -> String {
    let (front, rest) = dump.split_once(", half_open:").unwrap();
    let (_, rest) = rest.split_once(", ike_spis:").unwrap();
    let (behind, _) = rest.split_once(", out:").unwrap();
    format!("{front}{behind}")
}

/// RFC 7296 §2.1: the peer did not hear our last answer, and asks the new process for it.
#[test]
fn repeats_are_answered_by_the_new_process() {
    for mover in [A, B] {
        let asker = if mover == A { B } else { A };
        let mut world = established();
        let sa = world.handle(asker);
        let child = world.node(asker).only_sa().1.children[0];
        world.call(asker, |e, now| e.rekey_child(now, sa, child)).unwrap();
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        upgrade(&mut world, mover);
        world.deliver(&request).unwrap().unwrap();
        assert_eq!(world.peek().octets, answer.octets);
        world.run();
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(mover).mirror.children.len(), 1);

        // The same for the Delete of a generation that a rekey replaced.
        world.call(asker, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
        world.deliver_next();
        world.deliver_next();
        let delete = world.take();
        upgrade(&mut world, mover);
        world.deliver(&delete).unwrap().unwrap();
        let answer = world.take();
        upgrade(&mut world, mover);
        world.deliver(&delete).unwrap().unwrap();
        assert_eq!(world.peek().octets, answer.octets);
        world.run();
        assert_alive(&mut world);
    }
}

/// What is under way is over soon; until then nothing moves, and nothing changes.
#[test]
fn it_moves_when_it_stands_still() {
    let mut world = established();
    let sa = world.handle(A);
    let refused = |world: &mut World, sa, why: Unsettled| {
        assert_eq!(world.export(A, sa, &key()), Err(MoveError::Unsettled(why)));
    };
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    refused(&mut world, sa, Unsettled::RequestOut(ExchangeType::INFORMATIONAL));
    world.run();
    world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    refused(&mut world, sa, Unsettled::RequestOut(ExchangeType::CREATE_CHILD_SA));
    // The rekey is answered, and the Delete of what it replaced is out.
    world.deliver_next();
    world.deliver_next();
    refused(&mut world, sa, Unsettled::RequestOut(ExchangeType::CREATE_CHILD_SA));
    world.run();
    // Requests that the peer's answers do not stand in the way of.
    let peer = world.handle(B);
    world.call(B, |e, now| e.check_liveness(now, peer)).unwrap();
    upgrade(&mut world, A);
    world.run();
    assert!(kinds(&world.take_events(B)).contains(&"alive"));

    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    assert_eq!(world.export(A, sa, &key()), Err(MoveError::Call(CallError::NotEstablished)));
    world.run_for_secs(30);
    assert_eq!(world.export(A, sa, &key()), Err(MoveError::Call(CallError::NoSuchSa)));
    let begun = world.connect(A, B);
    assert_eq!(world.export(A, begun, &key()), Err(MoveError::Call(CallError::NotEstablished)));
}

/// The peer is busy, and we try again later: later is in the other process.
#[test]
fn what_was_put_off_is_done_elsewhere() {
    let mut world = established();
    let (sa, info) = world.node(A).only_sa();
    let peer = world.handle(B);
    // B rekeys the IKE SA, and refuses our rekey of the Child SA meanwhile.
    world.call(B, |e, now| e.rekey_ike_sa(now, peer)).unwrap();
    let theirs = world.take();
    world.call(A, |e, now| e.rekey_child(now, sa, info.children[0])).unwrap();
    world.deliver_next();
    world.deliver_next();
    world.put(theirs);
    world.run();
    assert!(dump(world.endpoint(A)).contains("task: RekeyChild"), "{}", dump(world.endpoint(A)));
    world.take_events(A);
    upgrade(&mut world, A);
    world.run_for_secs(10);
    assert!(kinds(&world.take_events(A)).contains(&"Child replaced"));
}

#[test]
fn a_ticket_is_open_or_another_takes_its_place() {
    let (mut a, mut b) = two();
    sign_later(&mut a, &ed25519());
    verify_now(&mut b, &ed25519());
    a.connection.reauthenticate_after = Some(Duration::from_secs(100));
    let mut world = World::pair(a, b);
    let sa = world.connect(A, B);
    world.run();
    assert_eq!(world.export(A, sa, &key()), Err(MoveError::Call(CallError::NotEstablished)));
    world.nodes[A].clerk = Some(Clerk::new(&ed25519()));
    world.run_for_secs(25);
    let sa = world.connect(A, B);
    world.run();
    // The signature for the new one is due; the old one waits for it.
    world.nodes[A].clerk = None;
    world.run_for_secs(105);
    let new = world.endpoint(A).ike_sas().map(|(handle, _)| handle).find(|handle| *handle != sa).unwrap();
    assert_eq!(world.export(A, sa, &key()), Err(MoveError::Unsettled(Unsettled::Renewal)));
    assert_eq!(world.export(A, new, &key()), Err(MoveError::Call(CallError::NotEstablished)));
}

/// Timers go on where they were, by the other process's clock and by the time in between.
#[test]
fn timers_go_on() {
    let (mut a, b) = two();
    a.connection.ike_rekey_after = Some(Duration::from_secs(1_000));
    a.connection.liveness = None;
    a.connection.ike_keepalive = None;
    let mut world = World::established(a, b);
    let due = world.endpoint(A).poll_timeout().unwrap();
    let sa = world.handle(A);
    world.run_for_secs(100);
    let sealed = world.export(A, sa, &key()).unwrap();
    let import = |now: Instant, since: Duration| {
        let mut endpoint = Endpoint::new(world.node(A).config.clone(), seeded(5));
        let sa = endpoint.import(now, &key(), &sealed, since).unwrap();
        (endpoint.poll_timeout().unwrap(), endpoint.ike_sa(sa).unwrap())
    };
    let left = due.saturating_since(world.now);
    for now in [Instant::ZERO, Instant::from_millis(50), world.now, Instant::from_millis(1 << 40)] {
        let (next, info) = import(now, NO_TIME);
        assert_eq!(next, now + left);
        assert_eq!(now.saturating_since(info.created_at), now.since_origin().min(Duration::from_secs(100)));
        let (next, _) = import(now, Duration::from_secs(60));
        assert_eq!(next.saturating_since(now), left - Duration::from_secs(60));
        // What is over is due at once.
        let (next, info) = import(now, Duration::from_secs(2_000));
        assert!(next <= now && info.heard_at <= now);
    }
}

/// A connection that lives on its own lives on there: it is not begun twice, and its end is followed.
#[test]
fn lives_go_on() {
    let (mut a, mut b) = two();
    a.connection.remote_address = Some("192.0.2.2".parse().unwrap());
    b.connection.remote_address = Some("192.0.2.1".parse().unwrap());
    a.connection.lifecycle.start = Start::AtOnce;
    a.connection.lifecycle.deleted = After::Restart;
    let mut world = World::pair(a, b);
    world.call(A, |e, now| e.start(now));
    world.run();
    world.take_events(A);
    let sa = world.handle(A);
    let sealed = world.export(A, sa, &key()).unwrap();
    // Nothing follows where it was.
    world.run_for_secs(20);
    assert_eq!((world.take_events(A).len(), world.endpoint(A).ike_sas().count()), (0, 0));
    world.restart(A, 9);
    world.call(A, |e, now| e.import(now, &key(), &sealed, NO_TIME)).unwrap();
    world.call(A, |e, now| e.start(now));
    world.run_for_secs(100);
    assert_eq!(kinds(&world.take_events(A))[..1], ["IKE imported"]);
    let peer = world.handle(B);
    world.call(B, |e, now| e.delete_ike_sa(now, peer)).unwrap();
    world.run_for_secs(100);
    let events = world.take_events(A);
    let follows = events.iter().any(|e| matches!(e, Event::ConnectionIdle { next: Next::Attempt(_), .. }));
    assert!(follows && kinds(&events).contains(&"IKE up"), "{events:?}");
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// The data path's reports and acquires find it.
#[test]
fn the_data_path_finds_it() {
    let mut world = established();
    let sa = upgrade(&mut world, A);
    let child = world.node(A).only_sa().1.children[0];
    let reason = ipsec_types::sa::ExpiryReason::Octets;
    let report = SaReport::SoftExpired { id: child, direction: ipsec_types::sa::Direction::Outbound, reason };
    world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
    world.run();
    assert!(kinds(&world.take_events(A)).contains(&"Child replaced"));
    let packet = |address: &str| net(address);
    let packet = ipsec_types::sa::PacketSelectors {
        source: packet("10.0.0.1/32"),
        destination: packet("10.0.0.2/32"),
    };
    let acquire = SaReport::Acquire { policy: PolicyId(1), packet };
    world.call(A, |e, now| e.handle_report(now, &acquire)).unwrap();
    world.run();
    assert_eq!(world.endpoint(A).ike_sa(sa).unwrap().children.len(), 2);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// A container is taken once. Here and there again is another container, though nothing happened in between.
#[test]
fn a_container_is_imported_once() {
    let mut world = established();
    let sa = world.handle(A);
    let first = world.export(A, sa, &key()).unwrap();
    let import =
        |world: &mut World, sealed: &[u8]| world.call(A, |e, now| e.import(now, &key(), sealed, NO_TIME));
    let sa = import(&mut world, &first).unwrap();
    assert_eq!(import(&mut world, &first), Err(MoveError::AlreadyImported));
    let second = world.export(A, sa, &key()).unwrap();
    assert_ne!(first, second);
    assert_eq!(import(&mut world, &first), Err(MoveError::AlreadyImported));
    let sa = import(&mut world, &second).unwrap();
    let statistics = world.endpoint(A).statistics();
    assert_eq!((statistics.ike_sas_exported, statistics.ike_sas_imported), (2, 2));
    // Its end does not bring it back.
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run_for_secs(30);
    for sealed in [&first, &second] {
        assert_eq!(import(&mut world, sealed), Err(MoveError::AlreadyImported));
    }
    world.assert_empty(A);
}

/// Somewhere else the same IKE SA is known by its SPI while it lives.
#[test]
fn what_is_in_use_is_not_taken() {
    let mut world = established();
    let sa = world.handle(A);
    let first = world.export(A, sa, &key()).unwrap();
    let mut one = Endpoint::new(world.node(A).config.clone(), seeded(3));
    let sa = one.import(world.now, &key(), &first, NO_TIME).unwrap();
    let second = one.export(world.now, sa, &key()).unwrap();
    let mut other = Endpoint::new(world.node(A).config.clone(), seeded(4));
    let sa = other.import(world.now, &key(), &second, NO_TIME).unwrap();
    let child = other.child_sas(sa).next().unwrap();
    while other.poll_event().is_some() {}
    let before = dump(&other);
    assert_eq!(other.import(world.now, &key(), &first, NO_TIME), Err(MoveError::EspSpiInUse(child.inbound)));
    assert_eq!(dump(&other), before);
    // Another IKE SA has a Child SA of the same name.
    let (a, b) = two();
    let mut third = World::new(vec![a, b], 9);
    third.connect(A, B);
    third.run();
    let refused = third.call(A, |e, now| e.import(now, &key(), &first, NO_TIME));
    assert_eq!(refused, Err(MoveError::ChildInUse(ChildSaId(1))));
    // Without Child SAs the IKE SPI itself tells.
    let (mut a, mut b) = two();
    for setup in [&mut a, &mut b] {
        setup.connection.childless = ikev2_core::Childless::Required;
        setup.connection.children.clear();
    }
    let mut world = World::pair(a, b);
    let sa = world.connect(A, B);
    world.run();
    let spi = world.node(A).only_sa().1.initiator_spi;
    let first = world.export(A, sa, &key()).unwrap();
    let mut one = Endpoint::new(world.node(A).config.clone(), seeded(3));
    let sa = one.import(world.now, &key(), &first, NO_TIME).unwrap();
    let second = one.export(world.now, sa, &key()).unwrap();
    let mut other = Endpoint::new(world.node(A).config.clone(), seeded(4));
    other.import(world.now, &key(), &second, NO_TIME).unwrap();
    while other.poll_event().is_some() {}
    let before = dump(&other);
    assert_eq!(other.import(world.now, &key(), &first, NO_TIME), Err(MoveError::IkeSpiInUse(spi)));
    assert_eq!(dump(&other), before);
}

/// Names of Child SAs go on above those of the process before.
#[test]
fn names_are_not_used_again() {
    let mut world = established();
    let (sa, info) = world.node(A).only_sa();
    for _ in 0..3 {
        let child = world.node(A).only_sa().1.children[0];
        world.call(A, |e, now| e.rekey_child(now, sa, child)).unwrap();
        world.run();
    }
    assert_eq!(info.children, [ChildSaId(1)]);
    let sa = upgrade(&mut world, A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.run();
    assert_eq!(world.node(A).only_sa().1.children, [ChildSaId(4), ChildSaId(5)]);
}

/// What the configuration there lacks is told by name, and nothing changes.
#[test]
fn where_it_does_not_fit() {
    let mut world = established();
    let sa = world.handle(A);
    let sealed = world.export(A, sa, &key()).unwrap();
    let import = |change: &dyn Fn(&mut Setup)| {
        let mut setup = Setup::new("a.example", "b.example");
        change(&mut setup);
        let mut endpoint = Endpoint::new(setup.finish(), seeded(8));
        let before = format!("{endpoint:?}");
        let result = endpoint.import(Instant::ZERO, &key(), &sealed, NO_TIME);
        if result.is_err() {
            assert_eq!(format!("{endpoint:?}"), before);
        }
        result
    };
    import(&|_| {}).unwrap();
    let name = || "tunnel".to_string();
    let refused = import(&|setup| setup.connection.name = "other".into());
    assert_eq!(refused, Err(MoveError::NoSuchConnection(name())));
    let refused = import(&|setup| setup.connection.local_id = id("c.example"));
    assert_eq!(refused, Err(MoveError::Identities(name())));
    let refused = import(&|s| s.connection.remote_id = IdentityPattern::Exactly(id("c.example")));
    assert_eq!(refused, Err(MoveError::Identities(name())));
    import(&|setup| setup.connection.remote_id = IdentityPattern::Any).unwrap();
    let refused =
        import(&|setup| setup.connection.children = vec![child(2, "first", &["0.0.0.0/0"], &["0.0.0.0/0"])]);
    assert_eq!(refused, Err(MoveError::NoSuchChild { connection: name(), policy: PolicyId(1) }));
    let refused = import(&|setup| setup.config.max_children = 0);
    assert_eq!(refused, Err(CallError::Limit(ikev2_core::error::Bound::Children).into()));
    let refused = import(&|setup| setup.config.max_ike_sas = 0);
    assert_eq!(refused, Err(CallError::Limit(ikev2_core::error::Bound::IkeSas).into()));
    static LESS: CryptoProvider = CryptoProvider { ciphers: &[], ..RUSTCRYPTO };
    let refused = import(&|setup| setup.config.crypto = &LESS);
    assert!(matches!(refused, Err(MoveError::Algorithm(_))), "{refused:?}");
    static OLD: CryptoProvider = CryptoProvider { prfs: &[], ..RUSTCRYPTO };
    let refused = import(&|setup| setup.config.crypto = &OLD);
    assert!(matches!(refused, Err(MoveError::Algorithm(_))), "{refused:?}");
}

/// Whatever is wrong with a container, nothing changes.
#[test]
fn containers_that_are_broken() {
    let mut world = established();
    let sa = world.handle(A);
    let sealed = world.export(A, sa, &key()).unwrap();
    let mut endpoint = Endpoint::new(world.node(A).config.clone(), seeded(8));
    let before = dump(&endpoint);
    let mut import = |sealed: &[u8]| endpoint.import(Instant::ZERO, &key(), sealed, NO_TIME);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(matches!(import(&changed), Err(MoveError::State(_))), "{at}");
        assert!(matches!(import(&sealed[..at]), Err(MoveError::State(_))), "{at}");
    }
    let other = StateKey::new(&RUSTCRYPTO, &[9; 32]).unwrap();
    let refused = endpoint.import(Instant::ZERO, &other, &sealed, NO_TIME);
    assert_eq!(refused, Err(StateError::Cipher(CipherError::IntegrityCheck).into()));
    let esp = key().seal(StateKind::CHILD_SA, &[1]).unwrap();
    let refused = endpoint.import(Instant::ZERO, &key(), &esp, NO_TIME);
    assert_eq!(refused, Err(StateError::Kind(StateKind::CHILD_SA).into()));
    assert_eq!(dump(&endpoint), before);
    endpoint.import(Instant::ZERO, &key(), &sealed, NO_TIME).unwrap();
}

/// Of the right key, with a broken inside, as of another version: every truncation, every octet changed.
#[test]
fn insides_that_are_broken() {
    let mut world = established();
    let (sa, peer) = (world.handle(A), world.handle(B));
    world.call(B, |e, now| e.rekey_ike_sa(now, peer)).unwrap();
    world.run();
    let sealed = world.export(A, sa, &key()).unwrap();
    let inside = key().open(StateKind::IKE_SA, &sealed).unwrap();
    let inside = inside.as_slice();
    let config: Arc<EndpointConfig> = world.node(A).config.clone();
    let import = |state: &[u8]| {
        let mut endpoint = Endpoint::new(config.clone(), seeded(8));
        let before = dump(&endpoint);
        let sealed = key().seal(StateKind::IKE_SA, state).unwrap();
        let imported = endpoint.import(Instant::from_millis(9), &key(), &sealed, NO_TIME);
        if imported.is_err() {
            assert_eq!(dump(&endpoint), before);
        }
        (imported, endpoint)
    };
    for len in 0..inside.len() {
        let (imported, _) = import(&inside[..len]);
        assert!(imported.is_err(), "{len}");
    }
    for at in 0..inside.len() {
        for value in [0, 0x7F, 0xFF, inside[at] ^ 1] {
            let mut changed = inside.to_vec();
            changed[at] = value;
            // It may be taken; then it can be looked at, and its timers fire.
            let (imported, mut endpoint) = import(&changed);
            if let Ok(sa) = imported {
                let _ = endpoint.ike_sa(sa);
                let _ = endpoint.check_liveness(Instant::from_millis(10), sa);
                endpoint.handle_timeout(Instant::from_millis(1 << 40));
                let _ = endpoint.delete_ike_sa(Instant::MAX, sa);
            }
        }
    }
    import(inside).0.unwrap();
    let longer = [inside, &[0]].concat();
    assert_eq!(import(&longer).0, Err(StateError::Surplus { at: inside.len() }.into()));
    let mut w = StateWriter::new();
    w.put_u8(2);
    assert_eq!(import(w.as_slice()).0, Err(StateError::Version(2).into()));
}

/// Results, not recipes: none of the secrets that it was made from is inside.
#[test]
fn secrets_stay() {
    let mut world = established();
    let sa = world.handle(A);
    let sealed = world.export(A, sa, &key()).unwrap();
    let inside = key().open(StateKind::IKE_SA, &sealed).unwrap();
    assert!(!inside.as_slice().windows(SECRET.len()).any(|window| window == SECRET));
    assert!(inside.as_slice().windows(9).any(|window| window == b"a.example"));
}

/// A process with many IKE SAs is replaced: each of them costs what it costs alone, and nothing is left of it.
#[test]
fn many_move_as_cheaply_as_one() {
    const SAS: u32 = 300;
    let mut gateway =
        Gateway::new(Role::Responder, Proof::SharedKey, SAS, |config| config.cookies = CookiePolicy::Never);
    let mut peers: Vec<_> = (0..SAS).map(|number| gateway.establish(number)).collect();
    let (now, config) = (gateway.now, gateway.endpoint.config().clone());
    let mut old = std::mem::replace(&mut gateway.endpoint, Endpoint::new(config, seeded(8)));
    let key = key();
    for peer in &mut peers {
        let before = old.ike_sas_visited() + gateway.endpoint.ike_sas_visited();
        let sealed = old.export(now, peer.sa, &key).unwrap();
        peer.sa = gateway.endpoint.import(now, &key, &sealed, NO_TIME).unwrap();
        let visited = old.ike_sas_visited() + gateway.endpoint.ike_sas_visited() - before;
        assert!(visited <= 8, "{visited}");
    }
    assert_eq!((old.ike_sas().count(), old.poll_timeout()), (0, None));
    assert_eq!(gateway.endpoint.ike_sas().count(), SAS as usize);
    for peer in &mut peers {
        gateway.be_asked(peer);
        gateway.be_asked_for_a_child(peer);
    }
}

/// As many containers are known as the configuration says, the newest ones.
#[test]
fn imports_are_remembered_within_bounds() {
    let (mut a, b) = two();
    a.config.max_remembered_imports = 2;
    let mut world = World::established(a, b);
    let mut sa = world.handle(A);
    let mut containers = Vec::new();
    for _ in 0..4 {
        let sealed = world.export(A, sa, &key()).unwrap();
        sa = world.call(A, |e, now| e.import(now, &key(), &sealed, NO_TIME)).unwrap();
        containers.push(sealed);
    }
    let inbound = world.endpoint(A).child_sas(sa).next().unwrap().inbound;
    let in_use = Err(MoveError::EspSpiInUse(inbound));
    let known = Err(MoveError::AlreadyImported);
    for (sealed, expected) in containers.iter().zip([in_use.clone(), in_use, known.clone(), known]) {
        assert_eq!(world.call(A, |e, now| e.import(now, &key(), sealed, NO_TIME)), expected);
    }
}

/// What the peer sends to the process before is for nobody; the new one hears it.
#[test]
fn datagrams_reach_the_new_process_alone() {
    let mut world = established();
    let sa = world.handle(A);
    let sealed = world.export(A, sa, &key()).unwrap();
    let peer = world.handle(B);
    world.call(B, |e, now| e.check_liveness(now, peer)).unwrap();
    let request = world.take();
    assert!(world.deliver(&request).unwrap().is_err());
    world.restart(A, 2);
    world.call(A, |e, now| e.import(now, &key(), &sealed, NO_TIME)).unwrap();
    world.run_for_secs(5);
    assert!(kinds(&world.take_events(B)).contains(&"alive"));
    assert!(downs(&world.take_events(A)).is_empty());
    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run();
    assert_eq!(downs(&world.take_events(A)), [(sa, DownReason::Requested)]);
}
