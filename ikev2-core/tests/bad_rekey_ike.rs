//! Rekeys of the IKE SA that are none (RFC 7296 §1.3.2, §2.18, §3.3.1): authentic requests that no sound peer sends, and
//! authentic answers to ours. Bad public values are in `bad_keys`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::Fault;
use ikev2_core::negotiation::{RefusalReason, ResponseFault};
use ikev2_core::{DownReason, Event, Failure, Role};
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{EncrId, PrfId, Proposal, ProtocolId, Transform, TransformType};
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::{Peer, body_mut, has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

const CREATE: ExchangeType = ExchangeType::CREATE_CHILD_SA;

/// Two that offer two methods and have the first in use; A's request for a rekey is taken out of flight.
fn rekeying() -> (World, Forger, Packet) {
    let proposals = ["aes256gcm16-prfsha256-x25519-ecp256"];
    let (a, b) = two();
    let mut world = World::established(a.ike(&proposals), b.ike(&proposals));
    let sa = world.handle(A);
    world.call(A, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
    let forger = Forger::new(&world.node(A).keys);
    let request = world.take();
    (world, forger, request)
}

/// Puts proposals in place of those that are there.
fn proposals(payloads: &mut [Raw], change: impl FnOnce(&mut Vec<Proposal>)) {
    let mut list = vec![Proposal { spi: vec![7; 8], ..Peer::ike_proposal(1) }];
    change(&mut list);
    *body_mut(payloads, PayloadType::SA) = Peer::sa(&list).body;
}

fn without(payloads: &mut Vec<Raw>, ty: PayloadType) {
    payloads.retain(|raw| raw.ty != ty);
}

fn nonce_of(payloads: &mut [Raw], octets: usize) {
    *body_mut(payloads, PayloadType::NONCE) = vec![5; octets];
}

fn doubled(payloads: &mut Vec<Raw>, ty: PayloadType) {
    payloads.push(payloads.iter().find(|raw| raw.ty == ty).unwrap().clone());
}

type Change = fn(&mut Vec<Raw>);
type Check = fn(&Failure) -> bool;

fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::MissingPayload(_))
}

fn is_malformed(failure: &Failure) -> bool {
    matches!(failure, Failure::Malformed(_))
}

fn is_twice(failure: &Failure) -> bool {
    matches!(failure, Failure::DuplicatePayload(_))
}

fn is_key_exchange(failure: &Failure) -> bool {
    matches!(failure, Failure::KeyExchange { .. })
}

/// What the first proposal failed on.
fn refused(failure: &Failure) -> Option<&RefusalReason> {
    match failure {
        Failure::NoProposalChosen(mismatch) => mismatch.first(),
        _ => None,
    }
}

/// What is malformed whichever way it goes.
const MALFORMED: [(&str, Change, Check); 10] = [
    ("no nonce", |p| without(p, PayloadType::NONCE), is_missing),
    ("a nonce of 15 octets", |p| nonce_of(p, 15), is_malformed),
    ("a nonce of 257 octets", |p| nonce_of(p, 257), is_malformed),
    ("two nonces", |p| doubled(p, PayloadType::NONCE), is_twice),
    ("no KE", |p| without(p, PayloadType::KE), is_missing),
    ("KE without a method", |p| body_mut(p, PayloadType::KE).truncate(1), is_malformed),
    ("KE of 31 octets", |p| body_mut(p, PayloadType::KE).truncate(4 + 31), is_key_exchange),
    ("KE of 33 octets", |p| body_mut(p, PayloadType::KE).push(1), is_key_exchange),
    ("two KE", |p| doubled(p, PayloadType::KE), is_twice),
    ("two SA", |p| doubled(p, PayloadType::SA), is_twice),
];

/// A malformed request ends the IKE SA with INVALID_SYNTAX (§2.21.3).
#[test]
fn malformed_requests_end_the_ike_sa() {
    for (why, change, check) in MALFORMED {
        let (mut world, mut forger, request) = rekeying();
        world.deliver(&forger.alter(&request, change)).unwrap().unwrap();
        let told = forger.open(world.take().message());
        assert_eq!(told, [Raw::notify(NotifyType::INVALID_SYNTAX, &[])], "{why}");
        let failure = down(&world.take_events(B));
        assert!(check(&failure), "{why}: {failure:?}");
        assert_eq!(failure.fault(), Fault::PeerMisbehaved, "{why}");
        world.link.loss = 1_000;
        world.run_for_secs(11);
        world.assert_empty(B);
    }
}

/// Requests that fail alone: what is told, and that the IKE SA, its Child SAs and its number of SPIs are as before.
#[test]
fn requests_that_cannot_be_agreed_on_fail_alone() {
    let (none, other_ke) = (NotifyType::NO_PROPOSAL_CHOSEN, NotifyType::INVALID_KE_PAYLOAD);
    let spi_size: Check = |f| matches!(refused(f), Some(RefusalReason::SpiSize { expected: 8 }));
    let spi: Check = |f| matches!(refused(f), Some(RefusalReason::SpiReserved));
    let transform: Check = |f| matches!(refused(f), Some(RefusalReason::Transform { .. }));
    let missing: Check = |f| matches!(refused(f), Some(RefusalReason::Missing(_)));
    let unknown: Check = |f| matches!(refused(f), Some(RefusalReason::TransformType(TransformType(99))));
    let ke: Check = |f| matches!(f, Failure::InvalidKe(_));
    let cases: [(&str, Change, NotifyType, Check); 13] = [
        ("no SPI", |p| proposals(p, |list| list[0].spi.clear()), none, spi_size),
        ("an SPI of 4 octets", |p| proposals(p, |list| list[0].spi.truncate(4)), none, spi_size),
        ("an SPI of 9 octets", |p| proposals(p, |list| list[0].spi.push(1)), none, spi_size),
        ("SPI zero", |p| proposals(p, |list| list[0].spi.fill(0)), none, spi),
        ("another cipher", |p| proposals(p, |l| l[0].transforms[0].key_bits = Some(128)), none, transform),
        (
            "another PRF",
            |p| proposals(p, |l| l[0].transforms[1] = Transform::prf(PrfId::HMAC_SHA2_512)),
            none,
            transform,
        ),
        ("no PRF", |p| proposals(p, |l| drop(l[0].transforms.remove(1))), none, missing),
        ("no method", |p| proposals(p, |l| drop(l[0].transforms.remove(2))), none, missing),
        (
            "NONE as method",
            |p| proposals(p, |l| l[0].transforms[2] = Transform::ke(KeMethod::NONE)),
            none,
            transform,
        ),
        (
            "an additional key exchange",
            |p| proposals(p, |l| l[0].transforms.push(Transform::new(TransformType(6), 36))),
            none,
            transform,
        ),
        (
            "a transform type that nobody knows",
            |p| proposals(p, |l| l[0].transforms.push(Transform::new(TransformType(99), 36))),
            none,
            unknown,
        ),
        (
            "proposals of two protocols, neither good",
            |p| {
                proposals(p, |l| {
                    l[0].spi.clear();
                    l.push(Proposal { protocol: ProtocolId::AH, ..l[0].clone() });
                });
            },
            none,
            spi_size,
        ),
        (
            "KE by a method that is not in the proposal",
            |p| {
                proposals(p, |_| ());
                body_mut(p, PayloadType::KE)[1] = 19;
            },
            other_ke,
            ke,
        ),
    ];
    for (why, change, told, check) in cases {
        let (mut world, mut forger, request) = rekeying();
        let spis = dump(world.endpoint(B)).matches("IkeSpi(").count();
        world.deliver(&forger.alter(&request, change)).unwrap().unwrap();
        let answer = world.take();
        let data = if told == other_ke { vec![0, 31] } else { vec![] };
        assert_eq!(notifies(&forger.open(answer.message())), [(told, data)], "{why}");
        let events = world.take_events(B);
        let [Event::IkeRekeyFailed { failure, .. }] = &events[..] else { panic!("{why}: {events:?}") };
        assert!(check(failure), "{why}: {failure:?}");
        assert_eq!(failure.fault(), Fault::PeerIncompatible, "{why}");
        assert_eq!((world.node(B).mirror.sas.len(), world.node(B).mirror.children.len()), (1, 1), "{why}");
        assert_eq!(dump(world.endpoint(B)).matches("IkeSpi(").count(), spis, "{why}");
        // The next one that is sound is served.
        let head = forger.head(Role::Initiator, CREATE, request.header().message_id + 1, false);
        let again = forger.seal(&head, &forger.open(request.message()));
        world.deliver(&request.with_message(&again)).unwrap().unwrap();
        assert_eq!(kinds(&world.take_events(B)), ["IKE rekeyed"], "{why}");
    }
}

/// What else may stand in a request is passed over: another proposal that is none, payloads of a Child SA.
#[test]
fn requests_with_more_than_is_needed_are_served() {
    let cases: [(&str, Change); 4] = [
        ("a bad proposal in front", |p| {
            proposals(p, |l| {
                l[0].transforms.push(Transform::new(TransformType(6), 36));
                l.push(Proposal { number: 2, ..Proposal { spi: vec![8; 8], ..Peer::ike_proposal(2) } });
            });
        }),
        ("a proposal of another protocol behind", |p| {
            proposals(p, |l| l.push(Proposal { number: 2, ..Peer::esp_proposal(0x1234_5678) }));
        }),
        ("traffic selectors", |p| {
            let all = [&[1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 0xFF, 0xFF][..], &[0; 4], &[0xFF; 4]].concat();
            p.push(Raw::new(PayloadType::TS_I, &all));
            p.push(Raw::new(PayloadType::TS_R, &all));
        }),
        ("a nonce of 256 octets", |p| nonce_of(p, 256)),
    ];
    for (why, change) in cases {
        let (mut world, mut forger, request) = rekeying();
        world.deliver(&forger.alter(&request, change)).unwrap().unwrap();
        assert_eq!(kinds(&world.take_events(B)), ["IKE rekeyed"], "{why}");
        let answer = forger.open(world.take().message());
        assert!(has(&answer, PayloadType::SA) && !has(&answer, PayloadType::TS_I), "{why}");
    }
}

/// Answers with an SA that is none of our proposals.
fn foreign_answers() -> [(&'static str, Change, Check); 16] {
    fn fault(failure: &Failure) -> Option<&ResponseFault> {
        match failure {
            Failure::ProposalAnswer(fault) => Some(fault),
            _ => None,
        }
    }
    let choice: Check = |f| fault(f).is_some();
    let count: Check = |f| matches!(fault(f), Some(ResponseFault::ProposalCount(2)));
    [
        ("two proposals", |p| proposals(p, |l| l.push(Proposal { number: 2, ..l[0].clone() })), count),
        ("a number that was not offered", |p| proposals(p, |l| l[0].number = 9), choice),
        ("another protocol", |p| proposals(p, |l| l[0].protocol = ProtocolId::ESP), choice),
        ("no SPI", |p| proposals(p, |l| l[0].spi.clear()), choice),
        ("an SPI of 4 octets", |p| proposals(p, |l| l[0].spi.truncate(4)), choice),
        ("SPI zero", |p| proposals(p, |l| l[0].spi.fill(0)), choice),
        (
            "a cipher that was not offered",
            |p| {
                proposals(p, |l| l[0].transforms[0] = Transform::encr(EncrId::AES_CCM_16, Some(256)));
            },
            choice,
        ),
        ("another key length", |p| proposals(p, |l| l[0].transforms[0].key_bits = Some(128)), choice),
        (
            "a PRF that was not offered",
            |p| {
                proposals(p, |l| l[0].transforms[1] = Transform::prf(PrfId::HMAC_SHA2_384));
            },
            choice,
        ),
        (
            "two ciphers",
            |p| {
                proposals(p, |l| l[0].transforms.insert(0, Transform::encr(EncrId::AES_GCM_16, Some(128))));
            },
            choice,
        ),
        ("no PRF", |p| proposals(p, |l| drop(l[0].transforms.remove(1))), choice),
        ("no method", |p| proposals(p, |l| drop(l[0].transforms.remove(2))), choice),
        (
            "NONE as method",
            |p| {
                proposals(p, |l| l[0].transforms[2] = Transform::ke(KeMethod::NONE));
            },
            choice,
        ),
        (
            "another method than that of our KE",
            |p| {
                proposals(p, |l| l[0].transforms[2] = Transform::ke(KeMethod::ECP_256));
            },
            choice,
        ),
        (
            "an additional key exchange",
            |p| {
                proposals(p, |l| l[0].transforms.push(Transform::new(TransformType(6), 36)));
            },
            choice,
        ),
        (
            "KE by another method than was chosen",
            |p| body_mut(p, PayloadType::KE)[1] = 19,
            |f| matches!(f, Failure::KeMethod { wanted: KeMethod::CURVE25519, got: KeMethod::ECP_256 }),
        ),
    ]
}

/// Answers with an SA that is none of ours: the peer goes on by what we cannot have, so the IKE SA is deleted.
#[test]
fn answers_that_are_none_end_the_ike_sa() {
    for (why, change, check) in foreign_answers().into_iter().chain(MALFORMED) {
        let (mut world, mut forger, request) = rekeying();
        world.deliver(&request).unwrap().unwrap();
        let answer = forger.alter(&world.take(), change);
        world.deliver(&answer).unwrap().unwrap();
        // By the IKE SA that both ends know, and not another try.
        let delete = world.take();
        assert_eq!(forger.open(delete.message()), [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])], "{why}");
        assert_eq!(world.in_flight().count(), 0, "{why}");
        world.deliver(&delete).unwrap().unwrap();
        world.run();
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["data path", "Child down", "IKE down"], "{why}");
        let failure = down(&events);
        assert!(check(&failure), "{why}: {failure:?}");
        assert_eq!(failure.fault(), Fault::PeerMisbehaved, "{why}");
        // The other end finds out that its new one is its own alone.
        world.run_for_secs(400);
        world.assert_empty(A);
        world.assert_empty(B);
        assert!(matches!(downs(&world.take_events(B))[0].1, DownReason::Failed(_)), "{why}");
    }
}

/// What A is told where the peer answers its rekey with this alone; it keeps the IKE SA and tries again later.
fn refused_with(payloads: &[Raw]) -> Failure {
    let (mut world, mut forger, request) = rekeying();
    answer(&mut world, &mut forger, &request, payloads);
    let events = world.take_events(A);
    let [Event::IkeRekeyFailed { failure, .. }] = &events[..] else { panic!("{payloads:?}: {events:?}") };
    // Not at once.
    assert_eq!(world.in_flight().count(), 0, "{payloads:?}");
    assert_eq!((world.node(A).mirror.sas.len(), world.node(A).mirror.children.len()), (1, 1));
    let failure = (**failure).clone();
    world.link.loss = 1_000;
    let sent = world.node(A).only_sa().1.requests_sent;
    world.run_for_secs(8);
    assert_eq!(world.node(A).only_sa().1.requests_sent, sent + 1, "{payloads:?}");
    // Nothing is kept of what failed.
    let sa = world.handle(A);
    world.call(A, |e, now| e.delete_ike_sa(now, sa)).unwrap();
    world.run_for_secs(400);
    world.assert_empty(A);
    failure
}

fn answer(world: &mut World, forger: &mut Forger, request: &Packet, payloads: &[Raw]) {
    let head = forger.head(Role::Responder, CREATE, request.header().message_id, true);
    let octets = forger.seal(&head, payloads);
    world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
}

/// §1.3, §2.7: a method that was just sent, was not offered or is none is not followed.
#[test]
fn invalid_ke_payload_that_leads_nowhere_is_not_followed() {
    for data in [&[0, 31][..], &[0, 14], &[0, 0], &[], &[19], &[0, 19, 0]] {
        let failure = refused_with(&[Raw::notify(NotifyType::INVALID_KE_PAYLOAD, data)]);
        let Failure::KeMethodWanted { wanted, offered } = &failure else { panic!("{data:?}: {failure:?}") };
        let expected = if data.len() == 2 { data[1] } else { 0 };
        assert_eq!(
            (wanted.0, &offered[..]),
            (expected.into(), &[KeMethod::CURVE25519, KeMethod::ECP_256][..])
        );
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
    }
}

/// A peer that wants the other method each time is not followed for ever.
#[test]
fn invalid_ke_payload_in_a_loop_is_bounded() {
    let (mut world, mut forger, mut request) = rekeying();
    for round in 0..6 {
        let wanted = if round % 2 == 0 { 19 } else { 31 };
        answer(
            &mut world,
            &mut forger,
            &request,
            &[Raw::notify(NotifyType::INVALID_KE_PAYLOAD, &[0, wanted])],
        );
        assert_eq!(world.take_events(A), [], "{round}");
        request = world.take();
        let payloads = forger.open(request.message());
        assert_eq!(support::peer::body(&payloads, PayloadType::KE)[..2], [0, wanted]);
    }
    answer(&mut world, &mut forger, &request, &[Raw::notify(NotifyType::INVALID_KE_PAYLOAD, &[0, 19])]);
    let events = world.take_events(A);
    let [Event::IkeRekeyFailed { failure, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&**failure, failure.fault()), (&Failure::TooManyRetries(6), Fault::PeerMisbehaved));
    assert_eq!(world.in_flight().count(), 0);
    // B has served none of it, and both are as before.
    world.link.loss = 0;
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// Answers without an SA refuse, whatever else they hold.
#[test]
fn answers_without_an_sa_refuse() {
    let refused = |notify| Failure::Refused { notify };
    let notify = |ty| Raw::notify(ty, &[]);
    let cases = [
        (vec![notify(NotifyType::NO_PROPOSAL_CHOSEN)], refused(NotifyType::NO_PROPOSAL_CHOSEN)),
        (vec![notify(NotifyType::TEMPORARY_FAILURE)], refused(NotifyType::TEMPORARY_FAILURE)),
        (vec![notify(NotifyType(8_000))], refused(NotifyType(8_000))),
        (vec![notify(NotifyType(40_000))], Failure::NoAnswer),
        (vec![], Failure::NoAnswer),
        (vec![Raw::new(PayloadType::NONCE, &[1; 32])], Failure::NoAnswer),
    ];
    for (payloads, expected) in cases {
        let failure = refused_with(&payloads);
        assert_eq!(failure, expected);
        let fault =
            if failure == Failure::NoAnswer { Fault::PeerMisbehaved } else { Fault::PeerIncompatible };
        assert_eq!(failure.fault(), fault);
    }
}

/// The same where the peer's rekey crosses ours and was served before: in the end both have the same IKE SA, or none,
/// whichever of the two exchanges has the lowest nonce.
#[test]
fn answers_that_are_none_to_a_rekey_that_crosses_the_peers() {
    let changes: [Change; 3] = [
        |p| p.push(Raw::new(PayloadType(222), &[]).critical()),
        |p| body_mut(p, PayloadType::KE)[4..].fill(0),
        |p| without(p, PayloadType::NONCE),
    ];
    let mut lived = std::collections::BTreeSet::new();
    for seed in 0..12 {
        for change in changes {
            let (a, b) = two();
            let mut world = World::new(vec![a, b], seed);
            world.strict = false;
            world.connect(A, B);
            world.run();
            let mut forger = Forger::new(&world.node(A).keys);
            for node in [A, B] {
                let sa = world.handle(node);
                world.call(node, |e, now| e.rekey_ike_sa(now, sa)).unwrap();
            }
            let (ours, theirs) = (world.take(), world.take());
            world.deliver(&theirs).unwrap().unwrap();
            let answer_to_theirs = world.take();
            world.deliver(&ours).unwrap().unwrap();
            let answer_to_ours = world.take();
            world.deliver(&forger.alter(&answer_to_ours, change)).unwrap().unwrap();
            world.deliver(&answer_to_theirs).unwrap().unwrap();
            world.run_for_secs(600);
            assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
            let spis = [A, B].map(|node| {
                world.endpoint(node).ike_sas().map(|(_, info)| info.initiator_spi).collect::<Vec<_>>()
            });
            assert_eq!(spis[A], spis[B], "seed {seed}");
            lived.insert(spis[A].len());
        }
    }
    assert_eq!(lived.into_iter().collect::<Vec<_>>(), [0, 1]);
}
