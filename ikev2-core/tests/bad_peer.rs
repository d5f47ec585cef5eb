//! Authentic messages that no sound peer sends: forged with the SA's own keys. What is malformed ends the IKE SA
//! with INVALID_SYNTAX (RFC 7296 §2.21.3); what is merely not to our liking fails alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{DownReason, Failure, Handled, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{Proposal, Transform};
use ipsec_types::EncrId;
use support::forge::{Forger, Raw, chain};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body_mut, notifies};
use support::setup::*;
use support::stages::about_to_authenticate;
use support::told::*;
use support::world::*;

const CREATE: ExchangeType = ExchangeType::CREATE_CHILD_SA;
const INFO: ExchangeType = ExchangeType::INFORMATIONAL;

/// An established pair, with the keys, and the payloads of a CREATE_CHILD_SA request that B would take.
fn established() -> (World, Forger, Vec<Raw>) {
    let (a, b) = two();
    let mut world = World::established(a, b);
    let forger = Forger::new(&world.node(A).keys);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    let template = forger.open(world.take().message());
    (world, forger, template)
}

/// Sends B a forged request as A would, and gives the payloads of the answer.
fn ask(world: &mut World, forger: &mut Forger, exchange: ExchangeType, payloads: &[Raw]) -> Vec<Raw> {
    let id = world.node(B).only_sa().1.requests_answered;
    let head = forger.head(Role::Initiator, exchange, id, false);
    let message = forger.seal(&head, payloads);
    send(world, &message).unwrap();
    forger.open(world.take().message())
}

fn send(world: &mut World, message: &[u8]) -> Result<Handled, Rejection> {
    let path = world.path(B, A);
    world.receive(B, path, message)
}

/// Asserts that B answered INVALID_SYNTAX and ended the SA because of it.
fn ended(world: &mut World, answer: &[Raw], why: &str) -> Failure {
    assert_eq!(answer, [Raw::notify(NotifyType::INVALID_SYNTAX, &[])], "{why}");
    let events = world.take_events(B);
    assert_eq!(kinds(&events), ["data path", "Child down", "IKE down"], "{why}");
    assert_eq!(world.endpoint(B).ike_sas().count(), 0, "{why}");
    down(&events)
}

/// Asserts that B lives as if nothing had been.
fn lives(world: &mut World, children: usize, why: &str) {
    assert_eq!(world.node(B).mirror.sas.len(), 1, "{why}");
    assert_eq!(world.node(B).mirror.children.len(), children, "{why}");
    world.take_events(B);
}

/// Chains that are not whole, inside SK.
#[test]
fn broken_chains_inside_sk_end_the_ike_sa() {
    let vendor = Raw::new(PayloadType::VENDOR_ID, b"abc");
    let (_, good) = chain(std::slice::from_ref(&vendor), PayloadType::NONE);
    let nested = [Raw::new(PayloadType::SK, &[0; 60])];
    let many = vec![Raw::new(PayloadType::VENDOR_ID, &[]); 128];
    let cases: [(&str, PayloadType, Vec<u8>); 9] = [
        ("a payload that is not there", PayloadType::VENDOR_ID, vec![]),
        ("octets that no payload claims", PayloadType::NONE, vec![1, 2, 3]),
        ("a payload longer than the text", PayloadType::VENDOR_ID, vec![0, 0, 0, 200, 1]),
        ("a payload of length 3", PayloadType::VENDOR_ID, vec![0, 0, 0, 3]),
        ("half a header", PayloadType::VENDOR_ID, vec![0, 0]),
        ("a chain that does not end", PayloadType::VENDOR_ID, [&[43, 0, 0, 7][..], &good[4..]].concat()),
        ("SK inside SK", PayloadType::SK, chain(&nested, PayloadType::NONE).1),
        ("SKF inside SK", PayloadType::SKF, chain(&nested, PayloadType::NONE).1),
        ("too many payloads", PayloadType::VENDOR_ID, chain(&many, PayloadType::NONE).1),
    ];
    for (why, first, mut text) in cases {
        for exchange in [INFO, CREATE] {
            let (mut world, mut forger, _) = established();
            let head = forger.head(Role::Initiator, exchange, 2, false);
            if text.last() != Some(&0) || text.is_empty() {
                text.push(0);
            } else {
                text.extend_from_slice(&[0]);
            }
            let message = forger.seal_text(&head, &[], first, &text);
            text.pop();
            send(&mut world, &message).unwrap();
            let answer = forger.open(world.take().message());
            let failure = ended(&mut world, &answer, why);
            assert!(matches!(failure, Failure::Malformed(_)), "{why}: {failure:?}");
            says(&failure, &["malformed"]);
            // Its repeat is still answered.
            assert_eq!(send(&mut world, &message), Ok(Handled::RepeatAnswered), "{why}");
        }
    }
}

#[test]
fn padding_that_lies_ends_the_ike_sa_and_any_amount_that_does_not_is_taken() {
    for (text, why) in
        [(&[][..], "no Pad Length"), (&[1], "one more than there is"), (&[0, 0, 255], "255 of 2")]
    {
        let (mut world, mut forger, _) = established();
        let head = forger.head(Role::Initiator, INFO, 2, false);
        let message = forger.seal_text(&head, &[], PayloadType::NONE, text);
        send(&mut world, &message).unwrap();
        let answer = forger.open(world.take().message());
        assert_eq!(ended(&mut world, &answer, why), Failure::Padding);
    }
    let (mut world, mut forger, _) = established();
    for (id, padding) in [(2, 0u8), (3, 1), (4, 200), (5, 255)] {
        let head = forger.head(Role::Initiator, INFO, id, false);
        let mut text = vec![0xAB; padding.into()];
        text.push(padding);
        let message = forger.seal_text(&head, &[], PayloadType::NONE, &text);
        assert_eq!(send(&mut world, &message), Ok(Handled::Processed), "{padding}");
        assert_eq!(forger.open(world.take().message()), []);
    }
    lives(&mut world, 1, "padding");
}

/// What may stand once, twice.
#[test]
fn doubled_payloads_end_the_ike_sa() {
    for ty in [PayloadType::SA, PayloadType::NONCE, PayloadType::TS_I, PayloadType::TS_R] {
        let (mut world, mut forger, template) = established();
        let mut payloads = template.clone();
        payloads.push(template.iter().find(|raw| raw.ty == ty).unwrap().clone());
        let answer = ask(&mut world, &mut forger, CREATE, &payloads);
        assert_eq!(ended(&mut world, &answer, "doubled"), Failure::DuplicatePayload(ty));
    }
}

#[test]
fn create_child_sa_without_a_payload_that_it_needs_ends_the_ike_sa() {
    for ty in [PayloadType::SA, PayloadType::NONCE, PayloadType::TS_I, PayloadType::TS_R] {
        let (mut world, mut forger, mut payloads) = established();
        payloads.retain(|raw| raw.ty != ty);
        let answer = ask(&mut world, &mut forger, CREATE, &payloads);
        let failure = ended(&mut world, &answer, "missing");
        assert_eq!(failure, Failure::MissingPayload(ty));
        says(&failure, &["payload is missing"]);
    }
}

/// §2.5: only the request fails, and unknown payloads that are not critical are passed over.
#[test]
fn unknown_payloads_inside_sk_are_skipped_unless_critical() {
    let (mut world, mut forger, template) = established();
    let unknown = |critical| Raw { critical, ..Raw::new(PayloadType(222), b"what is this") };
    for (exchange, payloads) in [(INFO, vec![]), (CREATE, template.clone())] {
        let mut critical = payloads.clone();
        critical.push(unknown(true));
        let answer = ask(&mut world, &mut forger, exchange, &critical);
        assert_eq!(answer, [Raw::notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[222])]);
        lives(&mut world, 1, "critical");
        let mut skipped = payloads;
        skipped.insert(0, unknown(false));
        let answer = ask(&mut world, &mut forger, exchange, &skipped);
        assert!(notifies(&answer).is_empty(), "{answer:?}");
    }
    lives(&mut world, 2, "skipped");
    // A Delete beside a critical unknown payload is not carried out either.
    let delete = Raw::new(PayloadType::DELETE, &[1, 0, 0, 0]);
    ask(&mut world, &mut forger, INFO, &[delete, unknown(true)]);
    lives(&mut world, 2, "rejected in its entirety");
}

/// Whatever the phase, an exchange that has no place in it is dropped.
#[test]
fn authentic_exchanges_without_a_place_are_dropped() {
    let (mut world, mut forger, template) = established();
    let before = dump(world.endpoint(B));
    for exchange in [34, 35, 38, 39, 40, 41, 42, 43, 45, 200, 255, 0] {
        let exchange = ExchangeType(exchange);
        let head = forger.head(Role::Initiator, exchange, 2, false);
        let message = forger.seal(&head, &template);
        assert_eq!(send(&mut world, &message), Err(Rejection::UnexpectedExchange(exchange)));
    }
    assert_eq!(before, dump(world.endpoint(B)));
    assert_eq!(world.in_flight().count(), 0);
    lives(&mut world, 1, "unexpected");
    // Before IKE_AUTH, with the keys of the half-open SA.
    let (mut world, mut forger, auth) = about_to_authenticate();
    for exchange in [CREATE, INFO, ExchangeType::IKE_INTERMEDIATE, ExchangeType(200)] {
        for id in [0, 1, 2] {
            let head = forger.head(Role::Initiator, exchange, id, false);
            let message = forger.seal(&head, &[Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]);
            assert!(send(&mut world, &message).is_err(), "{exchange} {id}");
        }
    }
    world.deliver(&auth).unwrap().unwrap();
    world.run();
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

#[test]
fn deletes_that_are_malformed_end_the_ike_sa() {
    let cases: [(&str, &[u8]); 9] = [
        ("no body", &[]),
        ("half a body", &[3, 4, 0]),
        ("fewer SPIs than said", &[3, 4, 0, 2, 0, 0, 1, 1]),
        ("more SPIs than said", &[3, 4, 0, 1, 0, 0, 1, 1, 0, 0, 1, 2]),
        ("half an SPI", &[3, 4, 0, 1, 0, 0]),
        ("ESP with SPIs of 8", &[3, 8, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]),
        ("ESP with SPIs of 0", &[3, 0, 0, 1]),
        ("the IKE SA with an SPI", &[1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]),
        ("the IKE SA with a count", &[1, 0, 0, 1]),
    ];
    for (why, body) in cases {
        let (mut world, mut forger, _) = established();
        let answer = ask(&mut world, &mut forger, INFO, &[Raw::new(PayloadType::DELETE, body)]);
        let failure = ended(&mut world, &answer, why);
        assert!(matches!(failure, Failure::Malformed(_)), "{why}: {failure:?}");
    }
}

/// What is not there, not the peer's to name, or named twice.
#[test]
fn deletes_of_what_is_not_there_delete_nothing() {
    let (mut world, mut forger, _) = established();
    let child = world.node(B).mirror.children.values().next().unwrap();
    let (inbound, outbound) = (child.inbound.clone().unwrap().spi, child.outbound.clone().unwrap().spi);
    let delete = |protocol: u8, spis: &[[u8; 4]]| {
        let mut body = vec![protocol, 4, 0, spis.len() as u8];
        spis.iter().for_each(|spi| body.extend_from_slice(spi));
        Raw::new(PayloadType::DELETE, &body)
    };
    let ours = inbound.to_be_bytes();
    for (why, payloads) in [
        ("a foreign SPI", vec![delete(3, &[[9, 9, 9, 9]])]),
        ("SPI zero", vec![delete(3, &[[0; 4]])]),
        ("our SPI instead of the peer's", vec![delete(3, &[ours])]),
        ("no SPI", vec![delete(3, &[])]),
        ("AH", vec![delete(2, &[outbound.to_be_bytes()])]),
        ("an unknown protocol", vec![delete(77, &[outbound.to_be_bytes()])]),
        ("all of them", vec![delete(3, &[[9; 4], [0; 4]]), delete(2, &[[1; 4]]), delete(3, &[ours, ours])]),
        ("hundreds", vec![delete(3, &vec![[7; 4]; 200]); 20]),
    ] {
        assert_eq!(ask(&mut world, &mut forger, INFO, &payloads), [], "{why}");
        lives(&mut world, 1, why);
    }
    // The right one, twice, among foreign ones: once.
    let theirs = outbound.to_be_bytes();
    let payloads = [delete(3, &[[9; 4], theirs, theirs]), delete(3, &[theirs])];
    let answer = ask(&mut world, &mut forger, INFO, &payloads);
    assert_eq!(answer, [delete(3, &[ours])]);
    assert_eq!(kinds(&world.take_events(B)), ["data path", "Child down"]);
    // The IKE SA together with a Child SA that is gone and other things.
    let payloads = [
        delete(3, &[theirs]),
        Raw::notify(NotifyType(40_000), b"?"),
        Raw::new(PayloadType::DELETE, &[1, 0, 0, 0]),
    ];
    assert_eq!(ask(&mut world, &mut forger, INFO, &payloads), []);
    assert_eq!(downs(&world.take_events(B))[0].1, DownReason::DeletedByPeer);
}

#[test]
fn notifies_of_every_kind_in_a_request_are_answered_and_passed_over() {
    let (mut world, mut forger, _) = established();
    for ty in (0..60).chain([8_191, 8_192, 16_383, 16_384, 16_385, 16_400, 40_959, 40_960, 65_535]) {
        let ty = NotifyType(ty);
        if [NotifyType::AUTHENTICATION_FAILED, NotifyType::INVALID_SYNTAX].contains(&ty)
            || ty == NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD
        {
            continue;
        }
        for data in [&[][..], &[1], &[0, 0, 0, 7], &[0; 500]] {
            let mut with_spi = Raw::notify(ty, &[]);
            with_spi.body = [&[3, 4], &ty.0.to_be_bytes()[..], &[1, 2, 3, 4], data].concat();
            let payloads = [Raw::notify(ty, data), with_spi];
            assert_eq!(ask(&mut world, &mut forger, INFO, &payloads), [], "{ty}");
        }
    }
    lives(&mut world, 1, "notifies");
    for (size, why) in [(255, "an SPI beyond the payload"), (5, "an SPI one octet too long")] {
        let (mut world, mut forger, _) = established();
        let notify = Raw::new(PayloadType::NOTIFY, &[3, size, 0x40, 0, 1, 2, 3, 4]);
        let answer = ask(&mut world, &mut forger, INFO, &[notify]);
        assert!(matches!(ended(&mut world, &answer, why), Failure::Malformed(_)));
    }
}

/// §2.21.3: these two end the SA on both sides without a Delete.
#[test]
fn fatal_notifies_in_a_request_end_the_ike_sa() {
    for ty in [NotifyType::AUTHENTICATION_FAILED, NotifyType::INVALID_SYNTAX] {
        let (mut world, mut forger, _) = established();
        assert_eq!(ask(&mut world, &mut forger, INFO, &[Raw::notify(ty, &[])]), []);
        assert_eq!(down(&world.take_events(B)), Failure::Refused { notify: ty });
        world.run_for_secs(11);
        world.assert_empty(B);
    }
}

fn selectors(list: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![list.len() as u8, 0, 0, 0];
    list.iter().for_each(|selector| body.extend_from_slice(selector));
    body
}

const V4: [u8; 16] = [7, 0, 0, 16, 0, 0, 0xFF, 0xFF, 10, 0, 0, 0, 10, 255, 255, 255];

#[test]
fn traffic_selectors_that_are_malformed_end_the_ike_sa() {
    let change = |at: usize, octet: u8| {
        let mut selector = V4;
        selector[at] = octet;
        selector
    };
    let mut reversed_ports = V4;
    reversed_ports[4..8].copy_from_slice(&[0, 9, 0, 8]);
    let cases = [
        ("no selector", selectors(&[])),
        ("no body", vec![]),
        ("more than there are", {
            let mut body = selectors(&[&V4]);
            body[0] = 2;
            body
        }),
        ("fewer than there are", {
            let mut body = selectors(&[&V4, &V4]);
            body[0] = 1;
            body
        }),
        ("a selector of length 15", selectors(&[&change(3, 15)])),
        ("a selector of length 0", selectors(&[&change(3, 0)])),
        ("a selector longer than the payload", selectors(&[&change(3, 17)])),
        ("IPv6 of IPv4's length", selectors(&[&change(0, 8)])),
        ("start after end", selectors(&[&change(8, 11)])),
        ("ports reversed and not OPAQUE", selectors(&[&reversed_ports])),
    ];
    for (why, bytes) in cases {
        for ty in [PayloadType::TS_I, PayloadType::TS_R] {
            let (mut world, mut forger, mut payloads) = established();
            *body_mut(&mut payloads, ty) = bytes.clone();
            let answer = ask(&mut world, &mut forger, CREATE, &payloads);
            assert!(matches!(ended(&mut world, &answer, why), Failure::Malformed(_)), "{why}");
        }
    }
}

/// Well-formed, and nothing that we could carry.
#[test]
fn traffic_selectors_that_fit_nothing_fail_alone() {
    let v6 = [&[8, 0, 0, 40, 0, 0, 0xFF, 0xFF][..], &[0; 16], &[0xFF; 16]].concat();
    let label = [&[10, 0, 0, 9][..], b"label"].concat();
    let (mut world, mut forger, template) = established();
    for (why, ts_i, ts_r) in [
        ("families that do not meet", selectors(&[&V4]), selectors(&[&v6])),
        ("only unknown types", selectors(&[&label]), selectors(&[&label, &label])),
        ("one side unknown", selectors(&[&V4]), selectors(&[&label])),
        ("IPv6 alone", selectors(&[&v6]), selectors(&[&v6])),
    ] {
        let mut payloads = template.clone();
        *body_mut(&mut payloads, PayloadType::TS_I) = ts_i;
        *body_mut(&mut payloads, PayloadType::TS_R) = ts_r;
        let answer = ask(&mut world, &mut forger, CREATE, &payloads);
        assert_eq!(answer, [Raw::notify(NotifyType::TS_UNACCEPTABLE, &[])], "{why}");
        let failure = child_failure(&world.take_events(B));
        assert!(matches!(failure, Failure::TsUnacceptable(_)), "{why}: {failure:?}");
        lives(&mut world, 1, why);
    }
    // As many as there can be, with OPAQUE ports and unknown types among them, are taken.
    let mut opaque = V4;
    opaque[1] = 17;
    opaque[4..8].copy_from_slice(&[0xFF, 0xFF, 0, 0]);
    let mut list: Vec<&[u8]> = vec![&V4; 253];
    list.push(&opaque);
    list.push(&label);
    let mut payloads = template;
    *body_mut(&mut payloads, PayloadType::TS_I) = selectors(&list);
    let answer = ask(&mut world, &mut forger, CREATE, &payloads);
    assert!(notifies(&answer).is_empty(), "{answer:?}");
    lives(&mut world, 2, "255 selectors");
}

/// RFC 4303 §2.1: SPIs 0 to 255 are no SPIs of an SA; and of 4 octets.
#[test]
fn reserved_spis_and_spis_of_another_size_are_refused() {
    for spi in [&[0, 0, 0, 0][..], &[0, 0, 0, 1], &[0, 0, 0, 255], &[], &[1, 2, 3], &[1; 8]] {
        let (mut world, mut forger, mut payloads) = established();
        let proposal = Proposal { spi: spi.to_vec(), ..Peer::esp_proposal(1) };
        *body_mut(&mut payloads, PayloadType::SA) = Peer::sa(&[proposal]).body;
        payloads.retain(|raw| raw.ty != PayloadType::KE);
        let answer = ask(&mut world, &mut forger, CREATE, &payloads);
        assert_eq!(answer, [Raw::notify(NotifyType::NO_PROPOSAL_CHOSEN, &[])], "{spi:?}");
        says(&child_failure(&world.take_events(B)), &["SPI"]);
        lives(&mut world, 1, "SPI");
    }
}

/// An additional key exchange of RFC 9370, which is not spoken here.
#[test]
fn proposals_with_transform_types_that_are_not_known_are_passed_over() {
    let (mut world, mut forger, mut payloads) = established();
    payloads.retain(|raw| raw.ty != PayloadType::KE);
    let mut unknown = Peer::esp_proposal(0x1000_0001);
    unknown.transforms.push(Transform::new(ikev2_wire::TransformType(6), 36));
    *body_mut(&mut payloads, PayloadType::SA) = Peer::sa(&[unknown.clone()]).body;
    let answer = ask(&mut world, &mut forger, CREATE, &payloads);
    assert_eq!(answer, [Raw::notify(NotifyType::NO_PROPOSAL_CHOSEN, &[])]);
    world.take_events(B);
    let known = Proposal { number: 2, ..Peer::esp_proposal(0x1000_0001) };
    *body_mut(&mut payloads, PayloadType::SA) = Peer::sa(&[unknown, known]).body;
    let answer = ask(&mut world, &mut forger, CREATE, &payloads);
    assert!(notifies(&answer).is_empty(), "{answer:?}");
    assert_eq!(answer.iter().find(|raw| raw.ty == PayloadType::SA).unwrap().body[4], 2);
    lives(&mut world, 2, "the second proposal");
}

/// Key exchange data that gives no secret in CREATE_CHILD_SA.
#[test]
fn bad_key_exchange_data_in_create_child_sa_is_refused() {
    for data in [vec![0; 32], vec![9; 31], vec![9; 33], vec![]] {
        let (mut world, mut forger, mut payloads) = established();
        let ke = body_mut(&mut payloads, PayloadType::KE);
        ke.truncate(4);
        ke.extend_from_slice(&data);
        let answer = ask(&mut world, &mut forger, CREATE, &payloads);
        let failure = ended(&mut world, &answer, "KE");
        assert!(matches!(failure, Failure::KeyExchange { .. }), "{failure:?}");
    }
}

/// Answers to our CREATE_CHILD_SA that are none: the Child SA fails, what the peer
/// has set up is deleted there, and the IKE SA lives.
#[test]
fn answers_to_create_child_sa_that_are_none_fail_the_child_sa_alone() {
    type Change = fn(&mut Vec<Raw>);
    fn proposals(payloads: &mut [Raw], change: impl FnOnce(&mut Vec<Proposal>)) {
        let mut list = vec![Peer::esp_proposal(0xBBBB_0002)];
        list[0].transforms.insert(1, Transform::ke(ikev2_wire::KeMethod::CURVE25519));
        change(&mut list);
        *body_mut(payloads, PayloadType::SA) = Peer::sa(&list).body;
    }
    let cases: [(&str, Change); 16] = [
        ("two proposals", |p| {
            proposals(p, |list| list.push(Proposal { number: 2, ..list[0].clone() }));
        }),
        ("two ciphers", |p| {
            proposals(p, |list| list[0].transforms.insert(0, Transform::encr(EncrId::AES_GCM_16, Some(128))));
        }),
        ("a cipher not offered", |p| {
            proposals(p, |list| list[0].transforms[0] = Transform::encr(EncrId::AES_CCM_16, Some(256)));
        }),
        ("another key length", |p| proposals(p, |list| list[0].transforms[0].key_bits = Some(192))),
        ("no cipher", |p| proposals(p, |list| drop(list[0].transforms.remove(0)))),
        ("no kind of sequence numbers", |p| proposals(p, |list| drop(list[0].transforms.pop()))),
        ("a number not offered", |p| proposals(p, |list| list[0].number = 9)),
        ("the protocol of IKE", |p| proposals(p, |list| list[0].protocol = ikev2_wire::ProtocolId::IKE)),
        ("SPI zero", |p| proposals(p, |list| list[0].spi = vec![0; 4])),
        ("a reserved SPI", |p| proposals(p, |list| list[0].spi = vec![0, 0, 0, 99])),
        ("no nonce", |p| p.retain(|raw| raw.ty != PayloadType::NONCE)),
        ("no TSi", |p| p.retain(|raw| raw.ty != PayloadType::TS_I)),
        ("no TSr", |p| p.retain(|raw| raw.ty != PayloadType::TS_R)),
        ("no KE", |p| p.retain(|raw| raw.ty != PayloadType::KE)),
        ("KE of another method", |p| body_mut(p, PayloadType::KE)[1] = 19),
        ("more traffic than asked for", |p| {
            *body_mut(p, PayloadType::TS_R) = selectors(
                &[&[8, 0, 0, 40, 0, 0, 0xFF, 0xFF][..], &[0; 16], &[0xFF; 16]]
                    .concat()
                    .chunks(40)
                    .collect::<Vec<_>>(),
            );
        }),
    ];
    for (why, change) in cases {
        let (a, b) = two();
        let mut world = World::established(a, b);
        let sa = world.handle(A);
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.deliver_next();
        let mut forger = Forger::new(&world.node(A).keys);
        let answer = forger.alter(&world.take(), change);
        world.deliver(&answer).unwrap().unwrap();
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["Child failed"], "{why}");
        assert!(!child_failure(&events).to_string().is_empty());
        // B has set one up: it is deleted by the SPI that we offered.
        let delete = world.take();
        assert_eq!(forger.open(delete.message())[0].ty, PayloadType::DELETE, "{why}");
        world.deliver(&delete).unwrap().unwrap();
        world.run();
        assert_eq!(world.node(A).mirror.sas.len(), 1, "{why}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        // No SPI is kept for it.
        world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
        world.run_for_secs(15);
        world.assert_empty(A);
    }
}

/// An SA beside an error is an SA; nothing at all is no answer.
#[test]
fn answers_with_an_error_and_an_sa_or_with_nothing() {
    for (why, keep, error, up) in [
        ("both", true, Some(NotifyType::TEMPORARY_FAILURE), true),
        ("an unknown error", false, Some(NotifyType(8_000)), false),
        ("TEMPORARY_FAILURE", false, Some(NotifyType::TEMPORARY_FAILURE), false),
        ("CHILD_SA_NOT_FOUND", false, Some(NotifyType::CHILD_SA_NOT_FOUND), false),
        ("a status alone", false, Some(NotifyType(40_000)), false),
        ("nothing", false, None, false),
    ] {
        let (a, b) = two();
        let mut world = World::established(a, b);
        let sa = world.handle(A);
        world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        world.deliver_next();
        let mut forger = Forger::new(&world.node(A).keys);
        let answer = forger.alter(&world.take(), |payloads| {
            if !keep {
                payloads.clear();
            }
            payloads.extend(error.map(|ty| Raw::notify(ty, &[])));
        });
        world.deliver(&answer).unwrap().unwrap();
        let events = world.take_events(A);
        assert_eq!(kinds(&events).contains(&"Child up"), up, "{why}: {events:?}");
        assert_eq!(kinds(&events).contains(&"Child failed"), !up, "{why}");
        assert_eq!(world.node(A).mirror.sas.len(), 1);
        // Nothing is tried again by itself (§2.25: not at once).
        assert_eq!(world.in_flight().count(), 0, "{why}");
    }
}

/// Authentic and malformed answers to INFORMATIONAL.
#[test]
fn malformed_answers_do_not_stand_for_success() {
    for exchange in [INFO, CREATE] {
        let (a, b) = two();
        let mut world = World::established(a, b);
        let sa = world.handle(A);
        if exchange == INFO {
            world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
        } else {
            world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        }
        world.deliver_next();
        let answer = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let head = support::forge::head_of(answer.message());
        let broken = forger.seal_text(&head, &[], PayloadType::SA, &[0, 0, 0, 99, 1, 0]);
        world.deliver(&answer.with_message(&broken)).unwrap().unwrap();
        let events = world.take_events(A);
        assert!(!kinds(&events).contains(&"Child up"), "{events:?}");
        // §2.21: no error is sent for an answer; what may be sent is a Delete.
        world.in_flight().for_each(|packet| {
            let payloads = forger.open(packet.message());
            assert!(payloads.iter().all(|raw| raw.ty == PayloadType::DELETE), "{payloads:?}");
        });
        world.run();
        world.run_for_secs(400);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        assert_eq!(world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len());
    }
}

/// IKE_AUTH requests of a peer that has the keys of IKE_SA_INIT and nothing else right.
#[test]
fn ike_auth_requests_that_are_wrong_end_the_half_open_sa() {
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, NotifyType, Change); 14] = [
        ("no IDi", NotifyType::INVALID_SYNTAX, |p| p.retain(|raw| raw.ty != PayloadType::ID_I)),
        ("no AUTH: EAP", NotifyType::AUTHENTICATION_FAILED, |p| {
            p.retain(|raw| raw.ty != PayloadType::AUTH);
        }),
        ("nothing", NotifyType::INVALID_SYNTAX, |p| p.clear()),
        ("IDi twice", NotifyType::INVALID_SYNTAX, |p| p.push(p[0].clone())),
        ("AUTH twice", NotifyType::INVALID_SYNTAX, |p| {
            let auth = p.iter().find(|raw| raw.ty == PayloadType::AUTH).unwrap().clone();
            p.push(auth);
        }),
        ("AUTH of 0 octets", NotifyType::AUTHENTICATION_FAILED, |p| {
            body_mut(p, PayloadType::AUTH).truncate(4);
        }),
        ("AUTH of 31 octets", NotifyType::AUTHENTICATION_FAILED, |p| {
            body_mut(p, PayloadType::AUTH).truncate(4 + 31);
        }),
        ("AUTH with an octet more", NotifyType::AUTHENTICATION_FAILED, |p| {
            body_mut(p, PayloadType::AUTH).push(0);
        }),
        ("AUTH without a method", NotifyType::INVALID_SYNTAX, |p| body_mut(p, PayloadType::AUTH).clear()),
        ("NULL authentication", NotifyType::AUTHENTICATION_FAILED, |p| {
            body_mut(p, PayloadType::AUTH)[0] = 13;
        }),
        ("ID_IPV4_ADDR of 5 octets", NotifyType::INVALID_SYNTAX, |p| {
            *body_mut(p, PayloadType::ID_I) = vec![1, 0, 0, 0, 10, 0, 0, 1, 9];
        }),
        ("ID_FQDN with NUL", NotifyType::INVALID_SYNTAX, |p| {
            *body_mut(p, PayloadType::ID_I) = b"\x02\0\0\0a.example\0".to_vec();
        }),
        ("an empty ID_FQDN", NotifyType::AUTHENTICATION_FAILED, |p| {
            body_mut(p, PayloadType::ID_I).truncate(4);
        }),
        ("an unknown critical payload", NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, |p| {
            p.push(Raw::new(PayloadType(200), &[]).critical());
        }),
    ];
    for (why, told, change) in cases {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        world.deliver_next();
        let request = world.take();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&request, change);
        world.deliver(&altered).unwrap().unwrap();
        let answer = notifies(&forger.open(world.take().message()));
        assert_eq!(answer.iter().map(|(ty, _)| *ty).collect::<Vec<_>>(), [told], "{why}");
        let events = world.take_events(B);
        assert_eq!(kinds(&events), ["IKE down"], "{why}");
        assert!(!down(&events).to_string().is_empty());
        assert_eq!((world.endpoint(B).half_open(), world.endpoint(B).ike_sas().count()), (0, 0), "{why}");
        // Its repeat gets the same, the genuine request comes too late, and nothing is left.
        assert_eq!(world.deliver(&altered), Some(Ok(Handled::RepeatAnswered)), "{why}");
        assert_eq!(world.deliver(&request), Some(Err(Rejection::AlteredRepeat(1))), "{why}");
        world.link.loss = 1_000;
        world.run_for_secs(11);
        world.assert_empty(B);
    }
}

/// What may stand in an IKE_AUTH request and means nothing here is passed over.
#[test]
fn ike_auth_requests_with_more_than_is_needed_are_taken() {
    let more = [
        Raw::new(PayloadType::CP, &[1, 0, 0, 0, 0, 1, 0, 0]),
        Raw::new(PayloadType::CERT, &[4, 1, 2, 3]),
        Raw::new(PayloadType::CERT, &[12, 1, 2, 3]),
        Raw::new(PayloadType::CERTREQ, &[4]),
        Raw::new(PayloadType::VENDOR_ID, b"x"),
        Raw::new(PayloadType(99), b"unknown"),
        Raw::notify(NotifyType::MOBIKE_SUPPORTED, &[]),
        Raw::notify(NotifyType::EAP_ONLY_AUTHENTICATION, &[]),
        Raw::notify(NotifyType::SET_WINDOW_SIZE, &[1, 2]),
        Raw::notify(NotifyType::SET_WINDOW_SIZE, &[0, 0, 0, 0]),
        Raw::notify(NotifyType::USE_TRANSPORT_MODE, &[]),
        Raw::notify(NotifyType(8_100), &[]),
    ];
    for extra in more {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        world.deliver_next();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&world.take(), |payloads| payloads.insert(1, extra.clone()));
        world.deliver(&altered).unwrap().unwrap();
        world.run();
        assert_eq!(world.node(B).mirror.children.len(), 1, "{extra:?}");
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    }
}

/// IKE_AUTH answers that are none: the initiator ends the SA, and tells a peer that believes it up.
#[test]
fn ike_auth_answers_that_are_wrong_end_the_sa_on_both_sides() {
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, Change); 7] = [
        ("no IDr", |p| p.retain(|raw| raw.ty != PayloadType::ID_R)),
        ("no AUTH", |p| p.retain(|raw| raw.ty != PayloadType::AUTH)),
        ("nothing", |p| p.clear()),
        ("AUTH twice", |p| {
            let auth = p.iter().find(|raw| raw.ty == PayloadType::AUTH).unwrap().clone();
            p.push(auth);
        }),
        ("a malformed SA", |p| body_mut(p, PayloadType::SA)[2] = 9),
        ("another method", |p| body_mut(p, PayloadType::AUTH)[0] = 13),
        ("an unknown critical payload", |p| p.push(Raw::new(PayloadType(200), &[]).critical())),
    ];
    for (why, change) in cases {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        for _ in 0..3 {
            world.deliver_next();
        }
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&world.take(), change);
        world.deliver(&altered).unwrap().unwrap();
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["IKE down"], "{why}");
        let refusal = world.take();
        assert_eq!(refusal.header().exchange, INFO, "{why}");
        world.deliver(&refusal).unwrap().unwrap();
        assert_eq!(downs(&world.take_events(B)).len(), 1, "{why}");
        world.run();
        world.run_for_secs(11);
        world.assert_empty(A);
        world.assert_empty(B);
    }
}

/// A Child SA in the answer to IKE_AUTH that is none: the IKE SA lives, and the peer's half is deleted.
#[test]
fn a_child_sa_that_is_none_in_the_ike_auth_answer_fails_alone() {
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, Change); 4] = [
        ("a cipher not offered", |p| {
            let mut proposal = Peer::esp_proposal(0xBBBB_0002);
            proposal.transforms[0] = Transform::encr(EncrId::AES_GCM_16, Some(192));
            *body_mut(p, PayloadType::SA) = Peer::sa(&[proposal]).body;
        }),
        ("no TSi", |p| p.retain(|raw| raw.ty != PayloadType::TS_I)),
        ("only unknown selectors", |p| {
            *body_mut(p, PayloadType::TS_R) = selectors(&[&[10, 0, 0, 5, 1]]);
        }),
        ("a key exchange", |p| {
            let mut proposal = Peer::esp_proposal(0xBBBB_0002);
            proposal.transforms.push(Transform::ke(ikev2_wire::KeMethod::CURVE25519));
            *body_mut(p, PayloadType::SA) = Peer::sa(&[proposal]).body;
        }),
    ];
    for (why, change) in cases {
        let (a, b) = two();
        let mut world = World::pair(a, b);
        world.connect(A, B);
        for _ in 0..3 {
            world.deliver_next();
        }
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&world.take(), change);
        world.deliver(&altered).unwrap().unwrap();
        assert_eq!(kinds(&world.take_events(A)), ["IKE up", "Child failed"], "{why}");
        world.run();
        assert_eq!(world.node(B).mirror.children.len(), 0, "{why}");
        assert_eq!((world.node(A).mirror.sas.len(), world.node(B).mirror.sas.len()), (1, 1), "{why}");
    }
}
