//! Every way in which a peer may sign, whatever it announced, against each of our policies, as initiator and as
//! responder: an IKE SA where the policy allows it, else an event that names method and hashes of both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ikev2_core::error::AuthFailure;
use ikev2_core::establish::auth::SignatureForm;
use ikev2_core::{Event, Failure, Role};
use ikev2_wire::DigitalSignature;
use ikev2_wire::codes::{AuthMethod, HashAlgorithm, NotifyType, PayloadType};
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_crypto::signature::{KeyType, SignatureEncoding, SignatureScheme, SigningKey};
use std::sync::Arc;
use support::forge::Raw;
use support::peer::{Peer, body, body_mut};
use support::setup::*;
use support::tickets::*;
use support::told::*;
use support::world::*;

use Key::{Ed, P256, P384, P521, Rsa};
use Outcome::{HashNotAnnounced, Method, Signature, Unknown, Up, Weak};
use Says::{Identifier, Junk, Secret, Signs};
use SignatureScheme::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Ed,
    P256,
    P384,
    P521,
    Rsa,
}

/// Keys that OpenSSL made, for the tests of `ipsec-crypto`.
fn key(key: Key) -> Arc<PrivateKey> {
    let pem = match key {
        Ed => include_str!("../../ipsec-crypto/tests/vectors/keys/ed25519.pem"),
        P256 => include_str!("../../ipsec-crypto/tests/vectors/keys/p256.pem"),
        P384 => include_str!("../../ipsec-crypto/tests/vectors/keys/p384.pem"),
        P521 => include_str!("../../ipsec-crypto/tests/vectors/keys/p521.pem"),
        Rsa => include_str!("../../ipsec-crypto/tests/vectors/keys/rsa2048.pem"),
    };
    Arc::new(PrivateKey::from_pem(pem).unwrap())
}

/// What the AUTH data of the peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Says {
    /// A signature by this key and scheme: with its AlgorithmIdentifier in method 14, bare in the others.
    Signs(Key, SignatureScheme),
    /// An AlgorithmIdentifier that we do not know, and octets.
    Identifier(&'static [u8]),
    /// A good proof by the shared secret.
    Secret,
    /// Octets.
    Junk,
}

/// What becomes of it where the key is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// The IKE SA is up.
    Up,
    /// The method is not what the announcements leave.
    Method,
    /// The hash is none of ours.
    HashNotAnnounced,
    /// The scheme is not known.
    Unknown,
    /// It is good, and SHA-1.
    Weak,
    /// It is not good.
    Signature,
}

/// What the peer announces by SIGNATURE_HASH_ALGORITHMS.
const ANNOUNCED: [(&str, Option<&[u8]>); 4] = [
    ("SHA2-256, SHA2-384, SHA2-512 and Identity", Some(&[0, 2, 0, 3, 0, 4, 0, 5])),
    ("nothing", None),
    ("unknown ones alone", Some(&[0x7F, 0xFF, 0, 99])),
    ("an empty list", Some(&[])),
];

/// RSASSA-PSS with empty parameters, which mean SHA-1 (RFC 7427 appendix A.4.1; MUST NOT by RFC 8247 §3.2).
const PSS_EMPTY: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 0];
/// ecdsa-with-SHA1 (RFC 7427 appendix A.3.1).
const ECDSA_SHA1: &[u8] = &[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
/// dsa-with-sha1 (RFC 7427 appendix A.2.1).
const DSA_SHA1: &[u8] = &[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3];
/// Ed448 (RFC 8420 appendix A.2).
const ED448: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x71];

/// Method, data, and the outcome for each of [`ANNOUNCED`].
#[rustfmt::skip]
const ROWS: &[(u8, Says, [Outcome; 4])] = &[
    //                                 hashes            nothing    unknown ones      empty list
    (14, Signs(Ed, Ed25519),          [Up,               Method,    Up,               Up]),
    (14, Signs(P256, EcdsaSha256),    [Up,               Method,    Up,               Up]),
    (14, Signs(P256, EcdsaSha512),    [Up,               Method,    Up,               Up]),
    (14, Signs(P384, EcdsaSha384),    [Up,               Method,    Up,               Up]),
    (14, Signs(P521, EcdsaSha512),    [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPssSha256),    [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPssSha384),    [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPssSha512),    [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPkcs1Sha256),  [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPkcs1Sha384),  [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPkcs1Sha512),  [Up,               Method,    Up,               Up]),
    (14, Signs(Rsa, RsaPkcs1Sha1),    [HashNotAnnounced, Method,    HashNotAnnounced, HashNotAnnounced]),
    (14, Identifier(PSS_EMPTY),       [Unknown,          Method,    Unknown,          Unknown]),
    (14, Identifier(ECDSA_SHA1),      [Unknown,          Method,    Unknown,          Unknown]),
    (14, Identifier(DSA_SHA1),        [Unknown,          Method,    Unknown,          Unknown]),
    (14, Identifier(ED448),           [Unknown,          Method,    Unknown,          Unknown]),
    (1,  Signs(Rsa, RsaPkcs1Sha256),  [Method,           Up,        Method,           Method]),
    (1,  Signs(Rsa, RsaPkcs1Sha384),  [Method,           Up,        Method,           Method]),
    (1,  Signs(Rsa, RsaPkcs1Sha512),  [Method,           Up,        Method,           Method]),
    (1,  Signs(Rsa, RsaPkcs1Sha1),    [Method,           Weak,      Method,           Method]),
    (1,  Signs(P256, EcdsaSha256),    [Method,           Signature, Method,           Method]),
    (9,  Signs(P256, EcdsaSha256),    [Method,           Up,        Method,           Method]),
    (10, Signs(P384, EcdsaSha384),    [Method,           Up,        Method,           Method]),
    (11, Signs(P521, EcdsaSha512),    [Method,           Up,        Method,           Method]),
    (9,  Signs(P384, EcdsaSha384),    [Method,           Signature, Method,           Method]),
    (11, Signs(Rsa, RsaPkcs1Sha512),  [Method,           Signature, Method,           Method]),
    (9,  Junk,                        [Method,           Signature, Method,           Method]),
    (2,  Secret,                      [Method,           Method,    Method,           Method]),
    (3,  Junk,                        [Method,           Method,    Method,           Method]),
    (13, Junk,                        [Method,           Method,    Method,           Method]),
    (0,  Junk,                        [Method,           Method,    Method,           Method]),
    (200, Junk,                       [Method,           Method,    Method,           Method]),
];

/// Whom we take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Policy {
    /// The peer's key is pinned.
    Pinned,
    /// The same, and SHA-1 is allowed in method 1.
    PinnedWithSha1,
    /// Another key is pinned.
    OtherKey,
    /// The embedder says, later.
    Later,
    /// A shared secret.
    Secret,
}

/// What a policy makes of the outcome of [`ROWS`]; `None` where the embedder is asked.
fn by_policy(policy: Policy, method: u8, outcome: Outcome) -> Option<Outcome> {
    Some(match (policy, outcome) {
        (Policy::Secret, _) if method == 2 => Up,
        (Policy::Secret, _) => Method,
        (Policy::PinnedWithSha1, Weak) => Up,
        (Policy::OtherKey, Up | Weak) => Signature,
        (Policy::Later, Up | Weak | Signature) => return None,
        (_, outcome) => outcome,
    })
}

#[test]
fn a_peer_is_taken_where_the_policy_allows_it_or_else_the_event_says_why() {
    let mut up = 0;
    for &(method, says, outcomes) in ROWS {
        for ((announces, hashes), outcome) in ANNOUNCED.into_iter().zip(outcomes) {
            for policy in
                [Policy::Pinned, Policy::PinnedWithSha1, Policy::OtherKey, Policy::Later, Policy::Secret]
            {
                for role in [Role::Initiator, Role::Responder] {
                    let why =
                        format!("{method} {says:?}, announces {announces}, {policy:?}, we are {role:?}");
                    let expected = by_policy(policy, method, outcome);
                    let events = present(role, hashes, (method, says), policy);
                    up += usize::from(expected == Some(Up));
                    judge(&events, expected, method, says, hashes, &why);
                }
            }
        }
    }
    assert!(up > 100, "{up}");
}

fn judge(
    events: &[Event],
    expected: Option<Outcome>,
    method: u8,
    says_: Says,
    hashes: Option<&[u8]>,
    why: &str,
) {
    match expected {
        None => assert!(matches!(events, [Event::VerificationNeeded { .. }]), "{why}: {events:?}"),
        Some(Up) => assert_eq!(kinds(events)[0], "IKE up", "{why}: {events:?}"),
        Some(outcome) => {
            assert_eq!(kinds(events), ["IKE down"], "{why}: {events:?}");
            let Failure::Authentication(failure) = down(events) else { panic!("{why}: {events:?}") };
            let found = match &failure {
                AuthFailure::Method { .. } => Method,
                AuthFailure::HashNotAnnounced { .. } => HashNotAnnounced,
                AuthFailure::UnknownScheme { .. } => Unknown,
                AuthFailure::WeakScheme { .. } => Weak,
                AuthFailure::Signature { .. } => Signature,
                other => panic!("{why}: {other:?}"),
            };
            assert_eq!(found, outcome, "{why}: {failure}");
            // Method and hashes of both sides, in words.
            let name = AuthMethod(method).to_string();
            says(
                &failure,
                &["hashes announced: ours Identity, SHA2-256, SHA2-384, SHA2-512", "the peer's", &name],
            );
            match hashes {
                None => says(&failure, &["the peer's not announced"]),
                Some([]) => says(&failure, &["the peer's none"]),
                Some([0, 2, ..]) => says(&failure, &["the peer's SHA2-256, SHA2-384, SHA2-512"]),
                Some(_) => says(&failure, &["the peer's HashAlgorithm(32767), HashAlgorithm(99)"]),
            }
            if let (Signs(_, scheme), Weak | HashNotAnnounced) = (says_, outcome) {
                says(&failure, &[scheme.name()]);
            }
        }
    }
}

/// Lets a peer of the other role say this in AUTH, and gives our events. Where our own key can sign for such a peer,
/// it does, and its AUTH is verified by the formula.
fn present(role: Role, hashes: Option<&[u8]>, auth: (u8, Says), policy: Policy) -> Vec<Event> {
    let (mut a, mut b) = two();
    let (node, setup) = if role == Role::Initiator { (A, &mut a) } else { (B, &mut b) };
    let theirs = match auth.1 {
        Signs(k, _) => k,
        _ => P256,
    };
    let trusted = match policy {
        Policy::OtherKey => {
            if theirs == Ed {
                P256
            } else {
                Ed
            }
        }
        _ => theirs,
    };
    match policy {
        Policy::Secret => {}
        Policy::Later => verify_later(setup),
        _ => verify_now(setup, &key(trusted)),
    }
    setup.connection.sha1_signatures = policy == Policy::PinnedWithSha1;
    // What nobody reads is not signed: a key of ours needs hashes, or a method of its own.
    let signs = hashes == ANNOUNCED[0].1 || hashes.is_none() && theirs != Ed;
    if signs {
        sign_now(setup, &key(theirs));
    }
    let mut world = World::pair(a, b);
    world.strict = false;
    let notify = hashes.map(|data| Raw::notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, data));
    let change = |payloads: &mut Vec<Raw>| payloads.extend(notify.clone());
    let (peer, answer) = match role {
        Role::Responder => {
            let mut peer = Peer::initiator();
            let path = world.path(B, A);
            let request = peer.init_request(change);
            world.receive(B, path, &request).unwrap();
            peer.got_init_answer(world.take().message());
            let data = auth_data(&peer, auth);
            let request = peer.auth_request(|payloads| put_auth(payloads, auth.0, &data));
            world.receive(B, path, &request).unwrap();
            let answer = world.take_all().pop();
            (peer, answer)
        }
        Role::Initiator => {
            world.connect(A, B);
            let request = world.take();
            let mut peer = Peer::responder();
            let answer = peer.init_answer(request.message(), change);
            world.deliver(&Packet { from: request.to, to: request.from, octets: answer }).unwrap().unwrap();
            let sent = world.take();
            let data = auth_data(&peer, auth);
            let answer = peer.auth_answer(|payloads| put_auth(payloads, auth.0, &data));
            world.deliver(&Packet { from: sent.to, to: sent.from, octets: answer }).unwrap().unwrap();
            (peer, Some(sent))
        }
    };
    if let Some(sent) = answer.filter(|_| signs) {
        check_ours(role, &peer, &peer.open(sent.message()), theirs, hashes.is_some());
    }
    world.take_events(node)
}

/// Our own AUTH, if the message has one.
fn check_ours(role: Role, peer: &Peer, payloads: &[Raw], ours: Key, announced: bool) {
    let Some(auth) = payloads.iter().find(|raw| raw.ty == PayloadType::AUTH) else { return };
    let id = if role == Role::Initiator { PayloadType::ID_I } else { PayloadType::ID_R };
    let octets = peer.octets_under_auth(role, body(payloads, id));
    let (method, data) = (AuthMethod(auth.body[0]), &auth.body[4..]);
    let (schemes, encoding, signature) = if announced {
        assert_eq!(method, AuthMethod::DIGITAL_SIGNATURE);
        let (length, rest) = data.split_first().unwrap();
        let (identifier, signature) = rest.split_at(usize::from(*length));
        let scheme = SignatureScheme::from_algorithm_identifier(identifier).unwrap();
        assert_ne!(scheme.hash(), HashAlgorithm::SHA1);
        (vec![scheme], SignatureEncoding::Rfc7427, signature)
    } else {
        // RFC 4754 §7: r and s side by side, each as long as the curve's order; RFC 7296 §3.8 for RSA.
        let (expected, length) = match ours {
            P256 => (9, 64),
            P384 => (10, 96),
            P521 => (11, 132),
            Rsa => (1, 256),
            Ed => panic!("Ed25519 has no method of its own"),
        };
        assert_eq!((method, data.len()), (AuthMethod(expected), length));
        (SignatureScheme::of_raw_auth_method(method).to_vec(), SignatureEncoding::Raw, data)
    };
    let key = key(ours);
    let good = schemes.iter().any(|scheme| {
        let algorithm = RUSTCRYPTO.signature(*scheme).unwrap();
        algorithm.verify(key.public_key(), encoding, &[&octets], signature).is_ok()
    });
    assert!(good, "{method} by {ours:?}");
}

fn put_auth(payloads: &mut [Raw], method: u8, data: &[u8]) {
    // A good proof by the shared secret is there already.
    if method != 2 {
        *body_mut(payloads, PayloadType::AUTH) = [&[method, 0, 0, 0], data].concat();
    }
}

fn auth_data(peer: &Peer, (method, what): (u8, Says)) -> Vec<u8> {
    let octets = peer.signed_octets();
    match what {
        Signs(k, scheme) => {
            let key = key(k);
            let encoding = if method == 14 { SignatureEncoding::Rfc7427 } else { SignatureEncoding::Raw };
            let signature = key.sign(scheme, encoding, &[&octets], &mut *seeded(3)).unwrap();
            if method != 14 {
                return signature;
            }
            let mut data = Vec::new();
            let algorithm = scheme.algorithm_identifier();
            DigitalSignature { algorithm, signature: &signature }.encode(&mut data).unwrap();
            data
        }
        Identifier(identifier) => [&[identifier.len() as u8][..], identifier, &[7; 64]].concat(),
        Secret | Junk => vec![7; 64],
    }
}

/// Our key, what the peer announced, what it used itself, whether SHA-1 is allowed, and what comes of it.
type Choice = (Key, Option<&'static [u16]>, Option<SignatureScheme>, bool, Option<(u8, SignatureScheme)>);

/// What we sign with: our key, what the peer announced, what it used itself, whether SHA-1 is allowed; method and
/// scheme, or nothing.
#[test]
fn what_we_sign_with() {
    const ALL: &[u16] = &[2, 3, 4, 5];
    #[rustfmt::skip]
    let rows: &[Choice] = &[
        (Ed,   Some(ALL),     None,                 false, Some((14, Ed25519))),
        (Ed,   Some(&[2]),    None,                 false, None),
        (Ed,   None,          None,                 true,  None),
        (P256, Some(ALL),     None,                 false, Some((14, EcdsaSha256))),
        (P256, Some(&[4]),    None,                 false, Some((14, EcdsaSha512))),
        (P256, Some(&[1]),    None,                 true,  None),
        (P256, None,          None,                 false, Some((9, EcdsaSha256))),
        (P384, None,          None,                 false, Some((10, EcdsaSha384))),
        (P521, None,          None,                 false, Some((11, EcdsaSha512))),
        (P384, None,          Some(EcdsaSha256),    false, Some((10, EcdsaSha384))),
        (Rsa,  Some(ALL),     None,                 false, Some((14, RsaPssSha256))),
        // In the padding that the peer itself uses.
        (Rsa,  Some(ALL),     Some(RsaPkcs1Sha256), false, Some((14, RsaPkcs1Sha256))),
        (Rsa,  Some(ALL),     Some(RsaPkcs1Sha512), false, Some((14, RsaPkcs1Sha512))),
        (Rsa,  Some(&[4]),    Some(RsaPkcs1Sha256), false, Some((14, RsaPssSha512))),
        // SHA-1 never in method 14, whatever is allowed and asked for.
        (Rsa,  Some(&[1]),    None,                 true,  None),
        (Rsa,  Some(&[1, 2]), Some(RsaPkcs1Sha1),   true,  Some((14, RsaPssSha256))),
        (Rsa,  Some(&[]),     None,                 true,  None),
        (Rsa,  Some(&[99]),   None,                 false, None),
        (Rsa,  None,          None,                 false, Some((1, RsaPkcs1Sha256))),
        (Rsa,  None,          Some(RsaPkcs1Sha512), false, Some((1, RsaPkcs1Sha512))),
        (Rsa,  None,          Some(RsaPkcs1Sha1),   false, Some((1, RsaPkcs1Sha256))),
        // It is method 1's default (RFC 7296 §2.15), where it is allowed.
        (Rsa,  None,          None,                 true,  Some((1, RsaPkcs1Sha1))),
        (Rsa,  None,          Some(RsaPkcs1Sha256), true,  Some((1, RsaPkcs1Sha256))),
    ];
    for &(k, announced, used, sha1, expected) in rows {
        let key = key(k);
        let hashes = announced.map(|list| list.iter().map(|id| HashAlgorithm(*id)).collect::<Vec<_>>());
        let ty: KeyType = key.public_key().key_type();
        let form = SignatureForm::choose(key.schemes(), ty, hashes.as_deref(), used, sha1);
        let found = form.map(|form| (form.method.0, form.scheme));
        assert_eq!(found, expected, "{k:?}, announced {announced:?}, used {used:?}, SHA-1 {sha1}");
        let encoding = form.map(|form| form.encoding == SignatureEncoding::Rfc7427);
        assert_eq!(encoding, expected.map(|(method, _)| method == 14));
    }
}
