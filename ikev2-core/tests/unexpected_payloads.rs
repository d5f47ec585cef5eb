//! Payloads that have no place where they stand, in every exchange and both ways: unknown ones that are critical
//! (RFC 7296 §2.5), EAP where nobody asked for it (§2.16) and configuration payloads (§2.19). All are authentic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Fault, Unsupported};
use ikev2_core::{DownReason, Failure, IkeSaState};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use support::forge::{Forger, Raw};
use support::mirror::assert_crosswise;
use support::peer::has;
use support::setup::*;
use support::stages::about_to_authenticate;
use support::told::*;
use support::world::*;

/// What A asks B for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Auth,
    Child,
    RekeyChild,
    RekeyIke,
    Liveness,
    DeleteChild,
    DeleteIke,
}

const ALL: [Ask; 7] =
    [Ask::Auth, Ask::Child, Ask::RekeyChild, Ask::RekeyIke, Ask::Liveness, Ask::DeleteChild, Ask::DeleteIke];

impl Ask {
    /// A world in which it is asked, the request, and the keys that both messages are under.
    fn begin(self) -> (World, Forger, Packet) {
        if self == Self::Auth {
            return about_to_authenticate();
        }
        let (a, b) = two();
        let mut world = World::established(a, b);
        let (sa, child) = (world.handle(A), *world.node(A).mirror.children.keys().next().unwrap());
        world
            .call(A, |e, now| match self {
                Self::Child => e.create_child(now, sa, "first"),
                Self::RekeyChild => e.rekey_child(now, sa, child),
                Self::RekeyIke => e.rekey_ike_sa(now, sa),
                Self::DeleteChild => e.delete_child(now, sa, child),
                Self::DeleteIke => e.delete_ike_sa(now, sa),
                Self::Auth | Self::Liveness => e.check_liveness(now, sa),
            })
            .unwrap();
        let forger = Forger::new(&world.node(A).keys);
        let request = world.take();
        (world, forger, request)
    }

    /// The same with the request or its answer changed, which is delivered; what follows is in flight.
    fn with(self, of_answer: bool, change: impl FnOnce(&mut Vec<Raw>)) -> (World, Forger) {
        let (mut world, mut forger, mut message) = self.begin();
        if of_answer {
            world.deliver(&message).unwrap().unwrap();
            message = world.take();
            world.take_events(B);
        }
        let altered = forger.alter(&message, change);
        world.deliver(&altered).unwrap().unwrap();
        (world, forger)
    }

    /// What both ends are told until nothing is in flight any more.
    fn outcome(self, of_answer: bool, change: impl FnOnce(&mut Vec<Raw>)) -> [Vec<&'static str>; 2] {
        let (mut world, _) = self.with(of_answer, change);
        world.run();
        assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
        [A, B].map(|node| kinds(&world.take_events(node)))
    }
}

/// §2.5, §2.21.3: an answer is not answered with an error. What it was about may be there at one end alone, so the IKE
/// SA is deleted and nothing of it is left.
#[test]
fn a_critical_payload_in_an_answer_ends_the_ike_sa() {
    let critical = Failure::CriticalPayload(PayloadType(222));
    assert_eq!(critical.fault(), Fault::PeerMisbehaved);
    for ask in ALL.into_iter().filter(|ask| *ask != Ask::Auth) {
        let push = |payloads: &mut Vec<Raw>| payloads.push(Raw::new(PayloadType(222), b"?").critical());
        let (mut world, forger) = ask.with(true, push);
        if ask == Ask::DeleteIke {
            // It is over at the other end, and nothing is asked for any more.
            assert_eq!(world.in_flight().count(), 0);
            assert_eq!(world.endpoint(A).ike_sas().count(), 0);
        } else {
            assert_eq!(world.node(A).only_sa().1.state, IkeSaState::Closing, "{ask:?}");
            let delete = world.take();
            assert_eq!(world.in_flight().count(), 0, "{ask:?}");
            assert_eq!(forger.open(delete.message()), [Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])]);
            world.put(delete);
        }
        world.run();
        let events = world.take_events(A);
        let told: Vec<_> = kinds(&events).into_iter().filter(|kind| *kind != "data path").collect();
        assert_eq!(told, ["Child down", "IKE down"], "{ask:?}");
        // Who asked for the end knows why it is one.
        match downs(&events).remove(0).1 {
            DownReason::Requested => assert_eq!(ask, Ask::DeleteIke),
            reason => assert_eq!(reason, DownReason::Failed(Box::new(critical.clone())), "{ask:?}"),
        }
        // A peer that rekeyed has another IKE SA, which it finds to be its own alone.
        world.run_for_secs(400);
        world.assert_empty(A);
        world.assert_empty(B);
        let reason = downs(&world.take_events(B)).pop().map(|(_, reason)| reason);
        match ask {
            Ask::RekeyIke => assert!(matches!(reason, Some(DownReason::Failed(_))), "{reason:?}"),
            Ask::DeleteIke => assert_eq!(reason, None),
            _ => assert_eq!(reason, Some(DownReason::DeletedByPeer), "{ask:?}"),
        }
    }
}

/// §2.5: a request with one fails alone, whatever it asks for; IKE_AUTH fails with it.
#[test]
fn a_critical_payload_in_a_request_fails_the_request() {
    for ask in ALL {
        let push = |payloads: &mut Vec<Raw>| payloads.push(Raw::new(PayloadType(222), b"?").critical());
        let (mut world, forger) = ask.with(false, push);
        let told = forger.open(world.take().message());
        assert_eq!(told, [Raw::notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[222])], "{ask:?}");
        let lives = ask != Ask::Auth;
        assert_eq!(world.endpoint(B).ike_sas().count(), usize::from(lives), "{ask:?}");
        assert_eq!(world.node(B).mirror.children.len(), usize::from(lives), "{ask:?}");
        let events = kinds(&world.take_events(B));
        assert_eq!(events, if lives { vec![] } else { vec!["IKE down"] }, "{ask:?}");
    }
}

/// Well-formed payloads that nothing here asks for.
fn misplaced() -> Vec<Raw> {
    vec![
        Raw::new(PayloadType::EAP, &[1, 7, 0, 5, 1]),
        Raw::new(PayloadType::EAP, &[2, 7, 0, 5, 1]),
        Raw::new(PayloadType::EAP, &[3, 7, 0, 4]),
        Raw::new(PayloadType::EAP, &[4, 7, 0, 4]),
        Raw::new(PayloadType::CP, &[1, 0, 0, 0, 0, 1, 0, 0]),
        Raw::new(PayloadType::CP, &[2, 0, 0, 0, 0, 1, 0, 4, 10, 0, 0, 9]),
        Raw::new(PayloadType::CP, &[3, 0, 0, 0]),
        Raw::new(PayloadType::CP, &[4, 0, 0, 0, 0x7F, 0xFF, 0, 0]),
    ]
}

/// They change nothing of what becomes of the exchange, and are answered by nothing. The critical bit means nothing in
/// a payload that is known (§2.5).
#[test]
fn eap_and_configuration_payloads_that_nobody_asked_for_are_passed_over() {
    for ask in ALL {
        for of_answer in [false, true] {
            let usual = ask.outcome(of_answer, |_| ());
            for extra in misplaced() {
                for extra in [extra.clone(), extra.critical()] {
                    let told = ask.outcome(of_answer, |payloads| payloads.insert(0, extra.clone()));
                    assert_eq!(told, usual, "{ask:?} {of_answer} {extra:?}");
                }
            }
        }
        let all = misplaced().into_iter().filter(|raw| raw.ty == PayloadType::CP).take(1);
        let (mut world, forger) = ask.with(false, |payloads| payloads.extend(all));
        let answer = world.take();
        if forger.opens(answer.message()) {
            let payloads = forger.open(answer.message());
            assert!(!has(&payloads, PayloadType::CP) && !has(&payloads, PayloadType::EAP), "{ask:?}");
        }
    }
}

/// They are read all the same: what is malformed, or there twice, ends the IKE SA (§2.21.3).
#[test]
fn eap_and_configuration_payloads_that_are_malformed_end_the_ike_sa() {
    let cases: [(&str, PayloadType, &[&[u8]]); 8] = [
        ("EAP of three octets", PayloadType::EAP, &[&[1, 7, 0]]),
        ("EAP longer than it is", PayloadType::EAP, &[&[1, 7, 0, 9, 1]]),
        ("EAP shorter than it is", PayloadType::EAP, &[&[3, 7, 0, 4, 0]]),
        ("EAP of no type", PayloadType::EAP, &[&[1, 7, 0, 4]]),
        ("two of EAP", PayloadType::EAP, &[&[3, 7, 0, 4], &[3, 7, 0, 4]]),
        ("CP of three octets", PayloadType::CP, &[&[1, 0, 0]]),
        ("half an attribute", PayloadType::CP, &[&[1, 0, 0, 0, 0, 1]]),
        ("an attribute beyond the end", PayloadType::CP, &[&[1, 0, 0, 0, 0, 1, 0, 4, 10]]),
    ];
    for (why, ty, bodies) in cases {
        for ask in ALL {
            for of_answer in [false, true] {
                let extras = bodies.iter().map(|body| Raw::new(ty, body));
                let (mut world, forger) = ask.with(of_answer, |payloads| payloads.extend(extras));
                let next = world.in_flight().next().cloned();
                let next = next.map(|packet| forger.open(packet.message()));
                if of_answer {
                    // An answer is not answered with an error; before the IKE SA is up, that it is not is said.
                    let expected = match ask {
                        Ask::Auth => Some(Raw::notify(NotifyType::AUTHENTICATION_FAILED, &[])),
                        Ask::DeleteIke => None,
                        _ => Some(Raw::new(PayloadType::DELETE, &[1, 0, 0, 0])),
                    };
                    assert_eq!(next, expected.map(|raw| vec![raw]), "{why} {ask:?}");
                } else {
                    assert_eq!(
                        next,
                        Some(vec![Raw::notify(NotifyType::INVALID_SYNTAX, &[])]),
                        "{why} {ask:?}"
                    );
                }
                world.run();
                let events = world.take_events(if of_answer { A } else { B });
                if (ask, of_answer) == (Ask::DeleteIke, true) {
                    assert_eq!(downs(&events).remove(0).1, DownReason::Requested, "{why}");
                    continue;
                }
                let failure = down(&events);
                match bodies.len() {
                    1 => assert!(matches!(failure, Failure::Malformed(_)), "{why} {ask:?}: {failure:?}"),
                    _ => assert_eq!(failure, Failure::DuplicatePayload(ty), "{why} {ask:?}"),
                }
                assert_eq!(failure.fault(), Fault::PeerMisbehaved);
            }
        }
    }
}

/// §2.16: a responder may go on with EAP where the initiator left AUTH out alone. We never do: no proof of ours is
/// taken, and the reason is told, whether the responder has proved itself or not.
#[test]
fn a_responder_that_goes_on_with_eap_is_refused_and_why_is_told() {
    for proves_itself in [true, false] {
        let (mut world, forger) = Ask::Auth.with(true, |payloads| {
            let keep = |ty| ty == PayloadType::ID_R || (proves_itself && ty == PayloadType::AUTH);
            payloads.retain(|raw| keep(raw.ty));
            payloads.push(Raw::new(PayloadType::EAP, &[1, 7, 0, 5, 1]));
        });
        let events = world.take_events(A);
        assert_eq!(kinds(&events), ["IKE down"]);
        let failure = down(&events);
        assert_eq!(failure, Failure::Unsupported(Unsupported::Eap));
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
        says(&failure, &["EAP", "not supported"]);
        let told = world.take();
        assert_eq!(told.header().exchange, ExchangeType::INFORMATIONAL);
        let told = forger.open(told.message());
        assert_eq!(told, [Raw::notify(NotifyType::AUTHENTICATION_FAILED, &[])]);
    }
}
