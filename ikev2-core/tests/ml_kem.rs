//! ML-KEM as the key exchange of IKE_SA_INIT and of rekeys (draft-ietf-ipsecme-ikev2-mlkem): the two ends send data of
//! different lengths, and the responder's depends on the initiator's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{Failure, Handled, Rejection};
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ipsec_crypto::KxError;
use support::forge::{Forger, Raw, head_of, payloads_of, plain};
use support::mirror::assert_crosswise;
use support::peer::{body, body_mut, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

/// The keyword, the number, and the lengths of KEi and KEr (§2.2).
const METHODS: [(&str, KeMethod, usize, usize); 3] = [
    ("mlkem512", KeMethod::ML_KEM_512, 800, 768),
    ("mlkem768", KeMethod::ML_KEM_768, 1_184, 1_088),
    ("mlkem1024", KeMethod::ML_KEM_1024, 1_568, 1_568),
];

fn with(method: &str) -> (Setup, Setup) {
    let setup = |setup: Setup| {
        let mut setup = setup.ike(&[&format!("aes256gcm16-prfsha256-{method}")]);
        setup.connection.children = vec![child_with(1, "first", &[&format!("aes256gcm16-{method}")])];
        setup
    };
    let (a, b) = two();
    (setup(a), setup(b))
}

fn ke(packet: &Packet) -> (u16, usize) {
    let payloads = payloads_of(packet.message());
    let ke = body(&payloads, PayloadType::KE);
    (u16::from_be_bytes([ke[0], ke[1]]), ke.len() - 4)
}

#[test]
fn it_keys_an_ike_sa_and_every_rekey() {
    for (name, method, key, ciphertext) in METHODS {
        let (a, b) = with(name);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        assert_eq!(ke(&world.peek()), (method.0, key));
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        assert_eq!(ke(&world.peek()), (method.0, ciphertext));
        world.run();
        for node in [A, B] {
            let sa = world.handle(node);
            let child = world.endpoint(node).child_sas(sa).next().unwrap().child.id;
            world.call(node, |e, now| e.rekey_child(now, sa, child)).unwrap();
            world.run_for_secs(10);
            world.call(node, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
            world.run_for_secs(10);
            let info = world.endpoint(node).ike_sa(sa).unwrap();
            assert_eq!(info.ke, Some(method));
            let children: Vec<_> = world.endpoint(node).child_sas(sa).collect();
            assert_eq!((children.len(), children[0].ke), (1, Some(method)));
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        }
        for node in [A, B] {
            world.take_events(node);
            let sa = world.handle(node);
            world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
            world.run();
            assert!(kinds(&world.take_events(node)).contains(&"alive"));
        }
    }
}

fn altered(packet: &Packet, change: impl FnOnce(&mut Vec<u8>)) -> Packet {
    let mut payloads: Vec<Raw> = payloads_of(packet.message());
    change(body_mut(&mut payloads, PayloadType::KE));
    packet.with_message(&plain(&head_of(packet.message()), &payloads))
}

/// FIPS 203 §7.2: the length, and coefficients below the modulus; "SHOULD send INVALID_SYNTAX" (§2.2).
#[test]
fn an_encapsulation_key_that_fails_the_checks_is_refused() {
    for (name, _, key, _) in METHODS {
        let (a, b) = with(name);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        let overflow = altered(&request, |ke| ke[4..7].fill(0xff));
        let result = world.deliver(&overflow).unwrap();
        assert_eq!(result, Err(Rejection::KeyExchange(KxError::InvalidPublicValue)));
        let answer = world.take();
        let said = notifies(&payloads_of(answer.message()));
        assert_eq!(said, [(NotifyType::INVALID_SYNTAX, vec![])]);
        let short = altered(&request, |ke| ke.truncate(4 + key - 1));
        let result = world.deliver(&short).unwrap();
        assert_eq!(result, Err(Rejection::KeyExchange(KxError::Length { expected: key, got: key - 1 })));
        assert_eq!(world.endpoint(B).ike_sas().count(), 0);
    }
}

/// §2.2: a ciphertext of another length fails the exchange; one that was tampered with gives another secret, which the
/// next message's ICV shows. Either way the genuine answer still counts.
#[test]
fn a_ciphertext_that_is_none_leaves_the_attempt_as_it_was() {
    for (name, _, _, ciphertext) in METHODS {
        let (a, b) = with(name);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        let request = world.take();
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        let long = altered(&answer, |ke| ke.push(0));
        let result = world.deliver(&long).unwrap();
        let (expected, got) = (ciphertext, ciphertext + 1);
        assert_eq!(result, Err(Rejection::KeyExchange(KxError::Length { expected, got })));
        let tampered = altered(&answer, |ke| ke[4] ^= 1);
        assert_eq!(world.deliver(&tampered).unwrap(), Ok(Handled::Processed));
        let auth = world.take();
        assert_eq!(auth.header().exchange, ExchangeType::IKE_AUTH);
        assert_eq!(world.deliver(&auth).unwrap(), Err(Rejection::IntegrityCheck));
        assert_eq!(world.endpoint(B).half_open(), 1);
    }
}

/// §2.2: a ciphertext of another length ends the IKE SA with a Delete, whatever the exchange was to make.
#[test]
fn a_ciphertext_of_another_length_in_a_rekey_ends_the_ike_sa() {
    for (name, method, ..) in METHODS {
        for of_ike in [true, false] {
            let (mut a, mut b) = with(name);
            (a.connection.fragmentation, b.connection.fragmentation) = (None, None);
            let mut world = World::established(a, b);
            world.strict = false;
            let sa = world.handle(A);
            let child = world.endpoint(A).child_sas(sa).next().unwrap().child.id;
            world
                .call(
                    A,
                    |e, now| if of_ike { e.rekey_ike_sa(now, sa) } else { e.rekey_child(now, sa, child) },
                )
                .unwrap();
            let mut forger = Forger::new(&world.node(A).keys);
            world.deliver_next();
            let answer = world.take();
            let short = forger.alter(&answer, |payloads| {
                body_mut(payloads, PayloadType::KE).pop();
            });
            world.deliver(&short).unwrap().unwrap();
            assert_eq!(forger.open(world.peek().message()), [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]);
            world.run_for_secs(60);
            let failure = down(&world.take_events(A));
            let told = matches!(failure, Failure::KeyExchange { method: of, error: KxError::Length { .. } } if of == method);
            assert!(told, "{name} {of_ike}: {failure}");
            world.assert_empty(A);
        }
    }
}
