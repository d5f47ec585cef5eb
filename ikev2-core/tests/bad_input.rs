//! What anyone can send: each kind is dropped, or answered as RFC 7296 §2.21 says, and changes nothing.
//!
//! [`World`] compares the dumps of the state around every rejection, and its count by kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::RejectionKind;
use ikev2_core::{Handled, Rejection};
use ikev2_wire::codes::{ExchangeType, NotifyType, PayloadType};
use ikev2_wire::{Flags, Version};
use ipsec_types::{IkeSpi, Path, PathKind};
use std::collections::BTreeSet;
use support::forge::{Raw, head_of, payloads_of, plain};
use support::peer::{Peer, body, body_mut, notifies};
use support::setup::*;
use support::stages::{STAGES, Stage, at};
use support::world::*;

fn silent(world: &World, why: &dyn std::fmt::Debug) {
    assert_eq!(world.in_flight().count(), 0, "answered: {why:?}");
}

#[test]
fn datagrams_of_the_wrong_length_are_dropped() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        for length in 0..message.len() {
            let refused = world.receive(node, path, &message[..length]);
            assert!(matches!(refused, Err(Rejection::Malformed(_))), "{stage:?} {length}: {refused:?}");
        }
        for extra in [1, 4, 28, 1_000] {
            let mut longer = message.clone();
            longer.resize(message.len() + extra, 0);
            assert!(matches!(world.receive(node, path, &longer), Err(Rejection::Malformed(_))));
        }
        for claimed in [0u32, 27, 28, message.len() as u32 - 1, message.len() as u32 + 1, u32::MAX] {
            let mut lying = message.clone();
            lying[24..28].copy_from_slice(&claimed.to_be_bytes());
            if claimed as usize != message.len() {
                assert!(matches!(world.receive(node, path, &lying), Err(Rejection::Malformed(_))));
            }
        }
        silent(&world, &stage);
    }
}

/// Each message cut at every length, with the Length field telling the truth.
#[test]
fn messages_cut_short_are_dropped() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        for length in 28..message.len() {
            let mut cut = message[..length].to_vec();
            cut[24..28].copy_from_slice(&(length as u32).to_be_bytes());
            let refused = world.receive(node, path, &cut);
            assert!(refused.is_err(), "{stage:?} {length}: {refused:?}");
        }
        silent(&world, &stage);
    }
}

/// Every single bit of every message. What is protected is refused; of IKE_SA_INIT some bits mean nothing by
/// themselves, and AUTH finds them out.
#[test]
fn every_bit_flipped_is_refused_or_found_out() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        let unprotected = matches!(stage, Stage::Fresh | Stage::Initiating);
        let mut taken = 0;
        for bit in 0..message.len() * 8 {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            let result = world.receive(node, path, &flipped);
            if result.is_err() {
                // An error that anyone may be told, and no more than one.
                assert!(world.take_all().len() <= 1);
                continue;
            }
            assert!(unprotected, "{stage:?}, bit {bit}: {result:?}");
            taken += 1;
            world.run();
            for node in [A, B] {
                assert!(world.node(node).mirror.sas.is_empty(), "{stage:?}, bit {bit} of {}", message.len());
            }
            world = at(stage).0;
        }
        assert_eq!(taken > 0, unprotected, "{stage:?}");
        // What was not flipped is taken after all that.
        let genuine = world.receive(node, path, &message);
        assert_eq!(genuine.is_ok(), stage != Stage::Deleted, "{stage:?}: {genuine:?}");
    }
}

/// Every message of a life, once more, at every later moment.
#[test]
fn every_message_replayed_later_does_nothing_new() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let mut seen: Vec<Packet> = Vec::new();
    let mut replay = |world: &mut World, when: &str| {
        while world.in_flight().count() > 0 {
            let packet = world.take();
            world.deliver(&packet);
            seen.push(packet);
            let flying = world.take_all();
            for old in &seen {
                let events = (world.node(A).events.len(), world.node(B).events.len());
                let result = world.deliver(old).unwrap();
                let fine = matches!(result, Ok(Handled::RepeatAnswered) | Err(_));
                let again = old.header().exchange == ExchangeType::IKE_SA_INIT
                    && !old.header().flags.is_response()
                    && result == Ok(Handled::Processed);
                assert!(fine || again, "{when}: {result:?}");
                assert_eq!(events, (world.node(A).events.len(), world.node(B).events.len()), "{when}");
                world.take_all();
            }
            flying.into_iter().for_each(|packet| world.put(packet));
        }
    };
    replay(&mut world, "handshake");
    let sa = world.endpoint(A).ike_sas().next().unwrap().0;
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    replay(&mut world, "Child SA");
    world.call(A, |e, now| e.check_liveness(now, sa)).unwrap();
    replay(&mut world, "liveness");
    let id = *world.node(A).mirror.children.keys().next().unwrap();
    world.call(A, |e, now| e.delete_child(now, sa, id)).unwrap();
    replay(&mut world, "Delete");
    assert_eq!(world.node(A).mirror.children.len(), 1);
    support::mirror::assert_crosswise(&world.node(A).mirror, &world.node(B).mirror);
}

/// RFC 3948 §2.
#[test]
fn the_marker_tells_ike_from_esp_and_belongs_to_the_nat_t_path_alone() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        let nat_t = Path { kind: PathKind::NatT, ..path };
        for octets in [&[][..], &[0], &[0, 0, 0], &[0xFE], &[0, 0, 1, 0, 0, 0, 0, 1], &[1; 100]] {
            assert_eq!(world.receive(node, nat_t, octets), Err(Rejection::NotIke), "{stage:?} {octets:?}");
        }
        assert_eq!(world.receive(node, nat_t, &[0xFF]), Ok(Handled::Keepalive));
        // Without a marker it looks like ESP with half an IKE SPI.
        assert_eq!(world.receive(node, nat_t, &message), Err(Rejection::NotIke));
        let marked = [&[0; 4], &message[..]].concat();
        assert!(matches!(world.receive(node, path, &marked), Err(Rejection::Malformed(_))));
        assert!(matches!(world.receive(node, nat_t, &[0; 4]), Err(Rejection::Malformed(_))));
        silent(&world, &stage);
    }
}

#[test]
fn spis_and_flags_that_contradict_each_other_are_dropped() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        let mut zero = message.clone();
        zero[..8].fill(0);
        assert!(matches!(world.receive(node, path, &zero), Err(Rejection::Malformed(_))), "{stage:?}");
        for flags in 0..=u8::MAX {
            let mut changed = message.clone();
            changed[19] = flags;
            if flags & 0x28 != message[19] & 0x28 {
                let refused = world.receive(node, path, &changed);
                assert!(refused.is_err(), "{stage:?} {flags:#x}: {refused:?}");
                world.take_all();
            }
        }
        let mut foreign = message.clone();
        foreign[7] ^= 1;
        foreign[15] ^= 1;
        assert!(world.receive(node, path, &foreign).is_err(), "{stage:?}");
        silent(&world, &stage);
    }
}

#[test]
fn a_first_request_with_a_responder_spi_names_no_sa() {
    let (mut world, node, path, mut message) = at(Stage::Fresh);
    message[8..16].copy_from_slice(&7u64.to_be_bytes());
    let spi = IkeSpi::new(7).unwrap();
    assert_eq!(world.receive(node, path, &message), Err(Rejection::UnknownSpi(spi)));
    let mut numbered = at(Stage::Fresh).3;
    numbered[23] = 1;
    assert_eq!(world.receive(node, path, &numbered), Err(Rejection::Contradictory));
    silent(&world, &"no SA");
}

/// An answer in the name of the other role: it would be to an SA whose SPIs stand the other way round.
#[test]
fn an_answer_with_our_spi_in_the_responders_place_is_dropped() {
    let (mut world, node, path, message) = at(Stage::Initiating);
    let mut swapped = message.clone();
    let (ours, theirs) = (message[..8].to_vec(), message[8..16].to_vec());
    swapped[..8].copy_from_slice(&theirs);
    swapped[8..16].copy_from_slice(&ours);
    for flags in [0x28, 0x08] {
        swapped[19] = flags;
        assert_eq!(world.receive(node, path, &swapped), Err(Rejection::Contradictory), "{flags:#x}");
    }
    silent(&world, &"swapped");
    world.receive(node, path, &message).unwrap();
}

/// What we sent, sent back to us: the SA's own role is on it.
#[test]
fn our_own_messages_reflected_are_dropped() {
    let (a, b) = two();
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let sa = world.endpoint(A).ike_sas().next().unwrap().0;
    let mut reflected = 0;
    for round in 0..2 {
        while world.in_flight().count() > 0 {
            let packet = world.take();
            let back = Packet { from: packet.to, to: packet.from, ..packet.clone() };
            let refused = world.deliver(&back).unwrap();
            // The SPI at the place of ours is the peer's.
            let fine = matches!(refused, Err(Rejection::Contradictory | Rejection::UnknownSpi(_)));
            assert!(fine, "{}: {refused:?}", packet.header().exchange);
            reflected += 1;
            world.deliver(&packet);
        }
        if round == 0 {
            world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
        }
    }
    assert_eq!(reflected, 6);
}

/// §2.5.
#[test]
fn a_higher_major_version_is_answered_with_ours_and_a_lower_one_is_not() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        for major in (0..16u8).filter(|major| *major != 2) {
            for response in [false, true] {
                let mut other = message.clone();
                other[17] = major << 4;
                other[19] = if response { other[19] | 0x20 } else { other[19] & !0x20 };
                assert_eq!(world.receive(node, path, &other), Err(Rejection::Version(major)));
                let answers = world.take_all();
                assert_eq!(answers.len(), usize::from(major > 2 && !response), "{stage:?} {major}");
                for answer in answers {
                    let header = answer.header();
                    assert_eq!(header.version, Version::V2);
                    assert!(header.flags.is_response());
                    assert_eq!(header.initiator_spi, head_of_any(&other).0);
                    assert_eq!(header.message_id.to_be_bytes(), other[20..24]);
                    let told = notifies(&payloads_of(answer.message()));
                    assert_eq!(told, [(NotifyType::INVALID_MAJOR_VERSION, vec![])]);
                }
            }
        }
    }
}

fn head_of_any(message: &[u8]) -> (IkeSpi, u8) {
    let spi = u64::from_be_bytes(message[..8].try_into().unwrap());
    (IkeSpi::new(spi).unwrap(), message[17])
}

#[test]
fn the_minor_version_and_the_version_flag_are_ignored() {
    let (mut world, node, path, mut message) = at(Stage::Fresh);
    message[17] = 0x2F;
    message[19] |= Flags::VERSION | 0x47;
    assert_eq!(world.receive(node, path, &message), Ok(Handled::Processed));
    let answer = world.take();
    assert_eq!((answer.header().version, answer.header().flags), (Version::V2, Flags::new(false, true)));
}

/// 28 octets that promise a payload.
#[test]
fn a_header_alone_creates_nothing_whatever_it_promises() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        for exchange in (34..=44).chain([0, 33, 45, 240, 255]) {
            for next_payload in 0..=255 {
                let mut header = message[..28].to_vec();
                (header[16], header[18]) = (next_payload, exchange);
                header[24..28].copy_from_slice(&28u32.to_be_bytes());
                let refused = world.receive(node, path, &header).unwrap_err();
                let fine = match refused.kind() {
                    RejectionKind::Malformed => next_payload != 0,
                    _ => next_payload == 0,
                };
                assert!(fine, "{stage:?} {exchange} {next_payload}: {refused}");
                let answers = world.take_all();
                // An IKE_SA_INIT request without its payloads may be told so.
                let may = stage == Stage::Fresh && exchange == 34 && next_payload == 0;
                assert!(answers.is_empty() || may, "{stage:?} {exchange} {next_payload}");
            }
        }
    }
}

/// Chains that are not whole.
#[test]
fn chains_of_payloads_that_are_not_whole_are_dropped() {
    let (mut world, node, path, message) = at(Stage::Fresh);
    let whole = payloads_of(&message);
    let head = head_of(&message);
    let mut offsets = vec![28];
    for raw in &whole[..whole.len() - 1] {
        offsets.push(offsets[offsets.len() - 1] + 4 + raw.body.len());
    }
    let malformed = |world: &mut World, octets: &[u8], why: &str| {
        let refused = world.receive(node, path, octets);
        assert!(matches!(refused, Err(Rejection::Malformed(_))), "{why}: {refused:?}");
    };
    for offset in offsets {
        for length in [0u16, 1, 3, 4, 5, 0xFFFF] {
            let mut lying = message.clone();
            lying[offset + 2..offset + 4].copy_from_slice(&length.to_be_bytes());
            malformed(&mut world, &lying, "a payload length that lies");
        }
    }
    let mut endless = message.clone();
    let last = 28 + whole[..whole.len() - 1].iter().map(|raw| raw.body.len() + 4).sum::<usize>();
    endless[last] = 43;
    malformed(&mut world, &endless, "a chain that does not end");
    let mut over = message.clone();
    over.extend_from_slice(&[0, 0, 0, 4]);
    let length = over.len() as u32;
    over[24..28].copy_from_slice(&length.to_be_bytes());
    malformed(&mut world, &over, "octets left over");
    for count in [129, 5_000, 16_000] {
        let many = vec![Raw::new(PayloadType::VENDOR_ID, &[]); count];
        malformed(&mut world, &plain(&head, &many), "thousands of payloads");
    }
    silent(&world, &"chains");
    // As many as there may be are taken.
    let mut most = whole.clone();
    most.resize(128, Raw::new(PayloadType::VENDOR_ID, &[]));
    assert_eq!(world.receive(node, path, &plain(&head, &most)), Ok(Handled::Processed));
}

#[test]
fn encrypted_payloads_where_they_do_not_belong_are_dropped() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        let head = head_of(&message);
        let sk = Raw::new(PayloadType::SK, &[0; 64]);
        let skf = Raw::new(PayloadType::SKF, &[[0, 1, 0, 1].as_slice(), &[0; 64]].concat());
        let vendor = Raw::new(PayloadType::VENDOR_ID, b"x");
        for payloads in [
            vec![sk.clone()],
            vec![skf.clone()],
            vec![sk.clone(), sk.clone()],
            vec![sk.clone(), vendor.clone()],
            vec![skf.clone(), sk.clone()],
            vec![vendor.clone(), sk.clone()],
            vec![vendor.clone(), skf.clone()],
        ] {
            for exchange in [34, 35, 36, 37, 43] {
                let head =
                    ikev2_core::exchange::protect::MessageHead { exchange: ExchangeType(exchange), ..head };
                let refused = world.receive(node, path, &plain(&head, &payloads));
                assert!(refused.is_err(), "{stage:?} {exchange} {payloads:?}: {refused:?}");
            }
        }
        silent(&world, &stage);
    }
}

/// An SK payload of every small size.
#[test]
fn encrypted_payloads_of_any_size_fail_their_integrity_check() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        if matches!(stage, Stage::Fresh | Stage::Initiating) {
            continue;
        }
        let head = head_of(&message);
        for size in (0..80).chain([1_000, 60_000]) {
            for octet in [0, 0xFF] {
                let sk = Raw::new(PayloadType::SK, &vec![octet; size]);
                let refused = world.receive(node, path, &plain(&head, &[sk]));
                if stage == Stage::Deleted {
                    assert!(refused.is_err());
                } else {
                    assert_eq!(refused, Err(Rejection::IntegrityCheck), "{stage:?} {size}");
                }
            }
        }
        // Nothing in the clear is taken for what must be protected.
        let clear = [
            Raw::notify(NotifyType::AUTHENTICATION_FAILED, &[]),
            Raw::new(PayloadType::DELETE, &[1, 0, 0, 0]),
        ];
        for payloads in [&clear[..], &clear[..1], &clear[1..], &[]] {
            let refused = world.receive(node, path, &plain(&head, payloads));
            assert!(refused.is_err(), "{stage:?}: {refused:?}");
        }
        silent(&world, &stage);
    }
}

/// Each exchange at each stage, with garbage for content.
#[test]
fn exchanges_out_of_order_are_dropped() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        let head = head_of(&message);
        let mut kinds = BTreeSet::new();
        for exchange in (34..=44).chain([0, 100, 240]) {
            for message_id in [0, 1, 2, 3, u32::MAX] {
                for response in [false, true] {
                    let head = ikev2_core::exchange::protect::MessageHead {
                        exchange: ExchangeType(exchange),
                        message_id,
                        flags: Flags::new(head.flags.is_initiator(), response),
                        ..head
                    };
                    let sk = Raw::new(PayloadType::SK, &[0x55; 57]);
                    let refused = world.receive(node, path, &plain(&head, &[sk])).unwrap_err();
                    kinds.insert(format!("{:?}", refused.kind()));
                    // Each reads as a sentence, with no SA to speak of as well.
                    assert!(!format!("{refused} {refused:?}").is_empty());
                }
            }
        }
        assert!(kinds.len() > 1, "{stage:?}: {kinds:?}");
        silent(&world, &stage);
        let genuine = world.receive(node, path, &message);
        assert_eq!(genuine.is_ok(), stage != Stage::Deleted, "{stage:?}");
    }
}

/// §2.5.
#[test]
fn unknown_payloads_in_ike_sa_init_are_skipped_unless_critical() {
    let (mut world, node, path, message) = at(Stage::Fresh);
    let head = head_of(&message);
    let mut payloads = payloads_of(&message);
    payloads.insert(1, Raw::new(PayloadType(200), b"?").critical());
    let refused = world.receive(node, path, &plain(&head, &payloads));
    assert_eq!(refused, Err(Rejection::CriticalPayload(PayloadType(200))));
    let answer = notifies(&payloads_of(world.take().message()));
    assert_eq!(answer, [(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![200])]);
    // The bit means nothing on a payload that is known.
    payloads[1].critical = false;
    payloads.iter_mut().filter(|raw| raw.ty != PayloadType(200)).for_each(|raw| raw.critical = true);
    assert_eq!(world.receive(node, path, &plain(&head, &payloads)), Ok(Handled::Processed));

    let (mut world, node, path, message) = at(Stage::Initiating);
    let mut payloads = payloads_of(&message);
    payloads.push(Raw::new(PayloadType(200), b"?").critical());
    let refused = world.receive(node, path, &plain(&head_of(&message), &payloads));
    assert_eq!(refused, Err(Rejection::CriticalPayload(PayloadType(200))));
    silent(&world, &"an answer is not answered");
    world.receive(node, path, &message).unwrap();
}

#[test]
fn payloads_that_are_missing_or_doubled_in_ike_sa_init_are_refused() {
    for stage in [Stage::Fresh, Stage::Initiating] {
        let (mut world, node, path, message) = at(stage);
        let head = head_of(&message);
        for ty in [PayloadType::SA, PayloadType::KE, PayloadType::NONCE] {
            let mut without = payloads_of(&message);
            without.retain(|raw| raw.ty != ty);
            let refused = world.receive(node, path, &plain(&head, &without));
            assert_eq!(refused, Err(Rejection::MissingPayload(ty)), "{stage:?}");
            let told: Vec<_> = world.take_all().iter().map(|p| notifies(&payloads_of(p.message()))).collect();
            if stage == Stage::Fresh {
                assert_eq!(told, [[(NotifyType::INVALID_SYNTAX, vec![])]]);
            } else {
                assert!(told.is_empty());
            }
            let mut twice = payloads_of(&message);
            twice.push(Raw::new(ty, body(&twice, ty)));
            let refused = world.receive(node, path, &plain(&head, &twice));
            assert_eq!(refused, Err(Rejection::DuplicatePayload(ty)), "{stage:?}");
            silent(&world, &ty);
        }
        world.receive(node, path, &message).unwrap();
    }
}

#[test]
fn nonces_of_an_illegal_length_are_refused() {
    for stage in [Stage::Fresh, Stage::Initiating] {
        let (mut world, node, path, message) = at(stage);
        for length in [0, 1, 15, 257, 1_000] {
            let mut payloads = payloads_of(&message);
            *body_mut(&mut payloads, PayloadType::NONCE) = vec![1; length];
            let refused = world.receive(node, path, &plain(&head_of(&message), &payloads));
            assert!(matches!(refused, Err(Rejection::Malformed(_))), "{stage:?} {length}: {refused:?}");
            silent(&world, &length);
        }
        world.receive(node, path, &message).unwrap();
    }
}

#[test]
fn key_exchange_data_that_is_none_is_refused() {
    // In a request, of another length than the method's.
    let (mut world, node, path, message) = at(Stage::Fresh);
    for length in [0, 31, 33, 64, 2_000] {
        let mut payloads = payloads_of(&message);
        body_mut(&mut payloads, PayloadType::KE).resize(4 + length, 9);
        let refused = world.receive(node, path, &plain(&head_of(&message), &payloads));
        assert!(matches!(refused, Err(Rejection::KeyExchange(_))), "{length}: {refused:?}");
        let told = notifies(&payloads_of(world.take().message()));
        assert_eq!(told, [(NotifyType::INVALID_SYNTAX, vec![])]);
    }
    // In an answer: of no use, and the genuine one still is.
    let (mut world, node, path, message) = at(Stage::Initiating);
    let mut bad: Vec<Vec<u8>> = vec![vec![], vec![9; 31], vec![9; 33], vec![0; 32]];
    let mut one = vec![0; 32];
    one[0] = 1;
    bad.push(one);
    for data in bad {
        let mut payloads = payloads_of(&message);
        let ke = body_mut(&mut payloads, PayloadType::KE);
        ke.truncate(4);
        ke.extend_from_slice(&data);
        let refused = world.receive(node, path, &plain(&head_of(&message), &payloads));
        assert!(matches!(refused, Err(Rejection::KeyExchange(_))), "{data:?}: {refused:?}");
        silent(&world, &data);
    }
    world.receive(node, path, &message).unwrap();
}

/// A point that is not on the curve (RFC 6989 §2.3), either way round.
#[test]
fn a_point_off_the_curve_is_refused() {
    for of_answer in [false, true] {
        let (a, b) = two();
        let p256 = &["aes256gcm16-prfsha256-ecp256"];
        let mut world = World::pair(a.ike(p256), b.ike(p256));
        world.connect(A, B);
        if of_answer {
            world.deliver_next();
        }
        let message = world.take();
        let mut payloads = payloads_of(message.message());
        body_mut(&mut payloads, PayloadType::KE)[40] ^= 1;
        let altered = message.with_message(&plain(&head_of(message.message()), &payloads));
        let result = world.deliver(&altered).unwrap();
        if of_answer {
            assert!(matches!(result, Err(Rejection::KeyExchange(_))), "{result:?}");
            world.deliver(&message).unwrap().unwrap();
        } else {
            // Found out when IKE_AUTH asks for the keys.
            assert_eq!(result, Ok(Handled::Processed));
            world.deliver_next();
            let result = world.deliver_next().unwrap();
            assert!(matches!(result, Err(Rejection::KeyExchange(_))), "{result:?}");
            assert_eq!(world.take_events(B), []);
        }
    }
}

/// What an SA payload can have wrong.
#[test]
fn sa_payloads_of_every_broken_kind_are_refused() {
    // Proposal 1, IKE, three transforms: octet 0 Last, 2 Length, 4 Num, 5 Protocol, 6 SPI Size, 7 Num Transforms;
    // first transform at 8: 0 Last, 2 Length, 4 Type, 6 ID, 8 attribute.
    let good = || Peer::sa(&[Peer::ike_proposal(1)]).body;
    type Change = fn(&mut Vec<u8>);
    let malformed: [(&str, Change); 15] = [
        ("no proposal", |sa| sa.clear()),
        ("more proposals said than there are", |sa| sa[0] = 2),
        ("an unknown Last", |sa| sa[0] = 1),
        ("a transform's Last of 0 before the end", |sa| sa[8] = 0),
        ("an unknown transform Last", |sa| sa[8] = 1),
        ("a proposal of length 0", |sa| sa[3] = 0),
        ("a proposal longer than the payload", |sa| sa[3] += 1),
        ("a proposal shorter than its transforms", |sa| sa[3] -= 1),
        ("an SPI beyond the proposal", |sa| sa[6] = 255),
        ("fewer transforms said than there are", |sa| sa[7] = 2),
        ("more transforms said than there are", |sa| sa[7] = 4),
        ("a transform of length 4", |sa| sa[11] = 4),
        ("a transform longer than the proposal", |sa| sa[11] = 200),
        ("an attribute beyond the transform", |sa| sa[16] = 0),
        ("cut in the middle", |sa| sa.truncate(20)),
    ];
    let unacceptable: [(&str, Change); 9] = [
        ("another protocol", |sa| sa[5] = 3),
        ("an unknown transform type", |sa| sa[12] = 77),
        ("an additional key exchange", |sa| sa[12] = 6),
        ("key length 0", |sa| sa[18..20].fill(0)),
        ("key length 13", |sa| sa[18..20].copy_from_slice(&[0, 13])),
        ("key length 65535", |sa| sa[18..20].fill(0xFF)),
        ("an unknown attribute", |sa| sa[17] = 99),
        ("no cipher but a second PRF", |sa| (sa[12], sa[15]) = (2, 5)),
        ("an unknown cipher", |sa| sa[15] = 250),
    ];
    let (mut world, node, path, message) = at(Stage::Fresh);
    let head = head_of(&message);
    for (wanted_malformed, cases) in [(true, &malformed[..]), (false, &unacceptable[..])] {
        for (why, change) in cases {
            let mut payloads = payloads_of(&message);
            let mut sa = good();
            change(&mut sa);
            *body_mut(&mut payloads, PayloadType::SA) = sa;
            let refused = world.receive(node, path, &plain(&head, &payloads));
            match refused {
                Err(Rejection::Malformed(_)) if wanted_malformed => silent(&world, why),
                Err(Rejection::NoProposalChosen(_)) if !wanted_malformed => {
                    let told = notifies(&payloads_of(world.take().message()));
                    assert_eq!(told, [(NotifyType::NO_PROPOSAL_CHOSEN, vec![])], "{why}");
                }
                other => panic!("{why}: {other:?}"),
            }
        }
    }
    let mut payloads = payloads_of(&message);
    *body_mut(&mut payloads, PayloadType::SA) = good();
    assert_eq!(world.receive(node, path, &plain(&head, &payloads)), Ok(Handled::Processed));
}

/// Thousands of proposals and transforms are bounded work.
#[test]
fn sa_payloads_of_any_size_are_bounded_work() {
    let (mut world, node, path, message) = at(Stage::Fresh);
    let head = head_of(&message);
    let mut proposal = Peer::ike_proposal(1);
    proposal.transforms[0] = ikev2_wire::Transform::encr(ipsec_types::EncrId::AES_GCM_16, Some(192));
    let one = Peer::sa(&[proposal]).body;
    for count in [16, 255, 1_600] {
        let mut sa = Vec::new();
        for _ in 1..count {
            sa.extend_from_slice(&one);
            let last = sa.len() - one.len();
            sa[last] = 2;
        }
        sa.extend_from_slice(&one);
        if sa.len() > 65_000 {
            continue;
        }
        let mut payloads = payloads_of(&message);
        *body_mut(&mut payloads, PayloadType::SA) = sa;
        let refused = world.receive(node, path, &plain(&head, &payloads));
        assert!(
            matches!(refused, Err(Rejection::NoProposalChosen(_) | Rejection::Malformed(_))),
            "{count}: {refused:?}"
        );
        world.take_all();
    }
}

/// An answer that is none of our proposals is of no use, and the genuine one still is.
#[test]
fn answers_that_choose_what_was_not_offered_are_of_no_use() {
    type Change = fn(&mut Vec<ikev2_wire::Proposal>);
    let changes: [(&str, Change); 9] = [
        ("two proposals", |sa| {
            let mut second = sa[0].clone();
            second.number += 1;
            sa.push(second);
        }),
        ("two transforms of a type", |sa| {
            let prf = ikev2_wire::Transform::prf(ikev2_wire::PrfId::HMAC_SHA2_384);
            sa[0].transforms.push(prf);
        }),
        ("an algorithm that was not offered", |sa| {
            let ccm = ikev2_wire::Transform::encr(ipsec_types::EncrId::AES_CCM_16, Some(256));
            sa[0].transforms[0] = ccm;
        }),
        ("another key length", |sa| sa[0].transforms[0].key_bits = Some(192)),
        ("no key length", |sa| sa[0].transforms[0].key_bits = None),
        ("no PRF", |sa| sa[0].transforms.retain(|t| t.ty != ikev2_wire::TransformType::PRF)),
        ("no key exchange", |sa| sa[0].transforms.retain(|t| t.ty != ikev2_wire::TransformType::KE)),
        ("a number that was not offered", |sa| sa[0].number = 77),
        ("another protocol", |sa| sa[0].protocol = ikev2_wire::ProtocolId::ESP),
    ];
    let (mut world, node, path, message) = at(Stage::Initiating);
    for (why, change) in changes {
        let mut payloads = payloads_of(&message);
        let mut proposals = vec![Peer::ike_proposal(1)];
        change(&mut proposals);
        payloads.iter_mut().find(|raw| raw.ty == PayloadType::SA).unwrap().body = Peer::sa(&proposals).body;
        let refused = world.receive(node, path, &plain(&head_of(&message), &payloads));
        assert!(matches!(refused, Err(Rejection::UselessAnswer(_))), "{why}: {refused:?}");
        assert!(refused.unwrap_err().to_string().contains("of no use"), "{why}");
        silent(&world, &why);
    }
    world.receive(node, path, &message).unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.sas.len(), 1);
}

/// One SPIi from several addresses, or with other content, is several peers.
#[test]
fn one_spi_from_several_addresses_is_several_peers() {
    let (mut world, node, path, message) = at(Stage::Fresh);
    for turn in 1..5u16 {
        let mut payloads = payloads_of(&message);
        body_mut(&mut payloads, PayloadType::NONCE)[0] = turn as u8;
        let from = Path { remote: format!("203.0.113.{turn}:500").parse().unwrap(), ..path };
        let octets = plain(&head_of(&message), &payloads);
        assert_eq!(world.receive(node, from, &octets), Ok(Handled::Processed));
        assert_eq!(world.endpoint(node).half_open(), usize::from(turn));
        assert_eq!(world.take().to, from.remote);
    }
    // The genuine one is served all the same.
    world.receive(node, path, &message).unwrap();
    world.run();
    assert_eq!(world.node(A).mirror.sas.len(), 1);
}

/// A message for an SPI that is not ours, request or answer.
#[test]
fn messages_for_unknown_spis_are_dropped() {
    for stage in STAGES {
        let (mut world, node, path, message) = at(stage);
        for flags in [0x00, 0x08, 0x20, 0x28] {
            let mut foreign = message.clone();
            foreign[..16].fill(0x77);
            foreign[19] = flags;
            let spi = IkeSpi::new(0x7777_7777_7777_7777).unwrap();
            assert_eq!(world.receive(node, path, &foreign), Err(Rejection::UnknownSpi(spi)), "{stage:?}");
        }
        silent(&world, &stage);
    }
}
