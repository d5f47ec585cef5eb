//! Keys from files and certificates, and files that are none. `vectors/keys/make_keys.sh` made them with
//! OpenSSL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use hex_literal::hex;
use ipsec_crypto::rustcrypto::{PrivateKey, PrivateKeyError};
use ipsec_crypto::signature::PublicKeyError;
use ipsec_crypto::{KeyType, PublicKey, SigningKey};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!("vectors/keys/", $name))
    };
}

/// Private key, public key and certificate of the same key.
const TRIPLES: [(KeyType, &str, &str, &str); 5] = [
    (KeyType::Rsa, key_file!("rsa2048.pem"), key_file!("rsa2048-public.pem"), key_file!("rsa2048-cert.pem")),
    (KeyType::EcP256, key_file!("p256.pem"), key_file!("p256-public.pem"), key_file!("p256-cert.pem")),
    (KeyType::EcP384, key_file!("p384.pem"), key_file!("p384-public.pem"), key_file!("p384-cert.pem")),
    (KeyType::EcP521, key_file!("p521.pem"), key_file!("p521-public.pem"), key_file!("p521-cert.pem")),
    (
        KeyType::Ed25519,
        key_file!("ed25519.pem"),
        key_file!("ed25519-public.pem"),
        key_file!("ed25519-cert.pem"),
    ),
];

fn der(pem: &str) -> Vec<u8> {
    der::pem::decode_vec(pem.as_bytes()).unwrap().1
}

#[test]
fn the_same_key_from_each_file() {
    let mut keys = Vec::new();
    for (key_type, private, public, certificate) in TRIPLES {
        let key = PublicKey::from_pem(public).unwrap();
        assert_eq!(key.key_type(), key_type);
        assert_eq!(key.as_spki_der(), der(public));
        assert_eq!(PublicKey::from_spki_der(&der(public)).as_ref(), Ok(&key));
        assert_eq!(PublicKey::from_pem(certificate).as_ref(), Ok(&key));
        assert_eq!(PublicKey::from_certificate_der(&der(certificate)).as_ref(), Ok(&key));
        assert_eq!(PrivateKey::from_pem(private).unwrap().public_key(), &key);
        assert_eq!(PrivateKey::from_pkcs8_der(&der(private)).unwrap().public_key(), &key);
        assert_eq!(key.fingerprint(), <[u8; 32]>::from(Sha256::digest(der(public))));
        assert_eq!(key.rsa_bits(), (key_type == KeyType::Rsa).then_some(2048));
        assert!(keys.iter().all(|other| other != &key));
        keys.push(key);
    }
}

#[test]
fn older_structures() {
    let pkcs8 = PrivateKey::from_pem(key_file!("rsa2048.pem")).unwrap();
    let pkcs1 = PrivateKey::from_pem(key_file!("rsa2048-pkcs1.pem")).unwrap();
    assert_eq!(pkcs1.public_key(), pkcs8.public_key());
    assert_eq!(
        PrivateKey::from_pkcs1_der(&der(key_file!("rsa2048-pkcs1.pem"))).unwrap().public_key(),
        pkcs8.public_key()
    );
    // With the curve's parameters in a block before it.
    let sec1 = PrivateKey::from_pem(key_file!("p256-sec1.pem")).unwrap();
    assert_eq!(sec1.public_key().key_type(), KeyType::EcP256);
}

/// RFC 8410 §10.3: with the public key beside the private one, and with an attribute.
#[test]
fn pkcs8_with_a_public_key() {
    let with_both = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
    let key = PrivateKey::from_pem(with_both).unwrap();
    // RFC 8410 §10.1: the public key of the example.
    let public = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
    assert_eq!(key.public_key(), &PublicKey::from_pem(public).unwrap());

    let mut other = der(with_both);
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(PrivateKey::from_pkcs8_der(&other).unwrap_err(), PrivateKeyError::OtherPublicKey);
    let mut other = der(key_file!("p256.pem"));
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(PrivateKey::from_pkcs8_der(&other).unwrap_err(), PrivateKeyError::OtherPublicKey);
}

/// RFC 8247 §3.1.1: nobody should take RSA keys of less than 2,048 bits.
#[test]
fn rsa_keys_that_are_too_small() {
    let small = PublicKeyError::RsaModulus { bits: 1024 };
    assert_eq!(PublicKey::from_pem(key_file!("rsa1024-public.pem")), Err(small.clone()));
    assert_eq!(PublicKey::from_pem(key_file!("rsa1024-cert.pem")), Err(small.clone()));
    let error = PrivateKey::from_pem(key_file!("rsa1024.pem")).unwrap_err();
    assert_eq!(error, PrivateKeyError::PublicKey(small));
    assert_eq!(error.to_string(), "an RSA modulus of 1024 bits, where 2048 to 8192 are taken");
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [
        &match length {
            [0, short] if short < 0x80 => vec![tag, short],
            [0, short] => vec![tag, 0x81, short],
            [high, low] => vec![tag, 0x82, high, low],
        },
        content,
    ]
    .concat()
}

/// A SubjectPublicKeyInfo of RSA from the content octets of both integers.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = tlv(0x30, &[tlv(2, modulus), tlv(2, exponent)].concat());
    let algorithm = hex!("300d06092a864886f70d0101010500");
    tlv(0x30, &[&algorithm[..], &tlv(3, &[&[0], &*key].concat())].concat())
}

/// A modulus of this many bits: ones, with a zero octet before them where the sign needs it.
fn ones(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    if !bits.is_multiple_of(8) {
        modulus[0] = (1 << (bits % 8)) - 1;
    }
    if modulus[0] & 0x80 != 0 {
        modulus.insert(0, 0);
    }
    modulus
}

#[test]
fn rsa_numbers() {
    let f4 = [1, 0, 1];
    for bits in [2048, 2049, 2056, 3072, 8191, 8192] {
        assert_eq!(PublicKey::from_spki_der(&rsa(&ones(bits), &f4)).unwrap().rsa_bits(), Some(bits));
    }
    for bits in [8, 512, 1024, 2040, 2047, 8193, 8200, 16384] {
        let error = PublicKeyError::RsaModulus { bits };
        assert_eq!(PublicKey::from_spki_der(&rsa(&ones(bits), &f4)), Err(error));
    }
    let modulus = ones(2048);
    for exponent in [&[3][..], &f4, &hex!("0100000001"), &hex!("01ffffffff")] {
        assert!(PublicKey::from_spki_der(&rsa(&modulus, exponent)).is_ok(), "{exponent:?}");
    }
    let mut even = modulus.clone();
    *even.last_mut().unwrap() = 0xfe;
    for (modulus, exponent) in [
        (&modulus, &[0][..]),
        (&modulus, &[1]),
        (&modulus, &[2]),
        (&modulus, &hex!("010000")),
        (&modulus, &hex!("0200000001")),
        (&modulus, &hex!("01 0000000000000001")),
        (&even, &f4),
    ] {
        assert_eq!(PublicKey::from_spki_der(&rsa(modulus, exponent)), Err(PublicKeyError::RsaUnsound));
    }
    for (modulus, exponent) in [
        // Negative, with a zero too many, empty.
        (&modulus[1..], &f4[..]),
        (&[&[0], &*modulus].concat(), &f4),
        (&modulus, &[0x83]),
        (&modulus, &[0, 3]),
        (&[], &f4),
        (&modulus, &[]),
    ] {
        let error = PublicKey::from_spki_der(&rsa(modulus, exponent)).unwrap_err();
        assert!(matches!(error, PublicKeyError::Malformed { .. }), "{error:?}");
    }
}

#[test]
fn points_of_other_lengths_and_forms() {
    let spki = |point: &[u8]| {
        let algorithm = hex!("301306072a8648ce3d020106082a8648ce3d030107");
        tlv(0x30, &[&algorithm[..], &tlv(3, &[&[0], point].concat())].concat())
    };
    for (form, length) in [(4, 64), (2, 32), (3, 32)] {
        let point = [&[form][..], &vec![1; length]].concat();
        assert_eq!(PublicKey::from_spki_der(&spki(&point)).unwrap().key_type(), KeyType::EcP256);
    }
    for (form, length) in
        [(0, 0), (4, 0), (4, 63), (4, 65), (4, 32), (2, 64), (2, 31), (5, 32), (6, 64), (7, 64), (4, 4096)]
    {
        let point = [&[form][..], &vec![1; length]].concat();
        let error = PublicKey::from_spki_der(&spki(&point)).unwrap_err();
        assert!(matches!(error, PublicKeyError::Malformed { .. }), "{form} {length}: {error:?}");
    }
    let error = PublicKey::from_spki_der(&spki(&[])).unwrap_err();
    assert!(matches!(error, PublicKeyError::Malformed { .. }), "{error:?}");
}

#[test]
fn malformed_public_keys() {
    for (what, der) in [
        (
            "Ed25519 with NULL",
            &hex!(
                "302c300706032b65700500032100 0000000000000000000000000000000000000000000000000000000000000000"
            )[..],
        ),
        (
            "Ed25519 of 31 octets",
            &hex!("3029300506032b6570032000 00000000000000000000000000000000000000000000000000000000000000"),
        ),
        (
            "unused bits",
            &hex!(
                "302a300506032b6570032101 0000000000000000000000000000000000000000000000000000000000000000"
            ),
        ),
        ("a curve without a name", &hex!("301106092a8648ce3d0201 3000 0302 0004")),
        ("a curve left out", &hex!("300f300906072a8648ce3d0201 03020004")),
        ("a curve of NULL", &hex!("3011300b06072a8648ce3d02010500 03020004")),
        ("empty", &[]),
        ("an empty sequence", &[0x30, 0]),
        ("ones", &[0xff; 64]),
    ] {
        let error = PublicKey::from_spki_der(der).unwrap_err();
        assert!(
            matches!(error, PublicKeyError::Malformed { .. } | PublicKeyError::Spki),
            "{what}: {error:?}"
        );
    }
    for (_, _, public, certificate) in TRIPLES {
        let (public, certificate) = (der(public), der(certificate));
        for length in 0..public.len() {
            assert_eq!(PublicKey::from_spki_der(&public[..length]), Err(PublicKeyError::Spki));
        }
        for length in 0..certificate.len() {
            let error = PublicKey::from_certificate_der(&certificate[..length]);
            assert_eq!(error, Err(PublicKeyError::Certificate));
        }
        let more = [&public[..], &[0]].concat();
        assert_eq!(PublicKey::from_spki_der(&more), Err(PublicKeyError::Spki));
        let more = [&certificate[..], &[0]].concat();
        assert_eq!(PublicKey::from_certificate_der(&more), Err(PublicKeyError::Certificate));
        assert_eq!(PublicKey::from_spki_der(&certificate), Err(PublicKeyError::Spki));
        assert_eq!(PublicKey::from_certificate_der(&public), Err(PublicKeyError::Certificate));
    }
}

/// A key of a type that is not known is kept and named.
#[test]
fn unknown_types() {
    for (pem, name) in [
        (key_file!("ed448-public.pem"), "1.3.101.113 (id-Ed448)"),
        (key_file!("ed448-cert.pem"), "1.3.101.113 (id-Ed448)"),
        (key_file!("x25519-public.pem"), "1.3.101.110 (id-X25519)"),
        (key_file!("secp256k1-public.pem"), "1.3.132.0.10"),
        (key_file!("rsapss2048-public.pem"), "1.2.840.113549.1.1.10 (id-RSASSA-PSS)"),
    ] {
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.key_type().to_string(), name);
        assert_eq!(PublicKey::from_spki_der(key.as_spki_der()), Ok(key));
    }
    for (pem, name) in [
        (key_file!("ed448.pem"), "1.3.101.113 (id-Ed448)"),
        (key_file!("x25519.pem"), "1.3.101.110 (id-X25519)"),
        (key_file!("secp256k1.pem"), "1.3.132.0.10"),
        (key_file!("rsapss2048.pem"), "1.2.840.113549.1.1.10 (id-RSASSA-PSS)"),
    ] {
        let error = PrivateKey::from_pem(pem).unwrap_err();
        assert_eq!(error.to_string(), format!("a private key for {name}, which is not known"));
    }
}

#[test]
fn pem_that_is_something_else() {
    let label = |label: &str| PublicKeyError::PemLabel { label: label.into() };
    assert_eq!(PublicKey::from_pem(key_file!("p256.pem")), Err(label("PRIVATE KEY")));
    let encrypted = PrivateKey::from_pem(key_file!("ed25519-encrypted.pem")).unwrap_err();
    assert_eq!(encrypted, PrivateKeyError::PemLabel { label: "ENCRYPTED PRIVATE KEY".into() });

    for text in ["", "-----BEGIN ", "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----", "MCowBQYDK2Vw"]
    {
        assert_eq!(PublicKey::from_pem(text), Err(PublicKeyError::Pem), "{text}");
        assert_eq!(PrivateKey::from_pem(text).unwrap_err(), PrivateKeyError::Pem, "{text}");
    }
    // Certificates and public keys are passed by on the way to the private one.
    for (_, private, public, certificate) in TRIPLES {
        assert_eq!(PrivateKey::from_pem(public).unwrap_err(), PrivateKeyError::Pem);
        let all = [certificate, "Bag Attributes\n", public, private, private].concat();
        let key = PrivateKey::from_pem(&all).unwrap();
        assert_eq!(key.public_key(), &PublicKey::from_pem(&all).unwrap());
        let cut = &private[..private.len() / 2];
        assert_eq!(PrivateKey::from_pem(cut).unwrap_err(), PrivateKeyError::Pem);
    }
}

#[test]
fn malformed_private_keys() {
    let invalid = PrivateKeyError::Invalid;
    // CurvePrivateKey of 31 and 33 octets.
    let seed = |length: u8| {
        let inner = tlv(4, &vec![1; length.into()]);
        tlv(0x30, &[&hex!("020100300506032b6570")[..], &tlv(4, &inner)].concat())
    };
    for length in [0, 31, 33, 64] {
        assert_eq!(PrivateKey::from_pkcs8_der(&seed(length)).unwrap_err(), invalid(KeyType::Ed25519));
    }
    assert!(PrivateKey::from_pkcs8_der(&seed(32)).is_ok());

    // Scalars: zero, the order of P-256, of other lengths.
    let scalar = |octets: &[u8]| {
        let curve = hex!("a00a06082a8648ce3d030107");
        tlv(0x30, &[&[2, 1, 1], &*tlv(4, octets), &curve].concat())
    };
    let order = hex!("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for octets in [&[0; 32][..], &order, &[0xff; 32], &[1; 33], &[1; 66], &[]] {
        assert_eq!(PrivateKey::from_sec1_der(&scalar(octets)).unwrap_err(), invalid(KeyType::EcP256));
    }
    assert!(PrivateKey::from_sec1_der(&scalar(&[1; 32])).is_ok());
    let no_curve = tlv(0x30, &[&[2, 1, 1], &*tlv(4, &[1; 32])].concat());
    assert_eq!(PrivateKey::from_sec1_der(&no_curve).unwrap_err(), PrivateKeyError::Der("SEC 1"));

    // One octet of a number of the RSA key changed: its parts no longer belong together. What follows the
    // primes is made of them anew and not read.
    let rsa = der(key_file!("rsa2048-pkcs1.pem"));
    for position in (40..800).step_by(97) {
        let mut changed = rsa.clone();
        changed[position] ^= 0x10;
        assert!(PrivateKey::from_pkcs1_der(&changed).is_err(), "octet {position}");
    }

    for (_, private, ..) in TRIPLES {
        let private = der(private);
        for length in (0..private.len()).step_by(3) {
            let error = PrivateKey::from_pkcs8_der(&private[..length]).unwrap_err();
            assert_eq!(error, PrivateKeyError::Der("PKCS#8"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the octets, there is an answer.
    #[test]
    fn arbitrary_octets(
        triple in 0..TRIPLES.len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in vec(any::<u8>(), 0..200),
        text in ".{0,200}",
    ) {
        let (_, private, public, certificate) = TRIPLES[triple];
        for file in [private, public, certificate] {
            let mut octets = der(file);
            for (index, octet) in &changes {
                let at = index.index(octets.len());
                octets[at] = *octet;
            }
            for octets in [&octets, &noise] {
                let _ = PublicKey::from_spki_der(octets);
                let _ = PublicKey::from_certificate_der(octets);
                let _ = PrivateKey::from_pkcs8_der(octets);
                let _ = PrivateKey::from_pkcs1_der(octets);
                let _ = PrivateKey::from_sec1_der(octets);
            }
            let (head, tail) = file.split_at(changes.len() * 20);
            let _ = PublicKey::from_pem(&[head, &text, tail].concat());
            let _ = PrivateKey::from_pem(&[head, &text, tail].concat());
        }
    }
}
