//! The rules of RFC 7383 for whoever sends: when messages are fragmented, how large, and what happens when nothing
//! comes back. What is received is in `reassembly`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::FragmentFault;
use ikev2_core::{Event, FragmentPolicy, Handled, Rejection, Role};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{Header, Message};
use std::time::Duration;
use support::forge::{Forger, Raw, chain, payloads_of};
use support::fragments::*;
use support::peer::{Peer, has, notifies};
use support::setup::*;
use support::world::*;

/// The notify of RFC 7383 §2.3: Protocol ID 0, SPI Size 0, type 16430, no data.
const SUPPORTED: [u8; 4] = [0, 0, 0x40, 0x2E];

fn says_supported(message: &[u8]) -> bool {
    payloads_of(message).iter().any(|raw| raw.ty == PayloadType::NOTIFY && raw.body == SUPPORTED)
}

fn check_liveness(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.check_liveness(now, sa)).unwrap();
}

/// A Child SA whose request is large: it offers many selectors.
fn create_large_child(world: &mut World, node: usize) {
    let sa = world.handle(node);
    world.call(node, |e, now| e.create_child(now, sa, "large")).unwrap();
}

fn with_large_child(setup: &mut ikev2_core::Connection) {
    let nets: Vec<String> = (0..60).map(|net| format!("10.{net}.0.0/16")).collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    setup.children.push(child(7, "large", &nets, &nets));
}

/// RFC 7383 §2.3.
#[test]
fn both_ends_say_that_they_fragment() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    assert!(says_supported(world.peek().message()));
    world.deliver_next();
    assert!(says_supported(world.peek().message()));
    world.run();
    for node in [A, B] {
        assert_eq!(world.node(node).only_sa().1.fragment_size, Some(1_280));
    }
}

/// §2.4: never unless both said so.
#[test]
fn one_end_alone_does_not_fragment() {
    for off in [A, B] {
        let (mut a, mut b) = two_with_certificates(4_000, 4_000);
        [&mut a, &mut b][off].connection.fragmentation = None;
        let mut world = World::pair(a, b);
        world.connect(A, B);
        assert_eq!(says_supported(world.peek().message()), off == B);
        world.deliver_next();
        assert!(!says_supported(world.peek().message()));
        world.deliver_next();
        assert_eq!(fragment(&world.peek()), None);
        assert!(world.peek().ip_octets() > 4_000);
        // Neither at once nor when nothing comes back.
        let lost = world.take();
        world.run_for_secs(8);
        assert!(world.take_all().iter().all(|packet| packet.octets == lost.octets));
        world.deliver(&lost).unwrap().unwrap();
        assert_eq!(fragment(&world.peek()), None);
        world.run();
        assert_up(&world);
        for node in [A, B] {
            assert_eq!(world.node(node).only_sa().1.fragment_size, None);
        }
    }
}

/// A responder that says so without having been asked has not agreed with anybody.
#[test]
fn a_notify_that_nobody_asked_for_means_nothing() {
    let (mut a, _) = two_with_certificates(4_000, 0);
    a.connection.fragmentation = None;
    let mut world = World::pair(a, Setup::new("b.example", "a.example"));
    world.connect(A, B);
    let request = world.take();
    let mut peer = Peer::responder();
    let notify = Raw::notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]);
    let answer = peer.init_answer(request.message(), |payloads| payloads.extend([notify, hashes()]));
    world.deliver(&Packet { from: request.to, to: request.from, octets: answer }).unwrap().unwrap();
    assert_eq!(fragment(&world.peek()), None);
    let head = peer.forger.as_ref().unwrap().head(Role::Responder, ExchangeType::IKE_AUTH, 1, true);
    for octets in peer.forger.as_mut().unwrap().seal_fragments(&head, &[Raw::notify(NotifyType(24), &[])], 2)
    {
        let result = world.deliver(&Packet { from: request.to, to: request.from, octets });
        assert_eq!(result, Some(Err(Rejection::Fragment(FragmentFault::NotAgreed))));
    }
}

/// §2.2: only what has an SK payload is fragmented.
#[test]
fn ike_sa_init_is_never_fragmented() {
    let (mut a, mut b) = two();
    (a.connection.fragmentation, b.connection.fragmentation) = (sizes(100, 100), sizes(100, 100));
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let lost = world.take();
    world.run_for_secs(30);
    assert!(world.take_all().iter().all(|packet| packet.octets == lost.octets));
    world.deliver(&lost).unwrap().unwrap();
    assert_eq!(fragment(&world.peek()), None);
    for _ in 0..6 {
        let answer = world.take();
        assert_eq!(world.deliver(&lost), Some(Ok(Handled::RepeatAnswered)));
        assert_eq!(world.peek().octets, answer.octets);
    }
    world.run();
    assert_up(&world);
}

/// §2.5: the content is cut as a string of octets, each piece is sealed by itself, the header is the message's, and
/// Next Payload names the first payload in fragment 1 and nothing in the others. Opened by the cipher alone.
#[test]
fn fragments_are_what_the_document_says() {
    for suite in ["aes256gcm16-prfsha256-x25519", "aes128-sha256-x25519"] {
        let (a, b) = two_with_certificates(3_500, 3_500);
        let mut world = asking(a.ike(&[suite]), b.ike(&[suite]));
        let request = world.take_all();
        let forger = Forger::new(&world.node(A).keys);
        let mut ivs = Vec::new();
        for (number, packet) in (1..).zip(&request) {
            assert!(packet.ip_octets() <= 1_280);
            let header = packet.header();
            assert_eq!((header.exchange, header.message_id), (ExchangeType::IKE_AUTH, 1));
            assert_eq!(header.next_payload, PayloadType::SKF);
            assert_eq!(header.flags.0, 0x08);
            let next = if number == 1 { PayloadType::ID_I } else { PayloadType::NONE };
            assert_eq!(fragment(packet), Some((number, request.len() as u16, next)));
            let message = Message::parse(packet.message()).unwrap();
            assert_eq!(message.payloads().len(), 0);
            // The generic header and the numbers: 8 octets, then the IV.
            assert_eq!(message.protected().unwrap().header_len(), Header::LEN + 8);
            ivs.push(message.protected().unwrap().body()[..8].to_vec());
        }
        ivs.sort();
        ivs.dedup();
        assert_eq!(ivs.len(), request.len());
        // All but the last are as large as they may be: 4 octets are left for the non-ESP marker.
        assert!(request[..request.len() - 1].iter().all(|packet| packet.ip_octets() > 1_276 - 16));
        let payloads = open(&forger, &request);
        let certificates = payloads.iter().filter(|raw| raw.ty == PayloadType::CERT);
        assert_eq!(certificates.map(|raw| raw.body.len()).collect::<Vec<_>>(), [3_001, 501]);
        assert!(has(&payloads, PayloadType::AUTH) && has(&payloads, PayloadType::TS_R));
        request.iter().for_each(|packet| world.put(packet.clone()));
        world.run();
        assert_up(&world);
    }
}

/// §2.4: there is no point in fragmenting what is small.
#[test]
fn small_messages_are_not_fragmented() {
    let (a, b) = two();
    let mut world = World::established(a, b);
    assert_eq!(world.endpoint(A).statistics().messages_fragmented, 0);
    check_liveness(&mut world, A);
    let lost = world.take();
    world.run_for_secs(120);
    // However often they are lost.
    assert!(world.take_all().iter().all(|packet| packet.octets == lost.octets));
    assert_eq!(world.node(A).only_sa().1.fragment_size, Some(1_280));
}

/// §2.4: an answer takes the form of its request, and a large one is fragmented anyway.
#[test]
fn answers_take_the_form_of_their_requests() {
    for (ours, theirs, fragmented) in
        [(0, 0, false), (0, 4_000, true), (4_000, 0, true), (4_000, 4_000, true)]
    {
        let (a, b) = two_with_certificates(ours, theirs);
        let mut world = asking(a, b);
        let request = world.take_all();
        assert_eq!(fragment(&request[0]).is_some(), ours > 0);
        for packet in &request {
            world.deliver(packet).unwrap().unwrap();
        }
        let answer = world.take_all();
        assert_eq!(fragment(&answer[0]).is_some(), fragmented);
        if fragmented {
            assert_eq!(total(&answer), if theirs == 0 { 1 } else { 4 });
        }
        answer.iter().for_each(|packet| world.put(packet.clone()));
        world.run();
        assert_up(&world);
        // Nothing else has a reason to be fragmented.
        check_liveness(&mut world, A);
        assert_eq!(fragment(&world.peek()), None);
        world.deliver_next();
        assert_eq!(fragment(&world.peek()), None);
    }
}

/// The set is repeated as a set, octet for octet, under one Message ID.
#[test]
fn fragments_are_repeated_as_a_set() {
    let (a, b) = two_with_certificates(4_000, 4_000);
    let mut world = asking(a, b);
    let request = world.take_all();
    assert_eq!(octets(&repeat(&mut world, A)), octets(&request));
    for packet in &request {
        world.deliver(packet).unwrap().unwrap();
    }
    let answer = world.take_all();
    // §2.6.1: fragment 1 alone brings the answer again, and all of it.
    assert_eq!(world.deliver(&request[0]), Some(Ok(Handled::RepeatAnswered)));
    assert_eq!(octets(&world.take_all()), octets(&answer));
    for (number, packet) in (1..).zip(&request).skip(1) {
        let fault = FragmentFault::Answered { number };
        assert_eq!(world.deliver(packet), Some(Err(Rejection::Fragment(fault))));
        assert_eq!(world.take_all(), []);
    }
}

/// What a node sends when its next timer is due.
fn repeat(world: &mut World, node: usize) -> Vec<Packet> {
    world.now = world.endpoint(node).poll_timeout().unwrap();
    world.fire(node);
    world.take_all()
}

/// Ed25519 alone: whoever says so can be signed to.
fn hashes() -> Raw {
    Raw::notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, &[0, 5])
}

fn octets(packets: &[Packet]) -> Vec<&[u8]> {
    packets.iter().map(|packet| packet.octets.as_slice()).collect()
}

/// §2.5.2: from large to small, the timer anew at each step, Total Fragments always larger, one Message ID; and at
/// the smallest size on until the exchange is given up.
#[test]
fn a_request_without_an_answer_is_tried_in_smaller_fragments() {
    let (mut a, b) = two_with_certificates(6_000, 0);
    a.connection.fragmentation = sizes(3_000, 576);
    let mut world = asking(a, b);
    let start = world.now;
    let mut sets = vec![(Duration::ZERO, world.take_all())];
    while !world.node(A).mirror.sas.is_empty() || world.endpoint(A).ike_sas().next().is_some() {
        let (at, node) = world.next_timer().unwrap();
        world.now = world.now.max(at);
        world.fire(node);
        if node == A && world.in_flight().next().is_some() {
            sets.push((world.now.saturating_since(start), world.take_all()));
        }
    }
    let totals: Vec<u16> = sets.iter().map(|(_, set)| total(set)).collect();
    let (large, middle, small) = (totals[0], totals[3], totals[6]);
    assert!(large < middle && middle < small, "{totals:?}");
    let expected: Vec<u16> = [large; 3].into_iter().chain([middle; 3]).chain([small; 9]).collect();
    assert_eq!(totals, expected);
    let sizes: Vec<usize> =
        sets.iter().map(|(_, set)| set.iter().map(Packet::ip_octets).max().unwrap()).collect();
    for (size, bound) in sizes.iter().zip([3_000; 3].into_iter().chain([1_280; 3]).chain([576; 9])) {
        assert!(*size <= bound && *size > bound - 30, "{sizes:?}");
    }
    let pauses: Vec<u128> = sets.windows(2).map(|two| (two[1].0 - two[0].0).as_millis()).collect();
    assert_eq!(pauses[..7], [1_000, 1_800, 3_240, 1_000, 1_800, 3_240, 1_000]);
    assert!(sets.iter().flat_map(|(_, set)| set).all(|packet| packet.header().message_id == 1));
    let events = world.take_events(A);
    assert!(events.iter().any(|event| matches!(event, Event::IkeSaDown { .. })), "{events:?}");
    assert_eq!(world.endpoint(A).statistics().repeats_sent, 14);
}

/// §2.5.2: the next exchange begins with the size that the last one came down to.
#[test]
fn a_size_that_was_given_up_is_not_tried_again() {
    let (mut a, mut b) = two_with_certificates(4_000, 4_000);
    with_large_child(&mut a.connection);
    with_large_child(&mut b.connection);
    let mut world = World::pair(a, b);
    world.link.mtu = 700;
    world.connect(A, B);
    world.run_for_secs(20);
    assert_up(&world);
    for node in [A, B] {
        assert_eq!(world.node(node).only_sa().1.fragment_size, Some(576));
    }
    create_large_child(&mut world, A);
    let request = world.take_all();
    assert!(total(&request) > 1);
    assert!(request.iter().all(|packet| packet.ip_octets() <= 576));
    request.into_iter().for_each(|packet| world.put(packet));
    world.run();
    assert_eq!(world.node(B).mirror.children.len(), 2);
    create_large_child(&mut world, B);
    assert!(world.in_flight().all(|packet| packet.ip_octets() <= 576));
}

/// §2.4: a message that went in one datagram is fragmented when it brings nothing back.
#[test]
fn a_whole_message_without_an_answer_is_fragmented_later() {
    let (a, b) = two_with_certificates(500, 0);
    let mut world = asking(a, b);
    let whole = world.take();
    assert_eq!(fragment(&whole), None);
    assert!(whole.ip_octets() > 576 && whole.ip_octets() <= 1_280);
    world.link.mtu = 576;
    world.run_for_secs(10);
    assert_up(&world);
    assert_eq!(world.endpoint(B).statistics().messages_reassembled, 1);
}

/// §2.4: repeats of a request tell its responder that the answer does not arrive. The request itself is too small
/// to be tried in another way.
#[test]
fn an_answer_that_is_asked_for_again_and_again_is_tried_in_smaller_fragments() {
    let (a, b) = two_with_certificates(0, 5_000);
    let mut world = asking(a, b);
    let request = world.take();
    assert_eq!(fragment(&request), None);
    world.deliver(&request).unwrap().unwrap();
    let large = world.take_all();
    for _ in 0..2 {
        assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
        assert_eq!(octets(&world.take_all()), octets(&large));
    }
    assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
    let small = world.take_all();
    assert!(total(&small) > total(&large));
    assert!(small.iter().all(|packet| packet.ip_octets() <= 576));
    for _ in 0..20 {
        assert_eq!(world.deliver(&request), Some(Ok(Handled::RepeatAnswered)));
        assert_eq!(octets(&world.take_all()), octets(&small));
    }
    small.iter().for_each(|packet| world.put(packet.clone()));
    world.run();
    assert_up(&world);
}

/// The same between two endpoints on such a path.
#[test]
fn a_small_request_with_a_large_answer_gets_through_a_narrow_path() {
    let (a, b) = two_with_certificates(0, 5_000);
    let mut world = World::pair(a, b);
    world.link.mtu = 600;
    world.connect(A, B);
    world.run_for_secs(30);
    assert_up(&world);
}

/// §2.5.1, §2.6.1: a request in smaller fragments gets the answer again, in fragments that are no larger; and it is
/// known by its octets from then on.
#[test]
fn a_request_in_smaller_fragments_gets_the_answer_in_smaller_fragments() {
    let (a, b) = two_with_certificates(5_000, 5_000);
    let mut world = asking(a, b);
    let request = world.take_all();
    for packet in &request {
        world.deliver(packet).unwrap().unwrap();
    }
    let answer = world.take_all();
    let smaller = (0..3).map(|_| repeat(&mut world, A)).last().unwrap();
    assert!(total(&smaller) > total(&request));
    // A forged one brings nothing.
    let mut forged = smaller[0].clone();
    *forged.octets.last_mut().unwrap() ^= 1;
    assert_eq!(world.deliver(&forged), Some(Err(Rejection::AlteredRepeat(1))));
    assert_eq!(world.take_all(), []);
    assert_eq!(world.deliver(&smaller[0]), Some(Ok(Handled::RepeatAnswered)));
    let again = world.take_all();
    assert!(total(&again) > total(&answer));
    assert!(again.iter().all(|packet| packet.ip_octets() <= 576));
    let forger = Forger::new(&world.node(B).keys);
    assert_eq!(open(&forger, &again), open(&forger, &answer));
    let decryptions = world.endpoint(B).statistics().decryptions;
    assert_eq!(world.deliver(&smaller[0]), Some(Ok(Handled::RepeatAnswered)));
    assert_eq!(octets(&world.take_all()), octets(&again));
    assert_eq!(world.endpoint(B).statistics().decryptions, decryptions);
    again.iter().for_each(|packet| world.put(packet.clone()));
    world.run();
    assert_up(&world);
}

/// Consumer routers, clouds and carriers drop IP fragments: what follows IKE_SA_INIT never needs any.
#[test]
fn no_datagram_is_larger_than_the_path_takes() {
    for (mtu, size) in [(576, 576), (1_280, 1_280), (1_500, 1_500)] {
        let (mut a, mut b) = two_with_certificates(12_000, 12_000);
        for setup in [&mut a, &mut b] {
            setup.connection.fragmentation = sizes(size, 576);
            setup.connection.force_udp_encapsulation = true;
            with_large_child(&mut setup.connection);
        }
        let mut world = World::pair(a, b);
        world.link.mtu = mtu;
        world.connect(A, B);
        // Without a repeat: nothing was lost for its size.
        world.run();
        assert_up(&world);
        create_large_child(&mut world, A);
        world.run();
        assert_eq!(world.node(A).mirror.children.len(), 2);
        assert_eq!(world.endpoint(A).statistics().repeats_sent, 0);
    }
}

/// IPv6 has no smaller datagrams than 1,280 octets (RFC 8200 §5), and none are made.
#[test]
fn over_ipv6_the_size_stays_at_1280() {
    let (a, _) = two_with_certificates(4_000, 0);
    let config = a.finish();
    let mut endpoint = ikev2_core::Endpoint::new(config, seeded(1));
    let ends = ("[2001:db8::1]:500".parse().unwrap(), "[2001:db8::2]:500".parse().unwrap());
    let path = ipsec_types::Path::ike(ends.0, ends.1);
    let now = ipsec_types::Instant::from_millis(1);
    endpoint.connect(now, "tunnel", path).unwrap();
    let request = endpoint.poll_transmit().unwrap();
    let mut peer = Peer::responder();
    let notify = Raw::notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]);
    let answer = peer.init_answer(&request.datagram, |payloads| payloads.extend([notify, hashes()]));
    endpoint.handle_datagram(now, path, &answer).unwrap();
    let mut sent = Vec::new();
    let mut now = now;
    while let Some(at) = endpoint.poll_timeout().filter(|_| sent.len() < 40) {
        while let Some(transmit) = endpoint.poll_transmit() {
            sent.push(40 + 8 + transmit.datagram.len());
        }
        now = now.max(at);
        endpoint.handle_timeout(now);
    }
    assert!(sent.iter().all(|size| *size <= 1_280), "{sent:?}");
    assert!(sent.iter().filter(|size| **size > 1_250).count() > 10, "{sent:?}");
}

/// What is configured without sense still makes messages that can be sent.
#[test]
fn sizes_without_room_leave_16_octets_to_a_fragment() {
    let (mut a, mut b) = two_with_certificates(300, 300);
    (a.connection.fragmentation, b.connection.fragmentation) = (sizes(0, 0), sizes(1, 9_000));
    let mut world = asking(a, b);
    let request = world.take_all();
    let forger = Forger::new(&world.node(A).keys);
    let content = chain(&open(&forger, &request), PayloadType::NONE).1;
    assert_eq!(usize::from(total(&request)), content.len().div_ceil(16));
    request.into_iter().for_each(|packet| world.put(packet));
    world.run();
    assert_up(&world);
}

/// A peer that signs late is asked again meanwhile; a request in other fragments waits for the same answer.
#[test]
fn fragments_of_a_request_that_is_in_hand_are_told_apart() {
    use support::tickets::{Clerk, ed25519, sign_later};
    let (a, mut b) = two_with_certificates(4_000, 0);
    sign_later(&mut b, &ed25519());
    let mut world = asking(a, b);
    let request = world.take_all();
    for packet in &request {
        world.deliver(packet).unwrap().unwrap();
    }
    assert_eq!(world.take_all(), []);
    assert_eq!(world.deliver(&request[0]), Some(Ok(Handled::InHand)));
    let fault = FragmentFault::Answered { number: 2 };
    assert_eq!(world.deliver(&request[1]), Some(Err(Rejection::Fragment(fault))));
    let smaller = (0..3).map(|_| repeat(&mut world, A)).last().unwrap();
    assert!(total(&smaller) > total(&request));
    assert_eq!(world.deliver(&smaller[0]), Some(Err(Rejection::AlteredRepeat(1))));
    let events = world.take_events(B);
    let (ticket, _, answer) = events.iter().find_map(|event| Clerk::new(&ed25519()).answer(event)).unwrap();
    world.call(B, |e, now| e.answer(now, ticket, answer)).unwrap();
    world.take_all();
    // Now it is answered, in fragments of the new size.
    assert_eq!(world.deliver(&smaller[0]), Some(Ok(Handled::RepeatAnswered)));
    world.run();
    assert_up(&world);
}

/// A refusal has the form of its request, too.
#[test]
fn a_refused_request_in_fragments_is_answered_in_a_fragment() {
    let (a, mut b) = two_with_certificates(4_000, 0);
    b.connection.remote_id = ikev2_core::IdentityPattern::Exactly(id("somebody.else"));
    let mut world = asking(a, b);
    for packet in world.take_all() {
        world.deliver(&packet).unwrap().unwrap();
    }
    let answer = world.take_all();
    assert_eq!(total(&answer), 1);
    let forger = Forger::new(&world.node(A).keys);
    assert_eq!(notifies(&open(&forger, &answer)), [(NotifyType::AUTHENTICATION_FAILED, vec![])]);
    world.deliver(&answer[0]).unwrap().unwrap();
    assert!(matches!(support::told::down(&world.take_events(A)), ikev2_core::Failure::Refused { .. }));
}

/// Each of several answerers gets fragments of its own, with its own keys.
#[test]
fn every_answerer_gets_its_own_fragments() {
    let (a, b) = two_with_certificates(4_000, 4_000);
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let init = world.peek();
    let mut forged = Peer::responder();
    let notify = Raw::notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, &[]);
    let answer = forged.init_answer(init.message(), |payloads| payloads.extend([notify, hashes()]));
    world.deliver(&Packet { from: init.to, to: init.from, octets: answer }).unwrap().unwrap();
    let to_forger = world.take_all().split_off(1);
    assert!(has(&open(forged.forger.as_ref().unwrap(), &to_forger), PayloadType::AUTH));
    // Half of an answer of the forger's, and then the peer comes.
    let forger = forged.forger.as_mut().unwrap();
    let head = forger.head(Role::Responder, ExchangeType::IKE_AUTH, 1, true);
    let half = forger.seal_fragments(&head, &[Raw::new(PayloadType::VENDOR_ID, &[7; 64])], 2).remove(0);
    let result = world.deliver(&Packet { from: init.to, to: init.from, octets: half });
    assert_eq!(result, Some(Ok(Handled::Fragment)));
    world.put(init);
    world.run();
    assert_up(&world);
}

/// On by default, and the policy has documented defaults.
#[test]
fn fragmentation_is_on_by_default() {
    let setup = Setup::new("a.example", "b.example");
    assert_eq!(setup.connection.fragmentation, Some(FragmentPolicy::default()));
    let limits = setup.config.reassembly;
    assert_eq!((limits.octets, limits.fragments, limits.messages), (65_536, 1_024, 4));
    assert_eq!(limits.timeout, Duration::from_secs(200));
}
