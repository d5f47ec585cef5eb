//! ML-KEM against NIST's ACVP vectors for FIPS 203: key generation, encapsulation and decapsulation.
//!
//! A key exchange makes its decapsulation key of a seed and neither gives it out nor takes one from outside; ACVP
//! prints expanded ones (FIPS 203 §6.1), and gives no seed for those that it decapsulates with. So such keys go to
//! the crate `ml-kem`, which is what the key exchanges call; and for the keys whose seeds are printed, both ways
//! have to give the same secrets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// The one way to an expanded key.
#![allow(deprecated)]

mod support;

use ipsec_crypto::KeyExchangeMethod;
use ipsec_crypto::rustcrypto::{ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use ml_kem::{Decapsulate, ExpandedKeyEncoding, Seed, ml_kem_512, ml_kem_768, ml_kem_1024};
use serde_json::Value;
use support::{Script, json, list, octets, text};

/// A parameter set: the key exchange, and expanded decapsulation keys as the crate `ml-kem` has them.
struct Set {
    name: &'static str,
    method: &'static dyn KeyExchangeMethod,
    expand: fn(&[u8]) -> Vec<u8>,
    decapsulate: fn(&[u8], &[u8]) -> Vec<u8>,
}

const SETS: [Set; 3] = [
    set::<ml_kem_512::DecapsulationKey>("ML-KEM-512", ML_KEM_512),
    set::<ml_kem_768::DecapsulationKey>("ML-KEM-768", ML_KEM_768),
    set::<ml_kem_1024::DecapsulationKey>("ML-KEM-1024", ML_KEM_1024),
];

const fn set<K>(name: &'static str, method: &'static dyn KeyExchangeMethod) -> Set
where
    K: ExpandedKeyEncoding + Decapsulate + From<Seed>,
{
    Set { name, method, expand: expand::<K>, decapsulate: decapsulate::<K> }
}

fn expand<K: ExpandedKeyEncoding + From<Seed>>(seed: &[u8]) -> Vec<u8> {
    K::from(Seed::try_from(seed).unwrap()).to_expanded_bytes().to_vec()
}

fn decapsulate<K: ExpandedKeyEncoding + Decapsulate>(key: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let key = K::from_expanded_bytes(key.try_into().unwrap()).unwrap();
    key.decapsulate(ciphertext.try_into().unwrap()).to_vec()
}

fn key_gen() -> Value {
    json(include_str!("vectors/acvp_ml_kem_key_gen.json"))
}

fn encap_decap() -> Value {
    json(include_str!("vectors/acvp_ml_kem_encap_decap.json"))
}

/// The one group of a parameter set; `function` tells apart those of encapDecap.
fn group<'a>(vectors: &'a Value, set: &Set, function: Option<&str>) -> &'a Value {
    let wanted = |group: &&Value| group["parameterSet"] == set.name && group["function"].as_str() == function;
    let mut groups = list(vectors, "testGroups").iter().filter(wanted);
    let group = groups.next().unwrap_or_else(|| panic!("no group of {}", set.name));
    assert!(groups.next().is_none(), "two groups of {}", set.name);
    group
}

/// The randomness of a key pair in the order in which it is drawn: d, then z (FIPS 203 §7.1).
fn seed(test: &Value) -> Vec<u8> {
    [octets(test, "d"), octets(test, "z")].concat()
}

/// FIPS 203 §6.1.
#[test]
fn key_pairs_are_those_of_their_seeds() {
    let vectors = key_gen();
    for set in &SETS {
        let tests = list(group(&vectors, set, None), "tests");
        assert_eq!(tests.len(), 5, "{}", set.name);
        for test in tests {
            let id = format!("{} {}", set.name, test["tcId"]);
            let pending = set.method.start(&mut Script(seed(test))).unwrap();
            assert_eq!(pending.public(), octets(test, "ek"), "{id}");
            assert_eq!((set.expand)(&seed(test)), octets(test, "dk"), "{id}");
        }
    }
}

/// FIPS 203 §6.2.
#[test]
fn the_responder_encapsulates() {
    let vectors = encap_decap();
    for set in &SETS {
        let tests = list(group(&vectors, set, Some("encapsulation")), "tests");
        assert_eq!(tests.len(), 5, "{}", set.name);
        for test in tests {
            let id = format!("{} {}", set.name, test["tcId"]);
            let response = set.method.respond(&mut Script(octets(test, "m")), &octets(test, "ek")).unwrap();
            assert_eq!(response.public, octets(test, "c"), "{id}");
            assert_eq!(response.secret.as_slice(), octets(test, "k"), "{id}");
        }
    }
}

/// FIPS 203 §6.3: of ciphertexts as they were made, and of modified ones, which are rejected implicitly.
#[test]
fn expanded_keys_decapsulate() {
    let vectors = encap_decap();
    for set in &SETS {
        let group = group(&vectors, set, Some("decapsulation"));
        let key = octets(group, "dk");
        let (mut unmodified, mut modified) = (0, 0);
        for test in list(group, "tests") {
            let secret = (set.decapsulate)(&key, &octets(test, "c"));
            assert_eq!(secret, octets(test, "k"), "{} {}", set.name, test["tcId"]);
            match text(test, "reason") {
                "no modification" => unmodified += 1,
                "modify ciphertext" => modified += 1,
                reason => panic!("{reason}"),
            }
        }
        assert_eq!((unmodified, modified), (5, 5), "{}", set.name);
    }
}

/// What the initiator finishes with is what the printed key of its seed decapsulates, z's part in it included.
#[test]
fn the_initiator_decapsulates_as_the_expanded_key_of_its_seed() {
    let vectors = key_gen();
    for set in &SETS {
        for test in list(group(&vectors, set, None), "tests") {
            let id = format!("{} {}", set.name, test["tcId"]);
            let key = octets(test, "dk");
            let pending = set.method.start(&mut Script(seed(test))).unwrap();
            let mut response = set.method.respond(&mut Script(vec![0x5A; 32]), &octets(test, "ek")).unwrap();
            let secret = pending.finish(&response.public).unwrap();
            assert_eq!(secret, response.secret, "{id}");
            assert_eq!(secret.as_slice(), (set.decapsulate)(&key, &response.public), "{id}");
            response.public[0] ^= 1;
            let rejected = pending.finish(&response.public).unwrap();
            assert_ne!(rejected, secret, "{id}");
            assert_eq!(rejected.as_slice(), (set.decapsulate)(&key, &response.public), "{id}");
        }
    }
}
