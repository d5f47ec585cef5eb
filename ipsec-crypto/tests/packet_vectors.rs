//! Packets made by others, octet for octet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::{CipherAlgorithm, CipherError, PacketNumber};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::SaKeys;
use ipsec_types::{EncrId, IntegId};
use serde_json::Value;
use support::{gcm_16, hex, json, keys, list, octets, text};

const ESP_HEADER_LEN: usize = 8;

/// One ESP packet with its keys.
struct Case {
    name: String,
    algorithm: &'static dyn CipherAlgorithm,
    keys: SaKeys,
    number: PacketNumber,
    plain: Vec<u8>,
    packet: Vec<u8>,
}

impl Case {
    /// Opens the packet; opens it with each octet changed in turn; seals it again where its IV is a packet's
    /// number.
    fn check(&self) {
        let name = &self.name;
        let cipher = self.algorithm.with_keys(&self.keys).unwrap();
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
            assert!(!forged.windows(self.plain.len()).any(|part| part == self.plain), "{name}: plain text");
        }

        if self.algorithm.suite().encr.is_combined() && !self.number.high_in_icv {
            let iv = self.packet[ESP_HEADER_LEN..text_at].try_into().unwrap();
            let mut sealed = opened;
            sealed[ESP_HEADER_LEN..text_at].fill(0xee);
            sealed[icv_at..].fill(0xee);
            let number = PacketNumber::explicit(u64::from_be_bytes(iv));
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
            algorithm: gcm_16(key_bits),
            keys: keys(&[octets(case, "key"), octets(case, "salt")].concat(), &[]),
            number,
            plain: octets(case, "plaintext_with_trailer"),
            packet: octets(case, "esp_packet"),
        }
        .check();
    }
    assert_eq!(cases.len(), 14);
}

fn suite_of(case: &Value) -> CipherSuite {
    let encr = EncrId(u16::try_from(case["encr_id"].as_u64().unwrap()).unwrap());
    let integ = case["integ"].as_str().map_or(IntegId::NONE, |name| {
        *IntegId::REGISTERED.iter().find(|id| id.name() == Some(name)).expect("a registered name")
    });
    let key_bits = case["key_bits"].as_u64().map(|bits| u16::try_from(bits).unwrap());
    CipherSuite { encr, key_bits, integ }
}

/// Packets that another implementation (Python's `cryptography`) made by the rules of RFC 4303 and the cipher
/// documents. Those of suites that the provider has.
#[test]
fn generated_esp() {
    let file = json(include_str!("vectors/esp_generated.json"));
    let mut checked = Vec::new();
    for case in list(&file, "cases") {
        let Some(algorithm) = RUSTCRYPTO.cipher(suite_of(case)) else { continue };
        let value = u64::from_str_radix(text(case, "seq64"), 16).unwrap();
        let high_in_icv = case["esn"].as_bool().unwrap();
        let keymat = octets(case, "keymat");
        let (encr, integ) = keymat.split_at(algorithm.encr_key_len());
        Case {
            name: text(case, "id").into(),
            algorithm,
            keys: keys(encr, integ),
            number: PacketNumber { value, high_in_icv },
            plain: octets(case, "plaintext_with_trailer"),
            packet: octets(case, "esp_packet"),
        }
        .check();
        checked.push(text(case, "id"));
    }
    assert_eq!(
        checked,
        [
            "gcm16-128",
            "gcm16-256-esn",
            "gcm16-128-tfc",
            "gcm16-128-longpad",
            "gcm16-128-dummy",
            "gcm16-128-empty",
            "cbc128-sha256",
            "cbc128-sha256-esn",
        ]
    );
}

#[test]
fn hexadecimal() {
    assert_eq!(hex("00 fF"), [0, 255]);
}
