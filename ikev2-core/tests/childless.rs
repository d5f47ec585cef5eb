//! IKE SAs that begin without a Child SA (RFC 6023).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{CallError, Fault};
use ikev2_core::{Childless, DownReason, Failure, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use std::time::Duration;
use support::forge::{Forger, Raw, head_of, payloads_of};
use support::mirror::assert_crosswise;
use support::peer::{has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

fn pair(initiator: Childless, responder: Childless) -> (Setup, Setup) {
    let (mut a, mut b) = two();
    (a.connection.childless, b.connection.childless) = (initiator, responder);
    (a, b)
}

fn without_children(mut setup: Setup) -> Setup {
    setup.connection.children.clear();
    setup
}

/// A world whose IKE_SA_INIT is over, and its answer.
fn asked(a: Setup, b: Setup) -> (World, Packet) {
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    let answer = world.peek();
    (world, answer)
}

const CHILD_PAYLOADS: [PayloadType; 3] = [PayloadType::SA, PayloadType::TS_I, PayloadType::TS_R];

/// §3: the notify is of Protocol ID 1, without an SPI or data; request and answer of IKE_AUTH have no SA, TSi, TSr; the
/// first Child SA follows, with a key exchange of its own.
#[test]
fn the_first_child_sa_comes_after_the_ike_sa() {
    let (a, b) = pair(Childless::Preferred, Childless::Accepted);
    let (mut world, answer) = asked(a, b);
    let said = payloads_of(answer.message());
    let octets = [[1, 0, 0x40, 0x22]];
    assert!(said.iter().any(|raw| raw.ty == PayloadType::NOTIFY && raw.body == octets[0]));
    world.deliver_next();
    let request = world.take();
    let forger = Forger::new(&world.node(A).keys);
    let sent = forger.open(request.message());
    assert!(has(&sent, PayloadType::AUTH) && CHILD_PAYLOADS.iter().all(|ty| !has(&sent, *ty)), "{sent:?}");
    world.deliver(&request).unwrap().unwrap();
    let answer = world.take();
    let sent = forger.open(answer.message());
    assert!(has(&sent, PayloadType::AUTH) && CHILD_PAYLOADS.iter().all(|ty| !has(&sent, *ty)), "{sent:?}");
    assert_eq!(kinds(&world.take_events(B)), ["IKE up"]);
    world.deliver(&answer).unwrap().unwrap();
    assert_eq!(kinds(&world.take_events(A)), ["IKE up"]);
    let request = world.peek();
    assert_eq!(request.header().exchange, ExchangeType::CREATE_CHILD_SA);
    assert!(has(&forger.open(request.message()), PayloadType::KE));
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 1);
}

/// Which side says what, and what comes of it.
#[test]
fn both_must_want_it() {
    use Childless::*;
    for initiator in [Never, Accepted, Preferred, Required] {
        for responder in [Never, Accepted, Preferred, Required] {
            let (a, b) = pair(initiator, responder);
            let (mut world, answer) = asked(a, b);
            let offered = notifies(&payloads_of(answer.message()))
                .iter()
                .any(|(ty, _)| *ty == NotifyType::CHILDLESS_IKEV2_SUPPORTED);
            assert_eq!(offered, responder != Never, "{initiator:?} {responder:?}");
            if initiator == Required && !offered {
                let failure = Box::new(Failure::NotChildless);
                assert_eq!(failure.fault(), Fault::PeerIncompatible);
                assert_eq!(world.deliver(&answer), Some(Err(Rejection::UselessAnswer(failure))));
                continue;
            }
            world.deliver_next();
            let request = Forger::new(&world.node(A).keys).open(world.peek().message());
            let childless = offered && matches!(initiator, Preferred | Required);
            assert_eq!(!has(&request, PayloadType::SA), childless, "{initiator:?} {responder:?}");
            world.run();
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            assert_eq!(world.node(A).mirror.children.len(), 1, "{initiator:?} {responder:?}");
        }
    }
}

/// §3: a request that is not offered, or that asks for a Child SA by halves, is malformed and makes no IKE SA.
#[test]
fn what_was_not_offered_is_malformed() {
    for (responder, left_out) in
        [(Childless::Never, &CHILD_PAYLOADS[..]), (Childless::Accepted, &CHILD_PAYLOADS[..1])]
    {
        let (a, b) = pair(Childless::Never, responder);
        let (mut world, _) = asked(a, b);
        world.strict = false;
        world.deliver_next();
        let request = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let kept: Vec<Raw> =
            forger.open(request.message()).into_iter().filter(|raw| !left_out.contains(&raw.ty)).collect();
        let request = request.with_message(&forger.seal(&head_of(request.message()), &kept));
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        assert_eq!(forger.open(answer.message()), [Raw::notify(NotifyType::INVALID_SYNTAX, &[])]);
        assert_eq!(down(&world.take_events(B)), Failure::MissingPayload(PayloadType::SA));
    }
}

/// A connection without Child SAs: the IKE SA lives, is rekeyed and authenticated anew, and is deleted.
#[test]
fn an_ike_sa_alone_lives() {
    let (a, b) = pair(Childless::Preferred, Childless::Accepted);
    let (mut a, b) = (without_children(a), without_children(b));
    a.connection.reauthenticate_after = Some(Duration::from_secs(1_000));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let sa = world.handle(A);
    world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    world.run();
    assert_eq!(kinds(&world.take_events(A)), ["IKE up", "IKE rekeyed"]);
    world.run_for_secs(1_100);
    let events = world.take_events(A);
    assert_eq!(downs(&events), [(sa, DownReason::Replaced)]);
    let (sa, info) = world.node(A).only_sa();
    assert!(info.replaces.is_some() && info.children.is_empty() && info.role == Role::Initiator);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run_for_secs(30);
    world.assert_empty(A);
    world.assert_empty(B);
}

/// Without a Child SA there must be another way to begin.
#[test]
fn a_connection_without_child_sas_needs_it() {
    let (a, b) = pair(Childless::Accepted, Childless::Accepted);
    let mut world = World::pair(without_children(a), b);
    assert_eq!(world.try_connect(A, B), Err(CallError::NoSuchChild));

    let (a, b) = pair(Childless::Preferred, Childless::Never);
    let mut world = World::pair(without_children(a), b);
    world.connect(A, B);
    world.run();
    assert_eq!(down(&world.take_events(A)), Failure::NoChild);
}

/// The Child SA that cannot be agreed on fails alone.
#[test]
fn a_first_child_sa_that_is_refused_costs_nothing() {
    let (a, b) = pair(Childless::Preferred, Childless::Accepted);
    let mut world = World::pair(a, without_children(b));
    world.connect(A, B);
    world.run();
    let events = world.take_events(A);
    assert_eq!(kinds(&events), ["IKE up", "Child failed"]);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
}

/// Somebody answers IKE_SA_INIT first who offers nothing: each is asked as it offered, and the peer is who proves it.
#[test]
fn several_answers_are_each_asked_as_they_offered() {
    let (a, b) = pair(Childless::Preferred, Childless::Accepted);
    let mut world =
        World::new(vec![a, b, Setup::new("b.example", "a.example").with(|c| c.set_secret(b"other"))], 1);
    world.strict = false;
    world.connect(A, B);
    let request = world.take();
    world.receive(C, world.path(C, A), request.message()).unwrap();
    let forged = world.take();
    world.receive(A, world.path(A, B), forged.message()).unwrap();
    let to_stranger = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.deliver_next();
    let forgers: Vec<_> = world.node(A).keys.ike_lines().iter().map(|line| Forger::from_line(line)).collect();
    let open = |packet: &Packet| {
        let spi = packet.header().responder_spi.unwrap();
        forgers.iter().find(|forger| forger.responder_spi == spi).unwrap().open(packet.message())
    };
    assert!(has(&open(&to_stranger), PayloadType::SA));
    assert!(!has(&open(&world.peek()), PayloadType::SA));
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 1);
}

const C: usize = 2;
