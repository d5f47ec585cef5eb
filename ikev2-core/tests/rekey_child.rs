//! Rekeys of Child SAs (RFC 7296 §1.3.3, §2.8), and all that can cross them (§2.8.1, §2.25.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{DownReason, Event, Failure, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ipsec_types::sa::{ChildSaId, Direction, ExpiryReason};
use ipsec_types::{EspSpi, SaCommand, SaReport};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::{body, has};
use support::setup::*;
use support::told::*;
use support::world::*;

fn established() -> World {
    let (a, b) = two();
    World::established(a, b)
}

/// The Child SA that carries the traffic.
fn in_use(world: &World, node: usize) -> ChildSaId {
    let carriers: Vec<_> =
        world.node(node).mirror.children.iter().filter(|(_, child)| child.in_use).collect();
    assert_eq!(carriers.len(), 1, "{carriers:?}");
    *carriers[0].0
}

fn inbound(world: &World, node: usize, id: ChildSaId) -> EspSpi {
    world.node(node).mirror.children[&id].inbound.as_ref().unwrap().spi
}

fn rekey(world: &mut World, node: usize) -> ChildSaId {
    let (sa, id) = (world.handle(node), in_use(world, node));
    world.call(node, |e, now| e.rekey_child(now, sa, id)).unwrap();
    id
}

/// One Child SA on each side, the same, and it carries the traffic.
fn assert_one(world: &World) {
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    for node in [A, B] {
        assert_eq!(world.node(node).mirror.children.len(), 1, "{:?}", world.node(node).mirror.children);
        in_use(world, node);
    }
}

fn rekey_sa(spi: EspSpi) -> Raw {
    let mut raw = Raw::notify(NotifyType::REKEY_SA, &[]);
    raw.body[..2].copy_from_slice(&[3, 4]);
    raw.body.extend_from_slice(&spi.to_be_bytes());
    raw
}

/// Who began sends by the new one at once and deletes the old one; the other end follows when it is deleted.
#[test]
fn a_child_sa_is_rekeyed_by_either_side() {
    for (rekeyer, other) in [(A, B), (B, A)] {
        let mut world = established();
        let forger = Forger::new(&world.node(A).keys);
        let (old, old_there) = (in_use(&world, rekeyer), in_use(&world, other));
        rekey(&mut world, rekeyer);
        let request = world.take();
        let payloads = forger.open(request.message());
        assert_eq!(payloads[0], rekey_sa(inbound(&world, rekeyer, old)));
        assert!(has(&payloads, PayloadType::TS_I) && has(&payloads, PayloadType::TS_R));
        world.deliver(&request).unwrap().unwrap();
        assert_eq!(kinds(&world.take_events(other)), ["data path", "data path", "Child up"]);
        assert_eq!(in_use(&world, other), old_there, "nothing is sent by the new one yet");

        let answer = world.take();
        assert!(!has(&forger.open(answer.message()), PayloadType::NOTIFY));
        world.deliver(&answer).unwrap().unwrap();
        let told = world.take_events(rekeyer);
        assert_eq!(
            kinds(&told),
            ["data path", "data path", "Child up", "data path", "Child replaced"],
            "{told:?}"
        );
        assert_ne!(in_use(&world, rekeyer), old);
        assert_eq!(world.node(rekeyer).mirror.children.len(), 2, "the old one still receives");

        world.run();
        assert_eq!(child_downs(&world.take_events(rekeyer)), [(old, DownReason::Rekeyed)]);
        let told = world.take_events(other);
        assert_eq!(kinds(&told), ["data path", "Child replaced", "data path", "Child down"]);
        assert_eq!(child_downs(&told), [(old_there, DownReason::Rekeyed)]);
        assert_one(&world);
    }
}

#[test]
fn generations_follow_each_other() {
    let mut world = established();
    for turn in 0..20 {
        let old = rekey(&mut world, turn % 2);
        world.run();
        assert_one(&world);
        assert_ne!(in_use(&world, turn % 2), old);
    }
}

/// §2.8: the end that answered may send by the new one once it sees a packet on it.
#[test]
fn a_packet_on_the_new_one_switches_the_end_that_answered() {
    let mut world = established();
    let old = in_use(&world, B);
    rekey(&mut world, A);
    world.deliver_next();
    let new = *world.node(B).mirror.children.keys().max().unwrap();
    let now = world.now;
    world.call(B, |e, now| e.handle_report(now, &SaReport::LastInbound { id: old, at: now })).unwrap();
    assert_eq!(in_use(&world, B), old);
    world.call(B, |e, _| e.handle_report(now, &SaReport::LastInbound { id: new, at: now })).unwrap();
    assert_eq!(in_use(&world, B), new);
    world.run();
    assert_one(&world);
}

#[test]
fn a_soft_limit_rekeys_unless_it_is_not_to() {
    for rekeys in [true, false] {
        let (mut a, b) = two();
        Arc::make_mut(&mut a.connection.children[0]).rekey = rekeys;
        let mut world = World::established(a, b);
        let id = in_use(&world, A);
        let report =
            SaReport::SoftExpired { id, direction: Direction::Outbound, reason: ExpiryReason::Packets };
        for _ in 0..3 {
            world.call(A, |e, now| e.handle_report(now, &report)).unwrap();
        }
        assert_eq!(kinds(&world.take_events(A)), ["Child expiring"; 3]);
        assert_eq!(world.in_flight().count(), usize::from(rekeys));
        world.run();
        assert_one(&world);
        assert_eq!(in_use(&world, A) != id, rekeys);
    }
}

/// §2.8: "jitter" is up to an endpoint; ours takes up to a tenth off each soft limit and nothing off a hard one.
#[test]
fn soft_limits_come_a_little_earlier_each_time() {
    let (mut a, b) = two();
    let lifetimes = &mut Arc::make_mut(&mut a.connection.children[0]).lifetimes;
    for limit in [&mut lifetimes.seconds, &mut lifetimes.octets, &mut lifetimes.packets] {
        (limit.soft, limit.hard) = (Some(100_000), Some(110_000));
    }
    let mut world = World::established(a, b);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let lifetimes = world.node(A).mirror.children[&in_use(&world, A)].child.lifetimes;
        for limit in [lifetimes.seconds, lifetimes.octets, lifetimes.packets] {
            assert_eq!(limit.hard, Some(110_000));
            seen.push(limit.soft.unwrap());
        }
        rekey(&mut world, A);
        world.run();
    }
    assert!(seen.iter().all(|soft| (90_000..=100_000).contains(soft)), "{seen:?}");
    assert!(seen.iter().min() < Some(&93_000) && seen.iter().max() > Some(&97_000), "{seen:?}");
}

/// All orders in which the messages of two crossing rekeys can arrive, with at most one of them lost once: in the
/// end there is one Child SA, and each end was told of one replacement of the old one.
#[test]
fn crossing_rekeys_leave_one_child_sa_in_every_order_with_every_loss() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..100 {
        for lost in 0..=8 {
            let (a, b) = two();
            let mut world = World::new(vec![a, b], seed);
            world.strict = false;
            world.connect(A, B);
            world.run();
            let old = [in_use(&world, A), in_use(&world, B)];
            rekey(&mut world, A);
            rekey(&mut world, B);
            // Two requests, two answers, up to two Deletes of the old one and of what is left over.
            world.deliver_in_any_order(lost);
            world.run_for_secs(60);
            assert_one(&world);
            for node in [A, B] {
                let events = world.take_events(node);
                let replaced = events.iter().filter(
                    |event| matches!(event, Event::ChildSaReplaced { old: id, .. } if *id == old[node]),
                );
                assert_eq!(replaced.count(), 1, "seed {seed}, lost {lost}: {events:?}");
                for (id, reason) in child_downs(&events) {
                    if id != old[node] {
                        *outcomes.entry(reason.to_string()).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    // The nonces decide for either side.
    assert!(outcomes.len() == 1 && outcomes.contains_key(&DownReason::Redundant.to_string()), "{outcomes:?}");
}

/// §2.8.1: of the four nonces the lowest names the exchange whose Child SA is left over; who began it deletes it.
#[test]
fn the_lowest_nonce_loses() {
    let mut winners = BTreeMap::new();
    for seed in 0..40 {
        let (a, b) = two();
        let mut world = World::new(vec![a, b], seed);
        world.connect(A, B);
        world.run();
        let forger = Forger::new(&world.node(A).keys);
        rekey(&mut world, A);
        rekey(&mut world, B);
        let requests = world.take_all();
        requests.iter().for_each(|request| {
            world.deliver(request).unwrap().unwrap();
        });
        let answers = world.take_all();
        let nonce = |packet: &Packet| body(&forger.open(packet.message()), PayloadType::NONCE).to_vec();
        let lowest = |spi_of: u16| {
            let of = |packets: &[Packet], from: bool| {
                let sent = |p: &&Packet| (p.from.ip() == world.node(A).ip) == from;
                packets.iter().find(sent).map(nonce).unwrap()
            };
            let from_a = spi_of == 0;
            of(&requests, from_a).min(of(&answers, !from_a))
        };
        let a_loses = lowest(0) < lowest(1);
        answers.iter().for_each(|answer| {
            world.deliver(answer).unwrap().unwrap();
        });
        // One Delete names the old one, the other what is left over; each is sent by who began that exchange.
        world.run();
        assert_one(&world);
        let redundant: Vec<_> = [A, B]
            .map(|node| {
                child_downs(&world.take_events(node)).iter().filter(|d| d.1 == DownReason::Redundant).count()
            })
            .to_vec();
        assert_eq!(redundant, [1, 1]);
        *winners.entry(a_loses).or_insert(0) += 1;
        let survivor = world.node(A).mirror.children.values().next().unwrap();
        let of_a = Forger::new(&world.node(A).keys);
        let spi_in_request = |packets: &[Packet], from_a: bool| {
            let packet = packets.iter().find(|p| (p.from.ip() == world.node(A).ip) == from_a).unwrap();
            let sa = body(&of_a.open(packet.message()), PayloadType::SA).to_vec();
            u32::from_be_bytes(sa[8..12].try_into().unwrap())
        };
        // A's inbound SPI is in its own request, or in its answer to the other one.
        let expected = if a_loses { spi_in_request(&answers, true) } else { spi_in_request(&requests, true) };
        assert_eq!(survivor.inbound.as_ref().unwrap().spi.get(), expected, "seed {seed}");
    }
    assert_eq!(winners.len(), 2, "{winners:?}");
}

/// Refuses the next request of A in B's name.
fn refuse(world: &mut World, forger: &mut Forger, request: &Packet, notify: Raw) {
    let header = request.header();
    let from_initiator = header.flags.is_initiator();
    let role = if from_initiator { Role::Responder } else { Role::Initiator };
    let head = forger.head(role, ExchangeType::CREATE_CHILD_SA, header.message_id, true);
    let octets = forger.seal(&head, &[notify]);
    world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
}

/// Losing one's own exchange must not cost what the peer made: its rekey is answered, ours is refused for whatever
/// reason, and then the peer deletes the old one.
#[test]
fn a_refused_rekey_leaves_what_the_peer_made() {
    for notify in [
        NotifyType::TEMPORARY_FAILURE,
        NotifyType::TS_UNACCEPTABLE,
        NotifyType::NO_PROPOSAL_CHOSEN,
        NotifyType::CHILD_SA_NOT_FOUND,
        NotifyType::NO_ADDITIONAL_SAS,
    ] {
        let mut world = established();
        let mut forger = Forger::new(&world.node(A).keys);
        let old = rekey(&mut world, A);
        let lost = world.take();
        rekey(&mut world, B);
        let (request, answer) = (world.take(), |world: &mut World| world.take());
        world.deliver(&request).unwrap().unwrap();
        let answer = answer(&mut world);
        refuse(&mut world, &mut forger, &lost, Raw::notify(notify, &[]));
        assert_eq!(in_use(&world, A), old, "{notify}");
        world.deliver(&answer).unwrap().unwrap();
        world.run();
        let told = world.take_events(A);
        assert!(!kinds(&told).contains(&"Child failed"), "{notify}: {told:?}");
        assert_eq!(child_downs(&told), [(old, DownReason::Rekeyed)], "{notify}");
        // The forged answer took no Message ID of B's; what counts is that both ends have the same one.
        assert_one(&world);
    }
}

/// §2.25: who deletes a Child SA has no time for its rekey.
#[test]
fn a_rekey_of_what_is_being_deleted_waits() {
    let mut world = established();
    let (sa, id) = (world.handle(B), in_use(&world, B));
    rekey(&mut world, A);
    let request = world.take();
    world.call(B, |e, now| e.delete_child(now, sa, id)).unwrap();
    let delete = world.take();
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    let forger = Forger::new(&world.node(A).keys);
    assert_eq!(forger.open(answer.message()), [Raw::notify(NotifyType::TEMPORARY_FAILURE, &[])]);
    world.deliver(&delete).unwrap().unwrap();
    world.deliver(&answer).unwrap().unwrap();
    world.run_for_secs(120);
    for node in [A, B] {
        assert_eq!(world.node(node).mirror.children.len(), 0);
        assert_eq!(world.node(node).mirror.sas.len(), 1);
    }
    for node in [A, B] {
        let mut told = kinds(&world.take_events(node));
        told.retain(|kind| *kind != "alive");
        assert_eq!(told, ["data path", "Child down"], "who is busy does not complain");
    }
}

/// §2.25: the SPI is copied into CHILD_SA_NOT_FOUND, and who gets it forgets the Child SA and begins anew.
#[test]
fn a_rekey_of_what_the_peer_does_not_have_begins_anew() {
    let mut world = established();
    let mut forger = Forger::new(&world.node(A).keys);
    let old = rekey(&mut world, A);
    let request = world.take();
    let mut payloads = forger.open(request.message());
    let nowhere = EspSpi::new(0xDEAD_BEEF).unwrap();
    payloads[0] = rekey_sa(nowhere);
    let head = forger.head(Role::Initiator, ExchangeType::CREATE_CHILD_SA, 2, false);
    let altered = Packet { octets: forger.seal(&head, &payloads), ..request };
    world.deliver(&altered).unwrap().unwrap();
    let answer = world.take();
    let mut expected = Raw::notify(NotifyType::CHILD_SA_NOT_FOUND, &[]);
    expected.body[..2].copy_from_slice(&[3, 4]);
    expected.body.extend_from_slice(&nowhere.to_be_bytes());
    assert_eq!(forger.open(answer.message()), [expected]);
    let told = child_failure(&world.take_events(B));
    assert_eq!(told, Failure::ChildSaNotFound { spi: nowhere });
    world.deliver(&answer).unwrap().unwrap();
    world.run();
    let told = world.take_events(A);
    let refused = Failure::Refused { notify: NotifyType::CHILD_SA_NOT_FOUND };
    assert_eq!(child_downs(&told), [(old, DownReason::Failed(Box::new(refused)))]);
    assert_eq!(kinds(&told)[..2], ["data path", "Child down"]);
    assert_eq!(in_use(&world, A), *world.node(A).mirror.children.keys().max().unwrap());
    assert_eq!(world.node(B).mirror.children.len(), 2, "the peer's own ends by its own means");
}

/// The peer rekeys what it has just made for us, before its answer came: it is asked to wait, and loses nothing.
#[test]
fn a_rekey_that_overtakes_the_answer_that_made_the_child_sa_waits() {
    let mut world = established();
    let (at_a, at_b) = (world.handle(A), world.handle(B));
    world.call(A, |e, now| e.create_child(now, at_a, "first")).unwrap();
    world.deliver_next();
    let answer = world.take();
    let made = *world.node(B).mirror.children.keys().max().unwrap();
    world.call(B, |e, now| e.rekey_child(now, at_b, made)).unwrap();
    world.deliver_next();
    let forger = Forger::new(&world.node(A).keys);
    assert_eq!(forger.open(world.peek().message()), [Raw::notify(NotifyType::TEMPORARY_FAILURE, &[])]);
    world.run();
    world.deliver(&answer).unwrap().unwrap();
    world.run_for_secs(60);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 2);
    assert!(!world.node(B).mirror.children.contains_key(&made), "it was rekeyed in the end");
}

#[test]
fn rekey_sa_of_another_form_is_malformed() {
    for (protocol, spi) in
        [(1u8, vec![1u8; 8]), (2, vec![1; 4]), (3, vec![]), (3, vec![1; 8]), (3, vec![0; 4])]
    {
        let mut world = established();
        let mut forger = Forger::new(&world.node(A).keys);
        rekey(&mut world, A);
        let request = world.take();
        let mut payloads = forger.open(request.message());
        let mut raw = Raw::notify(NotifyType::REKEY_SA, &[]);
        raw.body[..2].copy_from_slice(&[protocol, spi.len() as u8]);
        raw.body.extend_from_slice(&spi);
        payloads[0] = raw;
        let head = forger.head(Role::Initiator, ExchangeType::CREATE_CHILD_SA, 2, false);
        let octets = forger.seal(&head, &payloads);
        world.deliver(&Packet { octets, ..request }).unwrap().unwrap();
        let failure = down(&world.take_events(B));
        assert!(matches!(failure, Failure::RekeySaForm { .. }), "{protocol} {spi:?}: {failure}");
    }
}

/// §2.25: a peer that is busy is asked again, ever later, and one that is busy for minutes loses the IKE SA.
#[test]
fn a_busy_peer_is_asked_again_and_not_for_ever() {
    let (mut a, mut b) = two();
    (a.connection.liveness, b.connection.liveness) = (None, None);
    (a.connection.ike_keepalive, b.connection.ike_keepalive) = (None, None);
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let begun = world.now;
    rekey(&mut world, A);
    let mut asked = Vec::new();
    while world.node(A).mirror.sas.len() == 1 {
        let request = world.take();
        if request.header().exchange == ExchangeType::INFORMATIONAL {
            world.deliver(&request);
            break;
        }
        asked.push(world.now.saturating_since(begun).as_secs());
        refuse(&mut world, &mut forger, &request, Raw::notify(NotifyType::TEMPORARY_FAILURE, &[]));
        while world.in_flight().count() == 0 {
            let (at, node) = world.next_timer().unwrap();
            world.now = at;
            world.fire(node);
        }
    }
    assert_eq!(asked.len(), 7, "{asked:?}");
    assert!((195..=300).contains(asked.last().unwrap()), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 5), "{asked:?}");
    let told = world.take_events(A);
    let failures = told.iter().filter(|event| matches!(event, Event::ChildSaFailed { .. })).count();
    assert_eq!(failures, 7);
}

/// A peer that rekeys one Child SA twice before it deletes anything, and later deletes the first replacement: the
/// second stays and carries the traffic.
#[test]
fn the_same_child_sa_rekeyed_twice() {
    let (mut a, mut b) = two();
    for connection in [&mut a.connection, &mut b.connection] {
        (connection.liveness, connection.ike_keepalive) = (None, None);
    }
    let mut world = World::established(a, b);
    let mut forger = Forger::new(&world.node(A).keys);
    let old = in_use(&world, B);
    rekey(&mut world, A);
    let first = world.take();
    world.deliver(&first).unwrap().unwrap();
    world.take();
    let mut payloads = forger.open(first.message());
    let sa = payloads.iter_mut().find(|raw| raw.ty == PayloadType::SA).unwrap();
    sa.body[8..12].copy_from_slice(&[7, 7, 7, 7]);
    let mut id = 2;
    let mut send = |world: &mut World, exchange, payloads: &[Raw]| {
        id += 1;
        let head = forger.head(Role::Initiator, exchange, id, false);
        let octets = forger.seal(&head, payloads);
        world.deliver(&Packet { octets, ..first.clone() }).unwrap().unwrap();
        world.take_all();
    };
    send(&mut world, ExchangeType::CREATE_CHILD_SA, &payloads);
    let mut made: Vec<_> = world.node(B).mirror.children.keys().copied().collect();
    made.retain(|id| *id != old);
    assert_eq!(made.len(), 2);
    let delete = |spi: EspSpi| Raw::new(PayloadType::DELETE, &[[3, 4, 0, 1], spi.to_be_bytes()].concat());
    let outbound =
        |world: &World, id: ChildSaId| world.node(B).mirror.children[&id].outbound.as_ref().unwrap().spi;
    let old_spi = outbound(&world, old);
    send(&mut world, ExchangeType::INFORMATIONAL, &[delete(old_spi)]);
    assert_eq!(in_use(&world, B), made[1]);
    // Five minutes later, with every timer of B's on the way.
    world.link.loss = 1_000;
    world.run_for_secs(300);
    assert_eq!(world.node(B).mirror.children.len(), 2);
    let first_spi = outbound(&world, made[0]);
    send(&mut world, ExchangeType::INFORMATIONAL, &[delete(first_spi)]);
    assert_eq!(in_use(&world, B), made[1]);
    assert_eq!(world.node(B).mirror.children.len(), 1);
    let told = child_downs(&world.take_events(B));
    assert_eq!(told, [(old, DownReason::Rekeyed), (made[0], DownReason::Redundant)]);
}

/// What is not in use yet can be rekeyed too: the newest takes over when the old one goes.
#[test]
fn a_child_sa_that_is_not_in_use_yet_is_rekeyed() {
    for used in [false, true] {
        let mut world = established();
        let sa = world.handle(B);
        let old = rekey(&mut world, A);
        world.deliver_next();
        let answer = world.take();
        let waiting = *world.node(B).mirror.children.keys().max().unwrap();
        // A makes the first replacement its own; its Delete of the old one is on its way, and slow.
        world.deliver(&answer).unwrap().unwrap();
        let delete = world.take();
        world.call(B, |e, now| e.rekey_child(now, sa, waiting)).unwrap();
        world.deliver_next();
        world.deliver_next();
        let newest = *world.node(B).mirror.children.keys().max().unwrap();
        assert_eq!(in_use(&world, B), old);
        if used {
            let now = world.now;
            let report = SaReport::LastInbound { id: newest, at: now };
            world.call(B, |e, _| e.handle_report(now, &report)).unwrap();
            assert_eq!(in_use(&world, B), newest);
        }
        world.put(delete);
        world.run_for_secs(60);
        assert_eq!(in_use(&world, B), newest);
        assert_one(&world);
    }
}

/// What replaces the one in use is to be deleted, and its own rekey is out, when the one in use goes: it carries the
/// traffic until then.
#[test]
fn what_is_on_its_way_out_carries_the_traffic_where_nothing_else_does() {
    let mut world = established();
    let sa = world.handle(B);
    rekey(&mut world, A);
    world.deliver_next();
    let answer = world.take();
    let waiting = *world.node(B).mirror.children.keys().max().unwrap();
    world.deliver(&answer).unwrap().unwrap();
    let delete = world.take();
    world.call(B, |e, now| e.rekey_child(now, sa, waiting)).unwrap();
    world.call(B, |e, now| e.delete_child(now, sa, waiting)).unwrap();
    let request = world.take();
    world.deliver(&delete).unwrap().unwrap();
    assert_eq!(in_use(&world, B), waiting);
    world.put(request);
    world.run_for_secs(60);
    assert!(world.node(A).mirror.children.is_empty() && world.node(B).mirror.children.is_empty());
}

/// Both rekey one Child SA, and what the peer made is rekeyed in its turn before the answer to our own request comes:
/// whatever the nonces say, ours is left over.
#[test]
fn an_answer_that_comes_when_its_rival_was_rekeyed_makes_nothing() {
    for seed in 0..20 {
        let (mut a, mut b) = two();
        (a.config.window, b.config.window) = (4, 4);
        let mut world = World::new(vec![a, b], seed);
        world.connect(A, B);
        world.run();
        let sa = world.handle(B);
        let old = rekey(&mut world, B);
        let ours = world.take();
        rekey(&mut world, A);
        world.deliver_next();
        let answer = world.take();
        let rival = *world.node(B).mirror.children.keys().max().unwrap();
        // A serves ours too; its answer is slow.
        world.deliver(&ours).unwrap().unwrap();
        let late = world.take();
        world.deliver(&answer).unwrap().unwrap();
        world.call(B, |e, now| e.rekey_child(now, sa, rival)).unwrap();
        world.run();
        world.call(B, |e, now| e.delete_child(now, sa, old)).ok();
        world.run();
        world.put(late);
        world.run_for_secs(100);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        for node in [A, B] {
            let children = &world.node(node).mirror.children;
            assert!(
                children.len() <= 1 && children.values().all(|child| child.in_use),
                "{seed}: {children:?}"
            );
        }
    }
}

/// A rekey that waited for the window, of what the peer has replaced meanwhile, is not needed any more.
#[test]
fn what_was_replaced_while_its_rekey_waited_is_not_rekeyed() {
    let mut world = established();
    let sa = world.handle(B);
    world.call(B, |e, now| e.check_liveness(now, sa)).unwrap();
    let check = world.take();
    let old = rekey(&mut world, B);
    rekey(&mut world, A);
    world.deliver_next();
    let answer = world.take();
    let newest = *world.node(B).mirror.children.keys().max().unwrap();
    let now = world.now;
    let report = SaReport::LastInbound { id: newest, at: now };
    world.call(B, |e, _| e.handle_report(now, &report)).unwrap();
    assert!(!world.node(B).mirror.children[&old].in_use);
    world.put(check);
    world.put(answer);
    world.run_for_secs(60);
    assert_one(&world);
    assert_eq!(world.endpoint(B).statistics().child_sas_installed, 2);
}

#[test]
fn replacements_of_one_child_sa_are_bounded() {
    let mut world = established();
    let mut forger = Forger::new(&world.node(A).keys);
    rekey(&mut world, A);
    let first = world.take();
    let payloads = forger.open(first.message());
    for id in 2..20 {
        let head = forger.head(Role::Initiator, ExchangeType::CREATE_CHILD_SA, id, false);
        let octets = forger.seal(&head, &payloads);
        world.deliver(&Packet { octets, ..first.clone() }).unwrap().unwrap();
        let answer = forger.open(world.take().message());
        let refused = answer == [Raw::notify(NotifyType::TEMPORARY_FAILURE, &[])];
        assert_eq!(refused, id >= 6, "{id}");
    }
    assert_eq!(world.node(B).mirror.children.len(), 5);
}

/// The peer deletes the Child SA while we rekey it: answered as ever (§2.25.1). What our rekey makes stands alone.
#[test]
fn a_delete_that_crosses_a_rekey() {
    for first in ["request", "delete"] {
        let mut world = established();
        let (sa, id) = (world.handle(B), in_use(&world, B));
        rekey(&mut world, A);
        let request = world.take();
        if first == "request" {
            world.deliver(&request).unwrap().unwrap();
        }
        let answer = (first == "request").then(|| world.take());
        world.call(B, |e, now| e.delete_child(now, sa, id)).unwrap();
        let delete = world.take();
        world.deliver(&delete).unwrap().unwrap();
        if let Some(answer) = answer {
            world.deliver(&answer).unwrap().unwrap();
        } else {
            world.deliver(&request).unwrap().unwrap();
        }
        world.run_for_secs(60);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(A).mirror.children.len(), usize::from(first == "request"), "{first}");
        for node in [A, B] {
            let views = &world.node(node).mirror.children;
            assert!(views.values().all(|child| child.in_use), "{first}: {views:?}");
        }
    }
}

/// What is asked for while a rekey is out: the Child SA is to go, and so is what replaces it.
#[test]
fn a_child_sa_deleted_while_its_rekey_is_out_takes_its_replacement_with_it() {
    let mut world = established();
    let sa = world.handle(A);
    let id = rekey(&mut world, A);
    world.call(A, |e, now| e.delete_child(now, sa, id)).unwrap();
    world.run_for_secs(60);
    for node in [A, B] {
        assert_eq!(world.node(node).mirror.children.len(), 0);
        assert_eq!(world.node(node).mirror.sas.len(), 1);
    }
    assert_eq!(child_downs(&world.take_events(A)).len(), 2);
}

/// The switch comes after both halves of the new one are there, and before the old one's outbound half goes.
#[test]
fn the_data_path_is_never_without_an_outbound_sa() {
    let mut world = established();
    rekey(&mut world, A);
    world.run();
    for node in [A, B] {
        let commands: Vec<_> = world
            .take_events(node)
            .into_iter()
            .filter_map(|event| match event {
                Event::DataPath(SaCommand::InstallInbound(_)) => Some("in"),
                Event::DataPath(SaCommand::InstallOutbound(_)) => Some("out"),
                Event::DataPath(SaCommand::SwitchOutbound { .. }) => Some("switch"),
                Event::DataPath(SaCommand::Remove { .. }) => Some("remove"),
                _ => None,
            })
            .collect();
        assert_eq!(commands, ["in", "out", "switch", "remove"]);
    }
}
