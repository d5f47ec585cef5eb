//! Public values that are none, shared secrets that would be nothing, and ICVs cut short: refused in each exchange and
//! by each end, and what was there before lives (RFC 6989 §2.1 and §2.3, RFC 7748 §6.1, RFC 7296 §3.14).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::Fault;
use ikev2_core::{Failure, Handled, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use support::forge::{Forger, Raw, head_of, payloads_of, plain};
use support::mirror::assert_crosswise;
use support::peer::{body, body_mut};
use support::setup::*;
use support::told::*;
use support::world::*;

/// Each method with values that a sound peer never sends, of the right length.
fn cases() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut cases = Vec::new();
    // The order of the point is small, so that the secret is zero (RFC 7748 §6.1): u = 0, u = 1, u = p - 1, u = p.
    let mut one = vec![0; 32];
    one[0] = 1;
    let mut p = vec![0xFF; 32];
    (p[0], p[31]) = (0xED, 0x7F);
    let mut below = p.clone();
    below[0] = 0xEC;
    for (why, value) in [("0", vec![0; 32]), ("1", one), ("p - 1", below), ("p", p)] {
        cases.push(("x25519", why, value));
    }
    for (method, coordinate) in [("ecp256", 32), ("ecp384", 48), ("ecp521", 66)] {
        let point = |x: u8, y: u8| [vec![x; coordinate], vec![y; coordinate]].concat();
        cases.push((method, "zeros", point(0, 0)));
        cases.push((method, "off the curve", point(0, 7)));
        cases.push((method, "coordinates beyond the field", point(0xFF, 0xFF)));
    }
    for (method, length) in [("modp2048", 256), ("modp3072", 384), ("modp4096", 512)] {
        let mut one = vec![0; length];
        one[length - 1] = 1;
        cases.push((method, "0", vec![0; length]));
        cases.push((method, "1", one));
        cases.push((method, "beyond the prime", vec![0xFF; length]));
    }
    cases
}

fn put_value(payloads: &mut [Raw], value: &[u8]) {
    let ke = body_mut(payloads, PayloadType::KE);
    assert_eq!(ke.len(), 4 + value.len());
    ke.truncate(4);
    ke.extend_from_slice(value);
}

fn with_method(method: &str) -> (Setup, Setup) {
    let (a, b) = two();
    let proposal = format!("aes256gcm16-prfsha256-{method}");
    (a.ike(&[&proposal]), b.ike(&[&proposal]))
}

#[test]
fn public_values_that_are_none_in_ike_sa_init() {
    for (method, why, value) in cases() {
        for of_answer in [false, true] {
            let (a, b) = with_method(method);
            let mut world = World::pair(a, b);
            world.strict = false;
            world.connect(A, B);
            if of_answer {
                world.deliver_next();
            }
            let message = world.take();
            let mut payloads = payloads_of(message.message());
            put_value(&mut payloads, &value);
            let altered = message.with_message(&plain(&head_of(message.message()), &payloads));
            let result = world.deliver(&altered).unwrap();
            if of_answer {
                let Err(rejection @ Rejection::KeyExchange(_)) = &result else {
                    panic!("{method} {why}: {result:?}")
                };
                assert_eq!(rejection.fault(), Fault::PeerMisbehaved);
                // The genuine answer still counts.
                world.deliver(&message).unwrap().unwrap();
                world.run();
                assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
                assert_eq!(world.node(A).mirror.sas.len(), 1, "{method} {why}");
            } else {
                // At once, or when IKE_AUTH asks for the keys: what no peer ever finishes costs no key exchange.
                if result == Ok(Handled::Processed) {
                    world.deliver_next();
                    let result = world.deliver_next().unwrap();
                    assert!(matches!(result, Err(Rejection::KeyExchange(_))), "{method} {why}: {result:?}");
                } else {
                    assert!(matches!(result, Err(Rejection::KeyExchange(_))), "{method} {why}: {result:?}");
                }
                assert_eq!(world.take_events(B), [], "{method} {why}");
                world.run_for_secs(60);
                world.assert_empty(B);
            }
        }
    }
}

#[test]
fn public_values_that_are_none_in_create_child_sa() {
    for (method, why, value) in cases() {
        for of_answer in [false, true] {
            let (mut a, mut b) = two();
            for setup in [&mut a, &mut b] {
                setup.connection.children = vec![child_with(1, "first", &[&format!("aes256gcm16-{method}")])];
            }
            let mut world = World::established(a, b);
            world.strict = false;
            let sa = world.handle(A);
            world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
            if of_answer {
                world.deliver_next();
            }
            let message = world.take();
            let mut forger = Forger::new(&world.node(A).keys);
            let altered = forger.alter(&message, |payloads| put_value(payloads, &value));
            world.deliver(&altered).unwrap().unwrap();
            if of_answer {
                // The Child SA fails, and what the peer has set up is deleted there.
                let failure = child_failure(&world.take_events(A));
                assert!(matches!(failure, Failure::KeyExchange { .. }), "{method} {why}: {failure:?}");
                assert_eq!(failure.fault(), Fault::PeerMisbehaved);
                world.run();
                assert_eq!(world.node(B).mirror.sas.len(), 1, "{method} {why}");
                assert_eq!(world.node(B).mirror.children.len(), 1, "{method} {why}");
                assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            } else {
                // INVALID_SYNTAX, which ends the IKE SA (§2.21.3).
                let told = forger.open(world.take().message());
                assert_eq!(told, [Raw::notify(NotifyType::INVALID_SYNTAX, &[])], "{method} {why}");
                let failure = down(&world.take_events(B));
                assert!(matches!(failure, Failure::KeyExchange { .. }), "{method} {why}: {failure:?}");
            }
        }
    }
}

/// A request ends the IKE SA with INVALID_SYNTAX (§2.21.3); an answer ends it because the peer goes on by a new one that
/// we cannot have.
#[test]
fn public_values_that_are_none_in_a_rekey_of_the_ike_sa() {
    for (method, why, value) in cases() {
        for of_answer in [false, true] {
            let (a, b) = with_method(method);
            let mut world = World::established(a, b);
            world.strict = false;
            let sa = world.handle(A);
            world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
            if of_answer {
                world.deliver_next();
            }
            let message = world.take();
            let mut forger = Forger::new(&world.node(A).keys);
            let altered = forger.alter(&message, |payloads| put_value(payloads, &value));
            world.deliver(&altered).unwrap().unwrap();
            let told = forger.open(world.take().message());
            let expected = if of_answer {
                Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])
            } else {
                Raw::notify(NotifyType::INVALID_SYNTAX, &[])
            };
            assert_eq!(told, [expected], "{method} {why}");
            world.link.loss = 1_000;
            world.run_for_secs(if of_answer { 400 } else { 11 });
            let node = if of_answer { A } else { B };
            let failure = down(&world.take_events(node));
            assert!(matches!(failure, Failure::KeyExchange { .. }), "{method} {why}: {failure:?}");
            assert_eq!(failure.fault(), Fault::PeerMisbehaved);
            world.assert_empty(node);
        }
    }
}

/// The message with its last octets cut off, and its lengths as short.
fn cut(message: &[u8], octets: usize) -> Vec<u8> {
    let mut short = message[..message.len() - octets].to_vec();
    let length = short.len();
    short[24..28].copy_from_slice(&(length as u32).to_be_bytes());
    short[30..32].copy_from_slice(&((length - 28) as u16).to_be_bytes());
    short
}

/// Each suite's ICV, cut by each number of its octets, in a request and in an answer: dropped without effect.
#[test]
fn icvs_cut_short_are_no_icvs() {
    for (suite, icv) in [
        ("aes256gcm16-prfsha256-x25519", 16),
        ("aes256gcm12-prfsha256-x25519", 12),
        ("weak:aes256gcm8-prfsha256-x25519", 8),
        ("aes128ccm16-prfsha256-x25519", 16),
        ("chacha20poly1305-prfsha256-x25519", 16),
        ("aes128-sha256-x25519", 16),
        ("aes128-sha384-x25519", 24),
        ("aes128-sha512-x25519", 32),
        ("aes128-aesxcbc-x25519", 12),
        ("aes256ctr-sha256-x25519", 16),
    ] {
        let (a, b) = two();
        let mut world = World::established(a.ike(&[suite]), b.ike(&[suite]));
        let sa = world.handle(A);
        world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
        for _ in 0..2 {
            let message = world.take();
            for octets in 1..=icv {
                let short = message.with_message(&cut(message.message(), octets));
                let result = world.deliver(&short);
                assert_eq!(result, Some(Err(Rejection::IntegrityCheck)), "{suite} without {octets}");
            }
            world.deliver(&message).unwrap().unwrap();
        }
        assert_eq!(kinds(&world.take_events(A)), ["alive"], "{suite}");
    }
}

/// What was altered above is what it is thought to be.
#[test]
fn the_messages_are_as_the_tests_take_them_to_be() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    let request = world.take();
    assert_eq!(request.header().next_payload, PayloadType::SK);
    assert_eq!(request.header().exchange, ExchangeType::CREATE_CHILD_SA);
    let forger = Forger::new(&world.node(A).keys);
    let payloads = forger.open(request.message());
    assert_eq!(body(&payloads, PayloadType::KE)[..4], [0, 31, 0, 0]);
    assert_eq!(
        forger.head(Role::Initiator, ExchangeType::CREATE_CHILD_SA, 2, false),
        head_of(request.message())
    );
}
