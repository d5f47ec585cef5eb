//! Redirects to another gateway, as an initiator takes them (RFC 5685).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{Bound, CallError, Fault};
use ikev2_core::{
    DownReason, EndpointConfig, Event, Failure, Gateway, IkeSaState, RedirectCourse, RedirectPolicy,
    Rejection, Role,
};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use support::forge::*;
use support::mirror::assert_crosswise;
use support::peer::{body, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

/// The second gateway, at 192.0.2.3.
const C: usize = 2;
/// GW Ident Type 1, four octets (§9.2).
const TO_C: [u8; 6] = [1, 4, 192, 0, 2, 3];

fn c_address() -> IpAddr {
    "192.0.2.3".parse().unwrap()
}

/// A client and two gateways that prove the same identity.
fn world(policy: Option<RedirectPolicy>) -> World {
    let (mut a, b) = two();
    a.connection.redirects = policy;
    World::new(vec![a, b, Setup::new("b.example", "a.example")], 1)
}

fn following() -> World {
    world(Some(RedirectPolicy::default()))
}

/// The answer of a gateway that redirects in IKE_SA_INIT: no responder SPI, one notification (§3).
fn redirect(request: &Packet, gateway: &[u8], nonce: &[u8]) -> Vec<u8> {
    let mut head = head_of(request.message());
    head.flags = ikev2_wire::Flags::new(false, true);
    plain(&head, &[Raw::notify(NotifyType::REDIRECT, &[gateway, nonce].concat())])
}

fn nonce_of(request: &Packet) -> Vec<u8> {
    body(&payloads_of(request.message()), PayloadType::NONCE).to_vec()
}

fn said(packet: &Packet) -> Vec<(NotifyType, Vec<u8>)> {
    notifies(&payloads_of(packet.message()))
}

fn assert_with(world: &mut World, gateway: usize) {
    world.run_for_secs(30);
    assert_crosswise(&world.node(A).mirror, &world.node(gateway).mirror);
    assert_eq!(world.node(A).mirror.children.len(), 1);
}

/// §3: REDIRECT_SUPPORTED, the answer with our nonce, then the same with the other gateway, which hears who sent us.
#[test]
fn a_redirect_in_ike_sa_init_is_followed() {
    let mut world = following();
    world.connect(A, B);
    let request = world.take();
    assert!(said(&request).contains(&(NotifyType::REDIRECT_SUPPORTED, vec![])));
    let answer = redirect(&request, &TO_C, &nonce_of(&request));
    world.receive(A, world.path(A, B), &answer).unwrap();
    let events = world.take_events(A);
    let [(_, reason)] = &downs(&events)[..] else { panic!("{events:?}") };
    assert_eq!(*reason, DownReason::Redirected(Gateway::Address(c_address())));
    let second = world.peek();
    assert_eq!(second.to.ip(), c_address());
    // GW Ident Type 1 with the address of the first gateway (§9.3), and nothing else of redirects (§3).
    assert!(said(&second).contains(&(NotifyType::REDIRECTED_FROM, vec![1, 4, 192, 0, 2, 2])));
    assert!(said(&second).iter().all(|(ty, _)| *ty != NotifyType::REDIRECT_SUPPORTED));
    assert_with(&mut world, C);
    assert_eq!(world.node(A).only_sa().1.redirected_from, Some("192.0.2.2".parse().unwrap()));
}

/// §3: whoever has not seen the request cannot redirect; the wait goes on.
#[test]
fn a_redirect_without_our_nonce_is_dropped() {
    let mut world = following();
    world.connect(A, B);
    let request = world.peek();
    let mut nonce = nonce_of(&request);
    nonce[0] ^= 1;
    for nonce in [&nonce[..], &nonce_of(&request)[1..], &[]] {
        let rejection = world.receive(A, world.path(A, B), &redirect(&request, &TO_C, nonce)).unwrap_err();
        assert_eq!(rejection, Rejection::UselessAnswer(Box::new(Failure::RedirectNonce)));
    }
    assert_with(&mut world, B);
}

/// Who does not follow redirects does not say so, and drops them with the reason.
#[test]
fn a_connection_that_follows_none_says_so() {
    let mut world = world(None);
    world.connect(A, B);
    let request = world.peek();
    let about = [NotifyType::REDIRECT_SUPPORTED, NotifyType::REDIRECTED_FROM];
    assert!(said(&request).iter().all(|(ty, _)| !about.contains(ty)));
    let answer = redirect(&request, &TO_C, &nonce_of(&request));
    let rejection = world.receive(A, world.path(A, B), &answer).unwrap_err();
    let failure = Failure::Redirected(Gateway::Address(c_address()));
    assert_eq!(rejection, Rejection::UselessAnswer(Box::new(failure)));
    assert_with(&mut world, B);
}

/// §6: after the peer's proof, instead of a Child SA; the IKE SA is deleted at the first gateway.
#[test]
fn a_redirect_in_ike_auth_is_followed_after_the_proof() {
    for follows in [true, false] {
        let mut world = world(follows.then(RedirectPolicy::default));
        world.connect(A, B);
        let answer = world.take_first(ExchangeType::IKE_AUTH, true);
        let answer = Forger::new(&world.node(A).keys).alter(&answer, |payloads| {
            payloads.retain(|raw| matches!(raw.ty, PayloadType::ID_R | PayloadType::AUTH));
            payloads.push(Raw::notify(NotifyType::REDIRECT, &TO_C));
        });
        world.deliver(&answer).unwrap().unwrap();
        let events = world.take_events(A);
        let [(_, reason)] = &downs(&events)[..] else { panic!("{events:?}") };
        let to = Gateway::Address(c_address());
        if follows {
            assert_eq!(*reason, DownReason::Redirected(to));
            assert_with(&mut world, C);
        } else {
            assert_eq!(*reason, DownReason::Failed(Box::new(Failure::Redirected(to))));
            world.run_for_secs(30);
            world.assert_empty(A);
        }
        world.assert_empty(B);
    }
}

/// §6: who has not proved to be the peer redirects nobody.
#[test]
fn a_redirect_with_a_wrong_proof_is_not_followed() {
    let mut world = following();
    world.connect(A, B);
    let answer = world.take_first(ExchangeType::IKE_AUTH, true);
    let answer = Forger::new(&world.node(A).keys).alter(&answer, |payloads| {
        payloads.retain(|raw| matches!(raw.ty, PayloadType::ID_R | PayloadType::AUTH));
        payloads[1].body[10] ^= 1;
        payloads.push(Raw::notify(NotifyType::REDIRECT, &TO_C));
    });
    world.deliver(&answer).unwrap().unwrap();
    assert!(matches!(down(&world.take_events(A)), Failure::Authentication(_)));
    world.run_for_secs(30);
    assert_eq!(world.endpoint(A).ike_sas().count(), 0);
    world.assert_empty(C);
}

fn redirected_in_session(world: &mut World, from: Role, data: &[u8]) {
    world.connect(A, B);
    world.run();
    world.take_events(A);
    let mut forger = Forger::new(&world.node(A).keys);
    let (node, id) = if from == Role::Responder { (A, 0) } else { (B, 2) };
    send_redirect(world, &mut forger, node, from, id, data);
}

/// Under the keys of this forger, to A or B, by an end in this role.
fn send_redirect(world: &mut World, forger: &mut Forger, node: usize, from: Role, id: u32, data: &[u8]) {
    let head = forger.head(from, ExchangeType::INFORMATIONAL, id, false);
    let message = forger.seal(&head, &[Raw::notify(NotifyType::REDIRECT, data)]);
    let path = if node == A { world.path(A, B) } else { world.path(B, A) };
    world.receive(node, path, &message).unwrap();
}

fn courses(events: &[Event]) -> Vec<RedirectCourse> {
    let course = |event: &Event| match event {
        Event::IkeSaRedirected { course, .. } => Some(course.clone()),
        _ => None,
    };
    events.iter().filter_map(course).collect()
}

/// §5: the answer is empty; the old SAs are deleted when the new ones are there.
#[test]
fn a_redirect_of_a_session_is_followed_make_before_break() {
    let mut world = following();
    redirected_in_session(&mut world, Role::Responder, &TO_C);
    let answer = world.take();
    assert!(answer.header().flags.is_response());
    assert!(Forger::new(&world.node(A).keys).open(answer.message()).is_empty());
    world.run();
    let events = world.take_events(A);
    assert!(
        events.iter().any(|e| matches!(e, Event::IkeSaRedirected { course: RedirectCourse::Followed, .. }))
    );
    let told = kinds(&events);
    let at = |kind| told.iter().position(|told| *told == kind).unwrap();
    assert!(at("Child up") < at("Child down"));
    assert_eq!(downs(&events)[0].1, DownReason::Replaced);
    assert_with(&mut world, C);
    world.assert_empty(B);
}

/// §9.2: a nonce belongs to IKE_SA_INIT alone; §10: only the original responder redirects; a name is the embedder's to
/// resolve; and who follows none is told.
#[test]
fn what_is_not_followed_in_a_session() {
    let with_nonce = [&TO_C[..], &[7; 32]].concat();
    let mut world = following();
    redirected_in_session(&mut world, Role::Responder, &with_nonce);
    assert!(!world.take_events(A).iter().any(|e| matches!(e, Event::IkeSaRedirected { .. })));
    let mut world = following();
    redirected_in_session(&mut world, Role::Initiator, &TO_C);
    assert!(!world.take_events(B).iter().any(|e| matches!(e, Event::IkeSaRedirected { .. })));

    let mut unwilling = self::world(None);
    redirected_in_session(&mut unwilling, Role::Responder, &TO_C);
    let sa = unwilling.handle(A);
    let to = Gateway::Address(c_address());
    let course = RedirectCourse::Refused(Box::new(Failure::Redirected(to.clone())));
    let told = Event::IkeSaRedirected { sa, to, course };
    assert_eq!(unwilling.take_events(A), [told]);

    let mut named = following();
    redirected_in_session(&mut named, Role::Responder, b"\x03\x0agw.example");
    let old = named.handle(A);
    let to = Gateway::Name("gw.example".into());
    let told = Event::IkeSaRedirected { sa: old, to, course: RedirectCourse::Named };
    assert_eq!(named.take_events(A), [told]);
    let (path, from) = (named.path(A, C), "192.0.2.2".parse().unwrap());
    named.call(A, |e, now| e.connect_redirected(now, "tunnel", path, from)).unwrap();
    named.run();
    named.call(A, |e, now| e.delete_ike_sa(now, old)).unwrap();
    named.run();
    assert_with(&mut named, C);
    assert_eq!(named.node(A).only_sa().1.redirected_from, Some(from));
}

/// §7: MAX_REDIRECTS in REDIRECT_LOOP_DETECT_PERIOD; later ones are counted anew.
#[test]
fn gateways_do_not_send_us_round_for_ever() {
    for (pause, followed) in [(0, 5), (100, 9)] {
        let mut world = following();
        world.connect(A, B);
        let mut done = 0;
        let failure = loop {
            let request = world.take();
            let nonce = nonce_of(&request);
            let to = if request.to.ip() == c_address() { [1, 4, 192, 0, 2, 2] } else { TO_C };
            let answer = redirect(&request, &to, &nonce);
            let node = if request.to.ip() == c_address() { C } else { B };
            world.take_all();
            world.receive(A, world.path(A, node), &answer).unwrap();
            match downs(&world.take_events(A)).pop().unwrap().1 {
                DownReason::Redirected(_) => done += 1,
                DownReason::Failed(failure) => break *failure,
                other => panic!("{other}"),
            }
            if done == followed && pause > 0 {
                return;
            }
            let held = world.take_all();
            world.now += Duration::from_secs(pause);
            for packet in held {
                world.put(packet);
            }
        };
        assert_eq!((failure, done), (Failure::TooManyRedirects(5), followed));
        assert_eq!(world.in_flight().count(), 0);
    }
}

/// §3: the same identity is asked of the other gateway.
#[test]
fn the_other_gateway_must_be_the_same_peer() {
    let (mut a, b) = two();
    a.connection.redirects = Some(RedirectPolicy::default());
    let mut world = World::new(vec![a, b, Setup::new("c.example", "a.example")], 1);
    world.connect(A, B);
    let request = world.take();
    let answer = redirect(&request, &TO_C, &nonce_of(&request));
    world.receive(A, world.path(A, B), &answer).unwrap();
    world.take_events(A);
    world.run_for_secs(30);
    let refused = Failure::Refused { notify: NotifyType::AUTHENTICATION_FAILED };
    assert_eq!(down(&world.take_events(A)), refused);
    assert_eq!(world.endpoint(A).ike_sas().count(), 0);
}

/// An address of the other version of IP, or of no host, is where no path leads; the IKE SA lives on.
#[test]
fn a_redirect_where_no_path_leads_is_refused_and_said() {
    let v6 = [&[2, 16][..], &"2001:db8::3".parse::<std::net::Ipv6Addr>().unwrap().octets()].concat();
    for data in [&v6[..], &[1, 4, 0, 0, 0, 0], &[1, 4, 224, 0, 0, 1], &[1, 4, 255, 255, 255, 255]] {
        let mut world = following();
        redirected_in_session(&mut world, Role::Responder, data);
        let events = world.take_events(A);
        let [Event::IkeSaRedirected { to, course, .. }] = &events[..] else { panic!("{events:?}") };
        let refused = Failure::RedirectOutOfReach(to.clone());
        assert_eq!(*course, RedirectCourse::Refused(Box::new(refused)));
        world.run_for_secs(3_000);
        assert_with(&mut world, B);

        let mut world = following();
        world.connect(A, B);
        let request = world.take();
        let answer = redirect(&request, data, &nonce_of(&request));
        world.receive(A, world.path(A, B), &answer).unwrap();
        let [(_, DownReason::Failed(failure))] = &downs(&world.take_events(A))[..] else { panic!() };
        assert!(matches!(**failure, Failure::RedirectOutOfReach(_)), "{failure}");
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
    }
}

/// Where there is no room for the next IKE SA that is said, and it is begun when there is.
#[test]
fn a_redirect_waits_for_room() {
    let (mut a, b) = two();
    a.connection.redirects = Some(RedirectPolicy::default());
    a.config.max_ike_sas = 1;
    let mut world = World::new(vec![a, b, Setup::new("b.example", "a.example")], 1);
    redirected_in_session(&mut world, Role::Responder, &TO_C);
    let events = world.take_events(A);
    assert_eq!(courses(&events), [RedirectCourse::Followed]);
    let error = CallError::Limit(Bound::IkeSas);
    let predecessor = world.handle(A);
    let told = Event::IkeSaNotFollowed { connection: "tunnel".into(), predecessor, error };
    assert!(events.contains(&told), "{events:?}");
    let mut roomy = EndpointConfig::clone(world.endpoint(A).config());
    roomy.max_ike_sas = 2;
    world.call(A, |e, _| e.set_config(Arc::new(roomy)));
    world.run_for_secs(600);
    assert_with(&mut world, C);
}

/// A redirect in IKE_SA_INIT that cannot be followed ends with a word.
#[test]
fn a_redirect_in_ike_sa_init_that_finds_no_room_is_said() {
    let (mut a, b) = two();
    a.connection.redirects = Some(RedirectPolicy::default());
    a.config.max_ike_sas = 1;
    let mut world = World::new(vec![a, b, Setup::new("b.example", "a.example")], 1);
    world.connect(A, B);
    let request = world.take();
    let answer = redirect(&request, &TO_C, &nonce_of(&request));
    world.receive(A, world.path(A, B), &answer).unwrap();
    let events = world.take_events(A);
    let not_followed = |event: &Event| matches!(event, Event::IkeSaNotFollowed { .. });
    assert_eq!(events.iter().filter(|event| not_followed(event)).count(), 1, "{events:?}");
}

/// The answer to a rekey and the peer's next request by the former IKE SA may cross.
#[test]
fn a_redirect_by_a_former_ike_sa_is_followed() {
    let mut world = following();
    world.connect(A, B);
    world.run();
    let mut forger = Forger::new(&world.node(A).keys);
    let at_b = world.handle(B);
    world.call(B, |e, now| e.rekey_ike_sa(now, at_b)).unwrap();
    let request = world.take();
    world.deliver(&request).unwrap().unwrap();
    world.take_all();
    world.take_events(A);
    // Message ID 0 was the rekey.
    send_redirect(&mut world, &mut forger, A, Role::Responder, 1, &TO_C);
    assert_eq!(courses(&world.take_events(A)), [RedirectCourse::Followed]);
    world.run();
    assert_eq!(world.node(C).mirror.children.len(), 1);
}

/// The newest counts, whatever is on its way; and all of one IKE SA count as in a row (§7).
#[test]
fn a_redirect_while_another_ike_sa_is_on_its_way_takes_its_place() {
    let mut world = following();
    // Nobody is there.
    redirected_in_session(&mut world, Role::Responder, &[1, 4, 192, 0, 2, 9]);
    let mut forger = Forger::new(&world.node(A).keys);
    assert_eq!(world.endpoint(A).ike_sas().count(), 2);
    send_redirect(&mut world, &mut forger, A, Role::Responder, 1, &TO_C);
    assert_eq!(courses(&world.take_events(A)), [RedirectCourse::Followed, RedirectCourse::Followed]);
    assert_with(&mut world, C);
    assert!(world.node(B).mirror.children.is_empty());

    let mut world = following();
    redirected_in_session(&mut world, Role::Responder, &[1, 4, 192, 0, 2, 9]);
    let mut forger = Forger::new(&world.node(A).keys);
    for id in 1..10 {
        send_redirect(&mut world, &mut forger, A, Role::Responder, id, &[1, 4, 192, 0, 2, 9]);
    }
    let refused = RedirectCourse::Refused(Box::new(Failure::TooManyRedirects(5)));
    assert_eq!(
        courses(&world.take_events(A))[4..],
        [&[RedirectCourse::Followed][..], &vec![refused; 5]].concat()
    );
    let live = world.endpoint(A).ike_sas().filter(|(_, info)| info.state != IkeSaState::Closing);
    assert_eq!(live.count(), 2);
}

/// Nobody is there where the peer sent us: the next attempt is with the peer itself.
#[test]
fn a_redirect_to_nobody_leads_back() {
    let mut world = following();
    redirected_in_session(&mut world, Role::Responder, &[1, 4, 192, 0, 2, 9]);
    world.run_for_secs(600);
    assert_with(&mut world, B);
    let (_, info) = world.node(A).only_sa();
    assert!(info.replaces.is_some() && info.redirected_from.is_none(), "{info:?}");
}
