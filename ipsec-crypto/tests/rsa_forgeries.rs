//! RSASSA-PKCS1-v1_5 blocks that differ from the right one, under a key with exponent 3, where gaps in the
//! check can be filled to forge signatures (CVE-2018-16151, CVE-2018-16152). The private key makes signatures
//! of whatever block.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use hex_literal::hex;
use ipsec_crypto::rustcrypto::{RSA_PKCS1_SHA1, RSA_PKCS1_SHA2_256, RUSTCRYPTO};
use ipsec_crypto::{PublicKey, SignatureAlgorithm, SignatureEncoding, SignatureError, SignatureScheme};
use rsa::BoxedUint;
use rsa::hazmat::rsa_decrypt_and_check;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};
use support::Script;

const MESSAGE: &[u8] = b"the octets to be signed";
/// Octets of the modulus.
const LEN: usize = 256;
const SHA256_PREFIX: [u8; 19] = hex!("3031300d060960864801650304020105000420");

struct Forger {
    private: rsa::PrivateKey,
    public: PublicKey,
}

impl Forger {
    fn new() -> Self {
        let private = rsa::PrivateKey::from_pkcs8_pem(include_str!("vectors/keys/rsa2048-e3.pem")).unwrap();
        assert_eq!(private.e(), &BoxedUint::from(3_u8));
        let public = PublicKey::from_pem(include_str!("vectors/keys/rsa2048-e3-public.pem")).unwrap();
        Self { private, public }
    }

    /// The signature that holds this block.
    fn sign(&self, block: &[u8]) -> Vec<u8> {
        let block = BoxedUint::from_be_slice(block, self.private.n_bits_precision()).unwrap();
        let signature = rsa_decrypt_and_check(&self.private, None::<&mut Script>, &block).unwrap();
        signature.to_be_bytes().into_vec()
    }

    fn verify(&self, algorithm: &dyn SignatureAlgorithm, signature: &[u8]) -> Result<(), SignatureError> {
        algorithm.verify(&self.public, SignatureEncoding::Rfc7427, &[MESSAGE], signature)
    }

    fn accepts(&self, block: &[u8]) {
        assert_eq!(self.verify(RSA_PKCS1_SHA2_256, &self.sign(block)), Ok(()));
    }

    /// Every deviation ends in the same error.
    fn refuses(&self, what: &str, block: &[u8]) {
        let result = self.verify(RSA_PKCS1_SHA2_256, &self.sign(block));
        assert_eq!(result, Err(SignatureError::Wrong), "{what}");
    }
}

/// `0x00 0x01 0xff… 0x00`, and what follows, in the length of the modulus.
fn block(tail: &[&[u8]]) -> Vec<u8> {
    let tail = tail.concat();
    let padding = vec![0xff; LEN - 3 - tail.len()];
    [&[0, 1], &*padding, &[0], &tail].concat()
}

fn hash() -> [u8; 32] {
    Sha256::digest(MESSAGE).into()
}

#[test]
fn the_right_block_and_the_one_without_parameters() {
    let forger = Forger::new();
    forger.accepts(&block(&[&SHA256_PREFIX, &hash()]));
    forger.accepts(&block(&[&hex!("302f300b0609608648016503040201 0420"), &hash()]));
}

#[test]
fn every_octet_of_the_block() {
    let forger = Forger::new();
    let right = block(&[&SHA256_PREFIX, &hash()]);
    // The first octet is above the modulus in most of its values; 0 is right and 1 is below.
    for position in 1..LEN {
        for change in [1, 0x80] {
            let mut changed = right.clone();
            changed[position] ^= change;
            forger.refuses(&format!("octet {position}"), &changed);
        }
    }
    let mut first = right;
    first[0] = 1;
    forger.refuses("the first octet", &first);
}

#[test]
fn octets_after_the_hash() {
    let forger = Forger::new();
    for length in [1, 2, 8, 100, 194] {
        let garbage = vec![0x5a; length];
        forger.refuses("octets after the hash", &block(&[&SHA256_PREFIX, &hash(), &garbage]));
    }
}

/// The lengths in the DigestInfo take in what was added, so that each is correct DER.
#[test]
fn octets_within_the_identifier() {
    let forger = Forger::new();
    // After the object identifier, as a part of the AlgorithmIdentifier.
    forger.refuses(
        "octets in the place of parameters",
        &block(&[&hex!("303b 3017 0609 608648016503040201 040a 00112233445566778899 0420"), &hash()]),
    );
    forger.refuses(
        "octets after NULL",
        &block(&[&hex!("3035 3011 0609 608648016503040201 0500 0402 aabb 0420"), &hash()]),
    );
    forger.refuses(
        "NULL that is not empty",
        &block(&[&hex!("3033 300f 0609 608648016503040201 0502 aabb 0420"), &hash()]),
    );
    forger.refuses(
        "octets after the digest, within the DigestInfo",
        &block(&[&hex!("3035 300d 0609 608648016503040201 0500 0420"), &hash(), &hex!("0402aabb")]),
    );
    forger.refuses(
        "a longer object identifier",
        &block(&[&hex!("3032 300e 060a 60864801650304020101 0500 0420"), &hash()]),
    );
}

#[test]
fn lengths_in_more_octets_than_needed() {
    let forger = Forger::new();
    for prefix in [
        &hex!("308131 300d 0609 608648016503040201 0500 0420")[..],
        &hex!("3032 30810d 0609 608648016503040201 0500 0420"),
        &hex!("3032 300e 068109 608648016503040201 0500 0420"),
        &hex!("3032 300e 0609 608648016503040201 058100 0420"),
        &hex!("3032 300d 0609 608648016503040201 0500 048120"),
        &hex!("3080 300d 0609 608648016503040201 0500 0420"),
    ] {
        forger.refuses("a long length", &block(&[prefix, &hash()]));
    }
}

#[test]
fn short_padding() {
    let forger = Forger::new();
    let tail = [&SHA256_PREFIX[..], &hash()].concat();
    for padding in [0, 1, 7, 8, 100, LEN - 3 - tail.len() - 1] {
        let mut short = [&[0, 1], &*vec![0xff; padding], &[0], &tail].concat();
        // What is left over comes after the hash, before the padding, or in the padding.
        let rest = LEN - short.len();
        forger.refuses("rest at the end", &[&*short, &vec![0; rest]].concat());
        forger.refuses("rest in front", &[vec![0; rest], short.clone()].concat());
        short.splice(2 + padding..2 + padding, vec![0; rest]);
        forger.refuses("rest of zeros after the padding", &short);
    }
}

#[test]
fn other_block_types() {
    let forger = Forger::new();
    let right = block(&[&SHA256_PREFIX, &hash()]);
    for kind in [0, 2, 3, 0xff] {
        let mut changed = right.clone();
        changed[1] = kind;
        forger.refuses("another block type", &changed);
    }
    let zeros = [&[0; LEN - 19 - 32][..], &SHA256_PREFIX, &hash()].concat();
    forger.refuses("padding of zeros (block type 0)", &zeros);
}

#[test]
fn hashes_of_other_lengths() {
    let forger = Forger::new();
    let hash = hash();
    forger.refuses("no DigestInfo", &block(&[&hash]));
    forger.refuses("20 octets", &block(&[&hex!("3025 300d 0609 608648016503040201 0500 0414"), &hash[..20]]));
    forger.refuses("31 octets", &block(&[&hex!("3030 300d 0609 608648016503040201 0500 041f"), &hash[..31]]));
    forger.refuses("33 octets", &block(&[&hex!("3032 300d 0609 608648016503040201 0500 0421"), &hash, &[0]]));
    forger.refuses("none", &block(&[&hex!("3011 300d 0609 608648016503040201 0500 0400")]));
    forger.refuses("SHA-384's identifier", &block(&[&hex!("3031300d060960864801650304020205000420"), &hash]));
    forger.refuses("SHA-1's identifier", &block(&[&hex!("302d 3009 0605 2b0e03021a 0500 0420"), &hash]));
}

/// What is right for one scheme is so for no other.
#[test]
fn other_schemes() {
    let forger = Forger::new();
    let signature = forger.sign(&block(&[&SHA256_PREFIX, &hash()]));
    for algorithm in RUSTCRYPTO.signatures {
        let expected = match algorithm.scheme() {
            SignatureScheme::RsaPkcs1Sha256 => Ok(()),
            scheme if scheme.goes_with(forger.public.key_type()) => Err(SignatureError::Wrong),
            scheme => Err(SignatureError::KeyType { scheme, key: forger.public.key_type() }),
        };
        assert_eq!(forger.verify(*algorithm, &signature), expected, "{algorithm:?}");
    }
    assert_eq!(forger.verify(RSA_PKCS1_SHA1, &signature), Err(SignatureError::Wrong));
}

#[test]
fn signatures_that_are_no_numbers_of_the_key() {
    let forger = Forger::new();
    let right = forger.sign(&block(&[&SHA256_PREFIX, &hash()]));
    let modulus = forger.private.n_bytes();
    let plus_modulus = BoxedUint::from_be_slice(&right, 2112).unwrap() + forger.private.n().as_ref();
    let plus_modulus = plus_modulus.to_be_bytes();
    for (what, signature) in [
        ("empty", &[][..]),
        ("zero", &[0; LEN]),
        ("the modulus", &modulus),
        ("all ones", &[0xff; LEN]),
        ("an octet short", &right[..LEN - 1]),
        ("without its first octet", &right[1..]),
        ("an octet long", &[&right[..], &[0]].concat()),
        ("a zero before it", &[&[0], &right[..]].concat()),
        ("the modulus added", &plus_modulus[plus_modulus.len() - LEN..]),
        ("oversized", &vec![1; 1 << 16]),
    ] {
        for scheme in [SignatureScheme::RsaPkcs1Sha256, SignatureScheme::RsaPssSha256] {
            let result = forger.verify(RUSTCRYPTO.signature(scheme).unwrap(), signature);
            assert_eq!(result, Err(SignatureError::Wrong), "{scheme}: {what}");
        }
    }
}
