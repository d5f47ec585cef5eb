//! EAP as a pass-through (RFC 7296 §2.16, RFC 5998), with embedders that speak a method of a password and two rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::eap::{EapAnswer, EapOutcome, EapPolicy, EapTurn};
use ikev2_core::error::EapFault;
use ikev2_core::{
    Answer, CallError, DuplicatePolicy, Event, Failure, IkeSaState, LocalAuth, Rejection, RemoteAuth, Role,
    SharedKeys, Ticket,
};
use ikev2_wire::codes::{AuthMethod, ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{EapCode, EapPayload};
use ipsec_types::SecretBytes;
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body, body_mut, has, notifies};
use support::setup::*;
use support::tickets::{Clerk, ed25519, sign_later, sign_now, verify_later, verify_now};
use support::told::*;
use support::world::*;

/// An EAP packet, by hand (RFC 3748 §4).
fn packet(code: EapCode, identifier: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16 + 4).to_be_bytes();
    [&[code.0, identifier, length[0], length[1]], data].concat()
}

const METHOD: u8 = 254;
const PASSWORD: &[u8] = b"open sesame";

/// A asks B to authenticate it by EAP; B signs.
fn setups() -> (Setup, Setup) {
    let (mut a, mut b) = two();
    let key = ed25519();
    a.connection.local_auth = LocalAuth::Eap(EapPolicy::default());
    b.connection.remote_auth = RemoteAuth::Eap(EapPolicy::default());
    verify_now(&mut a, &key);
    sign_now(&mut b, &key);
    (a, b)
}

fn alone(a: bool, b: bool) -> (Setup, Setup) {
    let (mut x, mut y) = setups();
    let policy = |eap_only| {
        let mut policy = EapPolicy::default();
        policy.eap_only = eap_only;
        policy
    };
    x.connection.local_auth = LocalAuth::Eap(policy(a));
    y.connection.remote_auth = RemoteAuth::Eap(policy(b));
    (x, y)
}

fn turns(world: &mut World, node: usize) -> Vec<(Ticket, EapTurn)> {
    let events = world.nodes[node].events.iter();
    let turns: Vec<_> = events
        .filter_map(|event| match event {
            Event::EapNeeded { ticket, turn, .. } => Some((*ticket, (**turn).clone())),
            _ => None,
        })
        .collect();
    world.nodes[node].events.retain(|event| !matches!(event, Event::EapNeeded { .. }));
    turns
}

/// What a sound embedder answers: two rounds, then the key.
fn answer_to(turn: &EapTurn, password: &[u8], outcome: &EapOutcome) -> Answer {
    let Some(received) = &turn.received else {
        assert_eq!((turn.role, turn.round), (Role::Responder, 0));
        return Answer::Eap(EapAnswer::Send(packet(EapCode::REQUEST, 7, &[METHOD, 1])));
    };
    let came = EapPayload::new(received).unwrap();
    match (turn.role, came.code(), came.data()) {
        (Role::Initiator, EapCode::SUCCESS, _) => Answer::Eap(EapAnswer::Done(outcome.clone())),
        (Role::Initiator, _, _) => {
            let data = [&[METHOD], password].concat();
            Answer::Eap(EapAnswer::Send(packet(EapCode::RESPONSE, came.identifier(), &data)))
        }
        (Role::Responder, _, data) if data != PASSWORD => Answer::Refused,
        (Role::Responder, ..) if turn.round < 2 => {
            Answer::Eap(EapAnswer::Send(packet(EapCode::REQUEST, came.identifier() + 1, &[METHOD, 2])))
        }
        (Role::Responder, ..) => Answer::Eap(EapAnswer::Done(outcome.clone())),
    }
}

fn keyed() -> EapOutcome {
    EapOutcome {
        msk: Some(SecretBytes::copy_from(&[0x5a; 64])),
        identity: Some(id("user@example")),
        safe_alone: true,
    }
}

/// Runs until nobody is asked any more.
fn run_eap(world: &mut World, password: &[u8], outcomes: [&EapOutcome; 2]) {
    loop {
        world.run();
        let mut asked = false;
        for node in [A, B] {
            for (ticket, turn) in turns(world, node) {
                asked = true;
                let answer = answer_to(&turn, password, outcomes[node]);
                world.call(node, |e, now| e.answer(now, ticket, answer)).unwrap();
            }
        }
        if !asked {
            return;
        }
    }
}

fn begun(setups: (Setup, Setup)) -> World {
    let mut world = World::pair(setups.0, setups.1);
    world.connect(A, B);
    world.run();
    world
}

fn opened(world: &World, packet: &Packet) -> Vec<Raw> {
    Forger::new(&world.node(A).keys).open(packet.message())
}

/// While EAP is under way with the one that proved who it is, whoever else answers IKE_SA_INIT is nobody.
#[test]
fn nobody_else_answers_while_eap_is_under_way() {
    let (a, b) = setups();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let init = world.peek();
    let stranger = || {
        let octets = Peer::responder().init_answer(init.message(), |_| {});
        Packet { from: init.to, to: init.from, octets }
    };
    world.run();
    // The responder's proof and its first Request.
    for (ticket, turn) in turns(&mut world, B) {
        let answer = answer_to(&turn, PASSWORD, &keyed());
        world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
    }
    world.run();
    for _ in 0..4 {
        let before = dump(world.endpoint(A));
        assert_eq!(world.deliver(&stranger()).unwrap(), Err(Rejection::Unsolicited(0)));
        assert_eq!(dump(world.endpoint(A)), before);
        for node in [A, B] {
            for (ticket, turn) in turns(&mut world, node) {
                let answer = answer_to(&turn, PASSWORD, &keyed());
                world.call(node, |e, now| e.answer(now, ticket, answer)).unwrap();
            }
            world.run();
        }
        if world.node(A).mirror.sas.len() == 1 {
            break;
        }
    }
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// §2.16: policy goes by whom EAP names, and never by IDi, which anybody may say.
#[test]
fn one_peer_replaces_no_other_that_says_the_same_in_idi() {
    let named = |name: Option<&str>| EapOutcome { identity: name.map(id), ..keyed() };
    let cases = [
        (named(Some("user@example")), named(Some("other@example")), 2),
        (named(Some("user@example")), named(None), 2),
        (named(None), named(None), 2),
        (named(Some("user@example")), named(Some("user@example")), 1),
    ];
    for (first, second, left) in cases {
        for duplicates in [DuplicatePolicy::KeepNew, DuplicatePolicy::KeepOld] {
            let (a, mut b) = setups();
            b.connection.duplicates = duplicates;
            let mut world = World::pair(a, b);
            for outcome in [&first, &second] {
                world.connect(A, B);
                run_eap(&mut world, PASSWORD, [outcome; 2]);
                world.run_for_secs(1);
            }
            assert_eq!(world.node(B).mirror.sas.len(), left, "{duplicates:?} {first:?} {second:?}");
        }
    }
}

/// §2.16: the exchange of messages is that of the section, payload by payload.
#[test]
fn the_messages_are_those_of_the_section() {
    let (a, b) = setups();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let first = world.take_first(ExchangeType::IKE_AUTH, false);
    let types = |world: &World, packet: &Packet| {
        opened(world, packet)
            .iter()
            .map(|raw| raw.ty)
            .filter(|ty| *ty != PayloadType::NOTIFY)
            .collect::<Vec<_>>()
    };
    use PayloadType as P;
    assert_eq!(types(&world, &first), [P::ID_I, P::ID_R, P::SA, P::TS_I, P::TS_R]);
    world.deliver(&first).unwrap().unwrap();
    let mut seen = Vec::new();
    for node in [B, A].into_iter().cycle() {
        for (ticket, turn) in turns(&mut world, node) {
            let answer = answer_to(&turn, PASSWORD, &keyed());
            world.call(node, |e, now| e.answer(now, ticket, answer)).unwrap();
        }
        if world.in_flight().count() == 0 {
            break;
        }
        let packet = world.take();
        seen.push((packet.header().message_id, types(&world, &packet)));
        world.deliver(&packet).unwrap().unwrap();
    }
    assert_eq!(
        seen,
        [
            (1, vec![P::ID_R, P::AUTH, P::EAP]),
            (2, vec![P::EAP]),
            (2, vec![P::EAP]),
            (3, vec![P::EAP]),
            (3, vec![P::EAP]),
            (4, vec![P::AUTH]),
            (4, vec![P::AUTH, P::SA, P::TS_I, P::TS_R]),
        ]
    );
}

#[test]
fn both_ends_come_up_with_the_identity_of_eap() {
    let mut world = begun(setups());
    run_eap(&mut world, PASSWORD, [&keyed(), &keyed()]);
    for node in [A, B] {
        let (_, info) = world.node(node).only_sa();
        assert_eq!(info.state, IkeSaState::Established);
        assert_eq!(info.remote_id, Some(id(["b.example", "a.example"][node])));
    }
    assert_eq!(world.node(B).only_sa().1.eap_identity, Some(id("user@example")));
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    // The windows went on as they must.
    let sa = world.handle(B);
    world.call(B, |e, now| e.check_liveness(now, sa)).unwrap();
    world.run();
    assert_eq!(world.node(A).only_sa().1.requests_sent, 5);
}

/// §2.16: without a key SK_pi and SK_pr serve; §2.15 with the key. AUTH is recomputed by the formula.
#[test]
fn auth_is_by_the_key_of_the_method_or_by_those_of_ike() {
    let without = EapOutcome { msk: None, ..keyed() };
    for outcome in [keyed(), without.clone()] {
        let mut world = begun(setups());
        run_eap(&mut world, PASSWORD, [&outcome, &outcome]);
        assert_eq!(world.node(A).mirror.children.len(), 1);
    }
    // They differ from each other.
    let mut world = begun(setups());
    run_eap(&mut world, PASSWORD, [&keyed(), &without]);
    assert_eq!(down(&world.take_events(B)), EapFault::WrongKey.into());
    says(&Failure::from(EapFault::WrongKey), &["AUTH is not by the key that EAP made"]);
    assert_eq!(down(&world.take_events(A)), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
}

#[test]
fn a_wrong_password_ends_in_eap_failure() {
    let mut world = begun(setups());
    run_eap(&mut world, b"close sesame", [&keyed(), &keyed()]);
    assert_eq!(down(&world.take_events(A)), EapFault::Failed { rounds: 1 }.into());
    assert_eq!(down(&world.take_events(B)), EapFault::Refused { rounds: 1 }.into());
    world.run_for_secs(60);
    world.assert_empty(A);
    world.assert_empty(B);
}

#[test]
fn endless_rounds_have_an_end() {
    for limited in [A, B] {
        let (mut a, mut b) = setups();
        let mut policy = EapPolicy::default();
        policy.max_rounds = 5;
        if limited == A {
            a.connection.local_auth = LocalAuth::Eap(policy);
        } else {
            b.connection.remote_auth = RemoteAuth::Eap(policy);
        }
        let mut world = begun((a, b));
        for _ in 0..40 {
            for node in [A, B] {
                for (ticket, turn) in turns(&mut world, node) {
                    let code = if node == A { EapCode::RESPONSE } else { EapCode::REQUEST };
                    let identifier = turn.received.as_ref().map_or(0, |came| came[1]);
                    let identifier = if node == A { identifier } else { identifier.wrapping_add(1) };
                    let answer = Answer::Eap(EapAnswer::Send(packet(code, identifier, &[METHOD])));
                    world.call(node, |e, now| e.answer(now, ticket, answer)).unwrap();
                }
                world.run();
            }
        }
        assert_eq!(down(&world.take_events(limited)), EapFault::TooManyRounds(5).into());
        // Who began tells the peer, which hears nothing of it before it is authenticated.
        world.run_for_secs(300);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// Nobody answers, or too late.
#[test]
fn no_answer_in_time_ends_it() {
    for silent in [A, B] {
        let mut world = begun(setups());
        if silent == A {
            let (ticket, turn) = turns(&mut world, B).remove(0);
            let answer = answer_to(&turn, PASSWORD, &keyed());
            world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
            world.run();
        }
        let (ticket, _) = turns(&mut world, silent).remove(0);
        world.run_for_secs(25);
        let late = Answer::Eap(EapAnswer::Send(packet(EapCode::RESPONSE, 7, &[METHOD])));
        assert_eq!(world.call(silent, |e, now| e.answer(now, ticket, late)), Err(CallError::NoSuchTicket));
        world.run_for_secs(300);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// A peer that goes away in the middle leaves nothing behind.
#[test]
fn a_peer_that_goes_away_is_forgotten() {
    let mut world = begun(setups());
    let (ticket, turn) = turns(&mut world, B).remove(0);
    let answer = answer_to(&turn, PASSWORD, &keyed());
    world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
    world.take_all();
    world.dead.insert(world.node(A).ip);
    world.run_for_secs(45);
    world.assert_empty(B);
    assert_eq!(world.endpoint(B).half_open(), 0);
}

/// What an embedder may not answer leaves its ticket open.
#[test]
fn an_embedders_wrong_packets_are_refused() {
    let mut world = begun(setups());
    let (ticket, turn) = turns(&mut world, B).remove(0);
    for wrong in [
        Answer::Eap(EapAnswer::Send(packet(EapCode::RESPONSE, 1, &[METHOD]))),
        Answer::Eap(EapAnswer::Send(packet(EapCode::SUCCESS, 1, &[]))),
        Answer::Eap(EapAnswer::Send(vec![1, 1, 0, 9, 0])),
        Answer::Eap(EapAnswer::Send(vec![])),
        Answer::Eap(EapAnswer::Done(keyed())),
        Answer::Verified,
        Answer::Signature(vec![1]),
    ] {
        let result = world.call(B, |e, now| e.answer(now, ticket, wrong.clone()));
        assert_eq!(result, Err(CallError::WrongAnswer), "{wrong:?}");
    }
    let right = answer_to(&turn, PASSWORD, &keyed());
    world.call(B, |e, now| e.answer(now, ticket, right)).unwrap();
    world.run();
    let (ticket, turn) = turns(&mut world, A).remove(0);
    for wrong in [
        Answer::Eap(EapAnswer::Send(packet(EapCode::REQUEST, 7, &[METHOD]))),
        Answer::Eap(EapAnswer::Send(packet(EapCode::RESPONSE, 8, &[METHOD]))),
        Answer::Eap(EapAnswer::Done(keyed())),
    ] {
        let result = world.call(A, |e, now| e.answer(now, ticket, wrong.clone()));
        assert_eq!(result, Err(CallError::WrongAnswer), "{wrong:?}");
    }
    let right = answer_to(&turn, PASSWORD, &keyed());
    world.call(A, |e, now| e.answer(now, ticket, right)).unwrap();
    run_eap(&mut world, PASSWORD, [&keyed(), &keyed()]);
    assert_eq!(world.node(B).mirror.children.len(), 1);
}

/// Success before any method ran, a Request or Success from the wrong side, another identifier, no packet at all.
#[test]
fn packets_out_of_turn_end_it() {
    // From the responder, in place of its first Request.
    for wrong in [packet(EapCode::SUCCESS, 7, &[]), packet(EapCode::RESPONSE, 7, &[METHOD])] {
        let mut world = begun(setups());
        let (ticket, turn) = turns(&mut world, B).remove(0);
        let answer = answer_to(&turn, PASSWORD, &keyed());
        world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
        let answer = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&answer, |payloads| *body_mut(payloads, PayloadType::EAP) = wrong.clone());
        world.deliver(&altered).unwrap().unwrap();
        let failure = down(&world.take_events(A));
        assert!(matches!(failure, Failure::Eap(EapFault::OutOfTurn { .. })), "{failure}");
        assert_eq!(turns(&mut world, A), []);
    }
    // From the initiator, in place of its first Response.
    for (wrong, expected) in [
        (Some(packet(EapCode::RESPONSE, 8, &[METHOD])), "identifier 8"),
        (Some(packet(EapCode::REQUEST, 7, &[METHOD])), "Request"),
        (Some(packet(EapCode::SUCCESS, 7, &[])), "Success"),
        (None, "EAP payload is missing"),
    ] {
        let mut world = begun(setups());
        for node in [B, A] {
            let (ticket, turn) = turns(&mut world, node).remove(0);
            let answer = answer_to(&turn, PASSWORD, &keyed());
            world.call(node, |e, now| e.answer(now, ticket, answer)).unwrap();
            if node == B {
                world.run();
            }
        }
        let request = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&request, |payloads| match &wrong {
            Some(wrong) => *body_mut(payloads, PayloadType::EAP) = wrong.clone(),
            None => payloads.clear(),
        });
        world.deliver(&altered).unwrap().unwrap();
        says(&down(&world.take_events(B)), &[expected]);
    }
}

/// The same request again finds its answer, and another one under its Message ID nothing.
#[test]
fn repeats_are_answered_and_others_dropped_in_the_middle_of_eap() {
    let mut world = begun(setups());
    for node in [B, A] {
        let (ticket, turn) = turns(&mut world, node).remove(0);
        let answer = answer_to(&turn, PASSWORD, &keyed());
        world.call(node, |e, now| e.answer(now, ticket, answer)).unwrap();
        if node == B {
            world.run();
        }
    }
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    // In hand: the embedder is asked once.
    assert_eq!(world.deliver(&request), Some(Ok(ikev2_core::Handled::InHand)));
    assert_eq!(turns(&mut world, B).len(), 1);
    let mut forger = Forger::new(&world.node(A).keys);
    let head = forger.head(Role::Initiator, ExchangeType::IKE_AUTH, 2, false);
    let other = request.with_message(
        &forger.seal(&head, &[Raw::new(PayloadType::EAP, &packet(EapCode::RESPONSE, 7, &[1]))]),
    );
    assert_eq!(world.deliver(&other), Some(Err(Rejection::AlteredRepeat(2))));
    // Nothing else has a place yet.
    let head = forger.head(Role::Initiator, ExchangeType::INFORMATIONAL, 2, false);
    let liveness = request.with_message(&forger.seal(&head, &[]));
    assert!(world.deliver(&liveness).unwrap().is_err());
}

/// RFC 5998: the responder's proof may be missing where both ends and the method allow it.
#[test]
fn eap_alone_needs_both_ends_and_a_method_that_is_safe() {
    for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
        let (x, y) = alone(a, b);
        let mut world = World::pair(x, y);
        world.connect(A, B);
        let request = world.take_first(ExchangeType::IKE_AUTH, false);
        let offered = notifies(&opened(&world, &request));
        assert_eq!(offered.iter().any(|(ty, _)| *ty == NotifyType::EAP_ONLY_AUTHENTICATION), a);
        world.deliver(&request).unwrap().unwrap();
        let (ticket, turn) = turns(&mut world, B).remove(0);
        let answer = answer_to(&turn, PASSWORD, &keyed());
        world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
        assert_eq!(has(&opened(&world, &world.peek()), PayloadType::AUTH), !(a && b));
        run_eap(&mut world, PASSWORD, [&keyed(), &keyed()]);
        assert_eq!(world.node(A).mirror.children.len(), 1, "{a} {b}");
    }
    // Neither end takes a method that is not safe for one.
    for unsafe_at in [A, B] {
        let mut world = begun(alone(true, true));
        let unsafe_one = EapOutcome { safe_alone: false, ..keyed() };
        let mut outcomes = [&keyed(), &keyed()].map(Clone::clone);
        outcomes[unsafe_at] = unsafe_one;
        run_eap(&mut world, PASSWORD, [&outcomes[0], &outcomes[1]]);
        assert_eq!(down(&world.take_events(unsafe_at)), EapFault::ResponderUnproven { offered: true }.into());
    }
    // A proof that is left out unasked.
    let mut world = begun(setups());
    let (ticket, turn) = turns(&mut world, B).remove(0);
    let answer = answer_to(&turn, PASSWORD, &keyed());
    world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
    let answer = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let altered = forger.alter(&answer, |payloads| payloads.retain(|raw| raw.ty != PayloadType::AUTH));
    world.deliver(&altered).unwrap().unwrap();
    assert_eq!(down(&world.take_events(A)), EapFault::ResponderUnproven { offered: false }.into());
}

/// §2.16: the responder's proof is a signature, and checked before the embedder sees any packet.
#[test]
fn a_responder_that_is_not_the_one_gets_no_response() {
    let (mut a, b) = setups();
    a.connection.remote_auth = RemoteAuth::SharedKey(SharedKeys::One(secret(SECRET)));
    let mut world = begun((a, b));
    run_eap(&mut world, PASSWORD, [&keyed(), &keyed()]);
    assert!(matches!(down(&world.take_events(A)), Failure::Authentication(_)));
    let (a, mut b) = setups();
    b.set_secret(SECRET);
    b.connection.remote_auth = RemoteAuth::Eap(EapPolicy::default());
    let mut world = begun((a, b));
    assert_eq!(turns(&mut world, B), []);
    assert_eq!(down(&world.take_events(B)), EapFault::ResponderBySecret.into());
    // By a secret all the same.
    let mut world = begun(setups());
    let (ticket, turn) = turns(&mut world, B).remove(0);
    let answer = answer_to(&turn, PASSWORD, &keyed());
    world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
    let answer = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let altered = forger.alter(&answer, |payloads| {
        body_mut(payloads, PayloadType::AUTH)[0] = AuthMethod::SHARED_KEY.0;
    });
    world.deliver(&altered).unwrap().unwrap();
    assert_eq!(down(&world.take_events(A)), EapFault::ResponderBySecret.into());
    assert_eq!(turns(&mut world, A), []);
    assert_eq!(body(&opened(&world, &answer), PayloadType::EAP)[0], EapCode::REQUEST.0);
}

/// Signatures that are made and checked elsewhere, between the packets of EAP.
#[test]
fn signatures_may_come_later_too() {
    let key = ed25519();
    let (mut a, mut b) = setups();
    verify_later(&mut a);
    sign_later(&mut b, &key);
    let mut world = World::pair(a, b);
    for node in &mut world.nodes {
        node.clerk = Some(Clerk::new(&key));
    }
    world.connect(A, B);
    run_eap(&mut world, PASSWORD, [&keyed(), &keyed()]);
    assert_eq!((world.node(A).mirror.children.len(), world.node(B).mirror.children.len()), (1, 1));
}

/// Ends that do not want EAP refuse it, as before.
#[test]
fn who_does_not_do_eap_refuses_it() {
    let (a, _) = setups();
    let (_, mut b) = two();
    sign_now(&mut b, &ed25519());
    let mut world = begun((a, b));
    assert!(matches!(down(&world.take_events(B)), Failure::Unsupported(_)));
    assert_eq!(down(&world.take_events(A)), Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
    // And who proves itself otherwise where EAP is wanted is none of the connection's.
    let (mut a, _) = two();
    verify_now(&mut a, &ed25519());
    let (_, b) = setups();
    let mut world = begun((a, b));
    assert!(matches!(down(&world.take_events(B)), Failure::Authentication(_)));
}
