//! IKE_INTERMEDIATE (RFC 9242) and the additional key exchanges in it (RFC 9370 §2.2.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::Fault;
use ikev2_core::negotiation::ResponseFault;
use ikev2_core::{Failure, Handled, Intermediate, Rejection, Role};
use ikev2_wire::codes::{AuthMethod, ExchangeType, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, Payload, Transform, TransformType};
use ipsec_crypto::KxError;
use std::time::Duration;
use support::forge::{Forger, Raw, chain, head_of, payloads_of};
use support::fragments::{fragment, open, sizes};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body, body_mut, has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

const IKE_INTERMEDIATE: ExchangeType = ExchangeType::IKE_INTERMEDIATE;
const CLASSIC: &str = "aes256gcm16-prfsha256-x25519";
const HYBRID: &str = "aes256gcm16-prfsha256-x25519-ke1_mlkem768";
const TWO_MORE: &str = "aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke3_ecp256";

/// The notify of RFC 9242 §3.1: no protocol, no SPI, type 16438, no data.
const SUPPORTED: [u8; 4] = [0, 0, 0x40, 0x36];

fn pair(a_proposals: &[&str], b_proposals: &[&str]) -> (Setup, Setup) {
    let (a, b) = two();
    (a.ike(a_proposals), b.ike(b_proposals))
}

fn says_supported(message: &[u8]) -> bool {
    payloads_of(message).iter().any(|raw| raw.ty == PayloadType::NOTIFY && raw.body == SUPPORTED)
}

/// A world whose IKE_SA_INIT is over: the first request after it is in flight.
fn asked(proposals: &str) -> World {
    let (a, b) = pair(&[proposals], &[proposals]);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    world
}

/// The keys of each stage as the initiator logs them: after IKE_SA_INIT, and after each key exchange.
fn forgers(world: &World, node: usize) -> Vec<Forger> {
    world.node(node).keys.ike_lines().iter().map(|line| Forger::from_line(line)).collect()
}

/// What is in a message, whole or in fragments.
fn opened(forger: &Forger, packets: &[Packet]) -> Vec<Raw> {
    match fragment(&packets[0]) {
        Some(_) => open(forger, packets),
        None => forger.open(packets[0].message()),
    }
}

fn ke(payloads: &[Raw]) -> (KeMethod, usize) {
    let ke = body(payloads, PayloadType::KE);
    (KeMethod(u16::from_be_bytes([ke[0], ke[1]])), ke.len() - 4)
}

/// One exchange for each additional method in the order of the types, Message IDs 1 and 2, each under the keys that the
/// one before it made; IKE_AUTH is the next.
#[test]
fn each_additional_key_exchange_changes_the_keys() {
    let (a, b) = pair(&[TWO_MORE], &[TWO_MORE]);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    assert!(says_supported(world.peek().message()));
    world.deliver_next();
    assert!(says_supported(world.peek().message()));
    world.deliver_next();
    let steps = [(KeMethod::ML_KEM_768, 1_184, 1_088), (KeMethod::ECP_256, 64, 64)];
    for (stage, (method, key, answer)) in steps.into_iter().enumerate() {
        let before = forgers(&world, A).pop().unwrap();
        for (is_response, len) in [(false, key), (true, answer)] {
            let fragments = world.take_all();
            let header = fragments[0].header();
            assert_eq!((header.exchange, header.message_id), (IKE_INTERMEDIATE, stage as u32 + 1));
            assert_eq!(header.flags.is_response(), is_response);
            let payloads = opened(&before, &fragments);
            assert_eq!(ke(&payloads), (method, len));
            assert_eq!(payloads.len(), 1);
            for fragment in fragments {
                world.put(fragment);
            }
            while world
                .in_flight()
                .next()
                .is_some_and(|packet| packet.header().flags.is_response() == is_response)
            {
                world.deliver_next().unwrap().unwrap();
            }
        }
        assert_eq!(forgers(&world, A).len(), stage + 2);
    }
    let auth = world.peek();
    assert_eq!((auth.header().exchange, auth.header().message_id), (ExchangeType::IKE_AUTH, 3));
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).keys.ike_lines(), world.node(B).keys.ike_lines());
    for node in [A, B] {
        let info = world.node(node).only_sa().1;
        let additional: Vec<_> = info.additional.methods().collect();
        assert_eq!(
            (info.ke, additional),
            (Some(KeMethod::CURVE25519), vec![KeMethod::ML_KEM_768, KeMethod::ECP_256])
        );
        let sa = world.handle(node);
        world.take_events(node);
        world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"alive"));
    }
}

/// Every datagram lost once, its repeats not: the exchanges go on, and an answer is repeated under the keys that it was
/// made with.
#[test]
fn each_datagram_may_be_lost_once() {
    for lost in 0..16 {
        let (a, b) = pair(&[TWO_MORE], &[TWO_MORE]);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        for _ in 0..lost {
            world.deliver_next();
        }
        if world.in_flight().count() == 0 {
            break;
        }
        world.take();
        world.run_for_secs(20);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(A).mirror.children.len(), 1, "datagram {lost} lost");
    }
}

/// RFC 7383 §2.5.1, §2.6.1: the sender of a request tries smaller fragments, and gets an answer in smaller ones, both
/// under the keys that its exchange had.
#[test]
fn an_answer_is_fragmented_anew_under_the_keys_that_it_had() {
    let (mut a, mut b) = pair(&[HYBRID], &[HYBRID]);
    (a.connection.fragmentation, b.connection.fragmentation) = (sizes(1_500, 576), sizes(1_500, 576));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    // Nothing larger than 600 octets comes back.
    for _ in 0..40 {
        let (now, _) = world.next_timer().unwrap();
        while world.in_flight().next().is_some() {
            let packet = world.take();
            if packet.to == world.path(A, B).local && packet.ip_octets() > 600 {
                continue;
            }
            let _ = world.deliver(&packet);
        }
        if world.node(A).mirror.sas.len() == 1 {
            break;
        }
        world.run_until(now);
    }
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 1);
}

/// RFC 9370 §2.2.1: who knows no IKE_INTERMEDIATE skips proposals with the new types; another proposal is what they fall
/// back to, and a method of NONE makes the exchange optional.
#[test]
fn what_comes_of_it_where_one_side_does_not_want_it() {
    let optional = "aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none";
    let cases: [(&[&str], &[&str], Option<usize>); 8] = [
        (&[HYBRID, CLASSIC], &[CLASSIC], Some(0)),
        (&[CLASSIC], &[HYBRID, CLASSIC], Some(0)),
        (&[HYBRID, CLASSIC], &[HYBRID, CLASSIC], Some(1)),
        (&[CLASSIC], &[optional], Some(0)),
        (&[optional], &[CLASSIC], Some(0)),
        (&[optional], &[HYBRID], Some(1)),
        (&[HYBRID], &[CLASSIC], None),
        (&[CLASSIC], &[HYBRID], None),
    ];
    for (a_proposals, b_proposals, wanted) in cases {
        let (a, b) = pair(a_proposals, b_proposals);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        let refused = notifies(&payloads_of(world.peek().message()));
        world.run_for_secs(10);
        let additional =
            world.node(B).mirror.sas.len().checked_sub(1).map(|_| world.node(B).only_sa().1.additional.len());
        assert_eq!(additional, wanted, "{a_proposals:?} {b_proposals:?}");
        if wanted.is_none() {
            assert!(refused.contains(&(NotifyType::NO_PROPOSAL_CHOSEN, vec![])), "{refused:?}");
        }
    }
}

/// A responder that chooses an additional key exchange and does not say that it does IKE_INTERMEDIATE.
#[test]
fn a_choice_that_needs_what_the_answer_does_not_offer_is_of_no_use() {
    let (a, b) = pair(&[HYBRID], &[HYBRID]);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take();
    let additional = Transform::new(TransformType::ADDKE1, KeMethod::ML_KEM_768.0);
    let answer = |with_notify: bool, transforms: &[Transform]| {
        let mut peer = Peer::responder();
        let mut proposal = Peer::ike_proposal(1);
        proposal.transforms.extend_from_slice(transforms);
        let octets = peer.init_answer(request.message(), |payloads| {
            payloads[0] = Peer::sa(&[proposal]);
            if with_notify {
                payloads.push(Raw::notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, &[]));
            }
        });
        Packet { from: request.to, to: request.from, octets }
    };
    let mut fault = |packet: &Packet| match world.deliver(packet).unwrap() {
        Err(Rejection::UselessAnswer(failure)) => match *failure {
            Failure::ProposalAnswer(fault) => Some(fault),
            other => panic!("{other:?}"),
        },
        other => {
            assert_eq!(other, Ok(Handled::Processed));
            None
        }
    };
    let without = std::slice::from_ref(&additional);
    assert_eq!(fault(&answer(false, without)), Some(ResponseFault::NoIntermediate(additional.clone())));
    let twice = Transform::new(TransformType::ADDKE1, KeMethod::CURVE25519.0);
    assert_eq!(fault(&answer(true, std::slice::from_ref(&twice))), Some(ResponseFault::NotOffered(twice)));
    assert_eq!(fault(&answer(true, &[])), Some(ResponseFault::Missing(TransformType::ADDKE1)));
    assert_eq!(fault(&answer(true, without)), None);
}

/// The first IKE_INTERMEDIATE request, whole, with its KE payload changed under the keys that it has.
fn altered(world: &mut World, change: impl FnOnce(&mut Vec<Raw>)) -> Packet {
    let mut forger = forgers(world, A).pop().unwrap();
    let fragments = world.take_all();
    let mut payloads = opened(&forger, &fragments);
    change(&mut payloads);
    let message = forger.seal(&head_of(fragments[0].message()), &payloads);
    fragments[0].with_message(&message)
}

/// What a responder refuses, with INVALID_SYNTAX and its own end of the attempt; the initiator believes it.
#[test]
fn key_exchange_data_that_is_wrong_ends_the_attempt_at_the_responder() {
    let additional = |got| Failure::AdditionalKe { got, wanted: Some(KeMethod::ML_KEM_768) };
    let data = |error| Failure::KeyExchange { method: KeMethod::ML_KEM_768, error };
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, Change, Failure); 5] = [
        ("another method", |p| body_mut(p, PayloadType::KE)[1] = 31, additional(KeMethod::CURVE25519)),
        ("an unknown method", |p| body_mut(p, PayloadType::KE)[0] = 200, additional(KeMethod(200 << 8 | 36))),
        (
            "a short key",
            |p| body_mut(p, PayloadType::KE).truncate(1_187),
            data(KxError::Length { expected: 1_184, got: 1_183 }),
        ),
        (
            "a key that fails the checks of FIPS 203",
            |p| body_mut(p, PayloadType::KE)[4..7].fill(0xff),
            data(KxError::InvalidPublicValue),
        ),
        ("KE twice", |p| p.push(p[0].clone()), Failure::DuplicatePayload(PayloadType::KE)),
    ];
    for (name, change, wanted) in cases {
        let mut world = asked(HYBRID);
        let bad = altered(&mut world, change);
        assert_eq!(world.deliver(&bad).unwrap(), Ok(Handled::Processed), "{name}");
        assert_eq!(down(&world.take_events(B)), wanted, "{name}");
        assert_eq!(wanted.fault(), Fault::PeerMisbehaved, "{name}");
        let answer = world.peek();
        let said = forgers(&world, A).pop().unwrap().open(answer.message());
        assert_eq!(notifies(&said), [(NotifyType::INVALID_SYNTAX, vec![])], "{name}");
        world.run_for_secs(5);
        let told = down(&world.take_events(A));
        assert_eq!(told, Failure::Refused { notify: NotifyType::INVALID_SYNTAX }, "{name}");
        world.run_for_secs(60);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// What an initiator does not go on from: it ends without a word, since nobody has been authenticated.
#[test]
fn key_exchange_data_that_is_wrong_ends_the_attempt_at_the_initiator() {
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, Change, Failure); 4] = [
        (
            "another method",
            |p| body_mut(p, PayloadType::KE)[1] = 37,
            Failure::AdditionalKe { got: KeMethod::ML_KEM_1024, wanted: Some(KeMethod::ML_KEM_768) },
        ),
        (
            "a long ciphertext",
            |p| body_mut(p, PayloadType::KE).push(0),
            Failure::KeyExchange {
                method: KeMethod::ML_KEM_768,
                error: KxError::Length { expected: 1_088, got: 1_089 },
            },
        ),
        ("no KE", Vec::clear, Failure::MissingPayload(PayloadType::KE)),
        (
            "an unknown critical payload",
            |p| p.push(Raw::new(PayloadType(200), &[]).critical()),
            Failure::CriticalPayload(PayloadType(200)),
        ),
    ];
    for (name, change, wanted) in cases {
        let mut world = asked(HYBRID);
        while world.in_flight().next().is_some_and(|packet| !packet.header().flags.is_response()) {
            world.deliver_next().unwrap().unwrap();
        }
        let bad = altered(&mut world, change);
        assert_eq!(world.deliver(&bad).unwrap(), Ok(Handled::Processed), "{name}");
        assert_eq!(down(&world.take_events(A)), wanted, "{name}");
        assert_eq!(world.in_flight().count(), 0, "{name}");
        world.run_for_secs(60);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// FIPS 203's implicit rejection: the two ends have different keys, which the next message shows, and the ICV alone.
#[test]
fn a_ciphertext_that_was_tampered_with_shows_in_the_next_exchange() {
    let mut world = asked(HYBRID);
    while world.in_flight().next().is_some_and(|packet| !packet.header().flags.is_response()) {
        world.deliver_next().unwrap().unwrap();
    }
    let tampered = altered(&mut world, |payloads| body_mut(payloads, PayloadType::KE)[4] ^= 1);
    assert_eq!(world.deliver(&tampered).unwrap(), Ok(Handled::Processed));
    let auth = world.take();
    assert_eq!(auth.header().exchange, ExchangeType::IKE_AUTH);
    let before = dump(world.endpoint(B));
    assert_eq!(world.deliver(&auth).unwrap(), Err(Rejection::IntegrityCheck));
    assert_eq!(dump(world.endpoint(B)), before);
    world.run_for(Duration::from_secs(300));
    let timeout = Failure::Timeout { exchange: ExchangeType::IKE_AUTH, hint: None };
    assert_eq!(down(&world.take_events(A)), timeout);
    world.assert_empty(B);
}

/// Only what was agreed on comes, and in its order: no IKE_AUTH before the last key exchange, nothing under the keys of
/// before, no more exchanges than were agreed on.
#[test]
fn nothing_comes_out_of_its_order() {
    let mut world = asked(HYBRID);
    let send = |world: &mut World, forger: &mut Forger, exchange, id, payloads: &[Raw]| {
        let head = forger.head(Role::Initiator, exchange, id, false);
        let octets = forger.seal(&head, payloads);
        let (from, to) = (world.path(A, B).local, world.path(A, B).remote);
        world.deliver(&Packet { from, to, octets }).unwrap()
    };
    let unexpected = |exchange| Err(Rejection::UnexpectedExchange(exchange));
    let auth = ExchangeType::IKE_AUTH;
    let mut first = forgers(&world, A).pop().unwrap();
    assert_eq!(send(&mut world, &mut first, auth, 1, &[]), unexpected(auth));
    assert_eq!(send(&mut world, &mut first, IKE_INTERMEDIATE, 2, &[]), Err(Rejection::MessageIdAhead(2)));
    while world.in_flight().next().is_some_and(|packet| packet.header().exchange == IKE_INTERMEDIATE) {
        world.deliver_next().unwrap().unwrap();
    }
    let request = world.take();
    let before = dump(world.endpoint(B));
    let mut second = forgers(&world, A).pop().unwrap();
    assert_eq!(send(&mut world, &mut first, auth, 2, &[]), Err(Rejection::IntegrityCheck));
    assert_eq!(send(&mut world, &mut second, auth, 1, &[]), Err(Rejection::AlteredRepeat(1)));
    let informational = ExchangeType::INFORMATIONAL;
    assert_eq!(send(&mut world, &mut second, informational, 2, &[]), unexpected(informational));
    assert_eq!(dump(world.endpoint(B)), before);
    // One more without a key exchange is for what did not fit into IKE_SA_INIT; IntAuth covers it.
    assert_eq!(send(&mut world, &mut second, IKE_INTERMEDIATE, 2, &[]), Ok(Handled::Processed));
    assert!(second.open(world.take().message()).is_empty());
    assert_eq!(send(&mut world, &mut second, IKE_INTERMEDIATE, 3, &[]), unexpected(IKE_INTERMEDIATE));
    // The genuine request has a Message ID that was used.
    assert_eq!(world.deliver(&request).unwrap(), Err(Rejection::AlteredRepeat(2)));
}

/// Where IKE_SA_INIT did not agree on it, or a KE payload comes that nothing was agreed on for.
#[test]
fn what_was_not_agreed_on_is_not_answered() {
    let mut world = asked(CLASSIC);
    let auth = world.take();
    let mut forger = forgers(&world, A).pop().unwrap();
    let head = forger.head(Role::Initiator, IKE_INTERMEDIATE, 1, false);
    let request = auth.with_message(&forger.seal(&head, &[]));
    assert_eq!(world.deliver(&request).unwrap(), Err(Rejection::UnexpectedExchange(IKE_INTERMEDIATE)));
    world.put(auth);
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);

    let (mut a, b) = pair(&[CLASSIC], &[CLASSIC]);
    a.connection.intermediate = Intermediate::Always;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    world.deliver_next();
    let bad = altered(&mut world, |payloads| {
        payloads.push(Raw::new(PayloadType::KE, &[&[0, 31, 0, 0][..], &[9; 32]].concat()));
    });
    assert_eq!(world.deliver(&bad).unwrap(), Ok(Handled::Processed));
    let wanted = Failure::AdditionalKe { got: KeMethod::CURVE25519, wanted: None };
    assert_eq!(down(&world.take_events(B)), wanted);
}

/// RFC 9242 §3.2: an exchange without anything in it, where the initiator is told to make one.
#[test]
fn one_without_content_is_under_auth_too() {
    let (mut a, b) = pair(&[CLASSIC], &[CLASSIC]);
    a.connection.intermediate = Intermediate::Always;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let mut seen = Vec::new();
    while world.in_flight().next().is_some() {
        let header = world.peek().header();
        seen.push((header.exchange, header.message_id));
        world.deliver_next().unwrap().unwrap();
    }
    let (init, auth) = (ExchangeType::IKE_SA_INIT, ExchangeType::IKE_AUTH);
    assert_eq!(
        seen,
        [(init, 0), (init, 0), (IKE_INTERMEDIATE, 1), (IKE_INTERMEDIATE, 1), (auth, 2), (auth, 2)]
    );
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// RFC 9242 §3.3.2: a message is covered as if it had never been fragmented, with what stands in front of SK in the
/// clear; checked with AUTH both ways by formulas of the test's own.
#[test]
fn int_auth_of_a_message_in_fragments_with_payloads_in_the_clear() {
    let clear = Raw::new(PayloadType::VENDOR_ID, b"in the clear");
    let inside = [Raw::notify(NotifyType(50_000), &[7; 2_000])];
    for pieces in [0, 1, 2, 5] {
        let (_, b) = two();
        let mut world = World::pair(two().0, b.ike(&[CLASSIC]));
        let mut peer = Peer::initiator();
        let path = world.path(B, A);
        let init = peer.init_request(|payloads| {
            payloads.push(Raw::notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, &[]));
            payloads.push(Raw::notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]));
        });
        world.receive(B, path, &init).unwrap();
        peer.got_init_answer(world.take().message());
        let forger = peer.forger.as_mut().unwrap();
        let head = forger.head(Role::Initiator, IKE_INTERMEDIATE, 1, false);
        let (first, text) = chain(&inside, PayloadType::NONE);
        if pieces == 0 {
            let message = forger.seal_with(&head, std::slice::from_ref(&clear), &inside);
            world.receive(B, path, &message).unwrap();
        }
        for number in 1..=pieces {
            let size = text.len().div_ceil(pieces);
            let piece = text.chunks(size).nth(number - 1).unwrap();
            let (outside, first) =
                if number == 1 { (vec![clear.clone()], first) } else { (vec![], PayloadType::NONE) };
            let numbers = (number as u16, pieces as u16);
            let message = forger.seal_fragment(&head, &outside, numbers, first, piece);
            world.receive(B, path, &message).unwrap();
        }
        let answer = world.take();
        // A: the header with Vendor ID as its first payload, that payload with SK as the next one, the head of SK with
        // the first payload inside; lengths as of a message without IV, padding and ICV (figures of §3.3.2).
        let (sk, total) = (4 + text.len() as u16, 28 + 16 + 4 + text.len() as u32);
        let mut covered = head.header().to_bytes().to_vec();
        covered[16] = PayloadType::VENDOR_ID.0;
        covered[24..28].copy_from_slice(&total.to_be_bytes());
        covered.extend_from_slice(&[PayloadType::SK.0, 0, 0, 16]);
        covered.extend_from_slice(b"in the clear");
        covered.extend_from_slice(&[PayloadType::NOTIFY.0, 0]);
        covered.extend_from_slice(&sk.to_be_bytes());
        let of_request = peer.int_auth_of(Role::Initiator, &covered, &text);
        assert!(opened(peer.forger.as_ref().unwrap(), std::slice::from_ref(&answer)).is_empty());
        let mut covered = answer.message()[..28].to_vec();
        covered[16] = PayloadType::SK.0;
        covered[24..28].copy_from_slice(&32_u32.to_be_bytes());
        covered.extend_from_slice(&[0, 0, 0, 4]);
        let of_answer = peer.int_auth_of(Role::Responder, &covered, &[]);
        peer.int_auth = [&of_request[..], &of_answer, &2_u32.to_be_bytes()].concat();
        peer.auth_id = 2;
        let auth = peer.auth_request(|_| {});
        world.receive(B, path, &auth).unwrap();
        assert!(kinds(&world.take_events(B)).contains(&"IKE up"), "{pieces} fragments");
        let said = peer.open(world.take().message());
        let id = body(&said, PayloadType::ID_R).to_vec();
        let covers = peer.octets_under_auth(Role::Responder, &id);
        let proof = support::peer::shared_key_proof(SECRET, &covers);
        let wanted = Raw::of(&Payload::Auth(AuthPayload::new(AuthMethod::SHARED_KEY, &proof)));
        assert_eq!(body(&said, PayloadType::AUTH), wanted.body, "{pieces} fragments");
    }
}

/// A responder keeps what came of it no longer than it waits for IKE_AUTH, and tells nobody.
#[test]
fn a_peer_that_stops_half_way_is_forgotten() {
    let mut world = asked(HYBRID);
    while world.in_flight().next().is_some_and(|packet| !packet.header().flags.is_response()) {
        world.deliver_next().unwrap().unwrap();
    }
    world.take_all();
    assert_eq!(world.endpoint(B).ike_sas().count(), 1);
    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run_for_secs(31);
    assert_eq!(world.endpoint(B).statistics().half_open_expired, 1);
    assert_eq!(kinds(&world.take_events(B)), [""; 0]);
}

/// A stranger whose answer comes first is followed with exchanges of its own, and its keys are not the peer's.
#[test]
fn a_stranger_that_answers_first_does_not_shut_out_the_peer() {
    let (a, b) = pair(&[HYBRID], &[HYBRID]);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take();
    let mut stranger = Peer::responder();
    let mut proposal = Peer::ike_proposal(1);
    proposal.transforms.push(Transform::new(TransformType::ADDKE1, KeMethod::ML_KEM_768.0));
    let octets = stranger.init_answer(request.message(), |payloads| {
        payloads[0] = Peer::sa(&[proposal]);
        payloads.push(Raw::notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, &[]));
    });
    world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
    assert!(has(&stranger.open(world.take().message()), PayloadType::KE));
    world.put(request);
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 1);
}
