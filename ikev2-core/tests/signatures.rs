//! IKE_AUTH by signatures (RFC 7427, RFC 8420, RFC 7296 §3.8), and answers of the embedder's that come later.
//! The keys were made by OpenSSL, for the tests of `ipsec-crypto`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::AuthFailure;
use ikev2_core::{Answer, CallError, Event, Failure, Handled, Ticket};
use ikev2_wire::codes::{AuthMethod, NotifyType, PayloadType};
use ipsec_crypto::rustcrypto::PrivateKey;
use ipsec_crypto::signature::{SignatureScheme, SigningKey};
use std::sync::Arc;
use support::forge::Forger;
use support::mirror::assert_crosswise;
use support::setup::*;
use support::tickets::*;
use support::told::*;
use support::world::*;

macro_rules! key {
    ($name:literal) => {
        Arc::new(
            PrivateKey::from_pem(include_str!(concat!(
                "../../ipsec-crypto/tests/vectors/keys/",
                $name,
                ".pem"
            )))
            .unwrap(),
        )
    };
}

/// Two that sign with these keys and trust each other's.
fn signing(a: &Arc<PrivateKey>, b: &Arc<PrivateKey>) -> (Setup, Setup) {
    let (mut at_a, mut at_b) = two();
    for (setup, ours, theirs) in [(&mut at_a, a, b), (&mut at_b, b, a)] {
        sign_now(setup, ours);
        verify_now(setup, theirs);
    }
    (at_a, at_b)
}

/// The method and the data of AUTH in A's IKE_AUTH request.
fn auth_of_request(a: Setup, b: Setup) -> (AuthMethod, Vec<u8>) {
    let book = a.keys.clone();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    for _ in 0..2 {
        world.deliver_next().unwrap().unwrap();
    }
    let request = world.peek();
    let payloads = Forger::new(&book).open(request.message());
    let auth = payloads.iter().find(|payload| payload.ty == PayloadType::AUTH).unwrap();
    (AuthMethod(auth.body[0]), auth.body[4..].to_vec())
}

#[test]
fn every_type_of_key_authenticates_both_ends_and_each_other() {
    let keys = [key!("ed25519"), key!("p256"), key!("p384"), key!("p521"), key!("rsa2048")];
    for (a, b) in keys.iter().zip(keys.iter().cycle().skip(1)) {
        let (at_a, at_b) = signing(a, b);
        let mut world = World::pair(at_a, at_b);
        world.connect(A, B);
        world.run();
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(A).mirror.spi_pairs().len(), 1, "{:?} {:?}", a.schemes(), b.schemes());
    }
}

#[test]
fn a_signature_is_of_method_14_with_its_algorithm_identifier() {
    let key = key!("ed25519");
    let (a, b) = signing(&key, &key);
    let (method, data) = auth_of_request(a, b);
    assert_eq!(method, AuthMethod::DIGITAL_SIGNATURE);
    // RFC 8420 appendix A: the length of the identifier, the identifier, 64 octets of signature.
    assert_eq!(data[..8], [7, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70]);
    assert_eq!(data.len(), 8 + 64);
}

#[test]
fn a_key_that_is_not_trusted_is_refused_and_named() {
    let (ours, other) = (key!("ed25519"), key!("p256"));
    let (mut a, b) = signing(&ours, &ours);
    sign_now(&mut a, &other);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let refused = down(&world.take_events(B));
    assert!(
        matches!(
            &refused,
            Failure::Authentication(AuthFailure::Signature { method, schemes, trusted: 1, .. })
                if *method == AuthMethod::DIGITAL_SIGNATURE && *schemes == [SignatureScheme::EcdsaSha256]
        ),
        "{refused:?}"
    );
    says(&refused, &["a.example", "none of the 1 keys"]);
    let told = down(&world.take_events(A));
    assert_eq!(told, Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
}

#[test]
fn a_secret_where_a_signature_is_wanted_is_refused_and_both_are_named() {
    let key = key!("ed25519");
    let (a, mut b) = two();
    verify_now(&mut b, &key);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let refused = down(&world.take_events(B));
    assert!(matches!(refused, Failure::Authentication(AuthFailure::Method { .. })), "{refused:?}");
    says(&refused, &["Shared Key", "Digital Signature", "`tunnel`"]);
}

#[test]
fn an_altered_signature_is_refused() {
    let key = key!("p256");
    let (a, b) = signing(&key, &key);
    let book = a.keys.clone();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    for _ in 0..2 {
        world.deliver_next().unwrap().unwrap();
    }
    let request = world.take();
    let altered = Forger::new(&book).alter(&request, |payloads| {
        let auth = payloads.iter_mut().find(|payload| payload.ty == PayloadType::AUTH).unwrap();
        *auth.body.last_mut().unwrap() ^= 1;
    });
    world.deliver(&altered).unwrap().unwrap();
    let refused = down(&world.take_events(B));
    assert!(matches!(refused, Failure::Authentication(AuthFailure::Signature { .. })), "{refused:?}");
}

/// Both ends ask their embedders for everything.
fn asking(key: &Arc<PrivateKey>) -> (Setup, Setup) {
    let (mut a, mut b) = two();
    for setup in [&mut a, &mut b] {
        sign_later(setup, key);
        verify_later(setup);
    }
    (a, b)
}

/// What the endpoint asks for, and the right answer to it.
fn asked(events: &[Event], key: &Arc<PrivateKey>) -> Option<(Ticket, Answer)> {
    let (ticket, _, answer) = events.iter().find_map(|event| Clerk::new(key).answer(event))?;
    assert_ne!(answer, Answer::Refused, "a signature that is good");
    Some((ticket, answer))
}

/// Answers what node asks for, if it asks.
fn answer(world: &mut World, node: usize, key: &Arc<PrivateKey>) -> Option<Ticket> {
    let (ticket, right) = asked(&world.take_events(node), key)?;
    world.call(node, |endpoint, now| endpoint.answer(now, ticket, right)).unwrap();
    world.settle(node);
    Some(ticket)
}

#[test]
fn signatures_and_verdicts_may_come_later() {
    let key = key!("ed25519");
    let (a, b) = asking(&key);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let mut answered = 0;
    for _ in 0..8 {
        world.run();
        answered += [A, B].into_iter().filter_map(|node| answer(&mut world, node, &key)).count();
    }
    // A's proof, its verdict on B's, B's verdict on A's, B's proof.
    assert_eq!(answered, 4);
    assert_eq!(world.node(A).mirror.spi_pairs().len(), 1);
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn a_ticket_is_answered_once_and_in_kind() {
    let key = key!("ed25519");
    let (a, b) = asking(&key);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let (ticket, right) = asked(&world.take_events(A), &key).unwrap();
    let mut say = |answer| world.call(A, |endpoint, now| endpoint.answer(now, ticket, answer));
    assert_eq!(say(Answer::Verified), Err(CallError::WrongAnswer));
    assert_eq!(say(right.clone()), Ok(()));
    assert_eq!(say(right), Err(CallError::NoSuchTicket));
}

#[test]
fn a_request_in_hand_is_not_taken_twice() {
    let key = key!("ed25519");
    let (a, b) = asking(&key);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    answer(&mut world, A, &key).unwrap();
    let request = world.peek();
    assert_eq!(world.deliver_next(), Some(Ok(Handled::Processed)));
    let before = dump(world.endpoint(B));
    let decryptions = world.endpoint(B).statistics().decryptions;
    assert_eq!(world.deliver(&request), Some(Ok(Handled::InHand)));
    assert_eq!(dump(world.endpoint(B)), before);
    assert_eq!(world.endpoint(B).statistics().decryptions, decryptions);
}

#[test]
fn without_an_answer_in_time_both_ends_end() {
    let key = key!("ed25519");
    for who_is_silent in [A, B] {
        let (a, b) = asking(&key);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        if who_is_silent == B {
            answer(&mut world, A, &key).unwrap();
            world.run();
        }
        world.take_events(B);
        world.run_for_secs(60);
        let silent = down(&world.take_events(who_is_silent));
        assert_eq!(silent, Failure::Authentication(AuthFailure::NotAnswered));
        world.run_for_secs(300);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

#[test]
fn a_refusal_ends_the_attempt_at_both_ends() {
    let key = key!("ed25519");
    let (a, b) = asking(&key);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    answer(&mut world, A, &key).unwrap();
    world.run();
    let (ticket, _) = asked(&world.take_events(B), &key).unwrap();
    world.call(B, |endpoint, now| endpoint.answer(now, ticket, Answer::Refused)).unwrap();
    world.settle(B);
    world.run();
    let at_b = down(&world.take_events(B));
    assert_eq!(at_b, Failure::Authentication(AuthFailure::NotVerified));
    let at_a = down(&world.take_events(A));
    assert_eq!(at_a, Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED });
}
