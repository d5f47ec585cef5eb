//! Which certificate or raw key makes a peer known while no path is validated: the pinned ones and no other
//! (RFC 7296 §2.15, §3.6). And signatures without RFC 7427 as RFC 4754 has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use hex_literal::hex;
use ikev2_core::credentials::TrustedKeyStore;
use ikev2_core::error::AuthFailure;
use ikev2_core::establish::auth::{Proof, SignatureForm};
use ikev2_core::{Event, Failure, Identity, RemoteAuth, TrustedKeys};
use ikev2_wire::codes::{AuthMethod, NotifyType, PayloadType};
use ikev2_wire::{AuthPayload, Payload};
use ipsec_crypto::rustcrypto::{PrivateKey, RUSTCRYPTO};
use ipsec_crypto::signature::{PublicKey, SignatureEncoding, SignatureScheme, SigningKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::forge::Raw;
use support::peer::{Peer, body_mut, notifies};
use support::setup::*;
use support::told::*;
use support::world::*;

const P256: &str = include_str!("../../ipsec-crypto/tests/vectors/keys/p256.pem");
const P256_CERTIFICATE: &str = include_str!("../../ipsec-crypto/tests/vectors/keys/p256-cert.pem");
const P384_CERTIFICATE: &str = include_str!("../../ipsec-crypto/tests/vectors/keys/p384-cert.pem");
const RSA1024_CERTIFICATE: &str = include_str!("../../ipsec-crypto/tests/vectors/keys/rsa1024-cert.pem");
const P384_PUBLIC: &str = include_str!("../../ipsec-crypto/tests/vectors/keys/p384-public.pem");
const OTHERS: [&str; 5] = [
    include_str!("../../ipsec-crypto/tests/vectors/keys/ed25519-public.pem"),
    P384_PUBLIC,
    include_str!("../../ipsec-crypto/tests/vectors/keys/p521-public.pem"),
    include_str!("../../ipsec-crypto/tests/vectors/keys/rsa2048-public.pem"),
    include_str!("../../ipsec-crypto/tests/vectors/keys/ed448-public.pem"),
];

fn der(pem: &str) -> Vec<u8> {
    PublicKey::certificates_in_pem(pem).unwrap().remove(0)
}

fn trust(setup: &mut Setup, keys: Vec<PublicKey>) {
    setup.connection.remote_auth = RemoteAuth::Signature(TrustedKeys::Pinned(keys));
}

/// A peer called `name` signs with the P-256 key by method 9, and sends these CERT payloads. Gives what B told it,
/// and B's events.
fn present(
    name: &str,
    setup: impl FnOnce(&mut Setup),
    certificates: &[Vec<u8>],
) -> (Vec<NotifyType>, Vec<Event>) {
    let (a, mut b) = two();
    setup(&mut b);
    let mut world = World::pair(a, b);
    let mut peer = Peer::initiator();
    peer.identity = id(name);
    let path = world.path(B, A);
    let request = peer.init_request(|_| {});
    world.receive(B, path, &request).unwrap();
    peer.got_init_answer(world.take().message());
    let key = PrivateKey::from_pem(P256).unwrap();
    let octets = peer.signed_octets();
    let signature =
        key.sign(SignatureScheme::EcdsaSha256, SignatureEncoding::Raw, &[&octets], &mut *seeded(5)).unwrap();
    let request = peer.auth_request(|payloads| {
        *body_mut(payloads, PayloadType::AUTH) = [&[9, 0, 0, 0], &signature[..]].concat();
        let certs = certificates.iter().map(|body| Raw::new(PayloadType::CERT, body));
        payloads.splice(1..1, certs);
    });
    world.receive(B, path, &request).unwrap();
    let told = world.take_all();
    let told =
        told.iter().flat_map(|packet| notifies(&peer.open(packet.message()))).map(|(ty, _)| ty).collect();
    let events = world.take_events(B);
    if matches!(events[..], [Event::IkeSaDown { .. }]) {
        world.run_for_secs(40);
        world.assert_empty(B);
    }
    (told, events)
}

fn x509(der: &[u8]) -> Vec<u8> {
    [&[4], der].concat()
}

/// One CERT of each encoding.
fn encodings(numbers: std::ops::RangeInclusive<u8>) -> Vec<Vec<u8>> {
    numbers.map(|encoding| [&[encoding][..], b"http://192.0.2.9/certificate.der"].concat()).collect()
}

/// What a peer sends in CERT is a hint, and no reason to trust or to distrust the key that is pinned.
#[test]
fn certificates_of_every_kind_neither_help_nor_hurt() {
    let pinned = || PublicKey::from_pem(P256_CERTIFICATE).unwrap();
    let other = || PublicKey::from_pem(P384_PUBLIC).unwrap();
    let own = der(P256_CERTIFICATE);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("none", vec![]),
        ("its own", vec![x509(&own)]),
        ("its own and a chain of others", vec![x509(&own), x509(&der(P384_CERTIFICATE)), x509(&own)]),
        ("another's first", vec![x509(&der(P384_CERTIFICATE)), x509(&own)]),
        ("another's alone", vec![x509(&der(P384_CERTIFICATE))]),
        ("one with a key that is too small", vec![x509(&der(RSA1024_CERTIFICATE))]),
        ("garbage", vec![x509(&[0xAA; 300])]),
        ("an empty one", vec![vec![4]]),
        ("one cut short", vec![x509(&own[..own.len() - 1])]),
        ("one with octets behind it", vec![x509(&[&own[..], &[0]].concat())]),
        ("an oversized one", vec![x509(&vec![0x30; 60_000])]),
        ("a hundred", vec![x509(&own); 100]),
        ("encodings up to 99", encodings(0..=99)),
        ("encodings up to 199", encodings(100..=199)),
        ("encodings up to 255", encodings(200..=255)),
        ("a URL", vec![[&[12], &[7; 20][..], b"http://192.0.2.9/c.der"].concat()]),
    ];
    for (why, certificates) in &cases {
        let (told, events) = present("a.example", |b| trust(b, vec![pinned()]), certificates);
        assert!(told.is_empty(), "{why}: {told:?}");
        assert_eq!(kinds(&events)[0], "IKE up", "{why}: {events:?}");
        // Nothing is fetched, and nobody is asked: another pinned key ends it.
        let (told, events) = present("a.example", |b| trust(b, vec![other()]), certificates);
        assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED], "{why}");
        assert_eq!(kinds(&events), ["IKE down"], "{why}");
        let failure = down(&events);
        assert!(
            matches!(&failure, Failure::Authentication(AuthFailure::Signature { trusted: 1, .. })),
            "{why}: {failure:?}"
        );
    }
}

/// An empty CERT has not even an encoding: the payload is malformed.
#[test]
fn a_cert_payload_without_an_encoding_is_malformed() {
    let pinned = || vec![PublicKey::from_pem(P256_CERTIFICATE).unwrap()];
    let (told, events) = present("a.example", |b| trust(b, pinned()), &[vec![]]);
    assert_eq!(told, [NotifyType::INVALID_SYNTAX]);
    assert!(matches!(down(&events), Failure::Malformed(_)), "{events:?}");
}

/// Keys by identity.
#[derive(Debug, Default)]
struct Store(BTreeMap<String, Vec<PublicKey>>);

impl TrustedKeyStore for Store {
    fn trusted_keys(&self, remote: &Identity) -> Vec<PublicKey> {
        self.0.get(&remote.to_string()).cloned().unwrap_or_default()
    }
}

#[test]
fn a_pinned_key_is_of_its_own_identity_alone() {
    let key = || vec![PublicKey::from_pem(P256_CERTIFICATE).unwrap()];
    let store = || {
        let other = vec![PublicKey::from_pem(P384_PUBLIC).unwrap()];
        let keys = [("a.example".to_string(), key()), ("c.example".to_string(), other)];
        RemoteAuth::Signature(TrustedKeys::ByIdentity(Arc::new(Store(keys.into()))))
    };
    for (name, up, trusted) in [("a.example", true, 1), ("c.example", false, 1), ("d.example", false, 0)] {
        let (told, events) = present(
            name,
            |b| {
                b.connection.remote_id = ikev2_core::IdentityPattern::Any;
                b.connection.remote_auth = store();
            },
            &[x509(&der(P256_CERTIFICATE))],
        );
        assert_eq!(told.is_empty(), up, "{name}: {told:?}");
        if up {
            assert_eq!(kinds(&events)[0], "IKE up");
        } else {
            let Failure::Authentication(failure) = down(&events) else { panic!("{events:?}") };
            let AuthFailure::Signature { trusted: tried, .. } = &failure else { panic!("{failure:?}") };
            assert_eq!(*tried, trusted);
            says(&failure, &[name, "ECDSA with SHA"]);
        }
    }
    // A connection for one identity takes no other, whatever key it holds.
    let (told, events) = present("c.example", |b| trust(b, key()), &[]);
    assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED]);
    let failure = down(&events);
    assert!(matches!(failure, Failure::Authentication(AuthFailure::UnknownIdentity { .. })), "{failure:?}");
    says(&failure, &["c.example", "a.example"]);
}

/// Keys of every other type, of types that are not known, and none at all: the same end.
#[test]
fn keys_of_the_wrong_type_verify_nothing() {
    let keys: Vec<PublicKey> = OTHERS.iter().map(|pem| PublicKey::from_pem(pem).unwrap()).collect();
    for key in &keys {
        let (told, events) = present("a.example", |b| trust(b, vec![key.clone()]), &[]);
        assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED], "{key:?}");
        assert!(matches!(down(&events), Failure::Authentication(AuthFailure::Signature { .. })));
    }
    let (told, events) = present("a.example", |b| trust(b, Vec::new()), &[]);
    assert_eq!(told, [NotifyType::AUTHENTICATION_FAILED]);
    says(&down(&events), &["none of the 0 keys"]);
    // The right one among them all.
    let mut all = keys;
    all.push(PublicKey::from_pem(P256_CERTIFICATE).unwrap());
    let (told, events) = present("a.example", |b| trust(b, all), &[]);
    assert_eq!((told.len(), kinds(&events)[0]), (0, "IKE up"));
}

/// Method, scheme, what stands before the point in a SubjectPublicKeyInfo, the point (gwx | gwy), r, s.
type Vector = (u8, SignatureScheme, &'static [u8], &'static [u8], &'static [u8], &'static [u8]);

/// RFC 4754 §8.1 to §8.3, of the message "abc".
const RFC_4754: [Vector; 3] = [
    (
        9,
        SignatureScheme::EcdsaSha256,
        // id-ecPublicKey, secp256r1 (RFC 5480).
        &hex!("3059 3013 0607 2a8648ce3d0201 0608 2a8648ce3d030107 0342 0004"),
        &hex!(
            "2442A5CC0ECD015FA3CA31DC8E2BBC70BF42D60CBCA20085E0822CB04235E970"
            "6FC98BD7E50211A4A27102FA3549DF79EBCB4BF246B80945CDDFE7D509BBFD7D"
        ),
        &hex!("CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C"),
        &hex!("86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315"),
    ),
    (
        10,
        SignatureScheme::EcdsaSha384,
        &hex!("3076 3010 0607 2a8648ce3d0201 0605 2b81040022 0362 0004"),
        &hex!(
            "96281BF8DD5E0525CA049C048D345D3082968D10FEDF5C5ACA0C64E6465A97EA5CE10C9DFEC21797415710721F437922"
            "447688BA94708EB6E2E4D59F6AB6D7EDFF9301D249FE49C33096655F5D502FAD3D383B91C5E7EDAA2B714CC99D5743CA"
        ),
        &hex!(
            "FB017B914E29149432D8BAC29A514640B46F53DDAB2C69948084E2930F1C8F7E08E07C9C63F2D21A07DCB56A6AF56EB3"
        ),
        &hex!(
            "B263A1305E057F984D38726A1B46874109F417BCA112674C528262A40A629AF1CBB9F516CE0FA7D2FF630863A00E8B9F"
        ),
    ),
    (
        11,
        SignatureScheme::EcdsaSha512,
        &hex!("30819b 3010 0607 2a8648ce3d0201 0605 2b81040023 038186 0004"),
        &hex!(
            "0151518F1AF0F563517EDD5485190DF95A4BF57B5CBA4CF2A9A3F6474725A35F7AFE0A6DDEB8BEDBCD6A197E592D4018"
            "8901CECD650699C9B5E456AEA5ADD19052A8"
            "006F3B142EA1BFFF7E2837AD44C9E4FF6D2D34C73184BBAD90026DD5E6E85317D9DF45CAD7803C6C20035B2F3FF63AFF"
            "4E1BA64D1C077577DA3F4286C58F0AEAE643"
        ),
        &hex!(
            "0154FD3836AF92D0DCA57DD5341D3053988534FDE8318FC6AAAAB68E2E6F4339B19F2F281A7E0B22C269D93CF8794A92"
            "78880ED7DBB8D9362CAEACEE544320552251"
        ),
        &hex!(
            "017705A7030290D1CEB605A9A1BB03FF9CDD521E87A696EC926C8C10C8362DF4975367101F67D1CF9BCCBF2F3D239534"
            "FA509E70AAC851AE01AAC68D62F866472660"
        ),
    ),
];

/// The AUTH payload of RFC 4754 §7: r and s side by side and nothing else, in full length.
#[test]
fn auth_by_ecdsa_as_in_rfc_4754() {
    for (method, scheme, prefix, point, r, s) in RFC_4754 {
        let key = PublicKey::from_spki_der(&[prefix, point].concat()).unwrap();
        let auth_method = AuthMethod(method);
        assert_eq!(scheme.raw_auth_method(key.key_type()), Some(auth_method));
        let signature = [r, s].concat();
        let form = SignatureForm { method: auth_method, scheme, encoding: SignatureEncoding::Raw };
        let proof = Proof::from_signature(form, signature.clone()).unwrap();
        let payload = Raw::of(&Payload::Auth(AuthPayload::new(proof.method, &proof.data)));
        assert_eq!(payload.body, [&[method, 0, 0, 0], r, s].concat());
        let algorithm = RUSTCRYPTO.signature(scheme).unwrap();
        let verify = |signature: &[u8]| algorithm.verify(&key, SignatureEncoding::Raw, &[b"abc"], signature);
        assert_eq!(verify(&signature), Ok(()), "{method}");
        // Neither shorter nor longer, nor with the halves changed, nor as DER.
        assert!(verify(&signature[1..]).is_err() && verify(&signature[..signature.len() - 1]).is_err());
        assert!(verify(&[&[0], &signature[..]].concat()).is_err());
        assert!(verify(&[s, r].concat()).is_err());
        assert!(algorithm.verify(&key, SignatureEncoding::Rfc7427, &[b"abc"], &signature).is_err());
    }
}
