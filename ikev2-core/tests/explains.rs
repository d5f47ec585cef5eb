//! Where two sides cannot agree, both are told why: in fields, with both sides' lists as far as each side knows them,
//! the first mismatch, and who has to change something; and in words. One kind of mismatch a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::{AuthFailure, Bound, Fault, Offer};
use ikev2_core::negotiation::{KeMismatch, Mismatch, RefusalReason, Side, TsMismatchKind, offer_ike};
use ikev2_core::{
    CallError, ChildConfig, Event, Failure, IdentityPattern, LocalAuth, Rejection, RemoteAuth, Role,
    SharedKeys,
};
use ikev2_wire::codes::{ExchangeType, KeMethod, NotifyType, PayloadType};
use ikev2_wire::{Transform, TransformType};
use ipsec_crypto::rustcrypto::PrivateKey;
use ipsec_types::sa::PolicyId;
use std::sync::Arc;
use support::forge::{Forger, Raw};
use support::peer::body_mut;
use support::setup::*;
use support::stages::about_to_authenticate;
use support::tickets::*;
use support::told::*;
use support::world::*;

/// One of ours in each test: transform type, what A has, what B has, and the names of both algorithms.
type Case = (TransformType, &'static str, &'static str, &'static str, &'static str);

const IKE: [Case; 6] = [
    (
        TransformType::ENCR,
        "aes256gcm16-prfsha256-x25519",
        "chacha20poly1305-prfsha256-x25519",
        "AES_GCM_16-256",
        "CHACHA20_POLY1305",
    ),
    (TransformType::ENCR, "aes256-sha256-x25519", "aes128-sha256-x25519", "AES_CBC-256", "AES_CBC-128"),
    (
        TransformType::PRF,
        "aes256gcm16-prfsha256-x25519",
        "aes256gcm16-prfsha512-x25519",
        "PRF_HMAC_SHA2_256",
        "PRF_HMAC_SHA2_512",
    ),
    (
        TransformType::INTEG,
        "aes256-sha256-prfsha256-x25519",
        "aes256-sha512-prfsha256-x25519",
        "SHA2_256_128",
        "SHA2_512_256",
    ),
    (
        TransformType::KE,
        "aes256gcm16-prfsha256-x25519",
        "aes256gcm16-prfsha256-ecp256",
        "Curve25519",
        "256-bit random ECP",
    ),
    (
        TransformType::KE,
        "aes256gcm16-prfsha256-ecp384",
        "aes256gcm16-prfsha256-x25519-modp2048",
        "384-bit random ECP",
        "2048-bit MODP",
    ),
];

fn check_mismatch(mismatch: &Mismatch, case: &Case) {
    let (ty, .., ours, theirs) = case;
    let RefusalReason::Transform { ty: found, offered, allowed } = mismatch.first().unwrap() else {
        panic!("{mismatch}")
    };
    assert_eq!(found, ty, "{mismatch}");
    // The first mismatch has what each side has of that type, and the whole lists are there beside.
    let names = |list: &[Transform]| list.iter().map(ToString::to_string).collect::<String>();
    assert!(names(offered).contains(ours), "{ours}: {offered:?}");
    assert!(names(allowed).contains(theirs), "{theirs}: {allowed:?}");
    assert_eq!((mismatch.offered.len(), mismatch.more), (1, 0));
    assert!(!mismatch.allowed.is_empty());
    says(mismatch, &["the peer offers", "we allow", ours, theirs]);
}

#[test]
fn each_transform_type_of_an_ike_sa() {
    for case in &IKE {
        let (_, ours, theirs, name, _) = case;
        let (a, b) = two();
        let mut world = World::pair(a.ike(&[ours]), b.ike(&[theirs]));
        world.connect(A, B);
        world.deliver_next();
        let rejection = world.nodes[B].rejections.pop().unwrap();
        assert_eq!(rejection.fault(), Fault::PeerIncompatible);
        let Rejection::NoProposalChosen(mismatch) = &rejection else { panic!("{rejection:?}") };
        check_mismatch(mismatch, case);
        // The initiator is told nothing but the notify, and shows its own list.
        world.run_for_secs(10);
        let failure = down(&world.take_events(A));
        let Failure::OfferRefused { notify: NotifyType::NO_PROPOSAL_CHOSEN, offer } = &failure else {
            panic!("{failure:?}")
        };
        assert_eq!(**offer, Offer::Proposals(offer_ike(&ike(&[ours]), None)));
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
        says(&failure, &["NO_PROPOSAL_CHOSEN", "we offer", name]);
    }
}

const ESP: [Case; 5] = [
    (TransformType::ENCR, "aes256gcm16", "aes128gcm16", "AES_GCM_16-256", "AES_GCM_16-128"),
    (TransformType::INTEG, "aes256-sha256", "aes256-sha512", "SHA2_256_128", "SHA2_512_256"),
    (TransformType::SN, "aes256gcm16-esn", "aes256gcm16-noesn", "64-bit", "32-bit"),
    (TransformType::KE, "aes256gcm16-x25519", "aes256gcm16-ecp256", "Curve25519", "256-bit random ECP"),
    (TransformType::KE, "aes256gcm16-x25519", "aes256gcm16", "Curve25519", ""),
];

#[test]
fn each_transform_type_of_a_child_sa() {
    for case in &ESP {
        let (_, ours, theirs, name, _) = case;
        let (mut a, mut b) = two();
        a.connection.children.push(child_with(2, "second", &[ours]));
        b.connection.children.insert(0, child_with(2, "second", &[theirs]));
        b.connection.children.truncate(1);
        // The first Child SA may come to nothing too; the second is asked for by CREATE_CHILD_SA.
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        world.take_events(A);
        world.take_events(B);
        let sa = world.handle(A);
        world.call(A, |e, now| e.create_child(now, sa, "second")).unwrap();
        world.run();
        let failure = child_failure(&world.take_events(B));
        let Failure::NoProposalChosen(mismatch) = &failure else { panic!("{failure:?}") };
        check_mismatch(mismatch, case);
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
        let failure = child_failure(&world.take_events(A));
        assert!(
            matches!(&failure, Failure::OfferRefused { offer, .. } if matches!(&**offer, Offer::Proposals(list) if list.len() == 1)),
            "{failure:?}"
        );
        says(&failure, &["NO_PROPOSAL_CHOSEN", "we offer", name]);
    }
}

/// The peer names a method that is none of ours.
#[test]
fn a_key_exchange_method_that_was_not_offered() {
    let (mut a, b) = two();
    a.connection.children.push(child_with(2, "pfs", &["aes256gcm16-x25519-ecp256"]));
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "pfs")).unwrap();
    let request = world.take();
    let mut forger = Forger::new(&world.node(A).keys);
    let head = forger.head(Role::Responder, ExchangeType::CREATE_CHILD_SA, request.header().message_id, true);
    let octets = forger.seal(&head, &[Raw::notify(NotifyType::INVALID_KE_PAYLOAD, &[0, 14])]);
    world.deliver(&Packet { from: request.to, to: request.from, octets }).unwrap().unwrap();
    let failure = child_failure(&world.take_events(A));
    let Failure::KeMethodWanted { wanted, offered } = &failure else { panic!("{failure:?}") };
    assert_eq!((wanted.0, offered.iter().map(|m| m.0).collect::<Vec<_>>()), (14, vec![31, 19]));
    assert_eq!(failure.fault(), Fault::PeerIncompatible);
    says(&failure, &["the peer wants 2048-bit MODP", "we offer Curve25519"]);
}

#[test]
fn traffic_selectors_of_each_end() {
    for (side, local, remote) in
        [(Side::Remote, "10.3.0.0/16", "10.2.0.0/16"), (Side::Local, "10.1.0.0/16", "10.4.0.0/16")]
    {
        let (mut a, mut b) = two();
        a.connection.children = vec![child(1, "one", &[local], &[remote])];
        b.connection.children = vec![child(1, "one", &["10.2.0.0/16"], &["10.1.0.0/16"])];
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        let failure = child_failure(&world.take_events(B));
        let Failure::TsUnacceptable(mismatch) = &failure else { panic!("{failure:?}") };
        assert_eq!(mismatch.kind, TsMismatchKind::NoOverlap(side));
        assert_eq!(
            (&mismatch.our_local, &mismatch.our_remote),
            (&nets(&["10.2.0.0/16"]), &nets(&["10.1.0.0/16"]))
        );
        assert_eq!((&mismatch.peer_local, &mismatch.peer_remote), (&nets(&[remote]), &nets(&[local])));
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
        let failure = child_failure(&world.take_events(A));
        let Failure::OfferRefused { notify: NotifyType::TS_UNACCEPTABLE, offer } = &failure else {
            panic!("{failure:?}")
        };
        let Offer::Selectors(lists) = &**offer else { panic!("{offer:?}") };
        assert_eq!((&lists.local, &lists.remote), (&nets(&[local]), &nets(&[remote])));
        says(&failure, &["TS_UNACCEPTABLE", local, remote]);
    }
}

#[test]
fn identities_of_both_ends() {
    let (mut a, b) = two();
    a.connection.local_id = id("mallory.example");
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let failure = down(&world.take_events(B));
    let Failure::Authentication(AuthFailure::UnknownIdentity { peer, us, known }) = &failure else {
        panic!("{failure:?}")
    };
    assert_eq!((peer, us), (&id("mallory.example"), &Some(id("b.example"))));
    assert_eq!(known[..], [(id("b.example"), IdentityPattern::Exactly(id("a.example")))]);
    assert_eq!(failure.fault(), Fault::PeerIncompatible);
    says(&down(&world.take_events(A)), &["AUTHENTICATION_FAILED", "secrets and identities"]);
}

fn no_keys() -> SharedKeys {
    SharedKeys::ByIdentity(Arc::new(ikev2_core::credentials::SharedKeyTable::default()))
}

fn p256() -> Arc<PrivateKey> {
    let pem = include_str!("../../ipsec-crypto/tests/vectors/keys/p256.pem");
    Arc::new(PrivateKey::from_pem(pem).unwrap())
}

#[test]
fn a_missing_and_a_wrong_credential() {
    // Missing at the responder: its own fault.
    let (a, mut b) = two();
    b.connection.remote_auth = RemoteAuth::SharedKey(no_keys());
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let failure = down(&world.take_events(B));
    assert_eq!(failure.fault(), Fault::Caller);
    says(&failure, &["no shared secret for b.example with a.example"]);
    // Another one than the peer's.
    let (a, mut b) = two();
    b.set_secret(b"another");
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let failure = down(&world.take_events(B));
    assert_eq!(failure.fault(), Fault::PeerIncompatible);
    assert!(matches!(&failure, Failure::Authentication(AuthFailure::WrongSecret { .. })));
    says(&failure, &["a.example", "does not fit the shared secret"]);
}

/// Who has to change something, for what can go wrong with identities and proofs at either end.
#[test]
fn faults_of_authentication() {
    type Change = fn(&mut Setup, &mut Setup);
    let cases: [(&str, Change, usize, Fault, &[&str]); 6] = [
        (
            "another responder than the one that is wanted",
            |a, _| a.connection.remote_id = "*.example.org".parse().unwrap(),
            A,
            Fault::PeerIncompatible,
            &["the peer is b.example", "wants *.example.org"],
        ),
        (
            "no secret at the initiator",
            |a, _| a.connection.local_auth = LocalAuth::SharedKey(no_keys()),
            A,
            Fault::Caller,
            &["no shared secret for a.example with b.example"],
        ),
        (
            "no secret for the responder's proof",
            |a, _| a.connection.remote_auth = RemoteAuth::SharedKey(no_keys()),
            A,
            Fault::Caller,
            &["no shared secret for a.example with b.example"],
        ),
        (
            "another secret at the responder",
            |_, b| b.connection.local_auth = LocalAuth::SharedKey(SharedKeys::One(secret(b"another"))),
            A,
            Fault::PeerIncompatible,
            &["b.example", "does not fit the shared secret"],
        ),
        (
            "a signature by a key that the responder does not trust",
            |a, b| {
                sign_now(a, &p256());
                verify_now(b, &ed25519());
            },
            B,
            Fault::PeerIncompatible,
            &["a.example", "none of the 1 keys", "hashes announced: ours"],
        ),
        (
            "a signature by a key that the initiator does not trust",
            |a, b| {
                sign_now(b, &p256());
                verify_now(a, &ed25519());
            },
            A,
            Fault::PeerIncompatible,
            &["b.example", "none of the 1 keys", "hashes announced: ours"],
        ),
    ];
    for (why, change, node, fault, words) in cases {
        let (mut a, mut b) = two();
        change(&mut a, &mut b);
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.run();
        let failure = down(&world.take_events(node));
        assert!(matches!(failure, Failure::Authentication(_)), "{why}: {failure:?}");
        assert_eq!(failure.fault(), fault, "{why}");
        says(&failure, words);
    }
}

/// AUTH with one bit changed, by a secret and by a signature.
#[test]
fn an_auth_that_does_not_fit() {
    for signs in [false, true] {
        let (mut a, mut b) = two();
        if signs {
            sign_now(&mut a, &ed25519());
            verify_now(&mut b, &ed25519());
        }
        let mut world = World::pair(a, b);
        world.connect(A, B);
        world.deliver_next();
        world.deliver_next();
        let mut forger = Forger::new(&world.node(A).keys);
        let altered = forger.alter(&world.take(), |payloads| {
            *body_mut(payloads, PayloadType::AUTH).last_mut().unwrap() ^= 1;
        });
        world.deliver(&altered).unwrap().unwrap();
        let failure = down(&world.take_events(B));
        assert_eq!(failure.fault(), Fault::PeerIncompatible);
        let Failure::Authentication(why) = &failure else { panic!("{failure:?}") };
        match why {
            AuthFailure::Signature { .. } => assert!(signs),
            AuthFailure::WrongSecret { .. } => assert!(!signs),
            other => panic!("{other:?}"),
        }
        says(&failure, &["a.example"]);
    }
}

/// KE by another method than the responder would choose: what each side has, in each exchange.
#[test]
fn a_key_exchange_method_that_is_not_the_first_choice() {
    let (x25519, p256) = (KeMethod::CURVE25519, KeMethod::ECP_256);
    let check = |mismatch: &KeMismatch| {
        assert_eq!((mismatch.sent, mismatch.wanted), (Some(x25519), p256));
        assert_eq!((&mismatch.offered[..], &mismatch.allowed[..]), (&[x25519, p256][..], &[p256][..]));
        let words = [
            "KE with Curve25519 where 256-bit random ECP",
            "the peer offers Curve25519, 256-bit",
            "we allow 256-bit",
        ];
        says(mismatch, &words);
    };
    let (mut a, mut b) = two();
    a.connection.children.push(child_with(2, "pfs", &["aes256gcm16-x25519-ecp256"]));
    b.connection.children = vec![child_with(2, "pfs", &["aes256gcm16-ecp256"])];
    let a = a.ike(&["aes256gcm16-prfsha256-x25519-ecp256"]);
    let mut world = World::pair(a, b.ike(&["aes256gcm16-prfsha256-ecp256"]));
    world.connect(A, B);
    world.deliver_next();
    let rejection = world.nodes[B].rejections.pop().unwrap();
    assert_eq!(rejection.fault(), Fault::PeerIncompatible);
    let Rejection::KeMethod(mismatch) = &rejection else { panic!("{rejection:?}") };
    check(mismatch);
    world.run();
    world.take_events(B);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "pfs")).unwrap();
    world.deliver_next();
    let failure = child_failure(&world.take_events(B));
    assert_eq!(failure.fault(), Fault::PeerIncompatible);
    let Failure::InvalidKe(mismatch) = &failure else { panic!("{failure:?}") };
    check(mismatch);
    // Neither is the end: the method that is wanted was offered.
    world.run();
    assert!(kinds(&world.take_events(A)).contains(&"Child up"));
}

/// A signature where a secret is wanted: methods and hashes of both sides.
#[test]
fn the_method_of_authentication() {
    let (mut a, b) = two();
    sign_now(&mut a, &ed25519());
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let failure = down(&world.take_events(B));
    let Failure::Authentication(AuthFailure::Method { got, wanted, hashes, .. }) = &failure else {
        panic!("{failure:?}")
    };
    assert_eq!((got.0, wanted.iter().map(|m| m.0).collect::<Vec<_>>()), (14, vec![2]));
    assert!(!hashes.ours.is_empty() && hashes.peer.as_ref().is_some_and(|list| !list.is_empty()));
    assert_eq!(failure.fault(), Fault::PeerIncompatible);
}

#[test]
fn a_critical_payload() {
    let (mut world, mut forger, request) = about_to_authenticate();
    let altered =
        forger.alter(&request, |payloads| payloads.push(Raw::new(PayloadType(200), &[1]).critical()));
    world.deliver(&altered).unwrap().unwrap();
    let failure = down(&world.take_events(B));
    assert_eq!(failure, Failure::CriticalPayload(PayloadType(200)));
    assert_eq!(failure.fault(), Fault::PeerMisbehaved);
    let told = forger.open(world.take().message());
    assert_eq!(told, [Raw::notify(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, &[200])]);
    says(&failure, &["critical payload", "200"]);
}

#[test]
fn limits() {
    let (a, mut b) = two();
    b.config.max_children = 1;
    let mut world = World::established(a, b);
    let sa = world.handle(A);
    world.call(A, |e, now| e.create_child(now, sa, "first")).unwrap();
    world.run();
    let failure = child_failure(&world.take_events(B));
    assert_eq!((&failure, failure.fault()), (&Failure::Limit(Bound::Children), Fault::Limit));
    says(&failure, &["max_children"]);
    let failure = child_failure(&world.take_events(A));
    assert_eq!(failure, Failure::Refused { notify: NotifyType::NO_ADDITIONAL_SAS });
    says(&failure, &["no further Child SA"]);

    let (a, mut b) = two();
    b.config.max_ike_sas = 0;
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.deliver_next();
    let rejection = world.nodes[B].rejections.pop().unwrap();
    assert_eq!((&rejection, rejection.fault()), (&Rejection::Limit(Bound::IkeSas), Fault::Limit));
    says(&rejection, &["max_ike_sas"]);
}

/// What any bound refuses is nobody's fault but the configuration's, and says which field it is.
#[test]
fn each_bound_is_a_limit_of_ours_and_is_named() {
    let bounds = [
        (Bound::IkeSas, "max_ike_sas"),
        (Bound::HalfOpen, "max_half_open"),
        (Bound::HalfOpenFromSource, "max_half_open_from_source"),
        (Bound::Operations, "max_operations_per_second"),
        (Bound::Admission, "the embedder's admission"),
        (Bound::Events, "max_events"),
        (Bound::QueuedRequests, "max_queued_requests"),
        (Bound::Children, "max_children"),
        (Bound::Datagram, "max_datagram"),
        (Bound::Window, "window of the peer"),
        (Bound::ReassemblyOctets, "reassembly.octets"),
        (Bound::Fragments, "reassembly.fragments"),
        (Bound::FragmentedMessages, "reassembly.messages"),
        (Bound::MessageIds, "Message IDs"),
    ];
    for (bound, name) in bounds {
        let (rejection, failure) = (Rejection::Limit(bound), Failure::Limit(bound));
        assert_eq!((rejection.fault(), failure.fault()), (Fault::Limit, Fault::Limit), "{bound:?}");
        says(&rejection, &[name]);
        says(&failure, &[name]);
        says(&CallError::Limit(bound), &[name]);
    }
    // How often a peer may have us start over is counted, and it is the peer that did.
    let failure = Failure::TooManyRetries(6);
    assert_eq!(failure.fault(), Fault::PeerMisbehaved);
    says(&failure, &["6 times", "max_init_retries"]);
}

/// The mode, both ways.
#[test]
fn the_mode_of_a_child_sa() {
    let (mut a, mut b) = two();
    let all = || nets(&["0.0.0.0/0"]);
    a.connection.children = vec![Arc::new(ChildConfig::transport(PolicyId(1), "one", all(), all()))];
    b.connection.children = vec![child(1, "one", &["0.0.0.0/0"], &["0.0.0.0/0"])];
    let mut world = World::pair(a, b);
    world.connect(A, B);
    world.run();
    let events = world.take_events(A);
    assert!(events.iter().any(|event| matches!(event, Event::IkeSaUp { .. })));
    says(&child_failure(&events), &["the peer takes tunnel mode", "transport mode alone"]);
}
