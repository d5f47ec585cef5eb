//! Connections and Child SAs that begin by themselves and begin again: what starts them, what follows which end,
//! and that there is never a storm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{After, CallError, Event, IkeSaHandle, Next, Start};
use ikev2_wire::codes::ExchangeType;
use ipsec_types::sa::{PacketSelectors, PolicyId};
use ipsec_types::{Instant, SaReport};
use std::sync::Arc;
use std::time::Duration;
use support::mirror::assert_crosswise;
use support::setup::*;
use support::told::*;
use support::world::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// `A` knows where `B` is, and the other way round.
fn neighbours() -> (Setup, Setup) {
    let (mut a, mut b) = two();
    a.connection.remote_address = Some("192.0.2.2".parse().unwrap());
    b.connection.remote_address = Some("192.0.2.1".parse().unwrap());
    (a, b)
}

fn beginning(start: Start) -> (Setup, Setup) {
    let (mut a, b) = neighbours();
    a.connection.lifecycle.start = start;
    (a, b)
}

fn started(a: Setup, b: Setup) -> World {
    let mut world = World::pair(a, b);
    world.call(A, |endpoint, now| endpoint.start(now));
    world
}

/// What follows, as told for the connection.
fn idles(events: &[Event]) -> Vec<Next> {
    let idle = |event: &Event| match event {
        Event::ConnectionIdle { connection, next } => {
            assert_eq!(connection, "tunnel");
            Some(*next)
        }
        _ => None,
    };
    events.iter().filter_map(idle).collect()
}

fn child_idles(events: &[Event]) -> Vec<(PolicyId, Next)> {
    let idle = |event: &Event| match event {
        Event::ChildSaIdle { policy, next, .. } => Some((*policy, *next)),
        _ => None,
    };
    events.iter().filter_map(idle).collect()
}

fn attempt(next: Next) -> Instant {
    match next {
        Next::Attempt(at) => at,
        other => panic!("{other:?}"),
    }
}

fn acquire(world: &mut World, policy: u64) -> Result<(), CallError> {
    let packet = PacketSelectors { source: net("10.1.2.3/32"), destination: net("10.2.3.4/32") };
    let report = SaReport::Acquire { policy: PolicyId(policy), packet };
    world.call(A, |endpoint, now| endpoint.handle_report(now, &report))
}

fn is_up(world: &World) -> bool {
    let up = world.node(A).mirror.sas.len() == 1 && world.node(B).mirror.sas.len() == 1;
    up && world.node(A).mirror.children.len() == 1
}

fn delete(world: &mut World, node: usize) {
    let sa: IkeSaHandle = *world.node(node).mirror.sas.keys().next().unwrap();
    world.call(node, |endpoint, now| endpoint.delete_ike_sa(now, sa)).unwrap();
}

#[test]
fn a_connection_that_begins_at_once_needs_no_call() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = World::pair(a, b);
    // Nothing begins before the embedder is ready.
    world.run_for(HOUR);
    assert_eq!(world.endpoint(A).ike_sas().count(), 0);
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run();
    assert!(is_up(&world));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    // Once.
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run_for_secs(10);
    assert!(is_up(&world));
    assert_eq!(idles(&world.take_events(A)), []);
}

#[test]
fn a_connection_on_demand_begins_by_a_call_alone_and_nothing_follows_its_end() {
    let (a, b) = beginning(Start::OnDemand);
    let mut world = started(a, b);
    assert_eq!(world.endpoint(A).ike_sas().count(), 0);
    assert_eq!(acquire(&mut world, 1), Err(CallError::NotByTraffic));
    assert_eq!(acquire(&mut world, 9), Err(CallError::NoSuchPolicy));
    world.connect(A, B);
    world.run();
    delete(&mut world, B);
    world.run_for(HOUR);
    assert_eq!(idles(&world.take_events(A)), []);
    world.assert_empty(A);
}

/// The peer cannot be reached for an hour: few attempts, further and further apart, and it is back soon after.
#[test]
fn a_peer_that_is_down_for_an_hour_is_tried_again_without_a_storm() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = World::pair(a, b);
    world.link.loss = 1_000;
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run_for(HOUR);
    let events = world.take_events(A);
    let (downs, idles) = (downs(&events).len(), idles(&events));
    assert_eq!(downs, idles.len());
    // An attempt lasts for 195 s, and the pauses grow to 5 minutes.
    assert!((8..=16).contains(&downs), "{downs}");
    // Every request and all of its repeats.
    assert!(world.endpoint(A).statistics().datagrams_sent <= 9 * 17);
    let ends: Vec<_> = idles.iter().map(|next| attempt(*next)).collect();
    assert!(ends.windows(2).all(|two| two[1] > two[0] + Duration::from_secs(195)));
    world.link.loss = 0;
    world.run_for_secs(301);
    assert!(is_up(&world));
}

#[test]
fn both_ends_may_begin_at_once() {
    for seed in 0..20 {
        let (mut a, mut b) = neighbours();
        a.connection.lifecycle.start = Start::AtOnce;
        b.connection.lifecycle.start = Start::AtOnce;
        let mut world = World::new(vec![a, b], seed);
        world.link.latency = (5, 40);
        for node in [A, B] {
            world.call(node, |endpoint, now| endpoint.start(now));
        }
        world.run_for(HOUR);
        let sas = world.node(A).mirror.sas.len();
        assert!((1..=2).contains(&sas) && world.node(B).mirror.sas.len() == sas, "{sas}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        for node in [A, B] {
            assert_eq!(world.endpoint(node).statistics().ike_sas_established, sas as u64);
            // One of two that end is no reason to begin again.
            assert_eq!(idles(&world.take_events(node)), []);
        }
        if sas == 2 {
            delete(&mut world, B);
            world.run_for(HOUR);
            assert_eq!(world.node(A).mirror.sas.len(), 1);
            assert_eq!(idles(&world.take_events(A)), []);
        }
    }
}

#[test]
fn a_dead_peer_is_tried_again_and_a_steady_life_forgets_old_failures() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = started(a, b);
    for _ in 0..3 {
        world.run_for(HOUR);
        assert!(is_up(&world));
        world.take_events(A);
        world.link.loss = 1_000;
        world.run_for_secs(240);
        let events = world.take_events(A);
        let next = idles(&events);
        assert_eq!((downs(&events).len(), next.len()), (1, 1));
        // Nobody is there for the first attempt either.
        world.run_for_secs(200);
        world.link.loss = 0;
        world.run_for_secs(60);
        assert!(is_up(&world), "{:?}", world.take_events(A));
    }
}

/// A peer that deletes what it has just agreed to must not be answered as fast.
#[test]
fn a_peer_that_always_deletes_is_tried_less_and_less() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = started(a, b);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        while !is_up(&world) {
            world.run_for(Duration::from_millis(100));
        }
        world.take_events(A);
        delete(&mut world, B);
        world.run();
        let next = idles(&world.take_events(A));
        assert_eq!(next.len(), 1);
        pauses.push(attempt(next[0]).saturating_since(world.now));
    }
    for (number, pause) in pauses.iter().enumerate() {
        let whole = Duration::from_secs((2 << number).min(300));
        assert!(*pause <= whole && *pause >= whole / 2, "{pauses:?}");
    }
}

#[test]
fn what_follows_each_end_is_as_configured() {
    let ends: [fn(&mut World); 2] = [
        |world| {
            delete(world, B);
            world.run();
        },
        |world| {
            world.link.loss = 1_000;
            world.run_for_secs(240);
        },
    ];
    for (which, end) in ends.iter().enumerate() {
        for after in [After::Nothing, After::Restart, After::OnTraffic] {
            let (mut a, b) = beginning(Start::AtOnce);
            let life = &mut a.connection.lifecycle;
            (life.deleted, life.dead_peer, life.failed) = (After::AsStarted, After::AsStarted, after);
            *[&mut life.deleted, &mut life.dead_peer][which] = after;
            let mut world = started(a, b);
            world.run();
            world.take_events(A);
            end(&mut world);
            let next = idles(&world.take_events(A));
            assert_eq!(next.len(), 1, "{which} {after:?}");
            let fits = match after {
                After::Restart => matches!(next[0], Next::Attempt(_)),
                After::OnTraffic => matches!(next[0], Next::OnTraffic(_)),
                _ => next[0] == Next::Nothing,
            };
            assert!(fits, "{which} {after:?} {next:?}");
            world.link.loss = 0;
            world.run_for_secs(20);
            assert_eq!(is_up(&world), after == After::Restart, "{which} {after:?}");
            if after == After::OnTraffic {
                acquire(&mut world, 1).unwrap();
                world.run_for_secs(10);
                assert!(is_up(&world));
            }
        }
    }
}

/// The embedder wanted it so.
#[test]
fn nothing_follows_an_end_that_was_asked_for() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = started(a, b);
    world.run();
    delete(&mut world, A);
    world.run_for(HOUR);
    assert_eq!(idles(&world.take_events(A)), []);
    world.assert_empty(A);
}

#[test]
fn traffic_begins_a_connection_with_the_child_sa_that_it_needs() {
    let (mut a, mut b) = beginning(Start::OnTraffic);
    for setup in [&mut a, &mut b] {
        let other = child(2, "second", &["10.0.0.0/8"], &["10.0.0.0/8"]);
        setup.connection.children = vec![child(1, "first", &["192.0.2.0/24"], &["192.0.2.0/24"]), other];
    }
    let mut world = started(a, b);
    assert_eq!(world.endpoint(A).ike_sas().count(), 0);
    acquire(&mut world, 2).unwrap();
    // More packets begin nothing more.
    for _ in 0..50 {
        acquire(&mut world, 2).unwrap();
    }
    acquire(&mut world, 1).unwrap();
    let exchanges: Vec<_> = std::iter::from_fn(|| {
        let waits = world.in_flight().next().map(|packet| packet.header().exchange);
        waits.inspect(|_| {
            world.deliver_next();
        })
    })
    .collect();
    let two = |exchange| [exchange, exchange];
    let expected =
        [ExchangeType::IKE_SA_INIT, ExchangeType::IKE_AUTH, ExchangeType::CREATE_CHILD_SA].map(two).concat();
    assert_eq!(exchanges, expected);
    let policies: Vec<_> = world.node(A).mirror.children.values().map(|c| c.child.policy).collect();
    assert_eq!(policies, [PolicyId(2), PolicyId(1)]);
    assert_eq!(idles(&world.take_events(A)), []);
}

/// Traffic that comes during a pause waits for its end.
#[test]
fn traffic_does_not_hasten_an_attempt() {
    let (a, b) = beginning(Start::OnTraffic);
    let mut world = World::pair(a, b);
    world.link.loss = 1_000;
    acquire(&mut world, 1).unwrap();
    world.run_for_secs(195);
    assert_eq!(idles(&world.take_events(A)), []);
    world.run_for_secs(1);
    let next = idles(&world.take_events(A));
    // The packet that asked still waits.
    let at = attempt(next[0]);
    let sent = world.endpoint(A).statistics().datagrams_sent;
    while world.now + Duration::from_millis(100) < at {
        acquire(&mut world, 1).unwrap();
        world.run_for(Duration::from_millis(50));
    }
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, sent);
    world.link.loss = 0;
    world.run_for_secs(1);
    assert!(is_up(&world));
}

#[test]
fn a_connection_that_is_taken_from_the_configuration_is_tried_no_more() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = World::pair(a, b);
    world.link.loss = 1_000;
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run_for_secs(196);
    assert!(matches!(idles(&world.take_events(A))[..], [Next::Attempt(_)]));
    let mut other = beginning(Start::AtOnce).0;
    other.connection.name = "another".into();
    other.connection.lifecycle.start = Start::OnDemand;
    let config = other.finish();
    world.call(A, |endpoint, _| endpoint.set_config(config));
    assert_eq!(idles(&world.take_events(A)), [Next::Nothing]);
    world.run_for(HOUR);
    world.assert_empty(A);
}

#[test]
fn a_connection_that_comes_with_a_configuration_begins_at_once() {
    let (a, b) = beginning(Start::OnDemand);
    let mut world = started(a, b);
    let config = beginning(Start::AtOnce).0.finish();
    world.call(A, |endpoint, _| endpoint.set_config(config));
    world.run_for_secs(1);
    assert!(is_up(&world));
}

#[test]
fn nothing_begins_after_a_shut_down() {
    let (a, b) = beginning(Start::AtOnce);
    let mut world = World::pair(a, b);
    world.link.loss = 1_000;
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run_for_secs(196);
    world.call(A, |endpoint, now| endpoint.shut_down(now));
    assert_eq!(idles(&world.take_events(A)).last(), Some(&Next::Nothing));
    world.link.loss = 0;
    world.run_for(HOUR);
    world.assert_empty(A);
    assert_eq!(acquire(&mut world, 1), Err(CallError::NotByTraffic));
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run();
    assert!(is_up(&world));
    world.call(A, |endpoint, now| endpoint.shut_down(now));
    world.run_for(HOUR);
    world.assert_empty(A);
}

#[test]
fn attempts_are_as_many_as_the_policy_says() {
    let (mut a, b) = beginning(Start::AtOnce);
    a.connection.lifecycle.retry.attempts = Some(3);
    let mut world = World::pair(a, b);
    world.link.loss = 1_000;
    world.call(A, |endpoint, now| endpoint.start(now));
    world.run_for(HOUR);
    let events = world.take_events(A);
    let next = idles(&events);
    assert_eq!((downs(&events).len(), next.len(), next[2]), (3, 3, Next::Nothing));
    assert!(matches!(next[..2], [Next::Attempt(_), Next::Attempt(_)]));
    world.assert_empty(A);
}

/// What cannot even begin is tried again too, and told.
#[test]
fn an_attempt_that_cannot_begin_is_a_failure_like_any_other() {
    let (mut a, b) = beginning(Start::AtOnce);
    a.connection.remote_address = None;
    a.connection.lifecycle.retry.attempts = Some(4);
    let mut world = started(a, b);
    world.run_for(HOUR);
    let next = idles(&world.take_events(A));
    assert_eq!((next.len(), next[3]), (4, Next::Nothing));
    assert_eq!(world.endpoint(A).statistics().datagrams_sent, 0);
}

#[test]
fn child_sas_begin_with_their_ike_sa_and_again_after_a_delete_of_the_peers() {
    let (mut a, mut b) = beginning(Start::AtOnce);
    for setup in [&mut a, &mut b] {
        let everything: &[&str] = &["0.0.0.0/0"];
        setup.connection.children.push(child(2, "second", everything, everything));
        setup.connection.children.push(child(3, "third", everything, everything));
    }
    Arc::make_mut(&mut a.connection.children[1]).lifecycle.start = Start::AtOnce;
    let mut world = started(a, b);
    world.run_for_secs(1);
    let policies = |world: &World| -> Vec<_> {
        let children = world.node(A).mirror.children.values();
        children.map(|child| child.child.policy.0).collect()
    };
    assert_eq!(policies(&world), [1, 2]);
    for _ in 0..3 {
        world.take_events(A);
        let sa = world.handle(B);
        let last = *world.node(B).mirror.children.keys().last().unwrap();
        world.call(B, |endpoint, now| endpoint.delete_child(now, sa, last)).unwrap();
        world.run();
        assert_eq!(policies(&world), [1]);
        let next = child_idles(&world.take_events(A));
        assert_eq!((next.len(), next[0].0), (1, PolicyId(2)));
        let wait = attempt(next[0].1).saturating_since(world.now);
        assert!(wait <= Duration::from_secs(8), "{wait:?}");
        world.run_for_secs(8);
        assert_eq!(policies(&world), [1, 2]);
    }
    // The others are as they were: on traffic.
    acquire(&mut world, 3).unwrap();
    world.run();
    assert_eq!(policies(&world), [1, 2, 3]);
}

#[test]
fn a_child_sa_that_is_refused_is_asked_for_less_and_less() {
    let (mut a, b) = beginning(Start::AtOnce);
    let odd = child(2, "odd", &["2001:db8::/32"], &["2001:db8::/32"]);
    a.connection.children.push(odd);
    Arc::make_mut(&mut a.connection.children[1]).lifecycle.start = Start::AtOnce;
    let mut world = started(a, b);
    world.run_for(HOUR);
    let events = world.take_events(A);
    let next = child_idles(&events);
    // 2, 4, 8, … 256, 300, 300, …, each shortened by a half at most.
    assert!((18..=36).contains(&next.len()), "{}", next.len());
    assert!(is_up(&world));
}

/// A Child SA that only a call begins.
#[test]
fn no_traffic_begins_a_child_sa_on_demand() {
    let (mut a, b) = beginning(Start::AtOnce);
    a.connection.children.push(child(2, "second", &["10.0.0.0/8"], &["10.0.0.0/8"]));
    Arc::make_mut(&mut a.connection.children[1]).lifecycle.start = Start::OnDemand;
    let mut world = started(a, b);
    assert_eq!(acquire(&mut world, 2), Err(CallError::NotByTraffic));
    world.run();
    assert_eq!(acquire(&mut world, 2), Err(CallError::NotByTraffic));
}
