//! IKE_FOLLOWUP_KE (RFC 9370 §2.2.4): the additional key exchanges after CREATE_CHILD_SA.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::{Event, Failure, Role};
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use std::time::Duration;
use support::Dice;
use support::forge::{Forger, Raw, head_of};
use support::mirror::assert_crosswise;
use support::peer::{body_mut, has, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

const CREATE: ExchangeType = ExchangeType::CREATE_CHILD_SA;
const FOLLOW_UP: ExchangeType = ExchangeType::IKE_FOLLOWUP_KE;
const IKE: &str = "aes256gcm16-prfsha256-x25519-ke1_mlkem512-ke2_ecp256";
/// Longer than a responder waits for the next exchange.
const REPEATED_AFTER: Duration = Duration::from_secs(22);
const ESP: &str = "aes256gcm16-x25519-ke1_mlkem512-ke3_ecp256";

fn with(setup: Setup, ike: &str, esp: &str) -> Setup {
    let mut setup = setup.ike(&[ike]);
    setup.connection.children = vec![child_with(1, "first", &[esp])];
    // No fragments: a datagram is a message.
    setup.connection.fragmentation = None;
    setup
}

fn world(esp: &str) -> World {
    let (a, b) = two();
    World::established(with(a, IKE, esp), with(b, IKE, esp))
}

/// What a test begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Create,
    RekeyChild,
    RekeyIke,
}

const ALL: [What; 3] = [What::Create, What::RekeyChild, What::RekeyIke];

fn begin(world: &mut World, node: usize, what: What) {
    let sa = world.handle(node);
    let child = world.endpoint(node).child_sas(sa).next().unwrap().child.id;
    let begun = world.call(node, |e, now| match what {
        What::Create => e.create_child(now, sa, "first").map(|_| ()),
        What::RekeyChild => e.rekey_child(now, sa, child),
        What::RekeyIke => e.rekey_ike_sa(now, sa),
    });
    begun.unwrap();
}

fn links(payloads: &[Raw]) -> Vec<Vec<u8>> {
    let of = |(ty, data)| (ty == NotifyType::ADDITIONAL_KEY_EXCHANGE).then_some(data);
    notifies(payloads).into_iter().filter_map(of).collect()
}

fn settled(world: &mut World, children: usize) {
    assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
    for node in [A, B] {
        assert_eq!(world.node(node).mirror.sas.len(), 1);
        assert_eq!(world.node(node).mirror.children.len(), children, "{node}");
        world.take_events(node);
        let sa = world.handle(node);
        world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
        world.run();
        assert!(kinds(&world.take_events(node)).contains(&"alive"));
    }
}

/// §2.2.4: the answer to CREATE_CHILD_SA calls the next exchange by a name, each request brings that name, each answer but
/// the last a further one; nothing is there before the last.
#[test]
fn each_exchange_is_called_by_the_answer_before_it() {
    for what in ALL {
        for node in [A, B] {
            let mut world = world(ESP);
            let forger = Forger::new(&world.node(A).keys);
            begin(&mut world, node, what);
            let mut called = Vec::new();
            let methods = [KeMethod::CURVE25519, KeMethod::ML_KEM_512, KeMethod::ECP_256];
            for (at, method) in methods.into_iter().enumerate() {
                for is_response in [false, true] {
                    let packet = world.peek();
                    let header = packet.header();
                    let exchange = if at == 0 { CREATE } else { FOLLOW_UP };
                    assert_eq!((header.exchange, header.flags.is_response()), (exchange, is_response));
                    let said = forger.open(packet.message());
                    let ke = &said.iter().find(|raw| raw.ty == PayloadType::KE).unwrap().body;
                    assert_eq!(ke[..2], method.0.to_be_bytes());
                    if is_response && at < 2 {
                        called = links(&said);
                        assert_eq!(called.len(), 1);
                    } else if is_response {
                        assert!(links(&said).is_empty());
                    } else if at > 0 {
                        assert_eq!(links(&said), called);
                        assert_eq!(said.len(), 2);
                    }
                    if at < 2 || !is_response {
                        assert_eq!([A, B].map(|node| world.node(node).mirror.children.len()), [1; 2]);
                    }
                    world.deliver_next().unwrap().unwrap();
                }
            }
            world.run();
            let both = if what == What::Create { 2 } else { 1 };
            settled(&mut world, both);
            let info = world.node(A).only_sa().1;
            assert_eq!(info.additional.len(), 2);
            let sa = world.handle(B);
            let newest = world.endpoint(B).child_sas(sa).max_by_key(|child| child.child.id).unwrap();
            let methods: Vec<_> = newest.additional.methods().collect();
            let of_ike_auth = what == What::RekeyIke;
            assert_eq!(methods.is_empty(), of_ike_auth, "{what:?}");
        }
    }
}

#[test]
fn each_datagram_may_be_lost_once() {
    for what in ALL {
        for lost in 0..12 {
            let mut world = world(ESP);
            begin(&mut world, A, what);
            for _ in 0..lost {
                world.deliver_next();
            }
            if world.in_flight().count() == 0 {
                break;
            }
            world.take();
            world.run_for_secs(20);
            settled(&mut world, if what == What::Create { 2 } else { 1 });
        }
    }
}

/// Both ends at once, all orders by chance, some datagrams lost: what is left is one of each, and memory is back where it
/// was (RFC 9370 §2.2.4: the loser does not follow up).
#[test]
fn both_ends_at_once() {
    let mut seen = [0; 2];
    for seed in 0..160 {
        let mut random = Dice::new(seed);
        let mut world = world(ESP);
        let what = [What::RekeyChild, What::RekeyIke][(seed % 2) as usize];
        let other = if seed % 5 == 0 { ALL[random.below(3) as usize] } else { what };
        begin(&mut world, A, what);
        if random.per_mille(300) {
            world.deliver_next();
        }
        begin(&mut world, B, other);
        let lost = random.below(3) as u32;
        world.deliver_in_any_order(lost);
        world.run_for_secs(120);
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        for node in [A, B] {
            let children = world.node(node).mirror.children.len();
            assert!(children == 1 || other == What::Create && children == 2, "{seed}: {children}");
            assert_eq!(world.node(node).mirror.sas.len(), 1, "{seed}");
            let events = world.take_events(node);
            let rekeyed =
                kinds(&events).iter().any(|kind| *kind == "IKE rekeyed" || *kind == "Child replaced");
            seen[usize::from(rekeyed)] += 1;
        }
        settled(&mut world, world_children(other));
    }
    assert!(seen[1] > 100, "{seen:?}");
}

fn world_children(other: What) -> usize {
    if other == What::Create { 2 } else { 1 }
}

/// The same where each end prefers another kind: one exchange is over with CREATE_CHILD_SA, and the other would go on.
#[test]
fn both_ends_at_once_by_different_kinds_of_exchange() {
    let (classic, hybrid) = ("aes256gcm16-prfsha256-x25519", IKE);
    let (plain, more) = ("aes256gcm16-x25519", ESP);
    for seed in 0..120 {
        let mut random = Dice::new(seed);
        let (mut a, mut b) = two();
        let lists = [([classic, hybrid], [plain, more]), ([hybrid, classic], [more, plain])];
        for (setup, (of_ike, of_child)) in [&mut a, &mut b].into_iter().zip(lists) {
            setup.connection.ike_proposals = ike(&of_ike);
            setup.connection.children = vec![child_with(1, "first", &of_child)];
        }
        let mut world = World::established(a, b);
        let what = [What::RekeyChild, What::RekeyIke][(seed % 2) as usize];
        begin(&mut world, A, what);
        begin(&mut world, B, what);
        world.deliver_in_any_order(random.below(3) as u32);
        world.run_for_secs(120);
        for node in [A, B] {
            let events = world.take_events(node);
            assert!(!kinds(&events).contains(&"IKE down"), "{what:?} {seed}: {events:?}");
        }
        settled(&mut world, 1);
    }
}

/// A world whose node A has sent its first IKE_FOLLOWUP_KE request, and who opens and alters it.
fn following(what: What) -> (World, Forger, Packet) {
    let (a, b) = two();
    let mut a = with(a, IKE, ESP);
    a.connection.retransmit.initial = REPEATED_AFTER;
    let mut world = World::established(a, with(b, IKE, ESP));
    let forger = Forger::new(&world.node(A).keys);
    begin(&mut world, A, what);
    world.deliver_next().unwrap().unwrap();
    world.deliver_next().unwrap().unwrap();
    let request = world.take();
    assert_eq!(request.header().exchange, FOLLOW_UP);
    (world, forger, request)
}

fn altered(forger: &mut Forger, packet: &Packet, change: impl FnOnce(&mut Vec<Raw>)) -> Packet {
    let mut payloads = forger.open(packet.message());
    change(&mut payloads);
    packet.with_message(&forger.seal(&head_of(packet.message()), &payloads))
}

/// A name that is missing, altered, of no length or longer than any: the series is unknown, and the IKE SA lives.
#[test]
fn a_series_that_nobody_knows() {
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, Change); 4] = [
        ("missing", |p| p.retain(|raw| raw.ty == PayloadType::KE)),
        ("altered", |p| body_mut(p, PayloadType::NOTIFY)[4] ^= 1),
        ("of no length", |p| body_mut(p, PayloadType::NOTIFY).truncate(4)),
        ("long", |p| body_mut(p, PayloadType::NOTIFY).resize(60_000, 7)),
    ];
    for what in ALL {
        for (name, change) in cases {
            let (mut world, mut forger, request) = following(what);
            let bad = altered(&mut forger, &request, change);
            world.deliver(&bad).unwrap().unwrap();
            let answer = world.take();
            assert_eq!(
                notifies(&forger.open(answer.message())),
                [(NotifyType::STATE_NOT_FOUND, vec![])],
                "{name}"
            );
            world.deliver(&answer).unwrap().unwrap();
            let events = world.take_events(A);
            let told = events.iter().find_map(|event| match event {
                Event::ChildSaFailed { failure, .. } | Event::IkeRekeyFailed { failure, .. } => Some(failure),
                _ => None,
            });
            let refused = Failure::Refused { notify: NotifyType::STATE_NOT_FOUND };
            assert_eq!(told.map(|failure| &**failure), Some(&refused), "{name}: {events:?}");
            // A rekey is tried again, and what the peer waits for is given up.
            world.run_for_secs(120);
            settled(&mut world, 1);
        }
    }
}

/// The initiator does not go on: the responder waits 20 seconds, tells it, and knows nothing of the series any more.
#[test]
fn a_series_that_does_not_go_on_is_given_up() {
    for what in ALL {
        let (mut world, forger, request) = following(what);
        world.run_for_secs(21);
        let events = world.take_events(B);
        let timeout = Failure::Timeout { exchange: FOLLOW_UP, hint: None };
        let told = events.iter().any(|event| match event {
            Event::ChildSaFailed { failure, .. } | Event::IkeRekeyFailed { failure, .. } => {
                **failure == timeout
            }
            _ => false,
        });
        assert!(told, "{what:?}: {events:?}");
        world.deliver(&request).unwrap().unwrap();
        let answer = world.take();
        assert_eq!(notifies(&forger.open(answer.message())), [(NotifyType::STATE_NOT_FOUND, vec![])]);
    }
}

/// Data that is wrong is malformed, as in CREATE_CHILD_SA, and ends the IKE SA (RFC 7296 §2.21.3).
#[test]
fn key_exchange_data_that_is_wrong_ends_the_ike_sa() {
    type Change = fn(&mut Vec<Raw>);
    let wrong = |got| Failure::AdditionalKe { got, wanted: Some(KeMethod::ML_KEM_512) };
    let cases: [(&str, Change, Option<Failure>); 4] = [
        ("another method", |p| body_mut(p, PayloadType::KE)[1] = 31, Some(wrong(KeMethod::CURVE25519))),
        (
            "no KE",
            |p| p.retain(|raw| raw.ty != PayloadType::KE),
            Some(Failure::MissingPayload(PayloadType::KE)),
        ),
        ("a short key", |p| body_mut(p, PayloadType::KE).truncate(700), None),
        ("a key that fails the checks of FIPS 203", |p| body_mut(p, PayloadType::KE)[4..7].fill(0xff), None),
    ];
    for what in ALL {
        for (name, change, wanted) in &cases {
            let (mut world, mut forger, request) = following(what);
            let bad = altered(&mut forger, &request, change);
            world.deliver(&bad).unwrap().unwrap();
            let failure = down(&world.take_events(B));
            assert!(wanted.as_ref().is_none_or(|wanted| *wanted == failure), "{name}: {failure:?}");
            let answer = world.take();
            assert_eq!(
                notifies(&forger.open(answer.message())),
                [(NotifyType::INVALID_SYNTAX, vec![])],
                "{name}"
            );
            world.deliver(&answer).unwrap().unwrap();
            world.run_for_secs(60);
            world.assert_empty(A);
            world.assert_empty(B);
        }
    }
}

/// An answer without what it must have. Of a KEM's ciphertext the draft demands that the IKE SA is deleted
/// (draft-ietf-ipsecme-ikev2-mlkem §2.2).
#[test]
fn answers_that_are_of_no_use() {
    type Change = fn(&mut Vec<Raw>);
    let cases: [(&str, Change, bool); 4] = [
        ("no name for the next one", |p| p.retain(|raw| raw.ty != PayloadType::NOTIFY), false),
        ("no KE", |p| p.retain(|raw| raw.ty != PayloadType::KE), false),
        ("another method", |p| body_mut(p, PayloadType::KE)[1] = 31, false),
        ("a long ciphertext", |p| body_mut(p, PayloadType::KE).push(0), true),
    ];
    for what in ALL {
        for (name, change, ends) in cases {
            let (mut world, mut forger, request) = following(what);
            world.deliver(&request).unwrap().unwrap();
            let answer = world.take();
            let bad = altered(&mut forger, &answer, change);
            world.deliver(&bad).unwrap().unwrap();
            world.run_for_secs(200);
            if ends || what == What::RekeyIke {
                world.assert_empty(A);
                world.assert_empty(B);
            } else {
                assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
                assert_eq!(world.node(A).mirror.children.len(), 1, "{what:?} {name}");
            }
        }
    }
}

/// The answer to CREATE_CHILD_SA that agrees to more key exchanges and does not call the first one.
#[test]
fn an_agreement_that_does_not_say_how_to_go_on() {
    for what in ALL {
        let mut world = world(ESP);
        let mut forger = Forger::new(&world.node(A).keys);
        begin(&mut world, A, what);
        world.deliver_next().unwrap().unwrap();
        let answer = world.take();
        let bad = altered(&mut forger, &answer, |p| p.retain(|raw| raw.ty != PayloadType::NOTIFY));
        world.deliver(&bad).unwrap().unwrap();
        let events = world.take_events(A);
        let told = events.iter().find_map(|event| match event {
            Event::ChildSaFailed { failure, .. } | Event::IkeRekeyFailed { failure, .. } => Some(&**failure),
            _ => None,
        });
        assert_eq!(told, Some(&Failure::NoLink), "{what:?}");
        world.run_for_secs(120);
        settled(&mut world, 1);
    }
}

/// While a series runs its SA counts as being rekeyed (§2.2.4): what the peer asks for waits.
#[test]
fn what_would_cross_a_series_is_put_off() {
    for (ours, theirs) in [
        (What::RekeyChild, What::RekeyChild),
        (What::RekeyIke, What::RekeyIke),
        (What::RekeyIke, What::RekeyChild),
        (What::RekeyIke, What::Create),
        (What::RekeyChild, What::RekeyIke),
    ] {
        let (mut world, mut forger, request) = following(ours);
        // B itself asks for nothing of it.
        begin(&mut world, B, theirs);
        assert_eq!(world.in_flight().count(), 0, "{ours:?} {theirs:?}");
        // And A refuses it from a peer that does.
        let head = forger.head(Role::Responder, CREATE, 0, false);
        let template = {
            let mut other = self::world(ESP);
            let opener = Forger::new(&other.node(A).keys);
            begin(&mut other, B, theirs);
            opener.open(other.take().message())
        };
        let template: Vec<Raw> = template
            .into_iter()
            .map(|mut raw| {
                if raw.ty == PayloadType::NOTIFY && raw.body[2..4] == NotifyType::REKEY_SA.0.to_be_bytes() {
                    let sa = world.handle(B);
                    let spi = world.endpoint(B).child_sas(sa).next().unwrap().inbound;
                    raw.body[4..8].copy_from_slice(&spi.to_be_bytes());
                }
                raw
            })
            .collect();
        let asked = Packet { from: request.to, to: request.from, octets: forger.seal(&head, &template) };
        world.deliver(&asked).unwrap().unwrap();
        let refused = forger.open(world.take().message());
        assert_eq!(notifies(&refused), [(NotifyType::TEMPORARY_FAILURE, vec![])], "{ours:?} {theirs:?}");
        assert!(!has(&refused, PayloadType::SA));
    }
}
