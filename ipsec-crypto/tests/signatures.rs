//! What other implementations signed, what ours sign, and every way in which a signature can be none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use hex_literal::hex;
use ikev2_wire::codes::{AuthMethod, HashAlgorithm};
use ipsec_crypto::rustcrypto::{ED25519, PrivateKey, RUSTCRYPTO};
use ipsec_crypto::{
    KeyType, PublicKey, RandomError, SignatureEncoding, SignatureError, SignatureScheme, SigningKey,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value;
use support::{Script, json, list, octets, text};

const ENCODINGS: [SignatureEncoding; 2] = [SignatureEncoding::Rfc7427, SignatureEncoding::Raw];

/// One private key of each type.
fn private_keys() -> Vec<PrivateKey> {
    [
        include_str!("vectors/keys/ed25519.pem"),
        include_str!("vectors/keys/p256.pem"),
        include_str!("vectors/keys/p384.pem"),
        include_str!("vectors/keys/p521.pem"),
        include_str!("vectors/keys/rsa2048.pem"),
    ]
    .map(|pem| PrivateKey::from_pem(pem).unwrap())
    .into()
}

fn verify(
    scheme: SignatureScheme,
    key: &PublicKey,
    encoding: SignatureEncoding,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    RUSTCRYPTO.signature(scheme).unwrap().verify(key, encoding, &[message], signature)
}

fn scheme_of(case: &Value) -> SignatureScheme {
    let name = text(case, "scheme");
    *SignatureScheme::ALL.iter().find(|scheme| scheme.name() == name).expect("a scheme's name")
}

/// RFC 6979 A.2.5, A.2.6, A.2.7: each curve with each hash.
#[test]
fn rfc_6979() {
    let file = json(include_str!("vectors/signatures_generated.json"));
    let cases = list(&file, "ecdsa");
    for case in cases {
        let id = text(case, "id");
        let [spki, message, raw, der] = ["spki", "message", "raw", "der"].map(|name| octets(case, name));
        let (key, scheme) = (PublicKey::from_spki_der(&spki).unwrap(), scheme_of(case));
        assert_eq!(verify(scheme, &key, SignatureEncoding::Rfc7427, &message, &der), Ok(()), "{id}");
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(verify(scheme, &key, SignatureEncoding::Rfc7427, &message, &raw), wrong, "{id}");
        if scheme.raw_auth_method(key.key_type()).is_some() {
            assert_eq!(verify(scheme, &key, SignatureEncoding::Raw, &message, &raw), Ok(()), "{id}");
            assert_eq!(verify(scheme, &key, SignatureEncoding::Raw, &message, &der), wrong, "{id}");
        }
    }
    assert_eq!(cases.len(), 18);
}

#[test]
fn rsa_of_another_implementation() {
    let file = json(include_str!("vectors/signatures_generated.json"));
    let cases = list(&file, "rsa");
    for case in cases {
        let [spki, message, signature] = ["spki", "message", "signature"].map(|name| octets(case, name));
        let key = PublicKey::from_spki_der(&spki).unwrap();
        for scheme in SignatureScheme::ALL.into_iter().filter(|scheme| scheme.goes_with(KeyType::Rsa)) {
            let result = verify(scheme, &key, SignatureEncoding::Rfc7427, &message, &signature);
            let expected = if scheme == scheme_of(case) { Ok(()) } else { Err(SignatureError::Wrong) };
            assert_eq!(result, expected, "{scheme}: {}", text(case, "id"));
        }
    }
    assert_eq!(cases.len(), 7);
}

/// RSASSA-PKCS1-v1_5 has nothing random in it, so that ours are those of any other implementation.
#[test]
fn rsa_pkcs1_as_another_implementation_signs() {
    let key = PrivateKey::from_pem(include_str!("vectors/keys/rsa2048.pem")).unwrap();
    let file = json(include_str!("vectors/signatures_generated.json"));
    let mut random = ChaCha20Rng::seed_from_u64(7);
    let mut checked = 0;
    for case in list(&file, "rsa") {
        let [message, expected] = ["message", "signature"].map(|name| octets(case, name));
        let scheme = scheme_of(case);
        let signature = key.sign(scheme, SignatureEncoding::Rfc7427, &[&message], &mut random).unwrap();
        if !scheme.name().contains("PSS") {
            assert_eq!(signature, expected, "{scheme}");
            checked += 1;
        }
    }
    assert_eq!(checked, 4);
}

/// RFC 8032 §7.1, tests 1, 2 and 3.
#[test]
fn rfc_8032_section_7_1() {
    for (seed, public, message, signature) in [
        (
            hex!("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
            hex!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
            &[][..],
            hex!(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            hex!("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
            hex!("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
            &hex!("72"),
            hex!(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            hex!("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
            hex!("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
            &hex!("af82"),
            hex!(
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
    ] {
        let pkcs8 = [&hex!("302e020100300506032b657004220420")[..], &seed].concat();
        let key = PrivateKey::from_pkcs8_der(&pkcs8).unwrap();
        let spki = [&hex!("302a300506032b6570032100")[..], &public].concat();
        assert_eq!(key.public_key().as_spki_der(), spki);
        let scheme = SignatureScheme::Ed25519;
        let no_random = &mut Script(Vec::new());
        let signed = key.sign(scheme, SignatureEncoding::Rfc7427, &[message], no_random).unwrap();
        assert_eq!(signed, signature);
        assert_eq!(verify(scheme, key.public_key(), SignatureEncoding::Rfc7427, message, &signed), Ok(()));
    }
}

/// Every key with every scheme and encoding: it signs what verifies, or says why it cannot.
#[test]
fn each_key_with_each_scheme() {
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let message: [&[u8]; 3] = [b"RealMessage1", b"", b"and the nonce"];
    let whole = message.concat();
    let mut signed = 0;
    for key in private_keys() {
        let key_type = key.public_key().key_type();
        let schemes = SignatureScheme::ALL.into_iter().filter(|scheme| key.schemes().contains(scheme));
        assert_eq!(schemes.count(), key.schemes().len(), "a scheme stands twice");
        for scheme in SignatureScheme::ALL {
            for encoding in ENCODINGS {
                let signature = key.sign(scheme, encoding, &message, &mut random);
                let expected = if !key.schemes().contains(&scheme) {
                    Some(SignatureError::KeyType { scheme, key: key_type })
                } else if encoding == SignatureEncoding::Raw && scheme.raw_auth_method(key_type).is_none() {
                    Some(SignatureError::NoRawForm { scheme, key: key_type })
                } else {
                    None
                };
                assert_eq!(signature.as_ref().err(), expected.as_ref(), "{key:?} {scheme} {encoding:?}");
                let (public, algorithm) = (key.public_key(), RUSTCRYPTO.signature(scheme).unwrap());
                let signature = signature.unwrap_or_default();
                let result = algorithm.verify(public, encoding, &[&whole], &signature);
                assert_eq!(result.err(), expected, "{key:?} {scheme} {encoding:?}");
                if expected.is_none() {
                    refuses_others(scheme, public, encoding, &whole, &signature);
                    signed += 1;
                }
            }
        }
    }
    // Ed25519; three curves with three hashes each, one of them also raw; RSA with seven, four also raw.
    assert_eq!(signed, 1 + 3 * (3 + 1) + 7 + 4);
}

fn refuses_others(
    scheme: SignatureScheme,
    key: &PublicKey,
    encoding: SignatureEncoding,
    message: &[u8],
    signature: &[u8],
) {
    let check = |message: &[u8], signature: &[u8], what: &str| {
        let result = verify(scheme, key, encoding, message, signature);
        assert_eq!(result, Err(SignatureError::Wrong), "{scheme} {encoding:?}: {what}");
    };
    check(b"another message", signature, "another message");
    check(&[message, &[0]].concat(), signature, "a longer message");
    for bit in (0..8 * signature.len()).step_by(5) {
        let mut changed = signature.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        check(message, &changed, "a flipped bit");
    }
    for length in 0..signature.len() {
        check(message, &signature[..length], "cut short");
    }
    check(message, &[signature, &[0]].concat(), "an octet more");
    check(message, &[&[0], signature].concat(), "an octet before it");
    check(message, &vec![0; signature.len()], "zeros");
    check(message, &vec![0xff; signature.len()], "ones");
    check(message, &vec![0x30; 1 << 16], "oversized");
}

/// RFC 4754 §7, RFC 7427 appendix A.
#[test]
fn lengths_of_ecdsa_signatures() {
    let mut random = ChaCha20Rng::seed_from_u64(2);
    for (key, raw) in private_keys()[1..4].iter().zip([64, 96, 132]) {
        let scheme = key.schemes()[0];
        let signature = key.sign(scheme, SignatureEncoding::Raw, &[b"m"], &mut random).unwrap();
        assert_eq!(signature.len(), raw);
        let signature = key.sign(scheme, SignatureEncoding::Rfc7427, &[b"m"], &mut random).unwrap();
        assert_eq!(signature[0], 0x30);
        assert!(signature.len() > raw);
    }
}

#[test]
fn keys_of_the_wrong_type() {
    let others = [
        include_str!("vectors/keys/ed448-public.pem"),
        include_str!("vectors/keys/secp256k1-public.pem"),
        include_str!("vectors/keys/x25519-public.pem"),
        include_str!("vectors/keys/rsapss2048-public.pem"),
    ];
    for pem in others {
        let key = PublicKey::from_pem(pem).unwrap();
        assert!(matches!(key.key_type(), KeyType::Other(_)), "{key:?}");
        for scheme in SignatureScheme::ALL {
            for encoding in ENCODINGS {
                let error = SignatureError::KeyType { scheme, key: key.key_type() };
                assert_eq!(verify(scheme, &key, encoding, b"m", &[0; 64]), Err(error));
            }
        }
    }
    let ed448 = PublicKey::from_pem(others[0]).unwrap();
    let error = verify(SignatureScheme::Ed25519, &ed448, SignatureEncoding::Rfc7427, b"m", &[]).unwrap_err();
    assert_eq!(error.to_string(), "Ed25519 does not go with a key of type 1.3.101.113 (id-Ed448)");
}

/// Keys of the right type and length that are no points, or not of the large group.
#[test]
fn public_keys_that_are_none() {
    let p256 = |point: &[u8]| {
        let head = hex!("3059301306072a8648ce3d020106082a8648ce3d030107034200");
        PublicKey::from_spki_der(&[&head[..], point].concat()).unwrap()
    };
    let not_on_curve = [&[4][..], &[1; 64]].concat();
    let zero = [&[4][..], &[0; 64]].concat();
    let beyond = [&[4][..], &[0xff; 64]].concat();
    for point in [not_on_curve, zero, beyond] {
        let result = verify(
            SignatureScheme::EcdsaSha256,
            &p256(&point),
            SignatureEncoding::Rfc7427,
            b"m",
            &hex!("3006 020101 020101"),
        );
        assert_eq!(result, Err(SignatureError::InvalidPublicKey { key: KeyType::EcP256 }));
    }

    // Not the y of a point; the neutral element, and a point of order 8 (RFC 8032 §5.1.7 lets them pass).
    for point in [
        hex!("0200000000000000000000000000000000000000000000000000000000000000"),
        hex!("0100000000000000000000000000000000000000000000000000000000000000"),
        hex!("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    ] {
        let spki = [&hex!("302a300506032b6570032100")[..], &point].concat();
        let key = PublicKey::from_spki_der(&spki).unwrap();
        // A signature of every message under the neutral element, were it taken for a key: R = B, s = 1.
        let mut signature = [0; 64];
        signature[..32]
            .copy_from_slice(&hex!("5866666666666666666666666666666666666666666666666666666666666666"));
        signature[32] = 1;
        let result = ED25519.verify(&key, SignatureEncoding::Rfc7427, &[b"m"], &signature);
        assert_eq!(result, Err(SignatureError::InvalidPublicKey { key: KeyType::Ed25519 }));
    }
}

#[test]
fn a_failing_generator_is_an_error() {
    for key in private_keys() {
        for &scheme in key.schemes() {
            let random = &mut Script(vec![1; 16]);
            let result = key.sign(scheme, SignatureEncoding::Rfc7427, &[b"m"], random);
            if scheme == SignatureScheme::Ed25519 {
                assert!(result.is_ok(), "Ed25519 needs no randomness");
            } else {
                assert_eq!(result, Err(SignatureError::Random(RandomError)), "{scheme}");
            }
        }
    }
}

/// Two signatures of one message differ where randomness is used, and hide nothing: both verify.
#[test]
fn randomness_enters_signatures() {
    let mut random = ChaCha20Rng::seed_from_u64(3);
    for key in private_keys() {
        for &scheme in key.schemes() {
            let mut sign = || key.sign(scheme, SignatureEncoding::Rfc7427, &[b"m"], &mut random).unwrap();
            let randomised = scheme.name().contains("PSS") || scheme.name().contains("ECDSA");
            assert_eq!(sign() != sign(), randomised, "{scheme}");
        }
    }
}

#[test]
fn nothing_secret_is_printed() {
    for key in private_keys() {
        let printed = format!("{key:?}");
        assert!(printed.starts_with("PrivateKey(of PublicKey("), "{printed}");
        assert!(printed.len() < 60, "{printed}");
    }
}

#[test]
fn methods_and_hashes() {
    use SignatureScheme as Scheme;
    for (scheme, hash) in [
        (Scheme::RsaPkcs1Sha1, HashAlgorithm::SHA1),
        (Scheme::RsaPssSha256, HashAlgorithm::SHA2_256),
        (Scheme::EcdsaSha384, HashAlgorithm::SHA2_384),
        (Scheme::RsaPkcs1Sha512, HashAlgorithm::SHA2_512),
        (Scheme::Ed25519, HashAlgorithm::IDENTITY),
    ] {
        assert_eq!(scheme.hash(), hash);
    }
    for (method, key, schemes) in [
        (AuthMethod(1), KeyType::Rsa, 4),
        (AuthMethod(9), KeyType::EcP256, 1),
        (AuthMethod(10), KeyType::EcP384, 1),
        (AuthMethod(11), KeyType::EcP521, 1),
    ] {
        let found = Scheme::of_raw_auth_method(method);
        assert_eq!(found.len(), schemes);
        assert!(found.iter().all(|scheme| scheme.raw_auth_method(key) == Some(method)));
    }
    for method in [AuthMethod::SHARED_KEY, AuthMethod::DSS_SIGNATURE, AuthMethod::DIGITAL_SIGNATURE] {
        assert!(Scheme::of_raw_auth_method(method).is_empty());
    }
    assert_eq!(RUSTCRYPTO.signatures.len(), Scheme::ALL.len());
    for scheme in Scheme::ALL {
        assert_eq!(RUSTCRYPTO.signature(scheme).unwrap().scheme(), scheme);
    }
}
