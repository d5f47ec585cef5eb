//! Signatures, and what says that they can be read, in every broken form (RFC 7427 §3 and §4, RFC 8420): refused
//! with AUTHENTICATION_FAILED or INVALID_SYNTAX, never more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::AuthFailure;
use ikev2_core::{Event, Failure};
use ikev2_wire::codes::{NotifyType, PayloadType};
use support::forge::{Raw, payloads_of};
use support::peer::{Peer, body_mut, notifies};
use support::setup::*;
use support::tickets::*;
use support::told::*;
use support::world::*;

/// The AlgorithmIdentifier of Ed25519 with its length (RFC 8420 appendix A.1).
const ED25519: [u8; 8] = [7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
/// That of sha1WithRSAEncryption (RFC 7427 appendix A.1.1).
const RSA_SHA1: [u8; 16] = [15, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0];

/// B trusts an Ed25519 key or asks; a peer says in AUTH what the test wants. Gives what B answered, and B's
/// events.
fn present(
    setup: impl FnOnce(&mut Setup),
    hashes: Option<&[u8]>,
    change: impl FnOnce(&mut Vec<Raw>),
) -> (World, Vec<NotifyType>, Vec<Event>) {
    let (a, mut b) = two();
    verify_now(&mut b, &ed25519());
    setup(&mut b);
    let mut world = World::pair(a, b);
    let mut peer = Peer::initiator();
    let path = world.path(B, A);
    let request = peer.init_request(|payloads| {
        payloads.extend(hashes.map(|data| Raw::notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, data)));
    });
    world.receive(B, path, &request).unwrap();
    let answer = world.take();
    peer.got_init_answer(answer.message());
    let request = peer.auth_request(change);
    world.receive(B, path, &request).unwrap();
    let told = world.take_all();
    let told = told.iter().flat_map(|packet| notifies(&peer.open(packet.message()))).map(|(ty, _)| ty);
    let told = told.collect();
    let events = world.take_events(B);
    (world, told, events)
}

fn auth(method: u8, data: &[u8]) -> impl FnOnce(&mut Vec<Raw>) {
    let body = [&[method, 0, 0, 0], data].concat();
    move |payloads| *body_mut(payloads, PayloadType::AUTH) = body
}

#[test]
fn signatures_of_method_14_that_are_malformed_are_refused() {
    let mut negative = ED25519;
    negative[0] = 0x80;
    let cases: [(&str, Vec<u8>); 12] = [
        ("nothing", vec![]),
        ("an identifier of length 0", vec![0]),
        ("an identifier of length 0 and a signature", [&[0][..], &[7; 64]].concat()),
        ("an identifier beyond the data", vec![200, 0x30, 5]),
        ("an identifier one octet beyond the data", ED25519[..7].to_vec()),
        ("a length of 128", [&negative[..], &[7; 64]].concat()),
        ("an identifier that is no DER", [&[7][..], &[0xFF; 7], &[7; 64]].concat()),
        ("an OID of nobody", [&[7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x7F][..], &[7; 64]].concat()),
        ("octets behind the identifier", [&[8, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 0][..], &[7; 64]].concat()),
        ("no signature", ED25519.to_vec()),
        ("a signature of 63 octets", [&ED25519[..], &[7; 63]].concat()),
        ("a signature of 65 octets", [&ED25519[..], &[7; 65]].concat()),
    ];
    for (why, data) in cases {
        let (mut world, told, events) = present(|_| {}, Some(&[0, 5]), auth(14, &data));
        let fine =
            [vec![NotifyType::AUTHENTICATION_FAILED], vec![NotifyType::INVALID_SYNTAX]].contains(&told);
        assert!(fine, "{why}: {told:?}");
        assert_eq!(kinds(&events), ["IKE down"], "{why}");
        assert!(!down(&events).to_string().is_empty());
        world.run_for_secs(40);
        world.assert_empty(B);
    }
}

/// RFC 8247 §3.2: SHA-1 is a MUST NOT, and is not announced.
#[test]
fn a_hash_that_was_not_announced_is_refused_and_named() {
    let data = [&RSA_SHA1[..], &[7; 256]].concat();
    let (world, told, events) = present(|_| {}, Some(&[0, 1, 0, 2]), auth(14, &data));
    assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED]);
    let failure = down(&events);
    assert!(
        matches!(
            failure,
            Failure::Authentication(AuthFailure::HashNotAnnounced { .. } | AuthFailure::UnknownScheme { .. })
        ),
        "{failure:?}"
    );
    drop(world);
}

/// RFC 7427 §3: method 14 where both announced hashes, and only there.
#[test]
fn the_method_must_be_what_both_announced() {
    let signature = [&ED25519[..], &[7; 64]].concat();
    for (why, hashes, method) in [
        ("method 14 that the peer announced nothing for", None, 14),
        ("method 1 where 14 is agreed", Some(&[0u8, 2, 0, 5][..]), 1),
        ("method 9 where 14 is agreed", Some(&[0, 2, 0, 5]), 9),
        ("method 11 where 14 is agreed", Some(&[0, 4]), 11),
        ("DSS", None, 3),
        ("NULL", None, 13),
        ("a shared key where a signature is wanted", None, 2),
        ("a method of nobody", None, 200),
        ("method 0", None, 0),
    ] {
        let (world, told, events) = present(|_| {}, hashes, auth(method, &signature));
        assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED], "{why}");
        let failure = down(&events);
        assert!(matches!(failure, Failure::Authentication(AuthFailure::Method { .. })), "{why}: {failure:?}");
        says(&failure, &["`tunnel`", "authenticates by"]);
        drop(world);
    }
}

/// RFC 7427 §4: a list of 16-bit numbers; what is none, or has nothing in common, is as if there were none.
#[test]
fn announcements_that_are_none_leave_nothing_to_sign_with() {
    for hashes in [&[][..], &[0], &[0, 2, 0], &[0, 99], &[0xFF; 400]] {
        let (_, told, events) = present(
            |b| {
                sign_now(b, &ed25519());
                b.connection.remote_auth = two().1.connection.remote_auth;
            },
            Some(hashes),
            |_| {},
        );
        assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED], "{hashes:?}");
        let failure = down(&events);
        let fine = matches!(failure, Failure::Authentication(AuthFailure::NoCommonScheme { .. }));
        assert!(fine, "{hashes:?}: {failure:?}");
    }
}

/// The embedder is shown the certificates of the peer as they came, those in X.509, and nothing is decided.
#[test]
fn the_embedder_is_shown_the_certificates_and_the_signature() {
    let signature = [&ED25519[..], &[7; 64]].concat();
    let certificates: [&[u8]; 6] = [&[4, 1, 2, 3], &[12, 9, 9], &[4], &[7, 5], &[4, 0xAA, 0xBB], &[200, 1]];
    let (world, told, events) = present(verify_later, Some(&[0, 5]), |payloads| {
        auth(14, &signature)(payloads);
        payloads.extend(certificates.map(|body| Raw::new(PayloadType::CERT, body)));
    });
    assert_eq!(told, []);
    let [Event::VerificationNeeded { request, deadline, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(request.signature.certificates, [vec![1, 2, 3], vec![], vec![0xAA, 0xBB]]);
    assert_eq!(request.signature.signature, [7; 64]);
    assert_eq!(request.peer, Some(id("a.example")));
    assert_eq!(request.connection, "tunnel");
    assert!(*deadline > world.now);
    assert!(world.node(B).mirror.sas.is_empty());
}

/// A hundred certificates are a hundred payloads: bounded by the message.
#[test]
fn certificates_are_bounded_by_the_message() {
    let (_, told, events) = present(
        |_| {},
        Some(&[0, 5]),
        |payloads| {
            auth(14, &[&ED25519[..], &[7; 64]].concat())(payloads);
            payloads.extend(std::iter::repeat_n(Raw::new(PayloadType::CERT, &[4; 500]), 100));
        },
    );
    assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED]);
    assert!(matches!(down(&events), Failure::Authentication(AuthFailure::Signature { .. })));
}

/// What we announce: each hash once, SHA-1 not among them (RFC 8247 §3.2).
#[test]
fn what_is_announced_is_what_is_read() {
    let (mut a, b) = two();
    verify_now(&mut a, &ed25519());
    let mut world = World::pair(a, b);
    world.connect(A, B);
    let request = world.take();
    let told = notifies(&payloads_of(request.message()));
    let (_, data) = told.iter().find(|(ty, _)| *ty == NotifyType::SIGNATURE_HASH_ALGORITHMS).unwrap();
    let hashes: Vec<u16> = data.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    assert!(hashes.contains(&2) && hashes.contains(&5) && !hashes.contains(&1), "{hashes:?}");
    let mut once = hashes.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), hashes.len());
}
