//! The facts of each suite: what is cut from KEYMAT, and how its packets are laid out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

#[cfg(feature = "aws-lc")]
use ipsec_crypto::CipherAlgorithm;
use ipsec_crypto::requirements::{self, Strength};
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::signature::{AuthMethod, HashAlgorithm};
use ipsec_crypto::{CryptoProvider, KeMethod, KxResponse, PacketNumber, PrfId, SignatureScheme};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{EncrId, IntegId};
use std::collections::HashSet;
use support::counting_keys;

/// What is expected of a suite: octets of key with salt, salt, integrity key, IV, ICV, and block; and whether
/// it is for IKE.
type Facts = ([usize; 6], bool);

/// RFC 4106 §8.1, RFC 4309 §7.1, RFC 7634 §4, RFC 8750 §4, RFC 4543 §5.3.
fn combined() -> Vec<(CipherSuite, Facts)> {
    let mut suites = Vec::new();
    for (encr, salt, iv, icv, for_ike) in [
        (EncrId::AES_GCM_16, 4, 8, 16, true),
        (EncrId::AES_GCM_12, 4, 8, 12, true),
        (EncrId::AES_GCM_8, 4, 8, 8, true),
        (EncrId::AES_CCM_16, 3, 8, 16, true),
        (EncrId::AES_CCM_12, 3, 8, 12, true),
        (EncrId::AES_CCM_8, 3, 8, 8, true),
        (EncrId::AES_GCM_16_IIV, 4, 0, 16, false),
        (EncrId::AES_CCM_8_IIV, 3, 0, 8, false),
        (EncrId::NULL_AUTH_AES_GMAC, 4, 8, 16, false),
    ] {
        for bits in [128, 192, 256] {
            let suite = CipherSuite { encr, key_bits: Some(bits), integ: IntegId::NONE };
            suites.push((suite, ([usize::from(bits) / 8 + salt, salt, 0, iv, icv, 1], for_ike)));
        }
    }
    for (encr, iv, for_ike) in
        [(EncrId::CHACHA20_POLY1305, 8, true), (EncrId::CHACHA20_POLY1305_IIV, 0, false)]
    {
        let suite = CipherSuite { encr, key_bits: None, integ: IntegId::NONE };
        suites.push((suite, ([36, 4, 0, iv, 16, 1], for_ike)));
    }
    suites
}

/// RFC 3602 §3, RFC 3686 §5.1, RFC 2410; RFC 4868 §2.1.1 and §2.3, RFC 2404 §3, RFC 3566 §4.1, RFC 4494 §3.
fn pairs() -> Vec<(CipherSuite, Facts)> {
    let mut suites = Vec::new();
    for (integ, mac_key, icv) in [
        (IntegId::HMAC_SHA1_96, 20, 12),
        (IntegId::AES_XCBC_96, 16, 12),
        (IntegId::AES_CMAC_96, 16, 12),
        (IntegId::HMAC_SHA2_256_128, 32, 16),
        (IntegId::HMAC_SHA2_384_192, 48, 24),
        (IntegId::HMAC_SHA2_512_256, 64, 32),
    ] {
        for bits in [128, 192, 256] {
            let key = usize::from(bits) / 8;
            let suite = |encr| CipherSuite { encr, key_bits: Some(bits), integ };
            suites.push((suite(EncrId::AES_CBC), ([key, 0, mac_key, 16, icv, 16], true)));
            suites.push((suite(EncrId::AES_CTR), ([key + 4, 4, mac_key, 8, icv, 1], true)));
        }
        let suite = CipherSuite { encr: EncrId::NULL, key_bits: None, integ };
        suites.push((suite, ([0, 0, mac_key, 0, icv, 1], false)));
    }
    suites
}

#[test]
fn lengths() {
    let expected = [combined(), pairs()].concat();
    assert_eq!(RUSTCRYPTO.ciphers.len(), expected.len());
    for (suite, (lengths, for_ike)) in expected {
        let algorithm = RUSTCRYPTO.cipher(suite).unwrap_or_else(|| panic!("no {suite}"));
        let cipher = counting_keys(algorithm);
        let found = [
            algorithm.encr_key_len(),
            algorithm.salt_len(),
            algorithm.integ_key_len(),
            cipher.iv_len(),
            cipher.icv_len(),
            cipher.block_len(),
        ];
        assert_eq!((algorithm.suite(), found), (suite, lengths));
        assert_eq!(algorithm.for_ike(), for_ike, "{suite}");
    }
}

/// No limit is one that a 32-bit sequence number can meet. None lets AES near its birthday bound of 2^64
/// blocks (RFC 4106 §10), and no ICV is guessed before the key ends.
#[test]
fn limits() {
    for algorithm in RUSTCRYPTO.ciphers {
        let cipher = counting_keys(*algorithm);
        let limits = cipher.limits();
        let suite = algorithm.suite();
        assert!(limits.packets > u64::from(u32::MAX), "{algorithm:?}");
        let chacha = matches!(suite.encr, EncrId::CHACHA20_POLY1305 | EncrId::CHACHA20_POLY1305_IIV);
        let aes_mac = matches!(suite.integ, IntegId::AES_XCBC_96 | IntegId::AES_CMAC_96);
        if !chacha && (suite.encr != EncrId::NULL || aes_mac) {
            let blocks = limits.octets / 16 + 2 * limits.packets;
            assert!(blocks <= 1 << 47, "{algorithm:?}");
        } else {
            assert_eq!(limits.packets, u64::MAX, "{algorithm:?}");
        }
        let guesses = u128::from(limits.failed_opens);
        let values = u32::try_from(8 * cipher.icv_len()).unwrap().min(127);
        assert!(guesses << 32 <= 1 << values, "{algorithm:?}");
    }
    // A pair ends with its weaker half.
    let failed = |encr, integ| {
        let suite = CipherSuite { encr, key_bits: Some(128), integ };
        counting_keys(RUSTCRYPTO.cipher(suite).unwrap()).limits()
    };
    let cbc_hmac = failed(EncrId::AES_CBC, IntegId::HMAC_SHA2_256_128);
    let cbc_cmac = failed(EncrId::AES_CBC, IntegId::AES_CMAC_96);
    assert!(cbc_cmac.packets < cbc_hmac.packets && cbc_cmac.octets < cbc_hmac.octets);
    // 64 bits of ICV stand for less than 128.
    let gcm = |encr| failed(encr, IntegId::NONE).failed_opens;
    assert!(gcm(EncrId::AES_GCM_8) < gcm(EncrId::AES_GCM_16));
    assert!(gcm(EncrId::AES_CCM_8) < gcm(EncrId::AES_CCM_16));
}

/// Another library's suites have RustCrypto's lengths and limits, and stand in the same order.
#[cfg(feature = "aws-lc")]
#[test]
fn another_library_changes_nothing_but_itself() {
    let fast = &ipsec_crypto::aws_lc::AWS_LC;
    assert_eq!(fast.ciphers.len(), RUSTCRYPTO.ciphers.len());
    for (ours, other) in RUSTCRYPTO.ciphers.iter().zip(fast.ciphers) {
        let facts = |algorithm: &dyn CipherAlgorithm| {
            let cipher = counting_keys(algorithm);
            let keys = [algorithm.encr_key_len(), algorithm.salt_len(), algorithm.integ_key_len()];
            let packet = [cipher.iv_len(), cipher.icv_len(), cipher.block_len()];
            (algorithm.suite(), keys, packet, cipher.limits(), algorithm.for_ike())
        };
        assert_eq!(facts(*ours), facts(*other));
    }
    let by_aws_lc: Vec<_> = fast.ciphers.iter().filter(|cipher| cipher.library() == "AWS-LC").collect();
    assert_eq!(by_aws_lc.len(), 8);
    assert!(RUSTCRYPTO.ciphers.iter().all(|cipher| cipher.library() == "RustCrypto"));
    let ccm = CipherSuite { encr: EncrId::AES_CCM_16, key_bits: Some(128), integ: IntegId::NONE };
    assert_eq!(fast.cipher(ccm).map(CipherAlgorithm::library), Some("RustCrypto"));
}

#[test]
fn names_are_unique() {
    let suites: HashSet<_> = RUSTCRYPTO.ciphers.iter().map(|cipher| cipher.suite()).collect();
    let prfs: HashSet<_> = RUSTCRYPTO.prfs.iter().map(|prf| prf.id()).collect();
    let methods: HashSet<_> = RUSTCRYPTO.key_exchanges.iter().map(|method| method.method()).collect();
    assert_eq!(suites.len(), RUSTCRYPTO.ciphers.len());
    assert_eq!(prfs.len(), RUSTCRYPTO.prfs.len());
    assert_eq!(methods.len(), RUSTCRYPTO.key_exchanges.len());
    assert_eq!((suites.len(), prfs.len(), methods.len()), (71, 6, 10));
}

/// Preference follows the documents: nothing comes before what stands better.
#[test]
fn order_of_preference() {
    let ciphers: Vec<_> = RUSTCRYPTO.ciphers.iter().map(|cipher| cipher.suite()).collect();
    let first: Vec<_> = ciphers[..5].iter().map(ToString::to_string).collect();
    assert_eq!(
        first,
        [
            "ENCR_AES_GCM_16-256",
            "ENCR_AES_GCM_16-128",
            "ENCR_AES_GCM_16-192",
            "ENCR_CHACHA20_POLY1305",
            "ENCR_AES_CBC-256/AUTH_HMAC_SHA2_512_256",
        ]
    );
    let opt_in = |suite: &CipherSuite| requirements::cipher(*suite).needs_opt_in();
    let weak_from = ciphers.iter().position(opt_in).unwrap();
    assert!(ciphers[weak_from..].iter().all(opt_in), "what needs an opt-in comes last");
    assert!(RUSTCRYPTO.prfs.is_sorted_by_key(|prf| requirements::prf(prf.id()).needs_opt_in()));
    assert!(RUSTCRYPTO.signatures.is_sorted_by_key(|it| requirements::signature(it.scheme())));
}

/// RFC 8247, RFC 8221.
#[test]
fn strengths() {
    use Strength::{Acceptable, MustNot, OptIn, Recommended};
    let suite = |encr, key_bits, integ| CipherSuite { encr, key_bits, integ };
    for (suite, expected) in [
        (suite(EncrId::AES_GCM_16, Some(256), IntegId::NONE), Recommended),
        (suite(EncrId::AES_GCM_16, Some(192), IntegId::NONE), Acceptable),
        (suite(EncrId::CHACHA20_POLY1305, None, IntegId::NONE), Recommended),
        (suite(EncrId::AES_CBC, Some(128), IntegId::HMAC_SHA2_256_128), Recommended),
        (suite(EncrId::AES_CBC, Some(128), IntegId::HMAC_SHA2_384_192), Acceptable),
        (suite(EncrId::AES_CBC, Some(128), IntegId::HMAC_SHA1_96), OptIn),
        (suite(EncrId::AES_CBC, Some(128), IntegId::HMAC_MD5_96), MustNot),
        (suite(EncrId::AES_CBC, Some(128), IntegId::NONE), MustNot),
        (suite(EncrId::AES_GCM_16, Some(128), IntegId::HMAC_SHA2_256_128), MustNot),
        (suite(EncrId::AES_CTR, Some(128), IntegId::HMAC_SHA2_256_128), Acceptable),
        (suite(EncrId::AES_CCM_8, Some(128), IntegId::NONE), Acceptable),
        (suite(EncrId::AES_GCM_8, Some(128), IntegId::NONE), OptIn),
        (suite(EncrId::NULL, None, IntegId::HMAC_SHA2_256_128), OptIn),
        (suite(EncrId::NULL, None, IntegId::NONE), MustNot),
        (suite(EncrId::NULL_AUTH_AES_GMAC, Some(128), IntegId::NONE), OptIn),
        (suite(EncrId::TRIPLE_DES, None, IntegId::HMAC_SHA2_256_128), OptIn),
        (suite(EncrId::DES, None, IntegId::HMAC_SHA2_256_128), MustNot),
    ] {
        assert_eq!(requirements::cipher(suite), expected, "{suite}");
        assert_eq!(expected.needs_opt_in(), expected >= OptIn);
    }
    for (prf, expected) in [(1, MustNot), (2, OptIn), (4, Acceptable), (5, Recommended), (7, Recommended)] {
        assert_eq!(requirements::prf(PrfId(prf)), expected);
    }
    for (method, expected) in [
        (14, Recommended),
        (19, Recommended),
        (31, Recommended),
        (20, Acceptable),
        (2, OptIn),
        (5, OptIn),
        (23, OptIn),
        (24, OptIn),
        (1, MustNot),
        (22, MustNot),
    ] {
        assert_eq!(requirements::key_exchange(KeMethod(method)), expected);
    }
    assert_eq!(requirements::signature(SignatureScheme::RsaPssSha256), Recommended);
    assert_eq!(requirements::signature(SignatureScheme::RsaPkcs1Sha1), OptIn);
    assert_eq!(requirements::hash(HashAlgorithm::SHA1), MustNot);
    assert_eq!(requirements::hash(HashAlgorithm::SHA2_256), Recommended);
    assert_eq!(requirements::auth_method(AuthMethod::DSS_SIGNATURE), OptIn);
    assert_eq!(requirements::auth_method(AuthMethod::DIGITAL_SIGNATURE), Recommended);
}

/// Equal texts give other packets under another number, and the same under the same. NULL alone has nothing
/// that a number enters: there the header tells packets apart.
#[test]
fn numbers_make_packets_differ() {
    for algorithm in RUSTCRYPTO.ciphers.iter().filter(|it| it.suite().encr != EncrId::NULL) {
        let cipher = counting_keys(*algorithm);
        let seal = |number| {
            let mut packet = vec![0; 8 + cipher.iv_len() + 64 + cipher.icv_len()];
            cipher.seal(PacketNumber::explicit(number), 8, &mut packet).unwrap();
            packet.split_off(8)
        };
        let packets: HashSet<_> =
            (0..100).flat_map(|number| [number, number << 32, !number]).map(seal).collect();
        // 0 and 0 << 32 are one number.
        assert_eq!(packets.len(), 299, "{algorithm:?}");
        assert_eq!(seal(5), seal(5));
    }
}

#[test]
fn what_crosses_threads() {
    fn check<T: Send + Sync>() {}
    check::<CryptoProvider>();
    check::<KxResponse>();
    check::<Box<dyn ipsec_crypto::PacketCipher>>();
    check::<Box<dyn ipsec_crypto::KeyedPrf>>();
    check::<Box<dyn ipsec_crypto::PendingKeyExchange>>();
    check::<ipsec_crypto::PublicKey>();
    check::<ipsec_crypto::rustcrypto::PrivateKey>();
}
