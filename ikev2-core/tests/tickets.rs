//! While an answer of the embedder's is awaited: the peer repeats, others answer, the SA is deleted, the time is
//! up, the answer comes late, twice or never.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::AuthFailure;
use ikev2_core::{Answer, CallError, DownReason, Failure, Ticket};
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ipsec_types::Instant;
use std::time::Duration;
use support::forge::Forger;
use support::mirror::assert_crosswise;
use support::setup::*;
use support::tickets::*;
use support::told::*;
use support::world::*;

/// Which of the four answers of a handshake is awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    InitiatorSigns,
    ResponderVerifies,
    ResponderSigns,
    InitiatorVerifies,
}

const WAITS: [Wait; 4] =
    [Wait::InitiatorSigns, Wait::ResponderVerifies, Wait::ResponderSigns, Wait::InitiatorVerifies];

fn setups(wait: Wait) -> (Setup, Setup) {
    let (mut a, mut b) = two();
    let key = ed25519();
    for setup in [&mut a, &mut b] {
        sign_now(setup, &key);
        verify_now(setup, &key);
    }
    match wait {
        Wait::InitiatorSigns => sign_later(&mut a, &key),
        Wait::ResponderVerifies => verify_later(&mut b),
        Wait::ResponderSigns => sign_later(&mut b, &key),
        Wait::InitiatorVerifies => verify_later(&mut a),
    }
    (a, b)
}

fn waiter(wait: Wait) -> usize {
    if matches!(wait, Wait::InitiatorSigns | Wait::InitiatorVerifies) { A } else { B }
}

/// A world in which that answer is awaited, with the ticket, its deadline and the right answer.
fn waiting(wait: Wait) -> (World, Ticket, Instant, Answer) {
    let (a, b) = setups(wait);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let (ticket, deadline, answer) = asked(&mut world, waiter(wait)).unwrap();
    assert_eq!(world.node(waiter(wait)).mirror.sas.len(), 0, "{wait:?}");
    (world, ticket, deadline, answer)
}

fn asked(world: &mut World, node: usize) -> Option<(Ticket, Instant, Answer)> {
    let clerk = Clerk::new(&ed25519());
    world.take_events(node).iter().find_map(|event| clerk.answer(event))
}

fn say(world: &mut World, node: usize, ticket: Ticket, answer: &Answer) -> Result<(), CallError> {
    world.call(node, |endpoint, now| endpoint.answer(now, ticket, answer.clone()))
}

#[test]
fn an_answer_at_any_time_before_its_deadline_goes_on_with_the_handshake() {
    for wait in WAITS {
        for millis in [0, 900, 5_000, 19_999] {
            let (mut world, ticket, deadline, answer) = waiting(wait);
            assert_eq!(deadline, world.now + Duration::from_secs(20));
            world.run_for(Duration::from_millis(millis));
            assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Ok(()), "{wait:?} {millis}");
            world.run_for_secs(3);
            assert_eq!(world.node(A).mirror.children.len(), 1, "{wait:?} {millis}");
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        }
    }
}

#[test]
fn an_answer_after_its_deadline_is_too_late() {
    for wait in WAITS {
        let (mut world, ticket, deadline, answer) = waiting(wait);
        world.link.loss = 1_000;
        world.run_until(deadline);
        let failure = down(&world.take_events(waiter(wait)));
        assert_eq!(failure, Failure::Authentication(AuthFailure::NotAnswered), "{wait:?}");
        assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Err(CallError::NoSuchTicket));
        world.run_for_secs(300);
        world.assert_empty(waiter(wait));
    }
}

#[test]
fn every_wrong_answer_leaves_the_ticket_open() {
    for wait in WAITS {
        let (mut world, ticket, _, answer) = waiting(wait);
        let wrong = match answer {
            Answer::Signature(_) => Answer::Verified,
            _ => Answer::Signature(vec![1, 2, 3]),
        };
        let before = dump(world.endpoint(waiter(wait)));
        assert_eq!(say(&mut world, waiter(wait), ticket, &wrong), Err(CallError::WrongAnswer));
        assert_eq!(before, dump(world.endpoint(waiter(wait))), "{wait:?}");
        // A ticket of the other endpoint's names nothing here, or something else.
        let foreign = say(&mut world, 1 - waiter(wait), ticket, &answer);
        assert_eq!(foreign, Err(CallError::NoSuchTicket), "{wait:?}");
        assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Ok(()));
        assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Err(CallError::NoSuchTicket));
        world.run();
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

#[test]
fn a_signature_that_is_none_is_refused_by_the_peer() {
    for wait in [Wait::InitiatorSigns, Wait::ResponderSigns] {
        for signature in [vec![], vec![0; 64], vec![7; 300]] {
            let (mut world, ticket, _, _) = waiting(wait);
            assert_eq!(say(&mut world, waiter(wait), ticket, &Answer::Signature(signature)), Ok(()));
            world.run();
            let (signer, verifier) = (waiter(wait), 1 - waiter(wait));
            let failure = down(&world.take_events(verifier));
            assert!(matches!(failure, Failure::Authentication(AuthFailure::Signature { .. })), "{failure:?}");
            let told = down(&world.take_events(signer));
            assert_eq!(told, Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
            world.run_for_secs(30);
            world.assert_empty(A);
            world.assert_empty(B);
        }
    }
}

#[test]
fn a_refusal_ends_the_sa_and_the_peer_learns_of_it() {
    for wait in WAITS {
        let (mut world, ticket, _, _) = waiting(wait);
        assert_eq!(say(&mut world, waiter(wait), ticket, &Answer::Refused), Ok(()));
        world.run();
        let failure = down(&world.take_events(waiter(wait)));
        let expected = match wait {
            Wait::InitiatorSigns | Wait::ResponderSigns => AuthFailure::NotSigned,
            _ => AuthFailure::NotVerified,
        };
        assert_eq!(failure, Failure::Authentication(expected), "{wait:?}");
        if wait != Wait::InitiatorSigns {
            let told = down(&world.take_events(1 - waiter(wait)));
            assert_eq!(told, Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED }, "{wait:?}");
        }
        world.run_for_secs(60);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// The peer repeats its request: it is in hand, nothing is decrypted or asked again.
#[test]
fn repeats_of_a_request_in_hand_are_dropped() {
    for wait in [Wait::ResponderVerifies, Wait::ResponderSigns] {
        let (mut world, ticket, _, answer) = waiting(wait);
        let decryptions = world.endpoint(B).statistics().decryptions;
        world.run_for_secs(10);
        assert_eq!(world.endpoint(B).statistics().decryptions, decryptions);
        assert_eq!(world.take_events(B), []);
        // A forgery under the same Message ID is no repeat, and changes nothing.
        let mut forger = Forger::new(&world.node(A).keys);
        let head = forger.head(ikev2_core::Role::Initiator, ExchangeType::IKE_AUTH, 1, false);
        let path = world.path(B, A);
        let other = forger.seal(&head, &[]);
        assert!(world.receive(B, path, &other).is_err());
        assert_eq!(say(&mut world, B, ticket, &answer), Ok(()));
        world.run();
        assert_eq!(world.node(A).mirror.children.len(), 1);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

/// The answer goes to where the request came from last known, though the NAT has forgotten.
#[test]
fn a_mapping_that_changes_while_an_answer_is_awaited_does_no_harm() {
    for wait in WAITS {
        let (a, b) = setups(wait);
        let mut world = World::pair(a, b);
        world.nodes[A].nat = Some(Nat::new("198.51.100.1"));
        world.connect(A, B);
        world.run();
        let (ticket, _, answer) = asked(&mut world, waiter(wait)).unwrap();
        world.nodes[A].nat.as_mut().unwrap().rebind();
        world.run_for_secs(2);
        assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Ok(()));
        world.run_for_secs(60);
        assert_eq!(world.node(A).mirror.sas.len(), 1, "{wait:?}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

#[test]
fn an_sa_that_is_deleted_takes_its_ticket_with_it() {
    for wait in WAITS {
        let (mut world, ticket, _, answer) = waiting(wait);
        let sa = world.endpoint(waiter(wait)).ike_sas().next().unwrap().0;
        world.call(waiter(wait), |endpoint, now| endpoint.delete_ike_sa(now, sa)).unwrap();
        assert_eq!(downs(&world.take_events(waiter(wait))), [(sa, DownReason::Requested)], "{wait:?}");
        assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Err(CallError::NoSuchTicket));
        world.run_for_secs(400);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// The peer gives up meanwhile and deletes: its Delete is for an SA that is not established here, so that it is
/// not heard; the answer then makes an SA that liveness finds dead.
#[test]
fn a_peer_that_gives_up_meanwhile_is_found_out() {
    for wait in WAITS {
        let (mut world, ticket, _, answer) = waiting(wait);
        let other = 1 - waiter(wait);
        let sa = world.endpoint(other).ike_sas().next().map(|(handle, _)| handle);
        if let Some(sa) = sa {
            world.call(other, |endpoint, now| endpoint.delete_ike_sa(now, sa)).unwrap();
        }
        world.run_for_secs(1);
        assert_eq!(say(&mut world, waiter(wait), ticket, &answer), Ok(()), "{wait:?}");
        world.run_for_secs(600);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len());
    }
}

/// Many SAs wait at once, and their answers come in any order.
#[test]
fn tickets_of_several_sas_are_answered_in_any_order() {
    let (mut a, b) = setups(Wait::ResponderVerifies);
    a.connection.remote_id = ikev2_core::IdentityPattern::Any;
    let mut world = World::pair(a, b);
    for _ in 0..5 {
        world.connect(A, B);
    }
    world.run();
    let clerk = Clerk::new(&ed25519());
    let mut answers: Vec<_> = world.take_events(B).iter().filter_map(|event| clerk.answer(event)).collect();
    assert_eq!(answers.len(), 5);
    answers.swap(0, 3);
    answers.reverse();
    for (ticket, _, answer) in answers {
        assert_eq!(say(&mut world, B, ticket, &answer), Ok(()));
    }
    world.run();
    assert_eq!(world.node(A).mirror.sas.len(), 5);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// A ticket's deadline holds, whatever else runs out: the half-open SA waits for it.
#[test]
fn a_half_open_sa_lives_as_long_as_its_ticket() {
    for wait in [Wait::ResponderVerifies, Wait::ResponderSigns] {
        let (a, b) = setups(wait);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        world.deliver_next();
        let request = world.take();
        // IKE_AUTH comes late, five seconds before the half-open SA would be given up.
        world.link.loss = 1_000;
        world.run_for_secs(25);
        world.link.loss = 0;
        world.deliver(&request).unwrap().unwrap();
        let (ticket, deadline, answer) = asked(&mut world, B).unwrap();
        world.run_for_secs(10);
        assert!(world.now < deadline);
        assert_eq!(say(&mut world, B, ticket, &answer), Ok(()), "{wait:?}");
        world.run_for_secs(60);
        assert_eq!(world.node(B).mirror.sas.len(), 1, "{wait:?}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

/// Three endpoints: A asks B, and C answers first in B's place, knowing everything but B's key.
fn impostor_first(wait: Wait) -> (World, Packet) {
    let (a, b) = setups(wait);
    let mut c = Setup::new("b.example", "a.example");
    c.set_secret(b"a guess");
    let mut world = World::new(vec![a, b, c], 1);
    world.nodes[A].clerk = Some(Clerk::new(&ed25519()));
    world.nodes[A].clerk.as_mut().unwrap().delay = (100, 100);
    world.connect(A, B);
    let request = world.take();
    let to_c = Packet { to: world.path(A, 2).remote, ..request.clone() };
    world.deliver(&to_c).unwrap().unwrap();
    let mut forged = world.take();
    forged.from = request.to;
    world.deliver(&request).unwrap().unwrap();
    let genuine = world.take();
    world.deliver(&forged).unwrap().unwrap();
    (world, genuine)
}

/// While our signature for the first one that answered is awaited, the genuine answer comes.
#[test]
fn a_forged_answer_does_not_shut_out_the_genuine_one_while_a_signature_is_awaited() {
    let (mut world, genuine) = impostor_first(Wait::InitiatorSigns);
    world.deliver(&genuine);
    world.run_for_secs(5);
    assert_eq!(world.node(A).mirror.sas.len(), 1);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// The impostor signs with a key of its own, and the embedder takes its time to find that out.
#[test]
fn a_forged_proof_does_not_shut_out_the_genuine_one_while_it_is_verified() {
    let (a, b) = setups(Wait::InitiatorVerifies);
    let mut world = World::pair(a, b);
    world.nodes[A].clerk = Some(Clerk { delay: (100, 100), ..Clerk::new(&ed25519()) });
    world.connect(A, B);
    let request = world.take();
    let mut impostor = support::peer::Peer::responder();
    let hashes = notifies_raw(NotifyType::SIGNATURE_HASH_ALGORITHMS, &[0, 5]);
    let forged = impostor.init_answer(request.message(), |payloads| payloads.push(hashes));
    world.deliver(&request).unwrap().unwrap();
    let genuine = world.take();
    let from = request.to;
    world.deliver(&Packet { from, to: request.from, octets: forged }).unwrap().unwrap();
    let to_impostor = world.take();
    world.deliver(&genuine).unwrap().unwrap();
    let forged = impostor.auth_answer(|payloads| {
        let auth = support::peer::body_mut(payloads, ikev2_wire::PayloadType::AUTH);
        *auth = [&[14, 0, 0, 0, 7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70][..], &[9; 64]].concat();
    });
    world.deliver(&Packet { from, to: to_impostor.from, octets: forged }).unwrap().unwrap();
    world.run_for_secs(5);
    assert_eq!(world.node(A).mirror.sas.len(), 1, "{:?}", world.node(A).events);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

fn notifies_raw(ty: NotifyType, data: &[u8]) -> support::forge::Raw {
    support::forge::Raw::notify(ty, data)
}
