//! Authenticating anew by another IKE SA, make before break (RFC 7296 §2.8.3), and how long an authentication lasts
//! (RFC 4478).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{DownReason, DuplicatePolicy, Event, Failure, IkeSaHandle, IkeSaState, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ipsec_types::Instant;
use std::time::Duration;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::notifies;
use support::setup::*;
use support::told::*;
use support::world::*;

const AFTER: u64 = 1_000;

/// Two Child SAs, and nothing else that would send a message by itself.
fn quiet() -> (Setup, Setup) {
    let quiet = |setup: &mut Setup| {
        let connection = &mut setup.connection;
        connection.children = vec![
            child(1, "first", &["10.0.0.0/8"], &["10.0.0.0/8"]),
            child(2, "second", &["0.0.0.0/0"], &["0.0.0.0/0"]),
        ];
        (connection.liveness, connection.ike_keepalive) = (None, None);
    };
    let (a, b) = two();
    (a.with(quiet), b.with(quiet))
}

fn anew_after(secs: u64) -> (Setup, Setup) {
    let (mut a, b) = quiet();
    a.connection.reauthenticate_after = Some(Duration::from_secs(secs));
    (a, b)
}

fn established(a: Setup, b: Setup) -> World {
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "second")).unwrap();
    world.run();
    for node in [A, B] {
        assert_eq!(world.node(node).mirror.children.len(), 2);
        world.take_events(node);
    }
    world
}

/// Runs up to the moment at which A begins another IKE SA.
fn begin(world: &mut World) -> IkeSaHandle {
    let limit = world.now + Duration::from_secs(2 * AFTER);
    loop {
        let (at, _) = world.next_timer().filter(|(at, _)| *at < limit).expect("it begins");
        world.now = world.now.max(at);
        world.fire(A);
        world.fire(B);
        let begun = world.node(A).events.iter().any(|e| matches!(e, Event::IkeSaReauthenticating { .. }));
        if begun {
            let newest = world.endpoint(A).ike_sas().map(|(sa, _)| sa).max();
            return newest.unwrap();
        }
    }
}

/// One IKE SA, two Child SAs, the same at both ends, and either end answers the other.
fn assert_whole(world: &mut World) {
    world.run_for_secs(30);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 2);
    for node in [A, B] {
        world.take_events(node);
        let sa = world.handle(node);
        world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"alive"));
    }
}

fn secs_since(start: Instant, end: Instant) -> u64 {
    end.saturating_since(start).as_secs()
}

/// §2.8.3: a new IKE SA from IKE_SA_INIT, then new Child SAs, then the old one is deleted.
#[test]
fn another_ike_sa_takes_its_place_before_it_ends() {
    let (a, b) = anew_after(AFTER);
    let mut world = established(a, b);
    let (old, start) = (world.handle(A), world.now);
    let new = begin(&mut world);
    assert!((AFTER * 9 / 10..=AFTER).contains(&secs_since(start, world.now)), "{:?}", world.now);
    world.run();
    let events = world.take_events(A);
    let told: Vec<_> = kinds(&events).into_iter().filter(|kind| *kind != "data path").collect();
    let expected =
        ["authenticating anew", "IKE up", "Child up", "Child up", "Child down", "Child down", "IKE down"];
    assert_eq!(told, expected);
    assert_eq!(downs(&events), [(old, DownReason::Replaced)]);
    let (sa, info) = world.node(A).only_sa();
    assert_eq!((sa, info.replaces), (new, Some(old)));
    assert_eq!(downs(&world.take_events(B)).pop().unwrap().1, DownReason::DeletedByPeer);
    assert_whole(&mut world);
    // And again.
    begin(&mut world);
    assert_whole(&mut world);
}

/// RFC 7296 §2.4: INITIAL_CONTACT says that there is no other IKE SA, and there is one.
#[test]
fn it_is_no_initial_contact() {
    let (a, b) = anew_after(AFTER);
    let mut world = established(a, b);
    begin(&mut world);
    let request = world.take_first(ExchangeType::IKE_AUTH, false);
    let payloads = Forger::new(&world.node(A).keys).open(request.message());
    assert!(notifies(&payloads).iter().all(|(ty, _)| *ty != NotifyType::INITIAL_CONTACT));
}

/// RFC 4478 §2, §3: four octets of seconds in the last message of IKE_AUTH; the initiator begins within that time.
#[test]
fn the_responder_tells_how_long_an_authentication_lasts() {
    let (a, mut b) = quiet();
    b.connection.authentication_lifetime = Some(Duration::from_secs(600));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let answer = world.take_first(ExchangeType::IKE_AUTH, true);
    let payloads = Forger::new(&world.node(A).keys).open(answer.message());
    assert!(notifies(&payloads).contains(&(NotifyType::AUTH_LIFETIME, vec![0, 0, 2, 88])));
    world.deliver(&answer).unwrap().unwrap();
    let start = world.now;
    world.run();
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "second")).unwrap();
    world.run();
    begin(&mut world);
    assert!((480..=540).contains(&secs_since(start, world.now)));
    assert_whole(&mut world);
    assert!(
        downs(&world.take_events(B)).iter().all(|(_, reason)| *reason != DownReason::AuthenticationExpired)
    );
}

/// RFC 4478 §2, §4: who does not authenticate anew is sent a Delete.
#[test]
fn an_authentication_that_is_not_renewed_ends() {
    let (a, mut b) = quiet();
    b.connection.authentication_lifetime = Some(Duration::from_secs(600));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let mut answer = world.take_first(ExchangeType::IKE_AUTH, true);
    let lifetime = NotifyType::AUTH_LIFETIME.0.to_be_bytes();
    answer = Forger::new(&world.node(A).keys).alter(&answer, |payloads| {
        payloads.retain(|raw| raw.ty != PayloadType::NOTIFY || raw.body[2..4] != lifetime);
    });
    world.deliver(&answer).unwrap().unwrap();
    world.run_for(Duration::from_millis(599_999));
    assert!(downs(&world.take_events(B)).is_empty());
    world.run_for_secs(5);
    assert_eq!(downs(&world.take_events(B)).pop().unwrap().1, DownReason::AuthenticationExpired);
    assert_eq!(downs(&world.take_events(A)).pop().unwrap().1, DownReason::DeletedByPeer);
}

/// RFC 4478 §2: it may be said again at any time, and zero means at once; §5: within reason.
#[test]
fn it_may_be_said_at_any_time_but_by_the_responder_alone() {
    let (a, b) = quiet();
    let mut world = established(a, b);
    let start = world.now;
    let mut forger = Forger::new(&world.node(A).keys);
    let notify = Raw::notify(NotifyType::AUTH_LIFETIME, &[0; 4]);
    let path = world.path(A, B);
    let from_a = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 3, false);
    let said = forger.seal(&from_a, std::slice::from_ref(&notify));
    world.receive(B, world.path(B, A), &said).unwrap();
    world.take_all();
    world.run_for_secs(60);
    assert!(!kinds(&world.take_events(B)).contains(&"authenticating anew"));
    let from_b = forger.head(Role::Responder, ExchangeType::INFORMATIONAL, 0, false);
    let said = forger.seal(&from_b, &[notify]);
    world.receive(A, path, &said).unwrap();
    begin(&mut world);
    assert_eq!(secs_since(start, world.now), 60);
}

/// RFC 4478 §5: a peer that says a second each time, and deletes nothing, is heard every ten seconds at most.
#[test]
fn no_peer_can_have_us_authenticate_all_the_time() {
    let (a, b) = quiet();
    let mut world = World::established(a, b);
    for _ in 0..3 {
        let established = world.node(A).only_sa().1.established_at.unwrap();
        let mut forger = Forger::new(&world.node(A).keys);
        let head = forger.head(Role::Responder, ExchangeType::INFORMATIONAL, 0, false);
        let message = forger.seal(&head, &[Raw::notify(NotifyType::AUTH_LIFETIME, &[0, 0, 0, 1])]);
        world.receive(A, world.path(A, B), &message).unwrap();
        world.run();
        begin(&mut world);
        assert_eq!(secs_since(established, world.clock(A)), 10);
        world.run();
        world.take_events(A);
    }
}

/// The old one lives on, and there is a pause before the next attempt.
#[test]
fn an_attempt_that_fails_costs_nothing_and_is_made_again() {
    let (a, b) = anew_after(AFTER);
    let mut world = established(a, b);
    let old = world.handle(A);
    let new = begin(&mut world);
    world.link.loss = 1_000;
    while downs(&world.node(A).events).is_empty() {
        world.run_for_secs(1);
    }
    let events = world.take_events(A);
    let [(sa, DownReason::Failed(failure))] = &downs(&events)[..] else { panic!("{events:?}") };
    assert_eq!(*sa, new);
    assert!(matches!(**failure, Failure::Timeout { .. }));
    assert_eq!(world.handle(A), old);
    assert_eq!(world.node(A).mirror.children.len(), 2);
    world.link.loss = 0;
    let failed = world.now;
    begin(&mut world);
    assert!(secs_since(failed, world.now) < 60);
    assert_whole(&mut world);
}

/// What the peer begins on the old one meanwhile is put off, and nothing of ours is begun there.
#[test]
fn the_old_one_is_not_rekeyed_meanwhile() {
    let (a, b) = anew_after(AFTER);
    let mut world = established(a, b);
    let old = world.handle(A);
    let olds_peer = world.handle(B);
    let child = world.endpoint(B).child_sas(olds_peer).next().unwrap().child.id;
    begin(&mut world);
    let held = world.take_all();
    world.call(B, |e, now| e.rekey_ike_sa(now, olds_peer)).unwrap();
    world.run();
    world.call(B, |e, now| e.rekey_child(now, olds_peer, child)).unwrap();
    world.run();
    world.call(A, |e, now| e.rekey_ike_sa(now, old)).unwrap();
    assert_eq!(world.in_flight().count(), 0);
    let events = world.take_events(B);
    let refused = Failure::Refused { notify: NotifyType::TEMPORARY_FAILURE };
    assert!(
        events.iter().any(|e| matches!(e, Event::IkeRekeyFailed { failure, .. } if **failure == refused))
    );
    assert_eq!(child_failure(&events), refused);
    // The liveness of the old one is asked for all the same.
    world.call(A, |e, now| e.check_liveness(now, old)).unwrap();
    world.run();
    assert!(kinds(&world.take_events(A)).contains(&"alive"));
    for packet in held {
        world.put(packet);
    }
    assert_whole(&mut world);
}

/// What an embedder asks for on the old one meanwhile is made on the new one.
#[test]
fn a_child_sa_that_is_asked_for_meanwhile_is_not_lost() {
    let (a, b) = anew_after(AFTER);
    let mut world = World::established(a, b);
    let old = world.handle(A);
    begin(&mut world);
    world.call(A, |e, now| e.create_child(now, old, "second")).unwrap();
    assert_whole(&mut world);
}

/// Whatever the peer does to the old one at whatever moment: in the end there is one IKE SA with two Child SAs.
#[test]
fn what_crosses_it_leaves_one_ike_sa() {
    type Cross = fn(&mut World, IkeSaHandle);
    let crossings: [(&str, Cross); 3] = [
        ("IKE rekey", |world, sa| {
            // It may be over by now.
            let _ = world.call(B, |e, now| e.rekey_ike_sa(now, sa));
        }),
        ("Delete", |world, sa| {
            let _ = world.call(B, |e, now| e.delete_ike_sa(now, sa));
        }),
        ("Child rekey", |world, sa| {
            let child = world.endpoint(B).child_sas(sa).next();
            if let Some(child) = child {
                let _ = world.call(B, |e, now| e.rekey_child(now, sa, child.child.id));
            }
        }),
    ];
    for packets in 0..12 {
        for (name, cross) in crossings {
            let (a, b) = anew_after(AFTER);
            let mut world = established(a, b);
            let old = world.handle(B);
            begin(&mut world);
            for _ in 0..packets {
                if world.in_flight().count() > 0 {
                    world.deliver_next();
                }
            }
            cross(&mut world, old);
            world.run_for_secs(300);
            assert_eq!(world.endpoint(A).ike_sas().count(), 1, "{name} after {packets}");
            assert_whole(&mut world);
        }
    }
}

/// The peer has forgotten everything and comes again, from elsewhere, at whatever moment: what it begins is what is left.
/// Two that began at the same time are both kept, until liveness tells that nobody is at the other end of one.
#[test]
fn initial_contact_that_crosses_it_leaves_one_ike_sa() {
    const AGAIN: usize = 2;
    for packets in 0..12 {
        let (mut a, b) = anew_after(AFTER);
        a.connection.liveness = Some(Duration::from_secs(30));
        let (_, again) = quiet();
        let mut world = World::new(vec![a, b, again], 1);
        world.link.latency = (3, 9);
        world.connect(A, B);
        world.run_for_secs(AFTER * 9 / 10 - 1);
        while !kinds(&world.node(A).events).contains(&"authenticating anew") {
            world.run_for(Duration::from_millis(5));
        }
        world.run_for(Duration::from_millis(10 * packets));
        world.nodes[B].polled = false;
        world.connect(AGAIN, A);
        world.run_for_secs(800);
        let (_, info) = world.node(A).only_sa();
        assert_eq!(info.path.remote_ip(), world.node(AGAIN).ip, "after {packets}");
        assert_crosswise(&world.node(A).mirror, &world.node(AGAIN).mirror);
    }
}

/// RFC 7296 §2.8.3 with a policy that keeps one IKE SA for each peer, at either end or at both.
#[test]
fn policies_for_duplicates_do_not_break_it() {
    for (ours, theirs) in [
        (DuplicatePolicy::KeepNew, DuplicatePolicy::Allow),
        (DuplicatePolicy::Allow, DuplicatePolicy::KeepNew),
        (DuplicatePolicy::KeepNew, DuplicatePolicy::KeepNew),
    ] {
        let (mut a, mut b) = anew_after(AFTER);
        (a.connection.duplicates, b.connection.duplicates) = (ours, theirs);
        let mut world = established(a, b);
        begin(&mut world);
        assert_whole(&mut world);
    }
}

/// Where the embedder ends the old one, it does not want another.
#[test]
fn the_end_of_the_old_one_ends_the_attempt() {
    for packets in 0..3 {
        let (a, mut b) = anew_after(AFTER);
        // By then the peer may hold one that only its silence ends.
        b.connection.liveness = Some(Duration::from_secs(30));
        let mut world = established(a, b);
        let old = world.handle(A);
        begin(&mut world);
        for _ in 0..packets {
            world.deliver_next();
        }
        world.call(A, |e, now| e.delete_ike_sa(now, old)).unwrap();
        world.run_for_secs(1_800);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// A rekey makes new keys and no new authentication.
#[test]
fn a_rekey_does_not_put_it_off() {
    for (rekeyer, at) in [(A, 0), (B, 100)] {
        let (a, mut b) = anew_after(AFTER);
        b.connection.authentication_lifetime = Some(Duration::from_secs(500));
        let mut world = established(a, b);
        let start = world.now;
        world.run_for_secs(at);
        let sa = world.handle(rekeyer);
        world.call(rekeyer, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
        world.run();
        begin(&mut world);
        assert!((400..=450).contains(&secs_since(start, world.now)));
        assert_whole(&mut world);
    }
}

/// RFC 7296 §4: a peer may take no further exchange of this kind at all; then another IKE SA is what is left.
#[test]
fn a_peer_that_takes_no_rekey_is_authenticated_anew() {
    let (a, b) = quiet();
    let mut world = established(a, b);
    world.run_for_secs(100);
    let sa = world.handle(A);
    let mut forger = Forger::new(&world.node(A).keys);
    world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    let request = world.take().header();
    let head = forger.head(Role::Responder, ExchangeType::CREATE_CHILD_SA, request.message_id, true);
    let answer = forger.seal(&head, &[Raw::notify(NotifyType::NO_ADDITIONAL_SAS, &[])]);
    world.receive(A, world.path(A, B), &answer).unwrap();
    let now = world.now;
    begin(&mut world);
    assert_eq!(world.now, now);
    let new = world.endpoint(A).ike_sas().map(|(sa, _)| sa).max().unwrap();
    world.run_for_secs(3);
    let (old, new) = (world.endpoint(A).ike_sa(sa).unwrap(), world.endpoint(A).ike_sa(new).unwrap());
    assert_eq!((old.state, new.state), (IkeSaState::Closing, IkeSaState::Established));
    assert_eq!(new.children.len(), 2);
}
