//! The bounds that a configuration names, generators that fail, and clocks of every kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Bound, RejectionKind};
use ikev2_core::{CallError, CookiePolicy, Event, Handled, Rejection};
use ikev2_wire::codes::ExchangeType;
use ipsec_crypto::SecureRandom;
use ipsec_types::Instant;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::forge::{head_of, plain};
use support::mirror::assert_crosswise;
use support::setup::*;
use support::told::*;
use support::world::*;

#[test]
fn max_ike_sas_bounds_both_roles() {
    let (mut a, mut b) = two();
    (a.config.max_ike_sas, b.config.max_ike_sas) = (3, 2);
    let mut world = World::pair(a, b);
    for _ in 0..3 {
        world.connect(A, B);
    }
    let before = dump(world.endpoint(A));
    assert_eq!(world.try_connect(A, B), Err(CallError::Limit(Bound::IkeSas)));
    assert_eq!(before, dump(world.endpoint(A)));
    let results: Vec<_> = world.take_all().iter().map(|packet| world.deliver(packet).unwrap()).collect();
    let refused = Err(Rejection::Limit(Bound::IkeSas));
    assert_eq!(results, [Ok(Handled::Processed), Ok(Handled::Processed), refused]);
    assert_eq!(world.endpoint(B).ike_sas().count(), 2);
    // What ends makes room.
    world.run_for_secs(20);
    let sa = world.endpoint(B).ike_sas().next().unwrap().0;
    world.call(B, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run_for_secs(20);
    world.run_for_secs(300);
    world.connect(A, B);
    world.run();
    assert_eq!(world.endpoint(B).ike_sas().count(), 2);
}

#[test]
fn max_half_open_bounds_what_strangers_can_make() {
    let (a, mut b) = two();
    b.config.max_half_open = 4;
    b.config.cookies = CookiePolicy::Never;
    let mut world = World::pair(a, b);
    for turn in 0..8 {
        world.connect(A, B);
        let result = world.deliver_next().unwrap();
        let answers = world.take_all();
        if turn < 4 {
            assert_eq!((result, answers.len()), (Ok(Handled::Processed), 1));
        } else {
            assert_eq!((result, answers.len()), (Err(Rejection::Limit(Bound::HalfOpen)), 0));
        }
    }
    assert_eq!(world.endpoint(B).half_open(), 4);
    assert_eq!(world.endpoint(B).statistics().rejected(RejectionKind::Limit), 4);
    // One that goes on makes room at once.
    let request = world.node(A).endpoint.ike_sas().count();
    assert_eq!(request, 8);
    world.run_for_secs(40);
    assert!(world.endpoint(B).half_open() <= 4);
}

/// Spoofed requests from an address do not lock out who is really there.
#[test]
fn a_flood_from_an_address_does_not_shut_out_its_owner() {
    let (a, mut b) = two();
    b.config.cookies = CookiePolicy::WhenHalfOpen(100);
    let mut world = World::pair(a, b);
    world.strict = false;
    world.connect(A, B);
    let first = world.take();
    let path = world.path(B, A);
    for number in 0..1_000u32 {
        let mut octets = first.message().to_vec();
        octets[..4].copy_from_slice(&(0x5500_0000 + number).to_be_bytes());
        let _ = world.receive(B, path, &octets);
    }
    world.take_all();
    assert_eq!(world.endpoint(B).half_open(), 5);
    world.deliver(&first);
    world.run();
    assert_eq!(world.node(A).mirror.sas.len(), 1);
    world.link.loss = 1_000;
    world.run_for_secs(31);
    assert_eq!(world.endpoint(B).half_open(), 0);
}

/// What waits to be polled is bounded; a full queue refuses what could make more, and ends are never held back.
#[test]
fn max_events_bounds_what_waits_to_be_polled() {
    let (a, mut b) = two();
    b.config.max_events = 6;
    let mut world = World::established(a, b);
    world.nodes[B].polled = false;
    let (at_a, at_b) = (world.handle(A), world.handle(B));
    world.call(A, |e, now| e.create_child(now, at_a, "first")).unwrap();
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    // One answer waits. Repeats of the request make more of it, until there are enough.
    let mut accepted = 1;
    loop {
        match world.deliver(&request).unwrap() {
            Ok(Handled::RepeatAnswered) => accepted += 1,
            Err(Rejection::Limit(Bound::Events)) => break,
            other => panic!("{other:?}"),
        }
        assert!(accepted < 100);
    }
    assert_eq!(accepted, 6);
    let full = Err(CallError::Limit(Bound::Events));
    assert_eq!(world.call(B, |e, now| e.create_child(now, at_b, "first")), full);
    assert_eq!(world.call(B, |e, now| e.check_liveness(now, at_b)), full);
    let path = world.path(B, A);
    let refused = world.call(B, |e, now| e.connect(now, "tunnel", path));
    assert_eq!(refused, Err(CallError::Limit(Bound::Events)));
    // An end is not held back; what cannot be sent now is repeated.
    world.call(B, |e, now| e.delete_ike_sa(now, at_b)).unwrap();
    world.nodes[B].polled = true;
    assert!(world.settle(B) < 12);
    assert_eq!(world.endpoint(B).statistics().transmits_lost, 1);
    world.run_for_secs(2);
    assert_eq!(downs(&world.take_events(A)).len(), 1);
    assert_eq!(downs(&world.take_events(B)).len(), 1);
}

#[test]
fn max_queued_requests_bounds_what_waits_for_the_window() {
    let (mut a, b) = two();
    a.config.max_queued_requests = 3;
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    let results: Vec<_> = (0..6).map(|_| world.call(A, |e, now| e.check_liveness(now, sa))).collect();
    let full = Err(CallError::Limit(Bound::QueuedRequests));
    // One in flight and three that wait.
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Ok(()), full.clone(), full.clone()]);
    let before = dump(world.endpoint(A));
    assert_eq!(world.call(A, |e, now| e.create_child(now, sa, "first")), full);
    assert_eq!(before, dump(world.endpoint(A)));
    world.run();
    assert_eq!(kinds(&world.take_events(A)), ["alive"; 4]);
}

#[test]
fn max_datagram_bounds_what_is_looked_at_but_never_below_1280() {
    let (a, mut b) = two();
    b.config.max_datagram = 100;
    let mut world = World::pair(a, b);
    let path = world.path(B, A);
    world.connect(A, B);
    let request = world.take();
    for (length, taken) in [(1_280, true), (1_281, false), (65_535, false)] {
        let mut octets = request.message().to_vec();
        // One more payload, a Vendor ID, to make it this long.
        let mut payloads = support::forge::payloads_of(&octets);
        let missing = length - octets.len() - 4;
        payloads.push(support::forge::Raw::new(ikev2_wire::PayloadType::VENDOR_ID, &vec![0; missing]));
        octets = plain(&head_of(&octets), &payloads);
        assert_eq!(octets.len(), length);
        let result = world.receive(B, path, &octets);
        if taken {
            assert_eq!(result, Ok(Handled::Processed));
        } else {
            assert_eq!(result, Err(Rejection::Limit(Bound::Datagram)));
        }
    }
}

/// §2.21.4: answers to unprotected messages are limited.
#[test]
fn unprotected_error_answers_are_limited_in_each_second() {
    let (a, mut b) = two();
    b.config.max_error_answers_per_second = 3;
    let mut world = World::pair(a, b.ike(&["aes192gcm16-prfsha256-x25519"]));
    let mut answers = Vec::new();
    for step in 0..20u64 {
        world.now = Instant::from_millis(5_000 + step * 100);
        world.link.loss = 0;
        world.connect(A, B);
        let packet = world.take();
        assert!(matches!(world.deliver(&packet), Some(Err(Rejection::NoProposalChosen(_)))));
        answers.push(world.take_all().len());
    }
    // Three at once, then one in every third of a second.
    assert_eq!(answers, [1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    assert_eq!(world.endpoint(B).statistics().answers_withheld, 12);
}

/// A life with everything in it that draws random octets.
fn life(world: &mut World) {
    if world.try_connect(A, B).is_err() {
        return;
    }
    world.run_for_secs(3);
    for node in [A, B] {
        let handles: Vec<_> = world.endpoint(node).ike_sas().map(|(handle, _)| handle).collect();
        for sa in handles {
            for name in ["first", "pfs"] {
                let _ = world.call(node, |e, now| e.create_child(now, sa, name));
                world.run_for_secs(3);
            }
        }
    }
    let _ = world.try_connect(B, A);
    world.run_for_secs(3);
}

fn fallible(node: usize, fail_at: usize, failures: usize) -> (World, Arc<AtomicUsize>) {
    let (mut a, mut b) = two();
    for setup in [&mut a, &mut b] {
        setup.config.cookies = CookiePolicy::Always;
        setup.connection.children.push(child_with(2, "pfs", &["aes256gcm16-x25519"]));
    }
    a.connection.force_udp_encapsulation = true;
    let calls = Arc::new(AtomicUsize::new(0));
    let random = |number: usize| -> Box<dyn SecureRandom> {
        let inner = ChaCha20Rng::from_seed([number as u8 + 1; 32]);
        if number == node {
            Box::new(Failing { inner, fail_at, failures, calls: calls.clone() })
        } else {
            Box::new(inner)
        }
    };
    let world = World::with_random(vec![(a, random(A)), (b, random(B))], 1);
    (world, calls)
}

/// For each draw of a whole life: if it fails, once or from then on, there is an error or an event, never a
/// panic, nothing half made is left, and both sides agree.
#[test]
fn a_generator_that_fails_at_any_draw_leaves_nothing_half_made() {
    for node in [A, B] {
        let (mut world, calls) = fallible(node, usize::MAX, 0);
        life(&mut world);
        let draws = calls.load(Ordering::Relaxed);
        assert!(draws > 12, "{draws}");
        assert_eq!(world.node(A).mirror.children.len(), 6);
        for fail_at in 0..draws {
            for failures in [1, usize::MAX] {
                let (mut world, calls) = fallible(node, fail_at, failures);
                life(&mut world);
                assert!(calls.load(Ordering::Relaxed) > fail_at);
                world.run_for_secs(500);
                assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
                for node in [A, B] {
                    world.call(node, |endpoint, now| endpoint.shut_down(now));
                }
                world.run_for_secs(500);
                world.assert_empty(A);
                world.assert_empty(B);
            }
        }
    }
}

/// A generator that always gives the same is found out where uniqueness matters.
#[test]
fn a_generator_that_repeats_itself_is_an_error_and_not_a_loop() {
    #[derive(Debug)]
    struct Stuck(u8);
    impl SecureRandom for Stuck {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ipsec_crypto::RandomError> {
            buffer.fill(self.0);
            Ok(())
        }
    }
    for octet in [0, 7] {
        let (a, b) = two();
        let mut world = World::with_random(vec![(a, Box::new(Stuck(octet))), (b, seeded(1))], 1);
        let mut results = Vec::new();
        for _ in 0..2 {
            results.push(world.try_connect(A, B).is_ok());
        }
        assert_eq!(results, [octet != 0, false]);
    }
}

/// RFC 4303 §2.1: SPIs 0 to 255 are never given out, and neither is one that is in use.
#[test]
fn spis_that_are_reserved_or_in_use_are_drawn_again() {
    /// Gives these to whoever draws an SPI of ESP.
    #[derive(Debug)]
    struct Chosen(ChaCha20Rng, Vec<u32>);
    impl SecureRandom for Chosen {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ipsec_crypto::RandomError> {
            if buffer.len() != 4 {
                return SecureRandom::fill(&mut self.0, buffer);
            }
            match self.1.pop() {
                Some(spi) => buffer.copy_from_slice(&spi.to_be_bytes()),
                None => SecureRandom::fill(&mut self.0, buffer)?,
            }
            Ok(())
        }
    }
    let (a, b) = two();
    let inner = ChaCha20Rng::from_seed([9; 32]);
    // From the back.
    let draws = vec![0x1234_5678, 0, 0x1234_5678, 255, 0x1234_5678, 256, 1, 255, 0];
    let random = Box::new(Chosen(inner, draws));
    let mut world = World::with_random(vec![(a, seeded(1)), (b, random)], 1);
    world.connect(A, B);
    world.run();
    let sa = world.handle(A);
    for _ in 0..3 {
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.run();
    }
    // The mirror asserts that each is allowed and unique.
    let spis: Vec<u32> =
        world.node(B).mirror.children.values().map(|c| c.inbound.as_ref().unwrap().spi.get()).collect();
    assert_eq!(spis[..2], [256, 0x1234_5678]);
    assert_eq!(world.node(B).mirror.children.len(), 4);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn a_clock_that_goes_back_is_held_and_counted() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    world.run_for_secs(20);
    let timer = world.next_timer();
    let right = world.now;
    world.now = Instant::ZERO;
    for node in [A, B] {
        world.fire(node);
        assert_eq!(world.endpoint(node).statistics().clock_went_back, 1);
    }
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    world.run();
    let round_trip = world.take_events(A);
    assert!(
        matches!(round_trip[..], [Event::PeerAlive { round_trip: Duration::ZERO, .. }]),
        "{round_trip:?}"
    );
    assert!(world.endpoint(A).statistics().clock_went_back >= 2);
    // Deadlines stand where they stood.
    assert!(world.next_timer() >= timer);
    world.now = right;
    world.run_for_secs(100);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
}

/// Any origin is legal, and everything happens in the same intervals.
#[test]
fn any_origin_of_the_clock_gives_the_same_run() {
    let mut runs = Vec::new();
    let end = Instant::MAX.since_origin();
    for origin in [Duration::ZERO, Duration::from_secs(1 << 32), end - Duration::from_secs(10_000)] {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
        world.now = Instant::from_origin(origin);
        let began = world.now;
        world.connect(A, B);
        world.run_for_secs(100);
        world.link.loss = 1_000;
        world.run_for_secs(400);
        let down = |world: &mut World| downs(&world.take_events(A)).len();
        assert_eq!(down(&mut world), 1);
        let statistics = world.endpoint(A).statistics().clone();
        runs.push((statistics, world.now.saturating_since(began)));
    }
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
}

/// The clock jumps far ahead, as after a suspend: everything that is due happens once.
#[test]
fn a_clock_that_jumps_ahead_does_not_burst() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    world.take_all();
    world.now += Duration::from_secs(86_400);
    world.fire(A);
    let sent = world.take_all();
    assert!(sent.len() <= 2, "{}", sent.len());
    assert!(sent.iter().all(|packet| packet.header().exchange == ExchangeType::INFORMATIONAL));
}

#[test]
fn another_configuration_holds_from_then_on_and_old_sas_keep_theirs() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let mut changed = Setup::new("a.example", "b.example");
    changed.set_secret(b"changed");
    changed.config.max_ike_sas = 1;
    changed.connection.name = "renamed".into();
    let config = changed.finish();
    world.call(A, |endpoint, _| endpoint.set_config(config));
    assert_eq!(world.node(A).only_sa().1.connection, "tunnel");
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert_eq!(world.try_connect(A, B), Err(CallError::NoSuchConnection));
    let path = world.path(A, B);
    let refused = world.call(A, |e, now| e.connect(now, "renamed", path));
    assert_eq!(refused, Err(CallError::Limit(Bound::IkeSas)));
}
