//! The facts of each suite: what is cut from KEYMAT, and how its packets are laid out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CryptoProvider, KxResponse, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::{EncrId, IntegId};
use std::collections::HashSet;
use support::counting_keys;

/// RFC 4106 §8.1 and RFC 3602 §3, RFC 4868 §2.1.1 and §2.3: octets of key with salt, salt, integrity key, IV,
/// ICV, and block.
#[test]
fn lengths() {
    let gcm = |bits| CipherSuite { encr: EncrId::AES_GCM_16, key_bits: Some(bits), integ: IntegId::NONE };
    let cbc =
        |bits| CipherSuite { encr: EncrId::AES_CBC, key_bits: Some(bits), integ: IntegId::HMAC_SHA2_256_128 };
    let expected = [
        (gcm(128), [20, 4, 0, 8, 16, 1]),
        (gcm(192), [28, 4, 0, 8, 16, 1]),
        (gcm(256), [36, 4, 0, 8, 16, 1]),
        (cbc(128), [16, 0, 32, 16, 16, 16]),
        (cbc(192), [24, 0, 32, 16, 16, 16]),
        (cbc(256), [32, 0, 32, 16, 16, 16]),
    ];
    assert_eq!(RUSTCRYPTO.ciphers.len(), expected.len());
    for (suite, lengths) in expected {
        let algorithm = RUSTCRYPTO.cipher(suite).unwrap();
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
        assert!(algorithm.for_ike(), "{suite}");
    }
}

/// No limit is one that a 32-bit sequence number can meet, and none lets AES near its birthday bound of 2^64
/// blocks (RFC 4106 §10).
#[test]
fn limits() {
    for algorithm in RUSTCRYPTO.ciphers {
        let limits = counting_keys(*algorithm).limits();
        assert!(limits.packets > u64::from(u32::MAX), "{algorithm:?}");
        let blocks = limits.octets / 16 + 2 * limits.packets;
        assert!(blocks <= 1 << 47, "{algorithm:?}");
        assert!(limits.failed_opens >= 1 << 52, "{algorithm:?}");
    }
}

#[test]
fn names_are_unique() {
    let suites: HashSet<_> = RUSTCRYPTO.ciphers.iter().map(|cipher| cipher.suite()).collect();
    let prfs: HashSet<_> = RUSTCRYPTO.prfs.iter().map(|prf| prf.id()).collect();
    let methods: HashSet<_> = RUSTCRYPTO.key_exchanges.iter().map(|method| method.method()).collect();
    assert_eq!(suites.len(), RUSTCRYPTO.ciphers.len());
    assert_eq!(prfs.len(), RUSTCRYPTO.prfs.len());
    assert_eq!(methods.len(), RUSTCRYPTO.key_exchanges.len());
}

/// Equal texts give other cipher text under another number, and the same under the same.
#[test]
fn numbers_make_packets_differ() {
    for algorithm in RUSTCRYPTO.ciphers {
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
}
